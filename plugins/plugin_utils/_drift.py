# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""(desired, observed) -> findings: what is declared, what runs and what the next boot will run, compared. Pure.

Runs on the controller alone. Whatever a tuning run would change is a finding here (see _left_over), so a host is in
step if and only if tune.yml has nothing to do on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Dict, List, Optional, Set, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils import _rules as rules
from ansible_collections.netfleet.tcp.plugins.module_utils._boot import effective
from ansible_collections.netfleet.tcp.plugins.module_utils._catalogue_index import DEAD_KEYS, refused_because
from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint import UNREADABLE, describe_end
from ansible_collections.netfleet.tcp.plugins.module_utils._desired import precedence_path, secrets_path
from ansible_collections.netfleet.tcp.plugins.module_utils._model import (
    NOT_PERMITTED,
    Assignment,
    Change,
    Desired,
    DesiredKey,
    FileState,
    Finding,
    KeyState,
    Observed,
    Plan,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._plan import BEFORE, make_plan
from ansible_collections.netfleet.tcp.plugins.module_utils._resolve import CONGESTION_CONTROL
from ansible_collections.netfleet.tcp.plugins.module_utils._sysctl_d import NOBODY, SYSCTL_DIRECTORIES
from ansible_collections.netfleet.tcp.plugins.module_utils._values import SECRET_KEYS, same_value
from ansible_collections.netfleet.tcp.plugins.plugin_utils._drift_things import (
    AS_ROOT,
    TUNE,
    own_file_is_gone,
    thing_findings,
)


def drift(
    desired: Desired,
    observed: Observed,
    remarks: Iterable[Finding],
    file_name: str,
    subjects: Sequence[str] = rules.SUBJECTS,
) -> Tuple[Finding, ...]:
    """Every finding on a host. remarks: what was found while the declaration was read and resolved.

    subjects: those that are asked for; what another one would say in their place is said by them.
    """
    plan = make_plan(desired, observed)
    found: List[Finding] = []
    gone = own_file_is_gone(observed, file_name) and "file" in subjects
    for key in desired.keys:
        found += _key_findings(key, desired, observed, file_name, gone)
    found = [_with_way_out(finding, plan, observed) for finding in found]
    found += _congestion_control_findings(desired, observed, found)
    found += _dead_key_findings(desired, observed)
    found += _unread_findings(observed, file_name)
    found += thing_findings(desired, observed, file_name)
    found += [_remark(finding) for finding in remarks]
    found += _change_findings(observed)
    found += _left_over(plan, observed, found, precedence_path(file_name))
    return tuple(found)


def _with_way_out(finding: Finding, plan: Plan, observed: Observed) -> Finding:
    """The finding, with the cure that a tuning run would name where it would refuse rather than mend."""
    said = [entry for entry in plan.findings if entry.key == finding.key and entry.severity != "note"]
    # A tuning run is root, whoever checks.
    said = [entry for entry in said if not _by_permission(entry, observed)]
    if not said or finding.severity == "note":
        return finding
    does = "refuses this" if said[0].severity == "error" else "leaves this"
    return replace(finding, cure="the playbook tune %s: %s" % (does, said[0].cure or said[0].reason))


def checked(desired: Desired, observed: Observed) -> Dict[str, int]:
    """How many things were compared, by subject."""
    algorithm = int(any(key.name == CONGESTION_CONTROL for key in desired.keys))
    counts = {
        "sysctl": len(desired.keys) - algorithm,
        "congestion_control": algorithm,
        "module": len(desired.modules),
        "qdisc": len(desired.qdiscs),
        "route": 1 if desired.congestion_control and observed.routes_known else 0,
        "file": len(desired.files),
        "owner": max(1, len(observed.owners)),
        "host": 1,
    }
    return {subject: count for subject, count in counts.items() if count}


def _subject(name: str) -> str:
    return "congestion_control" if name == CONGESTION_CONTROL else "sysctl"


def _key_findings(
    key: DesiredKey, desired: Desired, observed: Observed, file_name: str, gone: bool
) -> Iterator[Finding]:
    state = observed.keys[key.name]
    if key.name in SECRET_KEYS and not observed.root and state.running is None and state.limit == NOT_PERMITTED:
        text = "is readable by root alone"
        yield Finding("sysctl", key.name, "note", text, rule=rules.FILE_UNJUDGED, cure=AS_ROOT)
        return
    line = effective(state, observed)
    boot = line.value if line else None
    judged = observed.reader != NOBODY and not (key.name in SECRET_KEYS and secrets_path(file_name) in observed.unread)
    # A directory that is closed to this user is told of once; what stands in it is anybody's guess.
    judged = judged and not any(directory in observed.unread for directory in SYSCTL_DIRECTORIES)
    runs = same_value(key.name, state.running, key.value)
    # Said once, of the file, where it is gone with all its keys.
    said = gone and line is None
    boots = not judged or said or (boot is not None and same_value(key.name, boot, key.value))
    if not runs or not boots:
        yield _key_finding(key, state, line, observed, runs, boots)
    shadow = _shadow(key, state, line, desired)
    if shadow and boots:
        yield Finding(
            subject=_subject(key.name),
            key=key.name,
            severity="note",
            reason=_shadow_reason(shadow, state),
            intended=key.value,
            running=state.running,
            boot=boot,
            source=shadow.place,
            takes_effect="when somebody applies that file by hand",
            cure="remove the line",
            rule=rules.SYSCTL_SHADOW,
            owner=observed.authors.get(shadow.file, ""),
        )


def _key_finding(
    key: DesiredKey, state: KeyState, line: Optional[Assignment], observed: Observed, runs: bool, boots: bool
) -> Finding:
    blamed = line if not boots else None
    reasons: List[str] = []
    if not runs:
        origin = _origin(state, observed)
        blamed = blamed or origin
        reasons.append("what runs comes from %s" % origin.place if origin else _without_origin(state, observed))
    if not boots:
        reasons.append(_boot_reason(line, state))
    rule = rules.SYSCTL_BOOT if runs else rules.SYSCTL_RUNNING
    return Finding(
        subject=_subject(key.name),
        key=key.name,
        severity="error",
        reason="; ".join(reasons),
        intended=key.value,
        running=state.running,
        boot=line.value if line else None,
        source=blamed.place if blamed else "",
        takes_effect=key.takes_effect if not runs else "reboot",
        cure=TUNE,
        rule=rules.CONGESTION_CONTROL if key.name == CONGESTION_CONTROL else rule,
        owner=_owner_of(blamed, observed),
    )


def _without_origin(state: KeyState, observed: Observed) -> str:
    if observed.root and observed.baseline.empty:
        return "it was never set here"
    return "changed while it runs; no file sets %s" % (state.running if state.running else "this")


def _origin(state: KeyState, observed: Observed) -> Optional[Assignment]:
    """The line of a file that gives the value that runs, most likely the reason why it runs."""
    tuned = [owner.sets[state.name] for owner in observed.owners if state.name in owner.sets]
    lines = [*state.boot, *state.aside, *tuned]
    same = [entry for entry in lines if entry.value is not None and same_value(state.name, entry.value, state.running)]
    return same[-1] if same else None


def _boot_reason(line: Optional[Assignment], state: KeyState) -> str:
    if line is None:
        excluded = [entry for entry in state.boot if entry.value is None]
        if excluded:
            return "%s excludes it from the next boot" % excluded[-1].place
        return "no file sets it at the next boot"
    by_link = " (read as %s)" % line.file if line.target else ""
    return "%s%s decides at the next boot" % (line.place, by_link)


def _owner_of(line: Optional[Assignment], observed: Observed) -> str:
    if line is None:
        return ""
    for owner in observed.owners:
        if line in owner.sets.values():
            return owner.name
    return observed.authors.get(line.file, "")


def _shadow(key: DesiredKey, state: KeyState, line: Optional[Assignment], desired: Desired) -> Optional[Assignment]:
    own = {entry.path for entry in desired.files}
    others = [entry for entry in (*state.boot, *state.aside) if entry.file not in own and entry != line]
    differ = [entry for entry in others if entry.value is not None and not same_value(key.name, entry.value, key.value)]
    return differ[-1] if differ else None


def _shadow_reason(shadow: Assignment, state: KeyState) -> str:
    if shadow in state.aside:
        return "%s sets %s; this host does not read that file at boot, sysctl -p does" % (shadow.place, shadow.value)
    return "%s sets %s; a file that is read later decides" % (shadow.place, shadow.value)


def _congestion_control_findings(desired: Desired, observed: Observed, found: Iterable[Finding]) -> Iterator[Finding]:
    """A new socket that gets another algorithm than the key says, as in a container whose host forbids it."""
    given, wanted = observed.new_socket_congestion_control, desired.congestion_control
    if wanted and given and given != wanted and all(entry.key != CONGESTION_CONTROL for entry in found):
        yield Finding(
            subject="congestion_control",
            key="new sockets",
            severity="error",
            reason="the key says %s, and a new socket gets %s all the same" % (wanted, given),
            intended=wanted,
            running=given,
            takes_effect="new sockets",
            cure="see tcp_allowed_congestion_control and the modules of the host",
            rule=rules.CONGESTION_CONTROL,
        )


def _dead_key_findings(desired: Desired, observed: Observed) -> Iterator[Finding]:
    for name in DEAD_KEYS:
        state = observed.keys.get(name)
        line = effective(state, observed) if state else None
        if line is None or line.glob or line.value is None:
            continue
        why, instead = refused_because(name)
        excluded = any("-%s" % name in entry.text.splitlines() for entry in desired.files)
        yield Finding(
            subject="sysctl",
            key=name,
            severity="warning",
            reason="%s sets it; it %s" % (line.place, why),
            running=state.running if state else None,
            boot=line.value,
            source=line.place,
            takes_effect="reboot",
            cure="remove the line (%s)%s" % (instead, ", or %s, which excludes it" % TUNE if excluded else ""),
            rule=rules.SYSCTL_DEAD,
            owner=_owner_of(line, observed),
        )


def _unread_findings(observed: Observed, file_name: str) -> Iterator[Finding]:
    for path, why in sorted(observed.unread.items()):
        if path == secrets_path(file_name) and not observed.root:
            text = "is readable by root alone, as it should be"
            yield Finding("file", path, "note", text, source=path, rule=rules.FILE_UNJUDGED, cure=AS_ROOT)
            continue
        yield Finding(
            subject="sysctl",
            key=path,
            severity="warning",
            reason="%s; what it sets at the next boot is not known" % why,
            source=path,
            takes_effect="reboot" if observed.root else "",
            cure="look at it as root" if not observed.root else "remove it, or make it a file that can be read",
            rule=rules.SYSCTL_UNREAD,
        )


def _change_findings(observed: Observed) -> Iterator[Finding]:
    """What became of the latest change, where it was not kept."""
    pending, told = observed.pending, describe_end(observed.last_change)
    if told:
        cure = "see why the host could not be reached, then %s" % TUNE
        yield Finding("host", "", "warning", told, cure=cure, rule=rules.CHANGE_REVERTED)
    if pending and pending.outcome == UNREADABLE:
        yield Finding("host", "", "error", pending.why, cure="look at that file", rule=rules.CHANGE_PENDING)
    elif pending:
        left = "for %d s more" % pending.left if pending.left else "and nobody is left to confirm it"
        text = "change %s by %s waits to be confirmed %s" % (pending.id, pending.author or "somebody", left)
        yield Finding("host", "", "note" if pending.left else "error", text, cure=TUNE, rule=rules.CHANGE_PENDING)


def _remark(finding: Finding) -> Finding:
    """A finding of the road to the desired state as one of ours: with a rule, and a subject that can be selected."""
    if finding.rule:
        return replace(finding, subject=finding.subject if finding.subject in rules.SUBJECTS else "host")
    rule = rules.UNSUPPORTED if finding.subject == "unsupported" else rules.DECLARATION
    if finding.subject in rules.SUBJECTS:
        return replace(finding, rule=rule)
    subject = _subject(finding.key) if "." in finding.key else "qdisc"
    return replace(finding, subject=subject, rule=rule)


def _left_over(plan: Plan, observed: Observed, found: Iterable[Finding], precedence: str) -> Iterator[Finding]:
    """What a tuning run would change or refuse, and nothing above has named: what an earlier run left, for the most."""
    named: Set[Tuple[str, str]] = {
        (_family(finding.subject), finding.key)
        for finding in found
        if finding.severity != "note" or finding.rule == rules.FILE_UNJUDGED
    }
    for change in plan.changes:
        unreadable = observed.files.get(change.key, FileState(change.key)).kind == "unreadable"
        if change.key == precedence and change.running == "absent":
            # The keys for whose sake it would be written have been named.
            continue
        if (change.subject, change.key) not in named and not unreadable:
            yield _change_finding(change)
    for finding in plan.findings:
        if (_family(finding.subject), finding.key) not in named and not _by_permission(finding, observed):
            rule = {"file": rules.FILE_CHANGED, "qdisc": rules.QDISC_RUNNING}.get(finding.subject, rules.SYSCTL_BOOT)
            yield replace(finding, rule=finding.rule or rule)


def _family(subject: str) -> str:
    return "sysctl" if subject == "congestion_control" else subject


def _by_permission(finding: Finding, observed: Observed) -> bool:
    unreadable = observed.files.get(finding.key, FileState(finding.key)).kind == "unreadable"
    return finding.reason == NOT_PERMITTED or unreadable


def _change_finding(change: Change) -> Finding:
    rule = {
        "module": rules.MODULE_RUNNING,
        "qdisc": rules.QDISC_RUNNING,
        "file": rules.FILE_CHANGED,
    }.get(change.subject, rules.SYSCTL_RUNNING)
    left = change.reason == BEFORE or change.want in ("absent", "unloaded")
    return Finding(
        subject=_subject(change.key) if change.subject == "sysctl" else change.subject,
        key=change.key,
        severity="warning",
        reason="left by an earlier run; no longer declared" if left else change.reason,
        intended=change.want,
        running=change.running,
        boot=change.boot,
        source=change.source,
        takes_effect=change.takes_effect,
        cure=TUNE,
        rule=rule,
    )
