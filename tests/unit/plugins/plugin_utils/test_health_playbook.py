# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/health.yml as users run it, on this machine and on hosts that nobody reaches."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from ansible_collections.netfleet.tcp.plugins.action import health as health_action
from ansible_collections.netfleet.tcp.plugins.action import health_report
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import UNLISTED
from ansible_collections.netfleet.tcp.plugins.modules import health as health_module
from ansible_collections.netfleet.tcp.plugins.modules import health_report as health_report_module
from ansible_collections.netfleet.tcp.plugins.plugin_utils._health_check import OF_THE_RUN, SETTINGS
from tests.unit.plugins.documented import not_as_documented, options_of

ROOT = Path(__file__).resolve().parents[4]
PLAYBOOK = ROOT / "playbooks" / "health.yml"
HERE = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
GONE = {"ansible_host": "127.0.0.1", "ansible_port": 1}


class Health:
    """Runs the playbook, and keeps what it said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "out"
        self.environment: dict[str, str] = {}

    def run(self, hosts: dict[str, Any], *arguments: str, **variables: Any) -> tuple[int, str, Any]:
        """Exit status, output and JSON report (None where there is none)."""
        inventory = self.folder / "hosts.yml"
        inventory.write_text(json.dumps({"cloud": {"hosts": hosts}}), encoding="utf-8")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        given = {"tcp_health_interval": 0.2, "tcp_health_directory": str(self.out), **variables}
        report = self.out / "health.json"
        report.unlink(missing_ok=True)
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("ansible-playbook")),
                f"--inventory={inventory}",
                f"--extra-vars={json.dumps(given)}",
                *arguments,
                str(PLAYBOOK),
            ],
            env={**kept, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", **self.environment},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        found = json.loads(report.read_text(encoding="utf-8")) if report.exists() else None
        return done.returncode, done.stdout + done.stderr, found


@pytest.fixture
def health(tmp_path: Path) -> Health:
    return Health(tmp_path)


# What this machine does meanwhile is anybody's guess: nothing is outside a target that there is not.
NO_TARGETS = {
    "tcp_health_targets": dict.fromkeys(
        ("client_success", "server_success", "retransmission", "syn_retransmission"), 0
    ),
    "tcp_health_rtt_targets": {"cloud": 0},
    "tcp_health_threshold": "error",
}


def test_one_execution_one_sample_and_all_reports(health: Health, tmp_path: Path) -> None:
    samples = tmp_path / "samples"
    before = os.umask(0)
    try:
        status, output, report = health.run({"here": HERE}, "-vvv", tcp_health_samples=str(samples), **NO_TARGETS)
    finally:
        os.umask(before)
    assert status == 0, output
    assert re.findall(r"Using module file \S*/(\w+)\.py", output) == ["tcp_health_info"]
    (host,) = report["hosts"]
    assert (host["name"], host["profile"], host["status"]) == ("here", "cloud", "not_enough_traffic")
    assert {path.name for path in health.out.iterdir()} == {
        f"health.{end}" for end in ("json", "txt", "md", "junit.xml", "sarif", "html")
    }
    (kept,) = samples.iterdir()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (samples, kept)] == [0o700, 0o600]
    first = json.loads(kept.read_text(encoding="utf-8"))["sample"]
    # It is counted from there, and not over an interval.
    status, output, report = health.run(
        {"here": HERE}, tcp_health_samples=str(samples), tcp_health_interval=100, **NO_TARGETS
    )
    assert status == 0, output
    assert json.loads(kept.read_text(encoding="utf-8"))["sample"]["uptime"] > first["uptime"]


def test_a_check_that_keeps_no_samples_leaves_those_that_are_there(health: Health, tmp_path: Path) -> None:
    samples = tmp_path / "samples"
    for arguments, variables in ((("--check",), {}), ((), {"tcp_health_keep_samples": False})):
        status, output, _report = health.run(
            {"here": HERE}, *arguments, tcp_health_samples=str(samples), **variables, **NO_TARGETS
        )
        assert status == 0, output
        assert not samples.exists()


def test_refused_connections_are_outside_and_a_waiver_hides_them(health: Health) -> None:
    outside = {"tcp_health_targets": {"client_success": 99.9}, "tcp_health_interval": 2}
    refused = (
        "import socket, time\n"
        "own = socket.socket(); own.bind(('127.0.0.1', 0)); end = time.time() + 300\n"
        "while time.time() < end:\n"
        "    socket.socket().connect_ex(own.getsockname()); time.sleep(0.01)\n"
    )
    waivers = [{"hosts": "all", "key": "client_*", "reason": "OPS-1", "expires": "2999-12-31"}]
    # For as long as both runs take, also on a busy machine.
    with subprocess.Popen([sys.executable, "-c", refused]) as traffic:
        try:
            status, output, report = health.run({"here": HERE}, "--tags=client_success", **outside)
            again = health.run({"here": HERE}, "--tags=client_success", tcp_health_waivers=waivers, **outside)
        finally:
            traffic.kill()
    assert status == 2, output
    assert [(found["rule"], found["key"]) for found in report["findings"] if found["severity"] == "error"] == [
        ("health-client-success", "client_success")
    ]
    assert report["subjects"] == ["client_success"]
    assert {entry["subject"] for entry in (*report["measures"], *report["groups"])} == {"client_success"}
    assert "refused" in output
    assert again[0] == 0, again[1]
    assert [found["waiver"]["reason"] for found in again[2]["findings"] if found["waiver"]] == ["OPS-1"]


def test_a_waiver_counts_for_the_group_where_the_host_has_too_little_traffic(health: Health) -> None:
    targets = {"tcp_health_targets": {"server_success": 99.9}, "tcp_health_threshold": "error"}
    for expires, verdicts in (("2999-12-31", {"waived": 1}), ("2001-01-01", {"not enough traffic": 1})):
        waivers = [{"hosts": "cloud", "key": "server_*", "reason": "OPS-1", "expires": expires}]
        status, output, report = health.run(
            {"here": HERE}, "--tags=server_success", tcp_health_waivers=waivers, **targets
        )
        assert status == 0, output
        assert [entry["verdicts"] for entry in report["groups"]] == [verdicts]


def test_where_no_indicator_is_asked_for_none_lacks_traffic(health: Health) -> None:
    status, output, report = health.run({"here": HERE}, "--tags=ports", tcp_health_threshold="error")
    assert status == 0, output
    assert report["hosts"][0]["status"] == "within"
    assert (report["hosts"][0]["checked"], report["measures"], report["groups"]) == ({"ports": 1}, [], [])


def test_hosts_that_could_not_be_asked_are_named(health: Health) -> None:
    status, output, report = health.run({"here": HERE, "gone1": GONE}, tcp_health_groups="all,cloud", **NO_TARGETS)
    assert status == 4, output
    assert {entry["group"] for entry in report["groups"]} == {"cloud", "all"}
    assert {host["name"]: host["status"] for host in report["hosts"]} == {
        "here": "not_enough_traffic",
        "gone1": "unreachable",
    }
    assert re.search(r"hosts could not be asked.*\n\s+host\s+gone1", output)


def test_a_host_at_whose_variables_ansible_stops_ends_no_check_of_the_others(health: Health) -> None:
    health.environment = {"ANSIBLE_ANY_ERRORS_FATAL": "true"}
    broken = {**HERE, "ansible_host": "{{ nothing }}"}
    status, output, report = health.run({"broken": broken, "here": HERE}, **NO_TARGETS)
    assert status == 4, output
    assert {host["name"]: host["status"] for host in report["hosts"]} == {
        "broken": "failed",
        "here": "not_enough_traffic",
    }


@pytest.mark.parametrize(
    ("variables", "word"),
    [
        ({"tcp_health_threshold": "fatal"}, "is none (one of: note, warning, error)"),
        ({"tcp_health_groups": ["nobody"]}, "tcp_health_groups: nobody: there is no such group"),
        ({"tcp_health_groups": 5}, "tcp_health_groups: 5: there is no such group"),
        ({"tcp_health_groups": [["a"]]}, "there is no such group"),
        ({"tcp_health_formats": 5}, "is none (one of: json, text"),
        ({"tcp_health_interval": 999}, "tcp_health_interval: 999.0 is no such time"),
        ({"tcp_health_targets": {"retransmision": 1}}, "retransmision"),
        ({"tcp_health_waivers": [{"hosts": "all"}]}, "tcp_health_waivers[0].key: is missing"),
        ({"tcp_health_peers": "{{ nothing }}"}, "nothing"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_a_host_is_visited(
    health: Health, variables: dict[str, Any], word: str
) -> None:
    status, output, _report = health.run({"here": HERE}, "-vvv", **variables)
    assert status == 4, output
    assert word in " ".join(output.split())
    assert "Using module file" not in output


def test_the_actions_take_what_is_documented() -> None:
    for text, specification in (
        (health_module.DOCUMENTATION, SETTINGS),
        (health_report_module.DOCUMENTATION, health_report.ActionModule.specification),
    ):
        assert not_as_documented(text, specification) == []
        suboptions = options_of(text).get("targets", {}).get("suboptions", {})
        assert set(suboptions) == set(specification.get("targets", {}).get("options", {}))


def test_the_playbook_hands_over_the_variables_of_the_run() -> None:
    (play,) = yaml.safe_load(PLAYBOOK.read_text(encoding="utf-8"))
    look, report = play["tasks"]
    assert set(report["netfleet.tcp.health_report"]) == set(OF_THE_RUN)
    assert look["register"] == health_report.ActionModule.specification["variable"]["default"]
    assert [task["tags"] for task in play["tasks"]] == [["always"], ["always"]]
    assert report["run_once"] is True
    assert play["strategy"] == "ansible.builtin.linear"


@pytest.mark.parametrize(("limits", "checked"), [([], {"ports": 1}), ([UNLISTED], {})])
def test_what_only_sockets_tell_is_not_within_targets_where_they_were_not_listed(
    monkeypatch: pytest.MonkeyPatch, limits: list[str], checked: dict[str, int]
) -> None:
    answer = {
        "kernel": "6.12",
        "counted": {"counters": {}},
        "indicators": {},
        "sockets": {"peers": {}},
        "findings": [],
        "limits": limits,
    }
    action = object.__new__(health_action.ActionModule)
    parts: dict[str, Any] = {
        "_task": SimpleNamespace(args={}, check_mode=False),
        "_templar": None,
        "declared": lambda *_given: {},
        "_execute_module": lambda **_given: answer,
    }
    for name, value in parts.items():
        monkeypatch.setattr(action, name, value, raising=False)
    monkeypatch.setattr(health_action, "asked_of", lambda *_given: ("cloud", {}))
    task_vars = {"inventory_hostname": "app1", "ansible_run_tags": ["ports"], "groups": {"all": ["app1"]}}
    found = action.look(task_vars)
    assert (found["checked"], found["status"]) == (checked, "asked" if checked else "not_enough_traffic")
