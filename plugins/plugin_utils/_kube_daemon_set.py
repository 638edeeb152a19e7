# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a kube-proxy that a DaemonSet runs is changed node by node, although all of its pods share a ConfigMap. Pure.

A second ConfigMap and DaemonSet hold the new settings. A label says which of the two a node has: without it, the first
one; LEAVING, none, so that whatever the former mode has left can be cleaned up in between; MOVED, the second one. When
all nodes have moved the first ConfigMap gets the new settings, the nodes go back to it, and nothing of ours is left:
the cluster's own upgrades apply their DaemonSet anew.

Everything is a list of steps, each of which may be taken again, so that a run goes on where another one has ended.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Dict, List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, Problem, input_error
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_find import CONFIG_MAPS
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_affinity import (
    LABEL,
    divided,
    with_expression,
    without_expression,
)

NAMESPACE, DAEMON_SET = "kube-system", "kube-proxy"
# Our ConfigMap and DaemonSet, and what the label of their pods is.
SECOND = "kube-proxy-netfleet"
LEAVING, MOVED = "leaving", "moved"
# On our ConfigMap: what of the first DaemonSet was changed, as it was.
FORMER = "netfleet.tcp/former"
_OURS = {"app.kubernetes.io/managed-by": "netfleet.tcp"}
_ON_DELETE = {"type": "OnDelete"}
# v1.36.4, v1.29.0-minimal-eksbuild.1
_TAG = re.compile(r"v?1\.\d{1,3}\.\d{1,3}(?:[-+._]\S*)?\Z")
_SHELLS = ("sh", "bash", "ash", "dash")
# What the server writes into an object, and refuses or ignores in what is sent. Not the version: by that an object
# replaces no other one than that which was read.
_SERVERS_OWN = ("uid", "generation", "creationTimestamp", "managedFields", "selfLink")

MAPS, SETS, POD, NODE = "ConfigMap", "DaemonSet", "Pod", "Node"
CREATE, REPLACE, DELETE, SET_LABEL = "create", "replace", "delete", "label"
NO_POD, POD_READY, POD_DONE, ROLLED_OUT = "no pod", "pod ready", "pod done", "rolled out"

Object = Dict[str, Any]


@dataclass(frozen=True)
class Step:
    """One request, or one thing to wait for, of those above.

    name: of the object; of a wait, the DaemonSet. node: of a label or of a pod. body: of what is written; None of a
    label takes it away. why: for people.
    """

    action: str
    kind: str
    name: str
    body: Any = None
    node: str = ""
    why: str = ""

    def __str__(self) -> str:
        if self.action == SET_LABEL:
            taken = "take the label %s off node %s" % (LABEL, self.node)
            text = "label node %s %s=%s" % (self.node, LABEL, self.body) if self.body else taken
        elif self.action in (NO_POD, POD_READY):
            state = "is gone from" if self.action == NO_POD else "runs on"
            text = "wait until %s %s node %s" % (self.name, state, self.node)
        elif self.action in (POD_DONE, ROLLED_OUT):
            text = "wait until %s %s is %s" % (
                self.kind,
                self.name,
                "done" if self.action == POD_DONE else "everywhere",
            )
        else:
            text = "%s %s %s" % (self.action, self.kind, self.name)
        return "%s (%s)" % (text, self.why) if self.why else text


@dataclass(frozen=True)
class Sets:
    """What the API has of kube-proxy. config_map, daemon_set: the cluster's own; second_map, second_set: ours, if any.

    key: of the configuration in the ConfigMap. labels: by node, the value of LABEL, of those that have it.
    """

    config_map: Mapping[str, Any]
    daemon_set: Mapping[str, Any]
    key: str
    second_map: Optional[Mapping[str, Any]] = None
    second_set: Optional[Mapping[str, Any]] = None
    labels: Tuple[Tuple[str, str], ...] = ()

    @property
    def text(self) -> str:
        """The configuration that the cluster's own pods take."""
        return configuration(self.config_map, self.key)

    @property
    def second_text(self) -> str:
        """That of ours; empty where there is none."""
        return configuration(self.second_map, self.key) if self.second_map else ""

    def label_of(self, node: str) -> str:
        """The value of LABEL of a node, or empty."""
        return dict(self.labels).get(node, "")

    def text_of(self, node: str) -> str:
        """The configuration that a node's pod takes, or will."""
        return (self.second_text if self.label_of(node) else "") or self.text

    @property
    def begun(self) -> bool:
        """Whether anything of ours is there."""
        return bool(self.second_map or self.second_set or self.labels or divided(self.daemon_set))


