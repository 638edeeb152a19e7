# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An active probe: connections to chosen destinations, counted and judged as those that the kernel counts. Pure.

A connection that an application gives up before TCP does is in no counter of the kernel (see docs/health.md). Here each
is counted by who made it, and goes through the same indicators.
"""

from __future__ import annotations

import math
import socket
from array import array
from dataclasses import replace
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Sequence, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._counters import COUNTED_BY
from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, Problem
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import Counted, Rtt
from ansible_collections.netfleet.tcp.plugins.module_utils._health_targets import TARGETS, milliseconds
from ansible_collections.netfleet.tcp.plugins.module_utils._indicators import indicators, judged_rtt
from ansible_collections.netfleet.tcp.plugins.module_utils._path_mtu import MOST_ADDRESSES, Echo, path_mtus
from ansible_collections.netfleet.tcp.plugins.module_utils._peer_classes import PeerClasses
from ansible_collections.netfleet.tcp.plugins.module_utils._probe_model import (
    UNKNOWN_NAME,
    Attempt,
    Destination,
    Probed,
    Reached,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._socket_tally import rtt_of
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System

# What is judged of a probe: the others are of traffic that it has none of.
PROBED = ("client_success", "syn_retransmission")
MOST_DESTINATIONS, MOST_ATTEMPTS, LONGEST = 64, 200, 30.0
# Seconds between two connections to one destination. A server that lets so many in at a time only (MaxStartups of ssh)
# sees one of ours at a time.
PAUSE = 0.1
# A host with many destinations is no more of a burst to its own network than one with a few.
AT_ONCE = 16

# attempts, timeout, pause, at once: see _connects.connect_all
Connect = Callable[[Sequence[Tuple[str, int]], int, float, float, int], List[List[Attempt]]]


@dataclass(frozen=True)
class Network:
    """What a probe does on the network. mtus: bytes that the kernel believes to get through, by address."""

    connect: Connect
    echo: Echo
    mtus: Callable[[Sequence[str]], Dict[str, int]]


@dataclass(frozen=True)
class Asked:
    """What a probe is asked for. timeout: seconds of one attempt; targets: percent; rtt_targets: ms, by class."""

    destinations: Tuple[Destination, ...]
    attempts: int
    timeout: float
    mtu: bool
    peers: Dict[str, Any]
    targets: Dict[str, float]
    rtt_targets: Dict[str, float]


def asked_from(given: Mapping[str, Any]) -> Asked:
    """What the options of the module tcp_probe ask for; InputError with every problem."""
    problems = list(_problems(given))
    try:
        PeerClasses(given["peers"])
    except InputError as error:
        problems += error.problems
    if problems:
        raise InputError(problems)
    wanted = (Destination(each["name"] or each["address"], each["address"], each["port"]) for each in given["to"])
    return Asked(
        tuple(dict.fromkeys(wanted)),
        given["attempts"],
        given["timeout"],
        given["mtu"],
        dict(given["peers"]),
        targets_to_meet(given),
        {str(name): float(target) for name, target in given["rtt_targets"].items() if float(target)},
    )


def targets_to_meet(given: Mapping[str, Any]) -> Dict[str, float]:
    """Percent, by measure, for these options of the module; one of 0 is none."""
    return {name: target for name, target in _targets(given).items() if target}


def _targets(given: Mapping[str, Any]) -> Dict[str, float]:
    return {**{name: TARGETS[name] for name in PROBED}, **given["targets"]}


def _problems(given: Mapping[str, Any]) -> Iterator[Problem]:
    if len(given["to"]) > MOST_DESTINATIONS:
        text = "%d are too many" % len(given["to"])
        yield Problem("to", text, "at most %d destinations from one host" % MOST_DESTINATIONS)
    for index, each in enumerate(given["to"]):
        if not 1 <= each["port"] <= 65535:
            yield Problem("to[%d].port" % index, "%d is no port" % each["port"], "1 to 65535")
        if not each["address"].strip():
            yield Problem("to[%d].address" % index, "is empty", "an address, or a name that the host resolves")
    if not 1 <= given["attempts"] <= MOST_ATTEMPTS:
        yield Problem("attempts", "%d is no such number" % given["attempts"], "1 to %d" % MOST_ATTEMPTS)
    if not 0.1 <= given["timeout"] <= LONGEST:
        yield Problem("timeout", "%r is no such time" % given["timeout"], "0.1 to %g seconds" % LONGEST)
    yield from _target_problems(given)


def _target_problems(given: Mapping[str, Any]) -> Iterator[Problem]:
    for name, target in _targets(given).items():
        if not 0 <= target < 100:
            cure = "a percentage between 0 and 100, or 0 for none"
            yield Problem("targets.%s" % name, "%r is no target" % target, cure)
    for name, target in given["rtt_targets"].items():
        if milliseconds(target) == math.inf:
            yield Problem("rtt_targets.%s" % name, "%r is no time" % (target,), "milliseconds, or 0 for none")


def probe(system: System, network: Network, asked: Asked) -> Probed:
    """Connect to all destinations, and judge what became of it."""
    resolved = {each.address: _address(system, each.address) for each in asked.destinations}
    known = [each for each in asked.destinations if resolved[each.address]]
    places = [(resolved[each.address], each.port) for each in known]
    found = network.connect(places, asked.attempts, asked.timeout, PAUSE, AT_ONCE)
    attempts: Dict[Destination, List[Attempt]] = dict(zip(known, found))
    limits: List[str] = []
    mtus = _mtus(system, network, asked, [address for address, _port in places], attempts, limits)
    classes = PeerClasses(asked.peers)
    reached = tuple(
        _reached(each, resolved[each.address], attempts.get(each, []), asked, classes, mtus)
        for each in asked.destinations
    )
    counters = counters_of(reached)
    return Probed(
        destinations=reached,
        counters=counters,
        indicators=indicators(Counted("", 0.0, counters), asked.targets)[0],
        rtts=dict(_rtts(asked, reached, attempts)),
        limits=tuple(limits),
        kernel=system.facts()["kernel"],
    )


def _address(system: System, name: str) -> str:
    """The first address of a name, as the host itself prefers; an address is its own."""
    return next(iter(system.resolve(name)), "")


def _reached(
    each: Destination,
    address: str,
    attempts: Sequence[Attempt],
    asked: Asked,
    classes: PeerClasses,
    mtus: Mapping[str, Tuple[int, int]],
) -> Reached:
    # A name without an address fails as often as it would be called.
    attempts = attempts or [Attempt(UNKNOWN_NAME)] * asked.attempts
    well = [attempt for attempt in attempts if not attempt.error]
    failures: Dict[str, int] = {}
    for attempt in attempts:
        if attempt.error:
            failures[attempt.error] = failures.get(attempt.error, 0) + 1
    times = sorted(attempt.seconds for attempt in well)
    route, path = mtus.get(address, (0, 0))
    found = Reached(
        name=each.name,
        address=address,
        port=each.port,
        attempts=len(attempts),
        established=len(well),
        failures=failures,
        syn_retransmitted=sum(attempt.again for attempt in attempts),
        without_window_scale=sum(not attempt.window_scale for attempt in well),
        connect_p50=round(1000 * times[(len(times) - 1) // 2], 3) if times else 0.0,
        connect_most=round(1000 * times[-1], 3) if times else 0.0,
        peer_class=_class(classes, address) if address else "",
        rtt=rtt_of(_known(attempts), array("I")),
        route_mtu=route,
        path_mtu=path,
    )
    return replace(found, indicators=indicators(Counted("", 0.0, counters_of([found])), asked.targets)[0])


def _known(attempts: Sequence[Attempt]) -> "array[int]":
    return array("I", (attempt.rtt for attempt in attempts if attempt.rtt))


def _class(classes: PeerClasses, address: str) -> str:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return classes.of(family, socket.inet_pton(family, address.partition("%")[0]).ljust(16, b"\0"))


def counters_of(reached: Iterable[Reached]) -> Dict[str, int]:
    """By the names of nstat, what the kernel would count of these connections alone, had it counted all of them."""
    reached = tuple(reached)
    counts = {
        "opened": sum(each.attempts for each in reached),
        "failed": sum(each.attempts - each.established for each in reached),
        "syn_retransmitted": sum(each.syn_retransmitted for each in reached),
        "accepted": 0,
    }
    return {COUNTED_BY[name]: count for name, count in counts.items()}


def _rtts(
    asked: Asked, reached: Sequence[Reached], attempts: Mapping[Destination, Sequence[Attempt]]
) -> Iterator[Tuple[str, Rtt]]:
    """By class of peers, the RTT of all connections to them."""
    found: Dict[str, "array[int]"] = {}
    for each, destination in zip(reached, asked.destinations):
        if each.peer_class:
            found.setdefault(each.peer_class, array("I")).extend(_known(attempts.get(destination, [])))
    for name, rtts in found.items():
        yield name, judged_rtt(rtt_of(rtts, array("I")), asked.rtt_targets.get(name))


def _mtus(
    system: System,
    network: Network,
    asked: Asked,
    addresses: Sequence[str],
    attempts: Mapping[Destination, Sequence[Attempt]],
    limits: List[str],
) -> Dict[str, Tuple[int, int]]:
    """By address, the MTU of its route and that of the path; of those alone that take connections."""
    if not asked.mtu:
        return {}
    if not system.facts()["root"]:
        limits.append("mtu: only root may send the echoes that find the MTU of a path (become)")
        return {}
    taken = [any(not attempt.error for attempt in attempts[each]) for each in attempts]
    wanted = list(dict.fromkeys(address for address, well in zip(addresses, taken) if well))
    before = network.mtus(wanted)
    found: Dict[str, int] = {}
    for highest in sorted(set(before.values())):
        those = [address for address in wanted if before[address] == highest]
        for start in range(0, len(those), MOST_ADDRESSES):
            found.update(path_mtus(network.echo, those[start : start + MOST_ADDRESSES], highest))
    # Asked after the echoes: where a router has answered that they are too large, the kernel knows it by now.
    after = network.mtus(wanted)
    return {address: (after[address], found.get(address, 0)) for address in wanted}
