# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_analysis import analysed
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_declaration import parse
from tests.unit.plugins.plugin_utils.sample_links import HUBS, KEY, MESH, PEERS, declared, site


def refused(*topologies: dict[str, Any], **more: Any) -> str:
    with pytest.raises(InputError) as caught:
        analysed(declared(*topologies, **more))
    return str(caught.value)


@pytest.mark.parametrize("topology", [MESH, HUBS])
def test_what_can_work_is_let_through(topology: dict[str, Any]) -> None:
    assert set(analysed(declared(topology))) == {"gw1", "east", "west"}


def test_two_topologies_on_one_host_listen_on_their_own_ports() -> None:
    found = analysed(declared(MESH, {**HUBS, "port": 51900, "spokes": ["alice"], "numbers": {"east": 2, "alice": 4}}))
    assert [entry.port for entry in found["east"]] == [51820, 51900]
    said = refused(MESH, {**HUBS, "spokes": ["alice"], "numbers": {"east": 2, "alice": 4}})
    assert (
        "wireguard_links_topologies[1].port: 51820 is that of wireguard_links_topologies[0].port too, on east" in said
    )


def test_a_prefix_claimed_by_two_sites() -> None:
    said = refused(MESH, sites=site("cloud_west", prefixes=["10.20.0.0/16"]))
    assert (
        "wireguard_links_sites.cloud_east.prefixes[0]: 10.20.0.0/16 is claimed by"
        " wireguard_links_sites.cloud_west.prefixes[0] too" in said
    )


def test_overlapping_prefixes_are_an_error_unless_they_are_meant() -> None:
    sites = site("cloud_west", prefixes=["10.10.128.0/17"])
    said = refused(MESH, sites=sites)
    assert "10.10.0.0/16 and 10.10.128.0/17 of wireguard_links_sites.cloud_west.prefixes[0] overlap" in said
    sites["cloud_west"]["inside"] = ["onprem"]
    found = analysed(declared(MESH, sites=sites))
    assert [peer.allowed for peer in found["east"][0].peers if peer.node == "west"] == [
        ("10.99.0.3/32", "10.10.128.0/17")
    ]


def test_the_larger_one_is_not_inside_the_smaller_one() -> None:
    sites = site("onprem", inside=["cloud_west"])
    sites["cloud_west"] = {**sites["cloud_west"], "prefixes": ["10.10.128.0/17"]}
    assert "overlap" in refused(MESH, sites=sites)


def test_the_tunnels_own_network_is_nobody_elses() -> None:
    said = refused({**MESH, "networks": ["10.30.7.0/24"]})
    assert "10.30.0.0/16 and 10.30.7.0/24 of wireguard_links_topologies[0].networks[0] overlap" in said


def test_colliding_addresses_name_both_and_a_free_number() -> None:
    said = refused({**MESH, "numbers": {"gw1": 1, "east": 1, "west": 2}})
    assert (
        "wireguard_links_topologies[0].numbers.east: gw1 and east would both have number 1, so the same address"
        " (numbers: {east: 3})" in said
    )


def test_a_number_outside_of_the_network() -> None:
    said = refused({**MESH, "networks": ["10.99.0.0/29"], "numbers": {"gw1": 7, "east": 2, "west": 3}})
    assert "numbers.gw1: 7 is outside of 10.99.0.0/29 (1 to 6)" in said


def test_neither_end_can_be_reached() -> None:
    said = refused(MESH, east={})
    assert "wireguard_links_topologies[0]: neither gw1 nor east can be reached" in said
    assert "host gw1, wireguard_links_endpoint, host east, wireguard_links_endpoint" in said
    assert "or both a hub that has one: kind hub_and_spoke" in said
    unmanaged = refused({**MESH, "members": ["onprem", "alice"], "numbers": {}})
    assert "wireguard_links_peers.alice.endpoint" in unmanaged


def test_an_endpoint_that_would_be_routed_into_the_tunnel() -> None:
    said = refused(MESH, west={"endpoint": "10.20.3.4"})
    assert "host west, wireguard_links_endpoint: 10.20.3.4 is in 10.20.0.0/16, which gw1 sends into wg-wan" in said


def test_the_longest_prefix_decides_where_an_endpoint_is_routed() -> None:
    sites = site("onprem", prefixes=["10.0.0.0/8"])
    sites["cloud_east"] = {**sites["cloud_east"], "inside": ["onprem"]}
    sites["cloud_west"] = {"prefixes": ["172.16.0.0/12"], "gateways": ["west"]}
    star = {**HUBS, "networks": ["192.168.9.0/24"]}
    # In the network of east, which is within that of onprem.
    assert analysed(declared(star, sites=sites, west={"endpoint": "10.20.5.5"}))
    said = refused(star, sites=sites, west={"endpoint": "10.40.5.5"})
    assert "10.40.5.5 is in 10.0.0.0/8, which east sends into wg-star" in said


