# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What captures show, as data: packets as tshark tells them, and what each side of a connection did. Pure.

Runs on the controller alone. Times are seconds, by the clock of the host that captured.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Dict, FrozenSet, List, Optional, Tuple

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
# What tshark's analysis of TCP says of a packet, without its prefix.
RETRANSMISSION, FAST, SPURIOUS = "retransmission", "fast_retransmission", "spurious_retransmission"
PROBE = "zero_window_probe"
MARKS = (RETRANSMISSION, FAST, SPURIOUS, PROBE)

End = Tuple[str, int]


@dataclass(frozen=True)
class Error:
    """An error of ICMP. sender: whose; mtu: bytes that a router says it can pass on, 0 where it says none."""

    sender: str
    type: int
    code: int
    mtu: int
    six: bool

    @property
    def too_big(self) -> bool:
        """Whether it says that a packet was too large."""
        return (self.type, self.code) == (3, 4) if not self.six else self.type == 2

    @property
    def expired(self) -> bool:
        """Whether it says that a packet has met too many routers."""
        return self.type == (3 if self.six else 11)


@dataclass(frozen=True)
class Packet:
    """A packet of TCP, or an error that is about one (then source and destination are those of the packet it quotes).

    seq, ack: as they stand in the packet; length: bytes of data; window: in bytes, as it was scaled, -1 where the scale
    is not known. scale, mss: as a SYN offers them. tsval: its timestamp, which tells a packet from its repetition.
    stream: the number that tshark gives the connection; ports that are used again begin another one.
    """

    number: int
    time: float
    source: End
    destination: End
    stream: int = -1
    ttl: int = 0
    flags: int = 0
    seq: int = 0
    ack: int = 0
    length: int = 0
    window: int = -1
    scale: Optional[int] = None
    mss: int = 0
    tsval: int = 0
    interface: int = 0
    marks: FrozenSet[str] = frozenset()
    error: Optional[Error] = None

    def has(self, flag: int) -> bool:
        """Whether a flag is set."""
        return bool(self.flags & flag)


@dataclass(frozen=True)
class Stuck:
    """A segment that was never acknowledged: how often it was sent, its bytes, and when first and last."""

    times: int = 0
    length: int = 0
    first: float = 0.0
    last: float = 0.0


@dataclass
class Side:
    """What one end of a connection sent, as one host saw it.

    segments: all with data, what a network card is yet to split counted as those that it becomes; repeated: of these,
    what was sent again (spurious: needlessly); burst: most of them within a second, of burst_of segments in it. scale,
    mss: that its SYN offered. closings: how often it announced a window of zero; closed: seconds that this held;
    still_closed: at the end, too. stuck: see there; passed: bytes of the largest segment that was acknowledged. ranges:
    of its data, each as it was sent, by the number of its first byte and its length. steps: at how many places of the
    sequences of both ends its packets stand.
    """

    packets: int = 0
    segments: int = 0
    data: int = 0
    repeated: int = 0
    spurious: int = 0
    burst: int = 0
    burst_of: int = 0
    syns: int = 0
    syn_acks: int = 0
    acks: int = 0
    resets: int = 0
    fins: int = 0
    scale: Optional[int] = None
    mss: int = 0
    first_syn: float = 0.0
    last: float = 0.0
    closings: int = 0
    closed: float = 0.0
    still_closed: bool = False
    stuck: Stuck = Stuck()
    passed: int = 0
    steps: int = 0
    ttls: Counter[int] = field(default_factory=Counter)
    reset_ttls: Counter[int] = field(default_factory=Counter)
    ranges: List[Tuple[int, int]] = field(default_factory=list)


@dataclass
class Stream:
    """A connection as one host saw it. client: who began it; known by its SYN, else by the ports.

    mark: the number that its SYN began with, by which it is the same at the other end; -1: no SYN was seen.
    """

    client: End
    server: End
    sides: Dict[End, Side]
    mark: int = -1
    first: float = 0.0
    last: float = 0.0
    errors: List[Error] = field(default_factory=list)

    def side(self, end: End) -> Side:
        """What an end sent."""
        return self.sides[end]


@dataclass(frozen=True)
class Seen:
    """What a host's capture shows. duplicates: how many packets were seen on several interfaces.

    blurred: it does not tell these interfaces apart, so that nothing is known of what was sent again.
    """

    streams: Tuple[Stream, ...] = ()
    duplicates: int = 0
    blurred: bool = False
