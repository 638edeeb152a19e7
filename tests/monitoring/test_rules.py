# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each alert: by what it fires, and what is close to it and leaves it silent. The rules are promtool's to run."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._counters import Counts
from ansible_collections.netfleet.tcp.plugins.module_utils._exporter_main import LAST_SUCCESS
from ansible_collections.netfleet.tcp.plugins.module_utils._health_findings import PORTS_SCARCE
from ansible_collections.netfleet.tcp.plugins.module_utils._indicators import MEASURES, bounds
from ansible_collections.netfleet.tcp.plugins.module_utils._metrics import PREFIX
from ansible_collections.netfleet.tcp.plugins.module_utils._node_exporter import COUNTERS
from tests.monitoring.promtool import HOST, ROOT, RULES, alerts, promtool, rules, run_test, series

Series = dict[str, str]
STALE = PREFIX + LAST_SUCCESS


def ours(name: str, values: str, **labels: str) -> Series:
    return series(PREFIX + name, values, **labels)


def counters(**rates: float) -> list[Series]:
    """node_exporter's counters of TCP, each growing by so many a minute; those not named stand still."""
    names = [f"{protocol}_{name}" for protocol, found in COUNTERS.items() for name in found]
    assert set(rates) <= {name.partition("_")[2] for name in names}
    return [series(f"node_netstat_{name}", f"0+{rates.get(name.partition('_')[2], 0)}x120") for name in names]


def indicator(name: str, allowed: float, **rates: float) -> list[Series]:
    """Counters, and what is allowed of an indicator."""
    return [*counters(**rates), ours("allowed_ratio", f"{allowed}x120", indicator=name)]


@dataclass(frozen=True)
class Case:
    """Series, and the labels of each alert that fires by then, in minutes; none: it is silent."""

    series: list[Series]
    fires: list[dict[str, str]] = field(default_factory=list)
    at: int = 40


def braced(labels: dict[str, str]) -> str:
    """Labels as promtool takes them."""
    return "{" + ", ".join(f'{key}="{value}"' for key, value in labels.items()) + "}"


def quiet(*found: Series, at: int = 40) -> Case:
    return Case(list(found), at=at)


def loud(*found: Series, at: int = 40, **labels: str) -> Case:
    return Case(list(found), [labels], at)


