# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet as virtual machines: QEMU from Debian's packages, Debian's own kernel, KVM where it works."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from lab.backend import HostStatus
from lab.cache import Cache
from lab.errors import LabError
from lab.fleet import MANAGEMENT_ADDRESS, Fleet, Host
from lab.paths import Settings, remove_tree
from lab.run import Progress
from lab.ssh import ensure_key
from lab.vm_accel import choose_accelerator
from lab.vm_booted import booted_disk
from lab.vm_host import Vm, end_machines
from lab.vm_image import Image, vm_image
from lab.vm_network import FleetNetwork

Item = TypeVar("Item")
Result = TypeVar("Result")

HOW = {"kvm": "KVM", "tcg": "emulation, waking from the image's snapshot"}
BUILDS_AT_ONCE = 2


class VmBackend:
    """The backend of `lab --backend vm`."""

    def __init__(self, fleet: Fleet, settings: Settings, progress: Progress) -> None:
        self._fleet = fleet
        self._settings = settings
        self._progress = progress
        self._cache = Cache(settings.cache_dir, progress)
        self._network = FleetNetwork.of_instance(settings)
        self._cancelled = threading.Event()

    def image(self, suites: Sequence[str]) -> None:
        """Build the images of these suites unless the cache has them."""
        images, _accelerator, _disks = self._images(list(dict.fromkeys(suites)))
        for suite, image in images.items():
            self._progress.line(f"  {suite:<10} kernel {image.kernel} in {image.directory}")

    def up(self, hosts: Sequence[Host], fresh: bool) -> None:
        """Start what does not run and wait for ssh; a host that is new becomes itself and gets a clean snapshot."""
        machines = [self._machine(host) for host in hosts]
        if not fresh:
            refuse_other_suites(machines)
        new = [machine for machine in machines if fresh or not machine.clean]
        running = [machine for machine in machines if machine not in new and machine.alive]
        if running:
            self._progress.line(f"  {len(running)} of {len(machines)} hosts already run")
            self._each(running, lambda machine: machine.wait(self._cancelled.is_set, booting=True))
        if len(running) < len(machines):
            for machine in machines:
                machine.refuse_held_port()
            self._network.ensure(hosts)
            self._create(new)
            stopped = [machine for machine in machines if machine not in running and machine not in new]
            self._each(stopped, self._boot)

    def down(self) -> None:
        """End every virtual machine of this instance, also of hosts that the inventory no longer has."""
        end_machines([Vm.existing(path) for path in sorted(self._settings.backend_dir.glob("*/"))])
        self._network.remove()
        remove_tree(self._settings.backend_dir)

    def status(self, hosts: Sequence[Host]) -> list[HostStatus]:
        """How each host stands."""
        result = []
        for host in hosts:
            machine = self._machine(host)
            image = machine.image
            result.append(
                HostStatus(
                    name=host.name,
                    backend="vm",
                    suite=image.suite if image else host.suite,
                    kernel=image.kernel if image else None,
                    running=machine.answers,
                    ssh=f"{MANAGEMENT_ADDRESS}:{host.port}",
                )
            )
        return result

    def restore(self, hosts: Sequence[Host]) -> None:
        """Return every host to its clean snapshot, whether it runs or not.

        QEMU is started anew for it: `loadvm` in the running one never turns back the emulated time stamp counter, so
        the guest would find all the time since the snapshot gone at once (soft lockups, RCU stalls).
        """
        machines = [self._machine(host) for host in hosts]
        lacking = [machine.host.name for machine in machines if not machine.clean]
        if lacking:
            raise LabError(f"no clean snapshot of {', '.join(lacking)}; run lab up first")
        end_machines(machines)
        for machine in machines:
            machine.refuse_held_port()
        self._network.ensure(hosts)
        self._each(machines, self._restore)

    def console(self, host: Host, lines: int) -> str:
        """The last lines of the host's serial console."""
        machine = self._machine(host)
        text = machine.console(lines)
        if not text:
            raise LabError(f"{host.name}: no console in {machine.directory}; start it with lab up")
        return text

    def _machine(self, host: Host) -> Vm:
        return Vm(host, self._settings.backend_dir / host.name, self._settings.offset)

    def _images(self, suites: Sequence[str]) -> tuple[dict[str, Image], str, dict[str, Path | None]]:
        """For each suite its image and, under emulation, a disk with a booted machine; between them the accelerator."""
        found = self._at_once(suites, lambda suite: vm_image(suite, self._cache, self._progress), BUILDS_AT_ONCE)
        images = dict(zip(suites, found, strict=True))
        accelerator = choose_accelerator(found[0], self._settings.cache_dir, self._progress, os.environ)
        disks: dict[str, Path | None] = dict.fromkeys(suites)
        if accelerator == "tcg":

            def booted(suite: str) -> Path:
                return booted_disk(images[suite], accelerator, self._cache, self._progress, self._cancelled.is_set)

            disks.update(zip(suites, self._at_once(suites, booted, BUILDS_AT_ONCE), strict=True))
        return images, accelerator, disks

    def _create(self, machines: Sequence[Vm]) -> None:
        """Start machines from their images, whatever was there before."""
        if not machines:
            return
        images, accelerator, disks = self._images(list(dict.fromkeys(machine.host.suite for machine in machines)))
        public_key = ensure_key(self._settings.key)
        end_machines(machines)
        self._progress.line(f"  starting {len(machines)} of them ({HOW[accelerator]})")

        def create(machine: Vm) -> None:
            image, disk = images[machine.host.suite], disks[machine.host.suite]
            machine.create(image, accelerator, self._network.namespace, disk)
            self._first_start(machine, image, public_key, from_snapshot=disk is not None)

        self._each(machines, create)

    def _first_start(self, machine: Vm, image: Image, public_key: str, from_snapshot: bool) -> None:
        where = f"ssh on {MANAGEMENT_ADDRESS} port {machine.host.port}"
        with self._progress.step(machine.host.name, f"up, {where}, clean snapshot taken"):
            machine.start(from_snapshot)
            machine.wait(self._cancelled.is_set, booting=not from_snapshot)
            if not from_snapshot:
                machine.settle(image.key)
            machine.become(self._fleet, image, public_key)
            machine.save()

    def _boot(self, machine: Vm) -> None:
        """Boot a machine that was up before."""
        where = f"ssh on {MANAGEMENT_ADDRESS} port {machine.host.port}"
        with self._progress.step(machine.host.name, f"booted with the disk that it had, {where}"):
            end_machines([machine])
            machine.start(from_snapshot=False)
            machine.wait(self._cancelled.is_set, booting=True)

    def _restore(self, machine: Vm) -> None:
        with self._progress.step(machine.host.name, "as after its first start"):
            machine.start(from_snapshot=True)
            try:
                machine.wait(self._cancelled.is_set, booting=False)
            except LabError as error:
                raise LabError(
                    f"{error}\n  If its snapshot is of another QEMU, lab up --fresh makes it anew."
                ) from error
            machine.wake(self._settings.key)

    def _each(self, machines: Sequence[Vm], action: Callable[[Vm], None]) -> None:
        """Do something with all machines at once."""

        def named(machine: Vm) -> None:
            try:
                action(machine)
            except LabError as error:
                raise LabError(f"{machine.host.name}: {error}") from error

        self._at_once(machines, named)

    def _at_once(self, items: Sequence[Item], action: Callable[[Item], Result], workers: int = 0) -> list[Result]:
        """Do something with all items, all or some at once; the errors of all are told together."""
        results: list[Result] = []
        errors: list[str] = []
        with ThreadPoolExecutor(max_workers=workers or max(1, len(items))) as pool:
            try:
                for job in [pool.submit(action, item) for item in items]:
                    try:
                        results.append(job.result())
                    except LabError as error:
                        errors.append(str(error))
            except KeyboardInterrupt:
                self._cancelled.set()  # or the pool would wait until the hosts are up
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        if errors:
            raise LabError("\n".join(errors))
        return results


def refuse_other_suites(machines: Sequence[Vm]) -> None:
    """Refuse hosts that run another suite than they should: changing it loses their state, so the user decides that."""
    for machine in machines:
        image = machine.image
        if machine.clean and image is not None and image.suite != machine.host.suite:
            raise LabError(
                f"{machine.host.name} was made with {image.suite} and should have {machine.host.suite}; run lab up"
                " --fresh to make it anew, or lab down"
            )
