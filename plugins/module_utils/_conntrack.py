# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a connection of this host was taken to: the kernel's connection tracking, asked for that one. Pure.

Whichever way a mode of kube-proxy goes (DNAT of iptables and nftables, IPVS with net.ipv4.vs.conntrack, which it sets
itself), the reply comes from the endpoint. Sources: linux/netfilter/nfnetlink_conntrack.h, nfnetlink.h.
"""

from __future__ import annotations

import ipaddress
import socket
import struct

from ansible_collections.netfleet.tcp.plugins.module_utils._kube_table import place
from ansible_collections.netfleet.tcp.plugins.module_utils._netlink import (
    NETFILTER,
    attribute,
    attributes,
    message,
    messages,
    nested,
)

PROTOCOL = NETFILTER
_CTNETLINK = 1 << 8
_GET = _CTNETLINK | 1
# A new entry is what the answer is called.
_ANSWER = _CTNETLINK | 0
_ORIGINAL, _REPLY = 1, 2
_ADDRESSES, _PORTS = 1, 2
_NUMBER, _SOURCE_PORT, _TARGET_PORT = 1, 2, 3
# Of a family: the attributes of source and destination.
_ENDS = {4: (1, 2), 6: (3, 4)}
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_HEADER = struct.Struct("=BBH")


def request(source: str, source_port: int, target: str, target_port: int) -> bytes:
    """Ask for a TCP connection by what its socket knows of it. ValueError where an address is none."""
    ends = [ipaddress.ip_address(each) for each in (source, target)]
    version = ends[1].version
    kinds = _ENDS[version]
    addresses = nested(_ADDRESSES, *(attribute(kind, end.packed) for kind, end in zip(kinds, ends)))
    ports = nested(
        _PORTS,
        attribute(_NUMBER, struct.pack("=B", socket.IPPROTO_TCP)),
        attribute(_SOURCE_PORT, struct.pack(">H", source_port)),
        attribute(_TARGET_PORT, struct.pack(">H", target_port)),
    )
    return message(_GET, _HEADER.pack(_FAMILIES[version], 0, 0) + nested(_ORIGINAL, addresses, ports))


def endpoint(answer: bytes) -> str:
    """Who replies, as 10.0.0.1:80 or [fd00::1]:80; empty where the answer does not tell."""
    for kind, body in messages(answer):
        if kind != _ANSWER:
            continue
        reply = attributes(attributes(body[_HEADER.size :]).get(_REPLY, b""))
        ports = attributes(reply.get(_PORTS, b""))
        addresses = attributes(reply.get(_ADDRESSES, b""))
        packed = next((addresses[kinds[0]] for kinds in _ENDS.values() if kinds[0] in addresses), b"")
        port = ports.get(_SOURCE_PORT, b"")
        if len(packed) in (4, 16) and len(port) == 2:
            return place(str(ipaddress.ip_address(packed)), struct.unpack(">H", port)[0])
    return ""
