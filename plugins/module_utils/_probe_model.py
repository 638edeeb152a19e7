# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The vocabulary of an active probe, as data. Pure; travels as JSON by _model.to_wire and from_wire."""

from __future__ import annotations

from dataclasses import field
from typing import Dict, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import Indicator, Rtt

# In the place of an error of the kernel: nobody answered in the time that was given.
TIMEOUT = "TIMEOUT"
# The same where a name has no address here.
UNKNOWN_NAME = "UNKNOWN_NAME"


@dataclass(frozen=True)
class Destination:
    """Where connections go. name: of the host, for people; address: an address, or a name that the host resolves."""

    name: str
    address: str
    port: int

    @property
    def key(self) -> str:
        """What findings call it."""
        return "%s:%d" % (self.name, self.port)


@dataclass(frozen=True)
class Attempt:
    """One connection. error: the name of the kernel's error, TIMEOUT, UNKNOWN_NAME; empty: it was established.

    seconds: until then. rtt: in microseconds, 0 where it is not known. again: how often its SYN was sent again.
    """

    error: str
    seconds: float = 0.0
    rtt: int = 0
    again: int = 0
    window_scale: bool = False


@dataclass(frozen=True)
class Reached:
    """What became of the connections to one destination.

    address: the one that was called; empty where the name has none. failures: how many failed, by the name of the
    error. connect_p50, connect_most: milliseconds until one was established. peer_class: of its address. route_mtu:
    bytes of a packet that the kernel believes to get through, path_mtu: that do; 0 where that is not known.
    """

    name: str
    address: str
    port: int
    attempts: int = 0
    established: int = 0
    failures: Dict[str, int] = field(default_factory=dict)
    syn_retransmitted: int = 0
    without_window_scale: int = 0
    connect_p50: float = 0.0
    connect_most: float = 0.0
    peer_class: str = ""
    rtt: Rtt = Rtt()
    route_mtu: int = 0
    path_mtu: int = 0
    indicators: Dict[str, Indicator] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What findings call it."""
        return "%s:%d" % (self.name, self.port)


@dataclass(frozen=True)
class Probed:
    """A host's probe. counters: by the names of nstat, what TCP would count if it counted these connections alone.

    indicators: of all destinations together; rtts: by class of peers. limits: what could not be probed, and why.
    """

    destinations: Tuple[Reached, ...] = ()
    counters: Dict[str, int] = field(default_factory=dict)
    indicators: Dict[str, Indicator] = field(default_factory=dict)
    rtts: Dict[str, Rtt] = field(default_factory=dict)
    limits: Tuple[str, ...] = ()
    kernel: str = ""
