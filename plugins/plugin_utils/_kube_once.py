# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API says of a cluster, asked once for all hosts of a task: the first worker leaves it for the others.

Each host is a process of its own, and each would ask for all Services. Runs on the controller alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any, Dict, List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError, NetfleetError, Problem
from ansible_collections.netfleet.tcp.plugins.module_utils._model import from_wire, to_wire
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_api import (
    DAEMON_SETS,
    ENDPOINT_SLICES,
    NODES,
    SERVICES,
    Api,
    ApiError,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_cluster import NodeInfo, node_info
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_daemon_set import Sets
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_plugin import look_at_plugin
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_road import read_sets
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_run import by_api
from ansible_collections.netfleet.tcp.plugins.plugin_utils._once import file_name, locked

_Objects = List[Dict[str, Any]]


@dataclass(frozen=True)
class ClusterFacts:
    """nodes: all of them. sets: where a DaemonSet runs kube-proxy. services, slices: the items of the API's lists.

    none: why there is no kube-proxy, as far as the API tells it; but for the nodes the rest is left out then.
    """

    nodes: Tuple[NodeInfo, ...] = ()
    sets: Optional[Sets] = None
    services: Tuple[Mapping[str, Any], ...] = ()
    slices: Tuple[Mapping[str, Any], ...] = ()
    none: str = ""


def services_of(api: Api) -> Tuple[_Objects, _Objects]:
    """The Services and EndpointSlices of a cluster, without what nobody needs and is half of their size."""
    return _small(api.list(SERVICES)), _small(api.list(ENDPOINT_SLICES))


def _small(found: _Objects) -> _Objects:
    for each in found:
        for name in ("managedFields", "annotations"):
            (each.get("metadata") or {}).pop(name, None)
    return found


def cluster_once(connect: Callable[[], Api], distribution: str, directory: str, name: str) -> ClusterFacts:
    """What the API says. HostError, for every host, where it cannot be asked.

    directory: of this run of Ansible, which removes it. name: that no other task, and no other cluster, of the run has.
    """
    path = os.path.join(directory, "kube-%s" % file_name(name))
    with locked(path + ".lock"):
        if not os.path.exists(path):
            _ask(connect, distribution, path)
    with open(path, encoding="utf-8") as stream:
        found = json.load(stream)
    if found["problems"]:
        raise HostError(from_wire(Problem, each) for each in found["problems"])
    return ClusterFacts(
        nodes=tuple(from_wire(NodeInfo, each) for each in found["nodes"]),
        sets=_sets(found["sets"]),
        services=tuple(found["services"]),
        slices=tuple(found["slices"]),
        none=found["none"],
    )


def _ask(connect: Callable[[], Api], distribution: str, path: str) -> None:
    found: Dict[str, Any] = {"problems": [], "nodes": [], "sets": None, "services": [], "slices": [], "none": ""}
    try:
        api = connect()
        raw = api.list(NODES)
        found["nodes"] = [to_wire(node_info(node)) for node in raw]
        found["none"] = _replaced(api)
        if not found["none"]:
            found["sets"] = dict(read_sets(api, distribution, raw).__dict__) if by_api(distribution) else None
            found["services"], found["slices"] = services_of(api)
    except NetfleetError as error:
        found["problems"] = [to_wire(problem) for problem in error.problems]
    with open(path + ".begun", "w", encoding="utf-8", opener=_closed) as stream:
        json.dump(found, stream)
    os.rename(path + ".begun", path)


def _replaced(api: Api) -> str:
    """Why there is no kube-proxy, where the user of the API may see that: nothing else needs it."""
    try:
        return look_at_plugin(api, api.list(DAEMON_SETS)).replaces
    except ApiError:
        return ""


def _sets(found: Optional[Dict[str, Any]]) -> Optional[Sets]:
    return Sets(**{**found, "labels": tuple((node, label) for node, label in found["labels"])}) if found else None


def _closed(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
