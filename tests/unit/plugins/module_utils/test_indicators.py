# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counters to indicators: what is counted, how sure it is, and the verdict."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import (
    BOOT,
    MET,
    NOT_ENOUGH,
    NOT_MET,
    SAMPLE,
    Counted,
    Indicator,
    Sample,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._health_targets import TARGETS
from ansible_collections.netfleet.tcp.plugins.module_utils._indicators import (
    bounds,
    counted_between,
    fast_open,
    indicators,
)

NOTHING = {
    "TcpActiveOpens": 0,
    "TcpPassiveOpens": 0,
    "TcpAttemptFails": 0,
    "TcpRetransSegs": 0,
    "TcpExtEmbryonicRsts": 0,
    "TcpExtListenDrops": 0,
    "TcpExtTCPSynRetrans": 0,
    "TcpExtTCPOrigDataSent": 0,
}


def indicator(name: str, targets: dict[str, float] = TARGETS, **counters: int) -> Indicator:
    return indicators(Counted(SAMPLE, 10.0, {**NOTHING, **counters}), targets)[0][name]


def poisson_at_most(count: int, mean: float) -> float:
    return sum(math.exp(-mean + each * math.log(mean) - math.lgamma(each + 1)) for each in range(count + 1))


@pytest.mark.parametrize("count", [1, 2, 5, 20, 100, 1000])
def test_bounds_are_those_of_poissons_distribution(count: int) -> None:
    low, high = bounds(count)
    # With the true number at a bound, so many or fewer (or more) would be seen in one case of twenty.
    assert poisson_at_most(count, high) == pytest.approx(0.05, abs=0.004)
    assert 1 - poisson_at_most(count - 1, low) == pytest.approx(0.05, abs=0.013)


def test_of_none_seen_the_bound_is_the_rule_of_three() -> None:
    low, high = bounds(0)
    assert low == 0.0
    assert high == pytest.approx(-math.log(0.05), abs=1e-4)


@pytest.mark.parametrize(("attempts", "verdict"), [(0, NOT_ENOUGH), (1, NOT_ENOUGH), (2995, NOT_ENOUGH), (2996, MET)])
def test_three_thousand_attempts_are_needed_to_say_99_9_percent(attempts: int, verdict: str) -> None:
    found = indicator("client_success", TcpActiveOpens=attempts)
    assert (found.verdict, found.needed) == (verdict, 2996)
    assert (found.numerator, found.denominator) == (attempts, attempts)
    assert found.percent == (100.0 if attempts else None)


@pytest.mark.parametrize(
    ("failed", "verdict"), [(0, MET), (4, MET), (9, NOT_ENOUGH), (11, NOT_ENOUGH), (20, NOT_MET), (10_000, NOT_MET)]
)
def test_a_share_near_its_target_needs_more_to_be_told_from_it(failed: int, verdict: str) -> None:
    found = indicator("client_success", TcpActiveOpens=10_000, TcpAttemptFails=failed)
    assert found.verdict == verdict
    assert found.low is not None
    assert found.high is not None
    assert found.percent is not None
    assert 0.0 <= found.low <= found.percent <= found.high <= 100.0
    assert found.numerator == 10_000 - failed


def test_few_that_all_fail_are_enough() -> None:
    assert indicator("client_success", TcpActiveOpens=3, TcpAttemptFails=3).verdict == NOT_MET


def test_what_others_broke_off_here_is_no_failure_of_ours() -> None:
    found = indicator("client_success", TcpActiveOpens=5000, TcpAttemptFails=400, TcpExtEmbryonicRsts=400)
    assert (found.percent, found.verdict) == (100.0, MET)


def test_failures_of_what_was_begun_before_are_not_more_than_all() -> None:
    found = indicator("client_success", TcpActiveOpens=2, TcpAttemptFails=5)
    assert (found.numerator, found.percent) == (0, 0.0)


def test_the_server_is_judged_by_what_its_listeners_dropped() -> None:
    found = indicator("server_success", TcpPassiveOpens=900, TcpExtListenDrops=100)
    assert (found.numerator, found.denominator, found.percent, found.verdict) == (900, 1000, 90.0, NOT_MET)


def test_retransmission_is_of_data_without_syns() -> None:
    found = indicator("retransmission", TcpExtTCPOrigDataSent=5_940, TcpRetransSegs=110, TcpExtTCPSynRetrans=50)
    assert (found.numerator, found.denominator, found.percent, found.verdict) == (60, 6_000, 1.0, NOT_ENOUGH)
    more = indicator("retransmission", TcpExtTCPOrigDataSent=99_000, TcpRetransSegs=1050, TcpExtTCPSynRetrans=50)
    assert (more.percent, more.verdict) == (1.0, NOT_MET)


