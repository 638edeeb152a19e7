# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What TCP gets through a link and beside it: which transfers to make by iperf3, and what its answers say. Pure.

Runs on the controller alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Dict, List, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, host_error, input_error
from ansible_collections.netfleet.tcp.plugins.plugin_utils._arguments import range_problems, typed
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_topology import InterfaceWanted, PeerWanted

TUNNEL, UNDERLAY = "through the tunnel", "beside it"
# By the names of the playbook's extra variables. seconds: of each transfer; rate: Mbit/s, 0: as much as goes.
ARGUMENTS: Dict[str, Dict[str, Any]] = {
    "sender": {"type": "str", "default": ""},
    "receiver": {"type": "str", "default": ""},
    "topology": {"type": "str", "default": ""},
    "seconds": {"type": "int", "default": 10},
    "rate": {"type": "int", "default": 0},
    "iperf3_port": {"type": "int", "default": 5201},
}
_LONGEST, _FASTEST = 60, 1000000
# Milliseconds; seconds that a transfer may take beside those in which it sends.
_CONNECT, _PATIENCE = 5000, 15


@dataclass(frozen=True)
class Throughput:
    """One transfer, as iperf3 tells it: what came through."""

    bits_per_second: float
    bytes: int
    seconds: float
    retransmits: int
    mss: int


@dataclass(frozen=True)
class Way:
    """A transfer to be made. server, client: command lines, each for its host."""

    name: str
    server: Tuple[str, ...]
    client: Tuple[str, ...]


@dataclass(frozen=True)
class Measurement:
    """A link to be measured. server, client: hosts; the client is the one that can call the other."""

    interface: str
    server: str
    client: str
    ways: Tuple[Way, ...]


def arguments(given: Mapping[str, Any]) -> Dict[str, Any]:
    """The variables in their types; InputError with every problem."""
    found = typed(ARGUMENTS, given, "")
    missing = [name for name in ("sender", "receiver") if not found[name]]
    if missing:
        raise input_error(missing[0], "is not given", "-e sender=gw1 -e receiver=east1")
    problems = [
        *range_problems("seconds", found["seconds"], 1, _LONGEST),
        *range_problems("rate", found["rate"], 0, _FASTEST, "%s Mbit/s; 0: as much as goes"),
        *range_problems("iperf3_port", found["iperf3_port"], 1, 65534),
    ]
    if problems:
        raise InputError(problems)
    return found


def measurement(wanted: Mapping[str, Tuple[InterfaceWanted, ...]], given: Mapping[str, Any]) -> Measurement:
    """What is to be sent from one host to another, by the link between them and beside it. given: see arguments."""
    sender, receiver = given["sender"], given["receiver"]
    interface, there = _link(wanted, given)
    reverse = not there.endpoint
    client, server = (receiver, sender) if reverse else (sender, receiver)
    called = there if not reverse else _end(wanted, receiver, sender, interface.topology)
    # The first address of an interface and the first prefix of a peer are of the same network: the topology's first.
    own, other = (interface.addresses[0].partition("/")[0], there.allowed[0].partition("/")[0])
    inside = (other, own) if reverse else (own, other)
    port = given["iperf3_port"]
    more = ["-t", str(given["seconds"]), *(["-R"] if reverse else [])]
    more += ["-b", "%dM" % given["rate"]] if given["rate"] else []
    ways = (
        Way(TUNNEL, _server(port, inside[1]), _client(inside[1], port, given["seconds"], [*more, "-B", inside[0]])),
        # A cloud's public address is on no interface of its host.
        Way(UNDERLAY, _server(port + 1), _client(called.endpoint, port + 1, given["seconds"], more)),
    )
    return Measurement(interface.name, server, client, ways)


def _server(port: int, address: str = "") -> Tuple[str, ...]:
    """One transfer, and it ends."""
    return ("iperf3", "-s", "-1", "-p", str(port), *(("-B", address) if address else ()))


def _client(address: str, port: int, seconds: int, more: Sequence[str]) -> Tuple[str, ...]:
    # Whoever takes the connection and says nothing would have iperf3 wait for ever.
    limit = ("timeout", "-k", "5", str(seconds + _PATIENCE))
    return (*limit, "iperf3", "-J", "-c", address, "-p", str(port), "--connect-timeout", str(_CONNECT), *more)


def _link(
    wanted: Mapping[str, Tuple[InterfaceWanted, ...]], given: Mapping[str, Any]
) -> Tuple[InterfaceWanted, PeerWanted]:
    """The sender's interface, and the receiver as it knows it."""
    sender, receiver, topology = given["sender"], given["receiver"], given["topology"]
    found: List[Tuple[InterfaceWanted, PeerWanted]] = [
        (interface, peer)
        for interface in wanted.get(sender, ())
        for peer in interface.peers
        if peer.node == receiver and topology in ("", interface.topology)
    ]
    if not found:
        text = "no link of %s leads to %s" % (sender, receiver)
        raise input_error("sender, receiver", text, "two hosts that a topology joins")
    if not found[0][1].managed:
        raise input_error("receiver", "%s is not managed by this inventory" % receiver, "name two of its hosts")
    if len(found) > 1:
        names = ", ".join(interface.topology for interface, _peer in found)
        raise input_error("topology", "%s and %s are joined by %s" % (sender, receiver, names), "name one of them")
    return found[0]


def _end(wanted: Mapping[str, Tuple[InterfaceWanted, ...]], host: str, node: str, topology: str) -> PeerWanted:
    """A node as a host knows it, which is joined to it."""
    peers = (peer for interface in wanted[host] if interface.topology == topology for peer in interface.peers)
    return next(peer for peer in peers if peer.node == node)


def parse_iperf3(text: str) -> Throughput:
    """From iperf3's JSON. HostError where nothing came through."""
    try:
        found: Mapping[str, Any] = json.loads(text)
    except ValueError as error:
        raise host_error("", "iperf3 has printed no JSON: %r" % text[:200]) from error
    if found.get("error"):
        raise host_error("", "iperf3: %s" % found["error"])
    received = found["end"]["sum_received"]
    if not received["bytes"]:
        raise host_error("", "iperf3 has sent nothing")
    return Throughput(
        bits_per_second=float(received["bits_per_second"]),
        bytes=int(received["bytes"]),
        seconds=float(received["seconds"]),
        retransmits=int(found["end"]["sum_sent"].get("retransmits", 0)),
        mss=int(found["start"]["tcp_mss_default"]),
    )


def lines(given: Mapping[str, Any], interface: str, tunnel: Throughput, underlay: Throughput) -> List[str]:
    """What was measured, for people."""
    limit = ", held to %d Mbit/s" % given["rate"] if given["rate"] else ""
    head = "%s to %s, %s, %d s each%s:" % (given["sender"], given["receiver"], interface, given["seconds"], limit)
    told = [
        "  %-18s  %.1f Mbit/s, %d segments sent again, MSS %d"
        % (name, found.bits_per_second / 1e6, found.retransmits, found.mss)
        for name, found in ((TUNNEL, tunnel), (UNDERLAY, underlay))
    ]
    return [head, *told, "  %-18s  %.2f" % ("ratio", ratio(tunnel, underlay))]


def ratio(tunnel: Throughput, underlay: Throughput) -> float:
    """What the tunnel leaves of the underlay's throughput."""
    return tunnel.bits_per_second / underlay.bits_per_second
