# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""tuned, Debian's own with a profile of its own, on a host that was not tuned by us when it came.

It writes its profile's values whenever it starts, then applies sysctl.d again, unless its configuration says
reapply_sysctl = 0. The tests of this file are steps of one story; each fixture is the step that its tests look at.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from testinfra.host import Host as Connection

from tests.molecule.playbook import Check, Run, run_drift, run_playbook

HOST = "cloud1"
RMEM = "net.ipv4.tcp_rmem"
PROFILE = "network-throughput"
PROFILE_FILE = f"/usr/lib/tuned/{PROFILE}/tuned.conf"
SETTINGS = "/etc/tuned/tuned-main.conf"
OWNER = f"tuned (profile {PROFILE})"
MIB = 1 << 20
# More than tuned gives, so that the two differ on a host of this size.
DECLARED = f"all: {{hosts: {{{HOST}: {{tcp_tuning_memory_share: 0.1}}}}}}\n"
ABSENT = "--extra-vars=tcp_tuning_state=absent"
# tuned says in its log when it has set everything, which is some time after systemd calls it started.
APPLIED = "cat /var/log/tuned/tuned.log 2>/dev/null | grep -c 'static tuning from profile .* applied'"
START = (
    "n=$({applied}); {command} >&2 && for i in $(seq 300); do test $({applied}) -gt $n && sysctl -n {key} && exit;"
    " sleep 0.2; done; exit 1"
)


def start(host: Connection, command: str) -> str:
    """Let tuned start by a command; the running value once it has done its work."""
    printed = host.check_output(START.format(applied=APPLIED, command=command, key=RMEM))
    return " ".join(printed.split())


def reapply(host: Connection, value: int) -> None:
    host.check_output(f"sed -i 's/^reapply_sysctl = .*/reapply_sysctl = {value}/' {SETTINGS}")


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What each run is given."""
    inventory = tmp_path_factory.mktemp("inventory") / "more.yml"
    inventory.write_text(DECLARED, encoding="utf-8")
    return [f"--inventory={inventory}", f"--limit={HOST}"]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def host(connections: dict[str, Connection], arguments: list[str], scratch: Path) -> Iterator[Connection]:
    """The host, which nobody has tuned; at the end both are gone from it."""
    found = connections[HOST]
    assert run_playbook(scratch, *arguments, ABSENT).status == 0
    found.check_output("tar -C /etc -cf /run/tuned.tar tuned")
    yield found
    # In this order: what tuned gives back when it stops is what was there before it.
    assert run_playbook(scratch, *arguments, ABSENT).status == 0
    found.check_output("systemctl stop tuned && rm -r /etc/tuned && tar -C /etc -xf /run/tuned.tar")


@pytest.fixture(scope="module")
def tuned_value(host: Connection) -> str:
    """What runs once tuned is at work."""
    return start(host, f"tuned-adm profile {PROFILE}")


@pytest.fixture(scope="module")
def place(host: Connection) -> str:
    """The line of the profile, as the host counts it."""
    return f"{PROFILE_FILE}:" + host.check_output(f"grep -n '^{RMEM}' {PROFILE_FILE} | cut -d: -f1")


@pytest.fixture(scope="module")
def drifted(tuned_value: str, arguments: list[str], scratch: Path) -> Check:
    del tuned_value
    return run_drift(scratch, *arguments)


@pytest.fixture(scope="module")
def mended(drifted: Check, arguments: list[str], scratch: Path) -> Run:
    del drifted
    return run_playbook(scratch, *arguments)


@pytest.fixture(scope="module")
def in_step(mended: Run, arguments: list[str], scratch: Path) -> Check:
    del mended
    return run_drift(scratch, *arguments)


@pytest.fixture(scope="module")
def ours(in_step: Check, host: Connection) -> str:
    """What runs after tuned has started again, and applied sysctl.d after its own values."""
    del in_step
    return start(host, "systemctl restart tuned")


@pytest.fixture(scope="module")
def last_word(ours: str, host: Connection, arguments: list[str], scratch: Path) -> Check:
    """The check once tuned no longer applies sysctl.d after its own values."""
    del ours
    reapply(host, 0)
    return run_drift(scratch, *arguments)


@pytest.fixture(scope="module")
def refused(last_word: Check, arguments: list[str], scratch: Path) -> Run:
    del last_word
    return run_playbook(scratch, *arguments)


def test_what_runs_is_told_with_tuned_and_its_line(drifted: Check, tuned_value: str, place: str) -> None:
    assert drifted.status == 2, drifted.output
    found = drifted.one(HOST, RMEM, "sysctl-running")
    assert (found["subject"], found["severity"], found["owner"]) == ("sysctl", "error", OWNER)
    assert (found["running"], found["boot"], found["source"]) == (tuned_value, tuned_value, place)
    assert int(found["intended"].split()[2]) == 32 * MIB
    assert int(tuned_value.split()[2]) == 16 * MIB


def test_the_daemon_is_told_and_no_drift_of_its_own(drifted: Check, place: str) -> None:
    owner = drifted.one(HOST, OWNER, "owner-active")
    assert (owner["severity"], owner["source"]) == ("note", place)


def test_after_a_tuning_run_the_two_live_together(mended: Run, in_step: Check) -> None:
    assert (mended.status, RMEM in mended.changes(HOST)) == (0, True), mended.output
    assert (in_step.status, in_step.findings(HOST)) == (0, []), in_step.output


def test_ours_hold_when_tuned_starts_again(ours: str, drifted: Check) -> None:
    assert ours == drifted.one(HOST, RMEM, "sysctl-running")["intended"]


def test_where_it_has_the_last_word_the_next_boot_is_its_own(last_word: Check, tuned_value: str, place: str) -> None:
    assert last_word.status == 2, last_word.output
    found = last_word.one(HOST, RMEM, "sysctl-boot")
    assert (found["severity"], found["owner"], found["source"]) == ("error", OWNER, place)
    assert (found["running"], found["boot"]) == (found["intended"], tuned_value)
    assert last_word.one(HOST, OWNER, "owner-active")["severity"] == "warning"


def test_a_tuning_run_refuses_and_names_the_cure(refused: Run, place: str) -> None:
    assert (refused.status, refused.failed, refused.changed) == (2, [HOST], []), refused.output
    said = f"{refused.results[HOST]['msg']} {refused.results[HOST].get('problems')}"
    assert place in said
    assert "reapply_sysctl" in said


def test_tuned_does_what_was_said(refused: Run, host: Connection, tuned_value: str) -> None:
    del refused
    assert start(host, "systemctl restart tuned") == tuned_value
    reapply(host, 1)
