# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of the lab."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lab.backend import Backend
from lab.cache import Cache, digest, lock
from lab.errors import LabError
from lab.fleet import Fleet, load_fleet
from lab.paths import BACKENDS, REPOSITORY, Settings, remove_tree
from lab.run import Progress
from lab.ssh import timeout_seconds
from lab.suites import KNOWN

INTERRUPTED = 130
ENVIRONMENT = """environment:
  NETFLEET_LAB_BACKEND  vm (default) or container
  NETFLEET_LAB_OFFSET   number of the instance, 0 (default) to 9; instances run side by side
  NETFLEET_LAB_DIR      state of the instance (default: .lab/demo in the repository)
  NETFLEET_LAB_SUITE    suite of all hosts in place of their own
  NETFLEET_LAB_CACHE    image cache (default: ~/.cache/netfleet-tcp-lab)
  NETFLEET_LAB_ACCEL    kvm or tcg; without it a probe decides
  NETFLEET_LAB_TIMEOUT  seconds that a host may take to come up (240)"""


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    result = argparse.ArgumentParser(
        prog="python -m lab",
        description="Start and stop the lab fleet: real Debian hosts on this machine.",
        epilog=ENVIRONMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--inventory", type=Path, default=REPOSITORY / "inventories" / "lab", help="hosts of the fleet")
    common.add_argument("--backend", choices=BACKENDS, help="wins over NETFLEET_LAB_BACKEND")
    common.add_argument("--quiet", action="store_true", help="no lines of progress")
    chosen = argparse.ArgumentParser(add_help=False, parents=[common])
    chosen.add_argument("--limit", metavar="PATTERN", help="only these hosts, as with ansible")
    commands = result.add_subparsers(dest="command", required=True, metavar="COMMAND")
    up = commands.add_parser("up", parents=[chosen], help="start what does not run, and wait for ssh")
    up.add_argument("--fresh", action="store_true", help="throw away the state of the hosts first")
    commands.add_parser("down", parents=[common], help="stop and remove all of this instance; the image cache stays")
    commands.add_parser("status", parents=[chosen], help="one line for each host")
    commands.add_parser("restore", parents=[chosen], help="return hosts to the state after their first boot")
    console = commands.add_parser("console", parents=[common], help="the last lines of a host's console or journal")
    console.add_argument("host")
    console.add_argument("--lines", type=int, default=40, help="how many (default: %(default)s)")
    image = commands.add_parser("image", parents=[common], help="build the images only")
    image.add_argument("--suite", action="append", choices=sorted(KNOWN), help="default: those of the fleet")
    commands.add_parser("clean-cache", parents=[common], help="remove the image cache")
    return result


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    options = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the same tidy end as after Ctrl-C
    progress = Progress(quiet=options.quiet)
    try:
        settings = Settings.from_environment(os.environ, options.backend)
        if os.geteuid() != 0:
            become_root(settings, arguments)
        return dispatch(options, settings, progress)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted; `python -m lab down` (make lab-down) removes what was started", file=sys.stderr)
        return INTERRUPTED


def become_root(settings: Settings, arguments: Sequence[str]) -> None:
    """Run this very command again as root; does not return.

    :raises LabError: sudo is not installed.
    """
    if shutil.which("sudo") is None:
        raise LabError("the lab makes network namespaces and images and must run as root; install sudo or become root")
    assignments = [f"{name}={value}" for name, value in settings.environment().items()]
    assignments.append("PYTHONDONTWRITEBYTECODE=1")  # no files of root between the user's own
    command = [sys.executable, "-m", "lab", *arguments]
    os.chdir(REPOSITORY)
    os.execvp("sudo", ["sudo", "-E", *assignments, *command])


def make_backend(fleet: Fleet, settings: Settings, progress: Progress) -> Backend:
    """The backend that the settings name; the other one's code is not even read."""
    if settings.backend == "container":
        from lab.container import ContainerBackend

        return ContainerBackend(fleet, settings, progress)
    from lab.vm_backend import VmBackend

    return VmBackend(fleet, settings, progress)


def dispatch(options: argparse.Namespace, settings: Settings, progress: Progress) -> int:
    """Do what the command line asks for."""
    if options.command == "clean-cache":
        from lab.container import clean_images

        clean_images()
        Cache(settings.cache_dir, progress).clean()
        progress.line(f"removed {settings.cache_dir}")
        return 0
    fleet = load_fleet(options.inventory, settings, getattr(options, "limit", None))
    backend = make_backend(fleet, settings, progress)
    if options.command == "status":
        show_status(backend, fleet)
    elif options.command == "console":
        show_console(backend, fleet, options.host, options.lines)
    elif options.command == "image":
        backend.image(options.suite or fleet.suites)
    else:
        change(options, backend, fleet, settings, progress)
    return 0


def change(options: argparse.Namespace, backend: Backend, fleet: Fleet, settings: Settings, progress: Progress) -> None:
    """Start, restore or stop hosts; one such command at a time for each instance."""
    start = time.monotonic()
    # outside the state directory, which `down` removes
    name = f"instance-{digest({'state': settings.state_dir})}.lock"
    with lock(settings.cache_dir / "locks" / name, progress):
        if options.command == "up":
            names = ", ".join(host.name for host in fleet.selected)
            progress.line(f"lab: instance {settings.offset} ({settings.backend}): {names}")
            timeout_seconds()  # a wrong value is told before anything starts
            backend.up(fleet.selected, options.fresh)
            done = "up"
        elif options.command == "restore":
            backend.restore(fleet.selected)
            done = "restored"
        else:
            if settings.backend == "vm":
                from lab.kube_plane import Plane

                Plane(settings).down()  # before the network that it is in
            backend.down()
            remove_state(settings)
            done = f"down, nothing is left; the image cache stays in {settings.cache_dir} (clean-cache removes it)"
    progress.line(f"lab: {done} ({time.monotonic() - start:.1f} s)")


def remove_state(settings: Settings) -> None:
    """Remove the state directory unless another backend has hosts in it."""
    others = [replace(settings, backend=name).backend_dir for name in BACKENDS if name != settings.backend]
    if not any(path.exists() for path in others):
        remove_tree(settings.state_dir)


def show_status(backend: Backend, fleet: Fleet) -> None:
    """Print one line for each host."""
    for status in backend.status(fleet.selected):
        state = "running" if status.running else "stopped"
        kernel = status.kernel or "-"
        print(f"{status.name:<12} {status.backend:<10} {status.suite:<10} {kernel:<28} {state:<8} {status.ssh}")


def show_console(backend: Backend, fleet: Fleet, name: str, lines: int) -> None:
    """Print the last lines of a host's console.

    :raises LabError: the inventory has no such host.
    """
    for host in fleet.hosts:
        if host.name == name:
            print(backend.console(host, lines))
            return
    raise LabError(f"no host {name}; the inventory has {', '.join(host.name for host in fleet.hosts)}")
