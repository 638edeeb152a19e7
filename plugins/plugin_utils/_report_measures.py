# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was measured, in words: what the written reports share. Pure; on the controller alone."""

from __future__ import annotations

from typing import Dict, List, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import MET, NOT_ENOUGH, NOT_MET
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import GroupMeasure, Measure, Report

NONE = "-"
HEAD = ("group", "indicator", "measured", "target", "verdict", "hosts")
OUTSIDE, WITHIN, FEW, PLAIN = "outside", "within", "few", "plain"
_MOST_NAMES = 3
_SHORT = {NOT_ENOUGH: "not enough"}


def label(measure: Measure) -> str:
    """What was measured: client success, RTT to cloud."""
    if measure.subject == measure.key:
        return measure.subject.replace("_", " ").replace("syn ", "SYN ")
    return "RTT to %s" % measure.key


def measured(measure: Measure) -> str:
    """The value with its bounds and the size of the sample; where that is too small, how much would do."""
    needed = ""
    if measure.verdict == NOT_ENOUGH and measure.size < measure.needed:
        needed = " (%d needed)" % measure.needed
    if measure.value is None:
        return "nothing" + needed
    bounds = "" if measure.low is None or measure.high is None else " (%s to %s)" % (_n(measure.low), _n(measure.high))
    return "%s %s%s of %d%s" % (_n(measure.value), measure.unit, bounds, measure.size, needed)


def target(measure: Measure) -> str:
    """What it is to be."""
    if measure.target is None:
        return NONE
    return "%s %g %s" % ("<" if measure.most else ">", measure.target, measure.unit)


def verdict(measure: Measure) -> str:
    """The verdict; without a target there is none. Of a group it may be another one than of some of its hosts."""
    whole = isinstance(measure, GroupMeasure) and measure.outside and measure.verdict != NOT_MET
    return (measure.verdict or NONE) + (" as a whole" if whole else "")


def tone(measure: Measure) -> str:
    """How it shows: outside (a group also where one of its hosts is), met, few, or plain."""
    if measure.verdict == NOT_MET or (isinstance(measure, GroupMeasure) and measure.outside):
        return OUTSIDE
    return {MET: WITHIN, NOT_ENOUGH: FEW}.get(measure.verdict, PLAIN)


def hosts(measure: GroupMeasure) -> str:
    """How many hosts have which verdict, and who is outside."""
    said = [
        "%d %s" % (count, _SHORT.get(word, word) or "without target")
        for word, count in measure.verdicts.items()
        if word != NOT_MET
    ]
    if measure.outside:
        more = len(measure.outside) - _MOST_NAMES
        names = ", ".join(measure.outside[:_MOST_NAMES]) + (" and %d more" % more if more > 0 else "")
        said.insert(0, "%d not met (%s)" % (len(measure.outside), names))
    return ", ".join(said)


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
