# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The vocabulary of a look at a host's TCP health, as data. Pure; travels as JSON by _model.to_wire and from_wire.

Times are in milliseconds and shares in percent, unless it is said otherwise.
"""

from __future__ import annotations

from dataclasses import field
from typing import Dict, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass

MET, NOT_MET, NOT_ENOUGH = "met", "not met", "not enough traffic"
# Since when something was counted.
SAMPLE, INTERVAL, BOOT = "sample", "interval", "boot"
# Said where not all sockets were seen, so that what they tell is not known.
UNLISTED = "sockets: the kernel did not list all of them (has it tcp_diag?)"
# The classes of peers that no user names.
OTHER, LOOPBACK = "other", "loopback"


@dataclass(frozen=True)
class Sample:
    """What TCP had counted at one time, by the names of nstat, such as TcpActiveOpens.

    boot: of which boot. netns: in which network namespace, which has counters of its own. uptime: in seconds.
    """

    boot: str
    netns: str
    uptime: float
    counters: Dict[str, int]


@dataclass(frozen=True)
class Counted:
    """What TCP counted between two samples. since: SAMPLE, INTERVAL, BOOT, or empty where that is not known."""

    since: str
    seconds: float
    counters: Dict[str, int]


@dataclass(frozen=True)
class Indicator:
    """A share of what was counted. low, high: between these it is, each with 95 % confidence.

    denominator: the size of the sample. needed: how large that must be to find the target met if nothing fails.
    verdict: MET, NOT_MET, NOT_ENOUGH; empty where there is no target.
    """

    numerator: int
    denominator: int
    percent: Optional[float]
    low: Optional[float]
    high: Optional[float]
    target: Optional[float]
    needed: int
    verdict: str


@dataclass(frozen=True)
class Rtt:
    """The smoothed RTT of the connections in use. low, high: between these the mean is, each with 95 % confidence.

    minimum_p50: the median of the lowest RTT that each connection has seen, which is that of the way without queues.
    deviation: the standard deviation, by which the RTTs of several hosts can be told as one.
    """

    connections: int = 0
    mean: Optional[float] = None
    p50: Optional[float] = None
    p95: Optional[float] = None
    minimum_p50: Optional[float] = None
    low: Optional[float] = None
    high: Optional[float] = None
    target: Optional[float] = None
    verdict: str = ""
    deviation: Optional[float] = None


@dataclass(frozen=True)
class PeerClass:
    """The established connections to peers of one class, each since it began.

    retransmitted: segments, SYNs included; segments: with data, retransmitted ones included. busy: time with data to
    send, of which receive_window_limited was spent waiting for the peer's window, and send_buffer_limited for room in
    the own buffer.
    """

    connections: int = 0
    retransmitted: int = 0
    segments: int = 0
    without_window_scale: int = 0
    busy: int = 0
    receive_window_limited: int = 0
    send_buffer_limited: int = 0
    rtt: Rtt = Rtt()


@dataclass(frozen=True)
class LiveConnection:
    """An established connection, as ADDRESS:PORT or [ADDRESS]:PORT; counts as in PeerClass, rtt as in Rtt."""

    local: str
    peer: str
    peer_class: str
    rtt: float
    retransmitted: int
    segments: int


@dataclass(frozen=True)
class Holder:
    """Whose a socket is: the process by its name and number (0: unknown), its systemd unit, its container."""

    process: str = ""
    pid: int = 0
    unit: str = ""
    container: str = ""


@dataclass(frozen=True)
class Listener:
    """A listening socket. backlog: connections that wait to be accepted, of at most limit. drops: since it began."""

    address: str
    port: int
    backlog: int
    limit: int
    drops: int
    holder: Holder = Holder()


@dataclass(frozen=True)
class Service:
    """A local port that is listened on, and its established connections."""

    port: int
    connections: int
    holders: Tuple[Holder, ...] = ()


@dataclass(frozen=True)
class PortUse:
    """Local ports that connections from one address to one other hold. percent: of those that there are."""

    source: str
    destination: str
    port: int
    time_wait: int
    open: int
    percent: float


@dataclass(frozen=True)
class Ports:
    """Local ports for outgoing connections: as many are available from each address to each other address and port."""

    available: int = 0
    most_used: Tuple[PortUse, ...] = ()


@dataclass(frozen=True)
class LoopbackEnd:
    """Whose connections to the host itself are; processes that are alike together.

    seen: how many of those that were seen open were theirs. user, kernel: processor time while it was looked, in
    percent of one core; none where it is not known.
    """

    holder: Holder
    seen: int = 0
    user: Optional[float] = None
    kernel: Optional[float] = None


@dataclass(frozen=True)
class LoopbackUse:
    """Connections from one address of the host to another and a port there, which a service of the host listens on.

    per_second: that came to their end and left a TIME-WAIT, with its bounds low and high of 95 % confidence each, as
    counted over so many seconds. time_wait: at the client's end, where they hold local ports, as those that are open
    do; server_time_wait: at the server's, where they hold none. percent: of the local ports that there are. reused:
    whether the kernel takes a port in TIME-WAIT for a new connection, after a second. demand: percent of the local
    ports that they come to hold at this rate, until they are reused or a minute has gone by. full_after: seconds after
    which all would be taken, were none reused; none where that never happens. users: the numbers of the users whose
    clients were seen. unix_sockets: paths that the server listens on as well.
    """

    source: str
    destination: str
    port: int
    per_second: Optional[float] = None
    low: Optional[float] = None
    high: Optional[float] = None
    seconds: float = 0.0
    time_wait: int = 0
    server_time_wait: int = 0
    open: int = 0
    percent: float = 0.0
    reused: bool = False
    demand: float = 0.0
    full_after: Optional[float] = None
    clients: Tuple[LoopbackEnd, ...] = ()
    servers: Tuple[LoopbackEnd, ...] = ()
    users: Tuple[int, ...] = ()
    unix_sockets: Tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Between whom, as findings name it."""
        return "%s->%s:%d" % (self.source, self.destination, self.port)

    @property
    def kernel(self) -> float:
        """Processor time in the kernel at both ends, in percent of one core, as far as it is known."""
        # A process may be its own client.
        ends = {end.holder: end.kernel or 0.0 for end in (*self.clients, *self.servers)}
        return sum(ends.values())


