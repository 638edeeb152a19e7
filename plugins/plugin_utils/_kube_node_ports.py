# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which NodePorts ipvs has on a node, by kube-proxy's nodePortAddresses. Pure.

Runs on the controller alone. ipvs has a virtual server for each address that they let in; iptables and nftables have
the port in any case, and look at addresses apart from that. Source: kube-proxy's pkg/proxy/util, NodePortAddresses.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Sequence
from typing import List, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._kube_table import ANY, Network, ProxyEntry, any_like
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_expected import ExpectedEntry


def wanted_in_ipvs(
    wanted: Iterable[ExpectedEntry], networks: Sequence[str], own: Collection[str]
) -> Tuple[ExpectedEntry, ...]:
    """Those of these entries that ipvs has on a node with these addresses of its own. networks: nodePortAddresses."""
    served = {any_like(address) for address in own if _let_in(address, networks)}
    return tuple(entry for entry in wanted if entry.address not in ANY.values() or entry.address in served)


def without_node_ports_on(
    bound: Collection[str], table: Iterable[ProxyEntry], wanted: Iterable[ExpectedEntry], networks: Sequence[str]
) -> Tuple[ProxyEntry, ...]:
    """The table without the NodePorts that kube-proxy makes on addresses of Services, if these are let in too."""
    keys = {entry.key for entry in wanted}
    there = {address for address in bound if _let_in(address, networks)}
    return tuple(
        entry
        for entry in table
        if entry.address not in there
        or entry.key in keys
        or (entry.protocol, any_like(entry.address), entry.port) not in keys
    )


def _let_in(address: str, networks: Sequence[str]) -> bool:
    """Whether NodePorts are taken in at an address: never at a loopback; where no network is of its family, else."""
    place = ipaddress.ip_address(address)
    family = [network for network in _parsed(networks) if network.version == place.version]
    return not place.is_loopback and (not family or any(place in network for network in family))


def _parsed(networks: Sequence[str]) -> List[Network]:
    """The networks, without what is none, such as primary: the node's own address by the API, of each family."""
    found: List[Network] = []
    for each in networks:
        try:
            found.append(ipaddress.ip_network(each, strict=False))
        except ValueError:
            continue
    return found
