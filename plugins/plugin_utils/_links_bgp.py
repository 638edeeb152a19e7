# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the declared links to the configuration of FRR, which moves traffic off a link that is dead. Pure.

Runs on the controller alone. Each link of a topology with failover bgp has a session of BGP for each family of IP,
between the tunnel's own addresses, and BFD beside it. A node announces what is behind it, a hub what the others
announce too; both ends derive from the same declaration what may be announced over a link, and take nothing else.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._desired import MANAGED, is_ours
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import Problem
from ansible_collections.netfleet.tcp.plugins.module_utils._frr import (
    CONFIGURATION,
    DAEMONS_FILE,
    needs_restart,
    wanted_files,
    wanted_routing,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._model import FileState, Finding, Routing
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_plan import SUBJECT
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_model import BGP, Links, Network, Topology
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_topology import (
    DETOUR,
    InterfaceWanted,
    addresses_of,
    interface_name,
    links_of,
    passes_on,
    preference,
    speaks_bgp,
)

# RFC 6996: of 32 bits, for private use, the last one left out.
FIRST_PRIVATE_AS, LAST_PRIVATE_AS = 4200000000, 4294967294
# A higher local preference is preferred, a lower metric: what a metric is taken from. Larger than any metric.
_PREFERENCE_OF_METRIC_0 = 100000000
# Seconds. BFD notices a dead link; these serve where it does not run yet, and bring a session back soon.
_KEEPALIVE, _HOLD, _CONNECT = 10, 30, 5


@dataclass(frozen=True)
class Session:
    """A session of BGP with the node at the other end of a link. version: the family of IP."""

    node: str
    interface: str
    version: int
    local: str
    address: str
    as_number: int
    topology: str
    taken: Tuple[Tuple[Network, int], ...] = ()
    announced: Tuple[Network, ...] = ()


@dataclass(frozen=True)
class RoutingWanted:
    """What FRR of a host is to have. neighbors: (address, node, interface) of its sessions."""

    text: str
    neighbors: Tuple[Tuple[str, str, str], ...]


def as_number_of(declared: Links, node: str) -> int:
    """The number of a node's autonomous system: as declared, or derived from its name alone."""
    given = declared.nodes[node].as_number
    if given:
        return given
    digest = hashlib.sha256(node.encode()).digest()
    return FIRST_PRIVATE_AS + int.from_bytes(digest[8:16], "big") % (LAST_PRIVATE_AS - FIRST_PRIVATE_AS + 1)


def routing(declared: Links) -> Dict[str, RoutingWanted]:
    """What FRR of each managed node is to have, by its name; nothing for those without a link that needs it."""
    sessions: Dict[str, List[Session]] = {}
    for link in links_of(declared):
        both = (link.one, link.other)
        if link.topology.failover != BGP or not all(speaks_bgp(declared, node) for node in both):
            continue
        for node, peer in (both, both[::-1]):
            if declared.nodes[node].managed:
                sessions.setdefault(node, []).extend(_sessions(declared, link.topology, node, peer))
    return {node: _routing(declared, node, found) for node, found in sessions.items()}


def routing_problems(declared: Links, wanted: Mapping[str, Tuple[InterfaceWanted, ...]]) -> Iterator[Problem]:
    """What stands in the way of failover by a routing daemon."""
    topologies = [topology for topology in declared.topologies if topology.failover == BGP]
    yield from _same_numbers(declared, topologies)
    for topology in topologies:
        yield from _families(declared, topology)
    if topologies:
        yield from _fixed_routes(declared, wanted)


def _same_numbers(declared: Links, topologies: Sequence[Topology]) -> Iterator[Problem]:
    taken: Dict[int, str] = {}
    nodes = dict.fromkeys(node for topology in topologies for node in topology.nodes)
    for node in (node for node in nodes if speaks_bgp(declared, node)):
        number = as_number_of(declared, node)
        other = taken.setdefault(number, node)
        if other != node:
            there = declared.nodes[node]
            place = there.place + ("as_number" if there.managed else ".as_number")
            text = "%s and %s would both have number %d, and take nothing from each other" % (other, node, number)
            yield Problem(place, text, "another one for one of them, such as 64512")


def _families(declared: Links, topology: Topology) -> Iterator[Problem]:
    """Prefixes that have no next hop: the tunnels have no address of their family."""
    versions = {network.version for network in topology.networks}
    for node in topology.nodes:
        missing = [prefix for prefix in declared.behind(node) if prefix.version not in versions]
        if missing:
            text = "have none of IPv%d, over which %s of %s could be announced" % (missing[0].version, missing[0], node)
            yield Problem(topology.place + ".networks", text, "failover bgp needs one of each family that it carries")


def _fixed_routes(declared: Links, wanted: Mapping[str, Tuple[InterfaceWanted, ...]]) -> Iterator[Problem]:
    """Routes that would win over those of the daemon, whether or not their link lives."""
    kinds = {topology.name: topology for topology in declared.topologies}
    for node, found in wanted.items():
        decided = {
            prefix: interface
            for interface in found
            for peer in interface.peers
            if kinds[interface.topology].failover == BGP and speaks_bgp(declared, peer.node)
            for prefix in peer.allowed
        }
        for interface in found:
            for route in (route for peer in interface.peers for route in peer.routes):
                other = decided.get(route.prefix)
                if other is not None and other.topology != interface.topology:
                    text = "routes %s into %s on %s, dead or alive" % (route.prefix, interface.name, node)
                    cure = "failover: bgp, as %s has" % kinds[other.topology].place
                    yield Problem(kinds[interface.topology].place, text, cure)


def routing_seen(
    wanted: Mapping[str, Any],
    files: Mapping[str, FileState],
    interfaces: Collection[str],
    runs: Optional[Routing] = None,
) -> Dict[str, Any]:
    """What the role has to do about the routing daemon of a host. wanted: a RoutingWanted, sent; empty: none.

    interfaces: those that are there. runs: of FRR. In the result, current: FRR is as wanted; present: the neighbors
    that can be reached before the change.
    """
    neighbors = [
        ({"address": address, "name": "%s (%s, %s)" % (node, address, interface)}, interface in interfaces)
        for address, node, interface in wanted.get("neighbors") or ()
    ]
    return {
        "wanted": bool(wanted),
        "text": wanted.get("text", ""),
        "neighbors": [neighbor for neighbor, _there in neighbors],
        "present": [neighbor for neighbor, there in neighbors if there],
        "current": bool(wanted) and runs is not None and _is_current(wanted["text"], files, runs),
        "installed": DAEMONS_FILE in files and files[DAEMONS_FILE].kind != "absent",
        "ours": is_ours(files.get(CONFIGURATION, FileState(CONFIGURATION))),
    }


def _is_current(text: str, files: Mapping[str, FileState], runs: Routing) -> bool:
    present = (files[CONFIGURATION], files[DAEMONS_FILE])
    wanted = wanted_files(present, text)
    return wanted == present and not needs_restart(wanted_routing(wanted[1].text), runs)


def of_routes(settings: Mapping[str, Any]) -> Iterator[Finding]:
    """What is wanted of the routes of a host, and those of a routing daemon cannot have."""
    for name in ("congestion_control", "initcwnd", "initrwnd"):
        if settings[name]:
            text = "failover bgp: FRR makes the routes, and cannot give them %s" % name
            cure = "leave it empty for hosts with such links"
            if name == "congestion_control":
                cure += "; tcp_tuning_congestion_control sets that of the whole host"
            yield Finding(SUBJECT, "wireguard_links_" + name, "error", text, cure=cure)


def _sessions(declared: Links, topology: Topology, node: str, peer: str) -> Iterator[Session]:
    pairs = zip(topology.networks, addresses_of(topology, node), addresses_of(topology, peer), strict=True)
    first = _PREFERENCE_OF_METRIC_0 - preference(declared, topology, peer)
    comes, goes = announced(declared, topology, node=peer, peer=node), announced(declared, topology, node, peer)
    for network, local, address in pairs:
        taken = [(prefix, far) for prefix, far in comes if _same(prefix, network)]
        given = [prefix for prefix, _far in goes if _same(prefix, network)]
        if not taken and not given:
            continue
        yield Session(
            node=peer,
            interface=interface_name(topology, peer),
            version=network.version,
            local=local,
            address=address,
            as_number=as_number_of(declared, peer),
            topology=topology.name,
            taken=tuple((prefix, first - (DETOUR if far else 0)) for prefix, far in taken),
            announced=tuple(given),
        )


def _same(prefix: Network, network: Network) -> bool:
    return prefix.version == network.version


def announced(declared: Links, topology: Topology, node: str, peer: str) -> List[Tuple[Network, bool]]:
    """What a node may announce to a peer, and whether another node is on the way there."""
    found: Dict[Network, bool] = dict.fromkeys(declared.behind(node), False)
    if passes_on(topology, node=peer, peer=node):
        for other in topology.nodes:
            for prefix in declared.behind(other):
                found.setdefault(prefix, True)
        if peer not in topology.hubs:
            found.update((network, True) for network in topology.networks)
    own = set(declared.behind(peer))
    return sorted(((prefix, far) for prefix, far in found.items() if prefix not in own), key=_order)


def _order(entry: Tuple[Network, bool]) -> Tuple[int, int, int]:
    prefix = entry[0]
    return prefix.version, int(prefix.network_address), prefix.prefixlen


def _originated(declared: Links, node: str) -> List[Network]:
    """What a node announces of its own: what is behind it, and as a hub what has nobody to announce it."""
    found = dict.fromkeys(declared.behind(node))
    for link in links_of(declared):
        if link.topology.failover != BGP or node not in (link.one, link.other) or node not in link.topology.hubs:
            continue
        found.update(dict.fromkeys(link.topology.networks))
        peer = link.other if node == link.one else link.one
        if not speaks_bgp(declared, peer):
            found.update(dict.fromkeys(declared.behind(peer)))
    return [prefix for prefix, _far in sorted(((prefix, False) for prefix in found), key=_order)]


def _routing(declared: Links, node: str, sessions: List[Session]) -> RoutingWanted:
    # In an order that does not depend on that of the inventory.
    ordered = sorted(sessions, key=lambda session: (session.interface, session.version))
    text = "\n".join(
        [
            MANAGED,
            "frr defaults traditional",
            "log syslog informational",
            "!",
            *_bfd(declared, ordered),
            *(line for session in ordered for line in _policy(session)),
            *_router(declared, node, ordered),
        ]
    )
    return RoutingWanted(text + "\n", tuple((session.address, session.node, session.interface) for session in ordered))


def _bfd(declared: Links, sessions: List[Session]) -> Iterator[str]:
    """How soon a link is taken for dead, for each topology, in milliseconds; and who is asked whether it lives."""
    used = {session.topology for session in sessions}
    yield "bfd"
    for topology in declared.topologies:
        if topology.name in used:
            yield " profile %s" % topology.name
            yield "  detect-multiplier %d" % topology.bfd_multiplier
            yield "  receive-interval %d" % topology.bfd_interval
            yield "  transmit-interval %d" % topology.bfd_interval
            yield " exit"
            yield " !"
    for session in sessions:
        # From the start, not once BGP has a session: that is when FRR 8 begins by itself, and FRR 10 opens no session
        # before BFD is up, so that the two would wait for each other for ever after a restart of the older one.
        yield " peer %s multihop local-address %s" % (session.address, session.local)
        yield "  profile %s" % session.topology
        yield " exit"
        yield " !"
    yield "exit"
    yield "!"


def _name(session: Session, what: str) -> str:
    return "%s-ipv%d-%s" % (session.interface, session.version, what)


def _policy(session: Session) -> Iterator[str]:
    """What is taken from the peer, and how gladly; and what it is told."""
    ways: Dict[int, List[Network]] = {}
    for prefix, preferred in session.taken:
        ways.setdefault(preferred, []).append(prefix)
    for number, preferred in enumerate(sorted(ways, reverse=True), start=1):
        name = _name(session, "in-%d" % number)
        yield from _prefix_list(session, name, ways[preferred])
        yield "route-map %s permit %d" % (_name(session, "in"), 10 * number)
        yield " match %s address prefix-list %s" % (_ip(session), name)
        yield " set local-preference %d" % preferred
        yield "exit"
        yield "!"
    if not ways:
        yield from _nothing(session, "in")
    if not session.announced:
        yield from _nothing(session, "out")
        return
    name = _name(session, "out")
    yield from _prefix_list(session, name, session.announced)
    yield "route-map %s permit 10" % name
    yield " match %s address prefix-list %s" % (_ip(session), name)
    yield "exit"
    yield "!"


def _nothing(session: Session, what: str) -> Iterator[str]:
    # A route map that is not there would let nothing through either, but FRR complains.
    yield "route-map %s deny 10" % _name(session, what)
    yield "exit"
    yield "!"


def _ip(session: Session) -> str:
    return {4: "ip", 6: "ipv6"}[session.version]


def _prefix_list(session: Session, name: str, prefixes: Iterable[Network]) -> Iterator[str]:
    for number, prefix in enumerate(prefixes, start=1):
        yield "%s prefix-list %s seq %d permit %s" % (_ip(session), name, 5 * number, prefix)
    yield "!"


def _router(declared: Links, node: str, sessions: List[Session]) -> Iterator[str]:
    number = as_number_of(declared, node)
    yield "router bgp %d" % number
    yield " bgp router-id %s" % _router_id(number, sessions)
    yield " bgp log-neighbor-changes"
    yield " no bgp default ipv4-unicast"
    # A peer that is gone is gone: its routes are not kept until it comes again.
    yield " bgp graceful-restart-disable"
    # Of two that are alike the same one is taken each time, not the one that came first.
    yield " bgp bestpath compare-routerid"
    # What is behind a gateway is announced whether or not it has a route of exactly that length.
    yield " no bgp network import-check"
    for session in sessions:
        yield from _neighbor(session)
    for version in (4, 6):
        those = [session for session in sessions if session.version == version]
        if those:
            prefixes = [prefix for prefix in _originated(declared, node) if prefix.version == version]
            yield from _family(version, those, prefixes)
    yield "exit"
    yield "!"


def _router_id(number: int, sessions: List[Session]) -> str:
    """An address of its own, or, without one of IPv4, a number that looks like one."""
    own = next((session.local for session in sessions if session.version == 4), None)
    return own or str(ipaddress.IPv4Address((number & 0xFFFFFF) + (1 << 24)))


def _neighbor(session: Session) -> Iterator[str]:
    words = " neighbor %s " % session.address
    yield words + "remote-as %d" % session.as_number
    yield words + "description %s" % session.node
    yield words + "update-source %s" % session.local
    # The address is of the peer alone, and no network that both are in. Nobody who is further away may speak for it.
    yield words + "disable-connected-check"
    yield words + "ttl-security hops 1"
    yield words + "timers %d %d" % (_KEEPALIVE, _HOLD)
    yield words + "timers connect %d" % _CONNECT
    yield words + "bfd"
    yield words + "bfd profile %s" % session.topology


def _family(version: int, sessions: List[Session], prefixes: List[Network]) -> Iterator[str]:
    yield " !"
    yield " address-family ipv%d unicast" % version
    for prefix in prefixes:
        yield "  network %s" % prefix
    for session in sessions:
        yield "  neighbor %s activate" % session.address
        # What was announced is kept, so that another preference is in force at once, whatever the neighbor answers.
        yield "  neighbor %s soft-reconfiguration inbound" % session.address
        yield "  neighbor %s route-map %s in" % (session.address, _name(session, "in"))
        yield "  neighbor %s route-map %s out" % (session.address, _name(session, "out"))
    yield "  maximum-paths 1"
    yield " exit-address-family"
