# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netfleet.tcp.plugins.module_utils._catalogue import KEYS, Key
from ansible_collections.netfleet.tcp.plugins.module_utils._catalogue_index import (
    INDEX,
    check_key,
    check_order,
    check_value,
    suggestion,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._values import kernel_integer

RMEM = "net.ipv4.tcp_rmem"
GC = "net.ipv4.neigh.default.gc_thresh"


@pytest.mark.parametrize(
    ("name", "problem", "cure"),
    [
        ("net.ipv4.tcp_rmen", "is not in the catalogue", "did you mean net.ipv4.tcp_rmem?"),
        ("net/ipv4/tcp_sak", "net.ipv4.tcp_sak is not in the catalogue", "did you mean net.ipv4.tcp_sack?"),
        ("bogus", "is not in the catalogue", "see docs/catalogue.md"),
        ("", "is not in the catalogue", "see docs/catalogue.md"),
        ("net.ipv4.tcp_tw_recycle", "was removed in Linux 4.12", "use net.ipv4.tcp_tw_reuse"),
        ("net/ipv4/tcp_tw_recycle", "was removed in Linux 4.12", "use net.ipv4.tcp_tw_reuse"),
        ("net.ipv4.ip_forward", "makes the host a router", "set it where that role is configured"),
        ("net.ipv6.conf.all.forwarding", "makes the host a router", "set it where that role is configured"),
        ("net.ipv4.conf.eth0/100.rp_filter", "is routing and address policy", "where the network is configured"),
        ("net.ipv4.tcp_mem", "counts pages", "leave it to the kernel"),
        ("net.ipv4.tcp_fack", "does nothing", "leave it out"),
        ("vm.swappiness", "is memory management", "use another role"),
        ("kernel.panic", "is not TCP", "use another role"),
        ("net.bridge.bridge-nf-call-iptables", "belongs to the container network", "set it where"),
    ],
)
def test_keys_that_are_refused(name: str, problem: str, cure: str) -> None:
    found = check_key(name, "overrides[x]")
    assert found
    assert found.path == "overrides[x]"
    assert problem in found.problem
    assert cure in found.cure


@pytest.mark.parametrize("key", KEYS, ids=[key.name for key in KEYS])
def test_every_key_of_the_catalogue_can_be_set_in_both_spellings(key: Key) -> None:
    assert check_key(key.name, "x") is None
    assert check_key(key.name.replace(".", "/"), "x") is None


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        (RMEM, "4096 131072 6291456", "4096 131072 6291456"),
        (RMEM, " 4096\t131072\n6291456 ", "4096 131072 6291456"),
        (RMEM, [4096, 131072, 6291456], "4096 131072 6291456"),
        (RMEM, (4096, "131072", 6291456), "4096 131072 6291456"),
        (RMEM, "0x1000 0x1000 0x1000", "4096 4096 4096"),
        ("net.ipv4.tcp_fastopen", "0x403", "1027"),
        ("net.ipv4.tcp_fastopen", 1027, "1027"),
        ("net.ipv4.tcp_sack", True, "1"),
        ("net.ipv4.tcp_sack", False, "0"),
        ("net.ipv4.tcp_notsent_lowat", 4294967295, "4294967295"),
        ("net.ipv4.ip_local_reserved_ports", "9000-9010, 8080", "8080,9000-9010"),
        ("net.ipv4.ip_local_reserved_ports", [8080, "9000-9010"], "8080,9000-9010"),
        ("net.ipv4.ip_local_reserved_ports", 8080, "8080"),
        ("net.ipv4.ip_local_reserved_ports", "", ""),
        ("net.core.default_qdisc", "fq_codel", "fq_codel"),
        ("net.ipv4.tcp_fastopen_key", "A-b-0c-1", "0000000a-0000000b-0000000c-00000001"),
    ],
)
def test_values_as_they_are_written(name: str, value: Any, text: str) -> None:
    assert check_value(name, value, "x") == (text, [])


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        (RMEM, "4096 131072", "has 2 fields, not 3"),
        (RMEM, "4096 131072 6291456 1", "has 4 fields, not 3"),
        (RMEM, 4096, "has 1 fields, not 3"),
        (RMEM, "", "has 0 fields, not 3"),
        (RMEM, None, "has 0 fields, not 3"),
        (RMEM, "131072 4096 6291456", "fields decrease"),
        (RMEM, "4096 131072 3000000000", "3000000000 is out of range"),
        (RMEM, "1024 131072 6291456", "1024 is out of range"),
        ("net.ipv4.ip_local_port_range", "60999 32768", "fields decrease"),
        ("net.ipv4.tcp_fin_timeout", "-5", "-5 is"),
        ("net.ipv4.tcp_fin_timeout", -5, "-5 is"),
        ("net.ipv4.tcp_fin_timeout", "+5", "not a whole number"),
        ("net.ipv4.tcp_fin_timeout", "010", "octal (8)"),
        ("net.ipv4.tcp_fin_timeout", "1.5", "not a whole number"),
        ("net.ipv4.tcp_fin_timeout", 60.0, "not a whole number"),
        ("net.ipv4.tcp_fin_timeout", "60s", "not a whole number"),
        ("net.ipv4.tcp_fin_timeout", "9" * 5000, "out of range"),
        ("net.ipv4.tcp_fin_timeout", "0x" + "f" * 5000, "out of range"),
        ("net.ipv4.tcp_fin_timeout", "0" * 5000, "out of range"),
        ("net.ipv4.tcp_fin_timeout", {"value": 60}, "fields"),
        ("net.ipv4.tcp_mtu_probing", 3, "3 is out of range"),
        ("net.ipv4.tcp_mtu_probing", True, "True is not a value"),
        ("net.ipv4.tcp_timestamps", 0, "0 is out of range"),
        ("net.ipv4.tcp_fastopen", 99999, "99999 is out of range"),
        ("net.core.default_qdisc", "", "is not a name"),
        ("net.core.default_qdisc", "fq codel", "is not a name"),
        ("net.core.default_qdisc", "FQ", "is not a name"),
        ("net.ipv4.ip_local_reserved_ports", "80 81", "is not a set of ports"),
        ("net.ipv4.ip_local_reserved_ports", "70000", "is not a set of ports"),
        ("net.ipv4.ip_local_reserved_ports", "090", "is not a set of ports"),
        ("net.ipv4.tcp_fastopen_key", "1-2-3", "is not a fast open key"),
    ],
)
def test_values_that_the_kernel_might_take_and_nobody_means(name: str, value: Any, problem: str) -> None:
    _text, problems = check_value(name, value, "overrides[x]")
    assert [found.path for found in problems] == ["overrides[x]"]
    assert problem in problems[0].problem
    assert name in problems[0].problem
    assert problems[0].cure


