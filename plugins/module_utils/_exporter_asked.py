# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the exporter of a host is to be, from a user's words. Pure."""

from __future__ import annotations

from typing import Any, Iterator, List, Mapping

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, Problem
from ansible_collections.netfleet.tcp.plugins.module_utils._exporter_change import Wanted
from ansible_collections.netfleet.tcp.plugins.module_utils._exporter_model import (
    LONGEST,
    MOST,
    SHORTEST,
    ExporterSettings,
    is_directory,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._health_asked import asked_from


def wanted_from(given: Mapping[str, Any]) -> Wanted:
    """What the options of the module tcp_exporter ask for; InputError with every problem."""
    problems: List[Problem] = list(_problems(given))
    top = min(max(given["services"], 1), MOST)
    try:
        asked = asked_from({**given, "interval": 0.0, "since": {}, "top": top})
    except InputError as error:
        raise InputError([*problems, *error.problems]) from error
    if problems:
        raise InputError(problems)
    settings = ExporterSettings(
        directory=_directory(given),
        peers={str(name): tuple(str(prefix) for prefix in prefixes) for name, prefixes in asked.peers.items()},
        targets={name: float(target) for name, target in asked.targets.items()},
        rtt_targets=dict(asked.rtt_targets),
        top=top,
        interval=given["interval"],
        groups=tuple(dict.fromkeys(given["groups"])),
    )
    return Wanted(settings, given["node_exporter_flags"])


def _directory(given: Mapping[str, Any]) -> str:
    """Without a slash at the end, by which it would be another one than node_exporter's."""
    return str(given["directory"]).rstrip("/") or str(given["directory"])


def _problems(given: Mapping[str, Any]) -> Iterator[Problem]:
    if not SHORTEST <= given["interval"] <= LONGEST:
        yield Problem("interval", "%d is out of range" % given["interval"], "%d to %d seconds" % (SHORTEST, LONGEST))
    if not 1 <= given["services"] <= MOST:
        yield Problem("services", "%d is out of range" % given["services"], "1 to %d" % MOST)
    directory = _directory(given)
    if directory and not is_directory(directory):
        yield Problem("directory", "%r cannot be one" % directory, "a path such as /var/lib/node_exporter")
