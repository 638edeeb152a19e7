# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From counters to indicators: what was counted between two samples, as shares with their confidence and verdict. Pure.

Runs on the host, so that a look is complete by itself, and just as well on the controller, over looks that it has kept.

The bounds are those of a count by Poisson's distribution (Byar's approximation, within 1 % from three on, and on the
safe side below; exact for none, which is the rule of three). It serves counts that can be larger than their
denominator, such as SYNs sent again, and of a share near 0 it is the binomial one; far from 0 it is wider.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._counters import COUNTED_BY, Counts, counts_of
from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import (
    BOOT,
    MET,
    NOT_ENOUGH,
    NOT_MET,
    Counted,
    Indicator,
    Rtt,
    Sample,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._socket_tally import Z, mean_bounds

# Of none seen, with 95 % confidence no more than so many are to be expected: -ln(0.05).
_NONE_SEEN = 2.9957
# The counters beside those of Counts that a sample keeps, by the names of nstat.
FAST_OPEN = {
    "client": "TcpExtTCPFastOpenActive",
    "client_failed": "TcpExtTCPFastOpenActiveFail",
    "server": "TcpExtTCPFastOpenPassive",
    "server_failed": "TcpExtTCPFastOpenPassiveFail",
    "server_queue_full": "TcpExtTCPFastOpenListenOverflow",
    "cookies_requested": "TcpExtTCPFastOpenCookieReqd",
    "blackholes": "TcpExtTCPFastOpenBlackhole",
}
_ALSO = (
    "TcpEstabResets",
    "TcpOutSegs",
    "TcpExtListenOverflows",
    "TcpExtTCPReqQFullDrop",
    "TcpExtTCPReqQFullDoCookies",
    "TcpExtTCPTimeWaitOverflow",
    "TcpExtSyncookiesRecv",
    "TcpExtTCPDSACKRecv",
    "TcpExtTCPTimeouts",
    "TcpExtTCPLossProbes",
)
KEPT = frozenset([*COUNTED_BY.values(), *FAST_OPEN.values(), *_ALSO])


@dataclass(frozen=True)
class Measure:
    """A share of what is counted.

    text: its numerator and denominator in words. bad, of: what there is of it that failed, and of what; success: what
    is told is the share of the others, which has to be above the target, and else that of the failed, below it. needs:
    fields of Counts, without which it says nothing. spread: how many come together, by which a sample tells so much
    less. part: whether what failed is a part of the whole, of which there cannot be more than 100 %.
    """

    text: str
    bad: Callable[[Counts], int]
    of: Callable[[Counts], int]
    needs: Tuple[str, ...]
    success: bool
    spread: float
    part: bool = True


# A loss takes several segments of a window with it; a SYN that gets no answer is sent, and dropped, several times.
MEASURES: Dict[str, Measure] = {
    "client_success": Measure(
        "%d of %d connections opened from here were established",
        # One that was begun before the interval may have failed in it.
        lambda c: min(c.opened, c.not_established),
        lambda c: c.opened,
        ("opened", "failed"),
        True,
        1.0,
    ),
    "server_success": Measure(
        "%d of %d connections to here were accepted",
        lambda c: c.dropped,
        lambda c: c.accepted + c.dropped,
        ("accepted", "dropped"),
        True,
        4.0,
    ),
    "retransmission": Measure(
        "%d of %d data segments were retransmissions",
        lambda c: c.resent,
        lambda c: c.segments + c.resent,
        ("segments", "retransmitted", "syn_retransmitted"),
        False,
        10.0,
    ),
    "syn_retransmission": Measure(
        "%d SYNs were sent again, for %d connections opened and accepted",
        lambda c: c.syn_retransmitted,
        lambda c: c.opened + c.accepted,
        ("syn_retransmitted", "opened", "accepted"),
        False,
        4.0,
        part=False,
    ),
}


def counted_between(first: Optional[Sample], last: Sample, since: str) -> Tuple[Counted, List[str]]:
    """What was counted between two samples, and what there is to say of it. first: None for all since the boot."""
    if first is None:
        return Counted(BOOT, last.uptime, dict(last.counters)), []
    if (first.boot, first.netns) != (last.boot, last.netns):
        what = "boot" if first.boot != last.boot else "network namespace"
        said = "counters: another %s than at the sample; counted since that began" % what
        return Counted(BOOT, last.uptime, dict(last.counters)), [said]
    counts = {name: last.counters[name] - first.counters[name] for name in last.counters if name in first.counters}
    backward = sorted(name for name, count in counts.items() if count < 0)
    elapsed = last.uptime - first.uptime
    if backward or not 0 <= elapsed < math.inf:
        said = "counters: %s went backward since the sample (wrapped, or it is another host's)" % (
            ", ".join(backward[:3]) or "uptime"
        )
        return Counted("", 0.0, {}), [said]
    return Counted(since, round(elapsed, 3), counts), []


def indicators(counted: Counted, targets: Mapping[str, float]) -> Tuple[Dict[str, Indicator], List[str]]:
    """Each measure with its verdict, and what there is to say of those that the kernel does not count."""
    counts = Counts(**counts_of(counted.counters))
    found: Dict[str, Indicator] = {}
    said: List[str] = []
    for name, measure in MEASURES.items():
        lacking = [COUNTED_BY[field] for field in measure.needs if COUNTED_BY[field] not in counted.counters]
        if lacking and counted.counters:
            said.append("%s: %s is not counted here" % (name, ", ".join(lacking)))
        if not lacking:
            found[name] = _indicator(measure, counts, targets.get(name))
    return found, said


def _indicator(measure: Measure, counts: Counts, target: Optional[float]) -> Indicator:
    bad, of = measure.bad(counts), measure.of(counts)
    allowed = None if target is None else 100.0 - target if measure.success else target
    needed = math.ceil(_NONE_SEEN * measure.spread * 100.0 / allowed) if allowed else 0
    if not of:
        verdict = "" if target is None else NOT_ENOUGH
        return Indicator(0 if measure.success else bad, 0, None, None, None, target, needed, verdict)
    low, high = (100.0 * bound * measure.spread / of for bound in bounds(bad / measure.spread))
    percent = 100.0 * bad / of
    high = min(high, 100.0) if measure.part else high
    verdict = judged(low, high, allowed)
    if measure.success:
        low, high, percent, bad = max(0.0, 100.0 - high), 100.0 - low, 100.0 - percent, of - bad
    return Indicator(bad, of, _rounded(percent), _rounded(low), _rounded(high), target, needed, verdict)


def bounds(count: float) -> Tuple[float, float]:
    """Between which the number to be expected is where so many were seen, each with 95 % confidence."""
    more = count + 1.0
    high = more * (1 - 1 / (9 * more) + Z / (3 * math.sqrt(more))) ** 3 if count else _NONE_SEEN
    low = count * max(0.0, 1 - 1 / (9 * count) - Z / (3 * math.sqrt(count))) ** 3 if count else 0.0
    return low, high


def judged(low: Optional[float], high: Optional[float], allowed: Optional[float]) -> str:
    """The verdict on what is between two bounds and shall be below what is allowed."""
    if allowed is None:
        return ""
    if low is None or high is None:
        return NOT_ENOUGH
    return MET if high < allowed else NOT_MET if low >= allowed else NOT_ENOUGH


def pooled_rtt(rtts: Sequence[Rtt]) -> Rtt:
    """The RTT over several hosts: of all their connections as one sample. Percentiles of it are not to be had."""
    known = [(rtt.connections, rtt.mean, rtt.deviation or 0.0) for rtt in rtts if rtt.mean is not None]
    size = sum(number for number, _mean, _deviation in known)
    if not size:
        return Rtt()
    mean = sum(number * one for number, one, _deviation in known) / size
    squares = sum((number - 1) * own**2 + number * (one - mean) ** 2 for number, one, own in known)
    deviation = math.sqrt(squares / (size - 1)) if size > 1 else None
    low, high = mean_bounds(size, mean, deviation)
    return Rtt(size, round(mean, 3), low=low, high=high, deviation=deviation)


def judged_rtt(rtt: Rtt, target: Optional[float]) -> Rtt:
    """An RTT with its target in milliseconds, and the verdict on its mean."""
    return replace(rtt, target=target, verdict=judged(rtt.low, rtt.high, target))


def fast_open(counted: Counted) -> Dict[str, int]:
    """What TCP fast open came to, by FAST_OPEN; without what the kernel does not count."""
    return {name: counted.counters[key] for name, key in FAST_OPEN.items() if key in counted.counters}


def _rounded(percent: float) -> float:
    return round(percent, 4)