def test_a_wrong_secret_is_not_shown() -> None:
    text, problems = check_value("net.ipv4.tcp_fastopen_key", "hush-hush", "x")
    assert "hush" not in text + str(problems)


def test_the_cure_names_the_range() -> None:
    _text, problems = check_value(RMEM, "1 2", "x")
    assert problems[0].cure.startswith("3 numbers, each 4096 to 2147483647 bytes, not decreasing: receive buffer")
    _text, problems = check_value("net.ipv4.tcp_fin_timeout", "x", "x")
    assert problems[0].cure.startswith("1 to 3600 seconds: time that an orphan")


@given(st.sampled_from(KEYS), st.text(max_size=20) | st.integers() | st.floats() | st.lists(st.integers(), max_size=4))
def test_any_value_is_accepted_or_refused_with_a_cure(key: Key, value: Any) -> None:
    text, problems = check_value(key.name, value, "x")
    assert all(found.path == "x" and found.problem and found.cure for found in problems)
    if not problems:
        # What is accepted is written as the kernel prints it.
        assert check_value(key.name, text, "x") == (text, [])
        if key.kind == "int":
            numbers = [kernel_integer(field) for field in text.split(" ")]
            assert len(numbers) == key.fields
            assert all(number is not None and key.low <= number <= key.high for number in numbers)


@pytest.mark.parametrize(
    ("values", "count"),
    [
        ({}, 0),
        ({GC + "1": "128"}, 0),
        ({GC + "1": "128", GC + "2": "512", GC + "3": "1024"}, 0),
        ({GC + "1": "512", GC + "2": "512"}, 0),
        ({GC + "1": "1024", GC + "2": "512"}, 1),
        ({GC + "1": "2048", GC + "3": "1024"}, 1),
        ({GC + "1": "4096", GC + "2": "2048", GC + "3": "1024"}, 2),
        # As numbers, not as text.
        ({GC + "1": "512", GC + "2": "4096"}, 0),
    ],
)
def test_order_across_keys(values: dict[str, str], count: int) -> None:
    problems = check_order(values, "overrides")
    assert len(problems) == count
    assert all(found.path == "overrides" and "is above" in found.problem for found in problems)


@pytest.mark.parametrize(
    ("word", "known", "said"),
    [
        ("clod", ["cloud", "local"], "did you mean cloud?"),
        ("xyz", ["cloud", "local"], "one of: cloud, local"),
        (
            "xyz",
            ["abcdefghijkl"[number] * 2 for number in range(12)],
            "one of: aa, bb, cc, dd, ee, ff, gg, hh, ii, jj, kk, ll",
        ),
        ("xyz", ["k%d" % number for number in range(13)], "see docs/catalogue.md"),
    ],
)
def test_suggestions(word: str, known: list[str], said: str) -> None:
    assert suggestion(word, known) == said


def test_the_index_has_every_key() -> None:
    assert list(INDEX.values()) == list(KEYS)
