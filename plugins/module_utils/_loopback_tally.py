# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts connections of the host to itself while the kernel lists its sockets, and tells how often they come. Pure.

A connection that came to its end leaves a TIME-WAIT at the end that closed first, and of each the kernel tells how long
it will stay: so how many are younger than the time since the last glance is how many have ended meanwhile, whether or
not anybody has seen them open. The list needs not be compared with the one before.

What that cannot see: connections that a reset ends, and those beyond net.ipv4.tcp_max_tw_buckets, leave none. Where
ports are reused a TIME-WAIT may be gone after net.ipv4.tcp_tw_reuse_delay: of such, only younger ones are counted, and
the time that is counted over is shorter by as much. (Until Linux 6.14 that is up to a second: where nearly all ports
are taken, some are gone before.)

Sources: inet_diag(7) and inet_twsk_diag_fill, tcp_twsk_unique of Linux; docs of ip-sysctl.
"""

from __future__ import annotations

import math
import socket
import struct
from typing import Collection, Dict, Iterable, Iterator, List, Mapping, Optional, Set, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import LoopbackUse
from ansible_collections.netfleet.tcp.plugins.module_utils._indicators import bounds
from ansible_collections.netfleet.tcp.plugins.module_utils._own_addresses import OwnAddresses
from ansible_collections.netfleet.tcp.plugins.module_utils._sock_diag import MAPPED, Place, is_loopback
from ansible_collections.netfleet.tcp.plugins.module_utils._socket_tally import TIME_WAIT, address_of

TW_REUSE, TIMESTAMPS = "net.ipv4.tcp_tw_reuse", "net.ipv4.tcp_timestamps"
TW_REUSE_DELAY = "net.ipv4.tcp_tw_reuse_delay"
# Some clouds' kernels (Alibaba's) let it be set; Linux itself has 60 s, whatever tcp_fin_timeout is.
TW_TIMEOUT = "net.ipv4.tcp_tw_timeout"
SETTINGS = (TW_REUSE, TIMESTAMPS, TW_REUSE_DELAY, TW_TIMEOUT)
_TIME_WAIT_SECONDS, _REUSE_SECONDS = 60.0, 1.0
_EXPIRES = struct.Struct("=52xI8xI")  # how long it will stay (ms), user
_PADDING = bytes(12)
# Pairs of addresses with the port that are counted; those that come later are not.
_MOST_PAIRS = 10_000
_MOST_USERS = 5


@dataclass(frozen=True)
class Pair:
    """From which address to which, of sixteen bytes each as sock_diag has them, and to which port."""

    family: int
    source: bytes
    destination: bytes
    port: int


@dataclass(frozen=True)
class Reuse:
    """How long a TIME-WAIT stays, in seconds, and whether the kernel takes its port for a new connection.

    mode: net.ipv4.tcp_tw_reuse. after: seconds after which a port is reused, where it is.
    """

    mode: str = "2"
    timestamps: bool = True
    after: float = _REUSE_SECONDS
    lasts: float = _TIME_WAIT_SECONDS

    def applies(self, pair: Pair) -> bool:
        """Whether it does between two addresses: by 2, with one of loopback alone, not with others of the host's."""
        if not self.timestamps or self.mode == "0":
            return False
        ends = (pair.source, pair.destination)
        return self.mode != "2" or any(is_loopback(pair.family, end) for end in ends)


def reuse_from(settings: Mapping[str, str]) -> Reuse:
    """From the values of keys; of those that there are not, what Linux does."""
    delay, timeout = settings.get(TW_REUSE_DELAY, ""), settings.get(TW_TIMEOUT, "")
    return Reuse(
        mode=settings.get(TW_REUSE, "2"),
        timestamps=settings.get(TIMESTAMPS, "1") != "0",
        after=int(delay) / 1000.0 if delay.isdigit() else _REUSE_SECONDS,
        lasts=float(timeout) if timeout.isdigit() and int(timeout) else _TIME_WAIT_SECONDS,
    )


class _Count:
    """Of a pair, by one glance.

    ended: those that ended since the last one, of which held: those that hold a local port. families: of the clients'
    sockets.
    """

    def __init__(self, since: int) -> None:
        self.since = since
        self.time_wait = self.server_time_wait = self.open = self.ended = self.held = 0
        self.users: Set[int] = set()
        self.families: Set[int] = set()


