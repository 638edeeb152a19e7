# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One look at a host's TCP, judged by the targets of its profile. Never fails a host: the report says what it found."""

from __future__ import annotations

import os
from typing import Any, Dict

from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import UNLISTED
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding, from_wire
from ansible_collections.netfleet.tcp.plugins.plugin_utils._check_action import module_failed
from ansible_collections.netfleet.tcp.plugins.plugin_utils._health_action import HealthAction, know_groups, limits
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
from ansible_collections.netfleet.tcp.plugins.plugin_utils._health_variables import asked_of
from ansible_collections.netfleet.tcp.plugins.plugin_utils._host_variables import declared_by
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_kinds import HEALTH_CHECK
from ansible_collections.netfleet.tcp.plugins.plugin_utils._waivers import read_waivers

# Judged whatever the traffic, by the sockets that are there.
_BY_SOCKETS = ("window_scale", "ports", "backlog", "loopback")


class ActionModule(HealthAction):
    """Ask, look, hand on what was measured and found."""

    kind = HEALTH_CHECK

    def look(self, task_vars: Dict[str, Any]) -> Dict[str, Any]:
        """Look at the host once."""
        # Options come before the variables of the host, by the same names.
        given = {**self.declared(PREFIX, (*SETTINGS, *OF_THE_RUN), task_vars), **self._task.args}
        run = {name: given.pop(name) for name in OF_THE_RUN if name in given}
        subjects = self.called_for(run, task_vars)
        know_groups(run.get("groups"), PREFIX + "groups", task_vars)
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
        said = [*answer["limits"], *(["sample: %s; counted over the interval" % unusable] if unusable else [])]
        findings = [from_wire(Finding, entry) for entry in answer["findings"]]
        findings += limits(said, PREFIX, (*SETTINGS, *OF_THE_RUN), task_vars)
        always = () if UNLISTED in answer["limits"] else _BY_SOCKETS
        return {
            "profile": profile,
            "kernel": answer["kernel"],
            **self.judged(looked(answer), findings, subjects, waivers, task_vars, always),
        }
