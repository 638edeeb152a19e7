# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""(desired, observed) -> plan. The same pure code says on the controller what would change, on the host what does."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Iterable, Iterator, List, Optional, Set

from ansible_collections.netfleet.tcp.plugins.module_utils._boot import effective, own_assignments, rival, rival_cure
from ansible_collections.netfleet.tcp.plugins.module_utils._desired import hidden_paths, is_ours
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError, Problem
from ansible_collections.netfleet.tcp.plugins.module_utils._model import (
    Assignment,
    Change,
    Desired,
    DesiredFile,
    DesiredKey,
    FileState,
    Finding,
    Interface,
    Observed,
    Plan,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._qdisc import state_name, wanted_name
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_endpoints import names_of, resolved
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_plan import SUBJECT, tunnel_changes
from ansible_collections.netfleet.tcp.plugins.module_utils._values import same_value

BEFORE = "value from before netfleet.tcp; no longer declared"
LOADED = "loaded"
UNLOADED = "unloaded"
BLOCKED_CURE = "take that away, or do not declare what needs the module"
_SYSCTL_D = "/etc/sysctl.d/"
# A peer in one of our files, of either backend (see _tunnel_files): its name, and its endpoint.
_ENDPOINT = re.compile(r"^# (\S+)\nPublicKey[^\[]*?^Endpoint ?= ?(\S+)$", re.MULTILINE)


def make_plan(desired: Desired, observed: Observed, settled: Optional[bool] = None) -> Plan:
    """Every change that brings the host to the desired state, in order of application, and what conflicts with it.

    settled: whether the host's tunnels have once been told the endpoints that are wanted (see _tunnel_plan); by
    default, if its files name them.
    """
    own = own_assignments(desired)
    findings = [finding for key in desired.keys for finding in _key_findings(key, own.get(key.name), desired, observed)]
    files = list(_file_changes(desired, observed))
    if settled is None:
        settled = names_endpoints(desired, observed)
    changes: List[Change] = []
    changes += _load_changes(desired, observed)
    changes += [change for key in desired.keys for change in _key_changes(key, observed)]
    changes += _key_restores(desired, observed)
    changes += _qdisc_changes(desired, observed)
    changes += _tunnel_changes(desired, observed, settled)
    changes += files
    changes += _unload_changes(desired, observed)
    findings += _module_findings(desired, observed)
    findings += _file_findings(desired, observed)
    findings += _qdisc_findings(desired, observed)
    findings += _leftover_findings(desired, observed)
    findings += _tunnel_findings(desired, observed)
    return Plan(tuple(changes), tuple(findings))


def refusal(findings: Iterable[Finding]) -> Optional[HostError]:
    """What the findings of severity error amount to: nothing may be applied. None where there is no such finding."""
    errors = [finding for finding in findings if finding.severity == "error"]
    return HostError(Problem(entry.key, entry.reason, entry.cure) for entry in errors) if errors else None


def _key_changes(key: DesiredKey, observed: Observed) -> Iterator[Change]:
    state = observed.keys[key.name]
    boot = effective(state, observed)
    if not same_value(key.name, state.running, key.value):
        yield Change(
            subject="sysctl",
            key=key.name,
            want=key.value,
            running=state.running,
            boot=boot.value if boot else None,
            source=boot.place if boot else "",
            reason=key.reason,
            takes_effect=key.takes_effect,
        )


def _key_findings(
    key: DesiredKey, own: Optional[Assignment], desired: Desired, observed: Observed
) -> Iterator[Finding]:
    state = observed.keys[key.name]
    if state.limit and not same_value(key.name, state.running, key.value):
        yield Finding(
            "sysctl", key.name, "error", state.limit, key.value, state.running, cure="see tcp_tuning_unsupported"
        )
    if own is None or not same_value(key.name, own.value, key.value):
        reason = "the file of this declaration does not set it to %s, so the next boot would not" % key.value
        yield Finding("sysctl", key.name, "error", reason, key.value, state.running, cure="mend the template")
        return
    other = rival(state, own, desired, observed, frozenset(observed.baseline.files))
    if other and not same_value(key.name, other.value, key.value):
        effect = "sets %s" % other.value if other.value is not None else "excludes it"
        yield Finding(
            subject="sysctl",
            key=key.name,
            severity=_conflict_severity(desired),
            reason="%s %s and would win at the next boot over %s" % (other.place, effect, key.value),
            intended=key.value,
            running=state.running,
            boot=other.value,
            source=other.place,
            takes_effect="reboot",
            cure=rival_cure(other, observed),
        )


def _conflict_severity(desired: Desired) -> str:
    return "warning" if desired.boot_conflict == "warn" else "error"


def _key_restores(desired: Desired, observed: Observed) -> Iterator[Change]:
    wanted = {key.name for key in desired.keys}
    for name, before in sorted(observed.baseline.keys.items()):
        state = observed.keys.get(name)
        # A key that is gone, with the module that had it, needs nothing given back.
        if name in wanted or state is None or state.running is None or same_value(name, state.running, before):
            continue
        boot = effective(state, observed)
        yield Change(
            "sysctl", name, before, state.running, boot.value if boot else None, boot.place if boot else "", BEFORE
        )


def _load_changes(desired: Desired, observed: Observed) -> Iterator[Change]:
    for name in desired.modules:
        state = observed.modules.get(name)
        if state and not state.loaded and not state.builtin:
            yield Change("module", name, LOADED, UNLOADED, reason="needed by a desired value")


def _module_findings(desired: Desired, observed: Observed) -> Iterator[Finding]:
    """Modules that the next boot will not load, whatever our own files say."""
    for name in desired.modules:
        state = observed.modules.get(name)
        if state and state.blocker:
            yield Finding(
                subject="module",
                key=name,
                severity=_conflict_severity(desired),
                reason="%s keeps the next boot from loading it" % state.blocker,
                intended=LOADED,
                running=LOADED if state.loaded else UNLOADED,
                source=state.blocker,
                takes_effect="reboot",
                cure=BLOCKED_CURE,
            )


def _unload_changes(desired: Desired, observed: Observed) -> Iterator[Change]:
    for name in observed.baseline.modules:
        state = observed.modules.get(name)
        if name not in desired.modules and state and state.loaded:
            yield Change("module", name, UNLOADED, LOADED, reason="was loaded by netfleet.tcp; no longer needed")


def _qdisc_changes(desired: Desired, observed: Observed) -> Iterator[Change]:
    interfaces = {interface.name: interface for interface in observed.interfaces}
    wanted = {qdisc.interface: qdisc for qdisc in desired.qdiscs}
    for name, qdisc in sorted(wanted.items()):
        if name in interfaces and not _has_qdisc(interfaces[name], qdisc.kind):
            yield Change(
                "qdisc",
                name,
                wanted_name(interfaces[name], qdisc.kind),
                state_name(interfaces[name]),
                reason=qdisc.reason,
            )
    for name, before in sorted(observed.baseline.qdiscs.items()):
        if name not in wanted and name in interfaces and state_name(interfaces[name]) != before:
            yield Change("qdisc", name, before, state_name(interfaces[name]), reason=BEFORE)


def names_endpoints(desired: Desired, observed: Observed) -> bool:
    """Whether the host's files name the endpoints that are wanted already; else somebody has changed the declaration.

    What else of a file differs does not matter: a peer that has moved stays where it is while a key changes.
    """
    wanted, named = (
        {pair for text in texts for pair in _ENDPOINT.findall(text)}
        for texts in (
            [target.text for target in file_targets(desired, observed)],
            [state.text for state in observed.files.values()],
        )
    )
    return wanted <= named


def _tunnel_changes(desired: Desired, observed: Observed, settled: bool) -> Iterator[Change]:
    if observed.tunnel_limit:
        return
    names = {tunnel.name for tunnel in desired.tunnels}
    # Those that go first: another one may want their ports, or their routes.
    for name, before in sorted(observed.baseline.tunnels.items()):
        if name not in names:
            yield from tunnel_changes(before, observed.tunnels.get(name), settled=False, reason=BEFORE)
    for wanted in desired.tunnels:
        have = observed.tunnels.get(wanted.name)
        want = resolved(wanted, observed.resolved, have)
        for change in tunnel_changes(want, have, settled, reason="declared"):
            yield replace(change, reason=desired.reasons.get(change.key, change.reason))


def _tunnel_findings(desired: Desired, observed: Observed) -> Iterator[Finding]:
    names = {tunnel.name for tunnel in desired.tunnels}
    if observed.tunnel_limit and names:
        yield Finding(SUBJECT, sorted(names)[0], "error", observed.tunnel_limit, cure="install wireguard-tools")
        return
    for tunnel in desired.tunnels:
        yield from _one_tunnels_findings(tunnel, names | set(observed.baseline.tunnels), desired, observed)


def _one_tunnels_findings(tunnel: Tunnel, ours: Set[str], desired: Desired, observed: Observed) -> Iterator[Finding]:
    name = tunnel.name
    if name in observed.tunnels and name not in observed.baseline.tunnels:
        text = "there is an interface of this name already, which somebody else has made"
        cure = "take it down, or give the topology another name"
        yield Finding(SUBJECT, name, _conflict_severity(desired), text, cure=cure)
    for other in observed.tunnels.values():
        if other.port == tunnel.port and other.name not in ours:
            text = "port %d is that of %s, which is somebody else's" % (tunnel.port, other.name)
            yield Finding(SUBJECT, name, "error", text, cure="another port, or take %s down" % other.name)
    if tunnel.clamp and observed.clamp_limit:
        text = "TCP's segments cannot be clamped: %s" % observed.clamp_limit
        yield Finding(SUBJECT, name, "error", text, cure="install nftables, or give the topology clamp_mss: false")
    for route in tunnel.routes:
        device = observed.foreign_routes.get("%s %d" % (route.prefix, route.metric))
        if device:
            text = "%s is routed to %s already, by somebody else" % (route.prefix, device)
            yield Finding(SUBJECT, name, "error", text, cure="take that route away, or give it another metric")
    live = {peer.endpoint for peer in observed.tunnels[name].peers} if name in observed.tunnels else set()
    for host in names_of([tunnel]):
        if not observed.resolved.get(host):
            severity = "warning" if live else "error"
            text = "the name %s does not resolve on this host" % host
            yield Finding(SUBJECT, name, severity, text, cure="mend its DNS, or give an address")


def _has_qdisc(interface: Interface, kind: str) -> bool:
    if interface.qdisc == "mq":
        return len(interface.leaves) >= interface.queues and all(leaf == kind for leaf in interface.leaves)
    return interface.qdisc == kind


def describe_file(state: FileState) -> str:
    """A file's state in a few words."""
    if state.kind == "symlink":
        return "link to %s" % state.target
    return state.kind if state.kind != "file" else "file of mode %04o, %d bytes" % (state.mode, len(state.text))


def desired_state(wanted: DesiredFile) -> FileState:
    """The state that a DesiredFile asks for."""
    if wanted.target:
        return FileState(wanted.path, "symlink", target=wanted.target)
    return FileState(wanted.path, "file", wanted.mode, wanted.text)


def same_file(left: FileState, right: FileState) -> bool:
    """Whether two states are the same to a reader. A link's own mode means nothing."""
    if left.kind != right.kind:
        return False
    if left.kind == "symlink":
        return left.target == right.target
    return left.kind == "absent" or (left.mode == right.mode and left.text == right.text)


def file_targets(desired: Desired, observed: Observed) -> List[FileState]:
    """The state that each file shall have: the desired ones, and what stood there before for those given up."""
    wanted = {entry.path: desired_state(entry) for entry in desired.files}
    for path, before in observed.baseline.files.items():
        wanted.setdefault(path, before)
    for path in _unrecorded(desired, observed):
        wanted[path] = FileState(path)
    return [wanted[path] for path in sorted(wanted)]


def _unrecorded(desired: Desired, observed: Observed) -> List[str]:
    """Files of ours that are no longer desired, and of which the record of what stood there before was lost."""
    known = {entry.path for entry in desired.files} | set(observed.baseline.files)
    return [path for path, state in sorted(observed.files.items()) if path not in known and is_ours(state)]


def _file_changes(desired: Desired, observed: Observed) -> Iterator[Change]:
    reasons = {entry.path: entry.reason for entry in desired.files}
    for target in file_targets(desired, observed):
        present = observed.files.get(target.path, FileState(target.path))
        if not same_file(present, target):
            yield Change(
                subject="file",
                key=target.path,
                want=describe_file(target),
                running=describe_file(present),
                reason=reasons.get(target.path, BEFORE),
                takes_effect="reboot",
            )


def _file_findings(desired: Desired, observed: Observed) -> Iterator[Finding]:
    for target in file_targets(desired, observed):
        present = observed.files.get(target.path, FileState(target.path))
        if present.kind in ("other", "unreadable") and target.kind != present.kind:
            text = "cannot be read" if present.kind == "unreadable" else "is neither a file nor a link"
            yield Finding("file", target.path, "error", text, cure="move it away")
    yield from _foreign_file_findings(desired, observed)
    yield from _hidden_file_findings(desired, observed)
    lost = _unrecorded(desired, observed)
    if lost:
        text = "the record of what stood here before is lost: files of ours are removed, what runs stays until a boot"
        yield Finding("file", lost[0], "warning", text, cure="set the values that you want back by hand, or reboot")


def _foreign_file_findings(desired: Desired, observed: Observed) -> Iterator[Finding]:
    """Files of somebody else's that stand where ours would, and do not say the same."""
    for entry in desired.files:
        present = observed.files.get(entry.path, FileState(entry.path))
        known = entry.path in observed.baseline.files or is_ours(present)
        if present.kind in ("file", "symlink") and not known and not same_file(present, desired_state(entry)):
            severity = _conflict_severity(desired)
            text = "is somebody else's %s; ours would take its place" % describe_file(present)
            cure = "move it away, or choose another file name for ours"
            yield Finding("file", entry.path, severity, text, source=entry.path, takes_effect="reboot", cure=cure)


def _hidden_file_findings(desired: Desired, observed: Observed) -> Iterator[Finding]:
    """Files of the same name in other directories, of which the next boot would read nothing because of ours."""
    for entry in desired.files:
        if not entry.path.startswith(_SYSCTL_D):
            continue
        for path in hidden_paths(entry.path[len(_SYSCTL_D) :]):
            present = observed.files.get(path, FileState(path))
            if present.kind not in ("absent", "unreadable"):
                severity = _conflict_severity(desired)
                text = "would be hidden at boot by %s, which has the same name" % entry.path
                cure = "choose another file name for ours"
                yield Finding("file", path, severity, text, source=path, takes_effect="reboot", cure=cure)
                break


def _qdisc_findings(desired: Desired, observed: Observed) -> Iterator[Finding]:
    present = {interface.name for interface in observed.interfaces}
    for qdisc in desired.qdiscs:
        if qdisc.interface not in present:
            text = "there is no such interface"
            yield Finding("qdisc", qdisc.interface, "error", text, qdisc.kind, cure="take it out of the declaration")


def _leftover_findings(desired: Desired, observed: Observed) -> Iterator[Finding]:
    """Interfaces that were changed once and are gone now: nothing to restore, but worth a word."""
    present = {interface.name for interface in observed.interfaces}
    wanted = {qdisc.interface for qdisc in desired.qdiscs}
    for name in sorted(observed.baseline.qdiscs):
        if name not in wanted and name not in present and observed.interfaces:
            yield Finding("qdisc", name, "note", "the interface whose qdisc was recorded is gone; nothing to restore")
