# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""IPVS, asked and told by generic netlink, so that no ipvsadm is needed.

Its timeouts, for how long clients stay with an endpoint, and virtual servers taken away.

Pure but for the System that is handed in. Source: linux/ip_vs.h.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
from dataclasses import replace
from typing import Dict, Iterable, Iterator, List, Sequence, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._kube_table import ProxyEntry
from ansible_collections.netfleet.tcp.plugins.module_utils._netlink import (
    GENERIC,
    LAST,
    attribute,
    attributes,
    error_in,
    message,
    messages,
    nested,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System

_NAME = b"IPVS\0"
_CONTROL, _GET_FAMILY, _FAMILY_NAME, _FAMILY_ID = 16, 3, 2, 1
_HEADER = struct.Struct("=BBH")
_DELETE_SERVER, _GET_SERVER, _GET_TIMEOUTS = 3, 4, 13
_SERVER = 1
_FAMILY, _PROTOCOL, _ADDRESS, _PORT, _AFFINITY = 1, 2, 3, 4, 8
TIMEOUTS = {"tcp": 4, "tcp_fin": 5, "udp": 6}
_PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "sctp": 132}
_NAMES = {int(number): name for name, number in _PROTOCOLS.items()}
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_LENGTHS = {int(socket.AF_INET): 4, int(socket.AF_INET6): 16}
_ADDRESS_BYTES = 16
# Of the entry that is gone already.
_GONE = 3  # ESRCH


def _header(command: int) -> bytes:
    return _HEADER.pack(command, 1, 0)


def _family(system: System) -> int:
    """The number by which the kernel knows IPVS; 0 where it does not."""
    asked = message(_CONTROL, _header(_GET_FAMILY) + attribute(_FAMILY_NAME, _NAME))
    for kind, body in messages(system.netlink(GENERIC, asked)):
        number = attributes(body[_HEADER.size :]).get(_FAMILY_ID, b"") if kind == _CONTROL else b""
        if len(number) == 2:
            return int(struct.unpack("=H", number)[0])
    return 0


def read_timeouts(system: System) -> Dict[str, int]:
    """The seconds after which idle connections are forgotten, by TIMEOUTS; empty where there is no IPVS."""
    number = _family(system)
    if not number:
        return {}
    answer = system.netlink(GENERIC, message(number, _header(_GET_TIMEOUTS)))
    for kind, body in messages(answer):
        if kind == number:
            found = attributes(body[_HEADER.size :])
            return {
                name: int(struct.unpack("=I", found[each])[0])
                for name, each in TIMEOUTS.items()
                if len(found.get(each, b"")) == 4
            }
    return {}


def with_affinities(system: System, servers: Sequence[ProxyEntry]) -> Tuple[ProxyEntry, ...]:
    """Virtual servers as parse_ipvs gives them, with their affinities in seconds as far as the kernel tells them.

    Asked for them, since the table has ticks: that the wanted seconds are these by one of the rates that kernels have
    would take less, and would take one affinity for another (9000 s at 300 for 10800 s at 250).
    """
    told = read_affinities(system) if any(server.affinity for server in servers) else {}
    return tuple(
        replace(server, affinity=told.get(server.key, server.affinity)) if server.affinity else server
        for server in servers
    )


def read_affinities(system: System) -> Dict[Tuple[str, str, int], int]:
    """By key (see ProxyEntry), the seconds for which clients stay with an endpoint, where they do.

    Of those by a firewall mark none; empty where the kernel does not answer, as it does to root alone.
    """
    found: Dict[Tuple[str, str, int], int] = {}
    number = _family(system)
    if not number:
        return found
    for datagram in system.netlink_dump(GENERIC, message(number, _header(_GET_SERVER), dump=True)):
        for kind, body in messages(datagram):
            if kind in LAST:
                return found
            if kind == number:
                found.update(_affinity(attributes(attributes(body[_HEADER.size :]).get(_SERVER, b""))))
    return found


def _affinity(server: Dict[int, bytes]) -> Iterator[Tuple[Tuple[str, str, int], int]]:
    try:
        (family,), (protocol,) = (struct.unpack("=H", server[each]) for each in (_FAMILY, _PROTOCOL))
        address = ipaddress.ip_address(server[_ADDRESS][: _LENGTHS[family]])
        (port,), (seconds,) = struct.unpack(">H", server[_PORT]), struct.unpack("=I", server[_AFFINITY])
        yield (_NAMES[protocol], str(address), port), seconds
    except (KeyError, ValueError, struct.error):
        # One by a mark has no address.
        return


def delete_request(number: int, entry: ProxyEntry) -> bytes:
    """What takes a virtual server away, as number (see _family) knows it."""
    address = ipaddress.ip_address(entry.address)
    server = nested(
        _SERVER,
        attribute(_FAMILY, struct.pack("=H", _FAMILIES[address.version])),
        attribute(_PROTOCOL, struct.pack("=H", _PROTOCOLS[entry.protocol])),
        attribute(_ADDRESS, address.packed.ljust(_ADDRESS_BYTES, b"\0")),
        attribute(_PORT, struct.pack(">H", entry.port)),
    )
    return message(number, _header(_DELETE_SERVER) + server, acknowledged=True)


def delete_servers(system: System, entries: Iterable[ProxyEntry]) -> List[str]:
    """Take virtual servers away; what of them could not be, in words."""
    wanted = list(entries)
    number = _family(system) if wanted else 0
    if wanted and not number:
        return ["virtual servers: the kernel does not know IPVS"]
    failed: List[str] = []
    for entry in wanted:
        error = error_in(system.netlink(GENERIC, delete_request(number, entry)))
        if error not in (0, _GONE):
            failed.append("virtual server %s: %s" % (entry, os.strerror(error) if error > 0 else "no answer"))
    return failed
