# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links between virtual machines, over the kernel's WireGuard: they come up, stay as they are, and outlast a boot."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from testinfra.host import Host as Connection

from lab.fleet import Fleet
from lab.paths import REPOSITORY
from tests.molecule.hosts import look, wait_for
from tests.molecule.links import GATEWAYS, INTERFACE, KEY, Link, Live, ping, run_links
from tests.molecule.playbook import Run, run_playbook
from tests.molecule.stream import stream

ADDRESSES = {"local1": "10.199.0.1", "cloud1": "10.199.0.2", "cloud2": "10.199.0.3"}
# 1500 less 60 of IPv4 and WireGuard; of ping's packet, 28 are headers.
MTU, DATA = 1440, 1412
# Seconds of silence.
PROMISE = 1.0
BOOT = "cat /proc/sys/kernel/random/boot_id"
REBOOT = REPOSITORY / "molecule" / "shared" / "reboot.yml"
# Of what happens to links while a connection goes through them, what the core of these tests has. Each takes minutes.
CORE_EVENTS = ("a run that changes nothing", "a key changes", "preshared keys change")
CORE = os.environ.get("NETFLEET_LINK_EVENTS") == "core"
# Somebody whom nobody here manages joins.
ALICE = {"public_key": "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="}
WITH_ALICE = {
    "wireguard_links_topologies": [
        {
            "name": "wan",
            "kind": "mesh",
            "members": ["onprem", "cloud_east", "cloud_west", "alice"],
            "networks": ["10.199.0.0/24", "fd00:199::/64"],
            "numbers": {"local1": 1, "cloud1": 2, "cloud2": 3, "alice": 9},
        }
    ],
}


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> Link:
    scratch = tmp_path_factory.mktemp("links")
    return lambda *arguments: run_links(scratch, *arguments)


@pytest.fixture(scope="module")
def up(link: Link) -> Run:
    """The links, brought up once."""
    run = link()
    assert run.status == 0, run.output
    return run


@pytest.fixture(scope="module")
def live(up: Run, connections: dict[str, Connection]) -> dict[str, Live]:
    assert up.status == 0
    return {name: Live.on(connections[name]) for name in GATEWAYS}


def test_the_hosts_that_are_gateways_are_changed_and_no_other(up: Run) -> None:
    assert up.changed == sorted(GATEWAYS)


def test_every_pair_can_talk_in_packets_as_large_as_the_mtu(up: Run, connections: dict[str, Connection]) -> None:
    assert up.status == 0
    for name in GATEWAYS:
        for other, address in ADDRESSES.items():
            assert ping(connections[name], address, DATA), f"{name} cannot reach {other}"


def test_each_knows_the_others_by_the_keys_that_they_have(live: dict[str, Live]) -> None:
    keys = {name: found.public_key for name, found in live.items()}
    assert len(set(keys.values())) == len(GATEWAYS)
    for name, found in live.items():
        assert set(found.allowed) == {key for other, key in keys.items() if other != name}
    east, gateway = live["cloud1"], live["local1"]
    assert sorted(gateway.allowed[keys["cloud1"]].split()) == ["10.199.0.2/32", "10.220.0.0/16", "fd00:199::2/128"]
    # The one that cannot be called keeps its way open; between clouds nobody has to.
    assert gateway.keepalive == {keys["cloud1"]: "25", keys["cloud2"]: "25"}
    assert set(east.keepalive.values()) == {"off"}


def test_what_goes_over_a_link_has_its_own_congestion_control(up: Run, connections: dict[str, Connection]) -> None:
    assert up.status == 0
    (route,) = json.loads(connections["local1"].check_output("ip -j route show 10.220.0.0/16"))
    assert (route["dev"], route["metrics"]) == (INTERFACE, [{"congestion": "bbr"}])
    link = json.loads(connections["local1"].check_output(f"ip -j link show {INTERFACE}"))
    assert link[0]["mtu"] == MTU


def test_private_keys_are_closed_to_others_and_stand_nowhere_else(
    up: Run, connections: dict[str, Connection], tmp_path: Path
) -> None:
    verbose = run_links(tmp_path, "-vvvv", "--diff")
    assert (verbose.status, verbose.changed) == (0, [])
    said = up.output + verbose.output + json.dumps([dict(up.results), dict(verbose.results)])
    for name in GATEWAYS:
        connection = connections[name]
        assert connection.file(KEY).mode & 0o037 == 0
        private = connection.check_output(f"cat {KEY}").strip()
        assert len(private) == 44
        assert private not in said
        shared = connection.check_output(f"wg show {INTERFACE} preshared-keys | cut -f 2").split()
        assert len(shared) == 2
        for secret in shared:
            assert len(secret) == 44
            assert secret not in said
        places = connection.run(f"grep -rlF -e {private} /etc /var /root /home /tmp /run").stdout.split()
        # The record of what a change found and left is the host's alone, and closed.
        assert [path for path in places if not path.startswith("/var/lib/netfleet-tcp/")] == [KEY]
        assert connection.file("/var/lib/netfleet-tcp").mode == 0o700
        journal = connection.run(f"journalctl -o cat | grep -cF -e {private}")
        assert journal.stdout.strip() == "0"


