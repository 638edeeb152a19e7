# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks keys up in the catalogue and checks values against it, since the kernel accepts much that cannot be meant."""

from __future__ import annotations

import difflib
import fnmatch
import re
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._catalogue import KEYS, ORDERED_KEYS, REFUSED, Key
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import Problem
from ansible_collections.netfleet.tcp.plugins.module_utils._values import (
    fast_open_key,
    format_port_ranges,
    key_name,
    port_ranges,
)

INDEX: Dict[str, Key] = {key.name: key for key in KEYS}
if len(INDEX) != len(KEYS):
    raise AssertionError("the catalogue names a key twice")
# Refused keys that do nothing on any supported kernel: worth a word wherever a file still sets one.
DEAD_KEYS: Tuple[str, ...] = tuple(refused.pattern for refused in REFUSED if refused.dead)
POSITION: Dict[str, int] = {key.name: position for position, key in enumerate(KEYS)}
_DECIMAL = re.compile(r"(0|[1-9][0-9]*)\Z")
_HEX = re.compile(r"0[xX][0-9a-fA-F]+\Z")
_WORD = re.compile(r"[a-z0-9_-]{1,15}\Z")
# No number of the kernel's has more characters; int() refuses some thousand of them.
_LONGEST = 20


def suggestion(word: str, known: Iterable[str]) -> str:
    """'did you mean x?' or the list of what is known, for the cure of an unknown name."""
    names = sorted(known)
    close = difflib.get_close_matches(str(word), names, n=1)
    if close:
        return "did you mean %s?" % close[0]
    return "one of: %s" % ", ".join(names) if len(names) <= 12 else "see docs/catalogue.md"


def check_key(name: str, path: str) -> Optional[Problem]:
    """Why a key cannot be set by this collection; None where it can."""
    name = key_name(name)
    why, instead = refused_because(name)
    if why:
        return Problem(path, "%s %s" % (name, why), instead)
    if name not in INDEX:
        return Problem(path, "%s is not in the catalogue" % name, suggestion(name, INDEX))
    return None


def refused_because(name: str) -> Tuple[str, str]:
    """Why a key is refused, and what to do instead; empty where it is not."""
    for refused in REFUSED:
        if fnmatch.fnmatchcase(name, refused.pattern):
            return refused.why, refused.instead
    return "", ""


def check_value(name: str, value: Any, path: str) -> Tuple[str, List[Problem]]:
    """The value as it is written to a file, and what is wrong with it (type, arity, range, order).

    value: what the user wrote: a string, a number, a list of numbers, or a boolean where the key is a switch.
    """
    key = INDEX[name]
    if isinstance(value, (list, tuple)):
        value = (" " if key.kind == "int" else ",").join(str(item) for item in value)
    if isinstance(value, bool):
        if key.unit != "switch":
            return "", [Problem(path, "%s is not a value of %s" % (value, name), _expectation(key))]
        value = int(value)
    text = " ".join(str(value).split()) if value is not None else ""
    check = {"int": _check_numbers, "word": _check_word, "ports": _check_ports, "secret": _check_secret}[key.kind]
    text, wrong = check(key, text)
    shown = "" if key.kind == "secret" else " %r" % str(value)
    return text, [Problem(path, "%s:%s %s" % (name, shown, wrong), _expectation(key))] if wrong else []


def _expectation(key: Key) -> str:
    if key.kind == "int":
        number = "%d to %d" % (key.low, key.high)
        count = "" if key.fields == 1 else "%d numbers, each " % key.fields
        order = ", not decreasing" if key.ascending else ""
        return "%s%s %s%s: %s" % (count, number, key.unit, order, key.what)
    return {
        "word": "one word of lower-case letters, digits, _ and -",
        "ports": "ports and ranges with commas between, such as 8080,9000-9010",
        "secret": "one or two keys of the form 01234567-89abcdef-01234567-89abcdef, comma between",
    }[key.kind]


def _check_numbers(key: Key, text: str) -> Tuple[str, str]:
    fields = text.split()
    if len(fields) != key.fields:
        return text, "has %d fields, not %d" % (len(fields), key.fields)
    numbers = []
    for field in fields:
        if len(field) > _LONGEST:
            return text, "%s... is out of range" % field[:_LONGEST]
        if _DECIMAL.match(field):
            numbers.append(int(field))
        elif _HEX.match(field):
            numbers.append(int(field, 16))
        elif re.match(r"0[0-7]+\Z", field):
            return text, "%s would be read as octal (%d)" % (field, int(field, 8))
        else:
            return text, "%s is not a whole number" % field
    for number in numbers:
        if not key.low <= number <= key.high:
            return text, "%d is out of range" % number
    if key.ascending and numbers != sorted(numbers):
        return text, "fields decrease"
    return " ".join(str(number) for number in numbers), ""


def _check_word(key: Key, text: str) -> Tuple[str, str]:
    return text, "" if _WORD.match(text) else "is not a name of %s" % key.unit


def _check_ports(_key: Key, text: str) -> Tuple[str, str]:
    ranges = port_ranges(text)
    return ("", "is not a set of ports") if ranges is None else (format_port_ranges(ranges), "")


def _check_secret(_key: Key, text: str) -> Tuple[str, str]:
    normal = fast_open_key(text)
    return ("", "is not a fast open key") if normal is None else (normal, "")


def check_order(values: Mapping[str, str], path: str) -> List[Problem]:
    """Problems across keys: groups whose values must not decrease from one key to the next."""
    problems = []
    for group in ORDERED_KEYS:
        present = [(name, int(values[name])) for name in group if name in values]
        for (left, low), (right, high) in zip(present, present[1:]):
            if low > high:
                problems.append(Problem(path, "%s (%d) is above %s (%d)" % (left, low, right, high), "in this order"))
    return problems
