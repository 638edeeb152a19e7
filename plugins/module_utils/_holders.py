# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose a socket is: the process that holds it, and by that process's cgroup its systemd unit or container.

Pure but for the System that is handed in. Source: cgroups(7), systemd's and the container runtimes' names of cgroups.
"""

from __future__ import annotations

import re
from typing import Collection, Dict, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import Holder
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System

_UNIT = re.compile(r".+\.(?:service|scope)\Z")
# As systemd names the scope of a container, and as a runtime that makes its cgroups itself does, below its own name.
_SCOPE = re.compile(r"(?:(docker|libpod|crio|cri-containerd|nerdctl)-)([0-9a-f]{64})\.scope\Z")
_BELOW = re.compile(r"/(docker|lxc|kubepods)(?:/[^/]+)*?/(?:cri-containerd-|crio-)?([0-9a-f]{64})(?:/|\Z)")
_LXC = re.compile(r"/(?:lxc/|lxc\.payload\.)([^/]+)")
# As podman, docker and crictl show the ids of containers.
_SHOWN = 12


def holders(system: System, inodes: Collection[int]) -> Dict[int, Holder]:
    """Who holds each of these sockets; those of whom nothing can be seen, or who have gone since, are left out."""
    found: Dict[int, Holder] = {}
    seen: Dict[int, Holder] = {}
    for inode, pid in system.socket_holders(inodes).items():
        if pid not in seen:
            seen[pid] = holder_of(system, pid)
        if seen[pid].process:
            found[inode] = seen[pid]
    return found


def holder_of(system: System, pid: int) -> Holder:
    """Who a process is; without a name where it has gone."""
    name = (system.read("/proc/%d/comm" % pid) or "").strip()
    unit, container = owner_of(system.read("/proc/%d/cgroup" % pid) or "")
    return Holder(name, pid, unit, container)


def owner_of(text: str) -> Tuple[str, str]:
    """The systemd unit and the container that the text of a /proc/PID/cgroup tells of; each empty where none is."""
    unit = ""
    for line in text.splitlines():
        # number:controllers:path; systemd has its own hierarchy where it does not have the only one.
        _number, controllers, path = [*line.split(":", 2), "", ""][:3]
        container = _container(path)
        if container:
            return "", container
        if controllers in ("", "name=systemd"):
            named = [part for part in path.split("/") if _UNIT.match(part)]
            unit = unit or (named[-1] if named else "")
    return unit, ""


def _container(path: str) -> str:
    for part in path.split("/"):
        scope = _SCOPE.match(part)
        if scope:
            return "%s:%s" % (scope.group(1), scope.group(2)[:_SHOWN])
    below = _BELOW.search(path)
    if below:
        return "%s:%s" % (below.group(1), below.group(2)[:_SHOWN])
    lxc = _LXC.search(path)
    return "lxc:%s" % lxc.group(1) if lxc else ""
