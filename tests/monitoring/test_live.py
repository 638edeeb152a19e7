# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that the playbook has monitored by Debian's node_exporter and Prometheus: what arrives, and which alerts fire.

One story in steps: each begins where the one before it has ended.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._node_exporter import DEFAULTS, DIRECTORY
from tests.monitoring.hosts import ADDRESS, PEER, SHORT, Hosts
from tests.monitoring.promtool import FILES, RULES, promtool
from tests.waiting import until

PLAYBOOK = "playbooks/monitoring.yml"
DASHBOARD = FILES / "netfleet-tcp-dashboard.json"
FURTHEST = "Furthest from their targets"
TEXT_FILE = f"{DIRECTORY}/netfleet_tcp.prom"
# 192.0.2.0/24 is nobody's, and so is no class of the profile's.
VARIABLES: dict[str, Any] = {"tcp_health_peers": {"local": ["192.0.2.0/24"]}, "tcp_monitoring_interval": 15}


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    found = Hosts(tmp_path_factory.mktemp("hosts"))
    try:
        yield found
    finally:
        found.close()


def queries() -> dict[str, list[str]]:
    """Those of each panel of the dashboard, by its title, with all chosen that there is."""
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return {
        panel["title"]: [re.sub(r"\$\w+", ".*", target["expr"]) for target in panel["targets"]]
        for panel in panels
        if panel["type"] != "row"
    }


def until_fires(hosts: Hosts, name: str, seconds: float = 45) -> None:
    until(lambda: name in hosts.firing(), seconds, f"{name} fires", 0.5, hosts.export)


def until_clears(hosts: Hosts, name: str, seconds: float = 45) -> None:
    until(lambda: name not in hosts.firing(), seconds, f"{name} is over", 0.5, hosts.export)


def test_check_mode_changes_nothing(hosts: Hosts) -> None:
    before = hosts.run("cat", DEFAULTS)
    said, counts = hosts.playbook(PLAYBOOK, "--check", "--diff", **VARIABLES)
    assert (counts["changed"], counts["failed"]) == (1, 0)
    assert "--collector.netstat.fields=" in said
    assert hosts.run("cat", DEFAULTS) == before
    assert "netfleet" not in hosts.run("ls", "-R", DIRECTORY, "/etc/systemd/system", "/var/lib")


def test_the_first_run_changes_the_host_and_the_second_does_not(hosts: Hosts) -> None:
    _said, counts = hosts.playbook(PLAYBOOK, **VARIABLES)
    assert (counts["changed"], counts["failed"]) == (1, 0)
    _said, counts = hosts.playbook(PLAYBOOK, **VARIABLES)
    assert (counts["changed"], counts["failed"]) == (0, 0)


def test_what_the_exporter_writes_promtool_has_no_complaint_about(hosts: Hosts) -> None:
    text = hosts.run("cat", TEXT_FILE)
    assert promtool("check", "metrics", stdin=text) == ""
    assert hosts.run("stat", "--format=%a %U", TEXT_FILE).split() == ["644", "root"]


def test_prometheus_has_the_exporters_metrics_and_the_counters(hosts: Hosts) -> None:
    for peer in (True, False):
        hosts.traffic("serve", peer=peer)
        until(partial(hosts.run, "ss", "-Htln", "sport", "=", ":7001", peer=peer))
    hosts.traffic("send", PEER, "10", "60")
    hosts.traffic("send", ADDRESS, "6", "5", peer=True)
    hosts.traffic("connect", PEER, str(SHORT), "20")
    hosts.start_prometheus()
    hosts.export()
    names = set(re.findall(r"^(netfleet_tcp_\w+)", hosts.run("cat", TEXT_FILE), re.MULTILINE))
    assert len(names) > 30
    until(lambda: hosts.query('netfleet_tcp_rtt_mean_low_seconds{peers="local"}'), meanwhile=hosts.export)
    scraped = set(hosts.ask("label/__name__/values"))
    assert names <= scraped
    assert {
        "node_netstat_TcpExt_TCPOrigDataSent",
        "node_netstat_Tcp_AttemptFails",
        "node_netstat_Udp_InDatagrams",
    } <= scraped
    assert list(hosts.query("node_textfile_scrape_error").values()) == [0]
    assert list(hosts.query('netfleet_tcp_group_info{group="web",instance="web1"}').values()) == [1]
    assert list(hosts.query('netfleet_tcp_rtt_target_seconds{peers="local"}').values()) == [0.005]


def count_waiting(hosts: Hosts) -> int:
    return len(hosts.run("ss", "-Htn", "state", "time-wait").splitlines())


def scraped_look(hosts: Hosts) -> float:
    """When the look was taken of which Prometheus has the figures."""
    return max(hosts.query("netfleet_tcp_exporter_last_success_timestamp_seconds").values(), default=0.0)


def test_what_is_scraped_is_what_the_kernel_says(hosts: Hosts) -> None:
    waiting = [count_waiting(hosts)]
    began = time.time()
    hosts.export()
    until(lambda: scraped_look(hosts) >= began)
    open_now = len(hosts.run("ss", "-Htn", "state", "established", "dport", "=", ":7001").splitlines())
    assert open_now == 10
    accepted = len(hosts.run("ss", "-Htn", "state", "established", "sport", "=", ":7001").splitlines())
    assert list(hosts.query('netfleet_tcp_service_connections{port="7001"}').values()) == [accepted]
    (service,) = (dict(labels)["service"] for labels in hosts.query('netfleet_tcp_service_connections{port="7001"}'))
    assert service.startswith("python3")
    (seen,) = hosts.query('netfleet_tcp_sockets{state="TIME-WAIT"}').values()
    waiting.append(count_waiting(hosts))
    # Between the two looks at all of them; a few end in between, and what Prometheus has may be of a look before.
    assert min(waiting) - 40 <= seen <= max(waiting) + 20


