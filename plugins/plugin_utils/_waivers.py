# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waivers: findings that the inventory tolerates on some hosts, for a reason and until a date. Pure.

Runs on the controller alone. An expired waiver hides nothing any more, and is a finding of its own.
"""

from __future__ import annotations

import datetime
import fnmatch
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, List, Tuple

from ansible.inventory.manager import PATTERN_WITH_SUBSCRIPT, order_patterns, split_host_pattern

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, Problem
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding, Waiver
from ansible_collections.netfleet.tcp.plugins.module_utils._rules import SUBJECTS, WAIVER_EXPIRED

_FIELDS = ("hosts", "key", "reason", "expires", "subject")
_TEXTS = {"hosts": "gw*,edge", "key": "net.ipv4.tcp_rmem", "reason": "NET-4711", "subject": SUBJECTS[0]}
# A host that could not be asked must not be waived away: that would be silence.
_NEVER = ("host-unreachable", "host-failed", WAIVER_EXPIRED)


@dataclass(frozen=True)
class Tolerance:
    """A waiver as the inventory gives it. hosts: a pattern as in -l; key: as fnmatch reads it; subject: "" for any."""

    hosts: str
    key: str
    reason: str
    expires: datetime.date
    subject: str = ""

    def covers(self, finding: Finding) -> bool:
        """Whether it is about this finding, host and date aside."""
        return fnmatch.fnmatchcase(finding.key, self.key) and self.subject in ("", finding.subject)


def read_waivers(given: Any, path: str, subjects: Sequence[str] = SUBJECTS) -> Tuple[Tolerance, ...]:
    """The waivers of a list of mappings; InputError with every problem. subjects: those that one may name."""
    problems: List[Problem] = []
    found: List[Tolerance] = []
    if given is None:
        return ()
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise InputError([Problem(path, "is not a list", "a list of mappings with hosts, key, reason and expires")])
    for index, entry in enumerate(given):
        here = "%s[%d]" % (path, index)
        wrong = _problems(entry, here, subjects)
        problems += wrong
        if not wrong:
            found.append(
                Tolerance(
                    hosts=str(entry["hosts"]),
                    key=str(entry["key"]),
                    reason=" ".join(str(entry["reason"]).split()),
                    expires=_date(entry["expires"]) or datetime.date.min,
                    subject=str(entry.get("subject") or ""),
                )
            )
    if problems:
        raise InputError(problems)
    return tuple(found)


def _problems(entry: Any, here: str, subjects: Sequence[str]) -> List[Problem]:
    if not isinstance(entry, Mapping):
        return [Problem(here, "is not a mapping", "hosts, key, reason and expires")]
    problems = [
        Problem("%s.%s" % (here, name), "is missing or empty", "every waiver says where, what, why and until when")
        for name in _FIELDS[:4]
        if not str(entry.get(name) or "").strip()
    ]
    problems += [
        Problem("%s.%s" % (here, name), "is not known", "one of: %s" % ", ".join(_FIELDS))
        for name in entry
        if name not in _FIELDS
    ]
    problems += [
        Problem("%s.%s" % (here, name), "is not text", "such as %s" % example)
        for name, example in _TEXTS.items()
        if entry.get(name) and (isinstance(entry[name], bool) or not isinstance(entry[name], (str, int)))
    ]
    if isinstance(entry.get("hosts"), str):
        problems += [Problem(here + ".hosts", wrong, cure) for wrong, cure in _wrong_terms(entry["hosts"])]
    if str(entry.get("hosts") or "").strip() and not _names_hosts(str(entry["hosts"])):
        problems.append(Problem(here + ".hosts", "%r names no host" % str(entry["hosts"]), "a pattern as in -l"))
    if str(entry.get("expires") or "").strip() and _date(entry["expires"]) is None:
        problems.append(Problem(here + ".expires", "%r is not a date" % str(entry["expires"]), "such as 2027-01-31"))
    if isinstance(entry.get("subject"), (str, int)) and str(entry["subject"] or "") not in ("", *subjects):
        cure = "one of: %s" % ", ".join(subjects)
        problems.append(Problem(here + ".subject", "%r is not known" % str(entry["subject"]), cure))
    return problems


def _wrong_terms(pattern: str) -> Iterator[Tuple[str, str]]:
    """What of a pattern of hosts cannot be told from a host's name and groups, and what to write instead."""
    for term in split_host_pattern(pattern):
        bare = term[1:] if term[0] in "!&" else term
        if not bare.startswith("~"):
            if PATTERN_WITH_SUBSCRIPT.match(bare):
                yield "%s counts the hosts of a group" % bare, "name the hosts themselves"
            continue
        try:
            re.compile(bare[1:])
        except re.error as error:
            yield "%s is no regular expression: %s" % (bare, error), "such as ~gw[0-9]+"


