# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_declaration import parse
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_model import Node
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_topology import (
    InterfaceWanted,
    PeerWanted,
    RouteWanted,
    holds,
    interfaces,
    tunnel_mtu,
)
from tests.unit.plugins.plugin_utils.sample_links import HUBS, KEY, MESH, SITES, declared, site

Found = dict[str, tuple[InterfaceWanted, ...]]


def peers_of(found: Found, node: str) -> dict[str, PeerWanted]:
    return {peer.node: peer for interface in found[node] for peer in interface.peers}


def test_both_ends_of_a_mesh_are_derived() -> None:
    found = interfaces(declared(MESH))
    (gw1,) = found["gw1"]
    assert (gw1.name, gw1.port, gw1.addresses, gw1.mtu) == ("wg-wan", 51820, ("10.99.0.1/24",), 1392)
    (east,) = found["east"]
    assert (east.addresses, east.mtu) == (("10.99.0.2/24",), 1392)
    assert peers_of(found, "gw1")["east"] == PeerWanted(
        node="east",
        managed=True,
        allowed=("10.99.0.2/32", "10.20.0.0/16"),
        endpoint="198.51.100.1",
        port=51820,
        keepalive=25,
        preshared=True,
        routes=(RouteWanted("10.20.0.0/16"),),
    )
    # It cannot call the one behind NAT, and needs to keep nothing alive.
    assert peers_of(found, "east")["gw1"] == PeerWanted(
        node="gw1",
        managed=True,
        allowed=("10.99.0.1/32", "10.10.0.0/16", "2001:db8:10::/48"),
        preshared=True,
        routes=(RouteWanted("10.10.0.0/16"), RouteWanted("2001:db8:10::/48")),
    )
    assert peers_of(found, "east")["west"].keepalive == 0


def test_segments_are_made_to_fit_the_tunnel_unless_that_is_not_wanted() -> None:
    assert {interface.clamp for found in interfaces(declared(MESH)).values() for interface in found} == {1392}
    (gw1,) = interfaces(declared({**MESH, "mtu": 1300}))["gw1"]
    assert (gw1.mtu, gw1.clamp) == (1300, 1300)
    (gw1,) = interfaces(declared({**MESH, "clamp_mss": False}))["gw1"]
    assert (gw1.mtu, gw1.clamp) == (1392, 0)


def test_where_a_way_back_may_be_another_one_the_kernel_is_told_so() -> None:
    def loose(**more: Any) -> set[bool]:
        return {each.loose for found in interfaces(declared({**MESH, **more})).values() for each in found}

    assert loose() == {False}
    assert loose(interface_per_peer=True) == {False}
    assert loose(interface_per_peer=True, failover="metric") == {True}


def test_a_spoke_reaches_all_others_by_its_hub() -> None:
    found = interfaces(declared(HUBS))
    assert "alice" not in found
    assert peers_of(found, "gw1").keys() == {"east"}
    assert peers_of(found, "gw1")["east"].allowed == ("10.98.0.2/32", "10.20.0.0/16", "10.30.0.0/16", "10.98.0.0/24")
    assert peers_of(found, "east")["gw1"].allowed == ("10.98.0.1/32", "10.10.0.0/16", "2001:db8:10::/48")
    assert peers_of(found, "east")["alice"] == PeerWanted(
        node="alice", managed=False, allowed=("10.98.0.4/32",), public_key=KEY
    )


def test_gateways_of_one_site_are_not_joined() -> None:
    two = {**MESH, "kind": "site_to_site", "members": ["onprem", "cloud_east"], "interface_per_peer": True}
    numbers = {"gw1": 1, "east": 2, "gw2": 3}
    found = interfaces(declared({**two, "numbers": numbers}, sites=site("onprem", gateways=["gw1", "gw2"])))
    assert [(entry.name, entry.port, entry.addresses) for entry in found["east"]] == [
        ("wg-wan-1", 51821, ("10.99.0.2/32",)),
        ("wg-wan-3", 51823, ("10.99.0.2/32",)),
    ]
    assert [(entry.name, entry.port) for entry in found["gw2"]] == [("wg-wan-2", 51822)]
    assert peers_of(found, "gw2")["east"].port == 51823


def test_metrics_prefer_gateways_in_the_order_in_which_their_site_names_them() -> None:
    two = {**MESH, "interface_per_peer": True, "failover": "metric", "numbers": {"gw1": 1, "east": 2, "west": 3}}
    sites = {**SITES, "onprem": {**SITES["onprem"], "gateways": ["gw2", "gw1"]}}
    found = interfaces(declared({**two, "numbers": {**two["numbers"], "gw2": 4}}, sites=sites))
    assert metrics(found, "east", "10.10.0.0/16") == {"gw2": 50, "gw1": 51}
    # The other end is reached by its own link alone.
    assert metrics(found, "east", "10.99.0.1/32") == {"gw1": 0}


