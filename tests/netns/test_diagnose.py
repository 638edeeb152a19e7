# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/diagnose.yml between hosts in namespaces: known faults, each of which has to be named, and a good pair."""

from __future__ import annotations

import base64
import json
import re
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.netns.diagnosis import AGENT, PORT, SECRET, another_way_back, diagnose, narrow, serve, traffic
from tests.netns.namespaces import LEFT, RIGHT, Net
from tests.waiting import until


def test_a_pair_that_is_well_gives_no_finding(hosts: Net) -> None:
    serve(hosts)
    traffic(hosts, "fetch", 300_000)
    traffic(hosts, "send", 20_000)
    # What both have captured is compared, and one may begin seconds after the other.
    done = diagnose(hosts, "-vvv", tcp_diagnose_hops=True, tcp_diagnose_seconds=12)
    assert (done.status, done.notes) == (0, []), done.output
    assert re.findall(r"Using module file \S*/(\w+)\.py", done.output) == ["tcp_diagnose", "tcp_diagnose"]
    (talk,) = [each for each in json.loads(done.files["diagnosis.json"])["talks"] if each["client_name"] == "left"]
    assert (talk["server_name"], talk["port"], talk["captured_on"]) == ("right", PORT, ["left", "right"])
    assert talk["answers"]["data"] > 1_000_000
    assert talk["answers"]["bytes_sent"] == talk["answers"]["bytes_arrived"] > 1_000_000
    way = json.loads(done.files["left/view.json"])["ways"][0]
    assert (way["interface"], way["source"], way["route"]["gateway"]) == ("eth0", LEFT, "198.18.1.254")
    assert (way["route_mtu"], way["path_mtu"], way["connects"]) == (1500, 1500, {"": 3})
    assert [hop["address"] for hop in way["hops"]] == ["198.18.1.254", RIGHT]
    # All of it is for its owner alone, and without payload.
    assert [stat.S_IMODE(path.stat().st_mode) for path in (done.archive.parent, done.archive)] == [0o700, 0o600]
    assert not [name for name, data in done.files.items() if SECRET in data]
    assert SECRET not in done.capture("left") + done.capture("right")
    assert "Archive: " + str(done.archive) in done.output


def test_payload_is_captured_where_it_is_asked_for(hosts: Net) -> None:
    serve(hosts)
    traffic(hosts, "send", 2_000)
    done = diagnose(hosts, tcp_diagnose_payload=64, tcp_diagnose_seconds=2)
    assert SECRET in done.capture("left")


SSH = """#!/bin/sh
# ssh that goes nowhere: the command that it is to run runs here.
for command; do :; done
exec sh -c "$command"
"""


def test_a_capture_is_on_no_screen_and_in_no_log(hosts: Net, tmp_path: Path) -> None:
    """Ansible's plugin for ssh shows with -vvv all that a command prints, if nobody keeps it from that."""
    program = tmp_path / "ssh"
    program.write_text(SSH, encoding="utf-8")
    program.chmod(0o755)
    over_ssh = {"ansible_connection": "ssh", "ansible_ssh_executable": str(program), "ansible_pipelining": True}
    serve(hosts)
    done = diagnose(hosts, "-vvv", connection=over_ssh, tcp_diagnose_seconds=2, tcp_diagnose_peer=RIGHT)
    assert done.capture("left")
    assert f"EXEC {program}" in done.output
    # What gzip begins with, in base64.
    begins = base64.b64encode(b"\x1f\x8b\x08").decode()
    assert begins not in done.output
    assert "stdout and stderr censored due to no log" in done.output


def test_why_ssh_does_not_reach_a_host_is_told(hosts: Net, tmp_path: Path) -> None:
    program = tmp_path / "ssh"
    program.write_text("#!/bin/sh\necho no route to that host >&2\nexit 255\n", encoding="utf-8")
    program.chmod(0o755)
    over_ssh = {"ansible_connection": "ssh", "ansible_ssh_executable": str(program), "ansible_pipelining": True}
    done = diagnose(hosts, connection=over_ssh, tcp_diagnose_seconds=2, tcp_diagnose_peer=RIGHT)
    assert done.status == 4
    assert "no route to that host" in " ".join(done.notes)


