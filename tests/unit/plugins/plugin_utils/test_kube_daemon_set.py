# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps by which a DaemonSet's kube-proxy is changed node by node, and back."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any, Dict, List, Optional

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_affinity import LABEL
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_daemon_set import (
    FORMER,
    LEAVING,
    MOVED,
    SECOND,
    Sets,
    begin,
    cleaner,
    configuration,
    end,
    move,
    move_back,
    selector_text,
    serves,
    settle,
)
from tests.unit.plugins.plugin_utils.fake_cluster import KUBECONFIG, TEXT, config_map, daemon_set

NEW = TEXT.replace("iptables", "ipvs")
SETS = Sets(config_map(), daemon_set(), "config.conf")
OURS = {"key": LABEL, "operator": "DoesNotExist"}
AFFINITY = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [
                {"matchExpressions": [{"key": "a", "operator": "Exists"}]},
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node1"]}]},
                {},
            ]
        },
        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": {}}],
    },
    "podAntiAffinity": {"x": 1},
}


def _bodies(sets: Sets = SETS, text: str = NEW) -> List[Any]:
    return [step.body for step in begin(sets, text)]


def _terms(found: Dict[str, Any]) -> Any:
    affinity = found["spec"]["template"]["spec"]["affinity"]
    return affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]


def test_the_first_steps_and_their_order() -> None:
    assert [str(step).partition(" (")[0] for step in begin(SETS, NEW)] == [
        "create ConfigMap kube-proxy-netfleet",
        "replace DaemonSet kube-proxy",
        "create DaemonSet kube-proxy-netfleet",
    ]


def test_our_config_map_has_everything_of_the_cluster_s_own_but_the_settings() -> None:
    body = _bodies()[0]
    assert body["data"] == {"config.conf": NEW, "kubeconfig.conf": KUBECONFIG}
    former = json.loads(body["metadata"]["annotations"][FORMER])
    assert former == {"updateStrategy": SETS.daemon_set["spec"]["updateStrategy"], "affinity": None}
    assert "uid" not in body["metadata"]


def test_no_pod_restarts_when_the_clusters_own_daemon_set_gets_its_affinity() -> None:
    body = _bodies()[1]
    # Both in one request.
    assert body["spec"]["updateStrategy"] == {"type": "OnDelete"}
    assert _terms(body) == [{"matchExpressions": [OURS]}]
    assert "status" not in body
    # The rest is as it was.
    again = copy.deepcopy(body)
    again["spec"]["updateStrategy"] = SETS.daemon_set["spec"]["updateStrategy"]
    del again["spec"]["template"]["spec"]["affinity"]
    assert again["spec"] == SETS.daemon_set["spec"]


def test_the_version_of_an_object_that_is_replaced_is_kept_so_that_no_other_change_is_lost() -> None:
    found = daemon_set()
    found["metadata"]["resourceVersion"] = "77"
    assert _bodies(replace(SETS, daemon_set=found))[1]["metadata"]["resourceVersion"] == "77"


def test_an_object_that_is_replaced_keeps_its_owners_and_a_copy_has_none() -> None:
    owners = [{"kind": "Addon", "name": "kube-proxy", "uid": "9"}]
    own_map, own_set = config_map(), daemon_set()
    for each in (own_map, own_set):
        each["metadata"]["ownerReferences"] = owners
    sets = Sets(own_map, own_set, "config.conf")
    second_map, changed, second_set = _bodies(sets)
    (settled,) = settle(sets, NEW)
    for body in (changed, settled.body):
        assert body["metadata"]["ownerReferences"] == owners
        assert "uid" not in body["metadata"]
    for body in (second_map, second_set):
        assert "ownerReferences" not in body["metadata"]
    ended = end(Sets(config_map(), changed, "config.conf", second_map, second_set))
    assert ended[1].body["metadata"]["ownerReferences"] == owners


