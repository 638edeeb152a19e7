# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was measured, in words: what the written reports share. Pure; on the controller alone."""

from __future__ import annotations

from typing import Dict, List, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import MET, NOT_ENOUGH, NOT_MET
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import GroupMeasure, Measure, Report

NONE = "-"
HEAD = ("group", "indicator", "measured", "target", "verdict", "hosts")
_MOST_NAMES = 3
_SHORT = {NOT_ENOUGH: "not enough"}


def label(measure: Measure) -> str:
    """What was measured: client success, RTT to cloud."""
    if measure.subject == measure.key:
        return measure.subject.replace("_", " ")
    return "RTT to %s" % measure.key


def measured(measure: Measure) -> str:
    """The value with its bounds and the size of the sample."""
    if measure.value is None:
        return "no %s" % measure.things if measure.things else NONE
    bounds = "" if measure.low is None or measure.high is None else " (%s to %s)" % (_n(measure.low), _n(measure.high))
    return "%s %s%s of %d %s" % (_n(measure.value), measure.unit, bounds, measure.size, measure.things)


def target(measure: Measure) -> str:
    """What it is to be."""
    if measure.target is None:
        return NONE
    return "%s %g %s" % ("<" if measure.most else ">", measure.target, measure.unit)


def verdict(measure: Measure) -> str:
    """The verdict; where there is too little, how much would do."""
    if measure.verdict == NOT_ENOUGH and measure.size < measure.needed:
        return "%s (%d needed)" % (NOT_ENOUGH, measure.needed)
    return measure.verdict or NONE


def hosts(measure: GroupMeasure) -> str:
    """How many hosts have which verdict, and who is outside."""
    said = ["%d %s" % (count, _SHORT.get(word, word) or "no target") for word, count in measure.verdicts.items()]
    names = ", ".join(measure.outside[:_MOST_NAMES])
    more = len(measure.outside) - _MOST_NAMES
    outside = ": %s%s" % (names, " and %d more" % more if more > 0 else "") if names else ""
    return ", ".join(said) + outside


def is_outside(measure: GroupMeasure) -> bool:
    """Whether the group as a whole, or a host of it, is outside its target."""
    return measure.verdict == NOT_MET or bool(measure.outside)


def is_met(measure: GroupMeasure) -> bool:
    """Whether it is met, and no host is outside."""
    return measure.verdict == MET and not measure.outside


def rows(report: Report) -> List[Tuple[str, ...]]:
    """A row for each indicator of each group, as HEAD says."""
    return [
        (each.group, label(each), measured(each), target(each), verdict(each), hosts(each)) for each in report.groups
    ]


def unsure(report: Report) -> Dict[str, List[str]]:
    """By host, the subjects of which there is something that there is too little traffic to judge."""
    found: Dict[str, List[str]] = {}
    for each in report.measures:
        if each.verdict == NOT_ENOUGH and each.subject not in found.setdefault(each.host, []):
            found[each.host].append(each.subject)
    return found


def _n(number: float) -> str:
    return "%.4g" % number
