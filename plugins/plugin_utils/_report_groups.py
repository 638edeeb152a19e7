# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the written reports share: findings grouped by what is wrong, and values as they may be shown. Pure.

A group is one fault and the hosts that have it. A topic is all groups of one rule, subject and key: the same thing
wrong with, say, another running value on other hosts.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Dict, List, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils import _rules as rules
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import NOT_ENOUGH as NOT_ENOUGH_TRAFFIC
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import (
    DRIFT,
    FAILED,
    IN_STEP,
    NOT_ENOUGH,
    UNREACHABLE,
    Report,
    identity,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_kinds import value_names

Identity = Tuple[str, str, str, str]

# Stand for a host's name and addresses in what is said of it as a whole, so that the same fault on two is the same.
ANY_HOST = "<host>"
ANY_ADDRESS = "<address>"
# What may be an address: of bounded length, since it looks through all that a host says.
_ADDRESS = re.compile(r"(?<![\w.:])[0-9a-fA-F:][0-9a-fA-F:.]{1,44}(?![\w:])")
ELLIPSIS = "..."
# How much of a value a file of data keeps.
LONGEST = 1000
_BOOT_RULES = (rules.SYSCTL_BOOT, rules.MODULE_BOOT, rules.QDISC_BOOT)
HOST_RULES = (rules.HOST_UNREACHABLE, rules.HOST_FAILED)
_EFFECTS = {
    "": "",
    "now": "takes effect at once",
    "new sockets": "takes effect for new sockets",
    "new listeners": "takes effect for new listeners",
    "reboot": "takes effect at the next boot",
}
_MOST_NAMES = 8


@dataclass(frozen=True)
class Group:
    """A fault and its hosts, in natural order. finding: one of them, for all that they share."""

    finding: Finding
    hosts: Tuple[str, ...]


@dataclass(frozen=True)
class Topic:
    """The groups of one rule, subject and key, that of most hosts first; severity: the worst of them."""

    severity: str
    groups: Tuple[Group, ...]
    hosts: Tuple[str, ...]

    @property
    def finding(self) -> Finding:
        """A finding that shows rule, subject and key."""
        return self.groups[0].finding

    def common(self, read: Callable[[Finding], Any]) -> bool:
        """Whether all groups have the same of something."""
        return len({read(group.finding) for group in self.groups}) == 1


def grouped(findings: Iterable[Finding]) -> List[Group]:
    """The findings as groups: the most severe first, then those of most hosts."""
    found: Dict[Tuple[Any, ...], List[Finding]] = {}
    for finding in findings:
        general = _general(finding)
        fault = (
            *(general.rule, general.subject, general.key, general.intended, general.running, general.boot),
            *(general.source, general.owner, general.reason),
        )
        found.setdefault(fault, []).append(finding)
    groups = [_group(members) for members in found.values()]
    return sorted(groups, key=lambda group: _order(group.finding.severity, group.hosts, group.finding))


def topics(findings: Iterable[Finding]) -> List[Topic]:
    """The findings as topics: the most severe first, then those of most hosts."""
    found: Dict[Tuple[str, str, str], List[Group]] = {}
    for group in grouped(findings):
        general = _general(group.finding)
        found.setdefault((general.rule, general.subject, general.key), []).append(group)
    made = []
    for groups in found.values():
        groups.sort(key=lambda group: _order("note", group.hosts, group.finding))
        hosts = natural_order(host for group in groups for host in group.hosts)
        made.append(Topic(_worst(group.finding for group in groups).severity, tuple(groups), hosts))
    return sorted(made, key=lambda topic: _order(topic.severity, topic.hosts, topic.finding))


def _group(members: Sequence[Finding]) -> Group:
    hosts = natural_order(finding.host for finding in members)
    worst = _worst(members)
    shown = worst if len(hosts) == 1 else _general(worst)
    # An address that all of them name is none of their own.
    alike = len({finding.reason for finding in members}) == 1
    return Group(replace(shown, reason=worst.reason) if alike else shown, hosts)


def _general(finding: Finding) -> Finding:
    """The finding without its host's name and addresses in key and reason, where it is about the host as a whole."""
    if finding.subject != "host" or not finding.host:
        return finding
    name = re.compile(r"(?<![\w.-])%s(?![\w-]|\.\w)" % re.escape(finding.host))
    return replace(
        finding,
        key="" if finding.key == finding.host else finding.key,
        reason=name.sub(ANY_HOST, _ADDRESS.sub(_any_address, finding.reason)),
    )


def _any_address(match: "re.Match[str]") -> str:
    text = match.group()
    # A port may follow it, or the end of a sentence.
    address = text.partition(":")[0] if "." in text.strip(".") and text.count(":") == 1 else text.rstrip(".:")
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return text
    return ANY_ADDRESS + text[len(address) :]


def _worst(findings: Iterable[Finding]) -> Finding:
    return max(findings, key=lambda finding: rules.SEVERITIES.index(finding.severity))


def _order(severity: str, hosts: Sequence[str], finding: Finding) -> Tuple[Any, ...]:
    said = (finding.intended, finding.running, finding.boot, finding.source, finding.owner, finding.reason)
    values = [natural(value or "") for value in said]
    return -rules.SEVERITIES.index(severity), -len(hosts), finding.rule, natural(finding.key), values


def drift(report: Report) -> List[Finding]:
    """The findings that count as drift; that a host could not be asked is said by unasked()."""
    return [finding for finding in report.findings if report.counts(finding) and finding.rule not in HOST_RULES]


def notes(report: Report) -> List[Finding]:
    """The findings below the threshold that nobody waived."""
    found = (finding for finding in report.findings if finding.waiver is None and not report.counts(finding))
    return [finding for finding in found if finding.rule not in HOST_RULES]


def waived(report: Report) -> Dict[Tuple[str, str], List[Finding]]:
    """The waived findings by (reason, last day) of their waiver, most findings first."""
    found: Dict[Tuple[str, str], List[Finding]] = {}
    for finding in report.findings:
        if finding.waiver:
            found.setdefault((finding.waiver.reason, finding.waiver.expires), []).append(finding)
    return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))


