# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given

from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import FAILED, Comparison, HostState, Report
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_text import lines, render
from tests.unit.plugins.plugin_utils.sample_report import (
    clean_report,
    compared_report,
    hostile_report,
    large_report,
    small_report,
)
from tests.unit.plugins.plugin_utils.test_report_groups import ANY_TEXT

STYLES = {"title", "changed", "ok", "failed", "plain"}


def entry(report: Report, start: str) -> list[str]:
    """The lines of the entry whose head starts so, stripped."""
    (block,) = [block for block in render(report).split("\n\n") if block.startswith(start)]
    return [line.strip() for line in block.split("\n")]


def test_all_well_is_one_line() -> None:
    assert list(lines(clean_report())) == [("ok", "2 of 2 hosts in step, 0 drifted, 0 could not be asked")]


def test_all_well_with_notes_and_waivers_names_the_waivers() -> None:
    report = small_report()
    quiet = replace(
        report,
        hosts=tuple(host for host in report.hosts if host.status == "in_step"),
        findings=tuple(finding for finding in report.findings if not report.counts(finding)),
    )
    gone = tuple(finding for finding in report.findings if finding.host == "cloud1")
    compared = replace(quiet, comparison=Comparison("2026-11-21T06:00:08Z", gone=gone))
    start = "3 of 3 hosts in step, 0 drifted, 0 could not be asked"
    assert render(quiet).splitlines()[0] == start + " (2 notes, 1 waived)"
    assert [line.split()[0] for line in render(quiet).splitlines()[1:] if line] == ["waived"], "why and until when"
    assert render(compared).splitlines()[0] == start + " (2 notes, 1 waived, 2 gone since 2026-11-21T06:00:08Z)"
    assert [line.split()[0] for line in render(compared).splitlines()[1:] if line] == [
        "waived",
        "since",
        "gone",
        "gone",
    ]


def test_all_well_says_what_it_is_about() -> None:
    report = replace(clean_report(), subjects=("file", "qdisc"))
    assert [text for _style, text in lines(report)] == [
        "2 of 2 hosts in step, 0 drifted, 0 could not be asked; only qdisc, file"
    ]


def test_an_entry_says_all_that_is_known() -> None:
    assert entry(small_report(), "error    net.ipv4.tcp_rmem") == [
        "error    net.ipv4.tcp_rmem: the next boot would set another value (2 hosts)",
        "hosts      cloud1, cloud2",
        "intended   4096 131072 67108864",
        "running    4096 131072 67108864",
        "next boot  4096 87380 6291456",
        "why        /etc/sysctl.d/99-vendor agent.conf:3 sets 4096 87380 6291456 and wins at the next boot",
        "file       /etc/sysctl.d/99-vendor agent.conf:3",
        "owner      package vendor-agent",
        "cure       take the line out of the file, or declare the value (takes effect at the next boot)",
    ]


def test_the_same_key_with_other_running_values_is_one_entry() -> None:
    assert entry(small_report(), "error    net.ipv4.tcp_fin_timeout") == [
        "error    net.ipv4.tcp_fin_timeout: the kernel runs another value (3 hosts)",
        "values     intended 30, next boot 30",
        "found      running 60 on cloud1, cloud2",
        "running 15 on cloud10",
        "file       /etc/sysctl.d/90-netfleet-tcp.conf:12",
        "cure       run tune.yml on the host (takes effect at once)",
    ]


def test_what_differs_beside_values_is_said_for_each() -> None:
    report = small_report()
    finding = next(finding for finding in report.findings if finding.host == "cloud10")
    others = [replace(finding, host="cloud1", owner="service x", source="/a:1"), replace(finding, host="cloud2")]
    found = entry(replace(report, findings=tuple(others)), "error    net.ipv4.tcp_fin_timeout")
    assert found[1:4] == [
        "values     intended 30, running 15, next boot 30",
        "found      /a:1, service x on cloud1",
        "/etc/sysctl.d/90-netfleet-tcp.conf:12, owner not known on cloud2",
    ]


def test_where_only_the_reason_differs_it_is_said_for_each() -> None:
    report = small_report()
    lost = [replace(finding, reason="port %s closed" % finding.host) for finding in report.findings[-2:]]
    lost = [replace(finding, rule="host-failed", reason="no %s" % word) for finding, word in zip(lost, ("a", "b"))]
    found = entry(replace(report, findings=tuple(lost)), "error    hosts could not be judged")
    assert "found      no a on edge2" in found
    assert "no b on edge3" in found


def test_many_values_of_single_hosts_are_summed_up() -> None:
    report = small_report()
    finding = report.findings[2]
    many = [replace(finding, host="h%d" % n, running=str(1000 + n)) for n in range(50)]
    many += [replace(finding, host="common%d" % n) for n in range(30)]
    found = entry(replace(report, findings=tuple(many)), "error    net.ipv4.tcp_fin_timeout")
    assert found[2].startswith("found      running 60 on common0, ")
    assert found[3] == "50 others on 50 hosts"


