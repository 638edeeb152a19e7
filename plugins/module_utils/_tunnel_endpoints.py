# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Endpoints that are declared by name: WireGuard itself asks for their addresses once, and never again. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Iterable, List, Mapping, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel


def resolved(tunnel: Tunnel, addresses: Mapping[str, Tuple[str, ...]], have: Optional[Tunnel]) -> Tunnel:
    """The wanted interface with addresses for the names of endpoints: the one in use, where it is among them."""
    there = have.by_key if have else {}
    peers = []
    for peer in tunnel.peers:
        host, _colon, port = peer.endpoint.rpartition(":")
        known = [endpoint_of(address, port) for address in addresses.get(host, ())]
        running = there.get(peer.public_key) or there.get(peer.former)
        now = running.endpoint if running else ""
        # Where the name resolves to nothing today, what is in use stays so.
        endpoint = now if now in known or (now and host in addresses and not known) else (known or [peer.endpoint])[0]
        peers.append(replace(peer, endpoint=endpoint))
    return replace(tunnel, peers=tuple(peers))


def endpoint_of(host: str, port: str) -> str:
    """A host and its port as WireGuard writes them."""
    return "%s:%s" % ("[%s]" % host if ":" in host else host, port)


def address_of(endpoint: str) -> str:
    """The host of an endpoint, without its port and brackets; empty where there is no endpoint."""
    return endpoint.rpartition(":")[0].strip("[]")


def names_of(tunnels: Iterable[Tunnel]) -> List[str]:
    """The names among the endpoints, to be resolved."""
    hosts = (peer.endpoint.rpartition(":")[0] for tunnel in tunnels for peer in tunnel.peers if peer.endpoint)
    return sorted({host for host in hosts if not host.startswith("[") and not host.replace(".", "").isdigit()})
