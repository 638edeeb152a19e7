# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A link dies without a word: FRR of Debian 12 and 13 move the traffic to the other gateway, and back again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host as Connection

from lab.fleet import Fleet
from lab.paths import REPOSITORY
from tests.molecule.gaps import longest_gap
from tests.molecule.hosts import wait_for
from tests.molecule.links import LINKS
from tests.molecule.playbook import Run, run_drift, run_playbook

INVENTORY = REPOSITORY / "molecule" / "links" / "inventory" / "failover.yml"
AGENT = REPOSITORY / "tests" / "molecule" / "ask_agent.py"
ON_HOST = "/root/ask_agent.py"
GATEWAYS, CLOUD = ("local1", "local2"), "cloud1"
HOSTS = (*GATEWAYS, CLOUD)
# Both gateways have the one that is asked, as a service of the data centre would be reached by both.
ASKED, ASKING = {4: "10.210.0.1", 6: "fd00:210::1"}, {4: "10.220.0.1", 6: "fd00:220::1"}
SESSIONS = {"local1": 2, "local2": 2, "cloud1": 4}
PORT, SECONDS, EVERY = 7009, 50.0, 0.02
# The promise is 15 seconds; BFD needs two of them here.
LIMIT = 15.0


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("failover")


def link(scratch: Path, *arguments: str) -> Run:
    return run_playbook(scratch, f"--inventory={INVENTORY}", *arguments, playbook=LINKS)


@pytest.fixture(scope="module")
def up(scratch: Path, connections: dict[str, Connection]) -> Iterator[Run]:
    """The links and FRR, and what asks and answers; all of it is gone afterwards."""
    run = link(scratch)
    assert run.status == 0, run.output
    for name in HOSTS:
        addresses = ASKED if name in GATEWAYS else ASKING
        connections[name].check_output("printf %%s %s > " + ON_HOST, AGENT.read_text(encoding="utf-8"))
        for address in addresses.values():
            connections[name].check_output(f"ip address replace {address} dev lo")
    yield run
    for name in HOSTS:
        for address in (ASKED if name in GATEWAYS else ASKING).values():
            connections[name].run(f"ip address del {address} dev lo")
        connections[name].run(f"rm -f {ON_HOST}")


def sessions(connection: Connection) -> dict[str, dict[str, Any]]:
    """What FRR says of its sessions, by neighbor."""
    found = json.loads(connection.check_output("vtysh -c 'show bgp summary json'"))
    return {address: peer for family in found.values() for address, peer in family["peers"].items()}


def carrier(connection: Connection, version: int) -> str:
    """The interface by which the cloud reaches the data centre."""
    (route,) = json.loads(connection.check_output(f"ip -j route get {ASKED[version]} from {ASKING[version]}"))
    return str(route["dev"])


def test_all_sessions_are_up_and_the_run_said_so(up: Run, connections: dict[str, Connection]) -> None:
    assert "is not up" not in up.output
    for name, count in SESSIONS.items():
        found = sessions(connections[name])
        assert {address: peer["state"] for address, peer in found.items()} == dict.fromkeys(found, "Established")
        assert len(found) == count
        peers = json.loads(connections[name].check_output("vtysh -c 'show bfd peers json'"))
        assert [peer["status"] for peer in peers] == ["up"] * count


def test_routes_are_of_the_daemon_and_prefer_the_first_gateway(up: Run, connections: dict[str, Connection]) -> None:
    assert up.status == 0
    for version in (4, 6):
        assert carrier(connections[CLOUD], version) == "wg-red-1"
    (route,) = json.loads(connections[CLOUD].check_output("ip -j route show 10.210.0.0/16"))
    assert route["protocol"] == "bgp"


def test_the_second_run_changes_nothing_and_drops_no_session(
    up: Run, scratch: Path, connections: dict[str, Connection]
) -> None:
    assert up.status == 0
    before = {
        name: {each: peer["connectionsEstablished"] for each, peer in sessions(connections[name]).items()}
        for name in HOSTS
    }
    run = link(scratch)
    assert (run.status, run.changed) == (0, []), run.output
    assert run.output.count("changed=0") == len(SESSIONS) + 1, run.output
    after = {
        name: {each: peer["connectionsEstablished"] for each, peer in sessions(connections[name]).items()}
        for name in HOSTS
    }
    assert after == before


def test_a_peer_cannot_announce_what_it_does_not_own(up: Run, connections: dict[str, Connection]) -> None:
    assert up.status == 0
    gateway, cloud = connections["local1"], connections[CLOUD]
    (number,) = {peer["localAs"] for peer in sessions(gateway).values()}
    change = "vtysh -c 'configure terminal' -c 'router bgp {number}' -c 'address-family ipv4 unicast' -c '{what}'"
    try:
        # Without its own filter, too: it is the cloud's that counts.
        for what in ("network 10.250.0.0/16", "no neighbor 10.198.0.3 route-map wg-red-3-ipv4-out out"):
            gateway.check_output(change.format(number=number, what=what))
        gateway.check_output(f"vtysh -c 'configure terminal' -c 'router bgp {number}' -c 'no bgp ebgp-requires-policy'")
        time.sleep(5.0)
        assert cloud.check_output("ip route show 10.250.0.0/16") == ""
    finally:
        gateway.check_output("/usr/lib/frr/frr-reload.py --reload /etc/frr/frr.conf")


