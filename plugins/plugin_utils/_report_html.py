# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report as one HTML page that asks no network for anything and runs nothing but its own script.

The page's parts stand in report_page/; the report goes into it as JSON, in which each text stands once (see page_data).
What reads that JSON is report_page/model.js: change both together.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
from functools import lru_cache
from typing import Any, Dict, Iterable, List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding
from ansible_collections.netfleet.tcp.plugins.module_utils._rules import RULE_INDEX
from ansible_collections.netfleet.tcp.plugins.plugin_utils import _report_measures as measures
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import (
    DRIFT,
    FAILED,
    IN_STEP,
    NOT_ENOUGH,
    UNREACHABLE,
    Measure,
    Report,
    identity,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_kinds import Kind

PARTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "report_page")
# In this order: each uses what stands before it, main.js starts it all.
SCRIPTS = (
    "dom.js",
    "model.js",
    "state.js",
    "filter.js",
    "virtual.js",
    "head.js",
    "filters.js",
    "measures.js",
    "map.js",
    "cards.js",
    "faults.js",
    "findings.js",
    "details.js",
    "main.js",
)
STYLES = ("page.css", "parts.css", "media.css")

# A value that a host chose may be of any length; nobody reads more of one in a page.
LONGEST_TEXT = 1000
TEXT_FIELDS = (
    "rule",
    "subject",
    "key",
    "severity",
    "intended",
    "running",
    "boot",
    "source",
    "owner",
    "reason",
    "takes_effect",
    "cure",
)
# What the page calls a finding in comparison with an earlier report.
NOT_COMPARED, NEW, STILL, GONE = "0", "1", "2", "3"


def render(report: Report) -> str:
    """The page, to be written in UTF-8, its line ends as they are: the policy has hashes of style and script."""
    style = "".join(_part(name) for name in STYLES)
    # In a function of their own: nothing of the page gets a global name.
    script = "(() => {\n'use strict';\n%s})();\n" % "".join(_part(name) for name in SCRIPTS)
    values = {
        "policy": html.escape(_policy(style, script), quote=True),
        "title": html.escape(visible("%s: %s" % (report.kind.title, summary(report))), quote=True),
        "summary": html.escape(visible(summary(report)), quote=True),
        "style": style,
        "data": _embedded(page_data(report)),
        "script": script,
    }
    # In one pass: what is put in is not looked through again.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match.group(1)], _part("page.html"))


def summary(report: Report) -> str:
    """The outcome in one clause."""
    words = _status_words(report.kind)
    counts = {status: len(report.by_status(status)) for status in words}
    said = ["%d %s" % (count, words[status]) for status, count in counts.items() if count and status != IN_STEP]
    whole = "%d of %d hosts %s" % (counts[IN_STEP], len(report.hosts), words[IN_STEP])
    return ", ".join([whole, *said])


def _words(kind: Kind) -> Dict[str, str]:
    """The report's own words, as the page uses them; boot is empty where no value is one of the next boot."""
    intended, running, boot = kind.values
    runs = "runs" if running == "running" else running
    words = {"intended": intended, "running": running, "runs": runs, "boot": boot}
    return {"check": kind.name, "counts": kind.counts, "may": kind.may, "differs": kind.differs, **words}


def _status_words(kind: Kind) -> Dict[str, str]:
    """What is said of hosts by their status, in the order of the page's tiles."""
    found = {IN_STEP: kind.within, DRIFT: kind.outside, NOT_ENOUGH: kind.few}
    found.update({UNREACHABLE: "could not be asked", FAILED: "could not be judged"})
    return {status: text for status, text in found.items() if text}


def visible(text: str) -> str:
    """The text with all that does not show (controls, marks of direction, lone surrogates) as escapes; clipped.

    A host must not be able to reorder or hide the words around a value. Tabs stay: the kernel separates values by them.
    """
    kept = text[:LONGEST_TEXT]
    if not kept.isprintable():
        kept = "".join(letter if letter.isprintable() or letter == "\t" else _escape(letter) for letter in kept)
    more = len(text) - LONGEST_TEXT
    return "%s… (%d characters more)" % (kept, more) if more > 0 else kept


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape", "backslashreplace").decode("ascii")


class _Table:
    """Rows that stand once each; number() gives a row's index."""

    def __init__(self) -> None:
        self.rows: List[Any] = []
        self._index: Dict[Any, int] = {}

    def number(self, row: Any) -> int:
        """The index of the row, which is added when it is new."""
        found = self._index.get(row)
        if found is None:
            found = self._index[row] = len(self.rows)
            self.rows.append(row)
        return found


class _Texts(_Table):
    """Texts as they show; -1 stands for none."""

    def of(self, text: Optional[str]) -> int:
        """The index of a text."""
        return -1 if text is None else self.number(text)


