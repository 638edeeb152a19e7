# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node's kernel has of IPVS, and whose that is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._kube_kernel import (
    Tools,
    entries_of,
    look_at_kernel,
    told_apart,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_modes import IPTABLES, IPVS, NFTABLES
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_table import UNTOLD, ProxyEntry
from tests.unit.plugins.fake_node import CLUSTER_IP, ENDPOINT, NODE, FakeNode

# As kube-vip and lvscare make it: for the API server, on an address that they have given to the node.
THEIRS = ProxyEntry("tcp", NODE, 6443, ("192.0.2.12:6443",), scheduler="rr")


@pytest.mark.parametrize("mode", [IPTABLES, NFTABLES])
def test_servers_on_the_nodes_own_address_are_somebody_elses_where_kube_proxy_has_none(mode: str) -> None:
    node = FakeNode(mode)
    node.loaded.add("ip_vs")
    node.servers = [THEIRS]
    assert told_apart(node, Tools(node)).foreign == (
        "virtual servers on addresses that kube-proxy has not bound: tcp 192.0.2.11:6443",
    )


def test_with_its_interface_those_on_the_nodes_own_address_may_be_kube_proxys() -> None:
    node = FakeNode(IPVS)
    assert told_apart(node, Tools(node)).foreign == ()
    node.servers.append(ProxyEntry("tcp", "10.96.0.11", 80, (ENDPOINT,), scheduler="rr"))
    assert told_apart(node, Tools(node)).foreign != ()


@pytest.mark.parametrize("bound", [[], None])
def test_what_its_ipsets_name_is_kube_proxys_wherever_its_address_has_gone(bound: list[str] | None) -> None:
    node = FakeNode(IPVS)
    node.bound = bound
    found = told_apart(node, Tools(node))
    assert found.foreign == ()
    named = ("tcp 10.96.0.10:80", "tcp 192.0.2.11:30080")
    assert found.kernel.leftovers(ipvs_is_shared=True).servers == named
    theirs = ProxyEntry("tcp", "198.51.100.9", 80, scheduler="wlc")
    node.servers += [THEIRS, theirs]
    found = told_apart(node, Tools(node))
    assert theirs.address in found.foreign[0]
    assert found.kernel.leftovers(ipvs_is_shared=True).servers == named


def test_ipsets_are_asked_only_where_a_virtual_server_may_be_somebody_elses() -> None:
    node = FakeNode(IPVS)
    told_apart(node, Tools(node))
    assert ["ipset", "save", "KUBE-CLUSTER-IP"] not in node.ran
    node.bound = []
    told_apart(node, Tools(node))
    assert ["ipset", "save", "KUBE-CLUSTER-IP"] in node.ran
    assert ["ipset", "save", "KUBE-LOOP-BACK"] not in node.ran


@pytest.mark.parametrize(("by_netlink", "seconds"), [(True, 10800), (False, UNTOLD)])
def test_affinity_of_ipvs_is_known_in_seconds_by_netlink_alone(by_netlink: bool, seconds: int) -> None:
    """The kernel prints its own ticks: 2700000 for three hours, where it has 250 a second."""
    node = FakeNode(IPVS)
    node.servers[0] = replace(node.servers[0], affinity=10800)
    node.refused_by_netlink = not by_netlink
    assert "persistent 2700000 FFFFFFFF\n" in (node.read("/proc/net/ip_vs") or "")
    found = entries_of(node, look_at_kernel(node, Tools(node)), IPVS)
    assert found[0] == ProxyEntry("tcp", CLUSTER_IP, 80, (ENDPOINT,), affinity=seconds, scheduler="rr")
    assert found[1].affinity == 0


def test_entries_of_ipvs_are_its_virtual_servers_as_they_are() -> None:
    """Which of the node's addresses are somebody else's, only the controller knows."""
    node = FakeNode(IPVS)
    found = entries_of(node, look_at_kernel(node, Tools(node)), IPVS)
    assert [str(entry) for entry in found] == ["tcp 10.96.0.10:80", "tcp 192.0.2.11:30080"]


def test_what_ipvs_serves_on_the_nodes_own_addresses_is_told_apart() -> None:
    node = FakeNode(IPVS)
    node.servers.append(THEIRS)
    assert look_at_kernel(node, Tools(node)).own_servers == {NODE: ("tcp 30080", "tcp 6443")}
    # A Service may have an address of the node; and without its interface none of them is kube-proxy's.
    node.bound = [CLUSTER_IP, NODE]
    assert look_at_kernel(node, Tools(node)).own_servers == {}
    node.bound = None
    assert look_at_kernel(node, Tools(node)).own_servers == {}
