# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A page of docs/ of which a measurement writes the part between two marks: its tables, and the day and the machine."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.shared import ToolError


@dataclass(frozen=True)
class MarkedPage:
    """template: the whole page, as it is made where it is not there. what: is written, in words."""

    template: str
    begin: str
    end: str
    what: str = "the table goes"

    def write(self, path: Path, body: str) -> None:
        """Replace what stands between the marks. ToolError where they are not there, or in the wrong order."""
        text = path.read_text(encoding="utf-8") if path.exists() else self.template
        before, begin, rest = text.partition(self.begin)
        _, end, after = rest.partition(self.end)
        if not begin or not end:
            marks = f"the lines {self.begin} and {self.end}, between which {self.what}"
            raise ToolError(f"{path}: {marks}, are not there")
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{before}{self.begin}\n{body}\n{self.end}{after}", encoding="utf-8")


def machine() -> str:
    """What measures: cores, and the kernel."""
    return f"{os.cpu_count()} cores, Linux {platform.release().split('-')[0]}"


def today() -> str:
    """The day, by UTC."""
    return f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A table in Markdown that reads well as plain text too; the first `left` columns are aligned to the left."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]

    def text(line: Sequence[str]) -> str:
        cells = [
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        return "| " + " | ".join(cells) + " |"

    rule = ["-" * (width + 2) if column < left else "-" * (width + 1) + ":" for column, width in enumerate(widths)]
    return "\n".join([text(head), "|" + "|".join(rule) + "|", *map(text, rows)])
