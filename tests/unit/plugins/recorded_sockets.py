# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host recorded with its sockets (tests/unit/fixtures/health), and messages of sockets that tests make up."""

from __future__ import annotations

import base64
import json
import socket
import struct
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ansible_collections.netfleet.tcp.plugins.module_utils._netlink import attribute
from ansible_collections.netfleet.tcp.plugins.module_utils._own_addresses import REQUEST as OWN_REQUEST
from ansible_collections.netfleet.tcp.plugins.module_utils._sock_diag import CONG, INFO, SKMEMINFO, request
from ansible_collections.netfleet.tcp.plugins.module_utils._socket_tally import FAMILIES, LISTENING, NOT_LISTENING
from tests.unit.plugins.fake_system import FakeSystem

RECORD: dict[str, Any] = json.loads(
    (Path(__file__).parent.parent / "fixtures" / "health" / "host.json").read_text(encoding="utf-8")
)
ESTABLISHED, FIN_WAIT_2, TIME_WAIT = 1, 5, 6
INFO_SIZE = 248
DONE = struct.pack("=IHHIIi", 20, 3, 2, 1, 0, 0)
ASKED = {"listening": (LISTENING, (SKMEMINFO,)), "others": (NOT_LISTENING, (INFO, CONG))}
# A glance asks for some of the same sockets, with less of each; what it did not ask for, it does not count.
GLANCES = {request(family, LISTENING, ()): request(family, *ASKED["listening"]) for family in FAMILIES}
GLANCES.update({request(family, 1 << TIME_WAIT, ()): request(family, *ASKED["others"]) for family in FAMILIES})


class SocketHost(FakeSystem):
    """The recorded host, or (recorded False) one without a socket; held: the process of each socket, by its inode."""

    def __init__(self, recorded: bool = True) -> None:
        super().__init__()
        self.held: dict[int, int] = {}
        self.put("/proc/self/ns/net", kind="symlink", target="net:[4026531840]")
        # Those of the fixture's host, and of loopback.
        self.have("127.0.0.1", "::1", interface=1, label="lo")
        if recorded:
            self.have("10.1.0.1", "10.2.0.1", "fd00:1::1")
            for path, text in RECORD["files"].items():
                self.put(path, text)
        for family in FAMILIES:
            for name in ASKED:
                self.answer(family, name, *(recorded_dump(family, name) if recorded else [DONE]))

    def answer(self, family: int, which: str, *datagrams: bytes) -> None:
        """What the kernel answers when it is asked for the sockets that listen (listening), or for the others."""
        self.sockets[request(family, *ASKED[which])] = list(datagrams)

    def have(self, *addresses: str, interface: int = 2, label: str = "eth0") -> None:
        """Let these be addresses of the host's own, beside those that it has."""
        told = self.sockets.setdefault(OWN_REQUEST, [DONE])
        told.insert(0, b"".join(own_address(address, interface, label) for address in addresses))

    def count(self, **counters: int) -> None:
        """Let TCP have counted so much, by the names of nstat."""
        for path, protocol in (("/proc/net/snmp", "Tcp"), ("/proc/net/netstat", "TcpExt")):
            here = {
                name: value for name, value in counters.items() if name.startswith("TcpExt") == (protocol == "TcpExt")
            }
            names = " ".join(name[len(protocol) :] for name in here)
            self.put(path, "%s: %s\n%s: %s\n" % (protocol, names, protocol, " ".join(map(str, here.values()))))

    def sock_diag(self, request: bytes) -> list[bytes]:
        return super().sock_diag(GLANCES.get(request, request))

    def sockets_of(self, pid: int) -> frozenset[int]:
        return frozenset(inode for inode, holder in self.held.items() if holder == pid)

    def socket_holders(self, inodes: Collection[int]) -> dict[int, int]:
        return {inode: pid for inode, pid in self.held.items() if inode in inodes}


def own_address(address: str, interface: int = 2, label: str = "eth0", peer: str = "") -> bytes:
    """What the kernel says of an address of an interface. peer: the other end's, of a tunnel with two ends."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    body = struct.pack("=BBBBI", family, 24, 0, 0, interface)
    body += attribute(1, socket.inet_pton(family, peer or address))
    # Of IPv6 there is neither a label, nor a local address beside that of the other end.
    if family == socket.AF_INET:
        body += attribute(2, socket.inet_pton(family, address)) + attribute(3, label.encode() + b"\0")
    return struct.pack("=IHHII", 16 + len(body), 20, 2, 1, 0) + body


def recorded_dump(family: int, which: str) -> list[bytes]:
    states, parts = ASKED[which]
    name = "%d %d %d" % (family, states, sum(1 << (part - 1) for part in parts))
    return [zlib.decompress(base64.b64decode(datagram)) for datagram in RECORD["dumps"][name]]


def tcp_info(**fields: int) -> bytes:
    """A tcp_info with window scale, used a moment ago, with these fields (rtt and min_rtt in microseconds)."""
    offsets = {"sent": 44, "acknowledged": 56, "rtt": 68, "retransmitted": 100, "min_rtt": 148, "segments": 156}
    info = bytearray(INFO_SIZE)
    info[5] = fields.pop("options", 7)
    for index, name in enumerate(("busy", "receive", "send")):
        struct.pack_into("=Q", info, 168 + 8 * index, fields.pop(name, 0))
    for name, value in fields.items():
        struct.pack_into("=I", info, offsets[name], value)
    return bytes(info)


def message(
    local: tuple[str, int],
    peer: tuple[str, int],
    state: int = ESTABLISHED,
    info: bytes = b"",
    stays: int = 0,
    user: int = 0,
    inode: int = 0,
) -> bytes:
    """What the kernel says of a socket. info: its tcp_info; none of one in TIME_WAIT, which stays for milliseconds."""
    family = socket.AF_INET6 if ":" in peer[0] else socket.AF_INET
    ends = [socket.inet_pton(family, address).ljust(16, b"\0") for address in (local[0], peer[0])]
    body = struct.pack("=BBxx", family, state) + struct.pack(">HH", local[1], peer[1]) + b"".join(ends)
    body += bytes(12) + struct.pack("=IIIII", stays, 0, 0, user, inode)
    # One comes first whose length has to be padded.
    for kind, value in ((8, b"\0"), (CONG, b"cubic\0"), (INFO, info)):
        if info:
            body += struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
    return struct.pack("=IHHII", 16 + len(body), 20, 2, 1, 0) + body


def listener(port: int, inode: int, backlog: int = 0, limit: int = 128, drops: int = 0) -> bytes:
    """What the kernel says of a listening socket of IPv4."""
    body = struct.pack("=BBxx", socket.AF_INET, 10) + struct.pack(">HH", port, 0) + bytes(48)
    body += struct.pack("=III", backlog, limit, 0) + struct.pack("=I", inode)
    body += struct.pack("=HH", 4 + 36, SKMEMINFO) + bytes(32) + struct.pack("=I", drops)
    return struct.pack("=IHHII", 16 + len(body), 20, 2, 1, 0) + body
