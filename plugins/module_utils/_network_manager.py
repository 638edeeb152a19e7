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
_SCRIPTS = (
    "/etc/NetworkManager/dispatcher.d",
    "/etc/NetworkManager/dispatcher.d/pre-up.d",
    "/usr/lib/NetworkManager/dispatcher.d",
    "/usr/lib/NetworkManager/dispatcher.d/pre-up.d",
)
_TC = re.compile(r"\btc\s+(?:-\S+\s+)*qdisc\s+(?:add|replace|change)\s+(.*)")
_DEVICE = re.compile(r"\bdev\s+[\"']?([\w.:@-]+)")


def network_manager_owner(system: System, keys: Sequence[str]) -> List[Owner]:
    """NetworkManager, where a connection or script of it has to do with the keys or with queueing."""
    qdiscs: Dict[str, Assignment] = {}
    for path, text in _files(system, _CONNECTIONS):
        for interface, line in connection_qdiscs(path, text):
            qdiscs.setdefault(interface, line)
    sets: Dict[str, Assignment] = {}
    for path, text in _files(system, _SCRIPTS):
        found, queueing = script_lines(path, text, keys)
        sets.update({name: line for name, line in found.items() if name not in sets})
        for interface, line in queueing.items():
            qdiscs.setdefault(interface, line)
    return [Owner(NETWORK_MANAGER, sets, qdiscs=qdiscs)] if sets or qdiscs else []


def _files(system: System, directories: Sequence[str]) -> Iterator[Tuple[str, str]]:
    for directory in directories:
        for path in ["%s/%s" % (directory, name) for name in system.names(directory)]:
            text = system.read(path)
            if text is not None:
                yield path, text


def connection_qdiscs(path: str, text: str) -> Iterator[Tuple[str, Assignment]]:
    """(interface, line) of the root qdisc that a connection gives its interface; ANY_INTERFACE where it names none.

    The line's value is the kind of qdisc; None where the section is empty, which takes away what stands there.
    """
    section, interface = "", ANY_INTERFACE
    line, kind, at = 0, "", 0
    for number, raw in enumerate(text.splitlines(), start=1):
        words = raw.strip()
        name, _equals, value = (part.strip() for part in words.partition("="))
        if words.startswith("[") and words.endswith("]"):
            section = words[1:-1]
            at = number if section == "tc" else at
        elif section == "connection" and name == "interface-name" and value:
            interface = value
        elif section == "tc" and name == "qdisc.root" and value:
            line, kind = number, value.split()[0]
    if at:
        yield interface, Assignment(path, line or at, kind or None, "")


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
        for word in re.findall(r"[\w./-]+", line):
            bare = word[len("/proc/sys/") :] if word.startswith("/proc/sys/") else word
            name = spellings.get(bare)
            if name:
                sets.setdefault(name, Assignment(path, number, None, ""))
        command = _TC.search(line)
        if command:
            device = _DEVICE.search(command.group(1))
            qdiscs.setdefault(device.group(1) if device else ANY_INTERFACE, Assignment(path, number, None, ""))
    return sets, qdiscs
