# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The current ansible-core on a newer Python than .venv's: `python -m tools.controllers`.

The unit tests run there, every playbook is read, and tune.yml runs in check mode on this machine (which changes
nothing on it). Says SKIPPED where no Python >= 3.12 is found.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from tools import artifact, interpreters, venv
from tools.shared import COLLECTIONS, ROOT, SkippedError, ToolError, finish, run

# What ansible-core 2.21 runs on.
SUPPORTED = [(3, 12), (3, 13), (3, 14)]
LOCK = ROOT / "requirements" / "controller.txt"


def newest() -> tuple[interpreters.Version, str]:
    """The newest interpreter found that the current ansible-core runs on."""
    found = {version: python for version, python in interpreters.find((3, 12)).items() if version in SUPPORTED}
    if not found:
        raise SkippedError(
            "the current ansible-core (2.21) needs Python 3.12 to 3.14, and none was found on this machine"
        )
    return max(found.items())


def environment(folder: Path) -> dict[str, str]:
    """Environment of the current controller: its programs first on PATH, this repository as the collection."""
    env = artifact.environment(COLLECTIONS)
    env["PATH"] = f"{folder / 'bin'}{os.pathsep}{env['PATH']}"
    return env


def unit_tests(folder: Path, env: dict[str, str]) -> str:
    """Run the unit tests but those of lab/, molecule/ and tools/ (.venv's only); return pytest's last line."""
    options = ["-q", "-n", "2", "-o", "cache_dir=.cache/pytest-controller"]
    options += [f"--ignore=tests/unit/{name}" for name in ("lab", "molecule", "tools")]
    shown = run([str(folder / "bin/pytest"), "tests/unit", *options], "unit tests", env=env)
    return shown.strip().splitlines()[-1].strip("= ")


def playbooks(folder: Path, env: dict[str, str]) -> int:
    """Read every playbook; return how many."""
    play = str(folder / "bin/ansible-playbook")
    names = [path.stem for path in sorted((ROOT / "playbooks").glob("*.yml"))]
    if "tune" not in names:
        raise ToolError(f"{ROOT}/playbooks: no tune.yml, the collection's main playbook")
    for name in names:
        command = [play, f"{artifact.FULL_NAME}.{name}", "--syntax-check", "--inventory", "inventories/lab"]
        run(command, f"playbook {name}", env=env)
    return len(names)


def tune_here(folder: Path, env: dict[str, str]) -> str:
    """Run tune in check mode on this machine; return what there is to tell of it."""
    if os.geteuid() and subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode:
        return "tune not run in check mode, which needs root or a sudo that asks for no password"
    command = [str(folder / "bin/ansible-playbook"), f"{artifact.FULL_NAME}.tune", "--check", "--diff"]
    command += ["--inventory", "localhost,", "--connection", "local", "-e", f"ansible_become={os.geteuid() != 0}"]
    # A machine, or a container, that lacks some keys is no fault of the controller's.
    command += ["-e", "tcp_tuning_profile=cloud", "-e", "tcp_tuning_unsupported=warn"]
    told = run(command, "tune in check mode on this machine", env=env)
    # A play that matches no host ends well too.
    if not re.search(r"^localhost\s*:\s*ok=[1-9]", told, re.MULTILINE):
        raise ToolError(f"tune in check mode: no task ran on localhost\n{told}")
    return "tune ran in check mode"


def main() -> int:
    """Make the controller's environment and use it."""
    version, python = newest()
    folder = ROOT / ".venv-controller"
    venv.ensure(folder, LOCK, python)
    env = environment(folder)
    told = run([str(folder / "bin/ansible"), "--version"], "ansible --version", env=env).splitlines()[0]
    tests = unit_tests(folder, env)
    number = playbooks(folder, env)
    tuned = tune_here(folder, env)
    print(f"{told} on Python {interpreters.text(version)}: {tests}; {number} playbooks read; {tuned}")
    return 0


if __name__ == "__main__":
    finish(main)