@pytest.mark.parametrize("side", ["left", "right"])
def test_window_scaling_that_is_off_at_one_end(hosts: Net, side: str) -> None:
    hosts.machine(side).sysctl(tcp_window_scaling=0)
    serve(hosts)
    done = diagnose(hosts, tcp_diagnose_seconds=3)
    assert done.status == 2, done.output
    assert list(done.found) == ["diagnose-window-scale"]
    finding = done.found["diagnose-window-scale"]
    assert (finding["host"], finding["key"]) == (side, f"left->right:{PORT}")
    assert f"3 of 3 connections have no window scale: {side} does not offer it" in finding["reason"]
    assert "set net.ipv4.tcp_window_scaling to 1" in finding["cure"]


def test_an_application_that_does_not_read(hosts: Net) -> None:
    serve(hosts, "deaf")
    traffic(hosts, "send", 50_000_000)
    done = diagnose(hosts)
    assert list(done.found) == ["diagnose-zero-window"], done.output
    finding = done.found["diagnose-zero-window"]
    assert finding["host"] == "right"
    assert re.search(r"right announced a window of zero to left on 1 connections", finding["reason"])
    assert re.search(r"python3? has left \d{5,} bytes unread there", finding["reason"])


@pytest.mark.parametrize(("what", "sender", "receiver"), [("send", "left", "right"), ("fetch", "right", "left")])
def test_loss_and_its_direction(hosts: Net, what: str, sender: str, receiver: str) -> None:
    serve(hosts)
    address = hosts.machine(sender).address
    hosts.middle.nft("forward", f"ip saddr {address} tcp flags ack ip length > 500 numgen random mod 100 < 5 drop")
    traffic(hosts, what, 500_000, 0.01)
    done = diagnose(hosts, tcp_diagnose_seconds=12)
    assert list(done.found) == ["diagnose-retransmission"], done.output
    finding = done.found["diagnose-retransmission"]
    assert finding["host"] == sender
    lost = re.search(rf"\(([\d.]+) %\) are lost on the way from {sender} to {receiver}", finding["reason"])
    assert lost, finding["reason"]
    # Five of a hundred packets, which is what the rule drops.
    assert 2.5 < float(lost.group(1)) < 9


@pytest.mark.parametrize("what", ["fetch", "send"])
def test_a_narrow_link_that_nobody_tells_of(hosts: Net, what: str) -> None:
    serve(hosts)
    narrow(hosts, what)
    hosts.middle.nft("output", "icmp type destination-unreachable drop")
    traffic(hosts, what, 100_000)
    done = diagnose(hosts, tcp_diagnose_seconds=6)
    assert list(done.found) == ["diagnose-mtu"], done.output
    finding = done.found["diagnose-mtu"]
    sender = "left" if what == "send" else "right"
    assert (finding["host"], finding["severity"]) == (sender, "error")
    # Within a few seconds there may be none of the segments: they are repeated ever more seldom.
    assert re.search(
        rf"{sender} has sent segments of \d+ bytes to \w+ in vain|connections there repeat in vain", finding["reason"]
    )
    assert "no ICMP message says so" in finding["reason"]
    assert finding["intended"] == "1500 bytes"
    assert 1280 < int(finding["running"].split()[0]) <= 1300


def test_a_narrow_link_of_which_the_router_tells_is_no_fault(hosts: Net) -> None:
    serve(hosts)
    narrow(hosts, "send")
    traffic(hosts, "send", 100_000)
    done = diagnose(hosts)
    assert (done.status, done.found) == (0, {}), done.output


