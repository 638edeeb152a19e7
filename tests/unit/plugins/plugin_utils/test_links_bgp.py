# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""FRR's configuration as it is derived: what each end takes and tells, which link is preferred, what cannot work."""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError
from ansible_collections.netfleet.tcp.plugins.module_utils._frr import CONFIGURATION, DAEMONS_FILE
from ansible_collections.netfleet.tcp.plugins.module_utils._model import FileState, Routing
from ansible_collections.netfleet.tcp.plugins.plugin_utils import _links_bgp as bgp
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_analysis import analysed
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_model import Links
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_topology import interfaces
from tests.unit.plugins.plugin_utils.sample_links import HUBS, MESH, PEERS, SITES, declared, site

GOLDEN = Path(__file__).parents[2] / "fixtures" / "frr" / "frr.conf"
TWO_FAMILIES = ["10.99.0.0/24", "fd00:99::/64"]
REDUNDANT: dict[str, Any] = {
    **MESH,
    "interface_per_peer": True,
    "failover": "bgp",
    "networks": TWO_FAMILIES,
    "numbers": {"gw1": 1, "east": 3, "west": 4},
}
NUMBERS = {**REDUNDANT["numbers"], "gw2": 2}
TWO_HUBS: dict[str, Any] = {
    **HUBS,
    "hubs": ["east", "west"],
    "spokes": ["onprem", "alice"],
    "interface_per_peer": True,
    "failover": "bgp",
    "networks": ["10.98.0.0/24", "fd00:98::/64"],
}


def mesh(**more: Any) -> Links:
    return declared({**REDUNDANT, "numbers": NUMBERS, **more}, sites=site("onprem", gateways=["gw1", "gw2"]))


def prefixes(text: str, name: str) -> list[str]:
    """What a prefix list permits."""
    return re.findall(r"^ip(?:v6)? prefix-list %s seq \d+ permit (\S+)$" % re.escape(name), text, re.MULTILINE)


def preferences(text: str, route_map: str) -> dict[str, int]:
    """The local preference that a route map gives, by prefix."""
    found = {}
    pattern = r"^route-map %s permit \d+\n match \S+ address prefix-list (\S+)\n set local-preference (\d+)$"
    for name, preferred in re.findall(pattern % re.escape(route_map), text, re.MULTILINE):
        found.update(dict.fromkeys(prefixes(text, name), int(preferred)))
    return found


def test_the_whole_configuration_of_a_cloud_with_two_gateways_at_the_other_end() -> None:
    """FRR itself takes it, and moves traffic by it: python -m tools.failover."""
    assert bgp.routing(mesh())["east"].text == GOLDEN.read_text(encoding="utf-8")


def test_only_nodes_whose_links_need_it_have_a_routing_daemon() -> None:
    assert set(bgp.routing(mesh())) == {"gw1", "gw2", "east", "west"}
    assert bgp.routing(mesh(failover="metric")) == {}


def test_neighbors_are_named_with_their_interfaces() -> None:
    found = bgp.routing(mesh())["east"].neighbors
    assert ("10.99.0.1", "gw1", "wg-wan-1") in found
    # A session of IPv6 would have nothing to say between clouds that have IPv4 alone.
    assert [entry[0] for entry in found] == ["10.99.0.1", "fd00:99::1", "10.99.0.2", "fd00:99::2", "10.99.0.4"]


def test_gateways_are_preferred_in_their_order() -> None:
    text = bgp.routing(mesh())["east"].text
    first, second = (preferences(text, "wg-wan-%d-ipv4-in" % number) for number in (1, 2))
    assert first["10.10.0.0/16"] == second["10.10.0.0/16"] + 1


@pytest.mark.parametrize("links", [mesh(), declared(TWO_HUBS)])
def test_each_takes_what_the_other_may_announce_and_nothing_else(links: Links) -> None:
    found = bgp.routing(links)
    for node, wanted in found.items():
        for _address, peer, interface in wanted.neighbors:
            back = next(own for _address, other, own in found[peer].neighbors if other == node)
            for version in (4, 6):
                taken = set(preferences(wanted.text, "%s-ipv%d-in" % (interface, version)))
                given = set(prefixes(found[peer].text, "%s-ipv%d-out" % (back, version)))
                assert taken == given, (node, peer)
                assert not taken & {str(prefix) for prefix in links.behind(node)}


def test_wireguard_lets_through_what_bgp_may_send() -> None:
    """A packet to a prefix that the peer's allowed IPs have not would be dropped, whatever is routed."""
    for links in (mesh(), declared(TWO_HUBS)):
        found, wanted = bgp.routing(links), interfaces(links)
        for node, each in found.items():
            for interface in wanted[node]:
                allowed = [ip_network(prefix) for peer in interface.peers for prefix in peer.allowed]
                for version in (4, 6):
                    for prefix in map(ip_network, preferences(each.text, "%s-ipv%d-in" % (interface.name, version))):
                        assert any(prefix.version == a.version and prefix.subnet_of(a) for a in allowed)  # type: ignore[arg-type]


