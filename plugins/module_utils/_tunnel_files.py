# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files by which a WireGuard interface comes up at boot as it runs now, of systemd-networkd or of wg-quick. Pure.

They name the files of the keys and hold none. Both are complete: whoever restarts the unit gets what runs.
Sources: systemd.netdev(5), systemd.network(5), wg-quick(8).
"""

from __future__ import annotations

from typing import Iterator, List, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._clamp import clamp_script
from ansible_collections.netfleet.tcp.plugins.module_utils._desired import MANAGED
from ansible_collections.netfleet.tcp.plugins.module_utils._model import DesiredFile
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import (
    PROTOCOL,
    RULE_PRIORITY,
    Tunnel,
    TunnelPeer,
    TunnelRoute,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_plan import added_rule, route_words

# The name of the declaration of all interfaces that the role has made on a host.
LINKS_DECLARATION = "role:wireguard_links"
NETWORKD, WG_QUICK = "systemd-networkd", "wg-quick"
BACKENDS = (NETWORKD, WG_QUICK)
# Private and preshared keys, whatever brings the interface up. All may enter; the files are closed.
KEY_DIRECTORY = "/etc/netfleet-tcp"
# A host has one private key, for all of its interfaces.
KEY_PATH = KEY_DIRECTORY + "/wireguard.key"
# The one that takes its place, once the host's peers know it.
NEXT_KEY_PATH = KEY_PATH + ".next"
# networkd drops its rights, and reads keys by this group.
NETWORKD_GROUP = "systemd-network"
_NETWORKD_DIRECTORY = "/etc/systemd/network"
_WG_QUICK_DIRECTORY = "/etc/wireguard"
_UNIT_DIRECTORY = "/etc/systemd/system"
# The main table of routes, by its number.
_MAIN = 254
_UNIT = "/usr/lib/systemd/system/wg-quick@.service"
# Before files of the host that match any interface.
_ORDER = "50-"
_BRINGS_UP = "brings the tunnel up at boot"


def preshared_path(name: str, peer: str) -> str:
    """Where the key stands that an interface shares with a peer."""
    # No name holds this sign, so no two of them make the same path.
    return "%s/%s@%s.psk" % (KEY_DIRECTORY, name, peer)


def tunnel_paths(name: str) -> Tuple[str, ...]:
    """Where files of an interface may stand, whichever backend it has or had; keys apart."""
    return (*networkd_paths(name), *wg_quick_paths(name), settings_path(name), *clamp_paths(name))


def networkd_paths(name: str) -> Tuple[str, str]:
    """The device, and what it gets."""
    stem = "%s/%s%s" % (_NETWORKD_DIRECTORY, _ORDER, name)
    return stem + ".netdev", stem + ".network"


def wg_quick_paths(name: str) -> Tuple[str, str, str]:
    """The interface, what its unit does beside, and its unit's link."""
    unit = "wg-quick@%s.service" % name
    return (
        "%s/%s.conf" % (_WG_QUICK_DIRECTORY, name),
        "%s/%s.d/netfleet-tcp.conf" % (_UNIT_DIRECTORY, unit),
        "%s/multi-user.target.wants/%s" % (_UNIT_DIRECTORY, unit),
    )


def settings_path(name: str) -> str:
    """The settings that an interface gets when it appears."""
    # For each interface that appears, udev applies what sysctl.d says of it.
    return "/etc/sysctl.d/90-netfleet-tcp-%s.conf" % name


def clamp_paths(name: str) -> Tuple[str, str, str, str]:
    """The rules that clamp, the unit that has nft read them at boot, its link, and what has nftables.service do so."""
    unit = "netfleet-tcp-mss-%s.service" % name
    return (
        "%s/%s.nft" % (KEY_DIRECTORY, name),
        "%s/%s" % (_UNIT_DIRECTORY, unit),
        "%s/multi-user.target.wants/%s" % (_UNIT_DIRECTORY, unit),
        "%s/nftables.service.d/netfleet-tcp-%s.conf" % (_UNIT_DIRECTORY, name),
    )


def tunnel_files(tunnel: Tunnel, backend: str) -> List[DesiredFile]:
    """The files of an interface. Preshared keys are the tokens that the tunnel holds."""
    group = NETWORKD_GROUP if backend == NETWORKD else ""
    mode = 0o640 if group else 0o600
    files = [
        DesiredFile(
            preshared_path(tunnel.name, peer.name),
            mode,
            peer.preshared_key + "\n",
            reason="the key that is shared with %s" % peer.name,
            group=group,
        )
        for peer in tunnel.peers
        if peer.preshared_key
    ]
    files += _networkd(tunnel) if backend == NETWORKD else _wg_quick(tunnel)
    return files + list(_settings(tunnel)) + (_clamp(tunnel) if tunnel.clamp else [])


def _text(sections: Iterator[Tuple[str, List[str]]]) -> str:
    lines = [MANAGED]
    for title, entries in sections:
        lines += ["", "[%s]" % title, *entries]
    return "\n".join(lines) + "\n"


def _settings(tunnel: Tunnel) -> Iterator[DesiredFile]:
    # Zero is what the kernel begins with.
    lines = [setting.split("=") for setting in tunnel.settings if not setting.endswith("=0")]
    if lines:
        # Slashes: a name may have dots in it.
        text = "".join("net/ipv4/conf/%s/%s = %s\n" % (tunnel.name, name, value) for name, value in lines)
        reason = "gives the tunnel its settings at boot"
        yield DesiredFile(settings_path(tunnel.name), 0o644, "%s\n%s" % (MANAGED, text), reason=reason)


