# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes that were final are taken back: the latest, or all since a named one."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._begin import Terms
from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint_store import HISTORY, identifiers, read_ended
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError, InputError
from ansible_collections.netfleet.tcp.plugins.module_utils._model import FileState
from ansible_collections.netfleet.tcp.plugins.module_utils._rollback import LAST, inspect, rollback
from ansible_collections.netfleet.tcp.plugins.module_utils._transaction import apply
from tests.unit.plugins.fake_system import CONGESTION_CONTROL, FakeSystem
from tests.unit.plugins.module_utils.test_transaction import (
    EVERYTHING,
    FIN,
    NOTHING,
    PATH,
    SECRET,
    SECRETS,
    SIMPLE,
    declare,
    host,
)

TERMS = Terms(author="ann@controller", run="feedbeef")


def made(system: FakeSystem, *runs: str) -> list[dict[str, Any]]:
    """Three changes, each of its own run; the states before each of them, and after the last."""
    states = [system.snapshot()]
    names = [*runs, "run1", "run2", "run3"][:3]
    for run, (desired, secrets) in zip(names, [(SIMPLE, {}), (EVERYTHING, SECRETS), (NOTHING, {})]):
        apply(system, desired, secrets, Terms(author="ann", run=run))
        states.append(system.snapshot())
    return states


def test_the_latest_change_then_the_one_before_it() -> None:
    system = host()
    states = made(system)
    for number in (2, 1, 0):
        found = rollback(system, LAST, TERMS)
        assert len(found.taken_back) == 1
        assert found.warnings == ()
        assert system.snapshot() == states[number], number
    assert rollback(system, LAST, TERMS).missing == "this host remembers no change that could be taken back"


def test_a_host_that_has_no_part_in_a_run_is_left_alone() -> None:
    system = host()
    made(system)
    now, steps = system.snapshot(), len(system.steps)
    for found in (inspect(system, "0badcafe"), rollback(system, "0badcafe", TERMS)):
        assert (found.taken_back, found.changes, found.summary) == ((), (), None)
        assert found.missing == "nothing of run 0badcafe is left on this host to be taken back"
    assert (system.snapshot(), len(system.steps)) == (now, steps)


@pytest.mark.parametrize("by_run", [False, True])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_named_change_and_all_that_came_after_it(number: int, by_run: bool) -> None:
    system = host()
    states = made(system)
    names = identifiers(system)
    found = rollback(system, "run%d" % (number + 1) if by_run else names[number], TERMS)
    assert found.taken_back == tuple(names[number:][::-1])
    assert system.snapshot() == states[number]


def test_a_rollback_can_be_rolled_back() -> None:
    system = host()
    states = made(system)
    rollback(system, identifiers(system)[1], TERMS)
    assert system.snapshot() == states[1]
    rollback(system, identifiers(system)[-1], TERMS)
    assert system.snapshot() == states[3]


def test_a_module_that_is_still_in_use_is_a_warning() -> None:
    system = host()
    before = system.snapshot()
    apply(system, declare({CONGESTION_CONTROL: "bbr"}, modules=("tcp_bbr",)), {})
    run = system.run
    system.run = lambda argv, stdin="": (  # type: ignore[method-assign]
        (1, "", "Module tcp_bbr is in use.") if "-r" in argv else run(argv, stdin)
    )
    (warning,) = rollback(system, LAST, TERMS).warnings
    assert "tcp_bbr" in warning
    assert "in use" in warning
    assert system.snapshot() == {**before, "modules": before["modules"] | {"tcp_bbr"}}


def test_what_it_does_is_recorded() -> None:
    system = host()
    made(system)
    undone = identifiers(system)[-1]
    found = rollback(system, LAST, TERMS)
    assert found.summary is not None
    assert (found.summary.id, found.summary.outcome) == (identifiers(system)[-1], "confirmed")
    record, own = read_ended(system, undone), read_ended(system, identifiers(system)[-1])
    assert record is not None
    assert own is not None
    assert record.summary.outcome == "rolled back"
    assert (own.summary.declaration, own.summary.author, own.summary.run) == ("rollback", "ann@controller", "feedbeef")
    assert system.journal[-1].endswith("%s taken back" % undone)
    assert SECRET not in " ".join(system.journal)


def test_check_mode_says_the_same_and_does_nothing() -> None:
    system = host()
    made(system)
    now, steps = system.snapshot(), len(system.steps)
    would = inspect(system, LAST)
    assert (system.snapshot(), len(system.steps)) == (now, steps)
    did = rollback(system, LAST, TERMS)
    assert (would.taken_back, would.changes) == (did.taken_back, did.changes)
    assert SECRET not in repr(would)
    assert {change.subject for change in would.changes} == {"module", "sysctl", "qdisc", "file"}


@pytest.mark.parametrize("to", ["nosuch", "000009-20260101T000000Z", "", "../../etc/shadow"])
def test_what_there_is_not_is_refused_with_what_there_is(to: str) -> None:
    system = host()
    made(system)
    now = system.snapshot()
    with pytest.raises(InputError) as caught:
        rollback(system, to, TERMS)
    for name in identifiers(system):
        assert name in str(caught.value)
    assert system.snapshot() == now


def test_files_come_back_with_mode_and_owner() -> None:
    system = host()
    apply(system, SIMPLE, {}, TERMS)
    mine = FileState(PATH, "file", 0o640, system.files[PATH].text + "# more\n", uid=7, gid=8)
    system.files[PATH] = mine
    apply(system, SIMPLE, {}, TERMS)
    assert system.files[PATH] != mine
    rollback(system, LAST, TERMS)
    assert system.files[PATH] == mine


def attempt(system: FakeSystem) -> str:
    """What a failure says; empty where there was none."""
    try:
        rollback(system, LAST, TERMS)
    except HostError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("late", [False, True])
def test_a_failure_at_any_step_leaves_all_as_it_was(late: bool) -> None:
    whole = host()
    made(whole)
    before = len(whole.steps)
    rollback(whole, LAST, TERMS)
    failed = 0
    for step in range(1, len(whole.steps) - before + 1):
        system = host()
        made(system)
        now = system.snapshot()
        system.fail_at, system.fail_late = len(system.steps) + step, late
        said = attempt(system)
        if said:
            failed += 1
            assert "everything was restored" in said, step
            assert system.snapshot() == now, step
    assert failed > 5


def test_a_host_without_memory_and_a_damaged_one() -> None:
    system = host()
    with pytest.raises(InputError, match="'000001-20260101T000000Z' is none that this host could take back"):
        rollback(system, "000001-20260101T000000Z", TERMS)
    made(system)
    name = identifiers(system)[-1]
    system.put("%s/%s.json" % (HISTORY, name), "{", 0o600)
    now = system.snapshot()
    with pytest.raises(HostError, match=r"%s\.json: cannot be read as a record of a change" % name):
        rollback(system, LAST, TERMS)
    assert system.snapshot() == now


def test_ids_sort_by_time_whatever_was_done_to_the_clock() -> None:
    system = host()
    apply(system, SIMPLE, {}, TERMS)
    system.clock -= 1e7
    apply(system, NOTHING, {}, TERMS)
    names = identifiers(system)
    assert [name.partition("-")[0] for name in names] == ["000001", "000002"]
    assert names[0].partition("-")[2] > names[1].partition("-")[2]
    rollback(system, LAST, TERMS)
    assert system.sysctls[FIN] == "30"
