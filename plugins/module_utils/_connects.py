# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""TCP connections to many destinations, one at a time to each, and what the kernel tells of each of them.

I/O, apart from _system: it is seldom wanted. Nothing is sent over a connection. Offsets: linux/tcp.h (tcp_info), which
only ever grows at its end.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import struct
import time
from typing import Dict, List, Optional, Sequence, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._probe_model import TIMEOUT, Attempt

# linux/in.h, linux/in6.h: of a connected socket, the bytes that the kernel believes to get through.
_IP_MTU, _IPV6_MTU = 14, 24
_TCP_INFO, _LONGEST = 11, 256
_OPTIONS, _RTT, _TOTAL_RETRANS = 5, 68, 100
_WINDOW_SCALE = 4  # TCPI_OPT_WSCALE
# Where nobody serves UDP; nothing is sent there.
_DISCARD = 9
# An address, and a port.
Place = Tuple[str, int]


class _Destination:
    """Where the next connection to one destination stands."""

    def __init__(self, place: Place, due: float) -> None:
        self.place = place
        self.due = due
        self.began = 0.0
        self.open: Optional[socket.socket] = None
        self.attempts: List[Attempt] = []


def connect_all(
    places: Sequence[Place], attempts: int, timeout: float, pause: float, at_once: int
) -> List[List[Attempt]]:
    """What became of each attempt, by place. timeout: seconds for one; pause: between two to the same destination.

    at_once: how many connections are under way at a time, at most.
    """
    now = time.monotonic()
    # Not all of them in the same moment: that would be a burst on the host's own interface.
    found = [_Destination(place, now + pause * number / max(1, len(places))) for number, place in enumerate(places)]
    with selectors.DefaultSelector() as selector:
        while any(each.open or len(each.attempts) < attempts for each in found):
            now = time.monotonic()
            room = at_once - sum(each.open is not None for each in found)
            waiting = [each for each in found if each.open is None and len(each.attempts) < attempts]
            for each in sorted((each for each in waiting if each.due <= now), key=lambda each: each.due)[:room]:
                _begin(each, selector, pause)
            ends = [each.began + timeout for each in found if each.open]
            starts = [each.due for each in waiting if each.open is None and each.due > now] if room > 0 else []
            for key, _events in selector.select(max(0.0, min([*ends, *starts], default=now) - now)):
                _end(key.data, selector, pause, None)
            now = time.monotonic()
            for each in found:
                if each.open and each.began + timeout <= now:
                    _end(each, selector, pause, TIMEOUT)
    return [each.attempts for each in found]


def route_mtu(address: str) -> int:
    """Bytes of the largest packet to an address that the kernel would send now; 0 where it has no route."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    level, option = (socket.IPPROTO_IPV6, _IPV6_MTU) if ":" in address else (socket.IPPROTO_IP, _IP_MTU)
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asked:
            asked.connect((address, _DISCARD))
            return asked.getsockopt(level, option)
    except OSError:
        return 0


def _begin(each: _Destination, selector: selectors.BaseSelector, pause: float) -> None:
    each.began = time.monotonic()
    family = socket.AF_INET6 if ":" in each.place[0] else socket.AF_INET
    try:
        each.open = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    except OSError as error:
        each.attempts.append(Attempt(_name(error.errno)))
        each.due = each.began + pause
        return
    selector.register(each.open, selectors.EVENT_WRITE, each)
    number = each.open.connect_ex(each.place)
    if number not in (0, errno.EINPROGRESS):
        _end(each, selector, pause, _name(number))


def _end(each: _Destination, selector: selectors.BaseSelector, pause: float, why: Optional[str]) -> None:
    """Note what became of the connection that is open. why: where that is known already."""
    if each.open is None:
        return
    now = time.monotonic()
    if why is None:
        why = _name(each.open.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
    rtt, again, options = _info(each.open)
    # What is measured from a SYN that was sent twice is measured by timestamps alone, in steps of milliseconds.
    known = 0 if why or again else rtt
    each.attempts.append(Attempt(why, round(now - each.began, 6), known, again, bool(options & _WINDOW_SCALE)))
    selector.unregister(each.open)
    each.open.close()
    each.open = None
    each.due = now + pause


def _name(number: Optional[int]) -> str:
    """The name of an error, such as ECONNREFUSED; empty for none."""
    return errno.errorcode.get(number, os.strerror(number)) if number else ""


def _info(opened: socket.socket) -> Tuple[int, int, int]:
    """RTT in microseconds, how often the SYN was sent again, and the options that both ends use."""
    try:
        info = opened.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _LONGEST)
    except OSError:
        return 0, 0, 0
    if len(info) < _TOTAL_RETRANS + 4:
        return 0, 0, 0
    rtt, again = (struct.unpack_from("=I", info, offset)[0] for offset in (_RTT, _TOTAL_RETRANS))
    return rtt, again, info[_OPTIONS]


def route_mtus(addresses: Sequence[str]) -> Dict[str, int]:
    """The same as route_mtu, of each address."""
    return {address: route_mtu(address) for address in addresses}
