# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links by systemd-networkd, a change that cuts its own way off, no key left on the controller; on virtual machines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from testinfra.host import Host as Connection

from lab.fleet import Fleet
from lab.paths import REPOSITORY, Settings
from tests.molecule.hosts import look, wait_for
from tests.molecule.links import GATEWAYS, INTERFACE, INVENTORY, KEY, LINKS, Live, ping, run_links
from tests.molecule.playbook import Run, run_playbook, start_playbook

ADDRESSES = {"local1": "10.199.0.1", "cloud1": "10.199.0.2", "cloud2": "10.199.0.3"}
REBOOT = REPOSITORY / "molecule" / "shared" / "reboot.yml"
THROUGHPUT = REPOSITORY / "playbooks" / "links_throughput.yml"
NETDEV, WG_QUICK = "/etc/systemd/network/50-wg-wan.netdev", "/etc/wireguard/wg-wan.conf"
# Enabled, it would bring along what waits at each boot for interfaces that nobody here manages.
START = "systemctl enable --now systemd-networkd; systemctl disable systemd-networkd-wait-online"
STOP = "systemctl disable --now systemd-networkd.socket systemd-networkd"
# The same links with other addresses: whoever comes by the old one is cut off.
ELSEWHERE = {
    "wireguard_links_topologies": [
        {
            "name": "wan",
            "kind": "mesh",
            "members": ["onprem", "cloud_east", "cloud_west"],
            "networks": ["10.197.0.0/24", "fd00:197::/64"],
            "numbers": {"local1": 1, "cloud1": 2, "cloud2": 3},
        }
    ],
    "wireguard_links_confirm": 30,
}
# What of a host's links is a fact, cached: as much as can be asked for.
FACTS = """\
- hosts: cloud1
  gather_facts: false
  become: true
  tasks:
    - netfleet.tcp.tcp_facts:
        tunnels: true
        interfaces: false
        files: [{key}, {conf}, {netdev}]
"""


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("links-further")


@pytest.fixture(scope="module")
def networkd(connections: dict[str, Connection]) -> Iterator[bool]:
    """systemd-networkd runs on cloud2, and manages nothing there."""
    west = connections["cloud2"]
    if west.run("systemctl cat systemd-networkd").rc != 0:
        pytest.skip("cloud2 has no systemd-networkd")
    west.check_output(START)
    yield True
    west.run(STOP)


@pytest.fixture(scope="module")
def up(networkd: bool, scratch: Path) -> Iterator[Run]:
    """The links, of which those of cloud2 are systemd-networkd's."""
    assert networkd
    run = run_links(scratch)
    assert run.status == 0, run.output
    yield run
    assert run_links(scratch, "-e", "wireguard_links_state=absent").status == 0


def prefixes(live: Live) -> dict[str, set[str]]:
    """What is sent to each peer."""
    return {key: set(text.split()) for key, text in live.allowed.items()}


def reached(connections: dict[str, Connection], name: str) -> None:
    """Everybody gets through to a host, which may have forgotten where one behind NAT is."""
    for other in {*GATEWAYS} - {name}:
        wait_for(connections[other], f"ping -c 1 -W 1 {ADDRESSES[name]}", 60.0)
        assert ping(connections[name], ADDRESSES[other]), f"{name} cannot reach {other}"


def test_where_networkd_runs_the_links_are_its(up: Run, connections: dict[str, Connection]) -> None:
    assert up.status == 0
    assert connections["cloud2"].file(NETDEV).exists
    assert not connections["cloud2"].file(WG_QUICK).exists
    assert connections["cloud1"].file(WG_QUICK).exists
    reached(connections, "cloud2")


def test_networkds_second_run_changes_nothing(up: Run, scratch: Path, connections: dict[str, Connection]) -> None:
    assert up.status == 0
    before = look(connections)
    run = run_links(scratch)
    assert (run.status, run.changed) == (0, []), run.output
    assert {name: seen.files for name, seen in look(connections).items()} == {
        name: seen.files for name, seen in before.items()
    }


def test_networkd_brings_them_up_at_boot(up: Run, scratch: Path, connections: dict[str, Connection]) -> None:
    assert up.status == 0
    before = Live.on(connections["cloud2"])
    assert run_playbook(scratch, "--limit=cloud2", playbook=REBOOT).status == 0
    after = Live.on(connections["cloud2"])
    assert (after.public_key, after.keepalive) == (before.public_key, before.keepalive)
    # The kernel gives prefixes in the order in which they came to it.
    assert prefixes(after) == prefixes(before)
    reached(connections, "cloud2")
    assert run_links(scratch).changed == []


