# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is on the Grafana dashboard of the role tcp_monitoring: rows, panels, queries and variables, as data.

A panel shows the hosts that are chosen: which these can be depends on the group, and which services on the hosts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# Regexps: of one or several that are chosen, or all there are.
HOSTS = 'instance=~"$host"'
GROUPS = 'group=~"$group"'
SERVICES = 'service=~"$service"'
STAT, GRAPH, TABLE = "stat", "timeseries", "table"


@dataclass(frozen=True)
class Query:
    """A query, and how its series are called."""

    expression: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """unit: by Grafana's name. maximum: of the axis. warning, error: a value is coloured from there on; enough: below.

    hidden: columns that a table leaves out; value: what that of its values is called, which is left out where it is
    empty. stacked: whether series are put on top of each other.
    """

    kind: str
    title: str
    description: str
    queries: tuple[Query, ...]
    width: int
    unit: str = "short"
    warning: float | None = None
    error: float | None = None
    enough: float | None = None
    hidden: tuple[str, ...] = ()
    value: str = ""
    stacked: bool = False
    maximum: float | None = None


def count(title: str, description: str, expression: str, error: float | None = 1) -> Panel:
    """A number of things of which there should be none; or, without error, of which there may be any."""
    return Panel(STAT, title, description, (Query(f"({expression}) or vector(0)"),), 4, error=error)


def graph(title: str, description: str, *queries: Query, width: int = 8, **more: Any) -> Panel:
    """Lines over time."""
    return Panel(GRAPH, title, description, queries, width, **more)


def facts(
    title: str, description: str, expression: str, *hidden: str, width: int = 8, value: str = "", **more: Any
) -> Panel:
    """A table of what is now. value: what its last column is called; empty where the labels say it all."""
    return Panel(TABLE, title, description, (Query(expression),), width, hidden=hidden, value=value, **more)


def success(indicator: str) -> Query:
    """The share that succeeded, by group."""
    return Query(f'1 - group:netfleet_tcp_bad:ratio15m{{indicator="{indicator}", {GROUPS}}}', "{{group}}")


def share(indicator: str) -> Query:
    """The share that was sent again, by group."""
    return Query(f'group:netfleet_tcp_bad:ratio15m{{indicator="{indicator}", {GROUPS}}}', "{{group}}")


def by_class(name: str) -> str:
    """A mean RTT over all hosts that are chosen: each connection counts once."""
    connections = f"netfleet_tcp_rtt_connections{{{HOSTS}}}"
    return f"sum by (peers) (netfleet_tcp_{name}{{{HOSTS}}} * {connections}) / sum by (peers) ({connections} > 0)"


