# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is outside its target becomes a finding with a likely cause; a healthy host has none."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils import _rules as rules
from ansible_collections.netfleet.tcp.plugins.module_utils._health import Asked, look
from ansible_collections.netfleet.tcp.plugins.module_utils._health_causes import CAUSES, likely_causes
from ansible_collections.netfleet.tcp.plugins.module_utils._health_findings import findings
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import Health
from ansible_collections.netfleet.tcp.plugins.module_utils._health_targets import TARGETS
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding
from tests.unit.plugins.recorded_sockets import DONE, TIME_WAIT, SocketHost, listener, message, tcp_info

PEERS = {"local": ["10.1.0.0/24"], "cloud": ["10.2.0.0/24"]}
WELL = {
    "TcpActiveOpens": 20_000,
    "TcpPassiveOpens": 20_000,
    "TcpAttemptFails": 2,
    "TcpRetransSegs": 120,
    "TcpExtEmbryonicRsts": 0,
    "TcpExtListenDrops": 0,
    "TcpExtListenOverflows": 0,
    "TcpExtTCPSynRetrans": 20,
    "TcpExtTCPOrigDataSent": 1_000_000,
    "TcpExtTCPReqQFullDrop": 0,
    "TcpExtTCPDSACKRecv": 1,
    "TcpExtSyncookiesRecv": 0,
}


def connections(network: str, number: int = 20, **fields: int) -> list[bytes]:
    """Connections to peers of a class, each used a moment ago."""
    info = tcp_info(**{"rtt": 1000, "min_rtt": 900, "segments": 10_000, **fields})
    return [message((network + "1", 40000 + each), (network + "2", 443), info=info) for each in range(number)]


def a_look(
    counters: dict[str, int] | None = None,
    sockets: Iterable[bytes] = (),
    listening: Iterable[bytes] = (),
    sysctls: dict[str, str] | None = None,
    only: Iterable[bytes] | None = None,
) -> Health:
    system = SocketHost(recorded=False)
    system.count(**{**WELL, **(counters or {})})
    system.sysctls.update({"net.ipv4.tcp_window_scaling": "1", **(sysctls or {})})
    usual = [*connections("10.1.0."), *connections("10.2.0.")] if only is None else only
    system.answer(socket.AF_INET, "others", *usual, *sockets, DONE)
    system.answer(socket.AF_INET, "listening", *listening, DONE)
    return look(system, Asked(peers=PEERS, targets=TARGETS, rtt_targets={"local": 5.0, "cloud": 50.0}))


def the_finding(rule: str, **looked: Any) -> Finding:
    (found,) = [finding for finding in findings(a_look(**looked)) if finding.rule == rule]
    return found


def test_a_healthy_host_has_no_finding() -> None:
    health = a_look(listening=[listener(443, 11, backlog=100, limit=128)])
    assert {found.verdict for found in health.indicators.values()} == {"met"}
    assert health.sockets.peers["cloud"].rtt.verdict == "met"
    assert findings(health) == ()


def test_of_what_is_too_little_nothing_is_said() -> None:
    assert findings(a_look(dict.fromkeys(WELL, 1))) == ()


def test_what_a_finding_says() -> None:
    found = the_finding(rules.HEALTH_CLIENT, counters={"TcpAttemptFails": 400})
    assert (found.subject, found.key, found.severity) == ("client_success", "client_success", "error")
    assert found.reason.startswith("19600 of 20000 connections opened from here were established in 1000 s; likely")
    assert found.intended == "more than 99.9 %"
    assert found.running == "98 % (97.83 to 98.16 %)"
    assert "refused" in found.reason
    assert found.cure


def test_who_drops_connections_is_named() -> None:
    listening = [listener(80, 1, drops=3), listener(443, 2, drops=5_000), listener(22, 3)]
    found = the_finding(rules.HEALTH_SERVER, counters={"TcpExtListenDrops": 5_000}, listening=listening)
    assert "; a listener on port 443 has dropped 5000 since it listens; likely" in found.reason


SYNS = {"TcpExtTCPSynRetrans": 9_000, "TcpRetransSegs": 9_100}
LOSS = {"TcpRetransSegs": 30_000}
FULL_TABLE = {"net.netfilter.nf_conntrack_count": "65500", "net.netfilter.nf_conntrack_max": "65536"}
DROPS = {"TcpExtListenDrops": 5_000}
SYN_RECEIVED = [message(("10.1.0.1", 443), ("10.1.0.2", each), 3) for each in range(5)]