@pytest.mark.parametrize("version", [4, 6])
def test_traffic_takes_the_other_link_and_comes_back(
    version: int, up: Run, fleet: Fleet, connections: dict[str, Connection]
) -> None:
    assert up.status == 0
    cloud = connections[CLOUD]
    dead = next(host.address for host in fleet.hosts if host.name == "local1")
    for name in GATEWAYS:
        command = f"/usr/bin/python3 {ON_HOST} answer {ASKED[version]} {PORT} {SECONDS + 20}"
        connections[name].check_output(f"{command} > /dev/null 2>&1 < /dev/null &")
    asking = f"/usr/bin/python3 {ON_HOST} ask {ASKED[version]} {PORT} {SECONDS} {ASKING[version]} {EVERY}"
    cloud.check_output(f"{asking} > {ON_HOST}.answers 2>&1 < /dev/null &")
    began = float(cloud.check_output("date +%s.%N"))
    time.sleep(5.0)
    rules = (
        "table inet cut {\n"
        f"chain from_it {{ type filter hook input priority 0; ip saddr {dead} drop; }}\n"
        f"chain to_it {{ type filter hook output priority 0; ip daddr {dead} drop; }}\n}}"
    )
    lost = float(cloud.check_output("date +%%s.%%N && nft %s", rules).split()[0])
    time.sleep(LIMIT + 3.0)
    assert carrier(cloud, version) == "wg-red-2"
    found = float(cloud.check_output("date +%s.%N && nft delete table inet cut").split()[0])
    wait_for(cloud, f"test -s {ON_HOST}.answers", SECONDS + 30.0)
    answers = json.loads(cloud.check_output(f"cat {ON_HOST}.answers; rm {ON_HOST}.answers"))
    away = longest_gap(answers, lost, found)
    back = longest_gap(answers, found, began + SECONDS - 2.0)
    print(f"IPv{version}: {away:.2f} s without an answer when the link died, {back:.2f} s when it was back")
    assert away < LIMIT
    assert back < LIMIT
    assert carrier(cloud, version) == "wg-red-1"


def test_drift_names_what_is_wrong_with_failover(up: Run, scratch: Path, connections: dict[str, Connection]) -> None:
    assert up.status == 0
    drift = (f"--inventory={INVENTORY}", "--become", "--tags=tunnel")
    check = run_drift(scratch, *drift)
    assert check.status == 0, check.output
    gateway = connections["local1"]
    (number,) = {peer["localAs"] for peer in sessions(gateway).values()}
    established = 'vtysh -c "show bgp neighbors 10.198.0.1 json" | grep -q "bgpState.*Established"'
    wait_for(connections[CLOUD], established, 30.0)
    shut = f"vtysh -c 'configure terminal' -c 'router bgp {number}' -c 'neighbor 10.198.0.3 shutdown'"
    try:
        gateway.check_output(shut)
        gateway.check_output("echo '! by hand' >> /etc/frr/frr.conf")
        wait_for(connections[CLOUD], f"! {established}", 30.0)
        check = run_drift(scratch, *drift)
        hosts = {name: check.hosts[name] for name in HOSTS}
        assert (check.status, hosts) == (2, {"local1": "drift", "local2": "in_step", CLOUD: "drift"}), check.output
        # The other family of the same two has its own session, which is up.
        assert "10.198.0.3" in check.one("local1", "wg-red-3 session cloud1", "tunnel-routing")["reason"]
        assert check.one(CLOUD, "wg-red-1 session local1", "tunnel-routing")
        assert check.one("local1", "/etc/frr/frr.conf", "tunnel-routing")
        assert len(check.findings("local1")) == 2
    finally:
        run = link(scratch)
    assert run.status == 0, run.output
    gateway.check_output("/usr/lib/frr/frr-reload.py --reload /etc/frr/frr.conf")
    wait_for(connections[CLOUD], established, 60.0)
    assert run_drift(scratch, *drift).status == 0


def test_absent_brings_back_what_frr_had(up: Run, scratch: Path, connections: dict[str, Connection]) -> None:
    assert up.status == 0
    run = link(scratch, "-e", "wireguard_links_state=absent")
    assert run.status == 0, run.output
    for name in HOSTS:
        assert "router bgp" not in connections[name].file("/etc/frr/frr.conf").content_string
        assert connections[name].run("grep -E '^(bgpd|bfdd)=yes' /etc/frr/daemons").rc != 0
        assert connections[name].check_output("ip -o link show type wireguard") == ""
