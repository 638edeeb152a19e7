# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host says of its WireGuard interfaces, read: wg's dump, and ip's JSON. Pure.

The dump holds private keys. It is read on the host, in one run, and what leaves the host is without them
(_secrets.without_secrets).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, Iterable, Iterator, List, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._programs import IPROUTE2, printed_json
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import (
    NO_HANDSHAKE,
    PROTOCOL,
    RULE_PRIORITY,
    Tunnel,
    TunnelPeer,
    TunnelRoute,
)

DUMP = ("wg", "show", "all", "dump")
ADDRESSES = ("ip", "-j", "address", "show")
ROUTES = (("ip", "-j", "-4", "route", "show"), ("ip", "-j", "-6", "route", "show"))
RULES = ("ip", "-j", "-4", "rule", "show")
_INTERFACE_FIELDS, _PEER_FIELDS = 5, 9
# The metric that the kernel gives an IPv6 route by itself.
_DEFAULT_METRIC = {"4": 0, "6": 1024}


def parse_dump(text: str, now: float) -> Dict[str, Tunnel]:
    """From ``wg show all dump``: interfaces by name, as WireGuard itself knows them. now: seconds since the epoch.

    HostError where a line is not as wg writes it; no part of the line is repeated, since it may be a key.
    """
    found: Dict[str, Tunnel] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split("\t")
        try:
            if len(fields) == _INTERFACE_FIELDS:
                name, private, public, port, _mark = fields
                found[name] = Tunnel(name, _value(public), _value(private), int(port))
            elif len(fields) == _PEER_FIELDS and fields[0] in found:
                tunnel = found[fields[0]]
                found[fields[0]] = replace(tunnel, peers=(*tunnel.peers, _peer(fields, now)))
            else:
                raise ValueError
        except ValueError:
            raise host_error(" ".join(DUMP), "line %d has a form that is not known" % number) from None
    return found


def _peer(fields: List[str], now: float) -> TunnelPeer:
    _name, public, preshared, endpoint, allowed, handshake, received, sent, keepalive = fields
    return TunnelPeer(
        public_key=public,
        preshared_key=_value(preshared),
        endpoint=_value(endpoint),
        allowed=tuple(sorted(prefix for prefix in _value(allowed).split(",") if prefix)),
        handshake=max(0, int(now - int(handshake))) if int(handshake) else NO_HANDSHAKE,
        received=int(received),
        sent=int(sent),
        keepalive=0 if keepalive == "off" else int(keepalive),
    )


def _value(text: str) -> str:
    return "" if text == "(none)" else text


def with_links(tunnels: Dict[str, Tunnel], addresses: str, routes: Tuple[str, str]) -> Dict[str, Tunnel]:
    """The interfaces with what ip says of them. addresses, routes (IPv4, IPv6): the outputs of ADDRESSES and ROUTES."""
    found = dict(tunnels)
    for entry in printed_json(addresses, "ip -j address show", IPROUTE2):
        tunnel = found.get(str(entry.get("ifname")))
        if tunnel:
            own = sorted(
                "%s/%s" % (address["local"], address["prefixlen"])
                for address in entry.get("addr_info") or ()
                # Of a link, the kernel makes one by itself.
                if address.get("scope") != "link" and "local" in address
            )
            up = "UP" in (entry.get("flags") or ())
            found[tunnel.name] = replace(tunnel, mtu=int(entry.get("mtu", 0)), up=up, addresses=tuple(own))
    for route in _entries(routes):
        if route.ours and route.device in found:
            tunnel = found[route.device]
            own_routes = sorted((*tunnel.routes, route.route()), key=_order)
            found[route.device] = replace(tunnel, routes=tuple(own_routes))
    return found


def with_rules(tunnels: Dict[str, Tunnel], text: str) -> Dict[str, Tunnel]:
    """The interfaces with the rules for prefixes that they carry. text: the output of RULES."""
    prefixes = {
        "%s/%s" % (entry["dst"], entry.get("dstlen", 32))
        for entry in printed_json(text, " ".join(RULES), IPROUTE2)
        if (entry.get("priority"), entry.get("table"), entry.get("suppress_prefixlen")) == (RULE_PRIORITY, "main", 0)
        and "dst" in entry
    }
    if not prefixes:
        return tunnels
    return {name: replace(tunnel, rules=tuple(sorted(prefixes & tunnel.carried))) for name, tunnel in tunnels.items()}


def routed_elsewhere(tunnels: Iterable[str], routes: Tuple[str, str]) -> Dict[str, str]:
    """By prefix and metric ("10.0.0.0/8 50"), the interface of each route that is not a tunnel's: it is somebody's."""
    own = set(tunnels)
    return {
        "%s %d" % (entry.prefix, entry.metric): entry.device
        for entry in _entries(routes)
        if entry.device and entry.device not in own
    }


def _order(route: TunnelRoute) -> Tuple[str, int]:
    return route.prefix, route.metric


@dataclass(frozen=True)
class _Entry:
    """A route of any interface, as ip prints it. metric 0: the kernel's default."""

    device: str
    prefix: str
    metric: int
    details: Dict[str, Any]

    @property
    def ours(self) -> bool:
        """Whether this collection has made it."""
        return str(self.details.get("protocol")) == str(PROTOCOL)

    def route(self) -> TunnelRoute:
        """The route of a tunnel."""
        metrics: Dict[str, Any] = {}
        for each in self.details.get("metrics") or ():
            metrics.update(each)
        return TunnelRoute(
            prefix=self.prefix,
            metric=self.metric,
            congestion_control=str(metrics.get("congestion", "")).split(" ", maxsplit=1)[0],
            initcwnd=int(metrics.get("initcwnd", 0)),
            initrwnd=int(metrics.get("initrwnd", 0)),
        )


def _entries(routes: Tuple[str, str]) -> Iterator[_Entry]:
    """All routes. routes: as with_links takes them."""
    for family, text in zip("46", routes):
        for entry in printed_json(text, "ip -j -%s route show" % family, IPROUTE2):
            metric = int(entry.get("metric", 0))
            yield _Entry(
                device=str(entry.get("dev", "")),
                prefix=_prefix(str(entry.get("dst", "default")), family),
                metric=0 if metric == _DEFAULT_METRIC[family] else metric,
                details=entry,
            )


def _prefix(text: str, family: str) -> str:
    if text == "default":
        return "0.0.0.0/0" if family == "4" else "::/0"
    # A single host is shown without its length.
    return text if "/" in text else "%s/%s" % (text, "32" if family == "4" else "128")
