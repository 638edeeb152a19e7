# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tools have in common: where things are, how a command runs, how an error is told. Standard library only."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"
VENV = ROOT / ".venv"
# Where collection-link lets this repository be found as netfleet.tcp.
COLLECTIONS = CACHE / "collections"


class ToolError(Exception):
    """Something a tool cannot go on after; the text says what, where, and what to do."""


class SkippedError(Exception):
    """There is nothing here to run on; the text says what is missing."""


def run(
    command: Sequence[str],
    purpose: str,
    *,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    show: bool = False,
    tail: int = 25,
) -> str:
    """Run a command and return what it printed; on failure raise ToolError with the purpose and its last `tail` lines.

    With `show` the output goes straight to ours, and the result is empty.
    """
    try:
        done = subprocess.run(
            list(command),
            stdout=None if show else subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=cwd,
            env=env,
            check=False,
        )
    except FileNotFoundError as error:
        raise ToolError(
            f"{purpose}: {error.filename} is not installed (`make deps venv` installs what is needed)"
        ) from error
    if done.returncode:
        end = "" if show else "\n" + "\n".join(done.stdout.splitlines()[-tail:])
        raise ToolError(f"{purpose} failed (exit status {done.returncode}): {' '.join(command)}{end}")
    return "" if show else done.stdout


def stream(command: Sequence[str], purpose: str, *, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> str:
    """Run a command, print what it prints as it comes, and return that; on failure raise ToolError with the purpose."""
    lines = []
    with subprocess.Popen(
        list(command),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        cwd=cwd,
        env=env,
    ) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        raise ToolError(f"{purpose} failed (exit status {process.returncode}, see above): {' '.join(command)}")
    return "".join(lines)


def program(name: str) -> str:
    """Path of a program of .venv, however PATH stands."""
    path = VENV / "bin" / name
    if not path.exists():
        raise ToolError(f"{path}: not there; run `make venv`")
    return str(path)


def clean_environment(**changes: str) -> dict[str, str]:
    """Our environment less what make and ansible would inherit from it, .venv first on PATH, with `changes`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ANSIBLE_", "MOLECULE_", "MAKE"))
        and name not in ("MFLAGS", "VIRTUAL_ENV", "PYTHONPATH")
    }
    path = f"{VENV / 'bin'}{os.pathsep}{kept.get('PATH', os.defpath)}"
    return {**kept, "PATH": path, **changes}


def empty_folder(path: Path) -> Path:
    """An empty folder at `path`; what was there is removed."""
    if path.exists():
        shutil.rmtree(path)
    path.mkdir(parents=True)
    return path


@contextlib.contextmanager
def alone(target: str) -> Iterator[None]:
    """Hold the lock of a target that cannot run twice at once in one clone; raise ToolError where it is taken."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"make-{target}.lock").open("w", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ToolError(
                f"`make {target}` runs already in {ROOT}, and both would use the same hosts; wait for its end"
            ) from error
        yield


def finish(main: Callable[[], int]) -> None:
    """Run a tool's main and leave with its status; an expected error is one message, never a traceback."""
    try:
        status = main()
    except ToolError as error:
        print(f"error: {error}", file=sys.stderr)
        status = 1
    except SkippedError as reason:
        print(f"SKIPPED: {reason}")  # as the last line: tools.parts reads it
        status = 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = 130
    sys.exit(status)
