# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Says where the values of keys come from on a host, in one read-only visit."""

from __future__ import annotations

import fnmatch
import re
from typing import Any, Dict, List, Optional

from ansible.plugins.action import ActionBase

from ansible_collections.netfleet.tcp.plugins.module_utils._catalogue_index import INDEX, suggestion
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import (
    InputError,
    NetfleetError,
    Problem,
    input_error,
)
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


def _meant(name: str) -> List[str]:
    """The keys of the catalogue that a pattern names; a name stands for itself."""
    found = [key for key in INDEX if fnmatch.fnmatchcase(key, name)] if re.search(r"[*?[]", name) else []
    return found or [name]


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
        names = [name for given in arguments["keys"] if given.strip() for name in _meant(key_name(given))]
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
        resolved = declaration.resolve(observed)
        told: List[str] = []
        for name in (name for name in names if name not in unknown):
            lines = explain(name, declaration.intent, resolved, observed)
            told += [text for _style, text in lines]
            self._say(str(task_vars["inventory_hostname"]), lines)
        if unknown:
            # Last, so that one that is mistyped keeps nobody from the answers to the others.
            text = "neither this kernel nor the catalogue knows it"
            raise InputError(Problem(name, text, suggestion(name, INDEX)) for name in unknown)
        return {"changed": False, "explained": told}

    def _say(self, host: str, lines: Any) -> None:
        for number, (style, text) in enumerate(lines):
            self._display.display("%s: %s" % (host, text) if number == 0 else text, color=_COLOURS[style])
