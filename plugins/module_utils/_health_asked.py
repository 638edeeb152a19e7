# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a look at TCP's health is asked for, from a user's words. Pure."""

from __future__ import annotations

import math
from typing import Any, Collection, Dict, Iterator, List, Mapping, Optional

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, Problem
from ansible_collections.netfleet.tcp.plugins.module_utils._health import Asked
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import Sample
from ansible_collections.netfleet.tcp.plugins.module_utils._health_targets import RTT_TARGETS, TARGETS, milliseconds
from ansible_collections.netfleet.tcp.plugins.module_utils._model import from_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._peer_classes import PeerClasses

_LONGEST, _MOST = 300, 100


def asked_from(given: Mapping[str, Any]) -> Asked:
    """What the options of the module tcp_health_info ask for; InputError with every problem."""
    problems: List[Problem] = []
    peers: Mapping[str, Any] = given["peers"]
    try:
        names = PeerClasses(peers).names
    except InputError as error:
        problems += error.problems
        names = tuple(peers)
    since = _sample(given["since"], problems)
    problems += _problems(given)
    rtt_targets = {name: target for name, target in RTT_TARGETS.items() if name in names}
    rtt_targets.update(_rtt_targets(given["rtt_targets"], names, problems))
    targets = {**TARGETS, **(given["targets"] or {})}
    for name, target in targets.items():
        if not 0 <= target < 100:
            cure = "a percentage between 0 and 100, or 0 for none"
            problems.append(Problem("targets.%s" % name, "%r is no target" % target, cure))
    if problems:
        raise InputError(problems)
    return Asked(given["interval"], since, dict(peers), _given(targets), _given(rtt_targets), given["top"])


def _given(targets: Mapping[str, float]) -> Dict[str, float]:
    """Those that there are: 0 stands for none."""
    return {name: target for name, target in targets.items() if target}


def _problems(given: Mapping[str, Any]) -> Iterator[Problem]:
    if not 0 <= given["interval"] <= _LONGEST:
        yield Problem("interval", "%r is no such time" % given["interval"], "0 to %d seconds" % _LONGEST)
    if given["interval"] and given["since"]:
        yield Problem("since", "is given together with interval", "one of the two")
    if not 1 <= given["top"] <= _MOST:
        yield Problem("top", "%r is no such number" % given["top"], "1 to %d" % _MOST)


def _sample(given: Mapping[str, Any], problems: List[Problem]) -> Optional[Sample]:
    if not given:
        return None
    try:
        return from_wire(Sample, dict(given))
    except (TypeError, ValueError) as error:
        problems.append(Problem("since", "is no sample: %s" % error, "sample, as an earlier run returned it"))
        return None


def _rtt_targets(given: Mapping[str, Any], names: Collection[str], problems: List[Problem]) -> Dict[str, float]:
    found: Dict[str, float] = {}
    for name, value in given.items():
        path = "rtt_targets.%s" % name
        if name not in names:
            problems.append(Problem(path, "there is no such class", "one of: %s" % ", ".join(names)))
        found[name] = milliseconds(value)
        if found[name] == math.inf:
            problems.append(Problem(path, "%r is no time" % (value,), "milliseconds, or 0 for none"))
    return found
