# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of `make precedence` needs no root; the comparison itself is that command."""

from __future__ import annotations

import pytest
from hypothesis import given

from ansible_collections.netfleet.tcp.plugins.module_utils._sysctl_d import PROCPS, SYSTEMD
from tests.precedence.compare import (
    CLOSED_GLOB,
    LEADING_DOTS,
    LONG_GLOB,
    NO_DIRECTORY,
    DisagreementError,
    Program,
    Tally,
    compare,
    content,
    foresee,
)
from tests.precedence.mutants import MUTANTS
from tests.precedence.spellings import KEYS, globs, spellings
from tests.precedence.trees import Node, Tree, trees
from tools.precedence import SEED, SUITES, TREES, missing, options
from tools.shared import ToolError

NEW = Program(SYSTEMD, ("/x",), "systemd 257", "trixie")
OLD = Program(SYSTEMD, ("/x",), "systemd 252", "bookworm")
PRO = Program(PROCPS, ("/x",), "procps 4.0.4", "trixie")
ETC = "/etc/sysctl.d/"
KEY = KEYS[0]
REST = KEY.split("/", 1)[1]


class Answers:
    """A session whose program leaves what it is told to."""

    def __init__(self, state: dict[str, str], status: int = 0) -> None:
        self.state = state
        self.status = status

    def ask(self, writes: dict[str, list[str]], **_request: object) -> dict[str, object]:
        return {
            "status": self.status,
            "state": {**dict.fromkeys(KEYS, "77"), **self.state},
            "taken": {key: [True] * len(values) for key, values in writes.items()},
            "after": {key: [value.strip() for value in values] for key, values in writes.items()},
        }


def file(name: str, text: str = "") -> Node:
    return Node(ETC + name, "file", text)


def test_the_command_line() -> None:
    assert options([]) == options(["--trees", str(TREES), "--seed", str(SEED)])
    assert options([]).suites == SUITES
    read = options(["--suite", "sid", "--suite", "machine", "--suite", "sid", "--seed", "random", "--program", PROCPS])
    assert (read.suites, read.readers) == (("sid", "this machine"), (PROCPS,))


@pytest.mark.parametrize("words", [["--trees", "0"], ["--seed", "x"], ["--seed", "-1"]])
def test_a_wrong_command_line_is_told(words: list[str]) -> None:
    with pytest.raises(ToolError, match=words[0]):
        options(words)


@pytest.mark.parametrize(
    ("tree", "text"),
    [
        ((file("a.conf", "x"),), "x"),
        ((Node(ETC + "a.conf", "directory"),), ""),
        ((Node(ETC + "a.conf", "link", "b.conf"), file("b.conf", "y")), "y"),
        ((Node(ETC + "a.conf", "link", "../sysctl.conf"), Node("/etc/sysctl.conf", "file", "z")), "z"),
        ((Node(ETC + "a.conf", "link", "/dev/null"),), ""),
        ((Node(ETC + "a.conf", "link", "nowhere"),), ""),
        ((Node(ETC + "a.conf", "link", "a.conf"),), ""),
    ],
)
def test_what_reading_a_path_gives(tree: Tree, text: str) -> None:
    assert content(tree, ETC + "a.conf") == text


def test_agreement_is_counted_once_for_each_tree() -> None:
    tally = Tally()
    tree = (file("a.conf", spellings(KEY)[0] + "=5"),)
    for _ in range(2):
        compare(Answers({KEY: "5"}), NEW, tree, tally)  # type: ignore[arg-type]
    assert (len(tally.trees), tally.seen["decided"]) == (1, 1)


@pytest.mark.parametrize("answers", [Answers({KEY: "6"}), Answers({}), Answers({KEY: "5"}, status=6)])
def test_disagreement_is_told_with_the_tree(answers: Answers) -> None:
    tree = (file("a.conf", spellings(KEY)[0] + "=5"),)
    with pytest.raises(DisagreementError, match="systemd 257") as caught:
        compare(answers, NEW, tree, Tally())  # type: ignore[arg-type]
    assert caught.value.tree == tree


@pytest.mark.parametrize(
    ("program", "tree", "bug"),
    [
        (NEW, (file("a.conf", f"net.{'x' * 256}*=1"),), LONG_GLOB),
        (NEW, (file("a.conf", f"net.{'x' * 254}*=1"),), ""),
        (NEW, (file("a.conf", f"/../{KEY}=1"),), ""),
        (OLD, (file("a.conf", f"/../{KEY}=1"),), LEADING_DOTS),
        (OLD, (file("a.conf", f"{KEY}=1"),), ""),
        (PRO, (file("a.conf", f"net/core/../{REST}=1"),), ""),
        (PRO, (file("a.conf", f"net/x/../{REST}=1"),), NO_DIRECTORY),
        (PRO, (Node(ETC + "*.conf", "link", "nowhere"), file("a.conf")), CLOSED_GLOB),
        (PRO, (Node(ETC + "*.conf", "link", "nowhere"),), ""),
        (NEW, (Node(ETC + "*.conf", "link", "nowhere"), file("a.conf")), ""),
    ],
)
def test_trees_are_left_out_by_narrow_rules(program: Program, tree: Tree, bug: str) -> None:
    assert foresee(tree, program).bug == bug


def test_what_no_tree_has_shown_is_told() -> None:
    tally = Tally({bytes([high, low]) for high in range(8) for low in range(256)})
    assert "decided by a glob" in missing(NEW, tally)
    assert set(missing(PRO, tally)) < set(missing(NEW, tally))
    assert missing(NEW, Tally()) == []


@pytest.mark.parametrize("key", KEYS)
def test_keys_have_many_spellings(key: str) -> None:
    texts = [*spellings(key), *globs(key)]
    assert len(set(texts)) > 50
    assert not {"\n", "\0"}.intersection("".join(texts))


@given(trees())
def test_trees_are_foreseen_for_every_program(tree: Tree) -> None:
    for program in (NEW, PRO):
        assert set(foresee(tree, program).lines) == set(KEYS)


def test_a_mutant_is_gone_after_its_time() -> None:
    for mutant in MUTANTS:
        true = getattr(mutant.place, mutant.name)
        with mutant.at_work():
            assert getattr(mutant.place, mutant.name) is not true
        assert getattr(mutant.place, mutant.name) is true