def test_syns_sent_again_may_be_more_than_connections() -> None:
    found = indicator("syn_retransmission", TcpActiveOpens=10, TcpPassiveOpens=10, TcpExtTCPSynRetrans=60)
    assert (found.numerator, found.denominator, found.percent, found.verdict) == (60, 20, 300.0, NOT_MET)


def test_syns_sent_again_of_what_was_begun_before_have_no_share() -> None:
    found = indicator("syn_retransmission", TcpExtTCPSynRetrans=9)
    assert (found.numerator, found.denominator, found.percent, found.verdict) == (9, 0, None, NOT_ENOUGH)


def test_what_has_no_target_has_no_verdict() -> None:
    found = indicator("retransmission", {}, TcpExtTCPOrigDataSent=9_900)
    assert (found.target, found.verdict, found.needed) == (None, "", 0)
    assert found.percent == 0.0


def test_what_the_kernel_does_not_count_is_said() -> None:
    counters = {name: 9 for name in NOTHING if name != "TcpExtTCPSynRetrans"}
    found, said = indicators(Counted(SAMPLE, 10.0, counters), TARGETS)
    assert set(found) == {"client_success", "server_success"}
    assert said == [
        "retransmission: TcpExtTCPSynRetrans is not counted here",
        "syn_retransmission: TcpExtTCPSynRetrans is not counted here",
    ]


FIRST = Sample("boot-1", "net:[1]", 1000.0, {"TcpActiveOpens": 100, "TcpRetransSegs": 7})


def test_between_two_samples_is_their_difference() -> None:
    last = replace(FIRST, uptime=1060.5, counters={"TcpActiveOpens": 130, "TcpRetransSegs": 7, "TcpExtNew": 5})
    counted, said = counted_between(FIRST, last, SAMPLE)
    assert counted == Counted(SAMPLE, 60.5, {"TcpActiveOpens": 30, "TcpRetransSegs": 0})
    assert not said


def test_without_a_first_sample_it_is_all_since_the_boot() -> None:
    assert counted_between(None, FIRST, SAMPLE) == (Counted(BOOT, 1000.0, FIRST.counters), [])


@pytest.mark.parametrize(("field", "word"), [("boot", "boot"), ("netns", "network namespace")])
def test_counters_that_began_anew_are_counted_from_there(field: str, word: str) -> None:
    last = replace(FIRST, uptime=50.0, counters={"TcpActiveOpens": 500}, **{field: "another"})
    counted, said = counted_between(FIRST, last, SAMPLE)
    assert counted == Counted(BOOT, 50.0, {"TcpActiveOpens": 500})
    assert said == ["counters: another %s than at the sample; counted since that began" % word]


@pytest.mark.parametrize(
    ("uptime", "counters", "word"),
    [
        (1060.0, {"TcpActiveOpens": 99, "TcpRetransSegs": 8}, "TcpActiveOpens"),
        (900.0, {"TcpActiveOpens": 100, "TcpRetransSegs": 7}, "uptime"),
    ],
)
def test_counters_that_went_backward_say_nothing(uptime: float, counters: dict[str, int], word: str) -> None:
    counted, said = counted_between(FIRST, replace(FIRST, uptime=uptime, counters=counters), SAMPLE)
    assert counted == Counted("", 0.0, {})
    assert len(said) == 1
    assert word in said[0]
    # Nor is it said of each indicator that it is not counted.
    assert indicators(counted, TARGETS) == ({}, [])


def test_fast_open_by_what_the_kernel_counts_of_it() -> None:
    counted = Counted(
        SAMPLE, 1.0, {"TcpExtTCPFastOpenActive": 5, "TcpExtTCPFastOpenActiveFail": 2, "TcpActiveOpens": 9}
    )
    assert fast_open(counted) == {"client": 5, "client_failed": 2}


@pytest.mark.parametrize("uptime", [float("nan"), float("-inf"), float("inf"), 101.0])
def test_a_sample_of_no_time_that_was_says_nothing(uptime: float) -> None:
    first, last = (Sample("boot", "net", each, {"TcpActiveOpens": 1}) for each in (uptime, 100.0))
    counted, said = counted_between(first, last, "sample")
    assert counted == Counted("", 0.0, {})
    assert "uptime went backward" in said[0]
