# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a look at a host's TCP to metrics: what node_exporter has no metric for. Pure.

Counters are not among them: node_exporter has these, and Prometheus keeps what they were. The number of series is
bounded: peers go by class and never by address, services and ports are the longest few, and what of them is cut is a
metric too.
"""

from __future__ import annotations

import re
import socket
from typing import Dict, Iterable, Iterator, List, Mapping, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._health import WINDOW_SCALING, Asked
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import (
    LOOPBACK,
    Health,
    Holder,
    Listener,
    PeerClass,
    PortUse,
    Sockets,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._indicators import MEASURES
from ansible_collections.netfleet.tcp.plugins.module_utils._metrics import Metric, Sample, by_label, gauge, of
from ansible_collections.netfleet.tcp.plugins.module_utils._peer_classes import PeerClasses

# Percent of the local ports between two addresses from which on the port is named. Below it is most often one of the
# many that are open to no purpose of their own, another each time.
_NAMED_FROM = 1.0
# Of units and scopes whose names are another one each time that they are started.
_PASSING = re.compile(r"(?:run-|session-|docker-|libpod-|crio-|init\.scope)|.*[0-9a-f]{12}|.*\.scope\Z")
_STATES = ("time_wait", "open")


def health_metrics(health: Health, asked: Asked) -> Iterator[Metric]:
    """The metrics of a look that asked for this."""
    yield from _targets(asked)
    yield from _peers(health.sockets.peers)
    yield from _rtts(health.sockets.peers)
    yield from _sockets(health.sockets)
    yield from _services(health.sockets)
    yield from _listeners(health.sockets)
    yield from _ports(health, PeerClasses(asked.peers))
    scaling = health.settings.get(WINDOW_SCALING)
    if scaling is not None:
        yield gauge("window_scaling_enabled", "Whether new connections may scale their windows.", of(int(scaling)))
    lacking = {text.partition(":")[0]: 1.0 for text in health.limits}
    text = "1 for each part of the look at sockets that this kernel or user cannot see as a whole."
    yield gauge("look_incomplete", text, *by_label(lacking, "part"))


def service_of(holder: Holder) -> str:
    """What a service is called by, so that it has the same name after it was started anew; empty where nobody knows.

    A unit by its name; a container by its runtime and its process, since its id is another one each time.
    """
    if holder.container:
        return "%s/%s" % (holder.container.partition(":")[0], holder.process)
    if holder.unit and not _PASSING.match(holder.unit):
        return holder.unit[: -len(".service")] if holder.unit.endswith(".service") else holder.unit
    return holder.process


def _targets(asked: Asked) -> Iterator[Metric]:
    text = "The share that may fail, or be sent again, for the indicator to be within its target on this host."
    shares = {
        name: _ratio(100.0 - target if MEASURES[name].success else target) for name, target in asked.targets.items()
    }
    yield gauge("allowed_ratio", text, *by_label(shares, "indicator"))
    times = {name: _seconds(milliseconds) for name, milliseconds in asked.rtt_targets.items()}
    text = "What the mean RTT to peers of the class is to be below on this host."
    yield gauge("rtt_target_seconds", text, *by_label(times, "peers"))


def _peers(peers: Mapping[str, PeerClass]) -> Iterator[Metric]:
    whose = "Of established connections to peers of the class, without those of the host to itself: "
    counts = (
        ("peer_connections", whose + "how many there are.", "connections"),
        ("peer_connections_without_window_scale", whose + "those without window scale.", "without_window_scale"),
        ("peer_segments", whose + "data segments sent since they began.", "segments"),
        ("peer_retransmitted_segments", whose + "segments sent again, SYNs too.", "retransmitted"),
    )
    for name, text, field in counts:
        yield gauge(
            name, text, *by_label({of_class: getattr(each, field) for of_class, each in peers.items()}, "peers")
        )
    times = (
        ("peer_busy_seconds", whose + "time with data to send.", "busy"),
        ("peer_receive_window_limited_seconds", "Of it, waiting for the peer's window.", "receive_window_limited"),
        ("peer_send_buffer_limited_seconds", "Of it, waiting for room in the own buffer.", "send_buffer_limited"),
    )
    for name, text, field in times:
        values = {of_class: _seconds(getattr(each, field)) for of_class, each in peers.items()}
        yield gauge(name, text, *by_label(values, "peers"))


def _rtts(peers: Mapping[str, PeerClass]) -> Iterator[Metric]:
    rtts = {name: each.rtt for name, each in peers.items()}
    used = "connections that sent and received within a minute"
    sizes = {name: rtt.connections for name, rtt in rtts.items()}
    yield gauge("rtt_connections", "%s, by which the RTT is told." % used.capitalize(), *by_label(sizes, "peers"))
    numbers = (
        ("rtt_mean_seconds", "Mean of the smoothed RTT of %s." % used, "mean"),
        ("rtt_mean_low_seconds", "The mean RTT is above this with 95 % confidence.", "low"),
        ("rtt_mean_high_seconds", "The mean RTT is below this with 95 % confidence.", "high"),
        ("rtt_p50_seconds", "Median of the smoothed RTT of %s." % used, "p50"),
        ("rtt_p95_seconds", "95th percentile of the smoothed RTT of %s." % used, "p95"),
        (
            "rtt_minimum_p50_seconds",
            "Median of the lowest RTT that each has seen: the way without queues.",
            "minimum_p50",
        ),
    )
    for name, text, field in numbers:
        found = {of_class: getattr(rtt, field) for of_class, rtt in rtts.items()}
        known = {of_class: _seconds(value) for of_class, value in found.items() if value is not None}
        yield gauge(name, text, *by_label(known, "peers"))


def _sockets(sockets: Sockets) -> Iterator[Metric]:
    yield gauge("sockets", "TCP sockets by state, as ss calls it.", *by_label(sockets.states, "state"))
    text = "Established connections by congestion control."
    yield gauge("congestion_control_connections", text, *by_label(sockets.congestion_control, "algorithm"))
    text = "Established connections of the host to itself; both ends count."
    yield gauge("loopback_connections", text, of(sockets.loopback))
    text = "Established connections from local ports that nobody listens on."
    yield gauge("outgoing_connections", text, of(sockets.outgoing))


def _services(sockets: Sockets) -> Iterator[Metric]:
    samples = [
        of(service.connections, port=str(service.port), service=_named(service.holders)) for service in sockets.services
    ]
    yield gauge("service_connections", "Established connections to the port that the service listens on.", *samples)
    inbound = sockets.states.get("ESTAB", 0) - sockets.outgoing
    left = inbound - sum(service.connections for service in sockets.services)
    text = "Established connections to services beyond those with the most."
    yield gauge("service_connections_not_shown", text, of(max(0, left)))


def _named(holders: Iterable[Holder]) -> str:
    """Of several, the first by name: which process is found first is chance."""
    return min((service_of(holder) for holder in holders), default="")


def _listeners(sockets: Sockets) -> Iterator[Metric]:
    by_port: Dict[int, List[Listener]] = {}
    for each in sockets.listeners:
        by_port.setdefault(each.port, []).append(each)
    fullest = {port: max(listeners, key=_fill) for port, listeners in by_port.items()}
    labels = {
        port: (("port", str(port)), ("service", _named(each.holder for each in by_port[port]))) for port in by_port
    }
    one = "the fullest queue of a listening socket of the port"
    numbers = (
        ("listener_backlog", "Connections that wait to be accepted, in %s." % one, lambda each: each.backlog),
        ("listener_backlog_limit", "How many may wait, in %s." % one, lambda each: each.limit),
        ("listener_drops", "Connections that found no room since it listens, in %s." % one, lambda each: each.drops),
    )
    for name, text, value in numbers:
        yield gauge(name, text, *(Sample(value(each), labels[port]) for port, each in fullest.items()))
    left = sockets.states.get("LISTEN", 0) - len(sockets.listeners)
    yield gauge("listeners_not_shown", "Listening sockets beyond those with the fullest queues.", of(max(0, left)))


def _fill(listener: Listener) -> Tuple[float, int]:
    return listener.backlog / max(1, listener.limit), listener.drops


def _ports(health: Health, classes: PeerClasses) -> Iterator[Metric]:
    text = "Local ports that connections may take from one address to one other address and port."
    yield gauge("local_ports_available", text, of(health.ports.available))
    most = health.ports.most_used[:1]
    yield gauge(
        "local_ports_used_max_ratio",
        "Share of the local ports that the two addresses with the most between them hold.",
        of(_ratio(most[0].percent) if most else 0.0),
    )
    named: Dict[Tuple[str, int], PortUse] = {}
    for use in health.ports.most_used:
        if use.percent >= _NAMED_FROM:
            # The one with the most comes first.
            named.setdefault((_class_of(use, classes), use.port), use)
    pair = "between the two addresses that hold the most to the port of a peer of the class"
    ratios = [of(_ratio(use.percent), peers=peers, port=str(port)) for (peers, port), use in named.items()]
    yield gauge("local_ports_used_ratio", "Share of the local ports in use %s." % pair, *ratios)
    counts = [
        of(getattr(use, state), peers=peers, port=str(port), state=state)
        for (peers, port), use in named.items()
        for state in _STATES
    ]
    yield gauge("local_ports_used", "Local ports in use %s." % pair, *counts)


def _class_of(use: PortUse, classes: PeerClasses) -> str:
    if use.source == use.destination:
        return LOOPBACK
    family = socket.AF_INET6 if ":" in use.destination else socket.AF_INET
    return classes.of(family, socket.inet_pton(family, use.destination).ljust(16, b"\0"))


def _ratio(percent: float) -> float:
    return round(percent / 100.0, 9)


def _seconds(milliseconds: float) -> float:
    return round(milliseconds / 1000.0, 9)
