# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report as lines of text for people at a terminal, grouped by what is wrong rather than by host. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import List, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding
from ansible_collections.netfleet.tcp.plugins.module_utils._rules import FILE_CHANGED, HEALTH_LIMIT
from ansible_collections.netfleet.tcp.plugins.plugin_utils import _report_groups as shared
from ansible_collections.netfleet.tcp.plugins.plugin_utils import _report_measures as measures
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import DRIFT, Report

Line = Tuple[str, str]
_WIDTH = 118
# Two columns before the text: what it is (error, waived ...), and the name of a field.
_MARGIN = 9
_LABEL = 11
_ROOM = _WIDTH - _MARGIN - _LABEL
_MOST_LINES = 3
_MOST_TOPICS = 40
_MOST_VARIANTS = 5
_MOST_SHORT = 10
_SHORT_VALUE = 14
_MOST_NAMED = 4
# A table is worth more than a line that fits.
_LONGEST_GROUP, _WIDEST = 20, 160
_TONES = {measures.OUTSIDE: "failed", measures.WITHIN: "ok"}
_STYLES = {"error": "failed", "warning": "changed", "note": "plain"}


def render(report: Report) -> str:
    """The report as plain text, with a newline at its end."""
    return "".join(line + "\n" for _style, line in lines(report))


def lines(report: Report) -> Iterator[Line]:
    """(style, line); style is title, changed, ok, failed or plain. Where all is well, the outcome alone."""
    drift, unasked = shared.drift(report), shared.unasked(report)
    if not drift and not unasked and not report.by_status(DRIFT) and not _groups_outside(report):
        yield from _measures(report)
        # A host that cannot be looked at would seem to have too little traffic.
        yield from _notes(report, HEALTH_LIMIT)
        yield from [("plain", "")] if report.groups else []
        yield from (("ok", line) for line in _outcome(report))
        yield from _waived(report)
        yield from _comparison(report)
        return
    yield from (("title", line) for line in _wrapped(_title(report)))
    yield from _measures(report)
    yield from _topics(unasked, report)
    yield from _topics(drift, report)
    yield from _waived(report)
    yield from _comparison(report)
    yield from _notes(report)
    yield "plain", ""
    yield "failed", shared.summary(report)


def _outcome(report: Report) -> List[str]:
    """One line, if there is room for what is beside it."""
    said, aside = shared.summary(report), _aside(report)
    return [said + aside] if len(said + aside) <= _WIDTH else [*_wrapped(said), *_wrapped(aside.lstrip(" ;"))]


def _groups_outside(report: Report) -> bool:
    return any(measures.tone(each) == measures.OUTSIDE for each in report.groups)


def _measures(report: Report) -> Iterator[Line]:
    """A line for each indicator of each group, in columns."""
    if not report.groups:
        return
    rows = [tuple(map(shared.visible, row)) for row in measures.rows(report)]
    rows = [(shared.clip(group, _LONGEST_GROUP), *cells) for group, *cells in rows]
    widths = [max(len(row[column]) for row in (measures.HEAD, *rows)) for column in range(len(measures.HEAD))]
    styles = [_TONES.get(measures.tone(each), "plain") for each in report.groups]
    yield "plain", ""
    for style, row in zip(("title", *styles), (measures.HEAD, *rows), strict=True):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        yield style, shared.clip(line, _WIDEST)


def _title(report: Report) -> str:
    size, time = shared.count(len(report.hosts), "host"), shared.visible(report.finished)
    counts = "errors" if report.threshold == "error" else "%ss and worse" % report.threshold
    return "%s of %s, %s; what counts: %s%s" % (report.kind.check, size, time, counts, _only(report))


def _only(report: Report) -> str:
    known = report.kind.subjects
    some = [subject for subject in known if subject in report.subjects]
    return "" if len(some) >= len(known) - 1 or not some else "; only %s" % ", ".join(some)


