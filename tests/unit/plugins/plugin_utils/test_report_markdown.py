# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings

from ansible_collections.netfleet.tcp.plugins.plugin_utils import _report_groups as shared
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import Report
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_markdown import LONGEST, code, prose, render
from tests.unit.plugins.plugin_utils.sample_report import (
    HOSTILE,
    clean_report,
    compared_report,
    hostile_report,
    large_report,
    small_report,
)
from tests.unit.plugins.plugin_utils.test_report_groups import ANY_TEXT

# All that a report consists of; a value that became anything else, or had attributes, would show here.
TAGS = {
    "h3",
    "p",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "code",
    "details",
    "summary",
    "ul",
    "li",
    "br",
    "strong",
}
# What GitHub and GitLab turn into a mention, a reference or a link, wherever it stands outside of code.
LIVE = re.compile(r"@\w|#\d|![0-9]|\$\d|%\w|&\d|~\w|\bGH-\d|://|www\.|:\w+:")


class Page(HTMLParser):
    """What a forge makes of the Markdown: tags, cells of each row, text outside of code."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.rows: list[list[str]] = []
        self.loose = ""
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag != "br":
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.rows and ("td" in self.open or "th" in self.open):
            self.rows[-1][-1] += data
        if "code" not in self.open:
            self.loose += data + "\n"


@pytest.fixture(scope="module")
def page() -> Callable[[Report], Page]:
    """Renders as GitHub does, by its own parser."""
    parser = pytest.importorskip("cmarkgfm", reason="GitHub's Markdown is in .venv (requirements/dev.in) only")

    def made(report: Report) -> Page:
        options = parser.cmark.Options.CMARK_OPT_UNSAFE
        return Page(parser.github_flavored_markdown_to_html(render(report), options=options))

    return made


def test_summary_line_and_table() -> None:
    found = render(compared_report()).split("\n")
    assert found[0] == "### TCP drift: 3 of 8 hosts in step, 3 drifted, 2 could not be asked"
    assert found[2].endswith("Since `2026-11-21T06:00:08Z`: **1 new**, 1 gone, 12 still there.")
    assert (
        "| 4 | error | `net.ipv4.tcp_fin_timeout`: the kernel runs another value | `cloud1`, `cloud2` | `30` | `60` "
        "| `30` | `/etc/sysctl.d/90-netfleet-tcp.conf:12` |"
    ) in found
    assert "| 9 | warning | `10.20.0.0/16 dev wg0`: a route has its own congestion control (**new**) |" in "\n".join(
        found
    )


def test_explanations_waivers_and_notes() -> None:
    text = render(small_report())
    assert (
        "- **2** hosts could not be asked<br>why: ssh: connect to host edge2 port 22: Connection timed out<br>"
        "cure: see that the host is up and that ssh answers, then check again<br>1 host: `edge2`\n"
    ) in text
    assert "module tcp\\_bbr is not loaded<br>" in text
    assert "- waived until `2027-01-31`: 1 finding on 1 host: the vendor's agent needs it" in text
    assert "<summary>Below the threshold: 2 notes</summary>\n\n- `net.core.somaxconn`: " in text


def test_all_well_has_no_table() -> None:
    assert render(clean_report()).split("\n") == [
        "### TCP drift: 2 of 2 hosts in step, 0 drifted, 0 could not be asked",
        "",
        "Checked `2026-11-22T06:00:09Z`; what counts: severity warning and above.",
        "",
    ]


def test_a_large_report_is_cut_and_says_so(page: Callable[[Report], Page]) -> None:
    report = large_report(hosts=400, findings=8000, compared=True)
    text = render(report)
    assert LONGEST * 0.9 < len(text) <= LONGEST
    last = text.rstrip("\n").split("\n")[-1]
    left = re.fullmatch(r"Left out, for a comment holds no more: (\d+) rows\. The JSON report has all\.", last)
    assert left
    rows = [row for row in page(report).rows if row[0]]
    assert [row[0] for row in rows] == [str(number) for number in range(1, len(rows) + 1)]
    assert len(rows) + int(left.group(1)) == len(groups_of(report))


def groups_of(report: Report) -> list[shared.Group]:
    return [*shared.grouped(shared.unasked(report)), *shared.grouped(shared.drift(report))]


def test_names_of_many_hosts_are_cut_and_counted() -> None:
    finding = small_report().findings[2]
    many = replace(small_report(), findings=tuple(replace(finding, host="web%d" % n) for n in range(1000)))
    text = render(many)
    assert "| 1000 hosts |" in text
    shown = re.search(r"1000 hosts: (.*) and (\d+) more\n", text)
    assert shown
    assert len(shown.group(1).split(", ")) + int(shown.group(2)) == 1000
    assert len(text) < 5000


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("net.ipv4.tcp_rmem", "`net.ipv4.tcp_rmem`"),
        ("4096\t87380\t6291456", "`4096 87380 6291456`"),
        ("a|b", "<code>a&#124;b</code>"),
        ("a`b", "<code>a&#96;b</code>"),
        (" a", "<code>&#32;a</code>"),
        ("<b>", "<code>&#60;b&#62;</code>"),
        ("@me", "<code>&#64;me</code>"),
        ("x" * 200, "`%s...`" % ("x" * 117)),
    ],
)
def test_code(text: str, shown: str) -> None:
    assert code(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("was set to 60 (by hand), it's not 30", "was set to 60 (by hand), it's not 30"),
        ("tcp_rmem *", "tcp\\_rmem \\*"),
        ("ask @me", "<code>ask&#32;&#64;me</code>"),
        ("see www.example.net", "<code>see&#32;www&#46;example&#46;net</code>"),
        ("see http://x", "<code>see&#32;http&#58;&#47;&#47;x</code>"),
        ("a :tada: b", "<code>a&#32;&#58;tada&#58;&#32;b</code>"),
    ],
)
def test_prose(text: str, shown: str) -> None:
    assert prose(text) == shown


def check_harmless(found: Page) -> None:
    assert found.tags <= TAGS
    assert {name for name, _value in found.attributes} <= {"align"}
    assert {len(row) for row in found.rows} <= {8}
    assert not LIVE.search(found.loose), found.loose
    assert not found.open


@pytest.mark.parametrize(
    "report", [small_report(), compared_report(), hostile_report()], ids=["small", "compared", "hostile"]
)
def test_nothing_of_a_host_becomes_markup(page: Callable[[Report], Page], report: Report) -> None:
    check_harmless(page(report))
    assert len(render(report)) <= LONGEST
    assert render(report).encode("utf-8")


def test_hostile_values_show_as_they_are(page: Callable[[Report], Page]) -> None:
    cells = [cell for row in page(hostile_report(HOSTILE[:3], host="web1")).rows for cell in row]
    for value in HOSTILE[1:3]:
        assert value in cells


@settings(max_examples=40)
@given(value=ANY_TEXT)
def test_no_value_becomes_markup(page: Callable[[Report], Page], value: str) -> None:
    check_harmless(page(hostile_report((value, value, value))))
