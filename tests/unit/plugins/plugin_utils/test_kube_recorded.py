# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a real kube-proxy 1.36 made of the Services of a real API: what is read of it is what is expected of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._kube_iptables import parse_iptables
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_nft import parse_nft
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_table import ProxyEntry
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_expected import NodeView, expected
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_verify import compare

RECORDED = Path(__file__).parents[2] / "fixtures" / "kube"
NODE = "local1"
ON_IT, OTHERS = "10.77.108.11:8080", ("10.77.108.12:8080", "10.77.108.13:8080")


def _read(name: str) -> str:
    return (RECORDED / name).read_text(encoding="utf-8")


def _iptables() -> tuple[ProxyEntry, ...]:
    return parse_iptables(_read("iptables-save.txt"), 4)


def _nft() -> tuple[ProxyEntry, ...]:
    return parse_nft(_read("nft.json"))


@pytest.fixture(params=[("iptables", _iptables), ("nftables", _nft)], ids=["iptables", "nftables"])
def recorded(request: pytest.FixtureRequest) -> tuple[str, tuple[ProxyEntry, ...]]:
    """A mode, and what the kernel of a node did with Services in it."""
    mode, parse = request.param
    return mode, parse()


def test_it_is_what_the_api_asks_for(recorded: tuple[str, tuple[ProxyEntry, ...]]) -> None:
    mode, table = recorded
    services, slices = json.loads(_read("services.json")), json.loads(_read("endpoint-slices.json"))
    wanted = expected(services, slices, NodeView(NODE), mode)
    assert compare(wanted, table) == ()
    assert {entry.key for entry in wanted} == {entry.key for entry in table}


def test_policies_affinity_and_what_has_no_endpoint_are_read(recorded: tuple[str, tuple[ProxyEntry, ...]]) -> None:
    _mode, table = recorded
    found = {entry.key: entry for entry in table}
    ports = {number: found["tcp", "0.0.0.0", number] for number in (30080, 30081, 30082, 30085, 30086)}  # noqa: S104
    assert {number: entry.endpoints for number, entry in ports.items()} == {
        30080: (ON_IT, *OTHERS),
        # externalTrafficPolicy is Local.
        30081: (ON_IT,),
        30082: (),
        30085: (ON_IT,),
        30086: (),
    }
    assert [number for number, entry in ports.items() if entry.refused] == [30082, 30086]
    assert ports[30085].affinity == 10800
    assert sorted({entry.affinity for entry in table}) == [0, 7200, 10800]
    # An external address, one of a load balancer that lets in certain sources only, and UDP beside TCP.
    assert found["tcp", "203.0.113.77", 80].endpoints == found["tcp", "203.0.113.9", 80].endpoints == (ON_IT, *OTHERS)
    assert [entry.port for entry in table if entry.protocol == "udp"] == [53]
