# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Short connections of a host to itself become a finding with what helps, in order; few of them, or others, do not."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils import _rules as rules
from ansible_collections.netfleet.tcp.plugins.module_utils._health import Asked, look
from ansible_collections.netfleet.tcp.plugins.module_utils._health_findings import findings
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import Health, Holder, LoopbackEnd
from ansible_collections.netfleet.tcp.plugins.module_utils._health_targets import (
    LOOPBACK_KERNEL,
    LOOPBACK_PORTS,
    LOOPBACK_RATE,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._loopback_servers import SERVERS, known_server
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding
from tests.unit.plugins.recorded_sockets import DONE, TIME_WAIT, SocketHost, listener, message

LOCAL, OWN, PORT = "127.0.0.1", "10.1.0.1", 6379
NOT_REUSED = {"net.ipv4.tcp_tw_reuse": "0"}
REDIS = LoopbackEnd(Holder("redis-server", 100, "redis.service"), kernel=10.0, user=5.0)
SHOP = LoopbackEnd(Holder("shop", 200, "shop.service"), seen=9, kernel=12.0, user=3.0)


def a_look(per_second: int, address: str = LOCAL, seconds: int = 60, sysctls: dict[str, str] | None = None) -> Health:
    """A host where so many short connections came to their end in each of the last seconds; 28,232 local ports."""
    system = SocketHost(recorded=False)
    system.have(OWN)
    system.sysctls.update(sysctls or {})
    ends = [
        message((address, 10_000 + each), (address, PORT), TIME_WAIT, stays=60_000 - each * 1000 // per_second)
        for each in range(per_second * seconds)
    ]
    # The kernel puts many into a datagram.
    system.answer(socket.AF_INET, "others", b"".join(ends), DONE)
    system.answer(socket.AF_INET, "listening", listener(PORT, 7), DONE)
    return look(system, Asked(), lambda _seconds: None)


def with_ends(health: Health, *ends: LoopbackEnd, **fields: Any) -> Health:
    (use,) = health.loopback.uses
    clients, servers = [end for end in ends if end.seen], [end for end in ends if not end.seen]
    use = replace(use, clients=tuple(clients), servers=tuple(servers), **fields)
    return replace(health, loopback=replace(health.loopback, uses=(use,)))


def found_in(health: Health) -> list[Finding]:
    return [finding for finding in findings(health) if finding.rule == rules.HEALTH_LOOPBACK]


def the_finding(health: Health) -> Finding:
    (found,) = found_in(health)
    return found


def test_a_few_short_connections_are_no_finding() -> None:
    health = a_look(90, seconds=2, sysctls=NOT_REUSED)
    assert health.loopback.uses[0].time_wait == 180
    assert findings(health) == ()


def test_what_a_finding_says() -> None:
    found = the_finding(with_ends(a_look(400, sysctls=NOT_REUSED), SHOP, REDIS))
    assert (found.subject, found.key, found.severity) == ("loopback", "127.0.0.1->127.0.0.1:6379", "warning")
    assert found.intended == "less than 100 a second"
    assert found.running == "400 a second (395.8 to 404.3)"
    assert found.reason == (
        "shop (shop.service): short connections to redis-server (redis.service) on the same host; "
        "24000 of 28232 local ports are taken; "
        "processor time: shop 15 % of a core, 12 % in the kernel; redis-server 15 % of a core, 10 % in the kernel; "
        "likely because no port in TIME-WAIT is reused, since net.ipv4.tcp_tw_reuse is 0"
    )
    assert found.cure == (
        "1. a UNIX domain socket (unixsocket /run/redis/redis-server.sock in redis.conf); "
        "2. a pool of connections; "
        "3. more source addresses, of 127.0.0.0/8; "
        "4. net.ipv4.tcp_tw_reuse 2, and a wider port range with reserved ports (tcp_tuning: loopback_short)"
    )


@pytest.mark.parametrize(
    ("per_second", "seconds", "severity", "word"),
    [
        (500, 60, "warning", "30000 of 28232 local ports are taken; at this rate all are taken after 56.5 s"),
        (300, 60, "warning", "they come to hold 63.8 % of 28232 local ports; likely"),
        # As an average of a minute, a third.
        (500, 20, "note", "clients that were not seen: short connections to port 6379 on the same host; likely"),
        (150, 60, "note", "clients that were not seen: short connections to port 6379 on the same host; likely"),
        # It may be one less.
        (100, 60, "", ""),
    ],
)
def test_how_bad_it_is(per_second: int, seconds: int, severity: str, word: str) -> None:
    found = found_in(a_look(per_second, seconds=seconds, sysctls=NOT_REUSED))
    assert [each.severity for each in found] == [severity] * bool(severity)
    assert all(word in each.reason for each in found)


def test_where_ports_are_reused_none_is_scarce() -> None:
    """A port is to be had again after a second; nearly all are in TIME-WAIT, and that is nothing."""
    health = a_look(450)
    assert health.loopback.uses[0].percent > 90
    (found,) = findings(health)
    assert (found.rule, found.severity) == (rules.HEALTH_LOOPBACK, "note")
    assert "a new connection is opened for each request" in found.reason
    assert "4. a wider port range with reserved ports (tcp_tuning: loopback_short)" in found.cure


def test_ports_that_are_scarce_are_said_to_be_so_too() -> None:
    health = a_look(450, sysctls=NOT_REUSED)
    (ports,) = [each for each in findings(health) if each.rule == rules.HEALTH_PORTS]
    assert ports.cure is not None
    assert "see the finding of these" in ports.cure


def test_ports_that_are_reused_can_be_scarce_all_the_same() -> None:
    """A second's worth of them is more than half of what there is."""
    health = a_look(600, seconds=2, sysctls={"net.ipv4.ip_local_port_range": "32768 33767"})
    (found,) = findings(health)
    assert (found.rule, found.severity) == (rules.HEALTH_LOOPBACK, "warning")
    assert "they come to hold 60 % of 1000 local ports; likely" in found.reason
    worse = a_look(900, seconds=2, sysctls={"net.ipv4.ip_local_port_range": "32768 33767"})
    assert {each.rule for each in findings(worse)} == {rules.HEALTH_LOOPBACK, rules.HEALTH_PORTS}


@pytest.mark.parametrize(
    ("address", "sysctls", "because", "cure"),
    [
        (LOCAL, NOT_REUSED, "since net.ipv4.tcp_tw_reuse is 0", "4. net.ipv4.tcp_tw_reuse 2, and"),
        (
            LOCAL,
            {"net.ipv4.tcp_timestamps": "0"},
            "since net.ipv4.tcp_timestamps is 0",
            "4. net.ipv4.tcp_timestamps 1,",
        ),
        (OWN, {}, "net.ipv4.tcp_tw_reuse 2 is for addresses of loopback alone", "4. call 127.0.0.1 in its place, and"),
        (OWN, {"net.ipv4.tcp_tw_reuse": "1"}, "a new connection is opened for each request", "4. a wider port range"),
    ],
)
def test_the_likely_cause(address: str, sysctls: dict[str, str], because: str, cure: str) -> None:
    found = the_finding(a_look(400, address, sysctls=sysctls))
    assert because in found.reason
    assert found.cure is not None
    assert cure in found.cure
    assert "tw_recycle" not in found.cure


@pytest.mark.parametrize(("kernel", "severity"), [(24.9, "note"), (25.0, "warning")])
def test_what_both_ends_spend_in_the_kernel(kernel: float, severity: str) -> None:
    ends = replace(SHOP, kernel=kernel - 10.0), REDIS
    found = the_finding(with_ends(a_look(200), *ends))
    assert found.severity == severity
    assert ("both ends spend 25 % of a core in the kernel" in found.reason) == (severity == "warning")


def test_a_busy_server_without_short_connections_is_no_finding() -> None:
    health = with_ends(a_look(5, seconds=2), replace(SHOP, kernel=80.0), replace(REDIS, kernel=90.0))
    assert findings(health) == ()


def test_a_process_that_calls_itself_counts_once() -> None:
    both = replace(SHOP, kernel=20.0), replace(SHOP, kernel=20.0, seen=0)
    assert with_ends(a_look(200), *both).loopback.uses[0].kernel == 20.0


def test_who_was_not_seen_is_told_by_its_user() -> None:
    found = the_finding(with_ends(a_look(200), REDIS, users=(33,)))
    assert found.reason.startswith("clients of user 33 that were not seen: short connections to redis-server")


def test_of_many_clients_the_first_are_named() -> None:
    many = [replace(SHOP, holder=Holder("worker%d" % number, number)) for number in range(1, 6)]
    found = the_finding(with_ends(a_look(200), *many))
    assert found.reason.startswith("worker1, worker2, worker3 and others: short connections")


@pytest.mark.parametrize(
    ("end", "fields", "cure"),
    [
        (REDIS, {"unix_sockets": ("/run/r.sock",)}, "1. the UNIX domain socket /run/r.sock, where it listens already;"),
        (
            replace(REDIS, holder=Holder("postgres", 1, "", "podman:abc")),
            {},
            "1. a UNIX domain socket in a directory that its container shares (unix_socket_directories in",
        ),
        (replace(REDIS, holder=Holder("java", 1)), {}, "1. a UNIX domain socket, where both can;"),
    ],
)
def test_the_first_cure_is_that_of_the_server(end: LoopbackEnd, fields: dict[str, Any], cure: str) -> None:
    found = the_finding(with_ends(a_look(200), SHOP, end, **fields))
    assert found.cure is not None
    assert found.cure.startswith(cure)


def test_each_server_is_known_by_its_processes_and_says_who_says_so() -> None:
    names = {
        "redis-server": "Redis",
        "valkey-server": "Valkey",
        "postgres": "PostgreSQL",
        "mysqld": "MySQL or MariaDB",
        "mariadbd": "MySQL or MariaDB",
        "memcached": "memcached",
        "nginx": "nginx",
        "php-fpm8.2": "PHP-FPM",
    }
    for process, name in names.items():
        found = known_server(process)
        assert found is not None
        assert found.name == name
    assert known_server("java") is known_server("") is None
    for server in SERVERS:
        assert all(vars(server).values())
        assert all(len(process) <= 15 for process in server.processes), "the kernel keeps no more of a name"
    assert set(names.values()) == {server.name for server in SERVERS}


def test_the_thresholds_are_in_the_order_in_which_it_gets_bad() -> None:
    """By default: told from 100 a second on, a danger from 235 on, no port left from 470 on."""
    dangerous = LOOPBACK_PORTS / 100 * 28_232 / 60
    assert LOOPBACK_RATE < dangerous < 28_232 / 60
    assert 0 < LOOPBACK_KERNEL < 100