def _aside(report: Report) -> str:
    """What there is beside drift, in a few words."""
    waived, notes = sum(finding.waiver is not None for finding in report.findings), len(shared.notes(report))
    said = [shared.count(notes, "note")] if notes else []
    said += ["%d waived" % waived] if waived else []
    if report.comparison and report.comparison.gone:
        said.append("%d gone since %s" % (len(report.comparison.gone), shared.visible(report.comparison.earlier)))
    return (" (%s)" % ", ".join(said) if said else "") + _only(report)


def _topics(findings: Sequence[Finding], report: Report) -> Iterator[Line]:
    topics, new = shared.topics(findings), shared.new_ones(report)
    for topic in topics[:_MOST_TOPICS]:
        yield "plain", ""
        yield from _head(topic, shared.count_new(topic.finding, topic.hosts, new))
        yield from _body(topic)
    rest = topics[_MOST_TOPICS:]
    if rest:
        hosts = {host for topic in rest for host in topic.hosts}
        text = "and %d more of these on %s, none of them worse: see another format of the report"
        yield "plain", ""
        yield _STYLES[rest[0].severity], _margin("") + text % (len(rest), shared.count(len(hosts), "host"))


def _margin(word: str) -> str:
    return word.ljust(_MARGIN)


def _head(topic: shared.Topic, new: int) -> Iterator[Line]:
    said = [shared.count(len(topic.hosts), "host")] if len(topic.hosts) > 1 else []
    said += [("new" if new == len(topic.hosts) else "%d new" % new)] if new else []
    aside = " (%s)" % ", ".join(said) if said else ""
    text = shared.clip(shared.headline(topic.finding), _WIDTH - _MARGIN - len(aside))
    yield _STYLES[topic.severity], _margin(topic.severity) + text + aside


def _body(topic: shared.Topic) -> Iterator[Line]:
    finding = topic.finding
    if len(topic.groups) == 1:
        yield from _field("host" if len(topic.hosts) == 1 else "hosts", shared.host_names(topic.hosts, _ROOM * 2 - 30))
        yield from _values(shared.values(finding))
    else:
        yield from _values(_shared_values(topic))
        yield from _variants(topic)
    if topic.common(lambda one: one.reason):
        yield from _field("why", shared.visible(finding.reason))
    if finding.source and topic.common(lambda one: one.source):
        yield from _field("file", shared.visible(finding.source))
    if finding.owner and topic.common(lambda one: one.owner):
        yield from _field("owner", shared.visible(finding.owner))
    yield from _cure(finding)


def _cure(finding: Finding) -> Iterator[Line]:
    effect = shared.effect(finding)
    if finding.cure:
        yield from _field("cure", shared.visible(finding.cure) + (" (%s)" % effect if effect else ""))


def _shared_values(topic: shared.Topic) -> List[Tuple[str, str]]:
    """The values that all groups of the topic have."""
    first, *others = [shared.values(group.finding) for group in topic.groups]
    return [value for value in first if all(value in other for other in others)]


def _values(values: Sequence[Tuple[str, str]]) -> Iterator[Line]:
    """On one line where they are short, else below each other, so that one sees where they differ."""
    if values and all(len(value) <= _SHORT_VALUE for _name, value in values):
        yield from _field("values", ", ".join("%s %s" % value for value in values))
        return
    for name, value in values:
        yield from _field(name, value)


