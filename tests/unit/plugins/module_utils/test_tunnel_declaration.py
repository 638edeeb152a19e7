# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be declared of one interface, and that all that is wrong is said at once, each with its place."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError
from ansible_collections.netfleet.tcp.plugins.module_utils._secrets import key_token
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_declaration import declared_tunnel
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_files import BACKENDS, tunnel_files
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel, TunnelPeer, TunnelRoute


def key(number: int) -> str:
    return base64.b64encode(bytes([number] * 32)).decode()


def peer(number: int = 1, **more: Any) -> dict[str, Any]:
    empty: dict[str, Any] = {"name": None, "endpoint": None, "allowed_ips": [], "keepalive": 0, "preshared_key": None}
    return {**empty, "public_key": key(number), **more}


def route(prefix: str, **more: Any) -> dict[str, Any]:
    return {"prefix": prefix, "metric": 0, "congestion_control": None, "initcwnd": 0, "initrwnd": 0, **more}


def declared(**more: Any) -> dict[str, Any]:
    """The parameters as the module gets them."""
    return {
        "name": "wg-dc1",
        "state": "present",
        "listen_port": 51820,
        "mtu": 1408,
        "addresses": ["10.99.0.2/24"],
        "peers": [],
        "routes": [],
        "backend": "auto",
        **more,
    }


def problems(**more: Any) -> list[str]:
    with pytest.raises(InputError) as caught:
        declared_tunnel(declared(**more))
    return [str(problem) for problem in caught.value.problems]


def test_a_whole_interface() -> None:
    gateway = peer(
        name="gw1",
        endpoint="[2001:DB8::0001]:51820",
        allowed_ips=["10.10.0.0/16", "10.99.0.1/32"],
        keepalive=25,
        preshared_key=key(9),
    )
    routes = [route("10.10.0.0/16", metric=50, congestion_control="bbr", initcwnd=20, initrwnd=30)]
    tunnel, secrets = declared_tunnel(declared(peers=[gateway, peer(2, endpoint="gw.example.net:1")], routes=routes))
    assert tunnel == Tunnel(
        "wg-dc1",
        port=51820,
        mtu=1408,
        addresses=("10.99.0.2/24",),
        peers=(
            TunnelPeer(
                key(1),
                "gw1",
                "[2001:db8::1]:51820",
                ("10.10.0.0/16", "10.99.0.1/32"),
                25,
                key_token(key(9)),
            ),
            TunnelPeer(key(2), tunnel.peers[1].name, "gw.example.net:1"),
        ),
        routes=(TunnelRoute("10.10.0.0/16", 50, "bbr", 20, 30),),
    )
    assert secrets == {key_token(key(9)): key(9)}
    # It stands in the name of a file.
    assert tunnel.peers[1].name.replace("-", "").isalnum()


def test_an_address_without_length_is_a_host() -> None:
    tunnel, _secrets = declared_tunnel(declared(addresses=["10.99.0.2", "FD00::1"]))
    assert tunnel.addresses == ("10.99.0.2/32", "fd00::1/128")


def test_the_metric_that_the_kernel_gives_ipv6_by_itself_is_none() -> None:
    there = peer(allowed_ips=["fd01::/48", "10.0.0.0/8"])
    routes = [route("fd01::/48", metric=1024), route("10.0.0.0/8", metric=1024)]
    tunnel, _secrets = declared_tunnel(declared(peers=[there], routes=routes))
    assert {(entry.prefix, entry.metric) for entry in tunnel.routes} == {("fd01::/48", 0), ("10.0.0.0/8", 1024)}


@pytest.mark.parametrize(
    "name",
    ["", "..", "a..b", "wg0;reboot", "wg 0", "wg0\n", "$(id)", "../wg0", "wg/0", "-wg0", "a" * 16, "all", "default"],
)
def test_a_name_that_could_be_more_than_a_name_is_refused(name: str) -> None:
    (problem,) = problems(name=name)
    assert problem.startswith("name: ")


