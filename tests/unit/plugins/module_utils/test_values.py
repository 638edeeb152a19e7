# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netfleet.tcp.plugins.module_utils._values import (
    fast_open_key,
    format_port_ranges,
    kernel_integer,
    key_name,
    key_path,
    leaves_proc_sys,
    normal_value,
    port_ranges,
    same_value,
)

RESERVED = "net.ipv4.ip_local_reserved_ports"
SECRET = "net.ipv4.tcp_fastopen_key"
KEYS = [RESERVED, SECRET, "net.ipv4.tcp_rmem", "net.ipv4.tcp_congestion_control", "net.core.somaxconn"]

TEXTS = st.one_of(
    st.text(max_size=30),
    st.integers(-(1 << 40), 1 << 40).map(str),
    st.integers(0, 1 << 40).map(hex),
    st.lists(st.integers(0, 70000), max_size=4).map(lambda ports: ",".join(str(port) for port in ports)),
    st.from_regex(r"[0-9a-fA-F]{1,8}(-[0-9a-fA-F]{1,8}){3}", fullmatch=True),
)


@pytest.mark.parametrize(
    ("written", "path", "name"),
    [
        ("net.ipv4.tcp_rmem", "net/ipv4/tcp_rmem", "net.ipv4.tcp_rmem"),
        ("net/ipv4/tcp_rmem", "net/ipv4/tcp_rmem", "net.ipv4.tcp_rmem"),
        ("  net.ipv4.tcp_rmem\t", "net/ipv4/tcp_rmem", "net.ipv4.tcp_rmem"),
        # sysctl.d(5): the first separator decides what the other one means.
        ("net.ipv4.conf.eth0/100.rp_filter", "net/ipv4/conf/eth0.100/rp_filter", "net.ipv4.conf.eth0/100.rp_filter"),
        ("net/ipv4/conf/eth0.100/rp_filter", "net/ipv4/conf/eth0.100/rp_filter", "net.ipv4.conf.eth0/100.rp_filter"),
        ("/net/ipv4/tcp_sack", "net/ipv4/tcp_sack", "net.ipv4.tcp_sack"),
        ("vm", "vm", "vm"),
        ("", "", ""),
    ],
)
def test_two_spellings_of_a_key(written: str, path: str, name: str) -> None:
    assert key_path(written) == path
    assert key_name(written) == name


WORDS = st.from_regex(r"[a-z_*-]{1,4}", fullmatch=True)


@given(WORDS, st.lists(st.from_regex(r"[a-z_*-]{1,4}(\.[0-9]{1,3})?", fullmatch=True), min_size=1, max_size=4))
def test_name_and_path_say_the_same(first: str, more: list[str]) -> None:
    path = "/".join([first, *more])
    assert key_path(path) == path
    assert key_path(key_name(path)) == path
    assert key_name(key_name(path)) == key_name(path)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("60", 60),
        ("-5", -5),
        ("0x403", 1027),
        ("0X403", 1027),
        ("010", 8),
        ("00", 0),
        # Each of these was refused by a kernel (6.18).
        ("+5", None),
        ("08", None),
        ("5x", None),
        ("", None),
        ("-", None),
        ("1.0", None),
        ("1e3", None),
        ("0x", None),
        ("--5", None),
        ("٣", None),
        ("5\n", None),
        ("9" * 5000, None),
    ],
)
def test_integers_as_the_kernel_reads_them(text: str, number: int | None) -> None:
    assert kernel_integer(text) == number


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        ("", []),
        ("8080", [(8080, 8080)]),
        ("8080,9000-9010", [(8080, 8080), (9000, 9010)]),
        ("9000-9010, 8080", [(8080, 8080), (9000, 9010)]),
        ("80,81,82-85", [(80, 85)]),
        ("80,80-90", [(80, 90)]),
        ("0-65535", [(0, 65535)]),
        ("8080,", [(8080, 8080)]),
        ("65536", None),
        ("90-80", None),
        ("80-", None),
        ("-80", None),
        ("http", None),
        ("80;81", None),
        # The kernel refuses it too; 8081 was never meant.
        ("80 81", None),
        # The kernel reads 8.
        ("010", None),
        ("٨٠", None),
    ],
)
def test_port_sets(text: str, ranges: list[tuple[int, int]] | None) -> None:
    assert port_ranges(text) == ranges


