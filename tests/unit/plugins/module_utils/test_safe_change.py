# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A change that waits to be confirmed: whatever ends it, the host is wholly as before or wholly as declared."""

from __future__ import annotations

import copy
import errno
import json
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._begin import Terms
from ansible_collections.netfleet.tcp.plugins.module_utils._boot_recovery import LINK, UNIT
from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint import (
    CONFIRMED,
    REVERTED,
    Checkpoint,
    Things,
    all_before,
    describe_end,
    dump,
    load,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint_store import (
    HISTORY,
    KEPT,
    PENDING_PATH,
    PROGRAM,
    identifiers,
    read_ended,
    read_pending,
    summaries,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._confirmed import confirm, take_back
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError
from ansible_collections.netfleet.tcp.plugins.module_utils._model import ChangeSummary, FileState
from ansible_collections.netfleet.tcp.plugins.module_utils._revert_main import persist, wait
from ansible_collections.netfleet.tcp.plugins.module_utils._revert_main import take_back as clock_ends
from ansible_collections.netfleet.tcp.plugins.module_utils._sysctl_d import parse
from ansible_collections.netfleet.tcp.plugins.module_utils._transaction import apply
from tests.unit.plugins.fake_system import SYSCTLS, FakeSystem
from tests.unit.plugins.module_utils.test_transaction import (
    EVERYTHING,
    FIN,
    NOTHING,
    PATH,
    RMEM,
    SECRET,
    SECRETS,
    SIMPLE,
    STATE,
    host,
)

TERMS = Terms(120, "ann@controller")


class Killed(BaseException):
    """SIGKILL, or the end of the power: nothing that would be done on the way out is done."""


def changed(system: FakeSystem) -> str:
    """A change that waits to be confirmed; its id."""
    pending = apply(system, EVERYTHING, SECRETS, TERMS).pending
    assert pending is not None
    return pending.id


def time_is_over(system: FakeSystem) -> str:
    system.uptime += 120
    return clock_ends(system)


# What waits


def test_until_it_is_confirmed_the_running_kernel_alone_is_changed() -> None:
    system = host()
    files = dict(system.files)
    identifier = changed(system)
    assert system.sysctls[RMEM] == "4096\t131072\t33554432"
    added = set(system.files) - set(files)
    assert added == {PENDING_PATH, PROGRAM, UNIT, LINK}
    assert system.timer[-3:] == ["-I", PROGRAM, "--wait"]
    pending, last = summaries(system)
    assert pending is not None
    assert (pending.id, pending.author, pending.window, pending.left) == (identifier, "ann@controller", 120, 120)
    assert last is None


def test_confirmed_it_is_as_if_it_had_been_made_at_once() -> None:
    one, other = host(), host()
    apply(one, EVERYTHING, SECRETS)
    ended, warnings = confirm(other, changed(other))
    assert (ended.summary.outcome, warnings) == (CONFIRMED, [])
    assert other.snapshot() == one.snapshot()
    assert (other.timer, read_pending(other)) == ([], None)
    assert apply(other, EVERYTHING, SECRETS, TERMS).pending is None, "and there is nothing left to change"


def test_not_confirmed_it_is_taken_back_when_the_time_is_over() -> None:
    system = host()
    before = system.snapshot()
    identifier = changed(system)
    system.uptime += 60
    assert clock_ends(system) == "change %s is not due yet" % identifier
    system.uptime += 60
    assert clock_ends(system) == "change %s: it was not confirmed within 120 s" % identifier
    assert system.snapshot() == before
    _pending, last = summaries(system)
    assert last is not None
    assert (last.id, last.outcome) == (identifier, REVERTED)
    assert "was taken back at 2026-" in describe_end(last)
    assert "not confirmed within 120 s" in system.journal[-1]
    assert clock_ends(system) == "nothing is pending"


def test_one_that_needed_no_confirmation_is_not_said_to_lack_it() -> None:
    system = killed_at(20, False, 0)
    assert read_pending(system) is not None
    assert time_is_over(system).endswith(": its run was interrupted")


def test_setting_the_clock_makes_no_difference() -> None:
    system = host()
    changed(system)
    system.clock += 1e6
    assert "not due yet" in clock_ends(system)
    system.clock -= 1e7
    assert "not confirmed" in time_is_over(system)


def test_it_may_be_taken_back_before() -> None:
    system = host()
    before = system.snapshot()
    identifier = changed(system)
    assert take_back(system, identifier, "the canary coughed").summary.why == "the canary coughed"
    assert (system.snapshot(), system.timer) == (before, [])
    assert take_back(system, identifier, "again").summary.why == "the canary coughed", "twice does no harm"
    with pytest.raises(HostError, match="nothing is known of it"):
        take_back(system, "20260101T000000Z-0000", "x")


def test_what_was_taken_back_cannot_be_confirmed() -> None:
    system = host()
    identifier = changed(system)
    time_is_over(system)
    with pytest.raises(HostError, match="cannot be confirmed; reverted: it was not confirmed within 120 s"):
        confirm(system, identifier)


def test_a_confirmation_that_is_said_twice() -> None:
    system = host()
    identifier = changed(system)
    assert confirm(system, identifier)[0] == confirm(system, identifier)[0]


@pytest.mark.parametrize(
    ("disturb", "said"),
    [
        (lambda system: system.sysctls.update({FIN: "61"}), FIN + ": is 61, not 30 by now"),
        (lambda system: system.sysctls.update({"net.ipv4.tcp_fastopen_key": "1-2-3-4"}), "is another value by now"),
        (lambda system: setattr(system.interfaces["eth0"], "leaves", ["sfq"] * 3), "eth0: has the qdisc mq sfq by now"),
        (lambda system: system.interfaces.pop("eth1"), "eth1: has the qdisc (gone) by now"),
        (lambda system: setattr(system, "given_congestion_control", "cubic"), "a new socket gets cubic, not bbr"),
    ],
)
def test_what_no_longer_stands_is_taken_back_instead(disturb: Callable[[FakeSystem], Any], said: str) -> None:
    system = host()
    before = system.snapshot()
    identifier = changed(system)
    disturb(system)
    with pytest.raises(HostError) as caught:
        confirm(system, identifier)
    assert said in str(caught.value)
    assert "everything was restored" in str(caught.value)
    assert system.snapshot()["files"] == before["files"]
    assert system.sysctls[RMEM] == before["sysctls"][RMEM]


def test_while_one_is_pending_there_is_no_other() -> None:
    system = host()
    identifier = changed(system)
    now = system.snapshot()
    with pytest.raises(HostError, match=r"change %s: is pending for 120 s more, made by ann@controller" % identifier):
        apply(system, SIMPLE, {}, TERMS)
    assert system.snapshot() == now


def test_one_whose_clock_died_is_taken_back_by_the_next_run() -> None:
    system = host()
    changed(system)
    system.uptime += 121
    outcome = apply(system, SIMPLE, {})
    assert "of an earlier run was reverted: its run was interrupted" in outcome.warnings[0]
    assert system.sysctls[FIN] == "30"
    assert system.sysctls["net.ipv4.tcp_fastopen"] == "1"


def test_without_systemd_a_process_keeps_the_time() -> None:
    system = host()
    del system.files["/run/systemd/system"]
    changed(system)
    (argv,) = system.detached
    assert argv[1:] == ["-I", PROGRAM, "--wait"]
    assert "not confirmed" in time_is_over(system)


@pytest.mark.parametrize(("window", "seconds"), [(120, 90), (31, 1), (20, 1)])
def test_the_clock_is_started_early_enough_to_be_loaded_in_time(window: int, seconds: int) -> None:
    system = host()
    apply(system, EVERYTHING, SECRETS, Terms(window))
    assert "--on-active=%d" % seconds in system.timer


def test_the_program_of_the_clock_waits_for_the_end_of_the_time() -> None:
    system = host()
    changed(system)
    began = system.uptime
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        system.clock += 86400.0
        system.uptime += seconds

    wait(system, sleep)
    assert system.uptime - began == pytest.approx(120.0, abs=0.02)
    assert max(slept) <= 1.0
    assert "not confirmed" in clock_ends(system)


def test_and_no_longer_than_until_it_is_confirmed() -> None:
    system = host()
    identifier = changed(system)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        confirm(system, identifier)

    wait(system, sleep)
    assert len(slept) == 1


def test_it_does_not_wait_for_a_change_whose_record_is_damaged() -> None:
    system = host()
    changed(system)
    system.put(PENDING_PATH, "{")
    wait(system, lambda _seconds: pytest.fail("waited"))
    with pytest.raises(HostError, match=r"pending\.json"):
        clock_ends(system)


def test_a_run_that_hangs_does_not_keep_its_change_from_being_taken_back() -> None:
    system = host()
    before = system.snapshot()
    changed(system)
    system.locked_by = "pid 7"
    with pytest.raises(HostError, match="held by another run"):
        clock_ends(system)
    assert "not confirmed" in time_is_over(system)
    assert (system.killed, system.snapshot()) == ("pid 7", before)


def test_nobody_is_killed_where_nothing_is_due() -> None:
    system = host()
    confirm(system, changed(system))
    system.locked_by = "pid 7"
    with pytest.raises(HostError, match="held by another run"):
        time_is_over(system)
    assert system.killed == ""


def test_so_does_one_where_the_timer_is_masked() -> None:
    system = host()
    system.timer_masked = True
    changed(system)
    assert (system.timer, len(system.detached)) == ([], 1)


def test_where_nothing_can_be_armed_nothing_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    system = host()
    before = system.snapshot()
    system.timer_masked = True

    def refuse(_argv: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(system, "detach", refuse)
    with pytest.raises(HostError, match="no revert could be armed"):
        apply(system, EVERYTHING, SECRETS, TERMS)
    assert system.snapshot() == before
    assert not any(step.startswith(("sysctl", "modprobe", "tc")) for step in system.steps)


def test_files_get_their_owner_back() -> None:
    system = host()
    system.files[PATH] = FileState(PATH, "file", 0o640, "# theirs\n", uid=7, gid=8)
    before = system.files[PATH]
    desired = SIMPLE.__class__(**{**SIMPLE.__dict__, "boot_conflict": "warn"})
    pending = apply(system, desired, {}, TERMS).pending
    assert pending is not None
    confirm(system, pending.id)
    assert system.files[PATH].uid == 0
    apply(system, NOTHING, {})
    assert system.files[PATH] == before


# Killed at any moment


def boot(system: FakeSystem, identifier: str) -> None:
    """A boot: kernel defaults, then the unit that takes an interrupted change back, then what the files say."""
    fresh = host()
    system.dead, system.fail_at, system.steps, system.timer, system.detached = False, 0, [], [], []
    system.boot(identifier, 30.0)
    system.sysctls, system.loaded = dict(SYSCTLS), set(fresh.loaded)
    if LINK in system.files and UNIT in system.files and PROGRAM in system.files:
        clock_ends(system, early=True)
    for path in sorted(system.files):
        if path.startswith("/etc/modules-load.d/"):
            system.loaded |= {line for line in system.files[path].text.splitlines() if line and line[0] != "#"}
    for path in sorted(path for path in system.files if path.startswith("/etc/sysctl.d/")):
        for name, line in parse(path, system.files[path].text):
            if line.value is not None:
                system._set(name, line.value)
    system.interfaces = {name: copy.deepcopy(each) for name, each in fresh.interfaces.items()}
    for interface in system.interfaces.values():
        interface.attach_default(system.sysctls["net.core.default_qdisc"])
    for path, state in sorted(system.files.items()):
        if path.endswith("-qdisc.service") and state.kind == "symlink":
            unit = system.files[path.replace("multi-user.target.wants/", "")].text.splitlines()
            system._batch([line.split("tc ", 1)[1] for line in unit if line.startswith("ExecStart=")])


def booted(state: FakeSystem) -> dict[str, Any]:
    system = copy.deepcopy(state)
    boot(system, "another boot")
    return system.snapshot()


def as_booted() -> FakeSystem:
    """A host on which nobody has changed a qdisc since it was booted."""
    system = host()
    system.interfaces["eth1"].attach_default(system.sysctls["net.core.default_qdisc"])
    return system


def outcomes(window: int, make: Callable[[], FakeSystem] = host) -> tuple[int, FakeSystem, FakeSystem]:
    """How many steps a whole change takes, and the host before and after it."""
    before, after = make(), make()
    run(after, window)
    return len(after.steps), before, after


def run(system: FakeSystem, window: int) -> None:
    pending = apply(system, EVERYTHING, SECRETS, Terms(window, "ann")).pending
    if pending:
        confirm(system, pending.id)


def killed_at(step: int, late: bool, window: int, make: Callable[[], FakeSystem] = host) -> FakeSystem:
    system = make()
    system.fail_at, system.fail_late, system.deadly, system.exception = step, late, True, Killed()
    with pytest.raises(BaseException):  # noqa: B017 - whatever the way out makes of it
        run(system, window)
    system.dead, system.fail_at, system.lock_held = False, 0, False
    return system


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("window", [0, 120])
def test_killed_at_any_step_the_clock_leaves_the_host_whole(window: int, late: bool) -> None:
    steps, before, after = outcomes(window)
    seen = set()
    for step in range(1, steps + 1):
        system = killed_at(step, late, window)
        what = "step %d of %d: %s" % (step, steps, system.steps[-1])
        time_is_over(system)
        state = system.snapshot()
        assert state in (before.snapshot(), after.snapshot()), what
        seen.add(state == after.snapshot())
        # And the next run puts it right.
        run(system, window)
        assert system.snapshot() == after.snapshot(), what
    assert seen == {False, True}


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("window", [0, 120])
def test_without_power_at_any_step_the_next_boot_leaves_the_host_whole(window: int, late: bool) -> None:
    steps, before, after = outcomes(window, as_booted)
    old, new = booted(before), booted(after)
    for step in range(1, steps + 1):
        system = killed_at(step, late, window, as_booted)
        what = "step %d of %d: %s" % (step, steps, system.steps[-1])
        boot(system, "another boot")
        state = system.snapshot()
        # Where nothing had been armed yet, the record is left for the next run to find; and a unit that no boot starts.
        if state["files"].pop(PENDING_PATH, None) or UNIT in state["files"]:
            assert LINK not in system.files, what
            state["files"].pop(UNIT, None)
        assert state in (old, new), what
        run(system, window)
        assert PENDING_PATH not in system.files, what
        assert without_record(system) == without_record(after), what


def without_record(system: FakeSystem) -> dict[str, Any]:
    """The host's state but for the values from before, which a boot may have changed."""
    state = system.snapshot()
    state["files"].pop(STATE, None)
    return state


# Records


CHANGE = Checkpoint(ChangeSummary("20261125T120300Z-9f3a"), Things(keys={FIN: "60"}), Things(keys={FIN: "30"}))


def test_a_record_is_read_as_it_was_written() -> None:
    assert load("x", dump(CHANGE)) == CHANGE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"format": 1}',
        dump(CHANGE).replace('"format": 1', '"format": 2'),
        dump(CHANGE).replace('"keys"', '"kys"'),
        dump(CHANGE).replace('"60"', "60"),
    ],
)
def test_a_record_that_is_damaged_or_of_another_version_is_refused_by_name(text: str) -> None:
    system = host()
    system.put(PENDING_PATH, text, 0o600)
    now = system.snapshot()
    with pytest.raises(HostError, match=r"/var/lib/netfleet-tcp/pending\.json: cannot be read as a record of a change"):
        apply(system, SIMPLE, {}, TERMS)
    with pytest.raises(HostError, match="cannot be read as a record"):
        clock_ends(system)
    pending, _last = summaries(system)
    assert pending is not None
    assert (pending.outcome, PENDING_PATH in pending.why) == ("unreadable", True)
    assert system.snapshot() == now


