# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Takes changes of a host back, and keeps the controller's log of it."""

from __future__ import annotations

import time
from typing import Any, Dict, Optional

from ansible.plugins.action import ActionBase

from ansible_collections.netfleet.tcp.plugins.plugin_utils._confirmation import author, run_id
from ansible_collections.netfleet.tcp.plugins.plugin_utils._run_log import DEFAULT, entry, note


class ActionModule(ActionBase):
    """One visit to the host."""

    _supports_check_mode = True
    _requires_connection = True

    def run(self, tmp: Optional[str] = None, task_vars: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        """The module's result."""
        answer: Dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        given = self._task.args
        own = {"author": given.get("author") or author(), "run": given.get("run") or run_id(str(self._task._uuid))}
        arguments = {**given, **own}
        found: Dict[str, Any] = self._execute_module(
            module_name="netfleet.tcp.tcp_rollback", module_args=arguments, task_vars=variables
        )
        found.pop("invocation", None)
        answer.update(found)
        log = str(arguments.get("log", DEFAULT) or "")
        if (answer.get("changed") or answer.get("failed")) and not self._task.check_mode:
            line = entry(str(variables["inventory_hostname"]), "rollback", arguments["author"], answer, time.time())
            note(log, {**line, "run": arguments["run"], "taken_back": answer.get("taken_back", [])}, answer)
        return answer