def test_networkd_may_read_the_next_key_too(up: Run, scratch: Path, connections: dict[str, Connection]) -> None:
    assert up.status == 0
    west = connections["cloud2"]
    before = Live.on(west).public_key
    run = run_links(scratch, "-e", "wireguard_links_rotate=cloud2")
    assert run.status == 0, run.output
    now = Live.on(west).public_key
    assert now != before
    key = west.file(KEY)
    assert (key.user, key.group, key.mode) == ("root", "systemd-network", 0o640)
    # It makes the interface anew by its own files.
    west.check_output(f"ip link del {INTERFACE}; systemctl restart systemd-networkd")
    wait_for(west, f"wg show {INTERFACE} public-key | grep -qxF {now}", 60.0)
    reached(connections, "cloud2")
    assert run_links(scratch).changed == []


def test_a_host_that_is_reached_by_a_link_alone_takes_back_what_breaks_it(
    up: Run, scratch: Path, fleet: Fleet, settings: Settings, connections: dict[str, Connection]
) -> None:
    assert up.status == 0
    east = connections["cloud1"]
    before = Live.on(east)
    port = next(host.port for host in fleet.hosts if host.name == "local1")
    quiet = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
    by_local1 = f"ssh {quiet} -i {settings.key} -p {port} -W %h:%p root@127.0.0.1"
    ways = scratch / "ways.yml"
    own = {
        "ansible_host": ADDRESSES["cloud1"],
        "ansible_port": 22,
        "ansible_ssh_common_args": f'{quiet} -o ProxyCommand="{by_local1}"',
    }
    ways.write_text(json.dumps({"all": {"hosts": {"cloud1": own}}}), encoding="utf-8")
    through = (f"--inventory={ways}", "--limit=cloud1")
    still = run_links(scratch, *through)
    assert (still.status, still.changed) == (0, []), still.output
    broken = run_links(scratch, *through, "-e", json.dumps(ELSEWHERE))
    assert (broken.status != 0, broken.failed) == (True, ["cloud1"]), broken.output
    wait_for(connections["local1"], f"ping -c 1 -W 1 {ADDRESSES['cloud1']}", 120.0)
    wait_for(east, "! systemctl list-timers --all | grep -q netfleet", 60.0)
    after = Live.on(east)
    assert (after.public_key, prefixes(after)) == (before.public_key, prefixes(before))
    again = run_links(scratch, *through)
    assert (again.status, again.changed) == (0, []), again.output


def test_what_a_link_carries_is_measured_on_request(up: Run, scratch: Path, connections: dict[str, Connection]) -> None:
    assert up.status == 0
    for sender, receiver in (("local1", "cloud1"), ("cloud1", "local1")):
        told = f"sender={sender} receiver={receiver} seconds=3 rate=5"
        run = run_playbook(scratch, f"--inventory={INVENTORY}", "-e", told, playbook=THROUGHPUT)
        assert run.status == 0, run.output
        assert f"{sender} to {receiver}, {INTERFACE}, 3 s each, held to 5 Mbit/s:" in run.output
        (ratio,) = [line.split()[1] for line in run.output.splitlines() if line.strip().startswith("ratio ")]
        # Both are held to the same.
        assert 0.8 < float(ratio) < 1.25, run.output
    assert connections["cloud1"].run("pgrep -x iperf3").rc != 0


def test_no_private_key_is_left_on_the_controller(
    up: Run, scratch: Path, connections: dict[str, Connection], tmp_path: Path
) -> None:
    assert up.status == 0
    cache, temporary, home = (tmp_path / name for name in ("cache", "tmp", "home"))
    for directory in (cache, temporary, home):
        directory.mkdir()
    more = {
        "ANSIBLE_CACHE_PLUGIN": "jsonfile",
        "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(cache),
        "ANSIBLE_LOCAL_TEMP": str(temporary / "ansible"),
        "ANSIBLE_HOME": str(home),
        "TMPDIR": str(temporary),
    }
    inventory = f"--inventory={INVENTORY}"
    rotate = ("-e", "wireguard_links_rotate=all", "-vvv", "--diff")
    run = start_playbook(scratch, inventory, *rotate, playbook=LINKS, more=more).finish()
    assert run.status == 0, run.output
    playbook = tmp_path / "facts.yml"
    playbook.write_text(FACTS.format(key=KEY, conf=WG_QUICK, netdev=NETDEV), encoding="utf-8")
    asked = start_playbook(scratch, inventory, "-vvv", playbook=playbook, more=more)
    text, _nothing = asked.process.communicate()
    assert asked.process.returncode == 0, text
    # It is where facts are kept, and has those of the links.
    kept = list(cache.rglob("*cloud1*"))
    assert kept
    assert INTERFACE in "".join(path.read_text(encoding="utf-8") for path in kept)
    secrets = [connections[name].check_output(f"cat {KEY}").strip() for name in GATEWAYS]
    for name in GATEWAYS:
        secrets += connections[name].check_output(f"wg show {INTERFACE} preshared-keys | cut -f 2").split()
    assert {len(secret) for secret in secrets} == {44}
    left = [path for directory in (cache, temporary, home, scratch) for path in directory.rglob("*") if path.is_file()]
    for secret in secrets:
        assert secret not in run.output
        assert secret not in text
        assert [str(path) for path in left if secret.encode() in path.read_bytes()] == []
