# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What action plugins share that report on a check of all hosts, and decide the exit status.

Runs on the controller alone, after _check_action has visited the hosts.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Dict, Optional

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import NetfleetError
from ansible_collections.netfleet.tcp.plugins.module_utils._exit import failure
from ansible_collections.netfleet.tcp.plugins.module_utils._rules import SEVERITIES
from ansible_collections.netfleet.tcp.plugins.plugin_utils._call import check_call
from ansible_collections.netfleet.tcp.plugins.plugin_utils._collect import NOT_ASKED, collect, verdict
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import Report, compare
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_files import (
    collection_version,
    files,
    read_report,
    write_reports,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_kinds import DRIFT, IN_STEP, Kind
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_text import lines

_COLOURS = {"title": None, "changed": "yellow", "ok": "green", "failed": "red", "plain": None}


def report_options(kind: Kind, variable: str) -> Dict[str, Dict[str, Any]]:
    """What every report takes. variable: where the results of the visits are registered."""
    formats = list(files(kind))
    return {
        "threshold": {"type": "str", "choices": list(SEVERITIES), "default": "warning"},
        "directory": {"type": "path", "default": ""},
        "formats": {"type": "list", "elements": "str", "choices": formats, "default": formats},
        "compare": {"type": "path", "default": ""},
        "variable": {"type": "str", "default": variable},
    }


class ReportAction(ActionBase):
    """Collects, compares, prints, writes. Runs once for a play, on the controller."""

    _supports_check_mode = True
    _requires_connection = False
    kind: Kind
    specification: Dict[str, Dict[str, Any]]

    def run(self, tmp: Optional[str] = None, task_vars: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        """The task's result: failed where a finding counts, unreachable where a host could not be asked."""
        answer: Dict[str, Any] = super().run(tmp, task_vars)
        try:
            check_call(self._task.args, (), self.kind)
            _validated, arguments = self.validate_argument_spec(argument_spec=self.specification)
            answer.update(self._report(arguments, task_vars or {}))
        except NetfleetError as error:
            # Not a failure, which would be taken for drift: nothing is known of the hosts.
            answer.update(unreachable=True, **failure(error))
        except AnsibleError as error:
            answer.update(unreachable=True, msg=str(error))
        return answer

    def collected(self, answers: Mapping[str, Optional[Mapping[str, Any]]], arguments: Mapping[str, Any]) -> Report:
        """The report of what the visits found. answers: by host, None where there is none."""
        return collect(answers, arguments["threshold"], time.time(), collection_version(), self.kind)

    def _report(self, arguments: Dict[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        # Read before anything is written: the earlier report may be the file that this run replaces.
        earlier = self._earlier(arguments["compare"])
        hostvars = task_vars["hostvars"]
        answers = {name: hostvars[name].get(arguments["variable"]) for name in task_vars["ansible_play_hosts_all"]}
        report = self.collected(answers, arguments)
        if earlier:
            report = replace(report, comparison=compare(earlier, report))
        self._say(report)
        paths = []
        if arguments["directory"]:
            paths = write_reports(report, os.path.abspath(arguments["directory"]), arguments["formats"])
            self._display.display("Reports: %s" % ", ".join(paths))
        status, text = verdict(report)
        answer = {"changed": False, "reports": paths, "msg": text, "verdict": self.kind.statuses.get(status, status)}
        if status != IN_STEP:
            # Ansible prints it, and counts it in its recap, for the first host of the play alone.
            answer["msg"] = "the whole check: %s (the report above says which hosts)" % text
        # Ansible's own exit status for each: 4 where a host was unreachable, 2 where a task failed.
        answer.update({NOT_ASKED: {"unreachable": True}, DRIFT: {"failed": True}, IN_STEP: {}}[status])
        return answer

    def _earlier(self, path: str) -> Optional[Report]:
        """The report to compare with. Without it there is a report all the same: on a first night there is no other."""
        if not path:
            return None
        try:
            return read_report(path, self.kind)
        except NetfleetError as error:
            self._display.warning("nothing is compared: %s" % error)
        return None

    def _say(self, report: Report) -> None:
        self._display.banner(self.kind.title.upper())
        for style, text in lines(report):
            self._display.display(text, color=_COLOURS[style])
