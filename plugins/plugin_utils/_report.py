# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The outcome of a check over a fleet as data, from which every format of report is written. Pure.

Runs on the controller alone. The JSON report is this data as it stands (see docs/schemas/), so an earlier report can be
read back and compared.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Dict, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import NOT_ENOUGH as NOT_ENOUGH_TRAFFIC
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding, from_wire, to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._rules import at_least
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_kinds import (
    DRIFT,
    DRIFT_CHECK,
    FAILED,
    IN_STEP,
    KINDS,
    NOT_ENOUGH,
    UNREACHABLE,
    Kind,
)

__all__ = ["DRIFT", "FAILED", "IN_STEP", "NOT_ENOUGH", "UNREACHABLE"]
FORMAT = 1


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
class Measure:
    """What was measured, by the subject and key that its finding has where it does not meet its target.

    value, low, high, target: in unit, null where there is none; between low and high it is, each with 95 % confidence.
    most: whether the target is the most that is allowed, or the least. size: of how many things it is the measure;
    needed: how many would do if nothing were wrong. verdict: met, not met or not enough traffic; empty: no target.
    """

    subject: str
    key: str
    verdict: str
    value: Optional[float] = None
    low: Optional[float] = None
    high: Optional[float] = None
    target: Optional[float] = None
    unit: str = "%"
    most: bool = True
    size: int = 0
    needed: int = 0
    things: str = ""


@dataclass(frozen=True)
class HostMeasure(Measure):
    """A measure of one host."""

    host: str = ""


@dataclass(frozen=True)
class GroupMeasure(Measure):
    """A measure of all hosts of a group together, but for those where it is waived.

    target: null where hosts have different ones. verdicts: how many hosts have which; "waived" for those left out.
    outside: the hosts that do not meet their target.
    """

    group: str = ""
    verdicts: Dict[str, int] = field(default_factory=dict)
    outside: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """A check over a fleet. started and finished: RFC 3339, UTC. threshold: the severity from which a finding counts.

    findings are ordered by host, in the order of hosts. comparison: with an earlier report, where one was given. check:
    the name of its kind. measures: what was measured on each host, where the check measures; groups: on groups.
    """

    started: str
    finished: str
    threshold: str
    hosts: Tuple[HostState, ...]
    findings: Tuple[Finding, ...]
    version: str = ""
    subjects: Tuple[str, ...] = ()
    comparison: Optional[Comparison] = None
    check: str = DRIFT_CHECK.name
    measures: Tuple[HostMeasure, ...] = ()
    groups: Tuple[GroupMeasure, ...] = ()

    @property
    def kind(self) -> Kind:
        """Which kind of check it is."""
        return KINDS[self.check]

    def by_status(self, status: str) -> Tuple[HostState, ...]:
        """The hosts of one status."""
        return tuple(host for host in self.hosts if host.status == status)

    def counts(self, finding: Finding) -> bool:
        """Whether a finding counts (as drift): not waived, and at least as severe as the threshold."""
        return finding.waiver is None and at_least(finding.severity, self.threshold)


def identity(finding: Finding) -> Tuple[str, str, str, str]:
    """What makes two findings of two reports the same one."""
    return finding.host, finding.rule, finding.subject, finding.key


def compare(earlier: Report, now: Report) -> Comparison:
    """What is new, gone and still there since an earlier report.

    Of hosts that were not asked now (another -l, unreachable), and of subjects that were not, nothing is gone; nor is
    what was only waived since, or what there is too little to judge by now.
    """
    asked = {host.name for host in now.hosts if host.status in (IN_STEP, DRIFT, NOT_ENOUGH)}
    unsure = {(entry.host, entry.subject, entry.key) for entry in now.measures if entry.verdict == NOT_ENOUGH_TRAFFIC}
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
            if key not in present
            and finding.host in asked - unasked
            and finding.subject in subjects
            and (finding.host, finding.subject, finding.key) not in unsure
        ),
        still=tuple(finding for key, finding in after.items() if key in before),
    )


def _open(findings: Iterable[Finding]) -> Iterable[Finding]:
    return (finding for finding in findings if finding.waiver is None)


def to_data(report: Report) -> Dict[str, Any]:
    """The report as JSON data. A check that measures nothing has no word of that."""
    data = {"format": FORMAT, **to_wire(report)}
    for host in data["hosts"]:
        host["status"] = report.kind.statuses[host["status"]]
    if report.check == DRIFT_CHECK.name:
        for name in ("check", "measures", "groups"):
            del data[name]
    return data


def from_data(data: Any, check: str = DRIFT_CHECK.name) -> Report:
    """The inverse of to_data; ValueError where it is none of ours, of another kind, or of another format."""
    if not isinstance(data, dict) or data.get("format") != FORMAT or data.get("check", DRIFT_CHECK.name) != check:
        raise ValueError("it is not a %s report of format %d" % (check, FORMAT))
    try:
        report = from_wire(Report, {key: value for key, value in data.items() if key != "format"})
    except TypeError as error:
        raise ValueError("a part of it is missing") from error
    called = {name: status for status, name in report.kind.statuses.items()}
    unknown = [host.status for host in report.hosts if host.status not in called]
    if unknown:
        raise ValueError("a host has a status that is none: %s" % unknown[0])
    return replace(report, hosts=tuple(replace(host, status=called[host.status]) for host in report.hosts))
