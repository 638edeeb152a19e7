# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every fault at every step of a change; the work is shared among the hosts."""

from __future__ import annotations

import queue
from concurrent.futures import ThreadPoolExecutor

import pytest
from testinfra.host import Host as Connection

from lab.paths import Settings
from tests.molecule.fault_board import Board
from tests.molecule.faults import (
    FILE_FAULTS,
    NEW,
    OLD,
    PROCESS_FAULTS,
    Ended,
    Sides,
    broken,
    switched_off,
)

# So many faults a visit: each tells only when all of its own are over.
BATCH = 4
# Seconds of a change: enough for a whole one on an emulated machine that is by itself, and there are hundreds of them.
WINDOW = 10
Outcomes = dict[tuple[str, int], Ended]


def work(known: Sides) -> list[tuple[str, list[int]]]:
    """What there is to do, as (fault, steps); what takes longest first."""
    jobs = [("power", [step]) for step in known.of("power")]
    for fault in ("stop", *PROCESS_FAULTS, *FILE_FAULTS):
        jobs += [(fault, steps) for steps in batches(known.of(fault))]
    return jobs


def batches(steps: list[int]) -> list[list[int]]:
    return [steps[start : start + BATCH] for start in range(0, len(steps), BATCH)]


@pytest.fixture(scope="module")
def ended(
    connections: dict[str, Connection], known: dict[str, Sides], board: Board, settings: Settings
) -> dict[tuple[str, int], Ended]:
    """What became of the hosts."""
    jobs: queue.SimpleQueue[tuple[str, list[int]]] = queue.SimpleQueue()
    for job in work(next(iter(known.values()))):
        jobs.put(job)

    def suffer(name: str) -> Outcomes:
        found: Outcomes = {}
        connection, machine = connections[name], settings.backend_dir / name
        while True:
            try:
                fault, steps = jobs.get_nowait()
            except queue.Empty:
                return found
            if fault == "power":
                outcomes = [(step, switched_off(connection, machine, step, known[name])) for step in steps]
            else:
                outcomes = list(broken(connection, fault, steps, known[name], WINDOW))
            for step, outcome in outcomes:
                board.add(name, fault, step, outcome)
                found[fault, step] = outcome

    with ThreadPoolExecutor() as pool:
        return {case: outcome for found in pool.map(suffer, connections) for case, outcome in found.items()}


def test_every_fault_at_every_step_leaves_the_host_old_or_new(ended: Outcomes, known: dict[str, Sides]) -> None:
    assert {case: outcome for case, outcome in ended.items() if outcome.state not in (OLD, NEW)} == {}
    (one, *_others) = known.values()
    assert set(ended) == {(fault, step) for fault, steps in work(one) for step in steps}


def test_the_next_run_puts_it_right(ended: Outcomes) -> None:
    assert {case: outcome.wrong for case, outcome in ended.items() if outcome.wrong} == {}


def test_it_becomes_new_when_it_is_final_and_not_before(ended: Outcomes, known: dict[str, Sides]) -> None:
    (one, *_others) = known.values()
    last = one.final
    early = {case: outcome.state for case, outcome in ended.items() if case[1] < last}
    assert {case: state for case, state in early.items() if state != OLD} == {}
    after = {case: outcome.state for case, outcome in ended.items() if case[1] > last and case[0] not in FILE_FAULTS}
    assert {case: state for case, state in after.items() if state != NEW} == {}
    assert (ended["kill", last].state, ended["late", last].state) == (OLD, NEW)


def test_nothing_is_made_final_where_no_file_can_be_written(ended: Outcomes, known: dict[str, Sides]) -> None:
    (one, *_others) = known.values()
    found = {case: outcome.state for case, outcome in ended.items() if case[0] in FILE_FAULTS and case[1] <= one.final}
    assert found
    assert set(found.values()) == {OLD}