def test_the_second_run_changes_nothing(up: Run, link: Link, connections: dict[str, Connection]) -> None:
    assert up.status == 0
    before = look(connections)
    again = link()
    assert (again.status, again.changed) == (0, []), again.output
    assert {name: seen.files for name, seen in look(connections).items()} == {
        name: seen.files for name, seen in before.items()
    }


def test_a_limited_run_removes_no_peer(
    up: Run, live: dict[str, Live], link: Link, connections: dict[str, Connection]
) -> None:
    assert up.status == 0
    # The one that is left out of the run cannot even be asked.
    run = link("--limit=local1", "-e", json.dumps({"wireguard_links_keys": {}}))
    assert (run.status, run.changed) == (0, []), run.output
    assert Live.on(connections["local1"]).allowed == live["local1"].allowed
    changed = link("--limit=cloud1", "-e", "wireguard_links_initcwnd=20")
    assert (changed.status, changed.changed) == (0, ["cloud1"]), changed.output
    assert Live.on(connections["cloud1"]).allowed == live["cloud1"].allowed
    assert link("--limit=cloud1").changed == ["cloud1"]


def test_drift_of_the_live_state_is_mended_in_place(
    up: Run, live: dict[str, Live], link: Link, connections: dict[str, Connection]
) -> None:
    assert up.status == 0
    east = live["cloud1"].public_key
    gateway = connections["local1"]
    gateway.check_output(
        f"wg set {INTERFACE} peer {east} allowed-ips 10.199.0.2/32 persistent-keepalive 7;"
        f" ip link set {INTERFACE} mtu 1300; ip route del 10.230.0.0/16 dev {INTERFACE};"
        f" ip address add 10.66.0.1/32 dev {INTERFACE}"
    )
    checked = link("--check", "--diff")
    assert checked.changed == ["local1"], checked.output
    assert sorted(checked.changes("local1")) == [
        "wg-wan MTU",
        "wg-wan addresses",
        "wg-wan peer cloud1 allowed IPs",
        "wg-wan peer cloud1 keepalive",
        "wg-wan route 10.230.0.0/16",
    ]
    run = link()
    assert (run.status, run.changed) == (0, ["local1"]), run.output
    assert Live.on(gateway).allowed == live["local1"].allowed
    assert Live.on(gateway).keepalive == live["local1"].keepalive
    assert ping(gateway, ADDRESSES["cloud1"], DATA)


def clamp(connection: Connection) -> str:
    """The table of nftables that clamps; empty where there is none."""
    return str(connection.run(f"nft list table inet netfleet-{INTERFACE}").stdout)


def test_segments_are_clamped_and_no_restart_of_nftables_takes_that_away(
    up: Run, connections: dict[str, Connection]
) -> None:
    assert up.status == 0
    for name in GATEWAYS:
        connection = connections[name]
        rules = clamp(connection)
        assert f"maxseg size set {MTU - 40}" in rules
        assert f"maxseg size set {MTU - 60}" in rules
        # Each of them flushes all rules.
        for verb in ("start", "reload", "restart"):
            connection.check_output(f"systemctl {verb} nftables")
            assert clamp(connection) == rules, verb
        connection.check_output("systemctl stop nftables")
        connection.check_output("systemctl start nftables")
        assert clamp(connection) == rules


def test_a_clamp_that_somebody_changed_is_mended(up: Run, link: Link, connections: dict[str, Connection]) -> None:
    assert up.status == 0
    gateway = connections["cloud1"]
    rules = clamp(gateway)
    for harm in (f"flush chain inet netfleet-{INTERFACE} forward", "flush ruleset"):
        gateway.check_output(f"nft {harm}")
        run = link()
        assert (run.status, run.changed) == (0, ["cloud1"]), run.output
        assert run.changes("cloud1") == [f"{INTERFACE} MSS clamp"]
        assert clamp(gateway) == rules


