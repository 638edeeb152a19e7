# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The drift report's page: what it shows, and what filters, links and keys do."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qs

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding
from ansible_collections.netfleet.tcp.plugins.module_utils._rules import RULE_INDEX
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import Report
from tests.browser import expected
from tests.browser.conftest import Opener
from tests.browser.page import Keys
from tests.unit.plugins.plugin_utils.sample_health import health_report
from tests.unit.plugins.plugin_utils.sample_report import clean_report, compared_report, small_report

COMPARED = compared_report()
OPEN = expected.open_findings(COMPARED)


def test_the_top_says_how_many_hosts_are_how(show: Opener) -> None:
    page = show(COMPARED)
    for status in ("in_step", "drift", "unreachable", "failed"):
        assert page.text(f"[data-status={status}] b") == str(len(COMPARED.by_status(status)))
    waived = [finding for finding in COMPARED.findings if finding.waiver]
    assert page.text("[data-status=waived] b") == str(len(waived)) == "1"
    assert page.text("h1") == f"{len(COMPARED.by_status('drift'))} of {len(COMPARED.hosts)} hosts drifted, 2 unknown"
    assert COMPARED.comparison is not None
    for change, found in (("new", COMPARED.comparison.new), ("gone", COMPARED.comparison.gone)):
        assert page.text(f"[data-change={change}] b") == str(len(found))
    assert page.text("#head .facts").startswith("Checked2026-11-22 06:00:01 UTC, in 8 seconds")
    assert page.texts(".notice .chip") == ["edge2", "edge3"]


def test_a_fleet_in_step_has_nothing_to_read(show: Opener) -> None:
    page = show(clean_report())
    assert page.text("h1") == "All 2 hosts are in step"
    assert page.text(".nothing") == "Nothing is wrong."
    assert not page.seen(".notice")
    assert not page.seen(".since")


def test_the_same_fault_is_one_row_with_its_number_of_hosts(show: Opener) -> None:
    page = show(COMPARED)
    names = page.js("return [...document.querySelectorAll('.fault .name')].map((name) => name.firstChild.textContent)")
    rows = zip(names, map(int, page.texts(".fault .count b")), strict=True)
    wanted = expected.groups(OPEN)
    titles = {group: group[2] or RULE_INDEX[group[0]].title.capitalize() for group in wanted}
    assert sorted(rows) == sorted((titles[group], hosts) for group, hosts in wanted.items())


def test_rows_stand_in_the_order_of_their_severity(show: Opener) -> None:
    page = show(COMPARED)
    letters = page.texts(".fault > summary > .mark")
    assert letters == sorted(letters, key="EWN".index)
    assert set(letters) == set("EWN")
    assert page.texts(".divide") == ["Below the threshold (warning): no drift"]


def test_a_row_opens_to_values_place_owner_cure_and_hosts(show: Opener) -> None:
    page = show(COMPARED)
    boot = next(finding for finding in OPEN if finding.rule == "sysctl-boot")
    hosts = [finding.host for finding in OPEN if finding.rule == "sysctl-boot"]
    at = page.texts(".fault .key").index(boot.key)
    row = page.js("return document.querySelectorAll('.fault')[arguments[0]].dataset.group", at)
    inside = f"[data-group='{row}'] .inside"
    assert page.text(inside) == ""
    page.click(f"[data-group='{row}'] summary")
    page.wait(lambda: page.text(inside))
    assert page.texts(f"{inside} .values dd") == [boot.intended, boot.running, boot.boot]
    assert page.texts(f"{inside} .values .differs dt") == ["After next boot differs"]
    assert page.texts(f"{inside} .chip.host") == hosts
    assert page.text(f"{inside} .reason") == boot.reason
    fields = dict(zip(page.texts(f"{inside} .fields dt"), page.texts(f"{inside} .fields dd"), strict=True))
    assert fields == {
        "Cure": boot.cure,
        "Takes effect": "after a reboot",
        "Source": boot.source,
        "Owner": boot.owner,
    }
    page.wait(lambda: f"open={row}" in page.fragment)


