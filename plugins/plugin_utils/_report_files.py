# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where reports are read and written on the controller: the only I/O of the reports."""

from __future__ import annotations

import importlib
import json
import os
import re
import stat
import tempfile
from collections.abc import Iterable
from typing import Dict, List

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import input_error
from ansible_collections.netfleet.tcp.plugins.module_utils._rules import SEVERITIES
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import Report, from_data

# format -> name of its file. Each is written by the function render of plugin_utils/_report_<format>.py.
FILES: Dict[str, str] = {
    "json": "drift.json",
    "text": "drift.txt",
    "markdown": "drift.md",
    "junit": "drift.junit.xml",
    "sarif": "drift.sarif",
    "html": "drift.html",
}
_LARGEST = 1 << 30
_COLLECTION = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))


def write_reports(report: Report, directory: str, formats: Iterable[str]) -> List[str]:
    """Write the report in each format into the directory, which is made where there is none; the paths."""
    try:
        os.makedirs(directory, exist_ok=True)
    except OSError as error:
        raise input_error("tcp_drift_directory", "%s: %s" % (directory, error.strerror), "name another one") from error
    paths = []
    for name in formats:
        path = os.path.join(directory, FILES[name])
        _write(path, _rendered(report, name))
        paths.append(path)
    return paths


def _rendered(report: Report, name: str) -> str:
    # Only what is asked for is loaded.
    module = importlib.import_module("%s._report_%s" % (__package__, name))
    # Where SARIF goes, GitHub above all, what is gone would stand as open.
    options = {"gone": False} if name == "sarif" else {}
    return str(module.render(report, **options))


def _write(path: str, text: str) -> None:
    """Put a file in place at once, so that two checks at the same time never mix in one file."""
    directory = os.path.dirname(path) or "."
    try:
        handle, temporary = tempfile.mkstemp(prefix=".drift-", dir=directory)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as stream:
                os.fchmod(stream.fileno(), 0o644 & ~_umask())
                stream.write(text)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise input_error("tcp_drift_directory", "%s: %s" % (path, error.strerror), "name another one") from error


def _umask() -> int:
    present = os.umask(0o077)
    os.umask(present)
    return present


def read_report(path: str) -> Report:
    """An earlier JSON report; InputError where it cannot be read as one."""
    cure = "name a drift.json that an earlier check wrote"
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is not a file")
        if status.st_size > _LARGEST:
            raise ValueError("it is larger than 1 GiB")
        with open(path, encoding="utf-8") as stream:
            report = from_data(json.load(stream))
        unknown = {report.threshold, *(finding.severity for finding in report.findings)}.difference(SEVERITIES)
        if unknown:
            raise ValueError("it has a severity that is none: %s" % min(unknown))
    except OSError as error:
        raise input_error("tcp_drift_compare", "%s: %s" % (path, error.strerror), cure) from error
    except (ValueError, TypeError, RecursionError) as error:
        raise input_error("tcp_drift_compare", "%s: %s" % (path, error), cure) from error
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
