# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of a drift check that is not about keys: modules, qdiscs, routes, our files, other services. Pure.

Runs on the controller alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils import _rules as rules
from ansible_collections.netfleet.tcp.plugins.module_utils._boot import TUNED_CURE
from ansible_collections.netfleet.tcp.plugins.module_utils._desired import (
    modules_path,
    precedence_path,
    secrets_path,
    sysctl_path,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._model import (
    ANY_INTERFACE,
    TUNED,
    Assignment,
    Desired,
    DesiredFile,
    DesiredQdisc,
    FileState,
    Finding,
    Observed,
    Owner,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._network_manager import NETWORK_MANAGER
from ansible_collections.netfleet.tcp.plugins.module_utils._plan import (
    BLOCKED_CURE,
    LOADED,
    describe_file,
    desired_state,
    same_file,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._qdisc import state_name, wanted_name

TUNE = "run the playbook tune"
AS_ROOT = "let the check run as root (become) to have it judged"
NOT_LOADED = "not loaded"
_BY_PROTOCOL = {"dhcp": "DHCP", "ra": "router advertisements", "bird": "BIRD", "zebra": "FRR", "bgp": "BGP"}


def thing_findings(desired: Desired, observed: Observed, file_name: str) -> Iterator[Finding]:
    """What differs from the declaration beside keys."""
    yield from _module_findings(desired, observed, file_name)
    yield from _qdisc_findings(desired, observed)
    yield from _route_findings(desired, observed)
    yield from _file_findings(desired, observed, file_name)
    yield from _owner_findings(desired, observed)


def _module_findings(desired: Desired, observed: Observed, file_name: str) -> Iterator[Finding]:
    for name in desired.modules:
        state = observed.modules.get(name)
        boots = state is not None and state.boot and not state.blocker
        if state is None or state.builtin or (state.loaded and boots):
            continue
        if state.blocker:
            reason = "%s keeps the next boot from loading it" % state.blocker
        elif not state.boot:
            reason = "no file of modules-load.d names it"
        else:
            reason = "it was unloaded, or never loaded"
        yield Finding(
            subject="module",
            key=name,
            severity="error",
            reason=reason,
            intended=LOADED,
            running=LOADED if state.loaded else NOT_LOADED,
            boot=LOADED if boots else NOT_LOADED,
            source=state.blocker or state.boot or modules_path(file_name),
            takes_effect="now" if not state.loaded else "reboot",
            cure=BLOCKED_CURE if state.blocker else TUNE,
            rule=rules.MODULE_RUNNING if not state.loaded else rules.MODULE_BOOT,
        )


def _qdisc_findings(desired: Desired, observed: Observed) -> Iterator[Finding]:
    interfaces = {interface.name: interface for interface in observed.interfaces}
    units = [entry for entry in desired.files if "-qdisc.service" in entry.path]
    broken = [entry for entry in units if not _stands(entry, observed)]
    for wanted in desired.qdiscs:
        interface = interfaces.get(wanted.interface)
        if interface is None:
            continue
        intended, running = wanted_name(interface, wanted.kind), state_name(interface)
        if intended == running and not broken:
            continue
        others = [(owner.name, _line_for(owner, wanted)) for owner in observed.owners if _other_kind(owner, wanted)]
        owner, line = others[0] if others and intended != running else ("", None)
        yield Finding(
            subject="qdisc",
            key=wanted.interface,
            severity="error",
            reason=_qdisc_reason(line) if intended != running else "the unit that sets it at boot is not in place",
            intended=intended,
            running=running,
            boot=intended if not broken else "the kernel's default",
            source=line.place if line else broken[0].path if broken else "",
            takes_effect="now" if intended != running else "reboot",
            cure=TUNE,
            rule=rules.QDISC_RUNNING if intended != running else rules.QDISC_BOOT,
            owner=owner,
        )


def _qdisc_reason(line: Optional[Assignment]) -> str:
    return "somebody replaced it" + ("; %s does whenever a connection comes up" % line.place if line else "")


def _stands(wanted: DesiredFile, observed: Observed) -> bool:
    return same_file(observed.files.get(wanted.path, FileState(wanted.path)), desired_state(wanted))


def _route_findings(desired: Desired, observed: Observed) -> Iterator[Finding]:
    wanted = desired.congestion_control
    if wanted and not observed.routes_known:
        text = "ip failed, or there are too many routes to look at each"
        cure = "look at them by hand: ip route show table all"
        yield Finding("route", "routes", "note", text, wanted, rule=rules.FILE_UNJUDGED, cure=cure)
    for route in observed.routes:
        if wanted and route.congestion_control != wanted:
            place = "" if route.table == "main" else " table %s" % route.table
            yield Finding(
                subject="route",
                key="%s dev %s%s" % (route.prefix, route.device, place),
                severity="warning",
                reason="the route says %s for all connections over it" % route.congestion_control,
                intended=wanted,
                running=route.congestion_control,
                takes_effect="new sockets",
                cure="ip route change without congctl, and where the route is configured; or a waiver",
                rule=rules.ROUTE_OVERRIDE,
                owner=_BY_PROTOCOL.get(route.protocol, ""),
            )


def own_file_is_gone(observed: Observed, file_name: str) -> bool:
    """Whether our sysctl.d file is missing or masked, so that the next boot sets nothing of it."""
    state = observed.files.get(sysctl_path(file_name))
    if state is None or state.kind == "unreadable":
        return False
    return state.kind != "file" or not state.text.strip()


def _file_findings(desired: Desired, observed: Observed, file_name: str) -> Iterator[Finding]:
    for wanted in desired.files:
        present = observed.files.get(wanted.path, FileState(wanted.path))
        target = desired_state(wanted)
        if same_file(present, target):
            continue
        if wanted.path == precedence_path(file_name) and present.kind == "absent":
            # What it would overrule has been named, key by key.
            continue
        if present.kind == "unreadable":
            if wanted.path not in observed.unread:
                text = "is readable by root alone"
                yield Finding("file", wanted.path, "note", text, rule=rules.FILE_UNJUDGED, cure=AS_ROOT)
            continue
        reason, line, ours, theirs = file_difference(present, target)
        if wanted.path == secrets_path(file_name):
            # Whatever was written there, by hand or long ago, may be a secret.
            ours = theirs = None
        main = wanted.path == sysctl_path(file_name) and own_file_is_gone(observed, file_name)
        if main:
            reason += "; the next boot sets none of its keys"
        yield Finding(
            subject="file",
            key=wanted.path,
            severity="error" if main else "warning",
            reason=reason,
            intended=ours,
            boot=theirs,
            source="%s:%d" % (wanted.path, line) if line else wanted.path,
            takes_effect="reboot",
            cure=TUNE,
            rule=rules.FILE_CHANGED,
        )


def file_difference(present: FileState, target: FileState) -> Tuple[str, int, Optional[str], Optional[str]]:
    """What is wrong with a file of ours: reason, line (0: none), our line, the one that stands there."""
    if present.kind == "absent":
        return "is missing", 0, None, None
    if present.kind == "symlink" and present.target == "/dev/null":
        return "is masked by a link to /dev/null", 0, None, None
    if present.kind != target.kind:
        return "is a %s" % describe_file(present), 0, None, None
    if present.kind == "symlink":
        return "points to %s" % present.target, 0, target.target, present.target
    if present.text == target.text:
        return "has mode %04o, not %04o" % (present.mode, target.mode), 0, None, None
    if not present.text.strip():
        return "is empty, which masks it", 0, None, None
    theirs, ours = present.text.splitlines(), target.text.splitlines()
    differ = [
        (number, right, left)
        for number, (left, right) in enumerate(zip(theirs, ours, strict=False), 1)
        if left != right
    ]
    # What counts is what is set; a comment is shown only where nothing else differs.
    telling = [entry for entry in differ if not (_is_comment(entry[1]) and _is_comment(entry[2]))] or differ
    if differ:
        # Where lines came or went, those behind differ too: then only the first tells where it began.
        number, right, left = telling[0] if len(theirs) == len(ours) else differ[0]
        return "is not as declared", number, right, left
    if len(theirs) < len(ours):
        return "was cut off after line %d" % len(theirs), len(theirs), ours[len(theirs)] or None, None
    return "was added to", len(ours) + 1, None, theirs[len(ours)] or None if len(theirs) > len(ours) else None


def _is_comment(line: str) -> bool:
    return not line.strip() or line.lstrip()[0] in "#;"


def _owner_findings(desired: Desired, observed: Observed) -> Iterator[Finding]:
    wanted = {key.name: key.value for key in desired.keys}
    for owner in observed.owners:
        hit = sorted(set(owner.sets).intersection(wanted))
        queues = [entry for entry in desired.qdiscs if _other_kind(owner, entry)]
        if not hit and not queues:
            continue
        tuned = owner.name.startswith(TUNED)
        holds = tuned and owner.reapplies
        lines = [owner.sets[name] for name in hit] + [_line_for(owner, entry) for entry in queues]
        places = [line.place for line in lines if line and line.line]
        yield Finding(
            subject="owner",
            key=owner.name,
            severity="note" if holds or owner.name == "kube-proxy" else "warning",
            reason=_owner_reason(owner, hit, [entry.interface for entry in queues]),
            source=places[0] if places else "",
            takes_effect="when that service starts",
            cure=TUNED_CURE if tuned and not holds else "leave these to one of the two" if not holds else "",
            rule=rules.OWNER_ACTIVE,
            owner=owner.name,
        )


def _line_for(owner: Owner, wanted: DesiredQdisc) -> Optional[Assignment]:
    """The line by which a service gives an interface a qdisc, if there is one."""
    return owner.qdiscs.get(wanted.interface) or owner.qdiscs.get(ANY_INTERFACE)


def _other_kind(owner: Owner, wanted: DesiredQdisc) -> bool:
    line = _line_for(owner, wanted)
    return line is not None and line.value != wanted.kind


def _owner_reason(owner: Owner, hit: List[str], interfaces: List[str]) -> str:
    keys = _some(hit)
    if owner.name.startswith(TUNED):
        if owner.reapplies:
            return "sets %s when it starts, then applies /etc/sysctl.d again, so that ours hold" % keys
        return "sets %s when it starts, and has the last word (reapply_sysctl = 0)" % keys
    if owner.name != NETWORK_MANAGER:
        return "sets %s while it runs" % keys
    said = ["a script names %s" % keys] if hit else []
    said += ["the qdisc of %s is set" % _some(interfaces)] if interfaces else []
    return "whenever a connection comes up, %s" % " and ".join(said)


def _some(names: List[str]) -> str:
    return "%s%s" % (", ".join(names[:3]), " and %d more" % (len(names) - 3) if len(names) > 3 else "")
