# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""glob(3) against names that are known, as glibc does it in the C locale: byte by byte, component by component.

Pure. Time is linear in the pattern for each name: no backtracking but to the last asterisk. Two limits, which no real
file comes near: a longer pattern matches nothing, and of the alternatives that braces make the first ones count. A
component ``..`` matches nothing.
"""

from __future__ import annotations

import string
from functools import lru_cache
from typing import Dict, FrozenSet, Iterable, List, Optional, Set, Tuple, Union

LONGEST_PATTERN = 1024
MOST_ALTERNATIVES = 64

_GLOB_CHARACTERS = frozenset("*?[")
_SPECIAL = frozenset("*?[\\")
_NOTHING: FrozenSet[str] = frozenset()
_ANY = frozenset(map(chr, range(256)))
_STAR = None
# A literal character, a set of characters, or an asterisk.
_Token = Union[str, FrozenSet[str], None]

_CLASSES: Dict[str, FrozenSet[str]] = {
    "alnum": frozenset(string.ascii_letters + string.digits),
    "alpha": frozenset(string.ascii_letters),
    "blank": frozenset(" \t"),
    "cntrl": frozenset([*map(chr, range(32)), "\x7f"]),
    "digit": frozenset(string.digits),
    "graph": frozenset(map(chr, range(33, 127))),
    "lower": frozenset(string.ascii_lowercase),
    "print": frozenset(map(chr, range(32, 127))),
    "punct": frozenset(string.punctuation),
    "space": frozenset(" \t\n\v\f\r"),
    "upper": frozenset(string.ascii_uppercase),
    "xdigit": frozenset(string.hexdigits),
}


def octets(text: str) -> str:
    """The text's UTF-8 bytes, each as the character of its number; undecodable bytes (surrogate escapes) as they were.

    Strings in this form compare as strcmp compares bytes. ASCII stays what it is.
    """
    if text.isascii():
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("latin-1")
    except UnicodeEncodeError:
        # A lone surrogate that no byte of a file can have become.
        return text.encode("utf-8", "surrogatepass").decode("latin-1")


def is_glob(text: str) -> bool:
    """Whether both readers of sysctl.d take the text for a pattern. Braces alone do not make one."""
    return not _GLOB_CHARACTERS.isdisjoint(text)


class Glob:
    """A pattern of paths. braces: ``{a,b}`` stands for two patterns (GLOB_BRACE).

    below: the directory in which it is looked up. With it ``..`` goes up, as if what stands before it were a directory;
    without it no path with ``..`` is yielded.
    """

    def __init__(self, pattern: str, braces: bool, below: str = "") -> None:
        self._below = below.split("/") if below else []
        text = octets(pattern)
        texts = [] if len(text) > LONGEST_PATTERN else expanded(text) if braces else [text]
        self._alternatives = [_components(alternative) for alternative in texts]

    def matches(self, path: str) -> bool:
        """Whether the pattern yields the path (without doubled slashes)."""
        return bool(self.spellings(path))

    def spellings(self, path: str) -> List[str]:
        """The texts (as octets) in which glob(3) returns this path: the pattern's own ``//`` and ``/./`` stay."""
        parts = octets(path).split("/")
        found = [_spelling(alternative, parts, self._below) for alternative in self._alternatives]
        return [text for text in found if text is not None]

    def select(self, names: Iterable[str]) -> List[str]:
        """Those of the names in one directory that the pattern yields: by alternative, then as they come."""
        parts = [(name, [octets(name)]) for name in names]
        return [
            name
            for alternative in self._alternatives
            for name, part in parts
            if _spelling(alternative, part, []) is not None
        ]


def expanded(text: str) -> List[str]:
    """The patterns that the braces in a text stand for, in glob's order. A brace that is not closed is a character."""
    done: List[str] = []
    waiting = [text]
    while waiting and len(done) < MOST_ALTERNATIVES:
        current = waiting.pop()
        group = _first_group(current)
        if group is None:
            done.append(current)
        else:
            start, cuts = group
            middles = [current[left + 1 : right] for left, right in zip([start, *cuts], cuts)]
            before, after = current[:start], current[cuts[-1] + 1 :]
            waiting += [before + middle + after for middle in reversed(middles[:MOST_ALTERNATIVES])]
    return done


