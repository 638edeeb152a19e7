# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks `probe` and `diagnose` over ssh: a fleet that is well, and a host whose firewall drops SYNs.

Every kind of fault is in tests/netns; here it is the road to hosts that are no namespaces of this machine.
"""

from __future__ import annotations

import re
import stat
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from testinfra.host import Host as Connection

from tests.molecule.playbook import Check, run_diagnose, run_probe

ALL = ["cloud1", "cloud2", "local1", "local2"]
CALLER, SERVER, PORT = "cloud1", "local1", 5310
UNIT = "diagnose-server"
SERVE = (
    "import socket, sys\nserver = socket.create_server(('', int(sys.argv[1])))\nwhile True: server.accept()[0].close()"
)
DROP = f"add table inet diagnose; add chain inet diagnose input {{ type filter hook input priority 0; }}; \
add rule inet diagnose input tcp dport {PORT} drop"


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def serving(connections: dict[str, Connection]) -> Iterator[None]:
    start = "systemd-run --quiet --collect --unit=%s /usr/bin/python3 -c %s %s"
    connections[SERVER].check_output(start, UNIT, SERVE, str(PORT))
    yield
    connections[SERVER].run(f"systemctl stop {UNIT}")


def diagnose(scratch: Path) -> Check:
    asked = f"tcp_diagnose_host={CALLER} tcp_diagnose_peer={SERVER} tcp_diagnose_port={PORT}"
    # One of two hosts may begin some seconds after the other.
    more = f"tcp_diagnose_seconds=15 tcp_diagnose_archive={scratch / 'archive'}"
    return run_diagnose(scratch, "-vvv", f"--extra-vars={asked} {more}")


def test_all_hosts_reach_each_other(scratch: Path) -> None:
    check = run_probe(scratch, "-vvv")
    assert check.status == 0, check.output
    assert Counter(re.findall(r"Using module file \S*/(\w+)\.py", check.output)) == {"tcp_probe": len(ALL)}
    sizes = {entry["host"]: entry["size"] for entry in check.report["measures"] if entry["key"] == "client_success"}
    # Each calls the three others, four times.
    assert sizes == dict.fromkeys(ALL, 12)


@pytest.mark.usefixtures("serving")
def test_a_good_connection_has_no_finding_and_an_archive(scratch: Path) -> None:
    check = diagnose(scratch)
    assert check.status == 0, check.output
    assert [found for name in (CALLER, SERVER) for found in check.findings(name)] == []
    assert Counter(re.findall(r"Using module file \S*/(\w+)\.py", check.output)) == {"tcp_diagnose": 2}
    (path,) = (scratch / "archive").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"summary.txt", "diagnosis.json", f"{CALLER}/capture.pcap.gz", f"{SERVER}/capture.pcap.gz"} <= names


@pytest.mark.usefixtures("serving")
def test_a_firewall_of_the_server_is_named(scratch: Path, connections: dict[str, Connection]) -> None:
    server = connections[SERVER]
    try:
        server.check_output("nft %s", DROP)
        check = diagnose(scratch)
    finally:
        server.run("nft delete table inet diagnose")
    assert check.status == 2, check.output
    finding = check.one(SERVER, f"{CALLER}->{SERVER}:{PORT}", "diagnose-no-answer")
    assert f"the SYNs arrive at {SERVER}, and it does not answer" in finding["reason"]
    assert server.run("pgrep tcpdump").rc == 1, "it has ended"
