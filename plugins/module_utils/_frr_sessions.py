# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""FRR of a host, asked for its sessions. Pure but for the System that is handed in."""

from __future__ import annotations

import time
from typing import Callable, Sequence, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError, host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._frr import (
    BFD_PEERS,
    INSTALL,
    SESSIONS,
    RoutingSession,
    parse_sessions,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System

# Seconds between two looks.
_PAUSE = 1.0


def read_sessions(system: System) -> Tuple[RoutingSession, ...]:
    """The sessions of BGP, as FRR has them. HostError where it does not answer."""
    return parse_sessions(_said(system, SESSIONS), _said(system, BFD_PEERS, optional=True) or "")


def _said(system: System, argv: Sequence[str], optional: bool = False) -> str:
    status, output, error = system.run(list(argv))
    if status and not optional:
        cure = INSTALL if status == 127 else "see systemctl status frr"
        raise host_error(" ".join(argv), error.strip() or "FRR does not answer", cure)
    return output if not status else ""


def await_sessions(
    system: System,
    neighbors: Sequence[str],
    seconds: float,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Tuple[RoutingSession, ...]:
    """The sessions, once those with these neighbors are up, or so many seconds are over. HostError as read_sessions."""
    until = clock() + seconds
    while True:
        late = clock() >= until
        try:
            found = read_sessions(system)
            if late or set(neighbors) <= {session.neighbor for session in found if session.up}:
                return found
        except HostError:
            # It may still be starting.
            if late:
                raise
        sleep(_PAUSE)
