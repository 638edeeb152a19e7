# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One node is brought to its plan, verified from the outside, and given back what it had where it does not hold.

Runs on the controller alone; the node and the API are handed in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, List, Optional, Protocol, Tuple, Type

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import (
    HostError,
    NetfleetError,
    Problem,
    host_error,
    way_back,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_model import (
    FileChange,
    NodeSeen,
    ProxyChange,
    ProxyOutcome,
    ServiceToTry,
    ServiceTried,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_affinity import LABEL
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_api import (
    ENDPOINT_SLICES,
    NODES,
    SERVICES,
    Api,
    ApiError,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_cluster import CORDONED, node_info
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_daemon_set import (
    LEAVING,
    MOVED,
    Sets,
    Step,
    move,
    move_back,
    no_cleaner,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_expected import ExpectedEntry, expected
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_road import Road, read_sets, take_steps
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_rollout import FILES, HOME, NodePlan
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_verdict import (
    RESIDUE,
    Fault,
    faults,
    lasting,
    lost,
    named,
    not_compared,
    other_endpoints,
    tells,
    to_try,
    to_try_again,
)

_PAUSE = 2.0
# Of each kind of fault.
_MOST_NAMED = 5
_STAYS_CORDONED = "the node is changed, and takes no new pods until the next run"
_LABELLED = "node %s has its former label again: its DaemonSet starts kube-proxy there as soon as it can"
_NOT_LABELLED = "node %s may be left with the label %s=%s, and without kube-proxy"
_GIVEN_BACK = "it was given back what it had: kube-proxy runs %s again"
_NOT_CHANGED = "nothing of the change is there: kube-proxy runs %s"


class LostError(HostError):
    """Nobody knows what became of what a node was asked: it was out of reach by then, or its module ended before."""


class Node(Protocol):
    """The node itself, by its modules. Each of these may raise HostError, of which LostError is one."""

    def look(self) -> NodeSeen:
        """What it is now."""

    def change(self, want: ProxyChange) -> ProxyOutcome:
        """Bring it to something, or make it ready for that."""

    def restore(self, identifier: str) -> None:
        """Give back what a change has replaced."""

    def keep(self, identifier: str) -> None:
        """End a change."""

    def connect(self, services: Sequence[ServiceToTry], seconds: float) -> Tuple[ServiceTried, ...]:
        """Open connections to Services."""


@dataclass(frozen=True)
class Switched:
    """What became of a node. tried: Services to which connections were made, and how many connections that were."""

    files: Tuple[FileChange, ...] = ()
    removed: Tuple[str, ...] = ()
    warnings: Tuple[str, ...] = ()
    services: int = 0
    tried: int = 0
    connections: int = 0


class Switch:
    """A node's way to its plan. api: None where none is asked. settings: as _kube_run gives them."""

    def __init__(
        self,
        plan: NodePlan,
        node: Node,
        api: Optional[Api],
        settings: Mapping[str, Any],
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan = plan
        self._node = node
        self._api = api
        self._settings = settings
        self._sleep = sleep
        self._clock = clock
        self._services = 0
        self._removed: List[str] = []
        self._warnings: List[str] = []
        # One after another, each once. A pod is ready before its kube-proxy serves, so that the node may have taken
        # nothing away yet; kube-proxy's own clean-up finds what the node does not, and not all of IPv6's ipsets.
        self._ways = [self._clean_on_node, self._clean_by_proxy, self._clean_on_node]

    def run(self) -> Switched:
        """Change it. HostError with what is wrong, and what was given back."""
        before = self._try_services(self._expected())
        cordoned = self._cordon()
        problems: Sequence[Problem] = [Problem("", _STAYS_CORDONED)]
        try:
            return self._changed(before)
        except NetfleetError as error:
            problems = error.problems
            raise
        finally:
            if cordoned:
                self._uncordon(problems)

    def go_home(self) -> None:
        """From our DaemonSet to the cluster's own, which has the same settings by now. HostError: ours has it again."""
        before = self._try_services(self._expected())
        # It would go the other way.
        self._ways = []
        try:
            self._take(lambda sets: move_back(sets, self._plan.node))
            self._verify(before)
        except NetfleetError as error:
            back = way_back(lambda: self._go_back(lambda sets: move(sets, self._plan.node), MOVED))
            raise HostError(
                [*error.problems, *(back or [Problem("", "it is served by the second DaemonSet")])]
            ) from error

    def _changed(self, before: Sequence[ServiceTried]) -> Switched:
        plan = self._plan
        try:
            outcome = self._node.change(plan.change)
        except LostError as error:
            raise HostError([*error.problems, *self._undo_unknown()]) from error
        self._removed, self._warnings = list(outcome.removed), list(outcome.warnings)
        try:
            if plan.road != FILES:
                self._take(self._way)
                self._clean_on_node()
            after = self._verify(before)
        except NetfleetError as error:
            raise HostError([*error.problems, *self._undo(outcome)]) from error
        if outcome.id:
            self._node.keep(outcome.id)
        connections = sum(each.connections for each in after)
        tried = sum(1 for each in after if each.connections)
        removed = dict.fromkeys(self._removed)
        warnings = dict.fromkeys([*self._warnings, *not_compared(before, after)])
        return Switched(outcome.files, tuple(removed), tuple(warnings), self._services, tried, connections)

    def _clean_on_node(self) -> None:
        """Have the node take away what other modes have left, if the one that is wanted serves by now."""
        cleaned = self._node.change(self._plan.change)
        self._removed += cleaned.removed
        # What could not be taken away a moment ago may be gone by now.
        self._warnings = list(cleaned.warnings)

    def _clean_by_proxy(self) -> None:
        """Have kube-proxy clean up all modes itself, between the end of its pod and a new one.

        Not where others use IPVS: it takes all of that away, also what excludeCIDRs leaves to them.
        """
        if self._plan.change.excluded or self._node.look().foreign:
            return
        self._take(lambda sets: self._way(sets, clean=True))

    def _way(self, sets: Sets, clean: bool = False) -> Tuple[Step, ...]:
        node = self._plan.node
        return move_back(sets, node, clean, anew=True) if self._plan.road == HOME else move(sets, node, clean)

    def _sets(self) -> Sets:
        return read_sets(self._cluster(), self._plan.change.place.distribution)

    def _cluster(self) -> Api:
        if self._api is None:
            raise host_error("Kubernetes API", "is not asked in this run", "leave kube_proxy_api true")
        return self._api

    def _take(self, steps_by: Callable[[Sets], Iterable[Step]]) -> None:
        """Take the steps that follow from what the API has now."""
        distribution, seconds = self._plan.change.place.distribution, float(self._settings["start_timeout"])
        take_steps(self._cluster(), distribution, steps_by, seconds, self._sleep, self._clock)

    def _verify(self, before: Sequence[ServiceTried]) -> Tuple[ServiceTried, ...]:
        """Look until everything is as it should be, and connect. HostError with what is not, once the time is over.

        Endpoints change all the time, and no list of the API is of the same moment as a look. So of Services only that
        counts which two looks find, one after the other, and connections are made twice before they are a reason.
        """
        due = self._due("verify_timeout")
        # That before, if it has told of Services.
        former: Optional[Sequence[Fault]] = None
        tries = 0
        while True:
            wanted = self._awaited(due)
            found = self._faults(wanted)
            counting = found if former is None else lasting(found, former)
            if counting:
                problems: Sequence[str] = named(counting, _MOST_NAMED)
                again = former is None and tells(found)
            else:
                after = self._connect(to_try_again(wanted, self._plan.tried_by, before))
                problems = self._lost(before, after, wanted)
                if not problems:
                    return after
                tries += 1
                again = tries == 1
            former = found if tells(found) else None
            if self._ways and self._only_residues(counting):
                self._ways.pop(0)()
                # It may have been another kube-proxy.
                former = None
                due = self._due("verify_timeout")
                continue
            if self._clock() >= due and not again:
                raise HostError([*(Problem("", "verification: %s" % each) for each in problems), *self._pods_say()])
            self._sleep(_PAUSE)

    def _due(self, name: str) -> float:
        """When the time that the settings give is over."""
        return self._clock() + float(self._settings[name])

    def _awaited(self, due: float) -> Tuple[ExpectedEntry, ...]:
        """What is expected, by an API that answers until then."""
        while True:
            try:
                return self._expected()
            except HostError:
                # With a server of k3s, RKE2 or MicroK8s it was the API server that was restarted.
                if self._clock() >= due:
                    raise
                self._sleep(_PAUSE)

    def _lost(
        self, before: Sequence[ServiceTried], after: Sequence[ServiceTried], wanted: Sequence[ExpectedEntry]
    ) -> Tuple[str, ...]:
        """What connections did before and do not since, to Services that still have the endpoints they had then."""
        if not lost(before, after):
            return ()
        try:
            changed = other_endpoints(wanted, self._expected())
        except HostError:
            changed = set()
        return lost(before, [tried for tried in after if tried.name not in changed])

    def _pods_say(self) -> List[Problem]:
        """Why kube-proxy does not do what it should, in its own words, where the API has them."""
        if self._plan.road == FILES:
            return []
        try:
            road = Road(self._cluster(), self._sets(), float(self._settings["start_timeout"]))
            return [Problem("", said) for said in road.pods_on(self._plan.node)]
        except NetfleetError:
            # What is wrong is known already.
            return []

    def _only_residues(self, found: Sequence[Fault]) -> bool:
        """Whether nothing else is wrong than what other modes have left, by roads on which that can still go."""
        residues_alone = bool(found) and all(fault.kind == RESIDUE for fault in found)
        return residues_alone and self._plan.road != FILES

    def _faults(self, wanted: Sequence[ExpectedEntry]) -> Tuple[Fault, ...]:
        plan = self._plan
        return faults(self._node.look(), plan.mode, plan.settings, wanted, self._api is not None, plan.former)

    def _expected(self) -> Tuple[ExpectedEntry, ...]:
        if self._api is None:
            return ()
        services = self._api.list(SERVICES)
        self._services = len(services)
        slices = self._api.list(ENDPOINT_SLICES)
        return expected(services, slices, self._plan.view, self._plan.mode)

    def _try_services(self, wanted: Sequence[ExpectedEntry]) -> Tuple[ServiceTried, ...]:
        return self._connect(to_try(wanted, self._plan.tried_by, int(self._settings["connections"])))

    def _connect(self, services: Sequence[ServiceToTry]) -> Tuple[ServiceTried, ...]:
        return self._node.connect(services, float(self._settings["verify_timeout"]) or 10.0) if services else ()

    def _cordon(self) -> bool:
        """Whether the node takes new pods otherwise, and does not take any while it changes."""
        if self._plan.cordoned:
            return True
        if not (self._settings["cordon"] and self._api) or self._is_unschedulable(self._api):
            return False
        self._set_unschedulable(True, "true")
        return True

    def _is_unschedulable(self, api: Api) -> bool:
        """Whether it takes no new pods by somebody else's doing, who may have come since the plan was made."""
        nodes = map(node_info, api.list(NODES, fields="metadata.name=%s" % self._plan.node))
        return any(node.unschedulable for node in nodes if node.name == self._plan.node)

    def _uncordon(self, problems: Sequence[Problem]) -> None:
        """The node takes pods again. HostError where it does not, with these problems, which are worse."""
        try:
            self._patiently(lambda: self._set_unschedulable(None, None))
        except HostError as error:
            raise HostError([*problems, *error.problems]) from error

    def _set_unschedulable(self, value: Optional[bool], annotation: Optional[str]) -> None:
        changed = {"metadata": {"annotations": {CORDONED: annotation}}, "spec": {"unschedulable": value}}
        self._cluster().patch(NODES, self._plan.node, changed)

    def _undo(self, outcome: ProxyOutcome) -> List[Problem]:
        """Give the node back what it had: what was wrong with that, or that it was done."""
        plan = self._plan
        # Of a change that has waited for its end since an earlier run, the mode that runs now is not the former one.
        former = plan.former if plan.road == HOME else outcome.former_mode or plan.former
        problems: List[Problem] = []
        if plan.road != FILES:
            problems += way_back(self._undo_in_cluster)
            if not problems:
                # Before it answers nothing is taken away, and without a readinessProbe its pod is ready before that.
                problems += way_back(lambda: self._refuse_other_mode(former))
        if outcome.id:
            problems += way_back(lambda: self._restore(outcome.id))
        elif former and former != plan.mode:
            problems += way_back(lambda: self._clean_former(former))
        return problems or self._given_back(former, _GIVEN_BACK)

    def _undo_unknown(self) -> List[Problem]:
        """The same of a node that was lost while it changed: it may have come to the end of that, or be at it yet."""
        found: List[NodeSeen] = []
        problems = way_back(lambda: found.append(self._look_patiently()))
        stored = found[0].stored if found else ""
        if stored:
            problems += way_back(lambda: self._restore_lost(stored))
        # What has waited for its end since an earlier run gives back the mode before that one, which is not known here.
        former = "" if stored and stored == self._plan.stored else self._plan.former
        return problems or self._given_back(former, _GIVEN_BACK if stored else _NOT_CHANGED)

    def _given_back(self, former: str, text: str) -> List[Problem]:
        """That the former mode runs (text), and what is left of the other one all the same; or that it does not."""
        problems = way_back(lambda: self._refuse_other_mode(former))
        return problems or [Problem("", text % (former or "as before")), *way_back(self._refuse_residues)]

    def _restore(self, stored: str) -> None:
        """Have the node give back what is its own."""
        try:
            self._node.restore(stored)
        except LostError:
            self._restore_lost(stored)

    def _restore_lost(self, stored: str) -> None:
        """The same of a node that was lost, and that may be at something yet: it holds the host's lock meanwhile."""
        self._patiently(lambda: self._node.restore(stored), HostError, times=2)

    def _clean_former(self, former: str) -> None:
        """What the mode that failed has left, where nothing else was made for it."""
        self._node.change(replace(self._plan.change, mode=former, path="", text=""))

    def _undo_in_cluster(self) -> None:
        plan = self._plan
        node, home = plan.node, plan.road == HOME
        # Where an earlier run has brought it to its end, the second DaemonSet is what it had.
        if plan.label == MOVED and (home or not plan.stored):
            self._go_back(lambda sets: (no_cleaner(node), *move(sets, node)), MOVED)
            return
        # What is ours in the API stays: other nodes of the wave may be about to need it. The run's last step ends it.
        self._go_back(lambda sets: (no_cleaner(node), *move_back(sets, node, anew=not home)), None)

    def _go_back(self, steps_by: Callable[[Sets], Iterable[Step]], label: Optional[str]) -> None:
        """Take the steps of a way back. Where one fails, the node has its label all the same: none is left between."""
        try:
            self._patiently(lambda: self._take(steps_by))
        except NetfleetError as error:
            raise HostError([*error.problems, *self._label_again(label)]) from error

    def _label_again(self, label: Optional[str]) -> List[Problem]:
        node, changed = self._plan.node, {"metadata": {"labels": {LABEL: label}}}
        try:
            self._patiently(lambda: self._cluster().patch(NODES, node, changed))
        except NetfleetError as error:
            return [*error.problems, Problem("", _NOT_LABELLED % (node, LABEL, LEAVING), "run again")]
        return [Problem("", _LABELLED % node)]

    def _patiently(self, work: Callable[[], None], where: Type[HostError] = ApiError, times: int = 1) -> None:
        """Do it, and again for a while (times) where it fails in this way: what it is for must not stay undone.

        By default, where the API is away.
        """
        due = self._clock() + times * float(self._settings["start_timeout"])
        while True:
            try:
                work()
            except where:
                if self._clock() >= due:
                    raise
                self._sleep(_PAUSE)
            else:
                return

    def _refuse_other_mode(self, former: str) -> None:
        """Wait until the former mode runs, where there was one."""
        due = self._due("start_timeout")
        while former:
            mode = self._look_patiently().proxy_mode
            if mode == former:
                return
            if self._clock() >= due:
                raise host_error("", "kube-proxy runs %s, not %s" % (mode or "no mode", former))
            self._sleep(_PAUSE)

    def _look_patiently(self) -> NodeSeen:
        """The node, which may be out of reach for a moment."""
        found: List[NodeSeen] = []
        self._patiently(lambda: found.append(self._node.look()), LostError)
        return found[0]

    def _refuse_residues(self) -> None:
        left = self._look_patiently().residues
        if left:
            raise HostError([Problem("", "left over: %s" % residue, "run again") for residue in left])
