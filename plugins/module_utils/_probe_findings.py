# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a probe to findings: what is outside its target, with the likely causes as a table. Pure.

What failed is told by the kernel's error. What an error means depends on whether all of a destination's connections
failed so, or some: what a firewall drops it drops always.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, Iterator, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils import _rules as rules
from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import NOT_MET, Indicator
from ansible_collections.netfleet.tcp.plugins.module_utils._indicators import MEASURES
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding
from ansible_collections.netfleet.tcp.plugins.module_utils._probe_model import (
    TIMEOUT,
    UNKNOWN_NAME,
    Probed,
    Reached,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_values import PADDING


@dataclass(frozen=True)
class Reason:
    """Why connections fail. what: in words, after a number. always, sometimes: the likely cause, and its cure.

    always is for a destination of which all connections fail so.
    """

    what: str
    errors: Tuple[str, ...]
    always: Tuple[str, str]
    sometimes: Tuple[str, str]


_LOCAL = (
    "something on this host forbids it",
    "look at its firewall (nft list ruleset) and at ip route show type prohibit",
)
_NO_ROUTE = (
    "there is no route to it, or a router on the way says so, or nobody has its address (no ARP or ND answer)",
    "ip route get, then the neighbour (ip neigh) or that router",
)
_ONE_LINK = (
    "an address of fe80::/10 counts on one link alone, and is not called",
    "give an address that counts everywhere (tcp_probe_address, tcp_diagnose_peer)",
)
# The first that has the error; the last has all others.
REASONS: Tuple[Reason, ...] = (
    Reason(
        "without an answer in time",
        (TIMEOUT, "ETIMEDOUT"),
        (
            "a firewall drops SYNs to that port, the host is down, or its answers do not find the way back",
            "look there with tcpdump whether the SYNs arrive (playbook diagnose), then at firewalls and the route back",
        ),
        (
            "packets are lost on the way, or the listener's queue is full at times",
            "the playbook health tells the two apart at the other end",
        ),
    ),
    Reason(
        "refused",
        ("ECONNREFUSED",),
        ("nothing listens on that port there, or a firewall rejects it", "ss -ltn at the other end, then its firewall"),
        (
            "what listens there restarts, or a load balancer sends some connections to a backend that is gone",
            "look at the service's log and at the balancer's health checks",
        ),
    ),
    Reason(
        "reset as soon as they stood",
        ("ECONNRESET", "EPIPE"),
        (
            "the service, or a proxy before it, closes at once",
            "its log, and who may connect (tcp_wrappers, allow lists)",
        ),
        ("the service is overloaded (net.ipv4.tcp_abort_on_overflow), or a proxy's backend is gone", "its log"),
    ),
    Reason(
        "with no way there", ("EHOSTUNREACH", "ENETUNREACH", "EHOSTDOWN", "ENETDOWN", "ENONET"), _NO_ROUTE, _NO_ROUTE
    ),
    Reason("forbidden", ("EACCES", "EPERM"), _LOCAL, _LOCAL),
    Reason(
        "for want of a local port",
        ("EADDRNOTAVAIL", "EADDRINUSE"),
        ("the local ports to that destination are all taken", "the playbook health says by whom (ports)"),
        ("the local ports to that destination are nearly all taken", "the playbook health says by whom (ports)"),
    ),
    # What connect(2) says to such an address without its interface.
    Reason("for want of an interface", ("EINVAL",), _ONE_LINK, _ONE_LINK),
    Reason(
        "because the name has no address",
        (UNKNOWN_NAME,),
        ("this host cannot resolve it", "getent ahosts there; or give an address (tcp_probe_address)"),
        ("this host cannot resolve it", "getent ahosts there; or give an address (tcp_probe_address)"),
    ),
    Reason(
        "with another error",
        (),
        ("of an error that is seldom (see the word)", "look it up in connect(2)"),
        ("of an error that is seldom (see the word)", "look it up in connect(2)"),
    ),
)
_SUBJECTS = {
    rules.PROBE_CONNECT: "client_success",
    rules.PROBE_SYN: "syn_retransmission",
    rules.PROBE_RTT: "rtt",
    rules.PROBE_WINDOW_SCALE: "window_scale",
    rules.PROBE_MTU: "mtu",
}
_NO_ANSWER = REASONS[0]


def findings(probed: Probed) -> Tuple[Finding, ...]:
    """All that is wrong; of what was too little to judge, nothing is said."""
    return (*_connect_findings(probed), *_syn_findings(probed), *_rtt_findings(probed), *_path_findings(probed))


def reason_of(error: str) -> Reason:
    """What an error stands for."""
    return next((each for each in REASONS if error in each.errors), REASONS[-1])


def _finding(rule: str, key: str, severity: str, reason: str, likely: Tuple[str, str]) -> Finding:
    because, cure = likely
    text = "%s; likely because %s" % (reason, because) if because else reason
    return Finding(_SUBJECTS[rule], key, severity, text, cure=cure, rule=rule)


def _measured(finding: Finding, indicator: Indicator) -> Finding:
    word = "more than" if MEASURES[finding.subject].success else "less than"
    between = (indicator.percent or 0.0, indicator.low or 0.0, indicator.high or 0.0)
    return replace(
        finding, intended="%s %g %%" % (word, indicator.target or 0.0), running="%.4g %% (%.4g to %.4g %%)" % between
    )


def _connect_findings(probed: Probed) -> Iterator[Finding]:
    judged = [each for each in probed.destinations if _outside(each.indicators, "client_success")]
    # Where nothing gets anywhere, the fault is near.
    none = len(probed.destinations) > 1 and not any(each.established for each in probed.destinations)
    for each in judged:
        likely = _likely(each)
        if none and likely is _NO_ANSWER.always:
            likely = (
                "this host reaches none of its %d destinations" % len(probed.destinations),
                "look at its own firewall (output), uplink and default route first",
            )
        finding = _finding(rules.PROBE_CONNECT, each.key, "error", _failed(each), likely)
        yield _measured(finding, each.indicators["client_success"])
    whole = probed.indicators.get("client_success")
    if whole and whole.verdict == NOT_MET and not judged:
        failing = [each for each in probed.destinations if each.failures]
        text = "%d of %d connections failed, such as to %s" % (
            whole.denominator - whole.numerator,
            whole.denominator,
            ", ".join(each.key for each in failing[:3]),
        )
        yield _measured(_finding(rules.PROBE_CONNECT, "client_success", "error", text, _likely(failing[0])), whole)


def _outside(indicators: Dict[str, Indicator], name: str) -> bool:
    found = indicators.get(name)
    return found is not None and found.verdict == NOT_MET


def _by_reason(reached: Reached) -> Dict[Reason, int]:
    found: Dict[Reason, int] = {}
    for error, number in reached.failures.items():
        found[reason_of(error)] = found.get(reason_of(error), 0) + number
    return found


def _likely(reached: Reached) -> Tuple[str, str]:
    """The likely cause of most failures, and its cure.

    Routers and firewalls say no more than once a second that they refuse: what got no answer meanwhile is the same.
    """
    by_reason = _by_reason(reached)
    told = {reason: number for reason, number in by_reason.items() if reason is not _NO_ANSWER} or by_reason
    most = max(told, key=lambda reason: told[reason])
    return most.sometimes if reached.established or len(told) > 1 else most.always


def _failed(reached: Reached) -> str:
    said = []
    for reason, number in _by_reason(reached).items():
        words = [error for error in reached.failures if error not in reason.errors and reason is reason_of(error)]
        said.append("%d %s%s" % (number, reason.what, " (%s)" % ", ".join(words) if words else ""))
    place = "" if reached.address in ("", reached.name) else " to %s" % reached.address
    return "%d of %d connections%s failed: %s" % (
        reached.attempts - reached.established,
        reached.attempts,
        place,
        ", ".join(said),
    )


def _syn_findings(probed: Probed) -> Iterator[Finding]:
    judged = []
    for each in probed.destinations:
        # SYNs that nobody answers are sent again too; that has been said.
        unanswered = any(reason_of(error) is _NO_ANSWER for error in each.failures)
        if _outside(each.indicators, "syn_retransmission") and not unanswered:
            judged.append(each)
            text = "%d SYNs were sent again for %d connections; the slowest took %.4g ms" % (
                each.syn_retransmitted,
                each.attempts,
                each.connect_most,
            )
            finding = _finding(rules.PROBE_SYN, each.key, "error", text, _NO_ANSWER.sometimes)
            yield _measured(finding, each.indicators["syn_retransmission"])
    whole = probed.indicators.get("syn_retransmission")
    failed = any(_outside(each.indicators, "client_success") for each in probed.destinations)
    if whole and whole.verdict == NOT_MET and not judged and not failed:
        text = "%d SYNs were sent again for %d connections to %d destinations" % (
            whole.numerator,
            whole.denominator,
            len(probed.destinations),
        )
        likely = (
            "packets are lost near this host: it is not one destination alone",
            "look at its interface and uplink",
        )
        yield _measured(_finding(rules.PROBE_SYN, "syn_retransmission", "error", text, likely), whole)


def _rtt_findings(probed: Probed) -> Iterator[Finding]:
    for name, rtt in probed.rtts.items():
        if rtt.verdict != NOT_MET:
            continue
        own = [each for each in probed.destinations if each.peer_class == name and each.rtt.mean is not None]
        far = sorted(own, key=lambda each: -(each.rtt.mean or 0.0))
        text = "the mean RTT of %d connections to %s; the longest to %s" % (
            rtt.connections,
            name,
            ", ".join("%s (%.4g ms)" % (each.name, each.rtt.mean or 0.0) for each in far[:3]),
        )
        one = far and (far[0].rtt.mean or 0.0) > 2 * (far[len(far) // 2].rtt.mean or 0.0)
        likely = (
            ("a few of them are farther than the others", "is the route to them the right one (mtr)?")
            if one
            else ("the way itself is as long, or there is a queue on it", "the playbook health tells the two apart")
        )
        found = _finding(rules.PROBE_RTT, name, "error", text, likely)
        yield replace(found, intended="less than %g ms" % (rtt.target or 0.0), running="%.4g ms" % (rtt.mean or 0.0))


def _path_findings(probed: Probed) -> Iterator[Finding]:
    for each in probed.destinations:
        if each.without_window_scale:
            text = "%d of %d connections have no window scale" % (each.without_window_scale, each.established)
            likely = (
                "net.ipv4.tcp_window_scaling is 0 at one end, or a device on the way removes the option",
                "sysctl net.ipv4.tcp_window_scaling at both ends; then compare the SYN at both (playbook diagnose)",
            )
            yield _finding(rules.PROBE_WINDOW_SCALE, each.key, "warning", text, likely)
        # Sizes in steps were tried: the largest that gets through may be larger by less than one.
        if 0 < each.path_mtu <= each.route_mtu - PADDING:
            text = "packets of more than %d bytes do not get through; the kernel sends up to %d" % (
                each.path_mtu,
                each.route_mtu,
            )
            likely = (
                "a link on the way takes no more, and the ICMP message that says so is dropped (or large echoes are)",
                "let ICMP type 3 code 4 (ICMPv6 type 2) through; or net.ipv4.tcp_mtu_probing 1, or clamp the MSS",
            )
            found = _finding(rules.PROBE_MTU, each.key, "warning", text, likely)
            yield replace(found, intended="%d bytes" % each.route_mtu, running="%d bytes" % each.path_mtu)
