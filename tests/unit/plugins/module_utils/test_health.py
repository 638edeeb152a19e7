# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A look at TCP's health as a whole: the recorded host, and hosts on which something cannot be looked at."""

from __future__ import annotations

import json
import socket
import struct
from dataclasses import replace

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError
from ansible_collections.netfleet.tcp.plugins.module_utils._health import Asked, available_ports, look, sample
from ansible_collections.netfleet.tcp.plugins.module_utils._health_asked import asked_from
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import (
    BOOT,
    INTERVAL,
    NOT_ENOUGH,
    SAMPLE,
    Health,
    Holder,
    Sample,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._model import from_wire, to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._own_addresses import REQUEST as OWN_REQUEST
from tests.unit.plugins.recorded_sockets import DONE, RECORD, SocketHost, listener, message, tcp_info

V4, V6 = socket.AF_INET, socket.AF_INET6
PEER = ("10.1.0.2", 40000)
GIVEN = {
    "interval": 0.0,
    "since": {},
    "peers": {"local": ["10.1.0.0/24"]},
    "targets": {},
    "rtt_targets": {},
    "top": 10,
}


def test_the_counters_are_those_of_nstat() -> None:
    found = sample(SocketHost())
    printed = dict(line.split() for line in RECORD["nstat"] if not line.startswith("#"))
    assert len(found.counters) > 20
    assert found.counters == {name: int(printed[name]) for name in found.counters}
    assert (found.boot, found.netns) == ("1", "net:[4026531840]")


def test_a_look_goes_from_host_to_controller_and_back() -> None:
    health = look(SocketHost(), asked_from(GIVEN))
    assert from_wire(Health, json.loads(json.dumps(to_wire(health)))) == health
    assert health.counted.since == BOOT
    assert health.indicators["client_success"].denominator == 72
    assert health.sockets.states["LISTEN"] == 3


def test_an_interval_is_counted_from_its_beginning() -> None:
    system = SocketHost(recorded=False)
    system.count(TcpActiveOpens=100, TcpAttemptFails=1)
    slept = [0.0]

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        system.boot("1", 1007.0)
        system.count(TcpActiveOpens=130, TcpAttemptFails=2)

    health = look(system, Asked(interval=7.0), sleep, lambda: sum(slept))
    assert sum(slept) == 7.0
    assert (health.counted.since, health.counted.seconds) == (INTERVAL, 7.0)
    assert health.counted.counters == {"TcpActiveOpens": 30, "TcpAttemptFails": 1}
    assert health.sample.counters["TcpActiveOpens"] == 130


def test_the_sample_of_one_look_is_where_the_next_begins() -> None:
    system = SocketHost(recorded=False)
    system.count(TcpActiveOpens=100, TcpAttemptFails=1)
    first = to_wire(look(system, Asked()).sample)
    system.boot("1", 1600.0)
    system.count(TcpActiveOpens=160, TcpAttemptFails=1)
    health = look(system, asked_from({**GIVEN, "since": json.loads(json.dumps(first))}))
    assert (health.counted.since, health.counted.seconds) == (SAMPLE, 600.0)
    assert health.indicators["client_success"].numerator == 60


def test_a_host_without_counters_is_looked_at_all_the_same() -> None:
    system = SocketHost(recorded=False)
    system.answer(V4, "others", message(("10.1.0.1", 1), PEER, info=tcp_info(rtt=1000)), DONE)
    health = look(system, asked_from(GIVEN))
    assert health.limits[0].startswith("counters: ")
    assert health.indicators == {}
    assert health.sockets.peers["local"].rtt.verdict == NOT_ENOUGH


def test_a_kernel_that_lists_no_sockets() -> None:
    system = SocketHost()
    refused = struct.pack("=IHHIIi", 36, 2, 0, 1, 0, -2) + bytes(16)
    for family in (V4, V6):
        system.answer(family, "listening", refused)
        system.answer(family, "others", refused)
    health = look(system, asked_from(GIVEN))
    assert "sockets: the kernel did not list all of them (has it tcp_diag?)" in health.limits
    assert health.sockets.states == {}
    assert health.indicators["client_success"].denominator == 72


def test_a_list_that_ends_early_is_partial() -> None:
    system = SocketHost(recorded=False)
    system.answer(V6, "others", message(("fd00:1::1", 1), ("fd00:1::2", 80), info=tcp_info(rtt=1000)))
    health = look(system, Asked())
    assert any("did not list all" in said for said in health.limits)
    assert health.sockets.states == {"ESTAB": 1}


def test_who_calls_another_address_of_its_own_has_no_peer() -> None:
    """By loopback too, within microseconds: it says nothing of any network."""
    system = SocketHost(recorded=False)
    system.have("10.1.0.1", "10.1.0.9", "fd00:1::9")
    info = tcp_info(rtt=50, min_rtt=20, retransmitted=3)
    ends = [("10.1.0.1", "10.1.0.9"), ("10.1.0.9", "10.1.0.1"), ("::ffff:10.1.0.1", "::ffff:10.1.0.9")]
    itself = [message((here, 40000), (there, 80), info=info) for here, there in ends]
    system.answer(V4, "others", *itself, message(("10.1.0.1", 1), PEER, info=tcp_info(rtt=1000)), DONE)
    system.answer(V6, "others", message(("fd00:1::1", 1), ("fd00:1::9", 80), info=info), DONE)
    health = look(system, asked_from(GIVEN))
    assert health.sockets.loopback == 4
    local = health.sockets.peers["local"]
    assert (local.connections, local.rtt.mean, local.retransmitted) == (1, 1.0, 0)


def test_own_addresses_that_cannot_be_had_are_said_to_be_unknown() -> None:
    system = SocketHost(recorded=False)
    del system.sockets[OWN_REQUEST]
    health = look(system, asked_from(GIVEN))
    assert any(said.startswith("addresses: ") for said in health.limits)


def interrupted(datagram: bytes) -> bytes:
    return datagram[:6] + struct.pack("=H", struct.unpack_from("=H", datagram, 6)[0] | 0x10) + datagram[8:]


class RestlessHost(SocketHost):
    """Its list of sockets changes while it is read, so many times."""

    def __init__(self, times: int) -> None:
        super().__init__(recorded=False)
        self.times = times
        self.asked = 0

    def sock_diag(self, request: bytes) -> list[bytes]:
        whole = message(("10.1.0.1", 1), PEER, info=tcp_info(rtt=1000))
        if request not in (key for key in self.sockets if self.sockets[key] == [whole, DONE]):
            return super().sock_diag(request)
        self.asked += 1
        return [interrupted(whole) if self.asked <= self.times else whole, DONE]


@pytest.mark.parametrize(("times", "asked", "partial"), [(0, 1, False), (1, 2, False), (2, 3, False), (9, 3, True)])
def test_a_list_that_changed_meanwhile_is_read_again(times: int, asked: int, partial: bool) -> None:
    system = RestlessHost(times)
    system.answer(V4, "others", message(("10.1.0.1", 1), PEER, info=tcp_info(rtt=1000)), DONE)
    health = look(system, Asked())
    assert system.asked == asked
    assert any("changed each time" in said for said in health.limits) == partial
    assert health.sockets.states == {"ESTAB": 1}, "none is counted twice"


def a_server() -> SocketHost:
    """Two services; of one, two workers share the port. The listeners' inodes are 11 to 13."""
    system = SocketHost(recorded=False)
    system.answer(V4, "listening", listener(443, 11) + listener(443, 12), listener(22, 13, backlog=5, limit=5), DONE)
    inbound = [message(("10.1.0.1", 443), ("10.1.0.2", port), info=tcp_info(rtt=1000)) for port in range(3)]
    outbound = message(("10.1.0.1", 50000), ("10.1.0.2", 5432), info=tcp_info(rtt=1000))
    system.answer(V4, "others", *inbound, outbound, DONE)
    system.held = {11: 100, 12: 101, 13: 102}
    for pid, name in ((100, "nginx"), (101, "nginx"), (102, "sshd")):
        system.put("/proc/%d/comm" % pid, name + "\n")
        system.put("/proc/%d/cgroup" % pid, "0::/system.slice/%s.service\n" % name)
    return system


def test_connections_are_counted_by_service_and_whose_it_is() -> None:
    health = look(a_server(), Asked())
    assert health.limits[1:] == (), "there are no counters, and that is all"
    first, second = health.sockets.services
    assert (first.port, first.connections, len(first.holders)) == (443, 3, 1)
    assert (first.holders[0].process, first.holders[0].unit) == ("nginx", "nginx.service")
    assert (second.port, second.connections) == (22, 0)
    assert health.sockets.outgoing == 1
    full = health.sockets.listeners[0]
    assert (full.port, full.backlog, full.limit, full.holder.unit) == (22, 5, 5, "sshd.service")
    assert {each.holder.pid for each in health.sockets.listeners} == {100, 101, 102}


@pytest.mark.parametrize(("root", "why"), [(False, "only root sees it"), (True, "no process that is seen here")])
def test_listeners_that_nobody_is_seen_to_hold(root: bool, why: str) -> None:
    system = a_server()
    system.root = root
    system.held = {11: 100}
    health = look(system, Asked())
    (said,) = [said for said in health.limits if said.startswith("listeners: who holds 2 of 3 is not known")]
    assert why in said
    assert health.sockets.listeners[0].holder == Holder()


def test_lists_are_cut_to_the_longest_few() -> None:
    system = SocketHost(recorded=False)
    system.answer(V4, "listening", *(listener(port, port, backlog=port) for port in range(1, 21)), DONE)
    health = look(system, Asked(top=3))
    assert [each.port for each in health.sockets.listeners] == [20, 19, 18]
    assert [each.port for each in health.sockets.services] == [1, 2, 3]
    assert health.sockets.states == {"LISTEN": 20}


@pytest.mark.parametrize(
    ("limits", "reserved", "available"),
    [
        ("32768\t60999", "", 28232),
        ("32768\t60999", "8080,40000-40009,60999-61010", 28221),
        ("1024\t1024", "1024", 0),
        ("", "", 0),
    ],
)
def test_ports_that_are_reserved_are_not_available(limits: str, reserved: str, available: int) -> None:
    names = ("net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports")
    assert available_ports(dict(zip(names, (limits, reserved)))) == available


def test_what_is_asked_for_is_read_from_the_users_words() -> None:
    asked = asked_from({**GIVEN, "targets": {"retransmission": 1.0}, "interval": 10.0})
    assert asked.targets == {
        "client_success": 99.9,
        "server_success": 99.9,
        "retransmission": 1.0,
        "syn_retransmission": 2.0,
    }
    assert asked.rtt_targets == {"local": 5.0}, "without that of a class that there is not"
    given = {**GIVEN, "peers": {"local": [], "tunnel": []}, "rtt_targets": {"tunnel": 80, "other": "200"}}
    assert asked_from(given).rtt_targets == {"local": 5.0, "tunnel": 80.0, "other": 200.0}
    given = {**GIVEN, "targets": {"retransmission": 0.0}, "peers": {"cloud": []}, "rtt_targets": {"cloud": 0}}
    assert "retransmission" not in asked_from(given).targets, "0 is none"
    assert asked_from(given).rtt_targets == {}
    first = Sample("b", "n", 1.0, {"TcpActiveOpens": 1})
    assert asked_from({**GIVEN, "since": to_wire(first)}).since == first
    assert replace(asked, interval=0.0).since is None


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"interval": -1.0}, "interval"),
        ({"interval": 301.0}, "interval"),
        ({"interval": float("nan")}, "interval"),
        ({"interval": 5.0, "since": {"boot": "b", "netns": "n", "uptime": 1.0, "counters": {}}}, "since"),
        ({"since": {"uptime": 5.0}}, "since"),
        ({"since": {"boot": "b", "netns": "n", "uptime": 1.0, "counters": {"a": "1"}}}, "since"),
        ({"since": {"boot": "b", "netns": "n", "uptime": 1.0, "counters": {}, "more": 1}}, "since"),
        ({"peers": {"local": ["nonsense"]}}, "peers.local[0]"),
        ({"targets": {"client_success": 100.0}}, "targets.client_success"),
        ({"targets": {"retransmission": -0.1}}, "targets.retransmission"),
        ({"rtt_targets": {"local": "fast"}}, "rtt_targets.local"),
        ({"rtt_targets": {"local": -1}}, "rtt_targets.local"),
        ({"rtt_targets": {"locl": 5}}, "rtt_targets.locl"),
        ({"top": 0}, "top"),
        ({"top": 101}, "top"),
    ],
)
def test_what_cannot_be_meant_is_refused(given: dict[str, object], path: str) -> None:
    with pytest.raises(InputError) as caught:
        asked_from({**GIVEN, **given})
    assert [problem.path for problem in caught.value.problems] == [path]
