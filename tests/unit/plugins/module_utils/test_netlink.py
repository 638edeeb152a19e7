# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages of netlink, of connection tracking, and of IPVS."""

from __future__ import annotations

import socket
import struct
from dataclasses import replace

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils import _conntrack, _ipvs, _netlink
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_modes import IPVS
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_table import UNTOLD, ProxyEntry
from tests.unit.plugins.fake_node import CLUSTER_IP, ENDPOINT, NODE, REFUSED, FakeNode, tracked


def test_attributes_are_padded_and_found_again() -> None:
    body = _netlink.attribute(1, b"abc") + _netlink.nested(2, _netlink.attribute(3, b"inner"))
    assert len(body) % 4 == 0
    found = _netlink.attributes(body)
    assert found[1] == b"abc"
    assert _netlink.attributes(found[2])[3] == b"inner"


@pytest.mark.parametrize("cut", range(1, 40))
def test_what_was_cut_off_is_left_out(cut: int) -> None:
    whole = _netlink.message(16, _netlink.attribute(1, b"abcd") + _netlink.attribute(2, b"efgh"))
    for _kind, body in _netlink.messages(whole[:-cut]):
        raise AssertionError(body)
    assert set(_netlink.attributes(whole[16:-cut])) <= {1, 2}


def test_what_the_kernel_refuses_is_told_from_what_it_does() -> None:
    assert _netlink.error_in(REFUSED) == 2
    assert _netlink.error_in(struct.pack("=IHHIIi", 20, 2, 0, 1, 0, 0)) == 0
    assert _netlink.error_in(b"") == _netlink.NO_ANSWER
    assert _netlink.error_in(tracked("10.0.0.1:80")) == 0


@pytest.mark.parametrize(
    ("source", "target", "family"),
    [("192.0.2.1", "10.96.0.10", socket.AF_INET), ("fd00::1", "fd00:96::a", socket.AF_INET6)],
)
def test_a_connection_is_asked_for_by_its_two_ends(source: str, target: str, family: int) -> None:
    ((kind, body),) = _netlink.messages(_conntrack.request(source, 40001, target, 80))
    assert (kind, body[0]) == (0x101, family)
    original = _netlink.attributes(_netlink.attributes(body[4:])[1])
    ports = _netlink.attributes(original[2])
    assert (ports[1], ports[2], ports[3]) == (b"\6", struct.pack(">H", 40001), struct.pack(">H", 80))
    addresses = _netlink.attributes(original[1])
    assert [socket.inet_ntop(family, addresses[each]) for each in sorted(addresses)] == [source, target]


@pytest.mark.parametrize("end", ["10.244.1.5:8080", "[fd00:244::5]:8080"])
def test_who_replies_is_the_endpoint(end: str) -> None:
    assert _conntrack.endpoint(tracked(end)) == end


@pytest.mark.parametrize("answer", [b"", REFUSED, _netlink.message(0x100, b"\2\0\0\0"), tracked("10.0.0.1:80")[:40]])
def test_an_answer_that_does_not_tell_gives_none(answer: bytes) -> None:
    assert _conntrack.endpoint(answer) == ""


def test_a_virtual_server_is_named_by_family_protocol_address_and_port() -> None:
    entry = ProxyEntry("udp", "fd00:96::a", 53)
    ((kind, body),) = _netlink.messages(_ipvs.delete_request(30, entry))
    assert (kind, body[0]) == (30, 3)
    server = _netlink.attributes(_netlink.attributes(body[4:])[1])
    assert server[1] == struct.pack("=H", socket.AF_INET6)
    assert server[2] == struct.pack("=H", socket.IPPROTO_UDP)
    assert socket.inet_ntop(socket.AF_INET6, server[3]) == "fd00:96::a"
    assert server[4] == struct.pack(">H", 53)


def test_the_address_of_a_virtual_server_takes_sixteen_bytes() -> None:
    ((_kind, body),) = _netlink.messages(_ipvs.delete_request(30, ProxyEntry("tcp", "10.96.0.10", 80)))
    server = _netlink.attributes(_netlink.attributes(body[4:])[1])
    assert server[3] == socket.inet_aton("10.96.0.10") + bytes(12)


def test_timeouts_and_servers_of_ipvs() -> None:
    node = FakeNode(IPVS)
    assert _ipvs.read_timeouts(node) == {"tcp": 900, "tcp_fin": 120, "udp": 300}
    wanted, gone = ProxyEntry("tcp", CLUSTER_IP, 80, (ENDPOINT,), scheduler="rr"), ProxyEntry("tcp", "10.96.0.77", 80)
    with node.lock(1):
        assert _ipvs.delete_servers(node, [wanted, gone]) == [], "one that is gone already is no fault"
    assert wanted not in node.servers
    assert node.servers != []


def test_affinity_is_told_in_seconds_by_protocol_address_and_port() -> None:
    node = FakeNode(IPVS)
    six = ProxyEntry("udp", "fd00:96::a", 53, affinity=600)
    node.servers = [replace(node.servers[0], affinity=10800), node.servers[1], six]
    told = _ipvs.read_affinities(node)
    assert told == {("tcp", CLUSTER_IP, 80): 10800, ("tcp", NODE, 30080): 0, ("udp", "fd00:96::a", 53): 600}
    assert list(_ipvs.with_affinities(node, [replace(six, affinity=UNTOLD), node.servers[1]])) == [
        six,
        node.servers[1],
    ]


@pytest.mark.parametrize("ends", [True, False])
def test_an_affinity_that_is_not_told_is_still_one(ends: bool) -> None:
    node = FakeNode(IPVS)
    untold = replace(node.servers[0], affinity=UNTOLD)
    node.servers = [] if ends else [replace(node.servers[0], affinity=10800)]
    node.refused_by_netlink = not ends
    assert list(_ipvs.with_affinities(node, [untold])) == [untold]


def test_without_ipvs_it_is_said_what_cannot_be_taken_away() -> None:
    node = FakeNode()
    node.refused_by_netlink = True
    assert _ipvs.read_timeouts(node) == {}
    assert _ipvs.delete_servers(node, []) == []
    assert _ipvs.delete_servers(node, [ProxyEntry("tcp", CLUSTER_IP, 80)]) == [
        "virtual servers: the kernel does not know IPVS"
    ]
