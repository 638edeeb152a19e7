# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From packets to connections: what each side of each did. Pure; runs on the controller alone.

Whether a segment was sent again, or out of order, is what tshark says; here it is counted, by connection and side.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Deque, Dict, List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.plugin_utils._capture_model import (
    ACK,
    FAST,
    FIN,
    PROBE,
    RETRANSMISSION,
    RST,
    SPURIOUS,
    SYN,
    End,
    Packet,
    Seen,
    Side,
    Stream,
    Stuck,
)

_NUMBERS = 1 << 32
# Where no SYN tells it: what most networks carry, less headers and timestamps.
_USUAL_MSS = 1448
_BURST = 1.0
# Within so many seconds the same packet on another interface is the same packet.
_SAME = 0.01


def seen(packets: Sequence[Packet], port: int = 0) -> Seen:
    """What a capture shows. port: the service's, where it is known, by which the ends are told without a SYN."""
    grouped: Dict[int, List[Packet]] = defaultdict(list)
    errors: List[Packet] = []
    for packet in packets:
        if packet.error:
            errors.append(packet)
        else:
            grouped[packet.stream].append(packet)
    times = [packet.time for packet in packets]
    streams = [_stream(group, port, max(times)) for group in grouped.values()]
    by_ends: Dict[frozenset[End], List[Stream]] = defaultdict(list)
    for stream in streams:
        by_ends[frozenset(stream.sides)].append(stream)
    for packet in errors:
        for stream in by_ends.get(frozenset((packet.source, packet.destination)), ()):
            if packet.error and stream.first <= packet.time:
                stream.errors.append(packet.error)
    return Seen(tuple(streams), len(duplicates(packets)))


def duplicates(packets: Iterable[Packet]) -> List[Packet]:
    """Packets that were seen before on another interface: a capture on all of them sees a bridge and its ports."""
    found: List[Packet] = []
    latest: Dict[Tuple[object, ...], Packet] = {}
    for packet in packets:
        if packet.error or not packet.interface:
            continue
        key = _same_as(packet)
        before = latest.get(key)
        if before and before.interface != packet.interface and packet.time - before.time < _SAME:
            found.append(packet)
        else:
            latest[key] = packet
    return found


def once(packets: Iterable[Packet]) -> Tuple[List[Packet], int]:
    """Of a capture of several interfaces that does not tell them apart: each packet once; how many there were again.

    Where there were, nothing is said to have been sent again: whether it was cannot be told from what is seen twice.
    """
    found: List[Packet] = []
    latest: Dict[Tuple[object, ...], float] = {}
    number = 0
    for packet in packets:
        key = _same_as(packet)
        if not packet.error and packet.time - latest.get(key, -math.inf) < _SAME:
            number += 1
            continue
        latest[key] = packet.time
        found.append(packet)
    if number:
        found = [replace(packet, marks=packet.marks & {PROBE}) for packet in found]
    return found, number


def _same_as(packet: Packet) -> Tuple[object, ...]:
    """What a packet has in common with itself on another interface."""
    return packet.source, packet.destination, packet.seq, packet.ack, packet.length, packet.flags, packet.tsval


def busiest_interface(packets: Iterable[Packet]) -> int:
    """The interface on which the most packets were seen."""
    counted = Counter(packet.interface for packet in packets if packet.interface)
    return max(counted, key=lambda number: (counted[number], -number), default=0)


def _stream(packets: Sequence[Packet], port: int, ended: float) -> Stream:
    client, server, mark = _ends(packets, port)
    own = {end: [packet for packet in packets if packet.source == end] for end in (client, server)}
    sides = {end: _side(own[end], own[server if end == client else client], ended) for end in (client, server)}
    return Stream(client, server, sides, mark, packets[0].time, packets[-1].time)


def _ends(packets: Sequence[Packet], port: int) -> Tuple[End, End, int]:
    """Client, server, and the number that the client's SYN began with."""
    for packet in packets:
        if packet.has(SYN) and not packet.has(ACK):
            return packet.source, packet.destination, packet.seq
    for packet in packets:
        if packet.has(SYN):
            return packet.destination, packet.source, (packet.ack - 1) % _NUMBERS
    ends = [packets[0].source, packets[0].destination]
    server = min(ends, key=lambda end: (end[1] != port, end[1], end[0]))
    return ends[server == ends[0]], server, -1


