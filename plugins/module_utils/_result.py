# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one shape of a result: changed, before, after, changes, findings, warnings, diff."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from ansible_collections.netfleet.tcp.plugins.module_utils._model import (
    Change,
    Desired,
    Observed,
    Plan,
    to_wire,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._plan import describe_file, file_targets
from ansible_collections.netfleet.tcp.plugins.module_utils._qdisc import state_name
from ansible_collections.netfleet.tcp.plugins.module_utils._transaction import Outcome
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_plan import describe_tunnel

_SUBJECTS = ("module", "sysctl", "qdisc", "file")


def snapshot(desired: Desired, observed: Observed) -> Dict[str, Dict[str, Any]]:
    """What runs on the host of all that the declaration manages, by subject and key."""
    keys = {key.name for key in desired.keys} | set(observed.baseline.keys)
    interfaces = {qdisc.interface for qdisc in desired.qdiscs} | set(observed.baseline.qdiscs)
    paths = {entry.path for entry in desired.files} | set(observed.baseline.files)
    modules = set(desired.modules) | set(observed.baseline.modules)
    tunnels = {tunnel.name for tunnel in desired.tunnels} | set(observed.baseline.tunnels)
    found: Dict[str, Dict[str, Any]] = {
        "sysctl": {name: observed.keys[name].running for name in sorted(keys) if name in observed.keys},
        "qdisc": {entry.name: state_name(entry) for entry in observed.interfaces if entry.name in interfaces},
        "module": {name: observed.modules[name].loaded for name in sorted(modules) if name in observed.modules},
        "file": {path: describe_file(observed.files[path]) for path in sorted(paths) if path in observed.files},
    }
    if tunnels:
        found["tunnel"] = {name: describe_tunnel(observed.tunnels.get(name)) for name in sorted(tunnels)}
    return found


def planned(desired: Desired, observed: Observed, plan: Plan) -> Dict[str, Dict[str, Any]]:
    """The snapshot that an application of the plan would leave."""
    after = snapshot(desired, observed)
    for change in plan.changes:
        if change.subject != "tunnel":
            after[change.subject][change.key] = change.want == "loaded" if change.subject == "module" else change.want
    tunnels = {**observed.baseline.tunnels, **{tunnel.name: tunnel for tunnel in desired.tunnels}}
    if tunnels:
        after["tunnel"] = {name: describe_tunnel(tunnels[name]) for name in sorted(tunnels)}
    return after


def result(
    desired: Desired,
    observed: Observed,
    plan: Plan,
    after: Optional[Observed] = None,
    warnings: Optional[List[str]] = None,
) -> Dict[str, Any]:
    """The result of a run; after is None where the plan was not applied (check mode, or nothing to do)."""
    said = [str(finding) for finding in plan.by_severity("warning")] + list(warnings or [])
    return {
        "changed": bool(plan.changes),
        "before": snapshot(desired, observed),
        "after": snapshot(desired, after) if after else planned(desired, observed, plan),
        "changes": [to_wire(change) for change in plan.changes],
        "findings": [to_wire(finding) for finding in plan.findings],
        "warnings": said,
        "diff": diff(desired, observed, plan),
    }


def outcome_result(desired: Desired, outcome: Outcome, check_mode: bool) -> Dict[str, Any]:
    """The result of a transaction, or of its inspection in check mode."""
    after = None if check_mode else outcome.after
    answer = result(desired, outcome.observed, outcome.plan, after, list(outcome.warnings))
    return {**answer, "pending": to_wire(outcome.pending)} if outcome.pending else answer


def diff(desired: Desired, observed: Observed, plan: Plan) -> List[Dict[str, str]]:
    """What ansible --diff shows: the running kernel as lines of key = value, then each file."""
    kernel = [change for change in plan.changes if change.subject != "file"]
    shown = []
    if kernel:
        shown.append(
            {
                "before_header": "running kernel",
                "after_header": "running kernel",
                "before": "".join(_line(change, change.running) for change in kernel),
                "after": "".join(_line(change, change.want) for change in kernel),
            }
        )
    targets = {target.path: target for target in file_targets(desired, observed)}
    for change in plan.changes:
        if change.subject == "file":
            present, target = observed.files[change.key], targets[change.key]
            shown.append(
                {
                    "before_header": "%s (%s)" % (change.key, describe_file(present)),
                    "after_header": "%s (%s; %s)" % (change.key, describe_file(target), change.reason),
                    "before": present.text or (present.target and present.target + "\n"),
                    "after": target.text or (target.target and target.target + "\n"),
                }
            )
    return shown


def _line(change: Change, value: Optional[str]) -> str:
    if value is None:
        return ""
    name = change.key if change.subject == "sysctl" else "%s %s" % (change.subject, change.key)
    return "%s = %s\n" % (name, value)
