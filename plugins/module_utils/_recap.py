# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The recap of a run as lines of text, grouped by what happened rather than by host. Pure."""

from __future__ import annotations

import re
from dataclasses import field, replace
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass

_WIDTH = 118
_MOST_PROBLEMS = 20
_SECRET = re.compile(r"<(another )?secret [^>]*>")
# What a reader wants to see confirmed first; the rest is in the result of the task (-v).
_HEADLINES = (
    ("net.ipv4.tcp_congestion_control", "congestion control"),
    ("net.core.default_qdisc", "default qdisc"),
    ("net.ipv4.tcp_fastopen", "fast open"),
    ("net.ipv4.tcp_rmem", "tcp_rmem"),
    ("net.ipv4.tcp_wmem", "tcp_wmem"),
)


def headline_state(running: Mapping[str, Any]) -> Dict[str, Dict[str, Any]]:
    """The part of a result's state that the recap shows; the rest need not be kept for each host of a fleet."""
    keys = running.get("sysctl") or {}
    return {
        "sysctl": {key: keys[key] for key, _title in _HEADLINES if key in keys},
        "qdisc": dict(running.get("qdisc") or {}),
    }


# Of a host that a run in waves has looked at and not come to; that it has changed and not confirmed; that is as before.
WAITING, PENDING, REVERTED = "waiting", "pending", "reverted"
# What became of a change of which the run knows no more than that.
NOT_CONFIRMED = "not confirmed"
_NOT_NEW = {
    WAITING: "not changed: the run did not come to their wave",
    PENDING: "not confirmed: each takes the change back by itself when its time is over, if it has not done so",
    REVERTED: "as before: the change was taken back",
}


def host_status(status: str, answer: Mapping[str, Any], check_mode: bool) -> str:
    """The status of a host after a task of a run, from Ansible's (ok, changed, failed, unreachable) and the result."""
    outcome = (answer.get("change") or {}).get("outcome")
    if status == "failed":
        return {"reverted": REVERTED, NOT_CONFIRMED: PENDING}.get(str(outcome), status)
    if answer.get("not_made"):
        return "failed"
    if status == "ok" and answer.get("to_change") and not check_mode:
        return WAITING
    if status in ("ok", "changed") and outcome in ("pending", "confirmed"):
        return PENDING if outcome == "pending" else "changed"
    return status


@dataclass(frozen=True)
class HostResult:
    """What became of a host. status: ok, changed, failed, unreachable, or one of those above.

    changes: (subject, key, from, to).
    """

    status: str
    changes: Tuple[Tuple[str, str, str, str], ...] = ()
    running: Mapping[str, Any] = field(default_factory=dict)
    problems: Tuple[str, ...] = ()


def with_links(found: HostResult, links: Optional[HostResult]) -> HostResult:
    """What became of a host, with what became of its links in the same run (None: nothing)."""
    # What has failed before says more than what went well after it.
    if links is None or found.status not in ("ok", "changed"):
        return found
    return replace(found, status=links.status, changes=(*found.changes, *links.changes))


def recap_lines(results: Mapping[str, HostResult], check_mode: bool) -> Iterator[Tuple[str, str]]:
    """(style, line) of the recap; style is one of title, changed, ok, failed, plain."""
    for hosts in _groups(results, "changed"):
        yield "changed", "%s: %s" % (_names(hosts), "would change" if check_mode else "changed")
        for line in _change_lines([results[host] for host in hosts]):
            yield "plain", _clip("    " + line)
    for hosts in _groups(results, "ok"):
        yield "ok", "%s: as declared, nothing to change" % _names(hosts)
    for status, text in _NOT_NEW.items():
        for hosts in _groups(results, status):
            yield "failed", "%s: %s" % (_names(hosts), text)
            for problem in results[hosts[0]].problems[:_MOST_PROBLEMS]:
                yield "failed", "    " + problem
    for status in ("failed", "unreachable"):
        for hosts in _groups(results, status):
            yield "failed", "%s: %s" % (_names(hosts), status)
            yield from _failure_lines([results[host] for host in hosts])
    if not check_mode:
        yield from _running(results)


def _failure_lines(group: Sequence[HostResult]) -> Iterator[Tuple[str, str]]:
    problems = group[0].problems
    for problem in problems[:_MOST_PROBLEMS]:
        yield "failed", "    " + problem
    if len(problems) > _MOST_PROBLEMS:
        yield "failed", "    and %d more" % (len(problems) - _MOST_PROBLEMS)
    if group[0].changes:
        yield "plain", "    and, had it gone on:"
        for line in _change_lines(group):
            yield "plain", _clip("        " + line)


def _change_lines(group: Sequence[HostResult]) -> Iterator[str]:
    """A line for each change that the hosts of a group share; where they came from different values, two are shown."""
    changes = group[0].changes
    width = max([len(key) for subject, key, _before, _after in changes if subject != "file"] or [0])
    for index, (subject, key, _before, after) in enumerate(changes):
        if subject == "file":
            continue
        befores = list(dict.fromkeys(result.changes[index][2] for result in group))
        shown = " | ".join(befores[:2]) + (" | ..." if len(befores) > 2 else "")
        yield _SECRET.sub(r"<\1secret>", "%-7s %-*s  %s -> %s" % (subject, width, key, shown, after))
    for _subject, key, before, after in (change for change in changes if change[0] == "file"):
        verb = "removed" if after == "absent" else "created" if before == "absent" else "rewritten"
        yield "%-7s %s  %s" % ("file", key, verb)


def _running(results: Mapping[str, HostResult]) -> Iterator[Tuple[str, str]]:
    by_text: Dict[Tuple[str, ...], List[str]] = {}
    for host, result in results.items():
        text = tuple(_headlines(result.running))
        if text:
            by_text.setdefault(text, []).append(host)
    for text, hosts in by_text.items():
        yield "title", "%s: running now" % _names(hosts)
        for line in text:
            yield "plain", "    " + line


def _headlines(running: Mapping[str, Any]) -> Iterator[str]:
    keys = running.get("sysctl") or {}
    for key, title in _HEADLINES:
        if keys.get(key) is not None:
            yield "%-18s  %s" % (title, keys[key])
    qdiscs = running.get("qdisc") or {}
    if qdiscs:
        yield "%-18s  %s" % ("qdisc", ", ".join("%s %s" % (name, kind) for name, kind in sorted(qdiscs.items())))


def _groups(results: Mapping[str, HostResult], status: str) -> List[List[str]]:
    """Hosts of a status that share the same outcome: the same keys brought to the same values, the same problems."""
    groups: Dict[Any, List[str]] = {}
    for host, result in results.items():
        if result.status == status:
            outcome = tuple((subject, key, after) for subject, key, _before, after in result.changes)
            groups.setdefault((outcome, result.problems) if status != "ok" else (), []).append(host)
    return list(groups.values())


def _names(hosts: List[str]) -> str:
    ordered = sorted(hosts, key=_natural)
    if len(ordered) <= 8:
        return ", ".join(ordered)
    return "%s and %d more (%d hosts)" % (", ".join(ordered[:6]), len(ordered) - 6, len(ordered))


def _natural(name: str) -> List[Tuple[int, str]]:
    # host2 before host10; pairs, so that a number never meets a word in a comparison.
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name) if part]


def _clip(line: str) -> str:
    return line if len(line) <= _WIDTH else line[: _WIDTH - 3] + "..."
