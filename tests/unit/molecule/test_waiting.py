# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How tests wait."""

from __future__ import annotations

import pytest

from tests.waiting import until


def test_what_comes_about_is_given_as_soon_as_it_is_there() -> None:
    looks, done = iter([0, 0, 7, 8]), []
    assert until(lambda: next(looks), 30.0, pause=0.0, meanwhile=lambda: done.append(1)) == 7
    assert len(done) == 2


def test_it_is_read_once_more_when_the_time_is_over() -> None:
    looks = iter([0, 7])
    assert until(lambda: next(looks), 0.05, pause=0.1) == 7


@pytest.mark.parametrize(("what", "said"), [("that", "that"), (lambda: "2 of 3", "2 of 3"), ("", "[]")])
def test_what_does_not_come_about_is_an_error_that_says_what(what: object, said: str) -> None:
    with pytest.raises(AssertionError, match="not within 0 s: ") as error:
        until(list, 0.0, what, pause=0.0)  # type: ignore[arg-type]
    assert str(error.value).endswith(said)
