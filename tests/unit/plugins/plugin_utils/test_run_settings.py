# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError
from ansible_collections.netfleet.tcp.plugins.plugin_utils._gate import LIMITS, MINIMUM
from ansible_collections.netfleet.tcp.plugins.plugin_utils._run_settings import checked_settings, differing


def test_defaults() -> None:
    assert checked_settings({}, 120) == {
        "waves": [1, "10%", "100%"],
        "max_failed": 10.0,
        "gate_seconds": 20,
        "watched": 20,
        "gate_too_little": "go_on",
        "gate_minimum": MINIMUM,
        "gate_limits": LIMITS,
    }


def test_a_limit_of_one_measure_leaves_the_others() -> None:
    found = checked_settings({"gate_limits": {"rtt": {"rise": "80"}}, "gate_minimum": {"connections": 9}}, 120)
    assert found["gate_limits"] == {**LIMITS, "rtt": {"above": 1.0, "rise": 80.0}}
    assert found["gate_minimum"] == {**MINIMUM, "connections": 9}


@pytest.mark.parametrize(("window", "seconds"), [(20, 5), (35, 20), (600, 20), (0, 0)])
def test_the_confirmation_has_its_time(window: int, seconds: int) -> None:
    assert checked_settings({}, window)["watched"] == seconds


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"gate_seconds": -1}, "tcp_tuning_gate_seconds: -1 is out of range"),
        ({"gate_seconds": "soon"}, "gate_seconds"),
        ({"gate_too_little": "pray"}, "gate_too_little"),
        ({"max_failed": 101}, "tcp_tuning_max_failed: 101 is out of range"),
        ({"waves": ["all"]}, r"tcp_tuning_waves\[0\]: 'all' is no size"),
        ({"gate_limits": {"loss": {}}}, "tcp_tuning_gate_limits.loss: there is no such measure"),
        ({"gate_limits": {"rtt": 5}}, "tcp_tuning_gate_limits.rtt: 5 is no mapping"),
        ({"gate_limits": {"rtt": {"fall": 5}}}, "tcp_tuning_gate_limits.rtt.fall: there is no such limit"),
        ({"gate_limits": {"rtt": {"rise": "a lot"}}}, "tcp_tuning_gate_limits.rtt.rise: 'a lot' is no number"),
        ({"gate_minimum": {"rtt": float("nan")}}, "tcp_tuning_gate_minimum.rtt: nan is no number"),
        ({"gate_minimum": {"packets": 1}}, "tcp_tuning_gate_minimum.packets: there is no such limit"),
    ],
)
def test_what_cannot_be_meant_is_named(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        checked_settings(given, 120)


def test_all_problems_at_once() -> None:
    with pytest.raises(InputError) as error:
        checked_settings({"waves": [0], "gate_limits": {"loss": {}}, "max_failed": -1}, 120)
    assert len(error.value.problems) == 3


def test_what_belongs_to_the_run_is_the_same_for_all_hosts() -> None:
    one, other = checked_settings({}, 120), checked_settings({"waves": [5], "gate_limits": {"rtt": {"rise": 9}}}, 120)
    assert [str(problem) for problem in differing({"a": one, "b": other, "c": other})] == [
        (
            "tcp_tuning_waves: a has [1, '10%', '100%'], b has [5] "
            "(it belongs to the run: give all hosts the same, in group_vars/all)"
        )
    ]
    assert list(differing({"a": one, "b": one})) == []


def test_windows_may_differ() -> None:
    assert list(differing({"a": checked_settings({}, 120), "b": checked_settings({}, 30)})) == []