def test_our_own_routes_are_but_those_to_the_peers_themselves() -> None:
    for found in interfaces(mesh()).values():
        for interface in found:
            for peer in interface.peers:
                assert all(route.prefix.endswith(("/32", "/128")) for route in peer.routes)


def test_the_way_over_another_hub_comes_after_the_direct_one() -> None:
    text = bgp.routing(declared(TWO_HUBS))["east"].text
    direct = preferences(text, "wg-star-1-ipv4-in")["10.10.0.0/16"]
    over_west = preferences(text, "wg-star-3-ipv4-in")["10.10.0.0/16"]
    assert direct - over_west > 50


def test_a_hub_announces_for_those_who_do_not_speak_and_routes_to_them_itself() -> None:
    peers = {"alice": {**PEERS["alice"], "prefixes": ["10.66.0.0/24"]}}
    links = declared(TWO_HUBS, peers=peers)
    found = bgp.routing(links)
    assert "\n  network 10.66.0.0/24\n" in found["east"].text
    assert all(node != "alice" for _address, node, _interface in found["east"].neighbors)
    (alice,) = [peer for each in interfaces(links)["east"] for peer in each.peers if peer.node == "alice"]
    assert "10.66.0.0/24" in [route.prefix for route in alice.routes]
    # One that speaks announces its own.
    speaking = declared(TWO_HUBS, peers={"alice": {**peers["alice"], "as_number": 64512}})
    text = bgp.routing(speaking)["east"].text
    assert "neighbor 10.98.0.4 remote-as 64512" in text
    assert "\n  network 10.66.0.0/24\n" not in text


def test_numbers_are_private_and_depend_on_the_name_alone() -> None:
    links = mesh()
    numbers = {name: bgp.as_number_of(links, name) for name in ("gw1", "gw2", "east", "west")}
    assert len(set(numbers.values())) == 4
    assert all(bgp.FIRST_PRIVATE_AS <= number <= bgp.LAST_PRIVATE_AS for number in numbers.values())
    assert bgp.as_number_of(declared(MESH), "east") == numbers["east"]
    assert bgp.as_number_of(declared(MESH, east={"endpoint": "198.51.100.1", "as_number": 64512}), "east") == 64512


def test_a_node_without_ipv4_has_a_router_id_that_frr_takes() -> None:
    sites = {name: {**entry, "prefixes": ["fd00:%d::/48" % n]} for n, (name, entry) in enumerate(SITES.items(), 1)}
    text = bgp.routing(declared({**REDUNDANT, "networks": TWO_FAMILIES[1:]}, sites=sites))["east"].text
    (first,) = re.findall(r"^ bgp router-id (\d+)\.", text, re.MULTILINE)
    assert 1 <= int(first) < 224
    assert "ipv4 unicast\n" not in text


def test_timers_of_bfd_are_the_topologys() -> None:
    text = bgp.routing(mesh(bfd_interval=500, bfd_multiplier=4))["gw1"].text
    assert " profile wan\n  detect-multiplier 4\n  receive-interval 500\n  transmit-interval 500\n" in text


def test_bfd_asks_each_neighbor_whether_or_not_bgp_has_a_session() -> None:
    """FRR 8 begins to ask with a session of BGP alone, and FRR 10 has none before it was answered."""
    text = bgp.routing(mesh())["gw1"].text
    own = dict(re.findall(r"^ neighbor (\S+) update-source (\S+)$", text, re.MULTILINE))
    asked = dict(re.findall(r"^ peer (\S+) multihop local-address (\S+)\n  profile wan\n exit$", text, re.MULTILINE))
    assert len(own) == 4
    assert asked == own


