# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hosts did between two readings of their counters: the measures that a health gate goes by. Pure.

Runs on the controller alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._counters import Counters


@dataclass(frozen=True)
class Interval:
    """The counts of one or more hosts over some time. opening, accepting: connections a second, of all together."""

    segments: int = 0
    retransmitted: int = 0
    syn_retransmitted: int = 0
    opened: int = 0
    accepted: int = 0
    failed: int = 0
    dropped: int = 0
    opening: float = 0.0
    accepting: float = 0.0

    @property
    def connections(self) -> int:
        """Opened and accepted."""
        return self.opened + self.accepted


_COUNTS = ("segments", "retransmitted", "syn_retransmitted", "opened", "accepted", "failed", "dropped")


def between(first: Optional[Counters], last: Optional[Counters]) -> Optional[Interval]:
    """The interval between two readings of a host; None where one is missing, or the host was booted in between."""
    if first is None or last is None or last.uptime <= first.uptime:
        return None
    counts = {name: getattr(last, name) - getattr(first, name) for name in _COUNTS}
    if min(counts.values()) < 0:
        return None
    seconds = last.uptime - first.uptime
    return Interval(opening=counts["opened"] / seconds, accepting=counts["accepted"] / seconds, **counts)


def together(intervals: Iterable[Optional[Interval]]) -> Interval:
    """The sum over several hosts."""
    known = [interval for interval in intervals if interval is not None]
    counts = {name: sum(getattr(interval, name) for interval in known) for name in _COUNTS}
    opening, accepting = sum(entry.opening for entry in known), sum(entry.accepting for entry in known)
    return Interval(opening=opening, accepting=accepting, **counts)


@dataclass(frozen=True)
class Share:
    """A measure that is a share of the traffic. bad, of: from an interval. minimum: the limit of `of`, by its name."""

    title: str
    bad: Callable[[Interval], int]
    of: Callable[[Interval], int]
    minimum: str

    def percent(self, interval: Interval) -> float:
        """The share in percent; 0 where there was no traffic."""
        of = self.of(interval)
        return 100.0 * self.bad(interval) / of if of else 0.0


SHARES: Dict[str, Share] = {
    "retransmission": Share(
        "retransmitted segments", lambda i: i.retransmitted, lambda i: i.segments + i.retransmitted, "segments"
    ),
    "syn_retransmission": Share(
        "SYN retransmits", lambda i: i.syn_retransmitted, lambda i: i.connections + i.dropped, "connections"
    ),
    "listen_drops": Share("listen drops", lambda i: i.dropped, lambda i: i.accepted + i.dropped, "connections"),
    "failures": Share("failed to establish", lambda i: i.failed, lambda i: i.opened, "connections"),
}


def rtt_ratios(readings: Iterable[Tuple[Optional[Counters], Optional[Counters]]], minimum: int) -> List[float]:
    """RTT at the end by RTT at the beginning of each host that had enough connections at both."""
    return [
        last.rtt / first.rtt
        for first, last in readings
        if first and last and first.rtt and last.rtt and min(first.connections, last.connections) >= minimum
    ]


def median(numbers: Iterable[float]) -> Optional[float]:
    """The middle one; None of none."""
    ordered = sorted(numbers)
    return ordered[len(ordered) // 2] if ordered else None
