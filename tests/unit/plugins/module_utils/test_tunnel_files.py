# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import configparser
import shlex
from dataclasses import replace

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._clamp import clamp_script
from ansible_collections.netfleet.tcp.plugins.module_utils._desired import is_ours
from ansible_collections.netfleet.tcp.plugins.module_utils._model import DesiredFile
from ansible_collections.netfleet.tcp.plugins.module_utils._plan import desired_state
from ansible_collections.netfleet.tcp.plugins.module_utils._secrets import mask_keys
from ansible_collections.netfleet.tcp.plugins.module_utils._sysctl_d import parse
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_files import (
    BACKENDS,
    NETWORKD,
    WG_QUICK,
    clamp_paths,
    tunnel_files,
    tunnel_paths,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel, TunnelPeer, TunnelRoute

EAST, WEST = "E" * 43 + "=", "W" * 43 + "="
TUNNEL = Tunnel(
    name="wg-wan",
    port=51820,
    mtu=1408,
    addresses=("10.99.0.1/24", "fd00::1/64"),
    peers=(
        TunnelPeer(EAST, "east", "198.51.100.1:51820", ("10.20.0.0/16", "10.99.0.2/32"), 25, "<key 01234567>"),
        TunnelPeer(WEST, "west", "", ("2001:db8::/48",)),
    ),
    routes=(TunnelRoute("10.20.0.0/16", 100, "bbr", 10, 20), TunnelRoute("2001:db8::/48")),
)
MOVED = replace(
    TUNNEL,
    clamp=1408,
    settings=("disable_policy=1", "disable_xfrm=0", "rp_filter=2"),
    rules=("10.20.0.0/16",),
)


def files(backend: str, tunnel: Tunnel = TUNNEL) -> dict[str, DesiredFile]:
    return {entry.path: entry for entry in tunnel_files(tunnel, backend)}


def test_networkd_gets_a_netdev_and_a_network() -> None:
    found = files(NETWORKD)
    assert found["/etc/systemd/network/50-wg-wan.netdev"].text.split("\n", 2)[2] == "\n".join(
        [
            "[NetDev]",
            "Name=wg-wan",
            "Kind=wireguard",
            "MTUBytes=1408",
            "",
            "[WireGuard]",
            "PrivateKeyFile=/etc/netfleet-tcp/wireguard.key",
            "ListenPort=51820",
            "",
            "[WireGuardPeer]",
            "# east",
            f"PublicKey={EAST}",
            "PresharedKeyFile=/etc/netfleet-tcp/wg-wan@east.psk",
            "AllowedIPs=10.20.0.0/16,10.99.0.2/32",
            "Endpoint=198.51.100.1:51820",
            "PersistentKeepalive=25",
            "",
            "[WireGuardPeer]",
            "# west",
            f"PublicKey={WEST}",
            "AllowedIPs=2001:db8::/48",
            "",
        ]
    )
    network = found["/etc/systemd/network/50-wg-wan.network"].text
    assert (
        "\n[Match]\nName=wg-wan\n\n[Link]\nMTUBytes=1408\n\n[Network]\nAddress=10.99.0.1/24\nAddress=fd00::1/64\n"
        in network
    )
    assert network.endswith(
        "\n[Route]\nDestination=10.20.0.0/16\nScope=link\nProtocol=201\nMetric=100\nTCPCongestionControlAlgorithm=bbr\n"
        "InitialCongestionWindow=10\nInitialAdvertisedReceiveWindow=20\n\n[Route]\nDestination=2001:db8::/48\nProtocol=201\n"
    )
    key = found["/etc/netfleet-tcp/wg-wan@east.psk"]
    assert (key.mode, key.group, key.text) == (0o640, "systemd-network", "<key 01234567>\n")


def test_wg_quick_gets_a_configuration_and_its_unit_is_enabled() -> None:
    found = files(WG_QUICK)
    conf = found["/etc/wireguard/wg-wan.conf"]
    assert conf.mode == 0o600
    lines = conf.text.splitlines()
    assert "Table = off" in lines
    assert "PostUp = wg set %i private-key /etc/netfleet-tcp/wireguard.key" in lines
    assert f"PostUp = wg set %i peer {EAST} preshared-key /etc/netfleet-tcp/wg-wan@east.psk" in lines
    assert (
        "PostUp = ip route replace 10.20.0.0/16 dev %i proto 201 metric 100 congctl bbr initcwnd 10 initrwnd 20"
        in lines
    )
    assert "PostUp = ip route replace 2001:db8::/48 dev %i proto 201" in lines
    assert lines[-4:] == ["[Peer]", "# west", f"PublicKey = {WEST}", "AllowedIPs = 2001:db8::/48"]
    link = found["/etc/systemd/system/multi-user.target.wants/wg-quick@wg-wan.service"]
    assert link.target == "/usr/lib/systemd/system/wg-quick@.service"
    assert (found["/etc/netfleet-tcp/wg-wan@east.psk"].mode, found["/etc/netfleet-tcp/wg-wan@east.psk"].group) == (
        0o600,
        "",
    )


def test_networkd_makes_the_rules() -> None:
    network = files(NETWORKD, MOVED)["/etc/systemd/network/50-wg-wan.network"].text
    assert network.endswith("\n[RoutingPolicyRule]\nTo=10.20.0.0/16\nPriority=201\nTable=254\nSuppressPrefixLength=0\n")


def test_with_wg_quick_its_unit_makes_the_rules_whether_they_are_there_or_not() -> None:
    drop_in = files(WG_QUICK, MOVED)["/etc/systemd/system/wg-quick@wg-wan.service.d/netfleet-tcp.conf"].text
    rule = "pref 201 to 10.20.0.0/16 lookup main suppress_prefixlength 0 protocol static"
    assert drop_in.splitlines()[-1] == f"ExecStartPost=-/sbin/ip -4 rule add {rule}"


@pytest.mark.parametrize("backend", BACKENDS)
def test_settings_are_named_for_udev_but_for_those_that_the_kernel_begins_with(backend: str) -> None:
    dotted = files(backend, replace(MOVED, name="wg-a.b"))["/etc/sysctl.d/90-netfleet-tcp-wg-a.b.conf"].text
    assignments = parse("/etc/sysctl.d/x.conf", dotted)
    assert [(name, entry.value) for name, entry in assignments] == [
        ("net.ipv4.conf.wg-a/b.disable_policy", "1"),
        ("net.ipv4.conf.wg-a/b.rp_filter", "2"),
    ]
    assert not any(path.startswith("/etc/sysctl.d/") for path in files(backend, replace(MOVED, settings=("a=0",))))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_clamp_outlasts_a_boot_and_a_restart_of_nftables(backend: str) -> None:
    found = files(backend, MOVED)
    rules, unit, link, drop_in = clamp_paths("wg-wan")
    assert found[rules].text.endswith(clamp_script("wg-wan", 1408))
    lines = found[unit].text.splitlines()
    assert f"ExecStart=/usr/sbin/nft -f {rules}" in lines
    assert "After=nftables.service" in lines
    assert found[link].target == "../netfleet-tcp-mss-wg-wan.service"
    # What is added to nftables.service is no reason for it to fail.
    assert found[drop_in].text.splitlines()[-2:] == [
        f"ExecStartPost=-/usr/sbin/nft -f {rules}",
        f"ExecReload=-/usr/sbin/nft -f {rules}",
    ]
    assert set(clamp_paths("wg-wan")).isdisjoint(files(backend))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_files_are_ours_watched_and_hold_no_secret(backend: str) -> None:
    for path, entry in files(backend, MOVED).items():
        assert path.endswith(".psk") or path in tunnel_paths("wg-wan")
        if entry.text and not path.endswith(".psk"):
            assert is_ours(desired_state(entry))
        # What a host shows of them is what was written.
        assert mask_keys(entry.text) == entry.text


@pytest.mark.parametrize("backend", BACKENDS)
def test_sections_are_well_formed(backend: str) -> None:
    for path, entry in files(backend, MOVED).items():
        if entry.text.startswith("#") and "/systemd/" in path:
            parser = configparser.ConfigParser(strict=False, interpolation=None)
            parser.read_string(entry.text)
            assert parser.sections()


def test_every_command_of_wg_quick_is_plain_words() -> None:
    tunnel = replace(TUNNEL, peers=(*TUNNEL.peers, TunnelPeer("Z" * 43 + "=", "z", preshared_key="<key 89abcdef>")))
    lines = files(WG_QUICK, tunnel)["/etc/wireguard/wg-wan.conf"].text.splitlines()
    commands = [line.split(" = ", 1)[1] for line in lines if line.startswith("PostUp")]
    assert len(commands) == 5
    assert all(" ".join(shlex.split(command)) == command for command in commands)
    assert not any(sign in command for command in commands for sign in "$;&|<>`\"'")
