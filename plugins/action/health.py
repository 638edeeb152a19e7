# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One look at a host's TCP, judged by the targets of its profile. Never fails a host: the report says what it found."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Dict

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import input_error
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import MET, NOT_MET
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import NOT_ENOUGH as FEW
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding, from_wire, to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._rules import HEALTH_LIMIT
from ansible_collections.netfleet.tcp.plugins.plugin_utils._arguments import unknown_names
from ansible_collections.netfleet.tcp.plugins.plugin_utils._call import listed
from ansible_collections.netfleet.tcp.plugins.plugin_utils._check_action import (
    ASKED,
    CheckAction,
    module_failed,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._findings import merged
from ansible_collections.netfleet.tcp.plugins.plugin_utils._health_check import (
    OF_THE_RUN,
    PREFIX,
    SETTINGS,
    checked,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._health_measures import looked
from ansible_collections.netfleet.tcp.plugins.plugin_utils._health_samples import (
    keep_sample,
    make_directory,
    read_sample,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._health_variables import asked_of, declared_by
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_kinds import HEALTH_CHECK, NOT_ENOUGH
from ansible_collections.netfleet.tcp.plugins.plugin_utils._waivers import read_waivers

# Judged whatever the traffic.
_ALWAYS = ("window_scale", "ports", "backlog")


class ActionModule(CheckAction):
    """Ask, look, hand on what was measured and found."""

    kind = HEALTH_CHECK

    def look(self, task_vars: Dict[str, Any]) -> Dict[str, Any]:
        """Look at the host once."""
        # Options come before the variables of the host, by the same names.
        given = {**self.declared(PREFIX, (*SETTINGS, *OF_THE_RUN), task_vars), **self._task.args}
        run = {name: given.pop(name) for name in OF_THE_RUN if name in given}
        subjects = self.called_for(run, task_vars)
        _know_groups(run.get("groups"), task_vars)
        settings = checked(given)
        waivers = read_waivers(settings["waivers"], PREFIX + "waivers", self.kind.subjects)
        host = str(task_vars["inventory_hostname"])
        profile, arguments = asked_of(settings, declared_by(self._templar, task_vars), task_vars)
        samples = os.path.abspath(os.path.expanduser(settings["samples"])) if settings["samples"] else ""
        sample, unusable = read_sample(samples, host) if samples else ({}, "")
        if sample:
            arguments.update(since=sample, interval=0.0)
        keeps = bool(samples) and settings["keep_samples"] and not self._task.check_mode
        if keeps:
            make_directory(samples)
        answer = self._execute_module(
            module_name="netfleet.tcp.tcp_health_info", module_args=arguments, task_vars=task_vars
        )
        if answer.get("failed") or "indicators" not in answer:
            return module_failed(answer)
        if keeps:
            keep_sample(samples, host, answer["sample"])
        kept = looked(answer)
        measures = [entry for entry in kept.measures(host) if entry.subject in subjects]
        judged = [entry.subject for entry in measures if entry.verdict in (MET, NOT_MET)]
        # Too little for a finding that a waiver could hide, and yet a part of what the host's group comes to.
        few = [Finding(entry.subject, entry.key, "note", "") for entry in measures if entry.verdict == FEW]
        findings = [from_wire(Finding, entry) for entry in answer["findings"]]
        findings += _limits(answer, unusable, task_vars)
        return {
            # Where no indicator is asked for, none lacks traffic.
            "status": ASKED if judged or set(subjects) <= set(_ALWAYS) else NOT_ENOUGH,
            "profile": profile,
            "kernel": answer["kernel"],
            "subjects": list(subjects),
            "checked": {
                name: count for name in subjects for count in [judged.count(name) or int(name in _ALWAYS)] if count
            },
            "findings": self.kept(findings, subjects, waivers, task_vars),
            "tolerated": [
                [entry["subject"], entry["key"]]
                for entry in self.kept(few, subjects, waivers, task_vars)
                if entry["waiver"]
            ],
            "looked": to_wire(kept),
        }


def _know_groups(given: Any, task_vars: Mapping[str, Any]) -> None:
    """InputError where a group is asked for that there is not. given: a list, or names with commas between them."""
    unknown = [name for name in listed(given) if name not in task_vars["groups"]]
    if unknown:
        raise input_error(
            PREFIX + "groups", "%s: there is no such group" % ", ".join(unknown), "groups of the inventory"
        )


def _limits(answer: Mapping[str, Any], unusable: str, task_vars: Mapping[str, Any]) -> Iterator[Finding]:
    """What could not be looked at, as notes; variables that there are not, as warnings."""
    said = [*answer["limits"], *(["sample: %s; counted over the interval" % unusable] if unusable else [])]
    yield from merged(
        Finding("host", key, "note", reason.strip() or text, rule=HEALTH_LIMIT)
        for text in said
        for key, _colon, reason in [text.partition(":")]
    )
    for finding in unknown_names(task_vars, {PREFIX: (*SETTINGS, *OF_THE_RUN)}):
        yield replace(finding, subject="host")
