# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The drift report's page where it is hardest: hostile values, thousands of hosts, odd windows, no network."""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

import pytest
from selenium.common.exceptions import JavascriptException

from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import Report
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_html import render, visible
from tests.browser import expected
from tests.browser.conftest import Opener
from tests.browser.page import Keys, Page
from tests.unit.plugins.plugin_utils.sample_report import (
    HOSTILE,
    clean_report,
    compared_report,
    hostile_report,
    large_report,
    small_report,
)


@functools.cache
def large() -> Report:
    return large_report(1000, 20000, compared=True)


REPORTS: dict[str, Callable[[], Report]] = {
    "clean": clean_report,
    "small": small_report,
    "compared": compared_report,
    "hostile": hostile_report,
    "large": large,
}


def test_a_hostile_value_shows_as_text(show: Opener) -> None:
    report = hostile_report()
    page = show(report, "waived=show&view=findings")
    elements = "return ['script', 'img', 'iframe', 'a', 'b'].map((tag) => document.querySelectorAll(tag).length)"
    scripts, images, frames, links, _ = page.js(elements)
    assert (scripts, images, frames, links) == (2, 0, 0, 1)
    assert page.findings == len(HOSTILE)
    for finding in report.findings:
        # By its text and not by a fragment: the row is what a reader would click.
        page.js("[...document.querySelectorAll('#rows .row')][arguments[0]].click()", report.findings.index(finding))
        assert page.text("#details h2") == visible(finding.host)
        assert page.text("#details .reason") == visible(finding.reason)
        values = page.texts("#details .values dd")
        assert values == [visible(finding.reason) if finding.reason.strip() else "(empty)"] * 3
        assert page.text("#details .fields .mono dd") == visible(finding.source)
    assert page.js(elements)[:4] == [2, 0, 0, 1]


def test_a_hostile_host_name_survives_the_address(show: Opener) -> None:
    for name in HOSTILE[:5]:
        page = show(hostile_report((name,), host=name))
        page.js("document.querySelector('#hosts .row:not(.head)').click()")
        fragment = page.fragment
        assert page.text("#details h2") == visible(name)
        assert show(hostile_report((name,), host=name), fragment[1:]).text("#details h2") == visible(name)


def test_the_browser_refuses_what_the_policy_forbids(browser: Page, show: Opener) -> None:
    page = show(small_report())
    with pytest.raises(JavascriptException, match="TrustedHTML"):
        page.js("document.body.innerHTML = '<p>x</p>'")
    with pytest.raises(JavascriptException, match="Trusted"):
        page.js("document.body.append(Object.assign(document.createElement('script'), {text: 'window.ran = 1'}))")
    failed = page.driver.execute_async_script(
        "const done = arguments[0]; fetch('http://127.0.0.1:9/').then(() => done(''), (error) => done(String(error)))"
    )
    assert "TypeError" in failed
    assert page.js("return window.ran") is None
    assert any("Content Security Policy" in message for message in browser.console())
    assert not any("127.0.0.1" in request for request in requests_that_left(browser))


def requests_that_left(browser: Page) -> list[str]:
    """Requests of the network's log; those that a policy refused do not stand there."""
    left = browser.requests()
    browser.open(browser.driver.current_url)  # so that the log has the page itself, for the check after the test
    return left


