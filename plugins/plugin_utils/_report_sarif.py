# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report as SARIF 2.1.0, for code scanning and the viewers of that format. Pure.

The format: https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/sarif-v2.1.0-errata01-os-complete.html
What GitHub takes of it: https://docs.github.com/en/code-security/reference/code-scanning/sarif-files/sarif-support

A file on a host is named hosts/HOST/PATH, relative to the repository's root; a finding without a file, hosts/HOST.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Dict, List, Tuple
from urllib.parse import quote

from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding
from ansible_collections.netfleet.tcp.plugins.module_utils._rules import at_least
from ansible_collections.netfleet.tcp.plugins.plugin_utils import _report_groups as shared
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import Report, identity
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_kinds import KINDS

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
# GitHub refuses a run of more results, and a file of more bytes (compressed by gzip).
MOST_RESULTS = 25_000
MOST_BYTES = 10_000_000
# It shows so many locations of a result.
MOST_LOCATIONS = 100
_ROOT = "%SRCROOT%"
_FIELDS = ("subject", "key", "intended", "running", "boot", "source", "owner", "reason", "takes_effect", "cure")


@dataclass(frozen=True)
class _Item:
    """What becomes a result: a finding on its hosts. state: new, unchanged, absent, or empty without a comparison."""

    finding: Finding
    hosts: Tuple[str, ...]
    state: str
    fingerprint: str


def render(report: Report, gone: bool = True) -> str:
    """The report as a SARIF log of one run, a result for each finding.

    Beyond what GitHub takes of one file, a result for each fault with the hosts that have it; a notification says so.
    gone: with results of the state absent for what is gone since the earlier report. GitHub does not look at states:
    for it, leave them out.
    """
    items = _items(report, gone)
    if len(items) <= MOST_RESULTS:
        text = _log(report, items, "")
        if len(text) <= MOST_BYTES or len(zlib.compress(text.encode("ascii"), 6)) <= MOST_BYTES:
            return text
    groups = _groups(items)
    said = "%d findings are grouped into %d results, each with the hosts that have it." % (len(items), len(groups))
    if len(groups) > MOST_RESULTS:
        said += " Only the %d most severe of these are here; the JSON report has all." % MOST_RESULTS
    return _log(report, groups[:MOST_RESULTS], said)


def _items(report: Report, gone: bool) -> List[_Item]:
    new, compared = shared.new_ones(report), report.comparison is not None
    items = []
    for finding in report.findings:
        state = "" if not compared else "new" if identity(finding) in new else "unchanged"
        items.append(_Item(finding, (finding.host,), state, _hash(identity(finding))))
    if report.comparison and gone:
        # A finding that is waived by now counts as gone, but it is here.
        present = {identity(finding) for finding in report.findings}
        for finding in report.comparison.gone:
            if identity(finding) not in present:
                items.append(_Item(finding, (finding.host,), "absent", _hash(identity(finding))))
    return items


def _groups(items: Sequence[_Item]) -> List[_Item]:
    """The items as one for each fault, state and waiver, the most severe first."""
    alike: Dict[Any, List[Finding]] = {}
    for item in items:
        alike.setdefault((item.state, item.finding.waiver), []).append(item.finding)
    found = []
    for (state, _waiver), findings in alike.items():
        for group in shared.grouped(findings):
            fault = [group.finding.rule, *(getattr(group.finding, name) for name in _FIELDS)]
            found.append(_Item(group.finding, group.hosts, state, _hash(fault)))
    order = {"error": 0, "warning": 1, "note": 2}
    return sorted(found, key=lambda item: (item.state == "absent", order[item.finding.severity], -len(item.hosts)))


def _hash(parts: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(parts).encode("ascii")).hexdigest()[:16]


def _log(report: Report, items: Sequence[_Item], said: str) -> str:
    waivers = any(item.finding.waiver for item in items)
    run = {
        "tool": {"driver": _driver(report)},
        "automationDetails": {"id": "netfleet.tcp/%s/%s" % (report.check, shared.storable(report.started))},
        "invocations": [_invocation(report, said)],
        "originalUriBaseIds": {_ROOT: {"description": {"text": "A folder with one folder for each host, hosts/HOST."}}},
        "results": [_result(item, report, waivers) for item in items],
        "properties": {"summary": shared.summary(report), "threshold": report.threshold},
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}) + "\n"


def _driver(report: Report) -> Dict[str, Any]:
    driver: Dict[str, Any] = {
        "name": "netfleet.tcp",
        "rules": [_rule(rule.id, rule.title, rule.text) for rule in report.kind.rules],
    }
    if report.version:
        driver["version"] = shared.storable(report.version)
    return driver


@lru_cache(maxsize=None)
def _rule_index(kind_name: str) -> Dict[str, int]:
    return {rule.id: index for index, rule in enumerate(KINDS[kind_name].rules)}