CLIENT, SERVER, RETRANSMISSION, SYN = "client_success", "server_success", "retransmission", "syn_retransmission"
CASES: dict[str, dict[str, Case]] = {
    "TcpClientSuccess": {
        "one in a hundred": loud(*indicator(CLIENT, 0.001, ActiveOpens=100, AttemptFails=1), indicator=CLIENT),
        "within the target": quiet(*indicator(CLIENT, 0.001, ActiveOpens=10000, AttemptFails=1)),
        # Somebody else's handshakes that were refused here are not ours that failed.
        "refused from outside": quiet(*indicator(CLIENT, 0.001, ActiveOpens=100, AttemptFails=9, EmbryonicRsts=9)),
        "too few to tell": quiet(*indicator(CLIENT, 0.001, ActiveOpens=2, AttemptFails=1)),
        "no target": quiet(*counters(ActiveOpens=100, AttemptFails=50)),
        "not for long enough": quiet(*indicator(CLIENT, 0.001, ActiveOpens=100, AttemptFails=1), at=4),
    },
    "TcpServerSuccess": {
        "one in ten dropped": loud(*indicator(SERVER, 0.001, PassiveOpens=90, ListenDrops=10), indicator=SERVER),
        "all accepted": quiet(*indicator(SERVER, 0.001, PassiveOpens=90)),
        "too few to tell": quiet(*indicator(SERVER, 0.001, PassiveOpens=2, ListenDrops=1)),
    },
    "TcpRetransmission": {
        "three percent": loud(
            *indicator(RETRANSMISSION, 0.005, TCPOrigDataSent=1000, RetransSegs=30), indicator=RETRANSMISSION
        ),
        "three percent, which an edge may have": quiet(
            *indicator(RETRANSMISSION, 0.04, TCPOrigDataSent=1000, RetransSegs=30)
        ),
        "SYNs alone": quiet(*indicator(RETRANSMISSION, 0.005, TCPOrigDataSent=1000, RetransSegs=30, TCPSynRetrans=30)),
        # Above its target, and by chance as likely as not: ten come together.
        "not sure": quiet(*indicator(RETRANSMISSION, 0.005, TCPOrigDataSent=100, RetransSegs=0.7)),
        "too few to tell": quiet(*indicator(RETRANSMISSION, 0.005, TCPOrigDataSent=20, RetransSegs=20)),
    },
    "TcpSynRetransmission": {
        "one in five": loud(*indicator(SYN, 0.02, ActiveOpens=100, TCPSynRetrans=20), indicator=SYN),
        "one in a hundred": quiet(*indicator(SYN, 0.02, ActiveOpens=100, PassiveOpens=100, TCPSynRetrans=2)),
        "too few to tell": quiet(*indicator(SYN, 0.02, ActiveOpens=2, TCPSynRetrans=2)),
    },
    "TcpRtt": {
        "above": loud(
            ours("rtt_mean_low_seconds", "0.06x60", peers="cloud"),
            ours("rtt_target_seconds", "0.05x60", peers="cloud"),
            peers="cloud",
        ),
        "the mean is above, its bound is not": quiet(
            ours("rtt_mean_low_seconds", "0.04x60", peers="cloud"),
            ours("rtt_mean_seconds", "0.06x60", peers="cloud"),
            ours("rtt_target_seconds", "0.05x60", peers="cloud"),
        ),
        "of a class without a target": quiet(
            ours("rtt_mean_low_seconds", "0.6x60", peers="other"), ours("rtt_target_seconds", "0.05x60", peers="cloud")
        ),
    },
    "TcpConnectionSpike": {
        "120,000 within five minutes": loud(
            series("node_netstat_Tcp_ActiveOpens", "0+60x600 60000+24000x10"),
            series("node_netstat_Tcp_PassiveOpens", "0x610"),
            at=606,
        ),
        "as many as always": quiet(
            series("node_netstat_Tcp_ActiveOpens", "0+24000x610"),
            series("node_netstat_Tcp_PassiveOpens", "0x610"),
            at=606,
        ),
        "many times next to nothing": quiet(
            series("node_netstat_Tcp_ActiveOpens", "0+1x600 600+600x10"),
            series("node_netstat_Tcp_PassiveOpens", "0x610"),
            at=606,
        ),
    },
    "TcpLocalPortsScarce": {
        "at the limit": loud(
            ours("local_ports_used_ratio", "0.8x60", peers="loopback", port="1234"), peers="loopback", port="1234"
        ),
        "below it": quiet(ours("local_ports_used_ratio", "0.79x60", peers="loopback", port="1234")),
        "for a moment": quiet(ours("local_ports_used_ratio", "0.1x38 0.9x2", peers="loopback", port="1234")),
    },
    "TcpLocalPortsExhausted": {
        "all of them": loud(
            ours("local_ports_used_ratio", "1x60", peers="local", port="443"), peers="local", port="443"
        ),
        "nearly": quiet(ours("local_ports_used_ratio", "0.9x60", peers="local", port="443")),
    },
    "TcpTimeWaitOverflow": {
        "some": loud(series("node_netstat_TcpExt_TCPTimeWaitOverflow", "0x30 0+5x30")),
        "none since long ago": quiet(series("node_netstat_TcpExt_TCPTimeWaitOverflow", "7x60")),
    },
    "TcpListenOverflow": {
        "of connections": loud(*counters(ListenOverflows=2)),
        "of half-open ones": loud(*counters(TCPReqQFullDrop=2)),
        "a few": quiet(*counters(ListenOverflows=0.2)),
    },
    "TcpListenQueueFull": {
        "full": loud(
            ours("listener_backlog", "129x60", port="80", service="nginx"),
            ours("listener_backlog_limit", "128x60", port="80", service="nginx"),
            port="80",
            service="nginx",
        ),
        "half": quiet(
            ours("listener_backlog", "64x60", port="80", service="nginx"),
            ours("listener_backlog_limit", "128x60", port="80", service="nginx"),
        ),
        "empty, and nobody may wait": quiet(
            ours("listener_backlog", "0x60", port="80", service="nginx"),
            ours("listener_backlog_limit", "0x60", port="80", service="nginx"),
        ),
    },
    "TcpConnectionTracking": {
        "nearly full": loud(
            series("node_nf_conntrack_entries", "950x60"), series("node_nf_conntrack_entries_limit", "1000x60")
        ),
        "half": quiet(
            series("node_nf_conntrack_entries", "500x60"), series("node_nf_conntrack_entries_limit", "1000x60")
        ),
    },
    "TcpWindowScale": {
        "one in ten": loud(
            ours("peer_connections_without_window_scale", "4x60", peers="local"),
            ours("peer_connections_without_window_scale", "0x60", peers="other"),
            ours("peer_connections", "30x60", peers="local"),
            ours("peer_connections", "10x60", peers="other"),
        ),
        "of a few": quiet(
            ours("peer_connections_without_window_scale", "4x60", peers="local"),
            ours("peer_connections", "10x60", peers="local"),
        ),
        "hardly any": quiet(
            ours("peer_connections_without_window_scale", "4x60", peers="local"),
            ours("peer_connections", "1000x60", peers="local"),
        ),
    },
    "TcpWindowScalingOff": {
        "off": loud(ours("window_scaling_enabled", "0x60")),
        "on": quiet(ours("window_scaling_enabled", "1x60")),
    },
    "TcpDrift": {
        "two keys": loud(
            ours("drift", "2x60", declaration="role:tcp_tuning", where="running"),
            ours("change_pending", "0x60"),
            declaration="role:tcp_tuning",
            where="running",
        ),
        "in step": quiet(ours("drift", "0x60", declaration="x", where="running"), ours("change_pending", "0x60")),
        "while it is changed": quiet(
            ours("drift", "2x60", declaration="x", where="boot"), ours("change_pending", "1x60")
        ),
        "for a moment": quiet(
            ours("drift", "0x30 2x10 0x20", declaration="x", where="boot"), ours("change_pending", "0x60")
        ),
    },
    "TcpChangeTakenBack": {
        "a moment ago": loud(
            ours("last_change_info", "1x60", change="000007-x", declaration="role:tcp_tuning", outcome="reverted"),
            ours("last_change_timestamp_seconds", "1200x60"),
            change="000007-x",
            declaration="role:tcp_tuning",
            outcome="reverted",
        ),
        "confirmed": quiet(
            ours("last_change_info", "1x60", change="000007-x", declaration="role:tcp_tuning", outcome="confirmed"),
            ours("last_change_timestamp_seconds", "1200x60"),
        ),
        "days ago": quiet(
            ours("last_change_info", "1x60", change="000007-x", declaration="role:tcp_tuning", outcome="failed"),
            ours("last_change_timestamp_seconds", "-90000x60"),
        ),
    },
    "TcpChangePending": {
        "for two hours": loud(ours("change_pending", "1x120"), at=119),
        "for half an hour": quiet(ours("change_pending", "1x120")),
    },
    "TcpExporterStale": {
        "it ended half an hour ago": loud(series(STALE, "0+60x10 600x50"), ours("exporter_interval_seconds", "60x60")),
        "it runs": quiet(series(STALE, "0+60x60"), ours("exporter_interval_seconds", "60x60")),
        "it runs each half hour": quiet(series(STALE, "0x29 1800x31"), ours("exporter_interval_seconds", "1800x60")),
    },
    "TcpExporterGone": {
        "its file is gone": loud(ours("exporter_interval_seconds", "60x10 _x50"), series("up", "1x60")),
        "there": quiet(ours("exporter_interval_seconds", "60x60"), series("up", "1x60")),
        "the whole host is gone": quiet(ours("exporter_interval_seconds", "60x10 _x50"), series("up", "1x10 0x50")),
    },
    "TcpExporterPartial": {
        "a part": loud(
            ours("exporter_success", "0x60", part="tuning"),
            ours("exporter_success", "1x60", part="sockets"),
            part="tuning",
        ),
        "all": quiet(ours("exporter_success", "1x60", part="tuning")),
    },
    "TcpCountersMissing": {
        "the usual ones alone": loud(
            ours("exporter_interval_seconds", "60x60"), series("node_netstat_Tcp_ActiveOpens", "0x60")
        ),
        "there": quiet(ours("exporter_interval_seconds", "60x60"), *counters()),
        "a host that is not ours": quiet(series("node_netstat_Tcp_ActiveOpens", "0x60")),
    },
}


