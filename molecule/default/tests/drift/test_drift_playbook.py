# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `drift.yml` finds, how it ends, and what it leaves alone.

Each host has its own kind of drift, so that one run shows them all:
  cloud1  a running value            cloud2  a line of our file
  local1  a dead key in a vendor's file            local2  nothing
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from testinfra.host import Host as Connection

from tests.molecule.hosts import Seen, differences, look, on_each
from tests.molecule.playbook import Check, run_drift
from tests.molecule.visitor import AS_VISITOR, visitor

ALL = ["cloud1", "cloud2", "local1", "local2"]
KEY = "net.ipv4.tcp_mtu_probing"
DEAD_KEY = "net.ipv4.tcp_tw_recycle"
OWN_FILE = "/etc/sysctl.d/90-netfleet-tcp.conf"
VENDOR_FILE = "/usr/lib/sysctl.d/50-vendor.conf"
# Nobody listens on port 1 of loopback, and the answer comes at once.
LOST = "cloud:\n  hosts:\n    gone1: {ansible_host: 127.0.0.1, ansible_port: 1, lab_id: 99}\n"


def said(check: Check, host: str, notes: bool = False) -> list[tuple[str, str]]:
    """The findings on a host as (rule, key)."""
    return sorted((found["rule"], found["key"]) for found in check.findings(host, notes))


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def in_step(connections: dict[str, Connection], scratch: Path) -> Check:
    """A check of the converged fleet, with word of every module that runs."""
    assert sorted(connections) == ALL
    return run_drift(scratch, "-vvv")


@pytest.fixture(scope="module")
def drifted_fleet(in_step: Check, connections: dict[str, Connection]) -> Iterator[dict[str, Seen]]:
    """The fleet once each host was changed in its way, as it was before any check of that."""
    del in_step
    changes = {
        "cloud1": f"sysctl -qw {KEY}=0",
        "cloud2": f"sed -i 's/^{KEY} = 1/{KEY} = 2/' {OWN_FILE} && grep -n '^{KEY}' {OWN_FILE}",
        "local1": f"printf '# from a vendor\\n{DEAD_KEY} = 1\\n' > {VENDOR_FILE}",
    }
    on_each(changes, connections)
    with visitor(connections):
        yield look(connections)
    undo = {
        "cloud1": f"sysctl -qw {KEY}=1",
        "cloud2": f"sed -i 's/^{KEY} = 2/{KEY} = 1/' {OWN_FILE}",
        "local1": f"rm {VENDOR_FILE}",
    }
    on_each(undo, connections)


@pytest.fixture(scope="module")
def drifted(drifted_fleet: dict[str, Seen], scratch: Path) -> Check:
    """A check of the whole fleet after that."""
    del drifted_fleet
    return run_drift(scratch)


@pytest.fixture
def lost_host(tmp_path: Path) -> str:
    """The option that adds a host which cannot be reached."""
    inventory = tmp_path / "lost.yml"
    inventory.write_text(LOST, encoding="utf-8")
    return f"--inventory={inventory}"


def test_a_converged_fleet_is_in_step(in_step: Check) -> None:
    assert (in_step.status, in_step.hosts) == (0, dict.fromkeys(ALL, "in_step")), in_step.output
    assert [found for name in ALL for found in in_step.findings(name)] == []


def test_it_visits_each_host_once(in_step: Check) -> None:
    ran = Counter(re.findall(r"Using module file \S*/(\w+)\.py", in_step.output))
    assert ran == {"tcp_facts": len(ALL)}


def test_hosts_that_drifted_are_named_and_no_others(drifted: Check) -> None:
    assert drifted.status == 2, drifted.output
    assert drifted.hosts == {"cloud1": "drift", "cloud2": "drift", "local1": "drift", "local2": "in_step"}
    assert drifted.findings("local2") == []


def test_a_running_value_changed_by_hand(drifted: Check) -> None:
    assert said(drifted, "cloud1") == [("sysctl-running", KEY)]
    found = drifted.one("cloud1", KEY, "sysctl-running")
    assert (found["subject"], found["severity"], found["waiver"]) == ("sysctl", "error", None)
    assert (found["intended"], found["running"], found["boot"], found["source"]) == ("1", "0", "1", "")


def test_a_line_of_our_file(drifted: Check, connections: dict[str, Connection]) -> None:
    place = f"{OWN_FILE}:{line_of(KEY, connections['cloud2'])}"
    assert said(drifted, "cloud2") == [("file-changed", OWN_FILE), ("sysctl-boot", KEY)]
    found = drifted.one("cloud2", KEY, "sysctl-boot")
    assert (found["intended"], found["running"], found["boot"], found["source"]) == ("1", "1", "2", place)
    edited = drifted.one("cloud2", OWN_FILE, "file-changed")
    assert (edited["intended"], edited["boot"], edited["source"]) == (f"{KEY} = 1", f"{KEY} = 2", place)


def line_of(key: str, host: Connection) -> int:
    """The number of the line of our file that sets a key."""
    return int(host.check_output("grep -n %s %s | cut -d: -f1", f"^{key} ", OWN_FILE))


