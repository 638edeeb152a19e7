# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dashboard: of fields that Grafana knows, with panels that have a place, and queries for metrics that there are.

So are the queries of the rules. What metrics there are is told by the exporter itself, over recorded hosts.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import promql_parser
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from ansible_collections.netfleet.tcp.plugins.module_utils._begin import Terms
from ansible_collections.netfleet.tcp.plugins.module_utils._desired import ROLE_DECLARATION, build, render_sysctl_file
from ansible_collections.netfleet.tcp.plugins.module_utils._exporter_main import export
from ansible_collections.netfleet.tcp.plugins.module_utils._exporter_model import SETTINGS, ExporterSettings, dump
from ansible_collections.netfleet.tcp.plugins.module_utils._model import DesiredKey
from ansible_collections.netfleet.tcp.plugins.module_utils._node_exporter import COUNTERS, OURS
from ansible_collections.netfleet.tcp.plugins.module_utils._transaction import apply
from tests.unit.plugins.recorded_sockets import DONE, SocketHost, listener, message, tcp_info
from tools.dashboard import FILE, UID, WIDTH, render
from tools.shared import ROOT

RULES = ROOT / "roles" / "tcp_monitoring" / "files" / "netfleet-tcp.rules.yml"
SCRAPED = {"job", "instance"}
# Of node_exporter, with its own labels; of Prometheus.
OTHERS = {
    **{f"node_netstat_{protocol}_{name}": set() for protocol, names in COUNTERS.items() for name in names},
    "node_nf_conntrack_entries": set(),
    "node_nf_conntrack_entries_limit": set(),
    "up": set(),
    "ALERTS": {"alertname", "alertstate", "severity"},
}


@lru_cache(maxsize=1)
def exported() -> dict[str, set[str]]:
    """Every metric of the exporter with its labels: of a host with all there can be."""
    host = SocketHost()
    host.sysctls.update({"net.ipv4.ip_local_port_range": "40000 40099", "net.ipv4.tcp_window_scaling": "1"})
    info = tcp_info(rtt=1000, min_rtt=900)
    many = [message(("10.0.0.1", 40000 + each), ("10.0.0.2", 443), 1, info) for each in range(9)]
    host.answer(2, "listening", listener(80, 1), DONE)
    host.answer(2, "others", *many, DONE)
    # As old a kernel tells nothing of these.
    host.answer(10, "others", message(("::1", 1), ("::2", 2), 1, tcp_info()[:104]), DONE)
    keys = [DesiredKey("net.ipv4.tcp_fin_timeout", "30", "because")]
    apply(host, build("90-netfleet-tcp.conf", render_sysctl_file(keys), keys, name=ROLE_DECLARATION), {}, Terms())
    host.sysctls["net.ipv4.tcp_fin_timeout"] = "60"
    settings = ExporterSettings(
        "/srv", {"local": ("10.0.0.0/8",)}, {"retransmission": 0.5}, {"local": 5.0}, groups=("web",)
    )
    host.put(SETTINGS, dump(settings), 0o600)
    host.lock_held = True
    assert export(host) == {}
    found: dict[str, set[str]] = {}
    for name, labels in re.findall(
        r"^(netfleet_tcp_\w+)(?:\{(.*)\})? ", host.files["/srv/netfleet_tcp.prom"].text, re.M
    ):
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return found


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


@lru_cache(maxsize=1)
def known() -> dict[str, set[str]]:
    """Every metric that a query may ask for, with its labels beside those of the scrape."""
    recorded: dict[str, set[str]] = {}
    for rule in rules():
        if "record" in rule:
            of_group = {"group"} if rule["record"].startswith("group:") else set()
            recorded.setdefault(rule["record"], set()).update(rule.get("labels", {}), of_group)
    for rule in rules():
        if "record" in rule and not rule.get("labels"):
            # It has those of what it is made of.
            for name in selectors(rule["expr"]):
                recorded[rule["record"]] |= recorded.get(name, set())
    return {**exported(), **OTHERS, **recorded}


def walked(node: Any) -> Iterator[Any]:
    """Each part of a query."""
    yield node
    for name in ("expr", "lhs", "rhs", "args", "vector_selector", "param"):
        part = getattr(node, name, None)
        for each in part if isinstance(part, list) else [part]:
            if each is not None:
                yield from walked(each)


