# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node that did not come to its plan is given back what it had, and it is told whether it has that.

Runs on the controller alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import List, Optional

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import (
    HostError,
    NetfleetError,
    Problem,
    host_error,
    way_back,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_model import NodeSeen, ProxyOutcome
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_affinity import LABEL
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_api import NODES
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_daemon_set import (
    LEAVING,
    MOVED,
    Sets,
    Step,
    move,
    move_back,
    no_cleaner,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_reach import LostError, Reach
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_rollout import FILES, HOME, NodePlan

_LABELLED = "node %s has its former label again: its DaemonSet starts kube-proxy there as soon as it can"
_NOT_LABELLED = "node %s may be left with the label %s=%s, and without kube-proxy"
_GIVEN_BACK = "it was given back what it had: kube-proxy runs %s again"
_NOT_CHANGED = "nothing of the change is there: kube-proxy runs %s"


class WayBack:
    """Of one node. Each part of it is gone, whatever becomes of the others."""

    def __init__(self, plan: NodePlan, reach: Reach) -> None:
        self._plan = plan
        self._reach = reach

    def undo(self, outcome: ProxyOutcome) -> List[Problem]:
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

    def undo_unknown(self) -> List[Problem]:
        """The same of a node that was lost while it changed: it may have come to the end of that, or be at it yet."""
        found: List[NodeSeen] = []
        problems = way_back(lambda: found.append(self._reach.look()))
        stored = found[0].stored if found else ""
        if stored:
            problems += way_back(lambda: self._restore_lost(stored))
        # What has waited for its end since an earlier run gives back the mode before that one, which is not known here.
        former = "" if stored and stored == self._plan.stored else self._plan.former
        return problems or self._given_back(former, _GIVEN_BACK if stored else _NOT_CHANGED)

    def move_again(self) -> List[Problem]:
        """Have the second DaemonSet serve the node again: what was wrong with that; empty where it does."""
        return way_back(lambda: self._go_back(lambda sets: move(sets, self._plan.node), MOVED))

    def _given_back(self, former: str, text: str) -> List[Problem]:
        """That the former mode runs (text), and what is left of the other one all the same; or that it does not."""
        problems = way_back(lambda: self._refuse_other_mode(former))
        return problems or [Problem("", text % (former or "as before")), *way_back(self._refuse_residues)]

    def _restore(self, stored: str) -> None:
        """Have the node give back what is its own."""
        try:
            self._reach.node.restore(stored)
        except LostError:
            self._restore_lost(stored)

    def _restore_lost(self, stored: str) -> None:
        """The same of a node that was lost, and that may be at something yet: it holds the host's lock meanwhile."""
        self._reach.patiently(lambda: self._reach.node.restore(stored), HostError, times=2)

    def _clean_former(self, former: str) -> None:
        """What the mode that failed has left, where nothing else was made for it."""
        self._reach.node.change(replace(self._plan.change, mode=former, path="", text=""))

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
        distribution = self._plan.change.place.distribution
        try:
            self._reach.patiently(lambda: self._reach.take(distribution, steps_by))
        except NetfleetError as error:
            raise HostError([*error.problems, *self._label_again(label)]) from error

    def _label_again(self, label: Optional[str]) -> List[Problem]:
        node, changed = self._plan.node, {"metadata": {"labels": {LABEL: label}}}
        try:
            self._reach.patiently(lambda: self._reach.cluster().patch(NODES, node, changed))
        except NetfleetError as error:
            return [*error.problems, Problem("", _NOT_LABELLED % (node, LABEL, LEAVING), "run again")]
        return [Problem("", _LABELLED % node)]

    def _refuse_other_mode(self, former: str) -> None:
        """Wait until the former mode runs, where there was one."""
        due = self._reach.due("start_timeout")
        while former:
            mode = self._reach.look().proxy_mode
            if mode == former:
                return
            if self._reach.over(due):
                raise host_error("", "kube-proxy runs %s, not %s" % (mode or "no mode", former))
            self._reach.pause()

    def _refuse_residues(self) -> None:
        left = self._reach.look().residues
        if left:
            raise HostError([Problem("", "left over: %s" % residue, "run again") for residue in left])
