# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each kind of drift is named with host, key, values, file and line, and is gone after `tune.yml`.

What drifts on which host says tests/molecule/drifted.py. What belongs to others stays for the reboot that follows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host as Connection

from tests.molecule.drifted import (
    AFTER_IDLE,
    DEAD,
    INTERVAL,
    KEEPALIVE,
    MAKE,
    MODULES_FILE,
    OVERRULING_FILE,
    OWN_FILE,
    PROBING,
    ROUTE,
    SYSCTL_CONF,
    UNSENT,
    VENDOR_FILE,
)
from tests.molecule.hosts import Seen, differences, look, on_each
from tests.molecule.playbook import Check, Run, run_drift, run_playbook

ALL = ["cloud1", "cloud2", "local1", "local2"]
WAIVER = {"hosts": "cloud2", "subject": "route", "key": f"{ROUTE} *", "reason": "a lab route", "expires": "2999-12-31"}
LINES = {
    "local1": f"grep -n '^{UNSENT} ' {OWN_FILE} | cut -d: -f1",
    "cloud1": f"grep -n '^{KEEPALIVE}' {SYSCTL_CONF} | cut -d: -f1",
}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def before(connections: dict[str, Connection]) -> dict[str, Seen]:
    """The fleet once it has drifted, and nobody has looked at it yet."""
    assert sorted(connections) == ALL
    on_each(MAKE, connections)
    return look(connections)


@pytest.fixture(scope="module")
def drifted(before: dict[str, Seen], scratch: Path) -> Check:
    """The check of it."""
    del before
    return run_drift(scratch)


@pytest.fixture(scope="module")
def after(drifted: Check, connections: dict[str, Connection]) -> dict[str, Seen]:
    """The fleet after the check."""
    del drifted
    return look(connections)


@pytest.fixture(scope="module")
def lines(after: dict[str, Seen], connections: dict[str, Connection]) -> dict[str, str]:
    """The numbers of the lines that were written on two of the hosts, as the hosts count them."""
    del after
    return on_each(LINES, connections)


@pytest.fixture(scope="module")
def mended(lines: dict[str, str], scratch: Path) -> Run:
    """A tuning run after that."""
    del lines
    return run_playbook(scratch)


@pytest.fixture(scope="module")
def checked_again(mended: Run, scratch: Path) -> Check:
    """A check after that, in which the route is tolerated."""
    del mended
    return run_drift(scratch, "--extra-vars=" + json.dumps({"tcp_drift_waivers": [WAIVER]}))


def said(check: Check, host: str) -> set[tuple[str, str, str]]:
    """The findings on a host as (severity, rule, key)."""
    return {(found["severity"], found["rule"], found["key"]) for found in check.findings(host)}


def values(finding: Mapping[str, Any]) -> tuple[Any, ...]:
    """Subject, intended, running and boot value of a finding, and its source."""
    return tuple(finding[name] for name in ("subject", "intended", "running", "boot", "source"))


def test_every_host_drifted(drifted: Check) -> None:
    assert (drifted.status, drifted.hosts) == (2, dict.fromkeys(ALL, "drift")), drifted.output


def test_the_check_changed_nothing(before: dict[str, Seen], after: dict[str, Seen]) -> None:
    assert differences(before, after) == {}


def test_local1(drifted: Check, lines: dict[str, str]) -> None:
    """A running value changed by hand, and another line of our file."""
    place = f"{OWN_FILE}:{lines['local1']}"
    assert said(drifted, "local1") == {
        ("error", "sysctl-running", PROBING),
        ("error", "sysctl-boot", UNSENT),
        ("warning", "file-changed", OWN_FILE),
    }
    assert values(drifted.one("local1", PROBING, "sysctl-running")) == ("sysctl", "1", "0", "1", "")
    assert values(drifted.one("local1", UNSENT, "sysctl-boot")) == ("sysctl", "131072", "131072", "65536", place)
    edited = drifted.one("local1", OWN_FILE, "file-changed")
    assert values(edited) == ("file", f"{UNSENT} = 131072", None, f"{UNSENT} = 65536", place)


def test_local2(drifted: Check) -> None:
    """A vendor's file with a later name sets a key of ours, and one that the kernel no longer has."""
    assert said(drifted, "local2") == {("error", "sysctl-boot", AFTER_IDLE), ("warning", "sysctl-dead", DEAD)}
    assert values(drifted.one("local2", AFTER_IDLE, "sysctl-boot")) == ("sysctl", "0", "0", "1", f"{VENDOR_FILE}:3")
    assert values(drifted.one("local2", DEAD, "sysctl-dead")) == ("sysctl", None, None, "1", f"{VENDOR_FILE}:2")


def test_cloud1(drifted: Check, lines: dict[str, str]) -> None:
    """The line in /etc/sysctl.conf counts on Debian 12; a module is not loaded at boot; eth1 queues otherwise."""
    assert said(drifted, "cloud1") == {
        ("error", "sysctl-boot", KEEPALIVE),
        ("error", "module-boot", "tcp_bbr"),
        ("warning", "file-changed", MODULES_FILE),
        ("error", "qdisc-running", "eth1"),
    }
    place = f"{SYSCTL_CONF}:{lines['cloud1']}"
    assert values(drifted.one("cloud1", KEEPALIVE, "sysctl-boot")) == ("sysctl", "120", "120", "7200", place)
    module = drifted.one("cloud1", "tcp_bbr", "module-boot")
    assert values(module) == ("module", "loaded", "loaded", "not loaded", MODULES_FILE)
    assert values(drifted.one("cloud1", "eth1", "qdisc-running")) == ("qdisc", "fq", "fq_codel", "fq", "")


def test_cloud2(drifted: Check) -> None:
    """The line in /etc/sysctl.conf, applied by hand, is where the value comes from; our file is masked; a route."""
    route = f"{ROUTE} dev eth1"
    assert said(drifted, "cloud2") == {
        ("error", "sysctl-running", INTERVAL),
        ("error", "file-changed", OWN_FILE),
        ("warning", "route-override", route),
    }
    assert values(drifted.one("cloud2", INTERVAL, "sysctl-running")) == ("sysctl", "30", "75", None, f"{SYSCTL_CONF}:2")
    masked = drifted.one("cloud2", OWN_FILE, "file-changed")
    assert (masked["source"], "/dev/null" in masked["reason"]) == (OWN_FILE, True)
    assert values(drifted.one("cloud2", route, "route-override")) == ("route", "bbr", "reno", None, "")


def test_one_run_mends_all_that_is_ours(mended: Run) -> None:
    assert (mended.status, mended.changed, mended.failed) == (0, ALL, []), mended.output
    overruling = [name for name in ALL if OVERRULING_FILE in mended.changes(name)]
    assert overruling == ["cloud1", "local2"]


def test_then_the_fleet_is_in_step(checked_again: Check) -> None:
    assert (checked_again.status, checked_again.hosts) == (0, dict.fromkeys(ALL, "in_step")), checked_again.output
    assert [found for name in ALL for found in checked_again.findings(name) if not found["waiver"]] == []


def test_but_for_the_route_that_is_waived(checked_again: Check) -> None:
    waived = checked_again.one("cloud2", f"{ROUTE} dev eth1", "route-override")
    assert waived["waiver"] == {"reason": "a lab route", "expires": "2999-12-31"}
