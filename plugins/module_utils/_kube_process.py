# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kube-proxy that runs as a process of its own, told from what only calls itself so.

A process gives itself any name and any words, so neither is believed but of one that only root can have started: one of
the unit, by systemd's own word, or a program of that name which is root's, in the network that kube-proxy is to program
(a container has another, unless its cluster trusts it with the node's).

Pure but for the System that is handed in.
"""

from __future__ import annotations

import posixpath
import re
from typing import Iterator, List, Optional, Sequence, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_unit import program_of
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System

NAME = "kube-proxy"
# The real user, the effective one and the others: a program that is root's for whoever starts it has his as the first.
_ROOTS = re.compile(r"^Uid:\s+0\s+0\s+0\s+0\s*$", re.MULTILINE)
_GONE = " (deleted)"


@dataclass(frozen=True)
class Process:
    """A kube-proxy that runs. words: its command; program: the path of what it runs, as its own file system has it."""

    words: Tuple[str, ...]
    program: str = ""

    @property
    def arguments(self) -> Tuple[str, ...]:
        return self.words[1:]


def of_unit(system: System, unit: str) -> Optional[Process]:
    """The one that systemd runs for a unit; None where there is none, or none that is called so."""
    status, output, _error = system.run(["systemctl", "show", "--property=ControlGroup", unit])
    group = output.strip().partition("=")[2].rstrip("/") if status == 0 else ""
    return next((_process(system, pid, words) for pid, words in _running(system) if _is_in(system, pid, group)), None)


def of_pod(system: System) -> Optional[Process]:
    """The one that serves this host from a container; None where there is none."""
    network = _link(system, "self", "ns/net")
    for pid, words in _running(system):
        process = _process(system, pid, words)
        if posixpath.basename(process.program) == NAME and network and _link(system, str(pid), "ns/net") == network:
            return process
    return None


def program_for(process: Optional[Process], command: Sequence[str]) -> str:
    """The path of a unit's kube-proxy, to be asked for its version; empty where nothing tells it that can be believed.

    process: of the unit; command: what the unit starts, which may be a script, and then is not it.
    """
    named = program_of(command) if command else ""
    if named.startswith("/") and posixpath.basename(named) == NAME and not set("%$") & set(named):
        return named
    program = process.program if process else ""
    return program if program.startswith("/") else ""


def _running(system: System) -> Iterator[Tuple[int, List[str]]]:
    """Root's processes of that name, in the order of their numbers, and their words."""
    for pid in sorted(int(entry) for entry in system.names("/proc") if entry.isdigit()):
        if (system.read("/proc/%d/comm" % pid) or "").strip() != NAME:
            continue
        if not _ROOTS.search(system.read("/proc/%d/status" % pid) or ""):
            continue
        words = (system.read("/proc/%d/cmdline" % pid) or "").rstrip("\0").split("\0")
        # One that cleans up ends by itself.
        if words[0] and not any(word.startswith("--cleanup") for word in words):
            yield pid, words


def _process(system: System, pid: int, words: Sequence[str]) -> Process:
    program = _link(system, str(pid), "exe")
    return Process(tuple(words), "" if program.endswith(_GONE) else program)


def _link(system: System, pid: str, name: str) -> str:
    return system.file_state("/proc/%s/%s" % (pid, name)).target


def _is_in(system: System, pid: int, group: str) -> bool:
    """Whether a process is in a cgroup of systemd's, or below it."""
    for line in (system.read("/proc/%d/cgroup" % pid) or "").splitlines():
        # number:controllers:path; systemd has its own hierarchy where it does not have the only one.
        _number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if group and controllers in ("", "name=systemd") and (path + "/").startswith(group + "/"):
            return True
    return False