def test_the_latest_changes_are_kept_and_no_more() -> None:
    system = host()
    for number in range(KEPT + 5):
        apply(system, SIMPLE if number % 2 else NOTHING, {})
        apply(system, NOTHING if number % 2 else SIMPLE, {})
    found = identifiers(system)
    assert len(found) == KEPT
    assert found == sorted(found)
    newest = read_ended(system, found[-1])
    assert newest is not None
    assert newest.summary.outcome == CONFIRMED


def test_records_hold_secrets_and_are_closed() -> None:
    system = host()
    identifier = changed(system)
    assert SECRET in system.files[PENDING_PATH].text
    assert system.files[PENDING_PATH].mode == 0o600
    confirm(system, identifier)
    state = system.files["%s/%s.json" % (HISTORY, identifier)]
    assert (state.mode, SECRET in state.text) == (0o600, True)
    assert SECRET not in json.dumps([str(entry) for entry in load("x", state.text).changes])
    assert SECRET not in " ".join(system.journal)


def test_what_stood_before_several_changes() -> None:
    later = Things(
        {FIN: "30", RMEM: "1 2 3"}, {"eth0": "fq"}, {"a": False}, {"/x": FileState("/x", "file", 0o644, "1")}
    )
    earlier = Things({FIN: "60"}, {"eth0": "fq_codel", "eth1": "sfq"}, {"a": True}, {"/x": FileState("/x")})
    found = all_before(
        [Checkpoint(ChangeSummary("2"), later, Things()), Checkpoint(ChangeSummary("1"), earlier, Things())]
    )
    assert found == Things(
        {FIN: "60", RMEM: "1 2 3"}, {"eth0": "fq_codel", "eth1": "sfq"}, {"a": True}, {"/x": FileState("/x")}
    )