class Glance:
    """One pass over the kernel's list. served: the local ports that are listened on; since: seconds since the last.

    counts: what it has found, by pair.
    """

    def __init__(self, own: OwnAddresses, served: Collection[int], reuse: Reuse, since: float = math.inf) -> None:
        self._own = own
        self._served = {struct.pack(">H", port) for port in served}
        self._reuse = reuse
        self._lasts = int(1000 * reuse.lasts)
        self._by_name: Dict[Tuple[int, bool, bytes], _Count] = {}
        self.counts: Dict[Pair, _Count] = {}
        # Over which time ended connections are counted, where ports are reused and where they are not.
        self.counted = {True: min(since, reuse.after, reuse.lasts), False: min(since, reuse.lasts)}
        self.uncounted = 0

    def through(self, answer: Iterable[Place]) -> Iterator[Place]:
        """Hand on the sockets of an answer, and count what concerns this."""
        holds = self._own.holds
        for place in answer:
            datagram, start, _end = place
            if holds(datagram[start], datagram[start + 24 : start + 40]):
                self._take(datagram, start)
            yield place

    def _take(self, datagram: bytes, start: int) -> None:
        server = datagram[start + 4 : start + 6] in self._served
        if not server and datagram[start + 6 : start + 8] not in self._served:
            return
        found = self._count(datagram, start, server)
        if found is None:
            self.uncounted += 1
            return
        expires, user = _EXPIRES.unpack_from(datagram, start)
        if datagram[start + 1] == TIME_WAIT:
            ended = self._lasts - expires < found.since
            found.ended += ended
            if server:
                found.server_time_wait += 1
            else:
                found.time_wait += 1
                found.held += ended
        elif not server:
            found.open += 1
            if len(found.users) < _MOST_USERS:
                found.users.add(user)

    def _count(self, datagram: bytes, start: int, server: bool) -> Optional[_Count]:
        # The port that is served, and both addresses, as they stand in the message.
        ends = datagram[start + 6 : start + 40]
        name = datagram[start], server, datagram[start + 4 : start + 6] + ends[2:] if server else ends
        found = self._by_name.get(name)
        if found is None:
            pair = pair_of(datagram, start, server)
            found = self.counts.get(pair)
            if found is None and len(self.counts) < _MOST_PAIRS:
                found = self.counts[pair] = _Count(int(1000 * self.counted[self._reuse.applies(pair)]))
            if found is not None:
                self._by_name[name] = found
                if not server:
                    found.families.add(datagram[start])
        return found

    def busy(self, per_second: float, ports: float) -> List[Pair]:
        """Those of which so many connections ended since the last glance, or that hold so many local ports.

        Those first of which the most have ended.
        """
        found = [
            (count.ended, count.time_wait, pair)
            for pair, count in self.counts.items()
            if count.ended >= per_second * self.counted[self._reuse.applies(pair)] > 0
            or count.time_wait + count.open >= ports > 0
        ]
        return [pair for _ended, _ports, pair in sorted(found, key=lambda entry: entry[:2], reverse=True)]


def pair_of(datagram: bytes, start: int, server: bool) -> Pair:
    """Whose a socket is, at whichever end; of IPv4 addresses in IPv6 ones, that of the IPv4 ones."""
    family = datagram[start]
    ports = [int.from_bytes(datagram[start + place : start + place + 2], "big") for place in (4, 6)]
    ends = [datagram[start + place : start + place + 16] for place in (8, 24)]
    if family == socket.AF_INET6 and ends[1].startswith(MAPPED):
        family, ends = int(socket.AF_INET), [end[len(MAPPED) :] + _PADDING for end in ends]
    return Pair(family, ends[1], ends[0], ports[0]) if server else Pair(family, ends[0], ends[1], ports[1])


class LoopbackTally:
    """What several glances come to."""

    def __init__(self, reuse: Reuse) -> None:
        self._reuse = reuse
        self._ended: Dict[Pair, int] = {}
        self._held: Dict[Pair, int] = {}
        self._users: Dict[Pair, Set[int]] = {}
        self._counted = {True: 0.0, False: 0.0}
        self._last: Dict[Pair, _Count] = {}
        self._uncounted = 0

    def add(self, glance: Glance) -> None:
        """Add a glance; how many sockets there are is told by the last one."""
        self._last = glance.counts
        self._uncounted = max(self._uncounted, glance.uncounted)
        for reused, seconds in glance.counted.items():
            self._counted[reused] += seconds
        for pair, count in self._last.items():
            self._ended[pair] = self._ended.get(pair, 0) + count.ended
            self._held[pair] = self._held.get(pair, 0) + count.held
            self._users.setdefault(pair, set()).update(count.users)

    def uses(self, available: int, most: int) -> List[Tuple[Pair, LoopbackUse]]:
        """Between whom, those with the most short connections first, of so many local ports; at most so many."""
        found = [(pair, self._use(pair, available)) for pair in {**self._last, **self._ended}]
        found.sort(key=lambda entry: (-(entry[1].per_second or 0.0), -entry[1].time_wait, entry[1].key))
        return found[:most]

    def _use(self, pair: Pair, available: int) -> LoopbackUse:
        last = self._last.get(pair) or _Count(0)
        reused = self._reuse.applies(pair)
        seconds, ended = self._counted[reused], self._ended.get(pair, 0)
        rate = ended / seconds if seconds else None
        low, high = (bound / seconds for bound in bounds(ended)) if seconds else (None, None)
        taken = last.time_wait + last.open
        holding = self._held.get(pair, 0) / seconds if seconds else 0.0
        held = holding * (self._reuse.after if reused else self._reuse.lasts)
        return LoopbackUse(
            source=address_of(pair.family, pair.source),
            destination=address_of(pair.family, pair.destination),
            port=pair.port,
            per_second=_rounded(rate),
            low=_rounded(low),
            high=_rounded(high),
            seconds=round(seconds, 3),
            time_wait=last.time_wait,
            server_time_wait=last.server_time_wait,
            open=last.open,
            percent=round(100.0 * taken / available, 2) if available else 0.0,
            reused=reused,
            demand=round(100.0 * held / available, 2) if available else 0.0,
            full_after=_rounded(available / holding) if holding * self._reuse.lasts > available > 0 else None,
            users=tuple(sorted(self._users.get(pair, ()))),
        )

    def missing(self) -> Iterator[str]:
        """What could not be counted, in words."""
        if self._uncounted:
            yield "loopback: %d sockets are left out, beyond %d pairs of addresses" % (self._uncounted, _MOST_PAIRS)


def _rounded(number: Optional[float]) -> Optional[float]:
    return None if number is None else round(number, 2)
