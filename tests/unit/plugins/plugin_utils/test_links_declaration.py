# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_declaration import is_key, parse
from tests.unit.plugins.plugin_utils.sample_links import HUBS, KEY, MESH, PEERS, declared, site


def test_names_stand_for_the_gateways_of_sites_the_hosts_of_groups_hosts_and_peers() -> None:
    links = declared({**MESH, "members": ["onprem", "workers", "east", "alice"], "numbers": {}})
    assert links.topologies[0].nodes == ("gw1", "worker1", "worker2", "east", "alice")
    assert not links.nodes["alice"].managed
    assert "gw2" not in links.nodes


@pytest.mark.parametrize("name", ["eve\n[Interface]\nPostUp = reboot", "$(reboot)", "a b", "-x", ""])
def test_names_that_could_be_more_than_a_name_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="is no name of a node"):
        declared(MESH, peers={name: {"public_key": KEY}})
    with pytest.raises(InputError, match="is no name of a node"):
        parse({"sites": {"s": {"prefixes": [], "gateways": [name]}}}, {name: {}}, {})


def test_an_endpoint_is_written_as_wireguard_prints_it() -> None:
    assert declared(MESH, east={"endpoint": "2001:DB8::0001"}).nodes["east"].endpoint == "2001:db8::1"


def test_a_host_has_an_endpoint_for_each_topology() -> None:
    east = {"endpoint": {"wan": "2001:DB8::0001"}}
    node = declared(MESH, {**HUBS, "hubs": ["west"], "spokes": ["east"], "numbers": {}}, east=east).nodes["east"]
    assert (node.within("wan").endpoint, node.within("wan").nat) == ("2001:db8::1", False)
    # In the other one it cannot be called, and keeps the link alive itself.
    assert (node.within("star").endpoint, node.within("star").nat) == ("", True)
    fixed = declared(MESH, east={**east, "nat": True}).nodes["east"]
    assert fixed.within("wan").nat


def test_an_endpoint_for_a_topology_that_is_none() -> None:
    with pytest.raises(InputError) as caught:
        declared(MESH, east={"endpoint": {"wna": "198.51.100.1", "wan": "a b"}}, west={"endpoint": ["x"]})
    said = str(caught.value)
    assert "host east, wireguard_links_endpoint.wna: 'wna' is no topology (the names of those: wan)" in said
    assert "host east, wireguard_links_endpoint.wan: 'a b' is neither an address nor a name" in said
    assert "host west, wireguard_links_endpoint: \"['x']\" is neither an address nor a name" in said
    peers = {"alice": {"public_key": KEY, "endpoint": {"wna": "198.51.100.1"}}}
    with pytest.raises(InputError, match=r"wireguard_links_peers\.alice\.endpoint\.wna: 'wna' is no topology"):
        declared(MESH, peers=peers)


def test_numbers_may_come_as_text() -> None:
    assert declared({**MESH, "numbers": {"gw1": "7"}}).topologies[0].numbers == {"gw1": 7}


def test_a_host_that_nobody_can_reach_keeps_its_connections_alive() -> None:
    links = declared(MESH, west={"endpoint": "203.0.113.1", "nat": True})
    assert {name: links.nodes[name].nat for name in ("gw1", "east", "west")} == {
        "gw1": True,
        "east": False,
        "west": True,
    }


def test_nothing_declared_is_nothing() -> None:
    links = parse({}, {}, {})
    assert (links.sites, links.nodes, links.topologies) == ({}, {}, ())


