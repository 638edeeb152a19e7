# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a host of the lab: makes a real change by the collection's own code, and breaks it at a chosen step.

    fault_agent.pyz sides | undo | rollback | look
    fault_agent.pyz break FAULT WINDOW STEP [STEP ...]
    fault_agent.pyz reach STEP | hold | leave WINDOW

A step is one thing done to the host. The faults: kill (SIGKILL before it), late (right after it), stop (SIGSTOP before
it, for ever), full (no space left for it and for any file after it), readonly (no file can be written from it on).
sides prints the steps of a whole change, and the host before and after it; break prints, for each step, what became of
the host, and what the next run and its undoing make of it. reach waits for ever before a step (it says when by the file
READY), for the machine to be switched off; hold takes the host's lock and is stopped; leave makes a change that nobody
confirms.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.netfleet.tcp.plugins.module_utils._begin import Terms
from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint_store import HISTORY, PENDING_PATH
from ansible_collections.netfleet.tcp.plugins.module_utils._confirmed import confirm
from ansible_collections.netfleet.tcp.plugins.module_utils._desired import build, render_sysctl_file
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import NetfleetError
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Baseline, Desired, DesiredKey, DesiredQdisc
from ansible_collections.netfleet.tcp.plugins.module_utils._observe import Request, observe
from ansible_collections.netfleet.tcp.plugins.module_utils._secrets import Vault
from ansible_collections.netfleet.tcp.plugins.module_utils._system import LinuxSystem
from ansible_collections.netfleet.tcp.plugins.module_utils._transaction import apply

FILE = "95-faults.conf"
READY = "/run/fault_agent.ready"
# Before the machine of such a change is switched off, the host must not take it back.
LONG = 300
PATIENCE = 300.0
KEYS = {
    "net.ipv4.tcp_congestion_control": "htcp",
    "net.ipv4.tcp_fin_timeout": "37",
    "net.ipv4.tcp_rmem": "4096 131072 50331648",
    "net.core.default_qdisc": "sfq",
}
# The clock of a change, there while it runs: asking systemd costs an emulated host more than the clock itself.
CLOCK = [f"/run/systemd/transient/netfleet-tcp-revert.{kind}" for kind in ("timer", "service")]
# A connection that is made while a change runs keeps it loaded, or not: loaded beforehand, each change takes the same
# steps.
HELD = "tcp_htcp"


def desired(system: LinuxSystem) -> Desired:
    """A change of every subject: keys, modules, a live qdisc, files."""
    seen = observe(system, Request(qdiscs=True), Baseline(), Vault())
    keys = [DesiredKey(name, value, "a fault is coming") for name, value in KEYS.items()]
    return build(
        file_name=FILE,
        text=render_sysctl_file(keys),
        keys=keys,
        modules=("sch_sfq", "tcp_htcp"),
        # All that have one: at a boot, default_qdisc reaches them all.
        qdiscs=[DesiredQdisc(entry.name, "sfq", "a fault is coming") for entry in seen.interfaces if entry.physical],
        interfaces=seen.interfaces,
        congestion_control="htcp",
        boot_conflict="warn",
    )


_OF_FILES = {"full": errno.ENOSPC, "readonly": errno.EROFS}


class Faulty(LinuxSystem):
    """The host, of which one step goes wrong. steps: what was done, in words."""

    def __init__(self, fault: str = "", step: int = 0) -> None:
        self.steps: list[str] = []
        self._step = step
        self._fault = fault

    def _do(self, what: str, action: Callable[[], Any]) -> Any:
        self.steps.append(what)
        if len(self.steps) != self._step or self._fault in _OF_FILES:
            return action()
        if self._fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._fault == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        if self._fault == "reach":
            Path(READY).touch()
            signal.pause()
        result = action()
        if self._fault == "late":
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    def _write(self, what: str, action: Callable[[], Any], removes: bool = False) -> None:
        struck = self._fault in _OF_FILES and len(self.steps) + 1 >= self._step
        if struck and not (removes and self._fault == "full"):
            number = _OF_FILES[self._fault]
            raise OSError(number, os.strerror(number))
        self._do(what, action)

    def write_sysctl(self, name: str, value: str) -> None:
        self._do("set " + name, lambda: super(Faulty, self).write_sysctl(name, value))

    def write_file(self, path: str, text: str, mode: int, owner: tuple[int, int] = (0, 0)) -> None:
        what = "write its record to the history" if path.startswith(HISTORY) else "write " + path
        self._write(what, lambda: super(Faulty, self).write_file(path, text, mode, owner))

    def write_link(self, path: str, target: str) -> None:
        self._write("link " + path, lambda: super(Faulty, self).write_link(path, target))

    def remove(self, path: str) -> None:
        # Also called by the writes themselves, for what a killed one may have left: no step of its own there.
        # Nor is it one that after many changes the earliest record goes.
        if os.path.lexists(path) and not path.endswith(".netfleet-tcp") and not path.startswith(HISTORY):
            self._write("remove " + path, lambda: super(Faulty, self).remove(path), removes=True)
        else:
            super().remove(path)

    def run(self, argv: Sequence[str], stdin: str = "") -> tuple[int, str, str]:
        reads = list(argv[:3]) in (["tc", "-j", "qdisc"], ["ip", "-j", "route"]) or argv[0] == "systemctl"
        if reads:
            return super().run(argv, stdin)
        what = "arm the timer" if argv[0] == "systemd-run" else " ".join(argv[:3])
        found: tuple[int, str, str] = self._do(what, lambda: super(Faulty, self).run(argv, stdin))
        return found


