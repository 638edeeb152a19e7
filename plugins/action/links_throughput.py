# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Says which transfers show what a link costs, and what became of them. Visits no host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Dict, Optional

from ansible.plugins.action import ActionBase

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import NetfleetError, host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._exit import failure
from ansible_collections.netfleet.tcp.plugins.module_utils._model import to_wire
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_analysis import analysed
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_run import declared
from ansible_collections.netfleet.tcp.plugins.plugin_utils._throughput import (
    TUNNEL,
    UNDERLAY,
    arguments,
    lines,
    measurement,
    parse_iperf3,
    ratio,
)

_SPECIFICATION = {
    "declaration": {"type": "dict", "required": True},
    "options": {"type": "dict", "default": {}},
    "answers": {"type": "list", "elements": "str", "default": []},
}


class ActionModule(ActionBase):
    """Without answers, what to do; with them, what they say."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: Optional[str] = None, task_vars: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        """The task's result; what was measured is also printed."""
        answer: Dict[str, Any] = super().run(tmp, task_vars)
        _validated, given = self.validate_argument_spec(argument_spec=_SPECIFICATION)
        try:
            answer.update(self._answer(given, task_vars or {}))
        except NetfleetError as error:
            answer.update(failed=True, **failure(error))
        return answer

    def _answer(self, given: Mapping[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        wanted = arguments(given["options"])
        plan = measurement(analysed(declared(given["declaration"], task_vars)), wanted)
        if not given["answers"]:
            return {"changed": False, "seconds": wanted["seconds"], **to_wire(plan)}
        if len(given["answers"]) != len(plan.ways):
            raise host_error("answers", "%d of %d are there" % (len(given["answers"]), len(plan.ways)))
        found = {way.name: parse_iperf3(text) for way, text in zip(plan.ways, given["answers"], strict=True)}
        told = lines(wanted, plan.interface, found[TUNNEL], found[UNDERLAY])
        for line in told:
            self._display.display(line)
        return {
            "changed": False,
            "tunnel": to_wire(found[TUNNEL]),
            "underlay": to_wire(found[UNDERLAY]),
            "ratio": ratio(found[TUNNEL], found[UNDERLAY]),
        }
