# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Molecule passes over a step whose playbook or tests are not there and calls that a success: hence these checks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.paths import REPOSITORY

MOLECULE = REPOSITORY / "molecule"
SHARED = yaml.safe_load((REPOSITORY / ".config/molecule/config.yml").read_text(encoding="utf-8"))
SCENARIOS = sorted(path.parent.name for path in MOLECULE.glob("*/molecule.yml"))


def steps(scenario: str) -> list[tuple[str, list[str]]]:
    config: dict[str, Any] = yaml.safe_load((MOLECULE / scenario / "molecule.yml").read_text(encoding="utf-8"))
    # As where the variable of the environment is not set, which chooses fewer tests.
    whole = [re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(step)) for step in config["scenario"]["test_sequence"]]
    words = [step.split() for step in whole]
    return [(name, arguments) for name, *arguments in words]


def test_there_are_scenarios_for_both_kinds_of_host() -> None:
    assert {"default", "kernel"} <= set(SCENARIOS)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_verify_step_names_directories_with_tests(scenario: str) -> None:
    named = [arguments for name, arguments in steps(scenario) if name == "verify"]
    assert named
    for arguments in named:
        assert arguments, "a bare verify would run the tests of every step"
        for argument in arguments:
            assert list((MOLECULE / scenario / argument).rglob("test_*.py")), f"{argument} has no tests"


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_directory_of_tests_is_run(scenario: str) -> None:
    named = {
        (MOLECULE / scenario / argument).resolve()
        for name, arguments in steps(scenario)
        for argument in arguments
        if name == "verify"
    }
    present = {path.parent for path in (MOLECULE / scenario / "tests").rglob("test_*.py")}
    assert {path for path in present if not named & {path, *path.parents}} == set()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_other_step_has_its_playbook(scenario: str) -> None:
    playbooks = SHARED["ansible"]["playbooks"]
    for name, arguments in steps(scenario):
        if name in ("verify", "idempotence", "syntax"):
            continue
        paths = [MOLECULE / scenario / argument for argument in arguments]
        paths = paths or [Path(playbooks[name].replace("${MOLECULE_PROJECT_DIRECTORY}", str(REPOSITORY)))]
        for path in paths:
            assert path.is_file(), f"{scenario}: step {name} has no playbook {path}"


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_it_begins_and_ends_with_nothing_left(scenario: str) -> None:
    names = [name for name, _ in steps(scenario)]
    assert (names[0], names[-1]) == ("destroy", "destroy")