def test_promtool_finds_nothing_wrong_with_the_rules() -> None:
    assert f"{len(rules())} rules found" in promtool("check", "rules", str(RULES))


def test_every_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    assert set(CASES) == set(alerts())
    for name, cases in CASES.items():
        assert {bool(case.fires) for case in cases.values()} == {True, False}, name


@pytest.mark.parametrize(("name", "case"), [(name, case) for name, cases in CASES.items() for case in cases])
def test_an_alert_fires_when_it_should_and_only_then(name: str, case: str, tmp_path: Path) -> None:
    tried = CASES[name][case]
    base = {"__name__": "ALERTS", "alertname": name, "alertstate": "firing", **HOST, **alerts()[name]["labels"]}
    expected = [{"labels": braced({**base, **labels}), "value": 1} for labels in tried.fires]
    asked = {
        "expr": f'ALERTS{{alertname="{name}", alertstate="firing"}}',
        "eval_time": f"{tried.at}m",
        "exp_samples": expected,
    }
    run_test(tmp_path, input_series=tried.series, promql_expr_test=[asked])


@pytest.mark.parametrize("name", list(MEASURES))
def test_what_is_judged_is_what_the_playbook_health_judges(name: str, tmp_path: Path) -> None:
    rates = {
        "ActiveOpens": 1000,
        "AttemptFails": 30,
        "EmbryonicRsts": 10,
        "PassiveOpens": 700,
        "ListenDrops": 40,
        "TCPOrigDataSent": 5000,
        "RetransSegs": 90,
        "TCPSynRetrans": 25,
    }
    counts = Counts(
        segments=15 * 5000,
        retransmitted=15 * 90,
        syn_retransmitted=15 * 25,
        opened=15 * 1000,
        accepted=15 * 700,
        failed=15 * 30,
        refused=15 * 10,
        dropped=15 * 40,
    )
    measure = MEASURES[name]
    bad, of = measure.bad(counts), measure.of(counts)
    low, _high = bounds(bad / measure.spread)
    expected = {
        "instance:netfleet_tcp_bad:increase15m": bad,
        "instance:netfleet_tcp_of:increase15m": of,
        "instance:netfleet_tcp_bad:ratio15m": bad / of,
        "instance:netfleet_tcp_bad_low:ratio15m": low * measure.spread / of,
    }
    # Of the bound as many digits as are worth it: what Prometheus makes of ^ is not the same to the last one.
    asked = [
        {
            "expr": f'round({record}{{indicator="{name}"}}, 0.0000001)',
            "eval_time": "40m",
            "exp_samples": [
                {"labels": f'{{job="node", instance="web1:9100", indicator="{name}"}}', "value": round(value, 7)}
            ],
        }
        for record, value in expected.items()
    ]
    run_test(tmp_path, input_series=counters(**rates), promql_expr_test=asked)


