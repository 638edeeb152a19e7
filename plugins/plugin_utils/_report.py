# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The outcome of a drift check over a fleet as data, from which every format of report is written. Pure.

Runs on the controller alone. The JSON report is this data as it stands (see docs/schemas/drift-report.schema.json),
so an earlier report can be read back and compared.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Dict, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding, from_wire, to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._rules import at_least

FORMAT = 1
IN_STEP = "in_step"
DRIFT = "drift"
UNREACHABLE = "unreachable"
FAILED = "failed"


@dataclass(frozen=True)
class HostState:
    """What a check says of one host. checked: how many things were compared, by subject (empty: host not asked)."""

    name: str
    status: str
    profile: str = ""
    kernel: str = ""
    groups: Tuple[str, ...] = ()
    checked: Dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """The findings of this report and an earlier one: of this report new and still there, of the earlier one gone."""

    earlier: str
    new: Tuple[Finding, ...] = ()
    gone: Tuple[Finding, ...] = ()
    still: Tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Report:
    """A drift check over a fleet. started and finished: RFC 3339, UTC. threshold: the severity from which it is drift.

    findings are ordered by host, in the order of hosts. comparison: with an earlier report, where one was given.
    """

    started: str
    finished: str
    threshold: str
    hosts: Tuple[HostState, ...]
    findings: Tuple[Finding, ...]
    version: str = ""
    subjects: Tuple[str, ...] = ()
    comparison: Optional[Comparison] = None

    def by_status(self, status: str) -> Tuple[HostState, ...]:
        """The hosts of one status."""
        return tuple(host for host in self.hosts if host.status == status)

    def counts(self, finding: Finding) -> bool:
        """Whether a finding is drift: not waived, and at least as severe as the threshold."""
        return finding.waiver is None and at_least(finding.severity, self.threshold)


def identity(finding: Finding) -> Tuple[str, str, str, str]:
    """What makes two findings of two reports the same one."""
    return finding.host, finding.rule, finding.subject, finding.key


def compare(earlier: Report, now: Report) -> Comparison:
    """What is new, gone and still there since an earlier report.

    Of hosts that were not asked now (another -l, unreachable), and of subjects that were not, nothing is gone; nor is
    what was only waived since.
    """
    asked = {host.name for host in now.hosts if host.status in (IN_STEP, DRIFT)}
    unasked = {finding.host for finding in now.findings} - asked
    before = {identity(finding): finding for finding in _open(earlier.findings)}
    after = {identity(finding): finding for finding in _open(now.findings)}
    subjects = set(now.subjects) | {"host"}
    present = {identity(finding) for finding in now.findings}
    return Comparison(
        earlier=earlier.finished,
        new=tuple(finding for key, finding in after.items() if key not in before),
        gone=tuple(
            finding
            for key, finding in before.items()
            if key not in present and finding.host in asked - unasked and finding.subject in subjects
        ),
        still=tuple(finding for key, finding in after.items() if key in before),
    )


def _open(findings: Iterable[Finding]) -> Iterable[Finding]:
    return (finding for finding in findings if finding.waiver is None)


def to_data(report: Report) -> Dict[str, Any]:
    """The report as JSON data."""
    return {"format": FORMAT, **to_wire(report)}


def from_data(data: Any) -> Report:
    """The inverse of to_data; ValueError where it is none of ours, or of another format."""
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ValueError("it is not a drift report of format %d" % FORMAT)
    try:
        return from_wire(Report, {key: value for key, value in data.items() if key != "format"})
    except TypeError as error:
        raise ValueError("a part of it is missing") from error
