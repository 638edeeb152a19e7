# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reports of a look at TCP's health: not enough traffic is never a pass or a failure, in any format."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils import _rules as rules
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding
from ansible_collections.netfleet.tcp.plugins.plugin_utils import (
    _report_html,
    _report_json,
    _report_junit,
    _report_markdown,
    _report_sarif,
    _report_text,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._collect import verdict
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import HostMeasure, Report, compare, from_data
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_files import files, read_report, write_reports
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_kinds import DRIFT_CHECK, HEALTH_CHECK, KINDS
from tests.unit.plugins.plugin_utils.sample_health import BUSY, QUIET, a_look, answers, health_report, rtt, said

SCHEMA = Path(__file__).parents[4] / "docs" / "schemas" / "health-report.schema.json"
REPORT = health_report(groups=("databases",))
WELL = health_report({"cloud1": said(a_look(BUSY, rtt(11.0)))})
IDLE = health_report({"cloud3": said(a_look({}))})


def test_how_hosts_are_counted() -> None:
    assert {host.name: host.status for host in REPORT.hosts} == {
        "cloud1": "in_step",
        "cloud2": "drift",
        "cloud3": "in_step",
        "local1": "in_step",
        "edge1": "unreachable",
    }
    assert [host.status for host in IDLE.hosts] == ["not_enough_traffic"]


def test_how_it_ends() -> None:
    assert verdict(WELL) == ("in_step", "1 of 1 hosts within targets, 0 outside targets, 0 could not be asked")
    assert verdict(REPORT)[0] == "not_asked", "that a host is lost counts more"
    without = {name: answer for name, answer in answers().items() if name != "edge1"}
    status, text = verdict(health_report(without))
    assert status == "drift"
    assert text.startswith("3 of 4 hosts within targets (1 in part: too little traffic for the rest), 1 outside")


def test_too_little_traffic_is_neither() -> None:
    status, text = verdict(IDLE)
    assert status == "in_step", "nothing is outside"
    assert text.startswith("0 of 1 hosts within targets, 0 outside targets, 1 with too little traffic to judge")


def test_the_text_has_a_line_for_each_indicator_and_group() -> None:
    found = _report_text.render(REPORT).splitlines()
    (line,) = [line for line in found if line.startswith("cloud ") and "  retransmission " in line]
    assert line.split("  ")[-1].strip() == "1 not met (cloud2), 1 met, 1 not enough"
    assert "1.517 % (1.473 to 1.563) of 2033860" in line
    assert "< 0.5 %" in line
    assert len([line for line in found if line.startswith("databases ")]) == 6
    assert any("measured   2.911 %" in line for line in found)
    assert not any("running" in line or "drift" in line.lower() for line in found)


def test_the_text_of_a_fleet_that_is_well_is_its_lines_and_the_outcome() -> None:
    found = _report_text.render(WELL).splitlines()
    assert found[-1] == "1 of 1 hosts within targets, 0 outside targets, 0 could not be asked"
    assert len([line for line in found if line.startswith("cloud ")]) == 5


@pytest.mark.parametrize("report", [IDLE, REPORT])
def test_the_text_names_all_that_was_asked_for(report: Report) -> None:
    subjects = ("server_success", "retransmission", "syn_retransmission", "window_scale", "ports", "backlog")
    lines = _report_text.render(replace(report, subjects=subjects)).splitlines()
    assert "only " + ", ".join(subjects) in " ".join(lines)
    outside_the_table = [line for line in lines if not line.startswith(("group", "cloud", "local"))]
    assert max(map(len, outside_the_table)) <= 118


def a_limit(reason: str) -> Finding:
    return Finding("host", "counters", "note", reason, rule=rules.HEALTH_LIMIT)


def test_the_text_says_what_could_not_be_looked_at_and_why() -> None:
    """Else a host whose counters cannot be read would look like one with too little traffic."""
    reason = "/proc/net/snmp cannot be read"
    quiet = health_report({name: said(a_look(QUIET), findings=[a_limit(reason)]) for name in ("a", "b")})
    assert "\nnote     counters: %s on a, b\n" % reason in _report_text.render(quiet)
    outside = health_report({**answers(), "a": said(a_look(QUIET), findings=[a_limit(reason)])})
    assert "\nnote     counters: %s on a\n" % reason in _report_text.render(outside)
    differ: dict[str, Any] = {
        name: said(a_look(QUIET), findings=[a_limit("%d of 9" % each)]) for each, name in enumerate("ab")
    }
    assert "\nnote     counters: such as 0 of 9 on a, b\n" in _report_text.render(health_report(differ))
    outcome, aside = _report_text.render(health_report(differ)).splitlines()[-2:]
    assert outcome.startswith("2 of 2 hosts within"), "the outcome"
    assert aside == "(2 notes)", "there is no room for it in that line"


def test_a_group_alone_that_is_outside_is_no_fleet_that_is_well() -> None:
    report = health_report({"h%d" % each: said(a_look({**QUIET, "failed": 2})) for each in range(30)})
    styles = {text: style for style, text in _report_text.lines(report)}
    (line,) = [text for text in styles if "client success" in text]
    assert styles[line] == "failed"
    assert styles[_report_text.render(report).splitlines()[-1]] == "failed"


def test_the_json_report_meets_its_schema_and_is_read_again(tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is in .venv (requirements/dev.in) only")
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    compared = replace(REPORT, comparison=compare(WELL, REPORT))
    for report in (REPORT, WELL, IDLE, compared):
        data = json.loads(_report_json.render(report))
        assert [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(data)] == []
        assert from_data(data, "health") == report
    assert set(schema["properties"]) == set(data)
    assert schema["$defs"]["subject"]["enum"] == list(rules.HEALTH_SUBJECTS)
    assert schema["$defs"]["host"]["properties"]["status"]["enum"] == list(HEALTH_CHECK.statuses.values())
    (path,) = write_reports(REPORT, str(tmp_path), ["json"])
    assert read_report(path, HEALTH_CHECK) == REPORT


def test_reports_of_one_kind_are_none_of_another(tmp_path: Path) -> None:
    (path,) = write_reports(REPORT, str(tmp_path), ["json"])
    with pytest.raises(InputError, match=r"tcp_drift_compare: .*not a drift report .*name a drift\.json"):
        read_report(path, DRIFT_CHECK)
    assert files(HEALTH_CHECK)["html"] == "health.html"


def test_what_there_is_too_little_to_judge_by_now_is_not_gone() -> None:
    later = {**answers(), "cloud2": said(a_look({**QUIET, "retransmitted": 30}))}
    found = compare(REPORT, health_report(later))
    assert [finding.key for finding in found.gone] == []
    mended = {**answers(), "cloud2": said(a_look(BUSY))}
    assert [finding.key for finding in compare(REPORT, health_report(mended)).gone] == ["retransmission"]


def cases(name: str) -> dict[str, str]:
    """The outcome of each case of a suite."""
    suites = ET.fromstring(_report_junit.render(REPORT))
    (suite,) = [suite for suite in suites if suite.get("name") == name]
    found = {str(case.get("name")): case[0].tag if len(case) else "passed" for case in suite.findall("testcase")}
    assert suite.get("tests") == str(len(found))
    assert suite.get("skipped") == str(list(found.values()).count("skipped"))
    return found


def test_a_case_of_junit_is_skipped_where_there_is_too_little() -> None:
    assert cases("cloud3") == {
        "client success": "skipped",
        "server success": "skipped",
        "retransmission": "skipped",
        "SYN retransmission": "passed",
        "RTT to cloud": "skipped",
        "host": "passed",
    }
    assert cases("cloud2")["retransmission"] == "failure"
    assert cases("cloud2")["RTT to cloud"] == "passed"
    assert cases("edge1") == {"host": "error"}
    assert cases("group cloud")["retransmission"] == "failure"
    assert cases("group cloud")["client success"] == "passed"


class Counting(tuple[HostMeasure, ...]):
    """Counts how often it is gone through."""

    times = 0

    def __iter__(self) -> Iterator[HostMeasure]:
        Counting.times += 1
        return super().__iter__()


def test_what_was_measured_is_not_gone_through_for_each_host_again() -> None:
    """Of 10,000 hosts there are 50,000 measures: that would be minutes."""
    report = health_report({"h%d" % each: said(a_look(BUSY)) for each in range(50)})
    Counting.times = 0
    _report_junit.render(replace(report, measures=Counting(report.measures)))
    assert 0 < Counting.times < 5


def test_the_markdown_has_the_lines_and_no_word_of_drift() -> None:
    text = _report_markdown.render(REPORT)
    assert text.startswith("### TCP health: 3 of 5 hosts within targets")
    assert "| group | indicator | measured | target | verdict | hosts |" in text
    assert "| **not met** |" in text
    assert "|  |  | what | hosts | target | measured |" in text
    assert "drift" not in text.lower()


def test_sarif_has_the_rules_of_this_check() -> None:
    run = json.loads(_report_sarif.render(REPORT))["runs"][0]
    names = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    for result in run["results"]:
        assert names[result["ruleIndex"]] == result["ruleId"]
    assert set(names) >= {rule.id for rule in rules.HEALTH_RULES}
    assert "sysctl-running" not in names
    assert run["automationDetails"]["id"].startswith("netfleet.tcp/health/")
    (loss,) = [result for result in run["results"] if result["ruleId"] == rules.HEALTH_RETRANSMISSION]
    assert "Target less than 0.5 %, measured 2.911 %" in loss["message"]["text"]


def test_the_page_gets_what_was_measured() -> None:
    data = _report_html.page_data(REPORT)
    assert data["meta"]["statuses"]["drift"] == "outside targets"
    assert len(data["measures"]["groups"]) == len(REPORT.groups)
    place = [host.name for host in REPORT.hosts].index("cloud3")
    assert data["measures"]["few"][place] == ["client_success", "server_success", "retransmission", "rtt"]
    assert data["measures"]["hosts"][-1] == [], "nothing was measured on a host that is lost"


def test_each_kind_names_the_rules_and_subjects_of_its_findings() -> None:
    for kind in KINDS.values():
        assert len({rule.id for rule in kind.rules}) == len(kind.rules)
        assert {rules.HOST_UNREACHABLE, rules.HOST_FAILED} <= {rule.id for rule in kind.rules}
        # A diagnosis is asked for: what it finds nobody tolerates beforehand.
        assert (rules.WAIVER_EXPIRED in {rule.id for rule in kind.rules}) is (kind.name != "diagnose")
        assert kind.subjects[-1] == "host"
