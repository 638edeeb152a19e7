# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a mode of kube-proxy has left behind on a node that runs another one, by name. Pure.

kube-proxy makes chains in iptables in the mode ipvs too, the kubelet makes some of its own, and network plugins have
names of the same kind; only what no part of the node still needs is a residue.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Dict, FrozenSet, Iterable, List, Sequence, Set, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_choice import PACKAGES
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_modes import IPTABLES, IPVS, NFTABLES
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_nft import NFT_TABLE
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_table import (
    ANY,
    IPVS_INTERFACE,
    ProxyEntry,
    any_like,
    short,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._programs import printed_json

CHAINS, SETS, INTERFACE, SERVERS, TABLE = "chains", "ipsets", "interface", "virtual servers", "nftables table"
NFT_TABLES = ("nft", "-j", "list", "tables")
SET_NAMES = ("ipset", "list", "-n")
# Chains of kube-proxy, as table and name, by the modes that make them.
_OF_BOTH = (
    ("nat", "KUBE-SERVICES"),
    ("filter", "KUBE-FORWARD"),
    ("filter", "KUBE-PROXY-FIREWALL"),
)
_OF_IPTABLES = (
    ("filter", "KUBE-SERVICES"),
    ("filter", "KUBE-EXTERNAL-SERVICES"),
    ("filter", "KUBE-NODEPORTS"),
    ("nat", "KUBE-NODEPORTS"),
    ("mangle", "KUBE-PROXY-CANARY"),
    ("nat", "KUBE-PROXY-CANARY"),
    ("filter", "KUBE-PROXY-CANARY"),
)
_OF_IPVS = (
    ("nat", "KUBE-NODE-PORT"),
    ("filter", "KUBE-NODE-PORT"),
    ("nat", "KUBE-LOAD-BALANCER"),
    ("filter", "KUBE-SOURCE-RANGES-FIREWALL"),
    ("filter", "KUBE-IPVS-FILTER"),
    ("filter", "KUBE-IPVS-OUT-FILTER"),
)
# Those of a Service or an endpoint, which the mode iptables alone makes.
_OF_SERVICES = re.compile(r"KUBE-(?:SVC|SVL|SEP|EXT|FW|XLB)-[A-Z0-9]+\Z")
# KUBE-MARK-MASQ, KUBE-POSTROUTING, KUBE-MARK-DROP, KUBE-FIREWALL and the canary and hint of the kubelet are left out:
# the kubelet made, or still makes, them too.
_MADE: Dict[str, FrozenSet[Tuple[str, str]]] = {
    IPTABLES: frozenset((*_OF_BOTH, *_OF_IPTABLES)),
    IPVS: frozenset((*_OF_BOTH, *_OF_IPVS)),
    NFTABLES: frozenset(),
}
# By mode, the kinds of what it makes.
_KINDS = {IPTABLES: (CHAINS,), IPVS: (CHAINS, SETS, INTERFACE, SERVERS), NFTABLES: (TABLE,)}
# kube-router has sets called KUBE-SRC-... and KUBE-DST-..., which k3s uses for network policies. The kernel takes 31
# characters: of IPv6, the longest names lack their last one.
_SET = re.compile(
    r"KUBE-(?:6-)?(?:LOOP-BACK|CLUSTER-IP|EXTERNAL-IP(?:-LOCAL)?"
    r"|LOAD-BALANCER(?:-LOCAL|-FW|-SOURCE-IP|-SOURCE-CIDR?)?"
    r"|NODE-PORT(?:-LOCAL)?-(?:TCP|UDP|SCTP-HASH?)|HEALTH-CHECK-NODE-PORT|IPVS-IPS)\Z"
)
# Of those, the ones that name what IPVS serves: addresses with ports, and the ports of NodePorts.
_SERVED = re.compile(
    r"KUBE-(?:6-)?(?:CLUSTER-IP|EXTERNAL-IP(?:-LOCAL)?|LOAD-BALANCER(?:-LOCAL)?|NODE-PORT-(?:TCP|UDP|SCTP-HASH?))\Z"
)
_MEMBER = re.compile(r"add KUBE-(6-)?(?:NODE-PORT-(TCP|UDP) (\d+)|\S+ ([^,\s]+),(tcp|udp|sctp):(\d+))\Z")
_MOST_NAMED = 5


@dataclass(frozen=True)
class Unread:
    """That the kernel may have things of a kind which could not be read, and why.

    program: the one that is missing for it; empty where it is there and fails, or no package is known.
    """

    kind: str
    why: str
    program: str = ""

    def __str__(self) -> str:
        return "%s (install %s)" % (self.why, PACKAGES.get(self.program, self.program)) if self.program else self.why


@dataclass(frozen=True)
class Leftovers:
    """What of kube-proxy, in any mode, is on a node.

    chains: "nat KUBE-SERVICES"; sets: names of ipsets; tables: families of nftables that have kube-proxy's table;
    interface: whether kube-ipvs0 is there; servers: the virtual servers of IPVS that are Services', by their addresses
    (see servers_of) or by kube-proxy's ipsets (see named_of).
    unread: where there may be more of it.
    """

    chains: Tuple[str, ...] = ()
    sets: Tuple[str, ...] = ()
    tables: Tuple[str, ...] = ()
    interface: bool = False
    servers: Tuple[str, ...] = ()
    unread: Tuple[Unread, ...] = ()


@dataclass(frozen=True)
class Residue:
    """A kind of thing that is left: kind, one of the above; mode: which one left it, as far as that can be told."""

    kind: str
    mode: str
    names: Tuple[str, ...]

    def __str__(self) -> str:
        more = len(self.names) - _MOST_NAMED
        shown = ", ".join(self.names[:_MOST_NAMED]) + (" and %d more" % more if more > 0 else "")
        return "%s of the mode %s: %s" % (self.kind, self.mode, shown)


def chains_in(saved: Iterable[str]) -> Tuple[str, ...]:
    """kube-proxy's chains in the outputs of iptables-save, of both families and of all variants that are installed."""
    known = _MADE[IPTABLES] | _MADE[IPVS]
    found: Set[Tuple[str, str]] = set()
    for text in saved:
        table = ""
        for line in text.splitlines():
            if line.startswith("*"):
                table = line[1:].strip()
            elif line.startswith(":KUBE-"):
                name = line[1:].split(" ", 1)[0]
                if (table, name) in known or _OF_SERVICES.match(name):
                    found.add((table, name))
    return tuple("%s %s" % each for each in sorted(found))


def sets_in(text: str) -> Tuple[str, ...]:
    """kube-proxy's ipsets in the output of SET_NAMES."""
    return tuple(sorted(name for name in text.split() if _SET.match(name)))


def tables_in(text: str) -> Tuple[str, ...]:
    """The families with kube-proxy's table in the output of NFT_TABLES."""
    printed = printed_json(text, " ".join(NFT_TABLES))
    objects = printed.get("nftables") or () if isinstance(printed, dict) else ()
    tables = [each["table"] for each in objects if "table" in each]
    return tuple(sorted(str(table.get("family")) for table in tables if table.get("name") == NFT_TABLE))


def names_servers(name: str) -> bool:
    """Whether the ipset of this name tells what kube-proxy serves by IPVS."""
    return bool(_SERVED.match(name))


def named_in(saved: str) -> FrozenSet[Tuple[str, str, int]]:
    """What such sets name, from the output of ``ipset save``: keys of ProxyEntry, of NodePorts with one of ANY."""
    found: Set[Tuple[str, str, int]] = set()
    for match in map(_MEMBER.match, saved.splitlines()):
        if match:
            six, node_port, port, address, protocol, at = match.groups()
            own = ((node_port or "").lower(), ANY[6 if six else 4], int(port or 0))
            found.add(own if node_port else (protocol, short(address), int(at)))
    return frozenset(found)


def named_of(entries: Sequence[ProxyEntry], keys: FrozenSet[Tuple[str, str, int]]) -> Tuple[ProxyEntry, ...]:
    """The virtual servers that these keys of named_in name.

    Of NodePorts sets have the port alone, and keepalived may balance that port of a VIP over the nodes. So one has to
    share an endpoint with what sets name by its address: a Service with a NodePort has a ClusterIP too.
    """
    by_address = tuple(entry for entry in entries if entry.key in keys)
    ends = {end for entry in by_address for end in (*entry.endpoints, *entry.draining)}
    by_port = (entry for entry in entries if (entry.protocol, any_like(entry.address), entry.port) in keys)
    return (*by_address, *(entry for entry in by_port if not ends.isdisjoint((*entry.endpoints, *entry.draining))))


def servers_of(entries: Iterable[ProxyEntry], addresses: Sequence[str]) -> Tuple[str, ...]:
    """The virtual servers with one of these addresses, those of Services."""
    known = {*addresses}
    return tuple(sorted(str(entry) for entry in entries if entry.address in known))


def residues(found: Leftovers, mode: str) -> Tuple[Residue, ...]:
    """What is there, and none of this mode's, by kind."""
    left: List[Residue] = []
    for other in (IPTABLES, IPVS):
        names = tuple(chain for chain in found.chains if _left_by(chain, other, mode))
        if names:
            left.append(Residue(CHAINS, other, names))
    if mode != IPVS:
        if found.sets:
            left.append(Residue(SETS, IPVS, found.sets))
        if found.interface:
            left.append(Residue(INTERFACE, IPVS, (IPVS_INTERFACE,)))
        if found.servers:
            left.append(Residue(SERVERS, IPVS, found.servers))
    if mode != NFTABLES and found.tables:
        left.append(Residue(TABLE, NFTABLES, tuple("%s %s" % (family, NFT_TABLE) for family in found.tables)))
    return tuple(left)


def unread_of(found: Leftovers, former: str, mode: str) -> Tuple[Unread, ...]:
    """What could not be read of that which the former mode makes. None where it is this one, or is not known."""
    kinds = _KINDS.get(former, ()) if former != mode else ()
    return tuple(each for each in found.unread if each.kind in kinds)


def without_services(found: Leftovers) -> Leftovers:
    """Without the chains of Services and endpoints: where the mode iptables runs they are its own, and 100,000."""
    chains = tuple(chain for chain in found.chains if not _OF_SERVICES.match(chain.partition(" ")[2]))
    return replace(found, chains=chains)


def _left_by(chain: str, other: str, mode: str) -> bool:
    """Whether a chain is what the other mode makes and this one does not; what both others make counts as iptables'."""
    table, name = chain.split(" ", 1)
    if _OF_SERVICES.match(name):
        return other == IPTABLES and mode != IPTABLES
    if (table, name) in _MADE[mode] or (table, name) not in _MADE[other]:
        return False
    return other == IPTABLES or (table, name) not in _MADE[IPTABLES]
