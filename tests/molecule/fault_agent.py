# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a host of the lab: makes a real change by the collection's own code, and breaks it at a chosen step.

    fault_agent.pyz count | undo | break STEP FAULT

A step is one thing done to the host. The faults: kill (SIGKILL before it), late (right after it), power (the machine is
gone: an immediate reboot without sync); and, counted by files alone, from that one on: full (no space left), readonly
(a file system that cannot be written). Prints how many steps and how many files the change takes, or what the run said;
undo takes back what was confirmed.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.netfleet.tcp.plugins.module_utils._desired import build, render_sysctl_file
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import NetfleetError
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Baseline, Desired, DesiredKey, DesiredQdisc
from ansible_collections.netfleet.tcp.plugins.module_utils._observe import Request, observe
from ansible_collections.netfleet.tcp.plugins.module_utils._secrets import Vault
from ansible_collections.netfleet.tcp.plugins.module_utils._system import LinuxSystem
from ansible_collections.netfleet.tcp.plugins.module_utils._transaction import Terms, apply, confirm

FILE = "95-faults.conf"
WINDOW = 5
KEYS = {
    "net.ipv4.tcp_congestion_control": "htcp",
    "net.ipv4.tcp_fin_timeout": "37",
    "net.ipv4.tcp_rmem": "4096 131072 50331648",
    "net.core.default_qdisc": "sfq",
}


def desired(system: LinuxSystem) -> Desired:
    """A change of every subject: keys, modules, a live qdisc, files."""
    seen = observe(system, Request(qdiscs=True), Baseline(), Vault())
    keys = [DesiredKey(name, value, "a fault is coming") for name, value in KEYS.items()]
    return build(
        file_name=FILE,
        text=render_sysctl_file(keys),
        keys=keys,
        modules=("sch_sfq", "tcp_htcp"),
        qdiscs=[DesiredQdisc("eth1", "sfq", "a fault is coming")],
        interfaces=seen.interfaces,
        congestion_control="htcp",
        boot_conflict="warn",
    )


_OF_FILES = {"full": errno.ENOSPC, "readonly": errno.EROFS}


class Faulty(LinuxSystem):
    """The host, of which one step goes wrong."""

    def __init__(self, step: int, fault: str) -> None:
        self.steps = 0
        self.files = 0
        self._step = step
        self._fault = fault

    def _do(self, action: Callable[[], Any]) -> Any:
        self.steps += 1
        if self.steps != self._step or self._fault in _OF_FILES:
            return action()
        if self._fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._fault == "power":
            Path("/proc/sysrq-trigger").write_text("b")
            time.sleep(60)
        result = action()
        if self._fault == "late":
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    def _write(self, action: Callable[[], Any], removes: bool = False) -> None:
        self.files += 1
        if self._fault in _OF_FILES and self.files >= self._step and not (removes and self._fault == "full"):
            number = _OF_FILES[self._fault]
            raise OSError(number, os.strerror(number))
        self._do(action)

    def write_sysctl(self, name: str, value: str) -> None:
        self._do(lambda: super(Faulty, self).write_sysctl(name, value))

    def write_file(self, path: str, text: str, mode: int, owner: tuple[int, int] = (0, 0)) -> None:
        self._write(lambda: super(Faulty, self).write_file(path, text, mode, owner))

    def write_link(self, path: str, target: str) -> None:
        self._write(lambda: super(Faulty, self).write_link(path, target))

    def remove(self, path: str) -> None:
        # Also called by the writes themselves, for what a killed one may have left: no step of its own there.
        if os.path.lexists(path) and not path.endswith(".netfleet-tcp"):
            self._write(lambda: super(Faulty, self).remove(path), removes=True)
        else:
            super().remove(path)

    def run(self, argv: Sequence[str], stdin: str = "") -> tuple[int, str, str]:
        reads = list(argv[:3]) in (["tc", "-j", "qdisc"], ["ip", "-j", "route"]) or argv[0] == "systemctl"
        if reads:
            return super().run(argv, stdin)
        found: tuple[int, str, str] = self._do(lambda: super(Faulty, self).run(argv, stdin))
        return found


def main(arguments: list[str]) -> int:
    step, fault = (int(arguments[1]), arguments[2]) if arguments[0] == "break" else (0, "")
    system = Faulty(step, fault)
    try:
        if arguments[0] == "undo":
            apply(system, Desired(desired(system).name, watched=desired(system).watched), {})
            return 0
        pending = apply(system, desired(system), {}, Terms(WINDOW, "fault agent", "faults")).pending
        if pending:
            confirm(system, pending.id)
    except NetfleetError as error:
        print(error)
        return 3
    print(system.steps, system.files)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
