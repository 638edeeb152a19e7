# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a page must show of a report, worked out from the report itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding
from ansible_collections.netfleet.tcp.plugins.module_utils._rules import RULE_INDEX, SEVERITIES
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import (
    FAILED,
    UNREACHABLE,
    HostState,
    Report,
    identity,
)

LETTERS = {"error": "E", "warning": "W", "note": "N"}


def open_findings(report: Report) -> list[Finding]:
    """The findings that show without any filter."""
    return [finding for finding in report.findings if finding.waiver is None]


def gone(report: Report) -> list[Finding]:
    """The findings of the earlier report that are no more."""
    return list(report.comparison.gone) if report.comparison else []


def is_new(report: Report, finding: Finding) -> bool:
    """Whether the earlier report lacks a finding."""
    comparison = report.comparison
    return comparison is not None and identity(finding) in {identity(other) for other in comparison.new}


def host_of(report: Report, finding: Finding) -> HostState:
    """The host of a finding."""
    return next(host for host in report.hosts if host.name == finding.host)


def has_word(finding: Finding, word: str) -> bool:
    """Whether a search finds it: by its host, by any of its own texts, or by what its rule is called."""
    rule = RULE_INDEX[finding.rule]
    fields = (finding.host, finding.subject, finding.key, finding.severity, finding.reason, finding.intended)
    more = (finding.running, finding.boot, finding.source, finding.owner, finding.cure, finding.takes_effect)
    return any(word.lower() in (text or "").lower() for text in (*fields, *more, rule.id, rule.title))


def groups(findings: Iterable[Finding]) -> Counter[tuple[str, str, str]]:
    """The rows of what is wrong, with the number of hosts in each: one per rule, subject and key."""
    members = {
        (finding.rule, finding.subject, "" if finding.subject == "host" else finding.key, finding.host)
        for finding in findings
    }
    return Counter((rule, subject, key) for rule, subject, key, _ in members)


def letter(report: Report, host: HostState, subject: str) -> str:
    """What the map shows for a host and a subject."""
    if host.status in (UNREACHABLE, FAILED):
        return "?" if host.status == UNREACHABLE else "!"
    found = [finding for finding in report.findings if finding.host == host.name and finding.subject == subject]
    worst = [finding.severity for finding in found if finding.waiver is None]
    if worst:
        return LETTERS[max(worst, key=SEVERITIES.index)]
    return "w" if found else ""
