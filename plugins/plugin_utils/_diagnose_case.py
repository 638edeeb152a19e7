# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A case: what each host has seen and said, and the connections as all of them saw them. Pure; controller alone.

A connection that two hosts captured is one. So that can be told which no host knows: what one sent and the other did
not receive.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from math import inf
from typing import Dict, List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._diagnose import ANY
from ansible_collections.netfleet.tcp.plugins.module_utils._diagnose_model import HostView
from ansible_collections.netfleet.tcp.plugins.plugin_utils._capture_model import End, Seen, Side, Stream
from ansible_collections.netfleet.tcp.plugins.plugin_utils._capture_streams import behind

# Seconds by which the clocks of two hosts may differ, and one be asked later than the other.
_APART = 1.0


@dataclass(frozen=True)
class Witness:
    """A host. seen: what its capture shows; None where there is none that could be read."""

    name: str
    view: HostView
    seen: Optional[Seen] = None


@dataclass
class Connection:
    """A connection, by the hosts that have seen it."""

    client: End
    server: End
    views: Dict[str, Stream] = field(default_factory=dict)

    def other(self, end: End) -> End:
        """The other end."""
        return self.server if end == self.client else self.client


@dataclass
class Talk:
    """All connections of one client's address to one service."""

    client: str
    server: End
    connections: List[Connection] = field(default_factory=list)


class Case:
    """All that is known. names: of hosts by their addresses."""

    def __init__(self, witnesses: Sequence[Witness], names: Mapping[str, str]) -> None:
        self.witnesses = {witness.name: witness for witness in witnesses}
        held = Counter(address for witness in witnesses for address in set(witness.view.addresses))
        # Those that several have are nobody's: of loopback, of docker0, of virtual ones.
        self.names = {
            address: witness.name
            for witness in witnesses
            for address in witness.view.addresses
            if held[address] == 1 and address not in ("127.0.0.1", "::1")
        }
        self._known = {**names, **self.names}
        self.translated = False
        self.talks = self._talks()

    def name(self, address: str) -> str:
        """Whose an address is, for people."""
        return self._known.get(address, address)

    def end(self, end: End) -> str:
        """A service, for people."""
        name = self.name(end[0])
        return ("[%s]:%d" if ":" in name else "%s:%d") % (name, end[1])

    def key(self, talk: Talk) -> str:
        """What findings call a client and a service."""
        return "%s->%s" % (self.name(talk.client), self.end(talk.server))

    def witness(self, end: End) -> Optional[Witness]:
        """The host at an end, where it was asked."""
        return self.witnesses.get(self.names.get(end[0], ""))

    def captured(self, end: End) -> bool:
        """Whether there is a capture of the host at an end."""
        found = self.witness(end)
        return found is not None and found.seen is not None

    def near(self, connection: Connection, end: End) -> Optional[Stream]:
        """The connection as the host at an end has seen it."""
        return connection.views.get(self.names.get(end[0], ""))

    def best(self, connection: Connection, end: End) -> Stream:
        """The connection as it is seen at an end, or else wherever it was."""
        return self.near(connection, end) or next(iter(connection.views.values()))

    def sees(self, end: End, other: End) -> bool:
        """Whether the host at an end has captured all that comes to it from the other one, on whatever interface."""
        found = self.witness(end)
        if found is None or found.seen is None:
            return False
        peers = {way.peer for way in found.view.ways}
        if peers and other[0] not in peers:
            # It calls the other end by an address that this does not send from: of several, or translated.
            return False
        if found.view.capture.interface == ANY:
            # Of packets that are on several interfaces only one of these counts.
            return not found.seen.duplicates
        return _has_one_way_in(found.view.addresses, end[0])

    def watch(self, end: End, other: End) -> Tuple[float, float]:
        """From when to when the host at an end has so captured, as far as clocks can be trusted.

        An end before the beginning: never.
        """
        found = self.witness(end)
        if found is None or not self.sees(end, other):
            return inf, -inf
        return found.view.started + _APART, found.view.ended - _APART / 2

    def watched(self, end: End, other: End, time: float) -> bool:
        """Whether it has so captured at that time."""
        began, ended = self.watch(end, other)
        return began <= time <= ended

    def _talks(self) -> List[Talk]:
        found: Dict[Tuple[End, End, int], Connection] = {}
        # By their ends: there may be a great many, and each is looked up.
        alike: Dict[Tuple[End, End], List[Tuple[End, End, int]]] = {}
        marks: Dict[int, Tuple[End, End]] = {}
        for witness in self.witnesses.values():
            for stream in witness.seen.streams if witness.seen else ():
                ends = (stream.client, stream.server)
                if stream.mark >= 0 and marks.setdefault(stream.mark, ends) != ends:
                    self.translated = True
                same = alike.setdefault(ends, [])
                key = self._same(same, stream)
                if key not in found:
                    found[key] = Connection(*ends)
                    same.append(key)
                found[key].views.setdefault(witness.name, stream)
        talks: Dict[Tuple[str, End], Talk] = {}
        for connection in found.values():
            where = (connection.client[0], connection.server)
            talks.setdefault(where, Talk(*where)).connections.append(connection)
        return list(talks.values())

    @staticmethod
    def _same(alike: Sequence[Tuple[End, End, int]], stream: Stream) -> Tuple[End, End, int]:
        """The key of the connection that a stream is a view of: without its SYN, any of these ends."""
        key = (stream.client, stream.server, stream.mark)
        if key in alike:
            return key
        return next((one for one in alike if -1 in (one[2], stream.mark)), key)