def uptime() -> float:
    """Seconds since the boot."""
    return float(Path("/proc/uptime").read_text().split()[0])


def change(system: Faulty, window: int) -> str:
    """Make the whole change; empty, or what went wrong."""
    try:
        pending = apply(system, desired(system), {}, Terms(window, "fault agent", "faults")).pending
        if pending:
            confirm(system, pending.id)
    except NetfleetError as error:
        return str(error)
    return ""


def undo() -> str:
    """Declare nothing any more; empty, or what went wrong."""
    system = LinuxSystem()
    wanted = desired(system)
    try:
        apply(system, Desired(wanted.name, watched=wanted.watched), {})
    except NetfleetError as error:
        return str(error)
    return ""


def in_child(work: Callable[[], str]) -> tuple[int, str]:
    """How a process that does this ended (below 0: by which signal), and what it said."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os.write(writer, work().encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        said = stream.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


def seen() -> Any:
    """The host, as observe.py sees it."""
    return importlib.import_module("observe").seen()


def sides() -> dict[str, Any]:
    """The steps of a whole change, and the host before it, after it, and after its undoing."""
    # Once for nothing: what it leaves behind for good (the folder of its records) is there from then on.
    for work in (lambda: change(Faulty(), LONG), undo):
        _status, said = in_child(work)
        assert not said, said

    def counted() -> str:
        system = Faulty()
        return change(system, LONG) or json.dumps(system.steps)

    found: dict[str, Any] = {"before": seen()}
    _status, found["steps"] = in_child(counted)
    found["after"] = seen()
    _status, found["undo_said"] = in_child(undo)
    found["undone"] = seen()
    return found


def look() -> dict[str, Any]:
    """What the host is by now, what the next run and then its undoing make of it, and what they said."""
    found: dict[str, Any] = {"now": seen()}
    _status, found["next_said"] = in_child(lambda: change(Faulty(), LONG))
    found["next"] = seen()
    _status, found["undo_said"] = in_child(undo)
    found["undone"] = seen()
    return found


def settled() -> float:
    """Wait until the clock of a change has done its work; by how many seconds it was late."""
    due = 0.0
    with contextlib.suppress(OSError, ValueError, KeyError):
        due = float(json.loads(Path(PENDING_PATH).read_text())["due"])
    records = set(LinuxSystem().names(HISTORY))
    late, until = 0.0, time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if due and not late and set(LinuxSystem().names(HISTORY)) - records:
            late = uptime() - due
        if not any(os.path.lexists(path) for path in CLOCK):
            return late
        time.sleep(0.1)
    return PATIENCE


def broken(fault: str, window: int, step: int) -> dict[str, Any]:
    """Break a change, wait until the host has taken care of it, and look."""
    status, said = in_child(lambda: change(Faulty(fault, step), window))
    late = settled()
    return {"fault": fault, "step": step, "status": status, "said": said, "late": late, **look()}


def hold() -> str:
    """Take the host's lock, and hang."""
    with LinuxSystem().lock(5.0):
        os.kill(os.getpid(), signal.SIGSTOP)
    return ""


def leave(window: int) -> str:
    """Make a change that nobody confirms; its id."""
    system = LinuxSystem()
    pending = apply(system, desired(system), {}, Terms(window, "fault agent", "faults")).pending
    return pending.id if pending else ""


def take_latest_back() -> str:
    """Roll the latest change back; empty, or what went wrong."""
    from ansible_collections.netfleet.tcp.plugins.module_utils._rollback import LAST, rollback

    try:
        rollback(LinuxSystem(), LAST, Terms(0, "fault agent", "faults"))
    except NetfleetError as error:
        return str(error)
    return ""


def main(arguments: list[str]) -> int:
    """Exit status: 0, or 3 where the change was refused or has failed."""
    verb, rest = arguments[0], arguments[1:]
    LinuxSystem().run(["modprobe", "--", HELD])
    if verb == "break":
        for step in rest[2:]:
            sys.stdout.write(json.dumps(broken(rest[0], int(rest[1]), int(step))) + "\n")
            sys.stdout.flush()
        return 0
    if verb in ("look", "sides"):
        print(json.dumps({"late": settled(), **look()} if verb == "look" else sides()))
        return 0
    verbs: dict[str, Callable[[], str]] = {
        "reach": lambda: change(Faulty("reach", int(rest[0])), LONG),
        "leave": lambda: leave(int(rest[0])),
        "undo": undo,
        "rollback": take_latest_back,
        "hold": hold,
    }
    said = verbs[verb]()
    print(said)
    return 3 if said and verb != "leave" else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
