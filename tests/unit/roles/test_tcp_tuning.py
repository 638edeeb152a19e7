# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role's variables agree wherever they are named: defaults, argument_specs, tasks, action plugin, module docs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ansible_collections.netfleet.tcp.plugins.modules import tcp_tuning as module
from ansible_collections.netfleet.tcp.plugins.plugin_utils import _declaration as declaration

ROLE = Path(__file__).resolve().parents[3] / "roles" / "tcp_tuning"
PREFIX = "tcp_tuning_"


def _yaml(path: str) -> Any:
    return yaml.safe_load((ROLE / path).read_text(encoding="utf-8"))


def _specification() -> dict[str, Any]:
    options: dict[str, Any] = _yaml("meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    return options


def test_every_default_is_specified_with_the_same_default() -> None:
    assert {name: option["default"] for name, option in _specification().items()} == _yaml("defaults/main.yml")


def test_the_task_hands_every_variable_over() -> None:
    arguments = _yaml("tasks/main.yml")[0]["netfleet.tcp.tcp_tuning"]
    assert arguments == {name.removeprefix(PREFIX): f"{{{{ {name} }}}}" for name in _specification()}


def test_the_action_takes_what_the_role_gives() -> None:
    expected = {name.removeprefix(PREFIX): option["type"] for name, option in _specification().items()}
    assert {name: option["type"] for name, option in declaration.ARGUMENTS.items()} == expected


def test_choices_and_secrets_agree() -> None:
    for name, option in _specification().items():
        argument = declaration.ARGUMENTS[name.removeprefix(PREFIX)]
        assert argument.get("choices") == option.get("choices"), name
        assert argument.get("no_log", False) == option.get("no_log", False), name


def test_the_module_documents_what_the_action_takes() -> None:
    documented = yaml.safe_load(module.DOCUMENTATION)["options"]
    assert {name: option["type"] for name, option in documented.items()} == {
        name: option["type"] for name, option in declaration.ARGUMENTS.items()
    }
    for name, option in documented.items():
        assert option.get("default") == declaration.ARGUMENTS[name].get("default"), name
        assert option.get("choices") == declaration.ARGUMENTS[name].get("choices"), name


def test_a_variable_that_is_none_of_the_roles_is_named() -> None:
    declared = {**_yaml("defaults/main.yml"), "tcp_tuning_worklods": ["proxy"], "other_role_x": 1}
    found = declaration.unknown_variables(declared)
    assert [(finding.key, finding.severity) for finding in found] == [("tcp_tuning_worklods", "warning")]
    assert "tcp_tuning_workloads" in str(found[0])
