# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom each host calls, and what a probe is asked for."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netfleet.tcp.plugins.action import probe
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError
from ansible_collections.netfleet.tcp.plugins.plugin_utils._probe_check import (
    SETTINGS,
    checked,
    chosen_peers,
    destinations,
    endpoints,
    is_own,
    request,
    where,
)

HEALTH: dict[str, Any] = {"targets": {}, "rtt_targets": {}}


def fleet(size: int) -> list[str]:
    return ["host%03d" % number for number in range(size)]


@given(size=st.integers(1, 200), count=st.integers(0, 64), turn=st.integers(0, 1000))
def test_each_host_calls_and_is_called_by_as_many(size: int, count: int, turn: int) -> None:
    hosts = fleet(size)
    wanted = min(count, size - 1)
    called: Counter[str] = Counter()
    for host in hosts:
        peers = chosen_peers(host, hosts, hosts[::-1], count, turn)
        assert host not in peers
        assert len(set(peers)) == len(peers) == wanted
        called.update(peers)
    assert set(called.values()) <= {wanted}


def test_near_and_far_hosts_are_among_them() -> None:
    hosts = fleet(1000)
    assert chosen_peers("host000", hosts, hosts, 3, 0) == ["host001", "host010", "host100"]


def test_rounds_see_all_pairs() -> None:
    hosts = fleet(20)
    seen = {(host, peer) for turn in range(19) for host in hosts for peer in chosen_peers(host, hosts, hosts, 1, turn)}
    assert len(seen) == 20 * 19


@given(sources=st.integers(1, 60), candidates=st.integers(0, 60), count=st.integers(0, 10))
def test_clients_are_spread_over_servers(sources: int, candidates: int, count: int) -> None:
    servers, clients = ["server%02d" % number for number in range(candidates)], fleet(sources)
    called: Counter[str] = Counter()
    for client in clients:
        peers = chosen_peers(client, clients, servers, count, 0)
        assert len(set(peers)) == len(peers) == min(count, candidates)
        called.update(peers)
    # With as many clients as there are servers each is called by as many.
    if sources == candidates:
        assert set(called.values()) <= {min(count, candidates)}


def test_endpoints_are_written_as_elsewhere() -> None:
    texts = ["db1:5432", "[2001:db8::1]:443", "cache.example.com:6379"]
    assert endpoints(texts, {"db1": "10.0.0.5"}) == [
        {"name": "db1", "address": "10.0.0.5", "port": 5432},
        {"name": "2001:db8::1", "address": "2001:db8::1", "port": 443},
        {"name": "cache.example.com", "address": "cache.example.com", "port": 6379},
    ]


def test_ports_stand_in_the_place_of_ssh() -> None:
    peers = [("a", "10.0.0.1", 2222), ("b", "10.0.0.2", 22)]
    assert [each["port"] for each in destinations(peers, [], [])] == [2222, 22]
    assert [each["port"] for each in destinations(peers, [80, 443, 80], [])] == [80, 443, 80, 443]


def test_targets_are_those_of_the_profile_and_of_the_health_check() -> None:
    settings = checked({})
    assert settings == {name: option["default"] for name, option in SETTINGS.items()}
    health = {"targets": {"client_success": 99.0, "retransmission": 3.0}, "rtt_targets": {"tunnel": "80", "nobody": 1}}
    classes = {"cloud": ["10.0.0.0/8"], "tunnel": ["10.99.0.0/24"]}
    found = request(settings, health, "cloud", classes, destinations([("a", "10.0.0.1", 22)], [], []))
    assert found["targets"] == {"client_success": 99.0, "syn_retransmission": 2.0}
    assert found["rtt_targets"] == {"cloud": 50.0, "tunnel": "80"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"peers": 65}, "tcp_probe_peers"),
        ({"peers": "many"}, "tcp_probe_peers"),
        ({"endpoints": ["db1"]}, "tcp_probe_endpoints[0]"),
        ({"endpoints": ["2001:db8::1:443"]}, "tcp_probe_endpoints[0]"),
        ({"endpoints": ["db1:22", "db1:99999"]}, "tcp_probe_endpoints[1]: 99999 is out of range (1 to 65535)"),
        ({"ports": [22, 0]}, "tcp_probe_ports[1]: 0 is out of range (1 to 65535)"),
        ({"rounds": 3}, "tcp_probe_rounds"),
    ],
)
def test_bad_settings_are_named(given: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        checked(given)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "health", "words"),
    [
        ({"attempts": 0}, {}, "tcp_probe_attempts: 0 is no such number"),
        ({"timeout": 0.0}, {}, "tcp_probe_timeout: 0.0 is no such time"),
        ({}, {"rtt_targets": {"cloud": -1}}, "tcp_health_rtt_targets.cloud: -1 is no time"),
        ({}, {"rtt_targets": {"cloud": "fast"}}, "tcp_health_rtt_targets.cloud: 'fast' is no time"),
        ({}, {"rtt_targets": {"cloud": float("inf")}}, "tcp_health_rtt_targets.cloud: inf is no time"),
        ({}, {"targets": {"client_success": 100.0}}, "tcp_health_targets.client_success"),
    ],
)
def test_what_the_module_would_refuse_is_named_as_the_variable(
    settings: dict[str, Any], health: dict[str, Any], words: str
) -> None:
    classes = {"cloud": ["10.0.0.0/8"]}
    with pytest.raises(InputError) as caught:
        request({**checked({}), **settings}, {**HEALTH, **health}, "cloud", classes, [])
    assert words in str(caught.value)


def test_more_destinations_than_a_host_may_call_are_refused() -> None:
    many = destinations([("a", "10.0.0.1", 22)], list(range(1, 66)), [])
    with pytest.raises(InputError, match="65 are too many"):
        request(checked({}), HEALTH, "", {}, many)


@pytest.mark.parametrize("port", ["ssh", "22x", 70000, -1, [22]])
def test_a_port_of_the_inventory_that_is_none_is_named(port: Any) -> None:
    with pytest.raises(InputError, match=r"ansible_port: .* of app1 is no port"):
        where({"app1": {"ansible_port": port}}, "app1")
    assert where({"app1": {"ansible_port": "2222", "ansible_host": "10.0.0.1"}}, "app1") == ("10.0.0.1", 2222)


def test_a_host_that_is_called_at_an_address_of_loopback_is_left_out() -> None:
    action = probe.ActionModule.__new__(probe.ActionModule)
    addresses = {"app1": "10.0.0.1", "app2": "127.0.0.1", "app3": "localhost", "app4": "::1", "app5": "10.0.0.5"}
    variables = {
        "ansible_play_hosts_all": list(addresses),
        "hostvars": {name: {"ansible_host": address} for name, address in addresses.items()},
    }
    to, said = action._destinations("app1", checked({"peers": 4}), variables)
    assert [each["name"] for each in to] == ["app5"]
    assert sorted(said) == [
        f"peers: {name} cannot be called at {addresses[name]}, which is each host's own: set tcp_probe_address"
        for name in ("app2", "app3", "app4")
    ]
    assert not is_own("db1.example.com")
