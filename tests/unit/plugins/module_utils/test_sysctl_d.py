# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netfleet.tcp.plugins.module_utils._model import Assignment
from ansible_collections.netfleet.tcp.plugins.module_utils._sysctl_d import (
    EXCLUDED,
    EXPLICIT,
    KEPT_PLACE,
    LATER_FILE,
    LATER_LINE,
    MASKED,
    NO_EFFECT,
    NOBODY,
    PROCPS,
    REFUSED,
    REPEATED,
    SYSCTL_CONF,
    SYSTEMD,
    Boot,
    assignments,
    explain_boot,
    files_in_order,
    hidden_files,
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
GLOB = "net.ipv4.tcp_*"
READERS = (SYSTEMD, PROCPS)


def listing_of(paths: dict[str, str]) -> dict[str, list[str]]:
    listing: dict[str, list[str]] = {}
    for path in paths:
        directory, _slash, name = path.rpartition("/")
        listing.setdefault(directory, []).append(name)
    return listing


def entries(files: dict[str, str], name: str = KEY, reader: str = SYSTEMD) -> tuple[Assignment, ...]:
    """What the reader finds for a key in files given as path -> text."""
    order = files_in_order(listing_of(files), reader, SYSCTL_CONF in files)
    parsed = [entry for path in order for entry in parse(path, files[path], reader)]
    return assignments([name], parsed, reader)[name]


def decided(files: dict[str, str], name: str = KEY, reader: str = SYSTEMD) -> tuple[str, str | None] | None:
    found = winner(entries(files, name, reader), reader)
    return (found.place, found.value) if found else None


def etc(*texts: str) -> dict[str, str]:
    """Files of /etc/sysctl.d, named 1.conf and so on."""
    return {"%s/%d.conf" % (ETC, number): text for number, text in enumerate(texts, start=1)}


def told(boot: Boot) -> list[tuple[str, str]]:
    return [(entry.place.replace(ETC + "/", ""), reason) for entry, reason in boot.shadowed]


# ---- lines ----


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("line", "name", "value", "glob"),
    [
        ("net.ipv4.tcp_sack=1", KEY, "1", False),
        ("  net.ipv4.tcp_sack = 1  ", KEY, "1", False),
        ("\tnet.ipv4.tcp_sack\t=\t1\t", KEY, "1", False),
        ("net/ipv4/tcp_sack = 1", KEY, "1", False),
        ("/net/ipv4/tcp_sack = 1", KEY, "1", False),
        ("net//ipv4/./tcp_sack = 1", KEY, "1", False),
        ("net..ipv4.tcp_sack = 1", KEY, "1", False),
        (".net.ipv4.tcp_sack = 1", KEY, "1", False),
        ("-net.ipv4.tcp_sack = 1", KEY, "1", False),
        ("-net.ipv4.tcp_sack", KEY, None, False),
        (" -net.ipv4.tcp_sack ", KEY, None, False),
        ("net.ipv4.tcp_sack =", KEY, "", False),
        ("net.ipv4.tcp_sack = 1 # not a comment", KEY, "1 # not a comment", False),
        ("net.ipv4.tcp_sack = a=b", KEY, "a=b", False),
        ("net.ipv4.tcp_sack = 1\r", KEY, "1", False),
        ("net.ipv4.tcp_sack = \udcff", KEY, "\udcff", False),
        ("net.ipv4.conf.eth0/100.tag = 1", "net.ipv4.conf.eth0/100.tag", "1", False),
        ("net/ipv4/conf/eth0.100/tag = 1", "net.ipv4.conf.eth0/100.tag", "1", False),
        ("net.ipv4.conf.*.tag = 2", "net.ipv4.conf.*.tag", "2", True),
        ("net.ipv4.tcp_sac? = 2", "net.ipv4.tcp_sac?", "2", True),
        ("net.ipv4.tcp_sac[kl] = 2", "net.ipv4.tcp_sac[kl]", "2", True),
        ("-net.ipv4.conf.*.tag", "net.ipv4.conf.*.tag", None, True),
        # Braces alone make no glob: this is a key that does not exist.
        ("net.ipv4.{tcp_sack,tcp_dsack} = 1", "net.ipv4.{tcp_sack,tcp_dsack}", "1", False),
        ("net.ipv4.tcp sack = 1", "net.ipv4.tcp sack", "1", False),
    ],
)
def test_lines_that_assign(line: str, name: str, value: str | None, glob: bool, reader: str) -> None:
    path = ETC + "/50-x.conf"
    ((found, entry),) = parse(path, "\n" + line, reader)
    assert (found, entry.line, entry.value, entry.rank, entry.glob) == (name, 2, value, "050-x.conf", glob)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "line",
    [
        "",
        "   ",
        "# net.ipv4.tcp_sack = 0",
        "; net.ipv4.tcp_sack = 0",
        "  #x=1",
        "=1",
        " = 1",
        "-",
        "-=1",
        "- = 1",
        "word",
        "/=1",
        ".=1",
        "..=1",
        "net.ipv4.tcp_sack 1",
        "net/../../passwd=1",
    ],
)
def test_lines_that_assign_nothing(line: str, reader: str) -> None:
    assert list(parse(ETC + "/50-x.conf", line, reader)) == []


