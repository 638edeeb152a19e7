# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netfleet.tcp.plugins.module_utils._glob import MOST_ALTERNATIVES, Glob, expanded, octets


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("*", "abc", True),
        ("*", "", True),
        ("a*c", "abc", True),
        ("a*c", "ac", True),
        ("a*c", "abd", False),
        ("*b*b*", "abab", True),
        ("*b*bb", "abab", False),
        ("a**", "a", True),
        ("?", "a", True),
        ("?", "", False),
        ("a?", "a", False),
        ("[ab]", "b", True),
        ("[ab]", "c", False),
        ("[!ab]", "c", True),
        ("[^ab]", "a", False),
        ("[a-c]x", "bx", True),
        ("[c-a]", "b", False),
        ("[a-]", "-", True),
        ("[]a]", "]", True),
        ("[]", "[]", True),
        ("[!]a]", "b", True),
        ("[a", "[a", True),
        ("[a", "a", False),
        ("[a*", "[ab", True),
        ("[[:digit:]_]", "7", True),
        ("[[:digit:]_]", "_", True),
        ("[![:digit:]]", "7", False),
        ("[[:nosuch:]]", "n", False),
        (r"[\]a]", "]", True),
        (r"\*", "*", True),
        (r"\*", "a", False),
        (r"a\b*", "abc", True),
        ("a\\", "a", False),
        # A full stop that leads is matched by itself alone.
        ("*", ".a", False),
        ("?a", ".a", False),
        ("[.]a", ".a", False),
        (".*", ".a", True),
        ("a*", "a.b", True),
        # Bytes count, not characters.
        ("?", "é", False),
        ("??", "é", True),
        ("[é]?", "é", True),
        ("\udcff", "\udcff", True),
    ],
)
def test_one_component(pattern: str, name: str, matches: bool) -> None:
    assert Glob(pattern, braces=False).matches(name) is matches


@pytest.mark.parametrize(
    ("pattern", "path", "spellings"),
    [
        ("a/*/c", "a/b/c", ["a/b/c"]),
        ("a/*", "a/b/c", []),
        ("*", "a/b", []),
        ("a//*", "a/b", ["a//b"]),
        ("/a/./*", "a/b", ["/a/./b"]),
        ("a/*/", "a/b", []),
        ("a/*/.", "a/b", []),
        ("a/*/../b", "a/b", []),
        (r"\a/*", "a/b", ["a/b"]),
        # A slash can be escaped as long as no component is a pattern.
        ("a\\/*", "a/b", ["a/b"]),
        ("a\\\\/*", "a/b", []),
        ("*\\/b", "a/b", []),
        ("*/b\\/c", "a/b/c", []),
    ],
)
def test_a_spelling_is_the_patterns_own(pattern: str, path: str, spellings: list[str]) -> None:
    assert Glob(pattern, braces=False).spellings(path) == spellings


@pytest.mark.parametrize(
    ("pattern", "spellings"),
    [
        ("a/x/../b/*", ["a/x/../b/c"]),
        ("a/*/../b/*", ["a/*/../b/c"]),
        ("../s/a/b/*", ["../s/a/b/c"]),
        ("../../../p/s/a/b/*", ["../../../p/s/a/b/c"]),
        ("../a/b/*", []),
        ("../../a/b/*", []),
        ("a/b/*/..", []),
    ],
)
def test_dot_dot_goes_up_where_the_directory_is_known(pattern: str, spellings: list[str]) -> None:
    assert Glob(pattern, braces=False, below="p/s").spellings("a/b/c") == spellings
    assert Glob(pattern, braces=False).spellings("a/b/c") == []


@pytest.mark.parametrize(
    ("text", "patterns"),
    [
        ("a", ["a"]),
        ("{a,b}", ["a", "b"]),
        ("x{a,b}y{c,d}", ["xayc", "xayd", "xbyc", "xbyd"]),
        ("{a,{b,c}d}", ["a", "bd", "cd"]),
        ("{a}", ["a"]),
        ("{}", [""]),
        ("{,a}", ["", "a"]),
        ("{a", ["{a"]),
        ("a}", ["a}"]),
        (r"\{a,b}", [r"\{a,b}"]),
        (r"{a\,b,c}", [r"a\,b", "c"]),
        ("{a/b,c}", ["a/b", "c"]),
    ],
)
def test_braces(text: str, patterns: list[str]) -> None:
    assert expanded(text) == patterns


@pytest.mark.parametrize("text", ["{a,b}" * 60, "{" * 500 + "}" * 500, "{" + "a," * 2000 + "}"])
def test_the_work_for_braces_is_bounded(text: str) -> None:
    assert len(expanded(text)) <= MOST_ALTERNATIVES


def test_braces_are_characters_where_they_do_not_count() -> None:
    assert Glob("{a,b}*", braces=False).matches("{a,b}c")
    assert not Glob("{a,b}*", braces=False).matches("ac")
    assert Glob("{a,b}*", braces=True).matches("ac")


def test_names_are_selected_by_alternative() -> None:
    assert Glob("{b,a}*", braces=True).select(["a1", "b1", "b2", "c"]) == ["b1", "b2", "a1"]


# Where Python's fnmatch and glibc's agree: no backslash, no "^", no class, no leading full stop.
_TEXT = st.text(alphabet="ab-]", min_size=1, max_size=6)
_PATTERN = st.lists(st.sampled_from(["a", "b", "*", "?", "[ab]", "[!a]", "[a-b]", "-"]), min_size=1, max_size=8).map(
    "".join
)


@given(_PATTERN, _TEXT)
def test_it_agrees_with_fnmatch(pattern: str, name: str) -> None:
    assert Glob(pattern, braces=False).matches(name) == fnmatch.fnmatchcase(name, pattern)


@given(st.text(alphabet="ab[]{},*?\\!^-:/.é", max_size=40), st.text(max_size=10), st.booleans())
def test_anything_is_a_pattern(pattern: str, name: str, braces: bool) -> None:
    assert Glob(pattern, braces).matches(name) in (True, False)


@pytest.mark.parametrize("pattern", ["*a" * 500, "[[:" * 300, "[" * 1024, "\\" * 1023, "*" * 100_000])
def test_hostile_patterns_are_survived(pattern: str) -> None:
    assert not Glob(pattern, braces=True).matches("a" * 255 + "b")


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_octets_compare_as_bytes_do(left: bytes, right: bytes) -> None:
    texts = [octets(data.decode("utf-8", "surrogateescape")) for data in (left, right)]
    assert (texts[0] < texts[1]) == (left < right)
