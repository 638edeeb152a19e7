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
from lab.paths import REPOSITORY, Settings
from tests.molecule.gaps import longest_gap
from tests.molecule.hosts import wait_for
from tests.molecule.links import LINKS
from tests.molecule.playbook import ROLLBACK, Run, run_drift, run_playbook, start_playbook

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
REBOOT = REPOSITORY / "molecule" / "shared" / "reboot.yml"
FILES = ("/etc/frr/frr.conf", "/etc/frr/daemons")
PENDING = "/var/lib/netfleet-tcp/pending.json"
# Of all that a host has, this changes FRR's configuration alone.
PATIENT = "detect-multiplier 5"


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


def patient(window: int) -> str:
    """As extra variables: the links as they are, with more patience for each other."""
    topology = {
        "name": "red",
        "kind": "site_to_site",
        "members": ["onprem", "cloud_east"],
        "networks": ["10.198.0.0/24", "fd00:198::/64"],
        "numbers": {"local1": 1, "local2": 2, "cloud1": 3},
        "interface_per_peer": True,
        "failover": "bgp",
        "bfd_interval": 500,
        "bfd_multiplier": 5,
    }
    return json.dumps({"wireguard_links_topologies": [topology], "wireguard_links_confirm": window})


def of_frr(connections: dict[str, Connection]) -> dict[str, list[str]]:
    """Its files, with mode and owner, and what it runs by, in whichever order it says that."""
    return {
        name: [
            *(connections[name].check_output(f"stat -c '%a %U %G' {path}; cat {path}") for path in FILES),
            connections[name].check_output("vtysh -c 'show running-config' | sort"),
        ]
        for name in HOSTS
    }


def all_established(connections: dict[str, Connection], seconds: float = 120.0) -> None:
    """Each host has its sessions, within so many seconds."""
    for name, count in SESSIONS.items():
        established = 'vtysh -c "show bgp summary established" | grep -Ec "^(10.198|fd00:198)"'
        wait_for(connections[name], f'test "$({established})" = {count}', seconds)


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
        # Not by frr-reload.py, which would have the host forward.
        gateway.check_output("systemctl restart frr")


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
    # Not by frr-reload.py, which would have the host forward.
    gateway.check_output("systemctl restart frr")
    wait_for(connections[CLOUD], established, 60.0)
    assert run_drift(scratch, *drift).status == 0


@pytest.mark.parametrize("name", HOSTS)
def test_sessions_come_back_after_a_restart_of_frr_at_either_end(
    up: Run, connections: dict[str, Connection], name: str
) -> None:
    """The hosts have different versions of FRR, which begin with BFD and BGP in different orders."""
    assert up.status == 0
    connections[name].check_output("systemctl restart frr")
    all_established(connections, 60.0)


@pytest.mark.parametrize("boots", [False, True], ids=["window", "boot"])
def test_a_change_of_frr_that_nobody_confirms_is_taken_back_by_each_host(
    boots: bool, up: Run, scratch: Path, connections: dict[str, Connection]
) -> None:
    assert up.status == 0
    before = of_frr(connections)
    # What is taken back by a boot must not be taken back by the clock before.
    window = 600 if boots else 60
    run = start_playbook(scratch, f"--inventory={INVENTORY}", "-e", patient(window), playbook=LINKS)
    try:
        wait_for(connections[CLOUD], f'grep -q "{PATIENT}" {FILES[0]}', 300.0)
    finally:
        run.kill()
    # What it had begun on a host may still go on.
    time.sleep(10.0)
    changed = [name for name in HOSTS if connections[name].file(PENDING).exists]
    assert CLOUD in changed
    if boots:
        assert run_playbook(scratch, f"--limit={','.join(changed)}", playbook=REBOOT).status == 0
        for name in changed:
            for address in (ASKED if name in GATEWAYS else ASKING).values():
                connections[name].check_output(f"ip address replace {address} dev lo")
    for name in changed:
        wait_for(connections[name], f"! test -e {PENDING}", window + 60.0 if not boots else 60.0)
        assert connections[name].run("systemctl list-timers --all | grep -q netfleet").rc != 0
    all_established(connections)
    assert of_frr(connections) == before
    again = link(scratch)
    assert (again.status, again.changed) == (0, []), again.output


def test_a_change_of_routing_that_cuts_the_way_of_the_controller_is_taken_back(
    up: Run, scratch: Path, fleet: Fleet, settings: Settings, connections: dict[str, Connection]
) -> None:
    assert up.status == 0
    before = of_frr(connections)
    port = next(host.port for host in fleet.hosts if host.name == "local1")
    quiet = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
    by_local1 = f"ssh {quiet} -i {settings.key} -p {port} -W %h:%p root@127.0.0.1"
    # What the cloud announces is the only way to this address of it.
    own = {
        "ansible_host": ASKING[4],
        "ansible_port": 22,
        "ansible_ssh_common_args": f'{quiet} -o ProxyCommand="{by_local1}"',
    }
    ways = scratch / "ways.yml"
    ways.write_text(json.dumps({"all": {"hosts": {CLOUD: own}}}), encoding="utf-8")
    through = (f"--inventory={ways}", f"--limit={CLOUD}")
    still = link(scratch, *through)
    assert (still.status, still.changed) == (0, []), still.output
    others = {
        "wireguard_links_sites": {
            "onprem": {"prefixes": ["10.210.0.0/16", "fd00:210::/48"], "gateways": list(GATEWAYS)},
            "cloud_east": {"prefixes": ["10.221.0.0/16", "fd00:221::/48"], "gateways": [CLOUD]},
        },
        "wireguard_links_confirm": 60,
    }
    broken = link(scratch, *through, "-e", json.dumps(others))
    assert (broken.status != 0, broken.failed) == (True, [CLOUD]), broken.output
    wait_for(connections["local1"], f"ping -c 1 -W 1 {ASKING[4]}", 120.0)
    wait_for(connections[CLOUD], f"! test -e {PENDING}", 60.0)
    all_established(connections)
    assert of_frr(connections) == before
    again = link(scratch, *through)
    assert (again.status, again.changed) == (0, []), again.output


def test_rollback_gives_back_what_frr_had(up: Run, scratch: Path, connections: dict[str, Connection]) -> None:
    assert up.status == 0
    before = of_frr(connections)
    run = link(scratch, "-e", patient(120))
    assert (run.status, run.changed) == (0, sorted(HOSTS)), run.output
    for name in HOSTS:
        assert PATIENT in connections[name].file(FILES[0]).content_string
        assert PATIENT in connections[name].check_output("vtysh -c 'show running-config'")
    (change,) = {run.results[name]["change"]["run"] for name in HOSTS}
    back = run_playbook(scratch, f"--inventory={INVENTORY}", "-e", f"change={change}", playbook=ROLLBACK)
    assert back.status == 0, back.output
    all_established(connections)
    assert of_frr(connections) == before
    assert link(scratch).changed == []


def test_absent_brings_back_what_frr_had(up: Run, scratch: Path, connections: dict[str, Connection]) -> None:
    assert up.status == 0
    run = link(scratch, "-e", "wireguard_links_state=absent")
    assert run.status == 0, run.output
    for name in HOSTS:
        assert "router bgp" not in connections[name].file("/etc/frr/frr.conf").content_string
        assert connections[name].run("grep -E '^(bgpd|bfdd)=yes' /etc/frr/daemons").rc != 0
        assert connections[name].check_output("ip -o link show type wireguard") == ""
