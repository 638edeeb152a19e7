# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reaching the hosts of the lab by ssh: the key, the command, waiting, and shared connections that have gone stale."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from lab.errors import LabError
from lab.paths import give_to_user, make_directory
from lab.processes import all_pids, command_line, sockets_of
from lab.run import run

POLL_SECONDS = 0.1
BOOTING_PATIENCE = 3.0  # the connection may have gone to a guest that was not there yet
LISTENING_PATIENCE = 30.0
BANNER = b"SSH-"
ESTABLISHED = "01"
LISTENING = "0A"


def ensure_key(path: Path) -> str:
    """Make the key pair of an instance unless it is there; returns the public key's line."""
    public = path.with_name(f"{path.name}.pub")
    if not (path.exists() and public.exists()):
        make_directory(path.parent)
        path.unlink(missing_ok=True)
        run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "netfleet-lab", "-f", path],
            what="making the ssh key of the lab",
        )
        give_to_user(path)
        give_to_user(public)
    return public.read_text(encoding="ascii").strip()


def ssh_argv(key: Path, address: str, port: int, command: str) -> list[str]:
    """The ssh command that runs a command as root on a host; no file of the user is read or written."""
    options = (
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "LogLevel=ERROR",
        "BatchMode=yes",
        "IdentitiesOnly=yes",
        "ConnectTimeout=60",
        "ServerAliveInterval=5",
        "ServerAliveCountMax=6",
    )
    argv = ["ssh", "-F", "none", "-i", str(key), "-p", str(port)]
    for option in options:
        argv += ["-o", option]
    return [*argv, f"root@{address}", command]


def ssh(key: Path, address: str, port: int, command: str, *, what: str, stdin: bytes = b"", timeout: float = 60) -> str:
    """Run a command as root on a host, which reads `stdin`, and return its output.

    :raises LabError: ssh or the command failed.
    """
    return run(ssh_argv(key, address, port, command), what=what, stdin=stdin, timeout=timeout).stdout


def answers(address: str, port: int, timeout: float = LISTENING_PATIENCE) -> bool:
    """Whether a sshd greets there. A connection alone proves nothing: QEMU accepts before the guest does."""
    try:
        with socket.create_connection((address, port), timeout=timeout) as connection:
            connection.settimeout(timeout)
            return connection.recv(len(BANNER)) == BANNER
    except OSError:
        return False


def holder_of_port(port: int) -> str | None:
    """Who listens on a TCP port of loopback (or of all addresses), in words; None if it is free."""
    inodes = {
        inode for _, local, _, state, inode in _tcp_table() if state == LISTENING and _covers_loopback(local, port)
    }
    if not inodes:
        return None
    for pid in all_pids():
        if sockets_of(pid) & inodes:
            words = command_line(pid)
            return f"process {pid} ({Path(words[0]).name if words else '?'})"
    return "a process that could not be found"


def _covers_loopback(local: str, port: int) -> bool:
    address, _, number = local.partition(":")
    return int(number, 16) == port and address in ("0100007F", "00000000", "0" * 32)


def close_shared_connections(endpoints: Collection[tuple[str, int]]) -> int:
    """End the ssh control masters that are connected to these addresses; returns how many.

    ansible keeps them for minutes. After a host was restored or replaced they lead nowhere, and the next command would
    fail on them. Each is asked through its own control socket, whose path it shows as its command line
    (`ssh: PATH [mux]`).
    """
    wanted = {f"{_hex_address(address)}:{port:04X}" for address, port in endpoints}
    inodes = {inode for _, _, remote, state, inode in _tcp_table() if state == ESTABLISHED and remote in wanted}
    closed = 0
    if not inodes:
        return closed
    for pid in all_pids():
        words = command_line(pid)
        title = words[0] if words else ""
        if title.startswith("ssh: ") and title.endswith(" [mux]") and sockets_of(pid) & inodes:
            path = title[len("ssh: ") : -len(" [mux]")]
            argv = ["ssh", "-F", "none", "-O", "exit", "-o", f"ControlPath={path}", "lab"]
            closed += subprocess.run(argv, capture_output=True, check=False, timeout=10).returncode == 0
    return closed


def _hex_address(address: str) -> str:
    return socket.inet_aton(address)[::-1].hex().upper()


def _tcp_table() -> Iterator[tuple[str, str, str, str, str]]:
    """Rows of /proc/net/tcp and tcp6: number, local, remote, state, inode."""
    for name in ("tcp", "tcp6"):
        path = Path("/proc/net") / name
        if path.exists():
            for line in path.read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                yield fields[0], fields[1], fields[2], fields[3], fields[9]


def wait_for_ssh(
    address: str, port: int, seconds: float, alive: Callable[[], bool], patience: float = BOOTING_PATIENCE
) -> None:
    """Wait until a sshd greets; `alive` tells whether the host still runs, so that waiting is not in vain.

    Each try costs a slow guest a process of its sshd, so where that listens already, use a `patience` (seconds a try)
    that a loaded machine will not exceed: many impatient tries would keep the guest from answering any.

    :raises LabError: the host stopped, or no greeting within the time.
    """
    deadline = time.monotonic() + seconds
    while not answers(address, port, min(patience, seconds)):
        if not alive():
            raise LabError("it stopped before ssh answered")
        if time.monotonic() > deadline:
            raise LabError(f"no answer from ssh on {address} port {port} within {seconds:.0f} s (NETFLEET_LAB_TIMEOUT)")
        time.sleep(POLL_SECONDS)


def timeout_seconds() -> float:
    """How long a host may take to come up; NETFLEET_LAB_TIMEOUT changes it for slow machines."""
    text = os.environ.get("NETFLEET_LAB_TIMEOUT") or "240"
    try:
        return float(text)
    except ValueError as error:
        raise LabError(f"NETFLEET_LAB_TIMEOUT={text!r}: must be a number of seconds") from error
