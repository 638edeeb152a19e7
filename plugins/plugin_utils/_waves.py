# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""In which order, and how many at a time, the hosts of a fleet are changed. Pure; runs on the controller alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Dict, List, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, Problem, input_error

# The variables in which the tasks of the role leave their results.
LOOK = "__tcp_tuning_look"
MADE = "__tcp_tuning_made"
ENDED = "__tcp_tuning_ended"
OTHERS = "__tcp_tuning_others_now"
SCHEDULE = "netfleet_tcp_waves"
# Seconds: what is left of the window for the confirmation of a wave's hosts, in any case.
RESERVE = 15
# Seconds that a slow host takes to be changed, and to be confirmed over a new connection.
_PER_HOST = 8
_ENTRY = re.compile(r"(\d+)(\s*%)?")


@dataclass(frozen=True)
class Candidate:
    """A host that is to be changed. site: what tells its surroundings from others; here, the groups that it is in."""

    name: str
    profile: str = ""
    site: Tuple[str, ...] = ()


def parse_waves(given: Any, variable: str = "tcp_tuning_waves") -> List[Tuple[int, bool]]:
    """(number, whether it is percent) of each wave; InputError with every entry that is neither."""
    entries = given if isinstance(given, (list, tuple)) else [given]
    found: List[Tuple[int, bool]] = []
    problems: List[Problem] = []
    for index, entry in enumerate(entries):
        match = None if isinstance(entry, bool) else _ENTRY.fullmatch(str(entry).strip())
        number = int(match.group(1)) if match else 0
        if not match or number < 1 or (match.group(2) and number > 100):
            text, cure = "%r is no size of a wave" % (entry,), "a number of hosts, or 1% to 100%"
            problems.append(Problem("%s[%d]" % (variable, index), text, cure))
        else:
            found.append((number, bool(match.group(2))))
    if problems:
        raise InputError(problems)
    if not found:
        raise input_error(variable, "is empty", "such as [1, 10%, 100%]; [100%] for all at once")
    return found


def schedule(candidates: Iterable[Candidate], sizes: Sequence[Tuple[int, bool]], most: int) -> List[List[str]]:
    """The names of the hosts of each wave. The last size is repeated until no host is left; most: hosts at a time."""
    return cut([candidate.name for candidate in spread(candidates)], sizes, most)


def cut(order: Sequence[str], sizes: Sequence[Tuple[int, bool]], most: int = 1 << 30) -> List[List[str]]:
    """An order, in waves of these sizes."""
    waves: List[List[str]] = []
    start, step = 0, 0
    while start < len(order):
        number, percent = sizes[min(step, len(sizes) - 1)]
        size = max(1, len(order) * number // 100) if percent else number
        end = min(len(order), start + size)
        # A wave of which not all could be confirmed in time is cut in several of its size.
        waves += [list(order[first : min(end, first + most)]) for first in range(start, end, most)]
        start, step = end, step + 1
    return waves


def compared(waves: Sequence[Sequence[str]], number: int, unchanged: Iterable[str], most: int) -> List[str]:
    """The hosts that a wave (1: the first) is compared with: those of the last waves first, as they stay so longest."""
    later = [host for wave in reversed(waves[number:]) for host in wave]
    return [*later, *unchanged][:most]


def read_before(answers: Iterable[Mapping[str, Any]], hosts: Iterable[str]) -> List[Mapping[str, Any]]:
    """What an earlier wave has read of these hosts at its end: for the next one it is the before, without a visit."""
    wanted = set(hosts)
    return [
        {"item": answer["item"], "counters": answer["counters"]}
        for answer in answers
        if answer.get("counters") and answer.get("item") in wanted
    ]


def spread(candidates: Iterable[Candidate]) -> List[Candidate]:
    """In an order of which each beginning holds as many profiles, and within them sites, as can be."""
    profiles: Dict[str, Dict[Tuple[str, ...], List[Candidate]]] = {}
    for candidate in candidates:
        profiles.setdefault(candidate.profile, {}).setdefault(candidate.site, []).append(candidate)
    return _take_turns(_take_turns(sites.values()) for sites in profiles.values())


def _take_turns(rows: Iterable[List[Candidate]]) -> List[Candidate]:
    # The largest first: should the first wave be a single host, it stands for most of them.
    ordered = sorted(rows, key=len, reverse=True)
    return [entry for turn in zip_longest(*ordered) for entry in turn if entry is not None]


def most_at_a_time(forks: int, window: int, seconds: int) -> int:
    """How many hosts can be changed, watched for some seconds and confirmed before the first one's window is over."""
    if not window:
        return 1 << 30
    return forks * max(1, (window - seconds - RESERVE) // _PER_HOST)