@contextmanager
def served(text: str) -> Iterator[tuple[str, list[str]]]:
    """A page on a web server of the loopback: its address, and the paths that were asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/drift.html", asked
        server.shutdown()
        thread.join()


def test_a_web_server_is_asked_for_the_page_alone(browser: Page) -> None:
    browser.reset()
    with served(render(compared_report())) as (address, asked):
        browser.open(address)
        browser.click(".fault summary")
        browser.click(".chip.host")
        browser.search("cloud")
        assert browser.findings > 0
        assert asked == ["/drift.html"]
    assert browser.requests() == [address]
    assert browser.console() == []


def test_a_thousand_hosts_and_twenty_thousand_findings(show: Opener) -> None:
    report = large()
    page = show(report)
    shown = expected.open_findings(report)
    assert page.findings == len(shown) > 19000
    assert page.count(".field .cell") == 1000
    assert page.count(".fault") == len(expected.groups(shown))
    name = report.by_status("drift")[500].name
    page.search(name)
    wanted = [finding for finding in shown if expected.has_word(finding, name)]
    assert page.findings == len(wanted)
    assert page.count(".field .cell:not(.dim)") == 1
    page.search("")
    page.click(".chip[data-severity=warning]")
    assert page.findings == len([finding for finding in shown if finding.severity == "warning"])
    measured = page.js("return performance.getEntriesByType('measure').map((one) => one.name)")
    assert {"ready", "update"} <= set(measured)


def test_a_long_table_has_only_the_rows_in_sight(show: Opener) -> None:
    report = large()
    shown = expected.open_findings(report)
    page = show(report, "view=findings&map=table")
    assert page.count("#rows .row") < 100
    assert page.count("#hosts .row") < 100
    page.js("document.getElementById('rows').focus()")
    page.keys(Keys.END)
    page.wait(lambda: page.texts("#rows .row .tail:not(.source)")[-1] == shown[-1].key)
    page.keys(Keys.ENTER)
    assert page.text("#details h2") == shown[-1].host
    page.keys(Keys.ESCAPE, Keys.HOME)
    page.wait(lambda: page.texts("#rows .row .tail:not(.source)")[0] == shown[0].key)


def test_a_fault_of_many_hosts_opens_to_some_and_then_more(show: Opener) -> None:
    page = show(large(), "rule=qdisc-running")
    (hosts,) = expected.groups(f for f in expected.open_findings(large()) if f.rule == "qdisc-running").values()
    page.click(".fault summary")
    page.wait(lambda: page.count(".inside .chip.host"))
    before = page.count(".inside .chip.host")
    assert before < hosts
    assert f"of {hosts - before} hosts" in page.text(".inside .more")
    page.click(".inside .more")
    assert page.count(".inside .chip.host") == 2 * before


def test_few_hosts_are_a_table_and_many_are_tiles(show: Opener) -> None:
    assert show(small_report()).seen("#hosts .row")
    assert not show(large_report(61, 200)).seen("#hosts .row")


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("fragment", ["", "view=findings&map=table&waived=show"])
def test_a_narrow_window_scrolls_downwards_only(show: Opener, name: str, fragment: str) -> None:
    report = REPORTS[name]()
    page = show(report, fragment, width=360, height=740)
    wide = "return document.documentElement.scrollWidth - innerWidth"
    assert page.js(wide) <= 0
    if page.count(".fault"):
        page.js("document.querySelector('.fault summary').click()")
        assert page.js(wide) <= 0
    page.open(page.driver.current_url.partition("#")[0] + f"#host={quote(visible(report.hosts[-1].name), safe='')}")
    assert page.seen("#details")
    assert page.js(wide) <= 0
    assert page.js("const d = document.getElementById('details'); return d.scrollWidth - d.clientWidth") <= 0


# What carries text, everywhere on the page.
LEGIBLE = ", ".join(
    (
        "body, h1, .eyebrow, .tile-status b, .tile-status span, .chip, .chip small, .link, .legend, .divide, #outcome",
        ".segments button, .bucket span, .mark, .cell, .pill, .key, .sub, .count, .reason, .differs i",
        ".facts dt, .facts dd, .values dt, .values dd, .fields dt, .fields dd, .waiver dd",
    )
)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_texts_stand_out_from_what_is_behind_them(show: Opener, browser: Page, dark: bool) -> None:
    browser.media(dark=dark)
    page = show(compared_report(), "waived=show&map=tiles&host=cloud10&change=new,still,gone")
    page.js("for (const row of document.querySelectorAll('.fault')) { row.fill(); row.open = true; }")
    pairs = page.js(COLOURS_OF, LEGIBLE)
    assert len(pairs) > 100
    low = {(text, front, back) for text, front, back in pairs if contrast(front, back) < 4.5}
    assert low == set()
    page_colour = luminance(page.js("return getComputedStyle(document.documentElement).backgroundColor"))
    assert page_colour < 0.05 if dark else page_colour > 0.8


# Of each element with text of its own: its class, its colour, and the nearest colour behind it.
COLOURS_OF = """
const speaks = (node) => [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
const shown = [...document.querySelectorAll(arguments[0])].filter((node) => node.getClientRects().length > 0
  && getComputedStyle(node).color !== 'rgba(0, 0, 0, 0)' && speaks(node));
return shown.map((node) => {
  let behind = node;
  while (behind && getComputedStyle(behind).backgroundColor === 'rgba(0, 0, 0, 0)') behind = behind.parentElement;
  return [node.className || node.tagName, getComputedStyle(node).color,
    getComputedStyle(behind || document.documentElement).backgroundColor];
});
"""


def luminance(colour: str) -> float:
    """The relative luminance of a colour, as WCAG 2.2 defines it."""
    red, green, blue = (int(part) / 255 for part in re.findall(r"\d+", colour)[:3])
    linear = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (red, green, blue))
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(front: str, back: str) -> float:
    """The contrast of two colours, 1 to 21 (WCAG 2.2)."""
    light, dark = sorted((luminance(front), luminance(back)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
