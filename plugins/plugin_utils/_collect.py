# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what netfleet.tcp.drift said of each host to the report of the fleet. Pure; runs on the controller alone."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Dict, List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding, from_wire, to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._rules import HOST_FAILED, HOST_UNREACHABLE, SUBJECTS
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import (
    DRIFT,
    FAILED,
    IN_STEP,
    UNREACHABLE,
    HostState,
    Report,
)


def collect(answers: Mapping[str, Optional[Mapping[str, Any]]], threshold: str, now: float, version: str) -> Report:
    """The report. answers: by host, the task's result, or None where there is none. now: seconds since the epoch."""
    hosts: List[HostState] = []
    findings: List[Finding] = []
    subjects: List[str] = []
    started = now
    for name, answer in answers.items():
        said = _said(answer)
        own = tuple(replace(from_wire(Finding, entry), host=name) for entry in said["findings"])
        draft = Report("", "", threshold, (), own)
        status = str(said["status"])
        if status not in (UNREACHABLE, FAILED):
            status = DRIFT if any(draft.counts(finding) for finding in own) else IN_STEP
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
        subjects=tuple(subject for subject in SUBJECTS if subject in subjects),
    )


def _said(answer: Optional[Mapping[str, Any]]) -> Dict[str, Any]:
    if answer and isinstance(answer.get("drift"), Mapping):
        return dict(answer["drift"])
    # The task came to no end on this host: Ansible itself could not reach it, or stopped at its variables.
    reason = str((answer or {}).get("msg") or "the check did not run on it")
    status, rule = (UNREACHABLE, HOST_UNREACHABLE) if (answer or {}).get("unreachable") else (FAILED, HOST_FAILED)
    finding = Finding("host", "", "error", " ".join(reason.split()), cure="see what Ansible said above", rule=rule)
    return {"status": status, "findings": [to_wire(finding)]}


def _time(seconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, tz=datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def verdict(report: Report) -> Tuple[str, str]:
    """in_step, drift or not_asked, and a sentence that says how many hosts are what."""
    drifted, lost = report.by_status(DRIFT), (*report.by_status(UNREACHABLE), *report.by_status(FAILED))
    text = "%d of %d hosts in step, %d drifted, %d could not be asked" % (
        len(report.by_status(IN_STEP)),
        len(report.hosts),
        len(drifted),
        len(lost),
    )
    return ("not_asked" if lost else "drift" if drifted else "in_step"), text
