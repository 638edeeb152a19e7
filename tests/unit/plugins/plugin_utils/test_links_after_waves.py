# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""tune.yml sees to links and kube-proxy after its waves: on hosts that have them, and where no wave has failed."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import yaml
from ansible import context
from ansible.plugins.action import ActionBase
from jinja2 import ChainableUndefined
from jinja2.nativetypes import NativeEnvironment

from ansible_collections.netfleet.tcp.plugins.action import tcp_gate, tcp_waves
from ansible_collections.netfleet.tcp.plugins.plugin_utils._waves import ENDED, LOOK, SCHEDULE

PLAYS = yaml.safe_load((Path(__file__).resolve().parents[4] / "playbooks" / "tune.yml").read_text(encoding="utf-8"))
(LINKS,) = (play for play in PLAYS if play["name"] == "Bring links to the declared state")
(KUBE_PROXY,) = (play for play in PLAYS if play["name"] == "Bring kube-proxy to the declared mode")
SETTINGS = {"waves": [1, "100%"], "max_failed": 10, "watched": 0}


def run(module: Any, arguments: dict[str, Any], check: bool, monkeypatch: pytest.MonkeyPatch, **given: Any) -> Any:
    monkeypatch.setattr(ActionBase, "run", lambda *_arguments: {})
    action = object.__new__(module.ActionModule)
    action._task, action._display = Mock(args=arguments, check_mode=check, _uuid="run"), Mock()
    return action.run(None, given)


def hosts_of(play: dict[str, Any], facts: dict[str, Any]) -> Any:
    variables = {"hostvars": {"localhost": {"ansible_facts": facts}}}
    return NativeEnvironment(undefined=ChainableUndefined).from_string(play["hosts"]).render(variables)


@pytest.mark.parametrize(
    ("declares", "expected"),
    [({"a", "c"}, ["a", "c"]), ({"a", "b", "c"}, ["a", "b", "c"]), (set(), ["all:!all"])],
)
def test_hosts_that_declare_links_are_those_of_the_play(
    declares: set[str], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hostvars: dict[str, dict[str, Any]] = {name: {LOOK: {"after": {}}} for name in "abc"}
    for name in declares:
        hostvars[name]["wireguard_links_topologies"] = []
    monkeypatch.setattr(context, "CLIARGS", {"forks": 5})
    found = run(tcp_waves, {}, False, monkeypatch, hostvars=hostvars, ansible_play_hosts_all=list("abc"))
    assert found["ansible_facts"][SCHEDULE]["unchanged"] == list("abc")
    assert hosts_of(LINKS, found["ansible_facts"]) == expected


@pytest.mark.parametrize("play", [LINKS, KUBE_PROXY])
def test_where_no_waves_were_planned_nothing_follows(play: dict[str, Any]) -> None:
    assert hosts_of(play, {}) == ["all:!all"]


@pytest.mark.parametrize(
    ("nodes", "expected"), [(["c", "a", "z"], ["a", "c"]), (None, ["all:!all"]), ([], ["all:!all"])]
)
def test_hosts_whose_kube_proxy_is_seen_to_are_the_nodes_of_the_play(
    nodes: list[str] | None, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hostvars: dict[str, dict[str, Any]] = {name: {LOOK: {"after": {}}} for name in "abc"}
    monkeypatch.setattr(context, "CLIARGS", {"forks": 5})
    groups = {} if nodes is None else {"kubernetes_nodes": nodes}
    found = run(tcp_waves, {}, False, monkeypatch, hostvars=hostvars, ansible_play_hosts_all=list("abc"), groups=groups)
    assert hosts_of(KUBE_PROXY, found["ansible_facts"]) == expected


@pytest.mark.parametrize(
    ("ended", "check", "stopped"),
    [
        ({"a": {"changed": True}, "b": {"changed": True}}, False, False),
        ({"a": {"changed": True}, "b": {"failed": True}}, False, True),
        # The second wave was never begun.
        ({"a": {"failed": True}}, False, True),
        ({}, True, False),
    ],
)
def test_links_are_left_alone_where_a_wave_has_failed(
    ended: dict[str, Any], check: bool, stopped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostvars: dict[str, dict[str, Any]] = {
        name: {LOOK: {"to_change": {"settings": SETTINGS}}, **({ENDED: ended[name]} if name in ended else {})}
        for name in "ab"
    }
    hostvars["localhost"] = {"ansible_facts": {SCHEDULE: {"waves": [["a"], ["b"]]}}}
    found = run(tcp_gate, {"step": "after"}, check, monkeypatch, hostvars=hostvars)
    assert found["stopped"] is stopped


@pytest.mark.parametrize(("play", "role"), [(LINKS, "wireguard_links"), (KUBE_PROXY, "kube_proxy")])
def test_nothing_is_asked_of_hosts_before_it_is_known_that_no_wave_failed(play: dict[str, Any], role: str) -> None:
    first, second, third = play["tasks"]
    assert first["netfleet.tcp.tcp_gate"] == {"step": "after"}
    assert first["run_once"] is True
    assert second["when"] == first["register"] + ".stopped"
    assert third["ansible.builtin.import_role"]["name"] == "netfleet.tcp." + role
