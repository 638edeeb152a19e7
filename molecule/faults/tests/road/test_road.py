# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole runs of the role that are broken from outside; each case says what must become of the host and of the run.

The work is shared among the hosts.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from testinfra.host import Host as Connection

from lab.paths import Settings
from tests.molecule.fault_board import Board, OnTheRoad
from tests.molecule.fault_road import LONG, SHORT, Road, message
from tests.molecule.faults import NEW, OLD, RUN, Ended, install, reset
from tests.molecule.playbook import Run

# Seconds of a cut: longer than a short window and all attempts to come back, or than one attempt alone.
FOR_GOOD, FOR_A_WHILE = 80, 15
# What a host may need beyond the end of the window. The limit is 5 s; an emulated host on a machine that runs others
# as well is late by more, which the table shows.
LATE = 20.0
DAY = 86400
STATE = "/var/lib/netfleet-tcp"


def expect(run: Run, host: str, status: str, *words: str) -> str:
    """That a run ended so and said so; what it said."""
    result = run.results[host]
    text = message(run, host)
    assert result["status"] == status, f"{host}: {result['status']}: {text}\n{run.output}"
    missing = [word for word in words if word not in text]
    assert not missing, f"{host}: does not say {missing}: {text}"
    return text or f"ok, changed: {bool(result.get('changed'))}"


def cut(road: Road, moment: str, *words: str) -> Ended:
    """The connection is lost until the time is over: the run gives up, and the host helps itself."""
    road.watch(moment, f"cut {FOR_GOOD}")
    run = road.start(SHORT).finish()
    said = expect(run, road.name, "unreachable", *words)
    road.wait_until("mended")
    return road.ended(said, road.late(), by_itself=True)


def cut_for_a_while(road: Road, moment: str) -> Ended:
    """The connection comes back in time: the run goes on."""
    road.watch(moment, f"cut {FOR_A_WHILE}")
    return road.ended(expect(road.start(LONG).finish(), road.name, "ok"))


def controller_killed(road: Road, moment: str, strike: str = "none") -> Ended:
    """The controller is gone: nobody confirms."""
    # Once it writes files it has been confirmed; before, it must not come to that.
    road.watch(moment, strike, shut=moment != "writing")
    running = road.start(LONG if moment == "writing" else SHORT)
    road.is_pending()
    running.kill()
    if strike.startswith("clock"):
        late = road.late()
        set_clock(road)
    else:
        late = road.late()
    confirmed = moment == "writing"
    return road.ended("", 0.0 if confirmed else late, by_itself=not confirmed)


def set_clock(road: Road) -> None:
    """To the right time again."""
    road.connection.check_output(f"date -u -s @{int(time.time())}")


def clock_jumps(road: Road, seconds: int) -> Ended:
    """The host's clock is set: the run confirms as ever."""
    road.watch("waiting", f"clock {seconds}")
    run = road.start(LONG).finish()
    set_clock(road)
    return road.ended(expect(run, road.name, "ok"))


def masked(road: Road, unit: str) -> Ended:
    """systemd will not run the timer: a process of its own does its work."""
    road.connection.check_output(f"systemctl mask {unit}")
    try:
        road.watch("waiting", "none", shut=True)
        running = road.start(SHORT)
        road.is_pending()
        running.kill()
        late = road.late()
    finally:
        road.connection.check_output(f"systemctl unmask {unit}")
    armed = road.connection.check_output(
        "journalctl -b -t netfleet-tcp -q -o cat | grep ' by a process of its own ' | tail -n 1"
    )
    assert armed
    return road.ended("", late, by_itself=True)


def two_at_once(road: Road) -> Ended:
    """The second says whose change is pending; the first goes on."""
    road.watch("waiting", "none", shut=True)
    first = road.start(LONG)
    road.is_pending()
    first.stop()
    try:
        said = expect(
            road.start(LONG, second=True).finish(), road.name, "failed", "is pending for ", " s more, made by "
        )
    finally:
        first.go_on()
    expect(first.finish(), road.name, "ok")
    return road.ended(said)


def held(road: Road) -> Ended:
    """A run that hangs holds the lock: the next says which process it is, and goes on once it is dead."""
    pid = road.connection.check_output(
        f"({RUN} hold > /dev/null 2>&1 < /dev/null & echo $! > /run/holder);"
        " timeout 60 sh -c 'until grep -q stopped /proc/$(cat /run/holder)/status; do sleep 0.1; done'; cat /run/holder"
    )
    try:
        said = expect(road.start(LONG).finish(), road.name, "failed", f"held by another run (pid {pid})")
    finally:
        road.connection.check_output(f"kill -KILL {pid}")
    return road.ended(said)


def in_place(road: Road, prepare: str, mounted: str, *words: str) -> Ended:
    """A file system that cannot be written: the run says which file, and nothing has changed."""
    road.connection.check_output(prepare)
    try:
        run = road.start(LONG).finish()
    finally:
        road.connection.check_output(f"umount {mounted}")
    return road.ended(expect(run, road.name, "failed", *words))


def full(directory: str, room: int, *words: str) -> Callable[[Road], Ended]:
    """No more than so many KiB left in a directory."""
    prepare = (
        f"rm -rf /run/kept && mkdir -p {directory} && cp -a {directory} /run/kept"
        f" && mount -t tmpfs -o size=128k,mode=755 tmpfs {directory}"
        f" && if test {directory} != {STATE}; then cp -a /run/kept/. {directory}; fi"
        f" && (cat /dev/zero > {directory}/zzz 2> /dev/null || true)"
        f" && truncate -s -{room}K {directory}/zzz"
    )
    return lambda road: in_place(road, prepare, directory, directory, "No space left on device", *words)


