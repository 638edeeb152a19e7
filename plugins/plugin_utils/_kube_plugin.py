# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which network plugin a cluster has, and whether it does kube-proxy's work itself, told by what the API has.

Runs on the controller alone. look_at_plugin asks the API, and changes nothing; the rest is pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_choice import CALICO, CALICO_AUTO, CALICO_NFTABLES
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_api import (
    CONFIG_MAPS,
    FELIX,
    INSTALLATIONS,
    SYSTEM_NAMESPACE,
    Api,
    Resource,
)

# By the name of their DaemonSet. Canal is Calico with flannel; its rules are Calico's.
_BY_DAEMON_SET = (
    ("cilium", "cilium"),
    ("calico-node", CALICO),
    ("canal", CALICO),
    ("kube-flannel-ds", "flannel"),
    ("kube-flannel", "flannel"),
    ("kube-router", "kube-router"),
    ("antrea-agent", "antrea"),
    ("ovnkube-node", "ovn-kubernetes"),
    ("aws-node", "aws-vpc-cni"),
    ("kindnet", "kindnet"),
)
# By the DaemonSets that tell of a network plugin: where its own configuration stands. Of those that are not there the
# server may say that they are forbidden.
_CILIUM, _CALICO_SETS = ("cilium",), ("calico-node", "canal")
# Since 1.14, "true"; before, "strict". With "partial" kube-proxy stays.
_CILIUM_WITHOUT = ("true", "strict")


@dataclass(frozen=True)
class ClusterObjects:
    """What of the API tells of its network plugin; None where it is not there.

    daemon_sets: the items of all namespaces. cilium: the data of the ConfigMap cilium-config. felix, installation: the
    spec of Calico's FelixConfiguration and of its operator's Installation, both called default.
    """

    daemon_sets: Tuple[Mapping[str, Any], ...] = ()
    cilium: Optional[Mapping[str, Any]] = None
    felix: Optional[Mapping[str, Any]] = None
    installation: Optional[Mapping[str, Any]] = None


@dataclass(frozen=True)
class PluginFound:
    """A network plugin, as _kube_choice knows it; empty where none is known. replaces: why there is no kube-proxy."""

    name: str = ""
    replaces: str = ""


def look_at_plugin(api: Api, daemon_sets: Sequence[Mapping[str, Any]]) -> PluginFound:
    """The network plugin of the cluster behind an API. daemon_sets: all of them. ApiError where it cannot be asked."""
    names = {str((each.get("metadata") or {}).get("name")) for each in daemon_sets}

    def read(of: Sequence[str], resource: Resource, name: str, field: str) -> Any:
        namespace = SYSTEM_NAMESPACE if resource.namespaced else ""
        return (api.get(resource, name, namespace) or {}).get(field) if names & set(of) else None

    return plugin_of(
        ClusterObjects(
            daemon_sets=tuple(daemon_sets),
            cilium=read(_CILIUM, CONFIG_MAPS, "cilium-config", "data"),
            felix=read(_CALICO_SETS, FELIX, "default", "spec"),
            installation=read(_CALICO_SETS, INSTALLATIONS, "default", "spec"),
        )
    )


def plugin_of(objects: ClusterObjects) -> PluginFound:
    """The network plugin of a cluster."""
    names = [str((each.get("metadata") or {}).get("name")) for each in objects.daemon_sets]
    name = next((plugin for daemon_set, plugin in _BY_DAEMON_SET if daemon_set in names), "")
    if name == CALICO and (objects.felix or {}).get("nftablesMode") == "Auto":
        name = CALICO_AUTO
    elif name == CALICO and _calico_nftables(objects):
        name = CALICO_NFTABLES
    return PluginFound(name, next(_replacements(objects), ""))


def _replacements(objects: ClusterObjects) -> Iterator[str]:
    said = str((objects.cilium or {}).get("kube-proxy-replacement", "")).lower()
    if said in _CILIUM_WITHOUT:
        yield "Cilium does its work (ConfigMap cilium-config, kube-proxy-replacement: %s)" % said
    if (objects.felix or {}).get("bpfEnabled") is True:
        yield "Calico's eBPF data plane does its work (FelixConfiguration default, bpfEnabled: true)"
    if _data_plane(objects) == "BPF":
        yield "Calico's eBPF data plane does its work (Installation default, linuxDataplane: BPF)"
    for each in objects.daemon_sets:
        name = (each.get("metadata") or {}).get("name")
        if name == "ovnkube-node":
            yield "OVN-Kubernetes does its work (DaemonSet ovnkube-node)"
        if name == "kube-router" and _service_proxy(_arguments(each)):
            yield "kube-router does its work (DaemonSet kube-router, --run-service-proxy)"


def _data_plane(objects: ClusterObjects) -> str:
    return str(((objects.installation or {}).get("calicoNetwork") or {}).get("linuxDataplane") or "")


def _calico_nftables(objects: ClusterObjects) -> bool:
    return (objects.felix or {}).get("nftablesMode") == "Enabled" or _data_plane(objects) == "Nftables"


def _arguments(daemon_set: Mapping[str, Any]) -> Sequence[str]:
    spec = (((daemon_set.get("spec") or {}).get("template") or {}).get("spec") or {}).get("containers") or ()
    return [str(text) for each in spec for text in (*(each.get("command") or ()), *(each.get("args") or ()))]


def _service_proxy(arguments: Sequence[str]) -> bool:
    """Whether kube-router serves Services, which it does unless it is told not to."""
    said = [text.partition("=")[2] for text in arguments if text.partition("=")[0] == "--run-service-proxy"]
    return not said or said[-1].lower() in ("", "true", "1", "t")
