# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError
from ansible_collections.netfleet.tcp.plugins.module_utils._secrets import key_token, mask_keys, without_secrets
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel, TunnelPeer, TunnelRoute
from ansible_collections.netfleet.tcp.plugins.module_utils._wireguard import (
    parse_dump,
    with_links,
    with_rules,
)

PRIVATE, PUBLIC, PRESHARED = "a" * 43 + "=", "b" * 43 + "=", "c" * 43 + "="
NOW = 1_795_600_000.0
DUMP = "\n".join(
    [
        f"wg0\t{PRIVATE}\t{PUBLIC}\t51820\toff",
        f"wg0\tpeer1\t{PRESHARED}\t198.51.100.1:51820\t10.20.0.0/16,10.99.0.2/32\t1795599940\t4096\t8192\t25",
        "wg0\tpeer2\t(none)\t(none)\t(none)\t0\t0\t0\toff",
        "wg1\t(none)\t(none)\t40000\t0xca6c",
        "",
    ]
)
ADDRESSES = json.dumps(
    [
        {
            "ifname": "lo",
            "flags": ["LOOPBACK", "UP"],
            "mtu": 65536,
            "addr_info": [{"local": "127.0.0.1", "prefixlen": 8}],
        },
        {
            "ifname": "wg0",
            "flags": ["POINTOPOINT", "NOARP", "UP", "LOWER_UP"],
            "mtu": 1408,
            "addr_info": [
                {"family": "inet", "local": "10.99.0.1", "prefixlen": 24, "scope": "global"},
                {"family": "inet6", "local": "fd00::1", "prefixlen": 64, "scope": "global"},
                {"family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link"},
            ],
        },
        {"ifname": "wg1", "flags": ["POINTOPOINT", "NOARP"], "mtu": 1420, "addr_info": []},
    ]
)
ROUTES_4 = json.dumps(
    [
        {"dst": "default", "gateway": "192.0.2.1", "dev": "eth0", "flags": []},
        {
            "dst": "10.99.0.0/24",
            "dev": "wg0",
            "protocol": "kernel",
            "scope": "link",
            "prefsrc": "10.99.0.1",
            "flags": [],
        },
        {
            "dst": "10.20.0.0/16",
            "dev": "wg0",
            "protocol": "201",
            "scope": "link",
            "flags": [],
            "metrics": [{"congestion": "bbr"}, {"initcwnd": 10}],
        },
        {"dst": "10.99.0.9", "dev": "wg0", "protocol": "201", "scope": "link", "metric": 100, "flags": []},
    ]
)
ROUTES_6 = json.dumps(
    [
        {"dst": "fd00::/64", "dev": "wg0", "protocol": "kernel", "metric": 256, "flags": []},
        {"dst": "2001:db8::/48", "dev": "wg0", "protocol": 201, "metric": 1024, "flags": [], "pref": "medium"},
        {"dst": "2001:db8:1::7", "dev": "wg0", "protocol": "201", "metric": 50, "flags": []},
    ]
)  # fmt: skip


def test_a_dump_is_read() -> None:
    found = parse_dump(DUMP, NOW)
    assert found["wg0"] == Tunnel(
        "wg0",
        PUBLIC,
        PRIVATE,
        51820,
        peers=(
            TunnelPeer(
                "peer1",
                endpoint="198.51.100.1:51820",
                allowed=("10.20.0.0/16", "10.99.0.2/32"),
                keepalive=25,
                preshared_key=PRESHARED,
                handshake=60,
                received=4096,
                sent=8192,
            ),
            TunnelPeer("peer2"),
        ),
    )
    assert found["wg1"] == Tunnel("wg1", port=40000)
    assert parse_dump("", NOW) == {}


def test_what_ip_says_is_added() -> None:
    found = with_links(parse_dump(DUMP, NOW), ADDRESSES, (ROUTES_4, ROUTES_6))
    wg0 = found["wg0"]
    assert (wg0.mtu, wg0.up, wg0.addresses) == (1408, True, ("10.99.0.1/24", "fd00::1/64"))
    assert wg0.routes == (
        TunnelRoute("10.20.0.0/16", 0, "bbr", 10),
        TunnelRoute("10.99.0.9/32", 100),
        TunnelRoute("2001:db8:1::7/128", 50),
        TunnelRoute("2001:db8::/48"),
    )
    assert (found["wg1"].up, found["wg1"].mtu, found["wg1"].routes) == (False, 1420, ())


