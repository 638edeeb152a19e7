# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two hubs, a laptop behind real NAT that moves, and TCP over a path that drops in silence; on virtual machines."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from testinfra.host import Host as Connection

from lab.fleet import Fleet
from tests.molecule.hosts import wait_for
from tests.molecule.links import GATEWAYS, INTERFACE, Live, ping, run_links
from tests.molecule.stream import stream

# Behind the spokes, which know each other by the hubs alone.
BEHIND = {"local1": "10.210.0.1", "local2": "10.240.0.1"}
HUBS = ("cloud1", "cloud2")
PACKETS, SIZE = 10, 1000
MTU = 1440
# A hop of 1,400 bytes between two hosts, which says nothing of what it drops: what was dropped on its way out of a host
# would be an error there.
HOP = """\
table inet hop {
  chain input { type filter hook input priority 0; policy accept; ip saddr 10.77.0.0/16 meta length > 1400 drop; }
}
"""
# What gets through, in the tunnel: 1,400 less 60, to a multiple of 16.
NARROW = 1328
MASQUERADE = "table ip nat { chain out { type nat hook postrouting priority 100; oifname outer masquerade; }; }"
LAPTOP, ROUTER, ROAD = "laptop", "natter", "wg-road"
ROAD_PORT = 51821
# Its router's own addresses, of the lab's network, before and after it moves.
OUTER = ("212", "213")


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("links-ways")


def star(*hubs: str) -> str:
    """Two spokes and two hubs, of which the first is preferred; as extra variables."""
    return json.dumps(
        {
            "wireguard_links_sites": {
                "one": {"prefixes": ["10.210.0.0/16"], "gateways": ["local1"]},
                "two": {"prefixes": ["10.240.0.0/16"], "gateways": ["local2"]},
            },
            "wireguard_links_topologies": [
                {
                    "name": "star",
                    "kind": "hub_and_spoke",
                    "hubs": list(hubs),
                    "spokes": ["one", "two"],
                    "networks": ["10.195.0.0/24"],
                    "numbers": {"cloud1": 1, "cloud2": 2, "local1": 3, "local2": 4},
                    "interface_per_peer": True,
                    "failover": "metric",
                }
            ],
        }
    )


def carried(connection: Connection, interface: str) -> int:
    """Bytes that came and went by an interface."""
    words = connection.check_output(f"wg show {interface} transfer").split()
    return sum(int(word) for word in words if word.isdigit())


@pytest.fixture
def spokes(scratch: Path, connections: dict[str, Connection]) -> Iterator[None]:
    """Hubs that forward, something behind the spokes, and the links."""
    for hub in HUBS:
        connections[hub].check_output("sysctl -qw net.ipv4.ip_forward=1")
    for name, address in BEHIND.items():
        connections[name].check_output(f"ip address replace {address}/32 dev lo")
    run = run_links(scratch, "-e", star(*HUBS))
    assert run.status == 0, run.output
    yield
    run_links(scratch, "-e", star(*HUBS), "-e", "wireguard_links_state=absent")
    for hub in HUBS:
        connections[hub].run("sysctl -qw net.ipv4.ip_forward=0")
    for name, address in BEHIND.items():
        connections[name].run(f"ip address del {address}/32 dev lo")


@pytest.mark.usefixtures("spokes")
def test_spokes_talk_by_the_hub_that_is_preferred(scratch: Path, connections: dict[str, Connection]) -> None:
    one = connections["local1"]
    # Both spokes call: the hubs learn by that where they are.
    for name in BEHIND:
        for hub in (1, 2):
            wait_for(connections[name], f"ping -c 1 -W 1 10.195.0.{hub}", 60.0)
    for order in (HUBS, HUBS[::-1]):
        run = run_links(scratch, "-e", star(*order))
        assert run.status == 0, run.output
        before = {hub: carried(connections[hub], "wg-star-4") for hub in HUBS}
        answer = one.run(f"ping -c {PACKETS} -i 0.2 -W 3 -s {SIZE} -I {BEHIND['local1']} {BEHIND['local2']}")
        assert f"{PACKETS} received" in answer.stdout, answer.stdout
        went = {hub: carried(connections[hub], "wg-star-4") - before[hub] for hub in HUBS}
        # To and fro: the one that is preferred carries it, the other one nothing but keepalives.
        assert went[order[0]] >= 2 * PACKETS * SIZE
        assert went[order[1]] < PACKETS * SIZE
    again = run_links(scratch, "-e", star(*HUBS[::-1]))
    assert (again.status, again.changed) == (0, []), again.output


