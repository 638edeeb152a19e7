# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report as JUnit XML for a pipeline's test view (GitLab, Jenkins, actions that read JUnit). Pure.

A host is a suite; what was compared of one subject is a test case, named the same in each run, so that a reader of
several runs sees what broke and what was mended. The layout satisfies the schemas of Ant and of Jenkins' xunit plugin:
hence the empty elements and the time of day without a zone.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Dict, List

from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding
from ansible_collections.netfleet.tcp.plugins.plugin_utils import _report_groups as shared
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import FAILED, UNREACHABLE, HostState, Report

_LONGEST = 500
_HOST = "host"


def render(report: Report) -> str:
    """The report as an XML 1.0 document."""
    findings: Dict[str, List[Finding]] = {}
    for finding in report.findings:
        findings.setdefault(finding.host, []).append(finding)
    root = ET.Element("testsuites")
    for number, host in enumerate(report.hosts):
        root.append(_suite(number, host, findings.get(host.name, []), report))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(number: int, host: HostState, findings: Sequence[Finding], report: Report) -> ET.Element:
    name = _text(host.name)
    suite = ET.Element(
        "testsuite", name=name, hostname=name, package="netfleet.tcp.%s" % report.check, id=str(number), time="0"
    )
    suite.set("timestamp", report.started[: len("2026-01-01T00:00:00")])
    properties = ET.SubElement(suite, "properties")
    for key, value in _properties(host, report):
        ET.SubElement(properties, "property", name=key, value=_text(value))
    cases = [_case(name, subject, host, findings, report) for subject in _subjects(host, findings, report)]
    suite.extend(cases)
    for word, tag in (("tests", ""), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(word, str(sum(1 for case in cases if not tag or case.find(tag) is not None)))
    notes = [finding for finding in findings if finding.waiver is None and not report.counts(finding)]
    ET.SubElement(suite, "system-out").text = "\n".join(_said(finding) for finding in notes)
    ET.SubElement(suite, "system-err")
    return suite


def _properties(host: HostState, report: Report) -> Sequence[tuple[str, str]]:
    found = [("status", report.kind.statuses[host.status]), ("profile", host.profile), ("kernel", host.kernel)]
    found += [("groups", " ".join(host.groups)), ("threshold", report.threshold), ("netfleet.tcp", report.version)]
    found += [
        ("checked %s" % subject, str(host.checked[subject]))
        for subject in report.kind.subjects
        if subject in host.checked
    ]
    return [(name, value) for name, value in found if value]


def _subjects(host: HostState, findings: Sequence[Finding], report: Report) -> List[str]:
    """What was compared on the host; host itself (could it be asked?) always."""
    named = {_HOST} | {subject for subject, number in host.checked.items() if number}
    named |= {finding.subject for finding in findings}
    known = report.kind.subjects
    return [subject for subject in known if subject in named] + sorted(named - set(known))


def _case(suite: str, subject: str, host: HostState, findings: Sequence[Finding], report: Report) -> ET.Element:
    case = ET.Element("testcase", classname=suite, name=_text(subject), time="0")
    mine = [finding for finding in findings if finding.subject == subject]
    counted = [finding for finding in mine if report.counts(finding)]
    if subject == _HOST and host.status in (UNREACHABLE, FAILED):
        said = [_said(finding) for finding in mine] or ["no reason was given"]
        _outcome(case, "error", host.status, said)
    elif counted:
        _outcome(case, "failure", counted[0].severity, [_said(finding) for finding in counted])
    elif any(finding.waiver for finding in mine):
        _outcome(case, "skipped", "", [_said(finding) for finding in mine if finding.waiver])
    return case


def _outcome(case: ET.Element, tag: str, kind: str, said: Sequence[str]) -> None:
    """Add what was said: the first line of it as message, all as text (GitLab shows the text, others both)."""
    more = " (and %d more)" % (len(said) - 1) if len(said) > 1 else ""
    element = ET.SubElement(case, tag, message=said[0].split("\n")[0] + more)
    element.text = "\n\n".join(said)
    if kind:
        element.set("type", _text(kind))


def _said(finding: Finding) -> str:
    """A finding as lines: what is wrong, then each fact that is known."""
    facts = [*shared.values(finding), ("file", finding.source), ("owner", finding.owner), ("why", finding.reason)]
    effect = shared.effect(finding)
    facts.append(("cure", finding.cure and finding.cure + (" (%s)" % effect if effect else "")))
    if finding.waiver:
        facts.append(("waived until %s" % _text(finding.waiver.expires), finding.waiver.reason))
    lines = ["%s: %s" % (finding.severity, _text(shared.headline(finding)))]
    return "\n".join(lines + ["  %s: %s" % (name, _text(value)) for name, value in facts if value])


def _text(text: str) -> str:
    """The text on one line, of characters that XML 1.0 allows; clipped."""
    return shared.clip(shared.visible(text), _LONGEST)
