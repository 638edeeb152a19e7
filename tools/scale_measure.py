# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one run of Ansible costs its controller and its hosts, both being on this machine: time, and memory sampled."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tools.cpu_time import descendants, processes
from tools.shared import ROOT

INTERVAL = 0.25  # seconds between two looks at the memory
PATIENCE = 10  # seconds that Ansible has to end when it is told to
KIB = 1024


@dataclass(frozen=True)
class Usage:
    """What a run used: seconds on the clock, CPU seconds of everything and of the hosts in it, memory's peaks in bytes.

    main: resident, of Ansible's main process. fork: resident, of the largest of its workers, with what it shares with
    the main process. whole: main process and workers at one time, shared pages counted once.
    """

    wall: float
    cpu: float
    hosts: float
    main: int
    fork: int
    whole: int

    @property
    def controller(self) -> float:
        """CPU seconds of the controller alone."""
        return self.cpu - self.hosts


def parse_memory(text: str) -> dict[str, int]:
    """Name and bytes of each line `Name:  12 kB` of /proc/PID/status or smaps_rollup; other lines are left out."""
    found = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        words = value.split()
        if len(words) == 2 and words[1] == "kB":
            found[name] = int(words[0]) * KIB
    return found


def _memory(process: int) -> dict[str, int]:
    """Memory of a process; empty where it has ended."""
    try:
        folder = Path("/proc") / str(process)
        texts = [(folder / name).read_text(encoding="utf-8") for name in ("smaps_rollup", "status")]
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return parse_memory("\n".join(texts))


def _children(process: int) -> set[int]:
    """The children of a process, whichever of its threads started them."""
    found: set[int] = set()
    try:
        for thread in (Path("/proc") / str(process) / "task").iterdir():
            found.update(int(word) for word in (thread / "children").read_text(encoding="ascii").split())
    except (FileNotFoundError, ProcessLookupError):
        pass  # it has ended
    return found


@dataclass
class Peaks:
    """The largest that was seen, in bytes."""

    main: int = 0
    fork: int = 0
    whole: int = 0

    def add(self, main: Mapping[str, int], workers: Iterable[Mapping[str, int]]) -> None:
        """Take one look at the memory of the main process and its workers into account."""
        seen = list(workers)
        self.main = max(self.main, main.get("VmHWM", 0))
        self.whole = max(self.whole, main.get("Pss", 0) + sum(worker.get("Pss", 0) for worker in seen))
        for worker in seen:
            self.fork = max(self.fork, worker.get("VmHWM", 0))


@dataclass
class Measured:
    """A run that has ended: its exit status, what it printed, what it used."""

    status: int
    told: str
    usage: Usage = field(repr=False)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a run that is not to go on, with its workers: Ansible gives each a session of its own."""
    tree = descendants([process.pid], processes())
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(PATIENCE)
    # Those that are left are ours now (PR_SET_CHILD_SUBREAPER); a number that a stranger has got since is not below us.
    for number in tree & descendants([os.getpid()], processes()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    process.wait()


def _watch(process: subprocess.Popen[bytes], peaks: Peaks) -> resource.struct_rusage:
    """Look at a run's memory until it ends; what the kernel says that it and all its descendants used."""
    try:
        while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            peaks.add(_memory(process.pid), map(_memory, _children(process.pid)))
            time.sleep(INTERVAL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)  # it is reaped: Popen must not wait again
    except BaseException:
        _end(process)
        raise
    return used


def measure(command: Sequence[str], env: Mapping[str, str], log: Path, usage_file: Path) -> Measured:
    """Run a command of Ansible's to its end and say what it used; its output goes to `log`.

    `usage_file` is where the connection plugin writes the hosts' share; what was there is removed. The time is that of
    the process and all its descendants that were waited for.
    """
    usage_file.unlink(missing_ok=True)
    peaks = Peaks()
    with log.open("w", encoding="utf-8") as output:
        started = time.monotonic()
        process = subprocess.Popen(
            list(command), cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        used = _watch(process, peaks)
        wall = time.monotonic() - started
    hosts = sum(map(float, usage_file.read_text(encoding="ascii").split())) if usage_file.exists() else 0.0
    # Of all processes of a run the main one is the largest; the kernel's word on it has no gaps between two looks.
    main = max(peaks.main, used.ru_maxrss * KIB)
    usage = Usage(wall, used.ru_utime + used.ru_stime, hosts, main, peaks.fork, peaks.whole)
    return Measured(process.returncode, log.read_text(encoding="utf-8", errors="replace"), usage)
