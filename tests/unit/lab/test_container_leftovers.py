# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers that another clone has left: of one that is still there, and of one that is gone."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lab.container import HOST_LABEL, INSTANCE_LABEL, STATE_LABEL, ContainerBackend
from lab.container_podman import Podman
from lab.errors import LabError
from lab.fleet import load_fleet
from lab.paths import REPOSITORY, Settings
from lab.run import Progress

NOBODY = 2**22 + 1  # more than any process's number


class FakePodman(Podman):
    """Answers `ps`, and remembers what it was told to remove."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        super().__init__({})
        self.rows = rows
        self.removed: list[str] = []

    def run(self, arguments: Sequence[str], *, what: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        del what, check
        if arguments[0] == "rm":
            self.removed += [word for word in arguments[1:] if not word.startswith("--")]
        return subprocess.CompletedProcess(list(arguments), 0, json.dumps(self.rows), "")


def row(name: str, state: str, pid: int, owner: str) -> dict[str, Any]:
    return {
        "Id": name,
        "State": state,
        "Pid": pid,
        "Labels": {INSTANCE_LABEL: "1", HOST_LABEL: name, STATE_LABEL: owner},
    }


@pytest.fixture
def backend(tmp_path: Path) -> ContainerBackend:
    settings = Settings("container", 1, tmp_path / "state", tmp_path / "cache", None)
    return ContainerBackend(load_fleet(REPOSITORY / "inventories" / "lab", settings), settings, Progress())


@pytest.mark.parametrize(
    ("state", "pid"), [("exited", 0), ("created", 0), ("running", NOBODY)], ids=["ended", "never begun", "switched off"]
)
def test_what_another_clone_has_left_is_removed(
    backend: ContainerBackend, tmp_path: Path, state: str, pid: int
) -> None:
    own = row("local1", "running", os.getpid(), str(tmp_path / "state"))
    podman = FakePodman([own, row("local2", state, pid, "/check/work/main/.lab/test")])
    assert list(backend._present(podman)) == ["local1"]
    assert podman.removed == ["local2"]


def test_one_that_runs_is_left_alone_and_named(backend: ContainerBackend) -> None:
    podman = FakePodman([row("local2", "running", os.getpid(), "/other/.lab/test")])
    with pytest.raises(LabError, match=r"in use by /other/\.lab/test"):
        backend._present(podman)
    assert podman.removed == []
