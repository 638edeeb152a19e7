# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The targets of TCP health, as data: what holds for every host, and what for hosts of a profile besides. Pure.

Sources: the targets of established connections, retransmission and RTT are those that the project was asked for; an RTT
below 5 ms is what the profile local means, and below 50 ms the profile cloud. wan and edge have no RTT from which on a
host would be unwell. That of SYNs sent again is ours.
"""

from __future__ import annotations

import math
from typing import Any, Dict, Mapping

# Percent. Of success more than that, of retransmission less.
TARGETS: Dict[str, float] = {
    "client_success": 99.9,
    "server_success": 99.9,
    "retransmission": 0.5,
    "syn_retransmission": 2.0,
}
# Milliseconds, by class of peers, where there is such a class. A profile has a class of its name.
RTT_TARGETS: Dict[str, float] = {"local": 5.0, "cloud": 50.0}
# By profile, where it has others in percent than TARGETS.
BY_PROFILE: Dict[str, Mapping[str, float]] = {"local": {}, "cloud": {}, "wan": {}, "edge": {}}


def targets_of(profile: str) -> Dict[str, float]:
    """What is to be met by a host of a profile, in percent; a host without one has what holds for all."""
    return {**TARGETS, **BY_PROFILE.get(profile, {})}


def milliseconds(value: Any) -> float:
    """A target for an RTT as users write it, a number or its text; infinite where it is none."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return math.inf
    return found if found >= 0 else math.inf


# Percent of the local ports to one other address from which on they are scarce. Ours.
PORTS_SCARCE = 80.0
# Of short connections of a host to itself, by one client address to one service. These are ours; what they come from:
# Connections a second from which on it is told of them. TIME-WAIT lasts 60 s, so that 100 a second hold 6,000 of the
# 28,232 local ports that Linux has by default; the processor time is 1 % of a core or so, and nobody would notice.
LOOPBACK_RATE = 100.0
# Percent of the local ports that they would hold, where none is reused, from which on that is a danger: twice as many,
# as on a busy day, would take them all. By default that is 235 a second.
LOOPBACK_PORTS = 50.0
# Percent of one core that both ends spend in the kernel. By a UNIX domain socket the client spends a third of it
# (measured: 15 us a connection in place of 42), so that from here on there is something to be had.
LOOPBACK_KERNEL = 25.0
