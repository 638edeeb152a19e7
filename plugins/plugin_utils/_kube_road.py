# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes the steps of _kube_daemon_set over the API, and reads what they are worked out from.

Runs on the controller alone; the API is the only thing that it touches.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Dict, List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError, Problem, host_error
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_affinity import LABEL
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_api import (
    CONFIG_MAPS,
    DAEMON_SETS,
    NODES,
    PODS,
    Api,
    Resource,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_daemon_set import (
    CREATE,
    DAEMON_SET,
    DELETE,
    MAPS,
    NAMESPACE,
    NO_POD,
    POD,
    POD_DONE,
    POD_READY,
    REPLACE,
    ROLLED_OUT,
    SECOND,
    SET_LABEL,
    SETS,
    Sets,
    Step,
    config_map_of,
    selector_text,
)

_RESOURCES: Dict[str, Resource] = {MAPS: CONFIG_MAPS, SETS: DAEMON_SETS, POD: PODS}
_PAUSE = 1.0
# How often steps are worked out anew where somebody else writes at the same time.
_ATTEMPTS = 5
_LINES = 6
# With these a pod does not come up by waiting.
_HOPELESS = ("CrashLoopBackOff", "CreateContainerConfigError", "InvalidImageName", "ErrImageNeverPull")
# What the road needs of RBAC: verb, resource, in the namespace of kube-proxy where it is namespaced.
NEEDED: Tuple[Tuple[str, Resource], ...] = (
    ("list", NODES),
    ("patch", NODES),
    *((verb, CONFIG_MAPS) for verb in ("get", "create", "update", "delete")),
    *((verb, DAEMON_SETS) for verb in ("get", "create", "update", "delete")),
    *((verb, PODS) for verb in ("get", "list", "create", "delete")),
)


class ConflictError(HostError):
    """Somebody else has written an object since it was read. Whoever reads it again can go on."""


def read_sets(api: Api, distribution: str, nodes: Iterable[Mapping[str, Any]] = ()) -> Sets:
    """What the API has of kube-proxy. nodes: of the API, where they have been asked for already.

    HostError where there is no kube-proxy of this distribution.
    """
    name, key = config_map_of(distribution)
    found: Dict[Resource, Optional[Dict[str, Any]]] = {}
    for resource, wanted in ((CONFIG_MAPS, name), (DAEMON_SETS, DAEMON_SET)):
        found[resource] = api.get(resource, wanted, NAMESPACE)
        if found[resource] is None:
            problem = "%s has no %s %s/%s" % (api.server, resource, NAMESPACE, wanted)
            cure = "set kube_proxy_distribution; found was %s" % distribution
            raise host_error("kube-proxy", problem, cure)
    labels = [
        (str(node["metadata"]["name"]), str(node["metadata"]["labels"][LABEL]))
        for node in nodes or api.list(NODES)
        if LABEL in (node["metadata"].get("labels") or {})
    ]
    return Sets(
        config_map=found[CONFIG_MAPS] or {},
        daemon_set=found[DAEMON_SETS] or {},
        key=key,
        second_map=api.get(CONFIG_MAPS, SECOND, NAMESPACE),
        second_set=api.get(DAEMON_SETS, SECOND, NAMESPACE),
        labels=tuple(sorted(labels)),
    )


def served(api: Api, sets: Sets) -> Tuple[str, ...]:
    """The nodes on which one of the two DaemonSets has a pod, or ours is to have one."""
    own = selector_text(sets.daemon_set)
    ours = selector_text(sets.second_set) if sets.second_set else ""
    pods = [pod for selector in (own, ours) if selector for pod in api.list(PODS, NAMESPACE, selector)]
    nodes = {str(pod["spec"]["nodeName"]) for pod in pods if pod["spec"].get("nodeName")}
    return tuple(sorted(nodes | set(dict(sets.labels))))


def take_steps(
    api: Api,
    distribution: str,
    steps_by: Callable[[Sets], Iterable[Step]],
    seconds: float,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Tuple[Step, ...]:
    """Take the steps that follow from what the API has now; gives them. seconds, and HostError: as of Road.

    Where somebody else writes in between, as controllers do, they are worked out anew from that: each may be taken
    again.
    """
    first: Optional[Tuple[Step, ...]] = None
    for attempt in range(1, _ATTEMPTS + 1):
        sets = read_sets(api, distribution)
        steps = tuple(steps_by(sets))
        first = steps if first is None else first
        try:
            Road(api, sets, seconds, sleep, clock).take(steps)
        except ConflictError:
            if attempt == _ATTEMPTS:
                raise
            sleep(_PAUSE)
        else:
            return first
    raise AssertionError("there is a last attempt")


class Road:
    """Takes steps, one after another. seconds: for which each of them may be waited."""

    def __init__(
        self,
        api: Api,
        sets: Sets,
        seconds: float,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._seconds = seconds
        self._sleep = sleep
        self._clock = clock
        self._selectors = {DAEMON_SET: selector_text(sets.daemon_set)}
        labels = selector_text(sets.daemon_set).split(",")
        self._selectors[SECOND] = ",".join("%s=%s" % (pair.partition("=")[0], SECOND) for pair in labels)

    def take(self, steps: Iterable[Step]) -> None:
        """Take all of them. HostError, with what the cluster says, at the first that fails; those before stay taken."""
        for step in steps:
            if step.action in (CREATE, REPLACE, DELETE, SET_LABEL):
                self._write(step)
            else:
                self._wait(step)

    def pods_on(self, node: str) -> Tuple[str, ...]:
        """What the pods of kube-proxy on a node, and the ends of their logs, say."""
        pods = [pod for each in self._selectors.values() for pod in self._api.list(PODS, NAMESPACE, each, node)]
        return tuple("%s: %s" % (pod["metadata"]["name"], self._why(pod)) for pod in pods)

    def _write(self, step: Step) -> None:
        if step.action == SET_LABEL:
            self._api.patch(NODES, step.node, {"metadata": {"labels": {LABEL: step.body}}})
            return
        resource = _RESOURCES[step.kind]
        if step.action == DELETE:
            self._api.delete(resource, step.name, NAMESPACE)
            if step.kind == POD:
                self._until(lambda: not self._api.get(PODS, step.name, NAMESPACE), "%s is not deleted" % step.name)
            return
        done = (
            self._api.create(resource, step.body) if step.action == CREATE else self._api.replace(resource, step.body)
        )
        if not done:
            text = "somebody else has changed it a moment ago" if step.action == REPLACE else "is there already"
            raise ConflictError([Problem("%s %s/%s" % (step.kind, NAMESPACE, step.name), text, "run again")])

    def _wait(self, step: Step) -> None:
        if step.action == NO_POD:
            self._until(lambda: not self._pods(step), "node %s still has a pod of %s" % (step.node, step.name))
        elif step.action == POD_READY:
            self._until(lambda: self._ready(step), "node %s has no %s that runs" % (step.node, step.name), step)
        elif step.action == POD_DONE:
            self._until(lambda: self._done(step), "%s has not ended on node %s" % (step.name, step.node), step)
        elif step.action == ROLLED_OUT:
            found = self._api.get(DAEMON_SETS, step.name, NAMESPACE) or {}
            # One after another, as its own way to update says.
            times = 1 + int((found.get("status") or {}).get("desiredNumberScheduled") or 0)
            self._until(self._rolled_out, "DaemonSet %s is not on all of its nodes yet" % step.name, times=times)
        else:
            raise ValueError(step.action)

    def _pods(self, step: Step) -> List[Dict[str, Any]]:
        return self._api.list(PODS, NAMESPACE, self._selectors[step.name], step.node)

    def _ready(self, step: Step) -> bool:
        pods = self._pods(step)
        for pod in pods:
            self._refuse_hopeless(pod, step)
        return len(pods) == 1 and _is_ready(pods[0])

    def _done(self, step: Step) -> bool:
        pod = self._api.get(PODS, step.name, NAMESPACE) or {}
        status = pod.get("status") or {}
        ended = _ended(status)
        if status.get("phase") == "Failed" or ended not in (None, 0):
            raise host_error("node %s" % step.node, "kube-proxy --cleanup failed: %s" % self._why(pod))
        self._refuse_hopeless(pod, step)
        return status.get("phase") == "Succeeded" or ended == 0

    def _rolled_out(self) -> bool:
        found = self._api.get(DAEMON_SETS, DAEMON_SET, NAMESPACE) or {}
        status, spec = found.get("status") or {}, found.get("spec") or {}
        wanted = status.get("desiredNumberScheduled", 0)
        if status.get("observedGeneration") != (found.get("metadata") or {}).get("generation"):
            return False
        rolls = (spec.get("updateStrategy") or {}).get("type") != "OnDelete"
        counts = ["numberAvailable", *(["updatedNumberScheduled"] if rolls else [])]
        return all(int(status.get(name) or 0) >= int(wanted) for name in counts)

    def _refuse_hopeless(self, pod: Mapping[str, Any], step: Step) -> None:
        for each in _containers(pod.get("status") or {}):
            reason = ((each.get("state") or {}).get("waiting") or {}).get("reason")
            if reason in _HOPELESS:
                problem = "%s does not come up: %s" % (step.name, self._why(pod))
                raise host_error("node %s" % step.node, problem)

    def _until(self, happened: Callable[[], bool], problem: str, step: Any = None, times: int = 1) -> None:
        """Wait for it; HostError with the problem, and with what pods say of it, once the time (times) is over."""
        seconds = self._seconds * times
        end = self._clock() + seconds
        while not happened():
            if self._clock() >= end:
                said = self._told(step) if step else ""
                raise host_error("Kubernetes", "%s after %g s%s" % (problem, seconds, said))
            self._sleep(_PAUSE)

    def _told(self, step: Step) -> str:
        pods = self._pods(step) if step.action == POD_READY else [self._api.get(PODS, step.name, NAMESPACE) or {}]
        return "".join(": %s" % self._why(pod) for pod in pods) or ": its DaemonSet has made none"

    def _why(self, pod: Mapping[str, Any]) -> str:
        """What a pod's status and the end of its log say, in one line."""
        status = pod.get("status") or {}
        told = [str(status.get("phase") or "nothing is known of it")]
        for each in _containers(status):
            for name in ("state", "lastState"):
                for kind, state in sorted((each.get(name) or {}).items()):
                    parts = [state.get("reason"), state.get("message"), _code(state)]
                    told += (
                        ["%s %s: %s" % (each.get("name"), kind, " ".join(filter(None, parts)))] if any(parts) else []
                    )
        name = str((pod.get("metadata") or {}).get("name") or "")
        log = self._api.log(name, NAMESPACE, _LINES) if name else ""
        told += ["its log: %s" % " | ".join(log.splitlines())] if log else []
        return "; ".join(told)


def _containers(status: Mapping[str, Any]) -> List[Mapping[str, Any]]:
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def _code(state: Mapping[str, Any]) -> str:
    return "exit status %s" % state["exitCode"] if state.get("exitCode") else ""


def _ended(status: Mapping[str, Any]) -> Any:
    """The exit status of the container of a pod that runs once; None while it has not ended."""
    states = [(each.get("state") or {}).get("terminated") or {} for each in status.get("containerStatuses") or ()]
    codes = [state.get("exitCode") for state in states if "exitCode" in state]
    return codes[0] if codes else None


def _is_ready(pod: Mapping[str, Any]) -> bool:
    if (pod.get("metadata") or {}).get("deletionTimestamp"):
        return False
    status = pod.get("status") or {}
    conditions = {each.get("type"): each.get("status") for each in status.get("conditions") or ()}
    return status.get("phase") == "Running" and conditions.get("Ready") == "True"
