# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever breaks a change, and wherever: the host is wholly as before or wholly as declared, and can be reached.

On each host some steps and faults, all hosts at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from testinfra.host import Host as Connection

from tests.molecule.faults import BETWEEN, NEW, OLD, Ended, broken, install, sides

# Host -> (how far into the change, the fault). 0.0 is its first step, 1.0 its last.
CASES = {
    "local1": [(0.3, "kill"), (0.75, "kill"), (1.0, "late")],
    "local2": [(0.5, "late"), (0.85, "kill"), (0.0, "full")],
    "cloud1": [(0.4, "power"), (0.5, "full")],
    "cloud2": [(0.75, "power"), (0.0, "readonly")],
}


@pytest.fixture(scope="module")
def ended(connections: dict[str, Connection]) -> dict[tuple[str, float, str], Ended]:
    """What became of each host after each of its faults."""
    assert sorted(connections) == sorted(CASES)

    def suffer(name: str) -> dict[tuple[str, float, str], Ended]:
        connection = connections[name]
        install(connection)
        before, after, count = sides(connection)
        assert before != after
        return {
            (name, where, fault): broken(connection, max(1, round(where * count[fault])), fault, before, after)
            for where, fault in CASES[name]
        }

    with ThreadPoolExecutor() as pool:
        return {case: outcome for found in pool.map(suffer, CASES) for case, outcome in found.items()}


Outcomes = dict[tuple[str, float, str], Ended]


def of(ended: Outcomes, choose: Callable[[float, str], bool]) -> dict[tuple[str, float, str], str]:
    return {case: outcome.state for case, outcome in ended.items() if choose(case[1], case[2])}


def test_no_host_is_left_between(ended: Outcomes) -> None:
    assert {case: outcome for case, outcome in ended.items() if outcome.state == BETWEEN} == {}
    assert len(ended) == sum(len(cases) for cases in CASES.values())


def test_what_is_killed_before_it_is_final_is_taken_back(ended: Outcomes) -> None:
    found = of(ended, lambda where, fault: fault in ("kill", "late") and where < 0.8)
    assert len(found) == 3
    assert set(found.values()) == {OLD}


def test_what_is_killed_after_it_is_final_stays(ended: Outcomes) -> None:
    assert set(of(ended, lambda where, _fault: where == 1.0).values()) == {NEW}


def test_a_machine_that_is_switched_off_boots_into_the_old_state(ended: Outcomes) -> None:
    found = of(ended, lambda _where, fault: fault == "power")
    assert len(found) == 2
    assert set(found.values()) == {OLD}


def test_a_disk_that_is_full_or_read_only_changes_nothing(ended: Outcomes) -> None:
    found = of(ended, lambda _where, fault: fault in ("full", "readonly"))
    assert len(found) == 3
    assert set(found.values()) == {OLD}


def test_the_host_itself_says_what_became_of_it(ended: Outcomes) -> None:
    said = {case: outcome.said for case, outcome in ended.items() if case[2] == "kill" and case[1] < 0.8}
    assert all("reverted: it was not confirmed within 5 s" in text for text in said.values()), said
