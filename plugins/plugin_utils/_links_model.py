# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""WireGuard links as declared: sites, nodes and the topologies that join them. Pure; runs on the controller alone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Dict, Mapping, Tuple, Union

from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_values import Address, Network, literal

SITE_TO_SITE, HUB_AND_SPOKE, MESH = "site_to_site", "hub_and_spoke", "mesh"
KINDS = (SITE_TO_SITE, HUB_AND_SPOKE, MESH)
# How traffic is given another link: not at all, by routes of different metric, or by a routing daemon.
NONE, METRIC, BGP = "none", "metric", "bgp"
FAILOVER = (NONE, METRIC, BGP)
# What wg-quick and most guides use.
DEFAULT_PORT = 51820
# Below those that hosts get from DHCP and the like.
FIRST_METRIC = 50
# Milliseconds, and how many of them: a dead link is noticed within a second.
BFD_INTERVAL, BFD_MULTIPLIER = 300, 3


@dataclass(frozen=True)
class Node:
    """One end of links: a host of the inventory (managed), or a peer that somebody else configures.

    endpoint: the address or name that others reach it at, empty where they cannot. nat: something on the way forgets
    its connections, so that it must keep them alive. by_topology: both of these, where they differ, by the names of
    topologies. families: of IP (4, 6) that it has outside of the tunnels; empty:
    not known. outer_mtu: bytes of an IP packet that get through to it. prefixes: its own, beside those of its site.
    as_number: of its autonomous system, with failover bgp; 0: derived, or none, where it is not managed. place: where
    it is declared, for errors.
    """

    name: str
    managed: bool = True
    endpoint: str = ""
    nat: bool = False
    by_topology: Mapping[str, Tuple[str, bool]] = field(default_factory=dict)
    families: Tuple[int, ...] = ()
    outer_mtu: int = 1500
    public_key: str = ""
    port: int = 0
    as_number: int = 0
    prefixes: Tuple[Network, ...] = ()
    place: str = ""

    @property
    def endpoint_address(self) -> Union[Address, None]:
        """The endpoint where it is an address, not a name."""
        return literal(self.endpoint)

    def within(self, topology: str) -> Node:
        """The same node as the others of a topology reach it."""
        if topology not in self.by_topology:
            return self
        endpoint, nat = self.by_topology[topology]
        return replace(self, endpoint=endpoint, nat=nat)


@dataclass(frozen=True)
class Site:
    """Prefixes, and the nodes by which they are reached. inside: sites of whose prefixes these may be a part."""

    name: str
    prefixes: Tuple[Network, ...] = ()
    gateways: Tuple[str, ...] = ()
    inside: Tuple[str, ...] = ()
    place: str = ""


@dataclass(frozen=True)
class Topology:
    """Which nodes are joined, and how. hubs, spokes: of hub_and_spoke; otherwise all nodes are among the spokes.

    networks: of the tunnels' own addresses, at most one a family. numbers: of nodes within these networks, where the
    derived one is not wanted. interface_per_peer: each link has an interface of its own, so that several may carry the
    same prefixes. mtu: of the tunnel; 0: derived. keepalive: seconds. metric: of the routes that are preferred, with
    failover. bfd_interval: milliseconds; a link is dead, with failover bgp, when nothing comes for bfd_multiplier of
    them. inside: sites of whose prefixes the networks may be a part. clamp_mss: whether TCP's segments are made to
    fit the MTU, whatever the two ends of a connection think that fits.
    """

    name: str
    kind: str = MESH
    hubs: Tuple[str, ...] = ()
    spokes: Tuple[str, ...] = ()
    networks: Tuple[Network, ...] = ()
    port: int = DEFAULT_PORT
    numbers: Mapping[str, int] = field(default_factory=dict)
    interface_per_peer: bool = False
    failover: str = NONE
    keepalive: int = 25
    preshared_keys: bool = True
    mtu: int = 0
    metric: int = FIRST_METRIC
    bfd_interval: int = BFD_INTERVAL
    bfd_multiplier: int = BFD_MULTIPLIER
    inside: Tuple[str, ...] = ()
    clamp_mss: bool = True
    place: str = ""

    @property
    def nodes(self) -> Tuple[str, ...]:
        """All of its nodes, each once."""
        return tuple(dict.fromkeys((*self.hubs, *self.spokes)))


@dataclass(frozen=True)
class Links:
    """A whole declaration, by name."""

    sites: Dict[str, Site]
    nodes: Dict[str, Node]
    topologies: Tuple[Topology, ...]

    def site_of(self, node: str) -> Union[Site, None]:
        """The site that a node is a gateway of."""
        return self._sites_by_node.get(node)

    def behind(self, node: str) -> Tuple[Network, ...]:
        """The prefixes that are reached by a node: of its site, and its own."""
        site = self.site_of(node)
        return (*(site.prefixes if site else ()), *self.nodes[node].prefixes)

    @cached_property
    def _sites_by_node(self) -> Dict[str, Site]:
        # Asked for each end of each link, of which a fleet has thousands.
        return {node: site for site in self.sites.values() for node in site.gateways}