def test_a_group_is_what_its_hosts_have_counted_together(tmp_path: Path) -> None:
    found = []
    for instance, groups, fails in (("a", ("cloud", "web"), 30), ("b", ("cloud",), 0)):
        found += [ours("group_info", "1x60", instance=instance, group=group) for group in groups]
        found += [
            {**each, "series": each["series"].replace("web1:9100", instance)}
            for each in counters(ActiveOpens=1000, AttemptFails=fails)
        ]
    labels = '{{__name__="group:netfleet_tcp_bad:ratio15m", job="node", group="{}", indicator="client_success"}}'
    run_test(
        tmp_path,
        input_series=found,
        promql_expr_test=[
            {
                "expr": 'group:netfleet_tcp_bad:ratio15m{indicator="client_success"}',
                "eval_time": "40m",
                "exp_samples": [
                    {"labels": labels.format("cloud"), "value": 0.015},
                    {"labels": labels.format("web"), "value": 0.03},
                ],
            }
        ],
    )


def clusters(found: list[Series], *names: str) -> list[Series]:
    """The same host in each of these, under the same job and instance."""
    return [
        {**each, "series": each["series"].replace("{", f'{{cluster="{name}",', 1)} for each in found for name in names
    ]


@pytest.mark.parametrize("name", list(CASES))
def test_two_clusters_whose_hosts_have_the_same_names_are_two(name: str, tmp_path: Path) -> None:
    tried = next(case for case in CASES[name].values() if case.fires)
    silent = [case for case in CASES[name].values() if not case.fires and case.at == tried.at]
    base = {"__name__": "ALERTS", "alertname": name, "alertstate": "firing", **HOST, **alerts()[name]["labels"]}
    asked = {
        "expr": f'ALERTS{{alertname="{name}", alertstate="firing"}}',
        "eval_time": f"{tried.at}m",
        "exp_samples": [
            {"labels": braced({**base, **labels, "cluster": cluster}), "value": 1}
            for labels in tried.fires
            for cluster in ("a", "b")
        ],
    }
    found = clusters(tried.series, "a", "b")
    for number, case in enumerate(silent):
        # In which it is silent, and neither hides the others nor is taken for one.
        found += clusters(case.series, f"silent {number}")
    run_test(tmp_path, input_series=found, promql_expr_test=[asked])


