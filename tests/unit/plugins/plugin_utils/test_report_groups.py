# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netfleet.tcp.plugins.module_utils import _rules as rules
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding, Waiver
from ansible_collections.netfleet.tcp.plugins.plugin_utils import _report_groups as shared
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import DRIFT, UNREACHABLE, HostState, Report
from tests.unit.plugins.plugin_utils.sample_report import large_report, small_report

ANY_TEXT = st.text(st.characters(), max_size=40)
ONE = Finding("sysctl", "k", "error", "r", "1", "2", "1", "f:1", rule=rules.SYSCTL_RUNNING, owner="o", host="web1")


def on(finding: Finding, *hosts: str) -> list[Finding]:
    return [replace(finding, host=host) for host in hosts]


def report_of(*findings: Finding, status: str = DRIFT) -> Report:
    hosts = tuple(HostState(name, status) for name in dict.fromkeys(finding.host for finding in findings))
    return Report("2026-11-22T06:00:01Z", "2026-11-22T06:00:09Z", "warning", hosts, findings)


def test_the_same_fault_is_one_group_with_its_hosts_in_natural_order() -> None:
    groups = shared.grouped(on(ONE, "web10", "web2", "web1"))
    assert [group.hosts for group in groups] == [("web1", "web2", "web10")]


@pytest.mark.parametrize(
    "field", ["rule", "subject", "key", "intended", "running", "boot", "source", "owner", "reason"]
)
def test_what_makes_another_group(field: str) -> None:
    changed: dict[str, Any] = {field: "route" if field == "subject" else "another"}
    other = replace(ONE, host="web2", **changed)
    assert [len(group.hosts) for group in shared.grouped([ONE, other])] == [1, 1]


@pytest.mark.parametrize("field", ["cure", "takes_effect", "severity"])
def test_what_does_not(field: str) -> None:
    changed: dict[str, Any] = {field: "note" if field == "severity" else "another"}
    other = replace(ONE, host="web2", **changed)
    (group,) = shared.grouped([other, ONE])
    assert group.finding.severity == "error"
    assert group.hosts == ("web1", "web2")


def test_groups_are_sorted_by_severity_then_by_hosts() -> None:
    findings = on(replace(ONE, key="few"), "a") + on(replace(ONE, key="many"), "a", "b")
    findings = on(replace(ONE, key="warned", severity="warning"), "a", "b", "c") + findings
    assert [group.finding.key for group in shared.grouped(findings)] == ["many", "few", "warned"]


def test_a_topic_holds_all_values_of_a_key() -> None:
    findings = on(ONE, "a") + on(replace(ONE, running="3"), "b", "c") + on(replace(ONE, key="l"), "a")
    first, second = shared.topics(findings)
    assert first.hosts == ("a", "b", "c")
    assert [group.finding.running for group in first.groups] == ["3", "2"]
    assert first.common(lambda finding: finding.intended)
    assert not first.common(lambda finding: finding.running)
    assert second.finding.key == "l"


def test_hosts_that_failed_alike_are_one_group() -> None:
    names = ("web1", "web11", "a.b")
    lost = [Finding("host", n, "error", "no answer from %s (%s)." % (n, n), rule="host-failed", host=n) for n in names]
    (group,) = shared.grouped(lost)
    assert (group.finding.key, group.finding.reason) == ("", "no answer from <host> (<host>).")
    assert group.hosts == ("a.b", "web1", "web11")


def test_what_is_said_of_several_hosts_in_the_same_words_is_shown_in_these() -> None:
    reason = "tcp_health_peers.backup[0]: '192.0.2.0/33' is no prefix (such as 10.0.0.0/8)"
    lost = [Finding("host", name, "error", reason, rule="host-failed", host=name) for name in ("a", "b")]
    (group,) = shared.grouped(lost)
    assert (group.finding.key, group.finding.reason) == ("", reason)


def test_a_single_host_keeps_its_name_in_the_reason() -> None:
    lost = Finding("host", "web1", "error", "ssh: to web1: refused", rule="host-failed", host="web1")
    assert shared.grouped([lost])[0].finding == lost


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        ("192.0.2.1", "192.0.2.22", "<address>"),
        ("2001:db8::1", "2001:db8::22", "<address>"),
        ("::1", "fe80::a:b", "<address>"),
        ("192.0.2.1:22", "192.0.2.2:22", "<address>:22"),
        ("192.0.2.1.", "192.0.2.2.", "<address>."),
        # No addresses: these are two faults.
        ("12:03:04", "12:03:05", None),
        ("1.2.3", "1.2.4", None),
        ("999.0.0.1", "999.0.0.2", None),
        ("OpenSSH_9.2.3.4p1", "OpenSSH_9.2.3.5p1", None),
    ],
)
def test_the_same_fault_at_two_addresses_is_one(one: str, other: str, told: str | None) -> None:
    reason = "ssh: connect to %s port 22: timed out"
    lost = [
        Finding("host", "", "error", reason % address, rule="host-unreachable", host=name)
        for name, address in (("a", one), ("b", other))
    ]
    groups = shared.grouped(lost)
    assert [group.finding.reason for group in groups] == (
        [reason % told] if told else [reason % address for address in (one, other)]
    )


