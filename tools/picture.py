# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws what a command printed on a terminal as an SVG: `COMMAND | python -m tools.picture TITLE OUT.svg`."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

WIDTH = 118
# Rich's own format fetches a font from elsewhere; a picture in a repository must not.
_FONT_FACE = re.compile(r"@font-face\s*\{\{.*?\}\}\s*", re.DOTALL)


def draw(text: str, title: str) -> str:
    """The SVG of a text that may have ANSI colours."""
    from rich._export_format import CONSOLE_SVG_FORMAT

    with Path("/dev/null").open("w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=WIDTH, file=nowhere, force_terminal=True)
        console.print(Text.from_ansi(text), soft_wrap=False)
        code_format = _FONT_FACE.sub("", CONSOLE_SVG_FORMAT).replace("Fira Code", "DejaVu Sans Mono, Menlo, Consolas")
        svg = console.export_svg(title=title, theme=MONOKAI, code_format=code_format, unique_id="terminal")
    return re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE).rstrip() + "\n"


def main(arguments: Sequence[str]) -> int:
    """Read the text from standard input, write the picture."""
    if len(arguments) != 2:
        sys.stderr.write("usage: COMMAND | python -m tools.picture TITLE OUT.svg\n")
        return 2
    title, out = arguments
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    Path(out).write_text(draw(sys.stdin.read(), title), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
