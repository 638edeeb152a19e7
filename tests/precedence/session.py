# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The other end of agent.py: starts it in namespaces of its own, and asks it."""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

AGENT = Path(__file__).with_name("agent.py")
# One tree takes milliseconds; a program that hangs must not hang us.
PATIENCE = 120.0


class AgentError(Exception):
    """The agent cannot work here, or does not answer; the text says why."""


class Session:
    """A running agent. As a context manager it is stopped at the end."""

    def __init__(self, root: Path, keys: Sequence[str]) -> None:
        argv = ["unshare", "--mount", "--net", sys.executable, "-I", "-X", "utf8", str(AGENT), str(root)]
        try:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        except FileNotFoundError as error:
            raise AgentError(f"{error.filename} is not installed; it is in Debian's util-linux") from error
        self._send(list(keys))
        self._answer()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.kill()
        self._process.communicate()

    def ask(self, **request: Any) -> dict[str, Any]:
        """The agent's answer to a request."""
        self._send(request)
        return self._answer()

    def _send(self, message: object) -> None:
        assert self._process.stdin is not None
        # Where nobody reads any more, its last words follow.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], PATIENCE)
        line = self._process.stdout.readline() if ready else ""
        answer: dict[str, Any] = json.loads(line) if line else {"error": self._last_words(bool(ready))}
        if "error" in answer:
            self._process.kill()
            self._process.communicate()
            raise AgentError(answer["error"])
        return answer

    def _last_words(self, ended: bool) -> str:
        self._process.kill()
        said = self._process.communicate()[1].strip().splitlines()
        return (said[-1] if said else "it ended without a word") if ended else f"no answer for {PATIENCE:.0f} s"
