# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host's part of a diagnosis: a capture, and beside it all that tells why TCP is slow. Changes nothing.

Pure but for the System and the Network that are handed in. What is not to be had is left out, and named in limits.
"""

from __future__ import annotations

import ipaddress
import re
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils import _bpf_probes
from ansible_collections.netfleet.tcp.plugins.module_utils._counters import parse_counters
from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._diagnose_model import (
    Capture,
    HostView,
    InterfaceCounts,
    SocketState,
    Traced,
    Way,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, NetfleetError, Problem
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import Holder, Listener
from ansible_collections.netfleet.tcp.plugins.module_utils._holders import holders
from ansible_collections.netfleet.tcp.plugins.module_utils._hops import hops
from ansible_collections.netfleet.tcp.plugins.module_utils._path_mtu import path_mtus
from ansible_collections.netfleet.tcp.plugins.module_utils._probe import AT_ONCE, Network
from ansible_collections.netfleet.tcp.plugins.module_utils._programs import printed_json
from ansible_collections.netfleet.tcp.plugins.module_utils._sock_diag import CONG, INFO, SKMEMINFO, Answer, request
from ansible_collections.netfleet.tcp.plugins.module_utils._socket_details import connections
from ansible_collections.netfleet.tcp.plugins.module_utils._socket_tally import (
    FAMILIES,
    LISTENING,
    NOT_LISTENING,
    listeners,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System
from ansible_collections.netfleet.tcp.plugins.module_utils._values import key_path

SHORTEST, LONGEST = 1, 300
MOST_MEGABYTES, MOST_PAYLOAD, MOST_PEERS, MOST_CONNECTS = 64, 65535, 8, 50
_MOST_FILTER = 2000
_MOST_SOCKETS, _MOST_DATAGRAMS, _MOST_HOLDERS = 200, 20_000, 20
# Hops are looked up to so many peers: each takes a tool some ten seconds.
_MOST_TRACED = 2
ANY = "any"
# Errors of ICMP and ICMPv6 tell of packets on their way, and come from routers rather than from the peer.
ERRORS = "(icmp and (icmp[0] == 3 or icmp[0] == 11)) or (icmp6 and (ip6[40] >= 1 and ip6[40] <= 3))"
SETTINGS = (
    "net.core.somaxconn",
    "net.ipv4.tcp_window_scaling",
    "net.ipv4.tcp_timestamps",
    "net.ipv4.tcp_sack",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_abort_on_overflow",
    "net.ipv4.tcp_mtu_probing",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
    "net.ipv4.tcp_congestion_control",
    "net.netfilter.nf_conntrack_count",
    "net.netfilter.nf_conntrack_max",
)
_NAME = re.compile(r"[A-Za-z0-9_.:@-]{1,64}\Z")

# interface, expression, seconds, most bytes, payload
Begin = Callable[[str, str, float, int, int], Any]


@dataclass(frozen=True)
class Tools:
    """What a diagnosis does on the host beside reading it. capture: begins one (see _capture.TcpdumpCapture)."""

    network: Network
    capture: Begin
    wait: Callable[[float], None]


@dataclass(frozen=True)
class Asked:
    """What a diagnosis is asked for. peers: names or addresses; port: 0 for any; serves: whether it is a local one.

    connects: how many connections to try, to the first peer. megabytes: of the capture, before it is compressed.
    payload: bytes of each packet.
    """

    peers: Tuple[str, ...]
    port: int
    serves: bool
    filter: str
    interface: str
    seconds: float
    megabytes: int
    payload: int
    connects: int
    hops: bool
    trace: bool


def asked_from(given: Mapping[str, Any]) -> Asked:
    """What the options of the module tcp_diagnose ask for; InputError with every problem."""
    problems = list(_problems(given))
    if problems:
        raise InputError(problems)
    return Asked(
        tuple(dict.fromkeys(str(each).strip() for each in given["peers"])),
        given["port"],
        given["serves"],
        given["filter"].strip(),
        given["interface"].strip(),
        given["seconds"],
        given["megabytes"],
        given["payload"],
        given["connects"],
        given["hops"],
        given["trace"],
    )


def _problems(given: Mapping[str, Any]) -> Iterator[Problem]:
    if not (given["peers"] or given["port"] or given["filter"].strip()):
        text = "nothing says which packets are wanted"
        yield Problem("filter", text, "give a peer, a port or a filter: never is all captured that a host sends")
    for name, lowest, highest, unit in (
        ("port", 0, 65535, ""),
        ("seconds", SHORTEST, LONGEST, " seconds"),
        ("megabytes", 1, MOST_MEGABYTES, " MB"),
        ("payload", 0, MOST_PAYLOAD, " bytes"),
        ("connects", 0, MOST_CONNECTS, ""),
    ):
        if not lowest <= given[name] <= highest:
            yield Problem(name, "%g is out of range" % given[name], "%d to %d%s" % (lowest, highest, unit))
    if len(given["peers"]) > MOST_PEERS:
        yield Problem("peers", "%d are too many" % len(given["peers"]), "at most %d" % MOST_PEERS)
    if given["interface"].strip() and not _NAME.match(given["interface"].strip()):
        yield Problem("interface", "%r is no name of one" % given["interface"], "such as eth0, or any")
    yield from filter_problems(given["filter"].strip())


def filter_problems(text: str) -> Iterator[Problem]:
    """What is wrong with a user's filter before tcpdump sees it: it must not end the parentheses that hold it."""
    if len(text) > _MOST_FILTER or not text.isprintable():
        yield Problem("filter", "it is too long, or has characters that no filter has", "see pcap-filter(7)")
    depth = 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth < 0:
            break
    if depth:
        yield Problem("filter", "its parentheses do not match: %r" % text[:100], "see pcap-filter(7)")


