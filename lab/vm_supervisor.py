# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The supervisor of one virtual machine: `python -m lab.vm_supervisor DIRECTORY [--from-snapshot]`.

It opens the tap, runs QEMU, starts it afresh after a guest's reboot or a reset by its monitor (a warm reset takes
several times as long under emulation, and this is a cold boot as on real hardware), and ends with a power-off, a panic
or SIGTERM.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

from lab.processes import Process
from lab.vm_network import open_tap
from lab.vm_qemu import CONSOLE, VmSpec, qemu_argv

SPEC = "vm.json"
PID = "supervisor.pid"
QEMU_PID = "qemu.pid"
# Why QEMU ends, in its own words, when the guest is to be started again.
RESETS = ("guest-reset", "host-qmp-system-reset")
PANIC = b"Kernel panic"


def main() -> int:
    """Supervise the virtual machine of the directory on the command line; the exit status is for the log only."""
    directory = Path(sys.argv[1])
    from_snapshot = "--from-snapshot" in sys.argv[2:]
    os.chdir(directory)
    spec = VmSpec.read(Path(SPEC))
    in_use = _hold_image(spec)
    tap = open_tap(spec.namespace, spec.tap)
    try:
        while _run_once(spec, tap, from_snapshot):
            from_snapshot = False
            _note("the guest reboots: QEMU is started again")
    finally:
        _forget(Path(QEMU_PID))
        _forget(Path(PID))
        os.close(in_use)
    return 0


def _hold_image(spec: VmSpec) -> int:
    """Lock the image against `lab clean-cache` for as long as this process lives."""
    descriptor = os.open(f"{spec.image}/in-use", os.O_RDONLY | os.O_CLOEXEC)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def _run_once(spec: VmSpec, tap: int, from_snapshot: bool) -> bool:
    """Run QEMU to its end; whether the guest wants to be started again."""
    console = Path(CONSOLE)
    console.touch()
    begin = console.stat().st_size
    # setpriv: QEMU must not outlive its supervisor, not even one that was killed
    argv = ["setpriv", "--pdeathsig", "KILL", *qemu_argv(spec, tap, from_snapshot)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=(tap,)) as qemu:
        _end_on_sigterm(qemu)
        process = Process.of(qemu.pid)
        if process is not None:
            process.write(Path(QEMU_PID))
        reason = _last_shutdown(qemu)
    if qemu.returncode != 0:
        _note(f"QEMU ended with status {qemu.returncode}; see qemu.log")
        return False
    if reason in RESETS:
        with console.open("rb") as stream:
            stream.seek(begin)
            if PANIC not in stream.read():
                return True
        _note("the guest's kernel panicked: it stays off")
    return False


def _last_shutdown(qemu: subprocess.Popen[str]) -> str:
    """Read QEMU's events until it ends; why it ended, in QEMU's words."""
    reason = ""
    if qemu.stdin is None or qemu.stdout is None:
        return reason
    with contextlib.suppress(BrokenPipeError):
        qemu.stdin.write('{"execute": "qmp_capabilities"}\n')
        qemu.stdin.flush()
    for line in qemu.stdout:
        with contextlib.suppress(ValueError):
            message = json.loads(line)
            if message.get("event") == "SHUTDOWN":
                reason = message["data"].get("reason", "")
    return reason


def _end_on_sigterm(qemu: subprocess.Popen[str]) -> None:
    def end(_number: int, _frame: FrameType | None) -> None:
        qemu.terminate()

    signal.signal(signal.SIGTERM, end)


def _forget(path: Path) -> None:
    with contextlib.suppress(OSError):  # the directory may be gone already
        path.unlink(missing_ok=True)


def _note(text: str) -> None:
    with Path(CONSOLE).open("a", encoding="utf-8") as stream:
        stream.write(f"\nnetfleet-lab: {text}\n")


if __name__ == "__main__":
    sys.exit(main())
