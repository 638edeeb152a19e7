# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the declared links can work, over the whole topology and before a host is touched. Pure.

Each problem names both places: WireGuard itself says nothing of most of these, and silently takes a prefix from one
peer when it is given to another.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Dict, List, Mapping, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, Problem
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_bgp import routing_problems
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_model import (
    NONE,
    Links,
    Network,
    Node,
    Topology,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_topology import (
    InterfaceWanted,
    Link,
    endpoint_networks,
    ends_of,
    holds,
    interfaces,
    links_of,
    number_of,
    numbers_in,
    tunnel_mtu,
)

Wanted = Mapping[str, Tuple[InterfaceWanted, ...]]
# The kernel's IFNAMSIZ, less its end.
_LONGEST_NAME = 15
_HIGHEST_PORT = 65535
# Below it IPv6 does not work, and few paths are that narrow.
_LOWEST_MTU = 1280


def analysed(declared: Links) -> Dict[str, Tuple[InterfaceWanted, ...]]:
    """What each host has to have; InputError with everything that cannot work."""
    problems = list(_problems_of_declaration(declared))
    if not problems:
        wanted = interfaces(declared)
        problems = [
            *_overlaps(wanted),
            *_same_routes(declared, wanted),
            *_listeners(declared, wanted),
            *_into_itself(declared, wanted),
            *routing_problems(declared, wanted),
        ]
        if not problems:
            return wanted
    raise InputError(problems)


def _problems_of_declaration(declared: Links) -> Iterator[Problem]:
    yield from _claims(declared)
    yield from _same_keys(declared)
    yield from _names(declared)
    for topology in declared.topologies:
        yield from _numbering(topology)
        yield from _redundancy(declared, topology)
    for link in links_of(declared):
        yield from _reach(declared, link)


def _named_prefixes(declared: Links) -> List[Tuple[str, str, Network]]:
    """(place, owner, prefix) of everything that is claimed: by sites, by peers, by the tunnels themselves."""
    found = []
    for site in declared.sites.values():
        found += [(_at(site.place + ".prefixes", i), site.name, prefix) for i, prefix in enumerate(site.prefixes)]
    for node in declared.nodes.values():
        found += [(_at(node.place + ".prefixes", i), node.name, prefix) for i, prefix in enumerate(node.prefixes)]
    for topology in declared.topologies:
        place = topology.place
        found += [(_at(place + ".networks", i), place, network) for i, network in enumerate(topology.networks)]
    return found


def _at(place: str, index: int) -> str:
    return "%s[%d]" % (place, index)


def _claims(declared: Links) -> Iterator[Problem]:
    named = sorted(
        _named_prefixes(declared),
        key=lambda entry: (entry[2].version, int(entry[2].network_address), entry[2].prefixlen),
    )
    # Those that hold the one at hand, outermost first: what holds it stands before it.
    around: List[Tuple[str, str, Network]] = []
    for here, owner, prefix in named:
        while around and not holds(around[-1][2], prefix):
            around.pop()
        for there, other, larger in around:
            if prefix == larger:
                yield Problem(there, "%s is claimed by %s too" % (prefix, here), "give each prefix to one")
            elif owner != other and other not in _inside(declared, owner):
                text = "%s and %s of %s overlap" % (larger, prefix, here)
                yield Problem(there, text, "give each prefix to one; what is within another's says so: inside")
        around.append((here, owner, prefix))


def _inside(declared: Links, owner: str) -> Tuple[str, ...]:
    """The sites of whose prefixes the owner's may be a part."""
    if owner in declared.sites:
        return declared.sites[owner].inside
    topologies = {topology.place: topology for topology in declared.topologies}
    return topologies[owner].inside if owner in topologies else ()


def _same_keys(declared: Links) -> Iterator[Problem]:
    seen: Dict[str, Node] = {}
    for node in declared.nodes.values():
        if node.public_key and node.public_key in seen:
            other = seen[node.public_key]
            yield Problem(node.place + ".public_key", "is that of %s" % other.place, "each peer has its own")
        elif node.public_key:
            seen[node.public_key] = node


def _names(declared: Links) -> Iterator[Problem]:
    seen: Dict[str, Topology] = {}
    for topology in declared.topologies:
        other = seen.setdefault(topology.name, topology)
        if other is not topology:
            yield Problem(topology.place + ".name", "%r is the name of %s too" % (topology.name, other.place))
        longest = len("wg-%s" % topology.name)
        if topology.interface_per_peer:
            longest += 1 + len(str(max((number_of(topology, node) for node in topology.nodes), default=0)))
        if longest > _LONGEST_NAME:
            text = "%r makes names of interfaces of %d characters" % (topology.name, longest)
            yield Problem(topology.place + ".name", text, "the kernel takes %d" % _LONGEST_NAME)


def _numbering(topology: Topology) -> Iterator[Problem]:
    highest = numbers_in(topology)
    all_taken = {number_of(topology, node) for node in topology.nodes}
    taken: Dict[int, str] = {}
    for node in topology.nodes:
        number = number_of(topology, node)
        place = "%s.numbers.%s" % (topology.place, node)
        if number > highest:
            yield Problem(place, "%d is outside of %s" % (number, _shown(topology)), "1 to %d" % highest)
        elif number in taken:
            free = next((entry for entry in range(1, highest + 1) if entry not in all_taken), None)
            text = "%s and %s would both have number %d, so the same address" % (taken[number], node, number)
            cure = "numbers: {%s: %d}" % (node, free) if free else "a larger network"
            yield Problem(place, text, cure)
        taken.setdefault(number, node)


def _shown(topology: Topology) -> str:
    return " and ".join(str(network) for network in topology.networks)


def _redundancy(declared: Links, topology: Topology) -> Iterator[Problem]:
    place = topology.place + ".interface_per_peer"
    if topology.failover != NONE and not topology.interface_per_peer:
        text = "failover %s needs an interface for each link" % topology.failover
        yield Problem(place, text, "interface_per_peer: true")
        return
    if topology.interface_per_peer:
        return
    if len(topology.hubs) > 1:
        text = "the hubs %s carry the same prefixes, and an interface gives each to one" % ", ".join(topology.hubs)
        yield Problem(place, text, "interface_per_peer: true, and a failover")
    for site in declared.sites.values():
        ours = [node for node in site.gateways if node in topology.nodes]
        if len(ours) > 1 and site.prefixes and not set(ours) <= set(topology.hubs):
            text = "%s of %s carry the same prefixes, and an interface gives each to one" % (
                ", ".join(ours),
                site.place,
            )
            yield Problem(place, text, "interface_per_peer: true, and a failover")


def _reach(declared: Links, link: Link) -> Iterator[Problem]:
    one, other = ends_of(declared, link)
    at = {node.name: _endpoint_place(node, link.topology.name) for node in (one, other)}
    if not one.endpoint and not other.endpoint:
        text = "neither %s nor %s can be reached" % (link.one, link.other)
        places = ", ".join(at.values())
        cure = "one of them needs an endpoint: %s; or both a hub that has one: kind hub_and_spoke" % places
        yield Problem(link.topology.place, text, cure)
        return
    for caller, called in ((one, other), (other, one)):
        address = called.endpoint_address
        if address and caller.families and address.version not in caller.families:
            text = "%s is of IPv%d, which %s does not have" % (address, address.version, caller.name)
            yield Problem(at[called.name], text, "%s" % _place(caller, "families"))
    mine, theirs = one.endpoint_address, other.endpoint_address
    if mine and theirs and mine.version != theirs.version and not (one.families and other.families):
        text = "%s is of IPv%d, %s of %s is not" % (mine, mine.version, theirs, at[other.name])
        cure = "families: [4, 6] of both, if each has both"
        yield Problem(at[one.name], text, cure)
    yield from _mtu(declared, link)


def _mtu(declared: Links, link: Link) -> Iterator[Problem]:
    topology, (one, other) = link.topology, ends_of(declared, link)
    fits = tunnel_mtu(one, other)
    narrow = min(one, other, key=lambda node: node.outer_mtu)
    if topology.mtu > fits:
        text = "%d bytes do not fit between %s and %s" % (topology.mtu, one.name, other.name)
        yield Problem(topology.place + ".mtu", text, "%d at most, by %s" % (fits, _place(narrow, "outer_mtu")))
    prefixes = (*topology.networks, *declared.behind(link.one), *declared.behind(link.other))
    mtu = topology.mtu or fits
    if mtu < _LOWEST_MTU and any(prefix.version == 6 for prefix in prefixes):
        text = "leaves tunnels of %d bytes between %s and %s" % (mtu, one.name, other.name)
        yield Problem(_place(narrow, "outer_mtu"), text, "IPv6 needs %d; leave IPv6 out of it" % _LOWEST_MTU)


def _place(node: Node, name: str) -> str:
    return node.place + name if node.managed else "%s.%s" % (node.place, name)


def _endpoint_place(node: Node, topology: str) -> str:
    return _place(node, "endpoint" + (".%s" % topology if node.by_topology else ""))


def _overlaps(wanted: Wanted) -> Iterator[Problem]:
    """Prefixes that an interface would give to two peers. What is nested on purpose goes by the longest match."""
    for node, found in wanted.items():
        for interface in found:
            owners: Dict[str, str] = {}
            for peer in interface.peers:
                for prefix in peer.allowed:
                    other = owners.setdefault(prefix, peer.node)
                    if other != peer.node:
                        text = "%s would belong to %s and to %s" % (prefix, other, peer.node)
                        path = "%s on %s" % (interface.name, node)
                        yield Problem(path, text, "interface_per_peer: true, or another topology")


def _same_routes(declared: Links, wanted: Wanted) -> Iterator[Problem]:
    """Routes of which a host would have two alike: the kernel keeps one, and the other link carries nothing."""
    places = {topology.name: topology.place for topology in declared.topologies}
    for node, found in wanted.items():
        seen: Dict[Tuple[str, int], InterfaceWanted] = {}
        for interface in found:
            for route in (route for peer in interface.peers for route in peer.routes):
                other = seen.setdefault((route.prefix, route.metric), interface)
                if other is interface:
                    continue
                here, there = places[interface.topology], places[other.topology]
                text = "%s would be routed into %s and %s on %s" % (route.prefix, other.name, interface.name, node)
                cure = (
                    "failover: metric, or bgp"
                    if here == there
                    else "failover: metric, with another metric than %s" % there
                )
                yield Problem(here, text, cure)


def _listeners(declared: Links, wanted: Wanted) -> Iterator[Problem]:
    places = {topology.name: topology.place for topology in declared.topologies}
    for node, found in wanted.items():
        taken: Dict[int, str] = {}
        for interface in found:
            place = places[interface.topology] + ".port"
            if interface.port > _HIGHEST_PORT:
                text = "%s of %s would listen on port %d" % (interface.name, node, interface.port)
                yield Problem(place, text, "a lower one, or lower numbers")
            other = taken.setdefault(interface.port, place)
            if other != place:
                yield Problem(place, "%d is that of %s too, on %s" % (interface.port, other, node), "another one")


def _into_itself(declared: Links, wanted: Wanted) -> Iterator[Problem]:
    """Tunnels whose own packets would be routed into them, or into another one."""
    cure = "an endpoint outside of the prefixes that the tunnels carry"
    for node, found in wanted.items():
        local = declared.behind(node)
        carried = [
            (ipaddress.ip_network(prefix), interface.name)
            for interface in found
            for carrier in interface.peers
            for prefix in carrier.allowed
        ]
        for peer, topology, endpoint in endpoint_networks(wanted, node):
            inside = [(prefix.prefixlen, prefix, name) for prefix, name in carried if holds(prefix, endpoint)]
            length, prefix, name = max(inside, default=(0, None, ""), key=lambda entry: entry[0])
            # The longest prefix decides; the host's own network is left alone by its tunnels.
            if length > max((entry.prefixlen for entry in local if holds(entry, endpoint)), default=0):
                text = "%s is in %s, which %s sends into %s" % (endpoint.network_address, prefix, node, name)
                yield Problem(_endpoint_place(declared.nodes[peer], topology), text, cure)
