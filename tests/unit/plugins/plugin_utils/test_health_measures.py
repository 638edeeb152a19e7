# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups are judged by what their hosts have counted together."""

from __future__ import annotations

import math
from typing import Any

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import Rtt
from ansible_collections.netfleet.tcp.plugins.module_utils._indicators import pooled_rtt
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Waiver, from_wire, to_wire
from ansible_collections.netfleet.tcp.plugins.plugin_utils._collect import verdict
from ansible_collections.netfleet.tcp.plugins.plugin_utils._health_measures import NO_PROFILE, WAIVED, Looked
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import GroupMeasure, Report
from tests.unit.plugins.plugin_utils.sample_health import (
    BUSY,
    QUIET,
    a_look,
    answers,
    health_report,
    retransmits,
    rtt,
    said,
)


def line(report: Report, group: str, key: str) -> GroupMeasure:
    (found,) = [entry for entry in report.groups if (entry.group, entry.key) == (group, key)]
    return found


def test_many_with_too_little_may_have_enough_together() -> None:
    report = health_report({"h%d" % each: said(a_look(QUIET)) for each in range(30)})
    own = [entry.verdict for entry in report.measures if entry.key == "client_success"]
    assert own == ["not enough traffic"] * 30
    whole = line(report, "cloud", "client_success")
    assert (whole.size, whole.verdict, whole.verdicts) == (15_000, "met", {"not enough traffic": 30})


def test_together_they_may_be_outside_though_none_is_by_itself() -> None:
    few = {**QUIET, "failed": 2}
    report = health_report({"h%d" % each: said(a_look(few)) for each in range(30)})
    assert {entry.verdict for entry in report.measures if entry.key == "client_success"} == {"not enough traffic"}
    assert line(report, "cloud", "client_success").verdict == "not met"
    assert line(report, "cloud", "client_success").outside == ()
    assert verdict(report)[0] == "drift", "the group counts"


def test_a_share_is_of_all_that_was_counted_and_not_a_mean_of_shares() -> None:
    large, small = {"opened": 90_000, "failed": 0}, {"opened": 10_000, "failed": 1_000}
    report = health_report({"a": said(a_look(large)), "b": said(a_look(small))})
    assert line(report, "cloud", "client_success").value == 99.0


def test_waived_hosts_are_left_out_of_the_group() -> None:
    given = answers()
    waiver = Waiver("a known bad line", "2030-01-01")
    given["cloud2"] = said(a_look({**BUSY, "retransmitted": 30_000}, rtt(12.0)), findings=[retransmits(waiver)])
    del given["edge1"]
    report = health_report(given)
    found = line(report, "cloud", "retransmission")
    assert (found.verdict, found.outside, found.verdicts[WAIVED]) == ("met", (), 1)
    assert found.size == 1_000_880 + 3_000
    assert line(report, "cloud", "client_success").size == 40_500, "of what is not waived it is one as any"
    assert verdict(report)[0] == "in_step"


def test_what_is_tolerated_is_left_out_though_one_host_alone_has_too_little_to_be_outside() -> None:
    """Else thirty quiet hosts with a waiver would be outside together, and no waiver could name their group."""
    few = {**QUIET, "failed": 2}
    given: dict[str, Any] = {"h%d" % each: said(a_look(few)) for each in range(30)}
    for answer in given.values():
        answer["health"]["tolerated"] = [["client_success", "client_success"]]
    report = health_report({**given, "well": said(a_look(BUSY))})
    found = line(report, "cloud", "client_success")
    assert (found.verdict, found.size, found.verdicts) == ("met", 20_000, {"met": 1, WAIVED: 30})
    assert line(report, "cloud", "server_success").size == 40_000 + 30 * 400
    assert verdict(report)[0] == "in_step"


def test_where_all_is_waived_nothing_is_said() -> None:
    waiver = Waiver("x", "2030-01-01")
    report = health_report({"a": said(a_look(BUSY), findings=[retransmits(waiver)])})
    found = line(report, "cloud", "retransmission")
    assert (found.verdict, found.value, found.verdicts) == ("", None, {WAIVED: 1})


def test_hosts_with_different_targets_have_no_target_as_a_group() -> None:
    strict = a_look(BUSY, rtt(11.0), target=10.0)
    report = health_report({"a": said(a_look(BUSY, rtt(11.0))), "b": said(strict)})
    found = line(report, "cloud", "cloud")
    assert (found.target, found.verdict, found.verdicts) == (None, "", {"met": 1, "not met": 1})
    assert found.outside == ("b",)


def test_a_host_stands_in_its_profile_and_in_the_groups_that_are_asked_for() -> None:
    given = {**answers(), "old1": said(a_look(BUSY), "")}
    report = health_report(given, groups=("databases", "all", "nobody"))
    sizes = {entry.group: entry.size for entry in report.groups if entry.key == "client_success"}
    assert sizes == {"local": 20_000, "cloud": 40_500, NO_PROFILE: 20_000, "databases": 40_000, "all": 80_500}


def test_hosts_that_were_not_asked_are_in_no_group() -> None:
    assert not [entry for entry in health_report(groups=("all",)).groups if "edge1" in entry.outside]
    assert [host.name for host in health_report().by_status("unreachable")] == ["edge1"]


def test_what_is_handed_on_comes_back_as_it_was() -> None:
    look = a_look(BUSY, rtt(11.0))
    assert from_wire(Looked, to_wire(look)) == look


def test_rtts_of_hosts_are_one_sample() -> None:
    """Against the mean and the standard deviation of all the values themselves."""
    parts = [[1.0, 2.0, 4.0, 8.0], [10.0], [20.0, 22.0, 21.0]]

    def summary(values: list[float]) -> Rtt:
        mean = sum(values) / len(values)
        squares = sum((value - mean) ** 2 for value in values)
        deviation = math.sqrt(squares / (len(values) - 1)) if len(values) > 1 else None
        return Rtt(len(values), mean, deviation=deviation)

    whole = summary([value for part in parts for value in part])
    found = pooled_rtt([*map(summary, parts), Rtt()])
    assert found.connections == 8
    assert found.mean == pytest.approx(whole.mean)
    assert found.deviation == pytest.approx(whole.deviation)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 11.0 < found.high
    assert pooled_rtt([]) == Rtt()
    assert pooled_rtt([Rtt(1, 3.0)]).high is None, "of one there are no bounds"
