# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Policy on the controller: compose, observe, resolve, render, plan; the host is visited again only to change it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Dict, List, Optional

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint import describe_end
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import NetfleetError, host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._exit import failure
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Desired, Observed, from_wire, to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._plan import make_plan, refusal
from ansible_collections.netfleet.tcp.plugins.module_utils._result import result
from ansible_collections.netfleet.tcp.plugins.plugin_utils._confirmation import author, confirm, run_id
from ansible_collections.netfleet.tcp.plugins.plugin_utils._declaration import (
    Declaration,
    declare,
    unknown_variables,
    validated,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._run_log import append, entry
from ansible_collections.netfleet.tcp.plugins.plugin_utils._template import renderer


class ActionModule(ActionBase):
    """One visit to look; two more only where something differs: to change it, and to confirm it over a new one."""

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
        if observed.pending and observed.pending.left:
            raise host_error(
                "change %s" % observed.pending.id,
                "is pending for %d s more, made by %s" % (observed.pending.left, observed.pending.author or "somebody"),
                "wait until it is confirmed or taken back, then run again",
            )
        resolved = declaration.resolve(observed)
        desired = declaration.desired(observed, resolved, renderer(self, arguments.get("template"), task_vars))
        plan = make_plan(desired, observed)
        own_findings = [*unknown_variables(task_vars), *resolved.findings]
        findings = [*own_findings, *plan.findings]
        refused = refusal(findings)
        if (plan.changes or observed.pending) and not refused and not self._task.check_mode:
            answer = self._logged(arguments["log"], task_vars, self._apply, desired, declaration, arguments["confirm"])
        else:
            answer = result(desired, observed, plan)
        if refused:
            # What runs has not changed: before and after would bury the reason.
            answer = {key: value for key, value in answer.items() if key not in ("before", "after")}
            answer.update(failed=True, changed=False, **failure(refused))
        answer["findings"] = [to_wire(finding) for finding in findings]
        # Those of the plan are said by result, or by the module.
        said = [str(finding) for finding in own_findings if finding.severity == "warning"]
        taken_back = describe_end(observed.last_change)
        said += [taken_back] if plan.changes and taken_back else []
        answer["warnings"] = said + list(answer.get("warnings") or [])
        return answer

    def _logged(
        self, log: str, task_vars: Dict[str, Any], work: Callable[..., Dict[str, Any]], *arguments: Any
    ) -> Dict[str, Any]:
        """The answer of the work, which also goes to the controller's log, whatever becomes of it."""
        try:
            answer = work(*arguments, task_vars)
        except AnsibleConnectionFailure as error:
            self._log(log, task_vars, {"failed": True, "msg": str(error), "change": {"outcome": "not confirmed"}})
            raise
        if answer.get("changes"):
            answer["warnings"] = [*(answer.get("warnings") or []), *self._log(log, task_vars, answer)]
        return answer

    def _log(self, log: str, task_vars: Dict[str, Any], answer: Dict[str, Any]) -> List[str]:
        if not log:
            return []
        line = entry(str(task_vars["inventory_hostname"]), "tune", author(), answer, time.time())
        try:
            append(log, {**line, "run": run_id(str(self._task._uuid))})
        except NetfleetError as error:
            return [str(error)]
        return []

    def _apply(
        self, desired: Desired, declaration: Declaration, window: int, task_vars: Dict[str, Any]
    ) -> Dict[str, Any]:
        """Change the host, and make the change final over a fresh connection."""
        answer: Dict[str, Any] = self._execute_module(
            module_name="netfleet.tcp.tcp_apply",
            module_args={
                "desired": to_wire(desired),
                "secrets": dict(declaration.secrets),
                "window": window,
                "author": author(),
                "run": run_id(str(self._task._uuid)),
            },
            task_vars=task_vars,
        )
        answer.pop("invocation", None)
        pending = answer.pop("pending", None)
        if not pending or answer.get("failed"):
            return answer
        answer["change"] = pending

        def execute() -> Dict[str, Any]:
            found: Dict[str, Any] = self._execute_module(
                module_name="netfleet.tcp.tcp_confirm", module_args={"change": pending["id"]}, task_vars=task_vars
            )
            return found

        ended = confirm(self._connection, execute, pending)
        if ended.get("failed") or "change" not in ended:
            # The host has taken it back, or does so when the time is over.
            ended.pop("invocation", None)
            ended.update(failed=True, changed=False, changes=answer.get("changes", []), change=pending)
            return ended
        answer["change"] = ended["change"]
        answer["warnings"] = [*(answer.get("warnings") or []), *(ended.get("warnings") or [])]
        return answer