def test_endpoints_of_different_families() -> None:
    said = refused(MESH, east={"endpoint": "2001:db8:ffff::1"})
    assert "2001:db8:ffff::1 is of IPv6, 203.0.113.1 of host west, wireguard_links_endpoint is not" in said
    both = {"families": [4, 6]}
    analysed(declared(MESH, east={"endpoint": "2001:db8:ffff::1", **both}, west={"endpoint": "203.0.113.1", **both}))
    said = refused(MESH, gw1={"families": [6]})
    assert "198.51.100.1 is of IPv4, which gw1 does not have (host gw1, wireguard_links_families)" in said


def test_redundant_gateways_need_an_interface_each() -> None:
    sites = site("onprem", gateways=["gw1", "gw2"])
    topology = {**MESH, "numbers": {**MESH["numbers"], "gw2": 4}}
    said = refused(topology, sites=sites)
    assert "wireguard_links_topologies[0].interface_per_peer: gw1, gw2 of wireguard_links_sites.onprem" in said
    found = analysed(declared({**topology, "interface_per_peer": True, "failover": "metric"}, sites=sites))
    assert len(found["east"]) == 3


def test_redundant_hubs_need_an_interface_each() -> None:
    said = refused({**HUBS, "hubs": ["east", "west"], "spokes": ["onprem"], "numbers": {}})
    assert "the hubs east, west carry the same prefixes" in said


def test_a_failover_needs_an_interface_for_each_link() -> None:
    assert "failover metric needs an interface for each link" in refused({**MESH, "failover": "metric"})


def test_two_links_of_a_host_do_not_carry_the_same_prefixes_unless_one_is_preferred() -> None:
    second = {**MESH, "name": "wan2", "networks": ["10.98.0.0/24"], "port": 51900}
    said = refused(MESH, second)
    assert (
        "wireguard_links_topologies[1]: 10.20.0.0/16 would be routed into wg-wan and wg-wan2 on gw1"
        " (failover: metric, with another metric than wireguard_links_topologies[0])" in said
    )
    metric = {"failover": "metric", "interface_per_peer": True}
    first, second = {**MESH, **metric}, {**second, **metric, "port": 52900}
    assert "10.20.0.0/16 would be routed into wg-wan-2 and wg-wan2-2 on gw1" in refused(first, second)
    found = analysed(declared(first, {**second, "metric": 80}))
    assert len(found["gw1"]) == 4


def test_two_hubs_need_a_failover() -> None:
    hubs = {**HUBS, "hubs": ["east", "west"], "spokes": ["onprem"], "interface_per_peer": True}
    hubs["numbers"] = {"east": 1, "west": 2, "gw1": 3}
    assert "on gw1 (failover: metric, or bgp)" in refused(hubs)
    assert analysed(declared({**hubs, "failover": "metric"}))


def test_the_tunnels_network_may_be_a_part_of_a_sites_where_that_is_meant() -> None:
    sites = site("onprem", prefixes=["10.0.0.0/8"])
    for name in ("cloud_east", "cloud_west"):
        sites[name] = {**sites[name], "inside": ["onprem"]}
    assert "10.0.0.0/8 and 10.99.0.0/24 of wireguard_links_topologies[0].networks[0] overlap" in refused(
        MESH, sites=sites
    )
    assert analysed(declared({**MESH, "inside": ["onprem"]}, sites=sites))


def test_the_prefixes_of_one_site_may_hold_one_another() -> None:
    assert analysed(declared(MESH, sites=site("onprem", prefixes=["10.10.0.0/16", "10.10.7.0/24"])))


def test_an_mtu_that_does_not_fit() -> None:
    said = refused({**MESH, "mtu": 1420})
    assert "wireguard_links_topologies[0].mtu: 1420 bytes do not fit between gw1 and west" in said
    assert "1392 at most, by host west, wireguard_links_outer_mtu" in said


def test_a_fleet_is_analysed_in_seconds() -> None:
    names = [f"h{i}" for i in range(150)]
    hosts = {name: {"endpoint": f"192.0.2.{i + 1}"} for i, name in enumerate(names)}
    sites = {name: {"prefixes": [f"10.{i}.0.0/16"], "gateways": [name]} for i, name in enumerate(names)}
    star = {**HUBS, "hubs": names[:1], "spokes": names[1:], "networks": ["172.16.0.0/16"], "numbers": {}}
    found = analysed(parse({"sites": sites, "topologies": [star]}, hosts, {}))
    assert len(found) == 150
    assert len(found["h9"][0].peers[0].allowed) == 151


