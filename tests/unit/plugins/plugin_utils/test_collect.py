# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding, Waiver, to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._rules import FILE_CHANGED, SYSCTL_RUNNING, SYSCTL_SHADOW
from ansible_collections.netfleet.tcp.plugins.plugin_utils._collect import collect, verdict
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import Report

# 2026-11-22 06:00:00 UTC
NOW = 1795327200.0
ERROR = Finding("sysctl", "net.ipv4.tcp_rmem", "error", "x", rule=SYSCTL_RUNNING)
WARNING = Finding("file", "/etc/x", "warning", "x", rule=FILE_CHANGED)
NOTE = Finding("sysctl", "net.ipv4.tcp_wmem", "note", "x", rule=SYSCTL_SHADOW)
WAIVED = Finding("sysctl", "net.core.rmem_max", "error", "x", rule=SYSCTL_RUNNING, waiver=Waiver("y", "2027-01-31"))


def answer(*findings: Finding, **more: Any) -> dict[str, Any]:
    """The registered result of netfleet.tcp.drift."""
    said = {
        "status": "asked",
        "profile": "cloud",
        "kernel": "6.1.0",
        "groups": ["cloud"],
        "subjects": ["sysctl", "file"],
        "checked": {"sysctl": 20, "file": 3},
        "asked_at": NOW - 8,
        "findings": [to_wire(finding) for finding in findings],
    }
    return {"changed": False, "failed": False, "drift": {**said, **more}}


# As Ansible registers it for a host that its connection plugin cannot reach.
UNREACHABLE = {
    "unreachable": True,
    "changed": False,
    "msg": "Task failed: Failed to connect to the host via ssh:\n  No route to host",
}
# As it registers a task whose variables cannot be templated.
FAILED = {"failed": True, "changed": False, "msg": "Task failed: 'rtt' is undefined"}


def report(answers: dict[str, Any], threshold: str = "warning") -> Report:
    return collect(answers, threshold, NOW, "0.2.0")


def statuses(found: Report) -> dict[str, str]:
    return {host.name: host.status for host in found.hosts}


@pytest.mark.parametrize(
    ("given_answer", "status"),
    [
        (answer(), "in_step"),
        (answer(NOTE), "in_step"),
        (answer(WAIVED), "in_step"),
        (answer(NOTE, WAIVED, WARNING), "drift"),
        (answer(ERROR), "drift"),
        (answer(ERROR, status="unreachable"), "unreachable"),
        (answer(ERROR, status="failed"), "failed"),
        (UNREACHABLE, "unreachable"),
        (FAILED, "failed"),
        ({"skipped": True, "changed": False}, "failed"),
        ({}, "failed"),
        (None, "failed"),
    ],
)
def test_the_status_of_a_host(given_answer: Any, status: str) -> None:
    assert statuses(report({"a": given_answer})) == {"a": status}


@pytest.mark.parametrize(
    ("threshold", "drifted"), [("note", {"e", "w", "n"}), ("warning", {"e", "w"}), ("error", {"e"})]
)
def test_the_threshold_decides_what_is_drift(threshold: str, drifted: set[str]) -> None:
    found = report({"e": answer(ERROR), "w": answer(WARNING), "n": answer(NOTE), "x": answer(WAIVED)}, threshold)
    assert {host.name for host in found.by_status("drift")} == drifted
    assert found.threshold == threshold
    assert len(found.findings) == 4, "what is below the threshold is in the report all the same"


def test_findings_bear_their_host_in_the_order_of_hosts() -> None:
    found = report({"b": answer(ERROR, NOTE), "a": answer(WARNING)})
    assert [(finding.host, finding.key) for finding in found.findings] == [
        ("b", ERROR.key),
        ("b", NOTE.key),
        ("a", WARNING.key),
    ]
    assert [host.name for host in found.hosts] == ["b", "a"]


def test_what_a_host_said_of_itself() -> None:
    (host,) = report({"a": answer()}).hosts
    assert (host.profile, host.kernel, host.groups) == ("cloud", "6.1.0", ("cloud",))
    assert host.checked == {"sysctl": 20, "file": 3}


def test_a_host_that_ansible_could_not_reach_is_a_finding_with_its_words() -> None:
    (found,) = report({"a": UNREACHABLE}).findings
    assert (found.host, found.subject, found.severity, found.rule) == ("a", "host", "error", "host-unreachable")
    assert found.reason == "Task failed: Failed to connect to the host via ssh: No route to host"
    assert found.cure


@pytest.mark.parametrize(
    ("given_answer", "reason"), [(FAILED, "Task failed: 'rtt' is undefined"), (None, "the check did not run on it")]
)
def test_a_host_that_was_not_judged_is_a_finding(given_answer: Any, reason: str) -> None:
    (found,) = report({"a": given_answer}).findings
    assert (found.rule, found.severity, found.reason) == ("host-failed", "error", reason)


def test_the_check_began_when_the_first_host_was_asked() -> None:
    found = report({"a": answer(asked_at=NOW - 8), "b": answer(asked_at=NOW - 3600), "c": None})
    assert (found.started, found.finished) == ("2026-11-22T05:00:00Z", "2026-11-22T06:00:00Z")
    assert report({"c": None}).started == "2026-11-22T06:00:00Z"


def test_subjects_stand_in_one_order_whoever_named_them_first() -> None:
    found = report({"a": answer(subjects=["file"]), "b": answer(subjects=["qdisc", "sysctl", "file"]), "c": None})
    assert found.subjects == ("sysctl", "qdisc", "file")


def test_the_version_is_handed_on() -> None:
    assert report({}).version == "0.2.0"


@pytest.mark.parametrize(
    ("answers", "status", "text"),
    [
        ([answer(), answer(NOTE)], "in_step", "2 of 2 hosts in step, 0 drifted, 0 could not be asked"),
        ([answer(), answer(ERROR)], "drift", "1 of 2 hosts in step, 1 drifted, 0 could not be asked"),
        ([answer(), answer(ERROR), None], "not_asked", "1 of 3 hosts in step, 1 drifted, 1 could not be asked"),
        ([UNREACHABLE, FAILED], "not_asked", "0 of 2 hosts in step, 0 drifted, 2 could not be asked"),
    ],
)
def test_the_verdict(answers: list[Any], status: str, text: str) -> None:
    assert verdict(report({"host%d" % number: each for number, each in enumerate(answers)})) == (status, text)
