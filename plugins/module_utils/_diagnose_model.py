# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one host says of its TCP while a diagnosis runs, as data. Pure; travels as JSON by _model.to_wire and from_wire.

Times are in milliseconds unless it is said otherwise; what is not known is 0 or empty, and limits says why.
"""

from __future__ import annotations

from dataclasses import field
from typing import Dict, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import Holder, Listener


@dataclass(frozen=True)
class Capture:
    """A capture. size: its bytes before it is compressed; full: whether it had to end before its time.

    received: packets that matched, as tcpdump counts them; dropped: of these, what it could not take;
    dropped_interface: what the interface could not. problem: why there is none, or no more of it. data: of the file,
    compressed by gzip; it travels apart from the rest.
    """

    interface: str = ""
    filter: str = ""
    packets: int = 0
    size: int = 0
    received: int = 0
    dropped: int = 0
    dropped_interface: int = 0
    full: bool = False
    problem: str = ""
    data: bytes = b""


@dataclass(frozen=True)
class SocketState:
    """A connection as the kernel has it.

    receive_queue: bytes that the application has not read; send_queue: bytes that are not acknowledged. busy: time
    with data to send, of which receive_window_limited and send_buffer_limited. retransmitted: segments, since it
    began; lost, unacked, cwnd: segments now. send_scale, receive_scale: window scale, where window_scale is true.
    send_window: bytes that the peer can take; -1: this kernel does not tell (before Linux 5.4).
    """

    local: str
    peer: str
    state: str
    receive_queue: int = 0
    send_queue: int = 0
    rtt: float = 0.0
    deviation: float = 0.0
    minimum_rtt: float = 0.0
    rto: float = 0.0
    cwnd: int = 0
    unacked: int = 0
    lost: int = 0
    retransmitted: int = 0
    backoff: int = 0
    send_mss: int = 0
    path_mtu: int = 0
    segments: int = 0
    bytes_acked: int = 0
    bytes_received: int = 0
    busy: int = 0
    receive_window_limited: int = 0
    send_buffer_limited: int = 0
    window_scale: bool = False
    send_scale: int = 0
    receive_scale: int = 0
    congestion_control: str = ""
    inode: int = 0
    send_window: int = -1


@dataclass(frozen=True)
class Hop:
    """A router on the way, or the peer. address: empty where nobody answered. loss: percent; rtt: the mean."""

    number: int
    address: str = ""
    loss: float = 0.0
    rtt: float = 0.0


@dataclass(frozen=True)
class Way:
    """The way to a peer. route: as ip prints it. hops: by tool; none where none is installed.

    route_mtu, path_mtu: bytes of the largest packet, as the kernel believes and as it is. connects: what became of
    connections that were tried, by the error's name (established: by the empty one).
    """

    peer: str
    interface: str = ""
    source: str = ""
    route: Dict[str, str] = field(default_factory=dict)
    route_mtu: int = 0
    path_mtu: int = 0
    tool: str = ""
    hops: Tuple[Hop, ...] = ()
    connects: Dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class InterfaceCounts:
    """What an interface has dropped in the time: its root qdisc, and itself (errors, by the names of ip).

    sent: packets, by the qdisc; received: packets, by the interface; overlimits: how often the qdisc held one back;
    backlog: bytes that wait there at the end.
    """

    name: str
    qdisc: str = ""
    sent: int = 0
    qdisc_dropped: int = 0
    overlimits: int = 0
    backlog: int = 0
    errors: Dict[str, int] = field(default_factory=dict)
    received: int = 0


@dataclass(frozen=True)
class Traced:
    """What bpftrace saw. event: retransmit, reset_sent, reset_received, connect; milliseconds: of a connect."""

    event: str
    local: str
    peer: str
    count: int = 1
    milliseconds: float = 0.0


@dataclass(frozen=True)
class HostView:
    """All that a host says. addresses: its own. counters: by the names of nstat, what was counted in the time.

    seconds: how long it was. started, ended: since the epoch, by the host's clock. raw: what programs printed, by a
    name, for the archive.
    """

    seconds: float = 0.0
    started: float = 0.0
    ended: float = 0.0
    kernel: str = ""
    addresses: Tuple[str, ...] = ()
    capture: Capture = Capture()
    sockets: Tuple[SocketState, ...] = ()
    listeners: Tuple[Listener, ...] = ()
    holders: Dict[str, Holder] = field(default_factory=dict)
    counters: Dict[str, int] = field(default_factory=dict)
    settings: Dict[str, str] = field(default_factory=dict)
    ways: Tuple[Way, ...] = ()
    interfaces: Tuple[InterfaceCounts, ...] = ()
    backlog_drops: int = 0
    traced: Tuple[Traced, ...] = ()
    raw: Dict[str, str] = field(default_factory=dict)
    limits: Tuple[str, ...] = ()
