# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that cannot be reached does not stop the others, and the recap names it."""

from __future__ import annotations

from pathlib import Path

from tests.molecule.hosts import Target
from tests.molecule.playbook import run_playbook

# Port 1 of loopback: nobody listens there, and the answer comes at once.
INVENTORY = "cloud:\n  hosts:\n    gone1: {ansible_host: 127.0.0.1, ansible_port: 1, lab_id: 99}\n"


def test_the_others_are_asked_and_it_is_named(targets: dict[str, Target], tmp_path: Path) -> None:
    inventory = tmp_path / "lost.yml"
    inventory.write_text(INVENTORY, encoding="utf-8")
    run = run_playbook(tmp_path, f"--inventory={inventory}", "--check")
    assert run.status != 0
    assert sorted(run.results) == sorted([*targets, "gone1"])
    assert run.failed == ["gone1"]
    assert run.results["gone1"]["status"] == "unreachable"
    assert "gone1: unreachable" in run.output