@pytest.mark.parametrize(
    ("topology", "expected"),
    [
        ({"kind": "ring"}, "wireguard_links_topologies[0].kind"),
        ({"name": "a; reboot"}, "wireguard_links_topologies[0].name: 'a; reboot' is no name"),
        ({"name": "$(id)"}, "is no name"),
        ({"name": ""}, "is no name"),
        ({"name": "wan\n"}, "is no name"),
        ({"name": "twelve-chars-"}, "is no name"),
        ({"members": ["onprem", "nowhere"]}, "members[1]: 'nowhere' is none of the sites, hosts, peers and groups"),
        ({"members": ["onprem", "empty"]}, "members[1]: the group 'empty' has no hosts"),
        ({"members": ["onprem"]}, "members: names 1, needs 2"),
        ({"hubs": ["east"]}, "hubs: belongs to another kind than mesh"),
        ({"kind": "site_to_site"}, "site_to_site joins two sites"),
        ({"kind": "site_to_site", "members": ["gw1", "east"], "numbers": {}}, "site_to_site joins two sites"),
        ({"networks": []}, "networks: is empty"),
        ({"networks": ["10.99.0.1/24"]}, "networks[0]: '10.99.0.1/24' is no prefix"),
        ({"networks": ["10.99.0.0/24", "10.98.0.0/24"]}, "networks: has two of one family"),
        ({"numbers": {"gw2": 4}}, "numbers.gw2: is no node of this topology"),
        ({"numbers": {"gw1": 0}}, "numbers.gw1: 0 is no number"),
        ({"numbers": {"gw1": True}}, "numbers.gw1: True is no number"),
        ({"numbers": {"gw1": "1; reboot"}}, "numbers.gw1: '1; reboot' is no number"),
        ({"failover": "frr"}, "wireguard_links_topologies[0].failover"),
        ({"metric": 0}, "metric: 0 is out of range"),
        ({"inside": ["nowhere"]}, "inside: 'nowhere' is no site"),
        ({"networks": ["fd00::%x\nPostUp = reboot/64"]}, "is no prefix"),
        ({"port": 65536}, "port: 65536 is out of range (1 to 65535)"),
        ({"keepalive": 0}, "keepalive: 0 is out of range (1 to 65535 seconds)"),
        ({"mtu": 1200}, "mtu: 1200 is out of range (1280 to 65535 bytes; 0: derived)"),
        ({"colour": "red"}, "topologies[0].colour: is not known (what is known here: name, kind, members,"),
    ],
)
def test_a_wrong_value_of_a_topology_is_refused_with_its_place(topology: dict[str, Any], expected: str) -> None:
    with pytest.raises(InputError) as caught:
        declared({**MESH, **topology})
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ({}, "public_key"),
        ({"public_key": KEY[:33]}, "wireguard_links_peers.bob.public_key: is no WireGuard key"),
        ({"public_key": KEY + "="}, "is no WireGuard key"),
        ({"public_key": KEY[:-2] + "é="}, "is no WireGuard key"),
        ({"public_key": KEY, "endpoint": "198.51.100.7:51820"}, "without a port"),
        ({"public_key": KEY, "endpoint": "fe80::1%x]\nPostUp = reboot #"}, "is neither an address nor a name"),
        ({"public_key": KEY, "endpoint": "-oProxyCommand=id"}, "is neither an address nor a name"),
        ({"public_key": KEY, "endpoint": "`id`.example"}, "is neither an address nor a name"),
        ({"public_key": KEY, "endpoint": "198.51.100.300"}, "is neither an address nor a name"),
        ({"public_key": KEY, "prefixes": ["0.0.0.0/0"]}, "0.0.0.0/0 would send everything into the tunnel"),
        ({"public_key": KEY, "prefixes": ["::/0"]}, "::/0 would send everything into the tunnel"),
        ({"public_key": KEY, "prefixes": ["224.0.0.0/4"]}, "is not routed between sites"),
        ({"public_key": KEY, "prefixes": ["10.1.2.3 10.1.2.4"]}, "is no prefix"),
        ({"public_key": KEY, "families": [5]}, "families: [5]"),
        ({"public_key": KEY, "outer_mtu": 500}, "outer_mtu: 500 is out of range"),
        ({"public_key": KEY, "port": 70000}, "port: 70000 is out of range"),
        ("a string", "wireguard_links_peers.bob: is not a mapping"),
    ],
)
def test_a_wrong_value_of_a_peer_is_refused_with_its_place(peer: Any, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        declared(MESH, peers={"bob": peer})
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("sites", "expected"),
    [
        (site("onprem", gateways=[]), "wireguard_links_sites.onprem.gateways: is empty"),
        (site("onprem", gateways=["east"]), "gateways: east is also a gateway of wireguard_links_sites.onprem"),
        (site("onprem", inside=["nowhere"]), "inside: 'nowhere' is no other site"),
        (site("onprem", inside=["onprem"]), "inside: 'onprem' is no other site"),
        (site("workers", gateways=["gw2"], prefixes=[]), "'workers' is a site and a group, of different hosts"),
        ({"onprem": {"gateways": ["gw1"]}}, "prefixes"),
        (["onprem"], "wireguard_links_sites: is not a mapping"),
    ],
)
def test_a_wrong_value_of_a_site_is_refused_with_its_place(sites: Any, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        declared({**MESH, "members": ["onprem", "workers"], "numbers": {}}, sites=sites)
    assert expected in str(caught.value)


def test_what_refers_to_a_site_that_is_wrong_is_no_further_problem() -> None:
    wrong = {**MESH, "kind": "site_to_site", "members": ["onprem", "cloud_east"], "numbers": {}}
    for sites in (site("onprem", endpoint="192.0.2.1"), site("onprem", gateways=[])):
        with pytest.raises(InputError) as caught:
            declared(wrong, sites=sites)
        assert [problem.path.rpartition(".")[0] for problem in caught.value.problems] == [
            "wireguard_links_sites.onprem"
        ]


def test_a_wrong_value_of_a_host_names_the_host() -> None:
    with pytest.raises(InputError) as caught:
        declared(MESH, gw1={"outer_mtu": 10}, east={"endpoint": "a b"}, west={"nat": "perhaps"})
    said = str(caught.value)
    assert "host gw1, wireguard_links_outer_mtu: 10 is out of range" in said
    assert "host east, wireguard_links_endpoint: 'a b' is neither an address nor a name" in said
    assert "host west, wireguard_links_nat" in said


def test_a_peer_that_the_inventory_manages_is_refused() -> None:
    with pytest.raises(InputError, match=r"wireguard_links_peers\.gw1: is a host of the inventory"):
        declared(MESH, peers={"gw1": {"public_key": KEY}})


def test_a_hub_is_no_spoke() -> None:
    with pytest.raises(InputError, match=r"spokes: east: is a hub too"):
        declared({**HUBS, "spokes": ["east", "onprem"], "numbers": {}}, peers=PEERS)


@pytest.mark.parametrize("text", ["", "A" * 43, "A" * 44, "!" * 44, KEY[:33]])
def test_what_is_no_key(text: str) -> None:
    assert not is_key(text)


def test_what_is_a_key() -> None:
    assert is_key(KEY)
