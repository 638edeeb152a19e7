# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role's variables agree wherever they are named: defaults, argument_specs, vars, and what the action takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2.nativetypes import NativeEnvironment

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError
from ansible_collections.netfleet.tcp.plugins.plugin_utils import _links_run as run
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_declaration import OF_A_HOST, PREFIX

ROLE = Path(__file__).resolve().parents[3] / "roles" / "wireguard_links"
DECLARATION = ("sites", "peers", "topologies")


def _yaml(path: str) -> Any:
    return yaml.safe_load((ROLE / path).read_text(encoding="utf-8"))


def _options() -> dict[str, Any]:
    options: dict[str, Any] = _yaml("meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    return options


def test_every_default_is_specified_with_the_same_default() -> None:
    specified = {name: option["default"] for name, option in _options().items() if "default" in option}
    assert specified == _yaml("defaults/main.yml")
    # What it is by default depends on another variable of the same host.
    assert set(_options()) - set(specified) == {"wireguard_links_nat"}


def test_every_variable_is_of_the_declaration_of_the_settings_or_of_a_host() -> None:
    assert [name.removeprefix(PREFIX) for name in _options()] != []
    assert {name.removeprefix(PREFIX) for name in _options()} == {*DECLARATION, *run.SETTINGS, *OF_A_HOST}


@pytest.mark.parametrize("name", [name for name in {**run.SETTINGS, **OF_A_HOST} if name != "nat"])
def test_what_the_action_takes_is_what_is_specified(name: str) -> None:
    taken = {**run.SETTINGS, **OF_A_HOST}[name]
    specified = _options()[PREFIX + name]
    # Where the log is by default is the role's to say.
    wanted = {key: taken[key] for key in ("type", "choices", "elements", "default") if key in taken and name != "log"}
    assert {key: specified[key] for key in wanted} == wanted


@pytest.mark.parametrize(
    ("variable", "names"),
    [("__wireguard_links_declaration", DECLARATION), ("__wireguard_links_settings", tuple(run.SETTINGS))],
)
def test_what_is_handed_to_the_action_holds_every_variable(variable: str, names: tuple[str, ...]) -> None:
    given = {name: [name] for name in _options()}
    value: Any = NativeEnvironment().from_string(_yaml("vars/main.yml")[variable]).render(given)
    assert value == {name: [PREFIX + name] for name in names}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"secret": "hunter2"}, "wireguard_links_secret: is too short (32 characters or more"),
        ({"keys": {"gw1": "A" * 33}}, "wireguard_links_keys.gw1: is no WireGuard key"),
        ({"keys": {"gw1": 5}}, "wireguard_links_keys.gw1: is no WireGuard key"),
        ({"congestion_control": "bbr; reboot"}, "is no name of a congestion control"),
        ({"initcwnd": -1}, "wireguard_links_initcwnd: -1 is out of range"),
        ({"confirm": 5}, "wireguard_links_confirm: 5 is out of range (seconds, 30 to 3600"),
        ({"backend": "ifupdown"}, "wireguard_links_backend"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_name_and_without_a_secret(given: dict[str, Any], expected: str) -> None:
    with pytest.raises(InputError) as caught:
        run.checked(given)
    assert expected in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_defaults_are_filled_in() -> None:
    found = run.checked({})
    assert (found["state"], found["confirm"], found["secret"]) == ("present", 120, "")