@pytest.mark.parametrize("text", [":" * 100000 + "!", "1:" * 50000 + "!", "1." * 50000 + "x", "f" * 100000])
def test_what_a_host_says_cannot_hold_the_report_up(text: str) -> None:
    lost = [Finding("host", "", "error", text, rule="host-failed", host=name) for name in ("a1", "b2")]
    assert len(shared.grouped(lost)) == 1


def test_a_name_within_another_word_is_left_alone() -> None:
    reason = "no route to %s via web11-gw"
    lost = [Finding("host", name, "error", reason % name, rule="host-failed", host=name) for name in ("web1", "b")]
    (group,) = shared.grouped(lost)
    assert group.finding.reason == "no route to <host> via web11-gw"


def test_what_counts_what_does_not_and_who_was_not_asked() -> None:
    report = small_report()
    assert {finding.host for finding in shared.drift(report)} == {"cloud1", "cloud2", "cloud10"}
    assert {finding.rule for finding in shared.notes(report)} == {rules.SYSCTL_SHADOW}
    assert [finding.host for finding in shared.unasked(report)] == ["edge2", "edge3"]
    assert [len(findings) for findings in shared.waived(report).values()] == [1]
    said = len(shared.drift(report)) + len(shared.notes(report)) + len(shared.unasked(report)) + 1
    assert said == len(report.findings)


def test_a_host_that_was_not_asked_is_named_though_no_finding_says_why() -> None:
    report = Report("", "", "warning", (HostState("web1", UNREACHABLE),), ())
    (finding,) = shared.unasked(report)
    assert (finding.host, finding.rule, finding.reason) == ("web1", rules.HOST_UNREACHABLE, "no reason was given")


def test_waivers_are_listed_by_reason_and_day() -> None:
    first, second = Waiver("vendor", "2027-01-31"), Waiver("vendor", "2027-02-28")
    findings = [replace(ONE, waiver=first), *on(replace(ONE, waiver=second), "b", "c")]
    assert {key: len(found) for key, found in shared.waived(report_of(*findings)).items()} == {
        ("vendor", "2027-02-28"): 2,
        ("vendor", "2027-01-31"): 1,
    }


def test_summary() -> None:
    assert shared.summary(small_report()) == "3 of 8 hosts in step, 3 drifted, 2 could not be asked"


def test_where_nothing_sets_a_value_at_boot_this_is_said() -> None:
    boot = replace(ONE, rule=rules.SYSCTL_BOOT, boot=None)
    assert shared.values(boot)[-1] == ("next boot", "nothing")
    assert [name for name, _value in shared.values(replace(ONE, boot=None))] == ["intended", "running"]


def test_a_rule_that_is_not_known_is_shown_by_its_name() -> None:
    assert shared.title(replace(ONE, rule="new-rule")) == "new-rule"
    assert shared.title(replace(ONE, rule=""))


@pytest.mark.parametrize(
    ("names", "width", "text"),
    [
        (["a"], 80, "a"),
        (["a", "b"], 80, "a, b"),
        (["h%d" % n for n in range(8)], 80, "h0, h1, h2, h3, h4, h5, h6, h7"),
        (["web%d" % n for n in range(1000)], 80, "web0, web1, web2, web3, web4, web5, ... and 994 more (1000 hosts)"),
        (["web%d" % n for n in range(1000)], 40, "web0, ... and 999 more (1000 hosts)"),
        (["web%d" % n for n in range(1000)], 20, "web0 and 999 more"),
        (["w" * 50], 20, "w" * 17 + "..."),
        (["w" * 50, "x"], 20, "wwwwww... and 1 more"),
    ],
)
def test_host_names(names: list[str], width: int, text: str) -> None:
    assert shared.host_names(names, width) == text


def test_natural_order() -> None:
    assert shared.natural_order(["web10", "web2", "db", "web2b", "web2"]) == ("db", "web2", "web2b", "web10")
    assert len(shared.natural_order(["web" + "9" * 5000, "web1", "²", ""])) == 4


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("4096\t131072\t67108864", "4096 131072 67108864"),
        ("a\nb", "a\\nb"),
        ("\x1b[31m", "\\x1b[31m"),
        ("x\u202ey", "x\\u202ey"),
        ("\udcff", "\\udcff"),
        ("\ud800", "\\ud800"),
        ("\ufffe", "\\ufffe"),
        ("", "(empty)"),
        ("  ", '"  "'),
        ("\t", '" "'),
        ("\n", '"\\n"'),
        ("déjà vu", "déjà vu"),
    ],
)
def test_visible(text: str, shown: str) -> None:
    assert shared.visible(text) == shown


@given(ANY_TEXT)
def test_what_is_visible_is_one_line_that_can_be_written_and_stays_as_it_is(text: str) -> None:
    shown = shared.visible(text)
    assert shown.isprintable()
    assert shown.strip()
    assert shown.encode("utf-8")
    assert shared.visible(shown) == shown


@given(st.text(st.characters(), max_size=1500))
def test_what_is_storable_can_be_written_and_is_short(text: str) -> None:
    stored = shared.storable(text)
    assert len(stored) <= shared.LONGEST
    assert stored.encode("utf-8").decode("utf-8") == stored


def test_a_large_fleet_becomes_few_topics() -> None:
    report = large_report(hosts=200, findings=4000)
    topics = shared.topics(shared.drift(report))
    assert len(topics) < 40
    assert sum(len(topic.hosts) for topic in topics) == len(shared.drift(report))