def config_map_of(distribution: str) -> Tuple[str, str]:
    """(name, key) of the ConfigMap of a distribution whose kube-proxy a DaemonSet runs."""
    return CONFIG_MAPS[distribution]


def configuration(config_map: Mapping[str, Any], key: str) -> str:
    """The configuration in a ConfigMap. InputError where it is not there."""
    data = config_map.get("data") or {}
    if not isinstance(data.get(key), str):
        known = ", ".join(sorted(map(str, data))) or "nothing"
        raise input_error(where(config_map), "has no %s" % key, "it has: %s" % known)
    return str(data[key])


def where(found: Mapping[str, Any], kind: str = MAPS) -> str:
    """An object, for people."""
    metadata = found.get("metadata") or {}
    return "%s %s/%s" % (kind, metadata.get("namespace", NAMESPACE), metadata.get("name"))


def place_in(config_map: Mapping[str, Any], key: str) -> str:
    """Where a configuration stands, for people."""
    return "%s: %s" % (where(config_map), key)


def begin(sets: Sets, text: str, going: bool = True) -> Tuple[Step, ...]:
    """What has to be there before the first node moves. text: the configuration of those that have moved.

    going: nodes are to go to ours; else they go back, or start anew on the cluster's own, and ours stays as it is.
    InputError where the DaemonSet is not of a form in which that can be done, or where nodes have ours with another
    configuration.
    """
    others = bool(going and sets.second_map and sets.second_text != text)
    moved = [node for node, label in sets.labels if label == MOVED]
    if others and moved:
        problem = "an earlier run has begun to bring other settings, to %s" % ", ".join(moved)
        cure = "run with those to its end; or back, while %s has the former ones" % where(sets.config_map)
        raise input_error(where(sets.second_map or {}), problem, cure)
    second_set = _second_set(sets)
    steps: List[Step] = []
    if not sets.second_map:
        steps.append(Step(CREATE, MAPS, SECOND, _second_map(sets, text), why="the new settings"))
    elif others:
        changed = _to_replace(sets.second_map)
        changed["data"] = {**(sets.config_map.get("data") or {}), sets.key: text}
        steps.append(Step(REPLACE, MAPS, SECOND, changed, why="the new settings; no node has those of an earlier run"))
    if not divided(sets.daemon_set):
        why = "pods stay as they are; those of labelled nodes go"
        steps.append(Step(REPLACE, SETS, DAEMON_SET, _divided_set(sets.daemon_set), why=why))
    if not sets.second_set:
        steps.append(Step(CREATE, SETS, SECOND, second_set, why="for nodes labelled %s=%s" % (LABEL, MOVED)))
    return tuple(steps)


def move(sets: Sets, node: str, clean: bool = False) -> Tuple[Step, ...]:
    """A node from the cluster's own DaemonSet to ours.

    clean: what a former mode has left is cleaned up in between, by a pod; then also one that has moved starts anew.
    """
    if sets.label_of(node) == MOVED and not clean:
        return (Step(POD_READY, SETS, SECOND, node=node),)
    return _passage(sets, node, MOVED, SECOND, clean)


def move_back(sets: Sets, node: str, clean: bool = False, anew: bool = False) -> Tuple[Step, ...]:
    """A node from our DaemonSet to the cluster's own, wherever it stands in between.

    clean: as of move. anew: also one that is there already, so that its kube-proxy starts once more.
    """
    if not sets.label_of(node) and not anew:
        return (Step(POD_READY, SETS, DAEMON_SET, node=node),)
    return _passage(sets, node, None, DAEMON_SET, clean)


def _passage(sets: Sets, node: str, label: Optional[str], name: str, clean: bool) -> Tuple[Step, ...]:
    """A node to the DaemonSet of a name, to which the label brings it, by way of none."""
    return (
        Step(SET_LABEL, NODE, node, LEAVING, node),
        # Both: an earlier run may have ended in the midst of it.
        *(Step(NO_POD, SETS, each, node=node) for each in (DAEMON_SET, SECOND)),
        *(_cleaning(sets, node) if clean else ()),
        Step(SET_LABEL, NODE, node, label, node),
        Step(POD_READY, SETS, name, node=node),
    )


def settle(sets: Sets, text: str) -> Tuple[Step, ...]:
    """The cluster's own ConfigMap gets the configuration: once no pod runs by it, or all that do have its settings."""
    if sets.text == text:
        return ()
    changed = _to_replace(sets.config_map)
    changed["data"] = {**changed["data"], sets.key: text}
    return (Step(REPLACE, MAPS, changed["metadata"]["name"], changed, why="no pod runs by it"),)


