# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From strongSwan's tunnel to a WireGuard link and back, with traffic between two sites all the while."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from testinfra.host import Host as Connection

from lab.fleet import Fleet
from tests.molecule.links import INTERFACE, Link, ping, run_links

# Addresses behind the gateways of two sites, as molecule/links/inventory has them.
BEHIND = {"local1": "10.210.0.1", "cloud1": "10.220.0.1"}
PREFIX = {"local1": "10.210.0.0/16", "cloud1": "10.220.0.0/16"}
IN_TUNNEL = {"local1": "10.199.0.1", "cloud1": "10.199.0.2"}
OTHER = {"local1": "cloud1", "cloud1": "local1"}
CONFIGURATION = "/etc/swanctl/conf.d/lab.conf"
# What goes to and fro in one look: so much that a keepalive or a handshake is none of it.
PACKETS, SIZE = 10, 1000
MUCH, LITTLE = PACKETS * SIZE, 2000
_COUNTED = re.compile(r"(\d+)\(bytes\), (\d+)\(packets\)")
pytestmark = pytest.mark.usefixtures("tunnel")
_SWANCTL = """\
connections {{
  lab {{
    local_addrs = {here}
    remote_addrs = {there}
    local {{
      auth = psk
      id = {name}
    }}
    remote {{
      auth = psk
      id = {other}
    }}
    children {{
      sites {{
        local_ts = {own}
        remote_ts = {others}
      }}
    }}
  }}
}}
secrets {{
  ike-lab {{
    id-1 = {name}
    id-2 = {other}
    secret = "of the lab alone"
  }}
}}
"""


@dataclass(frozen=True)
class Carried:
    """Bytes that went by each of the two ways, both directions."""

    esp: int
    wireguard: int

    @classmethod
    def on(cls, connection: Connection) -> Carried:
        """So far. A link that is not there has carried nothing."""
        states = connection.check_output("ip -s xfrm state")
        transfer = connection.run(f"wg show {INTERFACE} transfer").stdout.split()
        sent = sum(int(number) for number in transfer if number.isdigit())
        return cls(sum(int(found) for found, _packets in _COUNTED.findall(states)), sent)


def way(connections: dict[str, Connection]) -> Carried:
    """What went by each way while one site talked to the other, as local1 counts it. Every packet is answered."""
    gateway = connections["local1"]
    before = Carried.on(gateway)
    answer = gateway.run(
        f"ping -c {PACKETS} -i 0.2 -W 3 -s {SIZE} -I {BEHIND['local1']} {BEHIND['cloud1']}",
    )
    assert answer.rc == 0, answer.stdout
    assert f"{PACKETS} received" in answer.stdout
    after = Carried.on(gateway)
    return Carried(after.esp - before.esp, after.wireguard - before.wireguard)


def rules(connection: Connection) -> list[str]:
    """The destinations of our rules."""
    shown = json.loads(connection.check_output("ip -j -4 rule show"))
    return sorted(f"{rule['dst']}/{rule.get('dstlen', 32)}" for rule in shown if rule["priority"] == 201)


def settings(connection: Connection) -> tuple[str, ...]:
    """disable_policy, disable_xfrm and rp_filter of the link."""
    names = ("disable_policy", "disable_xfrm", "rp_filter")
    return tuple(connection.check_output(f"cat /proc/sys/net/ipv4/conf/{INTERFACE}/{name}").strip() for name in names)


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> Link:
    scratch = tmp_path_factory.mktemp("ipsec")
    return lambda *arguments: run_links(scratch, *arguments)


@pytest.fixture(scope="module")
def tunnel(fleet: Fleet, connections: dict[str, Connection], link: Link) -> Iterator[None]:
    """strongSwan between the two sites, as somebody has had it for years."""
    addresses = {host.name: host.address for host in fleet.hosts}
    for name, other in OTHER.items():
        text = _SWANCTL.format(
            here=addresses[name],
            there=addresses[other],
            name=name,
            other=other,
            own=PREFIX[name],
            others=PREFIX[other],
        )
        connection = connections[name]
        connection.check_output("ip address replace %s/32 dev lo", BEHIND[name])
        connection.check_output("printf %%s %s > %s", text, CONFIGURATION)
        connection.check_output("systemctl unmask strongswan; systemctl start strongswan; swanctl --load-all")
    connections["local1"].check_output("swanctl --initiate --child sites --timeout 60")
    yield
    link("-e", "wireguard_links_state=absent")
    for name, connection in connections.items():
        if name in BEHIND:
            connection.run(f"systemctl stop strongswan; rm -f {CONFIGURATION}; ip address del {BEHIND[name]}/32 dev lo")


def test_before_ipsec_carries(connections: dict[str, Connection]) -> None:
    assert way(connections).esp >= MUCH


def test_beside_the_link_is_up_and_ipsec_carries(link: Link, connections: dict[str, Connection]) -> None:
    run = link("-e", "wireguard_links_ipsec=beside")
    assert run.status == 0, run.output
    for name, other in OTHER.items():
        assert ping(connections[name], IN_TUNNEL[other])
        assert settings(connections[name]) == ("1", "0", "2")
        assert rules(connections[name]) == []
    carried = way(connections)
    assert carried.esp >= MUCH
    assert carried.wireguard < LITTLE


def test_one_end_moves_alone(link: Link, connections: dict[str, Connection]) -> None:
    run = link("-e", "wireguard_links_ipsec=moved", "--limit=local1")
    assert (run.status, run.changed) == (0, ["local1"]), run.output
    # There by the link, back by IPsec: both are taken.
    carried = way(connections)
    assert carried.wireguard >= MUCH
    assert carried.esp >= MUCH


def test_moved_the_link_carries_alone(link: Link, connections: dict[str, Connection]) -> None:
    run = link("-e", "wireguard_links_ipsec=moved")
    assert run.status == 0, run.output
    for name, other in OTHER.items():
        assert settings(connections[name]) == ("1", "1", "2")
        assert PREFIX[other] in rules(connections[name])
    carried = way(connections)
    assert carried.wireguard >= 2 * MUCH
    assert carried.esp == 0
    again = link("-e", "wireguard_links_ipsec=moved")
    assert (again.status, again.changed) == (0, []), again.output


def test_drift_of_what_moved_it_is_mended(link: Link, connections: dict[str, Connection]) -> None:
    connections["local1"].check_output(
        f"ip -4 rule del pref 201 to {PREFIX['cloud1']}; sysctl -qw net/ipv4/conf/{INTERFACE}/disable_xfrm=0"
    )
    checked = link("-e", "wireguard_links_ipsec=moved", "--check")
    assert sorted(checked.changes("local1")) == [f"{INTERFACE} disable_xfrm", f"{INTERFACE} rules"], checked.output
    run = link("-e", "wireguard_links_ipsec=moved")
    assert (run.status, run.changed) == (0, ["local1"]), run.output
    assert way(connections).esp == 0


def test_back_with_one_command(link: Link, connections: dict[str, Connection]) -> None:
    run = link("-e", "wireguard_links_ipsec=beside")
    assert run.status == 0, run.output
    carried = way(connections)
    assert carried.esp >= MUCH
    assert carried.wireguard < LITTLE
    assert rules(connections["local1"]) == []