DROPS = {
    "there": ("middle", "forward", "tcp dport {port} drop", "SYNs leave left and do not arrive at right"),
    "back": ("middle", "forward", "tcp sport {port} drop", "right answers, and its SYN-ACKs do not arrive at left"),
    "server": ("right", "input", "tcp dport {port} drop", "arrive at right, and it does not answer"),
    "client": ("left", "input", "tcp sport {port} drop", "the SYN-ACKs arrive at left, which does not take them"),
}


@pytest.mark.parametrize("where", DROPS)
def test_syns_that_are_dropped_and_where(hosts: Net, where: str) -> None:
    serve(hosts)
    machine, hook, rule, words = DROPS[where]
    {"middle": hosts.middle, "left": hosts.left, "right": hosts.right}[machine].nft(hook, rule.format(port=PORT))
    # Time enough for the second of two that nobody answers to send its SYN twice, and little for a third.
    done = diagnose(hosts, tcp_diagnose_seconds=9)
    assert list(done.found) == ["diagnose-no-answer"], done.output
    assert words in done.found["diagnose-no-answer"]["reason"]
    assert re.search(r"^2 of [23] conn", done.found["diagnose-no-answer"]["reason"])


def test_a_port_on_which_nobody_listens(hosts: Net) -> None:
    done = diagnose(hosts, tcp_diagnose_seconds=2)
    assert list(done.found) == ["diagnose-refused"], done.output
    assert "by a reset of right: nothing listens there" in done.found["diagnose-refused"]["reason"]


def test_a_firewall_on_the_way_that_rejects(hosts: Net) -> None:
    serve(hosts)
    hosts.middle.nft("forward", f"tcp dport {PORT} reject with tcp reset")
    # By when the last one is tried the other end has to capture for a second, and it may begin late.
    done = diagnose(hosts, tcp_diagnose_seconds=20)
    assert list(done.found) == ["diagnose-refused"], done.output
    assert "by a reset that right has not sent" in done.found["diagnose-refused"]["reason"]


def test_a_firewall_that_rejects_by_icmp(hosts: Net) -> None:
    serve(hosts)
    hosts.middle.nft("forward", f"tcp dport {PORT} reject with icmp type admin-prohibited")
    done = diagnose(hosts, tcp_diagnose_seconds=4)
    assert "diagnose-refused" in done.found, done.output
    assert "by ICMP of 198.18.1.254" in done.found["diagnose-refused"]["reason"]


def test_a_way_back_that_is_another_one(hosts: Net) -> None:
    with another_way_back(hosts):
        serve(hosts)
        traffic(hosts, "fetch", 50_000)
        done = diagnose(hosts)
    assert list(done.found) == ["diagnose-asymmetric"], done.output
    reason = done.found["diagnose-asymmetric"]["reason"]
    assert "left sees on eth0 only what it sends: answers come in elsewhere" in reason
    assert "left sends by eth0 to 198.18.1.254, right sends by eth1 to 198.18.4.254" in reason


def test_a_queue_that_is_full(hosts: Net) -> None:
    serve(hosts, "queue")
    for _each in range(4):
        traffic(hosts, "send", 10, 60)
    done = diagnose(hosts)
    assert set(done.found) >= {"diagnose-backlog", "diagnose-no-answer"}, done.output
    assert re.search(r"wait until python3? accepts them, of at most 1;", done.found["diagnose-backlog"]["reason"])
    assert (done.found["diagnose-backlog"]["host"], done.found["diagnose-backlog"]["key"]) == ("right", str(PORT))
    assert "the queue of the service is full" in done.found["diagnose-no-answer"]["reason"]


