# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node should do with Services, and every difference to it.

The objects are written by hand after the API's reference; those of a real server are in test_kube_recorded.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, List, Tuple

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_kernel import Tools, entries_of, look_at_kernel
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_modes import IPTABLES, IPVS, NFTABLES
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_table import UNTOLD, ProxyEntry, with_node_ports
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_compare import compare, compare_addresses
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_expected import (
    ExpectedEntry,
    NodeView,
    expected,
    follows_nodes,
)
from tests.unit.plugins.fake_node import FakeNode

NODE = NodeView("node1", "zone-a")
ONE, TWO, THREE = "10.244.1.5:8080", "10.244.2.6:8080", "10.244.3.7:8080"


def _service(**spec: Any) -> Dict[str, Any]:
    whole = {
        "type": "ClusterIP",
        "clusterIP": "10.96.0.10",
        "clusterIPs": ["10.96.0.10"],
        "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}],
        **spec,
    }
    return {"metadata": {"namespace": "default", "name": "web"}, "spec": whole}


def _end(address: str, node: str, hints: Any = None, **conditions: bool) -> Dict[str, Any]:
    found = {"addresses": [address], "nodeName": node, "conditions": {"ready": True, **conditions}}
    return {**found, "hints": hints} if hints else found


def _slice(*ends: Dict[str, Any], kind: str = "IPv4", **labels: str) -> Dict[str, Any]:
    return {
        "metadata": {
            "namespace": "default",
            "name": "web-abc",
            "labels": {"kubernetes.io/service-name": "web", **labels},
        },
        "addressType": kind,
        "endpoints": list(ends),
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }


ENDS = (_end("10.244.1.5", "node1"), _end("10.244.2.6", "node2"), _end("10.244.3.7", "node3", ready=False))


def _wanted(
    service: Dict[str, Any], *slices: Dict[str, Any], mode: str = NFTABLES, node: NodeView = NODE
) -> Dict[Tuple[str, str, int], ExpectedEntry]:
    return {entry.key: entry for entry in expected([service], list(slices), node, mode)}


def test_ready_endpoints_of_all_slices_are_expected() -> None:
    (entry,) = expected([_service()], [_slice(*ENDS[:1]), _slice(*ENDS[1:])], NODE, NFTABLES)
    assert entry == ExpectedEntry("default/web:http", "tcp", "10.96.0.10", 80, (ONE, TWO), (ONE, TWO, THREE))


def test_what_is_not_said_of_an_endpoint_counts_as_ready() -> None:
    bare = {"addresses": ["10.244.1.5"]}
    assert _wanted(_service(), _slice(bare))["tcp", "10.96.0.10", 80].endpoints == (ONE,)


def test_where_none_is_ready_those_that_still_serve_are_used() -> None:
    going = _end("10.244.1.5", "node1", ready=False, serving=True, terminating=True)
    gone = _end("10.244.2.6", "node2", ready=False, serving=False, terminating=True)
    assert _wanted(_service(), _slice(going, gone))["tcp", "10.96.0.10", 80].endpoints == (ONE,)
    assert _wanted(_service(), _slice(going, gone, _end("10.244.3.7", "node3")))["tcp", "10.96.0.10", 80].endpoints == (
        THREE,
    )


@pytest.mark.parametrize(
    "service",
    [
        _service(type="ExternalName", clusterIP="", clusterIPs=[]),
        _service(clusterIP="None", clusterIPs=["None"]),
        {
            **_service(),
            "metadata": {
                "namespace": "default",
                "name": "web",
                "labels": {"service.kubernetes.io/service-proxy-name": "other"},
            },
        },
    ],
)
def test_what_is_not_kube_proxys_is_left_out(service: Dict[str, Any]) -> None:
    assert expected([service], [_slice(*ENDS)], NODE, NFTABLES) == ()


