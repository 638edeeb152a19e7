# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""ICMP echo in packets of a given size that nobody may fragment. I/O, apart from _system: it is seldom wanted.

The sockets ignore what the kernel believes of a path: a router that drops in silence has taught it nothing, and what it
once learned may be long over. Sources: icmp(7), ip(7), ipv6(7), RFC 792, RFC 4443.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import struct
import time
from typing import Dict, List, Optional, Sequence, Set, Tuple

# (address, bytes of the IP packet)
Asked = Tuple[str, int]

# linux/in.h, linux/in6.h
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _PROBE = 10, 23, 3
_ECHO = {4: (8, 0), 6: (128, 129)}  # request, reply
_IP_HEADER = {4: 20, 6: 40}
_ICMP = struct.Struct("!BBHHH")
# What tells our echoes from others', of which size it was, and when it was sent.
_MARK = struct.Struct("!8sHd")
# Of each size so many are sent, unless it was answered: one may be lost.
_COPIES = 3
_RECEIVE = 1 << 16
# Seconds for taking what has come, once the time is over; others' echoes come all the time.
_LATE = 0.5


def echo(asked: Sequence[Asked], seconds: float) -> Dict[Asked, float]:
    """Which are answered within so many seconds, and in how many each. Where none can be sent, none is."""
    with contextlib.ExitStack() as stack:
        sockets: Dict[int, socket.socket] = {}
        for version in {_version(address) for address, _size in asked}:
            opened = _socket(version)
            if opened is not None:
                sockets[version] = stack.enter_context(opened)
        return _Exchange(sockets).run(asked, seconds) if sockets else {}


def _version(address: str) -> int:
    return 6 if ":" in address else 4


def _socket(version: int) -> Optional[socket.socket]:
    family, protocol, level, option = (
        (socket.AF_INET, socket.IPPROTO_ICMP, socket.IPPROTO_IP, _IP_MTU_DISCOVER)
        if version == 4
        else (socket.AF_INET6, socket.IPPROTO_ICMPV6, socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER)
    )
    opened = None
    try:
        opened = socket.socket(family, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        opened.setsockopt(level, option, _PROBE)
        opened.setblocking(False)
    except OSError:
        if opened is not None:
            opened.close()
        return None
    return opened


class _Exchange:
    """One round: everything is sent, and sent again while it is not answered."""

    def __init__(self, sockets: Dict[int, socket.socket]) -> None:
        self._sockets = sockets
        self._token = os.urandom(8)
        self._number = os.getpid() & 0xFFFF
        self._found: Dict[Asked, float] = {}

    def run(self, asked: Sequence[Asked], seconds: float) -> Dict[Asked, float]:
        began = time.monotonic()
        waiting: Set[Asked] = {entry for entry in asked if _version(entry[0]) in self._sockets}
        for copy in range(_COPIES):
            waiting = {entry for entry in waiting - set(self._found) if self._send(*entry)}
            # The last is given the longest.
            until = began + seconds * ((copy + 1) / (_COPIES + 1) if copy + 1 < _COPIES else 1)
            self._listen(waiting, until)
        return self._found

    def _send(self, address: str, size: int) -> bool:
        """Whether it may be answered: what is larger than the host's own interface takes is not."""
        version = _version(address)
        data = _MARK.pack(self._token, size, time.monotonic())
        data += bytes(max(0, size - _IP_HEADER[version] - _ICMP.size - len(data)))
        request = _ECHO[version][0]
        # Of ICMPv6 the kernel fills the checksum in.
        checksum = _checksum(_ICMP.pack(request, 0, 0, self._number, 0) + data) if version == 4 else 0
        packet = _ICMP.pack(request, 0, checksum, self._number, 0) + data
        try:
            self._sockets[version].sendto(packet, (address, 0))
        except OSError as error:
            # Anything else, such as a route that is not there yet, may be over when the next copy is sent.
            return error.errno != errno.EMSGSIZE
        return True

    def _listen(self, waiting: Set[Asked], until: float) -> None:
        while not waiting <= set(self._found):
            left = until - time.monotonic()
            # What has come is taken though the time is over: this process may have been the one that was late.
            ready: List[socket.socket] = select.select(list(self._sockets.values()), [], [], max(0.0, left))[0]
            if left < -_LATE or (left <= 0 and not ready):
                return
            for each in ready:
                with contextlib.suppress(OSError):
                    packet, sender = each.recvfrom(_RECEIVE)
                    self._receive(packet, str(sender[0]), 4 if each.family == socket.AF_INET else 6)

    def _receive(self, packet: bytes, sender: str, version: int) -> None:
        # Of IPv4 the socket gives the IP header too.
        icmp = packet[(packet[0] & 15) * 4 :] if version == 4 and packet else packet
        if len(icmp) < _ICMP.size + _MARK.size or icmp[0] != _ECHO[version][1]:
            return
        token, size, sent = _MARK.unpack_from(icmp, _ICMP.size)
        if token == self._token:
            self._found.setdefault((sender, size), time.monotonic() - sent)


def _checksum(data: bytes) -> int:
    """The internet's checksum (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total = sum(struct.unpack("!%dH" % (len(padded) // 2), padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
