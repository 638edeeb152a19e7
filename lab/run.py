# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running other programs with errors that say what failed, and the lines of progress a user watches."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from lab.errors import LabError

TAIL_LINES = 20


def tail(text: str, lines: int = TAIL_LINES) -> str:
    """The last lines of a text, without blank ones."""
    return "\n".join([line.rstrip() for line in text.splitlines() if line.strip()][-lines:])


def tail_of_console(text: str, lines: int = TAIL_LINES) -> str:
    """The last lines of a kernel's console; if it panicked, those around the reason and not the end of the trace."""
    shown = tail(text.replace("\r", ""), 10**6).splitlines()
    panics = [number for number, line in enumerate(shown) if "Kernel panic" in line]
    end = min(len(shown), panics[-1] + lines // 2) if panics else len(shown)
    return "\n".join(shown[max(0, end - lines) : end])


def run(
    argv: Sequence[str | Path],
    *,
    what: str,
    hint: str = "",
    stdin: str | bytes = b"",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float | None = None,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return what it said.

    `what` names the step in the user's words and `hint` says what to do if it fails; `env` is added to our own
    environment. Without `stdin` the program reads an empty input.

    :raises LabError: the program is not installed, took too long, or (with `check`) ended with an error.
    """
    words = [str(word) for word in argv]
    try:
        raw = subprocess.run(
            words,
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            timeout=timeout,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise LabError(f"{what}: {words[0]} is not installed (requirements/debian.txt names the packages)") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(_explain(what, words, f"no end after {timeout:.0f} s", "", hint)) from error
    stdout, stderr = (stream.decode(errors="replace") for stream in (raw.stdout, raw.stderr))
    done = subprocess.CompletedProcess(words, raw.returncode, stdout, stderr)
    if check and done.returncode != 0:
        raise LabError(_explain(what, words, f"exit status {done.returncode}", done.stderr or done.stdout, hint))
    return done


def _explain(what: str, words: Sequence[str], outcome: str, output: str, hint: str) -> str:
    command = shlex.join(words)
    if len(command) > 300:
        command = f"{command[:300]} ..."
    parts = [f"{what} failed: {outcome}", f"  command: {command}"]
    parts += [f"  | {line}" for line in tail(output).splitlines()]
    if hint:
        parts.append(f"  {hint}")
    return "\n".join(parts)


class Progress:
    """Lines of progress, one for each finished step with the seconds it took; safe to use from several threads."""

    def __init__(self, stream: TextIO | None = None, quiet: bool = False) -> None:
        self._stream = stream or sys.stdout
        self._quiet = quiet
        self._lock = threading.Lock()

    def line(self, text: str) -> None:
        """Print one line."""
        if self._quiet:
            return
        with self._lock:
            print(text, file=self._stream, flush=True)

    def done(self, subject: str, text: str, seconds: float) -> None:
        """Print that a step of a subject (a host, an image) ended."""
        self.line(f"  {subject:<10} {text} ({seconds:.1f} s)")

    @contextmanager
    def step(self, subject: str, text: str, announce: bool = False) -> Iterator[None]:
        """Time the body and print a line at its end, and with `announce` (for what takes long) one at its start."""
        if announce:
            self.line(f"  {subject:<10} {text} ...")
        start = time.monotonic()
        yield
        self.done(subject, text, time.monotonic() - start)
