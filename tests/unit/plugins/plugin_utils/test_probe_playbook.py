# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/probe.yml, its actions and their documentation say the same; its report keeps to its schema."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from ansible_collections.netfleet.tcp.plugins.action import probe, probe_report
from ansible_collections.netfleet.tcp.plugins.module_utils import _rules as rules
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import Counted, Rtt
from ansible_collections.netfleet.tcp.plugins.module_utils._indicators import indicators, judged_rtt
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding, to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._probe import counters_of
from ansible_collections.netfleet.tcp.plugins.module_utils._probe_model import Reached
from ansible_collections.netfleet.tcp.plugins.modules import probe as probe_module
from ansible_collections.netfleet.tcp.plugins.modules import probe_report as probe_report_module
from ansible_collections.netfleet.tcp.plugins.plugin_utils import _report_json, _report_text
from ansible_collections.netfleet.tcp.plugins.plugin_utils._collect import collect
from ansible_collections.netfleet.tcp.plugins.plugin_utils._health_measures import Looked, with_measures
from ansible_collections.netfleet.tcp.plugins.plugin_utils._probe_check import OF_THE_RUN, SETTINGS, checked
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import Report, from_data
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_files import files, write_reports
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_kinds import PROBE_CHECK
from tests.unit.plugins.documented import not_as_documented

ROOT = Path(__file__).resolve().parents[4]
SUBJECTS = [name for name in PROBE_CHECK.subjects if name != "host"]


def looked(failed: int, of: int = 3000) -> Looked:
    counters = counters_of([Reached("peer", "10.0.0.2", 22, of, of - failed)])
    rtt = judged_rtt(Rtt(40, 1.0, 1.0, 1.0, None, 0.9, 1.1, deviation=0.1), 50.0)
    return Looked(counters, indicators(Counted("", 0.0, counters), {"client_success": 99.9})[0], {"cloud": rtt})


def answer(kept: Looked, *found: Finding) -> dict[str, Any]:
    checked = {"client_success": 1, "rtt": 1}
    data = {"status": "asked", "profile": "cloud", "kernel": "6.12", "subjects": SUBJECTS, "checked": checked}
    return {"probe": {**data, "findings": [to_wire(each) for each in found], "looked": to_wire(kept)}}


@pytest.fixture
def report() -> Report:
    finding = Finding(
        "client_success", "peer:22", "error", "why", "more than 99.9 %", "99 %", cure="cure", rule=rules.PROBE_CONNECT
    )
    answers = {"cloud1": answer(looked(0)), "cloud2": answer(looked(30), finding), "cloud3": None}
    return with_measures(collect(answers, "warning", 1_795_780_800.0, "0.1.0", PROBE_CHECK), answers, [])


