# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trees of sysctl.d files, and hypothesis' way to make up many: small, and of few words, so that lines meet."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from hypothesis import strategies as st
from hypothesis.vendor.pretty import RepresentationPrinter

from tests.precedence.agent import DIRECTORIES, SYSCTL_CONF
from tests.precedence.spellings import KEYS, globs, spellings

LONG_LINE = 1024 * 1024
# What a real boot may hold in a directory of sysctl.d, by the rules that it touches.
NAMES = (
    "10-a.conf",
    "20-b.conf",
    "50-c.conf",
    "99-z.conf",
    "99-sysctl.conf",
    "A.conf",
    "10-a-b.conf",
    ".h.conf",
    ".conf",
    "10-a.conf~",
    "10-a.conf.bak",
    "README",
    "[1]0-a.conf",
    "*.conf",
    "{50-c,10-a}.conf",
    "5?-c.conf",
    r"\10-a.conf",
    "é.conf",
)
TARGETS = (
    "/dev/null",
    "../sysctl.conf",
    "10-a.conf",
    "/etc/sysctl.d/20-b.conf",
    "nowhere",
    "../nowhere/x",
    "99-z.conf",
)
ENDS = ("\n", "\n", "\n", "\n", "\r\n", "\n\n", "\r", "\0", "\n\r", "\n\0", "\r\r", "\r\n\0", "\0\0")
BLANKS = ("", " ", "\t", "  ", "\v", "\f", "\r", "\x1c", "\xa0")
EDGES = (*BLANKS, " " * 5000)
VALUES = ("1", "2", "3", "", "x", "4 5", "=1", "0x3", "1 # c", "1;2", "2\xff", "\v2", "-1", "1\x1f", "02", "=")
# Characters with which a key or glob is damaged.
DAMAGE = (*"*?[]{},\\!^-:/.#;= ", "..", "//", "/./", "[!", "{,", "\xff", "é".encode().decode("latin-1"))
NOISE = (
    "# comment",
    ";comment=1",
    "  # net.ipv4.ip_default_ttl=1",
    "word",
    "",
    " ",
    "=",
    "=1",
    "-",
    "-=1",
    "--",
    "\xff\xfe\x00",
    "#" * 5000,
)


_ENDS = st.sampled_from(ENDS)
_PATHS = st.sampled_from([f"{directory}/{name}" for name in NAMES[:5] for directory in DIRECTORIES])
_ODD_PATHS = st.sampled_from([f"{directory}/{name}" for name in NAMES for directory in DIRECTORIES])


@dataclass(frozen=True)
class Node:
    """What stands at a path. kind: file, link or directory; text: bytes as latin-1."""

    path: str
    kind: str
    text: str = ""

    def __repr__(self) -> str:
        shown = self.text if len(self.text) < 20000 else f"{self.text[:40]} ... ({len(self.text)} bytes)"
        return f"{self.path}: {self.kind} {shown!r}"

    def _repr_pretty_(self, printer: RepresentationPrinter, _cycle: bool) -> None:
        # What hypothesis prints of a dataclass would hold all of a long line.
        printer.text(repr(self))


Tree = tuple[Node, ...]


def _often(usual: st.SearchStrategy[str], rare: st.SearchStrategy[str], times: int) -> st.SearchStrategy[str]:
    return st.integers(0, times).flatmap(lambda number: rare if number == times else usual)


@st.composite
def _damaged(draw: st.DrawFn, text: str) -> str:
    place = draw(st.integers(0, len(text)))
    kept = draw(st.booleans())
    return text[:place] + draw(st.sampled_from(DAMAGE)) + text[place + (not kept) :]


@cache
def _keys(focus: tuple[str, ...]) -> st.SearchStrategy[str]:
    """Ways to write some keys: their spellings, globs that match them, and both damaged."""
    texts = [text for key in focus for text in (*spellings(key), *globs(key))]
    plain = [spellings(key)[0] for key in focus]
    simple = [text for key in focus for text in globs(key)[:4]]
    usual = st.one_of(st.sampled_from(plain), st.sampled_from(simple), st.sampled_from(texts))
    return _often(usual, st.sampled_from(texts).flatmap(_damaged), 8)


@st.composite
def _line(draw: st.DrawFn, keys: st.SearchStrategy[str]) -> str:
    kind = draw(st.integers(0, 19))
    if kind == 19:
        return draw(st.sampled_from(NOISE))
    blanks = [draw(st.sampled_from(BLANKS)) for _ in range(2)] if kind > 14 else [" ", " "]
    edges = [draw(st.sampled_from(EDGES)) for _ in range(2)] if kind > 14 else ["", ""]
    dash = draw(st.sampled_from(["", "-", "--", "- "])) if kind > 10 else ""
    key = draw(keys)
    if kind in (9, 10, 18):
        return f"{edges[0]}-{dash}{key}{blanks[0]}{edges[1]}"
    value = draw(st.sampled_from(VALUES if kind in (7, 8, 17) else VALUES[:2]))
    return f"{edges[0]}{dash}{key}{blanks[0]}={blanks[1]}{value}{edges[1]}"


@st.composite
def _text(draw: st.DrawFn, lines: st.SearchStrategy[str]) -> str:
    odd = draw(st.booleans())
    text = "".join(line + (draw(_ENDS) if odd else "\n") for line in draw(st.lists(lines, max_size=5)))
    if draw(st.integers(0, 59)) == 59:
        # The longest line that systemd reads, or one byte more: then the text behind it does not count.
        long_line = "#" * draw(st.sampled_from([LONG_LINE - 1, LONG_LINE])) + "\n"
        return draw(st.sampled_from([long_line + text, text + long_line + text]))
    return text[:-1] if draw(st.integers(0, 3)) == 3 else text


@st.composite
def _node(draw: st.DrawFn, path: str, lines: st.SearchStrategy[str]) -> Node:
    kind = draw(st.integers(0, 15))
    if kind == 15:
        return Node(path, "directory")
    if kind in (13, 14):
        return Node(path, "link", draw(st.sampled_from(TARGETS)))
    return Node(path, "file", "" if kind == 12 else draw(_text(lines)))


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """A tree of one to six things in the four directories, and perhaps /etc/sysctl.conf."""
    focus = tuple(draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=3, unique=True)))
    # Few words and few lines, so that the same ones come again.
    keys = draw(st.lists(_keys(focus), min_size=2, max_size=5))
    some = draw(st.lists(_line(st.sampled_from(keys)), min_size=1, max_size=5))
    lines = st.one_of(st.sampled_from(some), _line(st.sampled_from(keys)))
    places = _ODD_PATHS if draw(st.integers(0, 3)) == 3 else _PATHS
    paths = draw(st.lists(places, min_size=1, max_size=6, unique=True))
    if draw(st.integers(0, 2)) == 2:
        paths.append(SYSCTL_CONF)
    nodes = [draw(_node(path.encode().decode("latin-1"), lines)) for path in paths]
    return tuple(sorted(nodes, key=lambda node: node.path))
