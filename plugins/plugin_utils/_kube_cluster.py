# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a cluster's API matters for its kube-proxy: nodes, and parts of the cluster that depend on its mode. Pure.

Runs on the controller alone. Objects are as the API gives them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Dict, List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, input_error
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_model import NodeSeen
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_plugin import PluginFound

# The one label that kube-proxy reads (pkg/proxy/topology.go).
_ZONE = "topology.kubernetes.io/zone"
_CONTROL_PLANE = (
    "node-role.kubernetes.io/control-plane",
    "node-role.kubernetes.io/master",
    "node.kubernetes.io/microk8s-controlplane",
)
# In names of images, of what answers ARP for addresses of Services: others than its makers publish them too.
_METALLB, _SPEAKER, _METALLB_SPEAKER, _KUBE_VIP = "metallb", "speaker", "metallb-speaker", "kube-vip"
# How kube-vip is told to answer ARP; what Go reads as true.
_BY_ENVIRONMENT, _BY_ARGUMENT, _TRUE = "vip_arp", "--arp", ("1", "t", "true")
# Of pods: those that a kubelet has by a file. No other pod is without a service account.
STATIC_PODS = "spec.serviceAccountName="
_DNS_CACHE = "node-local-dns"
# The annotation of a node that takes no new pods by our doing: a run that was killed did not end that.
CORDONED = "netfleet.tcp/cordoned"


@dataclass(frozen=True)
class NodeInfo:
    """A node as the API has it. kubernetes: the version of its kube-proxy where that is told, else its kubelet's.

    unschedulable: it takes no new pods; cordoned: by our doing.
    """

    name: str
    zone: str = ""
    kubernetes: str = ""
    ready: bool = True
    unschedulable: bool = False
    cordoned: bool = False
    control_plane: bool = False
    addresses: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Around:
    """What depends on kube-proxy's mode. api: whether a cluster was asked at all.

    strict_arp: who needs that nodes answer ARP for their own addresses alone. dns_cache: the address of the cluster's
    DNS that NodeLocal DNSCache listens on as well, which does not work with ipvs; empty otherwise.
    """

    api: bool = False
    plugin: PluginFound = PluginFound()
    strict_arp: Tuple[str, ...] = ()
    dns_cache: str = ""


def node_info(node: Mapping[str, Any]) -> NodeInfo:
    """From a Node. InputError where it has not the form of the API."""
    try:
        metadata, status = node["metadata"], node.get("status") or {}
        labels: Mapping[str, Any] = metadata.get("labels") or {}
        info = status.get("nodeInfo") or {}
        conditions = {each["type"]: each["status"] for each in status.get("conditions") or ()}
        return NodeInfo(
            name=str(metadata["name"]),
            zone=str(labels.get(_ZONE) or ""),
            kubernetes=str(info.get("kubeProxyVersion") or info.get("kubeletVersion") or ""),
            ready=conditions.get("Ready") == "True",
            unschedulable=(node.get("spec") or {}).get("unschedulable") is True,
            cordoned=CORDONED in (metadata.get("annotations") or {}),
            control_plane=any(name in labels for name in _CONTROL_PLANE),
            addresses=tuple(str(each["address"]) for each in status.get("addresses") or ()),
        )
    except (LookupError, TypeError, AttributeError) as error:
        raise input_error("Node", "not in the form of the API (%s: %s)" % (type(error).__name__, error)) from error


def find_node(nodes: Sequence[NodeInfo], host: str, seen: NodeSeen, given: str) -> NodeInfo:
    """The node that a host of the inventory is: by the name that the user gives, by its own, or by its addresses.

    InputError where there is none, or more than one.
    """
    cure = "set kube_proxy_node of the host to the name that the API has for it"
    by_name = {node.name: node for node in nodes}
    for name in (given,) if given else (seen.node_name, host, host.split(".", maxsplit=1)[0]):
        if name in by_name:
            return by_name[name]
    if given:
        raise input_error(host, "the cluster has no node %s" % given, cure)
    own = {_address(each) for each in seen.addresses} - {None}
    matching = [node for node in nodes if own & {_address(each) for each in node.addresses}]
    if len(matching) != 1:
        many = ", ".join(node.name for node in matching) or "none"
        raise input_error(host, "its node in the cluster is not known; by its addresses: %s" % many, cure)
    return matching[0]


