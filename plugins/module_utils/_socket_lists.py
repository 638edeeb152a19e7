# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's list of TCP sockets, asked for. Pure but for the System that is handed in."""

from __future__ import annotations

from itertools import islice
from typing import Sequence

from ansible_collections.netfleet.tcp.plugins.module_utils._sock_diag import Answer, request
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System

# Of up to 32 KiB each: two million connections, which take some ten seconds.
_MOST_DATAGRAMS = 20_000


def ask(system: System, family: int, states: int, parts: Sequence[int]) -> Answer:
    """The sockets of a family in these states (a mask), each with these parts; read while it is gone through."""
    return Answer(islice(system.sock_diag(request(family, states, parts)), _MOST_DATAGRAMS))
