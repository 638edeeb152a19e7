# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links by tune.yml, their drift, a path that drops in silence, and one interface by itself; on virtual machines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from testinfra.host import Host as Connection

from lab.paths import REPOSITORY
from tests.molecule.hosts import look
from tests.molecule.links import GATEWAYS, INTERFACE, INVENTORY, Live, ping, run_links
from tests.molecule.playbook import Check, Run, run_drift, run_playbook

TUNE = REPOSITORY / "playbooks" / "tune.yml"
ADDRESSES = {"local1": "10.199.0.1", "cloud1": "10.199.0.2", "cloud2": "10.199.0.3"}
MTU = 1440
# What of 1400 bytes is a multiple of 16 in the tunnel: 60 more outside of it.
NARROW = 1328
# Of the network between the machines alone: Ansible comes by another one.
DROP = """\
table inet narrow {
  chain input {
    type filter hook input priority 0; policy accept;
    ip saddr 10.77.0.0/16 meta length > 1400 drop
  }
}
"""


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("links-checked")


def tune(scratch: Path, *arguments: str) -> Run:
    """Without any tuning of TCP, so that the links are all there is to do."""
    absent = ("-e", "tcp_tuning_state=absent")
    return run_playbook(scratch, f"--inventory={INVENTORY}", *absent, *arguments, playbook=TUNE)


def drift(scratch: Path, *arguments: str) -> Check:
    return run_drift(scratch, f"--inventory={INVENTORY}", "--become", "--tags=tunnel", *arguments)


@pytest.fixture(scope="module")
def up(scratch: Path, connections: dict[str, Connection]) -> Iterator[Run]:
    """The links, brought up by tune.yml."""
    run = tune(scratch)
    assert run.status == 0, run.output
    for name in GATEWAYS:
        for address in ADDRESSES.values():
            assert ping(connections[name], address)
    yield run
    assert run_links(scratch, "-e", "wireguard_links_state=absent").status == 0


def test_tune_brings_links_up_and_then_leaves_them(up: Run, scratch: Path, connections: dict[str, Connection]) -> None:
    assert up.changed == sorted(GATEWAYS)
    before = look(connections)
    again = tune(scratch)
    assert (again.status, again.changed) == (0, []), again.output
    assert {name: seen.files for name, seen in look(connections).items()} == {
        name: seen.files for name, seen in before.items()
    }


def test_links_as_declared_have_not_drifted(up: Run, scratch: Path, connections: dict[str, Connection]) -> None:
    assert up.status == 0
    check = drift(scratch)
    assert check.status == 0, check.output
    assert set(check.hosts.values()) == {"in_step"}
    counted = {host["name"]: host["checked"].get("tunnel", 0) for host in check.report["hosts"]}
    assert {name: count for name, count in counted.items() if count} == dict.fromkeys(GATEWAYS, 2)
    # Nobody else is asked for keys.
    assert drift(scratch, "--limit=local1").status == 0
    assert connections["local1"].check_output(f"wg show {INTERFACE} private-key").strip() not in check.output


def test_what_was_done_to_a_link_is_named_and_mended(
    up: Run, scratch: Path, connections: dict[str, Connection]
) -> None:
    assert up.status == 0
    gateway = connections["local1"]
    east = Live.on(connections["cloud1"]).public_key
    gateway.check_output(
        f"wg set {INTERFACE} peer {east} persistent-keepalive 7; ip link set {INTERFACE} mtu 1300;"
        f" ip route del 10.230.0.0/16 dev {INTERFACE}"
    )
    check = drift(scratch)
    assert (check.status, check.hosts["local1"], check.hosts["cloud1"]) == (2, "drift", "in_step"), check.output
    mtu = check.one("local1", "wg-wan MTU", "tunnel-running")
    assert (mtu["intended"], mtu["running"], mtu["boot"]) == (str(MTU), "1300", str(MTU))
    assert check.one("local1", "wg-wan peer cloud1 keepalive", "tunnel-running")["running"] == "7 s"
    assert check.one("local1", "wg-wan route 10.230.0.0/16", "tunnel-running")
    assert len(check.findings("local1")) == 3
    assert run_links(scratch).status == 0
    assert drift(scratch).status == 0


