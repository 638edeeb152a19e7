# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report as Markdown for a comment on a merge request (GitHub, GitLab), within what such a comment holds. Pure.

Nothing that a host says becomes Markdown, HTML, a link or a mention: see code() and prose().
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Dict, List, Optional

from ansible_collections.netfleet.tcp.plugins.plugin_utils import _report_groups as shared
from ansible_collections.netfleet.tcp.plugins.plugin_utils import _report_measures as measures
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import Report

# GitHub refuses a comment of more than 65,536 characters.
LONGEST = 60_000
# Kept for the last line, which says what was left out.
_SPARE = 300
_MOST_ROWS = 25
_MOST_NAMED = 3
_LONGEST_VALUE = 120
_LONGEST_PROSE = 400
_LONGEST_NAMES = 600
_PLAIN_CODE = re.compile(r"[A-Za-z0-9._/:=,+()-]+( [A-Za-z0-9._/:=,+()-]+)*")
# A sentence of these shows as it stands. Others may hold HTML, a link, a mention or a reference (@ # ! $ % & ~).
_PLAIN_PROSE = re.compile(r"[A-Za-z0-9 .,:;()'\"/+=?_*-]+")
_LINK = re.compile(r"://|www\.|mailto:|xmpp:|\bGH-\d|:[\w+-]+:", re.IGNORECASE)


class _Page:
    """Text that grows up to a length, and how much of what no longer fitted."""

    def __init__(self, start: str) -> None:
        self.text = start
        self.left_out: Dict[str, int] = {}

    def section(self, start: str, blocks: Sequence[str], end: str, noun: str) -> None:
        """Add start, as many of the blocks as fit, and end; without any block, nothing. noun: what a block is."""
        room = LONGEST - _SPARE - len(self.text) - len(start) - len(end)
        fit = 0
        for block in blocks:
            room -= len(block)
            if room < 0:
                break
            fit += 1
        if fit:
            self.text += start + "".join(blocks[:fit]) + end
        if fit < len(blocks):
            self.left_out[noun] = self.left_out.get(noun, 0) + len(blocks) - fit

    def fold(self, title: str, blocks: Sequence[str], noun: str, start: str = "") -> None:
        """Add a section that a reader unfolds."""
        self.section("<details><summary>%s</summary>\n\n%s" % (title, start), blocks, "\n</details>\n\n", noun)


def render(report: Report) -> str:
    """The report as Markdown of at most LONGEST characters; a last line says what was left out, if anything was."""
    page = _Page("### %s: %s\n\n%s\n\n" % (report.kind.title, shared.summary(report), _facts(report)))
    groups = shared.grouped(shared.unasked(report)) + shared.grouped(shared.drift(report))
    page.section(_measures_head(), list(_measures(report)), "\n", "line of groups")
    rows, head = list(_rows(groups, report)), _head(report)
    page.section(head, rows[:_MOST_ROWS], "\n", "row")
    page.section("", list(_waived(report)), "\n", "waiver")
    page.fold("Why, what to do, and on which hosts", list(_details(groups[:_MOST_ROWS])), "explanation")
    if report.comparison:
        gone = shared.topics(report.comparison.gone)
        page.fold("Gone since then: %d" % len(report.comparison.gone), list(_items(gone)), "line")
    notes = shared.notes(report)
    page.fold("Below the threshold: %s" % shared.count(len(notes), "note"), list(_items(shared.topics(notes))), "note")
    page.fold("%d more rows" % len(rows[_MOST_ROWS:]), rows[_MOST_ROWS:], "row", head)
    if page.left_out:
        said = ", ".join(shared.count(number, noun) for noun, number in page.left_out.items())
        page.text += "Left out, for a comment holds no more: %s. The JSON report has all.\n" % said
    return page.text.rstrip("\n") + "\n"


def _facts(report: Report) -> str:
    facts = "Checked %s; what counts: severity %s and above." % (code(report.finished), prose(report.threshold))
    if report.comparison:
        counts = (len(report.comparison.new), len(report.comparison.gone), len(report.comparison.still))
        facts += " Since %s: **%d new**, %d gone, %d still there." % (code(report.comparison.earlier), *counts)
    return facts


def _measures_head() -> str:
    return "| %s |\n%s|\n" % (" | ".join(measures.HEAD), "|---" * len(measures.HEAD))