def test_a_host_opens_to_all_that_was_found_there(show: Opener) -> None:
    page = show(COMPARED)
    page.js("[...document.querySelectorAll('#hosts .row')].find((r) => r.textContent.startsWith('edge1')).click()")
    assert page.text("#details h2") == "edge1"
    waived = next(finding for finding in COMPARED.findings if finding.host == "edge1")
    assert waived.waiver is not None
    assert page.texts("#details .card .key") == [waived.key]
    assert page.text("#details .waiver dd") == f"{waived.waiver.reason} (until {waived.waiver.expires})"
    assert "edge, paris" in page.text("#details .facts")
    assert page.focus == "details"
    page.keys(Keys.ESCAPE)
    assert not page.seen("#details")
    page.driver.back()
    page.click(".notice .chip.host")
    assert page.text("#details h2") == "edge2"
    assert page.text("#details .card .key") == "Could not be asked"


def test_the_map_shows_the_worst_of_each_subject(show: Opener) -> None:
    page = show(COMPARED)
    rows = page.each("#hosts .row:not(.head)", "bdi", ".cell*")
    subjects = (*COMPARED.subjects, "host")
    assert rows == [
        [host.name, *(expected.letter(COMPARED, host, subject) for subject in subjects)] for host in COMPARED.hosts
    ]
    assert len({letter for row in rows for letter in row[1:]}) > 5
    page.click("[data-mode=tiles]")
    assert page.count(".field .cell") == len(COMPARED.hosts)
    label = page.js("return document.querySelector('.field .cell.unasked').getAttribute('aria-label')")
    assert label == "edge2: could not be asked"


COMBINED = ("error", "cloud2", "sysctl")
Test = Callable[[Report, Finding], bool]
FILTERS: dict[str, tuple[str, Test]] = {
    "severity": ("severity=warning", lambda _, f: f.severity == "warning"),
    "severities": ("severity=note,error", lambda _, f: f.severity in ("note", "error")),
    "subject": ("subject=qdisc,owner", lambda _, f: f.subject in ("qdisc", "owner")),
    "rule": ("rule=sysctl-boot", lambda _, f: f.rule == "sysctl-boot"),
    "profile": ("group=profile:cloud", lambda r, f: expected.host_of(r, f).profile == "cloud"),
    "group": ("group=group:paris", lambda r, f: "paris" in expected.host_of(r, f).groups),
    "status": ("status=unreachable,failed", lambda r, f: expected.host_of(r, f).status in ("unreachable", "failed")),
    "new": ("change=new", expected.is_new),
    "still": ("change=still", lambda r, f: not expected.is_new(r, f)),
    "host": ("q=cloud2", lambda _, f: expected.has_word(f, "cloud2")),
    "key": ("q=FIN_timeout", lambda _, f: f.key.endswith("fin_timeout")),
    "file": ("q=50-default.conf", lambda _, f: "50-default.conf" in f.source),
    "owner": ("q=vendor-agent", lambda _, f: "vendor-agent" in f.owner),
    "words": ("q=cloud1+tcp_rmem", lambda _, f: expected.has_word(f, "cloud1") and f.key.endswith("tcp_rmem")),
    "combined": ("severity=error&q=cloud2&subject=sysctl", lambda _, f: (f.severity, f.host, f.subject) == COMBINED),
    "nothing": ("q=no-such-thing", lambda *_: False),
}  # fmt: skip


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_shows_what_it_says(show: Opener, name: str) -> None:
    fragment, fits = FILTERS[name]
    page = show(COMPARED, fragment)
    wanted = [finding for finding in OPEN if fits(COMPARED, finding)]
    assert page.findings == len(wanted) < len(OPEN)
    assert page.count(".fault") == len(expected.groups(wanted))
    page.click("[data-view=findings]")
    assert sorted(page.texts("#rows .host")) == sorted(finding.host for finding in wanted)
    page.click("#reset")
    assert page.findings == len(OPEN)
    assert parse_qs(page.fragment[1:]) == {"view": ["findings"]}


