# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role's variables agree wherever they are named, and its tasks hand on what the action takes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from jinja2.nativetypes import NativeEnvironment

from ansible_collections.netfleet.tcp.plugins.action.kube_proxy import LOOK
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_modes import DISTRIBUTIONS
from ansible_collections.netfleet.tcp.plugins.modules import kube_proxy
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_run import PREFIX, SETTINGS, checked, differing, wanted

ROLE = Path(__file__).resolve().parents[3] / "roles" / "kube_proxy"
OF_SERVICES = "kube_proxy_services"
# Where the log is by default is the role's to say.
DEFAULTS_OF_THE_ROLE = ("log",)


def _yaml(path: str) -> Any:
    return yaml.safe_load((ROLE / path).read_text(encoding="utf-8"))


def _options() -> dict[str, Any]:
    options: dict[str, Any] = _yaml("meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    return options


def test_every_variable_is_specified_with_its_default() -> None:
    defaults = _yaml("defaults/main.yml")
    assert set(_options()) == set(defaults)
    assert {name: option.get("default") for name, option in _options().items()} == defaults


def test_every_variable_is_a_setting_of_the_action_or_of_services() -> None:
    assert {name.removeprefix(PREFIX) for name in _options()} - {"services"} == set(SETTINGS)


@pytest.mark.parametrize("name", list(SETTINGS))
def test_what_the_action_takes_is_what_is_specified(name: str) -> None:
    keys = [key for key in ("type", "choices", "elements", "default") if not (key == "default" and name == "log")]
    specified = _options()[PREFIX + name]
    assert {key: specified.get(key) for key in keys} == {key: SETTINGS[name].get(key) for key in keys}


def test_what_is_handed_to_the_action_holds_every_variable() -> None:
    given = {name: [name] for name in _options()}
    value: Any = NativeEnvironment().from_string(_yaml("vars/main.yml")["__kube_proxy_settings"]).render(given)
    assert value == {name: [PREFIX + name] for name in SETTINGS}


def _tasks() -> list[dict[str, Any]]:
    names = ("main", "wave", "settle", "home")
    return [task for name in names for task in _yaml(f"tasks/{name}.yml")]


def test_tasks_take_the_steps_in_their_order_with_what_the_module_documents() -> None:
    documented = yaml.safe_load(kube_proxy.DOCUMENTATION)["options"]
    steps = [task["netfleet.tcp.kube_proxy"] for task in _tasks() if "netfleet.tcp.kube_proxy" in task]
    assert [step["step"] for step in steps] == ["look", "plan", "begin", "switch", "settle", "end", "home"]
    assert sorted(step["step"] for step in steps) == sorted(documented["step"]["choices"])
    assert all(set(step) <= set(documented) for step in steps)


def test_what_the_plan_reads_is_what_the_look_registers() -> None:
    (look,) = (task for task in _tasks() if task.get("netfleet.tcp.kube_proxy", {}).get("step") == "look")
    assert look["register"] == LOOK


def test_what_concerns_all_nodes_is_done_once() -> None:
    for task in _tasks():
        step = task.get("netfleet.tcp.kube_proxy", {}).get("step")
        assert task.get("run_once", False) is (step in ("plan", "begin", "settle", "end")), task["name"]


@pytest.mark.parametrize(
    ("service", "spec"),
    [
        ({}, {}),
        ({"session_affinity": "ClientIP"}, {"sessionAffinity": "ClientIP"}),
        (
            {"session_affinity": "ClientIP", "affinity_seconds": "60"},
            {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}},
        ),
        # The API takes no configuration beside None, and a patch leaves what it does not name.
        ({"session_affinity": "None"}, {"sessionAffinity": "None", "sessionAffinityConfig": None}),
        (
            {"external_traffic_policy": "Local", "internal_traffic_policy": "Cluster"},
            {"externalTrafficPolicy": "Local", "internalTrafficPolicy": "Cluster"},
        ),
    ],
)
def test_a_service_gets_what_is_named_of_it_and_keeps_the_rest(service: dict[str, Any], spec: dict[str, Any]) -> None:
    (task,) = _yaml("tasks/services.yml")
    environment = NativeEnvironment()
    environment.filters["combine"] = lambda left, right: {**left, **right}
    template = task["kubernetes.core.k8s"]["definition"]["spec"]
    rendered: Any = environment.from_string(template).render({"item": service})
    assert rendered == spec
    assert task["kubernetes.core.k8s"]["state"] == "patched"


