# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who else sets keys on a host: services that do it while they run, and authors of files of sysctl.d.

Pure but for the System that is handed in. Sources: the README of bpftune, kube-proxy's server options (conntrack).
"""

from __future__ import annotations

import fnmatch
import re
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._model import (
    ANOTHER_DECLARATION,
    TUNED,
    Assignment,
    Owner,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._network_manager import (
    NETWORK_MANAGER,
    network_manager_owner,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System
from ansible_collections.netfleet.tcp.plugins.module_utils._tuned import tuned_owner

# A link of this name stands here while systemd runs the unit.
_ACTIVE_UNIT = "/run/systemd/units/invocation:%s.service"
_TUNED_ENABLED = "/etc/systemd/system/multi-user.target.wants/tuned.service"
# What a service sets beyond any file: service -> (units, name of its process, keys).
_SERVICES: Tuple[Tuple[str, Tuple[str, ...], Tuple[str, ...]], ...] = (
    (
        "bpftune",
        ("bpftune",),
        (
            "net.ipv4.tcp_rmem",
            "net.ipv4.tcp_wmem",
            "net.ipv4.tcp_max_orphans",
            "net.core.netdev_max_backlog",
            "net.ipv4.neigh.default.gc_thresh*",
        ),
    ),
    (
        "kube-proxy",
        ("kube-proxy", "k3s", "k3s-agent", "rke2-server", "rke2-agent", "snap.microk8s.daemon-kubelite"),
        (
            "net.netfilter.nf_conntrack_max",
            "net.netfilter.nf_conntrack_tcp_timeout_established",
            "net.netfilter.nf_conntrack_tcp_timeout_close_wait",
        ),
    ),
)
# In the first lines of a file.
_SIGNATURES: Tuple[Tuple[str, str], ...] = (
    ("managed by netfleet.tcp", ANOTHER_DECLARATION),
    ("ansible managed", "another Ansible role"),
    ("managed by ansible", "another Ansible role"),
    ("puppet", "Puppet"),
    ("managed by chef", "Chef"),
    ("managed by salt", "Salt"),
    ("cloud-init", "cloud-init"),
    ("kubespray", "Kubespray"),
    ("dev-sec", "dev-sec hardening"),
)
_NAMES: Tuple[Tuple[str, str], ...] = (
    ("*cloudimg*", "the cloud image"),
    ("*cloud-init*", "cloud-init"),
    ("*-gce-*", "Google's guest environment"),
    ("*kube*", "Kubernetes"),
    ("k8s.conf", "Kubernetes"),
    ("*tuned*", TUNED),
    ("*hardening*", "a hardening role"),
)
_HEAD = 2000
_PACKAGE_LISTS = "/var/lib/dpkg/info"


def owners(system: System, keys: Sequence[str]) -> Tuple[Owner, ...]:
    """The active services that set some of the keys, or queueing."""
    found: List[Owner] = []
    if _is_active(system, TUNED) or system.file_state(_TUNED_ENABLED).kind != "absent":
        found += tuned_owner(system, keys)
    if _is_active(system, NETWORK_MANAGER):
        found += network_manager_owner(system, keys)
    processes: Optional[Tuple[str, ...]] = None
    for name, units, patterns in _SERVICES:
        own = [key for key in keys if any(fnmatch.fnmatchcase(key, pattern) for pattern in patterns)]
        if not own:
            continue
        active = any(_is_active(system, unit) for unit in units)
        if not active:
            # In a pod it is no unit of the host's.
            processes = tuple(_processes(system)) if processes is None else processes
            active = name in processes
        if active:
            found.append(Owner(name, {key: Assignment("", 0, None, "") for key in own}))
    return tuple(found)


def _is_active(system: System, unit: str) -> bool:
    return system.file_state(_ACTIVE_UNIT % unit).kind != "absent"


def _processes(system: System) -> Iterator[str]:
    for entry in system.names("/proc"):
        if entry.isdigit():
            yield (system.read("/proc/%s/comm" % entry) or "").strip()


def authors(system: System, texts: Mapping[str, str], targets: Mapping[str, str]) -> Dict[str, str]:
    """Who wrote each file, as far as its first lines, its name or the package manager tell.

    texts: by path. targets: what the links among them stand for.
    """
    found: Dict[str, str] = {}
    for path, text in texts.items():
        head = text[:_HEAD].lower()
        name = (targets.get(path) or path).rsplit("/", 1)[-1]
        said = [author for mark, author in _SIGNATURES if re.search(r"\b%s\b" % re.escape(mark), head)]
        named = [author for pattern, author in _NAMES if fnmatch.fnmatchcase(name, pattern)]
        if said or named:
            found[path] = (said + named)[0]
    # What stands in /etc is the administrator's by now, whichever package brought it once.
    unknown = [path for path in texts if path not in found and not path.startswith("/etc/")]
    found.update(_packages(system, unknown) if unknown else {})
    return found


def _packages(system: System, paths: Sequence[str]) -> Dict[str, str]:
    """The packages that brought files. Debian's are looked up in their lists; elsewhere rpm is asked."""
    found: Dict[str, str] = {}
    lists = [name for name in system.names(_PACKAGE_LISTS) if name.endswith(".list")]
    for name in lists:
        text = system.read("%s/%s" % (_PACKAGE_LISTS, name)) or ""
        for path in paths:
            # Before /usr was merged, packages listed /lib.
            spellings = (path, path[len("/usr") :] if path.startswith("/usr/lib/") else path)
            if any("\n%s\n" % spelling in text for spelling in spellings):
                found[path] = "package %s" % name[: -len(".list")].partition(":")[0]
    if not lists and system.file_state("/usr/bin/rpm").kind != "absent":
        for path in paths:
            status, output, _error = system.run(["rpm", "-qf", "--queryformat", "%{NAME}\\n", path])
            if status == 0 and output.strip():
                found[path] = "package %s" % output.split()[0]
    return found
