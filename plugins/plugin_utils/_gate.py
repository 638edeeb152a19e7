# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges whether hosts are worse since they were changed: before against after, and against hosts not changed. Pure.

Each measure is judged by the difference of two differences: what rose on the changed hosts, less what rose in the same
minutes on the others, so that neither a bad hour is blamed on the change nor the change on the hour.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._counters import Counters
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, Problem
from ansible_collections.netfleet.tcp.plugins.plugin_utils._traffic import (
    RATES,
    SHARES,
    Interval,
    Rate,
    Share,
    between,
    median,
    rtt_ratios,
    together,
)

FINE, WORSE, TOO_LITTLE = "fine", "worse", "too_little"
# Percent, but for the RTT above which a rise counts (milliseconds). above: what is below it is never worse. rise:
# percentage points above what was expected; of the RTT, and fall of the rates: percent of it.
LIMITS: Dict[str, Dict[str, float]] = {
    "retransmission": {"above": 0.5, "rise": 0.5},
    "syn_retransmission": {"above": 2.0, "rise": 2.0},
    "listen_drops": {"above": 0.1, "rise": 0.1},
    "failures": {"above": 0.1, "rise": 1.0},
    "rtt": {"above": 1.0, "rise": 100.0},
    "opened": {"fall": 75.0},
    "accepted": {"fall": 75.0},
    "segments": {"fall": 99.0},
}
# Of the hosts together, before: data segments, connections opened and accepted; and, for the RTT, of one host before
# and after: connections that were not idle.
MINIMUM: Dict[str, float] = {"segments": 1000, "connections": 50, "rtt": 50}
# What is rarer may be chance: so many more than were expected, and so many standard deviations.
_FEWEST = 5
_DEVIATIONS = 3.5


@dataclass(frozen=True)
class Readings:
    """What was read of a host, at three times.

    Of a changed one: when it was looked at, just before the change, and now. Of another: when it was looked at, when
    the wave began, and now. limits: of a changed one.
    """

    name: str
    start: Optional[Counters]
    middle: Optional[Counters]
    end: Optional[Counters]
    limits: Optional[Mapping[str, Mapping[str, float]]] = None

    @property
    def before(self) -> Optional[Interval]:
        """Before the change."""
        return between(self.start, self.middle)

    @property
    def after(self) -> Optional[Interval]:
        """Since the change."""
        return between(self.middle, self.end)


@dataclass(frozen=True)
class Row:
    """What became of a measure, in words: before, after; the same of hosts not changed; allowed; FINE, WORSE, or ""."""

    title: str
    before: str
    after: str
    others: str
    allowed: str
    judged: str


@dataclass(frozen=True)
class Verdict:
    """outcome: FINE, WORSE or TOO_LITTLE (traffic to judge by). why: in words, where it is not FINE."""

    outcome: str
    rows: Tuple[Row, ...]
    why: str


def merged_limits(given: Mapping[str, Any]) -> Dict[str, Dict[str, float]]:
    """The limits with those given for some measures; InputError with every problem."""
    return _merged("tcp_tuning_gate_limits", LIMITS, given)


def merged_minimum(given: Mapping[str, Any]) -> Dict[str, float]:
    """The least traffic to judge by, with what was given of it; InputError with every problem."""
    return _merged("tcp_tuning_gate_minimum", {"": dict(MINIMUM)}, {"": given})[""]


def judge(changed: Iterable[Readings], others: Iterable[Readings], minimum: Mapping[str, float]) -> Verdict:
    """The verdict on changed hosts. Those with the same limits are judged together; one group that is worse decides."""
    control = list(others)
    groups: Dict[str, List[Readings]] = {}
    for host in changed:
        groups.setdefault(repr(host.limits), []).append(host)
    found = [_judge(hosts, control, minimum) for hosts in groups.values()]
    for outcome in (WORSE, FINE):
        for verdict in found:
            if verdict.outcome == outcome:
                return verdict
    return found[0] if found else Verdict(TOO_LITTLE, (), "no changed host could be read")


def _judge(hosts: List[Readings], others: List[Readings], minimum: Mapping[str, float]) -> Verdict:
    limits = hosts[0].limits or LIMITS
    # What a host did that was booted since is no measure for those that were not.
    hosts = [host for host in hosts if host.after]
    own = (together(host.before for host in hosts), together(host.after for host in hosts))
    control = [(host.before, host.after) for host in others if host.before and host.after]
    traffic = [
        *(_share(share, limits[name], own, control, minimum[share.minimum]) for name, share in SHARES.items()),
        *(_rate(rate, limits[name]["fall"], own, control, minimum[rate.minimum]) for name, rate in RATES.items()),
    ]
    rows = (*traffic, _rtt(limits["rtt"], hosts, others, minimum["rtt"]))
    worse = [row for row in rows if row.judged == WORSE]
    if worse:
        return Verdict(WORSE, rows, "; ".join(_words(row) for row in worse))
    # A few connections that happen to stand have an RTT, and say nothing of new ones.
    if any(row.judged for row in traffic):
        return Verdict(FINE, rows, "")
    before, after = own
    text = "%d data segments and %d connections before, %d and %d after; at least %d or %d before" % (
        before.segments,
        before.opened + before.accepted,
        after.segments,
        after.opened + after.accepted,
        minimum["segments"],
        minimum["connections"],
    )
    return Verdict(TOO_LITTLE, rows, text)


def _words(row: Row) -> str:
    return "%s: %s before, %s after (%s allowed; hosts not changed: %s)" % (
        row.title,
        row.before,
        row.after,
        row.allowed,
        row.others or "none to compare with",
    )


