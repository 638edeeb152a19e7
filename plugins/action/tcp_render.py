# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes what a host would get into a folder of the controller; contacts no host."""

from __future__ import annotations

import os
from typing import Any, Dict, Optional

from ansible.plugins.action import ActionBase

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import NetfleetError
from ansible_collections.netfleet.tcp.plugins.module_utils._exit import failure
from ansible_collections.netfleet.tcp.plugins.plugin_utils import _folder
from ansible_collections.netfleet.tcp.plugins.plugin_utils._declaration import ARGUMENTS, declare, unknown_variables
from ansible_collections.netfleet.tcp.plugins.plugin_utils._put import host_path
from ansible_collections.netfleet.tcp.plugins.plugin_utils._render import assumed, describe_size, rendering
from ansible_collections.netfleet.tcp.plugins.plugin_utils._template import renderer

_SPECIFICATION = {
    "tcp_tuning": {"type": "dict", "options": ARGUMENTS},
    "directory": {"type": "path", "required": True},
    "prune": {"type": "bool", "default": False},
}


class ActionModule(ActionBase):
    """Compose, resolve for a host without bounds, render, write."""

    _supports_check_mode = True
    _supports_diff = True
    _requires_connection = False

    def run(self, tmp: Optional[str] = None, task_vars: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        """The task's result; changed where a file of the folder differs from what it should hold."""
        answer: Dict[str, Any] = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(argument_spec=_SPECIFICATION)
        try:
            work = self._prune if arguments["prune"] else self._render
            answer.update(work(arguments, task_vars or {}))
        except NetfleetError as error:
            answer.update(failed=True, **failure(error))
        if not self._task.diff:
            answer.pop("diff", None)
        return answer

    def _render(self, arguments: Dict[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        given = arguments["tcp_tuning"] or {}
        declaration = declare(given)
        observed = assumed(declaration.intent)
        resolved = declaration.resolve(observed)
        desired = declaration.desired(observed, resolved, renderer(self, given.get("template"), task_vars))
        said = tuple(str(finding) for finding in unknown_variables(task_vars))
        files = rendering(declaration.intent, resolved, desired, said)
        folder = host_path(os.path.abspath(arguments["directory"]), str(task_vars["inventory_hostname"]))
        before, after = _folder.present_files(folder), _folder.wanted_files(files)
        _folder.refuse_foreign(folder, before, after)
        changed = before != after
        if changed and not self._task.check_mode:
            _folder.bring_up_to_date(folder, files)
        return {
            "changed": changed,
            "folder": folder,
            "msg": describe_size(files),
            "diff": _folder.differences(before, after, folder),
            "warnings": list(said),
        }

    def _prune(self, arguments: Dict[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        directory = os.path.abspath(arguments["directory"])
        hosts = [str(name) for name in task_vars["groups"]["all"]]
        stale = _folder.stale_folders(directory, hosts)
        diff = [entry for folder in stale for entry in _folder.differences(_folder.present_files(folder), {}, folder)]
        if stale and not self._task.check_mode:
            _folder.remove_renderings(stale)
        return {"changed": bool(stale), "removed": list(stale), "diff": diff}
