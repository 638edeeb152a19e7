# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts sockets while the kernel lists them, so that no socket is kept: there may be hundreds of thousands. Pure.

Offsets: linux/inet_diag.h (inet_diag_msg) and linux/tcp.h (tcp_info), which only ever grow at their ends. Of an older
kernel the later fields are missing: they read as 0, and missing() says so.
"""

from __future__ import annotations

import heapq
import math
import socket
import struct
from array import array
from itertools import count
from typing import Collection, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._counters import IDLE
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import (
    LOOPBACK,
    Listener,
    LiveConnection,
    PeerClass,
    PortUse,
    Rtt,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._peer_classes import PeerClasses
from ansible_collections.netfleet.tcp.plugins.module_utils._sock_diag import (
    CONG,
    ESTABLISHED,
    INFO,
    LISTEN,
    MAPPED,
    SKMEMINFO,
    Answer,
    Place,
    attributes,
)

FAMILIES = (socket.AF_INET, socket.AF_INET6)
# By their numbers in linux/tcp_states.h, as ss calls them.
STATES = {
    1: "ESTAB",
    2: "SYN-SENT",
    3: "SYN-RECV",
    4: "FIN-WAIT-1",
    5: "FIN-WAIT-2",
    6: "TIME-WAIT",
    7: "UNCONN",
    8: "CLOSE-WAIT",
    9: "LAST-ACK",
    10: "LISTEN",
    11: "CLOSING",
}
LISTENING = 1 << LISTEN
NOT_LISTENING = sum(1 << state for state in STATES if state != LISTEN)
TIME_WAIT = 6
# Of tcp_info: options; last_data_sent, last_ack_recv (ms); rtt (us); total_retrans; min_rtt (us); data_segs_out;
# busy_time, rwnd_limited, sndbuf_limited (us).
_INFO = struct.Struct("=5xB38xI8xI8xI28xI44xI4xI8xQQQ")
# Bytes from which on a tcp_info has the field, with the release of Linux that brought it.
_FIELDS = {
    104: "retransmissions of connections (Linux 2.6.15)",
    152: "the lowest RTT of connections (Linux 4.6)",
    160: "data segments of connections (Linux 4.6)",
    192: "what limits connections (Linux 4.10)",
}
_WINDOW_SCALE = 4  # TCPI_OPT_WSCALE
_NO_RTT = 0xFFFFFFFF
_MESSAGE_END = struct.Struct("=56xII4xI")  # rqueue, wqueue, inode
_DROPS = 8 * 4  # SK_MEMINFO_DROPS
_PADDING = bytes(12)
# Pairs of addresses with the port, of which the local ports are counted; those that come later are not.
_MOST_PAIRS = 100_000
# Of a normal distribution: 95 % are below its mean and so many deviations.
Z = 1.6449
# Of which a mean has bounds.
FEWEST_CONNECTIONS = 5


class _ClassTally:
    """What is known of the connections to peers of one class; times in microseconds."""

    def __init__(self) -> None:
        self.connections = self.retransmitted = self.segments = self.without_window_scale = 0
        self.busy = self.receive_window_limited = self.send_buffer_limited = 0
        self.rtts, self.lowest = array("I"), array("I")

    def result(self) -> PeerClass:
        return PeerClass(
            connections=self.connections,
            retransmitted=self.retransmitted,
            segments=self.segments,
            without_window_scale=self.without_window_scale,
            busy=self.busy // 1000,
            receive_window_limited=self.receive_window_limited // 1000,
            send_buffer_limited=self.send_buffer_limited // 1000,
            rtt=rtt_of(self.rtts, self.lowest),
        )


class SocketTally:
    """Counts the sockets of answers that are handed in one after the other.

    served: the local ports that are listened on. top: how many of the longest lists are kept.
    """

    def __init__(self, classes: PeerClasses, served: Collection[int], top: int) -> None:
        self._classes = classes
        self._served = {struct.pack(">H", port) for port in served}
        self._top = top
        self._states = [0] * 256
        self._tallies = {name: _ClassTally() for name in (*classes.names, LOOPBACK)}
        self._algorithms: Dict[bytes, int] = {}
        self._inbound: Dict[bytes, int] = {}
        # By family and pair (port, source, destination, as the message has them): local ports in TIME_WAIT, and others.
        self._ports: Dict[int, Tuple[Dict[bytes, int], Dict[bytes, int]]] = {each: ({}, {}) for each in FAMILIES}
        self._retransmitting: List[Tuple[int, int, LiveConnection]] = []
        self._without_window_scale: List[LiveConnection] = []
        self._numbers = count()
        self._shortest = _INFO.size
        self._uncounted = self._without_info = 0
        self.outgoing = 0

    def take(self, answer: Iterable[Place]) -> None:
        """Count the sockets of an answer to a request for NOT_LISTENING with INFO and CONG."""
        states, served = self._states, self._served
        for datagram, start, end in answer:
            state = datagram[start + 1]
            states[state] += 1
            port = datagram[start + 4 : start + 6]
            if state == ESTABLISHED:
                self._established(datagram, start, end, port)
            if port not in served:
                self._use_port(datagram, start, state)

    def _established(self, datagram: bytes, start: int, end: int, port: bytes) -> None:
        family, source, target = datagram[start], datagram[start + 8 : start + 24], datagram[start + 24 : start + 40]
        # Whoever calls an address of the host's own reaches it by loopback too. An address may have gone since.
        name = LOOPBACK if source == target else self._classes.of(family, target)
        tally = self._tallies[name]
        tally.connections += 1
        if port in self._served:
            self._inbound[port] = self._inbound.get(port, 0) + 1
        else:
            self.outgoing += 1
        found = attributes(datagram, start, end)
        place, length = found.get(CONG, (0, 0))
        if length:
            algorithm = datagram[place : place + length]
            self._algorithms[algorithm] = self._algorithms.get(algorithm, 0) + 1
        place, length = found.get(INFO, (0, 0))
        if not length:
            self._without_info += 1
            return
        if length < _INFO.size:
            self._shortest = min(self._shortest, length)
            info = _INFO.unpack(datagram[place : place + length].ljust(_INFO.size, b"\0"))
        else:
            info = _INFO.unpack_from(datagram, place)
        self._add(tally, name, info, datagram, start)

    def _add(self, tally: _ClassTally, name: str, info: Tuple[int, ...], datagram: bytes, start: int) -> None:
        options, sent, acknowledged, rtt, retransmitted, lowest, segments, busy, receive, send = info
        tally.segments += segments
        tally.busy += busy
        tally.receive_window_limited += receive
        tally.send_buffer_limited += send
        if rtt and sent < IDLE and acknowledged < IDLE and name != LOOPBACK:
            tally.rtts.append(rtt)
            if lowest not in (0, _NO_RTT):
                tally.lowest.append(lowest)
        if retransmitted:
            tally.retransmitted += retransmitted
            heap = self._retransmitting
            if len(heap) < self._top or retransmitted > heap[0][0]:
                shown = _live(datagram, start, name, rtt, retransmitted, segments)
                # Numbered, so that connections themselves are never compared.
                change = heapq.heappush if len(heap) < self._top else heapq.heapreplace
                change(heap, (retransmitted, next(self._numbers), shown))
        if not options & _WINDOW_SCALE and name != LOOPBACK:
            tally.without_window_scale += 1
            if len(self._without_window_scale) < self._top:
                self._without_window_scale.append(_live(datagram, start, name, rtt, retransmitted, segments))

    def _use_port(self, datagram: bytes, start: int, state: int) -> None:
        family, pair = datagram[start], datagram[start + 6 : start + 40]
        if family == socket.AF_INET6 and pair[18:30] == MAPPED:
            # They take the ports of IPv4.
            family, pair = socket.AF_INET, pair[:2] + pair[14:18] + _PADDING + pair[30:] + _PADDING
        used = self._ports[family][0 if state == TIME_WAIT else 1]
        known = used.get(pair)
        if known is not None:
            used[pair] = known + 1
        elif len(used) < _MOST_PAIRS:
            used[pair] = 1
        else:
            self._uncounted += 1

    @property
    def states(self) -> Dict[str, int]:
        """How many sockets are in each state, but for those that listen."""
        return {name: self._states[state] for state, name in STATES.items() if self._states[state]}

    @property
    def algorithms(self) -> Dict[str, int]:
        """How many connections have each congestion control."""
        named = {name.rstrip(b"\0").decode("ascii", "replace"): number for name, number in self._algorithms.items()}
        return dict(sorted(named.items()))

    @property
    def loopback(self) -> int:
        """Established connections of the host to itself; both ends count."""
        return self._tallies[LOOPBACK].connections

    @property
    def inbound(self) -> Dict[int, int]:
        """Established connections by the local port that is listened on."""
        return {int.from_bytes(port, "big"): number for port, number in self._inbound.items()}

    @property
    def retransmitting(self) -> Tuple[LiveConnection, ...]:
        """Those with the most retransmissions, the most first."""
        return tuple(entry for _count, _number, entry in sorted(self._retransmitting, key=lambda item: item[:2])[::-1])

    @property
    def without_window_scale(self) -> Tuple[LiveConnection, ...]:
        """Those that came first."""
        return tuple(self._without_window_scale)

    def peers(self) -> Dict[str, PeerClass]:
        """What is known of each class of peers, but for the host itself."""
        return {name: self._tallies[name].result() for name in self._classes.names}

    def most_used(self, available: int) -> Tuple[PortUse, ...]:
        """Between whom the most local ports are in use, of so many."""
        used = [
            (waiting.get(pair, 0) + others.get(pair, 0), family, pair)
            for family, (waiting, others) in self._ports.items()
            for pair in {**waiting, **others}
        ]
        return tuple(
            self._port_use(family, pair, available) for _count, family, pair in heapq.nlargest(self._top, used)
        )

    def _port_use(self, family: int, pair: bytes, available: int) -> PortUse:
        waiting, others = (used.get(pair, 0) for used in self._ports[family])
        return PortUse(
            source=address_of(family, pair[2:18]),
            destination=address_of(family, pair[18:]),
            port=int.from_bytes(pair[:2], "big"),
            time_wait=waiting,
            open=others,
            percent=round(100.0 * (waiting + others) / available, 2) if available else 0.0,
        )

    def missing(self) -> Iterator[str]:
        """What could not be counted, in words."""
        for size, what in _FIELDS.items():
            if self._shortest < size:
                yield "%s: this kernel does not tell" % what
        if self._without_info:
            yield "connections: %d came without tcp_info" % self._without_info
        if self._uncounted:
            yield "ports: %d sockets are left out, beyond %d pairs of addresses" % (self._uncounted, _MOST_PAIRS)


def listeners(answer: Answer) -> Iterator[Tuple[int, Listener]]:
    """The listening sockets of an answer to a request for LISTENING with SKMEMINFO, each with its inode."""
    for datagram, start, end in answer:
        backlog, limit, inode = _MESSAGE_END.unpack_from(datagram, start)
        place, length = attributes(datagram, start, end).get(SKMEMINFO, (0, 0))
        drops = struct.unpack_from("=I", datagram, place + _DROPS)[0] if length >= _DROPS + 4 else 0
        address = address_of(datagram[start], datagram[start + 8 : start + 24])
        yield inode, Listener(address, int.from_bytes(datagram[start + 4 : start + 6], "big"), backlog, limit, drops)


def _live(datagram: bytes, start: int, name: str, rtt: int, retransmitted: int, segments: int) -> LiveConnection:
    family = datagram[start]
    local, peer = (
        end_point(
            address_of(family, datagram[start + address : start + address + 16]),
            datagram[start + port : start + port + 2],
        )
        for address, port in ((8, 4), (24, 6))
    )
    return LiveConnection(local, peer, name, rtt / 1000.0, retransmitted, segments)


def end_point(address: str, port: bytes) -> str:
    """An address and a port, which is in the network's order, for people."""
    return ("[%s]:%d" if ":" in address else "%s:%d") % (address, int.from_bytes(port, "big"))