BUSY = f"sum by (peers) (netfleet_tcp_peer_busy_seconds{{{HOSTS}}} > 0)"
MISSED = f"instance:netfleet_tcp_bad_low:ratio15m{{{HOSTS}}} / netfleet_tcp_allowed_ratio{{{HOSTS}}}"
ROWS: dict[str, tuple[Panel, ...]] = {
    "Fleet": (
        count(
            "Hosts", "Hosts whose exporter is seen.", f"count(netfleet_tcp_exporter_interval_seconds{{{HOSTS}}})", None
        ),
        count("Connections", "Established connections.", f'sum(netfleet_tcp_sockets{{{HOSTS}, state="ESTAB"}})', None),
        count(
            "Alerts", "Alerts of TCP that fire.", f'count(ALERTS{{{HOSTS}, alertname=~"Tcp.*", alertstate="firing"}})'
        ),
        count(
            "Outside targets",
            "Hosts that miss the target of an indicator, with 95 % confidence.",
            f"count(count by (instance) ({MISSED} >= 1))",
        ),
        count(
            "Drifted",
            "Hosts on which something is not as it was tuned.",
            f"count(count by (instance) (netfleet_tcp_drift{{{HOSTS}}} > 0))",
        ),
        count(
            "Exporters silent",
            "Hosts whose exporter has not looked at all there is for three intervals.",
            f"count(time() - netfleet_tcp_exporter_last_success_timestamp_seconds{{{HOSTS}}}"
            f" > 60 + 3 * netfleet_tcp_exporter_interval_seconds{{{HOSTS}}})",
        ),
    ),
    "The four indicators, by group": (
        graph(
            "Connections established",
            "Of the connections that hosts opened in 15 minutes, those established. Target: more than 99.9 %.",
            success("client_success"),
            unit="percentunit",
            enough=0.999,
            maximum=1,
        ),
        graph(
            "Connections accepted",
            "Of the connections to listeners in 15 minutes, those that found room. Target: more than 99.9 %.",
            success("server_success"),
            unit="percentunit",
            enough=0.999,
            maximum=1,
        ),
        graph(
            "Retransmission",
            "Of the data segments that hosts sent in 15 minutes, those sent again. Target: less than 0.5 %.",
            share("retransmission"),
            unit="percentunit",
            error=0.005,
        ),
        graph(
            "SYNs sent again",
            "For each connection opened or accepted in 15 minutes. Target: less than 2 %.",
            share("syn_retransmission"),
            unit="percentunit",
            error=0.02,
        ),
        graph(
            "RTT by class of peers",
            "Mean of the connections of all hosts that are chosen, and what it is to be below.",
            Query(by_class("rtt_mean_seconds"), "{{peers}}"),
            Query(f"min by (peers) (netfleet_tcp_rtt_target_seconds{{{HOSTS}}})", "{{peers}}, target"),
            unit="s",
        ),
        graph(
            "Connections by service",
            "Established connections to the services with the most; what is cut on the hosts is shown as a series too.",
            Query(
                f"topk(15, sum by (service) (netfleet_tcp_service_connections{{{HOSTS}, {SERVICES}}}))", "{{service}}"
            ),
            Query(f"sum(netfleet_tcp_service_connections_not_shown{{{HOSTS}}})", "not named"),
            stacked=True,
        ),
    ),
    "Hosts": (
        facts(
            "Furthest from their targets",
            "How many times the share that is allowed; with 95 % confidence, it is at least that.",
            f"topk(20, {MISSED} > 0)",
            "job",
            value="times what is allowed",
            warning=0.5,
            error=1,
        ),
        graph(
            "Retransmission by host",
            "The ten with the most.",
            Query(
                f'topk(10, instance:netfleet_tcp_bad:ratio15m{{{HOSTS}, indicator="retransmission"}})', "{{instance}}"
            ),
            unit="percentunit",
            error=0.005,
        ),
        graph(
            "RTT by host",
            "The 95th percentile, of the ten hosts and classes of peers with the highest.",
            Query(f"topk(10, netfleet_tcp_rtt_p95_seconds{{{HOSTS}}})", "{{instance}} to {{peers}}"),
            unit="s",
        ),
        graph(
            "Connections opened and accepted",
            "A second, of the ten hosts with the most. A spike of short connections shows here.",
            Query(f"topk(10, instance:netfleet_tcp_connections:rate5m{{{HOSTS}}})", "{{instance}}"),
            unit="cps",
        ),
        graph(
            "Sockets by state",
            "Of all hosts that are chosen.",
            Query(f"sum by (state) (netfleet_tcp_sockets{{{HOSTS}}})", "{{state}}"),
            stacked=True,
        ),
        graph(
            "Local ports in use",
            "Between the two addresses that hold the most, by port and class of the peer. loopback: the host itself.",
            Query(f"topk(10, netfleet_tcp_local_ports_used_ratio{{{HOSTS}}})", "{{instance}} to {{peers}}:{{port}}"),
            unit="percentunit",
            warning=0.8,
            error=0.97,
            maximum=1,
        ),
        graph(
            "Queues of listening sockets",
            "How full the fullest is, of the ten fullest.",
            Query(
                f"topk(10, netfleet_tcp_listener_backlog{{{HOSTS}, {SERVICES}}}"
                f" / (netfleet_tcp_listener_backlog_limit{{{HOSTS}, {SERVICES}}} > 0))",
                "{{instance}} {{service}}:{{port}}",
            ),
            unit="percentunit",
            error=1,
        ),
        graph(
            "Dropped and overflowed",
            "A second, of all hosts that are chosen.",
            Query(f"sum(rate(node_netstat_TcpExt_ListenDrops{{{HOSTS}}}[5m]))", "dropped by listeners"),
            Query(f"sum(rate(node_netstat_TcpExt_ListenOverflows{{{HOSTS}}}[5m]))", "accept queue full"),
            Query(f"sum(rate(node_netstat_TcpExt_TCPReqQFullDrop{{{HOSTS}}}[5m]))", "half-open queue full"),
            Query(f"sum(rate(node_netstat_TcpExt_TCPTimeWaitOverflow{{{HOSTS}}}[5m]))", "TIME-WAIT table full"),
            unit="cps",
        ),
        graph(
            "Connection tracking",
            "How full the table is, of the ten fullest. Hosts without connection tracking have none.",
            Query(
                f"topk(10, node_nf_conntrack_entries{{{HOSTS}}} / node_nf_conntrack_entries_limit{{{HOSTS}}})",
                "{{instance}}",
            ),
            unit="percentunit",
            warning=0.8,
            error=0.9,
            maximum=1,
        ),
        graph(
            "Without window scale",
            "Share of the established connections, of the ten hosts with the most.",
            Query(
                f"topk(10, sum by (instance) (netfleet_tcp_peer_connections_without_window_scale{{{HOSTS}}})"
                f" / sum by (instance) (netfleet_tcp_peer_connections{{{HOSTS}}} > 0))",
                "{{instance}}",
            ),
            unit="percentunit",
            error=0.05,
        ),
        graph(
            "What holds connections up",
            "Of the time with data to send of open connections, what went by waiting for the peer's window, or for room"
            " in the own buffer.",
            Query(
                f"sum by (peers) (netfleet_tcp_peer_receive_window_limited_seconds{{{HOSTS}}}) / {BUSY}",
                "{{peers}}, the peer's window",
            ),
            Query(
                f"sum by (peers) (netfleet_tcp_peer_send_buffer_limited_seconds{{{HOSTS}}}) / {BUSY}",
                "{{peers}}, the own buffer",
            ),
            unit="percentunit",
            maximum=1,
        ),
        graph(
            "Congestion control",
            "Established connections by algorithm.",
            Query(f"sum by (algorithm) (netfleet_tcp_congestion_control_connections{{{HOSTS}}})", "{{algorithm}}"),
            stacked=True,
        ),
    ),
    "What was declared": (
        facts(
            "Profiles",
            "The declarations that hosts remember, with the profile that their file names.",
            f"netfleet_tcp_declaration_info{{{HOSTS}}}",
            "job",
        ),
        facts(
            "Latest changes",
            "The latest change of each host that has ended, and what became of it.",
            f"netfleet_tcp_last_change_info{{{HOSTS}}}",
            "job",
        ),
        facts(
            "What differs",
            "In the running kernel, at the next boot, in files. Of each host the first ones.",
            f"netfleet_tcp_drift_info{{{HOSTS}}}",
            "job",
        ),
        graph(
            "Drift",
            "Things that are not as they were tuned, of all hosts that are chosen.",
            Query(f"sum by (where) (netfleet_tcp_drift{{{HOSTS}}})", "{{where}}"),
            width=12,
        ),
        graph(
            "The exporter itself",
            "How long a look takes, and how long ago the last one that saw all there is was: the worst host.",
            Query(f"max(netfleet_tcp_exporter_duration_seconds{{{HOSTS}}})", "duration"),
            Query(f"max(time() - netfleet_tcp_exporter_last_success_timestamp_seconds{{{HOSTS}}})", "age"),
            unit="s",
            width=12,
        ),
    ),
}
# Name, label, query: the values that it offers.
VARIABLES = (
    ("group", "Group", "label_values(netfleet_tcp_group_info, group)"),
    ("host", "Host", f"label_values(netfleet_tcp_group_info{{{GROUPS}}}, instance)"),
    ("service", "Service", f"label_values(netfleet_tcp_service_connections{{{HOSTS}}}, service)"),
)
