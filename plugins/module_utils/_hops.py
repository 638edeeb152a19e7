# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The routers on the way to an address, by whichever tool the host has: mtr, traceroute or tracepath.

Pure but for the System that is handed in.
"""

from __future__ import annotations

import json
import re
from typing import Callable, List, Sequence, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._diagnose_model import Hop
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System

# Probes to each hop, and seconds after which a tool is ended.
ROUNDS = 5
_SECONDS = "25"
_MOST_HOPS = 30
NONE = "hops: none of mtr, traceroute and tracepath is installed here (package mtr-tiny or mtr)"


def parse_mtr(text: str) -> Tuple[Hop, ...]:
    """From mtr's JSON; older ones write numbers as text, and hops without an answer as three question marks."""
    entries = json.loads(text)["report"]["hubs"]
    return tuple(
        Hop(
            int(entry["count"]),
            "" if str(entry["host"]) == "???" else str(entry["host"]),
            float(entry["Loss%"]),
            float(entry["Avg"]),
        )
        for entry in entries
    )


_LINE = re.compile(r"^\s*(\d+):?\s+(\S+)(.*)$")
_TIME = re.compile(r"([\d.]+)\s*ms")


def parse_lines(text: str) -> Tuple[Hop, ...]:
    """From what traceroute and tracepath print: a line for each hop, with one time or a star for each probe."""
    found: List[Hop] = []
    for line in text.splitlines():
        match = _LINE.match(line)
        if not match or "[LOCALHOST]" in line:
            continue
        number, address, rest = int(match[1]), match[2], match[3]
        times = [float(time) for time in _TIME.findall(rest)]
        known = re.match(r"[0-9a-f]+[.:]", address) is not None
        lost = rest.count("*") + (address == "*")
        if found and found[-1].number == number:
            # tracepath asks a hop again that has not answered.
            found.pop()
        loss = 100.0 * lost / (lost + len(times)) if lost + len(times) else 100.0
        found.append(
            Hop(number, address if known else "", loss if known else 100.0, sum(times) / len(times) if times else 0.0)
        )
    return tuple(found)


@dataclass(frozen=True)
class Tool:
    """A program, its arguments for an address, and how to read what it prints."""

    name: str
    argv: Callable[[str], List[str]]
    parse: Callable[[str], Tuple[Hop, ...]]


def _mtr(address: str) -> List[str]:
    # By echoes: SYNs of its own would stand in the capture as connections that nobody answers.
    return ["mtr", "--json", "--no-dns", "-c", str(ROUNDS), "-m", str(_MOST_HOPS), address]


def _traceroute(address: str) -> List[str]:
    return ["traceroute", "-n", "-q", "3", "-w", "1", "-m", str(_MOST_HOPS), address]


def _tracepath(address: str) -> List[str]:
    return ["tracepath", "-n", "-m", str(_MOST_HOPS), address]


# The best first: mtr alone tells loss from routers that are slow to answer.
TOOLS: Sequence[Tool] = (
    Tool("mtr", _mtr, parse_mtr),
    Tool("traceroute", _traceroute, parse_lines),
    Tool("tracepath", _tracepath, parse_lines),
)


def hops(system: System, address: str) -> Tuple[str, Tuple[Hop, ...], str, str]:
    """The tool, the hops, what it printed, and why there are none, in words."""
    why = NONE
    for tool in TOOLS:
        status, printed, said = system.run(["timeout", "-k", "2", _SECONDS, *tool.argv(address)])
        if status == 127:
            continue
        try:
            found = tool.parse(printed)
        except (ValueError, KeyError, TypeError):
            found = ()
        if found:
            return tool.name, found, printed, ""
        words = (said.strip() or printed.strip()).splitlines()[-1:] or ["it printed nothing"]
        why = "hops: %s: %s" % (tool.name, words[0][:200])
    return "", (), "", why
