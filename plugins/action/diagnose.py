# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One end of a diagnosis: has the host look, and keeps what it says for the report. Never fails a host."""

from __future__ import annotations

from typing import Any, Dict, Iterator, Mapping

from ansible import constants

from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding, to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._rules import HEALTH_LIMIT
from ansible_collections.netfleet.tcp.plugins.plugin_utils._check_action import ASKED, CheckAction, module_failed
from ansible_collections.netfleet.tcp.plugins.plugin_utils._diagnose_check import (
    OF_THE_RUN,
    PREFIX,
    SETTINGS,
    checked,
    request,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._diagnose_folder import (
    ARCHIVES,
    archive_directory,
    check_archive_directory,
    keep,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._findings import merged
from ansible_collections.netfleet.tcp.plugins.plugin_utils._probe_check import where
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_kinds import DIAGNOSE_CHECK

# Without a capture most of what there may be is not seen: that nothing is found must not be taken for health.
_COUNTS = ("capture",)


class ActionModule(CheckAction):
    """Ask, look, keep."""

    kind = DIAGNOSE_CHECK

    def look(self, task_vars: Dict[str, Any]) -> Dict[str, Any]:
        """Have the host look, once."""
        given = {**self.declared(PREFIX, (*SETTINGS, *OF_THE_RUN), task_vars), **self._task.args}
        run = {name: given.pop(name) for name in OF_THE_RUN if name in given}
        subjects = self.called_for(run, task_vars)
        settings = checked(given)
        check_archive_directory(archive_directory(str(run.get("archive") or ARCHIVES)))
        host = str(task_vars["inventory_hostname"])
        visited = [str(name) for name in task_vars["ansible_play_hosts_all"]]
        hostvars = task_vars["hostvars"]
        # Not by hostvars: it has an implicit localhost too, which is the controller.
        known = [name for name in dict.fromkeys((*visited, settings["peer"])) if name in task_vars["groups"]["all"]]
        addresses = {name: where(hostvars, name)[0] for name in known}
        arguments = request(settings, host, visited, addresses)
        answer = self._captured(arguments, task_vars)
        if answer.get("failed") or "view" not in answer:
            return module_failed(answer)
        view = answer["view"]
        return {
            "status": ASKED,
            "profile": "",
            "kernel": view["kernel"],
            "subjects": list(subjects),
            "checked": dict.fromkeys(subjects, 1),
            "findings": [to_wire(each) for each in _limits(view)],
            "settings": settings,
            "folder": keep(constants.DEFAULT_LOCAL_TMP, view, answer["capture"]),
            "addresses": addresses,
        }

    def _captured(self, arguments: Dict[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        """What the module answers; no line of -vvv, nor a log, has what the connection brings: the capture is in it."""
        # What ssh says is hidden with it. So a host that cannot be reached is told first, with its reason.
        self._low_level_execute_command(":", sudoable=False)
        contexts = (self._play_context, self._connection._play_context)
        before = [context.no_log for context in contexts]
        try:
            for context in contexts:
                context.no_log = True
            answer: Dict[str, Any] = self._execute_module(
                module_name="netfleet.tcp.tcp_diagnose", module_args=arguments, task_vars=task_vars
            )
        finally:
            for context, value in zip(contexts, before, strict=True):
                context.no_log = value
        return answer


def _limits(view: Mapping[str, Any]) -> Iterator[Finding]:
    """What could not be looked at."""
    yield from merged(
        Finding("host", key, "warning" if key in _COUNTS else "note", reason.strip() or text, rule=HEALTH_LIMIT)
        for text in view["limits"]
        for key, _colon, reason in [text.partition(":")]
    )