def _has_one_way_in(addresses: Iterable[str], own: str) -> bool:
    """Whether a host has no address of that family but this one, and so likely no other interface that it uses."""
    six = ":" in own
    others = (ip_address(each) for each in addresses if (":" in each) == six and each != own)
    return all(each.is_loopback or each.is_link_local for each in others)


@dataclass(frozen=True)
class Carried:
    """Bytes of data that one end sent while both captured, and that the other received.

    unknown: why that cannot be told, as the end of a sentence; empty where it can.
    """

    sent: int = 0
    arrived: int = 0
    unknown: str = ""

    @property
    def lost(self) -> int:
        """What was lost on the way."""
        return max(0, self.sent - self.arrived)


def carried(case: Case, connections: Iterable[Connection], client_sends: bool) -> Carried:
    """What of the data of one direction arrived."""
    sent = arrived = 0
    unknown = "from one end"
    for connection in connections:
        sender = connection.client if client_sends else connection.server
        near, far = case.near(connection, sender), case.near(connection, connection.other(sender))
        if near is None or far is None or near is far:
            continue
        if any(_misses(case, end) for end in (connection.client, connection.server)):
            # It would seem to be lost on the way.
            return Carried(unknown="where a capture has missed packets")
        unknown = "where the captures of both ends have no data in common: raise tcp_diagnose_seconds if one began late"
        here, there = near.side(sender), far.side(sender)
        began, ended = case.watch(connection.other(sender), sender)
        # Where nothing arrived, no number tells whether that end has captured by then.
        if there.ranges or min(near.last, ended) - max(near.first, began) > _APART:
            found = _compared(here, there)
            sent, arrived = sent + found.sent, arrived + found.arrived
    return Carried(sent, arrived) if sent or arrived else Carried(unknown=unknown)


def _misses(case: Case, end: End) -> bool:
    witness = case.witness(end)
    return witness is not None and bool(witness.view.capture.dropped + witness.view.capture.dropped_interface)


def _compared(near: Side, far: Side) -> Carried:
    """Within what of the sequence both have seen something: one may have begun later, or ended sooner."""
    if not near.ranges or not far.ranges:
        return Carried(sum(length for _seq, length in near.ranges), 0)
    base = near.ranges[0][0]
    here, there = ([(behind(seq, base), length) for seq, length in side.ranges] for side in (near, far))
    low = max(min(start for start, _length in each) for each in (here, there))
    high = min(max(start + length for start, length in each) for each in (here, there))
    # A card that cuts and joins segments has ends of them elsewhere at the sender than at the receiver: bytes count.
    sent, arrived = (
        sum(max(0, min(start + length, high) - max(start, low)) for start, length in each) for each in (here, there)
    )
    return Carried(sent, arrived)