@pytest.mark.parametrize(
    ("line", "systemd", "procps"),
    [
        # A blank after the first "-" is dropped by systemd alone, a second "-" by procps alone.
        ("- net.ipv4.tcp_sack = 1", KEY, " net.ipv4.tcp_sack"),
        ("--net.ipv4.tcp_sack = 1", "-net.ipv4.tcp_sack", KEY),
        # A form feed is blank to procps alone.
        ("net.ipv4.tcp_sack\f = 1", KEY + "\f", KEY),
        # A slash at the end: a directory to procps.
        ("net/ipv4/tcp_sack/ = 1", KEY, None),
        ("net.ipv4.tcp_sack. = 1", KEY, None),
        # "..": systemd refuses it, but for one at the root.
        ("net/core/../ipv4/tcp_sack = 1", None, KEY),
        ("/../net/ipv4/tcp_sack = 1", KEY, None),
        ("net/../../sys/net/ipv4/tcp_sack = 1", None, KEY),
    ],
)
def test_lines_that_each_reader_takes_its_own_way(line: str, systemd: str | None, procps: str | None) -> None:
    names = [[name for name, _entry in parse(ETC + "/x.conf", line, reader)] for reader in READERS]
    assert names == [[name] if name else [] for name in (systemd, procps)]


def test_other_keys_can_be_left_out() -> None:
    text = "%s = 1\nother = 2\n%s = 3\n-other" % (KEY, GLOB)
    assert [name for name, _entry in parse(ETC + "/x.conf", text, names={KEY})] == [KEY, GLOB]


def test_the_pattern_is_the_text_by_which_the_reader_tells_entries_apart() -> None:
    text = "net..ipv4.tcp_sack = 1\nnet//ipv4/tcp_* = 1"
    patterns = {reader: [entry.pattern for _n, entry in parse(ETC + "/x.conf", text, reader)] for reader in READERS}
    assert patterns[SYSTEMD] == ["net/ipv4/tcp_sack", "net/ipv4/tcp_*"]
    assert patterns[PROCPS] == ["net//ipv4/tcp_sack", "net//ipv4/tcp_*"]


@pytest.mark.parametrize(
    ("ends", "lines"),
    [
        ("\n", 1),
        ("\r", 1),
        ("\0", 1),
        ("\n\0", 1),
        ("\r\0", 1),
        ("\r\n", 1),
        ("\n\r", 1),
        ("\r\n\0", 1),
        ("\n\r\0", 1),
        ("\n\n", 2),
        ("\r\r", 2),
        ("\0\0", 2),
        ("\0\n", 2),
        ("\0\r\n", 2),
        ("\r\n\r\n", 2),
        ("\n\r\n", 2),
        ("\r\n\r", 2),
        ("\n\0\r", 2),
    ],
)
def test_what_ends_a_line_for_systemd(ends: str, lines: int) -> None:
    ((_name, _first), (_same, second)) = parse(ETC + "/x.conf", "a=1" + ends + "b=2")
    assert (second.line, second.value) == (lines + 1, "2")


def test_what_ends_a_line_for_procps() -> None:
    found = [(name, entry.line, entry.value) for name, entry in parse(ETC + "/x.conf", "a=1\rb=2\nc=3\0\nd=4", PROCPS)]
    # A CR is a character, and nothing behind a NUL counts.
    assert found == [("a", 1, "1\rb=2"), ("c", 2, "3"), ("d", 3, "4")]