@pytest.mark.parametrize(
    ("topology", "hosts", "expected"),
    [
        ({"interface_per_peer": False}, {}, "failover bgp needs an interface for each link"),
        (
            {"networks": ["10.99.0.0/24"]},
            {},
            r"topologies\[0\]\.networks: have none of IPv6, over which 2001:db8:10::/48 of gw1 could be announced",
        ),
        (
            {},
            {
                "east": {"endpoint": "198.51.100.1", "as_number": 64512},
                "west": {"endpoint": "203.0.113.1", "as_number": 64512},
            },
            "host west, wireguard_links_as_number: east and west would both have number 64512",
        ),
        ({"bfd_interval": 10}, {}, r"bfd_interval: 10 is out of range \(50 to 5000 milliseconds"),
        ({"bfd_multiplier": 1}, {}, "bfd_multiplier: 1 is out of range"),
        ({}, {"east": {"endpoint": "198.51.100.1", "as_number": -1}}, "as_number: -1 is out of range"),
    ],
)
def test_what_cannot_work_is_refused(topology: dict[str, Any], hosts: dict[str, Any], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        analysed(declared({**REDUNDANT, **topology}, **hosts))


def test_a_fixed_route_beside_the_daemons_is_refused() -> None:
    fixed = {**MESH, "name": "old", "networks": ["10.97.0.0/24"], "port": 52000}
    with pytest.raises(InputError, match=r"topologies\[1\]: routes 10.20.0.0/16 into wg-old on gw1, dead or alive"):
        analysed(declared(REDUNDANT, fixed))


def test_what_the_role_has_to_do_about_the_daemon() -> None:
    ours = {
        CONFIGURATION: FileState(CONFIGURATION, "file", text="# Managed by netfleet.tcp: ..."),
        DAEMONS_FILE: FileState(DAEMONS_FILE, "file"),
    }
    assert bgp.routing_seen({}, {}, ()) == {
        "wanted": False,
        "text": "",
        "neighbors": [],
        "present": [],
        "current": False,
        "installed": False,
        "ours": False,
    }
    wanted = {"text": "!", "neighbors": [["10.99.0.1", "gw1", "wg-wan-1"], ["10.99.0.2", "gw2", "wg-wan-2"]]}
    found = bgp.routing_seen(wanted, ours, ("wg-wan-1",))
    assert (found["wanted"], found["installed"], found["ours"]) == (True, True, True)
    gateways = [{"address": "10.99.0.%d" % n, "name": "gw%d (10.99.0.%d, wg-wan-%d)" % (n, n, n)} for n in (1, 2)]
    assert (found["neighbors"], found["present"]) == (gateways, gateways[:1])


@pytest.mark.parametrize(
    ("text", "daemons", "running", "current"),
    [
        ("!", "bgpd=yes\nbfdd=yes\n", ("zebra", "bgpd", "bfdd"), True),
        ("! by hand", "bgpd=yes\nbfdd=yes\n", ("zebra", "bgpd", "bfdd"), False),
        ("!", "bgpd=yes\nbfdd=no\n", ("zebra", "bgpd", "bfdd"), False),
        ("!", "bgpd=yes\nbfdd=yes\n", ("zebra", "bgpd"), False),
        ("!", "bgpd=yes\nbfdd=yes\n", (), False),
    ],
)
def test_a_host_whose_daemon_is_as_declared_need_not_be_visited_for_it(
    text: str, daemons: str, running: tuple[str, ...], current: bool
) -> None:
    files = {
        CONFIGURATION: FileState(CONFIGURATION, "file", 0o640, text),
        DAEMONS_FILE: FileState(DAEMONS_FILE, "file", 0o640, daemons),
    }
    wanted = {"text": "!", "neighbors": []}
    assert bgp.routing_seen(wanted, files, (), Routing(running, True))["current"] is current
    assert not bgp.routing_seen(wanted, files, (), None)["current"]
    assert not bgp.routing_seen({}, files, (), Routing(running, True))["current"]


def test_what_a_daemons_routes_cannot_have_is_refused_with_a_cure() -> None:
    settings = {"congestion_control": "bbr", "initcwnd": 0, "initrwnd": 20}
    found = list(bgp.of_routes(settings))
    assert [(entry.key, entry.severity) for entry in found] == [
        ("wireguard_links_congestion_control", "error"),
        ("wireguard_links_initrwnd", "error"),
    ]
    assert "tcp_tuning_congestion_control" in found[0].cure


def test_of_two_providers_both_ends_prefer_the_one_with_the_smaller_metric() -> None:
    first = {**REDUNDANT, "name": "isp1", "members": ["gw1", "east"], "numbers": {"gw1": 1, "east": 3}}
    second = {**first, "name": "isp2", "networks": ["10.98.0.0/24", "fd00:98::/64"], "port": 52900, "metric": 80}
    links = declared(first, second, east={"endpoint": {"isp1": "198.51.100.1", "isp2": "203.0.113.77"}})
    analysed(links)
    found = bgp.routing(links)
    for node, number, prefix in (("gw1", 3, "10.20.0.0/16"), ("east", 1, "10.10.0.0/16")):
        one, other = (
            preferences(found[node].text, "wg-%s-%d-ipv4-in" % (name, number))[prefix] for name in ("isp1", "isp2")
        )
        assert one - other == 30
        assert [interface for _address, _node, interface in found[node].neighbors] == [
            "wg-%s-%d" % (name, number) for name in ("isp1", "isp1", "isp2", "isp2")
        ]
