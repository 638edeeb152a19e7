# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run of the role kube_proxy is told, checked. Runs on the controller alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Dict, List, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, Problem, input_error
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_choice import AUTO, SCHEDULERS
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_find import CONFIG_MAPS
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_model import HEALTHZ, METRICS
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_modes import DISTRIBUTIONS, IPVS, MODES
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_settings import FEATURE_GATES, MODE, SCHEDULER
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_settings import checked as checked_fields
from ansible_collections.netfleet.tcp.plugins.plugin_utils._arguments import differing as not_the_same
from ansible_collections.netfleet.tcp.plugins.plugin_utils._arguments import range_problems, typed
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_preflight import TOLERABLE
from ansible_collections.netfleet.tcp.plugins.plugin_utils._waves import parse_waves

PREFIX = "kube_proxy_"
SETTINGS: Dict[str, Dict[str, Any]] = {
    "mode": {"type": "str", "choices": [AUTO, *MODES], "default": AUTO},
    "scheduler": {"type": "str", "choices": ["", *SCHEDULERS], "default": ""},
    "strict_arp": {"type": "bool"},
    "tcp_timeout": {"type": "str", "default": ""},
    "tcp_fin_timeout": {"type": "str", "default": ""},
    "udp_timeout": {"type": "str", "default": ""},
    "exclude_cidrs": {"type": "list", "elements": "str"},
    "conntrack": {"type": "dict", "default": {}},
    "feature_gates": {"type": "dict", "default": {}},
    "settings": {"type": "dict", "default": {}},
    "distribution": {"type": "str", "choices": ["", *DISTRIBUTIONS], "default": ""},
    "node": {"type": "str", "default": ""},
    "metrics": {"type": "str", "default": METRICS},
    "healthz": {"type": "str", "default": HEALTHZ},
    "install": {"type": "bool", "default": True},
    "kubeconfig": {"type": "str", "default": ""},
    "context": {"type": "str", "default": ""},
    "api": {"type": "bool", "default": True},
    "api_timeout": {"type": "int", "default": 15},
    "waves": {"type": "list", "elements": "raw", "default": [1, "10%"]},
    "cordon": {"type": "bool", "default": False},
    "start_timeout": {"type": "int", "default": 90},
    "verify_timeout": {"type": "int", "default": 60},
    "connections": {"type": "int", "default": 20},
    "tolerate": {"type": "list", "elements": "str", "choices": list(TOLERABLE), "default": []},
    "log": {"type": "str", "default": ""},
}
# Of a host; all others are the run's.
OF_A_HOST = ("distribution", "node", "metrics", "healthz")
# By variable, the field below KubeProxyConfiguration. Those of ipvs are set in that mode alone.
_OF_IPVS = {
    "scheduler": SCHEDULER,
    "strict_arp": "ipvs.strictARP",
    "tcp_timeout": "ipvs.tcpTimeout",
    "tcp_fin_timeout": "ipvs.tcpFinTimeout",
    "udp_timeout": "ipvs.udpTimeout",
    "exclude_cidrs": "ipvs.excludeCIDRs",
}
_CONNTRACK = {
    "max_per_core": "conntrack.maxPerCore",
    "min": "conntrack.min",
    "tcp_established_timeout": "conntrack.tcpEstablishedTimeout",
    "tcp_close_wait_timeout": "conntrack.tcpCloseWaitTimeout",
    "tcp_be_liberal": "conntrack.tcpBeLiberal",
    "udp_timeout": "conntrack.udpTimeout",
    "udp_stream_timeout": "conntrack.udpStreamTimeout",
}
_RANGES = {
    "api_timeout": (1, 600),
    "start_timeout": (5, 3600),
    "verify_timeout": (0, 3600),
    "connections": (0, 1000),
}


def checked(given: Mapping[str, Any]) -> Dict[str, Any]:
    """The settings in their types, with defaults; InputError with every problem, named as the variables are.

    fields, beside them: the settings of kube-proxy in every mode, and fields_ipvs: those of ipvs, checked.
    """
    found = typed(SETTINGS, {name: value for name, value in given.items() if value is not None}, PREFIX)
    problems: List[Problem] = list(_problems(found))
    found["fields"], found["fields_ipvs"] = {}, {}
    for name, fields in (("fields", _fields(found)), ("fields_ipvs", _fields_of_ipvs(found))):
        for variable, field, value in fields:
            try:
                found[name].update(checked_fields({field: value}, variable))
            except InputError as error:
                problems += error.problems
    if problems:
        raise InputError(problems)
    return found


def _problems(found: Mapping[str, Any]) -> Iterator[Problem]:
    try:
        parse_waves(found["waves"], PREFIX + "waves")
    except InputError as error:
        yield from error.problems
    for name, (lowest, highest) in _RANGES.items():
        yield from range_problems(PREFIX + name, found[name], lowest, highest)
    for name in found["conntrack"]:
        if name not in _CONNTRACK:
            cure = "one of: %s" % ", ".join(_CONNTRACK)
            yield Problem("%sconntrack.%s" % (PREFIX, name), "is not known", cure)
    for field in found["settings"]:
        if field == MODE:
            yield Problem("%ssettings.%s" % (PREFIX, field), "has a variable of its own", "use %smode" % PREFIX)


def _fields(found: Mapping[str, Any]) -> Iterator[Tuple[str, str, Any]]:
    for name, value in found["conntrack"].items():
        if name in _CONNTRACK:
            yield PREFIX + "conntrack", _CONNTRACK[name], value
    if found["feature_gates"]:
        yield PREFIX + "feature_gates", FEATURE_GATES, found["feature_gates"]
    for field, value in found["settings"].items():
        if not str(field).startswith("ipvs.") and field != MODE:
            yield PREFIX + "settings", str(field), value


def _fields_of_ipvs(found: Mapping[str, Any]) -> Iterator[Tuple[str, str, Any]]:
    for name, field in _OF_IPVS.items():
        # An empty list is a wish; an empty text is none.
        if found[name] is not None and found[name] != "":
            yield PREFIX + name, field, found[name]
    for field, value in found["settings"].items():
        if str(field).startswith("ipvs."):
            yield PREFIX + "settings", str(field), value


def wanted(found: Mapping[str, Any], mode: str) -> Dict[str, Any]:
    """The settings of kube-proxy that a run is to bring in a mode, by their fields."""
    return {**found["fields"], **(found["fields_ipvs"] if mode == IPVS else {}), MODE: mode}


def differing(settings: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
    """What must be the same for the whole run and is not. settings: those of each host, by its name."""
    names = [name for name in SETTINGS if name not in OF_A_HOST]
    return not_the_same(names, settings, PREFIX, "it belongs to the run: give all hosts the same")


def by_api(distribution: str) -> bool:
    """Whether the API holds the configuration of a distribution."""
    return distribution in CONFIG_MAPS


def needs_api(settings: Mapping[str, Any], distribution: str) -> None:
    """InputError where the API holds the configuration, and is not to be asked."""
    if by_api(distribution) and not settings["api"]:
        problem = "is false, and the API holds the configuration of %s" % distribution
        raise input_error(PREFIX + "api", problem, "leave it true")
