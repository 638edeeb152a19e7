# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was declared on a host, and how far it still holds, as metrics. Pure."""

from __future__ import annotations

import calendar
import time
from typing import Iterator

from ansible_collections.netfleet.tcp.plugins.module_utils._metrics import Metric, gauge, of
from ansible_collections.netfleet.tcp.plugins.module_utils._recorded import Tuning


def tuning_metrics(tuning: Tuning, top: int) -> Iterator[Metric]:
    """top: how many of the things that differ are named; what is cut is a metric too."""
    each = tuning.declarations
    text = "The declarations of netfleet.tcp that the host remembers, with the profile that their file names."
    yield gauge(
        "declaration_info",
        text,
        *(of(1, declaration=one.declaration, profile=one.profile, workloads=one.workloads) for one in each),
    )
    text = "Things that a declaration has set and that can be compared without the inventory."
    yield gauge(
        "drift_compared",
        text,
        *(of(count, declaration=one.declaration, where=where) for one in each for where, count in one.compared.items()),
    )
    text = "Of them, those that are not as it has set them: in the running kernel, at the next boot, in files."
    found = [(one.declaration, entry) for one in each for entry in one.differences]
    yield gauge(
        "drift",
        text,
        *(
            of(sum(1 for entry in one.differences if entry.where == where), declaration=one.declaration, where=where)
            for one in each
            for where in one.compared
        ),
    )
    text = "What is not as a declaration has set it, by name."
    shown = [of(1, declaration=name, where=entry.where, key=entry.key) for name, entry in found[:top]]
    yield gauge("drift_info", text, *shown)
    yield gauge("drift_not_shown", "What is not, and is not named either.", of(len(found) - len(shown)))
    yield gauge("change_pending", "Whether a change waits to be confirmed.", of(1 if tuning.pending else 0))
    yield from _last_change(tuning)


def _last_change(tuning: Tuning) -> Iterator[Metric]:
    last = tuning.last
    if last is None:
        return
    text = "The latest change of the host that has ended, and what became of it."
    outcome = last.outcome.replace(" ", "_")
    yield gauge("last_change_info", text, of(1, change=last.id, declaration=last.declaration, outcome=outcome))
    try:
        ended = calendar.timegm(time.strptime(last.ended, "%Y-%m-%dT%H:%M:%SZ"))
    except ValueError:
        return
    yield gauge("last_change_timestamp_seconds", "When it ended.", of(ended))
