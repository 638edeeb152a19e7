# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The MTU of a tunnel by what was found to get through to its peers. Pure; runs on the controller alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Dict, List, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding, Observed
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_endpoints import address_of
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_files import tunnel_paths
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel, TunnelPeer
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_plan import SUBJECT
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_values import LOWEST_MTU, OVERHEAD, PADDING, literal
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_topology import InterfaceWanted

# The MTU in one of our files, of either backend.
_RECORDED = re.compile(r"^MTU(?:Bytes)? ?= ?(\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Measured:
    """A tunnel with the MTU of its narrowest path, why it is that (by keys of changes), and what deserves a word."""

    tunnel: Tunnel
    reasons: Dict[str, str]
    findings: Tuple[Finding, ...] = ()


def on_the_path(tunnel: Tunnel, observed: Observed) -> Measured:
    """A tunnel whose MTU is as declared, with that which was found where that is smaller.

    Where somebody does not answer today, what was found earlier stays: an answer that is lost opens no black hole.
    """
    mtu, reason = tunnel.mtu, ""
    silent: List[Finding] = []
    unknown = False
    for peer, address in _addresses(tunnel, observed):
        outer = observed.path_mtu.get(address, 0)
        if not outer:
            unknown = True
            silent += [_silent(tunnel, peer, address)] if address in observed.path_mtu else []
            continue
        fits = (outer - OVERHEAD[6 if ":" in address else 4]) // PADDING * PADDING
        if fits < mtu:
            mtu, reason = (
                fits,
                "packets of %d bytes get through to %s (%s), larger ones do not"
                % (
                    outer,
                    peer.name,
                    address,
                ),
            )
    earlier = _recorded(tunnel.name, observed)
    if unknown and 0 < earlier < mtu:
        mtu, reason = earlier, "as found earlier"
    findings = silent
    if mtu < LOWEST_MTU <= tunnel.mtu and _carries_ipv6(tunnel):
        text = "%s, which leaves %d in the tunnel: IPv6 needs %d, so its packets travel in pieces" % (
            reason,
            mtu,
            LOWEST_MTU,
        )
        findings = [*silent, Finding(SUBJECT, tunnel.name + " MTU", "warning", text, cure="leave IPv6 out of it")]
        mtu = LOWEST_MTU
    reasons = {tunnel.name + what: reason for what in ("", " MTU", " MSS clamp")} if reason else {}
    return Measured(replace(tunnel, mtu=mtu, clamp=tunnel.clamp and mtu), reasons, tuple(findings))


def addresses_to_probe(interfaces: Iterable[InterfaceWanted], observed: Observed) -> List[str]:
    """Where peers are declared to be, and where they are found; of a name the address that a new tunnel would use."""
    found: Dict[str, None] = {}
    for interface in interfaces:
        for peer in interface.peers:
            known = observed.resolved.get(peer.endpoint, ())
            found.update({str(literal(peer.endpoint) or (known or ("",))[0]): None})
        live = observed.tunnels.get(interface.name, Tunnel(""))
        found.update({address_of(peer.endpoint): None for peer in live.peers})
    return [address for address in found if address]


def _addresses(tunnel: Tunnel, observed: Observed) -> Iterator[Tuple[TunnelPeer, str]]:
    """Where each peer is; those are left out of which nobody knows."""
    live = observed.tunnels[tunnel.name].by_key if tunnel.name in observed.tunnels else {}
    for peer in tunnel.peers:
        there = address_of(live[peer.public_key].endpoint) if peer.public_key in live else ""
        host = address_of(peer.endpoint)
        if host and literal(host) is None:
            known = observed.resolved.get(host, ())
            host = there if there in known else (known or ("",))[0]
        address = host or (there if not peer.endpoint else "")
        if address:
            yield peer, address


def _silent(tunnel: Tunnel, peer: TunnelPeer, address: str) -> Finding:
    text = "%s answers no large echoes, so how large packets to it may be is not known" % address
    cure = "let it answer ICMP echo; without wireguard_links_probe_mtu the MTU is as declared"
    return Finding(SUBJECT, "%s peer %s" % (tunnel.name, peer.name), "note", text, cure=cure)


def _recorded(name: str, observed: Observed) -> int:
    """The MTU by the host's own files; 0 where they say none."""
    texts = [observed.files[path].text for path in tunnel_paths(name) if path in observed.files]
    return min((int(number) for text in texts for number in _RECORDED.findall(text)), default=0)


def _carries_ipv6(tunnel: Tunnel) -> bool:
    prefixes = [*tunnel.addresses, *(prefix for peer in tunnel.peers for prefix in peer.allowed)]
    return any(":" in prefix for prefix in prefixes)
