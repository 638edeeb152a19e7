# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a node runs kube-proxy, told by what is on it: which distribution, and where its configuration stands. Pure.

That a cluster has no kube-proxy at all, since a network plugin took its place, is asked of the API, not of a node; here
it is said only where the distribution itself leaves kube-proxy out.
"""

from __future__ import annotations

from typing import Dict, List, Sequence, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_flags import config_file
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_modes import (
    EKS,
    K3S,
    KUBEADM,
    MICROK8S,
    RKE2,
    STANDALONE,
)

# Where a configuration stands: in the API, in files of the node in YAML, as flags in a file, as the unit's arguments.
CONFIG_MAP, RANCHER_FILES, FLAGS_FILE, CONFIG_FILE, UNIT = (
    "config_map",
    "rancher_files",
    "flags_file",
    "config_file",
    "unit",
)
MICROK8S_ARGUMENTS = "/var/snap/microk8s/current/args/kube-proxy"
KUBELITE, STANDALONE_UNIT = "snap.microk8s.daemon-kubelite.service", "kube-proxy.service"
# (name, key) in the namespace kube-system.
CONFIG_MAPS: Dict[str, Tuple[str, str]] = {
    KUBEADM: ("kube-proxy", "config.conf"),
    EKS: ("kube-proxy-config", "config"),
}
# A restart of these is one of the API server, and of etcd where it has that.
SERVER_UNITS = ("k3s.service", "rke2-server.service")
# By distribution: the units of its service, and paths that only it makes.
_UNITS: Tuple[Tuple[str, Tuple[str, ...]], ...] = (
    (K3S, (SERVER_UNITS[0], "k3s-agent.service")),
    (RKE2, (SERVER_UNITS[1], "rke2-agent.service")),
    (STANDALONE, (STANDALONE_UNIT,)),
)
_PATHS: Tuple[Tuple[str, Tuple[str, ...]], ...] = (
    (MICROK8S, (MICROK8S_ARGUMENTS,)),
    (EKS, ("/etc/eks", "/etc/kubernetes/kubelet/kubelet-config.json")),
    (KUBEADM, ("/var/lib/kubelet/kubeadm-flags.env",)),
)
# What has to be looked at on a node.
UNITS_TO_LOOK_AT = (*(unit for _name, units in _UNITS for unit in units), KUBELITE)
PATHS_TO_LOOK_AT = tuple(path for _name, paths in _PATHS for path in paths)
_OVERRIDE = "set kube_proxy_distribution"


@dataclass(frozen=True)
class Signs:
    """What is on a node. units: those of UNITS_TO_LOOK_AT that are there, enabled or active; paths: those that exist.

    arguments: of the kube-proxy that runs by the unit, or that the unit would start; empty where it is not standalone.
    """

    units: Tuple[str, ...] = ()
    paths: Tuple[str, ...] = ()
    arguments: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Place:
    """Where kube-proxy's configuration stands. kind: one of the above; path: of the file, where it is one.

    unit: what has to be restarted for it, empty where the API's DaemonSet does that. because: the signs, for people.
    """

    distribution: str
    kind: str
    path: str = ""
    unit: str = ""
    because: Tuple[str, ...] = ()


def find(signs: Signs, distribution: str = "") -> Place:
    """How a node runs kube-proxy. distribution: what the user says it is, empty to find it.

    HostError where nothing tells, or signs of several tell different things.
    """
    found = _told(signs)
    if distribution:
        return _place(distribution, signs, tuple(found.get(distribution, ())))
    if not found:
        problem = "nothing on this host tells how kube-proxy runs here"
        raise host_error("", problem, "%s, or take the host out of the group" % _OVERRIDE)
    if len(found) > 1:
        told = "; ".join("%s by %s" % (name, ", ".join(because)) for name, because in found.items())
        raise host_error("", "this host could run kube-proxy in several ways: %s" % told, _OVERRIDE)
    name, because = next(iter(found.items()))
    return _place(name, signs, tuple(because))


def _told(signs: Signs) -> Dict[str, List[str]]:
    """By distribution, what tells of it."""
    found: Dict[str, List[str]] = {}
    for there, table in ((signs.units, _UNITS), (signs.paths, _PATHS)):
        for name, wanted in table:
            told = [each for each in wanted if each in there]
            if told:
                found[name] = told
    # Nodes of EKS may be joined by what kubeadm uses too; the ConfigMap is that of EKS.
    if EKS in found:
        found.pop(KUBEADM, None)
    return found


def _place(distribution: str, signs: Signs, because: Tuple[str, ...]) -> Place:
    if distribution in CONFIG_MAPS:
        return Place(distribution, CONFIG_MAP, because=because)
    if distribution in (K3S, RKE2):
        path = "/etc/rancher/%s/config.yaml" % distribution
        return Place(distribution, RANCHER_FILES, path, _unit(distribution, signs.units), because)
    if distribution == MICROK8S:
        return Place(distribution, FLAGS_FILE, MICROK8S_ARGUMENTS, KUBELITE, because)
    path = config_file(signs.arguments)
    return Place(distribution, CONFIG_FILE if path else UNIT, path, STANDALONE_UNIT, because)


def _unit(distribution: str, there: Sequence[str]) -> str:
    """The unit that is there; a server's where none is."""
    units = dict(_UNITS)[distribution]
    return next((unit for unit in units if unit in there), units[0])
