# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The links of a host, worked out once for all hosts of a task: whichever worker is first leaves them for the others.

Each host is a process of its own, and the work is over the whole fleet: done by each it would grow with its
square. What is left holds no secrets. Runs on the controller alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Set, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, Problem
from ansible_collections.netfleet.tcp.plugins.module_utils._model import from_wire, to_wire
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_analysis import analysed
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_bgp import RoutingWanted, routing
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_run import declared, digest
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_topology import InterfaceWanted
from ansible_collections.netfleet.tcp.plugins.plugin_utils._once import file_name, locked

_PROBLEMS = "problems.json"


@dataclass(frozen=True)
class HostLinks:
    """What one host is to have. kept: by interface, the peers with which one of the two ends keeps the link alive.

    routing: of FRR, where links need it.
    """

    interfaces: Tuple[InterfaceWanted, ...] = ()
    kept: Dict[str, Tuple[str, ...]] = field(default_factory=dict)
    routing: Optional[RoutingWanted] = None


def links_once(
    host: str, declaration: Mapping[str, Any], task_vars: Mapping[str, Any], directory: str, task: str
) -> HostLinks:
    """The links of a host. InputError with every problem of the declaration, for each host that has the same one.

    directory: of this run of Ansible, which removes it. task: a name that no other task of the run has.
    """
    folder = os.path.join(directory, "links-%s" % file_name("%s %s" % (task, digest(declaration))))
    with locked(folder + ".lock"):
        if not os.path.isdir(folder):
            _work_out(declaration, task_vars, folder)
    problems = _read(os.path.join(folder, _PROBLEMS))
    if problems:
        raise InputError(from_wire(Problem, entry) for entry in problems)
    found = _read(os.path.join(folder, file_name(host)))
    return from_wire(HostLinks, found) if found else HostLinks()


def by_host(
    wanted: Mapping[str, Tuple[InterfaceWanted, ...]], routed: Mapping[str, RoutingWanted]
) -> Dict[str, HostLinks]:
    """The same by host, with what is to be known of the other ends."""
    callers: Set[Tuple[str, str, str]] = {
        (host, interface.topology, peer.node)
        for host, found in wanted.items()
        for interface in found
        for peer in interface.peers
        if peer.keepalive
    }
    return {
        host: HostLinks(
            found,
            {
                interface.name: tuple(
                    peer.node
                    for peer in interface.peers
                    if peer.keepalive or (peer.node, interface.topology, host) in callers
                )
                for interface in found
            },
            routed.get(host),
        )
        for host, found in wanted.items()
    }


def _work_out(declaration: Mapping[str, Any], task_vars: Mapping[str, Any], folder: str) -> None:
    problems: List[Problem] = []
    found: Dict[str, HostLinks] = {}
    try:
        links = declared(declaration, task_vars)
        found = by_host(analysed(links), routing(links))
    except InputError as error:
        problems = error.problems
    begun = folder + ".begun"
    os.makedirs(begun, mode=0o700, exist_ok=True)
    _write(os.path.join(begun, _PROBLEMS), [to_wire(problem) for problem in problems])
    for host, own in found.items():
        _write(os.path.join(begun, file_name(host)), to_wire(own))
    os.rename(begun, folder)


def _write(path: str, data: Any) -> None:
    with open(path, "w", encoding="utf-8") as stream:
        json.dump(data, stream)


def _read(path: str) -> Any:
    try:
        with open(path, encoding="utf-8") as stream:
            return json.load(stream)
    except FileNotFoundError:
        return None
