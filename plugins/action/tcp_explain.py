# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Says where the values of keys come from on a host, in one read-only visit."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from ansible.plugins.action import ActionBase

from ansible_collections.netfleet.tcp.plugins.module_utils._catalogue_index import INDEX, suggestion
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import NetfleetError, input_error
from ansible_collections.netfleet.tcp.plugins.module_utils._exit import failure
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Observed, from_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._values import key_name
from ansible_collections.netfleet.tcp.plugins.plugin_utils._declaration import ARGUMENTS, declare
from ansible_collections.netfleet.tcp.plugins.plugin_utils._explain import explain

_SPECIFICATION = {
    "tcp_tuning": {"type": "dict", "required": True, "options": ARGUMENTS},
    "keys": {"type": "list", "elements": "str", "required": True, "no_log": False},
}
_COLOURS = {"title": "bright blue", "changed": "yellow", "ok": "green", "plain": None}


class ActionModule(ActionBase):
    """Compose, observe, resolve, tell."""

    _supports_check_mode = True
    _requires_connection = True

    def run(self, tmp: Optional[str] = None, task_vars: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        """The task's result; the answer is also printed."""
        answer: Dict[str, Any] = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(argument_spec=_SPECIFICATION)
        try:
            answer.update(self._explain(arguments, task_vars or {}))
        except NetfleetError as error:
            answer.update(failed=True, **failure(error))
        return answer

    def _explain(self, arguments: Dict[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        names = [key_name(name) for name in arguments["keys"] if name.strip()]
        if not names:
            raise input_error("key", "is not given", "-e key=net.ipv4.tcp_rmem")
        declaration = declare(arguments["tcp_tuning"])
        request = declaration.request()
        request["keys"] = sorted({*request["keys"], *names})
        seen: Dict[str, Any] = self._execute_module(
            module_name="netfleet.tcp.tcp_facts", module_args=request, task_vars=task_vars
        )
        seen.pop("invocation", None)
        if seen.get("failed") or "ansible_facts" not in seen:
            return seen
        observed = from_wire(Observed, seen["ansible_facts"]["netfleet_tcp"])
        unknown = [name for name in names if observed.keys[name].running is None and name not in INDEX]
        unknown = [name for name in unknown if not observed.keys[name].boot]
        if unknown:
            cure = suggestion(unknown[0], INDEX)
            raise input_error(unknown[0], "neither this kernel nor the catalogue knows it", cure)
        resolved = declaration.resolve(observed)
        told: List[str] = []
        for name in names:
            lines = explain(name, declaration.intent, resolved, observed)
            told += [text for _style, text in lines]
            self._say(str(task_vars["inventory_hostname"]), lines)
        return {"changed": False, "explained": told}

    def _say(self, host: str, lines: Any) -> None:
        for number, (style, text) in enumerate(lines):
            self._display.display("%s: %s" % (host, text) if number == 0 else text, color=_COLOURS[style])
