# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node remembers of a change of its kube-proxy, for the way back.

One change may wait for its end, and the latest that was kept can still be taken back. Pure but for the System that is
handed in; whoever writes holds the host's lock.
"""

from __future__ import annotations

import json
from dataclasses import field
from typing import Dict, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._baseline import STATE_DIRECTORY
from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import NetfleetError, host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_model import ProxyChange
from ansible_collections.netfleet.tcp.plugins.module_utils._model import FileState, to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._record_file import FORMAT, read_record
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System

STORED, KEPT = STATE_DIRECTORY + "/kube-proxy.json", STATE_DIRECTORY + "/kube-proxy-kept.json"
# How far a change has come: its end is missing, or whoever made it was killed.
CHANGING, MADE = "changing", "made"
_CURE = "remove it: the node then stays as it is"


@dataclass(frozen=True)
class Stored:
    """A change of a node, wanted, and what stood there before it. stage: how far it has come, one of the above.

    former_mode: what ran, and is waited for on the way back; empty where nothing answered. unit: what was restarted,
    empty where nothing was. files: as they were. modules: those that it loaded; sysctls: what its keys were.
    """

    id: str
    stage: str
    wanted: ProxyChange
    former_mode: str = ""
    unit: str = ""
    files: Tuple[FileState, ...] = ()
    modules: Tuple[str, ...] = ()
    sysctls: Dict[str, str] = field(default_factory=dict)


def read_stored(system: System, path: str = STORED) -> Optional[Stored]:
    """The change at one of the two paths, if there is one; HostError where the file is damaged."""
    text = system.read(path)
    return None if text is None else read_record(Stored, path, text, "a change of kube-proxy", _CURE)


def id_at(system: System, path: str) -> str:
    """Its id; that it cannot be read counts as an id too, since looking must not fail."""
    try:
        stored = read_stored(system, path)
    except NetfleetError:
        return "unreadable"
    return stored.id if stored else ""


def write_stored(system: System, stored: Stored, path: str = STORED) -> None:
    """Record a change durably. HostError where that is not possible: then nothing may be changed."""
    try:
        system.make_private_directory(STATE_DIRECTORY)
        system.write_file(path, json.dumps({"format": FORMAT, **to_wire(stored)}) + "\n", 0o600)
    except OSError as error:
        raise host_error(path, "cannot be written: %s" % (error.strerror or error)) from error


def remove_stored(system: System, path: str = STORED) -> None:
    """Forget a change. HostError where that is not possible."""
    try:
        system.remove(path)
    except OSError as error:
        raise host_error(path, "cannot be removed: %s" % (error.strerror or error)) from error
