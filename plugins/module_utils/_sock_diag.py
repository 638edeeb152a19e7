# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's list of TCP connections, as its sock_diag(7) gives it: the request, and the answer in its parts. Pure.

The offsets are those of linux/inet_diag.h and linux/tcp.h, which only ever grow at their ends.
"""

from __future__ import annotations

import struct
from typing import Iterable, Iterator, Optional

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass

PROTOCOL = 4  # NETLINK_SOCK_DIAG
_BY_FAMILY = 20
_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_DONE = 3
_ERROR = 2
_INFO = 2  # INET_DIAG_INFO
_ESTABLISHED = 1 << 1
_TCP = 6
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBxI48x")
# Of inet_diag_msg: the family and the peer's address.
_MESSAGE = struct.Struct("=B3x2x2x16x16s12x20x")
_AF_INET = 2
_LOOPBACK_6 = bytes(15) + b"\1"
# An IPv4 address in an IPv6 one.
_MAPPED = bytes(10) + b"\xff\xff"
_LAST_ACK = 56
_RTT = 68


@dataclass(frozen=True)
class Connection:
    """An established connection.

    rtt: smoothed, in microseconds, 0 if unknown. quiet: milliseconds since the last acknowledgement.
    """

    loopback: bool
    rtt: int
    quiet: int


def request(family: int) -> bytes:
    """Ask for the established TCP connections, with their tcp_info. family: socket.AF_INET or AF_INET6."""
    body = _REQUEST.pack(family, _TCP, 1 << (_INFO - 1), _ESTABLISHED)
    return _HEADER.pack(_HEADER.size + len(body), _BY_FAMILY, _DUMP, 1, 0) + body


def is_last(datagram: bytes) -> bool:
    """Whether a datagram of the answer is its last: the list is done, or was refused."""
    return any(kind in (_DONE, _ERROR) for kind, _body in _messages(datagram))


def connections(datagrams: Iterable[bytes]) -> Iterator[Connection]:
    """The connections in an answer; those of which the kernel tells no tcp_info are left out."""
    for datagram in datagrams:
        for kind, body in _messages(datagram):
            if kind == _BY_FAMILY and len(body) >= _MESSAGE.size:
                found = _connection(body)
                if found:
                    yield found


def _messages(datagram: bytes) -> Iterator["tuple[int, bytes]"]:
    start = 0
    while start + _HEADER.size <= len(datagram):
        length, kind = _HEADER.unpack_from(datagram, start)[:2]
        if length < _HEADER.size:
            return
        yield kind, datagram[start + _HEADER.size : start + length]
        start += (length + 3) & ~3


def _connection(body: bytes) -> Optional[Connection]:
    family, target = _MESSAGE.unpack_from(body)
    info = _attribute(body, _INFO)
    if info is None or len(info) < _RTT + 4:
        return None
    quiet, rtt = (struct.unpack_from("=I", info, offset)[0] for offset in (_LAST_ACK, _RTT))
    return Connection(_is_loopback(family, target), rtt, quiet)


def _is_loopback(family: int, address: bytes) -> bool:
    # By the bytes: every module loads this, and ipaddress would take longer to load than all of it.
    if family == _AF_INET:
        return address[0] == 127
    return address == _LOOPBACK_6 or (address.startswith(_MAPPED) and address[len(_MAPPED)] == 127)


def _attribute(body: bytes, wanted: int) -> Optional[bytes]:
    start = _MESSAGE.size
    while start + 4 <= len(body):
        length, kind = struct.unpack_from("=HH", body, start)
        if length < 4:
            return None
        if kind == wanted:
            return body[start + 4 : start + length]
        start += (length + 3) & ~3
    return None
