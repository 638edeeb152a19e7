# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/probe.yml between hosts in namespaces: one that is well, and each way in which a connection can fail."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.netns.namespaces import RIGHT, Net

PORT = 5300
SERVE = """
import socket, sys
server = socket.create_server(("", int(sys.argv[1])), backlog=int(sys.argv[2]))
print("ready")
while True:
    if len(sys.argv) > 3:
        import time
        time.sleep(60)
    server.accept()[0].close()
"""


def serve(hosts: Net, *words: str) -> None:
    for machine in (hosts.left, hosts.right):
        machine.start(SERVE, str(PORT), *(words or ("64",)))


def probe(hosts: Net, *options: str, **variables: Any) -> tuple[int, str, dict[str, Any]]:
    """Exit status, output and report of a probe from left, which calls right, and from right, which calls left."""
    given = {
        "tcp_probe_ports": [PORT],
        "tcp_probe_timeout": 2.5,
        "tcp_probe_attempts": 5,
        "tcp_probe_directory": str(hosts.folder),
        "tcp_health_peers": {"cloud": ["198.18.0.0/15"]},
        **variables,
    }
    names = {"left": hosts.host("left"), "right": hosts.host("right")}
    done = hosts.playbook("probe", names, *options, **given)
    report = json.loads((hosts.folder / "probe.json").read_text(encoding="utf-8"))
    return done.returncode, done.stdout + done.stderr, report


def found(report: dict[str, Any], host: str = "left") -> dict[str, dict[str, Any]]:
    """The findings on a host that count, by rule."""
    return {each["rule"]: each for each in report["findings"] if each["host"] == host and each["severity"] != "note"}


def test_hosts_that_are_well_give_no_finding(hosts: Net) -> None:
    serve(hosts)
    status, output, report = probe(hosts, "-vvv", tcp_probe_attempts=20)
    assert status == 0, output
    assert re.findall(r"Using module file \S*/(\w+)\.py", output) == ["tcp_probe", "tcp_probe"]
    assert report["findings"] == []
    (success,) = [each for each in report["groups"] if each["key"] == "client_success"]
    # Twenty from each; too few to promise 99.9 %.
    assert (success["group"], success["size"], success["value"], success["verdict"]) == (
        "cloud",
        40,
        100.0,
        "not enough traffic",
    )
    (rtt,) = [each for each in report["groups"] if each["subject"] == "rtt"]
    assert (rtt["size"], rtt["verdict"]) == (40, "met")
    assert 0 < rtt["value"] < 5


def test_syns_that_a_firewall_drops_are_without_an_answer(hosts: Net) -> None:
    serve(hosts)
    hosts.right.nft("input", f"tcp dport {PORT} drop")
    status, output, report = probe(hosts)
    assert status == 2, output
    (finding,) = found(report).values()
    assert (finding["rule"], finding["key"]) == ("probe-connect", f"right:{PORT}")
    assert "5 of 5 connections to 198.18.2.1 failed: 5 without an answer in time" in finding["reason"]
    assert "a firewall drops SYNs" in finding["reason"]
    assert found(report, "right") == {}, "the way back is open"


def test_where_nobody_listens_connections_are_refused(hosts: Net) -> None:
    status, _output, report = probe(hosts)
    assert status == 2
    (finding,) = found(report).values()
    assert "5 refused; likely because nothing listens" in finding["reason"]


def test_without_a_route_it_is_said_so(hosts: Net) -> None:
    serve(hosts)
    hosts.middle.ip("route", "add", "unreachable", f"{RIGHT}/32")
    _status, _output, report = probe(hosts)
    (finding,) = found(report).values()
    # Of those that it drops the router tells of one a second.
    assert re.search(r"\d with no way there.*; likely because there is no route", finding["reason"])


def test_a_full_queue_has_syns_sent_again(hosts: Net) -> None:
    hosts.right.start(SERVE, str(PORT), "1", "never")
    hosts.left.start(SERVE, str(PORT), "64")
    _status, _output, report = probe(hosts, tcp_probe_attempts=8, tcp_probe_timeout=0.5)
    finding = found(report)["probe-connect"]
    # A queue of one takes two.
    assert "6 of 8 connections to 198.18.2.1 failed" in finding["reason"]
    assert "the listener's queue is full at times" in finding["reason"]


def test_lost_syns_are_not_failures_and_yet_are_found(hosts: Net) -> None:
    serve(hosts)
    hosts.middle.nft("forward", f"tcp dport {PORT} tcp flags syn numgen inc mod 2 0 drop")
    # On a busy machine one may be lost twice.
    status, output, report = probe(hosts, tcp_probe_attempts=8, tcp_probe_timeout=10)
    assert status == 2, output
    assert "probe-syn-retransmission" in found(report), output
    finding = found(report)["probe-syn-retransmission"]
    assert finding["key"] == f"right:{PORT}"
    assert re.search(r"\d SYNs were sent again for 8 connections; the slowest took \d{4} ms", finding["reason"])
    assert "probe-connect" not in found(report)


def test_a_narrow_link_that_nobody_tells_of(hosts: Net) -> None:
    serve(hosts)
    hosts.middle.ip("link", "set", "right", "mtu", "1300")
    _status, _output, report = probe(hosts)
    assert found(report) == {}, "the router says so, and the kernel has learned it"
    hosts.middle.nft("output", "icmp type destination-unreachable drop")
    hosts.left.ip("route", "flush", "cache")
    status, output, report = probe(hosts)
    assert status == 2, output
    (finding,) = found(report).values()
    assert (finding["rule"], finding["intended"], finding["severity"]) == ("probe-mtu", "1500 bytes", "warning")
    assert 1280 < int(finding["running"].split()[0]) <= 1300


def test_without_window_scale(hosts: Net) -> None:
    serve(hosts)
    hosts.right.sysctl(tcp_window_scaling=0)
    _status, _output, report = probe(hosts)
    assert list(found(report)) == ["probe-window-scale"]


def test_far_away(hosts: Net) -> None:
    serve(hosts)
    # Any RTT is too long for this one.
    _status, _output, report = probe(hosts, tcp_health_rtt_targets={"cloud": 0.001})
    assert found(report)["probe-rtt"]["key"] == "cloud"


def test_names_and_waivers(hosts: Net) -> None:
    serve(hosts)
    variables = {
        "tcp_probe_peers": 0,
        "tcp_probe_endpoints": [f"right:{PORT}", "no-such-host.invalid:22"],
        "tcp_probe_waivers": [{"hosts": "all", "key": "no-such-*", "reason": "OPS-1", "expires": "2999-12-31"}],
    }
    status, output, report = probe(hosts, **variables)
    assert status == 0, output
    (finding,) = found(report).values()
    assert "the name has no address" in finding["reason"]
    assert finding["waiver"]["reason"] == "OPS-1"


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"tcp_probe_to": ["nobody"]}, "tcp_probe_to: nobody: there is no such group or host"),
        ({"tcp_probe_endpoints": ["nobody"]}, "tcp_probe_endpoints[0]: 'nobody' is none"),
        ({"tcp_probe_attempts": 1000}, "tcp_probe_attempts: 1000 is no such number"),
        ({"tcp_health_targets": {"client_success": 300}}, "tcp_health_targets.client_success: 300.0 is no target"),
    ],
)
def test_bad_input_is_refused(hosts: Net, variables: dict[str, Any], words: str) -> None:
    status, output, _report = probe(hosts, **variables)
    assert status == 4
    assert words in " ".join(output.split())
