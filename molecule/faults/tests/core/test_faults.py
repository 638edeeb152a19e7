# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Some faults at some steps, in a few minutes; the matrix has them all."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from testinfra.host import Host as Connection

from lab.paths import Settings
from tests.molecule.fault_board import Board
from tests.molecule.faults import NEW, OLD, Ended, Sides, broken, switched_off

# Host -> (the fault, how far into the change). 0.0 is its first step, 1.0 its last.
CASES = {
    "local1": [("kill", 0.3), ("kill", 0.6), ("late", 1.0)],
    "local2": [("late", 0.5), ("full", 0.0), ("stop", 0.4)],
    "cloud1": [("power", 0.4), ("full", 0.5)],
    "cloud2": [("power", 0.7), ("readonly", 0.0)],
}
# Seconds of a change on an emulated machine beside others that are busy, with all to spare.
WINDOW = 45
Outcomes = dict[tuple[str, float], Ended]


@pytest.fixture(scope="module")
def ended(
    connections: dict[str, Connection], known: dict[str, Sides], board: Board, settings: Settings
) -> dict[tuple[str, float], Ended]:
    """What became of each host after each of its faults, all hosts at a time."""
    assert sorted(connections) == sorted(CASES)

    def suffer(name: str) -> Outcomes:
        found = {}
        for fault, where in CASES[name]:
            possible = known[name].of(fault)
            step = possible[round(where * (len(possible) - 1))]
            if fault == "power":
                outcome = switched_off(connections[name], settings.backend_dir / name, step, known[name])
            else:
                ((_step, outcome),) = broken(connections[name], fault, [step], known[name], WINDOW)
            board.add(name, fault, step, outcome)
            found[fault, where] = outcome
        return found

    with ThreadPoolExecutor() as pool:
        return {case: outcome for found in pool.map(suffer, CASES) for case, outcome in found.items()}


def test_no_host_is_left_between(ended: Outcomes) -> None:
    assert {case: outcome for case, outcome in ended.items() if outcome.state not in (OLD, NEW)} == {}
    assert len(ended) == sum(len(cases) for cases in CASES.values())


def test_the_next_run_puts_it_right(ended: Outcomes) -> None:
    assert {case: outcome.wrong for case, outcome in ended.items() if outcome.wrong} == {}


def test_what_is_broken_before_it_is_final_is_taken_back(ended: Outcomes) -> None:
    found = {case: outcome.state for case, outcome in ended.items() if case[1] < 1.0}
    assert len(found) == len(ended) - 1
    assert set(found.values()) == {OLD}


def test_what_is_killed_after_it_is_final_stays(ended: Outcomes) -> None:
    assert ended["late", 1.0].state == NEW
