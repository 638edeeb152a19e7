# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each tool is found by `python -m tools.NAME` as make calls it: the collection need not be on the path."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
# Those that are called; what they share is found with them.
CALLED = sorted(
    path.stem for path in (REPOSITORY / "tools").glob("*.py") if "__main__" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", CALLED)
def test_a_tool_finds_what_it_imports(name: str) -> None:
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-c", f"import tools.{name}"]
    done = subprocess.run(command, cwd=REPOSITORY, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_there_are_tools() -> None:
    assert {"bench", "bench_links", "reference"} <= set(CALLED)
