# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import (
    CHANGED,
    Tunnel,
    TunnelPeer,
    TunnelRoute,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_plan import Command, tunnel_changes, tunnel_commands
from tests.unit.plugins.fake_wireguard import SETTINGS, public_of, run

EAST = TunnelPeer("E", "east", "198.51.100.1:51820", ("10.20.0.0/16", "10.99.0.2/32"), 25, "secret one")
WEST = TunnelPeer("W", "west", "203.0.113.1:51820", ("10.30.0.0/16", "10.99.0.3/32"))
TO_EAST = TunnelRoute("10.20.0.0/16", 0, "bbr", 10, 20)
TUNNEL = Tunnel(
    name="wg-wan",
    public_key=public_of("mine"),
    private_key="mine",
    port=51820,
    mtu=1408,
    addresses=("10.99.0.1/24",),
    peers=(EAST, WEST),
    routes=(TO_EAST, TunnelRoute("10.30.0.0/16")),
    clamp=1408,
    settings=SETTINGS,
    rules=("10.20.0.0/16",),
)


def ordered(tunnel: Tunnel | None) -> Tunnel | None:
    """As far as the kernel knows it: without the names of peers, and in no order of its own."""
    if tunnel is None:
        return None
    tunnel = replace(tunnel, settings=tuple(setting for setting in tunnel.settings if "policy" not in setting))
    peers = tuple(sorted((replace(peer, name="") for peer in tunnel.peers), key=lambda peer: peer.public_key))
    return replace(tunnel, peers=peers, routes=tuple(sorted(tunnel.routes, key=str)))


def with_east(**more: object) -> Tunnel:
    return replace(TUNNEL, peers=(replace(EAST, **more), WEST))  # type: ignore[arg-type]


def argv(commands: list[Command]) -> list[str]:
    return [" ".join(command.argv) for command in commands]


def test_nothing_differs() -> None:
    assert tunnel_commands(TUNNEL, TUNNEL) == []
    assert tunnel_changes(TUNNEL, TUNNEL, settled=True) == []
    assert tunnel_changes(None, None, settled=True) == []
    assert tunnel_commands(None, None) == []


def test_a_new_interface() -> None:
    (change,) = tunnel_changes(TUNNEL, None, settled=False, reason="declared")
    assert (change.subject, change.key, change.running) == ("tunnel", "wg-wan", "absent")
    assert change.want == "2 peers, port 51820, MTU 1408"
    commands = tunnel_commands(TUNNEL, None)
    assert argv(commands)[0] == "ip link add dev wg-wan type wireguard"
    assert ordered(run(None, commands)) == ordered(TUNNEL)
    # Secrets are on no command line, where everybody on the host could read them.
    assert not any(secret in line for line in argv(commands) for secret in ("mine", "secret one"))


def test_an_interface_that_goes() -> None:
    commands = tunnel_commands(None, TUNNEL)
    assert argv(commands) == [
        "ip -4 rule del pref 201 to 10.20.0.0/16 lookup main suppress_prefixlength 0",
        "ip link del dev wg-wan",
        "nft -f -",
    ]
    assert commands[-1].stdin == "table inet netfleet-wg-wan\ndelete table inet netfleet-wg-wan\n"
    assert [change.want for change in tunnel_changes(None, TUNNEL, settled=True)] == ["absent"]


