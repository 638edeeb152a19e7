# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A booted machine in the cache: an image is started once, and every host of it begins as a copy that is already up.

Under emulation a boot takes some 15 seconds of a processor for each host, and waking from a snapshot two. A snapshot
fits only the QEMU, the processor and the devices that it was taken with, so all of these are part of its key. With KVM
a boot is quick and this is not used.
"""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from pathlib import Path

from lab import vm_guest
from lab.cache import Cache, digest
from lab.fleet import MANAGEMENT_ADDRESS, Host
from lab.run import Progress, run
from lab.vm_host import MANAGEMENT_MAC, MEMORY, Vm, end_machines
from lab.vm_image import Image
from lab.vm_network import FleetNetwork
from lab.vm_qemu import DISK, QEMU, VmSpec, qemu_argv

RECIPE = 1  # raise it when snapshots must be taken anew although nothing below changed


def booted_disk(
    image: Image, accelerator: str, cache: Cache, progress: Progress, cancelled: Callable[[], bool]
) -> Path:
    """The disk, over the image's disk, with the snapshot of a booted machine; from the cache or made now."""
    version = run([QEMU, "--version"], what="asking QEMU for its version", hint="apt-get install qemu-system-x86")
    spec = VmSpec("", str(image.directory), accelerator, MEMORY, 0, MANAGEMENT_MAC, "", "", "")
    recipe = {
        "recipe": RECIPE,
        "qemu": version.stdout.splitlines()[:1],
        "argv": qemu_argv(spec, 0),
        "preload": vm_guest.PRELOAD,
    }

    def build(directory: Path) -> None:
        with progress.step(image.suite, "booting once for the snapshot that its hosts start from", announce=True):
            _boot_once(image, accelerator, directory, cache, cancelled)

    return cache.entry(f"booted-{image.suite}", recipe, build) / DISK


def _boot_once(image: Image, accelerator: str, directory: Path, cache: Cache, cancelled: Callable[[], bool]) -> None:
    host = Host(f"image-{image.suite}", 1, image.suite, (), "", free_port())
    machine = Vm(host, directory / "machine", 0)
    # One name for each cache, so that what a killed build left is used and removed by the next.
    network = FleetNetwork(f"netfleet-image-{image.suite}-{digest({'cache': cache.directory})[:6]}", cache.directory)
    try:
        network.ensure([host])
        machine.create(image, accelerator, network.namespace, None)
        machine.start(from_snapshot=False, detached=False)
        machine.wait(cancelled, booting=True)
        machine.settle(image.key)
        machine.ssh(image.key, vm_guest.PRELOAD, "reading programs into memory")
        machine.save()
    finally:
        end_machines([machine])
        network.remove()
    (machine.directory / DISK).rename(directory / DISK)
    shutil.rmtree(machine.directory)


def free_port() -> int:
    """A TCP port of loopback that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind((MANAGEMENT_ADDRESS, 0))
        return int(probe.getsockname()[1])
