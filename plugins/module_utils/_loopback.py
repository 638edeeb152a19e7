# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Watches the host's connections to itself while its counters count: short ones, who opens them, and at what cost.

Pure but for the System that is handed in. Where there are few short ones that is a glance at the list of sockets twice
a second, and no process is looked at.
"""

from __future__ import annotations

import contextlib
import math
import time
from dataclasses import replace
from typing import Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import INTERVAL, Counted, Listener, Loopback
from ansible_collections.netfleet.tcp.plugins.module_utils._health_targets import LOOPBACK_RATE, PORTS_SCARCE
from ansible_collections.netfleet.tcp.plugins.module_utils._loopback_ends import LoopbackEnds
from ansible_collections.netfleet.tcp.plugins.module_utils._loopback_tally import (
    Glance,
    LoopbackTally,
    Pair,
    reuse_from,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._own_addresses import OwnAddresses
from ansible_collections.netfleet.tcp.plugins.module_utils._socket_lists import ask
from ansible_collections.netfleet.tcp.plugins.module_utils._socket_tally import (
    FAMILIES,
    LISTENING,
    TIME_WAIT,
    listeners,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System

# Seconds to see who does anything, where there are short connections; a look without an interval takes longer by it.
_SHORT_PAUSE, _PAUSE = 0.05, 0.3
# A hundred thousand connections that stand take the kernel a moment, and this nothing.
_IN_TIME_WAIT = 1 << TIME_WAIT
# Seconds from one glance to the next: less than those after which the port of a TIME-WAIT is reused.
_STEP = 0.5
# Of the time that is looked at, the processor time that glances may take, so that of a hundred thousand sockets there
# are fewer; and what looks at processes may, which there are where there are short connections alone.
_GLANCES, _LOOKS = 0.05, 0.1
# Those of whom half of what is told is known are worth a look at who they are; more than a few would take too long.
_WORTH_A_LOOK = LOOPBACK_RATE / 2
_MOST_LOOKED_AT = 3

Listening = Sequence[Tuple[int, Listener]]


class _Budget:
    """Processor time that something may take, as a share of the time that goes by. The first time is free."""

    def __init__(self, clock: Callable[[], float], used: Callable[[], float], share: float) -> None:
        self._clock, self._used, self._share = clock, used, share
        self._began, self._spent = clock(), 0.0

    @property
    def left(self) -> bool:
        return self._spent <= self._share * (self._clock() - self._began)

    @contextlib.contextmanager
    def spent(self) -> Iterator[None]:
        before = self._used()
        yield
        self._spent += self._used() - before


class LoopbackWatch:
    """Watches for as long as is waited for (wait), and at the end once more (last_glance, done).

    available: how many local ports there are. sleep, clock: of the time that goes by; used: of processor time that is
    taken by this.
    """

    def __init__(
        self,
        system: System,
        own: OwnAddresses,
        settings: Mapping[str, str],
        available: int,
        sleep: Callable[[float], None],
        clock: Callable[[], float],
        used: Callable[[], float] = time.process_time,
    ) -> None:
        self._system, self._own = system, own
        self._sleep, self._clock = sleep, clock
        self._available, self._ports = available, available * PORTS_SCARCE / 100.0
        self._reuse = reuse_from(settings)
        self._tally = LoopbackTally(self._reuse)
        self._ends = LoopbackEnds(system, clock, used)
        self._looked: Set[Pair] = set()
        self._glances, self._looks = _Budget(clock, used, _GLANCES), _Budget(clock, used, _LOOKS)
        self._at: Optional[float] = None
        self._seen: Optional[Tuple[Glance, Listening]] = None

    def wait(self, seconds: float) -> None:
        """Wait so long, and watch meanwhile."""
        began = self._at = self._clock()
        # Whoever was busy a moment ago is looked at from the beginning on; what ended before does not count.
        self._turn(self._reuse.after)
        steps = max(1, math.ceil(seconds / _STEP))
        for step in range(1, steps + 1):
            self._sleep(max(0.0, began + seconds * step / steps - self._clock()))
            if step < steps:
                self._turn()

    def _turn(self, since: Optional[float] = None) -> None:
        """A glance, and a look at who it is, each if there is time for it.

        since: seconds back of those that are busy, and nothing is to count.
        """
        if self._glances.left:
            at = self._clock()
            with self._glances.spent():
                self._seen = self._pass(at - self._since() if since is None else since)
            if since is None:
                self._at = at
                self._tally.add(self._seen[0])
        if self._seen and self._looks.left:
            with self._looks.spent():
                self._look(*self._seen, _SHORT_PAUSE)

    def _since(self) -> float:
        return -math.inf if self._at is None else self._at

    def _pass(self, since: float) -> Tuple[Glance, Listening]:
        listening = [entry for family in FAMILIES for entry in listeners(ask(self._system, family, LISTENING, ()))]
        glance = Glance(self._own, {each.port for _inode, each in listening}, self._reuse, since)
        for family in FAMILIES:
            for _place in glance.through(ask(self._system, family, _IN_TIME_WAIT, ())):
                pass
        return glance, listening

    def _look(self, glance: Glance, listening: Listening, pause: float) -> None:
        busy = glance.busy(_WORTH_A_LOOK, self._ports)[:_MOST_LOOKED_AT]
        if busy:
            by_port: Dict[int, Set[int]] = {}
            for inode, each in listening:
                by_port.setdefault(each.port, set()).add(inode)
            self._looked.update(busy)
            families = {pair: glance.counts[pair].families or FAMILIES for pair in busy}
            inodes_by_port = {port: frozenset(inodes) for port, inodes in by_port.items()}
            self._ends.look(families, inodes_by_port, lambda: self._sleep(pause))

    def last_glance(self, served: Iterable[int]) -> Glance:
        """One that goes through the list that is read at the end anyway; served: the ports that are listened on."""
        return Glance(self._own, set(served), self._reuse, self._clock() - self._since())

    def done(self, glance: Glance, listening: Listening) -> None:
        """The last glance has gone through that list."""
        self._tally.add(glance)
        if not set(glance.busy(_WORTH_A_LOOK, self._ports)[:_MOST_LOOKED_AT]) <= self._looked:
            self._look(glance, listening, _PAUSE)
        self._ends.finish()

    def result(self, counted: Counted, most: int) -> Tuple[Loopback, List[str]]:
        """What was seen, of so many pairs; and what could not be."""
        uses = tuple(
            replace(
                use,
                users=tuple(sorted({*use.users, *self._ends.users(pair)})),
                clients=self._ends.clients(pair),
                servers=self._ends.servers(pair),
                unix_sockets=self._ends.unix_sockets(pair),
            )
            for pair, use in self._tally.uses(self._available, most)
        )
        said = [*self._tally.missing(), *self._ends.missing()]
        return Loopback(_opened_at_most(counted), uses), said


def _opened_at_most(counted: Counted) -> Optional[float]:
    """How many connections a second both ends can have been here of: each of these is opened, and accepted."""
    names = ("TcpActiveOpens", "TcpPassiveOpens")
    if counted.since != INTERVAL or not counted.seconds or any(name not in counted.counters for name in names):
        return None
    return round(min(counted.counters[name] for name in names) / counted.seconds, 2)
