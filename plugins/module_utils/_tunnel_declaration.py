# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One WireGuard interface as it is declared for one host: what is wrong with it, and what it makes. Pure."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, Problem
from ansible_collections.netfleet.tcp.plugins.module_utils._secrets import key_token
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_endpoints import endpoint_of
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel, TunnelPeer, TunnelRoute
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_values import (
    A_KEY,
    HIGHEST_METRIC,
    HIGHEST_MTU,
    HIGHEST_PORT,
    LONGEST_NAME,
    LOWEST_IPV4_MTU,
    LOWEST_MTU,
    MOST_SEGMENTS,
    Network,
    holds,
    is_congestion_control,
    is_host_name,
    is_key,
    is_node,
    literal,
    prefix_of,
)

# The kernel and wg-quick would take more; these need no quoting anywhere.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
_PORT = re.compile(r"[0-9]{1,5}\Z")
# Of `wg show`, and of the kernel's settings, they name all interfaces.
_RESERVED = ("all", "default", "interfaces")
# What the kernel takes an IPv6 route's metric to be by itself, and wg and ip therefore do not tell from none.
_IPV6_METRIC = 1024


def declaration_of(name: str) -> str:
    """The name of the declaration of an interface."""
    return "interface:%s" % name


def named_problems(name: str) -> List[Problem]:
    """What is wrong with the name of an interface."""
    if len(name) <= LONGEST_NAME and _NAME.match(name) and ".." not in name and name not in _RESERVED:
        return []
    cure = "1 to %d letters, digits, and _ . - within" % LONGEST_NAME
    return [Problem("name", "%r is no name of an interface" % name, cure)]


def declared_tunnel(given: Mapping[str, Any]) -> Tuple[Tunnel, Dict[str, str]]:
    """The interface that the parameters of the module make, and its preshared keys by their tokens.

    Its public key is not known yet. InputError with every problem, each with the path of the wrong value.
    """
    return _Parser(given).tunnel()


