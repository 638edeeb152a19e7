# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cuts the payload off the packets of a capture while it is made, so that no byte of it is ever kept. Pure.

A snapshot length cannot do that: headers are of 40 to 140 bytes, so what holds the longest lets payload of most packets
through. Here each packet ends where its last header does. Sources: pcap-savefile(5), the link types of tcpdump.org,
RFC 791, 8200, 9293, 792, 4443.
"""

from __future__ import annotations

import struct
from typing import Iterator, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import host_error

_FILE_HEADER, _RECORD = 24, 16
# By the first four bytes: the byte order in which the rest is written. In microseconds, and in nanoseconds.
_ORDERS = {
    b"\xd4\xc3\xb2\xa1": "<",
    b"\x4d\x3c\xb2\xa1": "<",
    b"\xa1\xb2\xc3\xd4": ">",
    b"\xa1\xb2\x3c\x4d": ">",
}
# Link types: where the network's header begins, and where the number of its protocol stands (none: its version tells).
_LINKS = {
    0: (4, None),  # BSD loopback
    1: (14, 12),  # Ethernet
    12: (0, None),  # raw IP
    101: (0, None),
    113: (16, 14),  # Linux cooked
    228: (0, None),  # IPv4
    229: (0, None),  # IPv6
    276: (20, 0),  # Linux cooked, with the interface
}
_VLANS = (0x8100, 0x88A8, 0x9100)
_IPV4, _IPV6 = 0x0800, 0x86DD
_TCP, _UDP, _ICMP, _ICMP6 = 6, 17, 1, 58
# Headers between that of IPv6 and the next one: hop-by-hop, routing, destination options.
_BETWEEN = (0, 43, 60)
_FRAGMENT = 44
# ICMP: of an error, the header and the beginning of the packet that it is about.
_ICMP_HEADER = 8
_ICMP_ERRORS, _ICMP6_ERRORS = (3, 4, 5, 11, 12), (1, 2, 3, 4)
# Of a packet that an error quotes, or of what is neither TCP nor UDP: the ports, and TCP's sequence number.
_ENOUGH = 8
# Nobody captures larger ones; a length beyond is a sign that what is read is no capture.
_LARGEST = 1 << 18


class Cutter:
    """Takes a capture in pieces, as they come, and gives it back without payload.

    payload: bytes of payload of each packet that are kept nevertheless.
    """

    def __init__(self, payload: int = 0) -> None:
        self._payload = payload
        self._buffer = bytearray()
        self._order = ""
        self._link = -1

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What of the capture is whole by now: the file's header, then one packet after the other."""
        self._buffer += data
        if not self._order:
            if len(self._buffer) < _FILE_HEADER:
                return
            yield self._begin()
        place = 0
        while len(self._buffer) - place >= _RECORD:
            seconds, fraction, length, original = struct.unpack_from(self._order + "IIII", self._buffer, place)
            if length > _LARGEST:
                raise host_error("tcpdump", "what it printed is no capture", "is it another program of that name?")
            if len(self._buffer) - place - _RECORD < length:
                break
            packet = bytes(self._buffer[place + _RECORD : place + _RECORD + length])
            place += _RECORD + length
            kept = packet[: kept_bytes(self._link, packet, self._payload)]
            yield struct.pack(self._order + "IIII", seconds, fraction, len(kept), original) + kept
        del self._buffer[:place]

    def _begin(self) -> bytes:
        header = bytes(self._buffer[:_FILE_HEADER])
        del self._buffer[:_FILE_HEADER]
        self._order = _ORDERS.get(header[:4], "")
        if not self._order:
            raise host_error("tcpdump", "what it printed is no capture", "is it another program of that name?")
        self._link = struct.unpack_from(self._order + "I", header, 20)[0] & 0xFFFF
        if self._link not in _LINKS:
            text = "the interface has packets of link type %d, of which no payload can be cut off" % self._link
            raise host_error("tcpdump", text, "name another interface")
        return header


def kept_bytes(link: int, packet: bytes, payload: int) -> int:
    """How many bytes of a packet its headers have, and so many of its payload."""
    start = _network(link, packet)
    if start is None:
        return min(len(packet), _LINKS[link][0])
    return min(len(packet), _end(packet, start, payload))


def _network(link: int, packet: bytes) -> Optional[int]:
    """Where the header of IP begins; None where there is none."""
    start, protocol = _LINKS[link]
    if protocol is None:
        return start
    number = _number(packet, protocol)
    while number in _VLANS:
        number, start = _number(packet, start + 2), start + 4
    return start if number in (_IPV4, _IPV6) else None


def _number(packet: bytes, place: int) -> int:
    return int.from_bytes(packet[place : place + 2], "big")


def _end(packet: bytes, start: int, payload: int) -> int:
    """Where what is kept ends."""
    protocol, place = _transport(packet, start)
    if protocol == _TCP and len(packet) > place + 12:
        return place + max(20, 4 * (packet[place + 12] >> 4)) + payload
    if protocol == _UDP:
        return place + 8 + payload
    if protocol in (_ICMP, _ICMP6) and len(packet) > place:
        errors = _ICMP_ERRORS if protocol == _ICMP else _ICMP6_ERRORS
        if packet[place] in errors:
            _quoted, inner = _transport(packet, place + _ICMP_HEADER)
            return inner + _ENOUGH
    return place + _ENOUGH


def _transport(packet: bytes, start: int) -> Tuple[int, int]:
    """The protocol above IP, and where its header begins; -1 where that is not here: a later fragment, or not IP."""
    if len(packet) <= start:
        return -1, len(packet)
    version = packet[start] >> 4
    if version == 4:
        place = start + 4 * max(5, packet[start] & 15)
        if len(packet) < start + 20 or _number(packet, start + 6) & 0x1FFF:
            return -1, place - _ENOUGH
        return packet[start + 9], place
    if version != 6 or len(packet) < start + 40:
        return -1, start
    protocol, place = packet[start + 6], start + 40
    while protocol in (*_BETWEEN, _FRAGMENT) and len(packet) >= place + 8:
        if protocol == _FRAGMENT:
            if _number(packet, place + 2) & 0xFFF8:
                return -1, place
            protocol, place = packet[place], place + 8
        else:
            protocol, place = packet[place], place + 8 * (packet[place + 1] + 1)
    return protocol, place
