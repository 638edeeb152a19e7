# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host's TCP is asked for and judged by, from the inventory: targets by profile, and classes of its peers. Pure.

Runs on the controller alone. The targets themselves stand in module_utils/_health_targets.py.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Dict, List

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, Problem, input_error
from ansible_collections.netfleet.tcp.plugins.module_utils._health_asked import asked_from
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import OTHER
from ansible_collections.netfleet.tcp.plugins.module_utils._health_targets import BY_PROFILE, RTT_TARGETS, targets_of
from ansible_collections.netfleet.tcp.plugins.plugin_utils._arguments import typed

PREFIX = "tcp_health_"
TUNNEL = "tunnel"
# What concerns a host; the playbook has others that concern the run.
SETTINGS: Dict[str, Dict[str, Any]] = {
    "interval": {"type": "float", "default": 5.0},
    "samples": {"type": "str", "default": ""},
    "keep_samples": {"type": "bool", "default": True},
    "peers": {"type": "dict", "default": {}},
    "targets": {"type": "dict", "default": {}, "options": {name: {"type": "float"} for name in targets_of("")}},
    "rtt_targets": {"type": "dict", "default": {}},
    "waivers": {"type": "raw", "default": []},
}
OF_THE_RUN = ("groups", "threshold", "directory", "formats", "compare")
# Of the declaration of links, what tells where peers are.
OF_LINKS = ("topologies", "sites")
# Addresses that a network gives itself: the peers of a host that stands in a data centre or a cloud.
_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fe80::/10")
# Classes that some hosts have and others do not; a target for them is no mistake.
_USUAL = (*RTT_TARGETS, TUNNEL, OTHER)
_TOP = 10


def checked(given: Mapping[str, Any]) -> Dict[str, Any]:
    """The settings in their types, with defaults; InputError with every problem, named as the variables are."""
    found = typed(SETTINGS, given, PREFIX)
    # YAML takes a name such as 100 for a number.
    by_class = {name: {str(key): value for key, value in found[name].items()} for name in ("peers", "rtt_targets")}
    return {**found, **by_class}


def request(settings: Mapping[str, Any], profile: str, peers: Mapping[str, Sequence[str]]) -> Dict[str, Any]:
    """The arguments of netfleet.tcp.tcp_health_info, to count over an interval; InputError with every problem.

    peers: those that the inventory tells by itself (see derived_peers); the user's own come before them.
    """
    classes = merged_peers(peers, settings["peers"])
    problems = list(_unknown_classes(settings["rtt_targets"], classes))
    given = {name: target for name, target in (settings["targets"] or {}).items() if target is not None}
    arguments = {
        "interval": settings["interval"],
        "since": {},
        "peers": classes,
        "targets": {**targets_of(profile), **given},
        "rtt_targets": {name: value for name, value in settings["rtt_targets"].items() if name in (*classes, OTHER)},
        "top": _TOP,
    }
    try:
        asked_from(arguments)
    except InputError as error:
        problems += [replace(problem, path=PREFIX + problem.path) for problem in error.problems]
    if problems:
        raise InputError(problems)
    return arguments


def _unknown_classes(targets: Mapping[str, Any], classes: Mapping[str, Any]) -> Iterator[Problem]:
    known = sorted({*classes, *_USUAL})
    for name in targets:
        if name not in known:
            yield Problem(
                "%srtt_targets.%s" % (PREFIX, name), "there is no such class", "one of: %s" % ", ".join(known)
            )


def profile_of(declared: str, groups: Sequence[str]) -> str:
    """Where a host stands: as it is declared, else by the group of that name; empty where that is not known.

    InputError where it cannot be told: there is no such profile, or the host is in the groups of several.
    """
    found = [declared] if declared else [name for name in BY_PROFILE if name in groups]
    if len(found) > 1:
        problem = "the host is in the groups %s" % " and ".join(found)
        raise input_error("tcp_tuning_profile", problem, "say which of them is its profile")
    if declared and declared not in BY_PROFILE:
        raise input_error("tcp_tuning_profile", "%r is none" % declared, "one of: %s" % ", ".join(BY_PROFILE))
    return found[0] if found else ""


def merged_peers(derived: Mapping[str, Sequence[str]], given: Mapping[str, Any]) -> Dict[str, Any]:
    """The classes of peers: the user's own, and of the others what the user does not name otherwise."""
    own = {_normal(prefix) for prefixes in given.values() if isinstance(prefixes, (list, tuple)) for prefix in prefixes}
    others = {name: [each for each in found if each not in own] for name, found in derived.items() if name not in given}
    return {**{name: found for name, found in others.items() if found}, **given}


def derived_peers(host: str, address: str, profile: str, links: Mapping[str, Any]) -> Dict[str, List[str]]:
    """The classes of peers that an inventory tells by itself.

    For a host of the profiles local and cloud, private addresses are a class of the profile's name. Networks of tunnels
    are the class tunnel, and so are the prefixes of all sites but the host's own, where it is known which that is: it
    is a gateway of the site, or has an address in it. address: ansible_host, which may be a name. links: topologies
    and sites, as the role wireguard_links has them; what cannot be read of them is left out, for that role to refuse.
    """
    found: Dict[str, List[str]] = {profile: list(_PRIVATE)} if profile in RTT_TARGETS else {}
    topologies, sites = links.get("topologies") or [], links.get("sites") or {}
    tunnels = [
        network
        for topology in (topologies if isinstance(topologies, (list, tuple)) else [])
        for network in _prefixes(topology, "networks")
    ]
    by_site = {name: _prefixes(site, "prefixes") for name, site in sites.items()} if isinstance(sites, Mapping) else {}
    own = [name for name in by_site if _is_own(host, address, sites[name], by_site[name])]
    if own:
        tunnels += [prefix for name, prefixes in by_site.items() if name not in own for prefix in prefixes]
    tunnels = list(dict.fromkeys(tunnels))
    # What is private by the first words is not so by the last: a prefix has but one class.
    found = {name: [each for each in prefixes if each not in tunnels] for name, prefixes in found.items()}
    return {**found, TUNNEL: tunnels} if tunnels else found


def _is_own(host: str, address: str, site: Any, prefixes: Sequence[str]) -> bool:
    gateways = site.get("gateways") if isinstance(site, Mapping) else None
    if isinstance(gateways, (list, tuple)) and host in gateways:
        return True
    try:
        literal = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(literal in ipaddress.ip_network(prefix) for prefix in prefixes)


def _prefixes(of: Any, name: str) -> List[str]:
    given = of.get(name) if isinstance(of, Mapping) else None
    found = [_normal(prefix) for prefix in given] if isinstance(given, (list, tuple)) else []
    return [prefix for prefix in found if prefix]


def _normal(prefix: Any) -> str:
    """A prefix as it is compared; empty where it is none."""
    try:
        return str(ipaddress.ip_network(str(prefix), strict=False))
    except ValueError:
        return ""