def _names_hosts(pattern: str) -> bool:
    return any(term.strip("!&~ ") for term in split_host_pattern(pattern))


def _date(given: Any) -> datetime.date | None:
    """A date, written so or as YAML reads it (an unquoted date is one already, with a time it is a datetime)."""
    if isinstance(given, datetime.datetime):
        return given.date()
    if isinstance(given, datetime.date):
        return given
    try:
        return datetime.date.fromisoformat(str(given).strip())
    except ValueError:
        return None


def matches_host(pattern: str, host: str, groups: Iterable[str]) -> bool:
    """Whether a host is in a pattern as Ansible's -l takes it: names, groups, wildcards, ~regex, and ':', '&', '!'."""
    names = {host, "all", *groups}
    chosen = False
    for term in order_patterns(split_host_pattern(pattern)):
        if term.startswith("!"):
            chosen = chosen and not _matches(term[1:], names)
        elif term.startswith("&"):
            chosen = chosen and _matches(term[1:], names)
        else:
            chosen = chosen or _matches(term, names)
    return chosen


def _matches(term: str, names: Iterable[str]) -> bool:
    if term.startswith("~"):
        return any(re.match(term[1:], name) for name in names)
    return any(fnmatch.fnmatchcase(name, term) for name in names)


def waived(
    findings: Iterable[Finding],
    tolerances: Iterable[Tolerance],
    host: str,
    groups: Sequence[str],
    today: datetime.date,
    partial: bool = False,
) -> Tuple[Finding, ...]:
    """The findings of a host, those that are tolerated marked so; expired waivers for it are added.

    partial: only some subjects were asked for, so that a waiver that hid nothing of these may be needed all the same.
    """
    own = [entry for entry in tolerances if matches_host(entry.hosts, host, groups)]
    valid = [entry for entry in own if entry.expires >= today]
    result: List[Finding] = []
    for finding in findings:
        match = next((entry for entry in valid if _can_be_waived(finding) and entry.covers(finding)), None)
        waiver = Waiver(match.reason, match.expires.isoformat()) if match else None
        result.append(replace(finding, waiver=waiver))
    expired = [_expired(entry, result) for entry in own if entry not in valid]
    return (*result, *(finding for finding in expired if not partial or finding.severity != "note"))


def _can_be_waived(finding: Finding) -> bool:
    return finding.rule not in _NEVER


def _expired(entry: Tolerance, findings: Iterable[Finding]) -> Finding:
    """A warning where it hid something of this host; otherwise it is but a line to be taken out of the inventory."""
    hid = any(_can_be_waived(finding) and finding.waiver is None and entry.covers(finding) for finding in findings)
    return Finding(
        subject="host",
        key="%s on %s" % (entry.key, entry.hosts),
        severity="warning" if hid else "note",
        reason="the waiver (%s) ended on %s" % (entry.reason, entry.expires.isoformat()),
        cure="mend what it hid, renew it, or take it out of the inventory" if hid else "take it out of the inventory",
        rule=WAIVER_EXPIRED,
    )
