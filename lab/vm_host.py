# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One virtual machine of the lab: its directory, starting and ending it, and its clean snapshot."""

from __future__ import annotations

import contextlib
import io
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lab import vm_guest
from lab.errors import LabError
from lab.fleet import MANAGEMENT_ADDRESS, Fleet, Host
from lab.paths import REPOSITORY, make_directory, remove_tree
from lab.processes import Process
from lab.run import run, tail_of_console
from lab.ssh import (
    BOOTING_PATIENCE,
    LISTENING_PATIENCE,
    answers,
    close_shared_connections,
    holder_of_port,
    ssh,
    timeout_seconds,
    wait_for_ssh,
)
from lab.vm_image import Image
from lab.vm_network import tap_name
from lab.vm_qemu import CONSOLE, DISK, SNAPSHOT, Monitor, VmSpec
from lab.vm_supervisor import PID, QEMU_PID, SPEC

MEMORY = 512
CLEAN = "clean"  # a file that says that the machine has become its host and has the clean snapshot
LOG = "qemu.log"
MANAGEMENT_MAC = "52:54:00:aa:00:01"  # alone in a network of QEMU's own, so all may have the same


class Vm:
    """A host as a virtual machine; making this object touches nothing."""

    def __init__(self, host: Host, directory: Path, offset: int) -> None:
        self.host = host
        self.directory = directory
        self._fleet_mac = f"52:54:00:bb:{offset:02x}:{host.lab_id:02x}"

    @classmethod
    def existing(cls, directory: Path) -> Vm:
        """The machine that a directory holds, whatever the inventory says now; enough of it to end it."""
        port = 0
        with contextlib.suppress(LabError, FileNotFoundError):
            port = VmSpec.read(directory / SPEC).port
        return cls(Host(directory.name, 0, "", (), "", port), directory, 0)

    @property
    def alive(self) -> bool:
        """Whether its supervisor runs."""
        supervisor = Process.read(self.directory / PID)
        return supervisor is not None and supervisor.alive

    @property
    def answers(self) -> bool:
        """Whether it runs and its sshd greets."""
        return self.alive and answers(MANAGEMENT_ADDRESS, self.host.port)

    @property
    def image(self) -> Image | None:
        """The image that its disk stands on, if it has one."""
        try:
            return Image.load(Path(VmSpec.read(self.directory / SPEC).image))
        except (FileNotFoundError, LabError):
            return None

    @property
    def clean(self) -> bool:
        """Whether it has become its host, its disk has the clean snapshot, and the image below that is still there."""
        return (self.directory / CLEAN).exists() and self.image is not None

    def console(self, lines: int) -> str:
        """The last lines of its serial console, and what QEMU said if it said anything."""
        parts = []
        for name in (CONSOLE, LOG):
            path = self.directory / name
            if path.exists():
                parts.append(tail_of_console(path.read_text(encoding="utf-8", errors="replace"), lines))
        return "\n".join(part for part in parts if part)

    def create(self, image: Image, accelerator: str, namespace: str, snapshot: Path | None) -> None:
        """Make its directory anew: a disk over the image's, or a copy of one with a snapshot, and its specification."""
        remove_tree(self.directory)
        make_directory(self.directory)
        disk = self.directory / DISK
        if snapshot is not None:
            shutil.copyfile(snapshot, disk)
        else:
            argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(image.disk), str(disk)]
            run(argv, what=f"making the disk of {self.host.name}")
        spec = VmSpec(
            name=self.host.name,
            image=str(image.directory),
            accelerator=accelerator,
            memory=MEMORY,
            port=self.host.port,
            management_mac=MANAGEMENT_MAC,
            fleet_mac=self._fleet_mac,
            namespace=namespace,
            tap=tap_name(self.host),
        )
        spec.write(self.directory / SPEC)

    def refuse_held_port(self) -> None:
        """Make sure that it could start.

        :raises LabError: another program has its port.
        """
        holder = None if self.alive else holder_of_port(self.host.port)
        if holder is not None:
            raise LabError(
                f"{self.host.name}: port {self.host.port} of {MANAGEMENT_ADDRESS} is held by {holder}; end that, or"
                " choose another instance with NETFLEET_LAB_OFFSET (0 to 9)"
            )

    def start(self, from_snapshot: bool, detached: bool = True) -> None:
        """Start its supervisor, which starts QEMU; unless `detached`, both end when the calling thread does."""
        argv = [sys.executable, "-m", "lab.vm_supervisor", str(self.directory)]
        if from_snapshot:
            argv.append("--from-snapshot")
        if not detached:
            argv = ["setpriv", "--pdeathsig", "TERM", *argv]
        with (self.directory / LOG).open("wb") as log:
            child = subprocess.Popen(
                argv, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        process = Process.of(child.pid)
        if process is not None:
            process.write(self.directory / PID)

    def wait(self, cancelled: Callable[[], bool], booting: bool) -> None:
        """Wait until its sshd greets (one that is not `booting` listens already); the error tells its console's end."""

        def alive() -> bool:
            return self.alive and not cancelled()

        patience = BOOTING_PATIENCE if booting else LISTENING_PATIENCE
        try:
            wait_for_ssh(MANAGEMENT_ADDRESS, self.host.port, timeout_seconds(), alive, patience)
        except LabError as error:
            lines = "\n".join(f"  | {line}" for line in self.console(20).splitlines())
            raise LabError(
                f"{error}; the last lines of its console (lab console {self.host.name} shows more):\n"
                f"{lines or '  | (nothing)'}"
            ) from error

    def become(self, fleet: Fleet, image: Image, public_key: str) -> None:
        """Give a copy of an image the identity of its host."""
        files = vm_guest.identity(self.host.name, self.host.address, fleet.hosts_file(), public_key)
        command = vm_guest.BECOME.format(mac=self._fleet_mac, time=f"{time.time():.3f}")
        self.ssh(image.key, command, "becoming a host of the fleet", archive(files))

    def wake(self, key: Path) -> None:
        """Set what a machine that wakes from its own snapshot cannot know."""
        self.ssh(key, vm_guest.WAKE.format(time=f"{time.time():.3f}"), "waking from the snapshot")

    def settle(self, key: Path) -> None:
        """Wait for the end of its boot.

        :raises LabError: a unit failed; an image of ours must boot without that.
        """
        state = " ".join(self.ssh(key, f"{vm_guest.SETTLE}; true", "waiting for the end of its boot").split())
        if state != "running":
            raise LabError(
                f"{self.host.name}: systemd is {state}; the image's recipe in lab/vm_guest.py needs a repair"
            )

    def ssh(self, key: Path, command: str, what: str, stdin: bytes = b"") -> str:
        """Run a command in it as root."""
        what = f"{self.host.name}: {what}"
        return ssh(key, MANAGEMENT_ADDRESS, self.host.port, command, what=what, stdin=stdin, timeout=timeout_seconds())

    def save(self) -> None:
        """Take the clean snapshot: memory and disk as they are now."""
        with Monitor.connect(self.directory) as monitor:
            monitor.human(f"savevm {SNAPSHOT}")
        (self.directory / CLEAN).touch()

    def processes(self) -> list[Process]:
        """Its supervisor and its QEMU, as far as they are known."""
        found = [Process.read(self.directory / name) for name in (PID, QEMU_PID)]
        return [process for process in found if process is not None]


def end_machines(machines: Sequence[Vm]) -> None:
    """End machines, all at once, and the ssh connections that lead to them."""
    close_shared_connections([(MANAGEMENT_ADDRESS, machine.host.port) for machine in machines])
    processes = [process for machine in machines for process in machine.processes()]
    for process in processes:
        process.send(signal.SIGTERM)
    for process in processes:
        process.end(10)


def archive(files: Mapping[str, tuple[int, str]]) -> bytes:
    """A tar archive of files (absolute path: mode and text), owned by root and of this moment."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as tar:
        for path, (mode, text) in files.items():
            content = text.encode()
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.mode, entry.size, entry.mtime = mode, len(content), int(time.time())
            tar.addfile(entry, io.BytesIO(content))
    return output.getvalue()
