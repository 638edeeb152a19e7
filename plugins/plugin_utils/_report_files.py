# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where reports are read and written on the controller: the only I/O of the reports."""

from __future__ import annotations

import importlib
import json
import os
import re
import stat
from collections.abc import Iterable
from typing import Dict, List

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, input_error
from ansible_collections.netfleet.tcp.plugins.module_utils._rules import SEVERITIES
from ansible_collections.netfleet.tcp.plugins.plugin_utils._put import put
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import Report, from_data
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_kinds import DRIFT_CHECK, Kind

# format -> end of its file's name. Each is written by the function render of plugin_utils/_report_<format>.py.
_ENDS: Dict[str, str] = {
    "json": "json",
    "text": "txt",
    "markdown": "md",
    "junit": "junit.xml",
    "sarif": "sarif",
    "html": "html",
}
_LARGEST = 1 << 30
_COLLECTION = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))


def files(kind: Kind) -> Dict[str, str]:
    """The name of the file of each format."""
    return {name: "%s.%s" % (kind.name, end) for name, end in _ENDS.items()}


def write_reports(report: Report, directory: str, formats: Iterable[str]) -> List[str]:
    """Write the report in each format into the directory, which is made where there is none; the paths."""
    try:
        os.makedirs(directory, exist_ok=True)
    except OSError as error:
        raise _not_written(report.kind, directory, error) from error
    paths = []
    for name in formats:
        path = os.path.join(directory, files(report.kind)[name])
        try:
            put(path, _rendered(report, name), 0o644 & ~_umask())
        except OSError as error:
            raise _not_written(report.kind, path, error) from error
        paths.append(path)
    return paths


def _not_written(kind: Kind, path: str, error: OSError) -> InputError:
    return input_error(kind.prefix + "directory", "%s: %s" % (path, error.strerror), "name another one")


def _rendered(report: Report, name: str) -> str:
    # Only what is asked for is loaded.
    module = importlib.import_module("%s._report_%s" % (__package__, name))
    # Where SARIF goes, GitHub above all, what is gone would stand as open.
    options = {"gone": False} if name == "sarif" else {}
    return str(module.render(report, **options))


def _umask() -> int:
    present = os.umask(0o077)
    os.umask(present)
    return present


def read_report(path: str, kind: Kind = DRIFT_CHECK) -> Report:
    """An earlier JSON report; InputError where it cannot be read as one of the kind."""
    place, cure = kind.prefix + "compare", "name a %s that an earlier check wrote" % files(kind)["json"]
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is not a file")
        if status.st_size > _LARGEST:
            raise ValueError("it is larger than 1 GiB")
        with open(path, encoding="utf-8") as stream:
            report = from_data(json.load(stream), kind.name)
        unknown = {report.threshold, *(finding.severity for finding in report.findings)}.difference(SEVERITIES)
        if unknown:
            raise ValueError("it has a severity that is none: %s" % min(unknown))
    except OSError as error:
        raise input_error(place, "%s: %s" % (path, error.strerror), cure) from error
    except (ValueError, TypeError, RecursionError) as error:
        raise input_error(place, "%s: %s" % (path, error), cure) from error
    return report


def collection_version() -> str:
    """The version of the collection that runs: from the manifest of an installed one, or a clone's galaxy.yml."""
    for name, pattern in (("MANIFEST.json", r'"version":\s*"([^"]+)"'), ("galaxy.yml", r"(?m)^version:\s*(\S+)")):
        try:
            with open(os.path.join(_COLLECTION, name), encoding="utf-8") as stream:
                match = re.search(pattern, stream.read())
        except OSError:
            continue
        if match:
            return match.group(1)
    return ""
