# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the role's variables to the declared links. Runs on the controller alone.

What is wrong with a single value is refused here, all of it at once; how the values go together is _links_analysis's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Dict, List, Optional, Set, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, Problem
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_values import (
    A_KEY,
    HIGHEST_MTU,
    LOWEST_IPV4_MTU,
    LOWEST_MTU,
    Network,
    is_host_name,
    is_key,
    is_node,
    literal,
    prefix_of,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._arguments import range_problems, typed
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_model import (
    BFD_INTERVAL,
    BFD_MULTIPLIER,
    DEFAULT_PORT,
    FAILOVER,
    FIRST_METRIC,
    HUB_AND_SPOKE,
    KINDS,
    MESH,
    NONE,
    SITE_TO_SITE,
    Links,
    Node,
    Site,
    Topology,
)

PREFIX = "wireguard_links_"
# What each host says of itself.
OF_A_HOST: Dict[str, Dict[str, Any]] = {
    # An address or a name; or a mapping of topologies to these.
    "endpoint": {"type": "raw", "default": ""},
    "nat": {"type": "bool"},
    "families": {"type": "list", "elements": "int", "default": []},
    "outer_mtu": {"type": "int", "default": 1500},
    "as_number": {"type": "int", "default": 0},
}
# What the inventory says of a peer that somebody else configures.
_PEER: Dict[str, Dict[str, Any]] = {
    **OF_A_HOST,
    "public_key": {"type": "str", "required": True},
    "port": {"type": "int", "default": 0},
    "prefixes": {"type": "list", "elements": "str", "default": []},
}
_SITE: Dict[str, Dict[str, Any]] = {
    "prefixes": {"type": "list", "elements": "str", "required": True},
    "gateways": {"type": "list", "elements": "str", "required": True},
    "inside": {"type": "list", "elements": "str", "default": []},
}
_TOPOLOGY: Dict[str, Dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "kind": {"type": "str", "choices": list(KINDS), "required": True},
    "members": {"type": "list", "elements": "str", "default": []},
    "hubs": {"type": "list", "elements": "str", "default": []},
    "spokes": {"type": "list", "elements": "str", "default": []},
    "networks": {"type": "list", "elements": "str", "required": True},
    "port": {"type": "int", "default": DEFAULT_PORT},
    "numbers": {"type": "dict", "default": {}},
    "interface_per_peer": {"type": "bool", "default": False},
    "failover": {"type": "str", "choices": list(FAILOVER), "default": NONE},
    "keepalive": {"type": "int", "default": 25},
    "preshared_keys": {"type": "bool", "default": True},
    "mtu": {"type": "int", "default": 0},
    "metric": {"type": "int", "default": FIRST_METRIC},
    "bfd_interval": {"type": "int", "default": BFD_INTERVAL},
    "bfd_multiplier": {"type": "int", "default": BFD_MULTIPLIER},
    "inside": {"type": "list", "elements": "str", "default": []},
    "clamp_mss": {"type": "bool", "default": True},
}
# wg-quick and the kernel would take more; these need no quoting anywhere.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,11}\Z")
_POSITIVE = re.compile(r"[1-9][0-9]{0,9}\Z")


def parse(
    variables: Mapping[str, Any],
    hosts: Mapping[str, Mapping[str, Any]],
    groups: Mapping[str, Sequence[str]],
) -> Links:
    """The declaration; InputError with every problem, each with the place of the wrong value.

    variables: sites, peers and topologies, by the names of the role's variables without their prefix. hosts: what each
    host of the inventory says of itself (see OF_A_HOST). groups: the hosts of each group of the inventory.
    """
    return _Parser(hosts, groups).links(variables)


class _Parser:
    def __init__(self, hosts: Mapping[str, Mapping[str, Any]], groups: Mapping[str, Sequence[str]]) -> None:
        self._hosts = hosts
        self._groups = groups
        self._problems: List[Problem] = []
        self._nodes: Dict[str, Node] = {}
        self._sites: Dict[str, Site] = {}

    def links(self, variables: Mapping[str, Any]) -> Links:
        for name, given in self._mapping("peers", variables).items():
            self._peer(str(name), given)
        sites = self._mapping("sites", variables)
        for name, given in sites.items():
            self._site(str(name), given)
        for site in self._sites.values():
            unknown = [name for name in site.inside if name not in self._sites or name == site.name]
            for name in unknown:
                self._problem(site.place + ".inside", "%r is no other site" % name)
        topologies = self._topologies(variables)
        self._are_topologies({topology.name for topology in topologies})
        if self._problems:
            raise InputError(self._problems)
        return Links(self._sites, self._nodes, topologies)

    def _problem(self, path: str, text: str, cure: str = "") -> None:
        self._problems.append(Problem(path, text, cure))

    def _mapping(self, name: str, variables: Mapping[str, Any]) -> Mapping[Any, Any]:
        given = variables.get(name) or {}
        if isinstance(given, Mapping):
            return given
        self._problem(PREFIX + name, "is not a mapping", "of names to what belongs to them")
        return {}

    def _typed(self, spec: Dict[str, Dict[str, Any]], given: Any, place: str) -> Optional[Dict[str, Any]]:
        if not isinstance(given, Mapping):
            self._problem(place, "is not a mapping", "it may have %s" % ", ".join(spec))
            return None
        try:
            return typed(spec, given, place + ".")
        except InputError as error:
            self._problems += error.problems
            return None

    def _peer(self, name: str, given: Any) -> None:
        place = "%speers.%s" % (PREFIX, name)
        if name in self._hosts:
            self._problem(place, "is a host of the inventory", "peers are those that the inventory does not manage")
        found = self._typed(_PEER, given, place)
        if found is None:
            return
        key = found["public_key"]
        if not is_key(key):
            self._problem(place + ".public_key", "is no WireGuard key", A_KEY)
        self._nodes[name] = self._node(name, found, place + ".", managed=False)

    def _node(self, name: str, found: Mapping[str, Any], at: str, managed: bool) -> Node:
        if not is_node(name):
            self._problem(at.rstrip("."), "%r is no name of a node" % name, "letters, digits, and _ . - within")
        given = found["endpoint"]
        endpoints = given if isinstance(given, Mapping) else {}
        endpoint = "" if endpoints else self._endpoint(given or "", at + "endpoint")
        each = {str(key): self._endpoint(value, "%sendpoint.%s" % (at, key)) for key, value in endpoints.items()}
        wrong = [family for family in found["families"] if family not in (4, 6)]
        if wrong:
            self._problem(at + "families", "%s: IP has the families 4 and 6" % wrong)
        self._range(at + "outer_mtu", found["outer_mtu"], LOWEST_IPV4_MTU, HIGHEST_MTU, "bytes")
        if found["as_number"]:
            self._range(at + "as_number", found["as_number"], 1, 4294967294)
        if found.get("port"):
            self._range(at + "port", found["port"], 1, 65535)
        prefixes = self._networks(found.get("prefixes") or (), at + "prefixes")
        # What others cannot reach keeps its connections alive: something is between, or it moves about.
        behind_nat = found["nat"]
        nat = not endpoint if behind_nat is None else behind_nat
        return Node(
            name=name,
            managed=managed,
            endpoint=endpoint,
            nat=nat,
            by_topology={key: (value, not value if behind_nat is None else nat) for key, value in each.items()},
            families=tuple(found["families"]),
            outer_mtu=found["outer_mtu"],
            public_key=found.get("public_key", ""),
            port=found.get("port", 0),
            as_number=found["as_number"],
            prefixes=prefixes,
            place=at.rstrip("."),
        )

    def _endpoint(self, given: Any, place: str) -> str:
        """An address as WireGuard prints it, or a name."""
        text = "" if given is None else str(given).strip()
        address = literal(text)
        if not address and text and not is_host_name(text):
            self._problem(place, "%r is neither an address nor a name" % text, "without a port, which is derived")
        return str(address or text)

    def _are_topologies(self, names: Set[str]) -> None:
        """That whoever has an endpoint for each topology names those that there are."""
        for node in self._nodes.values():
            for name in sorted(set(node.by_topology) - names):
                place = node.place + ("endpoint.%s" if node.managed else ".endpoint.%s") % name
                self._problem(place, "%r is no topology" % name, "the names of those: %s" % ", ".join(sorted(names)))

    def _range(self, place: str, number: int, lowest: int, highest: int, unit: str = "") -> None:
        self._problems += range_problems(place, number, lowest, highest, ("%s " + unit).strip())

    def _networks(self, given: Sequence[str], place: str) -> Tuple[Network, ...]:
        found: List[Network] = []
        for index, text in enumerate(given):
            here = "%s[%d]" % (place, index)
            try:
                prefix = prefix_of(text)
            except ValueError as error:
                self._problem(here, "%r is no prefix: %s" % (text, error), "such as 10.10.0.0/16 or 2001:db8::/48")
                continue
            if prefix.prefixlen == 0:
                problem = "%s would send everything into the tunnel, its own packets too" % prefix
                self._problem(here, problem, "name the prefixes that are behind the site")
            elif prefix.is_multicast or prefix.is_loopback or prefix.is_link_local:
                self._problem(here, "%s is not routed between sites" % prefix)
            found.append(prefix)
        return tuple(found)

    def _site(self, name: str, given: Any) -> None:
        place = "%ssites.%s" % (PREFIX, name)
        found = self._typed(_SITE, given, place)
        if found is None:
            # There is one of this name all the same: what refers to it is no further problem.
            self._sites[name] = Site(name, place=place)
            return
        gateways = [node for ref in self._refs(found["gateways"], place + ".gateways") for node in self._hosts_of(*ref)]
        if not gateways:
            self._problem(place + ".gateways", "is empty", "name the hosts or peers by which the site is reached")
        for other in self._sites.values():
            for node in dict.fromkeys(gateways):
                if node in other.gateways:
                    self._problem(place + ".gateways", "%s is also a gateway of %s" % (node, other.place))
        prefixes = self._networks(found["prefixes"], place + ".prefixes")
        self._sites[name] = Site(name, prefixes, tuple(dict.fromkeys(gateways)), tuple(found["inside"]), place)

    @staticmethod
    def _refs(names: Sequence[str], place: str) -> List[Tuple[str, str]]:
        return [(name, "%s[%d]" % (place, index)) for index, name in enumerate(names)]

    def _hosts_of(self, name: str, place: str, sites: bool = False) -> Tuple[str, ...]:
        """The nodes that a name stands for: a site's gateways, a group's hosts, a host or a peer."""
        meant: Dict[str, Tuple[str, ...]] = {}
        if sites and name in self._sites:
            meant["a site"] = self._sites[name].gateways
        if name in self._hosts:
            meant["a host"] = (name,)
        elif name in self._nodes:
            meant["a peer"] = (name,)
        if name in self._groups:
            meant["a group"] = tuple(self._groups[name])
        if not meant:
            kinds = "sites, hosts, peers and groups" if sites else "hosts, peers and groups"
            self._problem(place, "%r is none of the %s that are known" % (name, kinds))
            return ()
        if len({frozenset(nodes) for nodes in meant.values()}) > 1:
            self._problem(place, "%r is %s, of different hosts" % (name, " and ".join(meant)), "rename one of them")
        (nodes, *_others) = meant.values()
        if not nodes and "a site" not in meant:
            self._problem(place, "the group %r has no hosts" % name)
        for node in nodes:
            self._host(node)
        return nodes

    def _host(self, name: str) -> None:
        """Take a host of the inventory up among the nodes, once it is named."""
        if name in self._nodes:
            return
        place = "host %s, %s" % (name, PREFIX)
        try:
            found = typed(OF_A_HOST, self._hosts[name], place)
        except InputError as error:
            self._problems += error.problems
            found = typed(OF_A_HOST, {}, place)
        self._nodes[name] = self._node(name, found, place, managed=True)

    def _topologies(self, variables: Mapping[str, Any]) -> Tuple[Topology, ...]:
        given = variables.get("topologies") or []
        place = PREFIX + "topologies"
        if not isinstance(given, (list, tuple)):
            self._problem(place, "is not a list")
            return ()
        made = [self._topology(entry, "%s[%d]" % (place, index)) for index, entry in enumerate(given)]
        return tuple(entry for entry in made if entry)

    def _topology(self, given: Any, place: str) -> Optional[Topology]:
        found = self._typed(_TOPOLOGY, given, place)
        if found is None:
            return None
        if not _NAME.match(found["name"]):
            cure = "1 to 12 letters, digits, and _ . - within; its interface is wg-<name>"
            self._problem(place + ".name", "%r is no name of a topology" % found["name"], cure)
        self._range(place + ".port", found["port"], 1, 65535)
        self._range(place + ".keepalive", found["keepalive"], 1, 65535, "seconds")
        if found["mtu"]:
            self._range(place + ".mtu", found["mtu"], LOWEST_MTU, HIGHEST_MTU, "bytes; 0: derived")
        self._range(place + ".metric", found["metric"], 1, 1 << 24)
        self._range(place + ".bfd_interval", found["bfd_interval"], 50, 5000, "milliseconds")
        self._range(place + ".bfd_multiplier", found["bfd_multiplier"], 2, 50)
        for name in found["inside"]:
            if name not in self._sites:
                self._problem(place + ".inside", "%r is no site" % name)
        networks = self._networks(found["networks"], place + ".networks")
        if not networks and not found["networks"]:
            self._problem(place + ".networks", "is empty", "the tunnels need addresses, such as 10.99.0.0/24")
        if len({network.version for network in networks}) < len(networks):
            self._problem(place + ".networks", "has two of one family", "one for IPv4, one for IPv6")
        hubs, spokes = self._ends(found, place)
        numbers = self._numbers(found["numbers"], place + ".numbers", (*hubs, *spokes))
        return Topology(
            name=found["name"],
            kind=found["kind"],
            hubs=hubs,
            spokes=spokes,
            networks=networks,
            port=found["port"],
            numbers=numbers,
            interface_per_peer=found["interface_per_peer"],
            failover=found["failover"],
            keepalive=found["keepalive"],
            preshared_keys=found["preshared_keys"],
            mtu=found["mtu"],
            metric=found["metric"],
            bfd_interval=found["bfd_interval"],
            bfd_multiplier=found["bfd_multiplier"],
            inside=tuple(found["inside"]),
            clamp_mss=found["clamp_mss"],
            place=place,
        )

    def _ends(self, found: Mapping[str, Any], place: str) -> Tuple[Tuple[str, ...], Tuple[str, ...]]:
        """The hubs and the other nodes of a topology."""
        named, other = ["members"], ["hubs", "spokes"]
        if found["kind"] == HUB_AND_SPOKE:
            named, other = other, named
        for name in other:
            if found[name]:
                text = "belongs to another kind than %s" % found["kind"]
                self._problem("%s.%s" % (place, name), text, "name its %s" % " and ".join(named))
        nodes = {name: self._members(found[name], "%s.%s" % (place, name)) for name in named}
        both = [node for node in nodes.get("hubs", ()) if node in nodes.get("spokes", ())]
        if both:
            self._problem(place + ".spokes", "%s: is a hub too" % ", ".join(both))
        wanted = 2 if found["kind"] in (MESH, SITE_TO_SITE) else 1
        for name, those in nodes.items():
            if len(those) < wanted and len(found[name]) < wanted:
                self._problem("%s.%s" % (place, name), "names %d, needs %d" % (len(found[name]), wanted))
        if found["kind"] == SITE_TO_SITE:
            self._are_two_sites(found["members"], place + ".members")
        return nodes.get("hubs", ()), nodes.get("spokes") or nodes.get("members", ())

    def _are_two_sites(self, names: Sequence[str], place: str) -> None:
        wrong = [name for name in names if name not in self._sites]
        if wrong or len(names) != 2:
            self._problem(place, "%s: site_to_site joins two sites" % ", ".join(names), "use mesh for others")

    def _members(self, names: Sequence[str], place: str) -> Tuple[str, ...]:
        refs = self._refs(names, place)
        return tuple(dict.fromkeys(node for name, here in refs for node in self._hosts_of(name, here, sites=True)))

    def _numbers(self, given: Mapping[Any, Any], place: str, nodes: Sequence[str]) -> Dict[str, int]:
        found: Dict[str, int] = {}
        for name, number in given.items():
            if name not in nodes:
                self._problem("%s.%s" % (place, name), "is no node of this topology")
            elif not _POSITIVE.match(str(number)):
                self._problem("%s.%s" % (place, name), "%r is no number" % (number,), "1 is the first address")
            else:
                found[str(name)] = int(number)
        return found
