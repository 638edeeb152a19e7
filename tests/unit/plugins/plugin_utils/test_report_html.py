# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTML report as text: what goes into it, and that nothing gets out of its place. How it looks and works in a
browser is tested in tests/browser.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections import Counter
from dataclasses import fields, replace
from html.parser import HTMLParser
from typing import Any, Dict, List, Optional, Tuple

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding, Waiver
from ansible_collections.netfleet.tcp.plugins.plugin_utils import _report_html
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import (
    FAILED,
    IN_STEP,
    UNREACHABLE,
    HostState,
    Report,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_html import page_data, render, summary, visible
from tests.unit.plugins.plugin_utils.sample_report import (
    HOSTILE,
    clean_report,
    compared_report,
    hostile_report,
    large_report,
    small_report,
)


class Page(HTMLParser):
    """A page as a browser takes it apart: each element's attributes, and the text of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: List[Tuple[str, Dict[str, Optional[str]]]] = []
        self.raw: List[Tuple[str, Dict[str, Optional[str]], str]] = []
        self.words = ""
        self._open: Optional[str] = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: List[Tuple[str, Optional[str]]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._open = tag
            self.raw.append((tag, dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == self._open:
            self._open = None

    def handle_data(self, data: str) -> None:
        if self._open is None:
            self.words += data
        else:
            tag, attributes, text = self.raw[-1]
            self.raw[-1] = (tag, attributes, text + data)

    def text_of(self, tag: str, **attributes: str) -> str:
        """The text of the only such element."""
        (found,) = [text for name, has, text in self.raw if name == tag and has == attributes]
        return found

    @property
    def policy(self) -> Dict[str, str]:
        """The content security policy, by directive."""
        (text,) = [
            has["content"] or "" for tag, has in self.elements if has.get("http-equiv") == "Content-Security-Policy"
        ]
        return {part.split()[0]: " ".join(part.split()[1:]) for part in text.split(";")}


def findings_in(data: Dict[str, Any]) -> "Counter[Tuple[Any, ...]]":
    """The findings that the page's data speaks of, read as model.js reads them."""
    texts, columns = data["texts"], data["faults"]

    def text(index: int) -> Optional[str]:
        return None if index < 0 else texts[index]

    found: Counter[Tuple[Any, ...]] = Counter()
    for fault, host, change in zip(*(data["findings"][name] for name in ("fault", "host", "change"))):
        waiver = columns["waiver"][fault]
        fields = tuple(text(columns[name][fault]) for name in _report_html.TEXT_FIELDS)
        waived = waiver and (text(waiver[0]), text(waiver[1]))
        found[(text(data["hosts"]["name"][host]), change, waived, *fields)] += 1
    return found


def expected(finding: Finding, change: str) -> Tuple[Any, ...]:
    waiver = finding.waiver
    texts = (getattr(finding, name) for name in _report_html.TEXT_FIELDS)
    return (
        visible(finding.host),
        change,
        (visible(waiver.reason), visible(waiver.expires)) if waiver else None,
        *(None if text is None else visible(text) for text in texts),
    )


@pytest.mark.parametrize(
    "report", [clean_report(), small_report(), hostile_report(), large_report(40, 900)], ids=lambda r: len(r.findings)
)
def test_every_finding_is_in_the_data_with_all_its_fields(report: Report) -> None:
    data = json.loads(json.dumps(page_data(report)))
    assert findings_in(data) == Counter(expected(finding, "0") for finding in report.findings)


def test_no_field_of_a_finding_is_left_out() -> None:
    assert {*_report_html.TEXT_FIELDS, "host", "waiver"} == {field.name for field in fields(Finding)}


def test_a_comparison_marks_findings_as_new_still_there_and_gone() -> None:
    report = compared_report()
    assert report.comparison is not None
    changes = [(finding, "1") for finding in report.comparison.new]
    changes += [(finding, "2") for finding in report.comparison.still]
    changes += [(finding, "3") for finding in report.comparison.gone]
    changes += [(finding, "0") for finding in report.findings if finding.waiver]
    assert {change for _, change in changes} == {"0", "1", "2", "3"}
    data = page_data(report)
    assert findings_in(data) == Counter(expected(finding, change) for finding, change in changes)
    assert data["meta"]["earlier"] == report.comparison.earlier


def test_findings_stand_in_the_order_of_hosts_also_those_that_are_gone() -> None:
    hosts = page_data(compared_report())["findings"]["host"]
    assert hosts == sorted(hosts)


def test_hosts_keep_their_state() -> None:
    report = small_report()
    hosts = page_data(report)["hosts"]
    texts = page_data(report)["texts"]
    assert hosts["asked"] == len(report.hosts)
    for index, host in enumerate(report.hosts):
        assert hosts["status"][index] == host.status
        assert texts[hosts["profile"][index]] == host.profile
        assert [texts[group] for group in hosts["groups"][index]] == list(host.groups)
        assert hosts["checks"][hosts["checked"][index]] == host.checked


def test_a_finding_of_a_host_that_was_not_checked_names_it_behind_the_others() -> None:
    report = small_report()
    stranger = replace(report.findings[0], host="stranger")
    data = page_data(replace(report, findings=(*report.findings, stranger)))
    assert data["hosts"]["asked"] == len(report.hosts)
    assert [data["texts"][name] for name in data["hosts"]["name"][len(report.hosts) :]] == ["stranger"]


def test_the_same_fault_of_many_hosts_stands_once() -> None:
    one = small_report().findings[0]
    hosts = tuple(HostState("h%d" % number, IN_STEP) for number in range(500))
    findings = tuple(replace(one, host=host.name) for host in hosts)
    data = page_data(replace(small_report(), hosts=hosts, findings=findings))
    assert len(data["faults"]["key"]) == 1
    assert len(data["findings"]["fault"]) == 500


def test_a_waiver_makes_another_fault() -> None:
    one = small_report().findings[0]
    waived = replace(one, waiver=Waiver("known", "2027-01-31"))
    data = page_data(replace(small_report(), findings=(one, waived)))
    assert len(data["faults"]["key"]) == 2


def test_twenty_thousand_findings_stay_below_three_megabytes_even_if_no_two_have_a_value_in_common() -> None:
    report = large_report()
    assert len(report.findings) == 20000
    odd = tuple(
        replace(finding, running="value %d" % index, reason="was set to value %d after the last run" % index)
        for index, finding in enumerate(report.findings)
    )
    assert len(render(report).encode()) < 1_000_000
    assert len(render(replace(report, findings=odd)).encode()) < 3_000_000


def test_no_value_leaves_its_place_in_the_page() -> None:
    plain, hostile = Page(render(small_report())), Page(render(hostile_report()))
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in plain.elements]
    data = hostile.text_of("script", type="application/json", id="data")
    assert not re.search(r"[<>&\u2028\u2029]|[^\x00-\x7f]", data)
    texts = json.loads(data)["texts"]
    for value in HOSTILE:
        assert visible(value) in texts
    # No value that a host chose is anywhere else.
    assert hostile.text_of("script") == plain.text_of("script")
    assert "octocat" not in hostile.words