@pytest.mark.parametrize(
    ("rule", "looked", "word"),
    [
        (rules.HEALTH_CLIENT, {"counters": {"TcpAttemptFails": 400, **SYNS}}, "SYNs get no answer"),
        (rules.HEALTH_CLIENT, {"counters": {"TcpAttemptFails": 400}, "sysctls": FULL_TABLE}, "tracking table is full"),
        (rules.HEALTH_SYN, {"counters": SYNS}, "only SYNs are lost: a firewall"),
        (rules.HEALTH_SYN, {"counters": SYNS, "sysctls": FULL_TABLE}, "tracking table is full"),
        (rules.HEALTH_SYN, {"counters": {**SYNS, "TcpRetransSegs": 39_000}}, "data is lost as well"),
        (rules.HEALTH_SYN, {"counters": SYNS, "sockets": SYN_RECEIVED}, "clients do not answer"),
        # A full queue drops the last acknowledgement of a handshake, so that SYN-ACKs are sent again.
        (
            rules.HEALTH_SYN,
            {"counters": {**SYNS, **DROPS, "TcpExtListenOverflows": 5_000}, "sockets": SYN_RECEIVED},
            "a listener's queue of connections to accept is full here",
        ),
        (rules.HEALTH_SERVER, {"counters": {**DROPS, "TcpExtListenOverflows": 5_000}}, "accepts slowly, or asked"),
        (
            rules.HEALTH_SERVER,
            {"counters": {**DROPS, "TcpExtListenOverflows": 5_000}, "listening": [listener(443, 1, 9, 4096, 5_000)]},
            "as long as net.core.somaxconn",
        ),
        (
            rules.HEALTH_SERVER,
            {
                "counters": {**DROPS, "TcpExtListenOverflows": 5_000},
                "listening": [listener(443, 1, 9, 128, 5_000), listener(80, 2, 0, 4096)],
            },
            "accepts slowly, or asked",
        ),
        (rules.HEALTH_SERVER, {"counters": {**DROPS, "TcpExtTCPReqQFullDrop": 9}}, "half-open"),
        (rules.HEALTH_SERVER, {"counters": DROPS}, "queues have room"),
        (rules.HEALTH_RETRANSMISSION, {"counters": LOSS}, "to all peers"),
        (
            rules.HEALTH_RETRANSMISSION,
            {"counters": LOSS, "sockets": connections("10.2.0.", 30, retransmitted=900)},
            "only connections to peers of one class",
        ),
        (
            rules.HEALTH_RETRANSMISSION,
            {
                "counters": LOSS,
                "sockets": [each for net in ("10.1.0.", "10.2.0.") for each in connections(net, 9, retransmitted=900)],
            },
            "to all peers",
        ),
        (rules.HEALTH_RETRANSMISSION, {"counters": {**LOSS, "TcpExtTCPDSACKRecv": 20_000}}, "were not needed"),
        (rules.HEALTH_RTT, {"sockets": connections("10.1.0.", 80, rtt=20_000)}, "queues on the way"),
        (rules.HEALTH_RTT, {"sockets": connections("10.1.0.", 80, rtt=20_000, min_rtt=19_000)}, "the way itself"),
        (rules.HEALTH_RTT, {"sockets": connections("10.1.0.", 15, rtt=200_000)}, "a few are far beyond"),
        (rules.HEALTH_WINDOW_SCALE, {"sockets": connections("10.2.0.", 1, options=3)}, "the peer does not offer it"),
        (
            rules.HEALTH_WINDOW_SCALE,
            {"sockets": connections("10.2.0.", 1, options=3), "sysctls": {"net.ipv4.tcp_window_scaling": "0"}},
            "is 0 here",
        ),
        (
            rules.HEALTH_WINDOW_SCALE,
            {"sockets": connections("10.2.0.", 1, options=3), "counters": {"TcpExtSyncookiesRecv": 5}},
            "SYN cookies",
        ),
        (rules.HEALTH_BACKLOG, {"listening": [listener(443, 11, 129, 128)]}, "accepts slowly"),
        (rules.HEALTH_BACKLOG, {"listening": [listener(443, 11, 4097, 4096)]}, "net.core.somaxconn"),
    ],
)
def test_the_likely_cause(rule: str, looked: dict[str, Any], word: str) -> None:
    found = the_finding(rule, **looked)
    assert word in found.reason
    assert found.cure


