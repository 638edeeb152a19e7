# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a diagnosis takes for a fault, as data: how much of what, and why so much. Pure; on the controller alone.

How each is found in what was captured and seen stands in _diagnose_findings.py and _diagnose_host.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils import _rules as rules


@dataclass(frozen=True)
class Threshold:
    """From which value on something is a fault, in which unit, and why from there."""

    value: float
    unit: str
    reason: str


# By what it is compared with.
THRESHOLDS: Dict[str, Threshold] = {
    "syns": Threshold(2, "SYNs of a connection, none answered", "one may be lost, or be the last that was captured"),
    "closed": Threshold(0.2, "s with a window of zero", "shorter ones are an application that is busy for a moment"),
    "retransmission": Threshold(0.5, "% of data segments", "the target of the health check (tcp_health_targets)"),
    "syn_retransmission": Threshold(2.0, "% of connections", "the target of the health check (tcp_health_targets)"),
    "burst": Threshold(
        5, "segments sent again within 1 s", "a single loss recovers with fewer; so many stall a stream"
    ),
    "burst_share": Threshold(5.0, "% of the segments of that second", "of thousands a few are no stall"),
    "repeats": Threshold(3, "times the same segment, never acknowledged", "a third one takes a second that one waits"),
    "every_path": Threshold(536, "bytes", "the MSS that each path has to carry (RFC 9293, 3.7.1)"),
    "silence": Threshold(1.0, "s without any answer", "the first RTO is a fifth of that; the path is open by then"),
    "one_way": Threshold(3, "packets, none the other way", "an answer may come after the end of the capture"),
    "hops": Threshold(2, "routers more one way than the other", "one more is common, and mostly a different exit"),
    "path_loss": Threshold(40.0, "% of echoes", "two of five: a single one may be lost anywhere"),
    "host_drops": Threshold(10, "packets", "a few are dropped at times of any queue"),
    "host_drop_share": Threshold(0.1, "% of packets sent", "as many cost TCP a part of its rate on any long way"),
    "tracked": Threshold(95.0, "% of nf_conntrack_max", "from there on new connections are dropped, or soon will be"),
}
# By rule: its subject, and how severe it is.
KINDS: Dict[str, Tuple[str, str]] = {
    rules.DIAG_NO_ANSWER: ("handshake", "error"),
    rules.DIAG_REFUSED: ("handshake", "error"),
    rules.DIAG_RESET: ("handshake", "warning"),
    rules.DIAG_WINDOW_SCALE: ("window", "warning"),
    rules.DIAG_ZERO_WINDOW: ("window", "warning"),
    rules.DIAG_RETRANSMISSION: ("retransmission", "error"),
    rules.DIAG_SILENT: ("retransmission", "error"),
    rules.DIAG_MTU: ("path_mtu", "error"),
    rules.DIAG_ASYMMETRIC: ("route", "warning"),
    rules.DIAG_PATH_LOSS: ("route", "warning"),
    rules.DIAG_BACKLOG: ("backlog", "warning"),
    rules.DIAG_INTERFACE: ("interface", "warning"),
}


def over(name: str, value: float) -> bool:
    """Whether a value reaches its threshold."""
    return value >= THRESHOLDS[name].value


def cure(rule: str, where: str = "") -> str:
    """What to do about it. where: a variant of it."""
    return CURES[rule, where] if (rule, where) in CURES else CURES[rule, ""]


# By rule and what is known of the place: what to do.
CURES: Dict[Tuple[str, str], str] = {
    (
        rules.DIAG_NO_ANSWER,
        "",
    ): "capture at the other end too (tcp_diagnose_peer: a host of the inventory): do they arrive?",
    (
        rules.DIAG_NO_ANSWER,
        "unseen",
    ): "capture on all interfaces (tcp_diagnose_interface=any); is an address translated, or one of several?",
    (rules.DIAG_NO_ANSWER, "there"): "firewalls, security groups and routes between the two, towards the server",
    (rules.DIAG_NO_ANSWER, "back"): "firewalls, security groups and routes between the two, towards the client",
    (
        rules.DIAG_NO_ANSWER,
        "server",
    ): "the server's firewall (nft list ruleset), reverse path filter, and the service's queue",
    (rules.DIAG_NO_ANSWER, "client"): "the client's own firewall (nft list ruleset) and reverse path filter",
    (rules.DIAG_NO_ANSWER, "queue"): "the service accepts too slowly: see the finding on its queue",
    (rules.DIAG_NO_ANSWER, "tracking"): "raise net.netfilter.nf_conntrack_max there, or track less",
    (rules.DIAG_REFUSED, ""): "ss -ltn at the server: does anything listen on the port, and at that address?",
    (
        rules.DIAG_REFUSED,
        "unseen",
    ): "capture on all interfaces, and longer (tcp_diagnose_interface=any, tcp_diagnose_seconds), then ss -ltn",
    (rules.DIAG_REFUSED, "device"): "the firewall or load balancer whose answer it is",
    (rules.DIAG_SILENT, ""): "is the other host up, and its route back? a firewall may have forgotten the connection",
    (rules.DIAG_RESET, ""): "a firewall, proxy or load balancer on the way: its log, and its idle timeout",
    (
        rules.DIAG_WINDOW_SCALE,
        "",
    ): "sysctl net.ipv4.tcp_window_scaling there; else a device on the way removes the option",
    (rules.DIAG_WINDOW_SCALE, "sysctl"): "set net.ipv4.tcp_window_scaling to 1 there (new connections have it then)",
    (rules.DIAG_WINDOW_SCALE, "device"): "a firewall or proxy between the two removes the option: mend it there",
    (rules.DIAG_ZERO_WINDOW, ""): "look at what the application does (CPU, locks, disk); larger buffers only delay it",
    (rules.DIAG_RETRANSMISSION, ""): "follow that path (mtr), and the counters of the interfaces on it",
    (
        rules.DIAG_RETRANSMISSION,
        "back",
    ): "nothing is lost on the way there: follow the way back, where acknowledgements go",
    (rules.DIAG_RETRANSMISSION, "spurious"): "they had arrived: packets come late or in another order (ECMP, bonding)",
    (
        rules.DIAG_MTU,
        "",
    ): "let ICMP type 3 code 4 (ICMPv6 type 2) through; or net.ipv4.tcp_mtu_probing 1, or clamp the MSS",
    (rules.DIAG_MTU, "told"): "the host does not heed it: its firewall drops ICMP, or net.ipv4.ip_no_pmtu_disc is set",
    (
        rules.DIAG_ASYMMETRIC,
        "",
    ): "ip route get at both ends, for these addresses; policy routing (ip rule); stateful firewalls",
    (rules.DIAG_PATH_LOSS, ""): "whoever runs the link from that router on",
    (
        rules.DIAG_BACKLOG,
        "",
    ): "the service accepts too slowly, or its backlog (listen, net.core.somaxconn) is too short",
    (rules.DIAG_INTERFACE, ""): "tc -s qdisc, ethtool -S and /proc/net/softnet_stat there",
}
