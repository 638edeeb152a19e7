# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics of a look: the recorded host, services and ports that are named, and what is cut of them."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._health import Asked, look
from ansible_collections.netfleet.tcp.plugins.module_utils._health_metrics import health_metrics, service_of
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import Holder
from ansible_collections.netfleet.tcp.plugins.module_utils._metrics import PREFIX, Metric, render
from tests.unit.plugins.recorded_sockets import DONE, SocketHost, listener, message, tcp_info

V4 = socket.AF_INET
TIME_WAIT = 6
# Base units of Prometheus, and words for numbers of things.
ENDINGS = re.compile(
    r"_(seconds|ratio|connections|segments|scale|sockets|backlog|limit|drops|shown|available|used|enabled|incomplete)\Z"
)


def metrics_of(host: SocketHost, **asked: object) -> dict[str, float]:
    """Values by name and labels."""
    wanted = Asked(**{"peers": {"local": ["10.0.0.0/8"]}, **asked})  # type: ignore[arg-type]
    return values(health_metrics(look(host, wanted), wanted))


def values(metrics: Iterable[Metric]) -> dict[str, float]:
    lines = [line for line in render(metrics).splitlines() if not line.startswith("#")]
    return {name[len(PREFIX) :]: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def crowd(number: int, port: int = 443, state: int = 1, rtt: int = 2000) -> list[bytes]:
    info = tcp_info(rtt=rtt, min_rtt=1000, segments=10, retransmitted=1) if state == 1 else b""
    return [message(("10.0.0.1", 40000 + each), ("10.0.0.2", port), state, info) for each in range(number)]


def test_the_recorded_host_in_base_units() -> None:
    host = SocketHost()
    asked = Asked(
        peers={"local": ["10.1.0.0/24"]},
        targets={"client_success": 99.9, "retransmission": 0.5},
        rtt_targets={"local": 5},
    )
    health = look(host, asked)
    metrics = list(health_metrics(health, asked))
    found = values(metrics)
    rtt = health.sockets.peers["local"].rtt
    assert rtt.mean
    assert found['rtt_mean_seconds{peers="local"}'] == pytest.approx(rtt.mean / 1000)
    assert found['rtt_p95_seconds{peers="local"}'] == pytest.approx((rtt.p95 or 0) / 1000)
    assert found['rtt_target_seconds{peers="local"}'] == 0.005
    assert found['allowed_ratio{indicator="client_success"}'] == 0.001
    assert found['allowed_ratio{indicator="retransmission"}'] == 0.005
    assert found['sockets{state="ESTAB"}'] == health.sockets.states["ESTAB"]
    assert found["local_ports_available"] == health.ports.available
    assert {PREFIX + name.partition("{")[0] for name in found} <= {metric.name for metric in metrics}
    assert all(metric.name.startswith(PREFIX) and ENDINGS.search(metric.name) for metric in metrics)
    assert all(metric.help.endswith(".") and metric.kind == "gauge" for metric in metrics)


def test_of_a_few_connections_the_mean_has_no_bounds() -> None:
    host = SocketHost(recorded=False)
    host.answer(V4, "others", *crowd(4), DONE)
    found = metrics_of(host)
    assert found['rtt_connections{peers="local"}'] == 4
    assert found['rtt_mean_seconds{peers="local"}'] == 0.002
    assert 'rtt_mean_low_seconds{peers="local"}' not in found
    host.answer(V4, "others", *crowd(5), DONE)
    assert metrics_of(host)['rtt_mean_low_seconds{peers="local"}'] == 0.002
    # Nobody there: no RTT at all, rather than one of 0.
    assert 'rtt_mean_seconds{peers="other"}' not in found


def test_services_are_those_with_the_most_and_the_rest_is_counted() -> None:
    host = SocketHost(recorded=False)
    host.answer(V4, "listening", *(listener(port, port) for port in range(1000, 1010)), DONE)
    inbound = [
        message(("10.0.0.1", port), ("10.0.0.9", 50000 + each), 1, tcp_info(rtt=1000))
        for port in range(1000, 1010)
        for each in range(port - 999)
    ]
    host.answer(V4, "others", *inbound, *crowd(3), DONE)
    host.held = {1009: 7, 1008: 8}
    host.put("/proc/7/comm", "nginx\n")
    host.put("/proc/7/cgroup", "0::/system.slice/nginx.service\n")
    host.put("/proc/8/comm", 'we"ird\\\n')
    host.put("/proc/8/cgroup", "0::/user.slice/session-4.scope\n")
    found = metrics_of(host, top=3)
    services = {name: value for name, value in found.items() if name.startswith("service_connections{")}
    assert services == {
        'service_connections{port="1009",service="nginx"}': 10,
        'service_connections{port="1008",service="we\\"ird\\\\"}': 9,
        'service_connections{port="1007",service=""}': 8,
    }
    assert found["service_connections_not_shown"] == sum(range(1, 8))
    assert found["outgoing_connections"] == 3
    assert found["listeners_not_shown"] == 7


@pytest.mark.parametrize(
    ("holder", "name"),
    [
        (Holder("nginx", 1, "nginx.service"), "nginx"),
        (Holder("postgres", 1, "postgresql@15-main.service"), "postgresql@15-main"),
        (Holder("nginx", 1, "", "docker:0123456789ab"), "docker/nginx"),
        (Holder("python3", 1, "session-12.scope"), "python3"),
        (Holder("sleep", 1, "run-r8a1.service"), "sleep"),
        (Holder("app", 1, "app-8c2f0e1d3b5a.service"), "app"),
        (Holder("init", 1, "init.scope"), "init"),
        (Holder(), ""),
    ],
)
def test_a_service_is_called_the_same_after_it_was_started_anew(holder: Holder, name: str) -> None:
    assert service_of(holder) == name


def test_the_fullest_queue_of_a_port_stands_for_it() -> None:
    host = SocketHost(recorded=False)
    queues = [listener(80, 1, 3, 128), listener(80, 2, 128, 128, 9), listener(80, 3, 0, 4096, 700), listener(22, 4)]
    host.answer(V4, "listening", *queues, DONE)
    host.held = dict.fromkeys((1, 2, 3), 7)
    host.put("/proc/7/comm", "worker\n")
    found = metrics_of(host)
    assert found['listener_backlog{port="80",service="worker"}'] == 128
    assert found['listener_backlog_limit{port="80",service="worker"}'] == 128
    assert found['listener_drops{port="80",service="worker"}'] == 9
    assert found["listeners_not_shown"] == 0


def test_ports_are_named_by_the_class_of_the_peer_and_never_by_an_address() -> None:
    host = SocketHost(recorded=False)
    host.sysctls["net.ipv4.ip_local_port_range"] = "40000 40999"
    there = [message(("10.0.0.1", 40000 + each), ("10.0.0.2", 443), TIME_WAIT) for each in range(400)]
    less = [message(("10.0.0.1", 40000 + each), ("10.0.0.3", 443), TIME_WAIT) for each in range(100)]
    own = [message(("127.0.0.1", 40000 + each), ("127.0.0.1", 1234), TIME_WAIT) for each in range(900)]
    few = [message(("10.0.0.1", 40000 + each), ("10.0.0.4", 8443), TIME_WAIT) for each in range(9)]
    host.answer(V4, "others", *there, *less, *own, *few, *crowd(50), DONE)
    text = render(
        health_metrics(look(host, Asked(peers={"local": ["10.0.0.0/8"]})), Asked(peers={"local": ["10.0.0.0/8"]}))
    )
    assert not re.search(r"\d+\.\d+\.\d+\.\d+", text)
    found = metrics_of(host)
    assert found["local_ports_available"] == 1000
    assert found["local_ports_used_max_ratio"] == 0.9
    assert {name: value for name, value in found.items() if name.startswith("local_ports_used_ratio{")} == {
        'local_ports_used_ratio{peers="loopback",port="1234"}': 0.9,
        'local_ports_used_ratio{peers="local",port="443"}': 0.45,
    }
    assert found['local_ports_used{peers="local",port="443",state="open"}'] == 50
    assert found['local_ports_used{peers="local",port="443",state="time_wait"}'] == 400


def test_nothing_in_use_is_nothing_and_not_missing() -> None:
    found = metrics_of(SocketHost(recorded=False))
    assert found["local_ports_used_max_ratio"] == 0
    assert found['peer_connections{peers="local"}'] == 0
    assert found["service_connections_not_shown"] == 0


def test_what_this_kernel_does_not_tell_is_named() -> None:
    host = SocketHost(recorded=False)
    host.answer(V4, "others", message(("10.0.0.1", 40000), ("10.0.0.2", 443), 1, tcp_info()[:104]), DONE)
    host.answer(socket.AF_INET6, "others")
    found = metrics_of(host)
    assert found['look_incomplete{part="the lowest RTT of connections (Linux 4.6)"}'] == 1
    assert found['look_incomplete{part="sockets"}'] == 1


def test_window_scaling_that_is_off_shows() -> None:
    host = SocketHost(recorded=False)
    host.sysctls["net.ipv4.tcp_window_scaling"] = "0"
    info = tcp_info(options=3)
    host.answer(V4, "others", message(("10.0.0.1", 40000), ("10.0.0.2", 443), 1, info), DONE)
    found = metrics_of(host)
    assert found["window_scaling_enabled"] == 0
    assert found['peer_connections_without_window_scale{peers="local"}'] == 1


def test_the_number_of_series_is_bounded_whatever_the_host_does() -> None:
    host = SocketHost(recorded=False)
    host.sysctls["net.ipv4.ip_local_port_range"] = "40000 40099"
    host.answer(V4, "listening", *(listener(port, port, 1) for port in range(1, 3000)), DONE)
    everybody = [
        message(
            ("10.0.0.1", 40000 + each % 100), ("10.%d.%d.2" % (each // 250, each % 250), 443 + each % 60), TIME_WAIT
        )
        for each in range(20000)
    ]
    host.answer(V4, "others", *everybody, DONE)
    assert len(metrics_of(host, top=20)) < 6 * 20 + 60
