# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from lab.cache import Cache, digest, lock
from lab.errors import LabError
from lab.run import Progress


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", Progress(quiet=True))


def test_digest_depends_on_content_and_not_on_order() -> None:
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})


def test_entry_is_built_once_and_again_for_another_recipe(cache: Cache) -> None:
    built: list[Path] = []

    def build(directory: Path) -> None:
        built.append(directory)
        (directory / "file").write_text("content", encoding="utf-8")

    first = cache.entry("thing", {"version": 1}, build)
    assert cache.entry("thing", {"version": 1}, build) == first
    assert (first / "file").read_text(encoding="utf-8") == "content"
    assert len(built) == 1
    assert cache.entry("thing", {"version": 2}, build) != first
    assert len(built) == 2


def test_failed_build_leaves_nothing_and_is_tried_again(cache: Cache) -> None:
    def fail(directory: Path) -> None:
        (directory / "half").touch()
        raise LabError("no mirror")

    with pytest.raises(LabError, match="no mirror"):
        cache.entry("thing", {}, fail)
    assert not list(cache.directory.glob("thing-*"))
    assert not list((cache.directory / "tmp").iterdir())
    assert cache.entry("thing", {}, lambda _: None).is_dir()


def test_what_a_killed_build_left_is_removed_by_the_next(cache: Cache) -> None:
    left = cache.directory / "tmp" / "thing.killed"
    left.mkdir(parents=True)
    cache.entry("thing", {}, lambda _: None)
    assert not left.exists()


def test_entries_that_nobody_asked_for_in_a_month_go(cache: Cache) -> None:
    places = {
        number: cache.entry("thing", {"version": number}, lambda work: (work / "in-use").touch()) for number in range(3)
    }
    for place in places.values():
        os.utime(place, (1, 1))
    cache.entry("thing", {"version": 1}, lambda _: None)
    with lock(places[2] / "in-use", Progress(quiet=True), exclusive=False):
        cache.entry("thing", {"version": 9}, lambda _: None)
    assert [number for number, place in places.items() if place.exists()] == [1, 2]


def test_two_builders_of_one_entry_build_it_once(cache: Cache) -> None:
    built: list[Path] = []

    def build(directory: Path) -> None:
        built.append(directory)
        time.sleep(0.1)

    threads = [threading.Thread(target=cache.entry, args=("thing", {}, build)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1


def test_cache_in_use_is_not_cleaned(cache: Cache) -> None:
    place = cache.entry("vm-x", {}, lambda directory: (directory / "in-use").touch())
    with lock(place / "in-use", Progress(quiet=True), exclusive=False):
        with pytest.raises(LabError, match=r"vm-x-.*stop the lab first"):
            cache.clean()
        assert place.is_dir()
    cache.clean()
    assert not cache.directory.exists()
