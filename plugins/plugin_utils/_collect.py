# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what a check said of each host to the report of the fleet. Pure; runs on the controller alone."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Dict, List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import NOT_MET
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding, from_wire, to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._rules import HOST_FAILED, HOST_UNREACHABLE
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import (
    DRIFT,
    FAILED,
    IN_STEP,
    NOT_ENOUGH,
    UNREACHABLE,
    HostState,
    Report,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_groups import summary
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_kinds import DRIFT_CHECK, Kind

NOT_ASKED = "not_asked"


def collect(
    answers: Mapping[str, Optional[Mapping[str, Any]]],
    threshold: str,
    now: float,
    version: str,
    kind: Kind = DRIFT_CHECK,
) -> Report:
    """The report. answers: by host, the task's result, or None where there is none. now: seconds since the epoch."""
    hosts: List[HostState] = []
    findings: List[Finding] = []
    subjects: List[str] = []
    started = now
    for name, answer in answers.items():
        said = said_of(answer, kind)
        own = tuple(replace(from_wire(Finding, entry), host=name) for entry in said["findings"])
        draft = Report("", "", threshold, (), own)
        status = str(said["status"])
        if status not in (UNREACHABLE, FAILED):
            within = NOT_ENOUGH if status == NOT_ENOUGH else IN_STEP
            status = DRIFT if any(draft.counts(finding) for finding in own) else within
        hosts.append(
            HostState(
                name=name,
                status=status,
                profile=str(said.get("profile", "")),
                kernel=str(said.get("kernel", "")),
                groups=tuple(said.get("groups", ())),
                checked=dict(said.get("checked", {})),
            )
        )
        findings += own
        subjects += [subject for subject in said.get("subjects", ()) if subject not in subjects]
        started = min(started, float(said.get("asked_at", now)))
    return Report(
        started=_time(started),
        finished=_time(now),
        threshold=threshold,
        hosts=tuple(hosts),
        findings=tuple(findings),
        version=version,
        subjects=tuple(subject for subject in kind.subjects if subject in subjects),
        check=kind.name,
    )


def said_of(answer: Optional[Mapping[str, Any]], kind: Kind) -> Dict[str, Any]:
    """What the check has said of a host, or why it has said nothing."""
    if answer and isinstance(answer.get(kind.name), Mapping):
        return dict(answer[kind.name])
    # The task came to no end on this host: Ansible itself could not reach it, or stopped at its variables.
    reason = str((answer or {}).get("msg") or "the check did not run on it")
    status, rule = (UNREACHABLE, HOST_UNREACHABLE) if (answer or {}).get("unreachable") else (FAILED, HOST_FAILED)
    finding = Finding("host", "", "error", " ".join(reason.split()), cure="see what Ansible said above", rule=rule)
    return {"status": status, "findings": [to_wire(finding)]}


def _time(seconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, tz=datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def verdict(report: Report) -> Tuple[str, str]:
    """IN_STEP, DRIFT or NOT_ASKED, and a sentence that says how many hosts are what.

    A group that is outside its target counts as its hosts do: each of them may have had too little traffic to tell.
    """
    lost = (*report.by_status(UNREACHABLE), *report.by_status(FAILED))
    outside = report.by_status(DRIFT) or [entry for entry in report.groups if entry.verdict == NOT_MET]
    return (NOT_ASKED if lost else DRIFT if outside else IN_STEP), summary(report)
