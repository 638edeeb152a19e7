# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what hosts have counted to measures of hosts and of groups, with their verdicts. Pure; on the controller alone.

A group is judged by all that its hosts have counted, as one host is: those that have too little traffic each may have
enough together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Dict, Iterator, List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._counters import COUNTED_BY
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import (
    MET,
    NOT_ENOUGH,
    NOT_MET,
    Counted,
    Indicator,
    Rtt,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._health_targets import BY_PROFILE
from ansible_collections.netfleet.tcp.plugins.module_utils._indicators import (
    MEASURES,
    indicators,
    judged_rtt,
    pooled_rtt,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._model import from_wire, to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._socket_tally import FEWEST_CONNECTIONS
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import (
    GroupMeasure,
    HostMeasure,
    Measure,
    Report,
)

RTT = "rtt"
WAIVED = "waived"
NO_PROFILE = "no profile"
_THINGS = {
    "client_success": "connections opened",
    "server_success": "connections to it",
    "retransmission": "segments",
    "syn_retransmission": "connections",
}


@dataclass(frozen=True)
class Looked:
    """What of a look at a host is kept for the report of all. rtts: by class of peers."""

    counters: Dict[str, int] = field(default_factory=dict)
    indicators: Dict[str, Indicator] = field(default_factory=dict)
    rtts: Dict[str, Rtt] = field(default_factory=dict)

    def measures(self, host: str) -> Tuple[HostMeasure, ...]:
        """What was measured on the host; of classes that nobody is in and that have no target, nothing is said."""
        found = [_of_indicator(name, entry) for name, entry in self.indicators.items()]
        found += [_of_rtt(name, rtt) for name, rtt in self.rtts.items() if rtt.target is not None or rtt.connections]
        return tuple(HostMeasure(**to_wire(entry), host=host) for entry in found)


@dataclass(frozen=True)
class Member:
    """A host as its groups see it. waived: subject and key of what is tolerated there."""

    name: str
    looked: Looked
    waived: frozenset[Tuple[str, str]] = frozenset()


def looked(answer: Mapping[str, Any]) -> Looked:
    """What is kept of the result of netfleet.tcp.tcp_health_info."""
    counters = answer["counted"]["counters"]
    return Looked(
        {name: counters[name] for name in COUNTED_BY.values() if name in counters},
        {name: from_wire(Indicator, entry) for name, entry in answer["indicators"].items()},
        {name: from_wire(Rtt, entry["rtt"]) for name, entry in answer["sockets"]["peers"].items()},
    )


def with_measures(
    report: Report, answers: Mapping[str, Optional[Mapping[str, Any]]], asked_for: Sequence[str]
) -> Report:
    """The report with what was measured on its hosts, and on groups: those of each profile, and others asked for."""
    looks = {
        name: from_wire(Looked, answer[report.check]["looked"])
        for name, answer in answers.items()
        if answer and (answer.get(report.check) or {}).get("looked")
    }
    tolerated: Dict[str, set[Tuple[str, str]]] = {
        name: {(str(subject), str(key)) for subject, key in (answers[name] or {})[report.check].get("tolerated", ())}
        for name in looks
    }
    for finding in report.findings:
        if finding.waiver:
            tolerated.setdefault(finding.host, set()).add((finding.subject, finding.key))
    groups: Dict[str, List[Member]] = {name: [] for name in (*BY_PROFILE, NO_PROFILE, *asked_for)}
    for host in report.hosts:
        if host.name in looks:
            member = Member(host.name, looks[host.name], frozenset(tolerated.get(host.name, ())))
            own = host.profile if host.profile in BY_PROFILE else NO_PROFILE
            for group in dict.fromkeys((own, *(name for name in asked_for if name in (*host.groups, "all")))):
                groups[group].append(member)
    subjects = set(report.subjects)
    return replace(
        report,
        measures=tuple(
            measure for name, look in looks.items() for measure in look.measures(name) if measure.subject in subjects
        ),
        groups=tuple(measure for measure in group_measures(groups) if measure.subject in subjects),
    )


def group_measures(groups: Mapping[str, Sequence[Member]]) -> Tuple[GroupMeasure, ...]:
    """A measure of each group by each indicator that it has, in the order of the groups."""
    return tuple(measure for name, members in groups.items() for measure in _of_group(name, members))


def _of_group(group: str, members: Sequence[Member]) -> Iterator[GroupMeasure]:
    for name in MEASURES:
        having = [member for member in members if name in member.looked.indicators]
        if having:
            counting, waived = _counting(having, (name, name))
            target = _same(member.looked.indicators[name].target for member in counting)
            summed = _summed(member.looked.counters for member in counting)
            pooled, _lacking = indicators(Counted("", 0.0, summed), {} if target is None else {name: target})
            verdicts = {member.name: member.looked.indicators[name].verdict for member in counting}
            measure = _of_indicator(name, pooled[name]) if name in pooled else Measure(name, name, "")
            yield _grouped(group, measure, verdicts, waived)
    for name in dict.fromkeys(name for member in members for name in member.looked.rtts):
        having = [member for member in members if name in member.looked.rtts]
        counting, waived = _counting(having, (RTT, name))
        rtts = {member.name: member.looked.rtts[name] for member in counting}
        target = _same(rtt.target for rtt in rtts.values())
        pooled_one = judged_rtt(pooled_rtt(list(rtts.values())), target)
        if target is not None or pooled_one.connections or waived:
            verdicts = {host: rtt.verdict for host, rtt in rtts.items()}
            yield _grouped(group, _of_rtt(name, pooled_one), verdicts, waived)


def _counting(members: Sequence[Member], what: Tuple[str, str]) -> Tuple[List[Member], int]:
    """The members that count, and how many are tolerated as they are."""
    counting = [member for member in members if what not in member.waived]
    return counting, len(members) - len(counting)


def _same(targets: Iterable[Optional[float]]) -> Optional[float]:
    found = set(targets)
    return found.pop() if len(found) == 1 else None


def _summed(counters: Iterable[Mapping[str, int]]) -> Dict[str, int]:
    found: Dict[str, int] = {}
    for own in counters:
        for name, value in own.items():
            found[name] = found.get(name, 0) + value
    return found


def _grouped(group: str, measure: Measure, verdicts: Mapping[str, str], waived: int) -> GroupMeasure:
    order = (MET, NOT_MET, NOT_ENOUGH, "")
    counts = {word: list(verdicts.values()).count(word) for word in order}
    return GroupMeasure(
        **to_wire(measure),
        group=group,
        verdicts={word: count for word, count in (*counts.items(), (WAIVED, waived)) if count},
        outside=tuple(host for host, verdict in verdicts.items() if verdict == NOT_MET),
    )


def _of_indicator(name: str, found: Indicator) -> Measure:
    return Measure(
        subject=name,
        key=name,
        verdict=found.verdict,
        value=found.percent,
        low=found.low,
        high=found.high,
        target=found.target,
        most=not MEASURES[name].success,
        size=found.denominator,
        needed=found.needed,
        things=_THINGS[name],
    )


def _of_rtt(name: str, rtt: Rtt) -> Measure:
    return Measure(
        subject=RTT,
        key=name,
        verdict=rtt.verdict,
        value=rtt.mean,
        low=rtt.low,
        high=rtt.high,
        target=rtt.target,
        unit="ms",
        size=rtt.connections,
        needed=FEWEST_CONNECTIONS,
        things="connections",
    )
