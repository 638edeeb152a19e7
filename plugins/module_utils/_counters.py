# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host's TCP has counted since its boot, and the RTT of its connections: two small files and one netlink dump.

Sources: /proc/net/snmp and /proc/net/netstat (RFC 4022 and linux/snmp.h), sock_diag(7).
"""

from __future__ import annotations

import socket
from itertools import islice
from typing import Dict, List, Mapping, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint_store import uptime
from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._sock_diag import connections, request
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System

# Milliseconds after which a connection's RTT says nothing of today's network: nothing was acknowledged since.
IDLE = 60_000
# A proxy may have a million connections; those that come first stand for the rest. Of up to 32 KiB each: some 50,000.
_MOST_DATAGRAMS = 500


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

    @property
    def resent(self) -> int:
        """Data segments sent again: without SYNs."""
        return max(0, self.retransmitted - self.syn_retransmitted)

    @property
    def not_established(self) -> int:
        """Connections opened here that came to nothing: without those refused in mid-handshake from outside."""
        return max(0, self.failed - self.refused)


# What counts each of them, by the names of nstat.
COUNTED_BY = {
    "segments": "TcpExtTCPOrigDataSent",
    "retransmitted": "TcpRetransSegs",
    "syn_retransmitted": "TcpExtTCPSynRetrans",
    "opened": "TcpActiveOpens",
    "accepted": "TcpPassiveOpens",
    "failed": "TcpAttemptFails",
    "refused": "TcpExtEmbryonicRsts",
    "dropped": "TcpExtListenDrops",
}


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
        for entry in connections(islice(system.sock_diag(request(family)), _MOST_DATAGRAMS)):
            if entry.rtt and not entry.loopback and entry.quiet < IDLE:
                found.append(entry.rtt)
    found.sort()
    return (found[len(found) // 2], len(found)) if found else (0, 0)


def read_named(system: System) -> Dict[str, int]:
    """All that TCP counts, by the names of nstat; empty where it cannot be read."""
    found: Dict[str, int] = {}
    for path, protocol in (("/proc/net/snmp", "Tcp"), ("/proc/net/netstat", "TcpExt")):
        for name, value in parse_counters(system.read(path) or "").get(protocol, {}).items():
            found[protocol + name] = value
    return found


def counts_of(named: Mapping[str, int]) -> Dict[str, int]:
    """The fields of Counts from counters by the names of nstat; what is not counted is 0."""
    return {field: named.get(name, 0) for field, name in COUNTED_BY.items()}


def read_counters(system: System) -> Counters:
    """Read them now; what this kernel does not count is 0."""
    rtt, counted = median_rtt(system)
    return Counters(uptime=uptime(system), rtt=rtt, connections=counted, **counts_of(read_named(system)))