def test_a_rule_is_of_every_interface_that_carries_its_prefix() -> None:
    entries = [
        {"priority": 0, "src": "all", "table": "local"},
        {"priority": 201, "src": "all", "dst": "10.20.0.0", "dstlen": 16, "table": "main", "suppress_prefixlen": 0},
        {"priority": 201, "src": "all", "dst": "10.99.0.2", "table": "main", "suppress_prefixlen": 0},
        # Nobody's here; somebody else's, of three kinds.
        {"priority": 201, "src": "all", "dst": "10.77.0.0", "dstlen": 16, "table": "main", "suppress_prefixlen": 0},
        {"priority": 200, "src": "all", "dst": "10.20.0.0", "dstlen": 16, "table": "main", "suppress_prefixlen": 0},
        {"priority": 201, "src": "all", "dst": "10.20.0.0", "dstlen": 16, "table": "7"},
        {"priority": 201, "src": "10.0.0.0", "srclen": 8, "table": "main", "suppress_prefixlen": 0},
        {"priority": 220, "src": "all", "table": "220"},
        {"priority": 32766, "src": "all", "table": "main"},
    ]
    tunnels = parse_dump(DUMP, NOW)
    found = with_rules({**tunnels, "wg2": replace(tunnels["wg0"], name="wg2")}, json.dumps(entries))
    assert {name: tunnel.rules for name, tunnel in found.items()} == {
        "wg0": ("10.20.0.0/16", "10.99.0.2/32"),
        "wg1": (),
        "wg2": ("10.20.0.0/16", "10.99.0.2/32"),
    }
    assert with_rules(tunnels, json.dumps(entries[:1])) == tunnels


@pytest.mark.parametrize("text", ["wg0\tx", f"wg0\t{PRIVATE}\t{PUBLIC}\tport\toff", "\t".join(["wg9"] * 9)])
def test_what_is_not_understood_is_said_without_the_keys_in_it(text: str) -> None:
    with pytest.raises(HostError, match="line 1 has a form that is not known") as caught:
        parse_dump(text, NOW)
    assert PRIVATE not in str(caught.value)


def test_what_is_shown_holds_no_secret() -> None:
    found = without_secrets(parse_dump(DUMP, NOW)["wg0"])
    assert found is not None
    assert (found.private_key, found.public_key) == ("", PUBLIC)
    assert [peer.preshared_key for peer in found.peers] == [key_token(PRESHARED), ""]
    assert PRIVATE not in repr(found)
    assert PRESHARED not in repr(found)


def test_a_token_is_that_of_the_key_whatever_ends_its_line() -> None:
    assert key_token(PRESHARED) == key_token(PRESHARED + "\n") != key_token(PRIVATE)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"PrivateKey = {PRIVATE}", f"PrivateKey = {key_token(PRIVATE)}"),
        (f"PrivateKey={PRIVATE}", f"PrivateKey={key_token(PRIVATE)}"),
        (f"# PrivateKey = {PRIVATE}", f"# PrivateKey = {key_token(PRIVATE)}"),
        (f"PresharedKey = {PRESHARED}", f"PresharedKey = {key_token(PRESHARED)}"),
        (f"{PRESHARED}\n", f"{key_token(PRESHARED)}\n"),
        (f"PublicKey = {PUBLIC}", f"PublicKey = {PUBLIC}"),
        (f"public-key = {PUBLIC}", f"public-key = {PUBLIC}"),
        (f"PostUp = wg set %i peer {PUBLIC} preshared-key /x", f"PostUp = wg set %i peer {PUBLIC} preshared-key /x"),
        ("net.ipv4.tcp_fin_timeout = 30", "net.ipv4.tcp_fin_timeout = 30"),
    ],
)
def test_keys_in_a_file_are_masked_but_for_public_ones(line: str, expected: str) -> None:
    assert mask_keys(line) == expected