def test_our_daemon_set_is_the_clusters_own_with_other_settings_for_nodes_that_have_moved() -> None:
    body = _bodies()[2]
    spec = body["spec"]["template"]["spec"]
    assert body["metadata"]["name"] == SECOND
    assert spec["nodeSelector"] == {"kubernetes.io/os": "linux", LABEL: MOVED}
    assert spec["volumes"] == [{"name": "kube-proxy", "configMap": {"name": SECOND}}]
    assert spec["containers"] == SETS.daemon_set["spec"]["template"]["spec"]["containers"]
    assert "affinity" not in spec
    # Neither of the two takes the other one's pods for its own.
    assert body["spec"]["selector"] == {"matchLabels": {"k8s-app": SECOND}}
    assert body["spec"]["template"]["metadata"]["labels"] == {"k8s-app": SECOND}
    assert selector_text(body) == "k8s-app=kube-proxy-netfleet"


def test_an_affinity_that_is_there_holds_in_addition() -> None:
    sets = replace(SETS, daemon_set=daemon_set(affinity=AFFINITY))
    divided, second = _bodies(sets)[1:]
    terms = _terms(divided)
    assert terms[0]["matchExpressions"] == [{"key": "a", "operator": "Exists"}, OURS]
    assert terms[1]["matchExpressions"] == [OURS]
    assert terms[1]["matchFields"]
    # It matches nothing, and still does.
    assert terms[2] == {}
    assert divided["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"] == {"x": 1}
    assert second["spec"]["template"]["spec"]["affinity"] == AFFINITY


@pytest.mark.parametrize("affinity", [None, AFFINITY, {"nodeAffinity": {}}, {"podAffinity": {"y": 2}}])
@pytest.mark.parametrize("remembered", [True, False])
def test_in_the_end_the_daemon_set_is_as_it_was(affinity: Optional[Dict[str, Any]], remembered: bool) -> None:
    own = daemon_set(affinity=affinity) if affinity else daemon_set()
    second_map, divided, second = _bodies(replace(SETS, daemon_set=own))
    if not remembered:
        del second_map["metadata"]["annotations"]
    steps = end(Sets(config_map(), divided, "config.conf", second_map, second))
    assert [str(step).partition(" (")[0] for step in steps] == [
        "delete DaemonSet kube-proxy-netfleet",
        "replace DaemonSet kube-proxy",
        "wait until DaemonSet kube-proxy is everywhere",
        "delete ConfigMap kube-proxy-netfleet",
    ]
    restored = steps[1].body["spec"]
    if remembered:
        # Exactly: another template would have Kubernetes restart all pods.
        assert restored == own["spec"]
    else:
        assert restored["updateStrategy"] == {"type": "RollingUpdate"}
        assert restored["template"]["spec"].get("affinity") == (affinity if affinity != {"nodeAffinity": {}} else None)


