# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the health gate says of a wave, in words and as a table. Pure; runs on the controller alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.netfleet.tcp.plugins.plugin_utils._gate import FINE, TOO_LITTLE, WORSE, Verdict

FINE_TEXT = "no measure is worse"
_TITLES = {
    FINE: "health gate: " + FINE_TEXT,
    WORSE: "health gate: WORSE since the change",
    TOO_LITTLE: "health gate: not enough traffic to judge",
}
_MARKS = {FINE: "ok", WORSE: "WORSE", "": "not judged"}


def table(verdict: Verdict, changed: int, others: int) -> Iterator[str]:
    """The lines. changed, others: how many hosts were read."""
    yield "%s (%d changed, %d not changed were read)" % (_TITLES[verdict.outcome], changed, others)
    if verdict.outcome == TOO_LITTLE:
        yield "  " + verdict.why
        return
    heads = ("", "before", "after", "not changed", "allowed", "")
    rows = [(r.title, r.before, r.after, r.others, r.allowed, _MARKS[r.judged]) for r in verdict.rows]
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    for row in [heads, *rows]:
        yield ("  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))).rstrip()


def not_read(asked: int, read: int) -> str:
    """Why nothing is kept where so many changed hosts were to be read; empty where any was."""
    return "none of %d changed hosts could be read before their time was over" % asked if asked and not read else ""


def share_lost(
    failed: Sequence[str], hosts: Sequence[str], lost: Sequence[str], read: Sequence[str], settings: Mapping[str, Any]
) -> str:
    """Why too many hosts of a wave could not be changed, or not be reached since; empty where they are few enough.

    failed: of hosts, all of the wave; lost: of read, those that were asked for their counters over a new connection.
    """
    for names, of, what in (
        (failed, hosts, "could not be changed"),
        (lost, read, "cannot be reached since the change"),
    ):
        if names and 100.0 * len(names) / len(of) > float(settings["max_failed"]):
            shown = ", ".join(list(names)[:5]) + (", ..." if len(names) > 5 else "")
            return "%d of %d hosts %s (%s); at most %g %%" % (
                len(names),
                len(of),
                what,
                shown,
                settings["max_failed"],
            )
    return ""
