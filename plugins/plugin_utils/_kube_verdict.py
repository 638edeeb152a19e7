# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a node's kube-proxy does what it should, from the outside: by what it answers and what its kernel has. Pure.

Runs on the controller alone. A run verifies by it, and drift compares by it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Dict, List, Mapping, Set, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_choice import DEFAULT_SCHEDULER
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_model import NodeSeen, ServiceToTry, ServiceTried
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_modes import IPVS
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_residues import residues, unread_of
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_settings import NODE_PORTS, SCHEDULER, nanoseconds
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_table import ANY, with_node_ports
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_compare import (
    SERVICE_MISSING,
    Difference,
    compare,
    compare_addresses,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_expected import ExpectedEntry
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_node_ports import (
    wanted_in_ipvs,
    without_node_ports_on,
)

# Another mode than the wanted one runs, or none that answers; it is not healthy; Services are not as the API has them;
# the kernel has another value than one of its settings; another mode has left something, or may have, and nobody can
# see it.
MODE, HEALTH, SERVICE, SETTING, RESIDUE = "mode", "health", "service", "setting", "residue"
# By setting, what the kernel calls it (see NodeSeen.timeouts).
TIMEOUTS = {"ipvs.tcpTimeout": "tcp", "ipvs.tcpFinTimeout": "tcp_fin", "ipvs.udpTimeout": "udp"}
# Schedulers with which not every endpoint is met from one node: those that keep a client, or a destination, with one,
# and those that count connections. Short ones all go to the endpoint that has the fewest long ones.
_NOT_EACH = ("sh", "mh", "dh", "lblc", "lblcr", "lc", "wlc", "sed", "nq")
# Of more endpoints, to meet each takes more connections than a node has ports for, to one address and port.
_MOST_MET = 500
_NOT_COMPARED = (
    "connections through Services are not verified: none of those that were tried answered before the change, "
    "and could be tried again after it"
)


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong. key: what it concerns, such as tcp 10.96.0.10:80.

    difference: the kind of a difference that stays the same one although its text tells of other endpoints.
    """

    kind: str
    key: str
    text: str
    difference: str = ""

    def __str__(self) -> str:
        return "%s: %s" % (self.key, self.text) if self.key else self.text

    @property
    def same(self) -> Tuple[str, str, str]:
        """By what it is known again in another look."""
        return self.kind, self.key, self.difference or self.text

    @property
    def may_pass(self) -> bool:
        """Whether it may be there for a moment only: the API is ahead of the kernel, or the kernel of the API."""
        return self.kind == SERVICE and bool(self.key)


def scheduler_of(mode: str, settings: Mapping[str, object]) -> str:
    """The scheduler that a mode with these settings uses; empty where there is none."""
    return str(settings.get(SCHEDULER) or DEFAULT_SCHEDULER) if mode == IPVS else ""


def meets_each(scheduler: str) -> bool:
    """Whether connections from one node come to every endpoint. scheduler: as scheduler_of gives it."""
    return scheduler not in _NOT_EACH


def faults(
    seen: NodeSeen,
    mode: str,
    settings: Mapping[str, object],
    wanted: Sequence[ExpectedEntry],
    api: bool = True,
    former: str = "",
) -> Tuple[Fault, ...]:
    """All that is wrong on a node that should run a mode with checked settings. api: whether wanted is known.

    former: the mode that ran before a change; what that may have left is to be seen then.
    """
    found: List[Fault] = []
    if not seen.proxy_mode:
        found.append(Fault(MODE, "", "kube-proxy does not answer, it should run %s" % mode))
    elif seen.proxy_mode != mode:
        found.append(Fault(MODE, "", "kube-proxy runs %s, not %s" % (seen.proxy_mode, mode)))
    if seen.health:
        found.append(Fault(HEALTH, "", "kube-proxy is not healthy: %s" % seen.health))
    if api and seen.proxy_mode == mode and seen.entries_limit:
        found.append(Fault(SERVICE, "", "what the kernel does with Services cannot be read: %s" % seen.entries_limit))
    elif api and seen.proxy_mode == mode:
        found += _services(seen, mode, settings, wanted)
    if seen.proxy_mode == mode == IPVS:
        found += _timeouts(seen, settings)
    found += [Fault(RESIDUE, "", "left over: %s" % residue) for residue in residues(seen.leftovers, mode)]
    for each in unread_of(seen.leftovers, former, mode):
        found.append(Fault(RESIDUE, "", "what the mode %s has left cannot be told: %s" % (former, each)))
    return tuple(found)


def _timeouts(seen: NodeSeen, settings: Mapping[str, object]) -> Iterator[Fault]:
    """kube-proxy sets them once, at its start, and goes on where it cannot. Of a zero, the kernel keeps what it has."""
    for field, name in TIMEOUTS.items():
        want, have = nanoseconds(str(settings.get(field) or "0")) // 10**9, seen.timeouts.get(name)
        if want and have is not None and have != want:
            text = "the kernel forgets idle connections after %d s, not after %d s" % (have, want)
            yield Fault(SETTING, field, text)


def _services(
    seen: NodeSeen, mode: str, settings: Mapping[str, object], wanted: Sequence[ExpectedEntry]
) -> Iterator[Fault]:
    for each in _in_ipvs(seen, settings, wanted) if mode == IPVS else compare(wanted, seen.entries):
        key = "%s (%s)" % (each.where, each.service) if each.service else each.where
        yield Fault(SERVICE, key, each.text, each.kind if each.kind == SERVICE_MISSING else "")


def _in_ipvs(seen: NodeSeen, settings: Mapping[str, object], wanted: Sequence[ExpectedEntry]) -> Tuple[Difference, ...]:
    excluded, let_in = (_texts(settings.get(name)) for name in ("ipvs.excludeCIDRs", NODE_PORTS))
    own, table = {*seen.addresses}, seen.entries
    if let_in:
        table = without_node_ports_on(seen.bound, table, wanted, let_in)
        wanted = wanted_in_ipvs(wanted, let_in, own)
    table = with_node_ports(table, own, excluded, {entry.key for entry in wanted})
    differences = compare(wanted, table, excluded, scheduler_of(IPVS, settings), own)
    return (*differences, *compare_addresses(wanted, seen.bound, own))


def _texts(value: object) -> List[str]:
    """Those of a setting that is a list; none where it is not there."""
    return [str(each) for each in value] if isinstance(value, (list, tuple)) else []


def tells(found: Iterable[Fault]) -> bool:
    """Whether a look with these faults has told what the kernel does with Services, by a kube-proxy that was well."""
    return all(fault.may_pass or fault.kind in (SETTING, RESIDUE) for fault in found)


def lasting(now: Iterable[Fault], former: Iterable[Fault]) -> Tuple[Fault, ...]:
    """Those faults of a look that count, beside the look before it: what may pass only if it was there by then."""
    known = {fault.same for fault in former}
    return tuple(fault for fault in now if not fault.may_pass or fault.same in known)


def to_try(wanted: Iterable[ExpectedEntry], scheduler: str, most: int) -> Tuple[ServiceToTry, ...]:
    """The Services to which connections are made: those with TCP and endpoints, at most so many, from all of them."""
    services = list(_to_try(wanted, scheduler).values())
    if most <= 0:
        return ()
    step = max(1.0, len(services) / float(most))
    return tuple(services[int(index * step)] for index in range(min(most, len(services))))


def to_try_again(
    wanted: Iterable[ExpectedEntry], scheduler: str, before: Iterable[ServiceTried]
) -> Tuple[ServiceToTry, ...]:
    """Those that are tried after a change: by what was well before it, as far as it is still there.

    Chosen anew, others could come into it with each Service that comes or goes, of which nobody knows how they were.
    """
    services = _to_try(wanted, scheduler)
    return tuple(services[tried.name] for tried in before if _was_well(tried) and tried.name in services)


def _to_try(wanted: Iterable[ExpectedEntry], scheduler: str) -> Dict[str, ServiceToTry]:
    found: Dict[str, ServiceToTry] = {}
    for entry in wanted:
        # The first address of a port of a Service is its ClusterIP.
        if entry.protocol == "tcp" and entry.endpoints and entry.address not in ANY.values():
            each = not entry.affinity and meets_each(scheduler) and len(entry.endpoints) <= _MOST_MET
            found.setdefault(entry.name, ServiceToTry(entry.name, entry.address, entry.port, entry.endpoints, each))
    return found


def _was_well(tried: ServiceTried) -> bool:
    """Whether it is known that it answered: one that the time did not suffice for has no problems either."""
    return bool(tried.connections) and not tried.problems


def lost(before: Iterable[ServiceTried], after: Iterable[ServiceTried]) -> Tuple[str, ...]:
    """What connections did before a change and do not since, in words.

    What was wrong before, such as a NetworkPolicy that does not let nodes in, is no fault of the change; and what was
    not tried before may have been.
    """
    well = {tried.name for tried in before if _was_well(tried)}
    return tuple(
        "%s at %s:%d: %s" % (tried.name, tried.address, tried.port, problem)
        for tried in after
        if tried.name in well
        for problem in tried.problems
    )


def not_compared(before: Collection[ServiceTried], after: Iterable[ServiceTried]) -> Tuple[str, ...]:
    """That connections were to be compared, and none was, in words; empty where one was, or none was to be."""
    well = {tried.name for tried in before if _was_well(tried)}
    if not before or any(tried.connections and tried.name in well for tried in after):
        return ()
    return (_NOT_COMPARED,)


def other_endpoints(wanted: Iterable[ExpectedEntry], now: Iterable[ExpectedEntry]) -> Set[str]:
    """The names of Services that should have other endpoints by now."""
    first, second = ({(entry.name, entry.key, entry.endpoints) for entry in each} for each in (wanted, now))
    return {name for name, _key, _endpoints in first ^ second}


def named(found: Sequence[Fault], most: int) -> Tuple[str, ...]:
    """The faults in words, no more than so many of a kind."""
    told: List[str] = []
    counted: Dict[str, int] = {}
    more: Set[str] = set()
    for fault in found:
        counted[fault.kind] = counted.get(fault.kind, 0) + 1
        if counted[fault.kind] <= most:
            told.append(str(fault))
        else:
            more.add(fault.kind)
    return (*told, *("and %d more of this kind (%s)" % (counted[kind] - most, kind) for kind in sorted(more)))
