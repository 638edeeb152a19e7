# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node is looked at, against the API and by connections, until it does all that its plan says, or time is over.

Runs on the controller alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError, NetfleetError, Problem
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_model import ServiceToTry, ServiceTried
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_api import ENDPOINT_SLICES, SERVICES
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_expected import ExpectedEntry, expected
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_reach import Reach
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_rollout import FILES, NodePlan
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_verdict import (
    RESIDUE,
    Fault,
    faults,
    lasting,
    lost,
    named,
    other_endpoints,
    tells,
    to_try,
    to_try_again,
)

# Of each kind of fault.
_MOST_NAMED = 5


class Verification:
    """Of one node, once its plan is brought about. services: how many the API had when it was last asked."""

    def __init__(self, plan: NodePlan, reach: Reach) -> None:
        self.services = 0
        self._plan = plan
        self._reach = reach

    def try_services(self) -> Tuple[ServiceTried, ...]:
        """What connections do now: the baseline of those that are made after a change."""
        wanted, most = self._expected(), int(self._reach.settings["connections"])
        return self._connect(to_try(wanted, self._plan.tried_by, most))

    def verify(
        self, before: Sequence[ServiceTried], ways: Sequence[Callable[[], None]] = ()
    ) -> Tuple[ServiceTried, ...]:
        """Look until everything is as it should be, and connect. HostError with what is not, once the time is over.

        before: of try_services. ways: to take away what other modes have left, each of which is gone once, in this
        order, where nothing else is wrong.

        Endpoints change all the time, and no list of the API is of the same moment as a look. So of Services only that
        counts which two looks find, one after the other, and connections are made twice before they are a reason.
        """
        left = list(ways)
        due = self._reach.due("verify_timeout")
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
            if left and self._only_residues(counting):
                left.pop(0)()
                # It may have been another kube-proxy.
                former = None
                due = self._reach.due("verify_timeout")
                continue
            if self._reach.over(due) and not again:
                raise HostError([*(Problem("", "verification: %s" % each) for each in problems), *self._pods_say()])
            self._reach.pause()

    def _expected(self) -> Tuple[ExpectedEntry, ...]:
        api = self._reach.api
        if api is None:
            return ()
        services = api.list(SERVICES)
        self.services = len(services)
        return expected(services, api.list(ENDPOINT_SLICES), self._plan.view, self._plan.mode)

    def _awaited(self, due: float) -> Tuple[ExpectedEntry, ...]:
        """What is expected, by an API that answers until then."""
        while True:
            try:
                return self._expected()
            except HostError:
                # With a server of k3s, RKE2 or MicroK8s it was the API server that was restarted.
                if self._reach.over(due):
                    raise
                self._reach.pause()

    def _faults(self, wanted: Sequence[ExpectedEntry]) -> Tuple[Fault, ...]:
        plan, seen = self._plan, self._reach.node.look()
        return faults(seen, plan.mode, plan.settings, wanted, self._reach.api is not None, plan.former)

    def _connect(self, services: Sequence[ServiceToTry]) -> Tuple[ServiceTried, ...]:
        seconds = float(self._reach.settings["verify_timeout"]) or 10.0
        return self._reach.node.connect(services, seconds) if services else ()

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

    def _only_residues(self, found: Sequence[Fault]) -> bool:
        """Whether nothing else is wrong than what other modes have left, by roads on which that can still go."""
        residues_alone = bool(found) and all(fault.kind == RESIDUE for fault in found)
        return residues_alone and self._plan.road != FILES

    def _pods_say(self) -> List[Problem]:
        """Why kube-proxy does not do what it should, in its own words, where the API has them."""
        if self._plan.road == FILES:
            return []
        try:
            said = self._reach.pods_on(self._plan.node, self._plan.change.place.distribution)
        except NetfleetError:
            # What is wrong is known already.
            return []
        return [Problem("", each) for each in said]
