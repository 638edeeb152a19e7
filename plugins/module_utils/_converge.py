# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole road of a module that works on its own: observe, resolve, desired state, transaction, result."""

from __future__ import annotations

from typing import Any, Dict

from ansible_collections.netfleet.tcp.plugins.module_utils._boot import with_precedence
from ansible_collections.netfleet.tcp.plugins.module_utils._desired import (
    build,
    declaration_name,
    render_sysctl_file,
    watched_paths,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._model import to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._observe import Request, load_vault, observe
from ansible_collections.netfleet.tcp.plugins.module_utils._plan import refusal
from ansible_collections.netfleet.tcp.plugins.module_utils._policy import OVERRIDE, Intent
from ansible_collections.netfleet.tcp.plugins.module_utils._resolve import (
    keys_to_observe,
    modules_to_observe,
    resolve,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._result import outcome_result
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System
from ansible_collections.netfleet.tcp.plugins.module_utils._transaction import apply, inspect


def converge(system: System, intent: Intent, check_mode: bool) -> Dict[str, Any]:
    """Bring the host to the intent and return the result; HostError where it cannot be had."""
    name = declaration_name(intent.file_name)
    baseline, vault = load_vault(system, name, {})
    request = Request(
        keys=keys_to_observe(intent),
        files=watched_paths(intent.file_name),
        modules=modules_to_observe(intent),
        qdiscs=bool(intent.qdisc),
        qdisc_kinds=(intent.qdisc,) if intent.qdisc else (),
        blame=True,
    )
    observed = observe(system, request, baseline, vault)
    resolved = resolve(intent, observed)
    refused = refusal(resolved.findings)
    if refused:
        raise refused
    desired = build(
        file_name=intent.file_name,
        text=render_sysctl_file(resolved.keys),
        keys=resolved.keys,
        modules=resolved.modules,
        qdiscs=resolved.qdiscs,
        interfaces=observed.interfaces,
        congestion_control=resolved.congestion_control,
        boot_conflict=intent.boot_conflict,
        systemd=observed.systemd,
    )
    if intent.boot_conflict == OVERRIDE:
        desired = with_precedence(desired, intent.file_name, observed)
    outcome = (inspect if check_mode else apply)(system, desired, {})
    # apply has refused by itself; inspect only looks.
    refused = refusal(outcome.plan.findings)
    if refused:
        raise refused
    answer = outcome_result(desired, outcome, check_mode)
    answer["findings"] = [to_wire(finding) for finding in resolved.findings] + answer["findings"]
    answer["warnings"] = [str(entry) for entry in resolved.findings if entry.severity == "warning"] + answer["warnings"]
    return answer