def page_data(report: Report) -> Dict[str, Any]:
    """The report as the page's script reads it: tables by column, and texts as indices into `texts`.

    faults are findings without their host: what is wrong with a thousand hosts in the same way stands once.
    findings are (fault, host, change) in the order of hosts, those that are gone among them; hosts beyond `asked` are
    only named by findings.
    """
    texts, faults, hosts = _Texts(), _Table(), _Table()
    for host in report.hosts:
        hosts.number(host.name)
    rows = sorted(
        (
            (hosts.number(finding.host), faults.number(_fault(finding, texts)), change)
            for finding, change in _changes(report)
        ),
        key=lambda row: row[0],
    )
    columns = list(zip(*faults.rows, strict=True)) or [()] * (len(TEXT_FIELDS) + 1)
    return {
        "meta": _meta(report),
        "rules": {rule: [RULE_INDEX[rule].title, RULE_INDEX[rule].text] for rule in _rules(report)},
        "subjects": [*report.subjects, *(() if "host" in report.subjects else ("host",))],
        "hosts": _hosts(report, texts, hosts.rows),
        "faults": dict(zip((*TEXT_FIELDS, "waiver"), columns, strict=True)),
        "findings": {
            "fault": [row[1] for row in rows],
            "host": [row[0] for row in rows],
            "change": "".join(row[2] for row in rows),
        },
        "measures": _measures(report, texts, hosts.rows),
        "texts": [visible(text) for text in texts.rows],
    }


def _measures(report: Report, texts: _Texts, names: List[str]) -> Dict[str, Any]:
    """What was measured, in words: on groups as rows below a head, and on each host; few: subjects by host."""

    def row(measure: Measure, cells: Iterable[str]) -> List[Any]:
        return [measures.tone(measure), *(texts.of(cell) for cell in cells)]

    by_host: Dict[str, List[Any]] = {name: [] for name in names}
    for each in report.measures:
        cells = (measures.label(each), measures.measured(each), measures.target(each), measures.verdict(each))
        by_host[each.host].append(row(each, cells))
    unsure = measures.unsure(report)
    return {
        "head": list(measures.HEAD),
        "groups": [row(each, cells) for each, cells in zip(report.groups, measures.rows(report), strict=True)],
        "hosts": list(by_host.values()) if report.measures else [],
        "few": [unsure.get(name, []) for name in names] if unsure else [],
    }


def _meta(report: Report) -> Dict[str, Any]:
    return {
        "started": visible(report.started),
        "finished": visible(report.finished),
        "threshold": report.threshold,
        "version": visible(report.version),
        "earlier": visible(report.comparison.earlier) if report.comparison else None,
        "words": _words(report.kind),
        "statuses": _status_words(report.kind),
    }


def _rules(report: Report) -> List[str]:
    """The rules that findings name, as far as they are known."""
    named = {finding.rule for finding, _change in _changes(report)}
    return [rule for rule in RULE_INDEX if rule in named]


def _changes(report: Report) -> Iterable[Tuple[Finding, str]]:
    """Each finding of this report, then those that are gone, with what the comparison says of it."""
    comparison = report.comparison
    new = {identity(finding) for finding in comparison.new} if comparison else set()
    for finding in report.findings:
        compared = comparison is not None and finding.waiver is None
        yield finding, (NEW if identity(finding) in new else STILL) if compared else NOT_COMPARED
    for finding in comparison.gone if comparison else ():
        yield finding, GONE


def _fault(finding: Finding, texts: _Texts) -> Tuple[Any, ...]:
    """All of a finding but its host, in the order of TEXT_FIELDS and then the waiver."""
    waiver = finding.waiver
    return (
        *(texts.of(getattr(finding, name)) for name in TEXT_FIELDS),
        (texts.of(waiver.reason), texts.of(waiver.expires)) if waiver else None,
    )


def _hosts(report: Report, texts: _Texts, names: List[str]) -> Dict[str, Any]:
    checks = _Table()
    return {
        "asked": len(report.hosts),
        "name": [texts.of(name) for name in names],
        "status": [host.status for host in report.hosts],
        "profile": [texts.of(host.profile) for host in report.hosts],
        "kernel": [texts.of(host.kernel) for host in report.hosts],
        "groups": [[texts.of(group) for group in host.groups] for host in report.hosts],
        "checked": [checks.number(tuple(host.checked.items())) for host in report.hosts],
        "checks": [dict(row) for row in checks.rows],
    }


@lru_cache(maxsize=None)
def _part(name: str) -> str:
    with open(os.path.join(PARTS, name), encoding="utf-8") as handle:
        return handle.read()


def _embedded(data: Any) -> str:
    """JSON that can stand in a script element: ASCII, and without the letters that HTML takes for its own."""
    text = json.dumps(data, separators=(",", ":"))
    for letter in "<>&":
        text = text.replace(letter, "\\u%04x" % ord(letter))
    return text


def _policy(style: str, script: str) -> str:
    """The page's content security policy: this style and this script, nothing else, and no text ever taken for HTML."""
    return "; ".join(
        (
            "default-src 'none'",
            "style-src '%s'" % _source(style),
            "script-src '%s'" % _source(script),
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def _source(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return "sha256-%s" % base64.b64encode(digest).decode("ascii")