class Within:
    """A namespace of a host, as a connection to it."""

    def __init__(self, connection: Connection, namespace: str) -> None:
        self._connection = connection
        self._prefix = f"ip netns exec {namespace} sh -c "

    def _line(self, command: str, arguments: tuple[str, ...]) -> str:
        text = command % tuple(map(shlex.quote, arguments)) if arguments else command
        return self._prefix + shlex.quote(text)

    def run(self, command: str, *arguments: str) -> Any:
        return self._connection.run(self._line(command, arguments))

    def check_output(self, command: str, *arguments: str) -> str:
        return str(self._connection.check_output(self._line(command, arguments)))


def road(public_key: str) -> str:
    """A laptop that calls cloud1, beside the other links; as extra variables."""
    topologies = [
        {
            "name": "wan",
            "kind": "mesh",
            "members": ["onprem", "cloud_east", "cloud_west"],
            "networks": ["10.199.0.0/24", "fd00:199::/64"],
            "numbers": {"local1": 1, "cloud1": 2, "cloud2": 3},
        },
        {
            "name": "road",
            "kind": "hub_and_spoke",
            "hubs": ["cloud_east"],
            "spokes": ["alice"],
            "networks": ["10.194.0.0/24"],
            "numbers": {"cloud1": 2, "alice": 9},
            "port": ROAD_PORT,
        },
    ]
    peers = {"alice": {"public_key": public_key}}
    return json.dumps({"wireguard_links_topologies": topologies, "wireguard_links_peers": peers})


@pytest.fixture
def router(fleet: Fleet, connections: dict[str, Connection]) -> Iterator[None]:
    """A namespace of local2 with an address of the lab's network, which masquerades for another one."""
    host = connections["local2"]
    for line in (
        f"ip netns add {ROUTER}",
        f"ip netns add {LAPTOP}",
        f"ip link add outer link eth1 type macvlan mode bridge && ip link set outer netns {ROUTER}",
        f"ip link add inner netns {ROUTER} type veth peer name eth0 netns {LAPTOP}",
        f"ip -n {ROUTER} link set lo up && ip -n {ROUTER} link set outer up && ip -n {ROUTER} link set inner up",
        f"ip -n {ROUTER} address add {fleet.network}.{OUTER[0]}/24 dev outer",
        f"ip -n {ROUTER} address add 10.250.0.1/24 dev inner",
        f"ip -n {LAPTOP} link set lo up && ip -n {LAPTOP} link set eth0 up",
        f"ip -n {LAPTOP} address add 10.250.0.2/24 dev eth0",
        f"ip -n {LAPTOP} route add default via 10.250.0.1",
        f"ip netns exec {ROUTER} sysctl -qw net.ipv4.ip_forward=1",
        f"ip netns exec {ROUTER} nft '{MASQUERADE}'",
    ):
        host.check_output(line)
    yield
    for namespace in (LAPTOP, ROUTER):
        host.run(f"ip netns del {namespace}")