def end(sets: Sets) -> Tuple[Step, ...]:
    """Nothing of ours is left. InputError where a node still has our label."""
    if sets.labels:
        problems = [Problem("Node %s" % node, "still has the label %s" % LABEL) for node, _value in sets.labels]
        raise InputError(problems)
    steps: List[Step] = []
    if sets.second_set:
        steps.append(Step(DELETE, SETS, SECOND))
    if divided(sets.daemon_set):
        restored = _restored_set(sets)
        why = (
            "as it was; its own way to update, %s, restarts pods once more" % restored["spec"]["updateStrategy"]["type"]
        )
        steps.append(Step(REPLACE, SETS, DAEMON_SET, restored, why=why))
        steps.append(Step(ROLLED_OUT, SETS, DAEMON_SET))
    if sets.second_map:
        steps.append(Step(DELETE, MAPS, SECOND))
    return tuple(steps)


def selector_text(daemon_set: Mapping[str, Any]) -> str:
    """The selector of a DaemonSet's pods, as a query has it. InputError where it is not by labels alone."""
    return ",".join("%s=%s" % pair for pair in sorted(_match_labels(daemon_set).items()))


def serves(daemon_set: Mapping[str, Any]) -> str:
    """The version of kube-proxy by the tag of its image, or empty: a registry of one's own may have other tags."""
    tag = str(_container(daemon_set).get("image", "")).partition("@")[0].rpartition(":")[2]
    return tag if _TAG.match(tag) else ""


def _match_labels(daemon_set: Mapping[str, Any]) -> Dict[str, str]:
    selector = (daemon_set.get("spec") or {}).get("selector") or {}
    if selector.get("matchExpressions") or not selector.get("matchLabels"):
        raise input_error(
            "%s: selector" % where(daemon_set, SETS), "is not by labels alone", "its pods would be mixed up"
        )
    return {str(name): str(value) for name, value in selector["matchLabels"].items()}


def _template(daemon_set: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = daemon_set["spec"]["template"]
    return found


def _container(daemon_set: Mapping[str, Any]) -> Mapping[str, Any]:
    """The container of kube-proxy: the one called so, or the only one."""
    containers: Sequence[Mapping[str, Any]] = (_template(daemon_set).get("spec") or {}).get("containers") or ()
    named = [each for each in containers if each.get("name") == DAEMON_SET]
    if not named and len(containers) != 1:
        problem = "has %d containers, and none is called %s" % (len(containers), DAEMON_SET)
        raise input_error(where(daemon_set, SETS), problem)
    return (named or list(containers))[0]


def _second_map(sets: Sets, text: str) -> Object:
    former = {
        "updateStrategy": (sets.daemon_set.get("spec") or {}).get("updateStrategy"),
        "affinity": _own_affinity(sets),
    }
    return {
        "apiVersion": "v1",
        "kind": MAPS,
        "metadata": {
            "namespace": NAMESPACE,
            "name": SECOND,
            "labels": dict(_OURS),
            "annotations": {FORMER: json.dumps(former, sort_keys=True)},
        },
        "data": {**(sets.config_map.get("data") or {}), sets.key: text},
    }


def _second_set(sets: Sets) -> Object:
    labels = dict.fromkeys(_match_labels(sets.daemon_set), SECOND)
    template = copy.deepcopy(dict(_template(sets.daemon_set)))
    metadata = {**(template.get("metadata") or {}), "creationTimestamp": None}
    template["metadata"] = {**metadata, "labels": {**(metadata.get("labels") or {}), **labels}}
    spec = template["spec"] = _by_second_map(sets, template["spec"])
    spec.pop("affinity", None)
    spec.update({"affinity": _own_affinity(sets)} if _own_affinity(sets) else {})
    spec["nodeSelector"] = {**(spec.get("nodeSelector") or {}), LABEL: MOVED}
    return {
        "apiVersion": "apps/v1",
        "kind": SETS,
        "metadata": {"namespace": NAMESPACE, "name": SECOND, "labels": dict(_OURS)},
        "spec": {"selector": {"matchLabels": labels}, "template": template, "updateStrategy": dict(_ON_DELETE)},
    }


def _by_second_map(sets: Sets, spec: Object) -> Object:
    """The spec of a pod with our ConfigMap in place of the cluster's own."""
    name = sets.config_map["metadata"]["name"]
    mounted = False
    for volume in spec.get("volumes") or ():
        if (volume.get("configMap") or {}).get("name") == name:
            volume["configMap"]["name"] = SECOND
            mounted = True
    if not mounted:
        problem = "does not mount ConfigMap %s" % name
        raise input_error(
            where(sets.daemon_set, SETS), problem, "its settings stand elsewhere, and are not changed here"
        )
    return spec


def _cleaning(sets: Sets, node: str) -> Iterator[Step]:
    pod = cleaner(sets, node)
    name = pod["metadata"]["name"]
    # One of an earlier run says nothing of this one.
    yield no_cleaner(node)
    yield Step(CREATE, POD, name, pod, node, "kube-proxy --cleanup, while none runs there")
    yield Step(POD_DONE, POD, name, node=node)
    yield no_cleaner(node)


def no_cleaner(node: str) -> Step:
    """The pod that cleans up on a node goes: one that starts late would take away what kube-proxy has programmed."""
    return Step(DELETE, POD, _cleaner_name(node), node=node)


def cleaner(sets: Sets, node: str) -> Object:
    """A pod that runs kube-proxy --cleanup on a node, once. Not a part of the DaemonSet: each start would clean up.

    InputError where the command of kube-proxy is not its own.
    """
    template = copy.deepcopy(dict(_template(sets.daemon_set)))
    spec = template["spec"]
    container = dict(_container(sets.daemon_set))
    command = [str(word) for word in container.get("command") or ()]
    if command and command[0].rpartition("/")[2] in _SHELLS:
        problem = "starts kube-proxy by a shell, to which --cleanup cannot be given"
        raise input_error("%s: command" % where(sets.daemon_set, SETS), problem)
    given = "command" if command and not container.get("args") else "args"
    container[given] = [*(container.get(given) or ()), "--cleanup"]
    for name in ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "ports"):
        container.pop(name, None)
    for name in ("initContainers", "affinity", "nodeSelector", "topologySpreadConstraints"):
        spec.pop(name, None)
    spec.update(containers=[container], restartPolicy="Never", nodeName=node)
    return {
        "apiVersion": "v1",
        "kind": POD,
        "metadata": {"namespace": NAMESPACE, "name": _cleaner_name(node), "labels": dict(_OURS)},
        "spec": spec,
    }


