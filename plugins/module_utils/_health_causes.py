# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Likely causes of what is wrong with a host's TCP, as data: of each rule the first that applies. Pure.

One that applies and explains but a part of what is wrong leaves the rest to those after it: then two are named.

What a look must show is apart from what is said then, and both are apart from how findings are made (_health_findings).
The figures of the conditions are ours.
"""

from __future__ import annotations

from typing import Callable, Dict, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils import _rules as rules
from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._health import (
    MOST_TRACKED,
    SOMAXCONN,
    TRACKED,
    WINDOW_SCALING,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import NOT_MET, Health, LoopbackUse, PeerClass
from ansible_collections.netfleet.tcp.plugins.module_utils._indicators import MEASURES, bounds
from ansible_collections.netfleet.tcp.plugins.module_utils._loopback_tally import TIMESTAMPS, TW_REUSE

# Of its table, from which on connection tracking drops what is new, or soon will.
_TRACKED_FULL = 0.95
# Shares of what was sent again.
_MOST, _A_PART = 0.5, 0.2


@dataclass(frozen=True)
class Cause:
    """A likely cause. applies: to a look, and the key of the finding; because, cure: in words, for people.

    explains: whether it is cause enough for all that is wrong; none given: it is.
    """

    applies: Callable[[Health, str], bool]
    because: str
    cure: str
    explains: Optional[Callable[[Health, str], bool]] = None


def _counted(health: Health, name: str) -> int:
    return health.counted.counters.get(name, 0)


def _number(health: Health, setting: str) -> int:
    text = health.settings.get(setting, "")
    return int(text) if text.isdigit() else 0


def _tracking_full(health: Health, _key: str) -> bool:
    most = _number(health, MOST_TRACKED)
    return most > 0 and _number(health, TRACKED) >= _TRACKED_FULL * most


def _not_met(health: Health, measure: str) -> bool:
    found = health.indicators.get(measure)
    return found is not None and found.verdict == NOT_MET


def _data_is_lost(health: Health, _key: str) -> bool:
    return _not_met(health, "retransmission")


def _clients_do_not_answer(health: Health, _key: str) -> bool:
    states = health.sockets.states
    return states.get("SYN-RECV", 0) > states.get("SYN-SENT", 0)


def _queue_overflowed(health: Health, _key: str) -> bool:
    return 2 * _counted(health, "TcpExtListenOverflows") >= max(1, _counted(health, "TcpExtListenDrops"))


def _queue_drops_handshakes(health: Health, key: str) -> bool:
    """Whether listeners dropped so many that SYNs and SYN-ACKs were sent again for it, most of them."""
    dropped, again = _counted(health, "TcpExtListenDrops"), _counted(health, "TcpExtTCPSynRetrans")
    return _not_met(health, "server_success") and _queue_overflowed(health, key) and 2 * dropped >= again


def _limited_by_kernel(health: Health, key: str) -> bool:
    """Whether the fullest queue, or that of the finding, is as long as the kernel lets any be."""
    fullest = [each for each in health.sockets.listeners if key in (str(each.port), "server_success")]
    fullest = [each for each in fullest if each.drops or each.backlog >= each.limit] or fullest
    return bool(fullest) and fullest[0].limit >= _number(health, SOMAXCONN) > 0


def _lost_to_one_class(health: Health, _key: str) -> bool:
    """Whether one class of peers alone lost more than is allowed, while others had traffic as well."""
    overall = health.indicators["retransmission"]
    busy = [each for each in health.sockets.peers.values() if each.segments]
    lossy = [each for each in busy if lost_percent(each) >= (overall.target or 0.0)]
    # Of a few segments none is lost on a bad path either.
    clean = [each for each in busy if each not in lossy and each.segments >= overall.needed]
    return len(lossy) == 1 and bool(clean)


def lost_percent(peers: PeerClass) -> float:
    """Which share of the segments to a class of peers was sent again."""
    return 100.0 * peers.retransmitted / max(peers.segments, peers.retransmitted, 1)


def _spurious(health: Health) -> float:
    """Which share of what was sent again had arrived already: the other end says so by DSACK."""
    return _counted(health, "TcpExtTCPDSACKRecv") / max(1, health.indicators["retransmission"].numerator)


def _nothing_else_is_lost(health: Health, _key: str) -> bool:
    """Whether the target would be met, or might be, had what was not needed not been sent again."""
    found = health.indicators["retransmission"]
    lost = max(0, found.numerator - _counted(health, "TcpExtTCPDSACKRecv"))
    low, _high = bounds(lost / MEASURES["retransmission"].spread)
    return 100.0 * low * MEASURES["retransmission"].spread < (found.target or 0.0) * found.denominator


def _way_is_long(health: Health, key: str) -> bool:
    rtt = health.sockets.peers[key].rtt
    return rtt.minimum_p50 is not None and rtt.target is not None and rtt.minimum_p50 >= rtt.target


def _few_are_slow(health: Health, key: str) -> bool:
    rtt = health.sockets.peers[key].rtt
    return rtt.p50 is not None and rtt.target is not None and rtt.p50 < rtt.target


def _scaling_is_off(health: Health, _key: str) -> bool:
    return health.settings.get(WINDOW_SCALING) == "0"


def _by_cookies(health: Health, _key: str) -> bool:
    return _counted(health, "TcpExtSyncookiesRecv") > 0


def _to_itself(health: Health, key: str) -> bool:
    return _loopback_use(health, key) is not None or any(
        key == "%s->%s:%d" % (use.source, use.destination, use.port)
        and (use.source == use.destination or use.destination.startswith("127."))
        for use in health.ports.most_used
    )


def _loopback_use(health: Health, key: str) -> Optional[LoopbackUse]:
    return next((use for use in health.loopback.uses if use.key == key), None)


def _not_reused(health: Health, key: str) -> bool:
    use = _loopback_use(health, key)
    return use is not None and not use.reused and use.time_wait > 0


def _always(_health: Health, _key: str) -> bool:
    return True


_TRACKING = Cause(
    _tracking_full,
    "the connection tracking table is full, so that new connections are dropped",
    "raise net.netfilter.nf_conntrack_max, or do not track what needs no tracking",
)
_LOST_SYNS = Cause(
    lambda health, _key: _not_met(health, "syn_retransmission"),
    "SYNs get no answer",
    "see the finding of SYNs sent again",
)
_FIREWALL = Cause(
    _always,
    "only SYNs are lost: a firewall or security group drops them, or AWS tracks as many connections as it allows",
    "see who does not answer (ss -tn state syn-sent), and their rules; ethtool -S: conntrack_allowance_exceeded",
)
_WORKLOAD = "a wider port range with reserved ports (tcp_tuning: loopback_short)"
_KERNEL_QUEUE = Cause(
    lambda health, key: _queue_overflowed(health, key) and _limited_by_kernel(health, key),
    "a listener's queue of connections to accept is full, and as long as net.core.somaxconn lets it be",
    "raise net.core.somaxconn and restart the service; see why it accepts slowly",
)
_OWN_QUEUE = Cause(
    _queue_overflowed,
    "a listener's queue of connections to accept is full: the service accepts slowly, or asked for a short queue",
    "see why it accepts slowly; raise the backlog that the service gives to listen()",
)

CAUSES: Dict[str, Tuple[Cause, ...]] = {
    rules.HEALTH_CLIENT: (
        _TRACKING,
        _LOST_SYNS,
        Cause(
            _always,
            "connections are refused: nothing listens at the other end, or a firewall rejects them",
            "see which peer refuses (ss -tn state syn-sent, the client's own log)",
        ),
    ),
    rules.HEALTH_SERVER: (
        _KERNEL_QUEUE,
        _OWN_QUEUE,
        Cause(
            lambda health, _key: _counted(health, "TcpExtTCPReqQFullDrop") > 0,
            "the queue of half-open connections is full, and SYN cookies are off",
            "net.ipv4.tcp_syncookies 1, and a larger net.ipv4.tcp_max_syn_backlog",
        ),
        Cause(
            _always,
            "queues have room, and connections are dropped: no memory for TCP, or no way back to the client",
            "see net.ipv4.tcp_mem against /proc/net/sockstat, and the routes to the clients",
        ),
    ),
    rules.HEALTH_RETRANSMISSION: (
        Cause(
            lambda health, _key: _spurious(health) >= _MOST,
            "most were not needed: packets came late or in another order, and were not lost",
            "look for several paths at a time, and for delays that change much",
            _nothing_else_is_lost,
        ),
        Cause(
            lambda health, _key: _A_PART <= _spurious(health) < _MOST,
            "a part of them was not needed: packets came late or in another order",
            "look for several paths at a time, and for delays that change much",
            _nothing_else_is_lost,
        ),
        Cause(
            _lost_to_one_class,
            "only connections to peers of one class lose segments: the path to these",
            "compare the classes in sockets.peers, then follow that path",
        ),
        Cause(
            _always,
            "connections to all peers lose segments: this host's interface, its uplink, or a queue that overflows",
            "tc -s qdisc show; ethtool -S",
        ),
    ),
    rules.HEALTH_SYN: (
        _TRACKING,
        Cause(
            _queue_drops_handshakes,
            "a listener's queue of connections to accept is full here, so that handshakes come to no end",
            "see the finding of connections to here first",
        ),
        Cause(
            _data_is_lost,
            "data is lost as well: the path, not the way in",
            "see the finding of retransmissions first",
        ),
        Cause(
            _clients_do_not_answer,
            "clients do not answer our SYN-ACKs: a scan, a flood, or packets that come back another way",
            "see who they are (ss state syn-recv), and the route back to them",
        ),
        _FIREWALL,
    ),
    rules.HEALTH_RTT: (
        Cause(
            _few_are_slow,
            "most connections are within the target, and a few are far beyond",
            "see whether these peers belong to this class",
        ),
        Cause(
            _way_is_long,
            "the way itself is that long, without any queue on it",
            "see whether these peers belong to this class, and whether they are routed the short way",
        ),
        Cause(
            _always,
            "queues on the way: the same connections have seen far lower RTTs",
            "a fair queue where it is narrow (fq_codel, cake), or a congestion control that keeps queues short (bbr)",
        ),
    ),
    rules.HEALTH_WINDOW_SCALE: (
        Cause(
            _scaling_is_off,
            "net.ipv4.tcp_window_scaling is 0 here",
            "set it to 1; connections that stand keep what they have",
        ),
        Cause(
            _by_cookies,
            "connections were accepted by SYN cookies, which keep the scale only with timestamps",
            "see why the queue of half-open connections is full; keep net.ipv4.tcp_timestamps on",
        ),
        Cause(
            _always,
            "the peer does not offer it, or a device on the way removes it",
            "capture a SYN at both ends, and compare their options",
        ),
    ),
    rules.HEALTH_PORTS: (
        Cause(
            _to_itself,
            "short connections to a service on this host",
            "a UNIX domain socket, or a pool of connections (see the finding of these, if there is one); else a wider "
            "port range, with listeners' ports reserved",
        ),
        Cause(
            _always,
            "short connections to one service",
            "a pool of connections, or keep-alive; else more source addresses, or a wider port range",
        ),
    ),
    rules.HEALTH_LOOPBACK: (
        Cause(
            lambda health, key: _not_reused(health, key) and health.settings.get(TIMESTAMPS) == "0",
            "no port in TIME-WAIT is reused, since net.ipv4.tcp_timestamps is 0",
            "net.ipv4.tcp_timestamps 1, and %s" % _WORKLOAD,
        ),
        Cause(
            lambda health, key: _not_reused(health, key) and health.settings.get(TW_REUSE) == "0",
            "no port in TIME-WAIT is reused, since net.ipv4.tcp_tw_reuse is 0",
            "net.ipv4.tcp_tw_reuse 2, and %s" % _WORKLOAD,
        ),
        Cause(
            _not_reused,
            "no port in TIME-WAIT is reused: net.ipv4.tcp_tw_reuse 2 is for addresses of loopback alone, and not for "
            "others of the host",
            "call 127.0.0.1 in its place, and %s" % _WORKLOAD,
        ),
        Cause(
            _always,
            "a new connection is opened for each request, where one that stays open would do",
            _WORKLOAD,
        ),
    ),
    rules.HEALTH_BACKLOG: (
        Cause(
            _limited_by_kernel,
            "the queue is as long as net.core.somaxconn lets it be",
            "raise net.core.somaxconn and restart the service; see why it accepts slowly",
        ),
        Cause(
            _always,
            "the service accepts slowly, or asked for a short queue",
            "see why it accepts slowly; raise the backlog that the service gives to listen()",
        ),
    ),
}


def likely_causes(rule: str, health: Health, key: str) -> Tuple[Cause, ...]:
    """The first cause of a rule that applies, and after one that is not cause enough the next; the last always is."""
    found = []
    for cause in CAUSES[rule]:
        if cause.applies(health, key):
            found.append(cause)
            if cause.explains is None or cause.explains(health, key):
                break
    return tuple(found)