def test_where_spurious_retransmissions_and_loss_mix_both_causes_are_named() -> None:
    """Of 29,980 segments sent again 18,000 were not needed; the others are beyond the target by themselves."""
    lossy = connections("10.2.0.", 20, retransmitted=900)
    mixed = {**LOSS, "TcpExtTCPDSACKRecv": 18_000}
    found = the_finding(rules.HEALTH_RETRANSMISSION, counters=mixed, sockets=lossy)
    assert "likely because most were not needed" in found.reason
    assert "; and only connections to peers of one class lose segments" in found.reason
    assert "several paths" in found.cure
    assert "follow that path" in found.cure


def test_a_part_that_was_not_needed_is_named_too() -> None:
    found = the_finding(rules.HEALTH_RETRANSMISSION, counters={**LOSS, "TcpExtTCPDSACKRecv": 9_000})
    assert "likely because a part of them was not needed" in found.reason
    assert "; and connections to all peers lose segments" in found.reason


def test_a_path_is_not_blamed_for_what_was_not_lost() -> None:
    """The rest, 2,980 of a million, is within the target."""
    lossy = connections("10.2.0.", 20, retransmitted=900)
    found = the_finding(rules.HEALTH_RETRANSMISSION, counters={**LOSS, "TcpExtTCPDSACKRecv": 27_000}, sockets=lossy)
    assert "were not needed" in found.reason
    assert "path" not in found.reason


def waiting(address: str, number: int) -> list[bytes]:
    return [message((address, 32768 + each), (address, 6379), TIME_WAIT) for each in range(number)]


@pytest.mark.parametrize(("number", "said"), [(100, False), (799, False), (800, True), (1000, True)])
def test_local_ports_that_get_scarce(number: int, said: bool) -> None:
    sysctls = {"net.ipv4.ip_local_port_range": "32768 33767"}
    found = findings(a_look(sockets=waiting("127.0.0.1", number), sysctls=sysctls))
    assert [finding.rule for finding in found] == [rules.HEALTH_PORTS] * said
    if said:
        assert found[0].key == "127.0.0.1->127.0.0.1:6379"
        assert found[0].reason.startswith(
            "%d of 1000 local ports are taken, %d of them in TIME-WAIT" % (number, number)
        )
        assert "to a service on this host" in found[0].reason
        assert "UNIX domain socket" in found[0].cure


def test_local_ports_to_another_host_have_another_cause() -> None:
    sockets = [message(("10.1.0.1", 32768 + each), ("10.1.0.2", 6379), TIME_WAIT) for each in range(900)]
    found = the_finding(rules.HEALTH_PORTS, sockets=sockets, sysctls={"net.ipv4.ip_local_port_range": "32768 33767"})
    assert "short connections to one service" in found.reason


def test_each_rule_has_a_cause_that_always_applies_and_a_text() -> None:
    health = a_look()
    for rule, causes in CAUSES.items():
        assert rules.RULE_INDEX[rule] in rules.HEALTH_RULES
        assert causes[-1].applies(health, "local")
        assert all(cause.because and cause.cure for cause in causes)
        assert set(likely_causes(rule, health, "local")) <= set(causes)
    assert set(CAUSES) == {rule.id for rule in rules.HEALTH_RULES} - {rules.HEALTH_LIMIT}
    every = (*rules.RULES, *rules.HEALTH_RULES, *rules.PROBE_RULES, *rules.DIAGNOSE_RULES)
    assert len(rules.RULE_INDEX) == len(every), "an id is used twice"


def test_nobody_is_told_to_recycle_time_wait() -> None:
    assert not [cause for causes in CAUSES.values() for cause in causes if "tw_recycle" in cause.cure]


def test_listeners_that_share_a_port_are_one_finding() -> None:
    """Workers with SO_REUSEPORT have a queue each: reports tell findings apart by rule and key."""
    queues = [listener(80, 20 + each, backlog=9 + each, limit=8) for each in range(3)]
    found = the_finding(rules.HEALTH_BACKLOG, listening=queues)
    assert found.key == "80"
    assert found.reason.startswith("11 connections wait"), "of the fullest"
    assert "3 of its listening sockets" in found.reason


def test_which_class_loses_is_said_and_a_few_segments_to_another_prove_nothing() -> None:
    far = connections("10.3.0.", retransmitted=900)
    found = the_finding(rules.HEALTH_RETRANSMISSION, counters=LOSS, sockets=far)
    assert "only connections to peers of one class" in found.reason
    assert "of those open: local 0 % of 200000, cloud 0 % of 200000, other 9 % of 200000" in found.reason
    few = [*connections("10.2.0.", retransmitted=900), *connections("10.1.0.", 1, segments=3)]
    found = the_finding(rules.HEALTH_RETRANSMISSION, counters=LOSS, only=few)
    assert "only connections" not in found.reason