@pytest.mark.parametrize(("size", "read"), [(1024 * 1024 - 1, True), (1024 * 1024, False)])
def test_a_line_of_a_mebibyte_ends_the_reading_of_its_file_for_systemd(size: int, read: bool) -> None:
    files = etc("%s=1\n%s\n%s=2" % (KEY, "#" * size, KEY), "other=1")
    assert decided(files) == ((ETC + "/1.conf:3", "2") if read else (ETC + "/1.conf:1", "1"))
    assert decided(files, reader=PROCPS) == (ETC + "/1.conf:3", "2")
    assert decided(files, "other") == (ETC + "/2.conf:1", "1")


def test_the_length_of_a_line_is_counted_in_bytes() -> None:
    assert decided(etc("#%s\n%s=2" % ("é" * (512 * 1024 - 1), KEY)))
    assert not decided(etc("#%s\n%s=2" % ("é" * (512 * 1024), KEY)))


@pytest.mark.parametrize("junk", ["=" * 10_000_000, "[" * 10_000_000 + "=1", "*a" * 500_000 + "=1", "\r" * 1_000_000])
@pytest.mark.parametrize("reader", READERS)
def test_huge_lines_are_survived(junk: str, reader: str) -> None:
    files = etc(junk, KEY + "=1")
    assert decided(files, reader=reader) == (ETC + "/2.conf:1", "1")


@pytest.mark.parametrize("reader", READERS)
@given(lines=st.lists(st.text(alphabet=st.characters(blacklist_characters="\n\r\0"), max_size=20), max_size=8))
def test_any_text_is_parsed_with_right_line_numbers(lines: list[str], reader: str) -> None:
    for name, entry in parse(ETC + "/x.conf", "\n".join(lines), reader):
        line = lines[entry.line - 1]
        assert name
        assert not line.strip().startswith(("#", ";"))
        assert entry.value is None or entry.value in line
        assert entry.value is not None or line.strip(" \t\v\f").startswith("-")


@pytest.mark.parametrize("reader", READERS)
@given(data=st.binary(max_size=60))
def test_any_bytes_are_parsed(data: bytes, reader: str) -> None:
    found = list(parse(ETC + "/x.conf", data.decode("utf-8", "surrogateescape"), reader))
    assert [entry.line for _name, entry in found] == sorted({entry.line for _name, entry in found})
    for got in assignments(["net.ipv4.tcp_sack", "a"], found, reader).values():
        explain_boot(got, reader)


# ---- files ----


@pytest.mark.parametrize("noise", ["", "\n", "# c\n\n;d\n"])
def test_the_line_number_counts_every_line(noise: str) -> None:
    assert decided(etc(noise + KEY + "=1")) == ("%s/1.conf:%d" % (ETC, noise.count("\n") + 1), "1")


@pytest.mark.parametrize("reader", READERS)
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
        # Byte by byte: a byte that is no text sorts after text.
        ({ETC: ["\udcff.conf", "\ufffd.conf"]}, ETC + "/\udcff.conf:1"),
        # What does not end in .conf is not read.
        ({ETC: ["10-x.conf", "99-x.conf.bak", "99-x.conf~", "99-x", "README"]}, ETC + "/10-x.conf:1"),
    ],
)
def test_which_file_wins(files: dict[str, list[str]], place: str, reader: str) -> None:
    texts = {"%s/%s" % (directory, name): KEY + " = 1" for directory, names in files.items() for name in names}
    found = decided(texts, reader=reader)
    assert found
    assert found[0] == place


@pytest.mark.parametrize("name", [".99-x.conf", ".conf"])
def test_hidden_files_are_read_by_procps_alone(name: str) -> None:
    files = {"%s/%s" % (ETC, name): KEY + " = 0", ETC + "/!.conf": KEY + " = 1"}
    assert decided(files) == (ETC + "/!.conf:1", "1")
    assert decided(files, reader=PROCPS) == ("%s/%s:1" % (ETC, name), "0")


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("mask", ["", "# emptied by hand\n"])
def test_a_mask_hides_the_file_of_its_name(mask: str, reader: str) -> None:
    # A link to /dev/null, or to nothing, and a directory read as an empty file.
    files = {ETC + "/50-x.conf": mask, USR + "/50-x.conf": KEY + " = 0", USR + "/10-x.conf": KEY + " = 1"}
    assert decided(files, reader=reader) == (USR + "/10-x.conf:1", "1")


