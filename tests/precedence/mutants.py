# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Engines with one rule broken each: the comparison must find every one, or it proves nothing about that rule."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ansible_collections.netfleet.tcp.plugins.module_utils import _glob, _sysctl_d
from tests.precedence import compare


@dataclass(frozen=True)
class Mutant:
    """A broken rule. made: from the true function (or constant) the false one, that stands at place.name."""

    rule: str
    reader: str
    place: Any
    name: str
    made: Callable[[Any], Any]

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Break the rule for the time of the body."""
        true = getattr(self.place, self.name)
        users = [module for module in (self.place, compare) if getattr(module, self.name, None) is true]
        _glob._tokens.cache_clear()
        for module in users:
            setattr(module, self.name, self.made(true))
        try:
            yield
        finally:
            for module in users:
                setattr(module, self.name, true)
            _glob._tokens.cache_clear()


def _to(value: Any) -> Callable[[Any], Any]:
    return lambda _true: value


def _held_without_places(lines: Any, reasons: Any) -> list[int]:
    held: dict[object, int] = {}
    for number, line in enumerate(lines):
        held.pop(line.pattern, None)
        held[line.pattern] = number
    del reasons
    return list(held.values())


def _without(flaw: Callable[[str], bool]) -> Callable[[Any], Any]:
    """A reader of lines that passes over those with a flaw."""
    return lambda true: lambda line: None if flaw(line) else true(line)


def _files_with(change: Callable[[list[str], bool], list[str]]) -> Callable[[Any], Any]:
    return lambda true: lambda listing, reader, conf: change(true(listing, reader, conf), conf)


def _unblocked(true: Any) -> Any:
    del true
    return lambda _self, _glob_line: ""


_SWAPPED = ("/run/sysctl.d", "/etc/sysctl.d", *_sysctl_d.SYSCTL_DIRECTORIES[2:])
_CONF = _sysctl_d.SYSCTL_CONF
S, P, E = _sysctl_d.SYSTEMD, _sysctl_d.PROCPS, _sysctl_d

MUTANTS = (
    Mutant("the same value again keeps the place", S, E, "_held_by_systemd", _to(_held_without_places)),
    Mutant(
        "another value takes the place at the end",
        S,
        E,
        "_held_by_systemd",
        lambda _t: lambda lines, _r: [*range(len(lines))],
    ),
    Mutant("a key that is named is no glob's", S, E._Blocks, "reason", _unblocked),
    Mutant("a key that is named is no glob's", P, E._Blocks, "reason", _unblocked),
    Mutant("a line without = excludes", S, E, "_systemd_line", _without(lambda line: "=" not in line)),
    Mutant("a line without = excludes", P, E, "_procps_line", _without(lambda line: "=" not in line)),
    Mutant("a carriage return ends a line", S, E, "_SYSTEMD_LINE_END", _to(re.compile("\0"))),
    Mutant("a NUL ends a line", S, E, "_SYSTEMD_LINE_END", _to(re.compile("\n\r?|\r\n?"))),
    Mutant("a NUL ends what counts of a line", P, E, "_procps_line", lambda t: lambda line: t(line.replace("\0", ""))),
    Mutant("a form feed is no white space", S, E, "_SYSTEMD_SPACE", _to(E._PROCPS_SPACE)),
    Mutant("a form feed is white space", P, E, "_PROCPS_SPACE", _to(E._SYSTEMD_SPACE)),
    Mutant("a line may be long, but not longer", S, E, "_LONGEST_LINE", _to(1024 * 1024 + 1)),
    Mutant("a line may be long", S, E, "_LONGEST_LINE", _to(1024 * 1024 - 1)),
    Mutant("; begins a comment", S, E, "_systemd_line", lambda t: lambda line: t(line.replace(";", ""))),
    Mutant("; begins a comment", P, E, "_procps_line", lambda t: lambda line: t(line.replace(";", ""))),
    Mutant("a hidden file is passed over", S, E, "_chosen", lambda t: lambda listing, _reader: t(listing, P)),
    Mutant("a hidden file is read", P, E, "_chosen", lambda t: lambda listing, _reader: t(listing, S)),
    Mutant("/etc comes before /run", S, E, "SYSCTL_DIRECTORIES", _to(_SWAPPED)),
    Mutant("/etc comes before /run", P, E, "SYSCTL_DIRECTORIES", _to(_SWAPPED)),
    Mutant("sysctl.conf is not read", S, E, "files_in_order", _files_with(lambda p, conf: [*p, *[_CONF] * conf])),
    Mutant(
        "sysctl.conf is read last", P, E, "files_in_order", _files_with(lambda p, conf: [*[_CONF] * conf, *p][: len(p)])
    ),
    Mutant("a file's name is a pattern", P, E, "_opened_by_procps", _to(lambda path, _listing: [path])),
    Mutant("names sort byte by byte", S, E, "octets", _to(str.lower)),
    Mutant("braces are expanded", S, _glob, "expanded", _to(lambda text: [text])),
    Mutant("braces are not expanded", P, E, "_glob", lambda _t: lambda p, _r: _glob.Glob(p, True, "proc/sys")),
    Mutant(
        "a full stop that leads is matched by itself alone",
        S,
        _glob,
        "_component_matches",
        lambda t: lambda pattern, name: t(pattern, name.lstrip(".")),
    ),
    Mutant(
        "a bracket can exclude",
        S,
        _glob,
        "_bracket",
        lambda t: lambda p, at: t(p.replace("[!", "[").replace("[^", "["), at),
    ),
    Mutant("classes of characters", S, _glob, "_CLASSES", _to({})),
    Mutant("doubled separators are one", S, E, "_simplified", _to(lambda path: path)),
    Mutant(
        "doubled separators stay in the text",
        P,
        E._Blocks,
        "_spellings",
        lambda t: lambda self, line: [text.replace("//", "/") for text in t(self, line)],
    ),
    Mutant(".. is refused", S, E, "_key_path", lambda t: lambda pattern, _reader: t(pattern, P)),
    Mutant(".. goes up", P, E, "_key_path", lambda t: lambda pattern, _reader: t(pattern, S)),
    Mutant("dots and slashes change places", S, E, "_slashed", _to(lambda key: key.replace(".", "/"))),
    Mutant("a second - is a character", S, E, "_systemd_line", lambda t: lambda line: t(line.replace("--", "-"))),
    Mutant("a second - is dropped", P, E, "_procps_line", _without(lambda line: line.startswith("--"))),
)
