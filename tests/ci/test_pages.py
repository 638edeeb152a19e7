# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/drift.md and docs/health.md say what the code does.

The table of rules is written anew by: PYTHONPATH=.cache/collections .venv/bin/python -m tests.ci.test_pages
"""

from __future__ import annotations

import re

import pytest
import yaml

from ansible_collections.netfleet.tcp.plugins.module_utils._health_targets import (
    BY_PROFILE,
    LOOPBACK_KERNEL,
    LOOPBACK_PORTS,
    LOOPBACK_RATE,
    PORTS_SCARCE,
    RTT_TARGETS,
    targets_of,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._loopback_servers import SERVERS
from ansible_collections.netfleet.tcp.plugins.module_utils._rules import (
    HEALTH_SUBJECTS,
    RULES,
    SEVERITIES,
    SUBJECTS,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._health_check import OF_THE_RUN, SETTINGS
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_files import files
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_kinds import DRIFT_CHECK, HEALTH_CHECK
from ansible_collections.netfleet.tcp.plugins.plugin_utils._waivers import read_waivers
from tools.shared import ROOT

PAGE = ROOT / "docs" / "drift.md"
TABLE = re.compile(
    r"(?<=\| rule \| finding \| what it means \|\n\|---\|---\|---\|\n).*?(?=<!-- end of rules -->)", re.DOTALL
)
LINK = re.compile(r"\]\(([^)#:]+)\)")


def rules() -> str:
    """The rows of the table."""
    return "".join(f"| `{rule.id}` | {rule.title} | {rule.text} |\n" for rule in RULES)


def text() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_the_rules_are_those_of_the_code() -> None:
    assert TABLE.findall(text()) == [rules()], "write it anew, see above"


def test_every_format_and_its_file_is_named() -> None:
    found = dict(re.findall(r"^\| `(\w+)` \| `(drift\.[\w.]+)` \|", text(), re.MULTILINE))
    assert found == files(DRIFT_CHECK)


def test_subjects_and_severities_are_named() -> None:
    page = text()
    assert not [name for name in SUBJECTS if name != "host" and f"`{name}`" not in page]
    assert not [name for name in SEVERITIES if f"`{name}`" not in page]


def test_the_variables_are_those_of_the_playbooks() -> None:
    sources = [*(ROOT / "playbooks").glob("*.yml"), *(ROOT / "roles" / "tcp_tuning" / "tasks").glob("*.yml")]
    known = {name for path in sources for name in re.findall(r"\btcp_(?:drift|render)_\w+", path.read_text("utf-8"))}
    assert set(re.findall(r"\btcp_(?:drift|render)_\w+", text())) == known


def test_the_waiver_shown_is_one() -> None:
    (block,) = re.findall(r"^```yaml\n(tcp_drift_waivers:.*?)^```", text(), re.MULTILINE | re.DOTALL)
    shown = read_waivers(yaml.safe_load(block)["tcp_drift_waivers"], "tcp_drift_waivers")
    example = yaml.safe_load((ROOT / "inventories/example/group_vars/all.yml").read_text(encoding="utf-8"))
    assert shown == read_waivers(example["tcp_drift_waivers"], "tcp_drift_waivers")


HEALTH = ROOT / "docs" / "health.md"


def test_the_page_of_health_names_its_files_variables_and_subjects() -> None:
    page = HEALTH.read_text(encoding="utf-8")
    assert dict(re.findall(r"^\| `(\w+)` \| `(health\.[\w.]+)`", page, re.MULTILINE)) == files(HEALTH_CHECK)
    named = set(re.findall(r"\btcp_health_(?!info)\w+", page))
    assert named == {f"tcp_health_{name}" for name in (*SETTINGS, *OF_THE_RUN)}
    assert not [name for name in HEALTH_SUBJECTS if name != "host" and f"`{name}`" not in page]


def test_the_targets_shown_are_those_of_the_code() -> None:
    page = HEALTH.read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| ((?:local|cloud|wan)[\w, ]*) \| (.*) \|$", page, re.MULTILINE))
    assert {name for row in rows for name in row.split(", ")} == {*BY_PROFILE, "none"}
    for row, said in rows.items():
        for profile in row.split(", "):
            found = targets_of(profile)
            assert found["client_success"] == found["server_success"]
            percent = [f"{found[name]:g} %" for name in ("client_success", "retransmission", "syn_retransmission")]
            rtt = f"less than {RTT_TARGETS[profile]:g} ms to class `{profile}`" if profile in RTT_TARGETS else "none"
            assert [cell.split("than ")[-1] if "%" in cell else cell for cell in said.split(" | ")] == [*percent, rtt]


def test_what_helps_against_short_connections_is_that_of_the_code() -> None:
    page = HEALTH.read_text(encoding="utf-8")
    for server in SERVERS:
        assert f"| {server.name} | {server.listen} | {server.permit} | {server.client} |\n" in page
        assert f"- {server.name}: {server.pool}\n" in page
    for said in (
        f"It is a finding from {LOOPBACK_RATE:g} a second on",
        f"- {PORTS_SCARCE:g} % of the local ports are taken",
        f"come to hold {LOOPBACK_PORTS:g} % of them",
        f"spend {LOOPBACK_KERNEL:g} % of a core in the kernel",
    ):
        assert said in page


@pytest.mark.parametrize("name", ["docs/drift.md", "docs/health.md", "docs/ci/README.md"])
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert links
    assert not [link for link in links if not (page.parent / link).exists()]


if __name__ == "__main__":
    PAGE.write_text(TABLE.sub(lambda _match: rules(), text()), encoding="utf-8")
