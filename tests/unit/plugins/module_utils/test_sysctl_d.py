# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netfleet.tcp.plugins.module_utils._model import Assignment
from ansible_collections.netfleet.tcp.plugins.module_utils._sysctl_d import (
    NOBODY,
    PROCPS,
    SYSCTL_CONF,
    SYSTEMD,
    assignments,
    files_in_order,
    parse,
    rank_of,
    winner,
)

ETC, RUN, LOCAL, USR, LIB = (
    "/etc/sysctl.d",
    "/run/sysctl.d",
    "/usr/local/lib/sysctl.d",
    "/usr/lib/sysctl.d",
    "/lib/sysctl.d",
)
KEY = "net.ipv4.tcp_sack"


def boot(files: dict[str, str], names: list[str], reader: str = SYSTEMD) -> dict[str, Assignment | None]:
    """What decides each of the names, of files given as path -> text."""
    listing: dict[str, list[str]] = {}
    for path in files:
        directory, _slash, name = path.rpartition("/")
        listing.setdefault(directory, []).append(name)
    order = files_in_order(listing, reader, SYSCTL_CONF in files)
    parsed = [entry for path in order for entry in parse(path, files[path].split("\n"))]
    return {name: winner(entries) for name, entries in assignments(names, parsed).items()}


def decided(files: dict[str, str], name: str = KEY, reader: str = SYSTEMD) -> tuple[str, str | None] | None:
    found = boot(files, [name], reader)[name]
    return (found.place, found.value) if found else None


@pytest.mark.parametrize(
    ("line", "name", "value", "glob"),
    [
        ("net.ipv4.tcp_sack=1", KEY, "1", False),
        ("  net.ipv4.tcp_sack = 1  ", KEY, "1", False),
        ("net/ipv4/tcp_sack = 1", KEY, "1", False),
        ("-net.ipv4.tcp_sack = 1", KEY, "1", False),
        ("- net.ipv4.tcp_sack = 1", KEY, "1", False),
        ("-net.ipv4.tcp_sack", KEY, None, False),
        ("net.ipv4.tcp_sack =", KEY, "", False),
        ("net.ipv4.tcp_sack = 1 # not a comment", KEY, "1 # not a comment", False),
        ("net.ipv4.tcp_sack = a=b", KEY, "a=b", False),
        ("net.ipv4.tcp_sack = 1\r", KEY, "1", False),
        ("net.ipv4.conf.eth0/100.rp_filter = 1", "net.ipv4.conf.eth0/100.rp_filter", "1", False),
        ("net.ipv4.conf.*.rp_filter = 2", "net.ipv4.conf.*.rp_filter", "2", True),
        ("net.ipv4.tcp_sac? = 2", "net.ipv4.tcp_sac?", "2", True),
        ("net.ipv4.tcp_sac[kl] = 2", "net.ipv4.tcp_sac[kl]", "2", True),
        ("-net.ipv4.conf.*.rp_filter", "net.ipv4.conf.*.rp_filter", None, True),
        ("net.ipv4.tcp_sack = \udcff", KEY, "\udcff", False),
    ],
)
def test_lines_that_assign(line: str, name: str, value: str | None, glob: bool) -> None:
    path = ETC + "/50-x.conf"
    assert list(parse(path, ["", line])) == [(name, Assignment(path, 2, value, "050-x.conf", glob))]


@pytest.mark.parametrize(
    "line",
    ["", "   ", "# net.ipv4.tcp_sack = 0", "; net.ipv4.tcp_sack = 0", "  #x=1", "=1", " = 1", "-", "-=1", "word"],
)
def test_lines_that_assign_nothing(line: str) -> None:
    assert list(parse(ETC + "/50-x.conf", [line])) == []


