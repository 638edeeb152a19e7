# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the actions that tune a host share: they compose, look, resolve and plan."""

from __future__ import annotations

from typing import Any, Dict

from ansible_collections.netfleet.tcp.plugins.module_utils._plan import make_plan, refusal
from ansible_collections.netfleet.tcp.plugins.plugin_utils._change_action import ChangeAction, Look
from ansible_collections.netfleet.tcp.plugins.plugin_utils._declaration import declare, unknown_variables
from ansible_collections.netfleet.tcp.plugins.plugin_utils._template import renderer


class TuningAction(ChangeAction):
    """The road of a change of TCP's tuning."""

    def look(self, arguments: Dict[str, Any], task_vars: Dict[str, Any], counters: bool = False) -> Look:
        """Compose, look, resolve, plan. LookError, or HostError where nothing could be planned."""
        declaration = declare(arguments)
        request = {**declaration.request(), "counters": counters}
        observed, answer = self.observe(request, task_vars)
        resolved = declaration.resolve(observed)
        desired = declaration.desired(observed, resolved, renderer(self, arguments.get("template"), task_vars))
        plan = make_plan(desired, observed)
        own = (*unknown_variables(task_vars), *resolved.findings)
        refused = refusal([*own, *plan.findings])
        return Look(declaration, observed, desired, plan, own, refused, answer.get("counters") or {})
