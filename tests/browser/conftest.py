# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One Chromium for all tests, and pages in it. Each page must stay silent on the console and off every network."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import Report
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_html import render
from tests.browser.page import Page, start_browser

# Opens a report, with a fragment of its address.
Opener = Callable[..., Page]


@pytest.fixture(scope="session")
def browser() -> Iterator[Page]:
    # The driver listens on the loopback, where no proxy leads to.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "localhost,127.0.0.1"
    page = start_browser()
    yield page
    page.driver.quit()


@pytest.fixture
def show(browser: Page, tmp_path: Path) -> Iterator[Opener]:
    """Opens reports as files; afterwards, nothing but these files was asked for, and the console has no message."""
    addresses: list[str] = []

    def opener(report: Report, fragment: str = "", *, width: int = 1440, height: int = 900) -> Page:
        file = tmp_path / f"report{len(addresses)}.html"
        file.write_text(render(report), encoding="utf-8", newline="\n")
        addresses.append(file.as_uri())
        browser.resize(width, height)
        browser.open(f"{file.as_uri()}{fragment and '#'}{fragment}")
        return browser

    browser.reset()
    yield opener
    console, requests = browser.console(), browser.requests()
    assert console == []
    assert {request.partition("#")[0] for request in requests} == set(addresses)
