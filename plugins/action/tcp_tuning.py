# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Policy on the controller: compose, observe, resolve, render, plan; the host is visited again only to change it."""

from __future__ import annotations

from typing import Any, Dict, Optional

from ansible.plugins.action import ActionBase

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import NetfleetError, host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._exit import failure
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Observed, from_wire, to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._plan import make_plan, refusal
from ansible_collections.netfleet.tcp.plugins.module_utils._result import result
from ansible_collections.netfleet.tcp.plugins.plugin_utils._declaration import declare, unknown_variables, validated
from ansible_collections.netfleet.tcp.plugins.plugin_utils._template import renderer


class ActionModule(ActionBase):
    """One visit to look, and a second one only where something differs."""

    _supports_check_mode = True
    _supports_diff = True
    _requires_connection = True

    def run(self, tmp: Optional[str] = None, task_vars: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        """The task's result, in the shape that _result gives it."""
        answer: Dict[str, Any] = super().run(tmp, task_vars)
        try:
            answer.update(self._converge(validated(self._task.args), task_vars or {}))
        except NetfleetError as error:
            answer.update(failed=True, **failure(error))
        if not self._task.diff:
            answer.pop("diff", None)
        return answer

    def _converge(self, arguments: Dict[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        declaration = declare(arguments)
        answer: Dict[str, Any] = self._execute_module(
            module_name="netfleet.tcp.tcp_facts", module_args=declaration.request(), task_vars=task_vars
        )
        answer.pop("invocation", None)
        if answer.get("failed") or "ansible_facts" not in answer:
            return answer
        observed = from_wire(Observed, answer["ansible_facts"]["netfleet_tcp"])
        if not observed.root:
            # What an earlier run recorded is readable by root alone: without it, nothing below would be true.
            raise host_error("", "this user is not root on the host", "use become")
        resolved = declaration.resolve(observed)
        desired = declaration.desired(observed, resolved, renderer(self, arguments.get("template"), task_vars))
        plan = make_plan(desired, observed)
        own_findings = [*unknown_variables(task_vars), *resolved.findings]
        findings = [*own_findings, *plan.findings]
        refused = refusal(findings)
        if plan.changes and not refused and not self._task.check_mode:
            answer = self._execute_module(
                module_name="netfleet.tcp.tcp_apply",
                module_args={"desired": to_wire(desired), "secrets": dict(declaration.secrets)},
                task_vars=task_vars,
            )
            answer.pop("invocation", None)
        else:
            answer = result(desired, observed, plan)
        if refused:
            # What runs has not changed: before and after would bury the reason.
            answer = {key: value for key, value in answer.items() if key not in ("before", "after")}
            answer.update(failed=True, changed=False, **failure(refused))
        answer["findings"] = [to_wire(finding) for finding in findings]
        # Those of the plan are said by result, or by the module.
        said = [str(finding) for finding in own_findings if finding.severity == "warning"]
        answer["warnings"] = said + list(answer.get("warnings") or [])
        return answer
