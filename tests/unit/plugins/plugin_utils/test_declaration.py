# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._catalogue_index import DEAD_KEYS
from ansible_collections.netfleet.tcp.plugins.module_utils._desired import precedence_path, watched_paths
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError
from ansible_collections.netfleet.tcp.plugins.module_utils._resolve import Resolved
from ansible_collections.netfleet.tcp.plugins.module_utils._values import SECRET_KEYS
from ansible_collections.netfleet.tcp.plugins.plugin_utils._declaration import (
    ARGUMENTS,
    PREFIX,
    unknown_variables,
    validated,
)
from tests.unit.plugins.plugin_utils.a_host import EXTRA, MTU_PROBING, OWN, AHost, declared, rendered

ROOT = Path(__file__).parents[4]
TFO = "net.ipv4.tcp_fastopen_key"
TFO_KEY = "00000001-00000002-00000003-00000004"
VENDOR = "/usr/lib/sysctl.d/99-vendor.conf"


# Variables


def unknown(*names: str) -> list[str]:
    return [finding.key for finding in unknown_variables(dict.fromkeys(names, "x"))]


def test_the_roles_own_variables_are_known() -> None:
    assert unknown(*(PREFIX + name for name in ARGUMENTS)) == []


def test_the_variables_that_playbooks_read_are_known() -> None:
    playbooks = (ROOT / "playbooks").glob("*.yml")
    tasks = (ROOT / "roles/tcp_tuning/tasks").glob("*.yml")
    texts = [path.read_text(encoding="utf-8") for path in (*playbooks, *tasks)]
    read = {name for text in texts for name in re.findall(r"\btcp_(?:drift|render)_\w+", text)}
    assert {"tcp_drift_waivers", "tcp_drift_compare", "tcp_render_directory"} <= read
    assert unknown(*read) == []


@pytest.mark.parametrize(
    "name",
    [
        "tcp_drift_waivers",
        "tcp_drift_threshold",
        "tcp_render_directory",
        "__tcp_tuning_declaration",
        "tcp_tuning",
        "mytcp_tuning_x",
        "ansible_host",
        "key",
    ],
)
def test_variables_of_others_are_not_the_roles(name: str) -> None:
    assert unknown(name) == []


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("tcp_tuning_worklods", "did you mean tcp_tuning_workloads?"),
        ("tcp_tuning_over_rides", "did you mean tcp_tuning_overrides?"),
        ("tcp_tuning_templates", "did you mean tcp_tuning_template?"),
        ("tcp_drift_treshold", "did you mean tcp_drift_threshold?"),
        ("tcp_drift_waiver", "did you mean tcp_drift_waivers?"),
        ("tcp_render_dir", "did you mean tcp_render_directory?"),
    ],
)
def test_a_variable_that_there_is_not_is_named_with_what_was_meant(name: str, cure: str) -> None:
    (found,) = unknown_variables({name: 1, "tcp_tuning_state": "present"})
    assert (found.key, found.severity, found.subject, found.rule) == (name, "warning", "variable", "declaration")
    assert found.cure == cure


def test_all_of_them_are_named_in_order() -> None:
    assert unknown("tcp_tuning_z", "tcp_tuning_a", "tcp_tuning_rtt") == ["tcp_tuning_a", "tcp_tuning_z"]


# Arguments


def test_arguments_get_their_types_and_defaults() -> None:
    found = validated({"force": "yes", "workloads": "ha,proxy", "memory_share": "0.1"})
    assert set(found) == set(ARGUMENTS)
    assert (found["force"], found["workloads"], found["memory_share"]) == (True, ["ha", "proxy"], 0.1)
    assert (found["unsupported"], found["profile"]) == ("fail", None)


def test_every_wrong_argument_is_named_as_the_variable_is() -> None:
    with pytest.raises(InputError) as caught:
        validated({"force": "maybe", "unsupported": "ignore", "overrides": 7})
    text = [str(problem) for problem in caught.value.problems]
    for name in ("tcp_tuning_force", "tcp_tuning_unsupported", "tcp_tuning_overrides"):
        assert sum(name in line for line in text) == 1, name


