# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a check was called with, checked before a host is visited. Pure but for a look at the reports' folder.

Runs on the controller alone. The variables are those of its playbook, and are named so.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, List

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, Problem
from ansible_collections.netfleet.tcp.plugins.module_utils._rules import SEVERITIES
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_files import files
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_kinds import DRIFT_CHECK, Kind

# How alike a tag and a subject are that were most likely meant to be the same; others are somebody else's tags.
_ALIKE = 0.7


def check_call(report: Mapping[str, Any], tags: Iterable[str], kind: Kind = DRIFT_CHECK) -> None:
    """InputError with every problem. report: threshold, formats and directory; tags: of --tags and --skip-tags."""
    problems = [*_report_problems(report, kind), *_tag_problems(tags, kind)]
    if problems:
        raise InputError(problems)


def listed(given: Any) -> List[str]:
    """The names of a list, or of a text with commas between them; of anything else its text, which is no name."""
    if isinstance(given, str):
        return [name.strip() for name in given.split(",")] if given else []
    return [str(name) for name in (given if isinstance(given, (list, tuple)) else [given] if given else [])]


def _report_problems(report: Mapping[str, Any], kind: Kind) -> Iterator[Problem]:
    threshold = report.get("threshold") or "warning"
    if threshold not in SEVERITIES:
        yield Problem(kind.prefix + "threshold", "%r is none" % threshold, "one of: %s" % ", ".join(SEVERITIES))
    known = files(kind)
    for name in listed(report.get("formats")):
        if name not in known:
            yield Problem(kind.prefix + "formats", "%r is none" % name, "one of: %s" % ", ".join(known))
    directory = str(report.get("directory") or "")
    if directory and os.path.exists(directory) and not os.path.isdir(directory):
        yield Problem(
            kind.prefix + "directory", "%s is a file" % directory, "name a folder, or one that is yet to be made"
        )


def _tag_problems(tags: Iterable[str], kind: Kind) -> Iterator[Problem]:
    known = [name for name in kind.subjects if name != "host"]
    for tag in tags:
        close = difflib.get_close_matches(tag, known, n=1, cutoff=_ALIKE)
        if tag not in known and close:
            yield Problem("--tags", "there is no subject %s" % tag, "did you mean %s?" % close[0])
