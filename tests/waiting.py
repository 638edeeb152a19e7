# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one way in which tests wait for something that is to come about."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(
    read: Callable[[], T],
    seconds: float = 30.0,
    what: str | Callable[[], str] = "",
    pause: float = 0.2,
    meanwhile: Callable[[], object] | None = None,
) -> T:
    """What is read, as soon as it is true; it is read once at least, and once more when the time is over.

    AssertionError where it is not so within these seconds. what: what is waited for, in words, or what gives words
    then, such as how far it has come; without it what was read. pause: seconds between two looks, before which there
    may be something to do meanwhile.
    """
    ends = time.monotonic() + seconds
    while True:
        last = time.monotonic() >= ends
        found = read()
        if found:
            return found
        if last:
            raise AssertionError(f"not within {seconds:.0f} s: {(what() if callable(what) else what) or repr(found)}")
        if meanwhile:
            meanwhile()
        time.sleep(pause)
