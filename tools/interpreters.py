# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Pythons this machine has: interpreters that really run, not a version manager's shims for absent versions."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

Version = tuple[int, int]

# Says what it is, and where the interpreter itself is (a shim, a link or an environment's python3 may stand before it).
WHO_ARE_YOU = (
    "import os, sys; print(sys.version_info[0], sys.version_info[1],"
    " os.path.realpath(getattr(sys, '_base_executable', None) or sys.executable))"
)


def text(version: Version) -> str:
    """A version as people write it: 3.12."""
    return f"{version[0]}.{version[1]}"


def candidates() -> Iterator[Path]:
    """Files that may be a Python 3: version managers' own folders before PATH, on which their slower shims stand."""
    home = Path.home()
    pyenv = Path(os.environ.get("PYENV_ROOT") or home / ".pyenv")
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or home / ".local/share/uv/python")
    folders = [Path("/usr/bin"), Path("/usr/local/bin")]
    folders += sorted(pyenv.glob("versions/*/bin")) + sorted(uv.glob("*/bin"))
    folders += [Path(name) for name in os.environ.get("PATH", os.defpath).split(os.pathsep) if name]
    seen = set()
    for folder in folders:
        for path in sorted(folder.glob("python3*")):
            if re.fullmatch(r"python3(\.\d+)?", path.name) and path not in seen:
                seen.add(path)
                yield path


def ask(path: Path) -> tuple[Version, str] | None:
    """Version and real path of an interpreter; None if it does not run."""
    try:
        done = subprocess.run([str(path), "-c", WHO_ARE_YOU], capture_output=True, text=True, timeout=20, check=True)
        major, minor, real = done.stdout.split(maxsplit=2)
        return (int(major), int(minor)), real.strip()
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def find(oldest: Version = (3, 8)) -> dict[Version, str]:
    """One interpreter for each version of Python from `oldest` on that this machine has, by version."""
    found: dict[Version, str] = {}
    for path in candidates():
        named = re.fullmatch(r"python(\d+)\.(\d+)", path.name)
        if named and (int(named[1]), int(named[2])) in found:
            continue
        answer = ask(path)
        if answer and answer[0] >= oldest:
            found.setdefault(*answer)
    return dict(sorted(found.items()))