@given(st.lists(st.text(alphabet=st.characters(blacklist_characters="\n"), max_size=20), max_size=8))
def test_any_text_is_parsed_with_right_line_numbers(lines: list[str]) -> None:
    for name, entry in parse(ETC + "/x.conf", lines):
        assert name
        assert name == name.strip()
        line = lines[entry.line - 1]
        assert not line.strip().startswith(("#", ";"))
        assert entry.value is None or entry.value in line
        assert entry.value is not None or line.strip().startswith("-")


@given(st.binary(max_size=60))
def test_any_bytes_are_parsed(data: bytes) -> None:
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    found = list(parse(ETC + "/x.conf", lines))
    assert [entry.line for _name, entry in found] == sorted({entry.line for _name, entry in found})
    assignments(["net.ipv4.tcp_sack", "a"], found)


@pytest.mark.parametrize("noise", ["", "\n", "# c\n\n;d\n"])
def test_the_line_number_counts_every_line(noise: str) -> None:
    assert decided({ETC + "/1.conf": noise + KEY + "=1"}) == ("%s/1.conf:%d" % (ETC, noise.count("\n") + 1), "1")


@pytest.mark.parametrize(
    ("files", "place"),
    [
        # One name in several directories: the first directory counts, the others are hidden.
        ({ETC: ["50-x.conf"], RUN: ["50-x.conf"], USR: ["50-x.conf"]}, ETC + "/50-x.conf:1"),
        ({RUN: ["50-x.conf"], LOCAL: ["50-x.conf"], USR: ["50-x.conf"]}, RUN + "/50-x.conf:1"),
        ({LOCAL: ["50-x.conf"], USR: ["50-x.conf"], LIB: ["50-x.conf"]}, LOCAL + "/50-x.conf:1"),
        ({USR: ["50-x.conf"], LIB: ["50-x.conf"]}, USR + "/50-x.conf:1"),
        # Different names: the later one wins, whatever its directory.
        ({ETC: ["90-y.conf"], USR: ["99-x.conf"]}, USR + "/99-x.conf:1"),
        ({ETC: ["90-y.conf"], LIB: ["91-x.conf"]}, LIB + "/91-x.conf:1"),
        ({ETC: ["9-y.conf", "10-y.conf"]}, ETC + "/9-y.conf:1"),
        ({ETC: ["a.conf", "B.conf"]}, ETC + "/a.conf:1"),
        ({ETC: ["10-x.conf", "10-x-y.conf"]}, ETC + "/10-x.conf:1"),
        # What does not end in .conf is not read.
        ({ETC: ["10-x.conf", "99-x.conf.bak", "99-x", "README"]}, ETC + "/10-x.conf:1"),
    ],
)
def test_which_file_wins(files: dict[str, list[str]], place: str) -> None:
    texts = {"%s/%s" % (directory, name): KEY + " = 1" for directory, names in files.items() for name in names}
    found = decided(texts)
    assert found
    assert found[0] == place


def test_systemd_passes_hidden_files_over() -> None:
    files = {ETC + "/.99-x.conf": KEY + " = 0", ETC + "/10-x.conf": KEY + " = 1"}
    assert decided(files) == (ETC + "/10-x.conf:1", "1")


@pytest.mark.parametrize("mask", ["", "# emptied by hand\n"])
def test_a_mask_hides_the_file_of_its_name(mask: str) -> None:
    # A link to /dev/null reads as an empty file.
    files = {ETC + "/50-x.conf": mask, USR + "/50-x.conf": KEY + " = 0", USR + "/10-x.conf": KEY + " = 1"}
    assert decided(files) == (USR + "/10-x.conf:1", "1")


def test_the_last_line_of_a_file_wins() -> None:
    assert decided({ETC + "/1.conf": "%s=1\n%s=0\n" % (KEY, KEY)}) == (ETC + "/1.conf:2", "0")


def test_both_spellings_are_one_key() -> None:
    files = {ETC + "/1.conf": "net.ipv4.tcp_sack=1", ETC + "/2.conf": "net/ipv4/tcp_sack=0"}
    assert decided(files) == (ETC + "/2.conf:1", "0")


