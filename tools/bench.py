# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench`: what our runs cost beside a ping and beside our peers, on the same hosts in the same session.

Twelve containers (inventories/bench), an instance of the lab of their own. Each run is repeated, all kinds in turn,
each beside a ping, and the medians are told: wall seconds, CPU seconds of the controller (ansible and its ssh
connections) and of the hosts, and how many modules were executed on a host. Ends with 1 where a budget of the design
is exceeded.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from tools import cpu_time, venv
from tools.bench_report import Cost, Figures, Report, Run
from tools.instances import INSTANCES
from tools.shared import CACHE, COLLECTIONS, ROOT, ToolError, alone, clean_environment, finish, run

INVENTORY = ROOT / "inventories" / "bench"
FOLDER = ROOT / ".venv-bench"
WORK = CACHE / "bench"
RECAP = re.compile(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)\s+unreachable=0\s+failed=0\b", re.MULTILINE)
OUR_FILE = "/etc/sysctl.d/90-netfleet-tcp.conf"
# Before ours in the order of files, so that it stays without effect on our own runs.
PEER_FILE = "/etc/sysctl.d/10-bench-peer.conf"

PEER = f"""\
# What `make bench` compares with: ansible.posix.sysctl in a loop over the keys that our own role has set.
- name: Set the same keys with ansible.posix.sysctl
  hosts: all
  gather_facts: false
  tasks:
    - name: Set each key
      ansible.posix.sysctl:
        name: "{{{{ item.key }}}}"
        value: "{{{{ item.value }}}}"
        sysctl_file: {PEER_FILE}
        sysctl_set: true
      loop: "{{{{ bench_keys[inventory_hostname] | dict2items }}}}"
      loop_control: {{label: "{{{{ item.key }}}}"}}
"""


@dataclass
class Kind:
    """A kind of run and what its repetitions cost."""

    name: str
    command: list[str]
    before: list[list[str]] = field(default_factory=list)  # bring the hosts to where the run begins; not measured
    changes: bool | None = None  # whether it must change something on every host, or nothing on any; None: no matter
    modules: int = 0  # executed on a host
    visits: int = 0  # commands over ssh to a host
    runs: list[Run] = field(default_factory=list)

    def figures(self) -> Figures:
        """What is reported of it."""
        return Figures(self.name, self.runs, self.modules, self.visits)


