# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `health.yml` measures and how it ends: a fleet that is well, a host whose connections are refused, a lost one.

Counted from kept samples, so that what nstat says before and after bounds what the check may say.
"""

from __future__ import annotations

import json
import re
import stat
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from testinfra.host import Host as Connection

from lab.fleet import Fleet
from tests.molecule.health import NSTAT, counters
from tests.molecule.playbook import Check, run_health

ALL = ["cloud1", "cloud2", "local1", "local2"]
CALLER, SERVER = "cloud1", "local1"
# Nobody listens there.
PORT, REFUSED = 5399, 200
CALL = (
    "import socket, sys\nfor _ in range(int(sys.argv[3])): socket.socket().connect_ex((sys.argv[1], int(sys.argv[2])))"
)
OPENED = "TcpActiveOpens"
# Nobody listens on port 1 of loopback, and the answer comes at once.
LOST = "cloud:\n  hosts:\n    gone1: {ansible_host: 127.0.0.1, ansible_port: 1, lab_id: 99}\n"


@dataclass(frozen=True)
class Refused:
    """Two checks with refused connections between them. nstat: at the caller around each of the two."""

    first: Check
    second: Check
    samples: Path
    nstat: list[dict[str, int]]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def refused(connections: dict[str, Connection], fleet: Fleet, scratch: Path) -> Refused:
    assert sorted(connections) == ALL
    address = next(host.address for host in fleet.hosts if host.name == SERVER)
    samples = scratch / "samples"
    option = f"--extra-vars=tcp_health_samples={samples} tcp_health_interval=1"
    caller, nstat = connections[CALLER], []

    def look(*more: str) -> Check:
        nstat.append(counters(caller.check_output(NSTAT)))
        check = run_health(scratch, option, *more)
        nstat.append(counters(caller.check_output(NSTAT)))
        return check

    first = look("-vvv")
    caller.check_output("python3 -c %s %s %s %s", CALL, address, str(PORT), str(REFUSED))
    return Refused(first, look(), samples, nstat)


def test_a_fleet_that_is_well_has_nothing_outside(refused: Refused) -> None:
    assert refused.first.status == 0, refused.first.output
    assert set(refused.first.hosts.values()) <= {"within", "not_enough_traffic"}
    assert [found for name in ALL for found in refused.first.findings(name)] == []


def test_it_visits_each_host_once(refused: Refused) -> None:
    ran = Counter(re.findall(r"Using module file \S*/(\w+)\.py", refused.first.output))
    assert ran == {"tcp_health_info": len(ALL)}


def test_each_profile_has_a_line_for_each_indicator(refused: Refused) -> None:
    found = {(entry["group"], entry["key"]) for entry in refused.first.report["groups"]}
    measured = ("client_success", "server_success", "retransmission", "syn_retransmission")
    assert found >= {(group, key) for group in ("local", "cloud") for key in (*measured, group)}


def test_a_host_whose_connections_are_refused_is_outside_and_no_other(refused: Refused) -> None:
    check = refused.second
    assert check.status == 2, check.output
    assert [name for name, status in check.hosts.items() if status == "outside"] == [CALLER]
    found = check.one(CALLER, "client_success", "health-client-success")
    assert "likely because connections are refused" in found["reason"]
    assert found["cure"]
    (group,) = [e for e in check.report["groups"] if (e["group"], e["key"]) == ("cloud", "client_success")]
    assert (group["verdict"], group["outside"]) == ("not met", [CALLER])


def test_it_counted_what_nstat_counted(refused: Refused) -> None:
    before, after_first, before_second, after = refused.nstat
    size = refused.second.measure(CALLER, "client_success")["size"]
    assert REFUSED <= before_second[OPENED] - after_first[OPENED] <= size <= after[OPENED] - before[OPENED]
    failed = size - round(refused.second.measure(CALLER, "client_success")["value"] * size / 100)
    assert failed >= REFUSED


def test_samples_are_for_their_owner_alone(refused: Refused) -> None:
    assert sorted(path.name for path in refused.samples.iterdir()) == [f"{name}.json" for name in ALL]
    modes = {stat.S_IMODE(path.stat().st_mode) for path in refused.samples.iterdir()}
    assert (stat.S_IMODE(refused.samples.stat().st_mode), modes) == (0o700, {0o600})


def test_a_waiver_hides_it_and_the_group_goes_without_the_host(
    refused: Refused, connections: dict[str, Connection], fleet: Fleet, scratch: Path
) -> None:
    address = next(host.address for host in fleet.hosts if host.name == SERVER)
    connections[CALLER].check_output("python3 -c %s %s %s %s", CALL, address, str(PORT), str(REFUSED))
    waiver = {"hosts": CALLER, "key": "client_success", "reason": "a trial", "expires": "2999-12-31"}
    declared = json.dumps({"tcp_health_waivers": [waiver], "tcp_health_samples": str(refused.samples)})
    check = run_health(scratch, f"--extra-vars={declared}")
    assert check.status == 0, check.output
    assert check.one(CALLER, "client_success", "health-client-success")["waiver"]["reason"] == "a trial"
    (group,) = [e for e in check.report["groups"] if (e["group"], e["key"]) == ("cloud", "client_success")]
    assert group["verdicts"]["waived"] == 1


def test_a_host_that_cannot_be_asked_is_named(refused: Refused, scratch: Path, tmp_path: Path) -> None:
    del refused
    inventory = tmp_path / "lost.yml"
    inventory.write_text(LOST, encoding="utf-8")
    check = run_health(
        scratch, f"--inventory={inventory}", "--limit=local2,gone1", "--extra-vars=tcp_health_interval=1"
    )
    assert check.status == 4, check.output
    assert check.hosts["gone1"] == "unreachable"
    assert [found["rule"] for found in check.findings("gone1")] == ["host-unreachable"]
    assert check.hosts["local2"] in ("within", "not_enough_traffic")
