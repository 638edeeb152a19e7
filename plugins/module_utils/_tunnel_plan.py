# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a WireGuard interface as it is to one as wanted: what differs, and the commands that remove it. Pure.

Only what differs is touched: a peer, a route or an address that is as wanted is not even mentioned, so that what it
carries goes on. The same commands bring an interface back to what it was.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Iterable, Iterator, List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Change
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import (
    PROTOCOL,
    Tunnel,
    TunnelPeer,
    TunnelRoute,
)

SUBJECT = "tunnel"
_ABSENT = "absent"
# Where the file that a program is to read is what comes to it by its standard input: a key is on no command line.
_STDIN = "/dev/stdin"


@dataclass(frozen=True)
class Command:
    """A program to run. stdin: a secret that it reads."""

    argv: Tuple[str, ...]
    stdin: str = ""


@dataclass(frozen=True)
class _Difference:
    """One thing that differs: what it is called, and how it is and shall be, in words."""

    what: str
    want: str
    running: Optional[str]


def tunnel_changes(want: Optional[Tunnel], have: Optional[Tunnel], settled: bool, reason: str = "") -> List[Change]:
    """What differs, for people. None: there is no such interface.

    settled: the endpoints that are wanted are those that the host's files name already: then a peer that is in touch
    and was found elsewhere has moved by itself, as WireGuard lets it.
    """
    name = (want or have or Tunnel("")).name
    if want is None or have is None:
        if want is have:
            return []
        return [Change(SUBJECT, name, describe_tunnel(want), describe_tunnel(have), reason=reason)]
    return [
        Change(SUBJECT, "%s %s" % (name, entry.what), entry.want, entry.running, reason=reason)
        for entry in _differences(want, have, settled)
    ]


def tunnel_of(change: Change) -> str:
    """The name of the interface that a change of this subject is about."""
    return change.key.partition(" ")[0]


def describe_tunnel(tunnel: Optional[Tunnel]) -> str:
    """An interface in a few words."""
    if tunnel is None:
        return _ABSENT
    return "%d peers, port %d, MTU %d" % (len(tunnel.peers), tunnel.port, tunnel.mtu)


def _differences(want: Tunnel, have: Tunnel, settled: bool) -> Iterator[_Difference]:
    if want.public_key != have.public_key:
        yield _Difference("key", want.public_key, have.public_key or None)
    for what, wanted, there in (("port", want.port, have.port), ("MTU", want.mtu, have.mtu)):
        if wanted != there:
            yield _Difference(what, str(wanted), str(there))
    if want.up != have.up:
        words = {True: "up", False: "down"}
        yield _Difference("link", words[want.up], words[have.up])
    if set(want.addresses) != set(have.addresses):
        yield _Difference("addresses", _list(want.addresses), _list(have.addresses))
    yield from _peer_differences(want, have, settled)
    wanted_routes, present = set(want.routes), set(have.routes)
    for route in sorted(wanted_routes - present, key=_route_words):
        before = [other for other in have.routes if _place(other) == _place(route)]
        yield _Difference("route %s" % _place_words(route), _route_words(route), _list(map(_route_words, before)))
    places = {_place(route) for route in want.routes}
    for route in have.routes:
        if _place(route) not in places:
            yield _Difference("route %s" % _place_words(route), _ABSENT, _route_words(route))


def _peer_differences(want: Tunnel, have: Tunnel, settled: bool) -> Iterator[_Difference]:
    for key, peer in want.by_key.items():
        there = have.by_key.get(peer.former) or have.by_key.get(key)
        called = "peer %s" % (peer.name or key)
        if there is not None and there.public_key != key:
            yield _Difference(called + " key", key, there.public_key)
        if there is None:
            yield _Difference(called, _peer_words(peer), _ABSENT)
            continue
        if moved(peer, there, settled):
            yield _Difference(called + " endpoint", peer.endpoint, there.endpoint or None)
        if set(peer.allowed) != set(there.allowed):
            yield _Difference(called + " allowed IPs", _list(peer.allowed), _list(there.allowed))
        if peer.keepalive != there.keepalive:
            yield _Difference(called + " keepalive", _seconds(peer.keepalive), _seconds(there.keepalive))
        if peer.preshared_key != there.preshared_key:
            yield _Difference(called + " preshared key", peer.preshared_key or "none", there.preshared_key or "none")
    formers = {peer.former for peer in want.peers}
    for key, there in have.by_key.items():
        if key not in want.by_key and key not in formers:
            yield _Difference("peer %s" % (there.name or key), _ABSENT, _peer_words(there))


def moved(want: TunnelPeer, have: TunnelPeer, settled: bool) -> bool:
    """Whether a peer's endpoint has to be set. One that is wanted to have none keeps what it came from."""
    if not want.endpoint or want.endpoint == have.endpoint:
        return False
    return not (settled and have.in_touch)


def _peer_words(peer: TunnelPeer) -> str:
    return "%s, allowed IPs %s" % (peer.endpoint or "no endpoint", _list(peer.allowed))


def _seconds(seconds: int) -> str:
    return "%d s" % seconds if seconds else "off"


def _list(words: Iterable[str]) -> str:
    return ", ".join(sorted(words)) or "none"


def _place(route: TunnelRoute) -> Tuple[str, int]:
    # What the kernel tells routes apart by.
    return route.prefix, route.metric


def _place_words(route: TunnelRoute) -> str:
    return "%s metric %d" % _place(route) if route.metric else route.prefix


def _route_words(route: TunnelRoute) -> str:
    return " ".join(_route_options(route)) or "plain"


def _route_options(route: TunnelRoute) -> List[str]:
    options: List[str] = []
    for name, value in (
        ("congctl", route.congestion_control),
        ("initcwnd", route.initcwnd),
        ("initrwnd", route.initrwnd),
    ):
        options += [name, str(value)] if value else []
    return options


