# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make test`: run the parts of the test, side by side where that is safe: `python -m tools.parts [PART ...]`.

Each part is a target of the Makefile. It has passed when it exits with 0, unless its last line begins with "SKIPPED:",
which is neither passed nor failed. Logs are in .cache/logs/. The exit status is 1 if a part failed.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from tools import progress
from tools.shared import CACHE, ROOT, ToolError, alone, finish

LOGS = CACHE / "logs"
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
BAR = re.compile(r"^ *│ ?")  # before each line of what molecule runs
# The lane that has the machine to itself, once all others have come to their end.
ALONE = "alone"
# How a part is ended, and how many seconds each signal is given: molecule may have hosts to take down.
SIGNALS = ((signal.SIGINT, 30.0), (signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0))


class Outcome(Enum):
    """How a part stands."""

    WAITING = "waiting"
    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass
class Part:
    """A target of the Makefile, and how its run went."""

    name: str
    lane: str  # parts of one lane run one after the other
    limit: int  # seconds after which it is taken to hang
    instance: str | None = None  # of the lab; taken down should the part be stopped half-way
    outcome: Outcome = Outcome.WAITING
    started: float = 0.0
    seconds: float = 0.0
    why: str = ""

    @property
    def log(self) -> Path:
        """Where everything that the part prints is kept."""
        return LOGS / f"{self.name}.log"

    def lines(self) -> list[str]:
        """What the part has printed so far, less empty lines, colours (which remain in part) and molecule's bar."""
        if not self.log.exists():
            return []
        text = COLOUR.sub("", self.log.read_text(encoding="utf-8", errors="replace"))
        return [line for line in (BAR.sub("", line) for line in text.splitlines()) if line.strip()]

    def elapsed(self) -> float:
        """Seconds that it has taken until now, or took."""
        return time.monotonic() - self.started if self.outcome is Outcome.RUNNING else self.seconds


def all_parts() -> list[Part]:
    """The parts of the test. The lab's share a lane, since they share an instance of the lab and the memory.

    Their limits are for what hangs, not for what is slow: some three times what they take.
    """
    sources = (
        "lint",
        "types",
        "unit",
        "netns",
        "browser",
        "collection",
        "sanity",
        "target-pythons",
        "controllers",
        "precedence",
        "loopback",
        "monitoring",
    )
    parts = [Part(name, "sources", 1800) for name in sources]
    lab = {
        "molecule": 2700,
        "test-kernel": 3600,
        "test-links-core": 3600,
        "test-faults-core": 1500,
        "ci-examples": 900,
    }
    parts += [Part(name, "lab", limit, "test") for name, limit in lab.items()]
    # RTT and loss between emulated machines.
    return [*parts, Part("test-conditions-core", ALONE, 1800, "test")]


def environment() -> dict[str, str]:
    """Environment of a part: ours less what make leaves in it, since each part starts make anew; plain output."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"}
    return {**kept, "LC_ALL": "C.UTF-8", "NO_COLOR": "1", "ANSIBLE_NOCOLOR": "1", "PY_COLORS": "0", "COLUMNS": "120"}


def lives(group: int) -> bool:
    """Whether a process group has members that are not merely waiting to be waited for."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            state, _, number = stat.read_text(errors="replace").rpartition(")")[2].split()[:3]
            if int(number) == group and state not in "ZX":
                return True
    return False


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a part's process group, politely first so that it can take down what it started."""
    for number, patience in SIGNALS:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        until = time.monotonic() + patience
        # make itself may end while what it started lives on, deaf to the first signal.
        while (process.poll() is None or lives(process.pid)) and time.monotonic() < until:
            time.sleep(0.05)


def judge(part: Part, status: int) -> None:
    """Set the outcome of a part that came to its end by itself."""
    last = next(reversed(part.lines()), "")
    if status:
        part.outcome, part.why = Outcome.FAILED, f"exit status {status}"
    elif last.startswith("SKIPPED:"):
        part.outcome, part.why = Outcome.SKIPPED, last.removeprefix("SKIPPED:").strip()
    else:
        part.outcome = Outcome.PASSED


def perform(part: Part, stopping: threading.Event) -> None:
    """Run one part to its end, its limit, or until we are told to stop."""
    part.started, part.outcome = time.monotonic(), Outcome.RUNNING
    with part.log.open("wb") as log:
        process = subprocess.Popen(
            ["make", part.name],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        why = ""
        while process.poll() is None and not why:
            time.sleep(0.1)
            if stopping.is_set():
                why = "interrupted"
            elif time.monotonic() - part.started > part.limit:
                why = f"stopped: it took longer than {part.limit} s"
        if why:
            stop(process)
            if part.instance:
                command = [sys.executable, "-m", "tools.lab_down", part.instance]
                subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)
    part.seconds = time.monotonic() - part.started
    if why:
        part.outcome, part.why = Outcome.FAILED, why
    else:
        judge(part, process.returncode)


def run_lane(parts: list[Part], stopping: threading.Event) -> None:
    """Run the parts of one lane, one after the other."""
    for part in parts:
        if stopping.is_set():
            part.outcome, part.why = Outcome.FAILED, "interrupted before it began"
            continue
        try:
            perform(part, stopping)
        except OSError as error:
            part.outcome, part.why = Outcome.FAILED, f"could not be started: {error}"


def run_all(parts: list[Part]) -> None:
    """Run the lanes side by side, and show how they get on; the last one alone."""
    stopping = threading.Event()
    lanes: dict[str, list[Part]] = {part.lane: [] for part in parts}
    for part in parts:
        lanes[part.lane].append(part)
    alone_at_last = lanes.pop(ALONE, [])
    with progress.display(parts) as show:
        for together in ([*lanes.values()], [alone_at_last]):
            threads = [threading.Thread(target=run_lane, args=(lane, stopping)) for lane in together]
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                try:
                    show()
                    time.sleep(0.25)
                except KeyboardInterrupt:
                    stopping.set()
        show()


def chosen(names: list[str]) -> list[Part]:
    """The parts of these names, or all."""
    parts = all_parts()
    known = [part.name for part in parts]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ToolError(f"no such part of the test: {', '.join(unknown)}; there are {', '.join(known)}")
    return [part for part in parts if not names or part.name in names]


def main() -> int:
    """Run the parts and print the table; 1 if one did not pass."""
    parts = chosen(sys.argv[1:])
    started = time.monotonic()
    with alone("test"):
        LOGS.mkdir(parents=True, exist_ok=True)
        for part in parts:
            part.log.unlink(missing_ok=True)
        run_all(parts)
    progress.table(parts, time.monotonic() - started)
    failed = [part for part in parts if part.outcome not in (Outcome.PASSED, Outcome.SKIPPED)]
    return 1 if failed else 0


if __name__ == "__main__":
    finish(main)