def unasked(report: Report) -> List[Finding]:
    """A finding for each host of which nothing is known; where the report has none that says why, one is made."""
    said = {finding.host: finding for finding in report.findings if finding.rule in HOST_RULES}
    findings = []
    for host in report.hosts:
        if host.status in (UNREACHABLE, FAILED):
            rule = rules.HOST_UNREACHABLE if host.status == UNREACHABLE else rules.HOST_FAILED
            missing = Finding("host", host.name, "error", "no reason was given", rule=rule, host=host.name)
            findings.append(said.get(host.name, missing))
    return findings


def new_ones(report: Report) -> frozenset[Identity]:
    """The identities of the findings that an earlier report did not have; empty without a comparison."""
    return frozenset(identity(finding) for finding in report.comparison.new) if report.comparison else frozenset()


def count_new(finding: Finding, hosts: Sequence[str], new: frozenset[Identity]) -> int:
    """On how many of its hosts the finding of a group or topic is new."""
    found = 0
    for host in hosts:
        # A group of several hosts has lost the host's name where that was the key.
        keys = {finding.key, host} if finding.subject == "host" else {finding.key}
        found += any((host, finding.rule, finding.subject, key) in new for key in keys)
    return found


def summary(report: Report) -> str:
    """The outcome in one clause: how many hosts are in step, drifted, could not be asked."""
    kind, few = report.kind, len(report.by_status(NOT_ENOUGH))
    lost = len(report.by_status(UNREACHABLE)) + len(report.by_status(FAILED))
    within = {host.name for host in report.by_status(IN_STEP)}
    in_part = len({entry.host for entry in report.measures if entry.verdict == NOT_ENOUGH_TRAFFIC} & within)
    said = ["%d of %d hosts %s" % (len(within), len(report.hosts), kind.within)]
    said[0] += " (%d in part: too little traffic for the rest)" % in_part if in_part else ""
    said += ["%d %s" % (len(report.by_status(DRIFT)), kind.outside)]
    said += ["%d %s" % (few, kind.few)] if few else []
    return ", ".join([*said, "%d could not be asked" % lost])