@pytest.mark.usefixtures("router")
def test_a_laptop_behind_nat_moves_while_a_connection_goes_on(
    fleet: Fleet, scratch: Path, connections: dict[str, Connection]
) -> None:
    host, east = connections["local2"], connections["cloud1"]
    laptop = Within(host, LAPTOP)
    host.check_output("umask 077; wg genkey > /root/alice.key")
    variables = road(host.check_output("wg pubkey < /root/alice.key").strip())
    try:
        run = run_links(scratch, "-e", variables)
        assert run.status == 0, run.output
        address = next(each.address for each in fleet.hosts if each.name == "cloud1")
        key = Live.on(east, ROAD).public_key
        laptop.check_output(
            "ip link add wg0 type wireguard && ip address add 10.194.0.9/24 dev wg0 &&"
            f" wg set wg0 private-key /root/alice.key peer {key} endpoint {address}:{ROAD_PORT}"
            " allowed-ips 10.194.0.0/24 persistent-keepalive 25 && ip link set wg0 mtu 1408 up"
        )
        assert laptop.run("ping -c 3 -i 0.3 -W 3 10.194.0.2").rc == 0
        assert endpoint(east) == f"{fleet.network}.{OUTER[0]}"
        with stream(cast(Connection, laptop), east, "10.194.0.2", 7011) as seen:
            time.sleep(3)
            # What is masqueraded by an address goes with it.
            old, new = (f"{fleet.network}.{number}/24" for number in OUTER)
            host.check_output(f"ip -n {ROUTER} address del {old} dev outer; ip -n {ROUTER} address add {new} dev outer")
            time.sleep(5)
            moved = endpoint(east)
            # A run does not send it back.
            again = run_links(scratch, "-e", variables)
        assert moved == f"{fleet.network}.{OUTER[1]}"
        assert (again.status, again.changed) == (0, []), again.output
        assert endpoint(east) == moved
        assert (seen.sent["ended"], seen.received["ended"]) == ("closed", "closed")
        assert seen.received["sha256"] == seen.sent["sha256"]
        assert seen.longest < 15.0, seen.gaps
    finally:
        host.run("rm -f /root/alice.key")
        run_links(scratch, "-e", variables, "-e", "wireguard_links_state=absent")


def endpoint(connection: Connection) -> str:
    """Where the only peer of the road is, without its port."""
    (found,) = Live.on(connection, ROAD).endpoints.values()
    return found.rpartition(":")[0]


def test_tcp_gets_through_a_hop_that_drops_in_silence_both_ways(
    scratch: Path, connections: dict[str, Connection]
) -> None:
    gateway, east = connections["local1"], connections["cloud1"]
    probe = ("-e", json.dumps({"wireguard_links_probe_mtu": True}))
    try:
        run = run_links(scratch)
        assert run.status == 0, run.output
        for name in {*GATEWAYS} - {"cloud1"}:
            wait_for(connections[name], "ping -c 1 -W 1 10.199.0.2", 60.0)
        for connection in (gateway, east):
            connection.check_output(f"printf '%s' '{HOP}' | nft -f -")
        # What is large disappears, from either end.
        assert not ping(gateway, "10.199.0.2", MTU - 28)
        assert not ping(east, "10.199.0.1", MTU - 28)
        run = run_links(scratch, *probe)
        assert run.status == 0, run.output
        for connection in (gateway, east):
            (shown,) = json.loads(connection.check_output(f"ip -j link show {INTERFACE}"))
            assert shown["mtu"] == NARROW
        for sender, receiver, address, port in (
            (gateway, east, "10.199.0.2", 7012),
            (east, gateway, "10.199.0.1", 7013),
        ):
            with stream(sender, receiver, address, port) as seen:
                time.sleep(8)
            assert (seen.sent["ended"], seen.received["ended"]) == ("closed", "closed")
            # Its pieces of 4 KiB travel in segments as large as the tunnel takes.
            assert seen.received["bytes"] == seen.sent["bytes"] > 200_000
            assert seen.received["sha256"] == seen.sent["sha256"]
    finally:
        for connection in (gateway, east):
            connection.run("nft delete table inet hop")
        run_links(scratch, "-e", "wireguard_links_state=absent")
