# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""CPU seconds of the lab's containers and of what this process starts, read from /proc.

A process's own time and that of its children which it has waited for, added up over all living processes of a tree,
is the time of everything that ever ran in it: time moves from a dead process to the one that waited for it, and none
is lost. That holds without any particular layout of cgroups.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

from tools.shared import ToolError

TICKS = os.sysconf("SC_CLK_TCK")
PR_SET_CHILD_SUBREAPER = 36
PROC = Path("/proc")


def parse_stat(text: str) -> tuple[int, float]:
    """Parent and CPU seconds (own and waited-for children's) of a process, from its /proc/PID/stat."""
    # The name of the program may hold spaces and brackets; what follows the last bracket does not.
    fields = text.rpartition(")")[2].split()
    return int(fields[1]), sum(int(field) for field in fields[11:15]) / TICKS


def processes() -> dict[int, tuple[int, float]]:
    """Parent and CPU seconds of every process, by its number."""
    found = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = parse_stat((entry / "stat").read_text(encoding="utf-8", errors="replace"))
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended meanwhile
    return found


def descendants(roots: Iterable[int], table: dict[int, tuple[int, float]]) -> set[int]:
    """The processes `roots`, and all that descend from them."""
    children: dict[int, list[int]] = {}
    for number, (parent, _) in table.items():
        children.setdefault(parent, []).append(number)
    found: set[int] = set()
    queue = [number for number in roots if number in table]
    while queue:
        number = queue.pop()
        if number not in found:
            found.add(number)
            queue.extend(children.get(number, ()))
    return found


def of_trees(roots: Iterable[int]) -> float:
    """CPU seconds of these processes and everything that ever ran below them."""
    table = processes()
    return sum(table[number][1] for number in descendants(roots, table))


def keep_orphans() -> None:
    """Become the parent of what our children leave behind: ssh's shared connections outlive the run that made them."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise ToolError(f"prctl(PR_SET_CHILD_SUBREAPER): {os.strerror(ctypes.get_errno())}")


def collect_orphans() -> None:
    """Wait for adopted processes that have ended, so that their time counts as ours. Have no child of your own then."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                return
        except ChildProcessError:
            return


def container_roots(names: Iterable[str]) -> dict[str, int]:
    """The first process of each container of these host names, as this machine numbers it; needs root."""
    wanted = set(names)
    found: dict[str, int] = {}
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            variables = (entry / "environ").read_bytes().split(b"\0")
            inside = [line for line in (entry / "status").read_text().splitlines() if line.startswith("NSpid:")]
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        numbers = inside[0].split()[1:] if inside else []
        name = next((item[9:].decode() for item in variables if item.startswith(b"HOSTNAME=")), "")
        if len(numbers) > 1 and numbers[-1] == "1" and name in wanted:
            found[name] = int(entry.name)
    missing = sorted(wanted - set(found))
    if missing:
        raise ToolError(
            f"no container found by the host name {', '.join(missing)}; is the bench fleet up, and are we root?"
        )
    return found