class _Parser:
    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given
        self._problems: List[Problem] = []
        self._secrets: Dict[str, str] = {}
        # (place, peer, prefix) of what is allowed.
        self._allowed: List[Tuple[str, int, Network]] = []

    def tunnel(self) -> Tuple[Tunnel, Dict[str, str]]:
        given = self._given
        self._problems += named_problems(given["name"])
        self._range("listen_port", given["listen_port"], 1, HIGHEST_PORT)
        self._range("mtu", given["mtu"], LOWEST_IPV4_MTU, HIGHEST_MTU, "bytes")
        addresses = self._addresses(given["addresses"] or ())
        peers = [self._peer(entry, index) for index, entry in enumerate(given["peers"] or ())]
        self._told_apart(peers)
        made = [self._route(entry, "routes[%d]" % index) for index, entry in enumerate(given["routes"] or ())]
        routes = [route for route in made if route]
        self._together(addresses, peers, routes)
        if self._problems:
            raise InputError(self._problems)
        tunnel = Tunnel(
            name=given["name"],
            port=given["listen_port"],
            mtu=given["mtu"],
            addresses=tuple(sorted(str(address) for address in addresses)),
            peers=tuple(peers),
            routes=tuple(sorted(routes, key=str)),
        )
        return tunnel, self._secrets

    def _problem(self, path: str, text: str, cure: str = "") -> None:
        self._problems.append(Problem(path, text, cure))

    def _range(self, place: str, number: int, lowest: int, highest: int, unit: str = "") -> None:
        if not lowest <= number <= highest:
            self._problem(place, "%d is out of range" % number, ("%d to %d %s" % (lowest, highest, unit)).strip())

    def _addresses(self, given: Sequence[str]) -> List[Any]:
        found: List[Any] = []
        for index, text in enumerate(given):
            here = "addresses[%d]" % index
            try:
                if "%" in text:
                    raise ValueError("a zone is not a part of it")
                address = ipaddress.ip_interface(text.strip())
            except ValueError as error:
                self._problem(here, "%r is no address: %s" % (text, error), "such as 10.99.0.1/24")
                continue
            if (
                address.ip.is_unspecified
                or address.ip.is_multicast
                or address.ip.is_loopback
                or address.ip.is_link_local
            ):
                self._problem(here, "%s is no address of a host among others" % address)
            elif address.ip in [other.ip for other in found]:
                self._problem(here, "%s is there twice" % address.ip)
            found.append(address)
        return found

    def _peer(self, given: Mapping[str, Any], index: int) -> TunnelPeer:
        place = "peers[%d]" % index
        key, shared = given["public_key"], given.get("preshared_key") or ""
        if not is_key(key):
            self._problem(place + ".public_key", "is no WireGuard key", A_KEY)
        if shared and not is_key(shared):
            self._problem(place + ".preshared_key", "is no WireGuard key", "44 characters, as `wg genpsk` prints them")
        # A name of its own has to be that of no other peer, whoever they are.
        name = given.get("name") or "peer-%s" % hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()[:12]
        if not is_node(name):
            self._problem(place + ".name", "%r is no name of a peer" % name, "letters, digits, and _ . - within")
        self._range(place + ".keepalive", given["keepalive"], 0, 65535, "seconds; 0: none")
        allowed = self._prefixes(given["allowed_ips"] or (), place + ".allowed_ips")
        self._allowed += [("%s.allowed_ips" % place, index, prefix) for prefix in allowed]
        token = key_token(shared) if shared else ""
        self._secrets.update({token: shared} if token else {})
        return TunnelPeer(
            public_key=key,
            name=name,
            endpoint=self._endpoint(given.get("endpoint") or "", place + ".endpoint"),
            allowed=tuple(sorted({str(prefix) for prefix in allowed})),
            keepalive=given["keepalive"],
            preshared_key=token,
        )

    def _prefixes(self, given: Sequence[str], place: str) -> List[Network]:
        found: List[Network] = []
        for index, text in enumerate(given):
            prefix = self._prefix(text, "%s[%d]" % (place, index))
            found += [prefix] if prefix else []
        return found

    def _prefix(self, text: str, place: str) -> Optional[Network]:
        try:
            return prefix_of(text)
        except ValueError as error:
            self._problem(place, "%r is no prefix: %s" % (text, error), "such as 10.10.0.0/16 or 2001:db8::/48")
            return None

    def _endpoint(self, text: str, place: str) -> str:
        """As WireGuard prints it."""
        if not text:
            return ""
        host, _colon, port = text.strip().rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        address = literal(host[1:-1] if bracketed else host)
        known = address is not None and bracketed == (address.version == 6)
        if not _PORT.match(port) or not (known or (not address and is_host_name(host))):
            cure = "address:port or name:port; an address of IPv6 in brackets"
            self._problem(place, "%r is no endpoint" % text, cure)
            return ""
        self._range(place, int(port), 1, HIGHEST_PORT)
        return endpoint_of(str(address) if address else host, str(int(port)))

    def _route(self, given: Mapping[str, Any], place: str) -> Optional[TunnelRoute]:
        self._range(place + ".metric", given["metric"], 0, HIGHEST_METRIC)
        for name in ("initcwnd", "initrwnd"):
            self._range("%s.%s" % (place, name), given[name], 0, MOST_SEGMENTS, "segments; 0: the kernel's own")
        algorithm = given.get("congestion_control") or ""
        if algorithm and not is_congestion_control(algorithm):
            text = "%r is no name of a congestion control" % algorithm
            self._problem(place + ".congestion_control", text, "such as bbr")
        prefix = self._prefix(given["prefix"], place + ".prefix")
        if prefix is None:
            return None
        metric = 0 if prefix.version == 6 and given["metric"] == _IPV6_METRIC else given["metric"]
        return TunnelRoute(str(prefix), metric, algorithm, given["initcwnd"], given["initrwnd"])

    def _told_apart(self, peers: Sequence[TunnelPeer]) -> None:
        for what, path in (("public_key", "public_key"), ("name", "name")):
            seen: Dict[str, int] = {}
            for index, peer in enumerate(peers):
                other = seen.setdefault(getattr(peer, what), index)
                if other != index and (what == "public_key" or peer.public_key != peers[other].public_key):
                    self._problem("peers[%d].%s" % (index, path), "is that of peers[%d] too" % other)
        self._overlaps()

    def _overlaps(self) -> None:
        """Prefixes of two peers: the kernel would silently give an address to one. What is left may be another's."""
        order = sorted(self._allowed, key=lambda entry: (entry[2].version, int(entry[2][0]), entry[2].prefixlen))
        # Those that hold the one at hand, outermost first: what holds it stands before it.
        around: List[Tuple[str, int, Network]] = []
        for place, owner, prefix in order:
            while around and not holds(around[-1][2], prefix):
                around.pop()
            for there, other, larger in around:
                if owner != other and (larger.prefixlen or not prefix.prefixlen):
                    text = "%s overlaps %s of %s, and an address goes to one peer" % (prefix, larger, there)
                    self._problem(place, text, "give each prefix to one of them")
            around.append((place, owner, prefix))

    def _together(self, addresses: Sequence[Any], peers: Sequence[TunnelPeer], routes: Sequence[TunnelRoute]) -> None:
        allowed = [prefix for _place, _peer, prefix in self._allowed]
        routed = [prefix_of(route.prefix) for route in routes]
        if self._given["mtu"] < LOWEST_MTU and any(entry.version == 6 for entry in (*addresses, *allowed, *routed)):
            self._problem("mtu", "IPv6 needs %d bytes" % LOWEST_MTU, "%d or more, or no IPv6" % LOWEST_MTU)
        seen: Dict[Tuple[str, int], int] = {}
        for index, (route, prefix) in enumerate(zip(routes, routed)):
            place = "routes[%d]" % index
            if seen.setdefault((route.prefix, route.metric), index) != index:
                self._problem(place, "%s of this metric is there twice" % prefix)
            if not any(holds(larger, prefix) for larger in allowed):
                self._problem(place, "%s goes to no peer" % prefix, "add it to the allowed_ips of one")
            for number, peer in enumerate(peers):
                address = literal(peer.endpoint.rpartition(":")[0].strip("[]"))
                if address and holds(prefix, ipaddress.ip_network(address)):
                    text = "%s, the endpoint of peers[%d], would be routed into its own tunnel" % (address, number)
                    self._problem(place, text, "a narrower prefix")