class Bench:
    """The fleet, and how to run something on it and measure that."""

    def __init__(self) -> None:
        # The same ansible-core for all; the peers' collections come with the package ansible.
        path = f"{FOLDER / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        self.env = clean_environment(
            **INSTANCES["bench"],
            NETFLEET_LAB_BACKEND="container",
            ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"),
            ANSIBLE_COLLECTIONS_PATH=str(COLLECTIONS),
            ANSIBLE_INVENTORY=str(INVENTORY),
            ANSIBLE_NOCOLOR="1",
        )
        self.env["PATH"] = path
        self.names: list[str] = []
        self.roots: dict[str, int] = {}

    def lab(self, verb: str) -> None:
        """Let the lab start the fleet (up) or take it down."""
        command = [sys.executable, "-m", "lab", verb, "--inventory", str(INVENTORY)]
        run(command, f"lab {verb} of the bench fleet", env=self.env, show=True)

    def start(self) -> None:
        """Start the fleet and find its processes."""
        self.lab("up")
        listed = json.loads(run(["ansible-inventory", "--list"], "reading inventories/bench", env=self.env))
        self.names = sorted(listed["_meta"]["hostvars"])
        self.roots = cpu_time.container_roots(self.names)

    def execute(self, command: list[str], env: dict[str, str] | None = None) -> str:
        """Run a command to its end; its output goes to a file and is returned. Its orphans stay ours."""
        log = WORK / "last.log"
        with log.open("w", encoding="utf-8") as output:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=env or self.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            try:
                status = process.wait()
            except BaseException:  # not to leave ansible at work on hosts that go away
                process.terminate()
                process.wait()
                raise
        cpu_time.collect_orphans()
        text = log.read_text(encoding="utf-8", errors="replace")
        if status:
            end = "\n".join(text.splitlines()[-40:])
            raise ToolError(f"{' '.join(command)}: exit status {status}\n{end}\nthe whole output: {log}")
        return text

    def measure(self, kind: Kind) -> Cost:
        """What one run of a kind costs, its hosts being where it begins."""
        controller, hosts = cpu_time.of_trees([os.getpid()]), cpu_time.of_trees(self.roots.values())
        started = time.monotonic()
        told = self.execute(kind.command)
        cost = Cost(
            wall=time.monotonic() - started,
            controller=cpu_time.of_trees([os.getpid()]) - controller,
            hosts=cpu_time.of_trees(self.roots.values()) - hosts,
        )
        if kind.changes is not None:
            check_changes(kind, told, self.names)
        return cost

    def measure_beside_ping(self, ping: Kind, kind: Kind) -> None:
        """One repetition: bring the hosts to where the run begins, ping them, run."""
        for command in kind.before:
            self.execute(command)
        before = self.measure(ping)
        ping.runs.append(Run(before, before))
        kind.runs.append(Run(self.measure(kind), before))

    def count(self, kind: Kind) -> None:
        """Run on one host with -vvv, in which Ansible names each module that it sends and each command over ssh."""
        one_host = ["--limit", self.names[-1]]  # of the group cloud, which has the more keys
        for command in kind.before:
            self.execute([*command, *one_host])
        told = self.execute([*kind.command, *one_host, "-vvv"]).splitlines()
        kind.modules = sum("Using module file" in line for line in told)
        kind.visits = sum(line.startswith("<") and "> SSH: EXEC" in line for line in told)
        if not kind.modules:
            raise ToolError(f"{kind.name}: Ansible's -vvv names no module; can it still be counted so?")

    def keys(self) -> dict[str, dict[str, str]]:
        """The keys and values of our own file on each host, which the peers are to set too."""
        command = [
            "ansible",
            "all",
            "-m",
            "ansible.builtin.slurp",
            "-a",
            f"src={OUR_FILE}",
            "--tree",
            str(WORK / "slurped"),
        ]
        self.execute(command)
        return {name: read_keys(WORK / "slurped" / name) for name in self.names}


def check_changes(kind: Kind, told: str, names: list[str]) -> None:
    """Raise ToolError where a run did not do on every host what its figures are meant for."""
    recap = {host: int(number) for host, number in RECAP.findall(told)}
    wrong = [name for name in names if name not in recap or (recap[name] > 0) is not kind.changes]
    if wrong:
        wanted = "change something" if kind.changes else "change nothing"
        raise ToolError(f"{kind.name} should {wanted} on {', '.join(wrong)}; the whole output: {WORK / 'last.log'}")


def read_keys(path: Path) -> dict[str, str]:
    """Keys and values of a sysctl.d file, as slurp returned it into the file at `path`."""
    import base64

    text = base64.b64decode(json.loads(path.read_text(encoding="utf-8"))["content"]).decode()
    lines = (line.split("#", 1)[0].strip() for line in text.splitlines())
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {key.strip().lstrip("-"): value.strip() for key, _, value in pairs}


def our_kinds() -> list[Kind]:
    """A ping, and our own runs. The order matters: the converged run finds what the first application left."""
    tune = ["ansible-playbook", "tune.yml"]
    # The fleet is of containers, which lack some keys; that is to be no error here.
    tune += ["-e", "tcp_tuning_unsupported=warn"]
    # What a container cannot have is of severity warning.
    drift = ["ansible-playbook", "playbooks/drift.yml", "-e", "tcp_tuning_unsupported=warn"]
    drift += ["-e", "tcp_drift_threshold=error"]
    at_once = [*tune, "-e", json.dumps({"tcp_tuning_waves": ["100%"], "tcp_tuning_gate_seconds": 0})]
    absent = [[*at_once, "-e", "tcp_tuning_state=absent"]]
    return [
        Kind("ansible -m ping", ["ansible", "all", "-m", "ansible.builtin.ping"]),
        Kind("tune.yml, first application", tune, before=absent, changes=True),
        Kind("the same, one wave, not watched", at_once, before=absent, changes=True),
        Kind("tune.yml, converged", tune, changes=False),
        Kind("tune.yml --check --diff, converged", [*tune, "--check", "--diff"], changes=False),
        Kind("drift.yml", drift, changes=False),
    ]


