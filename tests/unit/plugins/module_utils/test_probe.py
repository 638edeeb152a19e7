# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A probe, with a network in memory: what is counted of its connections, and what is found."""

from __future__ import annotations

import errno
from typing import Any, Callable, Sequence

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding
from ansible_collections.netfleet.tcp.plugins.module_utils._probe import Network, asked_from, probe
from ansible_collections.netfleet.tcp.plugins.module_utils._probe_findings import REASONS, findings, reason_of
from ansible_collections.netfleet.tcp.plugins.module_utils._probe_model import TIMEOUT, UNKNOWN_NAME, Attempt, Probed
from tests.unit.plugins.fake_system import FakeSystem

WELL = Attempt("", 0.002, 1500, 0, True)
SLOW = Attempt("", 1.002, 0, 1, True)
NARROW = Attempt("", 0.002, 1500, 0, False)
ADDRESSES = {"a": "10.0.0.1", "b": "10.0.0.2", "c": "192.0.2.3"}


class ANetwork:
    """What becomes of connections, by address; all is well where nothing is said. paths: the largest packets."""

    def __init__(self, attempts: "dict[str, Sequence[Attempt]] | None" = None, mtu: int = 1500) -> None:
        self.attempts = attempts or {}
        self.paths: "dict[str, int]" = {}
        self.told: "set[str]" = set()
        self.mtu = mtu
        self.echoes = 0

    def connect(
        self, places: "Sequence[tuple[str, int]]", attempts: int, _timeout: float, _pause: float, _at_once: int
    ) -> "list[list[Attempt]]":
        return [[*self.attempts.get(address, []), *[WELL] * attempts][:attempts] for address, _port in places]

    def echo(self, asked: "Sequence[tuple[str, int]]", _seconds: float) -> "dict[tuple[str, int], float]":
        self.echoes += 1
        return {(address, size): 0.001 for address, size in asked if size <= self.paths.get(address, self.mtu)}

    def mtus(self, addresses: Sequence[str]) -> "dict[str, int]":
        known = self.told if self.echoes else set()
        return {address: self.paths[address] if address in known else self.mtu for address in addresses}


def probed(network: ANetwork, system: "FakeSystem | None" = None, **given: Any) -> Probed:
    options = {
        "to": [{"name": name, "address": address, "port": 22} for name, address in ADDRESSES.items()],
        "attempts": 10,
        "timeout": 3.0,
        "mtu": True,
        "peers": {"local": ["10.0.0.0/8"]},
        "targets": {},
        "rtt_targets": {},
        **given,
    }
    system = system or FakeSystem()
    system.hosts = {**{address: [address] for address in ADDRESSES.values()}, **system.hosts}
    return probe(system, Network(network.connect, network.echo, network.mtus), asked_from(options))


def only(found: Probed) -> Finding:
    (one,) = findings(found)
    return one


def test_all_is_well() -> None:
    found = probed(ANetwork())
    assert findings(found) == ()
    assert (found.indicators["client_success"].numerator, found.indicators["client_success"].verdict) == (
        30,
        "not enough traffic",
    )
    assert sorted(found.indicators) == ["client_success", "syn_retransmission"]
    assert (found.rtts["local"].connections, found.rtts["local"].mean, found.rtts["other"].connections) == (20, 1.5, 10)
    assert found.destinations[0].route_mtu == found.destinations[0].path_mtu == 1500
    assert found.limits == ()


def test_enough_attempts_meet_the_target() -> None:
    assert (
        probed(ANetwork(), attempts=200, targets={"client_success": 99.0}).indicators["client_success"].verdict == "met"
    )


CASES: "dict[str, tuple[list[Attempt], str]]" = {
    "dropped": ([Attempt(TIMEOUT, 3.0, 0, 1)] * 10, "10 without an answer in time; likely because a firewall drops"),
    "lost": ([Attempt(TIMEOUT, 3.0, 0, 1)] * 2, "2 without an answer in time; likely because packets are lost"),
    "refused": ([Attempt("ECONNREFUSED")] * 10, "10 refused; likely because nothing listens"),
    "refused at times": ([Attempt("ECONNREFUSED")] * 3, "3 refused; likely because what listens there restarts"),
    "rejected": (
        [*[Attempt("ECONNREFUSED")] * 2, *[Attempt(TIMEOUT)] * 8],
        "2 refused, 8 without an answer in time; likely because nothing listens",
    ),
    "no route": ([Attempt("EHOSTUNREACH")] * 10, "10 with no way there; likely because there is no route"),
    "no ports": ([Attempt("EADDRNOTAVAIL")] * 5, "5 for want of a local port"),
    "forbidden": ([Attempt("EACCES")] * 10, "10 forbidden; likely because something on this host"),
    "seldom": ([Attempt("EPROTO")] * 10, "10 with another error (EPROTO); likely because of an error that is seldom"),
}