def metrics(found: Found, node: str, prefix: str) -> dict[str, int]:
    return {
        name: route.metric
        for name, peer in peers_of(found, node).items()
        for route in peer.routes
        if route.prefix == prefix
    }


def test_what_is_behind_a_hub_is_reached_by_its_own_link_first_and_by_the_other_hub_else() -> None:
    hubs = {**HUBS, "hubs": ["east", "west"], "spokes": ["onprem", "worker1"], "numbers": {}}
    found = interfaces(declared({**hubs, "interface_per_peer": True, "failover": "metric"}))
    assert metrics(found, "gw1", "10.20.0.0/16") == {"east": 50, "west": 151}
    assert metrics(found, "gw1", "10.30.0.0/16") == {"east": 150, "west": 51}
    # Each hub takes what comes from the spokes by the other one, and both know the way back.
    assert "10.10.0.0/16" in peers_of(found, "west")["east"].allowed
    assert metrics(found, "west", "10.10.0.0/16") == {"gw1": 50, "east": 150}


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        # 1500 less 60 of IPv4, and of IPv6 less 80, to a multiple of 16.
        (Node("a", endpoint="192.0.2.1"), Node("b"), 1440),
        (Node("a", endpoint="2001:db8::1"), Node("b"), 1408),
        (Node("a", endpoint="gw.example.net"), Node("b"), 1408),
        (Node("a", endpoint="gw.example.net"), Node("b", families=(4,)), 1440),
        (Node("a", endpoint="192.0.2.1", outer_mtu=9001), Node("b", outer_mtu=8500), 8432),
        (Node("a", endpoint="192.0.2.1"), Node("b", outer_mtu=1400), 1328),
    ],
)
def test_the_mtu_fits_the_outer_path(one: Node, other: Node, expected: int) -> None:
    assert tunnel_mtu(one, other) == tunnel_mtu(other, one) == expected


def fleet(count: int) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    hosts = {f"h{i}": {"endpoint": f"192.0.2.{i + 1}"} if i % 3 else {} for i in range(count)}
    sites = {f"s{i}": {"prefixes": [f"10.{i}.0.0/16"], "gateways": [f"h{i}"]} for i in range(count)}
    return sites, hosts


topologies = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["mesh", "hub_and_spoke"]),
        "interface_per_peer": st.booleans(),
        "failover": st.sampled_from(["none", "metric"]),
        "networks": st.sampled_from([["172.16.0.0/16"], ["172.16.0.0/16", "fd00::/64"], ["fd00::/64"]]),
    }
)


def expanded(given_topology: dict[str, Any], members: list[str], hub: str) -> Found:
    ends: dict[str, Any] = {"members": members}
    if given_topology["kind"] == "hub_and_spoke":
        ends = {"hubs": [hub], "spokes": [name for name in members if name != hub]}
    sites, hosts = fleet(9)
    topology = {**given_topology, **ends, "name": "t"}
    return interfaces(parse({"sites": sites, "topologies": [topology]}, hosts, {}))


@given(topologies, st.sets(st.sampled_from([f"h{i}" for i in range(9)]), min_size=3))
def test_the_ends_of_each_link_agree(topology: dict[str, Any], members: set[str]) -> None:
    found = expanded(topology, sorted(members), min(members))
    for node, entries in found.items():
        for entry in entries:
            for peer in entry.peers:
                (back,) = [each for each in found[peer.node] if any(p.node == node for p in each.peers)]
                (mine,) = [p for p in back.peers if p.node == node]
                assert peer.port in (0, back.port)
                assert mine.preshared == peer.preshared
                assert back.mtu == entry.mtu or not topology["interface_per_peer"]
                own = {address.split("/")[0] for address in entry.addresses}
                assert all(any(holds(ip_network(a), ip_network(prefix)) for a in mine.allowed) for prefix in own)
                # One calls, and whoever cannot be called keeps the way open.
                assert peer.endpoint or mine.endpoint or node[1:] in "036"


@given(topologies, st.sets(st.sampled_from([f"h{i}" for i in range(9)]), min_size=4))
def test_nothing_of_a_host_changes_with_the_others(topology: dict[str, Any], members: set[str]) -> None:
    names = sorted(members)
    hub, gone = names[0], names[-1]
    before, after = expanded(topology, names, hub), expanded(topology, names[:-1], hub)
    for node, entries in after.items():
        others = {entry.name: entry for entry in before[node]}
        for entry in entries:
            was = others[entry.name]
            assert (entry.port, entry.addresses) == (was.port, was.addresses)
            kept = {peer.node: (peer.endpoint, peer.port, peer.keepalive) for peer in was.peers if peer.node != gone}
            assert {peer.node: (peer.endpoint, peer.port, peer.keepalive) for peer in entry.peers} == kept