def test_the_order_the_lost_ones_then_severity_then_number_of_hosts() -> None:
    heads = [text for _style, text in lines(small_report()) if text[:1].strip() and not text.startswith("Drift")]
    assert [head.split()[0] + " " + head.split()[1].rstrip(":") for head in heads] == [
        "error hosts",
        "error hosts",
        "error net.ipv4.tcp_fin_timeout",
        "error net.ipv4.tcp_rmem",
        "error net.ipv4.tcp_congestion_control",
        "warning tuned",
        "warning eth0",
        "warning 10.20.0.0/16",
        "waived 1",
        "note net.core.somaxconn",
        "3 of",
    ]


def test_hosts_that_could_not_be_asked_and_why() -> None:
    found = entry(small_report(), "error    hosts could not be asked")
    assert found[1:] == [
        "host       edge2",
        "why        ssh: connect to host edge2 port 22: Connection timed out",
        "cure       see that the host is up and that ssh answers, then check again",
    ]


def test_of_hosts_that_failed_for_many_reasons_some_are_told() -> None:
    reasons = ["no space left", "no python", "killed", "no tc", "a full disk", "bad sudo", "sudo wants a password"]
    names = ["a%d" % number for number in range(len(reasons))]
    lost = [
        Finding("host", "", "error", reason, rule="host-failed", host=name)
        for name, reason in zip(names, reasons, strict=True)
    ]
    report = replace(small_report(), hosts=tuple(HostState(name, FAILED) for name in names), findings=tuple(lost))
    found = entry(report, "error    hosts could not be judged")
    assert found[0].endswith("(7 hosts)")
    assert sum(reason in line for line in found for reason in reasons) == 5
    assert found[-1] == "2 others on 2 hosts"


def test_comparison() -> None:
    text = render(compared_report())
    assert "dev wg0: a route has its own congestion control (new)\n" in text
    assert entry(compared_report(), "since") == [
        "since    2026-11-21T06:00:08Z: 1 new, 1 gone, 12 still there",
        "new        10.20.0.0/16 dev wg0: a route has its own congestion control on cloud10",
        "gone       net.ipv4.tcp_tw_reuse: the kernel runs another value on local1",
    ]


def test_new_on_some_hosts_only_says_on_how_many() -> None:
    report = compared_report()
    assert report.comparison
    finding = next(finding for finding in report.findings if finding.host == "cloud1")
    compared = replace(report, comparison=replace(report.comparison, new=(finding,)))
    assert entry(compared, "error    net.ipv4.tcp_fin")[0].endswith(" (3 hosts, 1 new)")


def test_a_host_lost_since_is_new() -> None:
    report = compared_report()
    assert report.comparison
    compared = replace(report, comparison=replace(report.comparison, new=report.findings[-2:]))
    assert entry(compared, "error    hosts could not be asked")[0] == "error    hosts could not be asked (new)"


def test_several_hosts_lost_since_are_new() -> None:
    report = compared_report()
    assert report.comparison
    (lost,) = [finding for finding in report.findings if finding.host == "edge2"]
    others = tuple(replace(lost, host=name, key=name, reason="no answer from %s" % name) for name in ("a1", "a2"))
    hosts = tuple(replace(report.hosts[-2], name=name) for name in ("a1", "a2"))
    compared = replace(report, hosts=hosts, findings=others, comparison=replace(report.comparison, new=others))
    assert entry(compared, "error    hosts could not be asked")[:3] == [
        "error    hosts could not be asked (2 hosts, new)",
        "hosts      a1, a2",
        "why        no answer from <host>",
    ]


def test_a_host_that_could_not_be_asked_is_said_though_nothing_drifted() -> None:
    report = small_report()
    lost = replace(report, hosts=report.hosts[5:7], findings=report.findings[-2:-1])
    assert "error    hosts could not be asked\n         host       edge2\n" in render(lost)
    assert render(lost).endswith("\n1 of 2 hosts in step, 0 drifted, 1 could not be asked\n")


@pytest.mark.parametrize(
    ("threshold", "subjects", "end"),
    [
        ("warning", small_report().subjects, "what counts: warnings and worse"),
        ("note", (), "what counts: notes and worse"),
        ("error", ("sysctl", "qdisc"), "what counts: errors; only sysctl, qdisc"),
    ],
)
def test_the_title_says_what_was_checked(threshold: str, subjects: tuple[str, ...], end: str) -> None:
    first = render(replace(small_report(), threshold=threshold, subjects=subjects)).split("\n")[0]
    assert first == "Drift check of 8 hosts, 2026-11-22T06:00:09Z; " + end


def test_a_large_fleet_is_still_read_at_a_terminal() -> None:
    found = list(lines(large_report(hosts=300, findings=6000, compared=True)))
    assert len(found) < 300
    assert {style for style, _text in found} <= STYLES
    assert max(len(text) for _style, text in found) <= 118


def test_very_many_faults_are_cut_and_counted() -> None:
    report = small_report()
    many = [replace(report.findings[2], key="key%d" % n) for n in range(100)]
    text = render(replace(report, findings=tuple(many)))
    assert text.count("\nerror ") == 40 + 2
    assert "and 60 more of these on 1 host, none of them worse" in text


def test_hostile_values_stay_on_their_line() -> None:
    for _style, text in lines(hostile_report()):
        assert text.isprintable()
        assert len(text) <= 118


@given(ANY_TEXT)
def test_any_value_stays_on_its_line(value: str) -> None:
    for _style, text in lines(hostile_report((value, value + "x"))):
        assert text.isprintable()
        assert len(text) <= 118