def _first_group(text: str) -> Optional[Tuple[int, List[int]]]:
    """Where the first brace stands, and where its commas and its closing brace do."""
    start, depth = -1, 0
    cuts: List[int] = []
    position = 0
    while position < len(text):
        character = text[position]
        if character == "\\":
            position += 1
        elif start < 0:
            start = position if character == "{" else -1
        elif character == "{":
            depth += 1
        elif character == "," and depth == 0:
            cuts.append(position)
        elif character == "}":
            if depth == 0:
                return start, [*cuts, position]
            depth -= 1
        position += 1
    return None


def _components(text: str) -> List[str]:
    parts = text.split("/")
    for number, part in enumerate(parts[:-1]):
        if is_glob(part):
            break
        # Up to the first component that is a pattern, glibc takes the escapes out of all at once, those of slashes too.
        if (len(part) - len(part.rstrip("\\"))) % 2:
            parts[number] = part[:-1]
    return parts


def _spelling(alternative: List[str], parts: List[str], below: List[str]) -> Optional[str]:
    if alternative[-1] in ("", ".", ".."):
        # Only a directory is found by it.
        return None
    # Where in the alternative each component of the path comes from; negative for those of the directory below.
    places = list(range(-len(below), 0))
    for place, pattern in enumerate(alternative):
        if pattern == "..":
            if not below:
                return None
            places = places[:-1]
        elif pattern not in ("", "."):
            places.append(place)
    if len(places) != len(below) + len(parts):
        return None
    spelled = list(alternative)
    for place, name in zip(places, [*below, *parts]):
        if not (_component_matches(alternative[place], name) if place >= 0 else below[place] == name):
            return None
        if place >= 0:
            spelled[place] = name
    return "/".join(spelled)


def _component_matches(pattern: str, name: str) -> bool:
    if _SPECIAL.isdisjoint(pattern):
        return pattern == name
    tokens = _tokens(pattern)
    if name.startswith(".") and tokens[:1] != (".",):
        # Only a full stop itself stands for one that leads a name.
        return False
    at, star, resumed, seen = 0, -1, 0, 0
    while seen < len(name):
        token = tokens[at] if at < len(tokens) else _NOTHING
        if token is _STAR:
            star, resumed = at, seen
            at += 1
        elif name[seen] in token:
            at += 1
            seen += 1
        elif star >= 0:
            resumed += 1
            at, seen = star + 1, resumed
        else:
            return False
    return all(token is _STAR for token in tokens[at:])


@lru_cache(maxsize=1024)
def _tokens(pattern: str) -> Tuple[_Token, ...]:
    tokens: List[_Token] = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if character == "*":
            if tokens[-1:] != [_STAR]:
                tokens.append(_STAR)
        elif character == "?":
            tokens.append(_ANY)
        elif character == "\\":
            # One at the very end matches nothing.
            tokens.append(pattern[position : position + 1] or _NOTHING)
            position += 1
        elif character == "[":
            bracket = _bracket(pattern, position)
            tokens.append(bracket[0] if bracket else "[")
            position = bracket[1] if bracket else position
        else:
            tokens.append(character)
    return tuple(tokens)


def _bracket(pattern: str, position: int) -> Optional[Tuple[FrozenSet[str], int]]:
    """The characters that a bracket stands for and where the pattern goes on; None where nothing closes it."""
    if pattern.find("]", position) < 0:
        return None
    negated = pattern[position : position + 1] in ("!", "^")
    position += negated
    first = position
    members: Set[str] = set()
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if character == "]" and position - 1 > first:
            return (_ANY - members if negated else frozenset(members)), position
        if character == "[" and pattern[position : position + 1] == ":":
            end = pattern.find(":]", position + 1)
            name = pattern[position + 1 : end] if end > 0 else ""
            if name in _CLASSES:
                members |= _CLASSES[name]
                position = end + 2
                continue
        if character == "\\":
            character = pattern[position : position + 1]
            position += 1
        low = high = character
        if pattern[position : position + 1] == "-" and pattern[position + 1 : position + 2] not in ("", "]"):
            high, position = pattern[position + 1], position + 2
            if high == "\\":
                high = pattern[position : position + 1]
                position += 1
        members |= _range(low, high)
    return None


def _range(low: str, high: str) -> FrozenSet[str]:
    if not low or not high:
        return _NOTHING
    return frozenset(map(chr, range(ord(low), ord(high) + 1)))
