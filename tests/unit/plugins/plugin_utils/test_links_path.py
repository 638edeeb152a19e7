# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tunnel is as narrow as its narrowest path; what is not answered changes nothing, today or later."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._model import Baseline, Observed
from ansible_collections.netfleet.tcp.plugins.module_utils._plan import desired_state, make_plan
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_files import BACKENDS, WG_QUICK
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel, TunnelPeer
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_analysis import analysed
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_desired import DesiredLinks, LinkSettings
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_path import addresses_to_probe
from tests.unit.plugins.plugin_utils.sample_links import MESH, declared
from tests.unit.plugins.plugin_utils.test_links_desired import KEYS, OBSERVED, links_of

EAST, WEST = "198.51.100.1", "203.0.113.1"
PROBING = LinkSettings(probe_mtu=True)
# By the declaration alone: west takes 1460, less 60, to a multiple of 16.
DECLARED = 1392


def found(paths: dict[str, int], observed: Observed = OBSERVED, **more: Any) -> DesiredLinks:
    return links_of(observed=replace(observed, path_mtu=paths), settings=more.pop("settings", PROBING), **more)


def mtu(links: DesiredLinks) -> int:
    (tunnel,) = links.desired.tunnels
    return tunnel.mtu


def applied(links: DesiredLinks) -> Observed:
    """The host once it is as desired."""
    files = {entry.path: desired_state(entry) for entry in links.desired.files}
    tunnels: dict[str, Tunnel] = {tunnel.name: tunnel for tunnel in links.desired.tunnels}
    baseline = Baseline(tunnels=dict.fromkeys(tunnels))
    return replace(OBSERVED, files=files, tunnels=tunnels, baseline=baseline)


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ({EAST: 1500, WEST: 1500}, DECLARED),
        ({EAST: 1500, WEST: 1388}, 1328),
        ({EAST: 1340, WEST: 1388}, 1280),
        ({EAST: 0, WEST: 1388}, 1328),
        ({EAST: 0, WEST: 0}, DECLARED),
        ({}, DECLARED),
    ],
)
def test_the_narrowest_path_decides_and_none_widens_what_is_declared(paths: dict[str, int], expected: int) -> None:
    assert mtu(found(paths)) == expected


def test_it_is_done_only_where_it_is_asked_for() -> None:
    assert mtu(found({EAST: 1340, WEST: 1340}, settings=LinkSettings())) == DECLARED


def test_the_change_says_why() -> None:
    links = found({EAST: 1500, WEST: 1388})
    why = "packets of 1388 bytes get through to west (203.0.113.1), larger ones do not"
    (made,) = [change for change in make_plan(links.desired, OBSERVED).changes if change.subject == "tunnel"]
    assert (made.key, made.reason) == ("wg-wan", why)
    wide = applied(found({EAST: 1500, WEST: 1500}))
    plan = make_plan(found({EAST: 1500, WEST: 1388}, wide).desired, wide)
    changed, clamped = [change for change in plan.changes if change.subject == "tunnel"]
    assert (changed.key, changed.want, changed.running, changed.reason) == ("wg-wan MTU", "1328", "1392", why)
    assert (clamped.key, clamped.reason) == ("wg-wan MSS clamp", why)


def test_who_does_not_answer_is_named() -> None:
    links = found({EAST: 0, WEST: 1500})
    assert [(finding.key, finding.severity) for finding in links.findings] == [("wg-wan peer east", "note")]
    assert "198.51.100.1 answers no large echoes" in links.findings[0].reason


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("later", [{EAST: 1500, WEST: 1388}, {EAST: 1500, WEST: 0}, {EAST: 0, WEST: 0}, {}])
def test_a_later_run_changes_nothing_whoever_answers(backend: str, later: dict[str, int]) -> None:
    settings = replace(PROBING, backend=backend)
    host = applied(found({EAST: 1500, WEST: 1388}, settings=settings))
    again = found(later, host, settings=settings)
    assert mtu(again) == 1328
    assert make_plan(again.desired, host).changes == ()


def test_a_path_that_has_become_wider_is_used() -> None:
    host = applied(found({EAST: 1500, WEST: 1388}))
    assert mtu(found({EAST: 1500, WEST: 1500}, host)) == DECLARED


def test_a_name_and_a_peer_that_roams_are_asked_where_they_are() -> None:
    hosts: dict[str, Any] = {"east": {"endpoint": "gw.example.net", "nat": False}}
    settings = replace(PROBING, backend=WG_QUICK)
    host = applied(found({}, replace(OBSERVED, resolved={"gw.example.net": (EAST,)}), settings=settings, **hosts))
    names = replace(host, resolved={"gw.example.net": ("192.0.2.1", EAST)})
    (tunnel,) = host.tunnels.values()
    peers = tuple(
        replace(peer, endpoint=EAST + ":51820") if peer.public_key == KEYS["east"] else peer for peer in tunnel.peers
    )
    live = replace(names, tunnels={tunnel.name: replace(tunnel, peers=peers)})
    assert mtu(found({EAST: 1340, "192.0.2.1": 1500}, live, settings=settings, **hosts)) == 1280
    assert mtu(found({EAST: 1500, "192.0.2.1": 1340}, names, settings=settings, **hosts)) == 1280
    roamed = tuple(replace(peer, endpoint="[2001:db8::9]:7") for peer in tunnel.peers)
    east = replace(OBSERVED, tunnel_key=KEYS["east"], tunnels={"wg-wan": replace(tunnel, peers=roamed)})
    east = replace(east, tunnels={"wg-wan": replace(tunnel, peers=(replace(roamed[0], public_key=KEYS["gw1"]),))})
    # gw1 has no endpoint: it comes from wherever it is.
    assert mtu(found({"2001:db8::9": 1392, WEST: 1500}, east, host="east")) == 1312


def test_what_is_probed_is_where_peers_are_declared_and_where_they_are() -> None:
    hosts: dict[str, Any] = {"east": {"endpoint": "gw.example.net", "nat": False}}
    wanted = analysed(declared(MESH, **hosts))
    assert addresses_to_probe(wanted["gw1"], OBSERVED) == [WEST]
    known = replace(OBSERVED, resolved={"gw.example.net": (EAST, "192.0.2.1"), WEST: (WEST,)})
    assert addresses_to_probe(wanted["gw1"], known) == [EAST, WEST]
    live = Tunnel("wg-wan", peers=(TunnelPeer(KEYS["gw1"], endpoint="[2001:db8::9]:7"), TunnelPeer(KEYS["west"])))
    assert addresses_to_probe(wanted["east"], replace(OBSERVED, tunnels={"wg-wan": live})) == [WEST, "2001:db8::9"]
    assert addresses_to_probe((), OBSERVED) == []


def test_ipv6_is_not_made_to_fit_where_it_cannot() -> None:
    links = found({EAST: 1292, WEST: 1500})
    assert mtu(links) == 1232
    both = found({EAST: 1292, WEST: 1500}, topology=IPV6_TOO)
    assert mtu(both) == 1280
    assert [(finding.key, finding.severity) for finding in both.findings] == [("wg-wan MTU", "warning")]


IPV6_TOO: dict[str, Any] = {
    "name": "wan",
    "kind": "mesh",
    "members": ["onprem", "cloud_east", "cloud_west"],
    "networks": ["10.99.0.0/24", "fd00:99::/64"],
    "numbers": {"gw1": 1, "east": 2, "west": 3},
}
