# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node's kernel should do with Services, from Services and EndpointSlices as the API gives them. Pure.

Runs on the controller alone, which asks the API once for all nodes. The rules are kube-proxy's own: which Services are
its, which endpoints may be used, and which of those a node uses by traffic policies and topology hints.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Dict, List, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, Problem
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_modes import IPVS, version_of
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_table import ANY, place, short

_SERVICE_OF = "kubernetes.io/service-name"
# What carries one of these is some other proxy's, or nobody's.
_NOT_OURS = ("service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless")
_AFFINITY_SECONDS = 10800
_FAMILIES = {"IPv4": 4, "IPv6": 6}
LOCAL = "Local"
# Namespace and name.
_Name = Tuple[str, str]


# The gate by which kube-proxy follows hints for nodes, and the minor version from which on it is on by default.
_NODE_HINTS, _NODE_HINTS_SINCE = "PreferSameTrafficDistribution", (1, 34, 0)


@dataclass(frozen=True)
class NodeView:
    """What of a node decides about its endpoints: its name and its zone in the API.

    by_node: whether its kube-proxy follows hints for nodes (see follows_nodes).
    """

    name: str
    zone: str = ""
    by_node: bool = True


@dataclass(frozen=True)
class Endpoint:
    """An endpoint of a port of a Service, with what decides whether a node uses it. place: as of ProxyEntry."""

    place: str
    family: int
    ready: bool
    serving: bool
    terminating: bool
    node: str = ""
    zones: Tuple[str, ...] = ()
    nodes: Tuple[str, ...] = ()


@dataclass(frozen=True)
class ExpectedEntry:
    """What an address and port should lead to. name: of the Service and its port, namespace/name:port.

    known: all endpoints of the port that the API has, ready or not.
    """

    name: str
    protocol: str
    address: str
    port: int
    endpoints: Tuple[str, ...] = ()
    known: Tuple[str, ...] = ()
    affinity: int = 0

    @property
    def key(self) -> Tuple[str, str, int]:
        return self.protocol, self.address, self.port


def follows_nodes(version: str, gates: Mapping[str, bool]) -> bool:
    """Whether a kube-proxy follows hints for nodes. version: as it is told, empty where it is not known.

    gates: the feature gates that its configuration sets. InputError where it is no version.
    """
    latest = not version or version_of(version, "version of kube-proxy") >= _NODE_HINTS_SINCE
    return gates.get(_NODE_HINTS, latest)


def expected(
    services: Sequence[Mapping[str, Any]], slices: Sequence[Mapping[str, Any]], node: NodeView, mode: str
) -> Tuple[ExpectedEntry, ...]:
    """What a node in a mode should have. services, slices: the items of the API's lists.

    InputError, with its name, where an object has not the form that the API gives.
    """
    by_service: Dict[_Name, List[Mapping[str, Any]]] = {}
    found: List[ExpectedEntry] = []
    what = "EndpointSlice"
    try:
        for each in slices:
            labels = each["metadata"].get("labels") or {}
            if _SERVICE_OF in labels and not any(label in labels for label in _NOT_OURS):
                key = (str(each["metadata"]["namespace"]), str(labels[_SERVICE_OF]))
                by_service.setdefault(key, []).append(each)
        what = "Service"
        for service in services:
            key = (str(service["metadata"]["namespace"]), str(service["metadata"]["name"]))
            what = "Service %s/%s and its EndpointSlices" % key
            found.extend(_of_service(service, "%s/%s" % key, by_service.get(key, []), node, mode))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        problem = "not in the form of the API (%s: %s)" % (type(error).__name__, error)
        raise InputError([Problem(what, problem)]) from error
    return tuple(found)


def _of_service(
    service: Mapping[str, Any], name: str, slices: Sequence[Mapping[str, Any]], node: NodeView, mode: str
) -> Iterator[ExpectedEntry]:
    spec = service["spec"]
    labels = (service.get("metadata") or {}).get("labels") or {}
    cluster_ips = spec.get("clusterIPs") or [spec.get("clusterIP") or ""]
    if spec.get("type") == "ExternalName" or any(label in labels for label in _NOT_OURS):
        return
    if cluster_ips[0] in ("", "None"):
        return
    affinity = _affinity(spec)
    for port in spec.get("ports") or ():
        protocol = str(port.get("protocol") or "TCP").lower()
        ends = tuple(_endpoints(slices, str(port.get("name") or ""), protocol))
        title = "%s:%s" % (name, port.get("name") or port["port"])
        # An address may be among externalIPs, and the load balancer's too.
        for address, number, external in dict.fromkeys(_addresses(service, cluster_ips, port)):
            family = 6 if ":" in address else 4
            own = [end for end in ends if end.family == family]
            used = _used(own, spec, external, bool(_external(service, port)), node, mode)
            yield ExpectedEntry(
                name=title,
                protocol=protocol,
                address=address,
                port=number,
                endpoints=tuple(sorted({end.place for end in used})),
                known=tuple(sorted({end.place for end in own})),
                affinity=affinity,
            )


