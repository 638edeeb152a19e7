# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node's kernel has of IPVS."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._kube_kernel import (
    Tools,
    entries_of,
    look_at_kernel,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_modes import IPVS
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_table import UNTOLD, ProxyEntry
from tests.unit.plugins.fake_node import CLUSTER_IP, ENDPOINT, FakeNode


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
