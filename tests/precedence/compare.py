# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine says of a tree, beside what a real program did with it."""

from __future__ import annotations

import hashlib
import posixpath
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from ansible_collections.netfleet.tcp.plugins.module_utils._glob import is_glob
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Assignment
from ansible_collections.netfleet.tcp.plugins.module_utils._sysctl_d import (
    PROCPS,
    SYSCTL_CONF,
    Boot,
    _opened_by_procps,
    _slashed,
    _systemd_line,
    _systemd_lines,
    assignments,
    explain_boot,
    files_in_order,
    hidden_files,
    parse,
)
from tests.precedence.agent import RESET
from tests.precedence.session import Session
from tests.precedence.spellings import KEYS
from tests.precedence.trees import Node, Tree

_SWAP = str.maketrans("./", "/.")
_DEPTH = 40  # of links, as the kernel has it
_LONGEST_NAME = 255
_DIRECTORIES = {"net/core", *(key.rsplit("/", depth)[0] for key in KEYS for depth in range(1, 5))}
# Bugs of the programs, and a limit of the engine, by which a tree is not compared. docs/precedence.md tells more.
LONG_GLOB = "a glob with a component of more than 255 bytes makes systemd-sysctl abort"
CLOSED_GLOB = "procps takes a file's name for a pattern and gives up at the first match that it cannot open"
NO_DIRECTORY = "procps looks whether there is a directory before a .., of which the engine knows nothing"
LEADING_DOTS = "systemd 252 refuses a key that begins with /../"


@dataclass(frozen=True)
class Program:
    """A real program. argv: how it is called at boot; shown: its name and version; suite: where it is from."""

    reader: str
    argv: tuple[str, ...]
    shown: str
    suite: str
    merged: bool = True  # /lib is /usr/lib

    @property
    def version(self) -> tuple[int, ...]:
        """The numbers in its version."""
        word = next(word for word in self.shown.split() if word[0].isdigit())
        return tuple(int(part) for part in word.split(".") if part.isdigit())


class DisagreementError(Exception):
    """The engine and a program disagree over a tree."""

    def __init__(self, tree: Tree, program: Program, wrong: list[str]) -> None:
        super().__init__("\n".join([f"{program.shown} ({program.suite}) and the engine disagree:", *wrong]))
        self.tree = tree


@dataclass
class Tally:
    """What was compared: distinct trees (their digests), what happened in how many, and what was left out and why."""

    trees: set[bytes] = field(default_factory=set)
    seen: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)

    def count(self, boots: Iterable[Boot]) -> None:
        """Take down what was told of one tree's keys."""
        for boot in boots:
            self.seen.update({reason for _entry, reason in boot.shadowed})
            self.seen["decided by a glob" if boot.winner and boot.winner.glob else "decided"] += boot.winner is not None


def text_of(latin: str) -> str:
    """Bytes written as latin-1, as a file's text reaches the engine."""
    return latin.encode("latin-1").decode("utf-8", "surrogateescape")


def target(tree: Tree, path: str) -> Node | None:
    """What stands at a path, through links; None where they lead nowhere or in circles."""
    nodes = {node.path: node for node in (*tree, Node("/dev/null", "file"))}
    for _ in range(_DEPTH):
        node = nodes.get(path)
        if node is None or node.kind != "link":
            return node
        path = posixpath.normpath(posixpath.join(posixpath.dirname(path), node.text))
    return None


def content(tree: Tree, path: str) -> str:
    """What reading a path gives: nothing for directories and for links that lead nowhere."""
    node = target(tree, path)
    return node.text if node is not None and node.kind == "file" else ""


@dataclass(frozen=True)
class Foreseen:
    """What the engine found in a tree: by key, the lines that are read and those in hidden files; and a known bug."""

    lines: dict[str, tuple[tuple[Assignment, ...], tuple[Assignment, ...]]]
    bug: str


def foresee(tree: Tree, program: Program) -> Foreseen:
    """What the engine finds."""
    listing: dict[str, list[str]] = {}
    for node in tree:
        directory, _slash, name = node.path.rpartition("/")
        listing.setdefault(directory, []).append(text_of(name))
    if program.merged:
        listing["/lib/sysctl.d"] = listing.get("/usr/lib/sysctl.d", [])
    paths = files_in_order(listing, program.reader, any(node.path == SYSCTL_CONF for node in tree))
    hidden = [path for path, _by in hidden_files(listing, program.reader)]
    parsed, unread = (_parsed(tree, some, program.reader) for some in (paths, hidden))
    names = {key: text_of(key).translate(_SWAP) for key in KEYS}
    lines = assignments(list(names.values()), parsed, program.reader)
    masked = assignments(list(names.values()), unread, program.reader)
    bug = known_bug(tree, program, [line for _name, line in parsed], listing)
    return Foreseen({key: (lines[name], masked[name]) for key, name in names.items()}, bug)


