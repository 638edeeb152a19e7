# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings as reports tell them apart. Pure; runs on the controller alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Dict, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding


def merged(findings: Iterable[Finding]) -> Tuple[Finding, ...]:
    """The findings, those of one rule and key as one: by these a report tells them apart."""
    found: Dict[Tuple[str, str], Finding] = {}
    for finding in findings:
        there = found.get((finding.rule, finding.key))
        reason = "%s; %s" % (there.reason, finding.reason) if there else finding.reason
        found[finding.rule, finding.key] = replace(there or finding, reason=reason)
    return tuple(found.values())
