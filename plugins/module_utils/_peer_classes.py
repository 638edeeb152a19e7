# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which class of peers an address belongs to, by prefixes that the user names. Pure."""

from __future__ import annotations

import ipaddress
import socket
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, Problem
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import LOOPBACK, OTHER
from ansible_collections.netfleet.tcp.plugins.module_utils._own_addresses import OwnAddresses
from ansible_collections.netfleet.tcp.plugins.module_utils._sock_diag import MAPPED

_BITS: Dict[int, int] = {socket.AF_INET: 32, socket.AF_INET6: 128}
_MAPPED_BITS = 8 * len(MAPPED)
# What is remembered of addresses that were looked up; of more than these, one after the other is looked up anew.
_REMEMBERED = 50_000


class PeerClasses:
    """Classes by name, each with its prefixes; the longest that holds an address decides.

    own: the addresses of the host itself, which are in none of them.
    InputError, with every problem, where a name or a prefix cannot be meant.
    """

    def __init__(self, peers: Mapping[str, Sequence[str]], own: Optional[OwnAddresses] = None) -> None:
        problems = list(_problems(peers))
        if problems:
            raise InputError(problems)
        self._own = own or OwnAddresses()
        self.names: Tuple[str, ...] = (*peers, OTHER)
        # By family: the lengths of prefixes, the longest first, each with the class of each prefix.
        self._prefixes: Dict[int, List[Tuple[int, Dict[int, str]]]] = {family: [] for family in _BITS}
        self._known: Dict[Tuple[int, bytes], str] = {}
        by_length: Dict[Tuple[int, int], Dict[int, str]] = {}
        for name, prefixes in peers.items():
            for prefix in prefixes:
                network = _network(prefix)
                family = int(socket.AF_INET if network.version == 4 else socket.AF_INET6)
                shift = _BITS[family] - network.prefixlen
                by_length.setdefault((family, shift), {})[int(network.network_address) >> shift] = name
        for (family, shift), classes in sorted(by_length.items()):
            self._prefixes[family].append((shift, classes))

    def of(self, family: int, address: bytes) -> str:
        """The class of an address of sixteen bytes, IPv4 in the first four; of one in IPv6, that of the IPv4 one."""
        found = self._known.get((family, address))
        if found is None:
            found = self._look_up(family, address)
            if len(self._known) < _REMEMBERED:
                self._known[family, address] = found
        return found

    def _look_up(self, family: int, address: bytes) -> str:
        if self._own.holds(family, address):
            return LOOPBACK
        if family == socket.AF_INET6 and address.startswith(MAPPED):
            family, address = socket.AF_INET, address[len(MAPPED) :]
        number = int.from_bytes(address[: _BITS[family] // 8], "big")
        for shift, classes in self._prefixes[family]:
            if number >> shift in classes:
                return classes[number >> shift]
        return OTHER


def _network(prefix: str) -> Union[ipaddress.IPv4Network, ipaddress.IPv6Network]:
    """The prefix; of addresses of IPv4 in IPv6, which count as IPv4, that of IPv4. ValueError where it is none."""
    network = ipaddress.ip_network(str(prefix), strict=False)
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= _MAPPED_BITS:
        within = network.network_address.ipv4_mapped
        if within is not None:
            return ipaddress.IPv4Network((int(within), network.prefixlen - _MAPPED_BITS))
    return network


def _problems(peers: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
    seen: Dict[str, str] = {}
    for name, prefixes in peers.items():
        if name in (OTHER, LOOPBACK, ""):
            yield Problem("peers.%s" % name, "this name is not free", "another one, such as local")
        if isinstance(prefixes, str) or not isinstance(prefixes, Sequence):
            yield Problem("peers.%s" % name, "it is no list of prefixes", "such as [10.0.0.0/8, 2001:db8::/32]")
            continue
        for index, prefix in enumerate(prefixes):
            path = "peers.%s[%d]" % (name, index)
            try:
                network = str(_network(prefix))
            except ValueError:
                yield Problem(path, "%r is no prefix" % (prefix,), "such as 10.0.0.0/8 or 2001:db8::/32")
                continue
            if seen.setdefault(network, name) != name:
                yield Problem(path, "%s is one of %s too" % (network, seen[network]), "name it once")
