# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the files of either backend bring up is what they were made of; what an editor did to them shows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._model import FileState, Observed
from ansible_collections.netfleet.tcp.plugins.module_utils._plan import desired_state
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_files import (
    BACKENDS,
    NETWORKD,
    WG_QUICK,
    clamp_paths,
    tunnel_files,
    tunnel_paths,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import CHANGED, Tunnel, TunnelPeer, TunnelRoute
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_boot import at_boot
from tests.unit.plugins.plugin_utils.test_links_desired import KEYS, OBSERVED

TUNNEL = Tunnel(
    "wg-wan",
    KEYS["gw1"],
    port=51820,
    mtu=1392,
    addresses=("10.99.0.1/24", "fd00:99::1/64"),
    peers=(
        TunnelPeer(KEYS["east"], "east", "198.51.100.1:51820", ("10.20.0.0/16", "10.99.0.2/32"), 25, "<key 01234567>"),
        TunnelPeer(KEYS["west"], "west", "[2001:db8::3]:51820", ("10.30.0.0/16",)),
        TunnelPeer("K" * 43 + "=", "laptop", "", ("10.99.0.9/32",)),
    ),
    routes=(TunnelRoute("10.20.0.0/16", 50, "bbr", 20, 30), TunnelRoute("10.30.0.0/16"), TunnelRoute("fd01::/48")),
    clamp=1392,
    settings=("disable_policy=1", "disable_xfrm=0", "rp_filter=2"),
    rules=("10.20.0.0/16",),
)


def host(backend: str, tunnel: Tunnel = TUNNEL) -> Observed:
    files = {entry.path: desired_state(entry) for entry in tunnel_files(tunnel, backend)}
    return replace(OBSERVED, files=files)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_was_written_is_what_comes_up(backend: str) -> None:
    assert at_boot("wg-wan", backend, host(backend)) == TUNNEL


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_interface_of_nothing_comes_up_as_such(backend: str) -> None:
    bare = Tunnel("wg-wan", KEYS["gw1"], port=1, mtu=1280)
    found = at_boot("wg-wan", backend, host(backend, bare))
    assert found == replace(bare, settings=("disable_policy=0", "disable_xfrm=0", "rp_filter=0"))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_clamp_of_somebody_elses_is_none_of_ours(backend: str) -> None:
    seen = host(backend)
    rules = clamp_paths("wg-wan")[0]
    for text, expected in ((seen.files[rules].text.replace("1352", "1000"), CHANGED), ("", 0)):
        files = {**seen.files, rules: replace(seen.files[rules], text=text)}
        found = at_boot("wg-wan", backend, replace(seen, files=files))
        assert found is not None
        assert found.clamp == expected


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("51820\n", "1\n", {"port": 1}),
        ("1392", "1500", {"mtu": 1500}),
        ("10.99.0.1/24", "10.99.0.7/24", {"addresses": ("10.99.0.7/24", "fd00:99::1/64")}),
    ],
)
def test_what_an_editor_changed_shows(backend: str, old: str, new: str, expected: dict[str, object]) -> None:
    seen = host(backend)
    files = {path: replace(state, text=state.text.replace(old, new, 1)) for path, state in seen.files.items()}
    if old == "1392":
        files = {path: replace(state, text=state.text.replace(old, new)) for path, state in seen.files.items()}
    found = at_boot("wg-wan", backend, replace(seen, files=files))
    assert found is not None
    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize("backend", BACKENDS)
def test_another_private_key_is_another_interface(backend: str) -> None:
    seen = host(backend)
    files = {
        path: replace(state, text=state.text.replace("/etc/netfleet-tcp/wireguard.key", "/root/key"))
        for path, state in seen.files.items()
    }
    found = at_boot("wg-wan", backend, replace(seen, files=files))
    assert found is not None
    assert found.public_key not in ("", KEYS["gw1"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_preshared_key_whose_file_is_gone_is_another_one(backend: str) -> None:
    seen = host(backend)
    files = {path: state for path, state in seen.files.items() if not path.endswith(".psk")}
    found = at_boot("wg-wan", backend, replace(seen, files=files))
    assert found is not None
    assert found.peers[0].preshared_key not in ("", "<key 01234567>")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("text", ["", "[Interface", "]\n=\n[Peer]\n=\n#\nAllowedIPs", "[NetDev]\nMTUBytes=lots\n"])
def test_a_file_of_rubbish_ends_nothing(backend: str, text: str) -> None:
    seen = host(backend)
    first = tunnel_paths("wg-wan")[0 if backend == NETWORKD else 2]
    files = {**seen.files, first: FileState(first, "file", 0o600, text)}
    found = at_boot("wg-wan", backend, replace(seen, files=files))
    assert found is None or (found.port, found.public_key) != (51820, KEYS["gw1"])


def test_a_unit_that_is_not_enabled_brings_nothing_up() -> None:
    seen = host(WG_QUICK)
    files = {path: state for path, state in seen.files.items() if state.kind != "symlink"}
    assert at_boot("wg-wan", WG_QUICK, replace(seen, files=files)) is None
    assert at_boot("wg-wan", NETWORKD, seen) is None