def read_only(directory: str) -> Callable[[Road], Ended]:
    """A directory in which nothing can be written from the beginning."""
    prepare = f"mkdir -p {directory} && mount --bind {directory} {directory} && mount -o remount,bind,ro {directory}"
    return lambda road: in_place(road, prepare, directory, directory, "Read-only file system")


def read_only_before_it_is_confirmed(road: Road) -> Ended:
    """The files cannot be written any more: what runs already is taken back."""
    road.connection.check_output("mount --bind /etc /etc")
    try:
        road.watch("waiting", "readonly /etc")
        run = road.start(LONG).finish()
    finally:
        road.connection.check_output("umount /etc")
    # The unit for the next boot stands in /etc, where it could not be removed.
    return road.ended(expect(run, road.name, "failed", "Read-only file system", "/etc/"), leftovers=False)


def power_fails(road: Road) -> Ended:
    """The machine is reset while the change waits: it boots into the old state, and the run says so."""
    road.watch("waiting", "none", shut=True)
    running = road.start(LONG)
    road.is_pending()
    reset(road.connection, road.machine)
    said = expect(running.finish(), road.name, "failed", "the host was booted before it was confirmed")
    return road.ended(said, by_itself=True)


UNREACHABLE = ("cannot be reached since change", "takes it back by itself")
# (the fault, the moment) -> what must become of the host, and what to do.
CASES: dict[tuple[str, str], tuple[str, Callable[[Road], Ended]]] = {
    ("connection cut", "while it is made"): (OLD, partial(cut, moment="recorded")),
    ("connection cut", "pending"): (OLD, lambda road: cut(road, "waiting", *UNREACHABLE)),
    ("connection cut for 15 s", "pending"): (NEW, partial(cut_for_a_while, moment="waiting")),
    ("connection cut for 15 s", "while files are written"): (NEW, partial(cut_for_a_while, moment="writing")),
    ("controller killed", "while it is made"): (OLD, partial(controller_killed, moment="recorded")),
    ("controller killed", "pending"): (OLD, partial(controller_killed, moment="waiting")),
    ("controller killed", "while files are written"): (NEW, partial(controller_killed, moment="writing")),
    ("two runs at once", "pending"): (NEW, two_at_once),
    ("lock held by a process that hangs", "before"): (OLD, held),
    ("clock a day ahead", "pending"): (NEW, partial(clock_jumps, seconds=DAY)),
    ("clock a day back", "pending"): (NEW, partial(clock_jumps, seconds=-DAY)),
    ("clock a day ahead, controller killed", "pending"): (
        OLD,
        partial(controller_killed, moment="waiting", strike=f"clock {DAY}"),
    ),
    ("clock a day back, controller killed", "pending"): (
        OLD,
        partial(controller_killed, moment="waiting", strike=f"clock -{DAY}"),
    ),
    ("timer masked, controller killed", "pending"): (OLD, partial(masked, unit="netfleet-tcp-revert.timer")),
    ("its service masked, controller killed", "pending"): (OLD, partial(masked, unit="netfleet-tcp-revert.service")),
    ("no space", "snapshot"): (OLD, full(STATE, 0, "pending.json")),
    ("no space", "program of the revert"): (OLD, full(STATE, 32, "revert.pyz")),
    ("no space", "while files are written"): (OLD, full("/etc/sysctl.d", 0, "90-netfleet-tcp.conf")),
    ("read-only state directory", "snapshot"): (OLD, read_only(STATE)),
    ("read-only /etc", "before"): (OLD, read_only("/etc")),
    ("read-only /etc", "pending"): (OLD, read_only_before_it_is_confirmed),
    ("power fails", "pending"): (OLD, power_fails),
}
Outcomes = dict[tuple[str, str], Ended]


@pytest.fixture(scope="module")
def failures() -> dict[tuple[str, str], str]:
    """What went wrong in the cases themselves."""
    return {}


@pytest.fixture(scope="module")
def ended(
    connections: dict[str, Connection],
    board: Board,
    settings: Settings,
    tmp_path_factory: pytest.TempPathFactory,
    failures: dict[tuple[str, str], str],
) -> Outcomes:
    """What became of the hosts."""
    jobs: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
    for case in CASES:
        jobs.put(case)
    scratch: Path = tmp_path_factory.mktemp("road")

    def suffer(name: str) -> Outcomes:
        found: Outcomes = {}
        try:
            install(connections[name])
            road = Road.to(name, connections[name], settings.backend_dir / name, scratch / name)
        except AssertionError as error:
            board.tell(f"{name} takes no part: {error}")
            return found
        while True:
            try:
                case = jobs.get_nowait()
            except queue.Empty:
                return found
            try:
                found[case] = CASES[case][1](road)
                board.add_run(OnTheRoad(case[0], case[1], name, found[case]))
            except (AssertionError, RuntimeError) as error:
                # The host may be in any state: it takes no part in what follows.
                failures[case] = f"{name}: {error}"
                board.tell(f"{name}: {case[0]}, {case[1]}: {failures[case]}")
                return found

    with ThreadPoolExecutor() as pool:
        return {case: outcome for found in pool.map(suffer, connections) for case, outcome in found.items()}


@pytest.mark.parametrize("case", CASES, ids=", ".join)
def test_the_host_and_the_run_end_as_they_must(
    ended: Outcomes, failures: dict[tuple[str, str], str], case: tuple[str, str]
) -> None:
    assert case not in failures, failures[case]
    assert case in ended, "no host was left to try it on"
    outcome = ended[case]
    assert (outcome.state, outcome.differs) == (CASES[case][0], "")
    assert not outcome.wrong
    assert outcome.late <= LATE
