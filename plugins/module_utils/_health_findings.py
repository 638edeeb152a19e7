# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a look at a host's TCP to findings: what is outside its target, and what is wrong whatever the targets. Pure.

Runs on the host, with the look: whoever calls the module alone is told all of it. On the controller it serves looks
that were kept.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, Iterator, List, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils import _rules as rules
from ansible_collections.netfleet.tcp.plugins.module_utils._health_causes import likely_causes, lost_percent
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import NOT_MET, Health, Indicator, Listener
from ansible_collections.netfleet.tcp.plugins.module_utils._health_targets import PORTS_SCARCE
from ansible_collections.netfleet.tcp.plugins.module_utils._indicators import MEASURES
from ansible_collections.netfleet.tcp.plugins.module_utils._loopback_findings import may_be_had, troubles
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding

_RULES = {
    "client_success": rules.HEALTH_CLIENT,
    "server_success": rules.HEALTH_SERVER,
    "retransmission": rules.HEALTH_RETRANSMISSION,
    "syn_retransmission": rules.HEALTH_SYN,
}
# What each is about, of HEALTH_SUBJECTS.
_SUBJECTS = {
    **{rule: name for name, rule in _RULES.items()},
    rules.HEALTH_RTT: "rtt",
    rules.HEALTH_WINDOW_SCALE: "window_scale",
    rules.HEALTH_PORTS: "ports",
    rules.HEALTH_BACKLOG: "backlog",
    rules.HEALTH_LOOPBACK: "loopback",
}


def findings(health: Health) -> Tuple[Finding, ...]:
    """All that is wrong; of what there is not enough traffic to judge, nothing is said."""
    return (
        *_indicator_findings(health),
        *_rtt_findings(health),
        *_window_scale_findings(health),
        *_port_findings(health),
        *_backlog_findings(health),
        *_loopback_findings(health),
    )


def _finding(
    health: Health, rule: str, key: str, severity: str, reason: str, intended: str = "", running: str = ""
) -> Finding:
    causes = likely_causes(rule, health, key)
    return Finding(
        subject=_SUBJECTS[rule],
        key=key,
        severity=severity,
        reason="%s; likely because %s" % (reason, "; and ".join(cause.because for cause in causes)),
        intended=intended or None,
        running=running or None,
        cure="; ".join(cause.cure for cause in causes),
        rule=rule,
    )


def _indicator_findings(health: Health) -> Iterator[Finding]:
    for name, indicator in health.indicators.items():
        if indicator.verdict == NOT_MET:
            measure = MEASURES[name]
            reason = measure.text % (indicator.numerator, indicator.denominator)
            reason += " in %d s" % round(health.counted.seconds)
            if name == "server_success":
                reason += _who_dropped(health)
            if name == "retransmission":
                reason += _to_whom(health)
            wanted = "%s %g %%" % ("more than" if measure.success else "less than", indicator.target or 0.0)
            yield _finding(health, _RULES[name], name, "error", reason, wanted, _between(indicator))


def _who_dropped(health: Health) -> str:
    worst = max(health.sockets.listeners, key=lambda each: each.drops, default=None)
    if worst is None or not worst.drops:
        return ""
    return "; %s on port %d has dropped %d since it listens" % (_name(worst), worst.port, worst.drops)


def _to_whom(health: Health) -> str:
    said = [
        "%s %.3g %% of %d" % (name, lost_percent(peers), peers.segments)
        for name, peers in health.sockets.peers.items()
        if peers.segments
    ]
    return "; of those open: %s" % ", ".join(said) if said else ""


def _name(listener: Listener) -> str:
    holder = listener.holder
    return holder.container or holder.unit or holder.process or "a listener"


def _between(indicator: Indicator) -> str:
    return "%.4g %% (%.4g to %.4g %%)" % (indicator.percent or 0.0, indicator.low or 0.0, indicator.high or 0.0)


def _rtt_findings(health: Health) -> Iterator[Finding]:
    for name, peers in health.sockets.peers.items():
        rtt = peers.rtt
        if rtt.verdict == NOT_MET:
            reason = "the mean RTT of %d connections to %s; p50 %.4g ms, p95 %.4g ms, without queues %s" % (
                rtt.connections,
                name,
                rtt.p50 or 0.0,
                rtt.p95 or 0.0,
                "unknown" if rtt.minimum_p50 is None else "%.4g ms" % rtt.minimum_p50,
            )
            wanted = "less than %g ms" % (rtt.target or 0.0)
            yield _finding(health, rules.HEALTH_RTT, name, "error", reason, wanted, "%.4g ms" % (rtt.mean or 0.0))


def _window_scale_findings(health: Health) -> Iterator[Finding]:
    number = sum(peers.without_window_scale for peers in health.sockets.peers.values())
    if number:
        of = sum(peers.connections for peers in health.sockets.peers.values())
        # A peer may have many.
        some = list(dict.fromkeys(each.peer for each in health.sockets.without_window_scale))[:3]
        reason = "%d of %d connections have no window scale, such as to %s" % (number, of, ", ".join(some))
        yield _finding(health, rules.HEALTH_WINDOW_SCALE, "window_scale", "warning", reason)


def _port_findings(health: Health) -> Iterator[Finding]:
    for use in health.ports.most_used:
        key = "%s->%s:%d" % (use.source, use.destination, use.port)
        if use.percent >= PORTS_SCARCE and not may_be_had(health, key):
            reason = "%d of %d local ports are taken, %d of them in TIME-WAIT" % (
                use.time_wait + use.open,
                health.ports.available,
                use.time_wait,
            )
            yield _finding(health, rules.HEALTH_PORTS, key, "warning", reason)


def _backlog_findings(health: Health) -> Iterator[Finding]:
    # A queue takes one more than its limit before it overflows.
    full = [each for each in health.sockets.listeners if each.backlog >= max(1, each.limit)]
    by_port: Dict[int, List[Listener]] = {}
    for each in full:
        by_port.setdefault(each.port, []).append(each)
    for port, shared in by_port.items():
        # Workers may share a port (SO_REUSEPORT), and there may be one of each address; the fullest comes first.
        reason = "%d connections wait until %s accepts them, of at most %d" % (
            shared[0].backlog,
            _name(shared[0]),
            shared[0].limit,
        )
        if len(shared) > 1:
            reason += "; so it is with %d of its listening sockets" % len(shared)
        yield _finding(health, rules.HEALTH_BACKLOG, str(port), "warning", reason)


def _loopback_findings(health: Health) -> Iterator[Finding]:
    for trouble in troubles(health):
        found = _finding(
            health,
            rules.HEALTH_LOOPBACK,
            trouble.use.key,
            trouble.severity,
            trouble.reason,
            trouble.intended,
            trouble.running,
        )
        # What the kernel can do comes after what the applications can.
        cures = [*trouble.cures, found.cure]
        yield replace(found, cure="; ".join("%d. %s" % (number, cure) for number, cure in enumerate(cures, 1)))
