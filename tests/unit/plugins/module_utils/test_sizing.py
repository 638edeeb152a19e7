# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netfleet.tcp.plugins.module_utils._sizing import (
    bdp,
    buffer_maximum,
    format_bandwidth,
    format_bytes,
    memory_limit,
    parse_bandwidth,
    parse_rtt,
)

MIB = 1 << 20


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10Gbit", 10e9),
        ("10 Gbit/s", 10e9),
        ("10gbps", 10e9),
        ("2.5Gbit", 2.5e9),
        (" 500 Mbit ", 500e6),
        ("64kbit", 64e3),
        ("1Tbit", 1e12),
        ("1000000 bit", 1e6),
        ("63kbit", None),
        ("2Tbit", None),
        ("10G", None),
        ("10", None),
        ("10 GB", None),
        ("10Gbyte", None),
        ("-1Gbit", None),
        ("1e9bit", None),
        (".5Gbit", None),
        ("Gbit", None),
        ("10Gbit\nx", None),
        ("", None),
    ],
)
def test_bandwidths(text: str, rate: float | None) -> None:
    assert parse_bandwidth(text) == rate


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("40ms", 0.04),
        ("0.5 ms", 0.0005),
        ("250us", 0.00025),
        ("1s", 1.0),
        ("10s", 10.0),
        ("1us", 1e-6),
        ("0ms", None),
        ("11s", None),
        ("40", None),
        ("40m", None),
        ("-40ms", None),
        ("", None),
    ],
)
def test_round_trip_times(text: str, seconds: float | None) -> None:
    found = parse_rtt(text)
    assert found == (pytest.approx(seconds) if seconds is not None else None)


@pytest.mark.parametrize(
    ("rate", "text"),
    [(10e9, "10 Gbit/s"), (2.5e9, "2.5 Gbit/s"), (500e6, "500 Mbit/s"), (64e3, "64 kbit/s"), (1e12, "1 Tbit/s")],
)
def test_formatted_bandwidths(rate: float, text: str) -> None:
    assert format_bandwidth(rate) == text
    assert parse_bandwidth(text) == rate


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (16 * MIB, "16 MiB"),
        (31.25 * 1e6, "29.8 MiB"),
        (1 << 30, "1 GiB"),
        (1 << 16, "64 KiB"),
        (512, "512 B"),
        (1000 * MIB, "1000 MiB"),
        (1023 * 1024, "1023 KiB"),
    ],
)
def test_formatted_bytes(count: float, text: str) -> None:
    assert format_bytes(count) == text


@pytest.mark.parametrize(
    ("bandwidth", "rtt", "size"),
    [
        (10e9, 0.005, 16 * MIB),  # the profiles: local
        (5e9, 0.050, 64 * MIB),  # cloud
        (5e9, 0.100, 128 * MIB),  # wan
        (500e6, 0.100, 16 * MIB),  # edge
        (64e3, 1e-6, 1 << 16),
        (1e12, 10.0, 1 << 30),
    ],
)
def test_buffer_maximum(bandwidth: float, rtt: float, size: int) -> None:
    assert buffer_maximum(bandwidth, rtt) == size


@given(st.floats(64e3, 1e12), st.floats(1e-6, 10))
def test_a_buffer_is_two_to_four_bdp_within_bounds(bandwidth: float, rtt: float) -> None:
    size = buffer_maximum(bandwidth, rtt)
    assert size & (size - 1) == 0
    assert 1 << 16 <= size <= 1 << 30
    if 1 << 16 < size < 1 << 30:
        assert 2 * bdp(bandwidth, rtt) <= size < 4 * bdp(bandwidth, rtt)


@pytest.mark.parametrize(
    ("memory", "share", "limit"),
    [(512 * MIB, 0.05, 16 * MIB), (320 * MIB, 0.05, 16 * MIB), (319 * MIB, 0.05, 8 * MIB), (0, 0.05, 1 << 16)],
)
def test_memory_limit(memory: int, share: float, limit: int) -> None:
    assert memory_limit(memory, share) == limit
