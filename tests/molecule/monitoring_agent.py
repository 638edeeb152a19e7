#!/usr/bin/env python3
# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run by the exporter's own unit, after the exporter: prints as JSON what a process of that unit may, by trying it.

Standard library, and none of the collection's code. What it tries would do no harm if it were allowed.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path

CLONE_NEWUSER = 0x10000000
CGROUPS = Path("/sys/fs/cgroup")
LIMITS = ("cpu.max", "memory.max", "pids.max")
libc = ctypes.CDLL(None, use_errno=True)


def tried(action: Callable[[], object]) -> str:
    """ "allowed", or the name of the error."""
    try:
        action()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "allowed"


def write(directory: str) -> None:
    """A file that is gone at once."""
    path = Path(directory) / f".monitoring-agent-{os.getpid()}"
    path.touch()
    path.unlink()


def unshare() -> None:
    """A user namespace of its own, for which nobody needs to be root."""
    if libc.unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


def executable_memory() -> None:
    """Memory that can be written and executed."""
    mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def read_of_others() -> None:
    """What only root may read of a process of another user: needs CAP_SYS_PTRACE."""
    for path in Path("/proc").glob("[0-9]*"):
        if path.stat().st_uid not in (0, os.getuid()):
            list((path / "fd").iterdir())
            return
    raise OSError(errno.ESRCH, "no process of another user")


def set_clock() -> None:
    """To the time that it has."""
    time.clock_settime(time.CLOCK_REALTIME, time.clock_gettime(time.CLOCK_REALTIME))


def status() -> dict[str, str]:
    """Of this process, as its kernel says."""
    return dict(re.findall(r"^(\w+):\s*(.*)$", Path("/proc/self/status").read_text(), re.MULTILINE))


def limits() -> dict[str, str]:
    """Of its control group, those of the controllers that are there: containers may have none."""
    group = Path("/proc/self/cgroup").read_text().split("::", 1)[1].strip()
    folder = CGROUPS / group.lstrip("/")
    controllers = (folder / "cgroup.controllers").read_text().split()
    return {name: (folder / name).read_text().strip() for name in LIMITS if name.partition(".")[0] in controllers}


def places() -> list[str]:
    """The directories in which it may make a file: all there are, but those of processes and the kernel's."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    found = set()
    for mount in mounts:
        if mount == "/proc" or mount.startswith(("/proc/", "/sys/fs/cgroup/")):
            continue
        device = Path(mount).stat().st_dev
        for directory, names, _files in os.walk(mount):
            names[:] = [name for name in names if (Path(directory) / name).lstat().st_dev == device]
            if tried(lambda directory=directory: write(directory)) == "allowed":  # type: ignore[misc]
                found.add(directory)
    return sorted(found)


def main() -> None:
    """Print it."""
    kernel = status()
    print(
        json.dumps(
            {
                "status": {name: kernel[name] for name in ("CapBnd", "CapEff", "NoNewPrivs", "Seccomp")},
                "limits": limits(),
                "nice": os.getpriority(os.PRIO_PROCESS, 0),
                "temporary": sorted(path.name for path in Path("/tmp").iterdir()),
                "writes": places(),
                "tries": {
                    "packet socket": tried(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()),
                    "raw socket": tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 6).close()),
                    "netlink socket": tried(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4).close()),
                    "namespace": tried(unshare),
                    "writable code": tried(executable_memory),
                    "clock": tried(set_clock),
                    "sysctl": tried(lambda: os.close(os.open("/proc/sys/net/ipv4/tcp_fin_timeout", os.O_WRONLY))),
                    "others' files": tried(read_of_others),
                },
            }
        )
    )


if __name__ == "__main__":
    main()