def test_the_journal_says_what_was_there_and_what_is_to_be_without_secrets() -> None:
    system = host()
    identifier = changed(system)
    lines = [line for line in system.journal if line.startswith("change %s: sysctl " % identifier)]
    assert "change %s: sysctl net.ipv4.tcp_fin_timeout: 60 -> 30" % identifier in lines
    assert SECRET not in "\n".join(system.journal)
    confirm(system, identifier)


# What was never begun, and what cannot be taken back yet


@pytest.mark.parametrize("what", ["file " + PROGRAM, "arm", "file " + UNIT])
def test_a_run_that_died_before_all_was_armed_keeps_nobody_waiting(what: str) -> None:
    complete = host()
    changed(complete)
    step = complete.steps.index(what) + 1
    system = host()
    before = system.snapshot()
    system.fail_at, system.deadly, system.exception = step, True, Killed()
    with pytest.raises(BaseException):  # noqa: B017 - whatever the way out makes of it
        changed(system)
    system.dead, system.fail_at = False, 0
    pending, _last = summaries(system)
    assert pending is not None
    assert pending.left == 0
    identifier = changed(system)
    confirm(system, identifier)
    assert system.snapshot() != before
    assert read_pending(system) is None


def stuck(system: FakeSystem) -> str:
    """A change whose files are half written when the disk becomes read-only; its id."""
    identifier = changed(system)
    written = 0

    def on_step(_step: int) -> None:
        nonlocal written
        written += system.steps[-1].startswith(("file /etc/", "link /etc/"))
        etc = system.steps[-1].split(" ", 1)[1].startswith("/etc/")
        if written > 2 and etc:
            raise OSError(errno.EROFS, "Read-only file system")

    system.on_step = on_step
    with pytest.raises(HostError, match="could not be restored"):
        confirm(system, identifier)
    return identifier


def test_while_a_file_cannot_be_given_back_the_change_stays_pending_and_its_clock_runs() -> None:
    system = host()
    before = system.snapshot()
    stuck(system)
    assert read_pending(system) is not None
    assert system.timer
    # The next run says so too, and does nothing else.
    system.uptime += 120
    with pytest.raises(HostError, match="could not be restored"):
        changed(system)
    naps: list[float] = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        system.on_step = None if len(naps) == 3 else system.on_step

    # The clock tries until the disk can be written again.
    assert persist(system, 10, sleep=sleep) == 0
    assert len(naps) == 3
    assert system.snapshot() == before
    assert read_pending(system) is None


def test_no_boot_takes_a_file_that_could_not_be_given_back_for_confirmed() -> None:
    system = as_booted()
    old = booted(system)
    stuck(system)
    system.on_step = None
    boot(system, "another boot")
    assert system.snapshot() == old
