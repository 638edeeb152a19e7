# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node and its cluster's API during a change, through which either may be out of reach for a moment.

Runs on the controller alone; both are handed in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, List, Optional, Protocol, Tuple, Type

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError, host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_model import (
    NodeSeen,
    ProxyChange,
    ProxyOutcome,
    ServiceToTry,
    ServiceTried,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_api import Api, ApiError
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_daemon_set import Sets, Step
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_road import Road, read_sets, take_steps

_PAUSE = 2.0


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


class Reach:
    """node, api: api is None where none is asked in this run.

    settings: as _kube_run gives them; their times are seconds.
    """

    def __init__(
        self,
        node: Node,
        api: Optional[Api],
        settings: Mapping[str, Any],
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.node = node
        self.api = api
        self.settings = settings
        self._sleep = sleep
        self._clock = clock

    def cluster(self) -> Api:
        """The API, for what cannot be done without. HostError where none is asked."""
        if self.api is None:
            raise host_error("Kubernetes API", "is not asked in this run", "leave kube_proxy_api true")
        return self.api

    def due(self, name: str, times: int = 1) -> float:
        """When the time that a setting gives, or so many times that, is over."""
        return self._clock() + times * float(self.settings[name])

    def over(self, due: float) -> bool:
        """Whether that is so by now."""
        return self._clock() >= due

    def pause(self) -> None:
        """Between two looks at the same thing."""
        self._sleep(_PAUSE)

    def pods_on(self, node: str, distribution: str) -> Tuple[str, ...]:
        """What kube-proxy's pods on a node say of themselves."""
        road = Road(self.cluster(), read_sets(self.cluster(), distribution), float(self.settings["start_timeout"]))
        return tuple(road.pods_on(node))

    def take(self, distribution: str, steps_by: Callable[[Sets], Iterable[Step]]) -> None:
        """Take the steps that follow from what the API has now."""
        seconds = float(self.settings["start_timeout"])
        take_steps(self.cluster(), distribution, steps_by, seconds, self._sleep, self._clock)

    def patiently(self, work: Callable[[], None], where: Type[HostError] = ApiError, times: int = 1) -> None:
        """Do it, and again for a while (times) where it fails in this way: what it is for must not stay undone.

        By default, where the API is away.
        """
        due = self.due("start_timeout", times)
        while True:
            try:
                work()
            except where:
                if self.over(due):
                    raise
                self.pause()
            else:
                return

    def look(self) -> NodeSeen:
        """The node, which may be out of reach for a moment."""
        found: List[NodeSeen] = []
        self.patiently(lambda: found.append(self.node.look()), LostError)
        return found[0]
