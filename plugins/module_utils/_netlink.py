# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages of netlink(7): put together, and taken apart. Pure.

The list of sockets has its own (_sock_diag).
"""

from __future__ import annotations

import struct
from typing import Dict, Iterator, Tuple

GENERIC, NETFILTER = 16, 12
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_REQUEST, _ACK, _DUMP = 1, 4, 0x300
_ERROR, _DONE = 2, 3
# Of messages, those after which nothing more comes of a list.
LAST = (_ERROR, _DONE)
_NESTED = 0x8000
# Without the bits that say that it is nested, or in which order its bytes are.
_KIND = 0x3FFF
NO_ANSWER = -1


def message(kind: int, body: bytes, acknowledged: bool = False, dump: bool = False) -> bytes:
    """A request. acknowledged: the kernel answers also where it has nothing to say but that it is done.

    dump: of a list (see System.netlink_dump).
    """
    flags = _REQUEST | (_ACK if acknowledged else 0) | (_DUMP if dump else 0)
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body


def attribute(kind: int, value: bytes) -> bytes:
    """An attribute, padded to four bytes."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def nested(kind: int, *inner: bytes) -> bytes:
    """An attribute that has others in it."""
    return attribute(kind | _NESTED, b"".join(inner))


def messages(datagram: bytes) -> Iterator[Tuple[int, bytes]]:
    """(kind, body) of each message; one that was cut off is left out."""
    start = 0
    while start + _HEADER.size <= len(datagram):
        length, kind = _HEADER.unpack_from(datagram, start)[:2]
        if length < _HEADER.size or start + length > len(datagram):
            return
        yield kind, datagram[start + _HEADER.size : start + length]
        start += (length + 3) & ~3


def attributes(body: bytes) -> Dict[int, bytes]:
    """The attributes in a body by their kinds; of a kind that is given twice, the last."""
    found: Dict[int, bytes] = {}
    start = 0
    while start + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, start)
        if length < _ATTRIBUTE.size or start + length > len(body):
            return found
        found[kind & _KIND] = body[start + _ATTRIBUTE.size : start + length]
        start += (length + 3) & ~3
    return found


def error_in(datagram: bytes) -> int:
    """The errno with which the kernel has refused a request; 0 where it did not, NO_ANSWER where it said nothing."""
    if not datagram:
        return NO_ANSWER
    for kind, body in messages(datagram):
        if kind == _ERROR and len(body) >= 4:
            return -int(struct.unpack_from("=i", body)[0])
    return 0