def selectors(query: str) -> dict[str, set[str]]:
    """The metrics that a query asks for, each with the labels that it names of it."""
    found: dict[str, set[str]] = {}
    for part in walked(promql_parser.parse(query)):
        if isinstance(part, promql_parser.VectorSelector):
            found.setdefault(str(part.name), set()).update(each.name for each in part.matchers.matchers)
    return found


@lru_cache(maxsize=1)
def dashboard() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return data


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [panel for panel in dashboard()["panels"] if panel["type"] != "row"]
    return found


def queries() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def test_the_file_is_what_the_table_says() -> None:
    assert FILE.read_text(encoding="utf-8") == render(), "run `python -m tools.dashboard`"


def test_grafanas_own_library_reads_it_and_loses_nothing() -> None:
    again = json.loads(json.dumps(Dashboard.from_json(dashboard()), cls=JSONEncoder))
    assert again == dashboard()
    assert again["uid"] == UID
    assert again["schemaVersion"] >= 36


def test_panels_have_a_number_and_a_place_of_their_own() -> None:
    everything = dashboard()["panels"]
    assert [number for number, times in Counter(panel["id"] for panel in everything).items() if times > 1] == []
    taken: dict[tuple[int, int], str] = {}
    for panel in everything:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= WIDTH
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]


def test_every_panel_says_what_it_shows_and_asks_the_chosen_source() -> None:
    for panel in panels():
        assert panel["title"]
        assert panel["description"].endswith((".", "%."))
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert [target["datasource"] for target in panel["targets"]] == [panel["datasource"]] * len(panel["targets"])
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)


def test_variables_are_all_used_and_none_is_missing() -> None:
    variables = dashboard()["templating"]["list"]
    names = [variable["name"] for variable in variables]
    assert names == ["datasource", "group", "host", "service"]
    assert variables[0]["type"] == "datasource"
    asked = [*queries(), *(variable["query"]["query"] for variable in variables[1:])]
    used = {name for query in asked for name in re.findall(r"\$(\w+)", query)}
    assert used == set(names) - {"datasource"}
    for query in (variable["query"]["query"] for variable in variables[1:]):
        (selector, label) = re.findall(r"^label_values\((.*), (\w+)\)$", query)[0]
        ((name, _labels),) = selectors(selector).items()
        assert label in exported()[name] | SCRAPED


@pytest.mark.parametrize("query", sorted(set(queries())))
def test_a_panel_asks_for_metrics_and_labels_that_there_are(query: str) -> None:
    assert selectors(query)
    for name, labels in selectors(query).items():
        assert name in known(), name
        assert labels <= known()[name] | SCRAPED, (name, labels)


@pytest.mark.parametrize("number", range(len(rules())))
def test_a_rule_asks_for_metrics_and_labels_that_there_are(number: int) -> None:
    rule = rules()[number]
    assert selectors(rule["expr"])
    for name, labels in selectors(rule["expr"]).items():
        assert name in known(), name
        assert labels <= known()[name] | SCRAPED, (name, labels)


def test_a_legend_names_labels_that_its_series_have() -> None:
    for panel in panels():
        for target in panel["targets"]:
            wanted = set(re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", "")))
            there = SCRAPED.union(*(known()[name] for name in selectors(target["expr"])))
            assert wanted <= there, (panel["title"], wanted)
            by = re.findall(r"\bby \(([\w, ]*)\)", target["expr"])
            if by:
                assert wanted <= set(by[0].split(", ")), panel["title"]


def test_what_is_asked_for_is_most_of_what_is_exported() -> None:
    asked = {name for query in [*queries(), *(rule["expr"] for rule in rules())] for name in selectors(query)}
    # Told for whoever looks at a host more closely (docs/monitoring.md).
    beside = {
        "look_incomplete",
        "drift_compared",
        "drift_not_shown",
        "listener_drops",
        "listeners_not_shown",
        "local_ports_available",
        "local_ports_used",
        "local_ports_used_max_ratio",
        "loopback_connections",
        "outgoing_connections",
        "peer_retransmitted_segments",
        "peer_segments",
        "rtt_mean_high_seconds",
        "rtt_minimum_p50_seconds",
        "rtt_p50_seconds",
    }
    assert set(exported()) - asked == {f"netfleet_tcp_{name}" for name in beside}


def test_the_exporters_metrics_are_all_in_its_documentation() -> None:
    page = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`(netfleet_tcp_\w+)", page))
    assert told == set(exported())


def test_whoever_gives_the_flags_by_other_means_is_told_them_as_they_are() -> None:
    assert f"|{OURS}\n" in (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
