# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node's kernel does with Services: one shape for all modes of kube-proxy, and IPVS's table read into it. Pure.

_kube_nft and _kube_iptables read the other two.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Container, Dict, Iterable, List, Tuple, Union

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._programs import IPROUTE2, printed_json

IPVS_TABLE = "/proc/net/ip_vs"
IPVS_INTERFACE = "kube-ipvs0"
# The address of a NodePort, which is any of the node's own, by family.
ANY = {4: "0.0.0.0", 6: "::"}  # noqa: S104
# An affinity that is there, and of which nobody tells for how long.
UNTOLD = -1
PROTOCOLS = ("tcp", "udp", "sctp")
# As ip_vs_info_seq_show writes them: IPv4 in hexadecimal, IPv6 in brackets and not shortened, ports in hexadecimal.
_SERVER = re.compile(r"(TCP|UDP|SCTP) +(\S+) +(\S+) *(?:ops +)?(persistent \d+ \S+)? *\Z")
_MARK = re.compile(r"FWM +[0-9A-F]+ ")
_DESTINATION = re.compile(r" +-> +(\S+) +(\w+) +(\d+) +(\d+) +(\d+) *\Z")
_PLACE = re.compile(r"(?:([0-9A-Fa-f]{8})|\[([0-9A-Fa-f:.]+)\]):([0-9A-Fa-f]{4})\Z")
_HEADER = ("IP Virtual Server", "Prot ", "  -> RemoteAddress")
Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]


@dataclass(frozen=True)
class ProxyEntry:
    """What is done with connections to an address and port. address: one of ANY for a NodePort.

    endpoints: "10.0.0.1:80" or "[fd00::1]:80", sorted; draining: those that keep their connections and get no new ones.
    affinity: seconds for which a client stays with its endpoint, 0 without, or UNTOLD. refused: rejected or dropped on
    purpose.
    """

    protocol: str
    address: str
    port: int
    endpoints: Tuple[str, ...] = ()
    draining: Tuple[str, ...] = ()
    affinity: int = 0
    scheduler: str = ""
    refused: bool = False

    @property
    def key(self) -> Tuple[str, str, int]:
        return self.protocol, self.address, self.port

    @property
    def node_port(self) -> bool:
        return self.address in ANY.values()

    def __str__(self) -> str:
        if self.node_port:
            return "%s NodePort %d%s" % (self.protocol, self.port, " (IPv6)" if self.address == ANY[6] else "")
        return "%s %s" % (self.protocol, place(self.address, self.port))


def place(address: str, port: int) -> str:
    """An address and port as one text. The address is brought into its short form."""
    return ("[%s]:%d" if ":" in address else "%s:%d") % (short(address), port)


def any_like(address: str) -> str:
    """The one of ANY that is of an address' family."""
    return ANY[6 if ":" in address else 4]


def short(address: str) -> str:
    """An address in the form in which two texts of the same one are equal; what is no address stays as it is."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address


def parse_ipvs(text: str) -> Tuple[ProxyEntry, ...]:
    """From IPVS_TABLE. Virtual servers by a firewall mark are not kube-proxy's (see foreign_marks) and left out.

    An affinity is UNTOLD: how long it is stands there in the kernel's ticks, and nothing tells how many a second has.
    HostError with the line where one has a form that is not known.
    """
    servers: List[Tuple[str, str, int, str, int]] = []
    destinations: List[List[Tuple[str, int]]] = []
    by_mark = False
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith(_HEADER):
            continue
        server, destination = _SERVER.match(line), _DESTINATION.match(line)
        if server:
            by_mark = False
            address, port = _place(server.group(2), number)
            affinity = UNTOLD if server.group(4) else 0
            servers.append((server.group(1).lower(), address, port, server.group(3), affinity))
            destinations.append([])
        elif _MARK.match(line):
            by_mark = True
        elif destination and (by_mark or destinations):
            if not by_mark:
                destinations[-1].append((place(*_place(destination.group(1), number)), int(destination.group(3))))
        else:
            raise host_error("%s:%d" % (IPVS_TABLE, number), "has a form that is not known")
    return tuple(
        ProxyEntry(
            protocol=protocol,
            address=address,
            port=port,
            endpoints=tuple(sorted(end for end, weight in ends if weight)),
            draining=tuple(sorted(end for end, weight in ends if not weight)),
            affinity=affinity,
            scheduler=scheduler,
        )
        for (protocol, address, port, scheduler, affinity), ends in zip(servers, destinations)
    )


def foreign_marks(text: str) -> int:
    """How many virtual servers in IPVS_TABLE go by a firewall mark: kube-proxy makes none, keepalived does."""
    return sum(1 for line in text.splitlines() if _MARK.match(line))


def _place(text: str, number: int) -> Tuple[str, int]:
    match = _PLACE.match(text)
    try:
        if not match:
            raise ValueError
        address = ipaddress.ip_address(int(match.group(1), 16) if match.group(1) else match.group(2))
    except ValueError:
        raise host_error("%s:%d" % (IPVS_TABLE, number), "%r is no address and port" % text) from None
    return str(address), int(match.group(3), 16)


def interface_addresses(text: str) -> Dict[str, Tuple[str, ...]]:
    """From ``ip -j address show``: the addresses of each interface that kube-proxy takes for the node's own in ipvs.

    That is all but those of IPv6 that are of a link alone; it asks for the address, not for its scope.
    """
    found: Dict[str, Tuple[str, ...]] = {}
    for entry in printed_json(text, "ip -j address show", IPROUTE2):
        own = [short(info["local"]) for info in entry.get("addr_info") or () if "local" in info]
        found[str(entry.get("ifname"))] = tuple(sorted(address for address in own if not _of_link(address)))
    return found


def _of_link(address: str) -> bool:
    return ":" in address and ipaddress.ip_address(address).is_link_local


def in_networks(address: str, networks: Iterable[Network]) -> bool:
    """Whether an address is in one of them, of whichever family they are."""
    found = ipaddress.ip_address(address)
    return any(found in network for network in networks)


def networks_of(texts: Iterable[str]) -> Tuple[Network, ...]:
    """Networks as they are written in ipvs.excludeCIDRs."""
    return tuple(ipaddress.ip_network(each, strict=False) for each in texts)


def with_node_ports(
    entries: Iterable[ProxyEntry],
    node_addresses: Iterable[str],
    excluded: Iterable[str] = (),
    services: Container[Tuple[str, str, int]] = (),
) -> Tuple[ProxyEntry, ...]:
    """The entries of IPVS in the shape of the other modes, whose NodePorts have no address of their own.

    IPVS has a virtual server for each of the node's own addresses. Those that do the same become one.
    excluded: networks whose entries are left to somebody else (ipvs.excludeCIDRs): those stay as they are, though
    kube-vip and its like give such an address to the node. services: by their keys, what stays as it is since a Service
    has an address of the node, as of externalIPs or of a load balancer that runs on the nodes.
    """
    networks = networks_of(excluded)
    own = {address for address in map(short, node_addresses) if not in_networks(address, networks)}
    found: Dict[ProxyEntry, None] = {}
    for entry in entries:
        if entry.address in own and entry.key not in services:
            plain = (entry.endpoints, entry.draining, entry.affinity, entry.scheduler)
            address = any_like(entry.address)
            entry = ProxyEntry(entry.protocol, address, entry.port, *plain)  # noqa: PLW2901
        found[entry] = None
    return tuple(found)
