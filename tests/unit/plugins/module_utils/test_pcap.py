# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Payload is cut off captures, whatever the link, the protocol and the pieces in which they come."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError
from ansible_collections.netfleet.tcp.plugins.module_utils._pcap import Cutter, kept_bytes

ETHERNET, COOKED, COOKED2, RAW, LOOPBACK = 1, 113, 276, 101, 0
LINKS = {
    ETHERNET: lambda kind: bytes(12) + struct.pack(">H", kind),
    COOKED: lambda kind: bytes(14) + struct.pack(">H", kind),
    COOKED2: lambda kind: struct.pack(">H", kind) + bytes(18),
    RAW: lambda _kind: b"",
    LOOPBACK: lambda _kind: bytes(4),
}
SECRET = b"a secret of the payload"


def tcp(options: int = 12) -> bytes:
    return struct.pack(">HHIIBBHHH", 40000, 443, 1, 2, (20 + options) // 4 << 4, 0x18, 64, 0, 0) + bytes(options)


def ipv4(protocol: int, body: bytes, options: int = 0, fragment: int = 0) -> bytes:
    size = 20 + options + len(body)
    addresses = socket.inet_aton("10.0.0.1") + socket.inet_aton("10.0.0.2")
    head = struct.pack(">BBHHHBBH", 0x40 | (20 + options) // 4, 0, size, 1, fragment, 64, protocol, 0)
    return head + addresses + bytes(options) + body


def ipv6(protocol: int, body: bytes) -> bytes:
    return struct.pack(">IHBB", 6 << 28, len(body), protocol, 64) + bytes(32) + body


def capture(link: int, packets: "list[bytes]", order: str = "<", magic: int = 0xA1B2C3D4) -> bytes:
    head = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262144, link)
    records = [struct.pack(order + "IIII", 7, 8, len(packet), len(packet) + 5) + packet for packet in packets]
    return head + b"".join(records)


def cut(data: bytes, payload: int = 0, size: int = 0) -> bytes:
    cutter, pieces = Cutter(payload), [data[at : at + size] for at in range(0, len(data), size)] if size else [data]
    return b"".join(part for piece in pieces for part in cutter.feed(piece))


def lengths(data: bytes, order: str = "<") -> "list[tuple[int, int]]":
    """Of each packet, the bytes that are there and those that it had."""
    found, place = [], 24
    while place < len(data):
        _seconds, _fraction, kept, original = struct.unpack_from(order + "IIII", data, place)
        found.append((kept, original))
        place += 16 + kept
    assert place == len(data)
    return found


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("six", [False, True])
def test_headers_and_options_are_kept_and_payload_is_not(link: int, six: bool) -> None:
    network = ipv6(6, tcp() + SECRET) if six else ipv4(6, tcp() + SECRET, options=8)
    frame = LINKS[link](0x86DD if six else 0x0800)
    packet = frame + network
    cut_off = cut(capture(link, [packet, packet]))
    assert SECRET not in cut_off
    assert lengths(cut_off) == [(len(packet) - len(SECRET), len(packet) + 5)] * 2
    assert kept_bytes(link, packet, 8) == len(packet) - len(SECRET) + 8
    assert SECRET[:8] in cut(capture(link, [packet]), payload=8)


@pytest.mark.parametrize(
    ("packet", "kept"),
    [
        (ipv4(17, bytes(8) + SECRET), 28),  # UDP
        (ipv4(6, SECRET, fragment=100), 20),  # a later fragment
        (ipv4(47, SECRET), 28),  # a tunnel: what is in it is not looked at
        (ipv4(1, bytes([3, 4]) + bytes(6) + ipv4(6, tcp() + SECRET)), 20 + 8 + 20 + 8),
        (ipv4(1, bytes([8, 0]) + bytes(6) + SECRET), 28),  # an echo
        (ipv6(58, bytes([2, 0]) + bytes(6) + ipv6(6, tcp() + SECRET)), 40 + 8 + 40 + 8),
        (ipv6(0, bytes([6, 0]) + bytes(6) + tcp() + SECRET), 40 + 8 + 32),  # hop-by-hop options
        (ipv6(44, bytes([6, 0, 0, 1]) + bytes(4) + tcp() + SECRET), 40 + 8 + 32),  # the first fragment
        (ipv6(44, bytes([6, 0, 0x10, 0]) + bytes(4) + SECRET), 48 + 0),  # a later one
    ],
)
def test_what_is_no_segment_of_tcp(packet: bytes, kept: int) -> None:
    link = LINKS[ETHERNET](0x86DD if packet[0] >> 4 == 6 else 0x0800)
    found = kept_bytes(ETHERNET, link + packet, 0)
    assert found <= 14 + kept
    assert SECRET[:9] not in (link + packet)[:found]


def test_tags_of_vlans() -> None:
    packet = bytes(12) + bytes.fromhex("8100000a88a8000b0800") + ipv4(6, tcp() + SECRET)
    assert kept_bytes(ETHERNET, packet, 0) == len(packet) - len(SECRET)


def test_what_is_not_ip_has_no_more_than_its_link() -> None:
    assert kept_bytes(ETHERNET, bytes(12) + b"\x08\x06" + SECRET, 0) == 14


@given(
    link=st.sampled_from(sorted(LINKS)),
    packets=st.lists(st.binary(max_size=200), max_size=5),
    size=st.integers(1, 60),
    order=st.sampled_from("<>"),
    magic=st.sampled_from([0xA1B2C3D4, 0xA1B23C4D]),
)
def test_pieces_make_no_difference_and_nonsense_does_no_harm(
    link: int, packets: "list[bytes]", size: int, order: str, magic: int
) -> None:
    data = capture(link, packets, order, magic)
    whole = cut(data)
    assert cut(data, size=size) == whole
    assert len(lengths(whole, order)) == len(packets)
    assert all(kept <= len(packet) for (kept, _), packet in zip(lengths(whole, order), packets))


@pytest.mark.parametrize(
    "data",
    [
        b"no capture at all, but long enough",
        capture(9999, []),
        capture(ETHERNET, []) + struct.pack("<IIII", 0, 0, 1 << 30, 1 << 30),
    ],
)
def test_what_is_no_capture_is_refused(data: bytes) -> None:
    with pytest.raises(HostError):
        cut(data)