_Pairs = List[Tuple[Interval, Interval]]


def _share(
    share: Share, limit: Mapping[str, float], own: Tuple[Interval, Interval], control: _Pairs, least: float
) -> Row:
    before, after = own
    # One that is sick by itself must not hide what is wrong with those that were changed: hence the median.
    known = [pair for pair in control if min(share.of(pair[0]), share.of(pair[1])) >= max(1.0, least / 2)]
    there = median(share.percent(last) for _first, last in known)
    drift = max(0.0, median(share.percent(last) - share.percent(first) for first, last in known) or 0.0)
    expected, size = there, float(sum(share.of(last) for _first, last in known))
    if share.of(before) >= max(1.0, least):
        expected, size = share.percent(before) + drift, float(share.of(before))
    judged, allowed = "", ""
    if expected is not None and share.of(after):
        bound = max(limit["above"], expected + limit["rise"])
        more = share.bad(after) - share.of(after) * expected / 100.0
        far = _deviations(share, expected, size, after) >= _DEVIATIONS
        judged = WORSE if share.percent(after) > bound and more >= _FEWEST and far else FINE
        allowed = _percent(bound)
    before_shown, after_shown = (_percent(share.percent(entry)) if share.of(entry) else "" for entry in own)
    first = median(share.percent(pair[0]) for pair in known)
    return Row(share.title, before_shown, after_shown, _pair(first, there), allowed, judged)


def _deviations(share: Share, expected: float, size: float, after: Interval) -> float:
    """How many standard deviations lie between the share expected, seen on so many (size), and the one now."""
    of = float(share.of(after))
    overall = (expected / 100.0 * size + share.bad(after)) / (size + of)
    variance = share.spread * overall * (1.0 - overall) * (1.0 / size + 1.0 / of)
    return (share.percent(after) - expected) / 100.0 / math.sqrt(variance) if variance > 0 else math.inf


def _rate(rate: Rate, fall: float, own: Tuple[Interval, Interval], control: _Pairs, least: float) -> Row:
    """New connections that no longer come about leave no trace in any share: nobody counts what was never begun."""
    before, after = (rate.per_second(interval) for interval in own)
    known = [pair for pair in control if rate.count(pair[0]) >= max(1.0, least / 2)]
    kept = median(rate.per_second(last) / rate.per_second(first) for first, last in known)
    judged, allowed = "", ""
    if rate.count(own[0]) >= max(1.0, least):
        bound = before * (1 - fall / 100.0) * min(1.0, 1.0 if kept is None else kept)
        judged = WORSE if after < bound else FINE
        allowed = "at least %.1f/s" % bound
    others = "" if kept is None else "%.2f times" % kept
    return Row(rate.title, "%.1f/s" % before, "%.1f/s" % after, others, allowed, judged)


def _rtt(limit: Mapping[str, float], hosts: List[Readings], others: List[Readings], minimum: float) -> Row:
    least = max(1.0, minimum)
    ratio = median(rtt_ratios(((host.middle, host.end) for host in hosts), least))
    there = median(rtt_ratios(((host.middle, host.end) for host in others), least))
    before, after = (
        median(host.rtt / 1000.0 for host in found if host and host.rtt and host.connections >= least)
        for found in ([host.middle for host in hosts], [host.end for host in hosts])
    )
    judged, allowed = "", ""
    if ratio is not None and after is not None:
        bound = max(1.0, there or 1.0) * (1 + limit["rise"] / 100.0)
        judged = WORSE if after > limit["above"] and ratio > bound else FINE
        allowed = "%.2f times" % bound
    others_shown = "" if there is None else "%.2f times" % there
    return Row("RTT", _milliseconds(before), _milliseconds(after), others_shown, allowed, judged)


def _percent(value: Optional[float]) -> str:
    return "" if value is None else "%.2f %%" % value


def _milliseconds(value: Optional[float]) -> str:
    return "" if value is None else "%.2f ms" % value


def _pair(first: Optional[float], last: Optional[float]) -> str:
    return "" if first is None or last is None else "%s -> %s" % (_percent(first), _percent(last))


def _merged(
    variable: str, known: Mapping[str, Mapping[str, float]], given: Mapping[str, Any]
) -> Dict[str, Dict[str, float]]:
    problems = list(_problems(variable, known, given))
    if problems:
        raise InputError(problems)
    return {
        name: {**entries, **{key: float(value) for key, value in (given.get(name) or {}).items()}}
        for name, entries in known.items()
    }


def _problems(variable: str, known: Mapping[str, Mapping[str, float]], given: Mapping[str, Any]) -> Iterator[Problem]:
    for name, entries in given.items():
        if name not in known:
            yield Problem("%s.%s" % (variable, name), "there is no such measure", "one of: %s" % ", ".join(known))
        elif not isinstance(entries, Mapping):
            yield Problem("%s.%s" % (variable, name), "%r is no mapping" % (entries,), _entry_names(known[name]))
        else:
            for key, value in entries.items():
                path = ".".join(part for part in (variable, name, str(key)) if part)
                if key not in known[name]:
                    yield Problem(path, "there is no such limit", _entry_names(known[name]))
                elif not _is_number(value):
                    yield Problem(path, "%r is no number of 0 or more" % (value,))


def _entry_names(entries: Mapping[str, float]) -> str:
    return "one of: %s" % ", ".join(entries)


def _is_number(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and 0 <= float(value) < float("inf")
    except (TypeError, ValueError):
        return False
