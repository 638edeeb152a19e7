# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import (
    HostError,
    InputError,
    NetfleetError,
    Problem,
    host_error,
    input_error,
)


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("a.b", "is wrong", "mend it"), "a.b: is wrong (mend it)"),
        (Problem("a.b", "is wrong"), "a.b: is wrong"),
        (Problem("", "all is wrong", "mend it"), "all is wrong (mend it)"),
    ],
)
def test_a_problem_says_where_what_and_what_to_do(problem: Problem, text: str) -> None:
    assert str(problem) == text


def test_an_error_carries_every_problem() -> None:
    problems = [Problem("a", "x"), Problem("b", "y")]
    error = NetfleetError(iter(problems))
    assert error.problems == problems
    assert str(error) == "a: x; b: y"


def test_errors_of_a_single_problem() -> None:
    assert isinstance(input_error("a", "x", "y"), InputError)
    assert isinstance(host_error("a", "x", "y"), HostError)
    assert str(host_error("a", "x", "y")) == "a: x (y)"
