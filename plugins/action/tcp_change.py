# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The steps of a change as tasks of their own, so that a health gate stands between the change and its confirmation."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Dict

from ansible.errors import AnsibleConnectionFailure

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import host_error, input_error
from ansible_collections.netfleet.tcp.plugins.module_utils._model import to_wire
from ansible_collections.netfleet.tcp.plugins.plugin_utils._declaration import declare, validated
from ansible_collections.netfleet.tcp.plugins.plugin_utils._run_settings import checked_settings
from ansible_collections.netfleet.tcp.plugins.plugin_utils._tuning import TuningAction

_STEPS = ("look", "make", "end")


class ActionModule(TuningAction):
    """look at every host; make the change; end it, one way or the other."""

    def work(self, given: Dict[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        """One step."""
        step = given.get("step")
        if step not in _STEPS:
            raise input_error("step", "%r is none" % (step,), "one of: %s" % ", ".join(_STEPS))
        arguments = validated(given.get("declaration") or {})
        if step == "look":
            return self._look_step(arguments, given.get("settings") or {}, task_vars)
        if step == "make":
            return self._make_step(arguments, given, task_vars)
        return self._end_step(arguments, given, task_vars)

    def run_uuid(self) -> str:
        """The schedule's, which all tasks and hosts of the run share."""
        return str(self._task.args.get("run") or super().run_uuid())

    def _look_step(
        self, arguments: Dict[str, Any], settings: Mapping[str, Any], task_vars: Dict[str, Any]
    ) -> Dict[str, Any]:
        run = checked_settings(settings, int(arguments["confirm"]))
        look = self.look(arguments, task_vars, counters=bool(run["watched"]))
        answer = self.seen(look)
        answer.update(counters=dict(look.counters), looked_at=time.time())
        if look.to_change:
            # What the later plays need to know; the schedule is made of it.
            answer["to_change"] = {
                "desired": to_wire(look.desired),
                "settings": run,
                "window": int(arguments["confirm"]),
                "profile": look.declaration.intent.profile,
                "groups": sorted(task_vars.get("group_names") or ()),
            }
            if not self._task.check_mode:
                # It shows, and counts, once it is made.
                answer["changed"] = False
                answer.pop("diff", None)
        return answer

    def _make_step(self, arguments: Dict[str, Any], given: Dict[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        planned = given.get("planned") or {}
        if "desired" not in planned:
            raise host_error("", "nothing is planned for this host", "run netfleet.tcp.tune, which looks first")
        asked = time.time()
        answer = self._made(arguments, planned, task_vars)
        if answer.get("failed"):
            # The others of the wave go on, and are judged and ended with it; this one fails at the end.
            kept = {name: answer[name] for name in ("msg", "problems") if name in answer}
            said = ["could not be changed: %s" % kept.get("msg", "")]
            answer = {"changed": False, "not_made": {**kept, "failed": True}, "warnings": said}
        answer["asked_at"] = asked
        return answer

    def _made(self, arguments: Dict[str, Any], planned: Mapping[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        counters = bool(planned["settings"]["watched"])
        window, secrets = int(arguments["confirm"]), declare(arguments).secrets
        try:
            answer = self.change(planned["desired"], secrets, window, task_vars, counters=counters)
        except AnsibleConnectionFailure as error:
            answer = {"failed": True, "msg": str(error)}
        if answer.get("failed") or answer.get("changes"):
            self.log(arguments["log"], task_vars, answer)
        return answer

    def _end_step(self, arguments: Dict[str, Any], given: Dict[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        made = dict(given.get("made") or {})
        if made.get("not_made"):
            return {"changed": False, **made["not_made"]}
        reached = str(task_vars["inventory_hostname"]) in (given.get("reached") or ())
        return self.end_of(made, task_vars, str(given.get("not_kept") or ""), arguments["log"], reached)