def title(finding: Finding) -> str:
    """What is wrong, as a clause."""
    rule = rules.RULE_INDEX.get(finding.rule)
    if rule:
        return rule.title
    return visible(finding.rule) if finding.rule else "something is not as it should be"


def name(finding: Finding) -> str:
    """What it is wrong with: the key; empty for a host as a whole."""
    return "" if finding.subject == "host" and finding.key in ("", finding.host) else visible(finding.key)


def headline(finding: Finding) -> str:
    """Key and what is wrong with it, as a clause."""
    return "%s: %s" % (name(finding), title(finding)) if name(finding) else title(finding)


def effect(finding: Finding) -> str:
    """When the cure takes effect, as a clause; empty where that is not known."""
    return _EFFECTS.get(finding.takes_effect, "takes effect: %s" % visible(finding.takes_effect))


def values(finding: Finding) -> List[Tuple[str, str]]:
    """What is wanted, runs, and would after the next boot, as (name, value); what is not known is left out."""
    names = value_names(finding.subject)
    found = zip(names, (finding.intended, finding.running, finding.boot), strict=True)
    shown = [(name, visible(value)) for name, value in found if value is not None]
    if finding.boot is None and finding.rule in _BOOT_RULES:
        shown.append((names[2], "nothing"))
    return shown


def count(number: int, noun: str) -> str:
    """The number with its noun: 1 host, 2 hosts."""
    return "%d %s%s" % (number, noun, "" if number == 1 else "s")


def natural(name: str) -> List[Tuple[int, str]]:
    """A key to sort by: host2 before host10. Pairs, so that a number never meets a word in a comparison."""
    # Longer runs of digits are no numbers, and int() refuses the longest.
    return [
        (int(part), "") if part.isdecimal() and len(part) < 19 else (-1, part)
        for part in re.split(r"(\d+)", name)
        if part
    ]


def natural_order(names: Iterable[str]) -> Tuple[str, ...]:
    """The names, each once, as people order them."""
    return tuple(sorted(set(names), key=natural))


def host_names(hosts: Sequence[str], width: int) -> str:
    """Names in at most `width` characters: all, or the first of them and how many more there are."""
    names = [visible(host) for host in hosts]
    line = ", ".join(names)
    if len(names) <= _MOST_NAMES and len(line) <= width:
        return line
    for shown in range(min(len(names) - 1, _MOST_NAMES - 2), 0, -1):
        line = "%s, ... and %d more (%d hosts)" % (", ".join(names[:shown]), len(names) - shown, len(names))
        if len(line) <= width:
            return line
    more = " and %d more" % (len(names) - 1) if len(names) > 1 else ""
    return clip(names[0], max(width - len(more), len(ELLIPSIS))) + more


def visible(text: str) -> str:
    r"""The text on one line: tabs as spaces, and all that does not show (controls, marks of direction) as \x1b, \u202e.

    What a host says must not be able to move the cursor, reorder the words around it, or end a line. Empty: (empty).
    """
    if not text:
        return "(empty)"
    if text.isprintable() and not text.isspace():
        return text
    shown = text.replace("\t", " ")
    if shown.isspace():
        return '"%s"' % "".join(letter if letter == " " else _escape(letter) for letter in shown)
    return "".join(letter if letter.isprintable() else _escape(letter) for letter in shown)


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def clip(text: str, length: int) -> str:
    """The text in at most `length` characters."""
    return text if len(text) <= length else text[: length - len(ELLIPSIS)] + ELLIPSIS


def storable(text: str) -> str:
    """The text as a file of data may hold it: clipped to LONGEST, lone surrogates as escapes."""
    return clip(encodable(text), LONGEST)


def encodable(text: str) -> str:
    """The text with lone surrogates, which UTF-8 cannot carry, as escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")
