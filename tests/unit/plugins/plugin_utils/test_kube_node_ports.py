# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""NodePorts in ipvs, by nodePortAddresses, after kube-proxy 1.36's source (pkg/proxy/ipvs, NodePortAddresses)."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._kube_find import CONFIG_MAP, Place
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_model import NodeSeen
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_modes import IPVS, NFTABLES
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_table import ProxyEntry, with_node_ports
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_expected import NodeView, expected
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_verdict import faults

CLUSTER_IPS, NODE, NODE6 = ["10.96.0.10", "fd00:96::10"], "192.0.2.11", "2001:db8::11"
OWN = ("127.0.0.1", NODE, NODE6)
ENDS = {"10.96.0.10": "10.244.1.5:8080", "fd00:96::10": "[fd00:244::5]:8080"}
SERVICE = {
    "metadata": {"namespace": "default", "name": "web"},
    "spec": {
        "type": "NodePort",
        "clusterIP": CLUSTER_IPS[0],
        "clusterIPs": CLUSTER_IPS,
        "ports": [{"name": "http", "port": 80, "nodePort": 30080}],
    },
}


def _slice(kind: str, address: str) -> Dict[str, Any]:
    return {
        "metadata": {"namespace": "default", "name": kind, "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": kind,
        "endpoints": [{"addresses": [address]}],
        "ports": [{"name": "http", "port": 8080}],
    }


SLICES = [_slice("IPv4", "10.244.1.5"), _slice("IPv6", "fd00:244::5")]


def _faults(networks: Optional[Sequence[str]], node_ports_at: Sequence[str], mode: str = IPVS) -> List[str]:
    """What is wrong of a node whose kube-proxy has servers at these addresses with the NodePort."""
    ways = [*((address, 80) for address in CLUSTER_IPS), *((address, 30080) for address in node_ports_at)]
    servers = [
        ProxyEntry("tcp", address, port, (ENDS[CLUSTER_IPS[":" in address]],), scheduler="rr" if mode == IPVS else "")
        for address, port in ways
    ]
    seen = NodeSeen(
        place=Place("kubeadm", CONFIG_MAP),
        proxy_mode=mode,
        addresses=OWN,
        entries=with_node_ports(servers, OWN) if mode == IPVS else tuple(servers),
        bound=tuple(CLUSTER_IPS) if mode == IPVS else (),
    )
    settings = {} if networks is None else {"nodePortAddresses": tuple(networks)}
    return [fault.key for fault in faults(seen, mode, settings, expected([SERVICE], SLICES, NodeView("node1"), mode))]


IPV4, IPV6 = "tcp NodePort 30080 (default/web:http)", "tcp NodePort 30080 (IPv6) (default/web:http)"


@pytest.mark.parametrize(
    ("networks", "needed"),
    [
        (None, [NODE, NODE6]),
        # The node's own by the API, each family's.
        (["primary"], [NODE, NODE6]),
        # Of the other family there is none, which is all of them.
        (["127.0.0.0/8"], [NODE6]),
        (["198.51.100.0/24"], [NODE6]),
        (["198.51.100.0/24", "192.0.2.0/24"], [NODE, NODE6]),
        (["127.0.0.0/8", "::1/128"], []),
        (["::1/128"], [NODE]),
        (["0.0.0.0/0", "127.0.0.0/8"], [NODE, NODE6]),
        # kube-proxy refuses what is none.
        (["red"], [NODE, NODE6]),
    ],
)
def test_ipvs_has_node_ports_where_an_address_of_the_node_matches(
    networks: Optional[List[str]], needed: List[str]
) -> None:
    assert _faults(networks, needed) == []
    assert _faults(networks, []) == [each for each in (IPV4, IPV6) if {IPV4: NODE, IPV6: NODE6}[each] in needed]


def test_node_ports_that_should_not_be_there_are_found() -> None:
    assert _faults(["127.0.0.0/8"], [NODE, NODE6]) == ["tcp NodePort 30080"]


def test_ipvs_has_them_on_addresses_of_services_too_where_these_match() -> None:
    """It looks for addresses on kube-ipvs0 as well, unless it takes all."""
    networks = ["10.0.0.0/8", "192.0.2.0/24"]
    assert _faults(networks, [NODE, NODE6, "10.96.0.10"]) == []
    assert _faults(["10.0.0.0/8"], [NODE6, "10.96.0.10"]) == []
    assert _faults(None, [NODE, NODE6, "10.96.0.10"]) == ["tcp 10.96.0.10:30080"]
    assert _faults(["192.0.2.0/24"], [NODE, NODE6, "10.96.0.10"]) == ["tcp 10.96.0.10:30080"]


def test_the_rules_of_other_modes_have_the_ports_in_any_case() -> None:
    assert _faults(["127.0.0.0/8", "::1/128"], ["0.0.0.0", "::"], NFTABLES) == []
    assert _faults(["127.0.0.0/8", "::1/128"], [], NFTABLES) == [IPV4, IPV6]
