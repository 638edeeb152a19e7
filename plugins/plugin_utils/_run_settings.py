# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a tuning run goes over the fleet: its waves and its health gate, as the role's variables set them.

Runs on the controller alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Dict

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, Problem
from ansible_collections.netfleet.tcp.plugins.plugin_utils._arguments import PREFIX, typed
from ansible_collections.netfleet.tcp.plugins.plugin_utils._arguments import differing as not_the_same
from ansible_collections.netfleet.tcp.plugins.plugin_utils._gate import merged_limits, merged_minimum
from ansible_collections.netfleet.tcp.plugins.plugin_utils._waves import RESERVE, parse_waves

WAIT, GO_ON, STOP = "wait", "go_on", "stop"
SETTINGS: Dict[str, Dict[str, Any]] = {
    "waves": {"type": "list", "elements": "raw", "default": [1, "10%", "100%"]},
    "max_failed": {"type": "float", "default": 10},
    "gate_seconds": {"type": "int", "default": 20},
    "gate_too_little": {"type": "str", "choices": [WAIT, GO_ON, STOP], "default": GO_ON},
    "gate_minimum": {"type": "dict", "default": {}},
    "gate_limits": {"type": "dict", "default": {}},
}
# Of the run, not of a host; the limits may be each host's own.
OF_THE_RUN = ("waves", "max_failed", "gate_seconds", "gate_too_little", "gate_minimum")


def checked_settings(given: Mapping[str, Any], window: int) -> Dict[str, Any]:
    """The settings in their types, with defaults; InputError with every problem, named as the variables are.

    `watched`, beside them, is how many seconds of traffic are really watched. window: seconds within which a change has
    to be confirmed; without one (0) no traffic is watched, since there would be nothing to take back.
    """
    found = typed(SETTINGS, given)
    problems = list(_problems(found))
    for name, merged in (("gate_minimum", merged_minimum), ("gate_limits", merged_limits)):
        try:
            found[name] = merged(found[name])
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    # What is left has to do for the confirmation.
    return {**found, "watched": min(found["gate_seconds"], window - RESERVE) if window else 0}


def _problems(found: Mapping[str, Any]) -> Iterator[Problem]:
    try:
        parse_waves(found["waves"])
    except InputError as error:
        yield from error.problems
    if not 0 <= found["max_failed"] <= 100:
        yield Problem(PREFIX + "max_failed", "%g is out of range" % found["max_failed"], "percent, 0 to 100")
    if found["gate_seconds"] < 0:
        yield Problem(PREFIX + "gate_seconds", "%d is out of range" % found["gate_seconds"], "seconds; 0: no watching")


def differing(settings: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
    """What must be the same for the whole run and is not. settings: those of each host, by its name."""
    cure = "it belongs to the run: give all hosts the same, in group_vars/all"
    return not_the_same(OF_THE_RUN, settings, PREFIX, cure)