def test_a_dead_key_in_a_file_of_somebody_else(drifted: Check) -> None:
    assert said(drifted, "local1") == [("sysctl-dead", DEAD_KEY)]
    found = drifted.one("local1", DEAD_KEY, "sysctl-dead")
    assert (found["severity"], found["boot"], found["source"]) == ("warning", "1", f"{VENDOR_FILE}:2")


def test_limit_and_tags_narrow_it(drifted_fleet: dict[str, Seen], scratch: Path) -> None:
    """On a host whose sysctl drifted too, only the queueing that is asked for is judged."""
    del drifted_fleet
    declared = json.dumps({"tcp_tuning_qdisc": "pfifo_fast", "tcp_tuning_qdisc_interfaces": ["eth0"]})
    check = run_drift(scratch, "--limit=cloud1", "--tags=qdisc", f"--extra-vars={declared}")
    assert (check.status, check.hosts, check.report["subjects"]) == (2, {"cloud1": "drift"}, ["qdisc"]), check.output
    assert said(check, "cloud1", notes=True) == [("qdisc-running", "eth0")]
    found = check.one("cloud1", "eth0", "qdisc-running")
    assert (found["intended"], found["running"]) == ("pfifo_fast", "noqueue")


def test_below_the_threshold_it_is_told_and_is_no_drift(drifted_fleet: dict[str, Seen], scratch: Path) -> None:
    del drifted_fleet
    check = run_drift(scratch, "--limit=local1", "--extra-vars=tcp_drift_threshold=error")
    assert (check.status, check.hosts) == (0, {"local1": "in_step"}), check.output
    assert said(check, "local1") == [("sysctl-dead", DEAD_KEY)]


def test_a_waiver_hides_and_an_expired_one_does_not(drifted_fleet: dict[str, Seen], scratch: Path) -> None:
    del drifted_fleet
    waivers = [
        {"hosts": "local", "key": "net.ipv4.tcp_tw_*", "reason": "the vendor mends it", "expires": "2999-12-31"},
        {"hosts": "cloud1", "key": KEY, "reason": "a trial", "expires": "2020-01-31"},
    ]
    declared = json.dumps({"tcp_drift_waivers": waivers})
    check = run_drift(scratch, "--limit=local1,cloud1", f"--extra-vars={declared}")
    assert (check.status, check.hosts) == (2, {"local1": "in_step", "cloud1": "drift"}), check.output
    waived = check.one("local1", DEAD_KEY, "sysctl-dead")
    assert waived["waiver"] == {"reason": "the vendor mends it", "expires": "2999-12-31"}
    assert said(check, "cloud1") == [("sysctl-running", KEY), ("waiver-expired", f"{KEY} on cloud1")]
    assert check.one("cloud1", KEY, "sysctl-running")["waiver"] is None


def test_a_host_that_cannot_be_asked_is_a_finding(
    drifted_fleet: dict[str, Seen], lost_host: str, scratch: Path
) -> None:
    del drifted_fleet
    check = run_drift(scratch, lost_host, "--limit=local2,cloud1,gone1")
    assert (check.status, check.hosts) == (4, {"local2": "in_step", "cloud1": "drift", "gone1": "unreachable"}), (
        check.output
    )
    assert [rule for rule, _key in said(check, "gone1")] == ["host-unreachable"]
    assert said(check, "cloud1") == [("sysctl-running", KEY)]


def test_where_no_host_answers_there_is_a_report_all_the_same(lost_host: str, scratch: Path) -> None:
    check = run_drift(scratch, lost_host, "--limit=gone1")
    assert (check.status, check.hosts) == (4, {"gone1": "unreachable"}), check.output
    assert [rule for rule, _key in said(check, "gone1")] == ["host-unreachable"]


def test_an_ordinary_user_sees_the_same(drifted: Check, scratch: Path) -> None:
    check = run_drift(scratch, AS_VISITOR)
    assert (check.status, check.hosts) == (2, drifted.hosts), check.output
    assert {name: check.findings(name) for name in ALL} == {name: drifted.findings(name) for name in ALL}
    added = {name: set(said(check, name, notes=True)) - set(said(drifted, name, notes=True)) for name in ALL}
    assert {rule for found in added.values() for rule, _key in found} <= {"file-unjudged"}


def test_two_checks_at_once(drifted: Check, tmp_path: Path) -> None:
    directories = [tmp_path / "one", tmp_path / "other"]
    for directory in directories:
        directory.mkdir()
    with ThreadPoolExecutor() as pool:
        checks = list(pool.map(run_drift, directories))
    assert [(check.status, check.hosts) for check in checks] == [(2, drifted.hosts)] * 2
    assert [check.report["findings"] for check in checks] == [drifted.report["findings"]] * 2


def test_it_changed_nothing(drifted_fleet: dict[str, Seen], drifted: Check, connections: dict[str, Connection]) -> None:
    """The last test of this file: it looks at what all the checks above have left."""
    assert drifted.status == 2, drifted.output
    assert differences(drifted_fleet, look(connections)) == {}