def test_hidden_files_are_named_with_what_hides_them() -> None:
    listing = {ETC: ["x.conf", ".y.conf", "z"], RUN: ["x.conf"], USR: ["x.conf", ".y.conf", "z", "own.conf"]}
    of_x = [(RUN + "/x.conf", ETC + "/x.conf"), (USR + "/x.conf", ETC + "/x.conf")]
    assert hidden_files(listing, SYSTEMD) == of_x
    assert hidden_files(listing, PROCPS) == [*of_x, (USR + "/.y.conf", ETC + "/.y.conf")]


def test_lib_and_usr_lib_are_one_directory_where_they_hold_the_same_names() -> None:
    assert hidden_files({USR: ["a.conf", "b.conf"], LIB: ["b.conf", "a.conf"]}, SYSTEMD) == []
    assert hidden_files({USR: ["a.conf", "b.conf"], LIB: ["a.conf"]}, SYSTEMD) == [(LIB + "/a.conf", USR + "/a.conf")]


@pytest.mark.parametrize(
    ("names", "read"),
    [
        (["[a].conf", "a.conf"], ["a.conf", "a.conf"]),
        (["[a].conf"], ["[a].conf"]),
        (["a*.conf", "ab.conf"], ["a*.conf", "ab.conf", "ab.conf"]),
        (["{b,a}.conf", "a.conf", "b.conf"], ["a.conf", "b.conf", "b.conf", "a.conf"]),
        (["{b,a}.conf"], ["{b,a}.conf"]),
    ],
)
def test_procps_takes_the_name_of_a_file_for_a_pattern(names: list[str], read: list[str]) -> None:
    assert files_in_order({ETC: names}, PROCPS, False) == ["%s/%s" % (ETC, name) for name in read]
    assert files_in_order({ETC: names}, SYSTEMD, False) == ["%s/%s" % (ETC, name) for name in sorted(names)]


@pytest.mark.parametrize(
    ("reader", "files", "place"),
    [
        (SYSTEMD, [SYSCTL_CONF, ETC + "/10.conf"], ETC + "/10.conf:1"),
        (SYSTEMD, [SYSCTL_CONF], None),
        (SYSTEMD, [SYSCTL_CONF, ETC + "/10.conf", ETC + "/99-sysctl.conf"], ETC + "/99-sysctl.conf:1"),
        (SYSTEMD, [ETC + "/99-sysctl.conf", ETC + "/99-t.conf"], ETC + "/99-t.conf:1"),
        (PROCPS, [SYSCTL_CONF, ETC + "/99-z.conf"], SYSCTL_CONF + ":1"),
        (PROCPS, [SYSCTL_CONF, ETC + "/99-sysctl.conf"], SYSCTL_CONF + ":1"),
        (PROCPS, [ETC + "/99-z.conf", USR + "/99-a.conf"], ETC + "/99-z.conf:1"),
        (NOBODY, [SYSCTL_CONF, ETC + "/99-z.conf"], None),
    ],
)
def test_sysctl_conf_depends_on_who_reads_it(reader: str, files: list[str], place: str | None) -> None:
    found = decided(dict.fromkeys(files, KEY + " = 1"), reader=reader)
    assert (found[0] if found else None) == place


def test_ranks_sort_as_files_are_applied() -> None:
    order = [USR + "/10-a.conf", ETC + "/10-b.conf", LIB + "/99-sysctl.conf", RUN + "/\udc80.conf", SYSCTL_CONF]
    assert sorted(order, key=rank_of) == order


# ---- which line decides ----