def _clamp(tunnel: Tunnel) -> List[DesiredFile]:
    rules, unit, link, drop_in = clamp_paths(tunnel.name)
    command = "/usr/sbin/nft -f " + rules
    description = "Description=Segments of TCP that fit into %s (netfleet.tcp)" % tunnel.name
    sections = [
        # A boot that takes an interrupted change back removes the rules, once this unit has been read.
        ("Unit", [description, "ConditionPathExists=" + rules, "After=nftables.service"]),
        ("Service", ["Type=oneshot", "RemainAfterExit=yes", "ExecStart=" + command]),
        ("Install", ["WantedBy=multi-user.target"]),
    ]
    again = ["# It flushes all rules: ours too.", "ExecStartPost=-" + command, "ExecReload=-" + command]
    script = "%s\n%s" % (MANAGED, clamp_script(tunnel.name, tunnel.clamp))
    at_boot = "clamps them at boot"
    return [
        DesiredFile(rules, 0o644, script, reason="clamps TCP's segments to what the tunnel takes"),
        DesiredFile(unit, 0o644, _text(iter(sections)), reason=at_boot),
        DesiredFile(link, target="../" + unit.rpartition("/")[2], reason=at_boot),
        DesiredFile(drop_in, 0o644, _text(iter([("Service", again)])), reason="clamps them whenever nftables starts"),
    ]


def _networkd(tunnel: Tunnel) -> List[DesiredFile]:
    netdev, network = networkd_paths(tunnel.name)
    return [
        DesiredFile(netdev, 0o644, _text(_netdev_sections(tunnel)), reason=_BRINGS_UP),
        DesiredFile(network, 0o644, _text(_network_sections(tunnel)), reason="gives the tunnel its addresses at boot"),
    ]


def _netdev_sections(tunnel: Tunnel) -> Iterator[Tuple[str, List[str]]]:
    yield "NetDev", ["Name=" + tunnel.name, "Kind=wireguard", "MTUBytes=%d" % tunnel.mtu]
    yield "WireGuard", ["PrivateKeyFile=" + KEY_PATH, "ListenPort=%d" % tunnel.port]
    for peer in tunnel.peers:
        lines = ["# " + peer.name, "PublicKey=" + peer.public_key]
        if peer.preshared_key:
            lines.append("PresharedKeyFile=" + preshared_path(tunnel.name, peer.name))
        yield "WireGuardPeer", lines + _peer_lines(peer, "%s=%s")


def _peer_lines(peer: TunnelPeer, form: str) -> List[str]:
    values = [
        ("AllowedIPs", ",".join(peer.allowed)),
        ("Endpoint", peer.endpoint),
        ("PersistentKeepalive", str(peer.keepalive or "")),
    ]
    return [form % pair for pair in values if pair[1]]


def _network_sections(tunnel: Tunnel) -> Iterator[Tuple[str, List[str]]]:
    yield "Match", ["Name=" + tunnel.name]
    yield "Link", ["MTUBytes=%d" % tunnel.mtu]
    yield "Network", ["Address=" + address for address in tunnel.addresses]
    for route in tunnel.routes:
        yield "Route", list(_networkd_route(route))
    for prefix in tunnel.rules:
        where = ["Priority=%d" % RULE_PRIORITY, "Table=%d" % _MAIN, "SuppressPrefixLength=0"]
        yield "RoutingPolicyRule", ["To=" + prefix, *where]


def _networkd_route(route: TunnelRoute) -> Iterator[str]:
    yield "Destination=" + route.prefix
    if ":" not in route.prefix:
        # There is no gateway: as ip does by itself.
        yield "Scope=link"
    yield "Protocol=%d" % PROTOCOL
    for name, value in (
        ("Metric", route.metric),
        ("TCPCongestionControlAlgorithm", route.congestion_control),
        ("InitialCongestionWindow", route.initcwnd),
        ("InitialAdvertisedReceiveWindow", route.initrwnd),
    ):
        if value:
            yield "%s=%s" % (name, value)


def _wg_quick(tunnel: Tunnel) -> List[DesiredFile]:
    conf, drop_in, link = wg_quick_paths(tunnel.name)
    adopt = [
        "# The interface may run already, made by netfleet.tcp: it is made anew, by the same file as at boot.",
        "ExecStartPre=-/sbin/ip link del dev %i",
    ]
    if tunnel.rules:
        adopt.append("# They may be there. They stay when the tunnel goes down: without its routes they lead nowhere.")
        adopt += ["ExecStartPost=-/sbin/ip " + " ".join(added_rule(prefix)) for prefix in tunnel.rules]
    return [
        DesiredFile(conf, 0o600, _text(_wg_quick_sections(tunnel)), reason=_BRINGS_UP),
        DesiredFile(drop_in, 0o644, _text(iter([("Service", adopt)])), reason="lets its unit be restarted"),
        DesiredFile(link, target=_UNIT, reason=_BRINGS_UP),
    ]


def _wg_quick_sections(tunnel: Tunnel) -> Iterator[Tuple[str, List[str]]]:
    lines = ["ListenPort = %d" % tunnel.port, "MTU = %d" % tunnel.mtu, "Table = off"]
    lines += ["Address = " + address for address in tunnel.addresses]
    lines.append("PostUp = wg set %%i private-key %s" % KEY_PATH)
    for peer in tunnel.peers:
        if peer.preshared_key:
            path = preshared_path(tunnel.name, peer.name)
            lines.append("PostUp = wg set %%i peer %s preshared-key %s" % (peer.public_key, path))
    lines += ["PostUp = ip route replace " + " ".join(route_words(route, "%i")) for route in tunnel.routes]
    yield "Interface", lines
    for peer in tunnel.peers:
        yield "Peer", ["# " + peer.name, "PublicKey = " + peer.public_key, *_peer_lines(peer, "%s = %s")]
