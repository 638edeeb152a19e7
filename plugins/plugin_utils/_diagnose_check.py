# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each host of a diagnosis is asked for, by the variables of the playbook. Pure; on the controller alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Dict, List

from ansible_collections.netfleet.tcp.plugins.module_utils._diagnose import asked_from
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, input_error
from ansible_collections.netfleet.tcp.plugins.plugin_utils._arguments import typed

PREFIX = "tcp_diagnose_"
# host: whom the playbook visits; it stands here so that one that is missing is told before a host is visited.
SETTINGS: Dict[str, Dict[str, Any]] = {
    "host": {"type": "str", "default": ""},
    "peer": {"type": "str", "default": ""},
    "port": {"type": "int", "default": 0},
    "filter": {"type": "str", "default": ""},
    "interface": {"type": "str", "default": ""},
    "seconds": {"type": "float", "default": 10.0},
    "megabytes": {"type": "int", "default": 8},
    "payload": {"type": "int", "default": 0},
    "connects": {"type": "int", "default": 3},
    "hops": {"type": "bool", "default": True},
    "trace": {"type": "bool", "default": False},
}
OF_THE_RUN = ("archive", "threshold", "directory", "formats", "compare")
_HANDED_ON = [name for name in SETTINGS if name not in ("host", "peer")]


def checked(given: Mapping[str, Any]) -> Dict[str, Any]:
    """The settings in their types, with defaults; InputError with every problem, named as the variables are."""
    found = typed(SETTINGS, given, PREFIX)
    if not found["host"]:
        raise input_error(PREFIX + "host", "is not given", "-e tcp_diagnose_host=app1 -e tcp_diagnose_peer=db1")
    return found


def request(
    settings: Mapping[str, Any], host: str, visited: Sequence[str], addresses: Mapping[str, str]
) -> Dict[str, Any]:
    """The arguments of netfleet.tcp.tcp_diagnose for a host; InputError with every problem.

    visited: all hosts of the run; addresses: where they, and the peer where it is of the inventory, are called.
    """
    peer: str = settings["peer"]
    # The peer looks at whoever is diagnosed; without a peer it is a service that is.
    at_peer = host == peer and len(visited) > 1
    others = [name for name in visited if name != host] if at_peer else [peer] if peer else []
    peers: List[str] = [addresses.get(name, name) for name in others]
    arguments = {
        **{name: settings[name] for name in _HANDED_ON},
        "peers": peers,
        "serves": at_peer or not peer,
    }
    try:
        asked_from(arguments)
    except InputError as error:
        raise InputError([replace(problem, path=PREFIX + problem.path) for problem in error.problems]) from error
    return arguments