def test_waived_findings_show_when_asked_for(show: Opener) -> None:
    page = show(COMPARED)
    assert "(1 waived not shown)" in page.text("#outcome")
    page.click("#waived")
    assert page.findings == len(COMPARED.findings)
    page.click("[data-status=waived]")
    assert page.findings == 1
    assert page.texts(".divide") == ["Waived"]
    assert page.fragment == "#waived=only"


def test_what_is_gone_shows_when_asked_for(show: Opener) -> None:
    page = show(COMPARED)
    (gone,) = expected.gone(COMPARED)
    page.click("[data-change=gone]")
    assert page.findings == 1
    assert page.text(".fault .key") == gone.key
    assert page.texts(".divide") == ["Gone since the earlier report"]


def test_each_choice_says_how_many_findings_it_would_show(show: Opener) -> None:
    page = show(COMPARED, "subject=sysctl&severity=error")
    # A choice of one filter is counted under the other filters, not under its own.
    for severity in ("error", "warning", "note"):
        would = [finding for finding in OPEN if finding.subject == "sysctl" and finding.severity == severity]
        assert page.text(f".chip[data-severity={severity}] small") == str(len(would))
    for subject in ("sysctl", "qdisc", "host"):
        would = [finding for finding in OPEN if finding.subject == subject and finding.severity == "error"]
        assert page.text(f".chip[data-subject={subject}] small") == str(len(would))


def test_filters_on_the_page_and_in_the_address_are_the_same(show: Opener) -> None:
    page = show(COMPARED)
    page.search("cloud")
    page.click(".chip[data-severity=error]")
    page.click(".chip[data-subject=sysctl]")
    page.click("[data-status=drift]")
    page.choose("#rule", "sysctl-running")
    page.choose("#group", "profile:cloud")
    page.choose("#by", "status")
    page.click("[data-mode=tiles]")
    page.click("[data-view=findings]")
    page.click("[data-sort=host]")
    page.click("[data-sort=host]")
    before, outcome, rows = page.fragment, page.text("#outcome"), page.texts("#rows .row")
    assert parse_qs(before[1:]) == {
        "q": ["cloud"],
        "severity": ["error"],
        "subject": ["sysctl"],
        "status": ["drift"],
        "rule": ["sysctl-running"],
        "group": ["profile:cloud"],
        "by": ["status"],
        "map": ["tiles"],
        "view": ["findings"],
        "sort": ["-host"],
    }
    assert len(rows) == 3
    again = show(COMPARED, before[1:])
    assert (again.fragment, again.text("#outcome"), again.texts("#rows .row")) == (before, outcome, rows)
    pressed = again.texts("#filters [aria-pressed=true]")
    assert [text.split()[0].removeprefix("E") for text in pressed] == ["error", "sysctl"]
    assert again.js("return document.getElementById('search').value") == "cloud"


def test_a_link_to_a_host_opens_it_and_back_closes_it(show: Opener) -> None:
    page = show(COMPARED, "host=cloud10")
    assert page.text("#details h2") == "cloud10"
    page.click("#details .close")
    assert not page.seen("#details")
    page.click(".notice .chip.host")
    assert page.seen("#details")
    page.driver.back()
    page.wait(lambda: not page.seen("#details"))


def test_another_fragment_typed_into_the_address_is_followed(show: Opener) -> None:
    page = show(COMPARED)
    page.js("location.hash = 'severity=note'")
    page.wait(lambda: page.findings == 2)


@pytest.mark.parametrize(
    "fragment",
    [
        "severity=fatal&subject=x&status=y&change=z&waived=all",
        "rule=none&group=group:none&host=nobody&open=999&view=q&map=m&by=b&sort=s",
        "%",
        "=&&=",
        "__proto__=x&constructor=y",
    ],
)
def test_what_a_link_names_and_the_report_lacks_is_ignored(show: Opener, fragment: str) -> None:
    assert show(COMPARED, fragment).findings == len(OPEN)


