# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which peers of a tunnel answer: each is sent something, and whatever comes back shows that the link lives.

Whoever receives data by WireGuard and has nothing to say sends an empty packet within ten seconds: the protocol's own
passive keepalive, which no firewall inside of the tunnel sees.

Pure but for the System that is handed in.
"""

from __future__ import annotations

import time
from typing import Callable, Dict, Iterable, List, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import NO_HANDSHAKE, Tunnel, TunnelPeer
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnels import read_peers

# "discard": whatever the peer does with it is an answer, or nothing at all.
DISCARD = 9
_PAUSE = 0.5
# One datagram may be lost; a handshake is tried again each five seconds while there is something to send.
_AGAIN = 2.0


@dataclass(frozen=True)
class Asked:
    """A peer that is to answer. address: one that is reached by it.

    anew: in a session that has begun since. What still comes by one from before says nothing of the keys of now.
    """

    interface: str
    public_key: str
    address: str
    anew: bool = False


def answers(
    system: System,
    asked: Iterable[Asked],
    seconds: float,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Dict[str, List[str]]:
    """By interface, the public keys of those that have answered within so many seconds. HostError as read_peers."""
    waiting = list(asked)
    if not waiting:
        return {}
    before = _by_key(read_peers(system))
    began, sent = clock(), -_AGAIN
    found: Dict[str, List[str]] = {peer.interface: [] for peer in waiting}
    while waiting:
        if clock() - began - sent >= _AGAIN:
            sent = clock() - began
            for peer in waiting:
                system.send_datagram(peer.address, DISCARD)
        now = _by_key(read_peers(system))
        for peer in list(waiting):
            key = (peer.interface, peer.public_key)
            nobody = TunnelPeer(peer.public_key)
            there = now.get(key, nobody)
            # The kernel gives the time of a handshake in whole seconds.
            in_time = not peer.anew or NO_HANDSHAKE < there.handshake <= clock() - began + 1
            if in_time and there.received > before.get(key, nobody).received:
                found[peer.interface].append(peer.public_key)
                waiting.remove(peer)
        if clock() - began >= seconds:
            break
        if waiting:
            sleep(_PAUSE)
    return found


def _by_key(tunnels: Dict[str, Tunnel]) -> Dict[Tuple[str, str], TunnelPeer]:
    return {(name, peer.public_key): peer for name, tunnel in tunnels.items() for peer in tunnel.peers}
