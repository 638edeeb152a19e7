# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role's variables agree wherever they are named, and its one task hands on what the module takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.netfleet.tcp.plugins.modules import tcp_exporter, tcp_health_info
from tests.unit.plugins.documented import options_of

ROLE = Path(__file__).resolve().parents[3] / "roles" / "tcp_monitoring"
PREFIX = "tcp_monitoring_"
# What the action puts together from the inventory, and the role has no variables for.
OF_THE_INVENTORY = {"groups", "peers", "targets", "rtt_targets"}
OF_THE_SERVER = {"rules_directory", "runbooks"}


def _yaml(path: str) -> Any:
    return yaml.safe_load((ROLE / path).read_text(encoding="utf-8"))


def _documented(module: Any) -> dict[str, Any]:
    return options_of(module.DOCUMENTATION)


@pytest.mark.parametrize("entry", ["main", "rules"])
def test_every_variable_is_specified_with_its_default(entry: str) -> None:
    options = _yaml("meta/argument_specs.yml")["argument_specs"][entry]["options"]
    assert {name: option.get("default") for name, option in options.items()} == _yaml("defaults/main.yml")


def test_the_task_hands_on_every_variable_and_the_module_takes_it_as_it_is_specified() -> None:
    (task,) = _yaml("tasks/main.yml")
    given = task["netfleet.tcp.tcp_exporter"]
    options = _yaml("meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    documented = _documented(tcp_exporter)
    assert given == {name: f"{{{{ {PREFIX}{name} }}}}" for name in set(documented) - OF_THE_INVENTORY}
    assert {PREFIX + name for name in (*given, *OF_THE_SERVER)} == set(options)
    for name in given:
        keys = ("type", "choices", "default")
        assert [options[PREFIX + name].get(key) for key in keys] == [documented[name].get(key) for key in keys]


def test_targets_are_those_of_the_look_itself() -> None:
    ours, theirs = _documented(tcp_exporter)["targets"], _documented(tcp_health_info)["targets"]
    assert ours["suboptions"] == theirs["suboptions"]


def test_what_runs_on_the_server_is_checked_before_it_goes_live() -> None:
    give, take = _yaml("tasks/rules.yml")
    copy = give["ansible.builtin.copy"]
    assert copy["validate"].startswith("promtool check rules ")
    assert copy["dest"] == take["ansible.builtin.file"]["path"]
    (handler,) = _yaml("handlers/main.yml")
    assert give["notify"] == take["notify"] == handler["name"]
