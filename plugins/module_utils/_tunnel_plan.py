# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a WireGuard interface as it is to one as wanted: what differs, and the commands that remove it. Pure.

Only what differs is touched: a peer, a route or an address that is as wanted is not even mentioned, so that what it
carries goes on. The same commands bring an interface back to what it was.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, Iterable, Iterator, List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._clamp import APPLY, clamp_script
from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Change
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import (
    CHANGED,
    PROTOCOL,
    RULE_PRIORITY,
    Tunnel,
    TunnelPeer,
    TunnelRoute,
)

SUBJECT = "tunnel"
_ABSENT = "absent"
# Where the file that a program is to read is what comes to it by its standard input: a key is on no command line.
_STDIN = "/dev/stdin"
_NO_WIREGUARD = (
    "this kernel has no WireGuard: it has neither built it in nor found the module wireguard; "
    "where this is a container, the machine that it runs on has to load it"
)
# iproute2's own words where the kernel knows no such kind of interface, and the kernel's, which older ones pass on.
_MAKING = (("Unknown device type", _NO_WIREGUARD), ("Operation not supported", _NO_WIREGUARD))


@dataclass(frozen=True)
class Command:
    """A program to run. stdin: what it reads, which may be a secret.

    tolerated: what it may say where it fails without harm; empty: whatever it says; None: it must not fail.
    meanings: pairs of what it may say where it fails, and what that means to whoever reads it.
    """

    argv: Tuple[str, ...]
    stdin: str = ""
    tolerated: Optional[str] = None
    meanings: Tuple[Tuple[str, str], ...] = ()

    def refused(self, error: str) -> str:
        """What to tell of this error of it: its meaning, where one is known, and its own words."""
        found = [meaning for words, meaning in self.meanings if words in error]
        return "%s (%s)" % (found[0], error) if found else error


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
    yield from _way_differences(want, have)
    yield from _peer_differences(want, have, settled)
    wanted_routes, present = set(want.routes), set(have.routes)
    for route in sorted(wanted_routes - present, key=_route_words):
        before = [other for other in have.routes if _place(other) == _place(route)]
        yield _Difference("route %s" % _place_words(route), _route_words(route), _list(map(_route_words, before)))
    places = {_place(route) for route in want.routes}
    for route in have.routes:
        if _place(route) not in places:
            yield _Difference("route %s" % _place_words(route), _ABSENT, _route_words(route))


def _way_differences(want: Tunnel, have: Tunnel) -> Iterator[_Difference]:
    """What the host does with packets on their way into the interface and out of it."""
    if want.clamp not in (have.clamp, CHANGED):
        yield _Difference("MSS clamp", _clamp_words(want.clamp), _clamp_words(have.clamp))
    there = _by_name(have.settings)
    for name, value in _by_name(want.settings).items():
        if value != there.get(name):
            yield _Difference(name, value, there.get(name))
    if set(want.rules) != set(have.rules):
        yield _Difference("rules", _list(want.rules), _list(have.rules))


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


def _clamp_words(mtu: int) -> str:
    return {0: "none", CHANGED: "changed by hand"}.get(mtu, "for an MTU of %d" % mtu)


def _by_name(settings: Iterable[str]) -> Dict[str, str]:
    pairs = (setting.partition("=") for setting in settings)
    return {name: value for name, _equals, value in pairs}


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
        return list(_removal(have)) if have else []
    commands: List[Command] = []
    new = have is None
    if have is None:
        commands.append(Command(("ip", "link", "add", "dev", want.name, "type", "wireguard"), meanings=_MAKING))
        have = Tunnel(want.name, up=False)
    # No connection is to begin without it.
    commands += _clamp_commands(want, have)
    commands += _own_commands(want, have)
    commands += _peer_commands(want, have, settled)
    commands += _setting_commands(want, have, new)
    commands += _link_commands(want, have)
    commands += _route_commands(want, have)
    commands += _rule_commands(want, have)
    return commands


def _removal(have: Tunnel) -> Iterator[Command]:
    # First: from here on, what the rules have led into the tunnel goes where it went before.
    yield from _rule_commands(Tunnel(have.name), have)
    yield Command(("ip", "link", "del", "dev", have.name))
    yield from _clamp_commands(Tunnel(have.name), have)


def _clamp_commands(want: Tunnel, have: Tunnel) -> Iterator[Command]:
    if want.clamp not in (have.clamp, CHANGED):
        yield Command(APPLY, clamp_script(want.name, want.clamp))


def _setting_commands(want: Tunnel, have: Tunnel, new: bool) -> Iterator[Command]:
    there = _by_name(have.settings)
    differ = [setting for setting in want.settings if there.get(setting.partition("=")[0]) != setting.partition("=")[2]]
    if differ and new:
        # For an interface that has come up, udev applies what the host's sysctl.d says of all of them: before us.
        yield Command(("udevadm", "settle", "--timeout=5"), tolerated="")
    for setting in differ:
        yield Command(("sysctl", "-q", "-w", "net/ipv4/conf/%s/%s" % (want.name, setting)))


def _rule_commands(want: Tunnel, have: Tunnel) -> Iterator[Command]:
    for prefix in want.rules:
        if prefix not in have.rules:
            # Another interface that carries it may have made it.
            yield Command(("ip", *added_rule(prefix)), tolerated="File exists")
    for prefix in have.rules:
        if prefix not in want.rules:
            yield Command(("ip", "-4", "rule", "del", *_rule(prefix)))


def added_rule(prefix: str) -> Tuple[str, ...]:
    """What follows `ip` to add a rule."""
    # As systemd-networkd adds it: of another protocol, the kernel takes the same rule twice.
    return ("-4", "rule", "add", *_rule(prefix), "protocol", "static")


def _rule(prefix: str) -> Tuple[str, ...]:
    # The main table, but for its default route.
    return ("pref", str(RULE_PRIORITY), "to", prefix, "lookup", "main", "suppress_prefixlength", "0")


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
