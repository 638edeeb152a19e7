# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError
from ansible_collections.netfleet.tcp.plugins.plugin_utils._waves import (
    Candidate,
    compared,
    most_at_a_time,
    parse_waves,
    read_before,
    schedule,
    spread,
)

DEFAULT = [1, "10%", "100%"]


def fleet(**profiles: int) -> list[Candidate]:
    return [Candidate(f"{name}{i}", name, (name,)) for name, count in profiles.items() for i in range(count)]


def sizes(count: int, waves: list[Any], most: int = 1000) -> list[int]:
    return [len(wave) for wave in schedule(fleet(cloud=count), parse_waves(waves), most)]


@pytest.mark.parametrize(
    ("count", "waves", "expected"),
    [
        (0, DEFAULT, []),
        (1, DEFAULT, [1]),
        (4, DEFAULT, [1, 1, 2]),
        (200, DEFAULT, [1, 20, 179]),
        (7, [2], [2, 2, 2, 1]),
        (10, ["50%"], [5, 5]),
        (3, ["1%"], [1, 1, 1]),
        (5, ["100%"], [5]),
        (3, [10], [3]),
        (6, [" 50 %", "3"], [3, 3]),
    ],
)
def test_sizes(count: int, waves: list[Any], expected: list[int]) -> None:
    assert sizes(count, waves) == expected


def test_a_wave_that_could_not_be_confirmed_in_time_is_cut() -> None:
    assert sizes(30, [1, "50%", "100%"], most=10) == [1, 10, 5, 10, 4]


@given(st.dictionaries(st.sampled_from("abcd"), st.integers(0, 40)), st.integers(1, 9))
def test_every_host_has_its_turn_once(profiles: dict[str, int], most: int) -> None:
    candidates = fleet(**profiles)
    waves = schedule(candidates, parse_waves(DEFAULT), most)
    assert sorted(name for wave in waves for name in wave) == sorted(entry.name for entry in candidates)
    assert all(1 <= len(wave) <= most for wave in waves)


def test_canaries_are_spread_over_profiles_and_the_largest_comes_first() -> None:
    order = [entry.name for entry in spread(fleet(local=2, cloud=9, edge=1))]
    assert order[:6] == ["cloud0", "local0", "edge0", "cloud1", "local1", "cloud2"]


def test_and_within_a_profile_over_its_sites() -> None:
    sites = [
        Candidate(f"{site}{i}", "cloud", ("cloud", site)) for site, count in (("a", 3), ("b", 2)) for i in range(count)
    ]
    assert [entry.name for entry in spread(sites)] == ["a0", "b0", "a1", "b1", "a2"]


def test_the_order_of_the_inventory_is_kept_where_nothing_else_decides() -> None:
    assert [entry.name for entry in spread(fleet(cloud=12))] == [f"cloud{i}" for i in range(12)]


@pytest.mark.parametrize("bad", [[0], ["0%"], ["101%"], ["x"], [-1], [1.5], [True], [None], [[1]], [""]])
def test_what_is_no_size_is_refused_by_its_place(bad: list[Any]) -> None:
    with pytest.raises(InputError, match=r"tcp_tuning_waves\[1\]: .* is no size"):
        parse_waves([1, *bad])


def test_no_waves_at_all() -> None:
    with pytest.raises(InputError, match="is empty"):
        parse_waves([])
    assert parse_waves("100%") == [(100, True)]


def test_how_many_hosts_fit_into_a_window() -> None:
    assert most_at_a_time(forks=5, window=120, seconds=20) == 50
    assert most_at_a_time(forks=50, window=120, seconds=20) == 500
    assert most_at_a_time(forks=5, window=20, seconds=5) == 5
    assert most_at_a_time(forks=5, window=0, seconds=0) > 1_000_000


def test_a_wave_is_compared_with_hosts_that_the_next_one_is_compared_with_too() -> None:
    waves = [["a"], ["b", "c"], ["d", "e", "f"]]
    assert compared(waves, 1, ["u"], most=4) == ["d", "e", "f", "b"]
    assert compared(waves, 2, ["u", "v"], most=4) == ["d", "e", "f", "u"]
    assert compared(waves, 3, ["u", "v"], most=4) == ["u", "v"]
    assert compared([["a"]], 1, [], most=4) == []


def test_what_an_earlier_wave_read_at_its_end_is_not_read_again() -> None:
    counters = {"segments": 7}
    answers: list[dict[str, Any]] = [
        {"item": "d", "counters": counters, "changed": False},
        {"item": "e", "lost": "it does not answer"},
        {"item": "b", "counters": counters},
    ]
    assert read_before(answers, ["d", "e", "f"]) == [{"item": "d", "counters": counters}]
    assert read_before([], ["d"]) == []