def _variants(topic: shared.Topic) -> Iterator[Line]:
    """What differs between the groups of a topic, each with its hosts."""
    common = _shared_values(topic)
    some = topic.groups
    if len(some) > _MOST_VARIANTS:
        some = some[:_MOST_VARIANTS]
        if topic.finding.rule not in shared.HOST_RULES:
            # What only one host has would be an arbitrary choice among many. Why a host is lost is worth it.
            some = tuple(group for group in some if len(group.hosts) > 1) or some[:1]
    for index, group in enumerate(some):
        text = shared.clip(_difference(topic, group.finding, common), _ROOM * 3 // 2)
        room = _ROOM - len(text) - len(" on ")
        hosts = shared.host_names(group.hosts, room if room > _ROOM // 3 else _ROOM)
        yield from _field("found" if index == 0 else "", "%s on %s" % (text, hosts))
    rest = topic.groups[len(some) :]
    if rest:
        hosts = shared.count(len({host for group in rest for host in group.hosts}), "host")
        yield from _field("", "%d others on %s" % (len(rest), hosts))


def _difference(topic: shared.Topic, finding: Finding, common: Sequence[Tuple[str, str]]) -> str:
    said = (
        [] if topic.common(lambda one: one.reason) or finding.rule != FILE_CHANGED else [shared.visible(finding.reason)]
    )
    said += ["%s %s" % value for value in shared.values(finding) if value not in common]
    if not topic.common(lambda one: one.source):
        said.append(shared.visible(finding.source) if finding.source else "no file")
    if not topic.common(lambda one: one.owner):
        said.append(shared.visible(finding.owner) if finding.owner else "owner not known")
    return ", ".join(said) or shared.visible(finding.reason)


def _wrapped(text: str, width: int = _WIDTH) -> List[str]:
    """The text on so many lines at most as may be read."""
    return textwrap.wrap(
        shared.clip(text, width * _MOST_LINES),
        width,
        max_lines=_MOST_LINES,
        placeholder=" " + shared.ELLIPSIS,
        break_on_hyphens=False,
    )


def _field(label: str, text: str) -> Iterator[Line]:
    for index, line in enumerate(_wrapped(text, _ROOM)):
        yield "plain", _margin("") + (label if index == 0 else "").ljust(_LABEL) + line


def _waived(report: Report) -> Iterator[Line]:
    found = shared.waived(report)
    if found:
        yield "plain", ""
    for (reason, expires), findings in found.items():
        hosts = shared.count(len({finding.host for finding in findings}), "host")
        size = shared.count(len(findings), "finding")
        text = "%s on %s until %s: %s" % (size, hosts, shared.visible(expires), shared.visible(reason))
        yield "plain", shared.clip(_margin("waived") + text, _WIDTH)


def _comparison(report: Report) -> Iterator[Line]:
    comparison = report.comparison
    if not comparison:
        return
    sizes = (len(comparison.new), len(comparison.gone), len(comparison.still))
    yield "plain", ""
    text = "%s: %d new, %d gone, %d still there" % (shared.visible(comparison.earlier), *sizes)
    yield "plain", shared.clip(_margin("since") + text, _WIDTH)
    yield from _short("new", comparison.new, "changed")
    yield from _short("gone", comparison.gone, "ok")


def _notes(report: Report, rule: str = "") -> Iterator[Line]:
    """The notes; rule: those of it alone."""
    notes = [finding for finding in shared.notes(report) if rule in ("", finding.rule)]
    if notes:
        yield "plain", ""
        yield from _short("", notes, "plain")


def _in_short(topic: shared.Topic) -> str:
    """What is wrong, as a clause: the headline, but of a limit, which says nothing without its reason."""
    if topic.finding.rule != HEALTH_LIMIT:
        return shared.headline(topic.finding)
    such = "" if topic.common(lambda one: one.reason) else "such as "
    return "%s: %s%s" % (shared.name(topic.finding), such, shared.visible(topic.finding.reason))


def _short(label: str, findings: Sequence[Finding], style: str) -> Iterator[Line]:
    """A line for each topic; without a label, the severity stands in the margin."""
    topics = shared.topics(findings)
    for topic in topics[:_MOST_SHORT]:
        start = _margin("") + label.ljust(_LABEL) if label else _margin(topic.severity)
        hosts = shared.count(len(topic.hosts), "host") if len(topic.hosts) > _MOST_NAMED else None
        hosts = hosts or shared.host_names(topic.hosts, _ROOM // 2)
        text = shared.clip(_in_short(topic), _WIDTH - len(start) - len(" on ") - len(hosts))
        yield style, "%s%s on %s" % (start, text, hosts)
    if len(topics) > _MOST_SHORT:
        yield style, "%sand %d more" % (_margin("") + (label.ljust(_LABEL) if label else ""), len(topics) - _MOST_SHORT)