def test_a_group_is_one_of_each_cluster(tmp_path: Path) -> None:
    host = [ours("group_info", "1x60", group="web"), *counters(ActiveOpens=1000, AttemptFails=30)]
    labels = (
        '{{__name__="group:netfleet_tcp_bad:ratio15m", job="node", cluster="{}", group="web", '
        'indicator="client_success"}}'
    )
    run_test(
        tmp_path,
        input_series=clusters(host, "a", "b"),
        promql_expr_test=[
            {
                "expr": 'group:netfleet_tcp_bad:ratio15m{indicator="client_success"}',
                "eval_time": "40m",
                "exp_samples": [{"labels": labels.format(cluster), "value": 0.03} for cluster in ("a", "b")],
            }
        ],
    )


def test_what_an_alert_says_is_a_sentence_about_its_host(tmp_path: Path) -> None:
    said = {
        "summary": "web1:9100 runs out of local ports to port 1234",
        "description": "85% of the local ports of web1:9100 are taken between two addresses, to port 1234 of a peer of "
        "the class loopback.",
        "runbook_url": "docs/monitoring.md#tcplocalportsscarce",
    }
    labels = {**HOST, "severity": "warning", "peers": "loopback", "port": "1234"}
    run_test(
        tmp_path,
        input_series=[ours("local_ports_used_ratio", "0.85x60", peers="loopback", port="1234")],
        alert_rule_test=[
            {
                "alertname": "TcpLocalPortsScarce",
                "eval_time": "10m",
                "exp_alerts": [{"exp_labels": labels, "exp_annotations": said}],
            }
        ],
    )


def test_every_alert_has_its_runbook() -> None:
    page = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    sections = {heading.lower() for heading in re.findall(r"^### (\w+)$", page, re.MULTILINE)}
    for name, rule in alerts().items():
        assert rule["annotations"]["runbook_url"] == f"docs/monitoring.md#{name.lower()}"
        assert name.lower() in sections, name
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
        assert rule["labels"]["severity"] in ("info", "warning", "critical")
    assert {section for section in sections if section.startswith("tcp")} == {name.lower() for name in alerts()}


def test_ports_are_scarce_from_where_the_playbook_health_says_so() -> None:
    assert f"ratio >= {PORTS_SCARCE / 100}" in alerts()["TcpLocalPortsScarce"]["expr"]