def _parsed(tree: Tree, paths: Iterable[str], reader: str) -> list[tuple[str, Assignment]]:
    return [entry for path in paths for entry in parse(path, text_of(content(tree, _latin(path))), reader)]


def compare(session: Session, program: Program, tree: Tree, tally: Tally) -> None:
    """Run the program over the tree.

    What a value does to a key is the kernel's affair: the agent writes each value that the lines hold and tells what
    comes of it, so that only the choice of the line is left to the engine.

    :raises DisagreementError: a key has not the value of the line that the engine names.
    """
    foreseen = foresee(tree, program)
    if foreseen.bug:
        tally.left_out[foreseen.bug] += 1
        return
    values = {key: _values(lines) for key, (lines, _masked) in foreseen.lines.items()}
    writes = {key: [_latin(value) for value in told] for key, told in values.items()}
    nodes = [[node.path, node.kind, node.text] for node in tree]
    answer = session.ask(what="tree", program=program.argv, tree=nodes, writes=writes)
    boots, wrong = [], []
    for key, (lines, masked) in foreseen.lines.items():
        taken = {value for value, good in zip(values[key], answer["taken"][key], strict=True) if good}
        boot = explain_boot(lines, program.reader, taken.__contains__, masked)
        boots.append(boot)
        after = dict(zip(values[key], answer["after"][key], strict=True))
        expected = RESET if boot.winner is None else after[boot.winner.value or ""]
        if answer["state"][key] != expected:
            place = boot.winner.place if boot.winner else "no line decides"
            wrong.append(f"  {key}: the engine foresaw {expected} ({place}), the program left {answer['state'][key]}")
    if answer["status"] & 0x7F:
        wrong.append(f"  the program was ended by signal {answer['status'] & 0x7F}")
    if wrong:
        raise DisagreementError(tree, program, wrong)
    digest = hashlib.sha256(repr(nodes).encode()).digest()
    if digest not in tally.trees:
        tally.trees.add(digest)
        tally.count(boots)


def _values(lines: Iterable[Assignment]) -> list[str]:
    return list(dict.fromkeys(line.value for line in lines if line.value is not None))


def _latin(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def known_bug(tree: Tree, program: Program, lines: Iterable[Assignment], listing: dict[str, list[str]]) -> str:
    """Why a tree is not compared with this program: one of the bugs in docs/precedence.md that it would meet."""
    if program.reader == PROCPS and _has_closed_glob(tree, listing):
        return CLOSED_GLOB
    for line in lines:
        if program.reader == PROCPS:
            if not _stays_in_directories(line.pattern):
                return NO_DIRECTORY
            continue
        if line.glob and any(len(_latin(part)) > _LONGEST_NAME for part in line.pattern.split("/")):
            return LONG_GLOB
        if program.version < (257,) and _leads_with_dots(tree, line):
            return LEADING_DOTS
    return ""


def _has_closed_glob(tree: Tree, listing: dict[str, list[str]]) -> bool:
    """Whether a file's name, taken as a pattern, yields several, and among them a link that cannot be opened."""
    for directory, names in listing.items():
        for name in names:
            opened = _opened_by_procps(directory + "/" + name, listing)
            if len(opened) > 1 and any(target(tree, _latin(path)) is None for path in opened):
                return True
    return False


def _stays_in_directories(pattern: str) -> bool:
    """Whether what stands before each ".." is a directory, which the engine takes for granted."""
    path: list[str] = ["proc", "sys"]
    for part in _latin(pattern).split("/"):
        if part == ".." and path[2:] and not is_glob(path[-1]) and "/".join(path[2:]) not in _DIRECTORIES:
            return False
        if part == "..":
            path = path[:-1]
        elif part not in ("", "."):
            path.append(part)
    return True


def _leads_with_dots(tree: Tree, line: Assignment) -> bool:
    """Whether the engine took the line's key although it has a "..": it takes one at the root alone."""
    raw = _systemd_lines(text_of(content(tree, _latin(line.file))))[line.line - 1]
    read = _systemd_line(raw)
    return read is not None and ".." in _slashed(read[0]).split("/")