def test_traffic_without_a_fault_lets_no_alert_fire(hosts: Hosts) -> None:
    until(lambda: hosts.query('instance:netfleet_tcp_of:increase15m{indicator="retransmission"} >= 1000'))
    for _second in range(6):
        hosts.export()
        assert hosts.firing() == set()
        time.sleep(1)
    rated = {dict(labels)["indicator"] for labels in hosts.query("instance:netfleet_tcp_bad:ratio15m")}
    assert rated == {"client_success", "server_success", "retransmission", "syn_retransmission"}


def test_loss_on_the_way_lets_the_alert_fire_and_its_end_clears_it(hosts: Hosts) -> None:
    by = hosts.lose(5)
    until_fires(hosts, "TcpRetransmission")
    (share,) = hosts.query('instance:netfleet_tcp_bad:ratio15m{indicator="retransmission"}').values()
    assert 0.01 < share < 0.15, by
    (furthest,) = queries()[FURTHEST]
    assert ("indicator", "retransmission") in max(hosts.query(furthest).items(), key=lambda entry: entry[1])[0]
    hosts.lose(0)
    until_clears(hosts, "TcpRetransmission")


def test_a_host_that_talks_to_itself_until_no_port_is_left(hosts: Hosts) -> None:
    before = hosts.run("sysctl", "-n", "net.ipv4.ip_local_port_range").split()
    hosts.run("sysctl", "-w", "net.ipv4.ip_local_port_range=40000 40199", "net.ipv4.tcp_tw_reuse=0")
    short = hosts.traffic("connect", "127.0.0.1", str(SHORT), "100")
    until_fires(hosts, "TcpLocalPortsScarce")
    assert hosts.query(f'netfleet_tcp_local_ports_used_ratio{{peers="loopback",port="{SHORT}"}} >= 0.8')
    hosts.end(short)
    hosts.run("sysctl", "-w", f"net.ipv4.ip_local_port_range={' '.join(before)}")
    until_clears(hosts, "TcpLocalPortsScarce")


def test_what_somebody_changes_by_hand_is_drift(hosts: Hosts, tmp_path: Path) -> None:
    play = tmp_path / "declare.yml"
    play.write_text(
        "- hosts: all\n  gather_facts: false\n  tasks:\n"
        "    - netfleet.tcp.sysctl_file:\n"
        "        name: 80-keepalive\n"
        "        values: {net.ipv4.tcp_keepalive_time: 120, net.ipv4.tcp_fin_timeout: 30}\n"
        "        boot_conflict: warn\n"
    )
    hosts.playbook(str(play))
    hosts.export()
    drift = 'netfleet_tcp_drift{declaration="80-keepalive",where="running"}'
    until(lambda: list(hosts.query(drift).values()) == [0])
    hosts.run("sysctl", "-w", "net.ipv4.tcp_fin_timeout=60")
    until_fires(hosts, "TcpDrift")
    (labels,) = hosts.query('netfleet_tcp_drift_info{where="running"}')
    assert dict(labels)["key"] == "net.ipv4.tcp_fin_timeout"


def test_every_query_of_the_dashboard_is_answered_by_metrics_that_were_scraped(hosts: Hosts) -> None:
    silent = {title for title, expressions in queries().items() for each in expressions if not hosts.query(each)}
    # Nobody may track connections here; nobody misses a target by now.
    assert silent <= {"Connection tracking", FURTHEST}


def test_drift_that_is_put_right_clears(hosts: Hosts) -> None:
    hosts.run("sysctl", "-w", "net.ipv4.tcp_fin_timeout=30")
    until_clears(hosts, "TcpDrift")


def test_taken_away_nothing_is_left_and_node_exporter_has_its_flags_back(hosts: Hosts) -> None:
    before = Path(DEFAULTS).read_text(encoding="utf-8")
    assert hosts.run("cat", DEFAULTS) != before
    _said, counts = hosts.playbook(PLAYBOOK, tcp_monitoring_state="absent")
    assert (counts["changed"], counts["failed"]) == (1, 0)
    assert hosts.run("cat", DEFAULTS) == before
    assert hosts.run("ls", "-R", DIRECTORY, "/etc/systemd/system").count("netfleet") == 0
    until(lambda: hosts.query("up") and not hosts.query("node_netstat_TcpExt_TCPOrigDataSent"))
    until(lambda: "TcpExporterGone" in hosts.firing(), 45)
    _said, counts = hosts.playbook(PLAYBOOK, tcp_monitoring_state="absent")
    assert counts["changed"] == 0


def test_a_prometheus_server_gets_the_rules_and_is_told_once(hosts: Hosts) -> None:
    hosts.run("mkdir", "/run/rules")
    given = {
        **VARIABLES,
        "tcp_monitoring_rules_directory": "/run/rules",
        "tcp_monitoring_runbooks": "https://docs.example.net/monitoring",
    }
    # The exporter, the rules, and that Prometheus is told of them.
    for changed in (3, 0):
        _said, counts = hosts.playbook(PLAYBOOK, server=True, **given)
        assert (counts["changed"], counts["failed"]) == (changed, 0)
    assert hosts.run("cat", "/run/fake-systemd/reloaded") == "prometheus\n"
    there = hosts.run("cat", "/run/rules/netfleet-tcp.rules.yml")
    assert "runbook_url: https://docs.example.net/monitoring#tcprtt\n" in there
    assert there == RULES.read_text(encoding="utf-8").replace("docs/monitoring.md", given["tcp_monitoring_runbooks"])
    hosts.playbook(PLAYBOOK, server=True, **{**given, "tcp_monitoring_state": "absent"})
    assert hosts.run("ls", "/run/rules") == ""