def test_an_expression_of_the_template_in_a_value_is_text() -> None:
    report = replace(small_report(), findings=(replace(small_report().findings[0], key="{{script}} {{policy}}"),))
    data = json.loads(Page(render(report)).text_of("script", type="application/json", id="data"))
    assert "{{script}} {{policy}}" in data["texts"]


def test_the_policy_allows_this_style_and_this_script_and_nothing_else() -> None:
    page = Page(render(small_report()))

    def hashed(text: str) -> str:
        return "'sha256-%s'" % base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode()

    assert page.policy == {
        "default-src": "'none'",
        "style-src": hashed(page.text_of("style")),
        "script-src": hashed(page.text_of("script")),
        "base-uri": "'none'",
        "form-action": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }


def test_the_policy_stands_before_all_that_it_governs() -> None:
    tags = [
        tag for tag, has in Page(render(small_report())).elements if tag in ("style", "script") or "http-equiv" in has
    ]
    assert tags == ["meta", "style", "script", "script"]


def test_the_page_names_nothing_outside_itself() -> None:
    page = Page(render(small_report()))
    for tag, has in page.elements:
        assert not {"src", "srcset", "style", "action", "data"} & set(has), tag
        assert has.get("href", "#") == "#list" or "href" not in has
        assert not [name for name in has if name.startswith("on")]
    assert not re.search(r"url\(|@import|https?:", page.text_of("style") + page.text_of("script"))


def test_the_script_takes_no_text_for_html_or_code() -> None:
    script = Page(render(small_report())).text_of("script")
    sinks = r"\.(?:inner|outer)HTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc|DOMParser"
    assert not re.search(sinks, script)


def test_every_part_of_the_page_is_used_and_has_unix_line_ends() -> None:
    used = {*_report_html.SCRIPTS, *_report_html.STYLES, "page.html"}
    assert used == set(os.listdir(_report_html.PARTS))
    for name in used:
        with open(os.path.join(_report_html.PARTS, name), "rb") as handle:
            assert b"\r" not in handle.read(), name


def test_the_same_report_gives_the_same_page() -> None:
    assert render(compared_report()) == render(compared_report())


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "plain"),
        ("4096\t131072\t67108864", "4096\t131072\t67108864"),
        ("a\nb\x00", "a\\nb\\x00"),
        ("right \u202eto left", "right \\u202eto left"),
        ("\u2028", "\\u2028"),
        ("\ud800", "\\ud800"),
        ("Grüße \U0001f600", "Grüße \U0001f600"),
        ("", ""),
        ("x" * 1000, "x" * 1000),
        ("x" * 1234, "x" * 1000 + "… (234 characters more)"),
    ],
)
def test_what_does_not_show_shows_as_escapes(value: str, shown: str) -> None:
    assert visible(value) == shown
    render(replace(small_report(), findings=(replace(small_report().findings[0], key=value),))).encode("utf-8")


def test_the_summary_names_what_there_is() -> None:
    assert summary(clean_report()) == "2 of 2 hosts in step"
    assert summary(small_report()) == "3 of 8 hosts in step, 3 drifted, 1 could not be asked, 1 could not be judged"
    hosts = (HostState("a", UNREACHABLE), HostState("b", FAILED))
    assert summary(replace(clean_report(), hosts=hosts)) == (
        "0 of 2 hosts in step, 1 could not be asked, 1 could not be judged"
    )


def test_the_page_says_its_outcome_without_javascript_too() -> None:
    assert summary(small_report()) in Page(render(small_report())).words


def test_an_unknown_rule_is_no_error() -> None:
    odd = replace(small_report().findings[0], rule="of-a-later-version")
    data = page_data(replace(small_report(), findings=(odd,)))
    assert data["rules"] == {}
    assert "of-a-later-version" in data["texts"]
