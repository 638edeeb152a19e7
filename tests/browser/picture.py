# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the README's picture of a drift report anew: `python -m tests.browser.picture docs/images/drift-report.png`.

PYTHONPATH must name .cache/collections, as it does for pytest.
"""

from __future__ import annotations

import base64
import random
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import DRIFT, IN_STEP, Report, compare
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_html import render
from tests.browser.page import start_browser
from tests.unit.plugins.plugin_utils.sample_report import large_report


def fleet() -> Report:
    """A thousand hosts of which about one in ten has drifted, compared with the report of the day before."""
    chance = random.Random(4)
    report = large_report(1000, 5000)
    chosen = {host.name for host in report.hosts if host.status == DRIFT and chance.random() < 0.12}
    asked = {host.name for host in report.hosts if host.status in (DRIFT, IN_STEP)}
    findings = tuple(
        finding
        for finding in report.findings
        if finding.host not in asked
        or chance.random() < (0.95 if finding.host in chosen else 0.3 * bool(finding.waiver))
    )
    drifted = {finding.host for finding in findings if report.counts(finding)}
    hosts = tuple(
        replace(host, status=DRIFT if host.name in drifted else IN_STEP) if host.name in asked else host
        for host in report.hosts
    )
    now = replace(report, hosts=hosts, findings=findings)
    left = set(findings)
    # The day before had most of today's findings, and some that have been mended since.
    mended = (finding for finding in report.findings if finding.host in drifted and finding not in left)
    before = (*(finding for finding in findings if chance.random() < 0.9), *mended)
    earlier = replace(now, findings=before, finished="2026-11-21T06:00:08Z")
    return replace(now, comparison=compare(earlier, now))


def main() -> int:
    """Write the picture to the path that the command line names."""
    page = start_browser()
    try:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "report.html"
            file.write_text(render(fleet()), encoding="utf-8", newline="\n")
            page.resize(1440, 900)
            page.media()
            page.driver.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
            page.open(f"{file.as_uri()}#open=1")
            shot = page.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
    finally:
        page.driver.quit()
    Path(sys.argv[1]).write_bytes(base64.b64decode(shot["data"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
