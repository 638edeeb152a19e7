# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The routing daemon in the steps of the role: one change with that of the links, which host by host ends as one."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.netfleet.tcp.plugins.action.wireguard_links import MADE, ROUTED, UNROUTED
from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint_store import (
    identifiers,
    read_ended,
    read_pending,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._frr import CONFIGURATION
from ansible_collections.netfleet.tcp.plugins.module_utils._revert_main import take_back as clock_ends
from tests.unit.plugins.plugin_utils.a_fleet import ALL, ROUTED_MESH, AFleet
from tests.unit.plugins.plugin_utils.sample_links import MESH

STATIC = {**ROUTED_MESH, "failover": "metric"}


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch) -> AFleet:
    fleet = AFleet(monkeypatch)
    fleet.topology = ROUTED_MESH
    return fleet


@pytest.fixture
def routed(fleet: AFleet) -> AFleet:
    """Links and FRR are up, and everybody is in touch."""
    assert not failed(fleet.run())
    fleet.talk()
    fleet.begin()
    fleet.executed.clear()
    return fleet


def failed(answers: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {host: answer["msg"] for host, answer in answers.items() if answer.get("failed")}


def state(fleet: AFleet) -> dict[str, Any]:
    return {host: (system.state, system.tunnels) for host, system in fleet.systems.items()}


def states(fleet: AFleet) -> dict[str, Any]:
    return {host: system.state for host, system in fleet.systems.items()}


def waiting(fleet: AFleet) -> list[str]:
    return [host for host, system in fleet.systems.items() if read_pending(system)]


def test_both_are_one_change_of_one_run(fleet: AFleet) -> None:
    before = states(fleet)
    made = fleet.make()
    assert waiting(fleet) == list(ALL)
    for host in ALL:
        routed, change = fleet.variables[host][ROUTED]["change"], made[host]["change"]
        assert routed["id"] == change["id"]
        assert {entry["subject"] for entry in made[host]["changes"]} == {"routing", "file", "tunnel"}
        assert fleet.systems[host].tunnels
        assert "router bgp" in fleet.systems[host].live
    assert len({answer["change"]["run"] for answer in made.values()}) == 1
    for system in fleet.systems.values():
        system.uptime += 120
        clock_ends(system)
        assert system.tunnels == {}
    assert states(fleet) == before


def test_what_is_as_declared_is_visited_once(routed: AFleet) -> None:
    assert [len(identifiers(system)) for system in routed.systems.values()] == [1, 1, 1]
    made = routed.make()
    assert {host: answer["changed"] for host, answer in made.items()} == dict.fromkeys(ALL, False)
    assert routed.executed == [(host, "tcp_facts") for host in ALL]
    assert routed.variables["gw1"][ROUTED]["skipped"]


def test_a_change_of_frr_alone_waits_and_is_confirmed(routed: AFleet) -> None:
    system = routed.systems["gw1"]
    wanted = system.text(CONFIGURATION)
    system.put(CONFIGURATION, wanted + "! by hand\n", 0o640)
    made = routed.make()
    assert ("gw1", "tcp_apply") not in routed.executed
    assert made["gw1"]["change"] == routed.variables["gw1"][ROUTED]["change"]
    assert [entry["key"] for entry in made["gw1"]["changes"]] == [CONFIGURATION]
    assert waiting(routed) == ["gw1"]
    ended = routed.end()
    assert not failed(ended)
    assert (ended["gw1"]["change"]["outcome"], waiting(routed)) == ("confirmed", [])
    assert system.text(CONFIGURATION) == wanted


def test_a_run_that_is_refused_leaves_frr_alone(fleet: AFleet) -> None:
    before = states(fleet)
    gateway = fleet.systems["gw1"]
    gateway.nftables = False
    fleet.look()
    assert "cannot be clamped" in fleet.step("gw1", "route")["msg"]
    assert states(fleet) == before
    assert not gateway.steps


def test_a_host_that_fails_gives_frr_back_and_so_do_its_peers(fleet: AFleet) -> None:
    before = states(fleet)
    fleet.broken["gw1", "tcp_apply"] = {"failed": True, "msg": "it is broken"}
    fleet.make()
    assert "change" not in fleet.variables["gw1"][MADE]
    ended = fleet.end()
    assert {host: answer["msg"] for host, answer in ended.items()} == dict.fromkeys(
        ("east", "west"), "taken back: the link to gw1 is taken back there"
    )
    gateway = fleet.systems["gw1"]
    gateway.uptime += 120
    clock_ends(gateway)
    assert states(fleet) == before
    assert [system.tunnels for system in fleet.systems.values()] == [{}, {}, {}]


def test_a_host_that_is_cut_off_by_it_takes_it_back_by_itself(routed: AFleet) -> None:
    before = state(routed)
    for system in routed.systems.values():
        system.put(CONFIGURATION, "# Managed by netfleet.tcp\nrouter bgp 1\n", 0o640)
        system.live = system.text(CONFIGURATION)
    other = state(routed)
    assert other != before
    routed.look()
    routed.each("route")
    assert state(routed) == before
    routed.lost = set(ALL)
    assert all(answer.get("unreachable") or "change" in answer for answer in routed.each("make").values())
    for system in routed.systems.values():
        system.uptime += 120
        clock_ends(system)
    assert state(routed) == other


def test_frr_goes_after_the_routes_of_the_links_have_come(routed: AFleet) -> None:
    routed.topology = STATIC
    order: list[tuple[str, str]] = []
    for host, system in routed.systems.items():
        steps = system.steps

        def note(_number: int, host: str = host, steps: list[str] = steps) -> None:
            if "ip -batch" in steps[-1] or "systemctl restart" in steps[-1] or steps[-1].startswith("ip "):
                order.append((host, "frr" if "systemctl" in steps[-1] else "routes"))

        system.on_step = note
    routed.make()
    assert waiting(routed) == list(ALL)
    frr = [number for number, (_host, what) in enumerate(order) if what == "frr"]
    assert len(frr) == len(ALL)
    assert max(number for number, (_host, what) in enumerate(order) if what == "routes") < min(frr)
    for host in ALL:
        variables = routed.variables[host]
        assert variables[MADE]["change"]["id"] == variables[UNROUTED]["change"]["id"]
    assert not failed(routed.end())
    assert [system.running for system in routed.systems.values()] == ["zebra staticd"] * 3
    assert [len(identifiers(system)) for system in routed.systems.values()] == [2, 2, 2]


def test_the_way_to_fixed_routes_is_taken_back_as_one(routed: AFleet) -> None:
    before = state(routed)
    routed.topology = STATIC
    routed.make()
    assert state(routed) != before
    for system in routed.systems.values():
        system.uptime += 120
        clock_ends(system)
    assert state(routed) == before


def test_a_daemon_that_cannot_go_takes_the_links_back_too(routed: AFleet) -> None:
    before = state(routed)
    routed.topology = STATIC
    routed.broken["gw1", "frr_config"] = {"failed": True, "msg": "it is broken"}
    routed.make()
    ended = routed.end()
    assert set(failed(ended)) == {"east", "west"}
    gateway = routed.systems["gw1"]
    gateway.uptime += 120
    clock_ends(gateway)
    assert state(routed) == before


def test_absent_takes_both_away_in_one_change(routed: AFleet) -> None:
    routed.settings["state"] = "absent"
    routed.make()
    assert not failed(routed.end())
    assert [system.tunnels for system in routed.systems.values()] == [{}, {}, {}]
    for system in routed.systems.values():
        assert "router bgp" not in system.text(CONFIGURATION)
        ended = read_ended(system, identifiers(system)[-1])
        assert ended is not None
        assert (ended.before.routing is not None, bool(ended.before.tunnels)) == (True, True)


def test_without_a_window_it_is_final_at_once(fleet: AFleet) -> None:
    fleet.settings["confirm"] = 0
    made = fleet.make()
    assert not failed(made)
    assert waiting(fleet) == []
    assert all("router bgp" in system.live for system in fleet.systems.values())


def test_check_mode_says_both_and_does_neither(fleet: AFleet) -> None:
    before = states(fleet)
    fleet.check_mode = True
    made = fleet.make()
    assert not failed(made)
    assert all(fleet.variables[host][ROUTED]["changed"] for host in ALL)
    assert states(fleet) == before
    assert not any(system.steps for system in fleet.systems.values())


def test_links_that_need_no_daemon_do_not_touch_it(fleet: AFleet) -> None:
    fleet.topology = MESH
    assert not failed(fleet.run())
    assert not any(name == "frr_config" for _host, name in fleet.executed)
    assert "skip_reason" in fleet.step("gw1", "route")