def test_slices_of_others_and_other_ports_are_left_out() -> None:
    headless = _slice(*ENDS, **{"service.kubernetes.io/headless": ""})
    other_port = {**_slice(*ENDS), "ports": [{"name": "metrics", "port": 9090}]}
    names = {**_slice(*ENDS), "addressType": "FQDN"}
    assert _wanted(_service(), headless, other_port, names)["tcp", "10.96.0.10", 80].known == ()


def test_all_ways_from_outside_are_expected() -> None:
    service = _service(
        type="LoadBalancer",
        externalIPs=["203.0.113.1"],
        ports=[{"name": "http", "port": 80, "nodePort": 30080}],
        sessionAffinity="ClientIP",
    )
    service["status"] = {
        "loadBalancer": {
            "ingress": [{"ip": "203.0.113.9"}, {"hostname": "lb"}, {"ip": "203.0.113.8", "ipMode": "Proxy"}]
        }
    }
    found = _wanted(service, _slice(*ENDS))
    assert sorted(key[1] for key in found) == ["0.0.0.0", "10.96.0.10", "203.0.113.1", "203.0.113.9"]
    assert {entry.endpoints for entry in found.values()} == {(ONE, TWO)}
    assert {entry.affinity for entry in found.values()} == {10800}
    short = {**service["spec"], "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}}
    assert {entry.affinity for entry in _wanted({**service, "spec": short}, _slice(*ENDS)).values()} == {60}


def test_an_address_that_is_told_twice_is_one() -> None:
    """As of k3s' own load balancer, or of MetalLB with an address that stands in externalIPs too."""
    service = _service(type="LoadBalancer", externalIPs=["192.0.2.11"])
    service["status"] = {"loadBalancer": {"ingress": [{"ip": "192.0.2.11"}]}}
    found = expected([service], [_slice(*ENDS)], NODE, IPTABLES)
    assert [entry.address for entry in found] == ["10.96.0.10", "192.0.2.11"]
    table = [ProxyEntry("tcp", address, 80, (ONE, TWO)) for address in ("10.96.0.10", "192.0.2.11")]
    assert compare(found, table) == ()
    # The same of two Services.
    assert compare([*found, *found], table) == ()


def test_in_ipvs_an_address_of_a_service_may_be_the_nodes_own() -> None:
    service = _service(type="LoadBalancer", ports=[{"name": "http", "port": 80, "nodePort": 30080}])
    service["status"] = {"loadBalancer": {"ingress": [{"ip": "192.0.2.11"}]}}
    found = expected([service], [_slice(*ENDS)], NODE, IPVS)
    ways = (("10.96.0.10", 80), ("192.0.2.11", 80), ("192.0.2.11", 30080))
    servers = [ProxyEntry("tcp", address, port, (ONE, TWO), scheduler="rr") for address, port in ways]
    keys = {entry.key for entry in found}
    table = with_node_ports(servers, ["192.0.2.11"], services=keys)
    assert compare(found, table, scheduler="rr", own=["192.0.2.11"]) == ()
    gone = with_node_ports([servers[0], servers[2]], ["192.0.2.11"], services=keys)
    assert [each.where for each in compare(found, gone, scheduler="rr", own=["192.0.2.11"])] == ["tcp 192.0.2.11:80"]


def test_each_family_has_its_own() -> None:
    service = _service(
        type="NodePort",
        clusterIPs=["10.96.0.10", "fd00:10:96::a"],
        ports=[{"name": "http", "port": 80, "nodePort": 30080}],
    )
    found = _wanted(service, _slice(*ENDS), _slice(_end("fd00:10:244:0::5", "node1"), kind="IPv6"))
    assert found["tcp", "fd00:10:96::a", 80].endpoints == ("[fd00:10:244::5]:8080",)
    assert found["tcp", "::", 30080].endpoints == ("[fd00:10:244::5]:8080",)
    assert found["tcp", "0.0.0.0", 30080].endpoints == (ONE, TWO)


@pytest.mark.parametrize(
    ("mode", "node", "from_outside"),
    [
        (NFTABLES, "node1", (ONE,)),
        (IPVS, "node1", (ONE,)),
        (IPTABLES, "node9", ()),
        (NFTABLES, "node9", ()),
        (IPVS, "node9", (ONE, TWO)),
    ],
)
def test_a_local_policy_from_outside_keeps_to_the_node(mode: str, node: str, from_outside: Tuple[str, ...]) -> None:
    service = _service(
        type="NodePort",
        externalTrafficPolicy="Local",
        ports=[{"name": "http", "port": 80, "nodePort": 30080}],
    )
    found = _wanted(service, _slice(*ENDS), mode=mode, node=NodeView(node))
    assert found["tcp", "0.0.0.0", 30080].endpoints == from_outside
    assert found["tcp", "10.96.0.10", 80].endpoints == (ONE, TWO)


@pytest.mark.parametrize("mode", [NFTABLES, IPVS])
def test_a_local_policy_inside_keeps_to_the_node(mode: str) -> None:
    service = _service(internalTrafficPolicy="Local")
    assert _wanted(service, _slice(*ENDS), mode=mode)["tcp", "10.96.0.10", 80].endpoints == (ONE,)
    elsewhere = _wanted(service, _slice(*ENDS), mode=mode, node=NodeView("node9"))
    assert elsewhere["tcp", "10.96.0.10", 80].endpoints == ()


def test_topology_hints_are_followed_only_where_all_endpoints_have_them() -> None:
    zones: List[Any] = [{"forZones": [{"name": "zone-a"}]}, {"forZones": [{"name": "zone-b"}]}]
    hinted = _slice(_end("10.244.1.5", "node1", zones[0]), _end("10.244.2.6", "node2", zones[1]))
    key = ("tcp", "10.96.0.10", 80)
    assert _wanted(_service(), hinted)[key].endpoints == (ONE,)
    assert _wanted(_service(), hinted, node=NodeView("node1", "zone-z"))[key].endpoints == (ONE, TWO)
    partly = _slice(_end("10.244.1.5", "node1", zones[0]), _end("10.244.2.6", "node2"))
    assert _wanted(_service(), partly)[key].endpoints == (ONE, TWO)
    both = {**zones[0], "forNodes": [{"name": "node2"}]}
    by_node = _slice(_end("10.244.1.5", "node1", both), _end("10.244.2.6", "node2", both))
    assert _wanted(_service(), by_node, node=NodeView("node2", "zone-b"))[key].endpoints == (ONE, TWO)


@pytest.mark.parametrize(
    ("version", "gates", "followed"),
    [
        ("", {}, True),
        ("v1.33.5", {}, False),
        ("v1.33.5+k3s1", {"PreferSameTrafficDistribution": True}, True),
        ("v1.34.2", {}, True),
        ("v1.34.2", {"PreferSameTrafficDistribution": False}, False),
        ("v1.36.4", {}, True),
    ],
)
def test_hints_for_nodes_are_followed_where_kube_proxy_does(
    version: str, gates: Dict[str, bool], followed: bool
) -> None:
    hints = [{"forZones": [{"name": "zone-b"}], "forNodes": [{"name": name}]} for name in ("node1", "node2")]
    hinted = _slice(_end("10.244.1.5", "node1", hints[0]), _end("10.244.2.6", "node2", hints[1]))
    view = NodeView("node1", "zone-b", follows_nodes(version, gates))
    assert _wanted(_service(), hinted, node=view)["tcp", "10.96.0.10", 80].endpoints == (
        (ONE,) if followed else (ONE, TWO)
    )


@pytest.mark.parametrize(
    ("service", "slices", "named"),
    [
        (_service(ports=[{"name": "http"}]), [], "Service default/web"),
        (_service(ports=[{"name": "http", "port": "many"}]), [], "Service default/web"),
        ({"metadata": None}, [], "Service:"),
        (_service(), [{"metadata": []}], "EndpointSlice:"),
        (_service(), [_slice({"addresses": []})], "Service default/web and its EndpointSlices"),
    ],
)
def test_objects_of_another_form_are_named(service: Any, slices: Any, named: str) -> None:
    with pytest.raises(InputError) as caught:
        expected([service], slices, NODE, NFTABLES)
    assert str(caught.value).startswith(named)
    assert "not in the form of the API" in str(caught.value)


WANT = ExpectedEntry("default/web:http", "tcp", "10.96.0.10", 80, (ONE, TWO), (ONE, TWO, THREE))
HAVE = ProxyEntry("tcp", "10.96.0.10", 80, (ONE, TWO), scheduler="lc")


def test_where_all_is_as_it_should_be_nothing_is_said() -> None:
    assert compare([WANT], [HAVE], scheduler="lc") == ()
    assert compare([WANT], [replace(HAVE, draining=(THREE,))]) == ()
    nothing = replace(WANT, endpoints=())
    assert compare([nothing], []) == ()
    assert compare([nothing], [ProxyEntry("tcp", "10.96.0.10", 80, refused=True)]) == ()


@pytest.mark.parametrize(
    ("have", "kind", "text"),
    [
        (None, "service-missing", "is not served, but has endpoints: %s, %s" % (ONE, TWO)),
        (ProxyEntry("tcp", "10.96.0.10", 80, refused=True), "service-missing", "is refused, but has endpoints"),
        (replace(HAVE, endpoints=(ONE,)), "endpoint-missing", "%s is missing" % TWO),
        (replace(HAVE, endpoints=(ONE,), draining=(TWO,)), "endpoint-missing", "%s gets no new connections" % TWO),
        (replace(HAVE, endpoints=(ONE, TWO, THREE)), "endpoint-not-ready", "%s is not ready" % THREE),
        (replace(HAVE, endpoints=(ONE, TWO, "10.9.9.9:1")), "endpoint-unknown", "10.9.9.9:1 is none of its endpoints"),
        (replace(HAVE, affinity=60), "affinity-wrong", "clients stay for 60 s with an endpoint, not 0"),
        (replace(HAVE, scheduler="rr"), "scheduler-wrong", "has the scheduler rr, not lc"),
    ],
)
def test_every_difference_is_named(have: Any, kind: str, text: str) -> None:
    (found,) = compare([WANT], [have] if have else [], scheduler="lc")
    assert (found.kind, found.where, found.service) == (kind, "tcp 10.96.0.10:80", "default/web:http")
    assert text in str(found)
    assert str(found).startswith("tcp 10.96.0.10:80 (default/web:http): ")


@pytest.mark.parametrize("seconds", [600, 10800])
def test_an_affinity_of_ipvs_is_compared_in_seconds(seconds: int) -> None:
    node = FakeNode(IPVS)
    node.servers = [replace(HAVE, affinity=10800)]
    assert "lc persistent 2700000 FFFFFFFF\n" in (node.read("/proc/net/ip_vs") or "")
    table = entries_of(node, look_at_kernel(node, Tools(node)), IPVS)
    found = compare([replace(WANT, affinity=seconds)], table, scheduler="lc")
    wrong = ["tcp 10.96.0.10:80 (default/web:http): clients stay for 10800 s with an endpoint, not 600"]
    assert [str(each) for each in found] == (wrong if seconds == 600 else [])


def test_an_affinity_of_which_only_that_it_is_there_is_known() -> None:
    have = replace(HAVE, affinity=UNTOLD)
    assert compare([replace(WANT, affinity=10800)], [have]) == ()
    (found,) = compare([WANT], [have])
    assert str(found).endswith(": clients stay with an endpoint, and should not")
    (found,) = compare([replace(WANT, affinity=10800)], [HAVE])
    assert str(found).endswith(": clients stay for 0 s with an endpoint, not 10800")


def test_what_is_left_to_others_may_be_on_an_address_of_the_node() -> None:
    """As of kube-vip and lvscare."""
    own = ["192.0.2.11", "192.0.2.100"]
    theirs = ProxyEntry("tcp", "192.0.2.100", 6443, ("192.0.2.12:6443",), scheduler="rr")
    excluded = ["192.0.2.100/32"]
    assert compare([], with_node_ports([theirs], own, excluded), excluded, "rr", own) == ()
    (found,) = compare([], with_node_ports([theirs], own), (), "rr", own)
    assert "the API has no such Service" in str(found)


@pytest.mark.parametrize("stale", ["192.0.2.11", "192.0.2.12", "192.0.2.13"])
def test_a_node_port_of_ipvs_that_differs_on_one_address_of_the_node_is_found(stale: str) -> None:
    own = ["192.0.2.11", "192.0.2.12", "192.0.2.13"]
    want = replace(WANT, address="0.0.0.0", port=30080)
    servers = [ProxyEntry("tcp", address, 30080, (ONE, TWO), scheduler="rr") for address in own]
    assert compare([want], with_node_ports(servers, own), (), "rr", own) == ()
    servers = [replace(each, endpoints=(ONE,)) if each.address == stale else each for each in servers]
    (found,) = compare([want], with_node_ports(servers, own), (), "rr", own)
    assert str(found) == "tcp NodePort 30080 (default/web:http): %s is missing" % TWO
    # What two of them have is said once, and so is what nobody wants.
    servers = [replace(each, endpoints=(ONE,)) for each in servers[:2]] + [replace(servers[2], endpoints=(ONE, THREE))]
    assert [each.text for each in compare([want], with_node_ports(servers, own), (), "rr", own)] == [
        "%s is missing" % TWO,
        "%s is not ready, or not for this node" % THREE,
    ]
    assert len(compare([], with_node_ports(servers, own), (), "rr", own)) == 2


@pytest.mark.parametrize("excluded", [["192.0.2.100/32"], ["192.0.2.0/24"]])
def test_node_ports_are_found_where_others_have_the_nodes_network(excluded: List[str]) -> None:
    """kube-proxy makes them on each address of the node, also on those that it then leaves to others."""
    own = ["192.0.2.11", "192.0.2.100"]
    want = replace(WANT, address="0.0.0.0", port=30080)
    servers = [ProxyEntry("tcp", address, 30080, (ONE, TWO), scheduler="rr") for address in own]
    servers.append(ProxyEntry("tcp", "192.0.2.100", 6443, ("192.0.2.12:6443",), scheduler="rr"))
    assert compare([want], with_node_ports(servers, own, excluded), excluded, "rr", own) == ()
    (found,) = compare([want], with_node_ports(servers[2:], own, excluded), excluded, "rr", own)
    assert str(found).startswith("tcp NodePort 30080 (default/web:http): is not served")


def test_what_the_api_does_not_have_is_too_much_unless_it_is_left_to_others() -> None:
    stale = ProxyEntry("tcp", "10.96.0.77", 80, (ONE,))
    (found,) = compare([WANT], [HAVE, stale])
    assert str(found) == "tcp 10.96.0.77:80: is served by %s, but the API has no such Service" % ONE
    assert compare([WANT], [HAVE, stale], excluded=["10.96.0.64/26"]) == ()
    (port,) = compare([WANT], [HAVE, ProxyEntry("tcp", "0.0.0.0", 30099, refused=True)], excluded=["0.0.0.0/0"])
    assert str(port) == "tcp NodePort 30099: is refused, but the API has no such Service"


def test_addresses_of_services_are_bound_and_no_others() -> None:
    ports = replace(WANT, address="0.0.0.0", port=30080)
    assert compare_addresses([WANT, ports], ["10.96.0.10"]) == ()
    missing, unknown = compare_addresses([WANT, ports], ["10.96.0.11"])
    assert str(missing) == "10.96.0.10 (default/web:http): is not on kube-ipvs0"
    assert str(unknown) == "10.96.0.11: is on kube-ipvs0, but no Service has it"