def staged(want: Tunnel, have: Optional[Tunnel]) -> Tunnel:
    """What comes first where keys change: peers of both keys, of which the former has what the peer is allowed.

    have: as it runs now. What has been handed over there is as wanted; so is all of an interface that is new.
    """
    if have is None:
        return want
    peers: List[TunnelPeer] = []
    for peer in want.peers:
        if peer.former in have.by_key:
            peers += [replace(peer, public_key=peer.former, former=""), replace(peer, allowed=(), former="")]
        else:
            peers.append(peer)
    found = replace(want, peers=tuple(peers))
    if want.former and have.public_key == want.former:
        found = replace(found, public_key=have.public_key, private_key=have.private_key)
    return found


def hand_overs(want: Tunnel, have: Tunnel) -> List[Command]:
    """The commands by which each peer that has spoken with its new key gets what the former one was allowed."""
    commands: List[Command] = []
    for peer in want.peers:
        new = have.by_key.get(peer.public_key)
        if peer.former in have.by_key and new is not None and new.received:
            words = ("peer", peer.public_key, "allowed-ips", ",".join(peer.allowed), "peer", peer.former, "remove")
            commands.append(Command(("wg", "set", want.name, *words)))
    return commands


def handing_over(want: Tunnel, have: Optional[Tunnel]) -> bool:
    """Whether any peer of an interface is still to speak with its new key."""
    return have is not None and any(peer.former in have.by_key for peer in want.peers)


def tunnel_commands(want: Optional[Tunnel], have: Optional[Tunnel], settled: bool = False) -> List[Command]:
    """The commands that make have into want. Secrets in want are revealed."""
    if want is None:
        return [Command(("ip", "link", "del", "dev", have.name))] if have else []
    commands: List[Command] = []
    if have is None:
        commands.append(Command(("ip", "link", "add", "dev", want.name, "type", "wireguard")))
        have = Tunnel(want.name, up=False)
    commands += _own_commands(want, have)
    commands += _peer_commands(want, have, settled)
    commands += _link_commands(want, have)
    commands += _route_commands(want, have)
    return commands


def _own_commands(want: Tunnel, have: Tunnel) -> Iterator[Command]:
    if want.port != have.port:
        yield Command(("wg", "set", want.name, "listen-port", str(want.port)))
    if want.public_key != have.public_key:
        if want.private_key:
            yield Command(("wg", "set", want.name, "private-key", _STDIN), want.private_key + "\n")
        else:
            yield Command(("wg", "set", want.name, "private-key", "/dev/null"))


def _peer_commands(want: Tunnel, have: Tunnel, settled: bool) -> Iterator[Command]:
    # One that takes a prefix over has it at once; one that goes, goes last, so that the prefix is never nobody's.
    for key, peer in want.by_key.items():
        there = have.by_key.get(key)
        options, secret = _peer_options(peer, there or TunnelPeer(key), settled)
        if options or there is None:
            yield Command(("wg", "set", want.name, "peer", key, *options), secret)
    for key in have.by_key:
        if key not in want.by_key:
            yield Command(("wg", "set", want.name, "peer", key, "remove"))


def _peer_options(want: TunnelPeer, have: TunnelPeer, settled: bool) -> Tuple[List[str], str]:
    options: List[str] = []
    secret = ""
    if want.preshared_key != have.preshared_key:
        # An empty file takes the key away; older versions of wg have no word for that.
        options += ["preshared-key", _STDIN if want.preshared_key else "/dev/null"]
        secret = want.preshared_key + "\n" if want.preshared_key else ""
    if moved(want, have, settled):
        options += ["endpoint", want.endpoint]
    if want.keepalive != have.keepalive:
        options += ["persistent-keepalive", str(want.keepalive) if want.keepalive else "off"]
    if set(want.allowed) != set(have.allowed):
        options += ["allowed-ips", ",".join(want.allowed)]
    return options, secret


def _link_commands(want: Tunnel, have: Tunnel) -> Iterator[Command]:
    # New ones first: what is connected by an address stays so.
    for address in want.addresses:
        if address not in have.addresses:
            yield Command(("ip", "address", "replace", address, "dev", want.name))
    gone = [address for address in have.addresses if address not in want.addresses]
    if gone and want.addresses:
        # With the first address of a network the kernel takes the others of it, and all that is routed by them.
        name = "net/ipv4/conf/%s/promote_secondaries" % want.name
        yield Command(("sysctl", "-q", "-w", name + "=1"))
    for address in gone:
        yield Command(("ip", "address", "del", address, "dev", want.name))
    link: List[str] = []
    if want.mtu and want.mtu != have.mtu:
        link += ["mtu", str(want.mtu)]
    if want.up != have.up:
        link += ["up" if want.up else "down"]
    if link:
        yield Command(("ip", "link", "set", "dev", want.name, *link))


def _route_commands(want: Tunnel, have: Tunnel) -> Iterator[Command]:
    # A link that was down has lost its routes.
    present = have.routes if have.up else ()
    for route in want.routes if want.up else ():
        if route not in present:
            yield Command(("ip", "route", "replace", *route_words(route, want.name)))
    places = {_place(route) for route in want.routes}
    for route in present if want.up else ():
        if _place(route) not in places:
            yield Command(("ip", "route", "del", *_target(route, want.name)))


def route_words(route: TunnelRoute, device: str) -> List[str]:
    """What follows `ip route replace`."""
    return [*_target(route, device), *_route_options(route)]


def _target(route: TunnelRoute, device: str) -> List[str]:
    metric = ["metric", str(route.metric)] if route.metric else []
    return [route.prefix, "dev", device, "proto", str(PROTOCOL), *metric]