def _affinity(spec: Mapping[str, Any]) -> int:
    if spec.get("sessionAffinity") != "ClientIP":
        return 0
    config = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
    return int(config.get("timeoutSeconds") or _AFFINITY_SECONDS)


def _addresses(
    service: Mapping[str, Any], cluster_ips: Sequence[str], port: Mapping[str, Any]
) -> Iterator[Tuple[str, int, bool]]:
    """(address, port, whether it is for traffic from outside) of a port of a Service, each family as it has it."""
    for address in cluster_ips:
        yield short(address), int(port["port"]), False
    families = {6 if ":" in address else 4 for address in cluster_ips}
    for address, number in _external(service, port):
        if address:
            if (6 if ":" in address else 4) in families:
                yield short(address), number, True
        else:
            for family in sorted(families):
                yield ANY[family], number, True


def _external(service: Mapping[str, Any], port: Mapping[str, Any]) -> List[Tuple[str, int]]:
    """What a port is reached by from outside; without an address: by its NodePort."""
    spec = service["spec"]
    found = [(str(address), int(port["port"])) for address in spec.get("externalIPs") or ()]
    if spec.get("type") == "LoadBalancer":
        ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
        # A load balancer of the mode Proxy sends to the node itself.
        found += [
            (str(each["ip"]), int(port["port"])) for each in ingress if each.get("ip") and each.get("ipMode") != "Proxy"
        ]
    if port.get("nodePort") and spec.get("type") in ("NodePort", "LoadBalancer"):
        found.append(("", int(port["nodePort"])))
    return found


def _endpoints(slices: Iterable[Mapping[str, Any]], port_name: str, protocol: str) -> Iterator[Endpoint]:
    for each in slices:
        family = _FAMILIES.get(str(each.get("addressType")))
        numbers = [
            int(port["port"])
            for port in each.get("ports") or ()
            if (port.get("name") or "") == port_name
            and str(port.get("protocol") or "TCP").lower() == protocol
            and port.get("port")
        ]
        if family is None:
            continue
        for end in each.get("endpoints") or ():
            conditions = end.get("conditions") or {}
            hints = end.get("hints") or {}
            for number in numbers:
                yield Endpoint(
                    # Of several addresses, all are the same endpoint's, and the first is used.
                    place=place(str(end["addresses"][0]), number),
                    family=family,
                    # What is not said counts as ready and serving.
                    ready=conditions.get("ready") is not False,
                    serving=conditions.get("serving") is not False,
                    terminating=conditions.get("terminating") is True,
                    node=str(end.get("nodeName") or ""),
                    zones=tuple(str(zone["name"]) for zone in hints.get("forZones") or ()),
                    nodes=tuple(str(one["name"]) for one in hints.get("forNodes") or ()),
                )


def _used(
    ends: Sequence[Endpoint],
    spec: Mapping[str, Any],
    external: bool,
    reached_from_outside: bool,
    node: NodeView,
    mode: str,
) -> Sequence[Endpoint]:
    """Those endpoints that a node uses for one kind of traffic."""
    internal_local = spec.get("internalTrafficPolicy") == LOCAL
    local = spec.get("externalTrafficPolicy") == LOCAL if external else internal_local
    if not local:
        return _cluster_wide(ends, node)
    own = _usable([end for end in ends if end.node == node.name])
    if not own and mode == IPVS and (not internal_local or reached_from_outside):
        # IPVS has no way aside for the node's own traffic, which is let in everywhere: others get no answer then.
        return _cluster_wide(ends, node)
    return own


def _usable(ends: Sequence[Endpoint]) -> Sequence[Endpoint]:
    """The ready ones; where there is none, those that still serve while they terminate."""
    return [end for end in ends if end.ready] or [end for end in ends if end.serving and end.terminating]


def _cluster_wide(ends: Sequence[Endpoint], node: NodeView) -> Sequence[Endpoint]:
    ready = [end for end in ends if end.ready]
    if node.by_node and ready and all(end.nodes for end in ready) and any(node.name in end.nodes for end in ready):
        return [end for end in ready if node.name in end.nodes]
    if ready and all(end.zones for end in ready) and any(node.zone in end.zones for end in ready):
        return [end for end in ready if node.zone in end.zones]
    return _usable(ends)