ONE_WRONG: list[tuple[dict[str, Any], str]] = [
    ({"listen_port": 65536}, "listen_port: 65536 is out of range (1 to 65535)"),
    ({"listen_port": 0}, "listen_port: 0 is out of range"),
    ({"mtu": 100}, "mtu: 100 is out of range"),
    ({"mtu": 1200, "addresses": ["fd00::1/64"]}, "mtu: IPv6 needs 1280 bytes"),
    ({"mtu": 1279, "peers": [peer(allowed_ips=["::/0"])]}, "mtu: IPv6 needs 1280 bytes"),
    ({"addresses": ["10.99.0.300/24"]}, "addresses[0]: '10.99.0.300/24' is no address"),
    ({"addresses": ["fe80::1%eth0/64"]}, "addresses[0]: "),
    ({"addresses": ["127.0.0.1/8"]}, "addresses[0]: "),
    ({"addresses": ["10.0.0.1/24", "10.0.0.1/16"]}, "addresses[1]: 10.0.0.1 is there twice"),
    ({"peers": [peer(public_key="A" * 33)]}, "peers[0].public_key: is no WireGuard key (44 characters"),
    ({"peers": [peer(public_key="A" * 44)]}, "peers[0].public_key: is no WireGuard key"),
    ({"peers": [peer(public_key="ä" * 44)]}, "peers[0].public_key: is no WireGuard key"),
    ({"peers": [peer(preshared_key="hunter2")]}, "peers[0].preshared_key: is no WireGuard key"),
    ({"peers": [peer(name="../../etc/passwd")]}, "peers[0].name: "),
    ({"peers": [peer(name="a\nPublicKey = x")]}, "peers[0].name: "),
    ({"peers": [peer(keepalive=-1)]}, "peers[0].keepalive: -1 is out of range"),
    ({"peers": [peer(endpoint="198.51.100.1")]}, "peers[0].endpoint: "),
    ({"peers": [peer(endpoint="198.51.100.1:0")]}, "peers[0].endpoint: 0 is out of range"),
    ({"peers": [peer(endpoint="198.51.100.1:99999")]}, "peers[0].endpoint: 99999 is out of range"),
    ({"peers": [peer(endpoint="2001:db8::1:51820")]}, "peers[0].endpoint: "),
    ({"peers": [peer(endpoint="[198.51.100.1]:1")]}, "peers[0].endpoint: "),
    ({"peers": [peer(endpoint="gw;reboot:1")]}, "peers[0].endpoint: "),
    ({"peers": [peer(endpoint="10.0.0.256:1")]}, "peers[0].endpoint: "),
    ({"peers": [peer(endpoint="gw.example.net:" + "9" * 5000)]}, "peers[0].endpoint: "),
    ({"peers": [peer(allowed_ips=["10.0.0.1/8"])]}, "peers[0].allowed_ips[0]: '10.0.0.1/8' is no prefix"),
    ({"peers": [peer(), peer(name="x")]}, "peers[1].public_key: is that of peers[0] too"),
    ({"peers": [peer(name="x"), peer(2, name="x")]}, "peers[1].name: is that of peers[0] too"),
    ({"routes": [route("10.10.0.0/16")]}, "routes[0]: 10.10.0.0/16 goes to no peer"),
    ({"routes": [route("nowhere")]}, "routes[0].prefix: 'nowhere' is no prefix"),
]


@pytest.mark.parametrize(("wrong", "expected"), ONE_WRONG)
def test_one_wrong_value_is_one_problem_with_its_place(wrong: dict[str, Any], expected: str) -> None:
    (problem,) = problems(**wrong)
    assert problem.startswith(expected)
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"metric": -1}, "routes[0].metric"),
        ({"congestion_control": "bbr; reboot"}, "routes[0].congestion_control"),
        ({"initcwnd": 1001}, "routes[0].initcwnd"),
        ({"initrwnd": -1}, "routes[0].initrwnd"),
    ],
)
def test_a_wrong_option_of_a_route(more: dict[str, Any], expected: str) -> None:
    (problem,) = problems(peers=[peer(allowed_ips=["10.0.0.0/8"])], routes=[route("10.1.0.0/16", **more)])
    assert problem.startswith(expected)


