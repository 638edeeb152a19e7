# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that the lab started: naming one safely, ending it, and finding those of others by what they hold."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """A process by number and start time, so that a number that was given anew is never mistaken for it."""

    pid: int
    started: int  # clock ticks since boot

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """The process that has this number now."""
        started = _start_time(pid)
        return None if started is None else cls(pid, started)

    @classmethod
    def read(cls, path: Path) -> Process | None:
        """The process that a file names, if it is well formed."""
        try:
            pid, started = path.read_text(encoding="ascii").split()
            return cls(int(pid), int(started))
        except (FileNotFoundError, ValueError):
            return None

    def write(self, path: Path) -> None:
        """Name this process in a file, at once complete."""
        temporary = path.with_suffix(".new")
        temporary.write_text(f"{self.pid} {self.started}\n", encoding="ascii")
        temporary.replace(path)

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return _start_time(self.pid) == self.started

    def send(self, number: signal.Signals) -> None:
        """Send it a signal unless it has gone."""
        with contextlib.suppress(ProcessLookupError):
            if self.alive:
                os.kill(self.pid, number)

    def end(self, seconds: float) -> None:
        """End it: SIGTERM, and SIGKILL if it has not gone after some seconds."""
        for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 5.0)):
            self.send(number)
            deadline = time.monotonic() + patience
            while self.alive and time.monotonic() < deadline:
                time.sleep(0.02)


def _start_time(pid: int) -> int | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return None if fields[0] in "ZX" else int(fields[19])


def command_line(pid: int) -> list[str]:
    """The words of a process's command line; none if it has gone."""
    try:
        text = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rstrip("\0").split("\0")


def all_pids() -> Iterator[int]:
    """The numbers of all processes."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            yield int(entry.name)


def sockets_of(pid: int) -> set[str]:
    """The inode numbers of the sockets that a process holds, as far as we may look."""
    result: set[str] = set()
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            target = str(entry.readlink())
            if target.startswith("socket:["):
                result.add(target[8:-1])
    except (FileNotFoundError, PermissionError, ProcessLookupError):
        pass
    return result
