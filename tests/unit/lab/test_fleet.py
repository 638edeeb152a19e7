# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import LabError
from lab.fleet import load_fleet
from lab.paths import REPOSITORY, Settings

RANGE = """
all:
  children:
    edge:
      hosts:
        edge[1:3]:
      vars:
        lab_id: "{{ 40 + (inventory_hostname | regex_replace('[^0-9]', '') | int) }}"
        lab_suite: trixie
    core:
      hosts:
        core1: {lab_id: 7, lab_suite: bookworm}
"""


def settings(**environment: str) -> Settings:
    return Settings.from_environment({f"NETFLEET_LAB_{name}": value for name, value in environment.items()})


def inventory(directory: Path, text: str) -> Path:
    (directory / "hosts.yml").write_text(text, encoding="utf-8")
    return directory / "hosts.yml"


def test_the_project_s_own_fleet() -> None:
    fleet = load_fleet(REPOSITORY / "inventories" / "lab", settings())
    assert [host.name for host in fleet.hosts] == ["local1", "local2", "cloud1", "cloud2"]
    cloud1 = fleet.hosts[2]
    assert (cloud1.address, cloud1.port, cloud1.suite, cloud1.groups) == (
        "10.77.100.21",
        22021,
        "bookworm",
        ("cloud",),
    )
    assert fleet.suites == ("bookworm", "trixie")


def test_ranges_and_templates_are_read_as_ansible_reads_them(tmp_path: Path) -> None:
    fleet = load_fleet(inventory(tmp_path, RANGE), settings(OFFSET="3"), "edge:!edge2")
    assert [(host.name, host.lab_id, host.port) for host in fleet.selected] == [
        ("edge1", 41, 22941),
        ("edge3", 43, 22943),
    ]
    assert len(fleet.hosts) == 4
    assert "10.77.103.7 core1\n" in fleet.hosts_file()
    assert "10.77.103.42 edge2\n" in fleet.hosts_file()


def test_suite_of_the_environment_stands_in_for_all(tmp_path: Path) -> None:
    fleet = load_fleet(inventory(tmp_path, RANGE), settings(SUITE="sid"))
    assert fleet.suites == ("sid",)


@pytest.mark.parametrize(
    ("text", "limit", "message"),
    [
        ("all: {hosts: {}}", None, "has no hosts"),
        ("all: {hosts: {a: {lab_id: 1}}}", None, "host a, lab_suite: None is not a suite"),
        ("all: {hosts: {a: {lab_id: 1, lab_suite: etch}}}", None, "'etch' is not a suite.*bookworm"),
        ("all: {hosts: {a: {lab_suite: sid}}}", None, "host a, lab_id: None is not a number"),
        ("all: {hosts: {a: {lab_id: 254, lab_suite: sid}}}", None, "254 is not a number from 1 to 253"),
        ("all: {hosts: {a: {lab_id: x, lab_suite: sid}}}", None, "'x' is not a number"),
        (
            "all: {hosts: {a: {lab_id: 5, lab_suite: sid}, b: {lab_id: 5, lab_suite: sid}}}",
            None,
            "a and b have the same lab_id 5",
        ),
        (RANGE, "nosuch", "--limit nosuch: matches no host.*core1"),
    ],
)
def test_wrong_inventories_are_refused(tmp_path: Path, text: str, limit: str | None, message: str) -> None:
    with pytest.raises(LabError, match=message):
        load_fleet(inventory(tmp_path, text), settings(), limit)


def test_a_missing_inventory_is_told(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no such file"):
        load_fleet(tmp_path / "nothing", settings())
