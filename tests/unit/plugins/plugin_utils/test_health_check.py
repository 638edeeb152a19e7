# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host is asked and judged by: targets of its profile, classes of peers out of the inventory, and bad words."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError
from ansible_collections.netfleet.tcp.plugins.module_utils._health_asked import asked_from
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import OTHER
from ansible_collections.netfleet.tcp.plugins.module_utils._health_targets import BY_PROFILE, targets_of
from ansible_collections.netfleet.tcp.plugins.module_utils._indicators import MEASURES
from ansible_collections.netfleet.tcp.plugins.module_utils._peer_classes import PeerClasses
from ansible_collections.netfleet.tcp.plugins.module_utils._profiles import PROFILES
from ansible_collections.netfleet.tcp.plugins.plugin_utils._health_check import (
    SETTINGS,
    checked,
    derived_peers,
    merged_peers,
    profile_of,
    request,
)

SITES = {
    "onprem": {"prefixes": ["10.10.0.0/16"], "gateways": ["gw1"]},
    "east": {"prefixes": ["10.20.0.0/16", "2001:db8:20::/48"], "gateways": ["east1"]},
}
LINKS = {"sites": SITES, "topologies": [{"name": "wan", "networks": ["10.99.0.0/24"]}]}


def asked(profile: str = "cloud", links: Any = None, address: str = "192.0.2.1", **given: Any) -> dict[str, Any]:
    return request(checked(given), profile, derived_peers("h1", address, profile, links or {}))


def class_of(arguments: dict[str, Any], address: str) -> str:
    literal = ipaddress.ip_address(address)
    family = socket.AF_INET if literal.version == 4 else socket.AF_INET6
    return PeerClasses(arguments["peers"]).of(family, literal.packed.ljust(16, b"\0"))


def test_each_profile_and_measure_has_its_targets() -> None:
    assert set(BY_PROFILE) == set(PROFILES)
    assert all(set(targets_of(profile)) == set(MEASURES) for profile in (*PROFILES, ""))


@pytest.mark.parametrize(
    ("profile", "rtt"), [("local", {"local": 5.0}), ("cloud", {"cloud": 50.0}), ("wan", {}), ("edge", {}), ("", {})]
)
def test_the_targets_of_a_profile(profile: str, rtt: dict[str, float]) -> None:
    found = asked_from(asked(profile))
    assert found.rtt_targets == rtt
    assert found.targets["client_success"] == 99.9
    assert found.targets["retransmission"] == 0.5


def test_the_inventory_overrides_them_one_by_one() -> None:
    targets = {"retransmission": 2, "client_success": 0}
    found = asked_from(asked(targets=targets, rtt_targets={"cloud": 80, "other": "200"}))
    assert found.targets == {"server_success": 99.9, "retransmission": 2.0, "syn_retransmission": 2.0}
    assert found.rtt_targets == {"cloud": 80.0, "other": 200.0}


