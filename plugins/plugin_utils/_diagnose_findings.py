# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a case to all its findings. Pure; runs on the controller alone.

What hosts say by themselves (queues, drops, the way) is here; what captures show is in _diagnose_handshake.py and
_diagnose_transfer.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import List, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils import _rules as rules
from ansible_collections.netfleet.tcp.plugins.module_utils._diagnose_model import Hop, Way
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding
from ansible_collections.netfleet.tcp.plugins.module_utils._probe_findings import reason_of
from ansible_collections.netfleet.tcp.plugins.module_utils._probe_model import TIMEOUT
from ansible_collections.netfleet.tcp.plugins.plugin_utils import _diagnose_handshake as handshake
from ansible_collections.netfleet.tcp.plugins.plugin_utils import _diagnose_transfer as transfer
from ansible_collections.netfleet.tcp.plugins.plugin_utils._capture_model import End
from ansible_collections.netfleet.tcp.plugins.plugin_utils._diagnose_case import Case, Talk, Witness
from ansible_collections.netfleet.tcp.plugins.plugin_utils._diagnose_handshake import finding
from ansible_collections.netfleet.tcp.plugins.plugin_utils._diagnose_rules import over
from ansible_collections.netfleet.tcp.plugins.plugin_utils._findings import merged

# Errors of the host that tried, which nobody else has a part in.
_OWN = ("EADDRNOTAVAIL", "EADDRINUSE", "EACCES", "EPERM", "ENETUNREACH", "ENETDOWN", "EINVAL")
# Errors that the kernel has from ICMP, or from its own routes.
_BY_ICMP = ("EHOSTUNREACH", "ENETUNREACH")
# What is looked for in each talk, the worst first.
LOOKED_FOR: Tuple[Callable[[Case, Talk], Iterator[Finding]], ...] = (
    handshake.no_answer,
    handshake.refused,
    transfer.silent,
    transfer.path_mtu,
    transfer.retransmission,
    transfer.zero_window,
    handshake.window_scale,
    handshake.reset_on_the_way,
    transfer.asymmetric,
)


def findings(case: Case, port: int = 0) -> Tuple[Finding, ...]:
    """All findings. port: of the service, where it is known."""
    found: List[Finding] = []
    for talk in case.talks:
        for look in LOOKED_FOR:
            found += look(case, talk)
    for witness in case.witnesses.values():
        found += _connects(case, witness, port)
        found += _backlog(case, witness)
        found += _drops(case, witness)
        found += _path(case, witness)
    # Talks of one pair of hosts may differ by an address only.
    by_host = {
        host: [each for each in found if each.host == host] for host in dict.fromkeys(each.host for each in found)
    }
    return tuple(each for some in by_host.values() for each in merged(some))


def _connects(case: Case, witness: Witness, port: int) -> Iterator[Finding]:
    """Connections that were tried from a host and failed, but for those that its capture tells of by itself."""
    for way in witness.view.ways:
        told = _told_by_capture(witness, (way.peer, port))
        failed = {error: number for error, number in way.connects.items() if error and error not in told}
        if not failed:
            continue
        number, of = sum(failed.values()), sum(way.connects.values())
        error = max(failed, key=lambda error: failed[error])
        reason = reason_of(error)
        because, likely_cure = reason.always if number == of else reason.sometimes
        text = "%d of %d connections that were tried failed, most %s; likely because %s" % (
            number,
            of,
            reason.what,
            because,
        )
        key = "%s->%s" % (witness.name, case.end((way.peer, port)))
        unanswered = reason is reason_of(TIMEOUT)
        rule = rules.DIAG_NO_ANSWER if unanswered else rules.DIAG_REFUSED
        found = finding(case, rule, key, text, witness.name if error in _OWN else way.peer)
        # The rules' own cures are for these two.
        yield found if unanswered or error == "ECONNREFUSED" else replace(found, cure=likely_cure)


def _told_by_capture(witness: Witness, server: End) -> Tuple[str, ...]:
    """The errors of connections to a service that what was captured explains; a host has others all by itself."""
    streams = witness.seen.streams if witness.seen else ()
    own = [
        each
        for each in streams
        if each.server == server and each.client[0] in witness.view.addresses and each.side(each.client).syns
    ]
    by_icmp = _BY_ICMP if any(each.errors for each in own) else ()
    return (TIMEOUT, "ECONNREFUSED", *by_icmp) if own else ()


def _backlog(case: Case, witness: Witness) -> Iterator[Finding]:
    overflows = witness.view.counters.get("TcpExtListenOverflows", 0)
    for each in witness.view.listeners:
        if each.backlog <= each.limit and not (overflows and each.drops):
            continue
        who = each.holder.container or each.holder.unit or each.holder.process or "a listener"
        text = "%d connections wait until %s accepts them, of at most %d" % (each.backlog, who, each.limit)
        text += "; %d were dropped since it listens, %d of any service meanwhile" % (each.drops, overflows)
        yield finding(case, rules.DIAG_BACKLOG, str(each.port), text, witness.name)


def _drops(case: Case, witness: Witness) -> Iterator[Finding]:
    for each in witness.view.interfaces:
        share = 100.0 * each.qdisc_dropped / max(1, each.sent + each.qdisc_dropped)
        if over("host_drops", each.qdisc_dropped) and over("host_drop_share", share):
            text = "the qdisc %s of %s has dropped %d of %d packets; %d bytes wait in it" % (
                each.qdisc,
                each.name,
                each.qdisc_dropped,
                each.sent + each.qdisc_dropped,
                each.backlog,
            )
            yield finding(case, rules.DIAG_INTERFACE, each.name, text, witness.name)
        errors = {name: number for name, number in each.errors.items() if _counts(name, number, each.received)}
        if errors:
            text = "%s counts %s" % (each.name, ", ".join("%d %s" % (number, name) for name, number in errors.items()))
            yield finding(case, rules.DIAG_INTERFACE, each.name, text, witness.name)
    if over("host_drops", witness.view.backlog_drops):
        text = "%d packets were dropped before any processor took them" % witness.view.backlog_drops
        yield finding(case, rules.DIAG_INTERFACE, "softnet", text, witness.name)


def _counts(name: str, number: int, received: int) -> bool:
    """Whether so many errors of an interface tell anything of TCP.

    rx_nohandler: of packets that nobody wants. rx_dropped: of such ones too, so few of many tell nothing.
    """
    if name == "rx_nohandler" or not over("host_drops", number):
        return False
    return name != "rx_dropped" or over("host_drop_share", 100.0 * number / max(1, received + number))


def _path(case: Case, witness: Witness) -> Iterator[Finding]:
    for way in witness.view.ways:
        lost = lost_from(way)
        if lost is not None:
            text = "%.3g %% of the echoes to %s are lost, from router %d (%s) on" % (
                way.hops[-1].loss,
                case.name(way.peer),
                lost.number,
                lost.address,
            )
            yield finding(
                case, rules.DIAG_PATH_LOSS, "%s->%s" % (witness.name, case.name(way.peer)), text, witness.name
            )


def lost_from(way: Way) -> "Hop | None":
    """The router from which on echoes are lost up to the end. None where they are not, or the end answers none.

    A router in between that answers few of them is busy, which says nothing of what it passes on.
    """
    hops: Sequence[Hop] = way.hops
    if not hops or not hops[-1].address or not over("path_loss", hops[-1].loss) or hops[-1].loss >= 100.0:
        return None
    first = hops[-1]
    for hop in reversed(hops):
        if hop.address and not over("path_loss", hop.loss):
            break
        first = hop if hop.address else first
    return first