def test_names_that_the_kernel_would_not_take() -> None:
    assert "makes names of interfaces of 16 characters" in refused(
        {**MESH, "name": "elevenchars", "interface_per_peer": True}
    )
    said = refused(MESH, {**MESH, "networks": ["10.97.0.0/24"], "port": 5})
    assert "wireguard_links_topologies[1].name: 'wan' is the name of wireguard_links_topologies[0] too" in said


def test_two_peers_of_one_key() -> None:
    said = refused(HUBS, peers={**PEERS, "bob": {"public_key": KEY}})
    assert "wireguard_links_peers.bob.public_key: is that of wireguard_links_peers.alice" in said


def test_a_port_beyond_the_last() -> None:
    said = refused({**MESH, "interface_per_peer": True, "port": 65534})
    assert "would listen on port 65536" in said


def test_a_path_too_narrow_for_ipv6() -> None:
    topology = {**MESH, "networks": ["10.99.0.0/24", "fd00::/64"]}
    said = refused(topology, west={"endpoint": "203.0.113.1", "outer_mtu": 1300})
    assert "host west, wireguard_links_outer_mtu: leaves tunnels of 1232 bytes between gw1 and west" in said


def by_provider(failover: str, **second: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same sites joined over two providers."""
    common = {**MESH, "members": ["onprem", "cloud_east"], "numbers": {"gw1": 1, "east": 2}}
    common.update(interface_per_peer=True, failover=failover)
    backup = {"name": "isp2", "networks": ["10.98.0.0/24", "fd00:98::/64"], "port": 52900, "metric": 80, **second}
    return {**common, "name": "isp1", "networks": ["10.99.0.0/24", "fd00:99::/64"]}, {**common, **backup}


TWO_PROVIDERS = {"endpoint": {"isp1": "198.51.100.1", "isp2": "203.0.113.77"}}


@pytest.mark.parametrize("failover", ["metric", "bgp"])
def test_two_providers_join_the_same_sites_each_by_its_own_endpoint(failover: str) -> None:
    found = analysed(declared(*by_provider(failover), east=TWO_PROVIDERS))
    ends = [(entry.name, entry.peers[0].endpoint, entry.peers[0].port) for entry in found["gw1"]]
    assert ends == [("wg-isp1-2", "198.51.100.1", 51821), ("wg-isp2-2", "203.0.113.77", 52901)]
    # Each end listens where the other one calls.
    assert [entry.port for entry in found["east"]] == [51821, 52901]
    metrics = [
        route.metric
        for entry in found["gw1"]
        for route in entry.peers[0].routes
        if route.prefix == "10.20.0.0/16" and failover == "metric"
    ]
    assert metrics == ([50, 80] if failover == "metric" else [])


def test_where_an_endpoint_is_missing_by_topology_is_said_by_topology() -> None:
    said = refused(*by_provider("metric"), east={"endpoint": {"isp1": "198.51.100.1"}})
    assert "wireguard_links_topologies[1]: neither gw1 nor east can be reached" in said
    assert "host gw1, wireguard_links_endpoint, host east, wireguard_links_endpoint.isp2" in said
    assert "wireguard_links_topologies[0]" not in said


def test_an_endpoint_of_one_topology_that_another_one_would_carry() -> None:
    said = refused(*by_provider("metric"), east={"endpoint": {"isp1": "198.51.100.1", "isp2": "10.20.3.4"}})
    assert "host east, wireguard_links_endpoint.isp2: 10.20.3.4 is in 10.20.0.0/16, which gw1 sends into wg-isp" in said


def test_families_are_compared_by_topology() -> None:
    two = {"endpoint": {"isp1": "198.51.100.1", "isp2": "2001:db8:ffff::1"}}
    found = analysed(declared(*by_provider("metric"), east=two))
    assert [entry.mtu for entry in found["gw1"]] == [1440, 1408]
    said = refused(*by_provider("metric"), east=two, gw1={"families": [4]})
    assert "host east, wireguard_links_endpoint.isp2: 2001:db8:ffff::1 is of IPv6, which gw1 does not have" in said
    assert "endpoint.isp1:" not in said


def test_a_peer_of_others_has_an_endpoint_by_topology_too() -> None:
    first, second = by_provider("metric")
    members = {"members": ["onprem", "alice"], "numbers": {"gw1": 1, "alice": 2}}
    peers = {"alice": {"public_key": KEY, "port": 500, **TWO_PROVIDERS}}
    found = analysed(declared({**first, **members}, {**second, **members}, peers=peers))
    ends = [(entry.peers[0].endpoint, entry.peers[0].port) for entry in found["gw1"]]
    assert ends == [("198.51.100.1", 500), ("203.0.113.77", 500)]
    peers["alice"]["endpoint"] = {"isp1": "198.51.100.1"}
    said = refused({**first, **members}, {**second, **members}, peers=peers)
    assert "wireguard_links_peers.alice.endpoint.isp2" in said
