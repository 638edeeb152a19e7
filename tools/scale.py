# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make scale`: whether a host costs the controller more because there are many others.

Starts 10, 100 and 300 light hosts (tools/scale_namespaces.py) and measures on them our runs beside a ping: CPU of
controller and hosts, and the controller's memory. Writes docs/scale.md, and ends with 1 where the rule stated there is
broken. Needs root. Whatever ends it, its hosts end with it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from tools import cpu_time, scale_namespaces
from tools.scale_measure import Measured, Usage, measure
from tools.scale_report import Pair, Report, Series
from tools.shared import CACHE, COLLECTIONS, ROOT, ToolError, alone, clean_environment, finish

WORK = CACHE / "scale"
RECAP = re.compile(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)\s+unreachable=0\s+failed=0\b", re.MULTILINE)


@dataclass(frozen=True)
class Kind:
    """A kind of run. `unchanged`: it must reach every host and change nothing on any."""

    name: str
    command: tuple[str, ...]
    unchanged: bool = True


# The hosts are namespaces, which lack some keys; that is to be no error here.
_LENIENT = ("-e", "tcp_tuning_unsupported=warn", "-e", "tcp_drift_threshold=error")
TUNE = ("ansible-playbook", "tune.yml", *_LENIENT)
PING = Kind("ansible -m ping", ("ansible", "all", "-m", "ansible.builtin.ping"), unchanged=False)
KINDS = (
    Kind("tune.yml, converged", TUNE),
    Kind("drift.yml", ("ansible-playbook", "playbooks/drift.yml", *_LENIENT)),
)


def inventory(processes: dict[str, int]) -> str:
    """An inventory (JSON) of these hosts by name and first process: the first half is local, the rest cloud."""
    names = list(processes)
    half = len(names) // 2
    groups = {"local": names[:half], "cloud": names[half:]}
    children = {
        group: {"hosts": {name: {"ansible_namespace_pid": processes[name]} for name in members}}
        for group, members in groups.items()
    }
    variables = {
        "ansible_connection": "namespace",
        "ansible_user": "root",
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    return json.dumps({"all": {"vars": variables, "children": children}}, indent=1)


@dataclass
class Fleet:
    """Light hosts that run, and how to run something on them."""

    processes: dict[str, int] = field(default_factory=dict)

    def start(self, number: int) -> None:
        """Start that many hosts more."""
        for index in range(1, number + 1):
            name = f"scale{index:04}"
            self.processes[name] = scale_namespaces.start(name)
        (WORK / "hosts.json").write_text(inventory(self.processes), encoding="utf-8")

    def stop(self) -> None:
        """End all hosts."""
        scale_namespaces.stop(list(self.processes.values()))
        self.processes.clear()

    def run(self, command: Sequence[str]) -> Measured:
        """Run a command of Ansible's on all hosts; ToolError where it fails."""
        log, usage_file = WORK / "last.log", WORK / "usage"
        env = clean_environment(
            ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"),
            ANSIBLE_COLLECTIONS_PATH=str(COLLECTIONS),
            ANSIBLE_CONNECTION_PLUGINS=str(ROOT / "tools" / "ansible_plugins" / "connection"),
            ANSIBLE_INVENTORY=str(WORK / "hosts.json"),
            ANSIBLE_NOCOLOR="1",
            NETFLEET_SCALE_USAGE=str(usage_file),
        )
        measured = measure(command, env, log, usage_file)
        if measured.status:
            end = "\n".join(measured.told.splitlines()[-40:])
            raise ToolError(f"{' '.join(command)}: exit status {measured.status}\n{end}\nthe whole output: {log}")
        return measured

    def usage(self, kind: Kind) -> Usage:
        """What a run used; ToolError where it did not do on every host what its figures are meant for."""
        measured = self.run(kind.command)
        if kind.unchanged:
            check_unchanged(kind.name, measured.told, list(self.processes))
        if not measured.usage.hosts:
            raise ToolError(f"{kind.name}: no host has used any time; does {WORK / 'usage'} come from the connection?")
        return measured.usage


def check_unchanged(name: str, told: str, hosts: Sequence[str]) -> None:
    """Raise ToolError where a run, by what it printed, changed a host or did not get to its end there."""
    recap = {host: int(changed) for host, changed in RECAP.findall(told)}
    wrong = [host for host in hosts if recap.get(host) != 0]
    if wrong:
        raise ToolError(f"{name} should change nothing on {', '.join(wrong)}; the whole output: {WORK / 'last.log'}")


@contextlib.contextmanager
def fleet(number: int) -> Iterator[Fleet]:
    """A fleet of that many hosts, tuned; it ends with the block, however that is left."""
    hosts = Fleet()
    try:
        hosts.start(number)
        hosts.run(PING.command)  # finds cold caches
        hosts.run(TUNE)
        yield hosts
    finally:
        hosts.stop()


def measure_size(number: int, rounds: int) -> list[Series]:
    """Measure each kind in turn over that many hosts, each time beside a ping."""
    pairs: dict[str, list[Pair]] = {kind.name: [] for kind in (PING, *KINDS)}
    with fleet(number) as hosts:
        for round_number in range(1, rounds + 1):
            for kind in KINDS:
                ping = hosts.usage(PING)
                pairs[PING.name].append(Pair(ping, ping))
                pair = Pair(hosts.usage(kind), ping)
                pairs[kind.name].append(pair)
                told = f"{pair.usage.cpu:6.1f} CPU s, a ping {ping.cpu:.1f}; {pair.usage.wall:.1f} s on the clock"
                print(f"{number} hosts, round {round_number}: {kind.name:<20} {told}", flush=True)
    return [Series(name, number, of_kind) for name, of_kind in pairs.items()]


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Measure, print the tables, write docs/scale.md; 1 where the rule is broken."""
    parser = argparse.ArgumentParser(prog="python -m tools.scale", description=__doc__)
    parser.add_argument("--hosts", type=int, nargs="+", default=[10, 100, 300], help="how many (default: 10 100 300)")
    parser.add_argument("--rounds", type=int, default=3, help="repetitions of each run (default: %(default)s)")
    parser.add_argument("--write", type=Path, default=ROOT / "docs" / "scale.md", help="page whose tables are replaced")
    options = parser.parse_args()
    if min(*options.hosts, options.rounds * 2, 2) < 2:
        raise ToolError("--hosts takes numbers from 2 (one of each group), --rounds from 1")
    if os.geteuid() != 0:
        raise ToolError(
            "light hosts are namespaces with users of their own, which root alone can set up: sudo -E make scale"
        )
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)  # so that hosts are stopped then as they are at Ctrl-C
    WORK.mkdir(parents=True, exist_ok=True)
    with alone("scale"):
        cpu_time.keep_orphans()
        series = [one for number in sorted(set(options.hosts)) for one in measure_size(number, options.rounds)]
    report = Report(series, PING.name)
    print(report.text())
    report.write(options.write)
    for line in report.exceeded():
        print(f"rule broken: {line}")
    return 1 if report.exceeded() else 0


if __name__ == "__main__":
    finish(main)
