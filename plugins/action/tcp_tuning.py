# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Policy on the controller: compose, observe, resolve, render, plan; the host is visited again only to change it."""

from __future__ import annotations

from typing import Any, Dict

from ansible_collections.netfleet.tcp.plugins.module_utils._model import to_wire
from ansible_collections.netfleet.tcp.plugins.plugin_utils._change_action import Look
from ansible_collections.netfleet.tcp.plugins.plugin_utils._declaration import validated
from ansible_collections.netfleet.tcp.plugins.plugin_utils._tuning import TuningAction


class ActionModule(TuningAction):
    """One visit to look; two more only where something differs: to change it, and to confirm it over a new one."""

    def work(self, given: Dict[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        """The whole road in one task."""
        arguments = validated(given)
        look = self.look(arguments, task_vars)
        if not look.to_change or self._task.check_mode:
            return self.seen(look)
        window = int(arguments["confirm"])
        return self.told(
            look, self.logged(arguments["log"], task_vars, lambda: self._change_and_confirm(look, window, task_vars))
        )

    def _change_and_confirm(self, look: Look, window: int, task_vars: Dict[str, Any]) -> Dict[str, Any]:
        answer = self.change(to_wire(look.desired), look.declaration.secrets, window, task_vars)
        return self.end(answer, task_vars) if "change" in answer else answer