def test_the_page_is_used_by_keyboard(show: Opener) -> None:
    page = show(COMPARED, "map=tiles")
    page.keys("/")
    assert page.focus == "search"
    page.keys("cloud2")
    assert page.findings == len([finding for finding in OPEN if finding.host == "cloud2"])
    page.click("#reset")
    page.js("document.querySelector('.field .cell').focus()")
    page.keys(Keys.ARROW_RIGHT)
    assert page.focus.startswith("local2:")
    page.keys(Keys.ARROW_DOWN)
    assert page.focus.startswith("cloud2:")
    page.keys(Keys.ENTER)
    assert page.text("#details h2") == "cloud2"
    page.keys(Keys.ESCAPE)
    assert page.focus.startswith("cloud2:")


def test_the_table_of_findings_is_used_by_keyboard(show: Opener) -> None:
    page = show(COMPARED, "view=findings")
    page.js("document.getElementById('rows').focus()")
    page.keys(Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ENTER)
    third = OPEN[2]
    assert page.text("#details h2") == third.host
    assert page.text("#details .pointed .key") == third.key


def test_columns_sort(show: Opener) -> None:
    page = show(COMPARED, "view=findings")
    page.click("[data-sort=key]")
    keys = page.texts("#rows .tail:not(.source)")
    assert keys == sorted(finding.key for finding in OPEN)
    page.click("[data-sort=key]")
    assert page.texts("#rows .tail:not(.source)") == sorted((finding.key for finding in OPEN), reverse=True)


def test_who_else_has_it_leads_to_the_row(show: Opener) -> None:
    page = show(COMPARED, "host=cloud1")
    page.click("#details .card > .link")
    assert not page.seen("#details")
    assert page.count(".fault") == 1
    assert page.count(".fault[open] .chip.host") == 3


def test_a_tip_names_the_host_under_the_pointer(show: Opener) -> None:
    page = show(small_report(), "map=tiles")
    tile = page.js("return document.querySelectorAll('.field .cell')[3]")
    tile.click()
    page.keys(Keys.ESCAPE)
    page.js("arguments[0].dispatchEvent(new PointerEvent('pointerover', {bubbles: true}))", tile)
    assert page.text("#tip").startswith("cloud2 drifted")


def test_paper_shows_everything_that_rows_open_to(show: Opener) -> None:
    page = show(COMPARED, "view=findings")
    page.js("dispatchEvent(new Event('beforeprint'))")
    page.media("print")
    assert page.count(".fault[open]") == page.count(".fault") == len(expected.groups(OPEN))
    assert not page.seen("#filters")
    assert not page.seen("#rows")
    assert page.seen(".fault .cure")
    page.js("dispatchEvent(new Event('afterprint'))")
    assert page.count(".fault[open]") == 0


def test_the_page_of_tcp_health_has_a_row_for_each_indicator_and_group(show: Opener) -> None:
    report = health_report(groups=("databases",))
    page = show(report)
    assert page.text("h1") == "1 of 5 hosts outside targets, 1 unknown"
    assert page.text("#head .eyebrow") == "Health report"
    assert "Counts as outside" in page.text("#head .facts")
    assert len(page.texts("#measures tbody tr")) == len(report.groups)
    assert page.texts("#measures tr.outside td.hosts") == ["1 not met (cloud2), 1 met, 1 not enough"]
    assert page.texts("#measures tbody th")[0] == "local"
    assert [head for head in page.texts("#measures tbody th") if head] == ["local", "cloud", "databases"]


def test_what_there_is_too_little_of_is_no_green_cell(show: Opener) -> None:
    page = show(health_report())
    row = "[...document.querySelectorAll('#hosts .row:not(.head)')].find((row) => row.textContent.includes('cloud3'))"
    classes = page.js(f"return [...{row}.querySelectorAll('.cell')].map((cell) => cell.className)")
    assert classes[:5] == ["cell few", "cell few", "cell few", "cell ok", "cell few"]


def test_a_host_opens_to_what_was_measured_on_it(show: Opener) -> None:
    page = show(health_report(), "host=cloud3")
    assert page.text("#details .nothing") == "Nothing is wrong, as far as there is traffic to judge."
    assert page.texts("#details .measures .verdict")[3] == "met"
    assert set(page.texts("#details .measures .verdict")) == {"met", "not enough traffic"}


def test_the_page_of_drift_has_no_indicators(show: Opener) -> None:
    assert not show(COMPARED).seen("#measures")