@pytest.mark.parametrize(
    ("one", "other", "fine"),
    [
        (["0.0.0.0/0"], ["10.0.0.0/8"], True),
        (["10.0.0.0/8"], ["0.0.0.0/0", "::/0"], True),
        (["0.0.0.0/0"], ["0.0.0.0/0"], False),
        (["::/0", "0.0.0.0/0"], ["fd00::/8"], True),
        (["10.0.0.0/8"], ["10.1.0.0/16"], False),
        (["10.1.0.0/16"], ["10.0.0.0/8"], False),
        (["10.1.0.0/16"], ["10.1.0.0/16"], False),
        (["10.1.0.0/16"], ["10.2.0.0/16"], True),
    ],
)
def test_no_address_is_given_to_two_peers(one: list[str], other: list[str], fine: bool) -> None:
    peers = [peer(allowed_ips=one), peer(2, allowed_ips=other)]
    if fine:
        assert len(declared_tunnel(declared(peers=peers))[0].peers) == 2
    else:
        (problem,) = problems(peers=peers)
        assert "overlaps" in problem
        assert "allowed_ips" in problem


def test_one_peer_may_name_a_prefix_within_another_of_its_own() -> None:
    assert declared_tunnel(declared(peers=[peer(allowed_ips=["10.0.0.0/8", "10.1.0.0/16", "10.1.0.0/16"])]))


def test_a_tunnel_is_not_routed_into_itself() -> None:
    there = peer(endpoint="10.1.0.1:51820", allowed_ips=["0.0.0.0/0"])
    (problem,) = problems(peers=[there], routes=[route("10.0.0.0/8")])
    assert problem.startswith("routes[0]: 10.1.0.1, the endpoint of peers[0], would be routed into its own tunnel")


def test_a_route_is_there_once() -> None:
    there = peer(allowed_ips=["10.0.0.0/8"])
    twice = [route("10.1.0.0/16"), route("10.1.0.0/16", metric=5), route("10.1.0.0/16")]
    assert problems(peers=[there], routes=twice) == ["routes[2]: 10.1.0.0/16 of this metric is there twice"]


def test_everything_is_said_at_once() -> None:
    found = problems(
        name="wg 0", listen_port=0, mtu=1, addresses=["x"], peers=[peer(public_key="")], routes=[route("y")]
    )
    assert len(found) == 6


TEXT = st.one_of(st.text(max_size=30), st.sampled_from(["10.0.0.0/8", "::/0", "wg0", "a.b:1", "[::1]:5", key(3)]))


@settings(max_examples=200, deadline=None)
@given(name=TEXT, address=TEXT, public=TEXT, endpoint=TEXT, allowed=TEXT, prefix=TEXT, algorithm=TEXT)
def test_whatever_is_given_is_refused_or_stands_in_its_own_line(
    name: str, address: str, public: str, endpoint: str, allowed: str, prefix: str, algorithm: str
) -> None:
    there = peer(public_key=public, endpoint=endpoint, allowed_ips=[allowed], name=name)
    routes = [route(prefix, congestion_control=algorithm)]
    try:
        tunnel, _secrets = declared_tunnel(declared(name=name, addresses=[address], peers=[there], routes=routes))
    except InputError:
        return
    for backend in BACKENDS:
        for entry in tunnel_files(tunnel, backend):
            assert entry.path.isprintable()
            assert all(line.isprintable() for line in entry.text.split("\n"))
            assert not set(";$`\\\"'|&<>") & set(entry.text.replace("netfleet.tcp; ", ""))
