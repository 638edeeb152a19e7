# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A look at a host's TCP health as a user takes it, and what ss and nstat say of the same host at the same time."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.paths import REPOSITORY

AGENT = REPOSITORY / "tests" / "molecule" / "health_agent.py"
READY = "/run/health-agent.ready"
SS = "ss --tcp --all --numeric --info --oneline --no-header"
# Without a history, which would change what others see.
NSTAT = "nstat -asz"
# What another reading of the same sockets may differ by: ss rounds.
_ROUNDED = 0.0011


@dataclass(frozen=True)
class Looked:
    """What the module returned, and what ss and nstat said before and after; nstat by the names of counters."""

    result: Mapping[str, Any]
    ss_before: Sequence[str]
    ss: Sequence[str]
    before: Mapping[str, int]
    after: Mapping[str, int]


def run_module(arguments: Mapping[str, Any], *options: str, prefix: Sequence[str] = ()) -> dict[str, Any]:
    """The module's result by `ansible -m`. options: the host, and others of ansible; prefix: what runs ansible."""
    environment = {**os.environ, "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"), "ANSIBLE_FORCE_COLOR": "0"}
    environment.update(ANSIBLE_NOCOLOR="1", ANSIBLE_CALLBACK_RESULT_FORMAT="json")
    program = str(Path(sys.executable).with_name("ansible"))
    argv = [*prefix, program, *options, "-m", "netfleet.tcp.tcp_health_info", "-a", json.dumps(arguments)]
    done = subprocess.run(argv, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout.partition("=>")[2])
    return result


def looked_at(run: Callable[[str], str], look: Callable[[], Mapping[str, Any]]) -> Looked:
    """Take a look. run: runs a command on the host and gives what it prints; look: runs the module there."""
    before = counters(run(NSTAT))
    ss_before = run(SS).splitlines()
    result = look()
    return Looked(result, ss_before, run(SS).splitlines(), before, counters(run(NSTAT)))


def counters(text: str) -> dict[str, int]:
    """What nstat prints, by name."""
    return {line.split()[0]: int(line.split()[1]) for line in text.splitlines() if not line.startswith("#")}


def differences(looked: Looked, peer_class: str, peer: str) -> list[str]:
    """What the module and ss or nstat say otherwise. peer: the only address in the class."""
    found = list(_counter_differences(looked))
    # An IPv4 address may be one in IPv6.
    lines = [
        line for line in looked.ss if line.startswith("ESTAB") and re.search(rf"[\s:\[]{re.escape(peer)}\]?:\d+ ", line)
    ]
    entry = looked.result["sockets"]["peers"][peer_class]
    rtts = sorted(_number(r" rtt:([0-9.]+)/", line) for line in lines)
    lowest = sorted(_number(r" minrtt:([0-9.]+)", line) for line in lines)
    pairs = {
        "connections": (entry["connections"], len(lines)),
        "retransmitted": (entry["retransmitted"], sum(_number(r" retrans:\d+/(\d+)", line) for line in lines)),
        "segments": (entry["segments"], sum(_number(r" data_segs_out:(\d+)", line) for line in lines)),
        "without_window_scale": (entry["without_window_scale"], sum(" wscale:" not in line for line in lines)),
        "rtt mean": (entry["rtt"]["mean"], sum(rtts) / len(rtts) if rtts else None),
        "rtt p50": (entry["rtt"]["p50"], rtts[(len(rtts) - 1) // 2] if rtts else None),
        "rtt minimum_p50": (entry["rtt"]["minimum_p50"], lowest[(len(lowest) - 1) // 2] if lowest else None),
        "listeners": (looked.result["sockets"]["states"].get("LISTEN", 0), _in_state(looked.ss, "LISTEN")),
    }
    for name, (ours, theirs) in pairs.items():
        if ours != theirs and (ours is None or theirs is None or abs(ours - theirs) > _ROUNDED):
            found.append(f"{name}: {ours}, and ss says {theirs}")
    # They end by themselves, also while the module looks.
    waiting = sorted(_in_state(lines, "TIME-WAIT") for lines in (looked.ss_before, looked.ss))
    if not waiting[0] <= looked.result["sockets"]["states"].get("TIME-WAIT", 0) <= waiting[1]:
        found.append(f"TIME-WAIT: {looked.result['sockets']['states']}, and ss says {waiting} before and after")
    return found


def _counter_differences(looked: Looked) -> Sequence[str]:
    ours = looked.result["sample"]["counters"]
    assert len(ours) > 20, ours
    return [
        f"{name}: {value}, and nstat says {looked.before[name]} before and {looked.after[name]} after"
        for name, value in ours.items()
        if not looked.before[name] <= value <= looked.after[name]
    ]


def _in_state(lines: Sequence[str], state: str) -> int:
    return sum(line.startswith(state) for line in lines)


def _number(pattern: str, line: str) -> float:
    found = re.search(pattern, line)
    return float(found.group(1)) if found else 0.0
