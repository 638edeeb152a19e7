# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each host has to have so that the declared links come to be: interfaces, addresses, peers, routes.

Both ends of a link are derived from the same declaration, so they agree. Nothing that is derived for a host changes
when another one is added or removed. Pure; runs on the controller alone.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Dict, List, Mapping, Set, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_values import (
    OVERHEAD,
    PADDING,
    Network,
    holds,
    literal,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_model import (
    BGP,
    HUB_AND_SPOKE,
    METRIC,
    NONE,
    Links,
    Node,
    Topology,
)

# By how much less each gateway is preferred that follows another; and a way that leads through a hub.
NEXT_METRIC, DETOUR = 1, 100
# Larger networks than this hold no more numbers than it: a number is also added to ports.
MOST_NUMBERS = 65534


@dataclass(frozen=True)
class Link:
    """Two nodes of a topology that are joined."""

    topology: Topology
    one: str
    other: str


@dataclass(frozen=True)
class RouteWanted:
    """A prefix that is reached by a peer."""

    prefix: str
    metric: int = 0


@dataclass(frozen=True)
class PeerWanted:
    """The other end, as an interface is to know it.

    endpoint, port: where it is reached; empty, 0: it comes by itself. allowed: what may come from it and goes to it.
    keepalive: seconds, 0: none. public_key: of one that is not managed; the others' come from their hosts. routes: what
    is to be routed to it, each with its metric (0: the kernel's default). preshared: whether the two share a key.
    """

    node: str
    managed: bool
    allowed: Tuple[str, ...]
    endpoint: str = ""
    port: int = 0
    keepalive: int = 0
    public_key: str = ""
    preshared: bool = False
    routes: Tuple[RouteWanted, ...] = ()


@dataclass(frozen=True)
class InterfaceWanted:
    """A WireGuard interface of a host. addresses: with their prefix length. peers: by name.

    clamp: the MTU that TCP's segments are made to fit; 0: they are left as they are. loose: what comes by it may be
    answered another way, which is no reason for the kernel to drop it.
    """

    name: str
    topology: str
    port: int
    mtu: int
    addresses: Tuple[str, ...]
    peers: Tuple[PeerWanted, ...]
    clamp: int = 0
    loose: bool = False


def links_of(declared: Links) -> Iterator[Link]:
    """Every pair that is joined, each once. What stands at the same site is joined by the site's own network."""
    for topology in declared.topologies:
        for one, other in _pairs(topology):
            site = declared.site_of(one)
            together = site is not None and site is declared.site_of(other)
            managed = declared.nodes[one].managed or declared.nodes[other].managed
            if managed and not together:
                yield Link(topology, one, other)


def _pairs(topology: Topology) -> Iterator[Tuple[str, str]]:
    if topology.kind == HUB_AND_SPOKE:
        for index, hub in enumerate(topology.hubs):
            for other in (*topology.hubs[index + 1 :], *topology.spokes):
                yield hub, other
        return
    for index, one in enumerate(topology.spokes):
        for other in topology.spokes[index + 1 :]:
            yield one, other


def number_of(topology: Topology, node: str) -> int:
    """The number of a node in the networks of a topology: as declared, or derived from its name alone."""
    given = topology.numbers.get(node)
    if given:
        return given
    digest = hashlib.sha256(node.encode()).digest()
    return 1 + int.from_bytes(digest[:8], "big") % numbers_in(topology)


def numbers_in(topology: Topology) -> int:
    """How many numbers a topology's networks have: those from 1 on, less a broadcast address at the end."""
    sizes = [network.num_addresses - (2 if network.version == 4 else 1) for network in topology.networks]
    return max(1, min([*sizes, MOST_NUMBERS]))


def addresses_of(topology: Topology, node: str) -> List[str]:
    """The addresses of a node in the tunnels of a topology, without prefix length."""
    number = number_of(topology, node)
    return [str(network.network_address + number) for network in topology.networks]


def interface_name(topology: Topology, peer: str) -> str:
    """The name of the interface in which a peer is found."""
    if topology.interface_per_peer:
        return "wg-%s-%d" % (topology.name, number_of(topology, peer))
    return "wg-%s" % topology.name


def port_of(topology: Topology, peer: str) -> int:
    """The UDP port on which a node listens for a peer."""
    return topology.port + (number_of(topology, peer) if topology.interface_per_peer else 0)


def interfaces(declared: Links) -> Dict[str, Tuple[InterfaceWanted, ...]]:
    """What each managed node has to have, by its name."""
    joined: Dict[str, Dict[str, List[Tuple[Link, str]]]] = {}
    for link in links_of(declared):
        for node, peer in ((link.one, link.other), (link.other, link.one)):
            if declared.nodes[node].managed:
                name = interface_name(link.topology, peer)
                joined.setdefault(node, {}).setdefault(name, []).append((link, peer))
    return {
        node: tuple(_interface(declared, node, name, ends) for name, ends in found.items())
        for node, found in joined.items()
    }


def _interface(declared: Links, node: str, name: str, ends: List[Tuple[Link, str]]) -> InterfaceWanted:
    link, first = ends[0]
    topology = link.topology
    lengths = [
        network.max_prefixlen if topology.interface_per_peer else network.prefixlen for network in topology.networks
    ]
    addresses = zip(addresses_of(topology, node), lengths, strict=True)
    mtus = [tunnel_mtu(*ends_of(declared, each)) for each, _peer in ends]
    mtu = topology.mtu or min(mtus)
    return InterfaceWanted(
        name=name,
        topology=topology.name,
        port=port_of(topology, first),
        mtu=mtu,
        addresses=tuple("%s/%d" % pair for pair in addresses),
        # In an order that does not depend on that of the inventory.
        peers=tuple(_peer(declared, topology, node, peer) for peer in sorted(peer for _link, peer in ends)),
        clamp=mtu if topology.clamp_mss else 0,
        # Without a failover, no two interfaces carry the same prefix (_links_analysis).
        loose=topology.interface_per_peer and topology.failover != NONE,
    )


def ends_of(declared: Links, link: Link) -> Tuple[Node, Node]:
    """The two ends of a link, as they reach each other."""
    name = link.topology.name
    return declared.nodes[link.one].within(name), declared.nodes[link.other].within(name)


def tunnel_mtu(one: Node, other: Node) -> int:
    """The largest packet that fits through the tunnel of two nodes, whatever is done to pad it. Bytes."""
    outer = min(one.outer_mtu, other.outer_mtu)
    return (outer - max(OVERHEAD[family] for family in outer_families(one, other))) // PADDING * PADDING


def outer_families(one: Node, other: Node) -> Tuple[int, ...]:
    """The families of IP by which a tunnel may run: those of the endpoints, either one where a name hides it."""
    common = set(one.families or (4, 6)) & set(other.families or (4, 6))
    found: Set[int] = set()
    for node in (one, other):
        address = node.endpoint_address
        found |= {address.version} if address else common if node.endpoint else set()
    return tuple(sorted(found or common or (4, 6)))


def _peer(declared: Links, topology: Topology, node: str, peer: str) -> PeerWanted:
    there, here = declared.nodes[peer].within(topology.name), declared.nodes[node].within(topology.name)
    carried = allowed(declared, topology, node, peer)
    port = (there.port or topology.port) if not there.managed else port_of(topology, node)
    return PeerWanted(
        node=peer,
        managed=there.managed,
        allowed=tuple(str(prefix) for prefix in carried),
        endpoint=there.endpoint,
        port=port if there.endpoint else 0,
        # To one that it cannot reach it sends none: that one calls.
        keepalive=topology.keepalive if here.nat and there.endpoint else 0,
        public_key=there.public_key,
        # Whoever configures a peer by hand would have to be told.
        preshared=topology.preshared_keys and there.managed,
        routes=tuple(_routes(declared, topology, peer, carried)),
    )


def _routes(declared: Links, topology: Topology, peer: str, carried: Iterable[Network]) -> Iterator[RouteWanted]:
    """What is to be routed to a peer; on an interface for many, the tunnel's own addresses are connected already."""
    own = {_whole(address) for address in addresses_of(topology, peer)}
    behind = set(declared.behind(peer))
    for prefix in carried:
        if not topology.interface_per_peer and any(holds(network, prefix) for network in topology.networks):
            continue
        metric = 0
        if topology.failover == BGP and speaks_bgp(declared, peer) and prefix not in own:
            # The routing daemon routes it, as long as the link lives.
            continue
        if topology.failover == METRIC and prefix not in own:
            metric = preference(declared, topology, peer) + (0 if prefix in behind else DETOUR)
        yield RouteWanted(str(prefix), metric)


def speaks_bgp(declared: Links, node: str) -> bool:
    """Whether a node takes part where a routing daemon decides. A peer of others does where its number is given."""
    return declared.nodes[node].managed or declared.nodes[node].as_number > 0


def preference(declared: Links, topology: Topology, peer: str) -> int:
    """The metric of a peer: gateways are preferred in the order in which their site, or the hubs, name them."""
    site = declared.site_of(peer)
    order = topology.hubs if peer in topology.hubs else site.gateways if site else (peer,)
    return topology.metric + NEXT_METRIC * order.index(peer)


def allowed(declared: Links, topology: Topology, node: str, peer: str) -> Tuple[Network, ...]:
    """What is reached by a peer: itself, what is behind it, and by a hub the rest of its topology too."""
    own = [_whole(address) for address in addresses_of(topology, peer)]
    found = dict.fromkeys(declared.behind(peer))
    if passes_on(topology, node, peer):
        found.update(dict.fromkeys(topology.networks))
        for other in topology.nodes:
            found.update(dict.fromkeys(declared.behind(other)))
    here = set(declared.behind(node))
    return (*own, *_outermost(prefix for prefix in found if prefix not in here and prefix not in own))


def _outermost(prefixes: Iterable[Network]) -> List[Network]:
    """The prefixes but for those that another of them holds: what goes to the same peer need be said once."""
    found: List[Network] = []
    for prefix in sorted(prefixes, key=lambda entry: (entry.version, int(entry.network_address), entry.prefixlen)):
        # Whatever holds it stands before it, and the nearest of these that was kept holds it too.
        if not found or not holds(found[-1], prefix):
            found.append(prefix)
    return found


def passes_on(topology: Topology, node: str, peer: str) -> bool:
    """Whether a peer leads on to the rest of its topology: a hub does; from hub to hub, where there is a way round."""
    return peer in topology.hubs and (node not in topology.hubs or topology.failover != NONE)


def _whole(address: str) -> Network:
    return ipaddress.ip_network(address)


def pair_name(one: str, other: str) -> Tuple[str, str]:
    """Two nodes in an order that both know."""
    return (one, other) if one < other else (other, one)


def endpoint_networks(
    wanted: Mapping[str, Tuple[InterfaceWanted, ...]], node: str
) -> Iterator[Tuple[str, str, Network]]:
    """(peer, topology, its endpoint there) of those peers of a node whose endpoint is an address."""
    for interface in wanted.get(node, ()):
        for peer in interface.peers:
            address = literal(peer.endpoint)
            if address:
                yield peer.node, interface.topology, _whole(str(address))
