# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict on hosts that were changed: what a bad change does, and what a bad hour does to all."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._counters import Counters
from ansible_collections.netfleet.tcp.plugins.plugin_utils._gate import (
    FINE,
    LIMITS,
    MINIMUM,
    TOO_LITTLE,
    WORSE,
    Readings,
    Verdict,
    judge,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._gate_text import not_read, share_lost, table

# Twenty seconds of a host that is well.
WELL: dict[str, int] = {"segments": 20_000, "retransmitted": 20, "opened": 200, "accepted": 400, "failed": 0}
START = Counters(uptime=1000.0, segments=5_000_000, retransmitted=9_000, opened=70_000, rtt=2000, connections=60)


def later(counters: Counters, counts: dict[str, int], seconds: float = 20.0) -> Counters:
    kept = {"rtt": counts.get("rtt", counters.rtt), "connections": counts.get("connections", counters.connections)}
    sums = {name: getattr(counters, name) + value for name, value in counts.items() if name not in kept}
    return replace(counters, uptime=counters.uptime + seconds, **kept, **sums)


def host(before: dict[str, int], after: dict[str, int], name: str = "a", **more: Any) -> Readings:
    middle = later(START, {**WELL, **before})
    return Readings(name, START, middle, later(middle, {**WELL, **after}), **more)


def verdict(after: dict[str, int], before: dict[str, int] | None = None, *others: Readings) -> Verdict:
    return judge([host(before or {}, after)], others, MINIMUM)


IDLE = dict.fromkeys([*WELL, "connections"], 0)


def test_a_host_that_is_as_well_as_before() -> None:
    found = verdict({})
    assert (found.outcome, found.why) == (FINE, "")
    assert [row.judged for row in found.rows] == [FINE] * 8


@pytest.mark.parametrize(
    ("after", "measure"),
    [
        ({"retransmitted": 600}, "retransmitted segments"),
        ({"syn_retransmitted": 100, "retransmitted": 120}, "SYN retransmits"),
        ({"dropped": 60}, "listen drops"),
        ({"failed": 30}, "failed to establish"),
        ({"rtt": 4500}, "RTT"),
        ({"opened": 19}, "connections opened"),
        ({"opened": 0}, "connections opened"),
        ({"accepted": 0}, "connections accepted"),
        ({"accepted": 90}, "connections accepted"),
        ({"segments": 100, "retransmitted": 0}, "data segments sent"),
    ],
)
def test_each_measure_that_is_worse(after: dict[str, int], measure: str) -> None:
    found = verdict(after)
    assert found.outcome == WORSE
    assert [row.title for row in found.rows if row.judged == WORSE] == [measure]
    assert found.why.startswith(measure + ": ")


@pytest.mark.parametrize(
    "after",
    [
        {"retransmitted": 90},
        {"failed": 1},
        {"failed": 30, "refused": 30},
        {"dropped": 4},
        {"rtt": 3900},
        {"opened": 80},
        {"segments": 2000, "retransmitted": 2},
        {"retransmitted": 80, "syn_retransmitted": 12},
    ],
)
def test_what_is_within_its_limit_or_may_be_chance(after: dict[str, int]) -> None:
    assert verdict(after).outcome == FINE


@pytest.mark.parametrize(
    "after",
    [
        {"opened": 30, "failed": 30, "syn_retransmitted": 60, "retransmitted": 80},
        {"segments": 500, "retransmitted": 450},
        dict.fromkeys(WELL, 0),
    ],
)
def test_little_traffic_after_the_change_does_not_hide_what_it_did(after: dict[str, int]) -> None:
    assert verdict(after).outcome == WORSE


def test_a_bad_hour_is_not_blamed_on_the_change() -> None:
    bad = {"retransmitted": 600, "rtt": 4500, "opened": 15, "accepted": 20}
    assert verdict(bad).outcome == WORSE
    assert verdict(bad, {}, host({}, bad, "b")).outcome == FINE


def test_nor_a_bad_change_on_the_hour() -> None:
    found = verdict({"retransmitted": 2000}, {}, host({}, {"retransmitted": 400}, "b"))
    assert found.outcome == WORSE
    assert found.rows[0].others == "0.10 % -> 1.96 %"


def test_one_sick_host_among_the_others_hides_nothing() -> None:
    sick, well = host({}, {"retransmitted": 4000, "opened": 0}, "s"), [host({}, {}, name) for name in "bcd"]
    assert verdict({"retransmitted": 1200}, {}, sick, *well).outcome == WORSE
    assert verdict({"opened": 5}, {}, sick, *well).outcome == WORSE


def test_others_that_got_better_are_no_reason_to_blame() -> None:
    assert verdict({"retransmitted": 80}, {}, host({"retransmitted": 1800}, {}, "b")).outcome == FINE


def test_a_host_that_was_bad_before_may_stay_so() -> None:
    assert verdict({"retransmitted": 620}, {"retransmitted": 600}).outcome == FINE


def test_without_a_before_the_others_of_today_are_what_is_expected() -> None:
    quiet, bad = dict(IDLE), {"retransmitted": 600}
    assert verdict(bad, quiet, host({}, {}, "b")).outcome == WORSE
    assert verdict(bad, quiet, host({}, bad, "b")).outcome == FINE


def test_with_nothing_to_compare_with_there_is_nothing_to_judge() -> None:
    found = verdict({"retransmitted": 600, "connections": 0}, IDLE)
    assert found.outcome == TOO_LITTLE
    assert found.why.startswith("0 data segments and 0 connections before, 20000 and 600 after")


def test_hosts_that_do_nothing() -> None:
    found = verdict(IDLE, IDLE)
    assert found.outcome == TOO_LITTLE
    assert [row.judged for row in found.rows] == [""] * 8


def test_connections_that_stand_idle_are_no_traffic_to_judge_by() -> None:
    standing = {**IDLE, "connections": 60}
    assert verdict(standing, standing).outcome == TOO_LITTLE


def test_a_minimum_of_nothing_asks_for_something_all_the_same() -> None:
    nothing = dict.fromkeys(MINIMUM, 0.0)
    assert judge([host(IDLE, IDLE)], [host(IDLE, IDLE, "b")], nothing).outcome == TOO_LITTLE


def test_more_traffic_makes_no_false_alarm_of_chance() -> None:
    """Shares as large as they are on a bad day, before and after, of hosts that nothing was done to."""
    random = Random(7)

    def count(of: int, share: float) -> int:
        return sum(random.random() < share for _ in range(of))

    alarms = 0
    for _ in range(300):
        counts = [{"failed": count(500, 0.1), "opened": 500, "dropped": count(420, 0.05)} for _ in range(2)]
        alarms += verdict(counts[1], counts[0]).outcome == WORSE
    assert alarms <= 3


def test_hosts_of_a_wave_are_judged_together() -> None:
    one = [host({}, {"retransmitted": 300}, "a"), *(host({}, {}, f"b{i}") for i in range(9))]
    assert judge(one, [], MINIMUM).outcome == FINE
    assert judge([host({}, {"retransmitted": 300}, f"a{i}") for i in range(10)], [], MINIMUM).outcome == WORSE


def test_hosts_with_limits_of_their_own_are_judged_by_them() -> None:
    lenient = {**LIMITS, "retransmission": {"above": 5.0, "rise": 5.0}}
    bad = {"retransmitted": 600}
    assert judge([host({}, bad, limits=lenient)], [], MINIMUM).outcome == FINE
    assert judge([host({}, bad, limits=lenient), host({}, bad, "b", limits=LIMITS)], [], MINIMUM).outcome == WORSE


def test_where_none_of_the_changed_hosts_was_read_nothing_is_kept() -> None:
    assert not_read(0, 0) == not_read(2, 1) == ""
    assert not_read(2, 0) == "none of 2 changed hosts could be read before their time was over"


def test_a_host_that_was_booted_in_between_counts_for_nothing() -> None:
    booted = replace(host({}, {}), end=Counters(uptime=5.0, segments=10))
    assert judge([booted], [], MINIMUM).outcome == TOO_LITTLE
    assert judge([Readings("a", START, None, None)], [], MINIMUM).outcome == TOO_LITTLE
    assert judge([], [], MINIMUM) == Verdict(TOO_LITTLE, (), "no changed host could be read")


def test_the_table_says_what_was_compared() -> None:
    lines = list(table(verdict({"retransmitted": 600}, {}, host({}, {}, "b")), 1, 1))
    assert lines[0] == "health gate: WORSE since the change (1 changed, 1 not changed were read)"
    assert lines[1].split() == ["before", "after", "not", "changed", "allowed"]
    assert " ".join(lines[2].split()) == "retransmitted segments 0.10 % 2.91 % 0.10 % -> 0.10 % 0.60 % WORSE"
    assert len(lines) == 10


def test_the_table_of_hosts_that_do_nothing() -> None:
    lines = list(table(verdict(IDLE, IDLE), 1, 0))
    assert lines[0].startswith("health gate: not enough traffic to judge")
    assert len(lines) == 2


SETTINGS = {"max_failed": 10.0}
TEN = [f"h{i}" for i in range(10)]


def test_how_many_hosts_of_a_wave_may_fail() -> None:
    assert share_lost([], TEN, [], TEN, SETTINGS) == ""
    assert share_lost(["h1"], TEN, ["h2"], TEN, SETTINGS) == ""
    assert (
        share_lost(["h1", "h2"], TEN, [], TEN, SETTINGS) == "2 of 10 hosts could not be changed (h1, h2); at most 10 %"
    )
    assert share_lost([], ["h1"], ["h1"], ["h1"], SETTINGS).startswith(
        "1 of 1 hosts cannot be reached since the change"
    )
    assert ", ..." in share_lost(TEN, TEN, [], [], SETTINGS)
