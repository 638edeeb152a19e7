# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the actions that change a host share: the change, its end over a fresh connection, the result, and the log."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint import describe_end, describe_wait
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError, NetfleetError, host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._exit import failure
from ansible_collections.netfleet.tcp.plugins.module_utils._model import (
    Desired,
    Finding,
    Observed,
    Plan,
    from_wire,
    to_wire,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._recap import NOT_CONFIRMED
from ansible_collections.netfleet.tcp.plugins.module_utils._result import result
from ansible_collections.netfleet.tcp.plugins.plugin_utils._confirmation import author, confirm, run_id
from ansible_collections.netfleet.tcp.plugins.plugin_utils._run_log import entry, note

# Seconds for which a host is asked to take a change back at once.
_TO_TAKE_BACK = 20.0
# What the task that makes a change leaves for the one that ends it, and nobody else asks for.
_OF_MAKING = ("diff", "counters", "asked_at", "wanted")
_LOST = "the connection was lost while the host was changed; it takes back by itself what it has begun: %s"


@dataclass(frozen=True)
class Look:
    """What one visit found of a host: what it shall be, what has to change, what stands in the way (refused)."""

    declaration: Any
    observed: Observed
    desired: Desired
    plan: Plan
    own_findings: Tuple[Finding, ...]
    refused: Optional[HostError]
    counters: Mapping[str, Any]

    @property
    def to_change(self) -> bool:
        """Whether the host has to be visited again: to be changed, or to settle what an earlier run has left."""
        return bool(self.plan.changes or self.observed.pending) and not self.refused


class LookError(Exception):
    """The module that looks has failed. answer: its result."""

    def __init__(self, answer: Dict[str, Any]) -> None:
        super().__init__()
        self.answer = answer


class ChangeAction(ActionBase):
    """The road of a change, in steps: an action takes them in one task, or one in each of several."""

    _supports_check_mode = True
    _supports_diff = True
    _requires_connection = True

    def run(self, tmp: Optional[str] = None, task_vars: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        """The task's result, in the shape that _result gives it."""
        answer: Dict[str, Any] = super().run(tmp, task_vars)
        try:
            answer.update(self.work(self._task.args, task_vars or {}))
        except LookError as stop:
            answer.update(stop.answer)
        except NetfleetError as error:
            answer.update(failed=True, **failure(error))
        if not self._task.diff:
            answer.pop("diff", None)
        return answer

    def work(self, given: Dict[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        """The result of the action proper. given: the task's arguments."""
        raise NotImplementedError

    def observe(self, request: Mapping[str, Any], task_vars: Dict[str, Any]) -> Tuple[Observed, Dict[str, Any]]:
        """What tcp_facts sees of the host, and its whole answer. LookError; HostError where nothing can be changed."""
        answer: Dict[str, Any] = self._execute_module(
            module_name="netfleet.tcp.tcp_facts", module_args=dict(request), task_vars=task_vars
        )
        answer.pop("invocation", None)
        if answer.get("failed") or "ansible_facts" not in answer:
            raise LookError(answer)
        observed = from_wire(Observed, answer["ansible_facts"]["netfleet_tcp"])
        if not observed.root:
            # What an earlier run recorded is readable by root alone: without it, nothing below would be true.
            raise host_error("", "this user is not root on the host", "use become")
        if observed.pending and observed.pending.left:
            raise host_error(
                "change %s" % observed.pending.id,
                describe_wait(observed.pending),
                "wait until it is confirmed or taken back, then run again",
            )
        return observed, answer

    def seen(self, look: Look) -> Dict[str, Any]:
        """The result where the host is only looked at, or is as declared."""
        return self.told(look, result(look.desired, look.observed, look.plan))

    @staticmethod
    def told(look: Look, answer: Dict[str, Any]) -> Dict[str, Any]:
        """A result with what the look has to say beside it."""
        if look.refused:
            # What runs has not changed: before and after would bury the reason.
            answer = {key: value for key, value in answer.items() if key not in ("before", "after")}
            answer.update(failed=True, changed=False, **failure(look.refused))
        answer["findings"] = [to_wire(finding) for finding in (*look.own_findings, *look.plan.findings)]
        # Those of the plan are said by result, or by the module.
        said = [str(finding) for finding in look.own_findings if finding.severity == "warning"]
        taken_back = describe_end(look.observed.last_change)
        said += [taken_back] if look.plan.changes and taken_back else []
        answer["warnings"] = said + list(answer.get("warnings") or [])
        return answer

    # What the action does, for the log.
    verb = "tune"
    # The change that was made, once there is one.
    pending: Optional[Dict[str, Any]] = None

    def change(
        self,
        desired: Mapping[str, Any],
        secrets: Mapping[str, str],
        window: int,
        task_vars: Dict[str, Any],
        **more: Any,
    ) -> Dict[str, Any]:
        """Change the running kernel. `change`, in the result, waits to be confirmed; it is missing if nothing does."""
        arguments = {"desired": desired, "secrets": dict(secrets), **more}
        return self.changed_by("netfleet.tcp.tcp_apply", arguments, window, task_vars)

    def changed_by(
        self, module: str, given: Mapping[str, Any], window: int, task_vars: Dict[str, Any], **more: Any
    ) -> Dict[str, Any]:
        """The same by a module that makes changes. given: what of its arguments is its own."""
        arguments = {
            **given,
            "window": window,
            "author": author(),
            "run": run_id(self.run_uuid()),
            **more,
        }
        try:
            answer: Dict[str, Any] = self._execute_module(
                module_name=module, module_args=arguments, task_vars=task_vars
            )
        except AnsibleConnectionFailure as error:
            raise AnsibleConnectionFailure(_LOST % error) from error
        answer.pop("invocation", None)
        pending = answer.pop("pending", None)
        if pending and not answer.get("failed"):
            answer["change"] = self.pending = pending
        return answer

    def run_uuid(self) -> str:
        """What all hosts of a run have in common."""
        return str(self._task._uuid)

    def end(
        self,
        changed: Dict[str, Any],
        task_vars: Dict[str, Any],
        not_kept: str = "",
        seconds: Optional[float] = None,
        reached: bool = False,
    ) -> Dict[str, Any]:
        """Make a change final over a fresh connection, or take it back (not_kept: why).

        changed: what change gave. seconds: for how long to try; by default, for the whole window. reached: see confirm.
        AnsibleConnectionFailure where the host could not be reached.
        """
        pending = self.pending = changed["change"]
        arguments = {"change": pending["id"], "keep": not not_kept, "why": not_kept}

        def execute() -> Dict[str, Any]:
            found: Dict[str, Any] = self._execute_module(
                module_name="netfleet.tcp.tcp_confirm", module_args=arguments, task_vars=task_vars
            )
            return found

        left = float(pending["window"]) if seconds is None else seconds
        ended = confirm(self._connection, execute, pending, left, reached=reached and not not_kept)
        if ended.get("failed") or "change" not in ended:
            # The host has taken it back, or does so when the time is over.
            ended.pop("invocation", None)
            ended.update(failed=True, changed=False, changes=changed.get("changes", []), change=self.not_confirmed())
            return ended
        said = [*(changed.get("warnings") or []), *(ended.get("warnings") or [])]
        answer = {**changed, "change": ended["change"], "warnings": said}
        if not_kept:
            # Nothing of it is there any more.
            answer = {key: value for key, value in answer.items() if key not in ("before", "after", "diff")}
            answer.update(failed=True, changed=False, msg="taken back: %s" % not_kept, problems=[not_kept])
        return answer

    def end_of(
        self, made: Dict[str, Any], task_vars: Dict[str, Any], not_kept: str, log: str, reached: bool = False
    ) -> Dict[str, Any]:
        """The end of a change that an earlier task has made (its result, with asked_at: seconds since the epoch).

        reached: a task since then has had a new connection to the host, which it left there.
        A host that is lost has failed, and is not unreachable: Ansible counts such a one twice, and goes on to the next
        wave.
        """
        if "change" not in made:
            return {"changed": False, "skipped": True, "skip_reason": "nothing waits to be confirmed"}
        left = float(made["asked_at"]) + float(made["change"]["window"]) - time.time()
        # What is to go goes by itself as well.
        seconds = max(0.0, min(left, _TO_TAKE_BACK) if not_kept else left)
        try:
            answer = self.end(made, task_vars, not_kept, seconds, reached)
        except AnsibleConnectionFailure as error:
            answer = {"failed": True, "msg": str(error), "change": self.not_confirmed(), "changes": made["changes"]}
        self.log(log, task_vars, answer)
        # Shown and counted when it was made.
        answer.update(changed=False)
        return {key: value for key, value in answer.items() if key not in _OF_MAKING}

    def logged(self, log: str, task_vars: Dict[str, Any], work: Callable[[], Dict[str, Any]]) -> Dict[str, Any]:
        """The answer of the work, which also goes to the controller's log, whatever becomes of it."""
        try:
            answer = work()
        except AnsibleConnectionFailure as error:
            self.log(log, task_vars, {"failed": True, "msg": str(error), "change": self.not_confirmed()})
            raise
        if answer.get("changes"):
            self.log(log, task_vars, answer)
        return answer

    def not_confirmed(self) -> Dict[str, Any]:
        """The change that was made and did not become final: the host has taken it back, or will."""
        return {**(self.pending or {}), "outcome": NOT_CONFIRMED}

    def log(self, log: str, task_vars: Dict[str, Any], answer: Dict[str, Any]) -> None:
        """A line for the controller's log; if that cannot be written, the answer gets a warning."""
        line = entry(str(task_vars["inventory_hostname"]), self.verb, author(), answer, time.time())
        note(log, {**line, "run": run_id(self.run_uuid())}, answer)
