# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What action plugins share that judge a host by the targets of TCP's health. Runs on the controller alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Dict, Optional

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import input_error
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import MET, NOT_MET
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import NOT_ENOUGH as FEW
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding, to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._rules import HEALTH_LIMIT
from ansible_collections.netfleet.tcp.plugins.plugin_utils._arguments import unknown_names
from ansible_collections.netfleet.tcp.plugins.plugin_utils._call import listed
from ansible_collections.netfleet.tcp.plugins.plugin_utils._check_action import ASKED, CheckAction
from ansible_collections.netfleet.tcp.plugins.plugin_utils._findings import merged
from ansible_collections.netfleet.tcp.plugins.plugin_utils._health_measures import Looked, with_measures
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import Report
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_action import ReportAction, report_options
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_kinds import NOT_ENOUGH, Kind
from ansible_collections.netfleet.tcp.plugins.plugin_utils._waivers import Tolerance


class HealthAction(CheckAction):
    """A visit that measures, and is judged by the targets of the host's profile."""

    def judged(
        self,
        kept: Looked,
        findings: Sequence[Finding],
        subjects: Sequence[str],
        waivers: Sequence[Tolerance],
        task_vars: Mapping[str, Any],
        always: Collection[str],
    ) -> Dict[str, Any]:
        """What the report needs to know of what was measured. always: subjects that are judged whatever the traffic."""
        host = str(task_vars["inventory_hostname"])
        measures = [entry for entry in kept.measures(host) if entry.subject in subjects]
        judged = [entry.subject for entry in measures if entry.verdict in (MET, NOT_MET)]
        # Too little for a finding that a waiver could hide, and yet a part of what the host's group comes to.
        few = [Finding(entry.subject, entry.key, "note", "") for entry in measures if entry.verdict == FEW]
        return {
            # Where no indicator is asked for, none lacks traffic.
            "status": ASKED if judged or set(subjects) <= set(always) else NOT_ENOUGH,
            "subjects": list(subjects),
            "checked": {
                name: count for name in subjects for count in [judged.count(name) or int(name in always)] if count
            },
            "findings": self.kept(findings, subjects, waivers, task_vars),
            "tolerated": [
                [entry["subject"], entry["key"]]
                for entry in self.kept(few, subjects, waivers, task_vars)
                if entry["waiver"]
            ],
            "looked": to_wire(kept),
        }


class HealthReportAction(ReportAction):
    """The report of such visits, with what was measured on hosts and groups."""

    def collected(self, answers: Mapping[str, Optional[Mapping[str, Any]]], arguments: Mapping[str, Any]) -> Report:
        """The report, with what was measured."""
        return with_measures(super().collected(answers, arguments), answers, arguments["groups"])


def health_report_options(kind: Kind, variable: str) -> Dict[str, Dict[str, Any]]:
    """What such a report takes. variable: where the results of the visits are registered."""
    return {**report_options(kind, variable), "groups": {"type": "list", "elements": "str", "default": []}}


def know_groups(given: Any, variable: str, task_vars: Mapping[str, Any]) -> None:
    """InputError where a group is asked for that there is not. given: a list, or names with commas between them."""
    unknown = [name for name in listed(given) if name not in task_vars["groups"]]
    if unknown:
        raise input_error(variable, "%s: there is no such group" % ", ".join(unknown), "groups of the inventory")


def limits(said: Iterable[str], prefix: str, names: Sequence[str], task_vars: Mapping[str, Any]) -> Iterator[Finding]:
    """What could not be looked at, as notes; variables that there are not, as warnings."""
    yield from merged(
        Finding("host", key, "note", reason.strip() or text, rule=HEALTH_LIMIT)
        for text in said
        for key, _colon, reason in [text.partition(":")]
    )
    for finding in unknown_names(task_vars, {prefix: names}):
        yield replace(finding, subject="host")