def address_of(family: int, address: bytes) -> str:
    """An address of sixteen bytes, IPv4 in the first four, in words; one of IPv4 in IPv6 as that of IPv4."""
    if family == socket.AF_INET6 and not address.startswith(MAPPED):
        return socket.inet_ntop(socket.AF_INET6, address)
    return socket.inet_ntop(socket.AF_INET, address[len(MAPPED) :] if family == socket.AF_INET6 else address[:4])


def rtt_of(rtts: "array[int]", lowest: "array[int]") -> Rtt:
    """Of RTTs in microseconds."""
    size = len(rtts)
    if not size:
        return Rtt()
    mean = sum(rtts) / size
    deviation = math.sqrt(sum((rtt - mean) ** 2 for rtt in rtts) / (size - 1)) / 1000.0 if size > 1 else None
    low, high = mean_bounds(size, mean / 1000.0, deviation)
    ordered = sorted(rtts)
    return Rtt(
        connections=size,
        mean=_milliseconds(mean),
        p50=_milliseconds(_percentile(ordered, 50)),
        p95=_milliseconds(_percentile(ordered, 95)),
        minimum_p50=_milliseconds(_percentile(sorted(lowest), 50)) if lowest else None,
        low=low,
        high=high,
        deviation=None if deviation is None else round(deviation, 6),
    )


def mean_bounds(size: int, mean: float, deviation: Optional[float]) -> Tuple[Optional[float], Optional[float]]:
    """Between which a mean is, each with 95 % confidence, in its own unit; deviation: that of the sample.

    Too few give none: what these would be is no more than a guess.
    """
    if size < FEWEST_CONNECTIONS or deviation is None:
        return None, None
    # Of Student's distribution, by the first term of its expansion.
    margin = Z * (1 + (Z * Z + 1) / (4 * (size - 1))) * deviation / math.sqrt(size)
    return round(max(0.0, mean - margin), 3), round(mean + margin, 3)


def _percentile(ordered: Sequence[int], percent: int) -> int:
    return ordered[max(0, math.ceil(len(ordered) * percent / 100.0) - 1)]


def _milliseconds(microseconds: float) -> float:
    return round(microseconds / 1000.0, 3)
