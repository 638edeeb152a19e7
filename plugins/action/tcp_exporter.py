# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tells a host's exporter who is who and what is to be met, as the playbook health would be told."""

from __future__ import annotations

from typing import Any, Dict, Optional

from ansible.plugins.action import ActionBase

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import NetfleetError
from ansible_collections.netfleet.tcp.plugins.module_utils._exit import failure
from ansible_collections.netfleet.tcp.plugins.plugin_utils._health_check import PREFIX, SETTINGS, checked
from ansible_collections.netfleet.tcp.plugins.plugin_utils._health_variables import asked_of
from ansible_collections.netfleet.tcp.plugins.plugin_utils._host_variables import declared_by, groups

# What the variables of the playbook health say, unless the task does.
_OF_HEALTH = ("peers", "targets", "rtt_targets")


class ActionModule(ActionBase):
    """One visit to the host."""

    _supports_check_mode = True
    _supports_diff = True
    _requires_connection = True

    def run(self, tmp: Optional[str] = None, task_vars: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        """The module's result."""
        answer: Dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        try:
            arguments = self._arguments(variables)
        except NetfleetError as error:
            answer.update(failed=True, **failure(error))
            return answer
        found: Dict[str, Any] = self._execute_module(
            module_name="netfleet.tcp.tcp_exporter", module_args=arguments, task_vars=variables
        )
        found.pop("invocation", None)
        answer.update(found)
        if not self._task.diff:
            answer.pop("diff", None)
        return answer

    def _arguments(self, task_vars: Dict[str, Any]) -> Dict[str, Any]:
        given = dict(self._task.args)
        if given.get("state") == "absent":
            # Whatever is wrong with the variables, the exporter can be taken away.
            return given
        declared = declared_by(self._templar, task_vars)
        named = {name: given[name] for name in _OF_HEALTH if name in given}
        settings = checked({**declared(PREFIX, SETTINGS), **named})
        _profile, asked = asked_of(settings, declared, task_vars)
        return {"groups": groups(task_vars), **given, **{name: asked[name] for name in _OF_HEALTH}}
