# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables of a run that is about links, in their types. Runs on the controller alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Dict, List

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, Problem, input_error
from ansible_collections.netfleet.tcp.plugins.module_utils._policy import ALGORITHM
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_files import BACKENDS
from ansible_collections.netfleet.tcp.plugins.plugin_utils._arguments import range_problems, typed, window_problems
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_declaration import OF_A_HOST, PREFIX, is_key, parse
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_desired import AUTO, LinkSettings
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_ipsec import IPSEC, NO_IPSEC
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_model import Links

SETTINGS: Dict[str, Dict[str, Any]] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "secret": {"type": "str", "default": "", "no_log": True},
    "generation": {"type": "int", "default": 0},
    "keys": {"type": "dict", "default": {}},
    "rotate": {"type": "list", "elements": "str", "default": []},
    "backend": {"type": "str", "choices": [AUTO, *BACKENDS], "default": AUTO},
    "congestion_control": {"type": "str", "default": ""},
    "initcwnd": {"type": "int", "default": 0},
    "initrwnd": {"type": "int", "default": 0},
    "ipsec": {"type": "str", "choices": list(IPSEC), "default": NO_IPSEC},
    "probe_mtu": {"type": "bool", "default": False},
    "replace_frr": {"type": "bool", "default": False},
    "confirm": {"type": "int", "default": 120},
    "log": {"type": "str", "default": ""},
}
# Of a guess at a secret a key's token would tell whether it is right: it has to be too long to be guessed.
_SHORTEST_SECRET = 32
_MOST_SEGMENTS = 1000
_SHORTEST_WINDOW = 30


def checked(given: Mapping[str, Any]) -> Dict[str, Any]:
    """The settings in their types, with defaults; InputError with every problem, named as the variables are."""
    found = typed(SETTINGS, given, PREFIX)
    problems: List[Problem] = []
    if found["secret"] and len(found["secret"]) < _SHORTEST_SECRET:
        cure = "%d characters or more, such as `openssl rand -hex 32` prints; keep it in a vault" % _SHORTEST_SECRET
        problems.append(Problem(PREFIX + "secret", "is too short", cure))
    for host, key in found["keys"].items():
        if not isinstance(key, str) or not is_key(key):
            cure = "44 characters, as `wg pubkey` prints them"
            problems.append(Problem("%skeys.%s" % (PREFIX, host), "is no WireGuard key", cure))
    if found["congestion_control"] and not ALGORITHM.match(found["congestion_control"]):
        text = "%r is no name of a congestion control" % found["congestion_control"]
        problems.append(Problem(PREFIX + "congestion_control", text, "such as bbr"))
    for name in ("initcwnd", "initrwnd"):
        problems += range_problems(PREFIX + name, found[name], 0, _MOST_SEGMENTS, "segments, %s; 0: the kernel's own")
    if found["rotate"] and not found["confirm"]:
        cure = "give %sconfirm its seconds" % PREFIX
        problems.append(Problem(PREFIX + "rotate", "keys change only in a change that waits to be confirmed", cure))
    problems += window_problems(PREFIX + "confirm", found["confirm"], _SHORTEST_WINDOW)
    if problems:
        raise InputError(problems)
    return found


def rotating(found: Mapping[str, Any], host: str, groups: Mapping[str, List[str]]) -> bool:
    """Whether a host gets another key in this run. InputError where a name is neither a host's nor a group's."""
    for name in found["rotate"]:
        if name not in groups and name not in groups.get("all", ()):
            raise input_error(PREFIX + "rotate", "%r is neither a host nor a group" % name)
    return any(name == host or host in groups.get(name, ()) for name in found["rotate"])


def link_settings(found: Mapping[str, Any]) -> LinkSettings:
    """What of the settings concerns the links themselves."""
    return LinkSettings(
        backend=found["backend"],
        congestion_control=found["congestion_control"],
        initcwnd=found["initcwnd"],
        initrwnd=found["initrwnd"],
        ipsec=found["ipsec"],
        secret=found["secret"],
        generation=found["generation"],
        probe_mtu=found["probe_mtu"],
    )


def declared(declaration: Mapping[str, Any], task_vars: Mapping[str, Any]) -> Links:
    """The declared links, with what the inventory says of each host. InputError with every problem."""
    groups: Mapping[str, List[str]] = task_vars["groups"]
    return parse(declaration, _Hosts(task_vars["hostvars"], groups.get("all", [])), groups)


def digest(declaration: Mapping[str, Any]) -> str:
    """Stands for a declaration: the same for the same one, on whichever host it is read."""
    text = json.dumps(declaration, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def shared_digest(found: Mapping[str, Any]) -> str:
    """Stands for what preshared keys are made of: the secret, which it does not tell, and the generation."""
    return digest({"secret": found["secret"], "generation": found["generation"] if found["secret"] else 0})


class _Hosts(Mapping[str, Mapping[str, Any]]):
    """What each host of the inventory says of itself; its variables are looked up for those that are named alone."""

    def __init__(self, hostvars: Mapping[str, Any], names: List[str]) -> None:
        self._hostvars = hostvars
        self._names = dict.fromkeys(names)

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        if name not in self._names:
            raise KeyError(name)
        variables = self._hostvars[name]
        return {key: variables[PREFIX + key] for key in OF_A_HOST if PREFIX + key in variables}

    def __iter__(self) -> Any:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names