def _measures(report: Report) -> Iterator[str]:
    """A row for each indicator of each group; one that is outside its target is bold."""
    for each, row in zip(report.groups, measures.rows(report), strict=True):
        group, label, measured, target, verdict, hosts = row
        said = "**%s**" % verdict if measures.tone(each) == measures.OUTSIDE else verdict
        yield "| %s |\n" % " | ".join((code(group), prose(label), prose(measured), prose(target), said, code(hosts)))


def _head(report: Report) -> str:
    """The head of the table of what is wrong."""
    names = ["", "", "what", "hosts", *filter(None, report.kind.values), *(["file"] if report.kind.files else [])]
    return "| %s |\n|---:%s|\n" % (" | ".join(names), "|---" * (len(names) - 1))


def _rows(groups: Sequence[shared.Group], report: Report) -> Iterator[str]:
    new = shared.new_ones(report)
    for number, group in enumerate(groups, 1):
        finding = group.finding
        cells = [str(number), finding.severity, _what(group) + _novelty(group, new), _where(group.hosts)]
        values = dict(shared.values(finding))
        cells += [_value(values.get(name)) for name in report.kind.values if name]
        cells += [code(finding.source) if finding.source else ""] if report.kind.files else []
        yield "| %s |\n" % " | ".join(cells)


def _novelty(group: shared.Group, new: frozenset[shared.Identity]) -> str:
    number = shared.count_new(group.finding, group.hosts, new)
    if not number:
        return ""
    return " (**new**)" if number == len(group.hosts) else " (**%d new**)" % number


def _what(group: shared.Group) -> str:
    name, title = shared.name(group.finding), prose(shared.title(group.finding))
    return "%s: %s" % (code(name), title) if name else title


def _where(hosts: Sequence[str]) -> str:
    return ", ".join(code(host) for host in hosts) if len(hosts) <= _MOST_NAMED else "%d hosts" % len(hosts)


def _value(value: Optional[str]) -> str:
    return "" if value is None else code(value)


def _details(groups: Sequence[shared.Group]) -> Iterator[str]:
    for number, group in enumerate(groups, 1):
        finding = group.finding
        said = ["- **%d** %s" % (number, _what(group)), "why: %s" % prose(finding.reason)]
        if finding.owner:
            said.append("owner: %s" % code(finding.owner))
        if finding.cure:
            effect = shared.effect(finding)
            said.append("cure: %s%s" % (prose(finding.cure), " (%s)" % prose(effect) if effect else ""))
        said.append("%s: %s" % (shared.count(len(group.hosts), "host"), _names(group.hosts)))
        yield "<br>".join(said) + "\n"


def _names(hosts: Sequence[str]) -> str:
    """As many names as are reasonable, and how many more."""
    shown: List[str] = []
    for host in hosts:
        shown.append(code(host))
        if sum(map(len, shown)) > _LONGEST_NAMES:
            break
    more = len(hosts) - len(shown)
    return ", ".join(shown) + (" and %d more" % more if more else "")


def _waived(report: Report) -> Iterator[str]:
    for (reason, expires), findings in shared.waived(report).items():
        hosts = shared.count(len({finding.host for finding in findings}), "host")
        size = shared.count(len(findings), "finding")
        yield "- waived until %s: %s on %s: %s\n" % (code(expires), size, hosts, prose(reason))


def _items(topics: Sequence[shared.Topic]) -> Iterator[str]:
    for topic in topics:
        group = shared.Group(topic.finding, topic.hosts)
        yield "- %s (%s)\n" % (_what(group), _where(topic.hosts))


def code(text: str) -> str:
    """A value as code, which neither Markdown nor a forge looks into; clipped.

    A backtick or a pipe would end it, so all but plain letters go as character references; and references alone do
    not suffice, for @name is a mention whichever way it was written, but in code.
    """
    shown = shared.clip(shared.visible(text), _LONGEST_VALUE)
    return "`%s`" % shown if _PLAIN_CODE.fullmatch(shown) else _references(shown)


def prose(text: str) -> str:
    """A sentence: as it stands where nothing in it can mean anything to Markdown or a forge, else as code; clipped."""
    shown = shared.clip(shared.visible(text), _LONGEST_PROSE)
    if _PLAIN_PROSE.fullmatch(shown) and not _LINK.search(shown):
        return re.sub(r"([*_])", r"\\\1", shown)
    return _references(shown)


def _references(text: str) -> str:
    safe = "".join(letter if letter.isascii() and letter.isalnum() else "&#%d;" % ord(letter) for letter in text)
    return "<code>%s</code>" % safe
