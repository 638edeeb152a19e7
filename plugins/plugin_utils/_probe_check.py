# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom a host probes, and what it is judged by, from the inventory. Pure; runs on the controller alone.

Each host calls as many peers as it is told to, and is called by as many: so neither its cost nor its share of the
fleet's traffic grows with the fleet. Which they are follows from the names of the hosts alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_address
from typing import Any, Dict, List, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, Problem, input_error
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import OTHER
from ansible_collections.netfleet.tcp.plugins.module_utils._health_targets import RTT_TARGETS, targets_of
from ansible_collections.netfleet.tcp.plugins.module_utils._probe import (
    MOST_DESTINATIONS,
    PROBED,
    asked_from,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils import _health_check
from ansible_collections.netfleet.tcp.plugins.plugin_utils._arguments import range_problems, typed

PREFIX = "tcp_probe_"
SSH = 22
# What concerns a host; the playbook has others that concern the run.
SETTINGS: Dict[str, Dict[str, Any]] = {
    "peers": {"type": "int", "default": 3},
    "to": {"type": "list", "elements": "str", "default": []},
    "ports": {"type": "list", "elements": "int", "default": []},
    "endpoints": {"type": "list", "elements": "str", "default": []},
    # By three hosts that is twelve, also where all come from one address: OpenSSH from 9.8 on refuses an address for a
    # while after about fifteen connections that did not log in.
    "attempts": {"type": "int", "default": 4},
    "timeout": {"type": "float", "default": 3.0},
    "mtu": {"type": "bool", "default": True},
    "round": {"type": "int", "default": 0},
    "waivers": {"type": "raw", "default": []},
}
# Of a host that others call: where.
ADDRESS = "address"
OF_THE_RUN = ("groups", "threshold", "directory", "formats", "compare")
_MOST_PORT = 65535
_MOST_ROUNDS = 1_000_000
_ENDPOINT = re.compile(r"(?:\[(?P<literal>[^\[\]]+)\]|(?P<name>[^:\[\]\s]+)):(?P<port>\d{1,5})\Z")


def checked(given: Mapping[str, Any]) -> Dict[str, Any]:
    """The settings in their types, with defaults; InputError with every problem, named as the variables are."""
    found = typed(SETTINGS, given, PREFIX)
    problems = [
        *range_problems(PREFIX + "peers", found["peers"], 0, MOST_DESTINATIONS),
        *range_problems(PREFIX + "round", found["round"], 0, _MOST_ROUNDS),
        *_port_problems(found["ports"]),
        *_endpoint_problems(found["endpoints"]),
    ]
    if problems:
        raise InputError(problems)
    return found


def _port_problems(ports: Sequence[int]) -> Iterator[Problem]:
    for index, port in enumerate(ports):
        yield from range_problems("%sports[%d]" % (PREFIX, index), port, 1, _MOST_PORT)


def _endpoint_problems(endpoints: Sequence[str]) -> Iterator[Problem]:
    for index, text in enumerate(endpoints):
        name, match = "%sendpoints[%d]" % (PREFIX, index), _ENDPOINT.match(text)
        if match:
            yield from range_problems(name, int(match["port"]), 1, _MOST_PORT)
        else:
            yield Problem(name, "%r is none" % text, "such as db1:5432 or [2001:db8::1]:443")


def chosen_peers(host: str, sources: Sequence[str], candidates: Sequence[str], count: int, turn: int) -> List[str]:
    """Whom a host calls. sources: all who call; candidates: who may be called; turn: another one chooses others.

    The hosts stand in a ring, by name; each calls those that are 1, m, m squared... places further on, where m is the
    count-th root of their number: so near and far names are among them, each is called by as many as it calls, and
    whatever two of them cannot reach each other, somebody on the way between them notices.
    """
    ring = sorted(candidates)
    own = set(ring)
    place = ring.index(host) if host in own else sorted(set(sources) - own).index(host)
    # Of a ring that the host is in, its own place is none of those to call.
    others = len(ring) - (host in own)
    count = min(count, others)
    first = 1 if host in own else 0
    steps = [first + (step - 1 + turn) % others for step in _steps(others, count)]
    return [ring[(place + step) % len(ring)] for step in steps]


def _steps(others: int, count: int) -> List[int]:
    """Different numbers from 1 to others, so many of them, as far apart as powers are."""
    found: List[int] = []
    for number in range(count):
        step = round((others + 1) ** (number / count))
        found.append(max(step, found[-1] + 1 if found else 1))
    # Of few hosts powers are closer to each other than one.
    return [min(step, others - (count - 1 - index)) for index, step in enumerate(found)]


def endpoints(texts: Sequence[str], addresses: Mapping[str, str]) -> List[Dict[str, Any]]:
    """Destinations that are named one by one. addresses: of hosts of the inventory, by name."""
    found = []
    for text in texts:
        match = _ENDPOINT.match(text)
        if match:
            name = match["literal"] or match["name"]
            found.append({"name": name, "address": addresses.get(name, name), "port": int(match["port"])})
    return found


def where(hostvars: Mapping[str, Any], name: str) -> Tuple[str, int]:
    """Where others call a host of the inventory: its address, and the port of ssh; InputError where that is none."""
    variables = hostvars[name]
    address = variables.get(PREFIX + ADDRESS) or variables.get("ansible_host") or name
    port = variables.get("ansible_port") or SSH
    try:
        number = int(port)
    except (TypeError, ValueError):
        number = 0
    if not 0 < number <= _MOST_PORT:
        raise input_error("ansible_port", "%r of %s is no port" % (port, name), "1 to %d" % _MOST_PORT)
    return str(address), number


def is_own(address: str) -> bool:
    """Whether an address is of loopback: by it every host would call itself."""
    if address.rstrip(".").lower() == "localhost":
        return True
    try:
        return ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False


def destinations(
    peers: Sequence[Tuple[str, str, int]], ports: Sequence[int], named: Sequence[Mapping[str, Any]]
) -> List[Dict[str, Any]]:
    """Where to connect to. peers: each with its name, address, and the port of ssh; ports: others, in its place."""
    found = [
        {"name": name, "address": address, "port": port}
        for name, address, own in peers
        for port in dict.fromkeys(ports or [own])
    ]
    return [*found, *(dict(each) for each in named)]


def request(
    settings: Mapping[str, Any],
    health: Mapping[str, Any],
    profile: str,
    classes: Mapping[str, Any],
    to: Sequence[Mapping[str, Any]],
) -> Dict[str, Any]:
    """The arguments of netfleet.tcp.tcp_probe; InputError with every problem.

    health: targets and rtt_targets of the check of TCP's health, which a probe is judged by too; classes: of peers.
    """
    given = {name: target for name, target in (health.get("targets") or {}).items() if target is not None}
    wanted = {**targets_of(profile), **given}
    rtts = {**{name: target for name, target in RTT_TARGETS.items() if name in classes}, **health["rtt_targets"]}
    arguments = {
        "to": [dict(each) for each in to],
        "attempts": settings["attempts"],
        "timeout": settings["timeout"],
        "mtu": settings["mtu"],
        "peers": dict(classes),
        "targets": {name: wanted[name] for name in PROBED},
        "rtt_targets": {name: value for name, value in rtts.items() if name in (*classes, OTHER)},
    }
    try:
        asked_from(arguments)
    except InputError as error:
        raise InputError([replace(problem, path=_variable(problem.path)) for problem in error.problems]) from error
    return arguments


def _variable(path: str) -> str:
    """The name of the variable for an option of netfleet.tcp.tcp_probe."""
    shared = path.partition(".")[0] in ("peers", "targets", "rtt_targets")
    return (_health_check.PREFIX if shared else PREFIX) + path
