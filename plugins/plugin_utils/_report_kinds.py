# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of check that end in a report, as data: their words, subjects and rules. Pure; on the controller alone.

All formats of report are written by the same code; what it says of one kind or another stands here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Dict, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._rules import (
    DECLARATION,
    DIAGNOSE_RULES,
    DIAGNOSE_SUBJECTS,
    HEALTH_LIMIT,
    HEALTH_RULES,
    HEALTH_SUBJECTS,
    HOST_FAILED,
    HOST_UNREACHABLE,
    PROBE_RULES,
    PROBE_SUBJECTS,
    RULE_INDEX,
    RULES,
    SUBJECTS,
    WAIVER_EXPIRED,
    Rule,
)

# What became of a host, whatever the kind. NOT_ENOUGH: it was asked, and there is too little to judge it by.
IN_STEP = "in_step"
DRIFT = "drift"
NOT_ENOUGH = "not_enough_traffic"
UNREACHABLE = "unreachable"
FAILED = "failed"


@dataclass(frozen=True)
class Kind:
    """A kind of check.

    name: of its files (drift.json), variables (tcp_drift_...) and results. title: of all that it prints. within,
    outside: what is said of a host on which nothing counts, and on which something does; counts: what that is. few: of
    a host with too little to judge; empty where there is no such thing. may: what may have happened to a host of which
    nothing is known. statuses: as the JSON report calls them. values: what a finding's intended, running and boot are
    called; empty where there is none. files: whether findings are about files of the host.
    differs: what is said of a value that is not the intended one. called: what it is, where that is no check.
    """

    name: str
    title: str
    within: str
    outside: str
    counts: str
    subjects: Tuple[str, ...]
    rules: Tuple[Rule, ...]
    statuses: Dict[str, str]
    few: str = ""
    may: str = ""
    files: bool = True
    differs: str = "differs"
    called: str = ""
    values: Tuple[str, str, str] = ("intended", "running", "next boot")

    @property
    def prefix(self) -> str:
        """What the names of its variables begin with."""
        return "tcp_%s_" % self.name

    @property
    def check(self) -> str:
        """What it is called in a sentence that begins with it."""
        return self.called or "%s check" % self.name.capitalize()


DRIFT_CHECK = Kind(
    name="drift",
    title="TCP drift",
    within="in step",
    outside="drifted",
    counts="drift",
    subjects=SUBJECTS,
    rules=RULES,
    statuses={name: name for name in (IN_STEP, DRIFT, UNREACHABLE, FAILED)},
    may="have drifted",
)
HEALTH_CHECK = Kind(
    name="health",
    title="TCP health",
    within="within targets",
    outside="outside targets",
    counts="outside",
    subjects=HEALTH_SUBJECTS,
    rules=(*HEALTH_RULES, *(RULE_INDEX[name] for name in (DECLARATION, WAIVER_EXPIRED, HOST_UNREACHABLE, HOST_FAILED))),
    statuses={
        IN_STEP: "within",
        DRIFT: "outside",
        NOT_ENOUGH: NOT_ENOUGH,
        UNREACHABLE: UNREACHABLE,
        FAILED: FAILED,
    },
    few="with too little traffic to judge",
    may="be outside targets",
    files=False,
    differs="outside",
    values=("target", "measured", ""),
)
PROBE_CHECK = replace(
    HEALTH_CHECK,
    name="probe",
    title="TCP probe",
    subjects=PROBE_SUBJECTS,
    rules=(
        *PROBE_RULES,
        *(RULE_INDEX[name] for name in (HEALTH_LIMIT, DECLARATION, WAIVER_EXPIRED, HOST_UNREACHABLE, HOST_FAILED)),
    ),
    few="with too few connections to judge",
)
DIAGNOSE_CHECK = Kind(
    name="diagnose",
    title="TCP diagnosis",
    within="without a finding",
    outside="with findings",
    counts="findings",
    subjects=DIAGNOSE_SUBJECTS,
    rules=(*DIAGNOSE_RULES, *(RULE_INDEX[name] for name in (HEALTH_LIMIT, HOST_UNREACHABLE, HOST_FAILED))),
    statuses={IN_STEP: "nothing_found", DRIFT: "found", UNREACHABLE: UNREACHABLE, FAILED: FAILED},
    may="have faults",
    called="Diagnosis",
    files=False,
    differs="found",
    values=("expected", "found", ""),
)
KINDS: Dict[str, Kind] = {kind.name: kind for kind in (DRIFT_CHECK, HEALTH_CHECK, PROBE_CHECK, DIAGNOSE_CHECK)}
_OF_SUBJECT = {subject: kind for kind in reversed(tuple(KINDS.values())) for subject in kind.subjects}


def value_names(subject: str) -> Tuple[str, str, str]:
    """What the intended, running and boot value of a finding on a subject are called."""
    return _OF_SUBJECT.get(subject, DRIFT_CHECK).values
