# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The recap of a run as lines of text, grouped by what happened rather than by host. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Mapping, Tuple

_WIDTH = 118
# What a reader wants to see confirmed first; the rest is in the result of the task (-v).
_HEADLINES = (
    ("net.ipv4.tcp_congestion_control", "congestion control"),
    ("net.core.default_qdisc", "default qdisc"),
    ("net.ipv4.tcp_fastopen", "fast open"),
    ("net.ipv4.tcp_rmem", "tcp_rmem"),
    ("net.ipv4.tcp_wmem", "tcp_wmem"),
)
_BRACKETS = {"absent": "", "None": "(no such key)"}


@dataclass(frozen=True)
class HostResult:
    """What became of a host. status: ok, changed, failed or unreachable; changes: (key, from, to)."""

    status: str
    changes: Tuple[Tuple[str, str, str], ...] = ()
    running: Mapping[str, Any] = field(default_factory=dict)
    message: str = ""
    problems: Tuple[str, ...] = ()


def recap_lines(results: Mapping[str, HostResult], check_mode: bool) -> Iterator[Tuple[str, str]]:
    """(style, line) of the recap; style is one of title, changed, ok, failed, plain."""
    for hosts, result in _groups(results, "changed"):
        verb = "would change" if check_mode else "changed"
        yield "changed", "%s: %s %d" % (_names(hosts), verb, len(result.changes))
        width = max(len(key) for key, _before, _after in result.changes) if result.changes else 0
        for key, before, after in result.changes:
            yield "plain", _clip("    %-*s  %s -> %s" % (width, key, _BRACKETS.get(before, before) or "nothing", after))
    for hosts, _result in _groups(results, "ok"):
        yield "ok", "%s: as declared, nothing to change" % _names(hosts)
    for status in ("failed", "unreachable"):
        for hosts, result in _groups(results, status):
            yield "failed", "%s: %s" % (_names(hosts), status)
            for problem in result.problems or (result.message,):
                yield "failed", "    " + problem
    if not check_mode:
        yield from _running(results)


def _running(results: Mapping[str, HostResult]) -> Iterator[Tuple[str, str]]:
    by_text: Dict[str, List[str]] = {}
    for host, result in results.items():
        text = "; ".join(_headlines(result.running))
        if text:
            by_text.setdefault(text, []).append(host)
    if by_text:
        yield "title", "What the kernels run now:"
    for text, hosts in by_text.items():
        yield "plain", "    %s: %s" % (_names(hosts), text)


def _headlines(running: Mapping[str, Any]) -> Iterator[str]:
    keys = running.get("sysctl") or {}
    for key, title in _HEADLINES:
        if keys.get(key) is not None:
            yield "%s %s" % (title, keys[key])
    for interface, qdisc in (running.get("qdisc") or {}).items():
        yield "%s %s" % (interface, qdisc)


def _groups(results: Mapping[str, HostResult], status: str) -> List[Tuple[List[str], HostResult]]:
    groups: Dict[Any, Tuple[List[str], HostResult]] = {}
    for host, result in results.items():
        if result.status == status:
            identity = (result.changes, result.problems or (result.message,)) if status != "ok" else ()
            groups.setdefault(identity, ([], result))[0].append(host)
    return list(groups.values())


def _names(hosts: List[str]) -> str:
    ordered = sorted(
        hosts, key=lambda name: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
    )
    if len(ordered) <= 8:
        return ", ".join(ordered)
    return "%s and %d more (%d hosts)" % (", ".join(ordered[:6]), len(ordered) - 6, len(ordered))


def _clip(line: str) -> str:
    return line if len(line) <= _WIDTH else line[: _WIDTH - 3] + "..."
