# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's list of TCP sockets, as its sock_diag(7) gives it: the request, and the answer in its parts. Pure.

Every module loads this. What is read of each socket beyond its RTT is in _socket_tally.

The offsets are those of linux/inet_diag.h and linux/tcp.h, which only ever grow at their ends.
"""

from __future__ import annotations

import struct
from typing import Dict, Iterable, Iterator, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass

PROTOCOL = 4  # NETLINK_SOCK_DIAG
INFO, CONG, SKMEMINFO = 2, 4, 7  # INET_DIAG_*
ESTABLISHED, LISTEN = 1, 10  # of linux/tcp_states.h
_BY_FAMILY = 20
_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_INTERRUPTED = 0x10  # NLM_F_DUMP_INTR
_DONE = 3
_ERROR = 2
_TCP = 6
_HEADER = struct.Struct("=IHHII")
_HEADER_START = struct.Struct("=IHH")
_RESULT = struct.Struct("=i")
_ATTRIBUTE = struct.Struct("=HH")
_OPERATION = struct.Struct("=BBH")  # inet_diag_bc_op
_BYTECODE = 1  # INET_DIAG_REQ_BYTECODE
_AT_LEAST, _AT_MOST = 4, 5  # INET_DIAG_BC_D_GE, INET_DIAG_BC_D_LE
_REQUEST = struct.Struct("=BBBxI48x")
MESSAGE_SIZE = 72  # inet_diag_msg
# Where in it: the own address, and the peer's.
_SOURCE, _TARGET = 8, 24
_AF_INET = 2
_LOOPBACK_6 = bytes(15) + b"\1"
# An IPv4 address in an IPv6 one.
MAPPED = bytes(10) + b"\xff\xff"
_LAST_ACK = 56
_RTT = 68
# A socket's message: the datagram that it is in, and where there it begins and ends.
Place = Tuple[bytes, int, int]


@dataclass(frozen=True)
class Connection:
    """An established connection.

    loopback: whether it is one to the host itself, as far as it tells by its own addresses alone.
    rtt: smoothed, in microseconds, 0 if unknown. quiet: milliseconds since the last acknowledgement.
    """

    loopback: bool
    rtt: int
    quiet: int


class Answer:
    """An answer of the kernel, of which nothing is kept: the places of its sockets, one after the other.

    Once these were gone through, complete says whether the list came to its end, interrupted whether the kernel
    warned that it changed meanwhile, so that some of it may be missing.
    """

    def __init__(self, datagrams: Iterable[bytes]) -> None:
        self._datagrams = datagrams
        self.complete = False
        self.interrupted = False

    def __iter__(self) -> Iterator[Place]:
        for datagram in self._datagrams:
            start, size = 0, len(datagram)
            while start + _HEADER.size <= size:
                length, kind, flags = _HEADER_START.unpack_from(datagram, start)
                end = start + length
                if flags & _INTERRUPTED:
                    self.interrupted = True
                if kind in (_DONE, _ERROR):
                    self.complete = kind == _DONE and not refused(datagram[start + _HEADER.size : end])
                    return
                if length < _HEADER.size or end > size:
                    break
                if kind == _BY_FAMILY and length >= _HEADER.size + MESSAGE_SIZE:
                    yield datagram, start + _HEADER.size, end
                start += (length + 3) & ~3


def refused(done: bytes) -> bool:
    """Whether the body of the message that ends a list has an error: what comes before it is not all then.

    A list for which the kernel lacks a part, such as tcp_diag, ends so, with nothing in it.
    """
    return len(done) >= _RESULT.size and _RESULT.unpack_from(done)[0] < 0


def request(family: int, states: int = 1 << ESTABLISHED, parts: Iterable[int] = (INFO,), peer_port: int = 0) -> bytes:
    """Ask for the TCP sockets of a family (socket.AF_INET or AF_INET6).

    states: a mask of linux/tcp_states.h. parts: the attributes that are wanted of each. peer_port: of these alone.
    """
    body = _REQUEST.pack(family, _TCP, sum(1 << (part - 1) for part in parts), states)
    if peer_port:
        program = b"".join(_OPERATION.pack(*each) for each in _of_peer_port(peer_port))
        body += _ATTRIBUTE.pack(_ATTRIBUTE.size + len(program), _BYTECODE) + program
    return _HEADER.pack(_HEADER.size + len(body), _BY_FAMILY, _DUMP, 1, 0) + body


def _of_peer_port(port: int) -> Tuple[Tuple[int, int, int], ...]:
    """A program that the kernel runs for each socket: each step goes on so many bytes where it holds, else as many.

    Its end is a yes, and four bytes beyond it is a no. The port stands in the step after the one that compares.
    """
    return (_AT_LEAST, 8, 20), (0, 0, port), (_AT_MOST, 8, 12), (0, 0, port)


def connections(datagrams: Iterable[bytes]) -> Iterator[Connection]:
    """The connections in an answer; those of which the kernel tells no tcp_info are left out."""
    for datagram, start, end in Answer(datagrams):
        found = _connection(datagram, start, end)
        if found:
            yield found


def attributes(datagram: bytes, start: int, end: int) -> Dict[int, Tuple[int, int]]:
    """Where the attributes of a socket's message begin, and how long they are, by their kinds."""
    found: Dict[int, Tuple[int, int]] = {}
    place = start + MESSAGE_SIZE
    while place + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(datagram, place)
        if length < 4 or place + length > end:
            break
        found[kind] = (place + 4, length - 4)
        place += (length + 3) & ~3
    return found


def is_loopback(family: int, address: bytes) -> bool:
    """Whether an address of sixteen bytes, IPv4 in the first four, is one of loopback."""
    # By the bytes: every module loads this, and ipaddress would take longer to load than all of it.
    if family == _AF_INET:
        return address[0] == 127
    return address == _LOOPBACK_6 or (address.startswith(MAPPED) and address[len(MAPPED)] == 127)


def _connection(datagram: bytes, start: int, end: int) -> Optional[Connection]:
    info, length = attributes(datagram, start, end).get(INFO, (0, 0))
    if length < _RTT + 4:
        return None
    quiet, rtt = (struct.unpack_from("=I", datagram, info + offset)[0] for offset in (_LAST_ACK, _RTT))
    source, target = (datagram[start + place : start + place + 16] for place in (_SOURCE, _TARGET))
    return Connection(source == target or is_loopback(datagram[start], target), rtt, quiet)