def expression(addresses: Sequence[str], port: int, more: str) -> str:
    """What tcpdump is to capture: TCP with these peers and this port that the user's filter lets; ICMP's errors."""
    parts = ["tcp"] if addresses or port else []
    if addresses:
        parts.append("(%s)" % " or ".join("host %s" % address for address in addresses))
    if port:
        parts.append("port %d" % port)
    if more:
        parts.append("(%s)" % more)
    return "(%s) or %s" % (" and ".join(parts), ERRORS)


def look(system: System, tools: Tools, asked: Asked) -> HostView:
    """Capture for so long, and look at everything else meanwhile."""
    return _Look(system, tools, asked).run()


class _Look:
    """One look. limits and raw grow as it goes."""

    def __init__(self, system: System, tools: Tools, asked: Asked) -> None:
        self.system, self.tools, self.asked = system, tools, asked
        self.limits: List[str] = []
        self.raw: Dict[str, str] = {}

    def run(self) -> HostView:
        system, asked = self.system, self.asked
        resolved = {name: next(iter(system.resolve(name)), "") for name in asked.peers}
        self.limits += ["peers: this host cannot resolve %s" % name for name, found in resolved.items() if not found]
        addresses = [_plain(address) for address in dict.fromkeys(resolved.values()) if address]
        if asked.peers and not addresses:
            what = "whoever uses that port, or is of that filter, was" if asked.port or asked.filter else "nothing was"
            self.limits.append("capture: without an address of the peer %s captured; name an address" % what)
        ways = [self._way(address) for address in addresses]
        # Whom a host serves may come by another interface than its answers go; and that is what has to be seen.
        interface = asked.interface or (ANY if asked.serves else _interface(ways))
        names = self._interfaces(interface, ways)
        capture, capturing = self._begin(interface, addresses)
        began, before = system.now(), self._counts(names)
        sockets = self._sockets(addresses)
        with ThreadPoolExecutor(max_workers=2 + _MOST_TRACED) as pool:
            traced = pool.submit(self._trace, addresses) if asked.trace else None
            ways_to_hops = [pool.submit(hops, system, way.peer) for way in ways[:_MOST_TRACED] if asked.hops]
            connects = pool.submit(self._connect, addresses)
            self.tools.wait(max(0.0, began + asked.seconds - system.now()))
            sockets = {**sockets, **self._sockets(addresses)}
            listening, drops = self._listeners()
            if capturing:
                capture = replace(capturing.end(), interface=capture.interface, filter=capture.filter)
            ended, after = system.now(), self._counts(names)
            ways = self._complete(ways, ways_to_hops, connects.result())
            events = traced.result() if traced else ()
        self._capture_limits(capture)
        return HostView(
            seconds=round(ended - began, 3),
            started=round(began, 3),
            ended=round(ended, 3),
            kernel=system.facts()["kernel"],
            addresses=self._addresses(),
            capture=capture,
            sockets=tuple(sockets.values()),
            listeners=listening,
            holders=self._holders(sockets.values()),
            counters=_changed(before[0], after[0]),
            settings=self._settings(names),
            ways=tuple(self._with_mtus(ways)),
            interfaces=tuple(_interface_counts(name, before[1][name], after[1][name]) for name in names),
            backlog_drops=after[2] - before[2],
            traced=events,
            raw=self.raw,
            limits=tuple(dict.fromkeys([*self.limits, *([] if drops is None else [drops])])),
        )

    # The way to the peers

    def _json(self, argv: Sequence[str], name: str) -> List[Dict[str, Any]]:
        """What ip or tc print; empty where they fail, which is said once."""
        status, printed, said = self.system.run(list(argv))
        if status != 0:
            words = said.strip().splitlines()[-1:] or ["exit status %d" % status]
            self.limits.append("%s: %s: %s" % (name, argv[0], words[0]))
            return []
        self.raw[name] = printed
        try:
            found = printed_json(printed, argv[0])
        except NetfleetError as error:
            self.limits.append("%s: %s" % (name, error))
            return []
        return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []

    def _way(self, address: str) -> Way:
        found = self._json(["ip", "-j", "route", "get", address], "route to %s" % address)
        route = found[0] if found else {}
        return Way(
            peer=address,
            interface=str(route.get("dev", "")),
            source=str(route.get("prefsrc", "")),
            route={name: str(value) for name, value in route.items() if name not in ("flags", "cache", "uid")},
        )

    def _complete(self, ways: Sequence[Way], found: Sequence["Future[Any]"], connects: Dict[str, int]) -> List[Way]:
        complete = []
        for number, way in enumerate(ways):
            tool, on_the_way, printed, why = found[number].result() if number < len(found) else ("", (), "", "")
            self.limits += [why] if why else []
            if printed:
                self.raw["%s to %s" % (tool, way.peer)] = printed
            complete.append(replace(way, tool=tool, hops=on_the_way, connects={} if number else connects))
        return complete

    def _with_mtus(self, ways: Sequence[Way]) -> Iterator[Way]:
        """With the largest packet that gets through, asked once the capture has ended: its answers teach the kernel."""
        before = self.tools.network.mtus([way.peer for way in ways])
        paths: Dict[str, int] = {}
        if ways and not self.system.facts()["root"]:
            self.limits.append("mtu: only root may send the echoes that find the MTU of a path (become)")
        elif ways:
            for highest in sorted({size for size in before.values() if size}):
                those = [address for address, size in before.items() if size == highest]
                paths.update(path_mtus(self.tools.network.echo, those, highest))
        after = self.tools.network.mtus([way.peer for way in ways])
        for way in ways:
            yield replace(way, route_mtu=after.get(way.peer, 0), path_mtu=paths.get(way.peer, 0))

    def _connect(self, addresses: Sequence[str]) -> Dict[str, int]:
        """Connections of our own, so that a handshake is seen; a while after the capture began here, and elsewhere."""
        asked = self.asked
        if not (asked.connects and addresses and asked.port) or asked.serves:
            return {}
        lead = min(1.5, asked.seconds / 4.0)
        self.tools.wait(lead)
        left = max(0.5, asked.seconds - 2 * lead)
        timeout = min(3.0, left)
        pause = max(0.05, (left - timeout) / asked.connects)
        (attempts,) = self.tools.network.connect([(addresses[0], asked.port)], asked.connects, timeout, pause, AT_ONCE)
        found: Dict[str, int] = {}
        for attempt in attempts:
            found[attempt.error] = found.get(attempt.error, 0) + 1
        return found

    # The capture

    def _begin(self, interface: str, addresses: Sequence[str]) -> Tuple[Capture, Optional[Any]]:
        asked = self.asked
        if not (addresses or asked.port or asked.filter):
            return Capture(interface, problem="without an address of the peer there is no filter"), None
        wanted = expression(addresses, asked.port, asked.filter)
        capturing = self.tools.capture(interface, wanted, asked.seconds, asked.megabytes * 1_000_000, asked.payload)
        problem = capturing.begin()
        return Capture(interface, wanted, problem=problem), None if problem else capturing

    def _capture_limits(self, capture: Capture) -> None:
        if capture.problem:
            self.limits.append("capture: %s" % capture.problem)
        if capture.full:
            self.limits.append(
                "capture: it was full before its time; a narrower filter, or more megabytes, see the rest"
            )
        if capture.dropped or capture.dropped_interface:
            text = "capture: tcpdump could not take %d of %d packets: what seems lost may have been there"
            self.limits.append(text % (capture.dropped + capture.dropped_interface, capture.received))

    # Sockets

    def _sockets(self, addresses: Sequence[str]) -> Dict[str, SocketState]:
        """By both ends, the connections with the peers and the port; the busiest, where there are many."""
        wanted, port = set(addresses), self.asked.port
        found: List[SocketState] = []
        for family in FAMILIES:
            answer = self._ask(family, NOT_LISTENING, (INFO, CONG))
            found += connections(
                answer,
                lambda own, peer, far: (not wanted or peer in wanted) and (not port or port in (own, far)),
            )
        found = sorted(found, key=lambda each: (each.state == "TIME-WAIT", -each.send_queue - each.receive_queue))
        if len(found) > _MOST_SOCKETS:
            self.limits.append(
                "sockets: %d of %d are kept, those with the longest queues" % (_MOST_SOCKETS, len(found))
            )
        return {"%s %s" % (each.local, each.peer): each for each in found[:_MOST_SOCKETS]}

    def _ask(self, family: int, states: int, parts: Sequence[int]) -> Answer:
        return Answer(islice(self.system.sock_diag(request(family, states, parts)), _MOST_DATAGRAMS))

    def _listeners(self) -> Tuple[Tuple[Listener, ...], Optional[str]]:
        """Those of the port, with whose they are."""
        if not self.asked.port:
            return (), None
        found = [entry for family in FAMILIES for entry in listeners(self._ask(family, LISTENING, (SKMEMINFO,)))]
        own = [(inode, each) for inode, each in found if each.port == self.asked.port]
        owners = holders(self.system, {inode for inode, _each in own})
        said = "listeners: whose they are only root sees (become)" if own and not owners else None
        return tuple(replace(each, holder=owners.get(inode, Holder())) for inode, each in own), said

    def _holders(self, sockets: Any) -> Dict[str, Holder]:
        """Whose the connections are of which something has not been read, by their ends."""
        unread = sorted((each for each in sockets if each.receive_queue and each.inode), key=lambda s: -s.receive_queue)
        owners = holders(self.system, {each.inode for each in unread[:_MOST_HOLDERS]})
        return {"%s %s" % (each.local, each.peer): owners[each.inode] for each in unread if each.inode in owners}

    # Counters and interfaces

    def _addresses(self) -> Tuple[str, ...]:
        return tuple(
            str(address["local"])
            for entry in self._json(["ip", "-j", "address", "show"], "addresses")
            # It has those of all services, on each node.
            if entry.get("ifname") != "kube-ipvs0"
            for address in entry.get("addr_info") or ()
            if address.get("local")
        )

    def _interfaces(self, interface: str, ways: Sequence[Way]) -> List[str]:
        if interface != ANY:
            return [interface]
        return sorted({way.interface for way in ways if way.interface})

    def _counts(self, names: Sequence[str]) -> Tuple[Dict[str, int], Dict[str, Dict[str, Any]], int]:
        """All counters by the names of nstat; of each interface what it has dropped; packets that no processor took."""
        counters = {
            protocol + name: value
            for path in ("/proc/net/snmp", "/proc/net/netstat")
            for protocol, values in parse_counters(self.system.read(path) or "").items()
            for name, value in values.items()
        }
        by_interface = {}
        for name in names:
            qdiscs = self._json(["tc", "-s", "-j", "qdisc", "show", "dev", name], "qdiscs of %s" % name)
            links = self._json(["ip", "-j", "-s", "-s", "link", "show", "dev", name], "counters of %s" % name)
            root = next((entry for entry in qdiscs if entry.get("root")), {})
            stats = (links[0].get("stats64") or {}) if links else {}
            errors = {
                "%s_%s" % (way, key): int(value)
                for way in ("rx", "tx")
                for key, value in (stats.get(way) or {}).items()
                if key not in ("bytes", "packets", "multicast") and isinstance(value, int)
            }
            received = int((stats.get("rx") or {}).get("packets", 0))
            by_interface[name] = {"root": root, "errors": errors, "received": received}
        lines = (self.system.read("/proc/net/softnet_stat") or "").split("\n")
        backlog = sum(int(line.split()[1], 16) for line in lines if len(line.split()) > 1)
        return counters, by_interface, backlog

    def _settings(self, interfaces: Sequence[str]) -> Dict[str, str]:
        names = [*SETTINGS, *("net.ipv4.conf.%s.rp_filter" % name for name in ("all", *interfaces) if "." not in name)]
        texts = {name: self.system.read("/proc/sys/" + key_path(name)) for name in names}
        return {name: " ".join(text.split()) for name, text in texts.items() if text is not None}

    def _trace(self, addresses: Sequence[str]) -> Tuple[Traced, ...]:
        status, printed, said = self.system.run(_bpf_probes.arguments(self.asked.seconds))
        if status != 0:
            words = "is not installed (package bpftrace)" if status == 127 else "failed: %s" % _bpf_probes.why(said)
            self.limits.append("trace: bpftrace %s" % words)
        self.raw["bpftrace"] = _bpf_probes.kept(printed, self.asked.port, addresses)
        return _bpf_probes.events(printed, self.asked.port, addresses)


def _plain(address: str) -> str:
    """An address as the kernel lists it; of link-local ones without the interface."""
    try:
        return str(ipaddress.ip_address(address.partition("%")[0]))
    except ValueError:
        return address


def _interface(ways: Sequence[Way]) -> str:
    """Where all routes lead; else any."""
    found = {way.interface for way in ways}
    return found.pop() if len(found) == 1 and "" not in found else ANY


def _changed(before: Mapping[str, int], after: Mapping[str, int]) -> Dict[str, int]:
    found = {name: value - before.get(name, 0) for name, value in after.items()}
    return {name: value for name, value in found.items() if value > 0}


def _interface_counts(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> InterfaceCounts:
    first, last = before["root"], after["root"]
    grown = {key: int(last.get(key, 0)) - int(first.get(key, 0)) for key in ("packets", "drops", "overlimits")}
    errors = _changed(before["errors"], after["errors"])
    return InterfaceCounts(
        name,
        str(last.get("kind", "")),
        max(0, grown["packets"]),
        max(0, grown["drops"]),
        max(0, grown["overlimits"]),
        int(last.get("backlog", 0)),
        errors,
        max(0, after["received"] - before["received"]),
    )
