# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""tune.yml brings links about after its waves: on hosts that declare them, and where no wave has failed."""

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
SETTINGS = {"waves": [1, "100%"], "max_failed": 10, "watched": 0}


def run(module: Any, arguments: dict[str, Any], check: bool, monkeypatch: pytest.MonkeyPatch, **given: Any) -> Any:
    monkeypatch.setattr(ActionBase, "run", lambda *_arguments: {})
    action = object.__new__(module.ActionModule)
    action._task, action._display = Mock(args=arguments, check_mode=check, _uuid="run"), Mock()
    return action.run(None, given)


def hosts_of_links(facts: dict[str, Any]) -> Any:
    variables = {"hostvars": {"localhost": {"ansible_facts": facts}}}
    return NativeEnvironment(undefined=ChainableUndefined).from_string(PLAYS[-1]["hosts"]).render(variables)


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
    assert hosts_of_links(found["ansible_facts"]) == expected


def test_where_no_waves_were_planned_there_are_no_links() -> None:
    assert hosts_of_links({}) == ["all:!all"]


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


def test_nothing_is_asked_of_hosts_before_it_is_known_that_no_wave_failed() -> None:
    first, second, third = PLAYS[-1]["tasks"]
    assert first["netfleet.tcp.tcp_gate"] == {"step": "after"}
    assert first["run_once"] is True
    assert second["when"] == first["register"] + ".stopped"
    assert third["ansible.builtin.import_role"]["name"] == "netfleet.tcp.wireguard_links"