def test_a_target_for_a_class_that_other_hosts_have_is_no_mistake() -> None:
    """It stands in group_vars/all, and this host has no tunnel."""
    assert asked_from(asked(rtt_targets={"tunnel": 80, "local": 3})).rtt_targets == {"cloud": 50.0}


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"rtt_targets": {"tunel": 80}}, "tcp_health_rtt_targets.tunel"),
        ({"rtt_targets": {"cloud": "fast"}}, "tcp_health_rtt_targets.cloud"),
        ({"targets": {"retransmission": 100}}, "tcp_health_targets.retransmission"),
        ({"interval": 301}, "tcp_health_interval"),
        ({"peers": {"cloud": ["10.0.0.0/33"]}}, "tcp_health_peers.cloud[0]"),
        ({"peers": {"cloud": "10.0.0.0/8"}}, "tcp_health_peers.cloud"),
        ({"peers": {"other": ["10.0.0.0/8"]}}, "tcp_health_peers.other"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_the_variables_name(given: dict[str, Any], path: str) -> None:
    with pytest.raises(InputError) as caught:
        asked(**given)
    assert [problem.path for problem in caught.value.problems] == [path]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"interval": "soon"},
            "'tcp_health_interval' is of type str and we were unable to convert to float: it is no number",
        ),
        (
            {"targets": {"retransmision": 3}},
            "tcp_health_targets.retransmision: is not known (what is known here: client_success, retransmission,",
        ),
        (
            {"targets": {"a": 3, "b": 4}},
            "tcp_health_targets.a: is not known (see the documentation); tcp_health_targets.b: is not known (see ",
        ),
    ],
)
def test_what_ansible_finds_is_told_in_plain_words(given: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as caught:
        asked(**given)
    assert told in str(caught.value)


def test_names_of_classes_that_yaml_takes_for_numbers_are_names() -> None:
    found = asked_from(asked(peers={100: ["198.51.100.0/24"]}, rtt_targets={100: 7}))
    assert (found.peers["100"], found.rtt_targets["100"]) == (["198.51.100.0/24"], 7.0)
    with pytest.raises(InputError, match=r"tcp_health_rtt_targets\.200: there is no such class"):
        asked(rtt_targets={200: 7})


def test_what_one_host_is_given_is_no_default_of_another() -> None:
    checked({})
    assert SETTINGS["targets"]["default"] == {}


def test_an_indicator_that_there_is_not_is_refused() -> None:
    with pytest.raises(InputError, match="retransmissions"):
        checked({"targets": {"retransmissions": 1}})


def test_where_a_host_stands() -> None:
    assert profile_of("wan", ["cloud"]) == "wan", "as it is declared"
    assert profile_of("", ["all", "cloud", "databases"]) == "cloud"
    assert profile_of("", ["databases"]) == ""


def test_a_profile_that_cannot_be_told_is_refused() -> None:
    with pytest.raises(InputError, match="tcp_tuning_profile: the host is in the groups local and cloud"):
        profile_of("", ["cloud", "local"])
    with pytest.raises(InputError, match="tcp_tuning_profile: 'clod' is none"):
        profile_of("clod", ["cloud"])


def test_private_addresses_are_peers_of_the_profile_and_others_are_not() -> None:
    arguments = asked("local")
    found = {address: class_of(arguments, address) for address in ("10.1.2.3", "192.168.1.1", "fd00::1", "8.8.8.8")}
    assert found == {"10.1.2.3": "local", "192.168.1.1": "local", "fd00::1": "local", "8.8.8.8": OTHER}
    assert class_of(asked("wan"), "10.1.2.3") == OTHER


def test_tunnels_and_other_sites_are_behind_tunnels() -> None:
    arguments = asked("local", LINKS, address="10.10.3.4")
    ways = {
        "10.99.0.7": "tunnel",
        "10.20.1.1": "tunnel",
        "2001:db8:20::1": "tunnel",
        "10.10.9.9": "local",
        "10.77.0.1": "local",
    }
    assert {address: class_of(arguments, address) for address in ways} == ways


def test_a_gateway_is_in_its_own_site() -> None:
    found = derived_peers("gw1", "gw1.example.com", "local", LINKS)
    assert found["tunnel"] == ["10.99.0.0/24", "10.20.0.0/16", "2001:db8:20::/48"]


def test_where_the_own_site_is_not_known_no_site_is_behind_a_tunnel() -> None:
    """Else peers next door would have no target, unseen."""
    assert derived_peers("h1", "h1.example.com", "local", LINKS)["tunnel"] == ["10.99.0.0/24"]


def test_a_site_that_is_a_private_network_as_a_whole_has_one_class() -> None:
    sites = {"a": {"prefixes": ["10.0.0.0/8"], "gateways": ["x"]}, "b": {"prefixes": ["172.20.0.0/16"]}}
    arguments = asked("local", {"sites": sites}, address="172.20.0.1")
    assert class_of(arguments, "10.1.1.1") == "tunnel"
    assert class_of(arguments, "172.20.5.5") == "local"


@pytest.mark.parametrize(
    "links",
    [
        {"topologies": "wan", "sites": ["onprem"]},
        {"topologies": [7, {"networks": "10.99.0.0/24"}, {"networks": ["no", 5, None]}], "sites": {"a": "b"}},
        {"topologies": None, "sites": {"a": {"prefixes": None, "gateways": "h1"}}},
    ],
)
def test_a_declaration_of_links_that_cannot_be_read_is_for_its_own_role_to_refuse(links: Any) -> None:
    assert set(derived_peers("h1", "10.0.0.1", "cloud", links)) <= {"cloud", "tunnel"}


def test_what_the_user_names_is_taken_from_the_derived_classes() -> None:
    derived = {"local": ["10.0.0.0/8", "fc00::/7"], "tunnel": ["10.99.0.0/24"]}
    found = merged_peers(derived, {"backup": ["10.0.0.1/8"], "tunnel": ["10.98.0.0/24"]})
    assert found == {"local": ["fc00::/7"], "backup": ["10.0.0.1/8"], "tunnel": ["10.98.0.0/24"]}
    assert merged_peers({"local": ["10.0.0.0/8"]}, {"all": ["10.0.0.0/8"]}) == {"all": ["10.0.0.0/8"]}
