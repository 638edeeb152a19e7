# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a drift check was called with, checked before a host is visited. Pure but for a look at the reports' folder.

Runs on the controller alone. The variables are those of playbooks/drift.yml, and are named so.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, Problem
from ansible_collections.netfleet.tcp.plugins.module_utils._rules import SEVERITIES, SUBJECTS
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_files import FILES

# How alike a tag and a subject are that were most likely meant to be the same; others are somebody else's tags.
_ALIKE = 0.7


def check_call(report: Mapping[str, Any], tags: Iterable[str]) -> None:
    """InputError with every problem. report: threshold, formats and directory; tags: of --tags and --skip-tags."""
    problems = [*_report_problems(report), *_tag_problems(tags)]
    if problems:
        raise InputError(problems)


def _report_problems(report: Mapping[str, Any]) -> Iterator[Problem]:
    threshold = report.get("threshold") or "warning"
    if threshold not in SEVERITIES:
        yield Problem("tcp_drift_threshold", "%r is none" % threshold, "one of: %s" % ", ".join(SEVERITIES))
    given = report.get("formats") or []
    formats = [name.strip() for name in given.split(",")] if isinstance(given, str) else list(given)
    for name in formats:
        if name not in FILES:
            yield Problem("tcp_drift_formats", "%r is none" % name, "one of: %s" % ", ".join(FILES))
    directory = str(report.get("directory") or "")
    if directory and os.path.exists(directory) and not os.path.isdir(directory):
        yield Problem("tcp_drift_directory", "%s is a file" % directory, "name a folder, or one that is yet to be made")


def _tag_problems(tags: Iterable[str]) -> Iterator[Problem]:
    known = [name for name in SUBJECTS if name != "host"]
    for tag in tags:
        close = difflib.get_close_matches(tag, known, n=1, cutoff=_ALIKE)
        if tag not in known and close:
            yield Problem("--tags", "there is no subject %s" % tag, "did you mean %s?" % close[0])
