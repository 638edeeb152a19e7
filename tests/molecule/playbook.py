# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a playbook as a user does and reading, host by host, what the tuning task or the drift report said."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.paths import REPOSITORY

CALLBACKS = REPOSITORY / "molecule" / "shared" / "callback"
CONVERGE = REPOSITORY / "molecule" / "shared" / "converge.yml"
ROLLBACK = REPOSITORY / "playbooks" / "rollback.yml"
DRIFT = REPOSITORY / "molecule" / "shared" / "drift.yml"
HEALTH = REPOSITORY / "playbooks" / "health.yml"
PROBE = REPOSITORY / "playbooks" / "probe.yml"
DIAGNOSE = REPOSITORY / "playbooks" / "diagnose.yml"
_ACTIONS = ("tcp_tuning", "tcp_change", "tcp_rollback", "wireguard_links", "kube_proxy", "tcp_exporter")
CHANGING = {f"netfleet.tcp.{name}" for name in _ACTIONS}


@dataclass(frozen=True)
class Run:
    """A finished run."""

    status: int
    output: str
    results: Mapping[str, Mapping[str, Any]]  # what the steps of the change said, by host, later ones winning

    @property
    def changed(self) -> list[str]:
        """The hosts that were changed, or in check mode would be."""
        return sorted(name for name, result in self.results.items() if result.get("changed"))

    @property
    def failed(self) -> list[str]:
        """The hosts on which it failed."""
        return sorted(name for name, result in self.results.items() if result["status"] != "ok")

    def changes(self, host: str) -> list[str]:
        """What changed on a host, by the names of keys and files."""
        return [str(change["key"]) for change in self.results[host]["changes"]]

    def diff(self, host: str) -> str:
        """The text of a host's diff."""
        return json.dumps(self.results[host].get("diff"))


@dataclass(frozen=True)
class Check:
    """A finished check, of drift or of TCP's health."""

    status: int
    output: str
    report: Mapping[str, Any]  # drift.json or health.json as it stands

    @property
    def hosts(self) -> dict[str, str]:
        """What the report says of each host: in_step, drift (within, outside), unreachable or failed."""
        return {host["name"]: host["status"] for host in self.report["hosts"]}

    def findings(self, host: str, notes: bool = False) -> list[dict[str, Any]]:
        """The findings on a host, waived ones too; notes only where asked for."""
        found = [dict(entry) for entry in self.report["findings"] if entry["host"] == host]
        return [entry for entry in found if notes or entry["severity"] != "note"]

    def one(self, host: str, key: str, rule: str) -> dict[str, Any]:
        """The only finding of a rule about a key on a host."""
        found = [entry for entry in self.findings(host, notes=True) if (entry["key"], entry["rule"]) == (key, rule)]
        assert len(found) == 1, f"{len(found)} findings {rule} of {key} on {host}:\n{self.output}"
        return found[0]

    def measure(self, host: str, key: str) -> dict[str, Any]:
        """What was measured on a host of an indicator, or of a class of peers."""
        (found,) = [entry for entry in self.report["measures"] if (entry["host"], entry["key"]) == (host, key)]
        return dict(found)


def run_drift(scratch: Path, *arguments: str, more: Mapping[str, str] | None = None) -> Check:
    """Run the drift check on the inventory of the lab. scratch: directory for its report; more: to the environment."""
    return _run_check("drift", DRIFT, scratch, *arguments, more=more)


def run_health(scratch: Path, *arguments: str) -> Check:
    """The same with the check of TCP's health."""
    return _run_check("health", HEALTH, scratch, *arguments)


def run_probe(scratch: Path, *arguments: str) -> Check:
    """The same with the probe between hosts."""
    return _run_check("probe", PROBE, scratch, *arguments)


def run_diagnose(scratch: Path, *arguments: str) -> Check:
    """The same with the diagnosis of a connection."""
    return _run_check("diagnose", DIAGNOSE, scratch, *arguments)


def _run_check(
    kind: str, playbook: Path, scratch: Path, *arguments: str, more: Mapping[str, str] | None = None
) -> Check:
    path = scratch / f"{kind}.json"
    path.unlink(missing_ok=True)
    wanted = json.dumps({f"tcp_{kind}_directory": str(scratch), f"tcp_{kind}_formats": ["json"]})
    done = start_playbook(scratch, f"--extra-vars={wanted}", *arguments, playbook=playbook, more=more).finish()
    assert path.exists(), f"the check wrote no report:\n{done.output}"
    return Check(done.status, done.output, json.loads(path.read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Running:
    """A run that has been started."""

    process: subprocess.Popen[str]
    kept: Path

    def kill(self) -> None:
        """End it as a power failure of the controller would: at once, with all its processes."""
        self._signal(signal.SIGKILL)
        self.process.communicate()

    def stop(self) -> None:
        """Let it stand still until it goes on."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """The opposite of stop."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        # Its workers have sessions of their own; left alone, they would finish what they are at.
        for pid in (self.process.pid, *_descendants(self.process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def finish(self) -> Run:
        """Wait for its end, and read what it said."""
        output, _nothing = self.process.communicate()
        assert self.kept.exists(), f"the run came to no end:\n{output}"
        entries = json.loads(self.kept.read_text(encoding="utf-8"))
        results: dict[str, dict[str, Any]] = {}
        for entry in entries:
            if entry["task"] in CHANGING or entry["status"] == "unreachable":
                earlier = results.get(entry["host"], {})
                results[entry["host"]] = {**earlier, **entry, "changed": _changed(earlier, entry)}
        return Run(self.process.returncode, output, results)


def _descendants(ancestor: int) -> list[int]:
    """The processes that a process has started, and those that these have."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(stat.parent.name))
    found = [ancestor]
    for pid in found:
        found += parents.get(pid, [])
    return found[1:]


def start_playbook(
    scratch: Path, *arguments: str, playbook: Path = CONVERGE, more: Mapping[str, str] | None = None
) -> Running:
    """Start a playbook on the inventory of the lab. scratch: a directory for its results; more: to the environment."""
    kept = scratch / "results.json"
    kept.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
        "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS),
        "ANSIBLE_CALLBACKS_ENABLED": "kept_results,netfleet.tcp.recap",
        "NETFLEET_TEST_RESULTS": str(kept),
        # Molecule has colour forced, and the output is read here.
        "ANSIBLE_FORCE_COLOR": "0",
        "ANSIBLE_NOCOLOR": "1",
        **(more or {}),
    }
    program = Path(sys.executable).with_name("ansible-playbook")
    argv = [str(program), f"--inventory={REPOSITORY / 'inventories' / 'lab'}", *arguments, str(playbook)]
    process = subprocess.Popen(
        argv,
        env=environment,
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    return Running(process, kept)


def run_playbook(scratch: Path, *arguments: str, playbook: Path = CONVERGE) -> Run:
    """Run a playbook on the inventory of the lab; `scratch` is a directory for its results."""
    return start_playbook(scratch, *arguments, playbook=playbook).finish()


def _changed(earlier: Mapping[str, Any], entry: Mapping[str, Any]) -> bool:
    """Whether a host is changed after another step: what failed is taken back."""
    if entry["status"] == "failed":
        return False
    return bool(entry.get("changed") or earlier.get("changed"))
