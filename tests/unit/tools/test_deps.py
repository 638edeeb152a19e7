# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian packages: what is missing, and that no service of theirs runs on the developer's machine."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tools import deps
from tools.shared import ROOT, ToolError


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One whose places are folders of the test."""
    monkeypatch.setattr(deps, "UNITS", tmp_path)
    monkeypatch.setattr(deps, "OTHER_UNITS", (tmp_path / "lib",), raising=False)
    monkeypatch.setattr(deps, "POLICY", tmp_path / "policy-rc.d")
    monkeypatch.setattr(deps, "privileged", list)
    return tmp_path


def test_packages_whose_services_are_not_wanted_are_among_those_that_are_installed() -> None:
    text = (ROOT / "requirements" / "debian.txt").read_text(encoding="utf-8")
    assert set(deps.DAEMONS) <= set(deps.wanted_packages(text))


def test_what_is_missing_is_what_dpkg_does_not_call_installed() -> None:
    assert deps.missing_packages(["a", "b", "c"], "ii a\nrc b\n") == ["b", "c"]


def test_nothing_starts_while_they_are_installed_nor_at_the_next_boot(machine: Path) -> None:
    with deps.without_services(["git", "prometheus"]):
        assert subprocess.run([machine / "policy-rc.d"], check=False).returncode == 101
    assert not (machine / "policy-rc.d").exists()
    assert sorted(entry.name for entry in machine.iterdir()) == ["prometheus.service"]
    assert (machine / "prometheus.service").readlink() == Path("/dev/null")


def test_services_of_other_packages_are_not_touched(machine: Path) -> None:
    with deps.without_services(["git"]):
        assert list(machine.iterdir()) == []


def test_a_policy_and_a_unit_of_the_machines_own_stay(machine: Path) -> None:
    for name in ("policy-rc.d", "prometheus.service"):
        (machine / name).write_text("mine")
    with deps.without_services(["prometheus"]):
        pass
    assert {(machine / name).read_text() for name in ("policy-rc.d", "prometheus.service")} == {"mine"}


def test_it_is_undone_where_the_installation_fails(machine: Path) -> None:
    with pytest.raises(ZeroDivisionError), deps.without_services(["prometheus"]):
        raise ZeroDivisionError
    assert not (machine / "policy-rc.d").exists()


def test_what_a_run_that_was_killed_has_left_is_removed(machine: Path) -> None:
    policy = machine / "policy-rc.d"
    policy.write_text(deps.NOTHING_STARTS)
    with deps.without_services(["prometheus"]):
        assert policy.exists()
    assert not policy.exists()
    policy.write_text(deps.NOTHING_STARTS)
    with deps.without_services([]):
        pass
    assert not policy.exists()


def test_a_policy_of_somebody_elses_who_says_the_same_stays(machine: Path) -> None:
    # As image builders write it.
    (machine / "policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
    with deps.without_services(["prometheus"]):
        pass
    assert (machine / "policy-rc.d").exists()


def test_it_is_undone_where_the_run_is_asked_to_end(machine: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ToolError, match="SIGTERM"), deps.without_services(["prometheus"]):
        signal.raise_signal(signal.SIGTERM)
    assert not (machine / "policy-rc.d").exists()
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_unit_that_the_machine_has_elsewhere_is_not_masked(machine: Path) -> None:
    (machine / "lib").mkdir()
    (machine / "lib" / "prometheus.service").write_text("mine")
    with deps.without_services(["prometheus"]):
        pass
    assert not (machine / "prometheus.service").exists()


def test_the_folder_of_units_is_made_where_it_is_missing(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deps, "UNITS", machine / "systemd" / "system")
    with deps.without_services(["prometheus"]):
        pass
    assert (machine / "systemd" / "system" / "prometheus.service").readlink() == Path("/dev/null")
