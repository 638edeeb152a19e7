# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what the user declared (profile, workloads, features, overrides) to an intent, with every value's origin.

Pure, and independent of the host: bad input is refused here, all of it at once, before a host is touched. Later layers
win over earlier ones: base, profile, workloads in the order given, features, overrides.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Dict, List, Mapping, Optional, Sequence, Set, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._catalogue_index import (
    POSITION,
    check_key,
    check_order,
    check_value,
    suggestion,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._desired import PRECEDENCE
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, Problem, input_error
from ansible_collections.netfleet.tcp.plugins.module_utils._profiles import (
    BASE,
    FAST_OPEN,
    PROFILES,
    WORKLOADS,
    Profile,
    Setting,
    Workload,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._qdisc import KINDS
from ansible_collections.netfleet.tcp.plugins.module_utils._sizing import parse_bandwidth, parse_rtt
from ansible_collections.netfleet.tcp.plugins.module_utils._values import (
    SECRET_KEYS,
    fast_open_key,
    format_port_ranges,
    key_name,
    port_ranges,
)

FAST_OPEN_KEY = "net.ipv4.tcp_fastopen_key"
# Keys that a feature decides, because more than the key depends on them.
_FEATURE_KEYS = {
    "net.ipv4.tcp_congestion_control": "congestion_control",
    "net.core.default_qdisc": "qdisc",
    "net.ipv4.tcp_fastopen": "fast_open",
    FAST_OPEN_KEY: "fast_open_key",
}
ALGORITHM = re.compile(r"[a-z0-9_]{1,15}\Z")
_INTERFACE = re.compile(r"[^\s/:%@\\\"']{1,15}\Z")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}\.conf\Z")
FROM_PROFILE = "profile"
OVERRIDE = "override"
BOOT_CONFLICT = (OVERRIDE, "fail", "warn")
AUTO = "auto"


@dataclass(frozen=True)
class Choice:
    """A value of a key and where it comes from. layer: base, profile x, workload x, feature x or overrides."""

    key: str
    value: str
    reason: str
    source: str
    layer: str
    optional: bool = False


@dataclass(frozen=True)
class Intent:
    """What is declared for a host, as far as it can be known without the host.

    bandwidth in bit/s, rtt in seconds, memory_share a fraction. qdisc is empty where interfaces are left alone.
    choices: what won; layers: every value that a layer gave a key, weakest first.
    """

    profile: str
    workloads: Tuple[str, ...]
    choices: Tuple[Choice, ...]
    congestion_control: Tuple[str, ...]
    congestion_control_layer: str
    qdisc: str
    qdisc_layer: str
    qdisc_interfaces: Tuple[str, ...]
    bandwidth: float
    rtt: float
    link_layer: str
    memory_share: float
    wide_ports: bool
    reserved_ports: str
    fast_open_key: bool
    unsupported: str
    boot_conflict: str
    force: bool
    file_name: str
    layers: Tuple[Choice, ...] = ()


def compose(policy: Mapping[str, Any], prefix: str = "tcp_tuning_") -> Intent:
    """The intent of a declaration. policy: the role's variables without their prefix. InputError with all problems."""
    return _Composer(policy, prefix).intent()


class _Composer:
    def __init__(self, policy: Mapping[str, Any], prefix: str) -> None:
        self._policy = policy
        self._prefix = prefix
        self._problems: List[Problem] = []
        self._choices: Dict[str, Choice] = {}
        self._layers: List[Choice] = []

    def intent(self) -> Intent:
        profile_name, profile = self._profile()
        workloads = self._workloads()
        self._add("base", BASE)
        self._add("profile %s" % profile_name, profile.settings)
        for name, workload in workloads:
            self._add("workload %s" % name, workload.settings)
        self._fast_open(profile_name, profile)
        self._overrides()
        algorithms, algorithms_layer = self._congestion_control(profile_name, profile, workloads)
        qdisc, qdisc_layer = self._qdisc(profile_name, profile)
        bandwidth, rtt, link_layer = self._link(profile_name, profile)
        intent = Intent(
            profile=profile_name,
            workloads=tuple(name for name, _workload in workloads),
            choices=tuple(sorted(self._choices.values(), key=lambda choice: POSITION[choice.key])),
            congestion_control=algorithms,
            congestion_control_layer=algorithms_layer,
            qdisc=qdisc,
            qdisc_layer=qdisc_layer,
            qdisc_interfaces=self._interfaces(),
            bandwidth=bandwidth,
            rtt=rtt,
            link_layer=link_layer,
            memory_share=self._memory_share(),
            wide_ports=any(workload.wide_ports for _name, workload in workloads),
            reserved_ports=self._reserved_ports(),
            fast_open_key=self._has_fast_open_key(),
            unsupported=self._one_of("unsupported", ("fail", "warn", "skip"), "fail"),
            boot_conflict=self._one_of("boot_conflict", BOOT_CONFLICT, OVERRIDE),
            force=bool(self._policy.get("force", False)),
            file_name=self._file_name(),
            layers=tuple(self._layers),
        )
        self._problems += check_order({choice.key: choice.value for choice in intent.choices}, self._path("overrides"))
        if self._problems:
            raise InputError(self._problems)
        return intent

    def _path(self, name: str, detail: str = "") -> str:
        return "%s%s%s" % (self._prefix, name, detail)

    def _wrong(self, path: str, problem: str, cure: str = "") -> None:
        self._problems.append(Problem(path, problem, cure))

    def _add(self, layer: str, settings: Tuple[Setting, ...]) -> None:
        for entry in settings:
            self._choose(Choice(entry.key, entry.value, entry.reason, entry.source, layer, entry.optional))

    def _choose(self, choice: Choice) -> None:
        self._choices[choice.key] = choice
        self._layers.append(choice)

    def _list(self, name: str) -> List[Any]:
        value = self._policy.get(name) or []
        if not isinstance(value, (list, tuple)):
            self._wrong(self._path(name), "is %r, not a list" % (value,), "write [%s]" % value)
            return []
        return list(value)

    def _text(self, name: str) -> str:
        value = self._policy.get(name)
        return "" if value is None else str(value)

    def _one_of(self, name: str, known: Tuple[str, ...], default: str) -> str:
        value = str(self._policy.get(name) or default)
        if value not in known:
            self._wrong(self._path(name), "%r is not known" % value, "one of: %s" % ", ".join(known))
        return value

    def _profile(self) -> Tuple[str, Profile]:
        name = str(self._policy.get("profile") or "")
        if name in PROFILES:
            return name, PROFILES[name]
        if not name:
            cure = "set it to one of: %s; or put the host into a group of such a name" % ", ".join(PROFILES)
            self._wrong(self._path("profile"), "is not set", cure)
        elif "," in name:
            self._wrong(self._path("profile"), "the host is in the groups of several profiles (%s)" % name, "set it")
        else:
            self._wrong(self._path("profile"), "unknown profile %r" % name, suggestion(name, PROFILES))
        return name, PROFILES["local"]

    def _workloads(self) -> List[Tuple[str, Workload]]:
        found: Dict[str, Workload] = {}
        for index, name in enumerate(self._list("workloads")):
            if str(name) not in WORKLOADS:
                path = self._path("workloads", "[%d]" % index)
                self._wrong(path, "unknown workload %r" % name, suggestion(name, WORKLOADS))
                continue
            for included in (*WORKLOADS[str(name)].includes, str(name)):
                # Named again, a workload moves to the later, stronger place.
                found.pop(included, None)
                found[included] = WORKLOADS[included]
        return list(found.items())

    def _fast_open(self, profile_name: str, profile: Profile) -> None:
        # YAML 1.1 reads a bare off as false.
        named = "off" if self._policy.get("fast_open") is False else self._text("fast_open") or FROM_PROFILE
        if named != FROM_PROFILE and named not in FAST_OPEN:
            cure = "one of: %s, %s" % (FROM_PROFILE, ", ".join(FAST_OPEN))
            self._wrong(self._path("fast_open"), "%r is not known" % named, cure)
            return
        mode = profile.fast_open if named == FROM_PROFILE else named
        layer = "profile %s" % profile_name if named == FROM_PROFILE else "feature fast_open"
        value, reason = FAST_OPEN[mode]
        reason = "%s: %s" % (mode, reason)
        self._choose(Choice("net.ipv4.tcp_fastopen", value, reason, "RFC 7413; ip-sysctl.rst", layer))

    def _has_fast_open_key(self) -> bool:
        key = self._policy.get("fast_open_key") or ""
        if key and fast_open_key(str(key)) is None:
            cure = "one or two of the form 01234567-89abcdef-01234567-89abcdef, comma between"
            self._wrong(self._path("fast_open_key"), "is not a fast open key (not shown)", cure)
        return bool(key)

    def _overrides(self) -> None:
        overrides = self._policy.get("overrides") or {}
        if not isinstance(overrides, Mapping):
            self._wrong(self._path("overrides"), "is not a mapping of keys to values", "net.ipv4.tcp_x: value")
            return
        seen: Set[str] = set()
        for written, value in overrides.items():
            path = self._path("overrides", "[%s]" % written)
            name = key_name(str(written))
            problem = self._feature_problem(name, path) or check_key(name, path) or _twice(name, seen, path)
            if problem:
                self._problems.append(problem)
                continue
            text, problems = check_value(name, value, path)
            self._problems += problems
            if not problems:
                self._choose(Choice(name, text, "as declared", path, "overrides"))

    def _feature_problem(self, name: str, path: str) -> Optional[Problem]:
        if name not in _FEATURE_KEYS:
            return None
        return Problem(path, "%s is a feature, not an override" % name, "use " + self._path(_FEATURE_KEYS[name]))

    def _congestion_control(
        self, profile_name: str, profile: Profile, workloads: List[Tuple[str, Workload]]
    ) -> Tuple[Tuple[str, ...], str]:
        named = self._list("congestion_control")
        for index, algorithm in enumerate(named):
            if not ALGORITHM.match(str(algorithm)):
                path = self._path("congestion_control", "[%d]" % index)
                self._wrong(path, "%r is not the name of an algorithm" % (algorithm,), "such as bbr, htcp or cubic")
        if named:
            return tuple(str(algorithm) for algorithm in named), "feature congestion_control"
        for name, workload in reversed(workloads):
            if workload.congestion_control:
                return workload.congestion_control, "workload %s" % name
        return profile.congestion_control, "profile %s" % profile_name

    def _qdisc(self, profile_name: str, profile: Profile) -> Tuple[str, str]:
        kind = str(self._policy.get("qdisc") or FROM_PROFILE)
        if kind == FROM_PROFILE:
            return profile.qdisc, "profile %s" % profile_name
        if kind == "none":
            return "", "feature qdisc"
        if kind not in KINDS:
            cure = "one of: %s, none, %s" % (FROM_PROFILE, ", ".join(KINDS))
            self._wrong(self._path("qdisc"), "%r is not known" % kind, cure)
        return kind, "feature qdisc"

    def _interfaces(self) -> Tuple[str, ...]:
        try:
            return checked_interfaces(self._list("qdisc_interfaces"), self._path("qdisc_interfaces"))
        except InputError as error:
            self._problems += error.problems
            return (AUTO,)

    def _link(self, profile_name: str, profile: Profile) -> Tuple[float, float, str]:
        bandwidth_text, rtt_text = self._text("bandwidth"), self._text("rtt")
        bandwidth = parse_bandwidth(bandwidth_text) if bandwidth_text else profile.bandwidth
        rtt = parse_rtt(rtt_text) if rtt_text else profile.rtt
        if bandwidth is None:
            cure = "64 kbit to 1 Tbit, such as 10Gbit"
            self._wrong(self._path("bandwidth"), "%r is not a bandwidth" % bandwidth_text, cure)
        if rtt is None:
            self._wrong(self._path("rtt"), "%r is not a round-trip time" % rtt_text, "1us to 10s, such as 40ms")
        layer = "feature buffers" if bandwidth_text or rtt_text else "profile %s" % profile_name
        return bandwidth or profile.bandwidth, rtt or profile.rtt, layer

    def _memory_share(self) -> float:
        value = self._policy.get("memory_share", 0.05)
        try:
            share = float(value)
        except (TypeError, ValueError):
            share = 0.0
        if not 0 < share <= 0.5:
            self._wrong(self._path("memory_share"), "%r is not a share" % (value,), "above 0, up to 0.5")
        return share

    def _reserved_ports(self) -> str:
        text = ",".join(str(entry) for entry in self._list("reserved_ports"))
        ranges = port_ranges(text)
        if ranges is None:
            cure = "ports and ranges, such as [8080, 9000-9010]"
            self._wrong(self._path("reserved_ports"), "%r is not a set of ports" % text, cure)
        return format_port_ranges(ranges or [])

    def _file_name(self) -> str:
        name = str(self._policy.get("file") or "90-netfleet-tcp.conf")
        try:
            return checked_file_name(name, self._path("file"))
        except InputError as error:
            self._problems += error.problems
            return name


def bare_intent(file_name: str, unsupported: str = "fail", boot_conflict: str = "fail", force: bool = False) -> Intent:
    """An intent that declares nothing but its file: what ``state: absent`` means, and what modules build upon."""
    return Intent(
        profile="",
        workloads=(),
        choices=(),
        congestion_control=(),
        congestion_control_layer="declared",
        qdisc="",
        qdisc_layer="declared",
        qdisc_interfaces=(AUTO,),
        bandwidth=0.0,
        rtt=0.0,
        link_layer="",
        memory_share=0.0,
        wide_ports=False,
        reserved_ports="",
        fast_open_key=False,
        unsupported=unsupported,
        boot_conflict=boot_conflict,
        force=force,
        file_name=checked_file_name(file_name, "file"),
    )


def checked_file_name(name: str, path: str) -> str:
    """The name, if it can be that of a sysctl.d file; InputError otherwise."""
    if not _FILE_NAME.match(name):
        raise input_error(path, "%r is not a name for a sysctl.d file" % name, "such as 90-netfleet-tcp.conf")
    if name.startswith(PRECEDENCE):
        cure = "choose one that does not begin so"
        raise input_error(path, "%r begins with %s, as the files that overrule others do" % (name, PRECEDENCE), cure)
    return name


def checked_interfaces(names: Sequence[Any], path: str) -> Tuple[str, ...]:
    """The names, or auto where there is none; InputError if one cannot be that of an interface."""
    problems = [
        Problem("%s[%d]" % (path, index), "%r is not the name of an interface" % (name,), "such as eth0, or auto")
        for index, name in enumerate(names)
        if not _INTERFACE.match(str(name)) or str(name) in (".", "..")
    ]
    if problems:
        raise InputError(problems)
    return tuple(str(name) for name in names) or (AUTO,)


def _twice(name: str, seen: Set[str], path: str) -> Optional[Problem]:
    """A problem where a key was seen before, in its other spelling; it is noted as seen."""
    if name in seen:
        return Problem(path, "%s is given twice" % name, "leave one of them")
    seen.add(name)
    return None


def values_intent(intent: Intent, values: Mapping[str, Any], path: str) -> Intent:
    """The intent with keys added, each a value or a mapping of value and reason. InputError with all problems."""
    problems: List[Problem] = []
    choices: Dict[str, Choice] = {}
    seen: Set[str] = set()
    for written, entry in values.items():
        here, name = "%s[%s]" % (path, written), key_name(str(written))
        value, reason = (entry.get("value"), entry.get("reason")) if isinstance(entry, Mapping) else (entry, None)
        if name in SECRET_KEYS:
            problems.append(Problem(here, "is a secret", "use the fast_open_key of netfleet.tcp.tcp_tuning"))
            continue
        refused = check_key(name, here) or _twice(name, seen, here)
        text, wrong = ("", [refused]) if refused else check_value(name, value, here)
        problems += wrong
        if len(str(reason or "").splitlines()) > 1:
            problems.append(Problem(here, "the reason has more than one line", "shorten it"))
        choices[name] = Choice(name, text, str(reason or ""), "", "declared")
    problems += [] if problems else check_order({name: choice.value for name, choice in choices.items()}, path)
    if problems:
        raise InputError(problems)
    algorithm = choices.pop("net.ipv4.tcp_congestion_control", None)
    return replace(
        intent,
        choices=tuple(sorted(choices.values(), key=lambda choice: POSITION[choice.key])),
        congestion_control=(algorithm.value,) if algorithm else (),
    )
