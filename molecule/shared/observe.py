#!/usr/bin/env python3
# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints as JSON what a host's kernel runs and which files it has, read without any code of the collection.

Runs on the hosts of the lab (Python 3.9 or newer, standard library). One run per host and test step: a visit is what
costs time on an emulated machine.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import subprocess
from functools import cache
from pathlib import Path

SYSCTL = Path("/proc/sys")
SYSCTL_DIRECTORIES = ("net/ipv4", "net/core", "fs")
COUNTERS = ("fs.dentry-state", "fs.file-nr", "fs.inode-nr", "fs.inode-state")  # they say what is, and cannot be set
OWN_FILE = Path("/etc/sysctl.d/90-netfleet-tcp.conf")
TCP_CONGESTION = 13  # of setsockopt; the socket module has it under this name on Linux
FILE_TREES = ("/etc", "/usr/lib/sysctl.d", "/usr/local", "/var/lib/netfleet-tcp")


def keys() -> dict[str, Path]:
    """The keys directly below each directory: the host's own settings, without those of each interface."""
    paths = [path for name in SYSCTL_DIRECTORIES for path in sorted((SYSCTL / name).iterdir()) if path.is_file()]
    found = {str(path.relative_to(SYSCTL)).replace("/", "."): path for path in paths}
    return {name: path for name, path in found.items() if name not in COUNTERS}


def sysctls() -> dict[str, str]:
    """The readable keys with their values."""
    found = {}
    for name, path in keys().items():
        # Some keys can only be written, and some refuse to be read in a network namespace that lacks their subject.
        with contextlib.suppress(OSError):
            found[name] = " ".join(path.read_text().split())
    return found


def files() -> dict[str, str]:
    """Path -> digest (or target) of everything below the trees where a host is configured."""
    found = {}
    for tree in FILE_TREES:
        for directory, _, names in os.walk(tree):
            for name in names:
                path = Path(directory) / name
                if path.is_symlink():
                    found[str(path)] = f"-> {path.readlink()}"
                elif path.is_file():
                    found[str(path)] = digest(path, identity(path))
    return found


def identity(path: Path) -> tuple[int, int, int]:
    """What is another once a file has been written."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_ctime_ns


@cache
def digest(path: Path, _identity: tuple[int, int, int]) -> str:
    """Of a file's content; read again only once its status has changed, by a process that looks several times."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def qdiscs() -> dict[str, list[str]]:
    """Interface -> the kinds that queue its packets: the root's, or of an mq root its leaves'."""
    found: dict[str, list[str]] = {}
    for entry in json.loads(output(["tc", "-j", "qdisc", "show"])):
        if entry["kind"] != "mq":
            found.setdefault(entry["dev"], []).append(entry["kind"])
    return found


def new_socket() -> str:
    """The congestion control that the kernel gives to a connection made now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as made:
        return made.getsockopt(socket.IPPROTO_TCP, TCP_CONGESTION, 16).rstrip(b"\0").decode()


def output(argv: list[str]) -> str:
    """What a program prints."""
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def seen() -> dict[str, object]:
    """It all."""
    modules = Path("/proc/modules").read_text() if Path("/proc/modules").exists() else ""
    return {
        "boot": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        "memory": int(Path("/proc/meminfo").read_text().split()[1]) * 1024,
        "sysctls": sysctls(),
        "writable": sorted(name for name, path in keys().items() if os.access(path, os.W_OK)),
        "files": files(),
        "qdiscs": qdiscs(),
        "new_socket": new_socket(),
        "own_file": OWN_FILE.read_text() if OWN_FILE.exists() else "",
        "modules": sorted(line.split()[0] for line in modules.splitlines()),
        "failed_units": output(["systemctl", "--failed", "--plain", "--no-legend"]).split("\n")[:-1],
    }


if __name__ == "__main__":
    print(json.dumps(seen()))
