# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads a host's TCP counters, over a new connection if that is asked for; a host that is lost is told, not failed."""

from __future__ import annotations

import time
from typing import Any, Dict, Optional

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.netfleet.tcp.plugins.plugin_utils._confirmation import fresh, persist

# Seconds for which a host that does not answer is asked again.
_PATIENCE = 10.0


class ActionModule(ActionBase):
    """One visit."""

    _supports_check_mode = True
    _requires_connection = True

    def run(self, tmp: Optional[str] = None, task_vars: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        """The module's result; lost says why the host could not be asked."""
        answer: Dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        new, until = bool(arguments.pop("fresh", False)), float(arguments.pop("until", 0) or 0)
        left = until - time.time() if until else _PATIENCE
        if left <= 0:
            # Not asked at all, it may be as well as any.
            return {**answer, "changed": False}

        def attempt() -> Dict[str, Any]:
            if new:
                fresh(self._connection)
            found: Dict[str, Any] = self._execute_module(
                module_name="netfleet.tcp.tcp_counters", module_args=arguments, task_vars=task_vars
            )
            return found

        try:
            found = persist(attempt, min(left, _PATIENCE))
        except AnsibleError as error:
            return {**answer, "changed": False, "lost": str(error)}
        if found.get("failed") or "counters" not in found:
            # One task reads many hosts: it would fail for all of them.
            why = str(found.get("msg") or found.get("module_stderr") or "it gave no counters").strip()
            return {**answer, "changed": False, "lost": why}
        found.pop("invocation", None)
        return {**answer, **found}
