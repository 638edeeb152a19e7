# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One node is brought to its plan, verified from the outside, and given back what it had where it does not hold.

Runs on the controller alone; the node and the API are handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError, NetfleetError, Problem
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_model import FileChange, ServiceTried
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_api import NODES, Api
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_cluster import CORDONED, node_info
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_daemon_set import Sets, Step, move, move_back
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_reach import LostError, Reach
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_rollout import FILES, HOME, NodePlan
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_verdict import not_compared
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_verify import Verification
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_way_back import WayBack

_STAYS_CORDONED = "the node is changed, and takes no new pods until the next run"


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
    """A node's way to its plan."""

    def __init__(self, plan: NodePlan, reach: Reach) -> None:
        self._plan = plan
        self._reach = reach
        self._node = reach.node
        self._verification = Verification(plan, reach)
        self._way_back = WayBack(plan, reach)
        self._removed: List[str] = []
        self._warnings: List[str] = []

    def run(self) -> Switched:
        """Change it. HostError with what is wrong, and what was given back."""
        before = self._verification.try_services()
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
        before = self._verification.try_services()
        try:
            self._take(lambda sets: move_back(sets, self._plan.node))
            # Without the ways of a change: they would go to the second DaemonSet again.
            self._verification.verify(before)
        except NetfleetError as error:
            back = self._way_back.move_again() or [Problem("", "it is served by the second DaemonSet")]
            raise HostError([*error.problems, *back]) from error

    def _changed(self, before: Sequence[ServiceTried]) -> Switched:
        plan = self._plan
        try:
            outcome = self._node.change(plan.change)
        except LostError as error:
            raise HostError([*error.problems, *self._way_back.undo_unknown()]) from error
        self._removed, self._warnings = list(outcome.removed), list(outcome.warnings)
        # A pod is ready before its kube-proxy serves, so that the node may have taken nothing away yet; kube-proxy's
        # own clean-up finds what the node does not, and not all of IPv6's ipsets.
        ways = (self._clean_on_node, self._clean_by_proxy, self._clean_on_node)
        try:
            if plan.road != FILES:
                self._take(self._way)
                self._clean_on_node()
            after = self._verification.verify(before, ways)
        except NetfleetError as error:
            raise HostError([*error.problems, *self._way_back.undo(outcome)]) from error
        if outcome.id:
            self._node.keep(outcome.id)
        connections = sum(each.connections for each in after)
        tried = sum(1 for each in after if each.connections)
        removed = dict.fromkeys(self._removed)
        warnings = dict.fromkeys([*self._warnings, *not_compared(before, after)])
        services = self._verification.services
        return Switched(outcome.files, tuple(removed), tuple(warnings), services, tried, connections)

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

    def _take(self, steps_by: Callable[[Sets], Iterable[Step]]) -> None:
        self._reach.take(self._plan.change.place.distribution, steps_by)

    def _cordon(self) -> bool:
        """Whether the node takes new pods otherwise, and does not take any while it changes."""
        if self._plan.cordoned:
            return True
        api = self._reach.api
        if not (self._reach.settings["cordon"] and api) or self._is_unschedulable(api):
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
            self._reach.patiently(lambda: self._set_unschedulable(None, None))
        except HostError as error:
            raise HostError([*problems, *error.problems]) from error

    def _set_unschedulable(self, value: Optional[bool], annotation: Optional[str]) -> None:
        changed = {"metadata": {"annotations": {CORDONED: annotation}}, "spec": {"unschedulable": value}}
        self._reach.cluster().patch(NODES, self._plan.node, changed)
