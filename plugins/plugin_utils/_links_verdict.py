# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts keep a change of their links, by which of these still live. Pure; runs on the controller alone.

A link has two ends: where one takes its change back, so does the other, if it was changed in this run; else both would
be wrong, each in its way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Dict, List, Set

from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import REJECT_AFTER, Tunnel


def lived(tunnels: Mapping[str, Tunnel]) -> Dict[str, Set[str]]:
    """By interface, the public keys of the peers that a host was in touch with."""
    return {
        name: {peer.public_key for peer in tunnel.peers if 0 <= peer.handshake < REJECT_AFTER}
        for name, tunnel in tunnels.items()
    }


def dead(before: Mapping[str, Tunnel], want: Iterable[Tunnel], answered: Mapping[str, Iterable[str]]) -> List[str]:
    """The names of the peers that answered before a change, are still wanted, and do not answer now.

    answered: by interface, the public keys of the peers that do. A peer whose key is another one now is known by name.
    """
    alive = lived(before)
    found: Dict[str, None] = {}
    for tunnel in want:
        old = before.get(tunnel.name)
        keys = alive.get(tunnel.name, set())
        names = {peer.name for peer in (old.peers if old else ()) if peer.public_key in keys and peer.name}
        for peer in tunnel.peers:
            was = peer.public_key in keys or peer.name in names
            if was and peer.public_key not in answered.get(tunnel.name, ()):
                found[peer.name] = None
    return list(found)


def not_kept(dead_peers: Mapping[str, Iterable[str]], links: Mapping[str, Iterable[str]]) -> Dict[str, str]:
    """Why each host takes its change back; those that keep it are not among them.

    dead_peers: by host, what `dead` gives. links: by each host that was changed, the hosts that it is linked to.
    """
    why: Dict[str, str] = {}
    spread: List[str] = []
    for host, peers in dead_peers.items():
        names = sorted(peers)
        if host in links and names:
            why[host] = "%s answered before the change, and not since" % ", ".join(names)
            spread.append(host)
    while spread:
        host = spread.pop()
        for other in sorted(links[host]):
            if other in links and other not in why:
                why[other] = "the link to %s is taken back there" % host
                spread.append(other)
    return why
