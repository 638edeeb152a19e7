# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""(intent, observed) -> the concrete values for one host: what its memory, kernel and modules make of the declaration.

Pure. Whatever the host cannot do becomes a finding that names key, reason and cure; the user decided in advance whether
that is an error, a warning or a note.
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import Dict, List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._boot import own_file_assignment
from ansible_collections.netfleet.tcp.plugins.module_utils._catalogue_index import DEAD_KEYS, INDEX, POSITION
from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._model import (
    NOT_PERMITTED,
    DesiredKey,
    DesiredQdisc,
    Finding,
    Interface,
    Observed,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._policy import AUTO, FAST_OPEN_KEY, Choice, Intent
from ansible_collections.netfleet.tcp.plugins.module_utils._qdisc import MQ, REPLACEABLE, state_name
from ansible_collections.netfleet.tcp.plugins.module_utils._rules import SYSCTL_BOOT
from ansible_collections.netfleet.tcp.plugins.module_utils._secrets import token
from ansible_collections.netfleet.tcp.plugins.module_utils._sizing import (
    BDP_REASON,
    bdp,
    buffer_maximum,
    format_bandwidth,
    format_bytes,
    memory_limit,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._sysctl_d import NOBODY
from ansible_collections.netfleet.tcp.plugins.module_utils._values import (
    format_port_ranges,
    kernel_integer,
    port_ranges,
    same_value,
)

CONGESTION_CONTROL = "net.ipv4.tcp_congestion_control"
DEFAULT_QDISC = "net.core.default_qdisc"
PORT_RANGE = "net.ipv4.ip_local_port_range"
RESERVED_PORTS = "net.ipv4.ip_local_reserved_ports"
_VECTORS = ("net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem")
_MAXIMA = ("net.core.rmem_max", "net.core.wmem_max")
_CONNTRACK = "nf_conntrack"
_CONNTRACK_KEYS = "net.netfilter.nf_conntrack_"
_FEWEST_PORTS = 1000
_SEVERITY = {"fail": "error", "warn": "warning", "skip": "note"}
_UNSUPPORTED_CURE = "take it out of the declaration, or set tcp_tuning_unsupported to warn or skip"


@dataclass(frozen=True)
class Resolved:
    """The values for one host, in the catalogue's order, with modules, qdiscs and what was found on the way."""

    choices: Tuple[Choice, ...] = ()
    modules: Tuple[str, ...] = ()
    qdiscs: Tuple[DesiredQdisc, ...] = ()
    congestion_control: str = ""
    findings: Tuple[Finding, ...] = field(default_factory=tuple)

    @property
    def keys(self) -> Tuple[DesiredKey, ...]:
        """The values as desired keys."""
        return tuple(
            DesiredKey(choice.key, choice.value, choice.reason, INDEX[choice.key].takes_effect)
            for choice in self.choices
        )


def keys_to_observe(intent: Intent) -> Tuple[str, ...]:
    """The keys of which resolve needs the state."""
    feature_keys = (CONGESTION_CONTROL, DEFAULT_QDISC, PORT_RANGE, RESERVED_PORTS, *_VECTORS, *_MAXIMA)
    secret = (FAST_OPEN_KEY,) if intent.fast_open_key else ()
    return tuple(sorted({choice.key for choice in intent.choices} | set(feature_keys) | set(secret) | set(DEAD_KEYS)))


def modules_to_observe(intent: Intent) -> Tuple[str, ...]:
    """The kernel modules of which resolve needs the state."""
    qdisc = ("sch_" + intent.qdisc,) if intent.qdisc else ()
    conntrack = (_CONNTRACK,) if any(choice.key.startswith(_CONNTRACK_KEYS) for choice in intent.choices) else ()
    return (*("tcp_" + name for name in intent.congestion_control), *qdisc, *conntrack)


def resolve(intent: Intent, observed: Observed) -> Resolved:
    """The concrete values. Findings of severity error mean that nothing must be applied."""
    return _Resolver(intent, observed).resolved()


class _Resolver:
    def __init__(self, intent: Intent, observed: Observed) -> None:
        self._intent = intent
        self._observed = observed
        self._findings: List[Finding] = []
        self._choices: Dict[str, Choice] = {choice.key: choice for choice in intent.choices}
        self._modules: List[str] = []

    def resolved(self) -> Resolved:
        self._buffers()
        algorithm = self._congestion_control()
        qdiscs = self._qdisc()
        self._reserved_ports()
        if self._intent.fast_open_key:
            reason = "shared by the hosts behind one load balancer, so that any of them accepts the cookie"
            self._choose(FAST_OPEN_KEY, token(FAST_OPEN_KEY), reason, "ip-sysctl.rst", "feature fast_open_key")
        self._keep_what_is_higher()
        self._drop_what_the_host_cannot()
        self._load_conntrack_before_its_keys()
        chosen = self._choices.get(CONGESTION_CONTROL)
        if algorithm and not chosen:
            self._modules = [name for name in self._modules if name != "tcp_" + algorithm]
        if self._choices and self._observed.reader == NOBODY:
            text = "nothing on this host applies sysctl.d at boot; the values last until the next one"
            # With systemd that is somebody's doing; elsewhere (a container of one process) it is the way of the host.
            severity = "warning" if self._observed.systemd else "note"
            cure = "systemctl unmask systemd-sysctl" if self._observed.systemd else ""
            self._findings.append(Finding("sysctl", "sysctl.d", severity, text, cure=cure, rule=SYSCTL_BOOT))
        return Resolved(
            choices=tuple(sorted(self._choices.values(), key=lambda choice: POSITION[choice.key])),
            modules=tuple(sorted(self._modules)),
            qdiscs=qdiscs,
            congestion_control=algorithm if chosen else "",
            findings=tuple(self._findings),
        )

    def _choose(self, key: str, value: str, reason: str, source: str, layer: str) -> None:
        self._choices[key] = Choice(key, value, reason, source, layer)

    def _unsupported(self, key: str, reason: str, cure: str, intended: Optional[str] = None) -> None:
        state = self._observed.keys.get(key)
        running = state.running if state else None
        severity = _SEVERITY[self._intent.unsupported]
        self._findings.append(Finding("unsupported", key, severity, reason, intended, running, cure=cure))

    def _own(self, key: str) -> Optional[str]:
        """What the kernel has by itself: the value from before us where it is recorded, else the running one."""
        state = self._observed.keys.get(key)
        if not self._observed.baseline_known and state:
            # The record is root's. What our file sets was at least the kernel's own when it was written.
            recorded = own_file_assignment(state, self._intent.file_name)
            return recorded.value if recorded else state.running
        return self._observed.baseline.keys.get(key, state.running if state else None)

    def _buffers(self) -> None:
        if not self._intent.profile:
            return
        intent = self._intent
        need = buffer_maximum(intent.bandwidth, intent.rtt)
        limit = memory_limit(self._observed.memory, intent.memory_share) if self._observed.memory else need
        size = min(need, limit)
        reason = "max: 2 x BDP of %s x %g ms (%s), up to a power of two" % (
            format_bandwidth(intent.bandwidth),
            round(intent.rtt * 1000, 3),
            format_bytes(bdp(intent.bandwidth, intent.rtt)),
        )
        if limit < need:
            reason = "max: %g %% of %s memory, where 2 x BDP would be %s" % (
                intent.memory_share * 100,
                format_bytes(self._observed.memory),
                format_bytes(need),
            )
        source = "sizing measurement, docs/profiles.md"
        for key in _VECTORS:
            own = (self._own(key) or "").split()
            if key not in self._choices and len(own) == 3:
                value = "%s %s %d" % (own[0], own[1], max(size, int(own[1])))
                self._choose(key, value, reason, source, intent.link_layer)
            self._warn_of_size(key)
        for key in _MAXIMA:
            if key not in self._choices:
                self._choose(key, str(size), reason.replace("max: ", "", 1), source, intent.link_layer)

    def _warn_of_size(self, key: str) -> None:
        choice = self._choices.get(key)
        if choice is None or choice.layer != "overrides":
            return
        maximum = int(choice.value.split()[-1])
        times = maximum / bdp(self._intent.bandwidth, self._intent.rtt)
        if times > BDP_REASON and maximum > 1 << 22:
            reason = "a maximum of %s is %.0f BDP: beyond %d it fills queues, not the path" % (
                format_bytes(maximum),
                times,
                BDP_REASON,
            )
            cure = "declare tcp_tuning_bandwidth and tcp_tuning_rtt of the link instead"
            self._findings.append(Finding("sysctl", key, "warning", reason, choice.value, cure=cure))

    def _congestion_control(self) -> str:
        preferences = self._intent.congestion_control
        if not preferences:
            return ""
        self._choices.pop(CONGESTION_CONTROL, None)
        for algorithm in preferences:
            if self._has_algorithm(algorithm):
                passed = preferences[: preferences.index(algorithm)]
                reason = "first of %s that this host has" % ", ".join(preferences)
                if passed:
                    text = "%s not available here; took %s" % (", ".join(passed), algorithm)
                    self._findings.append(Finding("sysctl", CONGESTION_CONTROL, "note", text, preferences[0]))
                self._choose(
                    CONGESTION_CONTROL, algorithm, reason, "docs/profiles.md", self._intent.congestion_control_layer
                )
                module = self._observed.modules.get("tcp_" + algorithm)
                if module and not module.builtin and (module.loaded or module.loadable) and not self._in_container:
                    self._modules.append(module.name)
                return algorithm
        usable = (
            self._observed.allowed_congestion_control
            if self._in_container
            else (self._observed.available_congestion_control)
        )
        reason = "none of %s: this host has %s" % (", ".join(preferences), ", ".join(usable) or "none")
        cure = "install a kernel with the module, or name one that the host has"
        if self._in_container:
            cure = "allow it on the container's host (tcp_allowed_congestion_control), or name one that is allowed"
        self._unsupported(CONGESTION_CONTROL, reason, cure, preferences[0])
        return ""

    @property
    def _in_container(self) -> bool:
        return self._observed.child_netns

    def _has_algorithm(self, algorithm: str) -> bool:
        if self._in_container:
            return algorithm in self._observed.allowed_congestion_control
        module = self._observed.modules.get("tcp_" + algorithm)
        return algorithm in self._observed.available_congestion_control or bool(
            module and (module.loaded or module.builtin or module.loadable)
        )

    def _qdisc(self) -> Tuple[DesiredQdisc, ...]:
        kind, layer = self._intent.qdisc, self._intent.qdisc_layer
        if not kind:
            return ()
        if not self._observed.qdisc_kinds.get(kind, False):
            self._unsupported(DEFAULT_QDISC, "this host has no qdisc %s" % kind, "install the module sch_" + kind, kind)
            return ()
        reason = "paces %s" % "/".join(self._intent.congestion_control) if kind == "fq" else "as declared"
        self._choose(DEFAULT_QDISC, kind, reason, "docs/profiles.md", layer)
        module = self._observed.modules.get("sch_" + kind)
        if module and not module.builtin and (module.loaded or module.loadable) and not self._in_container:
            self._modules.append(module.name)
        wanted = tuple(DesiredQdisc(name, kind, reason) for name in self._interfaces(kind))
        if wanted and not self._observed.systemd:
            reason = "without systemd the qdisc of live interfaces does not outlast a boot"
            self._unsupported("qdisc", reason, "run systemd, or set tcp_tuning_qdisc_interfaces where it is set", kind)
        return wanted

    def _interfaces(self, kind: str) -> List[str]:
        present = {interface.name: interface for interface in self._observed.interfaces}
        names = []
        for name in self._intent.qdisc_interfaces:
            if name == AUTO:
                names += [entry.name for entry in present.values() if self._automatic(entry, kind)]
            elif name in present:
                names.append(name)
            else:
                known = "this host has " + ", ".join(sorted(present))
                self._unsupported(name, "there is no such interface", known, kind)
        return sorted(set(names))

    def _automatic(self, interface: Interface, kind: str) -> bool:
        if not interface.physical or not interface.up or interface.qdisc == "noqueue":
            return False
        kinds = set(interface.leaves) if interface.qdisc == MQ else {interface.qdisc}
        foreign = kinds - REPLACEABLE - {kind}
        if foreign:
            text = "has %s, which somebody built for it; left alone" % state_name(interface)
            cure = "name the interface in tcp_tuning_qdisc_interfaces to replace it"
            self._findings.append(Finding("qdisc", interface.name, "note", text, kind, cure=cure))
        return not foreign

    def _reserved_ports(self) -> None:
        """Ports of listeners that a wider range would hand out, kept for them.

        What was reserved before us stays so; while listeners count, so does what is reserved by now, so that the
        declaration settles although they come and go.
        """
        ranges = port_ranges(self._intent.reserved_ports) or []
        if self._intent.wide_ports and PORT_RANGE in self._choices:
            low, high = (int(port) for port in self._choices[PORT_RANGE].value.split())
            own_low, own_high = (int(port) for port in (self._own(PORT_RANGE) or "32768 60999").split())
            newly = [port for port in self._observed.listeners if low <= port <= high]
            ranges += [(port, port) for port in newly if not own_low <= port <= own_high]
        # Once reserved by us, it is not given back while the last of the listeners is restarted.
        ours = self._intent.wide_ports and RESERVED_PORTS in self._observed.baseline.keys
        if not ranges and RESERVED_PORTS not in self._choices and not ours:
            return
        declared = self._choices.get(RESERVED_PORTS)
        state = self._observed.keys.get(RESERVED_PORTS)
        kept = (state.running if state else None) if self._intent.wide_ports else self._own(RESERVED_PORTS)
        parts = [format_port_ranges(ranges), declared.value if declared else "", kept or ""]
        value = format_port_ranges(port_ranges(",".join(part for part in parts if part)) or [])
        self._refuse_to_reserve_all(value)
        reason = "listeners inside the wider port range, and what was reserved before"
        self._choose(RESERVED_PORTS, value, reason, "TIME-WAIT measurement, docs/profiles.md", "feature reserved_ports")

    def _refuse_to_reserve_all(self, reserved: str) -> None:
        wide = self._choices.get(PORT_RANGE)
        low, high = (int(port) for port in (wide.value if wide else self._own(PORT_RANGE) or "32768 60999").split())
        taken = sum(max(0, min(high, last) - max(low, first) + 1) for first, last in port_ranges(reserved) or [(0, -1)])
        left = high - low + 1 - taken
        if left < _FEWEST_PORTS:
            text = "leaves %d of the ports %d-%d to outgoing connections" % (left, low, high)
            cure = "reserve fewer ports, or widen net.ipv4.ip_local_port_range"
            self._findings.append(Finding("sysctl", RESERVED_PORTS, "error", text, cure=cure))

    def _keep_what_is_higher(self) -> None:
        if self._intent.force:
            return
        for key, choice in list(self._choices.items()):
            own = self._own(key)
            if not INDEX[key].raise_only or own is None:
                continue
            wanted = [int(number) for number in choice.value.split()]
            kept = [kernel_integer(number) or 0 for number in own.split()]
            if len(wanted) != len(kept) or all(want >= keep for want, keep in zip(wanted, kept)):
                continue
            value = " ".join(str(max(want, keep)) for want, keep in zip(wanted, kept))
            reason = "%s; the kernel's own %s is higher and stays" % (choice.reason, own)
            self._choices[key] = replace(choice, value=value, reason=reason)
            if choice.layer == "overrides":
                text = "%s would lower the kernel's own %s; set to %s" % (choice.value, own, value)
                cure = "set tcp_tuning_force to lower it all the same"
                self._findings.append(Finding("sysctl", key, "warning", text, choice.value, own, cure=cure))

    def _drop_what_the_host_cannot(self) -> None:
        for key, choice in list(self._choices.items()):
            state = self._observed.keys[key]
            # Who may only look is told what root would do.
            if not state.limit or (state.limit == NOT_PERMITTED and not self._observed.root):
                continue
            del self._choices[key]
            if same_value(key, state.running, choice.value):
                continue
            if choice.optional and state.running is None:
                text = "%s; needed only where it exists" % state.limit
                self._findings.append(Finding("sysctl", key, "note", text, choice.value))
            else:
                self._unsupported(key, state.limit, self._cure(key), choice.value)

    def _load_conntrack_before_its_keys(self) -> None:
        """A firewall loads the module after sysctl.d was applied, and its keys would be back at their defaults."""
        module = self._observed.modules.get(_CONNTRACK)
        has_keys = any(key.startswith(_CONNTRACK_KEYS) for key in self._choices)
        if has_keys and module and module.loaded and not module.builtin and not self._in_container:
            self._modules.append(_CONNTRACK)

    def _cure(self, key: str) -> str:
        if self._in_container and INDEX[key].scope == "host":
            return "declare it on the container's host; " + _UNSUPPORTED_CURE
        if not self._observed.root:
            return "use become"
        return _UNSUPPORTED_CURE
