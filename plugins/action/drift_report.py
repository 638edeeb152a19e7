# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Says what a drift check found over all hosts of the play, writes the reports, and decides the exit status."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import Any, Dict, Optional

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import NetfleetError
from ansible_collections.netfleet.tcp.plugins.module_utils._exit import failure
from ansible_collections.netfleet.tcp.plugins.module_utils._rules import SEVERITIES
from ansible_collections.netfleet.tcp.plugins.plugin_utils._call import check_call
from ansible_collections.netfleet.tcp.plugins.plugin_utils._collect import collect, verdict
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import Report, compare
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_files import (
    FILES,
    collection_version,
    read_report,
    write_reports,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_text import lines

_SPECIFICATION = {
    "threshold": {"type": "str", "choices": list(SEVERITIES), "default": "warning"},
    "directory": {"type": "path", "default": ""},
    "formats": {"type": "list", "elements": "str", "choices": list(FILES), "default": list(FILES)},
    "compare": {"type": "path", "default": ""},
    "variable": {"type": "str", "default": "__tcp_tuning_drift"},
}
_COLOURS = {"title": None, "changed": "yellow", "ok": "green", "failed": "red", "plain": None}


class ActionModule(ActionBase):
    """Collects, compares, prints, writes. Runs once for a play, on the controller."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: Optional[str] = None, task_vars: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        """The task's result: failed where hosts drifted, unreachable where one could not be asked."""
        answer: Dict[str, Any] = super().run(tmp, task_vars)
        try:
            check_call(self._task.args, ())
            _validated, arguments = self.validate_argument_spec(argument_spec=_SPECIFICATION)
            answer.update(self._report(arguments, task_vars or {}))
        except NetfleetError as error:
            # Not a failure, which would be taken for drift: nothing is known of the hosts.
            answer.update(unreachable=True, **failure(error))
        except AnsibleError as error:
            answer.update(unreachable=True, msg=str(error))
        return answer

    def _report(self, arguments: Dict[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        # Read before anything is written: the earlier report may be the file that this run replaces.
        earlier = self._earlier(arguments["compare"])
        hostvars = task_vars["hostvars"]
        answers = {name: hostvars[name].get(arguments["variable"]) for name in task_vars["ansible_play_hosts_all"]}
        report = collect(answers, arguments["threshold"], time.time(), collection_version())
        if earlier:
            report = replace(report, comparison=compare(earlier, report))
        self._say(report)
        paths = []
        if arguments["directory"]:
            paths = write_reports(report, os.path.abspath(arguments["directory"]), arguments["formats"])
            self._display.display("Reports: %s" % ", ".join(paths))
        status, text = verdict(report)
        answer = {"changed": False, "reports": paths, "msg": text, "verdict": status}
        if status != "in_step":
            # Ansible prints it, and counts it in its recap, for the first host of the play alone.
            answer["msg"] = "the whole check: %s (the report above says which hosts)" % text
        # Ansible's own exit status for each: 4 where a host was unreachable, 2 where a task failed.
        answer.update({"not_asked": {"unreachable": True}, "drift": {"failed": True}, "in_step": {}}[status])
        return answer

    def _earlier(self, path: str) -> Optional[Report]:
        """The report to compare with. Without it there is a report all the same: on a first night there is no other."""
        if not path:
            return None
        try:
            return read_report(path)
        except NetfleetError as error:
            self._display.warning("nothing is compared: %s" % error)
        return None

    def _say(self, report: Report) -> None:
        self._display.banner("TCP DRIFT")
        for style, text in lines(report):
            self._display.display(text, color=_COLOURS[style])