def test_what_the_next_boot_would_bring_is_named(up: Run, scratch: Path, connections: dict[str, Connection]) -> None:
    assert up.status == 0
    gateway = connections["cloud2"]
    files = "/etc/wireguard/wg-wan.conf /etc/systemd/network/50-wg-wan.netdev"
    gateway.check_output(f"for f in {files}; do test ! -e $f || sed -i 's/51820$/51999/' $f; done")
    check = drift(scratch)
    found = check.one("cloud2", "wg-wan port", "tunnel-boot")
    assert (found["intended"], found["running"], found["boot"]) == ("51820", "51820", "51999")
    assert run_links(scratch).changed == ["cloud2"]
    assert drift(scratch).status == 0


def test_a_dead_peer_is_named(up: Run, scratch: Path, connections: dict[str, Connection]) -> None:
    assert up.status == 0
    east, gateway = connections["cloud1"], connections["local1"]
    key = Live.on(east).public_key
    east.check_output(f"ip link set {INTERFACE} down")
    try:
        # Made anew by links, it has no session with the one that is down.
        gateway.check_output(f"wg set {INTERFACE} peer {key} remove")
        run_links(scratch, "--limit=local1", "-e", json.dumps({"wireguard_links_keys": {"cloud1": key}}))
        check = drift(scratch, "--limit=local1")
        assert check.one("local1", "wg-wan peer cloud1", "tunnel-silent")["severity"] == "error"
    finally:
        run_links(scratch)
    assert ping(gateway, ADDRESSES["cloud1"])
    assert drift(scratch).status == 0


def test_a_path_that_drops_in_silence_narrows_the_tunnels(
    up: Run, scratch: Path, connections: dict[str, Connection]
) -> None:
    assert up.status == 0
    east = connections["cloud1"]
    if not east.exists("nft"):
        pytest.skip("nothing on cloud1 can drop packets")
    probe = ("-e", json.dumps({"wireguard_links_probe_mtu": True}))
    assert run_links(scratch, *probe).changed == []
    east.check_output(f"printf '%s' '{DROP}' | nft -f -")
    try:
        assert not ping(connections["local1"], ADDRESSES["cloud1"], MTU - 28)
        run = run_links(scratch, *probe)
        assert run.status == 0, run.output
        assert "local1" in run.changed
        (change,) = [entry for entry in run.results["local1"]["changes"] if entry["key"] == "wg-wan MTU"]
        assert (change["want"], "cloud1" in change["reason"]) == (str(NARROW), True)
        assert run_links(scratch, *probe).changed == []
        assert ping(connections["local1"], ADDRESSES["cloud1"], NARROW - 28)
        assert drift(scratch, *probe).status == 0
    finally:
        east.check_output("nft delete table inet narrow")
    assert "local1" in run_links(scratch, *probe).changed
    assert ping(connections["local1"], ADDRESSES["cloud1"], MTU - 28)


PLAY = """\
- hosts: local2
  gather_facts: false
  become: true
  tasks:
    - netfleet.tcp.wireguard_interface:
        name: wg-own
        state: "{{ state }}"
        listen_port: 51900
        addresses: [10.198.0.1/24]
        peers:
          - public_key: xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=
            allowed_ips: [10.198.0.2/32, 10.240.0.0/16]
            preshared_key: 3Cj9oG3kZ2Fz2p3M8nG7mJ0l8cXn0m1cQm7e5b9n0aU=
        routes:
          - {prefix: 10.240.0.0/16, congestion_control: bbr}
      register: own
    - ansible.builtin.debug:
        msg: "changed={{ own.changed }}"
"""


def test_one_interface_by_itself(scratch: Path, connections: dict[str, Connection]) -> None:
    playbook = scratch / "own.yml"
    playbook.write_text(PLAY, encoding="utf-8")
    host = connections["local2"]

    def run(state: str, changed: bool) -> None:
        done = run_playbook(scratch, "-e", f"state={state}", playbook=playbook)
        assert done.status == 0, done.output
        assert f"changed={changed}" in done.output

    run("present", True)
    (route,) = json.loads(host.check_output("ip -j route show 10.240.0.0/16"))
    assert (route["dev"], route["metrics"]) == ("wg-own", [{"congestion": "bbr"}])
    run("present", False)
    host.check_output("wg set wg-own listen-port 1")
    run("present", True)
    run("absent", True)
    assert host.run("ip link show wg-own").rc != 0
    assert host.run("ls /etc/wireguard /etc/systemd/network | grep wg-own").rc != 0
    run("absent", False)
