# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files

import pytest
from hypothesis import given, settings

from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import UNREACHABLE, HostState, Report
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_junit import render
from tests.unit.plugins.plugin_utils.sample_health import health_report
from tests.unit.plugins.plugin_utils.sample_report import (
    clean_report,
    compared_report,
    hostile_report,
    large_report,
    small_report,
)
from tests.unit.plugins.plugin_utils.test_report_groups import ANY_TEXT

# What Jenkins' xunit plugin allows (its schema junit-10.xsd): attributes and elements of each element.
JENKINS = {
    "testsuites": ({"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors", "group", "time", "skipped", "timestamp", "hostname", "id", "package"}
        | {"file", "log", "url"},
        {"testsuite", "properties", "testcase", "system-out", "system-err"},
    ),
    "testcase": ({"name", "time", "classname", "group"}, {"skipped", "error", "failure", "system-out", "system-err"}),
    "properties": (set(), {"property"}),
    "property": ({"name", "value"}, set()),
    "failure": ({"type", "message"}, set()),
    "error": ({"type", "message"}, set()),
    "skipped": ({"type", "message"}, set()),
    "system-out": (set(), set()),
    "system-err": (set(), set()),
}


@pytest.fixture(scope="module")
def ant() -> Callable[[str], list[str]]:
    """What the schema of Ant's reports, the strictest that there is, finds wrong with a document."""
    etree = pytest.importorskip("lxml.etree", reason="lxml is in .venv (requirements/dev.in) only")
    pytest.importorskip("reframe", reason="reframe-hpc, which ships the schema, is in .venv (requirements/dev.in) only")
    schema = etree.XMLSchema(etree.fromstring((files("reframe") / "schemas" / "junit.xsd").read_bytes()))

    def check(text: str) -> list[str]:
        schema.validate(etree.fromstring(text.encode("utf-8")))
        return [str(error) for error in schema.error_log]

    return check


def suite(report: Report, host: str) -> ET.Element:
    (found,) = [one for one in ET.fromstring(render(report)) if one.get("name") == host]
    return found


def outcomes(report: Report, host: str) -> dict[str | None, str]:
    """What became of each test case of a host."""
    return {case.get("name"): next((child.tag for child in case), "passed") for case in suite(report, host)[1:-2]}


def test_a_host_in_step_has_passed_in_all_that_was_compared() -> None:
    cases = outcomes(clean_report(), "cloud1")
    assert list(cases) == ["sysctl", "congestion_control", "module", "qdisc", "route", "file", "owner", "host"]
    assert set(cases.values()) == {"passed"}


def test_what_counts_is_a_failure_what_is_waived_is_skipped_a_note_is_neither() -> None:
    report = small_report()
    assert Counter(outcomes(report, "cloud2").values()) == {"passed": 5, "failure": 3}
    assert outcomes(report, "cloud2")["congestion_control"] == "failure"
    assert outcomes(report, "edge1")["sysctl"] == "skipped"
    assert outcomes(report, "local1")["sysctl"] == "passed"
    assert "net.core.somaxconn" in (suite(report, "local1").findtext("system-out") or "")


def test_a_host_that_could_not_be_asked_is_an_error() -> None:
    for host in ("edge2", "edge3"):
        assert outcomes(small_report(), host) == {"host": "error"}
    error = suite(small_report(), "edge2").find("testcase/error")
    assert error is not None
    assert error.get("type") == "unreachable"
    assert "Connection timed out" in (error.text or "")


def test_a_host_that_could_not_be_asked_is_an_error_though_no_finding_says_why() -> None:
    report = Report("2026-11-22T06:00:01Z", "", "warning", (HostState("web1", UNREACHABLE),), ())
    assert outcomes(report, "web1") == {"host": "error"}


def test_a_failure_says_all_that_is_known() -> None:
    failure = suite(small_report(), "cloud1").find("testcase/failure")
    assert failure is not None
    assert failure.get("message") == "error: net.ipv4.tcp_fin_timeout: the kernel runs another value (and 1 more)"
    assert (failure.text or "").split("\n\n")[1].split("\n") == [
        "error: net.ipv4.tcp_rmem: the next boot would set another value",
        "  intended: 4096 131072 67108864",
        "  running: 4096 131072 67108864",
        "  next boot: 4096 87380 6291456",
        "  file: /etc/sysctl.d/99-vendor agent.conf:3",
        "  owner: package vendor-agent",
        "  why: /etc/sysctl.d/99-vendor agent.conf:3 sets 4096 87380 6291456 and wins at the next boot",
        "  cure: take the line out of the file, or declare the value (takes effect at the next boot)",
    ]


def test_a_waiver_says_until_when_and_why() -> None:
    skipped = suite(small_report(), "edge1").find("testcase/skipped")
    assert skipped is not None
    assert "  waived until 2027-01-31: the vendor's agent needs it" in (skipped.text or "")


def test_counts_of_a_suite_are_those_of_its_cases() -> None:
    for one in ET.fromstring(render(small_report())):
        for attribute, path in (
            ("tests", "testcase"),
            ("failures", "testcase/failure"),
            ("errors", "testcase/error"),
            ("skipped", "testcase/skipped"),
        ):
            assert one.get(attribute) == str(len(one.findall(path)))


def test_no_two_cases_have_one_name() -> None:
    # GitLab takes the first of two with the same classname and name, and drops the other.
    cases = ET.fromstring(render(large_report(hosts=50, findings=1000))).iter("testcase")
    assert max(Counter((case.get("classname"), case.get("name")) for case in cases).values()) == 1


def test_properties() -> None:
    found = {one.get("name"): one.get("value") for one in suite(small_report(), "edge1").iter("property")}
    assert found["status"] == "in_step"
    assert found["groups"] == "edge paris"
    assert found["checked sysctl"] == "24"


REPORTS = {
    "health": health_report(groups=("databases",)),
    "clean": clean_report(),
    "small": small_report(),
    "compared": compared_report(),
    "hostile": hostile_report(),
    "large": large_report(hosts=50, findings=1000),
    "empty": replace(clean_report(), hosts=()),
}


@pytest.mark.parametrize("name", REPORTS)
def test_the_schema_of_ant_is_met(ant: Callable[[str], list[str]], name: str) -> None:
    assert ant(render(REPORTS[name])) == []


def test_the_schema_of_ant_refuses_what_is_wrong(ant: Callable[[str], list[str]]) -> None:
    assert ant(render(small_report()).replace("<failure ", "<fault ").replace("</failure>", "</fault>"))


@pytest.mark.parametrize("name", REPORTS)
def test_the_schema_of_jenkins_is_met(name: str) -> None:
    for element in ET.fromstring(render(REPORTS[name])).iter():
        attributes, children = JENKINS[element.tag]
        assert set(element.attrib) <= attributes
        assert {child.tag for child in element} <= children


def test_hostile_values_are_text() -> None:
    text = render(hostile_report())
    assert max(len(line) for line in text.split("\n")) < 5000
    assert "\\x1b[31mred" in text
    assert "lone \\ud800 surrogate" in text
    assert "right \\u202eto left" in text
    assert "&lt;!-- &lt;![CDATA[ ]]&gt; --&gt;" in text


@settings(max_examples=40)
@given(value=ANY_TEXT)
def test_any_value_makes_a_document_that_meets_the_schema(ant: Callable[[str], list[str]], value: str) -> None:
    assert ant(render(hostile_report((value, value, value, value), host=value))) == []