@pytest.mark.parametrize("name", CASES)
def test_why_connections_fail(name: str) -> None:
    attempts, words = CASES[name]
    finding = only(probed(ANetwork({"10.0.0.2": attempts})))
    assert (finding.rule, finding.key, finding.subject) == ("probe-connect", "b:22", "client_success")
    assert words in finding.reason
    assert finding.cure


def test_where_nothing_gets_anywhere_the_fault_is_near() -> None:
    nobody = [Attempt(TIMEOUT)] * 10
    found = findings(probed(ANetwork(dict.fromkeys(ADDRESSES.values(), nobody))))
    assert len(found) == 3
    assert all("reaches none of its 3 destinations" in each.reason for each in found)


def test_a_name_without_an_address() -> None:
    found = probed(ANetwork(), to=[{"name": "", "address": "db.invalid", "port": 5432}])
    assert (found.destinations[0].address, found.destinations[0].failures) == ("", {UNKNOWN_NAME: 10})
    assert only(found).key == "db.invalid:5432"


def test_failures_that_only_all_together_are_too_many() -> None:
    one = [Attempt(TIMEOUT)]
    found = probed(ANetwork({"10.0.0.1": one, "10.0.0.2": one}), targets={"client_success": 98.0}, attempts=50)
    assert findings(found) == ()
    found = probed(ANetwork(dict.fromkeys(ADDRESSES.values(), one * 2)), targets={"client_success": 98.7}, attempts=50)
    assert (only(found).key, only(found).running) == ("client_success", "96 % (92.11 to 98.26 %)")


def test_syns_that_are_sent_again() -> None:
    finding = only(probed(ANetwork({"10.0.0.1": [SLOW] * 6})))
    assert (finding.rule, finding.key) == ("probe-syn-retransmission", "a:22")
    assert "6 SYNs were sent again for 10 connections; the slowest took 1002 ms" in finding.reason
    # Of a SYN that was sent twice the RTT is not known.
    assert probed(ANetwork({"10.0.0.1": [SLOW] * 6})).rtts["local"].connections == 14


def test_lost_everywhere_a_little_is_lost_here() -> None:
    found = probed(ANetwork({key: [SLOW, SLOW] for key in ADDRESSES.values()}))
    assert (only(found).key, "near this host" in only(found).reason) == ("syn_retransmission", True)


def test_a_long_way() -> None:
    far = [Attempt("", 0.06, 60_000, 0, True)] * 10
    found = only(probed(ANetwork({"10.0.0.2": far}), rtt_targets={"local": 5.0}))
    assert (found.rule, found.key, found.intended) == ("probe-rtt", "local", "less than 5 ms")
    assert "the longest to b (60 ms), a (1.5 ms); likely because a few of them are farther" in found.reason


def test_no_window_scale() -> None:
    found = only(probed(ANetwork({"10.0.0.1": [NARROW] * 10})))
    assert (found.rule, found.key, found.severity) == ("probe-window-scale", "a:22", "warning")


def test_large_packets_that_vanish_are_found_and_those_that_a_router_tells_of_are_not() -> None:
    network = ANetwork()
    network.paths = {"10.0.0.2": 1300}
    found = only(probed(network))
    assert (found.rule, found.key, found.intended, found.running) == ("probe-mtu", "b:22", "1500 bytes", "1292 bytes")
    network = ANetwork()
    network.paths, network.told = {"10.0.0.2": 1300}, {"10.0.0.2"}
    assert findings(probed(network)) == ()


def test_who_takes_no_connection_is_sent_no_echo_and_neither_are_others_without_root() -> None:
    network = ANetwork(dict.fromkeys(ADDRESSES.values(), [Attempt("ECONNREFUSED")] * 10))
    probed(network)
    assert network.echoes == 0
    system = FakeSystem()
    system.root = False
    found = probed(ANetwork(), system)
    assert found.limits == ("mtu: only root may send the echoes that find the MTU of a path (become)",)


def test_the_same_destination_is_called_once() -> None:
    twice = [{"name": "a", "address": "10.0.0.1", "port": 22}] * 2
    assert len(probed(ANetwork(), to=twice).destinations) == 1


def test_each_error_has_one_reason() -> None:
    errors = [error for reason in REASONS for error in reason.errors]
    assert len(errors) == len(set(errors))
    assert [error for error in errors if error not in (TIMEOUT, UNKNOWN_NAME) and not hasattr(errno, error)] == []
    assert reason_of("EPROTO") is REASONS[-1]
    lacking: "Callable[[str], bool]" = lambda text: not text  # noqa: E731
    assert not [reason for reason in REASONS if any(map(lacking, (*reason.always, *reason.sometimes)))]