def test_keys_change_and_peers_come_and_go_and_a_connection_through_the_link_hardly_notices(
    up: Run,
    live: dict[str, Live],
    link: Link,
    fleet: Fleet,
    connections: dict[str, Connection],
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert up.status == 0
    gateway, east = connections["local1"], connections["cloud1"]
    # Where nothing answers; still a host of ours.
    endpoint = next(host.address for host in fleet.hosts if host.name == "local2")
    events = {
        "a run that changes nothing": {},
        "a peer is added": {**WITH_ALICE, "wireguard_links_peers": {"alice": {**ALICE, "endpoint": endpoint}}},
        "it is removed": {},
        "a key changes": {"wireguard_links_rotate": ["local1"]},
        "all keys change": {"wireguard_links_rotate": ["all"]},
        "preshared keys change": {"wireguard_links_generation": 1},
    }
    if CORE:
        events = {name: events[name] for name in CORE_EVENTS}
    times: dict[str, tuple[float, float]] = {}
    with stream(gateway, east, ADDRESSES["cloud1"], 7001) as seen:
        for name, variables in events.items():
            began = time.time()
            run = link("-e", json.dumps(variables))
            times[name] = began, time.time()
            assert run.status == 0, f"{name}:\n{run.output}"
            assert run.failed == [], f"{name}:\n{run.output}"
    with capfd.disabled():
        for name, (began, ended) in times.items():
            gaps = [gap for at, gap in seen.gaps if began <= at <= ended + 1]
            print(f"\n  {name}: {ended - began:.0f} s, longest silence {max(gaps or [0.0]):.2f} s", end="")
    assert (seen.sent["ended"], seen.received["ended"]) == ("closed", "closed")
    assert seen.received["bytes"] == seen.sent["bytes"] > 1_000_000
    assert seen.received["sha256"] == seen.sent["sha256"]
    # The promise is one second. An emulated machine that stands still for a moment is not what is tested: without a
    # hand-over both ends wait for WireGuard to try again, which takes it five seconds.
    assert seen.longest < 4 * PROMISE, seen.gaps
    keys = {name: Live.on(connections[name]).public_key for name in GATEWAYS}
    assert {name for name in GATEWAYS if keys[name] != live[name].public_key} == ({"local1"} if CORE else set(GATEWAYS))
    for name in GATEWAYS:
        assert set(Live.on(connections[name]).allowed) == {key for other, key in keys.items() if other != name}
        assert not connections[name].file(KEY + ".next").exists
    assert link("-e", "wireguard_links_generation=1").changed == []


def test_a_key_stays_where_not_all_of_its_peers_can_learn_the_new_one(
    up: Run, link: Link, connections: dict[str, Connection]
) -> None:
    assert up.status == 0
    before = Live.on(connections["local1"]).public_key
    run = link("--limit=local1,cloud1", "-e", "wireguard_links_rotate=local1", "-e", "wireguard_links_generation=1")
    assert run.status != 0
    assert "wg-wan peer cloud2: would not learn the new key of local1: this run does not change it" in run.output
    assert Live.on(connections["local1"]).public_key == before
    assert ping(connections["local1"], ADDRESSES["cloud1"])


def test_links_outlast_a_boot_of_either_end(
    up: Run, link: Link, connections: dict[str, Connection], tmp_path: Path
) -> None:
    assert up.status == 0
    for name in ("local1", "cloud2"):
        before = Live.on(connections[name])
        boot = connections[name].check_output(BOOT)
        run = run_playbook(tmp_path, f"--limit={name}", playbook=REBOOT)
        assert run.status == 0, run.output
        # It answers before the last of its units has started.
        connections[name].run("systemctl is-system-running --wait")
        assert connections[name].check_output(BOOT) != boot
        after = Live.on(connections[name])
        assert (after.public_key, after.allowed, after.keepalive) == (
            before.public_key,
            before.allowed,
            before.keepalive,
        )
        for other in {*GATEWAYS} - {name}:
            # Whoever boots has forgotten where one behind NAT is, which calls once it has something to say.
            wait_for(connections[other], f"ping -c 1 -W 1 {ADDRESSES[name]}", 60.0)
            assert ping(connections[name], ADDRESSES[other], DATA), f"{name} cannot reach {other}"
    assert link("-e", "wireguard_links_generation=1").changed == []


def test_absent_takes_everything_away_but_the_key(up: Run, link: Link, connections: dict[str, Connection]) -> None:
    assert up.status == 0
    run = link("-e", "wireguard_links_state=absent")
    assert (run.status, run.changed) == (0, sorted(GATEWAYS)), run.output
    for name in GATEWAYS:
        assert connections[name].run(f"ip link show {INTERFACE}").rc != 0
        assert clamp(connections[name]) == ""
        left = {path for path in look({name: connections[name]})[name].files if "wg-wan" in path}
        assert left == set()
        assert connections[name].file(KEY).exists
