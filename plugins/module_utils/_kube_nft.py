# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What kube-proxy's nftables table does with Services. Pure.

A connection is looked up in a verdict map (service-ips, service-nodeports), which goes to the chain of a Service. That
goes to the chain of one of its endpoints, which has the dnat; or, where no client has to be kept with its endpoint (of
1.36 at the latest), it has a dnat itself that takes any of a map. Of a Service with externalTrafficPolicy Local the
chain has ways for the node's own traffic beside; those have a condition, and the way without one is what others take.
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Set, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_table import ANY, ProxyEntry, place, short
from ansible_collections.netfleet.tcp.plugins.module_utils._programs import printed_json

NFT_TABLE = "kube-proxy"
FAMILIES = {"ip": 4, "ip6": 6}
# By map: whether its connections are refused.
_MAPS = {
    "service-ips": False,
    "service-nodeports": False,
    "no-endpoint-services": True,
    "no-endpoint-nodeports": True,
}
_NUMBERS = {6: "tcp", 17: "udp", 132: "sctp"}


def list_command(family: str) -> Tuple[str, ...]:
    """What prints the table of a family of FAMILIES."""
    return ("nft", "-j", "list", "table", family, NFT_TABLE)


def parse_nft(text: str) -> Tuple[ProxyEntry, ...]:
    """From the output of list_command; nothing where it is empty. HostError where it has another form."""
    objects = printed_json(text, "nft -j list table")
    if isinstance(objects, list):
        return ()
    try:
        return tuple(_entries(objects["nftables"]))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        problem = "has a form that is not known (%s: %s)" % (type(error).__name__, error)
        raise host_error("nft table %s" % NFT_TABLE, problem) from error


def _entries(objects: List[Dict[str, Any]]) -> Iterator[ProxyEntry]:
    chains: Dict[str, List[List[Dict[str, Any]]]] = {}
    timeouts: Dict[str, int] = {}
    maps: Dict[str, List[Any]] = {}
    node = ANY[4]
    for each in objects:
        if "rule" in each:
            chains.setdefault(each["rule"]["chain"], []).append(each["rule"]["expr"])
        elif "set" in each:
            timeouts[each["set"]["name"]] = int(each["set"].get("timeout") or 0)
        elif "table" in each:
            node = ANY[FAMILIES[each["table"]["family"]]]
        elif "map" in each:
            maps[each["map"]["name"]] = each["map"].get("elem") or []
    refused: Dict[Tuple[str, str, int], ProxyEntry] = {}
    served: Dict[Tuple[str, str, int], ProxyEntry] = {}
    for name, refuses in _MAPS.items():
        for key, verdict in maps.get(name, ()):
            protocol, address, port = _key(key, node)
            if refuses:
                refused[protocol, address, port] = ProxyEntry(protocol, address, port, refused=True)
                continue
            found, affinity = _follow(_target(verdict), chains, timeouts)
            entry = ProxyEntry(protocol, address, port, tuple(sorted(found)), affinity=affinity)
            served[protocol, address, port] = entry
    # Where a policy leaves no endpoint to others, a connection stands in both kinds of map.
    for key, entry in {**refused, **served}.items():
        yield refused[key] if key in refused and not entry.endpoints else entry


def _key(key: Any, node: str) -> Tuple[str, str, int]:
    """Of an element, with or without a comment: (protocol, address, port). node: the address of a NodePort."""
    parts = (key["elem"]["val"] if "elem" in key else key)["concat"]
    address = short(str(parts[0])) if len(parts) == 3 else node
    protocol, port = parts[-2:]
    return _NUMBERS.get(protocol, str(protocol)), address, int(port)


def _target(verdict: Dict[str, Any]) -> str:
    return str(verdict["goto"]["target"])


def _destinations(dnat: Dict[str, Any]) -> Iterator[str]:
    """The endpoint of a dnat, or each of those that it chooses from."""
    if isinstance(dnat["addr"], str):
        yield place(dnat["addr"], int(dnat["port"]))
        return
    for _number, end in dnat["addr"]["map"]["data"]["set"]:
        address, port = end["concat"]
        yield place(str(address), int(port))


def _follow(
    start: str, chains: Dict[str, List[List[Dict[str, Any]]]], timeouts: Dict[str, int]
) -> Tuple[Set[str], int]:
    """The endpoints that a chain leads to, and for how many seconds a client stays with one."""
    endpoints: Set[str] = set()
    affinity = 0
    seen: Set[str] = set()
    ahead = [start]
    while ahead:
        chain = ahead.pop()
        if chain in seen:
            continue
        seen.add(chain)
        for expressions in chains.get(chain, ()):
            last = expressions[-1] if expressions else {}
            if "dnat" in last:
                endpoints.update(_destinations(last["dnat"]))
            elif "vmap" in last:
                ahead.extend(_target(verdict) for _number, verdict in last["vmap"]["data"]["set"])
            elif "goto" in last and len(expressions) == 1:
                ahead.append(str(last["goto"]["target"]))
            for each in expressions:
                # A client that is known goes to the endpoint that it had.
                known = each.get("match", {}).get("right")
                if isinstance(known, str) and known.startswith("@affinity-"):
                    affinity = max(affinity, timeouts.get(known[1:], 0))
    return endpoints, affinity
