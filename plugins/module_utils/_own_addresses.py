# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's own addresses: whoever calls one of them stays on the host, as by 127.0.0.1.

Pure but for the System that is handed in. Sources: rtnetlink(7), linux/if_addr.h.
"""

from __future__ import annotations

import socket
import struct
from typing import Dict, Iterable, Iterator, Set, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._netlink import attributes, messages
from ansible_collections.netfleet.tcp.plugins.module_utils._sock_diag import MAPPED, is_loopback, refused
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System

PROTOCOL = 0  # NETLINK_ROUTE
_NEW_ADDRESS, _GET_ADDRESS = 20, 22
_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_DONE, _ERROR = 3, 2
_ADDRESS, _LOCAL, _LABEL = 1, 2, 3
_HEADER = struct.Struct("=IHHII")
_BODY = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefix length, flags, scope, interface
# As sock_diag has them: sixteen bytes, IPv4 in the first four.
_LENGTHS = {int(socket.AF_INET): 4, int(socket.AF_INET6): 16}
# Addresses of Services: IPVS takes what goes there to their endpoints, which may be on other hosts.
_NOT_OWN = "kube-ipvs0"
_REMEMBERED = 50_000

REQUEST = _HEADER.pack(_HEADER.size + _BODY.size, _GET_ADDRESS, _DUMP, 1, 0) + _BODY.pack(0, 0, 0, 0, 0)


class OwnAddresses:
    """Which addresses are the host's own: those of loopback, and those that are given here (see _LENGTHS).

    complete: whether the kernel has told all of them.
    """

    def __init__(self, addresses: Iterable[Tuple[int, bytes]] = (), complete: bool = True) -> None:
        self._addresses = frozenset(addresses)
        self._known: Dict[Tuple[int, bytes], bool] = {}
        self.complete = complete

    def holds(self, family: int, address: bytes) -> bool:
        """Whether an address of sixteen bytes, IPv4 in the first four, is the host's own."""
        found = self._known.get((family, address))
        if found is None:
            found = is_loopback(family, address) or _plain(family, address) in self._addresses
            if len(self._known) < _REMEMBERED:
                self._known[family, address] = found
        return found


def own_addresses(system: System) -> OwnAddresses:
    """Ask the kernel for them."""
    elsewhere = (system.read("/sys/class/net/%s/ifindex" % _NOT_OWN) or "").strip()
    found: Set[Tuple[int, bytes]] = set()
    for datagram in system.netlink_dump(PROTOCOL, REQUEST):
        for kind, body in messages(datagram):
            if kind in (_DONE, _ERROR):
                return OwnAddresses(found, kind == _DONE and not refused(body))
            if kind == _NEW_ADDRESS:
                found.update(_address(body, elsewhere))
    return OwnAddresses(found, complete=False)


def _address(body: bytes, elsewhere: str) -> Iterator[Tuple[int, bytes]]:
    if len(body) < _BODY.size:
        return
    family, _length, _flags, _scope, interface = _BODY.unpack_from(body)
    named = attributes(body[_BODY.size :])
    # Of a tunnel with two ends, the other one has the first kind.
    address = named.get(_LOCAL) or named.get(_ADDRESS) or b""
    label = named.get(_LABEL, b"").rstrip(b"\0").decode("ascii", "replace")
    if label.partition(":")[0] != _NOT_OWN and str(interface) != elsewhere and len(address) == _LENGTHS.get(family):
        yield family, address.ljust(16, b"\0")


def _plain(family: int, address: bytes) -> Tuple[int, bytes]:
    """Of an IPv4 address in an IPv6 one, the IPv4 one."""
    if family == socket.AF_INET6 and address.startswith(MAPPED):
        return int(socket.AF_INET), address[len(MAPPED) :].ljust(16, b"\0")
    return family, address
