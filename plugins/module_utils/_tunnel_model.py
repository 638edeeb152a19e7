# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A WireGuard interface as data: the same shape for what is wanted, what runs, and what stood there before. Pure.

Annotated for Python 3.8, as all that travels (see _model).
"""

from __future__ import annotations

from typing import Dict, FrozenSet, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass

# Seconds after which a session is renewed, and after which it is of no use any more, by WireGuard's protocol.
REKEY_AFTER, REJECT_AFTER = 120, 180
NO_HANDSHAKE = -1
# By this number the kernel tells our routes from those of daemons and of people (rtnetlink(7): from 5 on, anybody's).
PROTOCOL = 201
# Our rules stand before strongSwan's, which is 220.
RULE_PRIORITY = 201
# A clamp that somebody has changed by hand.
CHANGED = -1


@dataclass(frozen=True)
class TunnelPeer:
    """A peer. allowed: prefixes, sorted. endpoint: host:port, empty where it comes by itself. keepalive: seconds.

    name: of the node, where it is declared. preshared_key: a secret, or the token that stands for it (see _secrets).
    former: the key that the peer had so far, where it is about to change it (see _hand_over): only wanted, never seen.
    handshake: seconds since the latest; NO_HANDSHAKE: none yet. received, sent: bytes. The last three are only seen.
    """

    public_key: str
    name: str = ""
    endpoint: str = ""
    allowed: Tuple[str, ...] = ()
    keepalive: int = 0
    preshared_key: str = ""
    former: str = ""
    handshake: int = NO_HANDSHAKE
    received: int = 0
    sent: int = 0

    @property
    def in_touch(self) -> bool:
        """Whether it has a session that may still be used."""
        return NO_HANDSHAKE < self.handshake < REJECT_AFTER

    @property
    def address(self) -> str:
        """Its own address in the tunnel; empty where nothing that it is allowed is a single address."""
        return next((prefix.split("/")[0] for prefix in self.allowed if prefix.endswith(("/32", "/128"))), "")


@dataclass(frozen=True)
class TunnelRoute:
    """A route into the tunnel. metric 0: the kernel's own default. initcwnd, initrwnd: segments; 0: the same."""

    prefix: str
    metric: int = 0
    congestion_control: str = ""
    initcwnd: int = 0
    initrwnd: int = 0


@dataclass(frozen=True)
class Tunnel:
    """An interface. private_key: a secret that never leaves the host; public_key stands for it everywhere else.

    port: UDP. mtu: bytes. addresses: with prefix length. clamp: the MTU, in bytes, for which TCP's segments are made to
    fit; 0: none, CHANGED: somebody's; as something wanted, that means whatever there is. settings: "name=value" below
    net/ipv4/conf, sorted; of a wanted one, those alone that matter. rules: prefixes for which the main table is asked
    before all others but the local one; every interface that carries such a prefix has it.
    former: the public key that it keeps until its peers know the new one: only wanted, never seen.
    """

    name: str
    public_key: str = ""
    private_key: str = ""
    port: int = 0
    mtu: int = 0
    up: bool = True
    addresses: Tuple[str, ...] = ()
    peers: Tuple[TunnelPeer, ...] = ()
    routes: Tuple[TunnelRoute, ...] = ()
    clamp: int = 0
    settings: Tuple[str, ...] = ()
    rules: Tuple[str, ...] = ()
    former: str = ""

    @property
    def by_key(self) -> Dict[str, TunnelPeer]:
        """The peers by their public keys."""
        return {peer.public_key: peer for peer in self.peers}

    @property
    def carried(self) -> FrozenSet[str]:
        """The prefixes that go to one of the peers."""
        return frozenset(prefix for peer in self.peers for prefix in peer.allowed)
