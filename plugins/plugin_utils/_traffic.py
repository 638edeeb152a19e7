# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hosts did between two readings of their counters: the measures that a health gate goes by. Pure.

Runs on the controller alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Dict, List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._counters import Counters, Counts
from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass


@dataclass(frozen=True)
class Interval(Counts):
    """The counts of one or more hosts over some time: seconds, of one host."""

    seconds: float = 0.0


_COUNTS = tuple(field.name for field in fields(Counts))


def between(first: Optional[Counters], last: Optional[Counters]) -> Optional[Interval]:
    """The interval between two readings of a host; None where one is missing, or the host was booted in between."""
    if first is None or last is None or last.uptime <= first.uptime:
        return None
    counts = {name: getattr(last, name) - getattr(first, name) for name in _COUNTS}
    if min(counts.values()) < 0:
        return None
    return Interval(seconds=last.uptime - first.uptime, **counts)


def together(intervals: Iterable[Optional[Interval]]) -> Interval:
    """The sum over several hosts; seconds is the mean, so that a count by it is the rate of all together."""
    known = [interval for interval in intervals if interval is not None]
    if not known:
        return Interval()
    counts = {name: sum(getattr(interval, name) for interval in known) for name in _COUNTS}
    return Interval(seconds=sum(interval.seconds for interval in known) / len(known), **counts)


@dataclass(frozen=True)
class Share:
    """A measure that is a share of the traffic: bad, of.

    minimum: the name of the limit of `of`. spread: how many of them come together, which makes chance so much larger.
    """

    title: str
    bad: Callable[[Interval], int]
    of: Callable[[Interval], int]
    minimum: str
    spread: float

    def percent(self, interval: Interval) -> float:
        """The share in percent; 0 where there was no traffic."""
        of = self.of(interval)
        return 100.0 * self.bad(interval) / of if of else 0.0


@dataclass(frozen=True)
class Rate:
    """A measure that is so many in a second. minimum: the name of the limit of the count."""

    title: str
    count: Callable[[Interval], int]
    minimum: str

    def per_second(self, interval: Interval) -> float:
        """So many in a second; 0 of no time."""
        return self.count(interval) / interval.seconds if interval.seconds else 0.0


# A loss takes several segments of a window with it; the others come one by one, or in twos when they are tried again.
SHARES: Dict[str, Share] = {
    "retransmission": Share(
        "retransmitted segments", lambda i: i.resent, lambda i: i.segments + i.resent, "segments", 10.0
    ),
    "syn_retransmission": Share(
        "SYN retransmits",
        lambda i: i.syn_retransmitted,
        # Each attempt may be tried again several times over, so that there are more of them than attempts.
        lambda i: i.opened + i.accepted + i.dropped + i.syn_retransmitted,
        "connections",
        4.0,
    ),
    "listen_drops": Share("listen drops", lambda i: i.dropped, lambda i: i.accepted + i.dropped, "connections", 4.0),
    "failures": Share(
        "failed to establish", lambda i: min(i.opened, i.not_established), lambda i: i.opened, "connections", 2.0
    ),
}
RATES: Dict[str, Rate] = {
    "opened": Rate("connections opened", lambda i: i.opened, "connections"),
    "accepted": Rate("connections accepted", lambda i: i.accepted, "connections"),
    "segments": Rate("data segments sent", lambda i: i.segments, "segments"),
}


def rtt_ratios(readings: Iterable[Tuple[Optional[Counters], Optional[Counters]]], minimum: float) -> List[float]:
    """RTT at the end by RTT at the beginning of each host that had enough connections at both."""
    return [
        last.rtt / first.rtt
        for first, last in readings
        if first and last and first.rtt and last.rtt and min(first.connections, last.connections) >= minimum
    ]


def median(numbers: Iterable[float]) -> Optional[float]:
    """The middle one, the lower of two; None of none."""
    ordered = sorted(numbers)
    return ordered[(len(ordered) - 1) // 2] if ordered else None