def test_a_qdisc_that_drops(hosts: Net) -> None:
    serve(hosts)
    hosts.left.run("tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "2mbit", "burst", "4kb", "limit", "6kb")
    traffic(hosts, "send", 1_000_000)
    done = diagnose(hosts)
    assert "diagnose-interface" in done.found, done.output
    assert re.search(
        r"the qdisc tbf of eth0 has dropped \d+ of \d+ packets", done.found["diagnose-interface"]["reason"]
    )


def test_by_ipv6_it_is_the_same(hosts: Net) -> None:
    addresses = {"left": "fd00:1::1", "right": "fd00:2::1"}
    for name, number in (("left", 1), ("right", 2)):
        machine = hosts.machine(name)
        machine.ip("address", "add", f"{addresses[name]}/64", "dev", "eth0", "nodad")
        hosts.middle.ip("address", "add", f"fd00:{number}::254/64", "dev", name, "nodad")
        machine.ip("route", "add", "default", "via", f"fd00:{number}::254")
    hosts.middle.run("sysctl", "-q", "-w", "net.ipv6.conf.all.forwarding=1")
    hosts.right.sysctl(tcp_window_scaling=0)
    hosts.right.start(
        AGENT.replace('create_server((""', 'create_server(("::"').replace("backlog", SIX), "serve", str(PORT)
    )
    done = diagnose(hosts, addresses=addresses)
    assert list(done.found) == ["diagnose-window-scale"], done.output
    (way,) = json.loads(done.files["left/view.json"])["ways"]
    assert (way["peer"], way["connects"], way["path_mtu"]) == ("fd00:2::1", {"": 3}, 1500)
    assert "(host fd00:2::1)" in json.loads(done.files["left/view.json"])["capture"]["filter"]


SIX = "family=socket.AF_INET6, backlog"


def test_one_end_alone_says_what_it_can(hosts: Net) -> None:
    serve(hosts)
    hosts.middle.nft("forward", f"tcp dport {PORT} drop")
    done = diagnose(hosts, tcp_diagnose_peer=RIGHT)
    assert list(done.found) == ["diagnose-no-answer"]
    assert "cannot be told from one end" in done.found["diagnose-no-answer"]["reason"]
    assert [host["name"] for host in done.report["hosts"]] == ["left"]


def test_a_service_and_all_its_clients(hosts: Net) -> None:
    serve(hosts)
    hosts.left.sysctl(tcp_window_scaling=0)
    traffic(hosts, "send", 100, 0.1)
    for _each in range(10):
        traffic(hosts, "send", 100, 0.1)
    done = diagnose(hosts, tcp_diagnose_host="right", tcp_diagnose_peer="")
    # These stand already: no SYN of them is seen, and the kernel knows it all the same.
    assert list(done.found) == ["diagnose-window-scale"], done.output
    assert "by the kernel's word" in done.found["diagnose-window-scale"]["reason"]


def test_a_host_without_tcpdump_says_so_and_what_it_knows_all_the_same(hosts: Net, tmp_path: Path) -> None:
    hosts.middle.nft("forward", f"tcp dport {PORT} drop")
    # In the namespace of mounts that ip netns exec gives to each.
    script = tmp_path / "without"
    folders = [tmp_path / name for name in ("upper", "work")]
    for folder in folders:
        folder.mkdir()
    mount = f"mount -t overlay overlay -o lowerdir=/usr/bin,upperdir={folders[0]},workdir={folders[1]} /usr/bin"
    hide = "rm -f /usr/bin/tcpdump /usr/bin/mtr"
    script.write_text(f'#!/bin/sh\n{mount} && {hide}\nexec "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    done = diagnose(hosts, wrapper=str(script), tcp_diagnose_peer=RIGHT)
    assert done.status == 2, done.output
    assert "left capture: tcpdump is not installed here (package tcpdump)" in done.notes
    reason = done.found["diagnose-no-answer"]["reason"]
    assert "3 of 3 connections that were tried failed, most without an answer in time" in reason
    assert not [name for name in done.files if name.endswith("pcap.gz")]


def test_without_root_it_is_a_part_of_it(hosts: Net) -> None:
    serve(hosts)
    done = diagnose(hosts, wrapper="setpriv --reuid=65534 --regid=65534 --clear-groups", tcp_diagnose_seconds=2)
    assert done.status == 2, done.output
    notes = " ".join(done.notes)
    assert "capture: this user may not capture: only root may (become)" in notes
    assert "mtu: only root may send the echoes" in notes
    assert json.loads(done.files["left/view.json"])["ways"][0]["connects"] == {"": 3}


@pytest.mark.parametrize(
    ("variables", "status", "words"),
    [
        ({"tcp_diagnose_host": ""}, 2, "tcp_diagnose_host"),
        ({"tcp_diagnose_host": "nobody"}, 2, "tcp_diagnose_host: nobody: name a host of the inventory"),
        ({"tcp_diagnose_peer": "cloud"}, 2, "tcp_diagnose_peer: cloud is a group: name one host"),
        # Of the inventory it chooses no host.
        (
            {"tcp_diagnose_host": None, "connection": {"tcp_diagnose_host": "left"}},
            2,
            "tcp_diagnose_host: left was not visited: give it by -e",
        ),
        (
            {"tcp_diagnose_peer": "", "tcp_diagnose_port": 0},
            4,
            "tcp_diagnose_filter: nothing says which packets are wanted",
        ),
        ({"tcp_diagnose_archive": "/dev/null/archive"}, 4, "tcp_diagnose_archive: /dev/null/archive: Not a directory"),
        ({"tcp_diagnose_filter": "port 1) or (tcp"}, 4, "its parentheses do not match"),
        ({"tcp_diagnose_seconds": 3000}, 4, "tcp_diagnose_seconds: 3000 is out of range"),
        ({"tcp_diagnose_interface": "eth0; reboot"}, 4, "tcp_diagnose_interface: 'eth0; reboot' is no name of one"),
    ],
)
def test_bad_input_is_refused(hosts: Net, variables: dict[str, Any], status: int, words: str) -> None:
    done = diagnose(hosts, "-vvv", **variables)
    assert done.status == status, done.output
    assert words in " ".join(done.output.split())
    assert "Using module file" not in done.output


@pytest.mark.parametrize("peer", ["127.0.0.1", "localhost", "::1"])
def test_an_address_of_loopback_does_not_have_the_controller_asked(hosts: Net, peer: str) -> None:
    done = diagnose(hosts, tcp_diagnose_peer=peer, tcp_diagnose_seconds=1)
    assert [host["name"] for host in done.report["hosts"]] == ["left"]
    assert list(done.found) == ["diagnose-refused"], done.output


def test_what_tcpdump_says_of_a_filter_is_told(hosts: Net) -> None:
    done = diagnose(hosts, tcp_diagnose_filter="prot 80", tcp_diagnose_seconds=1)
    assert done.status == 2
    assert "capture: tcpdump: " in " ".join(done.notes)


HOLD = """
import os, sys, time
sys.path.insert(0, ".cache/collections")
from ansible_collections.netfleet.tcp.plugins.module_utils._capture import TcpdumpCapture
capture = TcpdumpCapture("lo", "tcp port 9", 60, 1000, 0)
print(capture.begin() or "begun", os.getpid(), flush=True)
time.sleep(60)
"""


def test_a_capture_ends_with_whoever_began_it(hosts: Net) -> None:
    process = hosts.left.start(HOLD)

    def capturing() -> list[str]:
        # Of this namespace alone.
        pids = hosts.left.run("ip", "netns", "pids", hosts.left.name).split()
        names = [(Path("/proc") / pid / "comm") for pid in pids]
        return [name.read_text().strip() for name in names if name.exists() and "tcpdump" in name.read_text()]

    assert capturing() == ["tcpdump"]
    process.kill()
    until(lambda: capturing() == [], 5, "tcpdump has ended")


def test_a_capture_that_is_full_ends_before_its_time(hosts: Net) -> None:
    serve(hosts)
    for _each in range(3):
        traffic(hosts, "fetch", 3_000_000, 0.0)
    done = diagnose(hosts, tcp_diagnose_megabytes=1, tcp_diagnose_seconds=8)
    assert "left capture: it was full before its time" in " ".join(done.notes)
    assert 900_000 < len(done.capture("left")) <= 1_000_000