@pytest.mark.parametrize(
    ("want", "key", "wanted", "running", "commands"),
    [
        (replace(TUNNEL, port=51900), "port", "51900", "51820", ["wg set wg-wan listen-port 51900"]),
        (replace(TUNNEL, mtu=1300), "MTU", "1300", "1408", ["ip link set dev wg-wan mtu 1300"]),
        (
            replace(TUNNEL, addresses=("10.99.0.9/24",)),
            "addresses",
            "10.99.0.9/24",
            "10.99.0.1/24",
            [
                "ip address replace 10.99.0.9/24 dev wg-wan",
                "sysctl -q -w net/ipv4/conf/wg-wan/promote_secondaries=1",
                "ip address del 10.99.0.1/24 dev wg-wan",
            ],
        ),
        (
            replace(TUNNEL, public_key=public_of("new"), private_key="new"),
            "key",
            public_of("new"),
            public_of("mine"),
            ["wg set wg-wan private-key /dev/stdin"],
        ),
        (
            replace(TUNNEL, peers=(EAST,)),
            "peer west",
            "absent",
            "203.0.113.1:51820, allowed IPs 10.30.0.0/16, 10.99.0.3/32",
            ["wg set wg-wan peer W remove"],
        ),
        (
            with_east(endpoint="192.0.2.9:51820"),
            "peer east endpoint",
            "192.0.2.9:51820",
            "198.51.100.1:51820",
            ["wg set wg-wan peer E endpoint 192.0.2.9:51820"],
        ),
        (
            with_east(allowed=("10.20.0.0/16",)),
            "peer east allowed IPs",
            "10.20.0.0/16",
            "10.20.0.0/16, 10.99.0.2/32",
            ["wg set wg-wan peer E allowed-ips 10.20.0.0/16"],
        ),
        (
            with_east(keepalive=0),
            "peer east keepalive",
            "off",
            "25 s",
            ["wg set wg-wan peer E persistent-keepalive off"],
        ),
        (
            replace(TUNNEL, routes=(TO_EAST,)),
            "route 10.30.0.0/16",
            "absent",
            "plain",
            ["ip route del 10.30.0.0/16 dev wg-wan proto 201"],
        ),
        (
            replace(TUNNEL, settings=("rp_filter=2",)),
            "rp_filter",
            "2",
            "0",
            ["sysctl -q -w net/ipv4/conf/wg-wan/rp_filter=2"],
        ),
        (
            replace(TUNNEL, rules=("10.20.0.0/16", "10.30.0.0/16")),
            "rules",
            "10.20.0.0/16, 10.30.0.0/16",
            "10.20.0.0/16",
            ["ip -4 rule add pref 201 to 10.30.0.0/16 lookup main suppress_prefixlength 0 protocol static"],
        ),
        (
            replace(TUNNEL, rules=()),
            "rules",
            "none",
            "10.20.0.0/16",
            ["ip -4 rule del pref 201 to 10.20.0.0/16 lookup main suppress_prefixlength 0"],
        ),
        (replace(TUNNEL, clamp=1300), "MSS clamp", "for an MTU of 1300", "for an MTU of 1408", ["nft -f -"]),
        (replace(TUNNEL, clamp=0), "MSS clamp", "none", "for an MTU of 1408", ["nft -f -"]),
        (
            replace(TUNNEL, routes=(replace(TO_EAST, congestion_control="htcp"), TUNNEL.routes[1])),
            "route 10.20.0.0/16",
            "congctl htcp initcwnd 10 initrwnd 20",
            "congctl bbr initcwnd 10 initrwnd 20",
            ["ip route replace 10.20.0.0/16 dev wg-wan proto 201 congctl htcp initcwnd 10 initrwnd 20"],
        ),
    ],
)
def test_only_what_differs_is_touched(want: Tunnel, key: str, wanted: str, running: str, commands: list[str]) -> None:
    (change,) = tunnel_changes(want, TUNNEL, settled=False)
    assert (change.key, change.want, change.running) == (f"wg-wan {key}", wanted, running)
    assert argv(tunnel_commands(want, TUNNEL)) == commands


def test_a_clamp_that_somebody_has_changed_is_put_in_place_and_none_is_made_up() -> None:
    theirs = replace(TUNNEL, clamp=CHANGED)
    (change,) = tunnel_changes(TUNNEL, theirs, settled=True)
    assert (change.key, change.running) == ("wg-wan MSS clamp", "changed by hand")
    assert ordered(run(theirs, tunnel_commands(TUNNEL, theirs))) == ordered(TUNNEL)
    # As what stood there before a change, it cannot be given back.
    assert tunnel_changes(theirs, TUNNEL, settled=True) == []
    assert tunnel_commands(theirs, TUNNEL) == []


def test_settings_that_nobody_wants_are_no_difference() -> None:
    unlike = replace(TUNNEL, settings=("disable_policy=1", "disable_xfrm=1", "rp_filter=1"))
    assert tunnel_changes(replace(TUNNEL, settings=()), unlike, settled=True) == []
    assert argv(tunnel_commands(replace(TUNNEL, settings=("disable_xfrm=1", "rp_filter=2")), unlike)) == [
        "sysctl -q -w net/ipv4/conf/wg-wan/rp_filter=2"
    ]


def test_settings_of_a_new_interface_come_after_those_that_udev_gives_it() -> None:
    lines = argv(tunnel_commands(TUNNEL, None))
    settled = lines.index("udevadm settle --timeout=5")
    assert lines.index("ip link add dev wg-wan type wireguard") < settled
    assert lines[settled + 1 : settled + 4] == [f"sysctl -q -w net/ipv4/conf/wg-wan/{setting}" for setting in SETTINGS]
    assert lines[1] == "nft -f -"
    assert not any(line.startswith("udevadm") for line in argv(tunnel_commands(replace(TUNNEL, settings=()), None)))


def test_a_preshared_key_goes_by_standard_input_and_is_taken_away_as_old_versions_of_wg_can() -> None:
    (set_it,) = tunnel_commands(with_east(preshared_key="secret two"), TUNNEL)
    assert set_it == Command(("wg", "set", "wg-wan", "peer", "E", "preshared-key", "/dev/stdin"), "secret two\n")
    assert tunnel_commands(with_east(preshared_key=""), TUNNEL) == [
        Command(("wg", "set", "wg-wan", "peer", "E", "preshared-key", "/dev/null"))
    ]


