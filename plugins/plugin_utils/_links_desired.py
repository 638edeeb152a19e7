# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the interfaces that a host is to have to its desired state: with keys, routes and files. Pure.

Runs on the controller alone.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Dict, List, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._model import Desired, Finding, Observed
from ansible_collections.netfleet.tcp.plugins.module_utils._secrets import key_token
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_endpoints import endpoint_of
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_files import (
    LINKS_DECLARATION,
    NETWORKD,
    WG_QUICK,
    tunnel_files,
    tunnel_paths,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel, TunnelPeer, TunnelRoute
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_plan import SUBJECT
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_declaration import is_key
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_ipsec import (
    NO_IPSEC,
    ipsec_findings,
    ipsec_rules,
    ipsec_settings,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_path import on_the_path
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_topology import (
    InterfaceWanted,
    PeerWanted,
    holds,
    pair_name,
)

ROLE_DECLARATION = LINKS_DECLARATION
AUTO = "auto"
# A peer in one of our files, of either backend: its name, then its key.
_RECORDED = re.compile(r"^# (\S+)\nPublicKey ?= ?(\S+)$", re.MULTILINE)
_OF_PRESHARED_KEYS = b"netfleet.tcp wireguard preshared key"


@dataclass(frozen=True)
class LinkSettings:
    """What the role's variables say of all links of a host. congestion_control, initcwnd, initrwnd: of their routes.

    probe_mtu: whether the MTU is that of the path, where it is narrower than declared. backend: AUTO, or what brings
    them up at boot. secret: all preshared keys are made of it; empty: there are none.
    generation: another one makes other keys. ipsec: how far the links have taken over from it (see _links_ipsec).
    """

    backend: str = AUTO
    congestion_control: str = ""
    initcwnd: int = 0
    initrwnd: int = 0
    ipsec: str = NO_IPSEC
    secret: str = ""
    generation: int = 0
    probe_mtu: bool = False


@dataclass(frozen=True)
class DesiredLinks:
    """What a host is to have, the secrets that belong to it (by their tokens), and what deserves a word."""

    desired: Desired
    secrets: Dict[str, str]
    findings: Tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Keys:
    """Public keys, by node, as far as this run knows them; former: of those nodes that are about to change theirs.

    In check mode the next one of these is not made yet, and the public one is still the former.
    together: the nodes that this run changes too.
    """

    public: Mapping[str, str]
    former: Mapping[str, str] = field(default_factory=dict)
    together: Collection[str] = ()


def desired_links(
    host: str,
    interfaces: Tuple[InterfaceWanted, ...],
    observed: Observed,
    keys: Keys,
    settings: LinkSettings,
) -> DesiredLinks:
    """The desired state of a host.

    A key that is shared with one that this run does not change stays as it is: changed on one end alone, it would let
    the link die some minutes later.
    """
    backend = settings.backend
    if backend == AUTO:
        backend = NETWORKD if observed.networkd else WG_QUICK
    made = [_tunnel(host, wanted, observed, keys, settings) for wanted in interfaces]
    tunnels = tuple(tunnel for tunnel, _secrets, _findings in made)
    measured = [on_the_path(tunnel, observed) for tunnel in tunnels] if settings.probe_mtu else []
    tunnels = tuple(entry.tunnel for entry in measured) if settings.probe_mtu else tunnels
    names = {*(tunnel.name for tunnel in tunnels), *observed.baseline.tunnels}
    return DesiredLinks(
        Desired(
            name=ROLE_DECLARATION,
            tunnels=tunnels,
            files=tuple(entry for tunnel in tunnels for entry in tunnel_files(tunnel, backend)),
            watched=watched(names),
            reasons={key: reason for entry in measured for key, reason in entry.reasons.items()},
        ),
        {token: secret for _tunnel, secrets, _findings in made for token, secret in secrets.items()},
        tuple(
            finding
            for findings in (*(entry[2] for entry in made), *(entry.findings for entry in measured))
            for finding in findings
        ),
    )


def watched(names: "set[str]") -> Tuple[str, ...]:
    """The paths whose state decides the plan for interfaces of these names."""
    return tuple(path for name in sorted(names) for path in tunnel_paths(name))


def _tunnel(
    host: str,
    wanted: InterfaceWanted,
    observed: Observed,
    keys: Keys,
    settings: LinkSettings,
) -> Tuple[Tunnel, Dict[str, str], List[Finding]]:
    recorded = recorded_keys(wanted.name, observed)
    peers: List[TunnelPeer] = []
    secrets: Dict[str, str] = {}
    findings: List[Finding] = []
    known: List[PeerWanted] = []
    live = observed.tunnels[wanted.name].by_key if wanted.name in observed.tunnels else {}
    for peer in wanted.peers:
        key = peer.public_key or keys.public.get(peer.node, "") or recorded.get(peer.node, "")
        former = keys.former.get(peer.node, "")
        if not is_key(key):
            findings.append(_without_key(wanted, peer))
            continue
        secret = preshared_key(settings, wanted.topology, host, peer.node) if peer.preshared else ""
        token = key_token(secret) if secret else ""
        there = live.get(former) or live.get(key)
        if there is not None and there.preshared_key != token and peer.managed and peer.node not in keys.together:
            findings.append(_shared_later(wanted, peer))
            token = there.preshared_key
        secrets.update({token: secret} if secret and token == key_token(secret) else {})
        known.append(peer)
        peers.append(
            TunnelPeer(
                public_key=key,
                name=peer.node,
                endpoint=endpoint_of(peer.endpoint, str(peer.port)) if peer.endpoint else "",
                allowed=tuple(sorted(peer.allowed)),
                keepalive=peer.keepalive,
                preshared_key=token,
                former=former,
            )
        )
    findings += _key_findings(wanted, observed, peers, live)
    routes = tuple(sorted(_routes(known, settings), key=str))
    prefixes = _behind(wanted, known)
    findings += ipsec_findings(wanted, settings.ipsec, prefixes)
    findings += _rotation_findings(host, wanted, keys)
    former = keys.former.get(host, "")
    tunnel = Tunnel(
        name=wanted.name,
        public_key=keys.public[host] if former else observed.tunnel_key,
        former=former,
        port=wanted.port,
        mtu=wanted.mtu,
        addresses=tuple(sorted(wanted.addresses)),
        peers=tuple(peers),
        routes=routes,
        clamp=wanted.clamp,
        settings=ipsec_settings(wanted, settings.ipsec, observed.tunnels.get(wanted.name)),
        rules=ipsec_rules(settings.ipsec, prefixes),
    )
    return tunnel, secrets, findings


def recorded_keys(name: str, observed: Observed) -> Dict[str, str]:
    """The public keys of peers by the host's own files, whoever cannot be asked today."""
    found: Dict[str, str] = {}
    for path in tunnel_paths(name):
        state = observed.files.get(path)
        if state is not None:
            found.update(dict(_RECORDED.findall(state.text)))
    return found


def _without_key(wanted: InterfaceWanted, peer: PeerWanted) -> Finding:
    return Finding(
        SUBJECT,
        "%s peer %s" % (wanted.name, peer.node),
        "warning",
        "its public key is not known: it has none yet, or could not be asked, and was never known here; it is left out",
        cure="run again with that host, or give its key in wireguard_links_keys",
    )


def _shared_later(wanted: InterfaceWanted, peer: PeerWanted) -> Finding:
    text = "the key that is shared with it is changed only in a run with both ends; it stays as it is"
    return Finding(SUBJECT, "%s peer %s" % (wanted.name, peer.node), "warning", text, cure="run again without -l")


def _key_findings(
    wanted: InterfaceWanted, observed: Observed, peers: List[TunnelPeer], live: Mapping[str, TunnelPeer]
) -> Iterator[Finding]:
    """Keys by which WireGuard would take one for another, and peers of whom nobody knows who they are."""
    owners: Dict[str, str] = {observed.tunnel_key: "this host"} if observed.tunnel_key else {}
    for peer in peers:
        other = owners.setdefault(peer.public_key, peer.name)
        if other != peer.name:
            text = "has the key of %s: one is a copy of the other" % other
            cure = "remove /etc/netfleet-tcp/wireguard.key on one of them, and run again"
            yield Finding(SUBJECT, "%s peer %s" % (wanted.name, peer.name), "error", text, cure=cure)
    formers = {peer.former for peer in peers}
    strangers = [key for key in live if key not in owners and key not in formers]
    if strangers and len(peers) < len(wanted.peers):
        missing = sorted({peer.node for peer in wanted.peers} - {peer.name for peer in peers})
        text = "the live peer %s may be %s, whose key is not known: it is not removed" % (strangers[0], missing[0])
        cure = "run again with that host, or give its key in wireguard_links_keys"
        yield Finding(SUBJECT, wanted.name, "error", text, cure=cure)


def _rotation_findings(host: str, wanted: InterfaceWanted, keys: Keys) -> Iterator[Finding]:
    """Who keeps a host from changing its key: everybody has to learn the new one first."""
    if host in keys.former and keys.former[host] == keys.public[host]:
        text = "its key changes, and its peers learn the new one: as that is yet to be made, neither is shown"
        yield Finding(SUBJECT, wanted.name, "warning", text)
    for peer in wanted.peers if host in keys.former else ():
        if not peer.managed:
            text = "would not learn the new key of %s: somebody else configures it" % host
            cure = "keep the key, or take the peer out of its topology for this run and tell its owner the new key"
            yield Finding(SUBJECT, "%s peer %s" % (wanted.name, peer.node), "error", text, cure=cure)
        elif peer.node not in keys.together:
            text = "would not learn the new key of %s: this run does not change it" % host
            cure = "run again without -l, or with that host"
            yield Finding(SUBJECT, "%s peer %s" % (wanted.name, peer.node), "error", text, cure=cure)


def preshared_key(settings: LinkSettings, topology: str, one: str, other: str) -> str:
    """The key that two nodes share; both derive it from the secret, so no third one learns it. Empty without one."""
    if not settings.secret:
        return ""
    words = (topology, *pair_name(one, other), str(settings.generation))
    message = b"\0".join([_OF_PRESHARED_KEYS, *(word.encode() for word in words)])
    return base64.b64encode(hmac.new(settings.secret.encode(), message, hashlib.sha256).digest()).decode()


def _behind(wanted: InterfaceWanted, peers: List[PeerWanted]) -> List[str]:
    """What is reached by an interface, whoever makes the routes, but for the tunnel's own network."""
    own = [ipaddress.ip_interface(address).network for address in wanted.addresses]
    found = (ipaddress.ip_network(prefix) for peer in peers for prefix in peer.allowed)
    return sorted({str(prefix) for prefix in found if not any(holds(network, prefix) for network in own)})


def _routes(peers: List[PeerWanted], settings: LinkSettings) -> Iterator[TunnelRoute]:
    for route in (route for peer in peers for route in peer.routes):
        yield TunnelRoute(
            prefix=route.prefix,
            metric=route.metric,
            congestion_control=settings.congestion_control,
            initcwnd=settings.initcwnd,
            initrwnd=settings.initrwnd,
        )