@dataclass(frozen=True)
class Loopback:
    """Connections of the host to itself. uses: those with the most that are short first.

    opened_at_most: per second, as counters say, however they end: of all that were opened and accepted. None where
    it was not counted over an interval.
    """

    opened_at_most: Optional[float] = None
    uses: Tuple[LoopbackUse, ...] = ()


@dataclass(frozen=True)
class Sockets:
    """All TCP sockets. Lists are cut to the longest few.

    states: how many are in each, by ss's names. congestion_control: of established connections. loopback: connections
    of the host to itself. outgoing: established connections from local ports that nobody listens on.
    """

    states: Dict[str, int] = field(default_factory=dict)
    congestion_control: Dict[str, int] = field(default_factory=dict)
    loopback: int = 0
    outgoing: int = 0
    peers: Dict[str, PeerClass] = field(default_factory=dict)
    retransmitting: Tuple[LiveConnection, ...] = ()
    without_window_scale: Tuple[LiveConnection, ...] = ()
    listeners: Tuple[Listener, ...] = ()
    services: Tuple[Service, ...] = ()


@dataclass(frozen=True)
class Health:
    """A look at a host's TCP.

    settings: the values of sysctl keys by which causes are told. limits: what could not be looked at. kernel: its
    release.
    """

    sample: Sample
    counted: Counted
    indicators: Dict[str, Indicator]
    fast_open: Dict[str, int]
    sockets: Sockets
    ports: Ports
    loopback: Loopback = Loopback()
    settings: Dict[str, str] = field(default_factory=dict)
    limits: Tuple[str, ...] = ()
    kernel: str = ""