def test_the_report_keeps_to_its_schema(report: Report, tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is in .venv (requirements/dev.in) only")
    schema = json.loads((ROOT / "docs" / "schemas" / "probe-report.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    data = json.loads(_report_json.render(report))
    assert [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(data)] == []
    assert from_data(data, "probe") == report
    assert schema["$defs"]["subject"]["enum"] == list(rules.PROBE_SUBJECTS)
    assert schema["$defs"]["host"]["properties"]["status"]["enum"] == list(PROBE_CHECK.statuses.values())
    written = write_reports(report, str(tmp_path), files(PROBE_CHECK))
    assert {Path(path).name for path in written} == set(files(PROBE_CHECK).values())
    assert all(Path(path).stat().st_size for path in written)


def test_the_text_says_who_reaches_whom(report: Report) -> None:
    text = " ".join(_report_text.render(report).split())
    assert "cloud client success 99.5 % (99.32 to 99.64) of 6000" in text
    assert "1 not met (cloud2), 1 met" in text
    assert "peer:22: connections to a destination fail" in text
    assert "1 of 3 hosts within targets" in text


def test_the_actions_take_what_is_documented() -> None:
    for text, specification in (
        (probe_module.DOCUMENTATION, SETTINGS),
        (probe_report_module.DOCUMENTATION, probe_report.ActionModule.specification),
    ):
        assert not_as_documented(text, specification) == []


def test_the_playbook_hands_over_the_variables_of_the_run() -> None:
    (play,) = yaml.safe_load((ROOT / "playbooks" / "probe.yml").read_text(encoding="utf-8"))
    look, report = play["tasks"]
    assert set(report["netfleet.tcp.probe_report"]) == set(OF_THE_RUN)
    assert look["register"] == probe_report.ActionModule.specification["variable"]["default"]
    assert [task["tags"] for task in play["tasks"]] == [["always"], ["always"]]
    assert report["run_once"] is True
    assert play["strategy"] == "ansible.builtin.linear"


class HostVars(dict[str, Any]):
    """As Ansible's: it knows names of loopback, by what the inventory says for all hosts."""

    def __contains__(self, name: object) -> bool:
        return name in ("localhost", "127.0.0.1", "::1") or super().__contains__(name)


def test_an_endpoint_of_loopback_is_no_host_of_the_inventory() -> None:
    hosts = ["app1", "app2"]
    task_vars = {
        "ansible_play_hosts_all": hosts,
        "groups": {"all": hosts},
        "hostvars": HostVars({name: {"ansible_host": name + ".example.com"} for name in hosts}),
    }
    settings = checked({"peers": 0, "endpoints": ["127.0.0.1:6379", "[::1]:22", "app2:80"]})
    to, own = probe.ActionModule._destinations(object.__new__(probe.ActionModule), "app1", settings, task_vars)
    assert [each["address"] for each in to] == ["127.0.0.1", "::1", "app2.example.com"]
    assert own == []


def asked_of_module(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, dict[str, Any]], tags: list[str], **answer: Any
) -> dict[str, Any]:
    """What the action says where the module answers so. given: variables by their prefix."""
    empty = {"kernel": "6.12", "indicators": {}, "destinations": [], "rtts": {}, "findings": [], "limits": []}
    action = object.__new__(probe.ActionModule)
    for name, value in {
        "_task": SimpleNamespace(args={}),
        "_templar": None,
        "declared": lambda prefix, _names, _task_vars: given.get(prefix, {}),
        "_execute_module": lambda **_given: {**empty, **answer},
    }.items():
        monkeypatch.setattr(action, name, value, raising=False)
    monkeypatch.setattr(probe, "standing", lambda _declared, _task_vars: ("cloud", {}))
    return action.look(
        {
            "inventory_hostname": "app1",
            "ansible_play_hosts_all": ["app1"],
            "ansible_run_tags": tags,
            "groups": {"all": ["app1"]},
            "hostvars": {"app1": {}},
        }
    )


def reached(established: int, of: int = 4) -> dict[str, Any]:
    return to_wire(Reached("db1", "10.0.0.2", 80, of, established))


CALLS: dict[str, Any] = {"peers": 0, "endpoints": ["db1:80"]}
NO_ROOT = "mtu: only root may send the echoes that find the MTU of a path (become)"


@pytest.mark.parametrize(
    ("settings", "answer", "checked_of_it"),
    [
        (CALLS, {"destinations": [reached(4)]}, {"mtu": 1}),
        ({"peers": 0}, {}, {}),
        (CALLS, {"destinations": [reached(0)]}, {}),
        (CALLS, {"destinations": [reached(4)], "limits": [NO_ROOT]}, {}),
    ],
)
def test_what_was_not_looked_at_is_not_within_targets(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], answer: dict[str, Any], checked_of_it: dict[str, int]
) -> None:
    found = asked_of_module(monkeypatch, {"tcp_probe_": settings}, ["mtu"], **answer)
    assert found["checked"] == checked_of_it
    assert found["status"] == ("asked" if checked_of_it else "not_enough_traffic")


def test_a_target_of_0_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, dict[str, Any]] = {"tcp_probe_": CALLS, "tcp_health_": {"targets": {"syn_retransmission": 0}}}
    found = asked_of_module(monkeypatch, given, ["all"], destinations=[reached(12, 12)])
    measured = found["looked"]["indicators"]["syn_retransmission"]
    assert (measured["target"], measured["verdict"]) == (None, "")
    assert found["looked"]["indicators"]["client_success"]["target"] == 99.9


@pytest.mark.parametrize(("subject", "counted"), [("mtu", 200), ("client_success", 0)])
def test_a_waiver_takes_out_of_the_counts_what_it_is_for(
    monkeypatch: pytest.MonkeyPatch, subject: str, counted: int
) -> None:
    finding = Finding(subject, "db1:80", "error", "why", rule=rules.PROBE_MTU)
    waiver = {"hosts": "all", "subject": subject, "key": "*:80", "reason": "known", "expires": "2099-01-01"}
    found = asked_of_module(
        monkeypatch,
        {"tcp_probe_": {**CALLS, "waivers": [waiver]}},
        ["all"],
        destinations=[reached(190, 200)],
        findings=[to_wire(finding)],
    )
    assert [each["waiver"] is not None for each in found["findings"]] == [True]
    assert found["looked"]["counters"]["TcpActiveOpens"] == counted
