# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the parts of `make test` are shown: live lines on a terminal, plain lines in a log, a table at the end."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from tools.parts import Part

MOST_NAMED = 3  # tests of each failing part below the table, and as many reasons
TAIL = 8  # last lines of a failing part's log that are shown
TEST = re.compile(r"(FAILED|ERROR) \S+::")  # a line of pytest's summary
TELLING = re.compile(r"\b(error|fatal|failed(?!=)|critical|traceback)\b|^E  |^FAILED |Error\b", re.IGNORECASE)
MOST_TELLING = 25  # lines of the log that may say why it failed
WIDEST = 300
HEARTBEAT = 60  # seconds between two signs of life in a log
STYLES = {"waiting": "dim", "running": "cyan", "passed": "green", "failed": "bold red", "skipped": "yellow"}


@contextlib.contextmanager
def display(parts: Sequence[Part]) -> Iterator[Callable[[], None]]:
    """Give a function that shows how the parts stand now; call it often."""
    console = Console(highlight=False, soft_wrap=True)
    if console.is_terminal:
        with Live(console=console, refresh_per_second=4, transient=True) as live:
            told = _Told(console)

            def show() -> None:
                told.tell_finished(parts)
                live.update(_live_lines(parts))

            yield show
    else:
        told = _Told(console)

        def show_plainly() -> None:
            told.tell_started(parts)
            told.tell_finished(parts)

        yield show_plainly


class _Told:
    """Says each thing once."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._finished: set[str] = set()
        self._last_sign: dict[str, float] = {}

    def tell_started(self, parts: Sequence[Part]) -> None:
        """A line when a part begins, and one each minute while it runs."""
        for part in parts:
            if part.outcome.value != "running":
                continue
            now = time.monotonic()
            if part.name not in self._last_sign:
                self._last_sign[part.name] = now
                self._console.print(f"{part.name:<15} started")
            elif now - self._last_sign[part.name] > HEARTBEAT:
                self._last_sign[part.name] = now
                self._console.print(f"{part.name:<15} {part.elapsed():5.0f} s  {_last_line(part)}", markup=False)

    def tell_finished(self, parts: Sequence[Part]) -> None:
        """A line when a part ends; table() says why one failed."""
        for part in parts:
            if part.outcome.value in ("waiting", "running") or part.name in self._finished:
                continue
            self._finished.add(part.name)
            self._console.print(_line(part))
            if part.outcome.value == "failed":
                self._console.print(f"  the whole log: {part.log}", markup=False)


def excerpt(lines: Sequence[str]) -> list[str]:
    """Of a failing part's log the lines that may say why, the first of them, and how it ends."""
    end = max(len(lines) - TAIL, 0)
    told = [line for line in lines[:end] if TELLING.search(line)][:MOST_TELLING]
    return [line[:WIDEST] for line in (*told, *([".."] if told else []), *lines[end:])]


def verdict(lines: Sequence[str]) -> list[str]:
    """Of a failing part's log the few lines that are worth most: tests that failed and why; else errors; else its end.

    Tests come before other errors: molecule's last ones say no more than that a scenario failed.
    """
    tests = [line for line in lines if TEST.match(line)]
    # Of what pytest prints on an assertion the first line: the others explain it.
    why = [line for before, line in pairwise(["", *lines]) if line.startswith("E  ") and not before.startswith("E  ")]
    told = [*tests[-MOST_NAMED:], *why[-MOST_NAMED:]]
    errors = [line for line in lines if line.startswith("ERROR ")]
    return [line[:WIDEST] for line in told or (errors or list(lines))[-MOST_NAMED:]]


def _last_line(part: Part) -> str:
    return next(reversed(part.lines()), "")[:90]


def _line(part: Part) -> Text:
    line = Text(f"{part.name:<15} ")
    line.append(f"{part.outcome.value:<8}", STYLES[part.outcome.value])
    line.append(f" {part.elapsed():7.1f} s  ")
    line.append(part.why or (_last_line(part) if part.outcome.value == "running" else ""), "dim")
    return line


def _live_lines(parts: Sequence[Part]) -> Table:
    lines = Table.grid()
    lines.add_column(no_wrap=True, overflow="ellipsis")
    for part in parts:
        if part.outcome.value in ("waiting", "running"):
            lines.add_row(_line(part))
    return lines


def table(parts: Sequence[Part], seconds: float) -> None:
    """Print why parts failed, how each part went and how long it took, what failed in a few lines, and the count last.

    Last, since of a long output often no more than the end is kept or read, and of that only some hundred characters.
    """
    console = Console(highlight=False, soft_wrap=True)
    console.print()
    for part in parts:
        if part.outcome.value == "failed":
            console.print(_line(part))
            for line in excerpt(part.lines()):
                console.print(f"  | {line}", markup=False)
            console.print()
    for part in parts:
        console.print(_line(part))
    minutes, rest = divmod(round(seconds), 60)
    counts = {name: sum(part.outcome.value == name for part in parts) for name in ("passed", "failed", "skipped")}
    console.print(f"{'all together':<15} {minutes} min {rest} s")
    for part in parts:
        if part.outcome.value == "failed":
            for line in verdict(part.lines()):
                console.print(f"{part.name}: {line}", markup=False)
    console.print(", ".join(f"{number} {name}" for name, number in counts.items()))
