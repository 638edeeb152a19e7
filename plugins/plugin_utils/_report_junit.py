# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report as JUnit XML for a pipeline's test view (GitLab, Jenkins, actions that read JUnit). Pure.

A host is a suite; what was compared of one subject is a test case, named the same in each run, so that a reader of
several runs sees what broke and what was mended. What was measured is a case each, skipped where there is too little to
judge, and a group is a suite too. The layout satisfies the schemas of Ant and of Jenkins' xunit plugin:
hence the empty elements and the time of day without a zone.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Dict, List, Optional

from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import MET, NOT_ENOUGH, NOT_MET
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding
from ansible_collections.netfleet.tcp.plugins.plugin_utils import _report_groups as shared
from ansible_collections.netfleet.tcp.plugins.plugin_utils import _report_measures as measures
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import (
    FAILED,
    UNREACHABLE,
    HostMeasure,
    HostState,
    Measure,
    Report,
)

_LONGEST = 500
_HOST = "host"


def render(report: Report) -> str:
    """The report as an XML 1.0 document."""
    findings: Dict[str, List[Finding]] = {}
    for finding in report.findings:
        findings.setdefault(finding.host, []).append(finding)
    measured: Dict[str, List[HostMeasure]] = {}
    for each in report.measures:
        measured.setdefault(each.host, []).append(each)
    root = ET.Element("testsuites")
    for number, host in enumerate(report.hosts):
        root.append(_suite(number, host, findings.get(host.name, []), measured.get(host.name, []), report))
    for group in dict.fromkeys(measure.group for measure in report.groups):
        root.append(_group_suite(len(root), group, report))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(
    number: int, host: HostState, findings: Sequence[Finding], measured: Sequence[HostMeasure], report: Report
) -> ET.Element:
    name = _text(host.name)
    suite = ET.Element(
        "testsuite", name=name, hostname=name, package="netfleet.tcp.%s" % report.check, id=str(number), time="0"
    )
    properties = ET.SubElement(suite, "properties")
    for key, value in _properties(host, report):
        ET.SubElement(properties, "property", name=key, value=_text(value))
    measured = [each for each in measured if each.verdict]
    own = {(each.subject, each.key) for each in measured}
    others = [finding for finding in findings if (finding.subject, finding.key) not in own]
    of_measures = {each.subject for each in measured} - {finding.subject for finding in others}
    left = [subject for subject in _subjects(host, others, report) if subject not in of_measures]
    cases = [_case(name, measures.label(each), _of(each, findings), report, each) for each in measured]
    cases += [_host_case(name, subject, host, others, report) for subject in left]
    notes = [finding for finding in findings if finding.waiver is None and not report.counts(finding)]
    _finish(suite, cases, "\n".join(_said(finding) for finding in notes), report)
    return suite


def _of(measure: Measure, findings: Sequence[Finding]) -> List[Finding]:
    return [each for each in findings if (each.subject, each.key) == (measure.subject, measure.key)]


def _group_suite(number: int, group: str, report: Report) -> ET.Element:
    """A suite for a group: what its hosts come to together."""
    name = _text("group %s" % group)
    suite = ET.Element("testsuite", name=name, hostname=name, package="netfleet.tcp.%s" % report.check, id=str(number))
    suite.set("time", "0")
    ET.SubElement(suite, "properties")
    cases = []
    for measure in (each for each in report.groups if each.group == group and each.verdict):
        case = ET.Element("testcase", classname=name, name=_text(measures.label(measure)), time="0")
        said = [
            _text("%s, target %s; %s" % (measures.measured(measure), measures.target(measure), measures.hosts(measure)))
        ]
        if measure.verdict == NOT_MET:
            _outcome(case, "failure", "error", said)
        elif measure.verdict != MET:
            _outcome(case, "skipped", "", ["%s: %s" % (_text(measures.verdict(measure)), said[0])])
        cases.append(case)
    _finish(suite, cases, "", report)
    return suite


def _finish(suite: ET.Element, cases: Sequence[ET.Element], output: str, report: Report) -> None:
    """Put the cases into a suite, with their numbers by outcome."""
    suite.set("timestamp", report.started[: len("2026-01-01T00:00:00")])
    suite.extend(cases)
    for word, tag in (("tests", ""), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(word, str(sum(1 for case in cases if not tag or case.find(tag) is not None)))
    ET.SubElement(suite, "system-out").text = output
    ET.SubElement(suite, "system-err")


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


def _host_case(suite: str, subject: str, host: HostState, findings: Sequence[Finding], report: Report) -> ET.Element:
    """The case of a subject; of the host itself, whether it could be asked."""
    mine = [finding for finding in findings if finding.subject == subject]
    if subject != _HOST or host.status not in (UNREACHABLE, FAILED):
        return _case(suite, subject, mine, report)
    case = ET.Element("testcase", classname=suite, name=_text(subject), time="0")
    _outcome(case, "error", host.status, [_said(finding) for finding in mine] or ["no reason was given"])
    return case


def _case(
    suite: str, name: str, mine: Sequence[Finding], report: Report, measure: Optional[Measure] = None
) -> ET.Element:
    """A case with these findings. measure: what they are of; where there is too little of it, the case is skipped."""
    case = ET.Element("testcase", classname=suite, name=_text(name), time="0")
    counted = [finding for finding in mine if report.counts(finding)]
    if counted:
        _outcome(case, "failure", counted[0].severity, [_said(finding) for finding in counted])
    elif any(finding.waiver for finding in mine):
        _outcome(case, "skipped", "", [_said(finding) for finding in mine if finding.waiver])
    elif measure and measure.verdict == NOT_ENOUGH:
        _outcome(case, "skipped", "", [_text("%s: %s" % (measures.verdict(measure), measures.measured(measure)))])
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
