# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Breaking whole runs of the role on a host: its connection, its controller, its disk, its clock."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from testinfra.host import Host as Connection

from lab.paths import REPOSITORY
from tests.molecule.faults import OLD, RUN, WATCHER, Ended, Sides, first_differences, steady
from tests.molecule.hosts import Seen, wait_for
from tests.molecule.playbook import Run, Running, run_playbook, start_playbook

ROAD = REPOSITORY / "molecule" / "faults" / "road.yml"
WATCH = "/run/fault_watcher.log"
# A connection that is cut is noticed within some ten seconds, so that a test need not wait for minutes.
IMPATIENT = {
    "ANSIBLE_TIMEOUT": "10",
    "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=60s -o ServerAliveInterval=4 -o ServerAliveCountMax=3",
}
# A window in which an emulated host has loaded what takes the change back, and one that it does not exceed.
SHORT, LONG = 45, 180
PATIENCE = 180.0
# What a run says of a change that the host has taken back by itself.
TAKEN_BACK = "was taken back at"


@dataclass
class Road:
    """A host that the role is run on, as before the change and after it."""

    name: str
    connection: Connection
    machine: Path
    scratch: Path
    sides: Sides

    @classmethod
    def to(cls, name: str, connection: Connection, machine: Path, scratch: Path) -> Road:
        """Run it once, and take it back: what that makes of the host is what it may be later."""
        scratch.mkdir()
        road = cls(name, connection, machine, scratch, Sides(Seen.on(connection), Seen.on(connection)))
        # Once for nothing: the modules that it loads stay.
        road.tuned()
        road.undo()
        before = steady(Seen.on(connection))
        road.tuned()
        road.sides = Sides(before, steady(Seen.on(connection)))
        assert road.sides.before != road.sides.after
        road.undo()
        assert steady(Seen.on(connection)) == before
        return road

    def start(self, window: int, second: bool = False) -> Running:
        """Start a run."""
        scratch = self.scratch / ("second" if second else "first")
        scratch.mkdir(exist_ok=True)
        extra = f"tcp_tuning_confirm={window} tcp_tuning_log="
        return start_playbook(scratch, f"--limit={self.name}", "-e", extra, playbook=ROAD, more=IMPATIENT)

    def tuned(self) -> Run:
        """A run that nothing breaks."""
        extra = f"tcp_tuning_confirm={LONG} tcp_tuning_log="
        run = run_playbook(self.scratch, f"--limit={self.name}", "-e", extra, playbook=ROAD)
        assert run.status == 0, run.output
        return run

    def undo(self) -> None:
        """Take the latest change back."""
        self.connection.check_output(f"{RUN} rollback")

    def watch(self, moment: str, strike: str, shut: bool = False) -> None:
        """Have the host strike in a moment of the next change. shut: and let nobody in for a while."""
        words = f"{'--shut ' if shut else ''}{moment} {strike}"
        self.connection.check_output(
            f"rm -f {WATCH}; (setsid /usr/bin/python3 -I {WATCHER} {words} > {WATCH} 2>&1 < /dev/null &);"
            f" timeout 60 sh -c 'until grep -q ready {WATCH}; do sleep 0.5; done'"
        )

    def wait_until(self, word: str, pause: float = 2.0) -> None:
        """Until the watcher has said so. Asking often would keep an emulated host from anything else."""
        wait_for(self.connection, f'timeout 60 sh -c "until grep -q {word} {WATCH}; do sleep {pause}; done"', PATIENCE)

    def is_pending(self) -> None:
        """Wait for the moment that the watcher waits for."""
        self.wait_until("struck", 0.5)

    def late(self) -> float:
        """How long after its time the change has ended, by the watcher; below 0: it ended before."""
        self.wait_until("ended")
        found = re.search(r"^ended (-?[0-9.]+)$", self.connection.check_output(f"cat {WATCH}"), re.MULTILINE)
        assert found
        return float(found.group(1))

    def idle(self) -> None:
        """Wait until no clock runs on the host any more."""
        clock = "netfleet-tcp-revert.timer netfleet-tcp-revert.service"
        wait_for(self.connection, f"! systemctl is-active -q {clock}", PATIENCE)

    def ended(self, said: str, late: float = 0.0, by_itself: bool = False, leftovers: bool = True) -> Ended:
        """What the host is now; and whether the next run, and taking that back, puts it right.

        by_itself: the host has taken the change back, which the next run says. leftovers: as in steady.
        """
        self.idle()
        now = steady(Seen.on(self.connection), leftovers)
        state, differs = self.sides.state(now), self.sides.differs(now)
        wrong: dict[str, object] = {}
        run = self.tuned()
        told = [text for text in warnings(run, self.name) if TAKEN_BACK in text]
        if bool(told) != by_itself:
            wrong["next run"] = f"warns {warnings(run, self.name)}"
        if bool(run.changed) != (state == OLD):
            wrong["changed"] = f"{run.changed} on a host that was {state}"
        after = steady(Seen.on(self.connection))
        if after != self.sides.after:
            wrong["next"] = first_differences(self.sides.after, after)
        self.undo()
        undone = steady(Seen.on(self.connection))
        if undone != self.sides.before:
            wrong["undone"] = first_differences(self.sides.before, undone)
        return Ended(state, differs, said or "".join(told), late, wrong or "")


def warnings(run: Run, host: str) -> list[str]:
    """What a run warned of."""
    return [str(text) for text in run.results[host].get("warnings") or []]


def message(run: Run, host: str) -> str:
    """How a run failed, in words."""
    return " ".join(str(run.results[host].get("msg", "")).split())
