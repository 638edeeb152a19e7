# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host calls a few others, and is judged by the targets of its profile. Never fails a host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Dict, List, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import input_error
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import Counted, Rtt
from ansible_collections.netfleet.tcp.plugins.module_utils._indicators import indicators
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding, from_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._probe import PROBED, counters_of, targets_to_meet
from ansible_collections.netfleet.tcp.plugins.module_utils._probe_model import Reached
from ansible_collections.netfleet.tcp.plugins.plugin_utils import _health_check
from ansible_collections.netfleet.tcp.plugins.plugin_utils._check_action import module_failed
from ansible_collections.netfleet.tcp.plugins.plugin_utils._health_action import HealthAction, know_groups, limits
from ansible_collections.netfleet.tcp.plugins.plugin_utils._health_measures import Looked
from ansible_collections.netfleet.tcp.plugins.plugin_utils._health_variables import standing
from ansible_collections.netfleet.tcp.plugins.plugin_utils._host_variables import declared_by
from ansible_collections.netfleet.tcp.plugins.plugin_utils._probe_check import (
    ADDRESS,
    OF_THE_RUN,
    PREFIX,
    SETTINGS,
    checked,
    chosen_peers,
    destinations,
    endpoints,
    is_own,
    request,
    where,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_kinds import PROBE_CHECK
from ansible_collections.netfleet.tcp.plugins.plugin_utils._waivers import read_waivers


class ActionModule(HealthAction):
    """Choose whom to call, have the host call them, hand on what was measured and found."""

    kind = PROBE_CHECK

    def look(self, task_vars: Dict[str, Any]) -> Dict[str, Any]:
        """Have the host call its peers, once."""
        names = (*SETTINGS, *OF_THE_RUN, ADDRESS)
        # Options come before the variables of the host, by the same names.
        given = {**self.declared(PREFIX, names, task_vars), **self._task.args}
        run = {name: given.pop(name) for name in OF_THE_RUN if name in given}
        given.pop(ADDRESS, None)
        subjects = self.called_for(run, task_vars)
        know_groups(run.get("groups"), PREFIX + "groups", task_vars)
        settings = checked(given)
        waivers = read_waivers(settings["waivers"], PREFIX + "waivers", self.kind.subjects)
        host = str(task_vars["inventory_hostname"])
        profile, derived = standing(declared_by(self._templar, task_vars), task_vars)
        health_names = ("targets", "rtt_targets", "peers")
        health = _health_check.checked(self.declared(_health_check.PREFIX, health_names, task_vars))
        classes = _health_check.merged_peers(derived, health["peers"])
        to, own = self._destinations(host, settings, task_vars)
        arguments = request({**settings, "mtu": settings["mtu"] and "mtu" in subjects}, health, profile, classes, to)
        answer = self._execute_module(module_name="netfleet.tcp.tcp_probe", module_args=arguments, task_vars=task_vars)
        if answer.get("failed") or "indicators" not in answer:
            return module_failed(answer)
        findings = [from_wire(Finding, entry) for entry in answer["findings"]]
        said = [*answer["limits"], *own]
        if not to:
            said.append("peers: there is none to call")
        findings += limits(said, PREFIX, names, task_vars)
        reached = [from_wire(Reached, entry) for entry in answer["destinations"]]
        # What is tolerated of one destination is no part of what the host, and its group, come to; that of its path is
        # none of theirs anyway.
        tolerated = {
            entry["key"]
            for entry in self.kept(findings, subjects, waivers, task_vars)
            if entry["waiver"] and entry["subject"] in PROBED
        }
        counters = counters_of(each for each in reached if each.key not in tolerated)
        kept = Looked(
            counters,
            indicators(Counted("", 0.0, counters), targets_to_meet(arguments))[0],
            {name: from_wire(Rtt, entry) for name, entry in answer["rtts"].items()},
        )
        return {
            "profile": profile,
            "kernel": answer["kernel"],
            "destinations": answer["destinations"],
            **self.judged(
                kept, findings, subjects, waivers, task_vars, _looked_at(reached, answer["limits"], arguments)
            ),
        }

    def _destinations(
        self, host: str, settings: Mapping[str, Any], task_vars: Mapping[str, Any]
    ) -> Tuple[List[Dict[str, Any]], List[str]]:
        """Where to connect to; and whom not, for the host would call itself there."""
        sources = [str(name) for name in task_vars["ansible_play_hosts_all"]]
        candidates = _candidates(settings["to"], sources, task_vars)
        names = chosen_peers(host, sources, candidates, settings["peers"], settings["round"])
        hostvars = task_vars["hostvars"]
        named = [each["name"] for each in endpoints(settings["endpoints"], {})]
        # Not by hostvars: it has an implicit localhost too, which is the controller.
        known = {name: where(hostvars, name)[0] for name in named if name in task_vars["groups"]["all"]}
        # Whoever is such an endpoint himself would call himself.
        others = [each for each in endpoints(settings["endpoints"], known) if each["name"] != host]
        peers = [(name, *where(hostvars, name)) for name in names]
        own = [(name, address) for name, address, _port in peers if is_own(address)]
        text = "peers: %s cannot be called at %s, which is each host's own: set tcp_probe_address"
        called = [each for each in peers if not is_own(each[1])]
        return destinations(called, settings["ports"], others), [text % each for each in own]


def _looked_at(reached: Sequence[Reached], said: Sequence[str], arguments: Mapping[str, Any]) -> Tuple[str, ...]:
    """The subjects that any connection is enough for; of none, and without root, nothing was seen of them."""
    if not any(each.established for each in reached):
        return ()
    pathless = not arguments["mtu"] or any(text.startswith("mtu:") for text in said)
    return ("window_scale",) if pathless else ("window_scale", "mtu")


def _candidates(to: Sequence[str], sources: Sequence[str], task_vars: Mapping[str, Any]) -> List[str]:
    """The hosts that may be called: those of the play, or those of the groups and hosts that are named."""
    if not to:
        return list(sources)
    groups, hosts = task_vars["groups"], task_vars["groups"]["all"]
    unknown = [name for name in to if name not in groups and name not in hosts]
    if unknown:
        text = "%s: there is no such group or host" % ", ".join(unknown)
        raise input_error(PREFIX + "to", text, "groups and hosts of the inventory")
    return list(dict.fromkeys(str(each) for name in to for each in groups.get(name, [name])))
