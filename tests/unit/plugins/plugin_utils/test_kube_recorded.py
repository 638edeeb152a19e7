# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a real kube-proxy 1.36 made of the Services of a real API is what is expected of it; and what it can be told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from ansible_collections.netfleet.tcp.plugins.module_utils._kube_iptables import parse_iptables
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_nft import parse_nft
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_settings import (
    BY_FLAG,
    FEATURE_GATES,
    NODE_PORTS,
    NODE_PORTS_FLAG,
    SETTINGS,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_table import ProxyEntry
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_compare import compare
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_configuration import read_configuration, with_settings
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_expected import NodeView, expected

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
    ports = {number: found["tcp", "0.0.0.0", number] for number in (30080, 30081, 30082, 30085, 30086)}
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


def test_each_setting_is_one_of_kube_proxy_and_each_flag() -> None:
    written = yaml.safe_load(_read("configuration.yaml"))
    for field in set(SETTINGS) - {FEATURE_GATES}:  # those are left out where there are none
        inner = written
        for name in field.split("."):
            assert name in inner, field
            inner = inner[name]
    assert NODE_PORTS in written
    assert {"--" + flag for flag in (*BY_FLAG, NODE_PORTS_FLAG)} <= set(_read("flags.txt").split())


def test_of_what_kube_proxy_writes_itself_one_line_changes() -> None:
    text = _read("configuration.yaml")
    changed = with_settings(text, {"mode": "nftables"}, "x")
    assert changed == text.replace("\nmode: iptables\n", "\nmode: nftables\n")
    assert read_configuration(changed, "x")["mode"] == "nftables"
