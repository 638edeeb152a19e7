# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plans the waves in which the hosts of a play are changed. Runs once, on the controller."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from ansible import context
from ansible.plugins.action import ActionBase

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, NetfleetError
from ansible_collections.netfleet.tcp.plugins.module_utils._exit import failure
from ansible_collections.netfleet.tcp.plugins.plugin_utils._run_settings import differing
from ansible_collections.netfleet.tcp.plugins.plugin_utils._waves import (
    LOOK,
    SCHEDULE,
    Candidate,
    most_at_a_time,
    parse_waves,
    schedule,
)

_SHOWN = 6
# Whoever declares it has links, for the plays that follow the waves.
_LINKS = "wireguard_links_topologies"
# The nodes of a cluster, whose kube-proxy is seen to after that.
_NODES = "kubernetes_nodes"


class ActionModule(ActionBase):
    """From what the look found of each host to the order and size of the waves, as a fact."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: Optional[str] = None, task_vars: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        """The task's result; the fact is for the play that changes hosts."""
        answer: Dict[str, Any] = super().run(tmp, task_vars)
        try:
            answer.update(self._plan(task_vars or {}))
        except NetfleetError as error:
            answer.update(failed=True, **failure(error))
        return answer

    def _plan(self, task_vars: Dict[str, Any]) -> Dict[str, Any]:
        hostvars = task_vars["hostvars"]
        looks: Dict[str, Any] = {}
        linked: List[str] = []
        for name in task_vars["ansible_play_hosts_all"]:
            # Once each: a host's variables take Ansible milliseconds to put together.
            variables = hostvars[name]
            looks[name] = variables.get(LOOK) or {}
            linked += [name] if _LINKS in variables else []
        planned = {name: look["to_change"] for name, look in looks.items() if look.get("to_change")}
        # A host that was lost, or that refused, is no measure for others.
        unchanged = [name for name, look in looks.items() if name not in planned and "after" in look]
        nodes = set(task_vars.get("groups", {}).get(_NODES, ()))
        problems = list(differing({name: entry["settings"] for name, entry in planned.items()}))
        if problems:
            raise InputError(problems)
        waves: List[List[str]] = []
        settings: Dict[str, Any] = {}
        if planned:
            settings = next(iter(planned.values()))["settings"]
            window = min(int(entry["window"]) for entry in planned.values())
            most = most_at_a_time(int(context.CLIARGS["forks"]), window, settings["watched"])
            candidates = [
                Candidate(name, str(entry["profile"] or ""), tuple(entry["groups"])) for name, entry in planned.items()
            ]
            waves = schedule(candidates, parse_waves(settings["waves"]), most)
        lines = ["wave %d: %s" % (number, _names(wave)) for number, wave in enumerate(waves, 1)]
        for line in lines:
            self._display.display(line)
        fact = {
            "hosts": [name for wave in waves for name in wave] if not self._task.check_mode else [],
            "sizes": [len(wave) for wave in waves],
            "waves": waves,
            "unchanged": unchanged,
            "linked": linked,
            "nodes": [name for name in looks if name in nodes],
            "run": str(self._task._uuid),
        }
        said = "; ".join(lines) or "nothing to change"
        return {"changed": False, "msg": said, "ansible_facts": {SCHEDULE: fact}}


def _names(wave: List[str]) -> str:
    more = len(wave) - _SHOWN
    shown = ", ".join(wave[:_SHOWN])
    return "%s and %d more (%d hosts)" % (shown, more, len(wave)) if more > 0 else shown
