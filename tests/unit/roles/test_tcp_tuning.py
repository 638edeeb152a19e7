# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role's variables agree wherever they are named: defaults, argument_specs, tasks, action plugin, module docs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2.nativetypes import NativeEnvironment

from ansible_collections.netfleet.tcp.plugins.action import drift, drift_report, tcp_explain, tcp_render
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError
from ansible_collections.netfleet.tcp.plugins.module_utils._rules import SUBJECTS
from ansible_collections.netfleet.tcp.plugins.modules import drift as drift_module
from ansible_collections.netfleet.tcp.plugins.modules import drift_report as drift_report_module
from ansible_collections.netfleet.tcp.plugins.modules import tcp_explain as tcp_explain_module
from ansible_collections.netfleet.tcp.plugins.modules import tcp_render as tcp_render_module
from ansible_collections.netfleet.tcp.plugins.modules import tcp_tuning as module
from ansible_collections.netfleet.tcp.plugins.plugin_utils import _declaration as declaration
from ansible_collections.netfleet.tcp.plugins.plugin_utils import _run_settings as run_settings
from ansible_collections.netfleet.tcp.plugins.plugin_utils._check_action import asked_subjects
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_kinds import DRIFT_CHECK
from tests.unit.plugins.documented import not_as_documented

ROLE = Path(__file__).resolve().parents[3] / "roles" / "tcp_tuning"
PLAYBOOKS = ROLE.parents[1] / "playbooks"
PREFIX = "tcp_tuning_"
DECLARATION = "__tcp_tuning_declaration"
IMPORT = "ansible.builtin.import_role"
# action -> what its module documents, and what it takes.
DOCUMENTED: dict[str, tuple[str, dict[str, Any]]] = {
    "drift": (drift_module.DOCUMENTATION, drift._SPECIFICATION),
    "drift_report": (drift_report_module.DOCUMENTATION, drift_report._SPECIFICATION),
    "tcp_explain": (tcp_explain_module.DOCUMENTATION, tcp_explain._SPECIFICATION),
    "tcp_render": (tcp_render_module.DOCUMENTATION, tcp_render._SPECIFICATION),
}


def _yaml(path: str) -> Any:
    return yaml.safe_load((ROLE / path).read_text(encoding="utf-8"))