def test_an_affinity_that_somebody_has_changed_since_stays() -> None:
    second_map, divided, second = _bodies()
    _terms(divided)[0]["matchExpressions"].insert(0, {"key": "b", "operator": "Exists"})
    divided["spec"]["updateStrategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 7}}
    restored = end(Sets(config_map(), divided, "config.conf", second_map, second))[1].body
    assert _terms(restored) == [{"matchExpressions": [{"key": "b", "operator": "Exists"}]}]
    assert restored["spec"]["updateStrategy"]["rollingUpdate"] == {"maxUnavailable": 7}


def test_what_is_begun_is_not_begun_again() -> None:
    second_map, divided, second = _bodies()
    sets = Sets(config_map(), divided, "config.conf", second_map, second)
    assert begin(sets, NEW) == ()
    assert [step.name for step in begin(replace(sets, second_set=None), NEW)] == [SECOND]
    # Also where its pods are to leave out the expression that is there by now.
    remade = begin(replace(sets, second_set=None), NEW)[0].body
    assert remade["spec"] == second["spec"]


def test_other_settings_than_those_of_an_earlier_run_are_refused_unless_nodes_go_back() -> None:
    second_map, divided, second = _bodies()
    sets = Sets(config_map(), divided, "config.conf", second_map, second, (("node1", MOVED), ("node2", LEAVING)))
    with pytest.raises(
        InputError, match=r"an earlier run has begun to bring other settings, to node1 \(run with those"
    ):
        begin(sets, TEXT)
    assert begin(sets, TEXT, going=False) == ()


def test_other_settings_than_those_of_an_earlier_run_that_no_node_has_are_no_obstacle() -> None:
    second_map, divided, second = _bodies()
    second_map["metadata"]["resourceVersion"] = "7"
    for labels in ((), (("node1", LEAVING),)):
        (step,) = begin(Sets(config_map(), divided, "config.conf", second_map, second, labels), TEXT)
        assert (step.action, step.kind, step.name) == ("replace", "ConfigMap", SECOND)
        assert step.body["data"]["config.conf"] == TEXT
        # What the DaemonSet was, before that earlier run, is not forgotten.
        assert step.body["metadata"] == second_map["metadata"]


def test_a_node_moves_with_no_kube_proxy_in_between() -> None:
    assert [str(step) for step in move(SETS, "node1")] == [
        "label node node1 netfleet.tcp/kube-proxy=leaving",
        "wait until kube-proxy is gone from node node1",
        "wait until kube-proxy-netfleet is gone from node node1",
        "label node node1 netfleet.tcp/kube-proxy=moved",
        "wait until kube-proxy-netfleet runs on node node1",
    ]
    assert [step.action for step in move(replace(SETS, labels=(("node1", MOVED),)), "node1")] == ["pod ready"]
    # One that an earlier run has left in between goes on.
    assert len(move(replace(SETS, labels=(("node1", LEAVING),)), "node1")) == 5


def test_a_node_moves_back() -> None:
    assert [str(step) for step in move_back(replace(SETS, labels=(("node1", MOVED),)), "node1")] == [
        "label node node1 netfleet.tcp/kube-proxy=leaving",
        "wait until kube-proxy is gone from node node1",
        "wait until kube-proxy-netfleet is gone from node node1",
        "take the label netfleet.tcp/kube-proxy off node node1",
        "wait until kube-proxy runs on node node1",
    ]
    assert [step.action for step in move_back(SETS, "node1")] == ["pod ready"]
    assert len(move_back(SETS, "node1", anew=True)) == 5


@pytest.mark.parametrize("way", [move, move_back])
def test_what_is_left_is_cleaned_up_while_no_kube_proxy_runs(way: Any) -> None:
    steps = way(replace(SETS, labels=(("node1", MOVED),)), "node1", True)
    actions = [(step.action, step.kind) for step in steps]
    assert actions[3:7] == [("delete", "Pod"), ("create", "Pod"), ("pod done", "Pod"), ("delete", "Pod")]
    assert actions[2] == ("no pod", "DaemonSet")


def test_the_pod_that_cleans_up_runs_once_and_is_none_of_a_daemon_set() -> None:
    probed = daemon_set(initContainers=[{"name": "x"}])
    container = probed["spec"]["template"]["spec"]["containers"][0]
    container.update(livenessProbe={}, ports=[{"hostPort": 10256}])
    pod = cleaner(replace(SETS, daemon_set=probed), "node1")
    spec = pod["spec"]
    assert spec["nodeName"] == "node1"
    assert spec["restartPolicy"] == "Never"
    assert spec["hostNetwork"] is True
    assert spec["containers"][0]["command"][-1] == "--cleanup"
    assert not {"initContainers", "affinity", "nodeSelector"} & set(spec)
    assert not {"livenessProbe", "ports"} & set(spec["containers"][0])
    assert "k8s-app" not in pod["metadata"]["labels"]
    # The DaemonSet itself has not become it.
    assert container["command"][-1] != "--cleanup"


def test_arguments_of_a_container_come_after_its_command() -> None:
    found = daemon_set()
    container = found["spec"]["template"]["spec"]["containers"][0]
    container.update(command=["kube-proxy"], args=["--v=2"])
    made = cleaner(replace(SETS, daemon_set=found), "node1")["spec"]["containers"][0]
    assert (made["command"], made["args"]) == (["kube-proxy"], ["--v=2", "--cleanup"])


def test_a_kube_proxy_that_a_shell_starts_cannot_clean_up() -> None:
    found = daemon_set()
    found["spec"]["template"]["spec"]["containers"][0]["command"] = ["/bin/sh", "-c", "kube-proxy"]
    with pytest.raises(InputError, match="starts kube-proxy by a shell"):
        cleaner(replace(SETS, daemon_set=found), "node1")


def test_names_of_pods_are_of_a_length_that_is_allowed() -> None:
    assert len(cleaner(SETS, "a" * 253)["metadata"]["name"]) < 64


def test_the_clusters_own_config_map_gets_the_settings_and_keeps_the_rest() -> None:
    (step,) = settle(SETS, NEW)
    assert (step.action, step.kind, step.name) == ("replace", "ConfigMap", "kube-proxy")
    assert step.body["data"] == {"config.conf": NEW, "kubeconfig.conf": KUBECONFIG}
    assert settle(SETS, TEXT) == ()


def test_a_nodes_configuration_is_that_of_the_set_that_it_has() -> None:
    ours = begin(SETS, NEW)[0].body
    sets = replace(SETS, second_map=ours, labels=(("node1", MOVED),))
    assert (sets.text_of("node1"), sets.text_of("node2")) == (NEW, TEXT)
    # Somebody has deleted ours.
    assert replace(sets, second_map=None).text_of("node1") == TEXT


def test_it_does_not_end_while_a_node_is_labelled() -> None:
    with pytest.raises(InputError, match="Node node1: still has the label"):
        end(replace(SETS, labels=(("node1", LEAVING),)))
    assert end(SETS) == ()
    assert not SETS.begun
    assert replace(SETS, labels=(("node1", LEAVING),)).begun


def test_a_daemon_set_that_does_not_mount_the_config_map_is_refused() -> None:
    with pytest.raises(InputError, match="does not mount ConfigMap kube-proxy"):
        begin(replace(SETS, daemon_set=daemon_set(volumes=[])), NEW)


def test_a_selector_that_is_not_by_labels_alone_is_refused() -> None:
    found = daemon_set()
    found["spec"]["selector"] = {"matchExpressions": [{"key": "k8s-app", "operator": "Exists"}]}
    with pytest.raises(InputError, match="selector: is not by labels alone"):
        begin(replace(SETS, daemon_set=found), NEW)


def test_several_containers_of_which_none_is_kube_proxy() -> None:
    found = daemon_set(containers=[{"name": "a"}, {"name": "b"}])
    with pytest.raises(InputError, match="has 2 containers, and none is called kube-proxy"):
        serves(found)


def test_a_config_map_without_the_key() -> None:
    with pytest.raises(
        InputError, match=r"ConfigMap kube-system/kube-proxy: has no config \(it has: config.conf, kube"
    ):
        configuration(config_map(), "config")


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("registry.example:5000/kube-proxy:v1.34.2", "v1.34.2"),
        ("registry.example/eks/kube-proxy:v1.31.2-minimal-eksbuild.3", "v1.31.2-minimal-eksbuild.3"),
        ("kube-proxy:v1.34.2@sha256:abc", "v1.34.2"),
        ("kube-proxy:latest", ""),
        # Of a registry of one's own: no versions of Kubernetes.
        ("registry.example/kube-proxy:2024.06.1", ""),
        ("registry.example/kube-proxy:1.2-of-us", ""),
        ("registry.example:5000/kube-proxy", ""),
    ],
)
def test_the_version_by_the_image(image: str, version: str) -> None:
    found = daemon_set()
    found["spec"]["template"]["spec"]["containers"][0]["image"] = image
    assert serves(found) == version