@pytest.mark.parametrize(
    ("reader", "files", "place"),
    [
        (SYSTEMD, [SYSCTL_CONF, ETC + "/10.conf"], ETC + "/10.conf:1"),
        (SYSTEMD, [SYSCTL_CONF], None),
        (SYSTEMD, [SYSCTL_CONF, ETC + "/10.conf", ETC + "/99-sysctl.conf"], ETC + "/99-sysctl.conf:1"),
        (SYSTEMD, [ETC + "/99-sysctl.conf", ETC + "/99-t.conf"], ETC + "/99-t.conf:1"),
        (PROCPS, [SYSCTL_CONF, ETC + "/99-z.conf"], SYSCTL_CONF + ":1"),
        (PROCPS, [ETC + "/99-z.conf", USR + "/99-a.conf"], ETC + "/99-z.conf:1"),
        (NOBODY, [SYSCTL_CONF, ETC + "/99-z.conf"], None),
    ],
)
def test_sysctl_conf_depends_on_who_reads_it(reader: str, files: list[str], place: str | None) -> None:
    found = decided(dict.fromkeys(files, KEY + " = 1"), reader=reader)
    assert (found[0] if found else None) == place


@pytest.mark.parametrize(
    ("files", "value"),
    [
        # An explicit line beats any glob, an earlier one too; among globs, the last.
        ({"1.conf": KEY + "=1", "2.conf": "net.ipv4.tcp_*=0"}, "1"),
        ({"1.conf": "net.ipv4.tcp_*=0", "2.conf": KEY + "=1"}, "1"),
        ({"1.conf": "net.ipv4.tcp_*=0", "2.conf": "net.*.tcp_sack=2"}, "2"),
        # An asterisk stands for one component only.
        ({"1.conf": "net.*=0"}, None),
        ({"1.conf": "net.*.*=0"}, "0"),
        ({"1.conf": "*.tcp_sack=0"}, None),
        ({"1.conf": "net.ipv4.tcp_[rs]ack=0"}, "0"),
        # -key without a value excludes it from globs, and takes an earlier line back.
        ({"1.conf": "net.ipv4.tcp_*=0", "2.conf": "-" + KEY}, None),
        ({"1.conf": "-" + KEY, "2.conf": "net.ipv4.tcp_*=0"}, None),
        ({"1.conf": KEY + "=1", "2.conf": "-" + KEY}, None),
        ({"1.conf": "-" + KEY, "2.conf": KEY + "=1"}, "1"),
        # A glob cannot exclude, and -key = value only forgives failure.
        ({"1.conf": "net.ipv4.tcp_*=0", "2.conf": "-net.ipv4.tcp_*"}, "0"),
        ({"1.conf": "-%s = 1" % KEY}, "1"),
        ({}, None),
    ],
)
def test_globs_and_exclusions(files: dict[str, str], value: str | None) -> None:
    found = decided({"%s/%s" % (ETC, name): text for name, text in files.items()})
    assert (found[1] if found else None) == value


def test_assignments_keep_every_line_that_could_count() -> None:
    parsed = [*parse(ETC + "/1.conf", [KEY + "=1", "other=2"]), *parse(ETC + "/2.conf", ["net.ipv4.*=3"])]
    found = assignments([KEY, "unknown"], parsed)
    assert [(entry.place, entry.glob) for entry in found[KEY]] == [
        (ETC + "/1.conf:1", False),
        (ETC + "/2.conf:1", True),
    ]
    assert found["unknown"] == ()


def test_ranks_sort_as_files_are_applied() -> None:
    order = [USR + "/10-a.conf", ETC + "/10-b.conf", LIB + "/99-sysctl.conf", RUN + "/zz.conf", SYSCTL_CONF]
    assert sorted(order, key=rank_of) == order
