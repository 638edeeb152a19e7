# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What NetworkManager does to keys and queueing while it runs. Pure but for the System that is handed in.

A connection's section [tc] gives its interface a qdisc each time the connection comes up; scripts of the dispatcher
run then too. Sources: nm-settings(5), nm-settings-keyfile(5), NetworkManager-dispatcher(8).
"""

from __future__ import annotations

import re
from typing import Dict, Iterator, List, Sequence, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._model import ANY_INTERFACE, Assignment, Owner
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System
from ansible_collections.netfleet.tcp.plugins.module_utils._values import key_path

NETWORK_MANAGER = "NetworkManager"
_CONNECTIONS = (
    "/etc/NetworkManager/system-connections",
    "/run/NetworkManager/system-connections",
    "/usr/lib/NetworkManager/system-connections",
)
_SCRIPTS = tuple(
    directory + kind
    for directory in ("/etc/NetworkManager/dispatcher.d", "/usr/lib/NetworkManager/dispatcher.d")
    for kind in ("", "/pre-up.d", "/no-wait.d")
)
_EXECUTABLE = 0o111
# What editors and package managers leave, which NetworkManager passes over.
_LEFTOVER = re.compile(r"\..*|.*(~|\.sw[a-z]|\.bak|\.rpm\w+|\.dpkg-\w+|\.pacnew)\Z", re.DOTALL)
_TC = re.compile(r"\btc\s+(?:-\S+\s+)*qdisc\s+(?:add|replace|change)\s+(.*\broot\b.*)")
_DEVICE = re.compile(r"\bdev\s+[\"']?([\w.:@-]+)")
# sysctl -w KEY=VALUE, or echo VALUE > /proc/sys/KEY: what reads a key sets nothing.
_ASSIGNED = re.compile(r"([\w./-]+)\s*=|>\s*[\"']?/proc/sys/([\w./-]+)|\btee\b[^|;&]*?/proc/sys/([\w./-]+)")
# Connections of these kinds alone are those of a NIC, where they do not name their interface.
_WIRED = ("", "ethernet", "802-3-ethernet", "bond", "team", "bridge", "vlan")


def network_manager_owner(system: System, keys: Sequence[str]) -> List[Owner]:
    """NetworkManager, where a connection or script of it has to do with the keys or with queueing."""
    qdiscs: Dict[str, Assignment] = {}
    for path, text in _connections(system):
        for interface, line in connection_qdiscs(path, text):
            qdiscs.setdefault(interface, line)
    sets: Dict[str, Assignment] = {}
    for path, text in _scripts(system):
        found, queueing = script_lines(path, text, keys)
        sets.update({name: line for name, line in found.items() if name not in sets})
        for interface, line in queueing.items():
            qdiscs.setdefault(interface, line)
    return [Owner(NETWORK_MANAGER, sets, qdiscs=qdiscs)] if sets or qdiscs else []


def _connections(system: System) -> Iterator[Tuple[str, str]]:
    for directory in _CONNECTIONS:
        for name in system.names(directory):
            text = system.read("%s/%s" % (directory, name)) if not _LEFTOVER.match(name) else None
            if text:
                yield "%s/%s" % (directory, name), text


def _scripts(system: System) -> Iterator[Tuple[str, str]]:
    seen = set()
    for directory in _SCRIPTS:
        for name in system.names(directory):
            path = "%s/%s" % (directory, name)
            # One of /etc hides that of the same name and kind in /usr, also by a link to /dev/null.
            place = (directory.rpartition("dispatcher.d")[2], name)
            hidden = place in seen or _LEFTOVER.match(name)
            seen.add(place)
            state = system.file_state(path)
            if hidden or (state.kind == "file" and not state.mode & _EXECUTABLE):
                continue
            text = system.read(path)
            if text:
                yield path, text


def connection_qdiscs(path: str, text: str) -> Iterator[Tuple[str, Assignment]]:
    """(interface, line) of the root qdisc that a connection gives its interface; ANY_INTERFACE where it names none.

    The line's value is the kind of qdisc; None where the section is empty, which takes away what stands there.
    """
    section, at = "", 0
    options: Dict[str, str] = {}
    line, kind = 0, ""
    for number, raw in enumerate(text.splitlines(), start=1):
        words = raw.strip()
        name, _equals, value = (part.strip() for part in words.partition("="))
        if words.startswith("[") and words.endswith("]"):
            section = words[1:-1]
            at = number if section == "tc" else at
        elif section == "connection":
            options[name] = value
        elif section == "tc" and name == "qdisc.root":
            line, kind = number, _kind(value)
    interface = options.get("interface-name") or ANY_INTERFACE
    nobodys = interface == ANY_INTERFACE and options.get("type", "") not in _WIRED
    if at and not nobodys and options.get("autoconnect") != "false":
        yield interface, Assignment(path, line or at, kind or None, "")


def _kind(value: str) -> str:
    """The kind of a qdisc as nm-settings(5) writes it: [handle H] KIND [attributes]."""
    words = value.split()
    words = words[2:] if words[:1] == ["handle"] else words
    return words[0] if words else ""


def script_lines(path: str, text: str, keys: Sequence[str]) -> Tuple[Dict[str, Assignment], Dict[str, Assignment]]:
    """The lines of a shell script that name one of the keys, and those that give an interface a qdisc (by interface).

    What a script really sets is not known: values are None.
    """
    spellings = {spelling: name for name in keys for spelling in (name, key_path(name))}
    sets: Dict[str, Assignment] = {}
    qdiscs: Dict[str, Assignment] = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        for match in _ASSIGNED.finditer(line):
            name = spellings.get(next(word for word in match.groups() if word))
            if name:
                sets.setdefault(name, Assignment(path, number, None, ""))
        command = _TC.search(line)
        if command:
            device = _DEVICE.search(command.group(1))
            qdiscs.setdefault(device.group(1) if device else ANY_INTERFACE, Assignment(path, number, None, ""))
    return sets, qdiscs