@pytest.mark.parametrize(
    ("texts", "systemd", "procps"),
    [
        ([KEY + "=1\n" + KEY + "=0"], "0", "0"),
        (["net.ipv4.tcp_sack=1", "net/ipv4/tcp_sack=0"], "0", "0"),
        # An explicit line beats any glob, an earlier one too; among globs, the last.
        ([KEY + "=1", GLOB + "=0"], "1", "1"),
        ([GLOB + "=0", KEY + "=1"], "1", "1"),
        ([GLOB + "=0", "net.*.tcp_sack=2"], "2", "2"),
        # An asterisk stands for one component only.
        (["net.*=0"], None, None),
        (["net.*.*=0"], "0", "0"),
        (["*.tcp_sack=0"], None, None),
        (["net.ipv4.tcp_[rs]ack=0"], "0", "0"),
        (["net.ipv4.tcp_[!a-r]ack=0"], "0", "0"),
        # -key without a value holds globs off, wherever it stands. Systemd also takes earlier lines of the key back.
        ([GLOB + "=0", "-" + KEY], None, None),
        (["-" + KEY, GLOB + "=0"], None, None),
        ([KEY + "=1", "-" + KEY], None, "1"),
        (["-" + KEY, KEY + "=1"], "1", "1"),
        # -key = value only forgives failure.
        (["-%s = 1" % KEY], "1", "1"),
        # -glob takes back the same glob for systemd, and nothing else.
        ([GLOB + "=0", "-" + GLOB], None, "0"),
        (["-" + GLOB, GLOB + "=0"], "0", "0"),
        ([GLOB + "=0", "-net.ipv4.tcp_s*"], "0", "0"),
        # The same glob with the same value keeps its earlier place for systemd; with another it moves to the end.
        ([GLOB + "=0", "net.*.tcp_sack=2", GLOB + "=0"], "2", "0"),
        ([GLOB + "=0", "net.*.tcp_sack=2", GLOB + "=1"], "1", "1"),
        ([GLOB + "=0", "net.*.tcp_sack=2", "-" + GLOB, GLOB + "=0"], "0", "0"),
        ([GLOB + "=0", "net.*.tcp_sack=2", "net/ipv4/tcp_*=0"], "2", "0"),
        # What is compared is the text: procps does not know a key again that is spelled with doubled separators.
        (["net//ipv4/tcp_sack=1", GLOB + "=0"], "1", "0"),
        ([KEY + "=1", "net//ipv4/tcp_*=0"], "1", "0"),
        (["net/core/../ipv4/tcp_sac?=0"], None, "0"),
        # Braces are expanded by systemd alone, in globs alone.
        (["net.ipv4.{tcp_sac?,x}=0"], "0", None),
        (["net.ipv4.{tcp_sack,x}*=0"], "0", None),
        (["net.ipv4.{tcp_sack,x}=0"], None, None),
        ([], None, None),
    ],
)
def test_globs_and_exclusions(texts: list[str], systemd: str | None, procps: str | None) -> None:
    found = [decided(etc(*texts), reader=reader) for reader in READERS]
    assert [entry[1] if entry else None for entry in found] == [systemd, procps]


def test_a_value_that_the_kernel_refuses_leaves_the_earlier_one_to_procps_alone() -> None:
    found = {reader: entries(etc(KEY + "=1", KEY + "=x"), reader=reader) for reader in READERS}
    kept = winner(found[PROCPS], PROCPS, accepts=str.isdigit)
    assert kept
    assert kept.value == "1"
    boot = explain_boot(found[SYSTEMD], SYSTEMD, accepts=str.isdigit)
    assert (boot.winner, told(boot)) == (None, [("1.conf:1", LATER_FILE), ("2.conf:1", REFUSED)])


@pytest.mark.parametrize("reader", READERS)
def test_a_glob_that_is_the_name_of_an_interface_holds_globs_off(reader: str) -> None:
    files = etc("net.ipv4.conf.a[1].tag = 1", "net.ipv4.conf.*.tag = 2")
    boot = explain_boot(entries(files, "net.ipv4.conf.a[1].tag", reader), reader)
    assert (boot.winner, [reason for _entry, reason in boot.shadowed]) == (None, [EXCLUDED])
    assert decided(files, "net.ipv4.conf.a1.tag", reader) == (ETC + "/2.conf:1", "2")


def test_assignments_made_by_hand_need_no_pattern() -> None:
    lines = [Assignment("a", 1, "1", "0a"), Assignment("b", 1, "2", "0b"), Assignment("b", 2, "3", "0b", glob=True)]
    for reader in READERS:
        assert winner(lines, reader) is lines[1]
        assert winner(lines[2:], reader) is lines[2]


