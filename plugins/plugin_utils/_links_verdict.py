# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts keep a change of their links, by which of these still live. Pure; runs on the controller alone.

A link has two ends: where one takes its change back, so does the other, if it was changed in this run; else both would
be wrong, each in its way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Dict, List, Set, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel, TunnelPeer


def lived(tunnels: Mapping[str, Tunnel]) -> Dict[str, Set[str]]:
    """By interface, the public keys of the peers that a host was in touch with."""
    return {name: {peer.public_key for peer in tunnel.peers if peer.in_touch} for name, tunnel in tunnels.items()}


def dead(before: Mapping[str, Tunnel], want: Iterable[Tunnel], answered: Mapping[str, Iterable[str]]) -> List[str]:
    """The names of the peers that answered before a change, are still wanted, and do not answer now.

    answered: by interface, the public keys of the peers that do.
    """
    there = {(tunnel.name, peer.public_key): peer.name for tunnel, peer in to_ask(before, want)}
    return list(
        dict.fromkeys(name for (interface, key), name in there.items() if key not in answered.get(interface, ()))
    )


def to_ask(before: Mapping[str, Tunnel], want: Iterable[Tunnel]) -> Iterator[Tuple[Tunnel, TunnelPeer]]:
    """The wanted peers that answered before a change, by whichever key they had then."""
    alive = lived(before)
    for tunnel in want:
        for peer in tunnel.peers:
            if alive.get(tunnel.name, set()) & {peer.public_key, peer.former}:
                yield tunnel, peer


def asked_beside(
    before: Mapping[str, Tunnel], want: Iterable[Tunnel], together: Collection[str]
) -> Iterator[Tuple[Tunnel, TunnelPeer]]:
    """The wanted peers that did not answer before a change, new ones among them, of those hosts that are in step.

    Whoever is not in step may not know of the link yet.
    """
    alive = lived(before)
    for tunnel in want:
        for peer in tunnel.peers:
            if peer.name in together and not alive.get(tunnel.name, set()) & {peer.public_key, peer.former}:
                yield tunnel, peer


def no_answer(tunnel: Tunnel, peer: TunnelPeer) -> str:
    """What to say of a link that does not answer, and did not before: it is no reason to take a change back."""
    host, _colon, port = peer.endpoint.rpartition(":")
    way = "%s gets through to %s" % (port, host) if host else "%d gets through to this host" % tunnel.port
    return "%s: %s does not answer; see whether UDP port %s" % (tunnel.name, peer.name, way)


def silent(dead_peers: Iterable[str]) -> str:
    """Why a host takes its change back whose peers of these names are dead; empty where there are none."""
    names = ", ".join(sorted(dead_peers))
    return "%s answered before the change, and not since" % names if names else ""


def not_kept(reasons: Mapping[str, str], links: Mapping[str, Iterable[str]]) -> Dict[str, str]:
    """Why each host takes its change back; those that keep it are not among them.

    reasons: by host, why it does by itself; empty: it does not. links: by each host that was changed, the hosts that it
    is linked to.
    """
    why = {host: reason for host, reason in reasons.items() if host in links and reason}
    spread = list(why)
    while spread:
        host = spread.pop()
        for other in sorted(links[host]):
            if other in links and other not in why:
                why[other] = "the link to %s is taken back there" % host
                spread.append(other)
    return why