def _specification() -> dict[str, Any]:
    options: dict[str, Any] = _yaml("meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    return options


def _of_the_host() -> list[str]:
    """What is declared for a host; the others say how the run goes over the fleet."""
    return [name for name in _specification() if name.removeprefix(PREFIX) not in run_settings.SETTINGS]


def test_every_default_is_specified_with_the_same_default() -> None:
    assert {name: option["default"] for name, option in _specification().items()} == _yaml("defaults/main.yml")


def test_the_task_hands_every_variable_over() -> None:
    arguments = _yaml("tasks/main.yml")[0]["netfleet.tcp.tcp_tuning"]
    assert arguments == {name.removeprefix(PREFIX): f"{{{{ {name} }}}}" for name in _of_the_host()}


def test_the_variables_of_the_run_are_those_of_the_specification() -> None:
    of_the_run = set(_specification()) - set(_of_the_host())
    assert {name.removeprefix(PREFIX) for name in of_the_run} == set(run_settings.SETTINGS)
    assert set(declaration.RUN_VARIABLES) == set(run_settings.SETTINGS)
    assert declaration.unknown_variables({PREFIX + name: "" for name in run_settings.SETTINGS}) == []
    for name, option in run_settings.SETTINGS.items():
        specified = _specification()[PREFIX + name]
        assert {key: specified[key] for key in option} == option


def test_the_declaration_as_one_value_holds_every_variable() -> None:
    """drift, render and explain read the same as what tune applies."""
    given = {variable: [variable] for variable in _specification()}
    values: dict[str, Any] = {
        name: NativeEnvironment().from_string(expression).render(given)
        for name, expression in _yaml("vars/main.yml").items()
    }
    of_the_run = {name: [PREFIX + name] for name in run_settings.SETTINGS}
    assert values == {
        DECLARATION: {variable.removeprefix(PREFIX): [variable] for variable in _of_the_host()},
        "__tcp_tuning_run_settings": of_the_run,
    }


@pytest.mark.parametrize(
    ("entry_point", "action"),
    [("drift", "netfleet.tcp.drift"), ("render", "netfleet.tcp.tcp_render"), ("explain", "netfleet.tcp.tcp_explain")],
)
def test_the_other_entry_points_hand_the_declaration_over(entry_point: str, action: str) -> None:
    (task,) = _yaml(f"tasks/{entry_point}.yml")
    # The drift check looks the variable up itself (see its action).
    expected = DECLARATION if entry_point == "drift" else f"{{{{ {DECLARATION} }}}}"
    assert task[action]["tcp_tuning"] == expected
    assert set(task[action]) <= set(DOCUMENTED[action.rpartition(".")[2]][1])
    assert "become" not in task


def test_the_report_finds_what_the_check_registers() -> None:
    (task,) = _yaml("tasks/drift.yml")
    assert task["register"] == DOCUMENTED["drift_report"][1]["variable"]["default"]


def test_the_playbooks_name_the_entry_points() -> None:
    for verb in ("drift", "render", "explain"):
        plays = yaml.safe_load((PLAYBOOKS / f"{verb}.yml").read_text(encoding="utf-8"))
        imported = [task[IMPORT] for play in plays for task in play["tasks"] if IMPORT in task]
        assert imported == [{"name": "netfleet.tcp.tcp_tuning", "tasks_from": verb}]


def test_a_check_answers_whatever_tags_are_asked_for() -> None:
    """The report is due with every choice of tags, once, and after all hosts have answered."""
    (play,) = yaml.safe_load((PLAYBOOKS / "drift.yml").read_text(encoding="utf-8"))
    assert [task["tags"] for task in play["tasks"]] == [["always"], ["always"]]
    assert play["tasks"][1]["run_once"] is True
    assert play["strategy"] == "ansible.builtin.linear"


@pytest.mark.parametrize(
    ("run", "skip", "left"),
    [
        (None, None, "sysctl congestion_control module qdisc route file owner tunnel kube_proxy"),
        (["all"], [], "sysctl congestion_control module qdisc route file owner tunnel kube_proxy"),
        (["qdisc"], [], "qdisc"),
        (["file", "sysctl"], [], "sysctl file"),
        (["all"], ["owner", "file"], "sysctl congestion_control module qdisc route tunnel kube_proxy"),
        (["file", "sysctl"], ["file"], "sysctl"),
        (["all", "file"], [], "sysctl congestion_control module qdisc route file owner tunnel kube_proxy"),
        (["always"], [], "sysctl congestion_control module qdisc route file owner tunnel kube_proxy"),
    ],
)
def test_tags_choose_subjects(run: list[str] | None, skip: list[str] | None, left: str) -> None:
    variables = {"ansible_run_tags": run, "ansible_skip_tags": skip}
    assert asked_subjects(variables, DRIFT_CHECK) == tuple(left.split())
    assert set(left.split()) < set(SUBJECTS)


def test_tags_that_leave_nothing_are_refused() -> None:
    with pytest.raises(InputError, match="nothing is left to compare"):
        asked_subjects({"ansible_run_tags": ["qdisc"], "ansible_skip_tags": ["qdisc"]}, DRIFT_CHECK)


@pytest.mark.parametrize("name", ["drift", "drift_report", "tcp_explain", "tcp_render"])
def test_a_module_documents_what_its_action_takes(name: str) -> None:
    documentation, specification = DOCUMENTED[name]
    assert yaml.safe_load(documentation)["module"] == name
    assert not_as_documented(documentation, specification) == []


@pytest.mark.parametrize("name", ["drift", "tcp_explain", "tcp_render"])
def test_the_declaration_is_one_option_of_the_actions(name: str) -> None:
    assert DOCUMENTED[name][1]["tcp_tuning"]["options"] is declaration.ARGUMENTS


def test_the_action_takes_what_the_role_gives() -> None:
    expected = {name.removeprefix(PREFIX): _specification()[name]["type"] for name in _of_the_host()}
    assert {name: option["type"] for name, option in declaration.ARGUMENTS.items()} == expected


def test_choices_and_secrets_agree() -> None:
    for name in _of_the_host():
        option = _specification()[name]
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