@pytest.mark.parametrize(
    ("texts", "reader", "place", "reasons"),
    [
        (
            ["%s=1\n%s=2" % (KEY, KEY), KEY + "=3"],
            SYSTEMD,
            "2.conf:1",
            [("1.conf:1", LATER_LINE), ("1.conf:2", LATER_FILE)],
        ),
        (
            ["%s=1\n%s=2" % (KEY, KEY), KEY + "=3"],
            PROCPS,
            "2.conf:1",
            [("1.conf:1", LATER_FILE), ("1.conf:2", LATER_FILE)],
        ),
        ([KEY + "=1", GLOB + "=2"], SYSTEMD, "1.conf:1", [("2.conf:1", EXPLICIT)]),
        ([KEY + "=1", GLOB + "=2"], PROCPS, "1.conf:1", [("2.conf:1", EXPLICIT)]),
        ([GLOB + "=1", "net.*.tcp_sack=2"], SYSTEMD, "2.conf:1", [("1.conf:1", LATER_FILE)]),
        ([GLOB + "=1", GLOB + "=1"], SYSTEMD, "2.conf:1", [("1.conf:1", REPEATED)]),
        (
            [GLOB + "=1", "net.*.tcp_sack=2", GLOB + "=1"],
            SYSTEMD,
            "2.conf:1",
            [("1.conf:1", REPEATED), ("3.conf:1", KEPT_PLACE)],
        ),
        (["-" + KEY, KEY + "=1", GLOB + "=2"], PROCPS, "2.conf:1", [("1.conf:1", NO_EFFECT), ("3.conf:1", EXPLICIT)]),
        (["-" + KEY, KEY + "=1"], SYSTEMD, "2.conf:1", [("1.conf:1", LATER_FILE)]),
    ],
)
def test_every_line_that_loses_is_told_why(
    texts: list[str], reader: str, place: str, reasons: list[tuple[str, str]]
) -> None:
    boot = explain_boot(entries(etc(*texts), reader=reader), reader)
    assert boot.winner
    assert boot.winner.place == "%s/%s" % (ETC, place)
    assert told(boot) == reasons
    assert boot.exclusion is None


@pytest.mark.parametrize(
    ("texts", "reader", "reasons"),
    [
        ([GLOB + "=1", "-" + KEY], SYSTEMD, [("1.conf:1", EXCLUDED)]),
        ([GLOB + "=1", "-" + KEY], PROCPS, [("1.conf:1", EXCLUDED)]),
        ([KEY + "=1", "-" + KEY], SYSTEMD, [("1.conf:1", EXCLUDED)]),
        ([GLOB + "=1", "-" + GLOB], SYSTEMD, [("1.conf:1", EXCLUDED)]),
        ([KEY + "=0\n-" + KEY, "-" + KEY], SYSTEMD, [("1.conf:1", EXCLUDED), ("1.conf:2", REPEATED)]),
    ],
)
def test_an_exclusion_that_decides_is_named(texts: list[str], reader: str, reasons: list[tuple[str, str]]) -> None:
    boot = explain_boot(entries(etc(*texts), reader=reader), reader)
    assert boot.winner is None
    assert boot.exclusion
    assert boot.exclusion.place == ETC + "/2.conf:1"
    assert told(boot) == reasons


def test_lines_of_hidden_files_come_last() -> None:
    files = etc(KEY + "=1", KEY + "=2")
    hidden = [entry for _name, entry in parse(USR + "/1.conf", KEY + "=9")]
    boot = explain_boot(entries(files), masked=hidden)
    assert [reason for _entry, reason in boot.shadowed] == [LATER_FILE, MASKED]
    assert boot.shadowed[-1][0].place == USR + "/1.conf:1"


def test_assignments_keep_every_line_that_could_count() -> None:
    parsed = [*parse(ETC + "/1.conf", KEY + "=1\nother=2"), *parse(ETC + "/2.conf", "net.ipv4.*=3\n-" + KEY)]
    found = assignments([KEY, "unknown"], parsed)
    assert [(entry.place.rpartition("/")[2], entry.glob) for entry in found[KEY]] == [
        ("1.conf:1", False),
        ("2.conf:1", True),
        ("2.conf:2", False),
    ]
    assert found["unknown"] == ()


_NAMES = st.sampled_from([KEY, "net/ipv4/tcp_sack", "net//ipv4/tcp_sack", GLOB, "net.*.tcp_sack", "net/ipv4//tcp_*"])
_LINES = st.lists(st.tuples(_NAMES, st.sampled_from(["=1", "=2", None])), max_size=8)


@pytest.mark.parametrize("reader", READERS)
@given(lines=_LINES)
def test_every_line_is_accounted_for_once(lines: list[tuple[str, str | None]], reader: str) -> None:
    text = "\n".join(name + value if value else "-" + name for name, value in lines)
    found = entries(etc(text), reader=reader)
    boot = explain_boot(found, reader)
    told_of = [entry.line for entry, _reason in boot.shadowed]
    told_of += [entry.line for entry in (boot.winner, boot.exclusion) if entry]
    assert sorted(told_of) == [entry.line for entry in found] == list(range(1, len(lines) + 1))
    assert all(re.search("[a-z]", reason) for _entry, reason in boot.shadowed)
