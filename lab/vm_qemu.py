# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""QEMU: the command line of a virtual machine, and its monitor."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lab.errors import LabError

QEMU = "qemu-system-x86_64"
DISK = "disk.qcow2"
CONSOLE = "console.log"
MONITOR = "monitor.sock"
SNAPSHOT = "clean"

# no_timer_check: on a loaded machine the guest's check of its timer fails and panics. panic=-1: a panic ends QEMU at
# once. The rest saves seconds of boot under emulation.
KERNEL_OPTIONS = (
    "console=ttyS0",
    "quiet",
    "panic=-1",
    "no_timer_check",
    "tsc=reliable",
    "nokaslr",
    "mitigations=off",
    "cryptomgr.notests",
    "edd=off",
    "8250.nr_uarts=1",
    "random.trust_cpu=on",
    "net.ifnames=0",
    "systemd.show_status=auto",
    "systemd.import_credentials=no",
)
CPUS = {"tcg": "Westmere", "kvm": "max"}  # under emulation `max` has made a static busybox abort
ACCELERATORS = {"tcg": "tcg,thread=multi", "kvm": "kvm"}


@dataclass(frozen=True)
class VmSpec:
    """All that a virtual machine is started from; its supervisor reads it from a file."""

    name: str
    image: str  # directory in the cache
    accelerator: str  # kvm or tcg
    memory: int  # MiB
    port: int  # of 127.0.0.1, to the guest's ssh
    management_mac: str
    fleet_mac: str
    namespace: str
    tap: str
    root: str = "/dev/vda"

    def write(self, path: Path) -> None:
        """Save it."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> VmSpec:
        """Load it.

        :raises LabError: the file is of another version of the lab, or damaged.
        """
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (TypeError, ValueError) as error:
            raise LabError(
                f"{path}: not a description of a virtual machine ({error}); run lab down, then lab up"
            ) from error


def machine_argv(accelerator: str) -> list[str]:
    """What every QEMU of the lab has in common, the boot probe's too."""
    return [
        QEMU,
        *("-machine", "q35", "-accel", ACCELERATORS[accelerator], "-cpu", CPUS[accelerator], "-smp", "1"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
    ]


def qemu_argv(spec: VmSpec, tap: int, from_snapshot: bool = False) -> list[str]:
    """The command line of QEMU, run in the directory of its virtual machine (so that no path has to be short or plain).

    QMP on the standard streams is the supervisor's, the one on the socket is for everybody else.
    """
    forward = f"hostfwd=tcp:127.0.0.1:{spec.port}-:22"
    append = " ".join([*KERNEL_OPTIONS, f"root={spec.root}"])
    argv = [
        *machine_argv(spec.accelerator),
        *("-name", f"netfleet-{spec.name}", "-m", str(spec.memory)),
        *("-chardev", f"file,id=console,path={CONSOLE},append=on", "-serial", "chardev:console"),
        *("-qmp", "stdio"),
        *("-chardev", f"socket,id=monitor,path={MONITOR},server=on,wait=off", "-mon", "chardev=monitor,mode=control"),
        *("-kernel", f"{spec.image}/vmlinuz", "-initrd", f"{spec.image}/initrd", "-append", append),
        *("-drive", f"file={DISK},format=qcow2,if=none,id=disk,cache=unsafe,discard=unmap"),
        *("-device", "virtio-blk-pci,drive=disk,addr=3", "-device", "virtio-rng-pci,addr=4"),
        *("-netdev", f"user,id=management,restrict=on,ipv6=off,{forward}"),
        *("-device", f"virtio-net-pci,netdev=management,mac={spec.management_mac},romfile=,addr=5"),
        *("-netdev", f"tap,id=fleet,fd={tap}"),
        *("-device", f"virtio-net-pci,netdev=fleet,mac={spec.fleet_mac},romfile=,addr=6"),
    ]
    return [*argv, "-loadvm", SNAPSHOT] if from_snapshot else argv


class Monitor:
    """A connection to QEMU's monitor (QMP) over its socket."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    @classmethod
    @contextmanager
    def connect(cls, directory: Path, timeout: float = 300) -> Iterator[Monitor]:
        """Connect to the QEMU that runs in a directory.

        :raises LabError: it does not answer.
        """
        descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(timeout)
                # by way of the descriptor, since the path of a socket must be shorter than 108 bytes
                connection.connect(f"/proc/self/fd/{descriptor}/{MONITOR}")
                with connection.makefile("rw", encoding="utf-8") as stream:
                    monitor = cls(stream)
                    stream.readline()  # the greeting
                    monitor.execute("qmp_capabilities")
                    yield monitor
        except OSError as error:
            raise LabError(f"QEMU's monitor {directory / MONITOR} does not answer: {error}") from error
        finally:
            os.close(descriptor)

    def execute(self, command: str, **arguments: object) -> Any:
        """Run a QMP command and return its answer."""
        self._stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._stream.flush()
        while True:
            line = self._stream.readline()
            if not line:
                raise LabError(f"QEMU ended during its command {command}")
            answer = json.loads(line)
            if "error" in answer:
                raise LabError(f"QEMU refused its command {command}: {answer['error'].get('desc', answer['error'])}")
            if "return" in answer:
                return answer["return"]

    def human(self, command: str) -> None:
        """Run a command of the human monitor, which answers nothing unless it failed."""
        text = str(self.execute("human-monitor-command", **{"command-line": command})).strip()
        if text:
            raise LabError(f"QEMU refused its command {command}: {text}")