def test_port_sets_as_the_kernel_prints_them() -> None:
    assert format_port_ranges([(80, 80), (9000, 9010)]) == "80,9000-9010"
    assert format_port_ranges([]) == ""


@given(st.sets(st.integers(0, 65535), max_size=40))
def test_port_sets_round_trip(ports: set[int]) -> None:
    ranges = port_ranges(",".join(str(port) for port in ports))
    assert ranges is not None
    assert {port for low, high in ranges for port in range(low, high + 1)} == ports
    assert port_ranges(format_port_ranges(ranges)) == ranges
    assert all(left[1] + 1 < right[0] for left, right in zip(ranges, ranges[1:]))


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("1-2-3-4", "00000001-00000002-00000003-00000004"),
        (" 0A-B-c-D ", "0000000a-0000000b-0000000c-0000000d"),
        ("1-2-3-4,5-6-7-8", "00000001-00000002-00000003-00000004,00000005-00000006-00000007-00000008"),
        ("1-2-3-4, 5-6-7-8", "00000001-00000002-00000003-00000004,00000005-00000006-00000007-00000008"),
        ("1-2-3", None),
        ("1-2-3-4-5", None),
        ("1-2-3-g", None),
        ("123456789-2-3-4", None),
        ("1-2-3-4,", None),
        ("1-2-3-4,1-2-3-4,1-2-3-4", None),
        ("", None),
    ],
)
def test_fast_open_keys(text: str, normal: str | None) -> None:
    assert fast_open_key(text) == normal


@pytest.mark.parametrize(
    ("key", "left", "right", "same"),
    [
        ("net.ipv4.tcp_rmem", "4096\t131072\t6291456", " 4096  131072 6291456\n", True),
        ("net.ipv4.tcp_rmem", "4096 131072 6291456", "4096 131072", False),
        ("net.ipv4.tcp_rmem", "4096 131072 6291456", "131072 4096 6291456", False),
        ("net.ipv4.tcp_fastopen", "0x403", "1027", True),
        ("net.ipv4.tcp_fin_timeout", "010", "8", True),
        ("net.ipv4.tcp_fin_timeout", "08", "8", False),
        ("net.ipv4.tcp_congestion_control", "bbr", "cubic", False),
        ("net.ipv4.tcp_congestion_control", "cubic # c", "cubic", False),
        (RESERVED, "9000-9010,8080", "8080,9000-9005,9006-9010", True),
        (RESERVED, "8080", "", False),
        (SECRET, "1-2-3-A", "00000001-00000002-00000003-0000000a", True),
        (SECRET, "1-2-3-4", "1-2-3-5", False),
        ("net.core.somaxconn", None, None, True),
        ("net.core.somaxconn", None, "", False),
        ("net.core.somaxconn", "4096", None, False),
    ],
)
def test_same_value(key: str, left: str | None, right: str | None, same: bool) -> None:
    assert same_value(key, left, right) is same
    assert same_value(key, right, left) is same


@given(st.sampled_from(KEYS), TEXTS)
def test_the_normal_value_is_its_own(key: str, text: str) -> None:
    normal = normal_value(key, text)
    assert normal_value(key, normal) == normal
    assert same_value(key, text, normal)


@given(st.sampled_from(KEYS), st.lists(TEXTS | st.none(), min_size=3, max_size=3))
def test_same_value_is_an_equivalence(key: str, texts: list[str | None]) -> None:
    one, two, three = texts
    assert same_value(key, one, one)
    assert same_value(key, one, two) == same_value(key, two, one)
    if same_value(key, one, two) and same_value(key, two, three):
        assert same_value(key, one, three)


def test_numbers_of_any_length_are_compared() -> None:
    # int() itself refuses more than 4300 digits from Python 3.11 on; a file may hold anything.
    assert not same_value("net.core.somaxconn", "9" * 5000, "1")


@pytest.mark.parametrize(
    ("name", "leaves"),
    [
        ("net.ipv4.tcp_rmem", False),
        ("net/ipv4/conf/eth0.100/rp_filter", False),
        ("net.ipv4.conf.eth0/100.rp_filter", False),
        ("net/ipv4/route/../tcp_fastopen_key", True),
        ("net/../../../etc/shadow", True),
        ("./net/ipv4/tcp_rmem", False),
        ("net/ipv4/tcp_rmem\0", True),
    ],
)
def test_what_is_a_path_to_somewhere_else(name: str, leaves: bool) -> None:
    assert leaves_proc_sys(name) is leaves
