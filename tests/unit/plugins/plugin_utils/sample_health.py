# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the check of TCP's health hands on of hosts, for the tests of its reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.netfleet.tcp.plugins.module_utils import _rules as rules
from ansible_collections.netfleet.tcp.plugins.module_utils._counters import COUNTED_BY
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import Counted, Rtt
from ansible_collections.netfleet.tcp.plugins.module_utils._health_targets import TARGETS
from ansible_collections.netfleet.tcp.plugins.module_utils._indicators import indicators, judged_rtt
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding, Waiver, to_wire
from ansible_collections.netfleet.tcp.plugins.plugin_utils._collect import collect
from ansible_collections.netfleet.tcp.plugins.plugin_utils._health_measures import Looked, with_measures
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import Report
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_kinds import HEALTH_CHECK, NOT_ENOUGH

BUSY = {
    "opened": 20_000,
    "accepted": 40_000,
    "failed": 2,
    "segments": 1_000_000,
    "retransmitted": 900,
    "syn_retransmitted": 20,
}
QUIET = {"opened": 500, "accepted": 400, "segments": 3_000}
NOON, MIDNIGHT = 1_795_780_800.0, 1_795_737_600.0


def a_look(counts: dict[str, int], rtt: Rtt | None = None, peers: str = "cloud", target: float = 50.0) -> Looked:
    """A look at a host that has counted this; what is not named it has counted none of."""
    counters = {name: counts.get(field, 0) for field, name in COUNTED_BY.items()}
    found, _lacking = indicators(Counted("interval", 5.0, counters), TARGETS)
    return Looked(counters, found, {peers: judged_rtt(rtt or Rtt(), target)})


def rtt(mean: float, connections: int = 40, deviation: float = 1.0) -> Rtt:
    """An RTT of a host, in milliseconds."""
    margin = 2 * deviation / connections**0.5
    return Rtt(connections, mean, mean, mean, mean, mean - margin, mean + margin, deviation=deviation)


def said(
    looked: Looked, profile: str = "cloud", findings: Sequence[Finding] = (), groups: Sequence[str] = ()
) -> dict[str, Any]:
    """The result of the action health on a host."""
    verdicts = [entry.verdict for entry in looked.measures("")]
    judged = [entry.subject for entry in looked.measures("") if entry.verdict in ("met", "not met")]
    return {
        "health": {
            "status": "asked" if {"met", "not met"} & set(verdicts) else NOT_ENOUGH,
            "profile": profile,
            "kernel": "6.12.9+deb13-amd64",
            "subjects": [name for name in HEALTH_CHECK.subjects if name != "host"],
            "checked": {name: judged.count(name) for name in HEALTH_CHECK.subjects if name in judged},
            "findings": [to_wire(finding) for finding in findings],
            "looked": to_wire(looked),
            "groups": [profile, *groups],
            "asked_at": NOON - 5,
        }
    }


def retransmits(waiver: Waiver | None = None) -> Finding:
    """The finding of too many retransmissions."""
    return Finding(
        subject="retransmission",
        key="retransmission",
        severity="error",
        reason="29980 of 1029980 data segments were retransmissions in 5 s; likely because only connections to peers "
        "of one class lose segments: the path to these",
        intended="less than 0.5 %",
        running="2.911 % (2.82 to 3 %)",
        cure="compare the classes in sockets.peers, then follow that path",
        rule=rules.HEALTH_RETRANSMISSION,
        waiver=waiver,
    )


def answers() -> dict[str, dict[str, Any] | None]:
    """Of five hosts: two well, one that retransmits, one with too little traffic, one that is lost."""
    lossy = a_look({**BUSY, "retransmitted": 30_000}, rtt(12.0))
    return {
        "cloud1": said(a_look(BUSY, rtt(11.0)), groups=("databases",)),
        "cloud2": said(lossy, findings=[retransmits()]),
        "cloud3": said(a_look(QUIET)),
        "local1": said(a_look(BUSY, rtt(0.4, deviation=0.1), "local", 5.0), "local", groups=("databases",)),
        "edge1": {"unreachable": True, "msg": "no route to host"},
    }


def health_report(given: dict[str, dict[str, Any] | None] | None = None, groups: Sequence[str] = ()) -> Report:
    """The report of a check."""
    asked = answers() if given is None else given
    return with_measures(collect(asked, "warning", NOON, "1.1.0", HEALTH_CHECK), asked, groups)
