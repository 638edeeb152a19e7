# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node's kernel does with Services against what it should do: every difference, named. Pure.

Runs on the controller alone. What differs for a moment only, since the API is a moment ahead of the kernel, is not told
from what stays: whoever verifies looks again before it counts.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Sequence
from typing import Dict, List, Optional, Set, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_table import (
    UNTOLD,
    ProxyEntry,
    any_like,
    in_networks,
    networks_of,
    short,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_expected import ExpectedEntry

# A Service that is not served; an endpoint of it that is not; one that should not be: the API does not have it, or it
# is not ready, or this node is to use others; another affinity; a Service that the API does not have; an address that
# is not on kube-ipvs0, or is there for nothing.
SERVICE_MISSING, ENDPOINT_MISSING = "service-missing", "endpoint-missing"
ENDPOINT_UNKNOWN, ENDPOINT_NOT_READY = "endpoint-unknown", "endpoint-not-ready"
AFFINITY_WRONG, SCHEDULER_WRONG, SERVICE_UNKNOWN = "affinity-wrong", "scheduler-wrong", "service-unknown"
ADDRESS_MISSING, ADDRESS_UNKNOWN = "address-missing", "address-unknown"
_NO_ENTRY: Tuple[Optional[ProxyEntry], ...] = (None,)


@dataclass(frozen=True)
class Difference:
    """One thing that differs. where: the entry, such as tcp 10.96.0.10:80; service: its name, where the API has it."""

    kind: str
    where: str
    text: str
    service: str = ""

    def __str__(self) -> str:
        return "%s%s: %s" % (self.where, " (%s)" % self.service if self.service else "", self.text)


def compare(
    wanted: Sequence[ExpectedEntry],
    table: Iterable[ProxyEntry],
    excluded: Sequence[str] = (),
    scheduler: str = "",
    own: Collection[str] = (),
) -> Tuple[Difference, ...]:
    """Every difference, in the order of the wanted entries, then what is too much.

    excluded: networks whose entries are left to somebody else (ipvs.excludeCIDRs). scheduler: that of ipvs, where it
    is known which it should be. own: the node's addresses. The table has NodePorts of ipvs in the shape of the other
    modes (see with_node_ports), more than one where they differ by address.
    """
    by_key: Dict[Tuple[str, str, int], List[ProxyEntry]] = {}
    for entry in table:
        by_key.setdefault(entry.key, []).append(entry)
    known: Set[Tuple[str, str, int]] = set()
    found: List[Difference] = []
    for want in wanted:
        key = want.key if want.key in by_key else _elsewhere(want, by_key, own)
        known.add(key)
        for have in by_key.get(key) or _NO_ENTRY:
            found.extend(_differences(want, have, scheduler))
    networks = networks_of(excluded)
    for entry in (each for entries in by_key.values() for each in entries):
        if entry.key in known:
            continue
        if not entry.node_port and in_networks(entry.address, networks):
            continue
        text = "is refused" if entry.refused else "is served by %s" % (", ".join(entry.endpoints) or "nothing")
        found.append(Difference(SERVICE_UNKNOWN, str(entry), "%s, but the API has no such Service" % text))
    # Of several addresses, what is wrong with all is said once.
    return tuple(dict.fromkeys(found))


def _elsewhere(
    want: ExpectedEntry, by_key: Container[Tuple[str, str, int]], own: Collection[str]
) -> Tuple[str, str, int]:
    """The key by which the table has an entry that it does not have by its own; its own where there is none."""
    node_port = any_like(want.address)
    # A network that is left to others may have all addresses of the node in it.
    addresses = sorted(each for each in own if any_like(each) == node_port) if want.address == node_port else []
    keys = ((want.protocol, address, want.port) for address in addresses)
    return next((key for key in keys if key in by_key), want.key)


def _differences(want: ExpectedEntry, have: Optional[ProxyEntry], scheduler: str) -> Iterator[Difference]:
    where = str(ProxyEntry(want.protocol, want.address, want.port))
    if have is None or (want.endpoints and not have.endpoints):
        if want.endpoints:
            state = "is refused" if have is not None and have.refused else "is not served"
            text = "%s, but has endpoints: %s" % (state, ", ".join(want.endpoints))
            yield Difference(SERVICE_MISSING, where, text, want.name)
        return
    for end in want.endpoints:
        if end not in have.endpoints:
            text = "%s gets no new connections" if end in have.draining else "%s is missing"
            yield Difference(ENDPOINT_MISSING, where, text % end, want.name)
    for end in have.endpoints:
        if end in want.endpoints:
            continue
        if end in want.known:
            text = "%s is not ready, or not for this node" % end
            yield Difference(ENDPOINT_NOT_READY, where, text, want.name)
        else:
            yield Difference(ENDPOINT_UNKNOWN, where, "%s is none of its endpoints" % end, want.name)
    if have.endpoints and have.affinity != want.affinity and not (have.affinity == UNTOLD and want.affinity):
        known = "clients stay for %d s with an endpoint, not %d" % (have.affinity, want.affinity)
        text = "clients stay with an endpoint, and should not" if have.affinity == UNTOLD else known
        yield Difference(AFFINITY_WRONG, where, text, want.name)
    if scheduler and have.scheduler != scheduler:
        yield Difference(
            SCHEDULER_WRONG, where, "has the scheduler %s, not %s" % (have.scheduler, scheduler), want.name
        )


def compare_addresses(
    wanted: Iterable[ExpectedEntry], bound: Iterable[str], own: Collection[str] = ()
) -> Tuple[Difference, ...]:
    """For ipvs: the addresses of Services against those on kube-ipvs0, without which no connection is taken in.

    own: the node's addresses on other interfaces. Those take connections in without it, and kube-proxy does not bind
    them (nodeAddressSet in its pkg/proxy/ipvs).
    """
    names: Dict[str, str] = {}
    for want in wanted:
        if not ProxyEntry(want.protocol, want.address, want.port).node_port:
            names.setdefault(want.address, want.name)
    have = {short(address) for address in bound}
    missing = [
        Difference(ADDRESS_MISSING, address, "is not on kube-ipvs0", name)
        for address, name in names.items()
        if address not in have and address not in own
    ]
    unknown = [
        Difference(ADDRESS_UNKNOWN, address, "is on kube-ipvs0, but no Service has it")
        for address in sorted(have - set(names))
    ]
    return (*missing, *unknown)
