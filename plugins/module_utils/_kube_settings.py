# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of kube-proxy is configured here, as data: each setting by its field, its flag, and what its value may be. Pure.

A setting is called by its field in KubeProxyConfiguration, as ipvs.strictARP, whether it stands there or as a flag.
Everything else in a configuration is somebody else's and is kept.
"""

from __future__ import annotations

import ipaddress
import re
from fractions import Fraction
from typing import Any, Callable, Dict, Mapping, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, Problem
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_choice import SCHEDULERS
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_modes import MODES

TEXT, SWITCH, NUMBER, DURATION, NETWORKS, GATES = "text", "switch", "number", "duration", "networks", "gates"
MODE, SCHEDULER, FEATURE_GATES = "mode", "ipvs.scheduler", "featureGates"
# On which addresses it takes NodePorts in. That is read beside the settings, as it is, and never changed here.
NODE_PORTS, NODE_PORTS_FLAG = "nodePortAddresses", "nodeport-addresses"
# Empty, these are kube-proxy's own choice.
_NONE_IF_EMPTY = (TEXT, NETWORKS, GATES)
_HIGHEST = 2**31 - 1
# As Go reads and writes them: 1h0m0s, 900s, 1.5h, 300ms.
_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_PART = re.compile(r"([0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})(ns|us|µs|μs|ms|s|m|h)")
_LONGEST = 2**63 - 1


@dataclass(frozen=True)
class Setting:
    """A setting. field: below KubeProxyConfiguration, with dots; flag: without its dashes, empty where there is none.

    choices: what a TEXT may be. It may be empty too, which is kube-proxy's own choice.
    """

    field: str
    kind: str
    flag: str = ""
    choices: Tuple[str, ...] = ()


_ALL = (
    Setting(MODE, TEXT, "proxy-mode", MODES),
    Setting(SCHEDULER, TEXT, "ipvs-scheduler", SCHEDULERS),
    Setting("ipvs.strictARP", SWITCH, "ipvs-strict-arp"),
    Setting("ipvs.tcpTimeout", DURATION, "ipvs-tcp-timeout"),
    Setting("ipvs.tcpFinTimeout", DURATION, "ipvs-tcpfin-timeout"),
    Setting("ipvs.udpTimeout", DURATION, "ipvs-udp-timeout"),
    Setting("ipvs.excludeCIDRs", NETWORKS, "ipvs-exclude-cidrs"),
    Setting("ipvs.syncPeriod", DURATION, "ipvs-sync-period"),
    Setting("ipvs.minSyncPeriod", DURATION, "ipvs-min-sync-period"),
    Setting("iptables.masqueradeAll", SWITCH, "masquerade-all"),
    Setting("iptables.localhostNodePorts", SWITCH, "iptables-localhost-nodeports"),
    Setting("iptables.syncPeriod", DURATION, "iptables-sync-period"),
    Setting("iptables.minSyncPeriod", DURATION, "iptables-min-sync-period"),
    Setting("nftables.masqueradeAll", SWITCH),
    Setting("nftables.syncPeriod", DURATION),
    Setting("nftables.minSyncPeriod", DURATION),
    Setting("conntrack.maxPerCore", NUMBER, "conntrack-max-per-core"),
    Setting("conntrack.min", NUMBER, "conntrack-min"),
    Setting("conntrack.tcpEstablishedTimeout", DURATION, "conntrack-tcp-timeout-established"),
    Setting("conntrack.tcpCloseWaitTimeout", DURATION, "conntrack-tcp-timeout-close-wait"),
    Setting("conntrack.tcpBeLiberal", SWITCH, "conntrack-tcp-be-liberal"),
    Setting("conntrack.udpTimeout", DURATION, "conntrack-udp-timeout"),
    Setting("conntrack.udpStreamTimeout", DURATION, "conntrack-udp-timeout-stream"),
    Setting(FEATURE_GATES, GATES, "feature-gates"),
)
SETTINGS: Dict[str, Setting] = {setting.field: setting for setting in _ALL}
BY_FLAG: Dict[str, Setting] = {setting.flag: setting for setting in _ALL if setting.flag}


def nanoseconds(text: str) -> int:
    """The length of a duration as Go writes it. ValueError where it is none, or a negative one."""
    if text == "0":
        return 0
    end = 0
    total = Fraction(0)
    for part in _PART.finditer(text):
        if part.start() != end:
            break
        end = part.end()
        total += (
            Fraction("0" + part.group(1) if part.group(1)[0] == "." else part.group(1)) * _NANOSECONDS[part.group(2)]
        )
    if end != len(text) or not text or total > _LONGEST:
        raise ValueError(text)
    return int(total)


def _text(setting: Setting, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a text")
    if setting.choices and value and value not in setting.choices:
        raise ValueError("one of %s" % ", ".join(setting.choices))
    return value


def _switch(_setting: Setting, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _number(_setting: Setting, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _HIGHEST:
        raise ValueError("a number from 0 to %d" % _HIGHEST)
    return value


def _duration(_setting: Setting, value: Any) -> str:
    try:
        nanoseconds(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError("a duration, such as 15m0s") from None
    return str(value)


def _networks(_setting: Setting, value: Any) -> Tuple[str, ...]:
    wrong = ValueError("a list of networks, such as 10.0.0.0/8")
    if not isinstance(value, (list, tuple)):
        raise wrong
    for each in value:
        try:
            if not isinstance(each, str) or "/" not in each:
                raise wrong
            ipaddress.ip_network(each, strict=False)
        except ValueError:
            raise wrong from None
    return tuple(value)


def _gates(_setting: Setting, value: Any) -> Dict[str, bool]:
    if not isinstance(value, dict) or not all(
        isinstance(on, bool) and isinstance(name, str) for name, on in value.items()
    ):
        raise ValueError("feature gates with true or false")
    return dict(value)


_CHECKS: Dict[str, Callable[[Setting, Any], Any]] = {
    TEXT: _text,
    SWITCH: _switch,
    NUMBER: _number,
    DURATION: _duration,
    NETWORKS: _networks,
    GATES: _gates,
}


def checked(values: Mapping[str, Any], where: str) -> Dict[str, Any]:
    """The settings, each in its type. InputError with where and field of all that are unknown or cannot be meant."""
    found: Dict[str, Any] = {}
    problems = []
    for field, value in values.items():
        setting = SETTINGS.get(field)
        if setting is None:
            problems.append(Problem("%s: %s" % (where, field), "is not a setting that is known here"))
            continue
        try:
            found[field] = _CHECKS[setting.kind](setting, value)
        except ValueError as error:
            problems.append(Problem("%s: %s" % (where, field), "%r is not %s" % (value, error)))
    if problems:
        raise InputError(problems)
    return found


def same(field: str, left: Any, right: Any) -> bool:
    """Whether two checked values of a setting mean the same. None: it is not set, as a text or list that is empty.

    Of feature gates, right may leave some out: those stay as they are.
    """
    kind = SETTINGS[field].kind
    if left is None or right is None:
        # Of a number or switch, kube-proxy's own choice need not be zero.
        return left is right or (kind in _NONE_IF_EMPTY and not left and not right)
    if kind == DURATION:
        return nanoseconds(left) == nanoseconds(right)
    if kind == GATES:
        return all(left.get(name) is on for name, on in right.items())
    return bool(left == right)


def changes(have: Mapping[str, Any], want: Mapping[str, Any]) -> Dict[str, Any]:
    """Of the wanted settings, both checked, those that are to be set; feature gates with those that are there."""
    found: Dict[str, Any] = {}
    for field, value in want.items():
        if not same(field, have.get(field), value):
            merged = SETTINGS[field].kind == GATES
            found[field] = {**(have.get(field) or {}), **value} if merged else value
    return found
