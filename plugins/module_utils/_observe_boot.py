# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the next boot gives the keys, read from a host's files: who applies sysctl.d, and what it sets."""

from __future__ import annotations

import posixpath
import re
from dataclasses import field
from typing import Dict, Iterator, Sequence, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._boot_units import held_off_by
from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Assignment
from ansible_collections.netfleet.tcp.plugins.module_utils._secrets import Vault
from ansible_collections.netfleet.tcp.plugins.module_utils._sysctl_d import (
    NOBODY,
    PROCPS,
    SYSCTL_CONF,
    SYSCTL_DIRECTORIES,
    SYSTEMD,
    assignments,
    files_in_order,
    parse,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System, systemd_runs

_SYSTEMD_READERS = ("/usr/lib/systemd/systemd-sysctl", "/lib/systemd/systemd-sysctl")
# A file of sysctl.d has some dozen lines. In one that has many more, and no end of patterns, looking takes minutes.
_SMALL = 1 << 16
_MOST_LINES = 20000
_MOST_PATTERNS = 500
_PATTERN = re.compile(r"^[^=#;\n]{0,4096}[*?[{]", re.MULTILINE)


@dataclass(frozen=True)
class BootFiles:
    """What the files read at boot say of the keys asked for.

    boot and aside: as in KeyState, by key. unread: path -> why a file could not be read. texts: the text of each file
    that names one of the keys. targets: what the links among these stand for.
    """

    boot: Dict[str, Tuple[Assignment, ...]]
    aside: Dict[str, Tuple[Assignment, ...]]
    unread: Dict[str, str] = field(default_factory=dict)
    texts: Dict[str, str] = field(default_factory=dict)
    targets: Dict[str, str] = field(default_factory=dict)


def boot_reader(system: System) -> str:
    """Who applies sysctl.d at boot: SYSTEMD, PROCPS or NOBODY."""
    if systemd_runs(system) and any(system.file_state(path).kind != "absent" for path in _SYSTEMD_READERS):
        return NOBODY if held_off_by(system, SYSTEMD) else SYSTEMD
    return PROCPS if system.file_state("/etc/init.d/procps").kind != "absent" else NOBODY


def boot_files(system: System, names: Sequence[str], reader: str, vault: Vault) -> BootFiles:
    """What the next boot gives the keys, line by line, with secrets masked."""
    listing = {directory: system.names(directory) for directory in SYSCTL_DIRECTORIES}
    has_sysctl_conf = system.file_state(SYSCTL_CONF).kind != "absent"
    paths = files_in_order(listing, reader, has_sysctl_conf)
    texts, unread = _texts(system, paths)
    unread.update({directory: "permission denied" for directory in SYSCTL_DIRECTORIES if system.closed(directory)})
    targets = {path: _target(system, path) for path in paths}
    boot = assignments(names, _parsed(texts, reader, names), reader)
    aside: Dict[str, Tuple[Assignment, ...]] = {}
    if has_sysctl_conf and SYSCTL_CONF not in [*paths, *targets.values()]:
        more, unread_aside = _texts(system, [SYSCTL_CONF])
        # Nothing follows from what it cannot be read for: the boot does not read it either.
        del unread_aside
        aside = assignments(names, _parsed(more, PROCPS, names), PROCPS)
        texts.update(more)
    boot = {name: tuple(_masked(name, entry, vault, targets) for entry in entries) for name, entries in boot.items()}
    aside = {name: tuple(_masked(name, entry, vault, {}) for entry in entries) for name, entries in aside.items()}
    used = {entry.file for found in (boot, aside) for entries in found.values() for entry in entries}
    return BootFiles(boot, aside, unread, {path: text for path, text in texts.items() if path in used}, targets)


def _texts(system: System, paths: Sequence[str]) -> Tuple[Dict[str, str], Dict[str, str]]:
    texts: Dict[str, str] = {}
    unread: Dict[str, str] = {}
    for path in paths:
        text, why = system.read_or_why(path)
        why = _too_much(text) if text is not None else why
        if why:
            unread[path] = why
        elif text is not None:
            texts[path] = text
    return texts, unread


def _too_much(text: str) -> str:
    """Why a file is not looked at, in words; empty where it is."""
    if len(text) <= _SMALL:
        return ""
    lines = text.count("\n")
    if lines > _MOST_LINES:
        return "it has %d lines, more than are looked at" % lines
    patterns = sum(1 for _match in _PATTERN.finditer(text))
    return "it has %d patterns, more than are looked at" % patterns if patterns > _MOST_PATTERNS else ""


def _parsed(texts: Dict[str, str], reader: str, names: Sequence[str]) -> Iterator[Tuple[str, Assignment]]:
    wanted = frozenset(names)
    for path, text in texts.items():
        yield from parse(path, text, reader, wanted)


def _target(system: System, path: str) -> str:
    """What a link in sysctl.d stands for (99-sysctl.conf for /etc/sysctl.conf); empty where it is none."""
    state = system.file_state(path) if path.startswith("/etc/") else None
    if state is None or state.kind != "symlink":
        return ""
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), state.target))


def _masked(name: str, entry: Assignment, vault: Vault, targets: Dict[str, str]) -> Assignment:
    return Assignment(
        entry.file,
        entry.line,
        vault.mask(name, entry.value),
        entry.rank,
        entry.glob,
        entry.pattern,
        targets.get(entry.file, ""),
    )
