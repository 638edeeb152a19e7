# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host's TCP has counted since its boot, and the RTT of its connections: two small files and one netlink dump.

Sources: /proc/net/snmp and /proc/net/netstat (RFC 4022 and linux/snmp.h), sock_diag(7).
"""

from __future__ import annotations

import socket
from typing import Dict, List, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint_store import uptime
from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._sock_diag import connections, request
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System

# Milliseconds after which a connection's RTT says nothing of today's network: nothing was acknowledged since.
_IDLE = 60_000


@dataclass(frozen=True)
class Counts:
    """What TCP counts.

    segments: data segments sent for the first time (TCPOrigDataSent: RetransSegs is no part of OutSegs, which counts
    pure acknowledgements, and would flatter a receiver). retransmitted: SYNs included (RetransSegs); syn_retransmitted:
    these, SYN-ACKs included. opened: connections begun from here (ActiveOpens); accepted: handshakes completed here
    (PassiveOpens). failed: handshakes that came to nothing (AttemptFails), of which refused: by a reset of those that
    others had begun (EmbryonicRsts). dropped: connections that a listener had no room for (ListenDrops).
    """

    segments: int = 0
    retransmitted: int = 0
    syn_retransmitted: int = 0
    opened: int = 0
    accepted: int = 0
    failed: int = 0
    refused: int = 0
    dropped: int = 0


@dataclass(frozen=True)
class Counters(Counts):
    """Counts since boot, and when they were read: uptime, in seconds.

    rtt: the median of the smoothed RTT of the connections that were not idle and not to the host itself, in
    microseconds, 0 where there are none; connections: how many these are.
    """

    uptime: float = 0.0
    rtt: int = 0
    connections: int = 0


def parse_counters(text: str) -> Dict[str, Dict[str, int]]:
    """The counters of /proc/net/snmp or netstat by protocol and name: each has a line of names and one of numbers."""
    found: Dict[str, Dict[str, int]] = {}
    lines = text.splitlines()
    for names, numbers in zip(lines[::2], lines[1::2]):
        # Each begins with the protocol, and a colon.
        protocol = names.partition(":")[0]
        pairs = zip(names.split()[1:], numbers.split()[1:])
        found[protocol] = {name: int(value) for name, value in pairs}
    return found


def median_rtt(system: System) -> Tuple[int, int]:
    """The median RTT in microseconds, and of how many connections."""
    found: List[int] = []
    for family in (socket.AF_INET, socket.AF_INET6):
        for entry in connections(system.sock_diag(request(family))):
            if entry.rtt and not entry.loopback and entry.quiet < _IDLE:
                found.append(entry.rtt)
    found.sort()
    return (found[len(found) // 2], len(found)) if found else (0, 0)


def read_counters(system: System) -> Counters:
    """Read them now; what this kernel does not count is 0."""
    tcp = parse_counters(system.read("/proc/net/snmp") or "").get("Tcp", {})
    more = parse_counters(system.read("/proc/net/netstat") or "").get("TcpExt", {})
    rtt, counted = median_rtt(system)
    return Counters(
        uptime=uptime(system),
        segments=more.get("TCPOrigDataSent", 0),
        retransmitted=tcp.get("RetransSegs", 0),
        syn_retransmitted=more.get("TCPSynRetrans", 0),
        opened=tcp.get("ActiveOpens", 0),
        accepted=tcp.get("PassiveOpens", 0),
        failed=tcp.get("AttemptFails", 0),
        refused=more.get("EmbryonicRsts", 0),
        dropped=more.get("ListenDrops", 0),
        rtt=rtt,
        connections=counted,
    )