def test_an_argument_that_there_is_not_is_refused() -> None:
    with pytest.raises(InputError, match="tcp_tuning_worklods"):
        validated({"worklods": ["ha"]})


# What is asked of a host


def test_the_request_names_what_has_to_be_looked_at() -> None:
    request = declared().request()
    assert MTU_PROBING in request["keys"]
    assert set(DEAD_KEYS) <= set(request["keys"])
    assert request["files"] == list(watched_paths("90-netfleet-tcp.conf"))
    assert {"sch_fq", "tcp_bbr"} <= set(request["modules"])
    assert (request["interfaces"], request["qdisc_kinds"], request["blame"]) == (True, ["fq"], True)


def test_without_a_qdisc_no_interface_is_looked_at() -> None:
    request = declared(qdisc="none").request()
    assert (request["interfaces"], request["qdisc_kinds"]) == (False, [])


def test_the_secret_goes_along_and_nowhere_else() -> None:
    declaration = declared(fast_open_key=TFO_KEY.upper())
    assert dict(declaration.secrets) == {TFO: TFO_KEY}
    assert declaration.request()["secrets"] == {TFO: TFO_KEY}
    assert TFO_KEY not in repr(declaration.intent)
    host = AHost(fast_open_key=TFO_KEY)
    _declaration, _observed, resolved, desired = host.state()
    assert TFO_KEY not in repr((resolved, desired))


def test_a_declaration_that_is_taken_away_takes_no_secret_along() -> None:
    declaration = declared(state="absent", fast_open_key=TFO_KEY)
    assert (declaration.absent, dict(declaration.secrets)) == (True, {})


def test_taking_away_needs_no_sound_declaration() -> None:
    """Who removes a declaration must not have to mend it first."""
    assert declared(state="absent", profile="nonsense", rtt="many").absent
    with pytest.raises(InputError) as caught:
        declared(profile="nonsense", rtt="many")
    assert {problem.path for problem in caught.value.problems} == {"tcp_tuning_profile", "tcp_tuning_rtt"}


# From what was seen to what is desired


def desired_paths(**given: Any) -> list[str]:
    host = AHost(**given)
    host.system.put(VENDOR, "%s = 0\n" % MTU_PROBING)
    return [entry.path for entry in host.state()[3].files]


def test_others_are_overruled_only_where_that_is_asked_for() -> None:
    assert precedence_path("90-netfleet-tcp.conf") == EXTRA
    assert [EXTRA in desired_paths(boot_conflict=conflict) for conflict in ("override", "fail", "warn")] == [
        *(True, False, False),
    ]


def test_nothing_is_desired_of_a_declaration_that_is_taken_away() -> None:
    host = AHost(state="absent")
    _declaration, _observed, resolved, desired = host.state()
    assert (resolved.choices, desired.keys, desired.files, desired.modules, desired.qdiscs) == ((), (), (), (), ())


def test_the_template_gets_every_value_but_the_secret_one() -> None:
    host = AHost(fast_open_key=TFO_KEY, workloads=["proxy"])
    declaration, observed, resolved, _desired = host.state()
    given: list[dict[str, Any]] = []

    def render(variables: Any) -> str:
        given.append(variables)
        return rendered(variables)

    desired = declaration.desired(observed, resolved, render)
    (variables,) = given
    settings = {entry["key"]: entry for entry in variables["tcp_tuning_settings"]}
    assert set(settings) == {key.name for key in desired.keys} - SECRET_KEYS
    assert TFO in {key.name for key in desired.keys}
    for entry in settings.values():
        assert entry["reason"]
        assert entry["unit"]
        assert entry["what"]
    assert variables["tcp_tuning_declared"]["profile"] == "cloud"
    assert "proxy" in variables["tcp_tuning_declared"]["workloads"]
    assert desired.files[0].path == OWN


def test_where_nothing_is_chosen_nothing_is_rendered() -> None:
    declaration, observed, _resolved, _desired = AHost().state()
    desired = declaration.desired(observed, Resolved(), lambda _variables: pytest.fail("it was rendered"))
    assert desired.files == ()