def _side(packets: Sequence[Packet], others: Sequence[Packet], ended: float) -> Side:
    """What an end sent, given what the other one did. ended: when the capture had its last packet."""
    side = Side(packets=len(packets), last=packets[-1].time if packets else 0.0)
    syn = next((packet for packet in packets if packet.has(SYN)), None)
    if syn:
        side.scale, side.mss, side.first_syn = syn.scale, syn.mss, syn.time
    for packet in packets:
        side.syns += packet.has(SYN) and not packet.has(ACK)
        side.syn_acks += packet.has(SYN) and packet.has(ACK)
        side.acks += packet.has(ACK) and not packet.has(SYN) and not packet.has(RST)
        side.fins += packet.has(FIN)
        side.resets += packet.has(RST)
        (side.reset_ttls if packet.has(RST) else side.ttls)[packet.ttl] += 1
    limits = [mss for mss in (side.mss, next((other.mss for other in others if other.has(SYN)), 0)) if mss]
    _count_data(side, [packet for packet in packets if packet.length and not packet.has(SYN)], min(limits, default=0))
    side.steps = len({(packet.seq, packet.ack) for packet in packets if not packet.has(SYN) and not packet.has(RST)})
    _count_closed(side, packets, ended, min((each.time for each in (*packets, *others) if each.has(RST)), default=None))
    _find_stuck(side, packets, others)
    return side


def is_again(packet: Packet) -> bool:
    """Whether a segment was sent before."""
    return bool(packet.marks & {RETRANSMISSION, FAST, SPURIOUS}) and PROBE not in packet.marks


def _count_data(side: Side, packets: Sequence[Packet], mss: int) -> None:
    recent: Deque[Tuple[float, int, int]] = deque()
    total = repeated = 0
    # Without timestamps a segment has no more than the MSS; with them a little less.
    most = mss or _USUAL_MSS
    for packet in packets:
        number = max(1, math.ceil(packet.length / most))
        side.segments += number
        side.data += packet.length
        side.ranges.append((packet.seq, packet.length))
        again = number if is_again(packet) else 0
        recent.append((packet.time, number, again))
        total, repeated = total + number, repeated + again
        while recent[0][0] < packet.time - _BURST:
            _time, fewer, less = recent.popleft()
            total, repeated = total - fewer, repeated - less
        side.repeated += again
        side.spurious += again if SPURIOUS in packet.marks else 0
        if repeated > side.burst:
            side.burst, side.burst_of = repeated, total


def behind(number: int, base: int) -> int:
    """How far a number of the sequence is behind another one; negative: before it."""
    distance = (number - base) % _NUMBERS
    return distance - _NUMBERS if distance >= _NUMBERS // 2 else distance


def _count_closed(side: Side, packets: Sequence[Packet], ended: float, reset: Optional[float]) -> None:
    """reset: when either end gave the connection up; it waits for nothing from then on."""
    closed_at: Optional[float] = None
    for packet in packets:
        if reset is not None and packet.time > reset:
            break
        if packet.has(SYN) or packet.has(RST):
            continue
        if packet.window == 0 and closed_at is None:
            closed_at, side.closings = packet.time, side.closings + 1
        elif packet.window != 0 and closed_at is not None:
            side.closed, closed_at = side.closed + packet.time - closed_at, None
        if packet.has(FIN):
            # It has no more to say; what it can take does not matter any more.
            break
    if closed_at is not None:
        until = ended if reset is None else reset
        side.closed, side.still_closed = side.closed + max(0.0, until - closed_at), reset is None


def _find_stuck(side: Side, packets: Sequence[Packet], others: Sequence[Packet]) -> None:
    """What was repeated and never acknowledged, and the largest segment that was."""
    data = [packet for packet in packets if packet.length and not packet.has(SYN) and PROBE not in packet.marks]
    if not data:
        return
    base = data[0].seq
    acked = max((behind(other.ack, base) for other in others if other.has(ACK)), default=0)
    copies: Dict[int, List[Packet]] = defaultdict(list)
    for packet in data:
        start = behind(packet.seq, base)
        if start + packet.length <= acked:
            side.passed = max(side.passed, packet.length)
        else:
            copies[start].append(packet)
    for same in copies.values():
        # What goes first may be of several segments that a network card is yet to split.
        if len(same) > side.stuck.times:
            side.stuck = Stuck(len(same), min(packet.length for packet in same), same[0].time, same[-1].time)
