# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""kube-proxy's nftables table.

The sample has the layout of Kubernetes 1.31, where each endpoint has a chain, in the words of nft's JSON. It is written
by hand; a real one of 1.36 is read in test_kube_recorded.
"""

from __future__ import annotations

import json
from typing import Any, Dict, List

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_nft import list_command, parse_nft
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_table import ProxyEntry

WEB, WEB_LOCAL, WEB_EXTERNAL = (
    "service-AAAAAAAA-d/web/tcp/p",
    "local-AAAAAAAA-d/web/tcp/p",
    "external-AAAAAAAA-d/web/tcp/p",
)
ENDS = ("endpoint-BBBBBBBB-d/web/tcp/p__10.244.1.5/8080", "endpoint-CCCCCCCC-d/web/tcp/p__10.244.2.6/8080")
SADDR = {"payload": {"protocol": "ip", "field": "saddr"}}
MASQUERADE = {"jump": {"target": "mark-for-masquerade"}}


def _goto(chain: str) -> Dict[str, Any]:
    return {"goto": {"target": chain}}


def _match(left: Any, right: Any) -> Dict[str, Any]:
    return {"match": {"op": "==", "left": left, "right": right}}


def _rule(chain: str, *expressions: Dict[str, Any]) -> Dict[str, Any]:
    return {"rule": {"family": "ip", "table": "kube-proxy", "chain": chain, "handle": 1, "expr": list(expressions)}}


def _spread(chain: str, *ends: str) -> Dict[str, Any]:
    pairs = [[number, _goto(end)] for number, end in enumerate(ends)]
    key = {"numgen": {"mode": "random", "mod": len(ends), "offset": 0}}
    return _rule(chain, {"vmap": {"key": key, "data": {"set": pairs}}})


def _endpoint(chain: str, address: str, port: int) -> List[Dict[str, Any]]:
    return [
        _rule(chain, _match(SADDR, address), MASQUERADE),
        _rule(chain, _match({"meta": {"key": "l4proto"}}, "tcp"), {"dnat": {"addr": address, "port": port}}),
    ]


def _map(name: str, *elements: List[Any]) -> Dict[str, Any]:
    return {"map": {"family": "ip", "name": name, "table": "kube-proxy", "map": "verdict", "elem": list(elements)}}


def _text(*objects: Dict[str, Any]) -> str:
    head = [{"metainfo": {"version": "1.1.3"}}, {"table": {"family": "ip", "name": "kube-proxy", "handle": 2}}]
    return json.dumps({"nftables": [*head, *objects]})


TABLE = (
    _map(
        "service-ips",
        [{"concat": ["10.96.0.10", "tcp", 80]}, _goto(WEB)],
        [{"concat": ["203.0.113.9", "tcp", 80]}, _goto(WEB_EXTERNAL)],
    ),
    _map("service-nodeports", [{"concat": ["tcp", 30080]}, _goto(WEB_EXTERNAL)]),
    _map(
        "no-endpoint-services",
        [{"elem": {"val": {"concat": ["10.96.0.99", "udp", 53]}, "comment": "d/none:p"}}, _goto("reject-chain")],
    ),
    _map("no-endpoint-nodeports"),
    _map("firewall-ips"),
    _rule("services", {"vmap": {"key": {"concat": []}, "data": "@service-ips"}}),
    _spread(WEB, *ENDS),
    _rule(WEB_EXTERNAL, MASQUERADE),
    _rule(WEB_EXTERNAL, _goto(WEB)),
    *_endpoint(ENDS[0], "10.244.1.5", 8080),
    *_endpoint(ENDS[1], "10.244.2.6", 8080),
)
BOTH = ("10.244.1.5:8080", "10.244.2.6:8080")


def test_services_and_their_endpoints_are_read() -> None:
    assert sorted(parse_nft(_text(*TABLE)), key=str) == [
        ProxyEntry("tcp", "10.96.0.10", 80, BOTH),
        ProxyEntry("tcp", "203.0.113.9", 80, BOTH),
        ProxyEntry("tcp", "0.0.0.0", 30080, BOTH),
        ProxyEntry("udp", "10.96.0.99", 53, refused=True),
    ]


def test_of_a_local_policy_what_others_reach_is_read() -> None:
    table = [each for each in TABLE if each != _rule(WEB_EXTERNAL, _goto(WEB))]
    local = {"fib": {"result": "type", "flags": "saddr"}}
    aside = (
        _rule(WEB_EXTERNAL, _match(SADDR, {"prefix": {"addr": "10.244.0.0", "len": 16}}), _goto(WEB)),
        _rule(WEB_EXTERNAL, _match(local, "local"), _goto(WEB)),
    )
    served = _text(*table, *aside, _rule(WEB_EXTERNAL, _goto(WEB_LOCAL)), _spread(WEB_LOCAL, ENDS[0]))
    found = {entry.key: entry for entry in parse_nft(served)}
    assert found["tcp", "0.0.0.0", 30080].endpoints == BOTH[:1]
    assert found["tcp", "10.96.0.10", 80].endpoints == BOTH
    # Without an endpoint on this node, the way for others ends, and they are dropped.
    dropped = [
        _map("no-endpoint-nodeports", [{"concat": ["tcp", 30080]}, {"drop": None}])
        if each.get("map", {}).get("name") == "no-endpoint-nodeports"
        else each
        for each in table
    ]
    found = {entry.key: entry for entry in parse_nft(_text(*dropped, *aside))}
    assert found["tcp", "0.0.0.0", 30080] == ProxyEntry("tcp", "0.0.0.0", 30080, refused=True)


def test_affinity_is_the_time_out_of_its_set() -> None:
    name = "affinity-BBBBBBBB-d/web/tcp/p__10.244.1.5/8080"
    known = {"set": {"family": "ip", "name": name, "table": "kube-proxy", "type": "ipv4_addr", "timeout": 10800}}
    rule = _rule(WEB, _match(SADDR, "@" + name), _goto(ENDS[0]))
    found = {entry.key: entry for entry in parse_nft(_text(known, rule, *TABLE))}
    assert found["tcp", "10.96.0.10", 80] == ProxyEntry("tcp", "10.96.0.10", 80, BOTH, affinity=10800)


def test_addresses_of_ipv6_have_their_short_form() -> None:
    text = _text(
        _map("service-ips", [{"concat": ["fd00:10:96:0::a", 6, 80]}, _goto(WEB)]),
        _spread(WEB, ENDS[0]),
        *_endpoint(ENDS[0], "fd00:10:244::5", 8080),
    )
    assert parse_nft(text) == (ProxyEntry("tcp", "fd00:10:96::a", 80, ("[fd00:10:244::5]:8080",)),)
    assert list_command("ip6") == ("nft", "-j", "list", "table", "ip6", "kube-proxy")


def test_no_table_is_no_service() -> None:
    assert parse_nft("") == ()
    assert parse_nft(_text()) == ()


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"nftables": 5}',
        "5",
        _text(_map("service-ips", [{"concat": ["10.0.0.1"]}, _goto(WEB)])),
        _text(_map("service-ips", [{"concat": ["10.0.0.1", "tcp", "http"]}, _goto(WEB)])),
        _text(_map("service-ips", [{"concat": ["10.0.0.1", "tcp", 80]}, {"accept": None}])),
    ],
)
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(HostError, match="nft table kube-proxy: has a form that is not known"):
        parse_nft(text)


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(HostError, match="its output is not JSON"):
        parse_nft("Error: No such file or directory")
