# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A page of a drift report in a real Chromium, as tests speak of it."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

T = TypeVar("T")
# Seconds to wait for what a page does by itself (an observer, the history) before the test has failed.
PATIENCE = 20


def start_browser() -> Page:
    """Start Debian's Chromium without a window, in which no name resolves."""
    programs = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    missing = [name for name, path in programs.items() if path is None]
    if missing:
        pytest.fail(f"{' and '.join(missing)} not found: `make deps` installs what requirements/debian.txt names")
    options = ChromeOptions()
    options.binary_location = str(programs["chromium"])
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    arguments = [
        "--headless=new",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--no-first-run",
        "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    ]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")  # Chromium's own refuses to work for root
    for argument in arguments:
        options.add_argument(argument)
    return Page(Chrome(options=options, service=Service(str(programs["chromedriver"]))))


class Page:
    """What a reader sees of the page and does there."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def reset(self) -> None:
        """Forget earlier pages, their messages and what they were shown in."""
        self.driver.get("about:blank")
        self.media()
        self.console()
        self.requests()

    def open(self, address: str) -> None:
        """Open an address anew, also where it differs from the last one in its fragment alone."""
        self.driver.get("about:blank")
        self.driver.get(address)
        assert self.js("return document.documentElement.dataset.ready") == "yes", "the page's script did not finish"

    def js(self, script: str, *arguments: Any) -> Any:
        """Run a function body in the page."""
        return self.driver.execute_script(script, *arguments)

    def resize(self, width: int, height: int) -> None:
        """Set the size of what is seen of the page."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def media(self, kind: str = "", *, dark: bool = False) -> None:
        """Show pages on another medium, or to a reader who prefers dark colours."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": kind, "features": features})

    def console(self) -> list[str]:
        """What pages said on the console since this was asked last, errors and violations of the policy too."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """The addresses that pages asked for since this was asked last."""
        entries = self.driver.get_log("performance")
        messages = [json.loads(entry["message"])["message"] for entry in entries]
        found = [message["params"] for message in messages if message["method"] == "Network.requestWillBeSent"]
        return [sent["request"]["url"] for sent in found if sent["request"]["url"] != "about:blank"]

    def wait(self, read: Callable[[], T]) -> T:
        """What is read, as soon as it is true."""
        return WebDriverWait(self.driver, PATIENCE, poll_frequency=0.05).until(lambda _: read())

    def text(self, selector: str) -> str:
        """The text of the one element."""
        return str(self.js("return document.querySelector(arguments[0]).textContent", selector))

    def texts(self, selector: str) -> list[str]:
        """The texts of all such elements."""
        return list(self.js("return [...document.querySelectorAll(arguments[0])].map((n) => n.textContent)", selector))

    def count(self, selector: str) -> int:
        """How many such elements there are."""
        return int(self.js("return document.querySelectorAll(arguments[0]).length", selector))

    def seen(self, selector: str) -> bool:
        """Whether such an element takes up room on the screen."""
        script = "const n = document.querySelector(arguments[0]); return !!n && n.getClientRects().length > 0"
        return bool(self.js(script, selector))

    def click(self, selector: str) -> None:
        """Click the first such element with the mouse."""
        self.js("document.querySelector(arguments[0]).scrollIntoView({block: 'center'})", selector)
        self.js("return document.querySelector(arguments[0])", selector).click()

    def each(self, selector: str, *parts: str) -> list[list[str]]:
        """Of all such elements, the texts of parts: of a part's first element, or of all when it ends in *."""
        script = """return [...document.querySelectorAll(arguments[0])].map((node) => arguments[1].flatMap((part) =>
            (part.endsWith('*') ? [...node.querySelectorAll(part.slice(0, -1))] : [node.querySelector(part)])
            .map((inner) => inner.textContent)))"""
        return list(self.js(script, selector, list(parts)))

    def choose(self, selector: str, choice: str) -> None:
        """Choose from a list."""
        self.js("document.querySelector(arguments[0]).value = arguments[1]", selector, choice)
        self.js("document.querySelector(arguments[0]).dispatchEvent(new Event('change'))", selector)

    def search(self, text: str) -> None:
        """Type into the field of search what is to be there."""
        field = self.js("return document.getElementById('search')")
        field.send_keys(Keys.CONTROL + "a" + Keys.NULL, Keys.BACKSPACE, text)

    def keys(self, *pressed: str) -> None:
        """Press keys wherever the focus is."""
        ActionChains(self.driver).send_keys(*pressed).perform()

    @property
    def fragment(self) -> str:
        """The address after #."""
        return str(self.js("return location.hash"))

    @property
    def focus(self) -> str:
        """What has the focus: its id, or the name of its host."""
        script = "const n = document.activeElement; return n.id || n.getAttribute('aria-label') || n.textContent"
        return str(self.js(script))

    @property
    def findings(self) -> int:
        """How many findings the page says that it shows."""
        said = self.text("#outcome")
        found = re.search(r": ([\d,]+) findings? on", said)
        return int(found.group(1).replace(",", "")) if found else 0


__all__ = ["Keys", "Page", "start_browser"]