def test_a_peer_that_has_moved_by_itself_is_left_where_it_is() -> None:
    seen = with_east(endpoint="192.0.2.77:4444", handshake=100)
    assert tunnel_changes(TUNNEL, seen, settled=True) == []
    assert tunnel_commands(TUNNEL, seen, settled=True) == []
    # Another endpoint was declared since.
    assert len(tunnel_changes(TUNNEL, seen, settled=False)) == 1
    # It is out of touch: where it was declared to be is worth a try.
    lost = with_east(endpoint="192.0.2.77:4444", handshake=181)
    assert len(tunnel_commands(TUNNEL, lost, settled=True)) == 1
    never = with_east(endpoint="192.0.2.77:4444", handshake=-1)
    assert len(tunnel_commands(TUNNEL, never, settled=True)) == 1


def test_a_peer_without_an_endpoint_keeps_what_it_came_from() -> None:
    assert tunnel_commands(with_east(endpoint=""), TUNNEL) == []


def test_what_was_seen_of_a_peer_is_no_difference() -> None:
    assert tunnel_changes(TUNNEL, with_east(handshake=5, received=7, sent=9), settled=True) == []


def test_a_link_that_was_down_gets_its_routes_again() -> None:
    down = replace(TUNNEL, up=False, routes=())
    assert tunnel_changes(TUNNEL, down, settled=True)[0].key == "wg-wan link"
    assert ordered(run(down, tunnel_commands(TUNNEL, down))) == ordered(TUNNEL)


def test_a_prefix_goes_from_one_peer_to_another() -> None:
    moved = replace(
        TUNNEL,
        peers=(
            replace(EAST, allowed=("10.99.0.2/32",)),
            replace(WEST, allowed=("10.20.0.0/16", "10.30.0.0/16", "10.99.0.3/32")),
        ),
    )
    assert ordered(run(TUNNEL, tunnel_commands(moved, TUNNEL))) == ordered(moved)
    # Its old owner goes only once it has a new one.
    heir = replace(TUNNEL, peers=(replace(WEST, allowed=("10.20.0.0/16", "10.30.0.0/16", "10.99.0.3/32")),))
    assert argv(tunnel_commands(heir, TUNNEL))[-1] == "wg set wg-wan peer E remove"
    assert ordered(run(TUNNEL, tunnel_commands(heir, TUNNEL))) == ordered(heir)


PREFIXES = [f"10.{number}.0.0/16" for number in range(6)]


@st.composite
def tunnels(draw: st.DrawFn) -> Tunnel:
    keys = draw(st.lists(st.sampled_from("ABCDE"), unique=True))
    owners = {prefix: draw(st.sampled_from([*keys, ""])) for prefix in PREFIXES}
    peers = tuple(
        TunnelPeer(
            key,
            endpoint=draw(st.sampled_from(["192.0.2.1:1", "192.0.2.2:2"])),
            allowed=tuple(prefix for prefix in PREFIXES if owners[prefix] == key),
            keepalive=draw(st.sampled_from([0, 25])),
            preshared_key=draw(st.sampled_from(["", "one", "two"])),
        )
        for key in keys
    )
    routes = draw(
        st.lists(
            st.builds(
                TunnelRoute,
                st.sampled_from(PREFIXES),
                st.sampled_from([0, 100]),
                st.sampled_from(["", "bbr"]),
                st.sampled_from([0, 10]),
            ),
            unique_by=lambda route: (route.prefix, route.metric),
        )
    )
    private = draw(st.sampled_from(["k1", "k2"]))
    up = draw(st.booleans())
    return Tunnel(
        name="wg-t",
        public_key=public_of(private),
        private_key=private,
        port=draw(st.sampled_from([51820, 51821])),
        mtu=draw(st.sampled_from([1408, 1420])),
        up=up,
        addresses=tuple(sorted(draw(st.sets(st.sampled_from(["10.99.0.1/24", "10.99.0.2/24", "fd00::1/64"]))))),
        peers=peers,
        routes=tuple(routes) if up else (),
        clamp=draw(st.sampled_from([0, 1408, 1420])),
        settings=tuple("%s=%d" % (name, draw(st.sampled_from([0, 1]))) for name in ("disable_xfrm", "rp_filter")),
        rules=tuple(sorted(draw(st.sets(st.sampled_from(PREFIXES))))),
    )


@given(st.none() | tunnels(), st.none() | tunnels())
def test_the_commands_make_one_into_the_other(want: Tunnel | None, have: Tunnel | None) -> None:
    commands = tunnel_commands(want, have)
    assert ordered(run(have, commands)) == ordered(want)
    assert bool(commands) == bool(tunnel_changes(want, have, settled=False)) or (
        want is not None and have is not None and want.up != have.up
    )


@given(tunnels(), tunnels())
def test_a_peer_that_is_as_wanted_is_not_mentioned(want: Tunnel, have: Tunnel) -> None:
    lines = argv(tunnel_commands(want, have))
    for key, peer in want.by_key.items():
        if have.by_key.get(key) == peer:
            assert not any(f"peer {key}" in line for line in lines)