def _rule(name: str, title: str, text: str) -> Dict[str, Any]:
    title = title[0].upper() + title[1:] + "."
    return {
        "id": name,
        "name": name.title().replace("-", ""),
        "shortDescription": {"text": title},
        "fullDescription": {"text": text},
        "help": {"text": text},
    }


def _invocation(report: Report, said: str) -> Dict[str, Any]:
    # That hosts could not be asked are results; the check as such came to its end.
    invocation: Dict[str, Any] = {"executionSuccessful": True}
    invocation.update(startTimeUtc=report.started, endTimeUtc=report.finished)
    if said:
        invocation["toolExecutionNotifications"] = [{"level": "warning", "message": {"text": said}}]
    return invocation


def _result(item: _Item, report: Report, waivers: bool) -> Dict[str, Any]:
    finding = item.finding
    result: Dict[str, Any] = {
        "ruleId": finding.rule or "finding",
        "level": finding.severity if at_least(finding.severity, report.threshold) else "note",
        "message": {"text": _message(item)},
        "locations": [_location(finding, host) for host in item.hosts[:MOST_LOCATIONS]],
        # The name is the one that GitHub knows; values are not in it, so that a changed value is the same finding.
        "partialFingerprints": {"primaryLocationLineHash": "%s:1" % item.fingerprint},
        "properties": _properties(item),
    }
    index = _rule_index(report.check)
    if finding.rule in index:
        result["ruleIndex"] = index[finding.rule]
    if item.state:
        result["baselineState"] = item.state
    # Either every result of a run says whether it is suppressed, or none.
    if waivers:
        result["suppressions"] = [_suppression(finding)] if finding.waiver else []
    return result


def _suppression(finding: Finding) -> Dict[str, Any]:
    text = "%s (until %s)" % (finding.waiver.reason, finding.waiver.expires) if finding.waiver else ""
    return {"kind": "external", "status": "accepted", "justification": shared.storable(text)}


def _properties(item: _Item) -> Dict[str, Any]:
    values = {name: getattr(item.finding, name) for name in _FIELDS}
    found: Dict[str, Any] = {name: shared.storable(value) for name, value in values.items() if value}
    return {"hosts": [shared.storable(host) for host in item.hosts], **found}


def _message(item: _Item) -> str:
    finding = item.finding
    where = _short(item.hosts[0]) if len(item.hosts) == 1 else "%d hosts" % len(item.hosts)
    said = ["%s on %s." % (shared.clip(shared.headline(finding), shared.LONGEST), where)]
    values = ", ".join("%s %s" % (name, shared.clip(value, shared.LONGEST)) for name, value in shared.values(finding))
    if values:
        said.append(values[0].upper() + values[1:] + ".")
    said.append("Why: %s." % _short(finding.reason))
    if finding.owner:
        said.append("Owner: %s." % _short(finding.owner))
    if finding.cure:
        effect = shared.clip(shared.effect(finding), shared.LONGEST)
        said.append("Cure: %s%s." % (_short(finding.cure), " (%s)" % effect if effect else ""))
    return _plain(" ".join(said))


def _short(text: str) -> str:
    return shared.clip(shared.visible(text), shared.LONGEST)


def _plain(text: str) -> str:
    """The text with nothing in it that a SARIF message would take for a placeholder or a link."""
    return text.replace("{", "{{").replace("}", "}}").replace("](", "] (")


def _location(finding: Finding, host: str) -> Dict[str, Any]:
    path, line = place(finding.source)
    name = shared.name(finding) or shared.visible(host)
    logical = {
        "name": shared.clip(name, shared.LONGEST),
        "fullyQualifiedName": shared.clip("/".join((shared.visible(host), finding.subject, name)), shared.LONGEST),
        "kind": shared.visible(finding.subject),
    }
    artifact = {"uri": uri(host, path), "uriBaseId": _ROOT}
    physical = {"artifactLocation": artifact, "region": {"startLine": line}}
    return {"physicalLocation": physical, "logicalLocations": [logical]}


def place(source: str) -> Tuple[str, int]:
    """Path and line of a source, file:line; line 1 where none is named."""
    found = re.fullmatch(r"(.*):([1-9][0-9]{0,8})", source, re.DOTALL)
    return (found.group(1), int(found.group(2))) if found else (source, 1)


def uri(host: str, path: str) -> str:
    """A file on a host as a relative URI reference of which nothing leads out of the host's folder."""
    # A segment of dots alone would mean a folder, whichever way it is written.
    name = shared.storable(host)
    folder = "hosts/" + (quote(name, safe="") if name.strip(".") else "_" + name)
    inside = posixpath.normpath("/" + shared.storable(path)).lstrip("/")
    return "%s/%s" % (folder, quote(inside, safe="/")) if inside else folder
