# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as data, and two reports compared."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding, Waiver
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import (
    DRIFT,
    FAILED,
    FORMAT,
    IN_STEP,
    UNREACHABLE,
    HostState,
    Report,
    compare,
    from_data,
    identity,
    to_data,
)
from tests.unit.plugins.plugin_utils.sample_report import compared_report, hostile_report, small_report

WAIVER = Waiver("NET-4711", "2027-01-31")


def finding(host: str, key: str, **changes: Any) -> Finding:
    given = {"subject": "sysctl", "severity": "error", "reason": "x", "rule": "sysctl-running"}
    return Finding(key=key, host=host, **{**given, **changes})


def report(hosts: dict[str, str], *findings: Finding, subjects: tuple[str, ...] = ("sysctl", "file")) -> Report:
    states = tuple(HostState(name, status) for name, status in hosts.items())
    return Report("2026-11-22T06:00:00Z", "2026-11-22T06:00:08Z", "warning", states, findings, subjects=subjects)


EARLIER = replace(report({"a": DRIFT, "b": DRIFT}, finding("a", "1"), finding("b", "2")), finished="the day before")


def keys(earlier: Report, now: Report) -> tuple[list[str], list[str], list[str]]:
    """(new, gone, still there), each as host and key."""
    found = compare(earlier, now)
    return tuple([each.host + each.key for each in part] for part in (found.new, found.gone, found.still))  # type: ignore[return-value]


def test_what_is_new_gone_and_still_there() -> None:
    now = report({"a": DRIFT, "b": DRIFT}, finding("a", "1"), finding("b", "3"))
    assert keys(EARLIER, now) == (["b3"], ["b2"], ["a1"])
    assert compare(EARLIER, now).earlier == "the day before"


def test_a_report_compared_with_itself() -> None:
    assert keys(EARLIER, EARLIER) == ([], [], ["a1", "b2"])


def test_a_finding_is_the_same_though_its_words_and_values_changed() -> None:
    now = report({"a": DRIFT, "b": IN_STEP}, finding("a", "1", running="7", reason="y", severity="warning"))
    assert keys(EARLIER, now) == ([], ["b2"], ["a1"])
    assert compare(EARLIER, now).still[0].running == "7"


@pytest.mark.parametrize("changes", [{"rule": "sysctl-boot"}, {"subject": "file"}, {"host": "b"}, {"key": "9"}])
def test_what_makes_it_another(changes: dict[str, str]) -> None:
    assert identity(finding("a", "1")) != identity(replace(finding("a", "1"), **changes))  # type: ignore[arg-type]


def test_of_hosts_outside_a_narrower_limit_nothing_is_gone() -> None:
    assert keys(EARLIER, report({"a": IN_STEP})) == ([], ["a1"], [])


@pytest.mark.parametrize(("status", "rule"), [(UNREACHABLE, "host-unreachable"), (FAILED, "host-failed")])
def test_of_a_host_that_could_not_be_asked_nothing_is_gone(status: str, rule: str) -> None:
    now = report({"a": status, "b": IN_STEP}, finding("a", "host", subject="host", rule=rule))
    assert keys(EARLIER, now) == (["ahost"], ["b2"], [])


def test_a_host_that_can_be_asked_again() -> None:
    earlier = report({"a": UNREACHABLE}, finding("a", "host", subject="host", rule="host-unreachable"))
    assert keys(earlier, report({"a": DRIFT}, finding("a", "1"))) == (["a1"], ["ahost"], [])


def test_of_subjects_that_were_left_out_nothing_is_gone() -> None:
    earlier = report({"a": DRIFT}, finding("a", "1"), finding("a", "/etc/x", subject="file"))
    assert keys(earlier, report({"a": IN_STEP}, subjects=("file",))) == ([], ["a/etc/x"], [])


def test_a_waived_finding_is_neither_new_nor_still_there() -> None:
    now = report({"a": IN_STEP, "b": DRIFT}, finding("a", "9", waiver=WAIVER), finding("b", "2"))
    assert keys(EARLIER, now) == ([], ["a1"], ["b2"])


def test_a_finding_whose_waiver_ended_is_new() -> None:
    earlier = report({"a": IN_STEP}, finding("a", "1", waiver=WAIVER))
    assert keys(earlier, report({"a": DRIFT}, finding("a", "1"))) == (["a1"], [], [])


@pytest.mark.parametrize(
    "given_report",
    [small_report(), compared_report(), hostile_report(), EARLIER],
    ids=["small", "compared", "hostile", "x"],
)
def test_a_report_goes_through_json_and_back(given_report: Report) -> None:
    assert from_data(json.loads(json.dumps(to_data(given_report)))) == given_report


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "drift",
        {},
        {**to_data(EARLIER), "format": FORMAT + 1},
        {**to_data(EARLIER), "more": 1},
        {**to_data(EARLIER), "hosts": [7]},
        {**to_data(EARLIER), "findings": [{"key": "x"}]},
    ],
)
def test_what_is_no_report_of_ours(data: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        from_data(data)


@pytest.mark.parametrize(
    ("threshold", "severity", "waiver", "counts"),
    [
        ("warning", "error", None, True),
        ("warning", "warning", None, True),
        ("warning", "note", None, False),
        ("note", "note", None, True),
        ("error", "warning", None, False),
        ("note", "error", WAIVER, False),
    ],
)
def test_what_counts_as_drift(threshold: str, severity: str, waiver: Waiver | None, counts: bool) -> None:
    given_report = replace(EARLIER, threshold=threshold)
    assert given_report.counts(finding("a", "1", severity=severity, waiver=waiver)) is counts
