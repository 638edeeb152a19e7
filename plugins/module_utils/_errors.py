# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The errors that this collection raises. Modules and action plugins turn them into a failed result in one place."""

from __future__ import annotations

from typing import Callable, Iterable, List

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass

_LONGEST = 400


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where it stands, what is wrong with it, and what would be right."""

    path: str
    problem: str
    cure: str = ""

    def __str__(self) -> str:
        problem = _short(self.problem)
        text = "%s: %s" % (_short(self.path), problem) if self.path else problem
        return "%s (%s)" % (text, self.cure) if self.cure else text


def _short(text: str) -> str:
    # What a user wrote is echoed, but not a megabyte of it.
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


class NetfleetError(Exception):
    """Base of every error that a user may see; carries all the problems that were found, not just the first."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: List[Problem] = list(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))


class InputError(NetfleetError):
    """What the user wrote cannot be meant. Raised before anything is written."""


class HostError(NetfleetError):
    """The host refused, or lacks something. The message says what was restored, if anything had been changed."""


def input_error(path: str, problem: str, cure: str = "") -> InputError:
    """An InputError of a single problem."""
    return InputError([Problem(path, problem, cure)])


def host_error(path: str, problem: str, cure: str = "") -> HostError:
    """A HostError of a single problem."""
    return HostError([Problem(path, problem, cure)])


def way_back(work: Callable[[], object]) -> List[Problem]:
    """What is wrong with a part of the way back, for whoever goes the other parts all the same; empty where it went."""
    try:
        work()
    except NetfleetError as error:
        return [Problem(each.path, "on the way back: %s" % each.problem, each.cure) for each in error.problems]
    return []
