# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole declaration is analysed once for a task, whichever of its hosts is first, and no host reads another's."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError
from ansible_collections.netfleet.tcp.plugins.plugin_utils import _links_once as once
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_analysis import analysed
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_bgp import routing
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_once import HostLinks, by_host, links_once
from tests.unit.plugins.plugin_utils.sample_links import GROUPS, HOSTS, MESH, PEERS, SITES, declared

DECLARATION: dict[str, Any] = {"sites": SITES, "peers": PEERS, "topologies": [MESH]}
VARIABLES: dict[str, Any] = {
    "groups": GROUPS,
    "hostvars": {
        host: {"wireguard_links_" + name: value for name, value in own.items()} for host, own in HOSTS.items()
    },
}


def test_each_host_gets_its_own_and_others_none(tmp_path: Path) -> None:
    found = {host: links_once(host, DECLARATION, VARIABLES, str(tmp_path), "task") for host in HOSTS}
    wanted = analysed(declared(MESH))
    assert {host: links.interfaces for host, links in found.items() if links.interfaces} == wanted
    assert found["worker1"] == HostLinks()


def test_it_is_worked_out_once_for_a_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[str] = []
    whole = once.analysed

    def analyse(links: Any) -> Any:
        counted.append("")
        return whole(links)

    monkeypatch.setattr(once, "analysed", analyse)
    for host in HOSTS:
        links_once(host, copy.deepcopy(DECLARATION), VARIABLES, str(tmp_path), "task")
    assert len(counted) == 1
    links_once("gw1", DECLARATION, VARIABLES, str(tmp_path), "a later task")
    links_once("gw1", {**DECLARATION, "topologies": [{**MESH, "port": 1}]}, VARIABLES, str(tmp_path), "task")
    assert len(counted) == 3


def test_workers_that_come_at_the_same_time_wait_for_the_first(tmp_path: Path) -> None:
    children = []
    for host in ("gw1", "east", "west", "worker1"):
        child = os.fork()
        if child == 0:
            links = links_once(host, DECLARATION, VARIABLES, str(tmp_path), "task")
            os._exit(len(links.interfaces))
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [1, 1, 1, 0]


def test_a_fault_of_the_declaration_is_told_to_each_host(tmp_path: Path) -> None:
    wrong = {**DECLARATION, "topologies": [{**MESH, "port": 99999}, {**MESH, "name": "no/name"}]}
    for host in ("gw1", "worker1"):
        with pytest.raises(InputError) as caught:
            links_once(host, wrong, VARIABLES, str(tmp_path), "task")
        assert [problem.path for problem in caught.value.problems] == [
            "wireguard_links_topologies[0].port",
            "wireguard_links_topologies[1].name",
        ]


def test_a_link_is_kept_alive_by_either_end() -> None:
    found = by_host(analysed(declared(MESH)), {})
    # gw1 is behind NAT, and calls the two clouds, which each other reach without.
    assert found["gw1"].kept == {"wg-wan": ("east", "west")}
    assert found["east"].kept == {"wg-wan": ("gw1",)}


def test_what_a_routing_daemon_is_to_have_is_worked_out_with_the_links(tmp_path: Path) -> None:
    topology = {**MESH, "interface_per_peer": True, "failover": "bgp", "networks": ["10.99.0.0/24", "fd00:99::/64"]}
    declaration = {**DECLARATION, "topologies": [topology]}
    found = links_once("gw1", declaration, VARIABLES, str(tmp_path), "task")
    assert found.routing == routing(declared(topology))["gw1"]
    assert links_once("gw1", DECLARATION, VARIABLES, str(tmp_path), "task").routing is None
