# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""kube-proxy's mode: planned once for all nodes on the controller, brought about node by node, verified, given back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Dict, List, Optional, Tuple

from ansible.errors import AnsibleConnectionFailure

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import (
    HostError,
    InputError,
    Problem,
    host_error,
    input_error,
    way_back,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._exit import failure
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_model import (
    EDITED,
    FileChange,
    NodeSeen,
    ProxyChange,
    ProxyOutcome,
    ServiceToTry,
    ServiceTried,
    fingerprint,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Change, from_wire, to_wire
from ansible_collections.netfleet.tcp.plugins.plugin_utils._change_action import ChangeAction
from ansible_collections.netfleet.tcp.plugins.plugin_utils._confirmation import fresh
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_api import Api, connect
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_configuration import with_settings
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_daemon_set import (
    DAEMON_SET,
    NAMESPACE,
    SECOND,
    Sets,
    Step,
    begin,
    end,
    place_in,
    settle,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_planning import (
    ClusterLook,
    HostLook,
    RunPlan,
    distribution_of,
    look_at_cluster,
    plan_run,
    told,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_reach import LostError, Reach
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_road import read_sets, served, take_steps
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_rollout import (
    FILES,
    NodePlan,
    lost,
    not_reached,
    reached,
    unsettled,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_run import PREFIX, by_api, checked, wanted
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_switch import Switch, Switched
from ansible_collections.netfleet.tcp.plugins.plugin_utils._waves import cut, parse_waves

# Where the role leaves what a host was seen to be.
LOOK = "__kube_proxy_look"
_ROLE = "use the role netfleet.tcp.kube_proxy"
_TAKEN_BACK = "what was begun was taken back"
_EDIT_STAYS = "%s: " + EDITED + ": that stays, beside the new settings"
_EKS = "the add-on's next update overwrites it, unless its configuration values say the same"


class ActionModule(ChangeAction):
    """look at every node; plan once; switch wave after wave; before and after that, what the API needs."""

    verb = "kube_proxy"

    def work(self, given: Dict[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        """One step."""
        steps = {
            "look": self._look,
            "plan": self._plan,
            "begin": self._begin,
            "switch": self._switch,
            "settle": self._settle,
            "home": self._home,
            "end": self._end,
        }
        step = given.get("step")
        if step not in steps:
            raise input_error("step", "%r is none" % (step,), "one of: %s" % ", ".join(steps))
        return steps[step](given, task_vars)

    def _look(self, given: Mapping[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        raw = dict(given.get("settings") or {})
        # What the kernel does with Services is looked at when it is verified: of 5,000 it is megabytes.
        seen = _Host(self, checked(raw), task_vars).look(entries=False)
        if any(limit.startswith("this user is not root") for limit in seen.limits):
            raise host_error("", "this user is not root on the host", "use become")
        return {"changed": False, "node": to_wire(seen), "settings": raw}

    def _plan(self, given: Mapping[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        settings = checked(given.get("settings") or {})
        looks = _looks(task_vars)
        unseen = [host for host in task_vars["ansible_play_hosts_all"] if host not in looks]
        if unseen:
            cure = "mend that, or leave it out with --limit"
            raise InputError([Problem(host, "could not be looked at", cure) for host in unseen])
        distribution = distribution_of(looks)
        cluster = ClusterLook()
        warnings: List[str] = []
        if settings["api"]:
            cluster = look_at_cluster(_api(settings), distribution, settings["cordon"])
        else:
            warnings = ["kube_proxy_api is false: no Service is verified, nothing of the cluster is known"]
        plan = plan_run(looks, cluster)
        lines = list(told(plan))
        for line in lines:
            self._display.display(line)
        return {
            "changed": False,
            "msg": "; ".join(lines),
            "plan": to_wire(plan),
            "waves": [list(wave) for wave in plan.waves],
            "by_api": by_api(distribution) and not plan.none,
            "distribution": distribution,
            "configured": fingerprint(cluster.sets.text) if cluster.sets else "",
            "packages": {node.host: list(node.packages) for node in plan.nodes if node.to_change and node.packages},
            "warnings": [*plan.warnings, *warnings],
        }

    def _begin(self, given: Mapping[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        """Refuse without any of the hosts; else what has to be in the API before the first node moves."""
        if not _plan_of(given).waves:
            return _skipped("nothing is to change")
        problems = lost(_plan_of(given).nodes, task_vars["ansible_play_hosts"])
        if problems:
            raise InputError(problems)
        if not given["plan"]["by_api"]:
            return _skipped("nodes have their settings in files of their own")
        settings, plan, api, _sets = self._in_cluster(given)

        def steps_by(sets: Sets) -> Sequence[Step]:
            if _edited(sets, given):
                raise host_error(place_in(sets.config_map, sets.key), EDITED, "run again")
            return begin(sets, plan.text, not plan.home)

        try:
            return self._taken(api, given, steps_by, settings)
        except HostError as error:
            # No node has been touched, and none comes to the run's last step.
            back = self._end_unlabelled(api, given, settings)
            raise HostError([*error.problems, *back]) from error

    def _switch(self, given: Mapping[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        settings, plan = checked(given.get("settings") or {}), _plan_of(given)
        host = str(task_vars["inventory_hostname"])
        waves = given["plan"]["waves"]
        why = not_reached(waves, int(given["number"]), task_vars["ansible_play_hosts"])
        if why:
            return {**_skipped(why), "not_reached": True}
        own = plan.by_host[host]
        node = _Host(self, settings, task_vars)
        changes = list(own.changes)
        if self._task.check_mode:
            outcome = node.change(own.change)
            return _result(own, changes, outcome.files, outcome.warnings)
        api = _api(settings) if settings["api"] else None
        try:
            done = Switch(own, Reach(node, api, settings)).run()
        except HostError as error:
            # Where it is the last one in the play, nobody comes to the run's last step.
            alone = own.road != FILES and list(task_vars["ansible_play_hosts"]) == [host]
            back = self._end_unlabelled(api, given, settings) if api and alone else []
            answer = {"failed": True, "changed": False, "changes": [], **failure(HostError([*error.problems, *back]))}
            self.log(settings["log"], task_vars, answer)
            return answer
        answer = _result(own, changes, done.files, done.warnings)
        answer["verified"] = _verified(done, api is not None)
        self.log(settings["log"], task_vars, answer)
        return answer

    def _settle(self, given: Mapping[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        """The cluster's own ConfigMap gets the new settings, if all of its nodes have them; then nodes go home."""
        settings, plan, api, sets = self._in_cluster(given)
        if not sets.begun:
            return {**_skipped("nothing waits to be ended"), "waves": []}
        present = task_vars["ansible_play_hosts"]
        done = {*reached(given["plan"]["waves"], present)}
        fitting = {
            node.node for node in plan.nodes if (not node.to_change and node.host in present) or node.host in done
        }
        missing = unsettled(served(api, sets), fitting)
        if missing:
            if not (sets.labels or self._task.check_mode):
                return {**self._taken(api, given, end, settings), "waves": []}
            text = "%s/%s stays, and so do the settings of %s: %s: %s"
            why = "these nodes were not seen to have the new ones in this run"
            said = text % (NAMESPACE, SECOND, DAEMON_SET, why, ", ".join(missing))
            return {"changed": False, "waves": [], "missing": list(missing), "warnings": [said]}

        warnings: List[str] = []

        def steps_by(sets: Sets) -> Sequence[Step]:
            text = plan.text
            if sets.text != text and _edited(sets, given):
                # Nodes that go back to it are verified with it, wave after wave.
                where = place_in(sets.config_map, sets.key)
                text = with_settings(sets.text, wanted(settings, plan.mode), where)
                warnings[:] = [_EDIT_STAYS % where]
            # An upgrade may have written the DaemonSet anew, without what keeps it from nodes that have moved.
            divide = begin(sets, text, going=False) if sets.labels else ()
            return (*divide, *settle(sets, text))

        answer = self._taken(api, given, steps_by, settings)
        labelled = [node.host for node in plan.nodes if sets.label_of(node.node)]
        waves = cut(_in_order(labelled, given["plan"]["waves"]), parse_waves(settings["waves"], PREFIX + "waves"))
        if given["plan"].get("distribution") == "eks":
            warnings.append(_EKS)
        return {**answer, "waves": waves, "warnings": warnings}

    def _home(self, given: Mapping[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        settings, plan = checked(given.get("settings") or {}), _plan_of(given)
        waves = (given.get("settled") or {}).get("waves") or []
        why = not_reached(waves, int(given["number"]), task_vars["ansible_play_hosts"])
        if why:
            return _skipped(why)
        own = plan.by_host[str(task_vars["inventory_hostname"])]
        if not self._task.check_mode:
            Switch(own, Reach(_Host(self, settings, task_vars), _api(settings), settings)).go_home()
        return {"changed": True, "msg": "back to %s/%s, which has its settings by now" % (NAMESPACE, DAEMON_SET)}

    def _end(self, given: Mapping[str, Any], _task_vars: Dict[str, Any]) -> Dict[str, Any]:
        """Nothing of ours is left in the API, unless a node still needs it."""
        settings, _plan, api, sets = self._in_cluster(given)
        if not sets.begun:
            return _skipped("nothing of it is left")
        if sets.labels:
            left = ", ".join(node for node, _label in sets.labels)
            return {**_skipped("%s/%s still serves %s" % (NAMESPACE, SECOND, left)), "left": left}
        return self._taken(api, given, end, settings)

    def _in_cluster(self, given: Mapping[str, Any]) -> Tuple[Dict[str, Any], RunPlan, Api, Sets]:
        settings, plan = checked(given.get("settings") or {}), _plan_of(given)
        api = _api(settings)
        return settings, plan, api, read_sets(api, str(given["plan"]["distribution"]))

    def _taken(
        self,
        api: Api,
        given: Mapping[str, Any],
        steps_by: Callable[[Sets], Iterable[Step]],
        settings: Mapping[str, Any],
    ) -> Dict[str, Any]:
        """The result of steps that are taken, or would be. steps_by: what they are by what the API has then."""
        distribution = str(given["plan"]["distribution"])
        if self._task.check_mode:
            steps = tuple(steps_by(read_sets(api, distribution)))
        else:
            steps = take_steps(api, distribution, steps_by, float(settings["start_timeout"]))
        return {"changed": bool(steps), "steps": [str(step) for step in steps]}

    def _end_unlabelled(self, api: Api, given: Mapping[str, Any], settings: Mapping[str, Any]) -> List[Problem]:
        """Nothing of ours stays in the API where no node needs it: that it is so, or what is wrong with that."""
        done: List[Dict[str, Any]] = []
        problems = way_back(
            lambda: done.append(self._taken(api, given, lambda sets: () if sets.labels else end(sets), settings))
        )
        return problems or [Problem("", _TAKEN_BACK)] * any(each["changed"] for each in done)


class _Host:
    """A node by its modules. HostError for whatever fails there, a lost connection too: then the rest is given back."""

    def __init__(self, action: ActionModule, settings: Mapping[str, Any], task_vars: Dict[str, Any]) -> None:
        self._action = action
        self._settings = settings
        self._task_vars = task_vars
        self._lost = False

    def look(self, entries: bool = True) -> NodeSeen:
        """See Node."""
        given = {name: self._settings[name] for name in ("distribution", "metrics", "healthz")}
        given["entries"] = entries
        return from_wire(NodeSeen, self._executed("kube_proxy_info", given)["node"])

    def change(self, want: ProxyChange) -> ProxyOutcome:
        """See Node."""
        return self._outcome({"step": "change", "change": to_wire(want)})

    def restore(self, identifier: str) -> None:
        """See Node."""
        self._executed("kube_proxy_mode", {"step": "restore", "change_id": identifier})

    def keep(self, identifier: str) -> None:
        """See Node."""
        self._executed("kube_proxy_mode", {"step": "keep", "change_id": identifier})

    def connect(self, services: Sequence[ServiceToTry], seconds: float) -> Tuple[ServiceTried, ...]:
        """See Node."""
        given = {"step": "connect", "services": [to_wire(each) for each in services], "seconds": seconds}
        return tuple(from_wire(ServiceTried, each) for each in self._executed("kube_proxy_mode", given)["tried"])

    def _outcome(self, given: Dict[str, Any]) -> ProxyOutcome:
        return from_wire(ProxyOutcome, self._executed("kube_proxy_mode", given)["outcome"])

    def _executed(self, name: str, given: Dict[str, Any]) -> Dict[str, Any]:
        try:
            if self._lost:
                # One that ssh shares may hang for ever.
                fresh(self._action._connection)
                self._lost = False
            answer: Dict[str, Any] = self._action._execute_module(
                module_name="netfleet.tcp." + name, module_args=given, task_vars=self._task_vars
            )
        except AnsibleConnectionFailure as error:
            self._lost = True
            cure = "run again once it can be reached"
            raise LostError([Problem("", "the connection was lost: %s" % error, cure)]) from error
        if answer.get("failed"):
            if not answer.get("problems"):
                # Not by the module's own end, which names them.
                raise LostError([Problem("", " ".join(str(answer.get("msg", "failed")).split()))])
            raise HostError([Problem("", str(problem)) for problem in answer["problems"]])
        return answer


def _looks(task_vars: Mapping[str, Any]) -> Dict[str, HostLook]:
    """What was seen of the hosts that are still in the play."""
    found: Dict[str, HostLook] = {}
    for host in task_vars["ansible_play_hosts"]:
        look: Optional[Mapping[str, Any]] = task_vars["hostvars"][host].get(LOOK)
        if look and "node" in look:
            found[host] = HostLook(from_wire(NodeSeen, look["node"]), checked(look["settings"]))
    return found


def _plan_of(given: Mapping[str, Any]) -> RunPlan:
    plan = (given.get("plan") or {}).get("plan")
    if plan is None:
        raise input_error("plan", "is no result of the step plan", _ROLE)
    return from_wire(RunPlan, plan)


def _edited(sets: Sets, given: Mapping[str, Any]) -> bool:
    """Whether the cluster's own ConfigMap says something else than when the plan was made."""
    return fingerprint(sets.text) != given["plan"]["configured"]


def _api(settings: Mapping[str, Any]) -> Api:
    return connect(settings["kubeconfig"], settings["context"], float(settings["api_timeout"]))


def _in_order(hosts: Sequence[str], waves: Sequence[Sequence[str]]) -> List[str]:
    """Those of the waves in their order, then the others: they have moved in an earlier run."""
    ordered = [host for wave in waves for host in wave if host in hosts]
    return [*ordered, *(host for host in hosts if host not in ordered)]


def _skipped(why: str) -> Dict[str, Any]:
    return {"changed": False, "skipped": True, "skip_reason": why}


def _result(
    plan: NodePlan, changes: Sequence[Change], files: Sequence[FileChange], warnings: Sequence[str]
) -> Dict[str, Any]:
    return {
        "changed": True,
        "before": {"kube_proxy": {"mode": plan.former}},
        "after": {"kube_proxy": {"mode": plan.mode}},
        "changes": [to_wire(change) for change in changes],
        "road": "its own files" if plan.road == FILES else "the DaemonSet of the cluster",
        "warnings": list(warnings),
        "diff": [
            {
                "before_header": each.path,
                "after_header": each.path,
                "before": each.before or "",
                "after": each.after or "",
            }
            for each in files
        ],
    }


def _verified(done: Switched, by_services: bool) -> str:
    if not by_services:
        return "by what kube-proxy says of itself alone"
    text = "%d Services; %d connections to %d of them" % (done.services, done.connections, done.tried)
    return "%s; taken away: %s" % (text, ", ".join(done.removed)) if done.removed else text