def _address(text: str) -> Optional[str]:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        # The API has host names among the addresses.
        return None


def needs_strict_arp(workloads: Iterable[Mapping[str, Any]]) -> Tuple[str, ...]:
    """Those of these that answer ARP for addresses of Services, which kube-ipvs0 has on every node.

    workloads: DaemonSets, and pods that belong to none.
    """
    found: List[str] = []
    for each in workloads:
        for container in _containers(each):
            # Without the registry, which may have a port, and without the tag.
            *path, last = str(container.get("image", "")).partition("@")[0].split("/")
            name = last.partition(":")[0]
            if _METALLB_SPEAKER in name or (name == _SPEAKER and any(_METALLB in part for part in path)):
                found.append("MetalLB (%s)" % _where(each))
            elif _KUBE_VIP in name and _answers_arp(container):
                found.append("kube-vip in ARP mode (%s)" % _where(each))
    return tuple(dict.fromkeys(found))


def _answers_arp(container: Mapping[str, Any]) -> bool:
    """Whether kube-vip is told so: by its environment, or else by its arguments."""
    said = _environment(container).get(_BY_ENVIRONMENT, "")
    for word in (*(container.get("command") or ()), *(container.get("args") or ())):
        name, equals, value = str(word).partition("=")
        if name == _BY_ARGUMENT and not said:
            said = value if equals else "true"
    return said.lower() in _TRUE


def dns_cache_address(workloads: Iterable[Mapping[str, Any]], services: Iterable[Mapping[str, Any]]) -> str:
    """The address of a Service on which NodeLocal DNSCache listens, or empty. It cannot where kube-ipvs0 has it."""
    addresses = {
        str(address)
        for service in services
        for address in ((service.get("spec") or {}).get("clusterIPs") or [(service.get("spec") or {}).get("clusterIP")])
    }
    for each in workloads:
        if (each.get("metadata") or {}).get("name") != _DNS_CACHE:
            continue
        for container in _containers(each):
            for address in _listens_on([str(word) for word in container.get("args") or ()]):
                if address in addresses:
                    return address
    return ""


def _listens_on(arguments: Sequence[str]) -> Iterator[str]:
    for index, word in enumerate(arguments):
        name, equals, value = word.lstrip("-").partition("=")
        if name == "localip":
            following = arguments[index + 1] if index + 1 < len(arguments) else ""
            yield from (each.strip() for each in (value if equals else following).split(","))


def _containers(workload: Mapping[str, Any]) -> List[Mapping[str, Any]]:
    spec = workload.get("spec") or {}
    return list(((spec.get("template") or {}).get("spec") or spec).get("containers") or ())


def _environment(container: Mapping[str, Any]) -> Dict[str, str]:
    return {str(each.get("name")): str(each.get("value", "")) for each in container.get("env") or ()}


def _where(workload: Mapping[str, Any]) -> str:
    metadata = workload.get("metadata") or {}
    name, node = str(metadata.get("name", "")), (workload.get("spec") or {}).get("nodeName")
    # A static pod has the name of its node after its own.
    suffix = "-%s" % node if node else ""
    return "%s/%s" % (metadata.get("namespace", ""), name[: -len(suffix)] if suffix and name.endswith(suffix) else name)


def find_nodes(
    nodes: Sequence[NodeInfo], hosts: Mapping[str, Tuple[NodeSeen, str]]
) -> Tuple[Dict[str, NodeInfo], List[InputError]]:
    """The nodes of hosts (what was seen of each, and the name that its user gives), and what is wrong with the others.

    Two hosts that are the same node are wrong both.
    """
    found: Dict[str, NodeInfo] = {}
    errors: List[InputError] = []
    by_node: Dict[str, str] = {}
    for host, (seen, given) in hosts.items():
        try:
            node = find_node(nodes, host, seen, given)
        except InputError as error:
            errors.append(error)
            continue
        if node.name in by_node:
            errors.append(input_error(host, "is node %s, and so is %s" % (node.name, by_node[node.name])))
        by_node.setdefault(node.name, host)
        found[host] = node
    return found, errors