def _cleaner_name(node: str) -> str:
    # A name of a pod may be as long as that of a node.
    return "%s-cleanup-%s" % (SECOND, hashlib.sha256(node.encode()).hexdigest()[:10])


def _to_replace(found: Mapping[str, Any]) -> Object:
    """A copy of an object, to replace it by: without what the server writes into it."""
    changed = copy.deepcopy(dict(found))
    changed.pop("status", None)
    changed["metadata"] = {name: value for name, value in changed["metadata"].items() if name not in _SERVERS_OWN}
    return changed


def _divided_set(daemon_set: Mapping[str, Any]) -> Object:
    changed = _to_replace(daemon_set)
    # In one request: with another way to update, the new affinity would restart all pods.
    changed["spec"]["updateStrategy"] = dict(_ON_DELETE)
    spec = changed["spec"]["template"]["spec"]
    spec["affinity"] = with_expression(spec.get("affinity"))
    return changed


def _own_affinity(sets: Sets) -> Optional[Object]:
    """The affinity of the cluster's own DaemonSet, without what was added to it."""
    affinity: Optional[Object] = _template(sets.daemon_set)["spec"].get("affinity")
    if not affinity or not divided(sets.daemon_set):
        return affinity
    was: Optional[Object] = _former(sets).get("affinity")
    # Exactly as it was, unless somebody else has changed it since: else its pods would count as outdated.
    return was if affinity == with_expression(was) else without_expression(affinity)


def _former(sets: Sets) -> Dict[str, Any]:
    """What of the cluster's DaemonSet was changed, as it was; empty where nobody knows."""
    metadata = (sets.second_map or {}).get("metadata") or {}
    try:
        found = json.loads((metadata.get("annotations") or {}).get(FORMER, ""))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _restored_set(sets: Sets) -> Object:
    changed = _to_replace(sets.daemon_set)
    former = _former(sets)
    if changed["spec"].get("updateStrategy", {}).get("type") == "OnDelete":
        changed["spec"]["updateStrategy"] = former.get("updateStrategy") or {"type": "RollingUpdate"}
    spec, affinity = changed["spec"]["template"]["spec"], _own_affinity(sets)
    spec.pop("affinity", None)
    if affinity is not None:
        spec["affinity"] = affinity
    return changed