def peer_kinds(bench: Bench) -> list[Kind]:
    """The peer over the keys that our file holds now, on untuned hosts and on converged ones."""
    keys = bench.keys()
    if not all(keys.values()):
        raise ToolError(f"{OUR_FILE} holds no key on {', '.join(name for name in keys if not keys[name])}")
    (WORK / "peer.yml").write_text(PEER, encoding="utf-8")
    (WORK / "peer.json").write_text(json.dumps({"bench_keys": keys}), encoding="utf-8")
    play = ["ansible-playbook", str(WORK / "peer.yml"), "-e", f"@{WORK / 'peer.json'}"]
    number = max(len(values) for values in keys.values())
    forget = ["ansible", "all", "-m", "ansible.builtin.file", "-a", f"path={PEER_FILE} state=absent"]
    undo = [*our_kinds()[1].before, forget]
    return [
        Kind(f"ansible.posix.sysctl, {number} keys, first", play, undo, changes=True),
        Kind(f"ansible.posix.sysctl, {number} keys, converged", play, changes=False),
    ]


def repeat(bench: Bench, ping: Kind, kinds: list[Kind], rounds: int) -> None:
    """Measure each kind in turn, `rounds` times over: what else the machine does meanwhile falls on all alike."""
    for number in range(rounds):
        for kind in kinds:
            bench.measure_beside_ping(ping, kind)
            last = kind.runs[-1]
            times = f"{last.cost.wall:6.1f} s, a ping {last.ping.wall:.1f} s"
            print(f"round {number + 1}: {kind.name:<42} {times}", flush=True)


def measure_all(bench: Bench, rounds: int, peer_rounds: int) -> list[Kind]:
    """Start the fleet and measure everything on it."""
    bench.start()
    cpu_time.keep_orphans()  # not before: the containers' processes are to be nobody's children
    ping, *ours = our_kinds()
    bench.execute(ping.command)  # finds cold caches and opens the connections
    for kind in (ping, *ours):
        bench.count(kind)
    repeat(bench, ping, ours, rounds)
    peers = peer_kinds(bench) if peer_rounds else []
    for kind in peers:
        bench.count(kind)
    repeat(bench, ping, peers, peer_rounds)
    return [ping, *ours, *peers]


def main() -> int:
    """Measure, print the table, write docs/bench.md; 1 where a budget is exceeded."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="repetitions of our own runs (default: %(default)s)")
    parser.add_argument("--peer-rounds", type=int, default=2, help="of the peers', 0: without (default: %(default)s)")
    parser.add_argument("--keep", action="store_true", help="leave the fleet running, for the next time")
    parser.add_argument("--write", type=Path, default=ROOT / "docs" / "bench.md", help="page whose table is replaced")
    options = parser.parse_args()
    if os.geteuid() != 0:
        raise ToolError("the hosts' CPU time is read from /proc, as root alone can: sudo -E make bench")
    venv.ensure(FOLDER, ROOT / "requirements" / "bench.txt")
    WORK.mkdir(parents=True, exist_ok=True)
    bench = Bench()
    with alone("bench"):
        try:
            kinds = measure_all(bench, options.rounds, options.peer_rounds)
        finally:
            if not options.keep:
                bench.lab("down")
    report = Report([kind.figures() for kind in kinds], len(bench.names))
    print(report.table())
    report.write(options.write)
    for line in report.exceeded():
        print(f"budget exceeded: {line}", file=sys.stderr)
    return 1 if report.exceeded() else 0


if __name__ == "__main__":
    finish(main)