@pytest.mark.parametrize("entry", ["main", "services"])
@pytest.mark.parametrize(
    ("service", "said"),
    [
        ({"session_affinity": "ClientIP", "affinity_seconds": "60"}, ""),
        ({"session_affinity": "None", "external_traffic_policy": "Local", "internal_traffic_policy": "Cluster"}, ""),
        ({"session_afinity": "ClientIP"}, "session_afinity"),
        ({"session_affinity": "Client"}, "None, ClientIP"),
        ({"affinity_seconds": "an hour"}, "affinity_seconds"),
        ({"internal_traffic_policy": "local"}, "Cluster, Local"),
    ],
)
def test_what_is_said_of_a_service_is_checked(service: dict[str, Any], said: str, entry: str) -> None:
    options = _yaml("meta/argument_specs.yml")["argument_specs"][entry]["options"]
    given = {OF_SERVICES: [{"namespace": "shop", "name": "web", **service}]}
    errors = ArgumentSpecValidator(options).validate(given).error_messages
    assert bool(errors) is bool(said)
    assert said in " ".join(errors)


def test_what_is_specified_of_a_service_is_what_its_task_reads() -> None:
    (task,) = _yaml("tasks/services.yml")
    named = set(re.findall(r"item\.(\w+)", str(task)))
    assert set(_options()[OF_SERVICES]["options"]) == named


def test_distributions_are_those_that_are_known() -> None:
    assert _options()["kube_proxy_distribution"]["choices"] == ["", *DISTRIBUTIONS]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"mode": "userspace"}, "kube_proxy_mode"),
        ({"scheduler": "random"}, "kube_proxy_scheduler"),
        ({"tcp_timeout": "15 minutes"}, "kube_proxy_tcp_timeout: ipvs.tcpTimeout: '15 minutes' is not a duration"),
        ({"exclude_cidrs": ["here"]}, "is not a list of networks"),
        ({"conntrack": {"maximum": 1}}, "kube_proxy_conntrack.maximum: is not known (one of: max_per_core"),
        ({"conntrack": {"min": "many"}}, "kube_proxy_conntrack: conntrack.min: 'many' is not a number"),
        ({"settings": {"mode": "ipvs"}}, "kube_proxy_settings.mode: has a variable of its own (use kube_proxy_mode)"),
        ({"settings": {"ipvs.weight": 1}}, "kube_proxy_settings: ipvs.weight: is not a setting that is known here"),
        ({"feature_gates": {"A": "maybe"}}, "is not feature gates with true or false"),
        ({"waves": [0]}, "kube_proxy_waves[0]: 0 is no size of a wave"),
        ({"start_timeout": 1}, "kube_proxy_start_timeout: 1 is out of range"),
        ({"tolerate": ["everything"]}, "kube_proxy_tolerate"),
        ({"kubeconfg": "x"}, "kube_proxy_kubeconfg: is not known"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_name(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        checked(given)
    assert said in str(caught.value)


def test_settings_of_a_mode_are_set_in_that_mode_alone() -> None:
    found = checked(
        {
            "scheduler": "lc",
            "strict_arp": True,
            "tcp_timeout": "2h30m0s",
            "exclude_cidrs": [],
            "conntrack": {"tcp_be_liberal": True},
            "feature_gates": {"KubeProxyIPVS": True},
            "settings": {"nftables.masqueradeAll": True, "ipvs.syncPeriod": "30s"},
        }
    )
    plain = {
        "conntrack.tcpBeLiberal": True,
        "featureGates": {"KubeProxyIPVS": True},
        "nftables.masqueradeAll": True,
    }
    assert wanted(found, "nftables") == {**plain, "mode": "nftables"}
    assert wanted(found, "ipvs") == {
        **plain,
        "mode": "ipvs",
        "ipvs.scheduler": "lc",
        "ipvs.strictARP": True,
        "ipvs.tcpTimeout": "2h30m0s",
        "ipvs.excludeCIDRs": (),
        "ipvs.syncPeriod": "30s",
    }
    # What is not said stays as it is.
    assert wanted(checked({}), "ipvs") == {"mode": "ipvs"}
    assert wanted(checked({"strict_arp": None, "exclude_cidrs": None}), "ipvs") == {"mode": "ipvs"}


def test_what_belongs_to_the_run_is_the_same_for_all_hosts() -> None:
    one, other = checked({"node": "a", "mode": "ipvs"}), checked({"node": "b", "mode": "nftables"})
    (problem,) = differing({"x": one, "y": other})
    assert str(problem).startswith("kube_proxy_mode: x has 'ipvs', y has 'nftables'")
