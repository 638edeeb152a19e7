# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian packages: what is missing, and that no service of theirs runs on the developer's machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tools import deps
from tools.shared import ROOT


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One whose places are folders of the test."""
    monkeypatch.setattr(deps, "UNITS", tmp_path)
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
