# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""node_exporter's flags: two are set, none of the others is lost, and all can be given back."""

from __future__ import annotations

import re
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError
from ansible_collections.netfleet.tcp.plugins.module_utils._node_exporter import (
    COUNTERS,
    DIRECTORY,
    directories_of,
    wanted_words,
    with_ours,
    with_words,
    without_ours,
    words_before,
    words_of,
)
from tests.unit.plugins.exporting_host import DEBIAN

FIELDS, FOLDER = "--collector.netstat.fields", "--collector.textfile.directory"
WORDS = st.from_regex(r"--[a-z][a-z.-]{0,10}(=[!-~]{0,12})?", fullmatch=True).filter(
    lambda word: not word.endswith("\\") and word.partition("=")[0] not in (FIELDS, FOLDER)
)


def written(text: str) -> str:
    return with_words(text, wanted_words(words_of(text), DIRECTORY))


def test_what_debian_installs_gets_both_flags_and_keeps_its_comments() -> None:
    text = written(DEBIAN)
    assert text.splitlines()[:4] == DEBIAN.splitlines()[:4]
    first, second = words_of(text)
    assert first.partition("=")[0] == FIELDS
    assert second == "%s=%s" % (FOLDER, DIRECTORY)


def test_the_pattern_takes_the_counters_that_are_needed_and_the_usual_ones() -> None:
    pattern = re.compile(with_ours(None))
    for protocol, names in COUNTERS.items():
        for name in names:
            assert pattern.search("%s_%s" % (protocol, name)), name
    for usual in ("Ip_Forwarding", "IpExt_InOctets", "Udp6_InErrors", "Tcp_CurrEstab", "TcpExt_SyncookiesSent"):
        assert pattern.search(usual), usual
    for other in ("TcpExt_TCPPureAcks", "Tcp_RtoMin", "IcmpMsg_InType3", "TcpExt_TWRecycled"):
        assert not pattern.search(other), other


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("# ARGS=--no\n", []),
        ("ARGS=\n", []),
        ("ARGS=--one\n", ["--one"]),
        ("ARGS='--one --two=a\"b'\n", ["--one", '--two=a"b']),
        ('ARGS="--one \\\n  --two"\n', ["--one", "--two"]),
        ("ARGS=--one\\\n--two\n", ["--one--two"]),
        ('ARGS="--re=a\\\\\\\\d\\$ --q=\\"x\\""\n', ["--re=a\\\\d$", '--q="x"']),
        ('export ARGS="--one"\nOTHER=1\nARGS="--two"  \n', ["--two"]),
        ('ARGS="--one"--two\n', ["--one--two"]),
    ],
)
def test_it_is_read_as_a_shell_reads_it(text: str, words: list[str]) -> None:
    assert words_of(text) == words
    script = text + 'printf %s "$ARGS"'
    if "\\\\\\\\d" not in text:
        seen = subprocess.run(["sh", "-c", script], check=True, stdout=subprocess.PIPE, universal_newlines=True).stdout
        assert seen.split() == words


@given(st.lists(WORDS, max_size=5))
def test_no_flag_is_lost_on_the_way_there_and_back(words: list[str]) -> None:
    before = with_words(DEBIAN, words)
    assert words_of(before) == words
    seen = subprocess.run(
        ["sh", "-c", before + 'printf %s "$ARGS"'], check=True, stdout=subprocess.PIPE, universal_newlines=True
    ).stdout
    assert seen == " ".join(words)
    if any(word.startswith(("--no-collector.", "--collector.disable")) for word in words):
        return
    after = written(before)
    assert words_of(after)[: len(words)] == words
    assert written_again(before, after) == after
    assert words_before(words_of(after), words, words_of(after)) == words


def written_again(before: str, after: str) -> str:
    """As a second run does it, which knows what stood there before."""
    return with_words(after, wanted_words(words_of(before), DIRECTORY))


def test_a_pattern_of_ones_own_is_added_to_and_given_back() -> None:
    before = ["--web.listen-address=:9100", FIELDS, "^Tcp_.*$", "--log.level=warn"]
    after = wanted_words(before, DIRECTORY)
    assert after[0] == before[0]
    assert after[1].startswith("%s=^Tcp_.*$|" % FIELDS)
    assert after[2:] == ["--log.level=warn", "%s=%s" % (FOLDER, DIRECTORY)]
    assert words_before(after, before, after) == [before[0], "%s=^Tcp_.*$" % FIELDS, "--log.level=warn"]


@pytest.mark.parametrize("edited", ["^Udp_|%s", "%s|^Udp_"])
def test_a_pattern_that_somebody_has_added_to_does_not_get_ours_twice(edited: str) -> None:
    fields = edited % with_ours(None)
    assert wanted_words(["%s=%s" % (FIELDS, fields)], DIRECTORY)[0] == "%s=%s" % (FIELDS, fields)


def test_what_somebody_has_changed_since_stays() -> None:
    after = wanted_words([], DIRECTORY)
    changed = ["%s=^Tcp$" % FIELDS, "%s=/elsewhere" % FOLDER, "--new"]
    assert words_before(changed, [], after) == changed
    assert words_before([*after, "--new"], [], after) == ["--new"]


def test_without_a_record_ours_are_known_by_what_they_are() -> None:
    assert without_ours(wanted_words([], DIRECTORY)) == ["%s=%s" % (FOLDER, DIRECTORY)]
    assert without_ours(["%s=%s" % (FIELDS, with_ours("^Tcp$"))]) == ["%s=^Tcp$" % FIELDS]
    assert without_ours(["%s=^Tcp$" % FIELDS]) == ["%s=^Tcp$" % FIELDS]


def test_the_directory_that_is_read_already_is_kept() -> None:
    words = [FOLDER + "=/srv/text", FOLDER + "=/srv/more"]
    assert directories_of(words) == ["/srv/text", "/srv/more"]
    assert wanted_words(words, "/srv/more")[:2] == words
    with pytest.raises(HostError, match=r"is /srv/text, not /srv/other, and what is in there would be missing"):
        wanted_words(words, "/srv/other")


def test_collectors_that_are_off_by_default_are_switched_on_and_off_again() -> None:
    before = ["--collector.disable-defaults", "--collector.cpu", "--collector.netstat"]
    after = wanted_words(before, DIRECTORY)
    assert after[-1] == "--collector.textfile"
    assert after.count("--collector.netstat") == 1
    assert words_before(after, before, after) == before


@pytest.mark.parametrize("flag", ["--no-collector.netstat", "--no-collector.textfile"])
def test_a_collector_that_somebody_has_taken_away_is_not_brought_back(flag: str) -> None:
    with pytest.raises(HostError, match="%s takes the collector away that is needed" % flag):
        wanted_words([flag], DIRECTORY)


@pytest.mark.parametrize("text", ['ARGS="--one\n', "ARGS='--one \\\n--two'\n", "ARGS=--one --two\n", 'ARGS="-a" # b\n'])
def test_what_is_not_understood_is_not_touched(text: str) -> None:
    with pytest.raises(HostError, match=r'ARGS cannot be understood \(write it as ARGS="--flag ..." on one line\)'):
        words_of(text)


def test_a_flag_without_a_value_is_named() -> None:
    with pytest.raises(HostError, match="fields has no value"):
        wanted_words([FIELDS], DIRECTORY)


def test_a_file_without_args_gets_a_line_of_its_own() -> None:
    assert with_words("OTHER=1", ["--a"]) == 'OTHER=1\nARGS="--a"\n'
