# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever somebody changes by hand, the next `--check --diff` names it and changes nothing; the next run mends it.

Each host has its own kind of drift, so that one run shows them all:
  cloud1  a running value            cloud2  a line of our file
  local1  a file of somebody else's that would win at the next boot            local2  nothing
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.molecule.hosts import Target
from tests.molecule.playbook import Run, run_playbook

ALL = ["cloud1", "cloud2", "local1", "local2"]
KEY = "net.ipv4.tcp_mtu_probing"
OWN_FILE = "/etc/sysctl.d/90-netfleet-tcp.conf"
OTHER_FILE = "/etc/sysctl.d/99-somebody.conf"
OVERRULING_FILE = "/etc/sysctl.d/zz-90-netfleet-tcp.conf"


def running(host: Target) -> str:
    return str(host.connection.check_output("cat /proc/sys/net/ipv4/tcp_mtu_probing"))


def applied(host: Target) -> str:
    """What runs once systemd has applied sysctl.d, as it does at boot."""
    host.connection.check_output("systemctl restart systemd-sysctl")
    return running(host)


def own_lines(host: Target) -> list[str]:
    return [line for line in host.connection.file(OWN_FILE).content_string.splitlines() if line.startswith(KEY)]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def untouched(targets: dict[str, Target], scratch: Path) -> Run:
    """A check of the converged fleet."""
    assert sorted(targets) == ALL
    return run_playbook(scratch, "--check", "--diff")


@pytest.fixture(scope="module")
def drifted(untouched: Run, targets: dict[str, Target], scratch: Path) -> Iterator[Run]:
    """A check after each host was changed in its way."""
    del untouched
    targets["cloud1"].connection.check_output("sysctl -w %s=0", KEY)
    targets["cloud2"].connection.check_output("sed -i 's/^%s = 1/%s = 2/' %s", KEY, KEY, OWN_FILE)
    targets["local1"].connection.check_output("printf '# not ours\\n%s = 0\\n' > %s", KEY, OTHER_FILE)
    yield run_playbook(scratch, "--check", "--diff")
    targets["local1"].connection.check_output("rm -f %s", OTHER_FILE)


@pytest.fixture(scope="module")
def state_after_check(drifted: Run, targets: dict[str, Target]) -> dict[str, object]:
    """What the drifted hosts run and have after the check, before anything mends them."""
    del drifted
    extra = targets["local1"].connection.file(OVERRULING_FILE).exists
    return {"cloud1": running(targets["cloud1"]), "cloud2": own_lines(targets["cloud2"]), "local1": extra}


@pytest.fixture(scope="module")
def refused(drifted: Run, scratch: Path) -> Run:
    """A run for real where the file of somebody else's shall stop it."""
    del drifted
    return run_playbook(scratch, "--limit=local1", "--extra-vars=tcp_tuning_boot_conflict=fail")


@pytest.fixture(scope="module")
def mended(state_after_check: dict[str, object], refused: Run, scratch: Path) -> Run:
    """A run for real after that."""
    del state_after_check, refused
    return run_playbook(scratch)


def test_a_converged_fleet_has_nothing_to_report(untouched: Run) -> None:
    assert sorted(untouched.results) == ALL
    assert (untouched.status, untouched.changed, untouched.failed) == (0, [], []), untouched.output


def test_only_the_hosts_that_drifted_are_reported(drifted: Run) -> None:
    assert sorted(drifted.results) == ALL
    assert (drifted.changed, drifted.failed) == (["cloud1", "cloud2", "local1"], [])


def test_a_running_value_is_named_alone(drifted: Run) -> None:
    assert drifted.changes("cloud1") == [KEY]
    assert KEY in drifted.diff("cloud1")


def test_a_line_of_our_file_is_named(drifted: Run) -> None:
    assert any(OWN_FILE in name or name == KEY for name in drifted.changes("cloud2"))
    assert f"{KEY} = 2" in drifted.diff("cloud2")


def test_a_file_that_wins_at_boot_would_be_overruled(drifted: Run) -> None:
    assert drifted.changes("local1") == [OVERRULING_FILE]
    assert f"overrules {OTHER_FILE}:2 at boot" in drifted.diff("local1")


def test_the_check_changed_nothing(state_after_check: dict[str, object]) -> None:
    assert state_after_check == {"cloud1": "0", "cloud2": [f"{KEY} = 2"], "local1": False}


def test_it_can_be_refused_instead_with_file_and_line(refused: Run) -> None:
    assert (refused.status, refused.failed, refused.changed) == (2, ["local1"], []), refused.output
    said = f"{refused.results['local1']['msg']} {refused.results['local1'].get('problems')}"
    assert f"{OTHER_FILE}:2" in said
    assert KEY in said


def test_it_can_be_a_warning_instead(refused: Run, scratch: Path) -> None:
    del refused
    run = run_playbook(scratch, "--check", "--limit=local1", "--extra-vars=tcp_tuning_boot_conflict=warn")
    assert (run.status, run.failed, run.changed) == (0, [], []), run.output
    assert any(f"{OTHER_FILE}:2" in str(warning) for warning in run.results["local1"]["warnings"])


def test_the_next_run_mends_what_is_ours(mended: Run, targets: dict[str, Target]) -> None:
    assert (mended.status, mended.changed, mended.failed) == (0, ["cloud1", "cloud2", "local1"], []), mended.output
    assert [running(targets[name]) for name in ALL] == ["1"] * len(ALL)
    assert own_lines(targets["cloud2"]) == [f"{KEY} = 1"]


def test_a_file_of_somebody_else_is_never_edited(mended: Run, targets: dict[str, Target]) -> None:
    del mended
    assert targets["local1"].connection.file(OTHER_FILE).content_string == f"# not ours\n{KEY} = 0\n"


def test_systemd_itself_gives_ours_the_last_word(mended: Run, targets: dict[str, Target]) -> None:
    del mended
    assert applied(targets["local1"]) == "1"
    targets["local1"].connection.check_output("mv %s /run/", OVERRULING_FILE)
    assert applied(targets["local1"]) == "0", "the other file would not have won anyway"
    targets["local1"].connection.check_output("mv /run/zz-90-netfleet-tcp.conf %s", OVERRULING_FILE)
    assert applied(targets["local1"]) == "1"


def test_the_overruling_file_goes_with_what_it_overrules(
    mended: Run, targets: dict[str, Target], scratch: Path
) -> None:
    del mended
    targets["local1"].connection.check_output("rm %s", OTHER_FILE)
    run = run_playbook(scratch, "--limit=local1")
    assert (run.status, run.changes("local1")) == (0, [OVERRULING_FILE]), run.output
    assert not targets["local1"].connection.file(OVERRULING_FILE).exists
