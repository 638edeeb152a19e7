# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a case to findings about handshakes: not answered, refused, reset on the way, without window scale. Pure.

Each function takes the case and a talk. Runs on the controller alone; thresholds stand in _diagnose_rules.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils import _rules as rules
from ansible_collections.netfleet.tcp.plugins.module_utils._diagnose_model import HostView
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding
from ansible_collections.netfleet.tcp.plugins.plugin_utils._capture_model import End, Side, Stream
from ansible_collections.netfleet.tcp.plugins.plugin_utils._diagnose_case import Case, Connection, Talk
from ansible_collections.netfleet.tcp.plugins.plugin_utils._diagnose_rules import KINDS, cure, over

WINDOW_SCALING = "net.ipv4.tcp_window_scaling"


def finding(
    case: Case,
    rule: str,
    key: str,
    reason: str,
    blame: str,
    where: str = "",
    expected: str = "",
    found: str = "",
    severity: str = "",
) -> Finding:
    """A finding. blame: an address or name of whom it is about; a host that was asked, or else the first that was."""
    subject, usual = KINDS[rule]
    name = case.name(blame)
    host = name if name in case.witnesses else next(iter(case.witnesses), "")
    return Finding(
        subject,
        key,
        severity or usual,
        reason,
        intended=expected or None,
        running=found or None,
        cure=cure(rule, where),
        rule=rule,
        host=host,
    )


def queue_is_full(view: HostView) -> bool:
    """Whether a host has dropped connections for want of room in a listener's queue, or is about to."""
    # A queue takes one more than its limit before it overflows.
    return bool(view.counters.get("TcpExtListenOverflows")) or any(each.backlog > each.limit for each in view.listeners)


def tracking_is_full(view: HostView) -> bool:
    """Whether a host's connection tracking has no room for more."""
    used, most = (view.settings.get("net.netfilter.nf_conntrack_%s" % name, "") for name in ("count", "max"))
    return used.isdigit() and most.isdigit() and over("tracked", 100.0 * int(used) / max(1, int(most)))


def _refusal(stream: Stream, server: End) -> bool:
    told = [error for error in stream.errors if not error.too_big and not error.expired]
    return not stream.side(server).syn_acks and bool(stream.side(server).resets or told)


def _unanswered(stream: Stream, client: End, server: End) -> bool:
    asked, answer = stream.side(client), stream.side(server)
    return over("syns", asked.syns) and not answer.syn_acks and not asked.acks and not _refusal(stream, server)


def no_answer(case: Case, talk: Talk) -> Iterator[Finding]:
    """SYNs without an answer, and where they, or their answers, got lost."""
    asked: List[Connection] = []
    lacking: List[Tuple[Connection, str]] = []
    for connection in talk.connections:
        stream = case.best(connection, connection.client)
        if not stream.side(connection.client).syns:
            continue
        asked.append(connection)
        if _unanswered(stream, connection.client, connection.server):
            lacking.append((connection, _where(case, connection, stream)))
        elif _unfinished(case, connection):
            lacking.append((connection, "client"))
    if not lacking:
        return
    # Those of which the place is known tell of the others: a capture may have begun between them.
    known = [place for _connection, place in lacking if place]
    where = Counter(known or [""]).most_common(1)[0][0]
    if not where and all(case.captured(end) for end in (lacking[0][0].client, talk.server)):
        where = "unseen"
    client, server = case.name(talk.client), case.name(talk.server[0])
    place = _PLACES[where]
    words = place.format(client=client, server=server)
    text = "%d of %d connections that were asked for got no answer; %s" % (len(lacking), len(asked), words)
    blame = talk.client if where in ("client", "back") else talk.server[0]
    yield finding(case, rules.DIAG_NO_ANSWER, case.key(talk), text, blame, where)


_PLACES = {
    "": "where they are lost cannot be told from one end",
    "unseen": "where they are lost cannot be told: they may come by interfaces, from addresses or at a time of which "
    "there is no capture",
    "there": "the SYNs leave {client} and do not arrive at {server}: they are dropped on the way",
    "back": "{server} answers, and its SYN-ACKs do not arrive at {client}: they are dropped on the way back",
    "server": "the SYNs arrive at {server}, and it does not answer: likely its own firewall drops them",
    "queue": "the SYNs arrive at {server}, which drops them: the queue of the service is full",
    "tracking": "the SYNs arrive at {server}, which drops them: its connection tracking is full",
    "client": "the SYN-ACKs arrive at {client}, which does not take them: likely its own firewall drops them",
}


def _where(case: Case, connection: Connection, stream: Stream) -> str:
    """Where an answer got lost, by what the server's end has seen; empty where that is not known."""
    far = case.near(connection, connection.server)
    if far is not None:
        if far.side(connection.server).syn_acks:
            return "back" if case.sees(connection.client, connection.server) else ""
        witness = case.witness(connection.server)
        if witness and queue_is_full(witness.view):
            return "queue"
        return "tracking" if witness and tracking_is_full(witness.view) else "server"
    first = stream.side(connection.client).first_syn
    return "there" if case.watched(connection.server, connection.client, first) else ""


def _unfinished(case: Case, connection: Connection) -> bool:
    """Whether answers arrive at the client, again and again, and it does nothing with them."""
    near = case.near(connection, connection.client)
    if near is None:
        return False
    client, server = near.side(connection.client), near.side(connection.server)
    return over("syns", server.syn_acks) and not client.acks and not client.resets


def refused(case: Case, talk: Talk) -> Iterator[Finding]:
    """SYNs that were answered by a reset, or by ICMP."""
    asked = number = resets = 0
    senders: Counter[str] = Counter()
    device = own = False
    for connection in talk.connections:
        stream = case.best(connection, connection.client)
        asked += bool(stream.side(connection.client).syns)
        if not (stream.side(connection.client).syns and _refusal(stream, connection.server)):
            continue
        number += 1
        resets += bool(stream.side(connection.server).resets)
        senders.update({error.sender for error in stream.errors})
        far = case.near(connection, connection.server)
        own = own or (far is not None and bool(far.side(connection.server).resets))
        first = stream.side(connection.client).first_syn
        never_there = far is None and case.watched(connection.server, connection.client, first)
        not_its_own = far is not None and not far.side(connection.server).resets and bool(resets)
        # Its own reset may leave by an interface on which nobody captures.
        device = device or never_there or (not_its_own and case.sees(connection.server, connection.client))
    if not number:
        return
    server = case.name(talk.server[0])
    where = "device" if device else ""
    if senders:
        names = ", ".join(case.name(sender) for sender in sorted(senders))
        where = where or ("device" if set(senders) != {talk.server[0]} else "")
        words = "by ICMP of %s: a firewall rejects them" % names
    elif device:
        words = "by a reset that %s has not sent: a device on the way rejects them" % server
    elif case.captured(talk.server) and not own:
        where = "unseen"
        words = "by a reset with the address of %s; whether %s has sent it cannot be told" % (server, server)
        words += ": it may have left by an interface, or at a time, of which there is no capture"
    else:
        words = "by a reset of %s: nothing listens there, or its firewall rejects them" % server
    text = "%d of %d connections that were asked for were refused, %s" % (number, asked, words)
    yield finding(case, rules.DIAG_REFUSED, case.key(talk), text, talk.server[0], where)


def reset_on_the_way(case: Case, talk: Talk) -> Iterator[Finding]:
    """Resets that have met other routers than what else came from the same end."""
    number, example = 0, (0, 0)
    blamed = talk.server
    for connection in talk.connections:
        for end in (connection.client, connection.server):
            near = case.near(connection, connection.other(end))
            if near is None or not near.side(end).ttls:
                continue
            usual = near.side(end).ttls.most_common(1)[0][0]
            odd = [ttl for ttl in near.side(end).reset_ttls if over("hops", abs(ttl - usual))]
            if odd:
                number, example, blamed = number + 1, (odd[0], usual), end
    if number:
        text = (
            "%d connections were reset by packets with the address of %s and a TTL of %d; all others of it have %d"
            % (
                number,
                case.name(blamed[0]),
                *example,
            )
        )
        yield finding(case, rules.DIAG_RESET, case.key(talk), text, blamed[0])


def window_scale(case: Case, talk: Talk) -> Iterator[Finding]:
    """Connections of which one end does not offer window scale, or a device on the way takes the offer out."""
    number = known = 0
    lacking: Counter[str] = Counter()
    for connection in talk.connections:
        stream = case.best(connection, connection.client)
        client, server = (stream.side(end) for end in (connection.client, connection.server))
        if not (client.syns and server.syn_acks):
            continue
        known += 1
        if client.scale is None or server.scale is None:
            number += 1
            lacking[_who(case, connection, client)] += 1
    if not number:
        yield from _socket_window_scale(case, talk)
        return
    who = lacking.most_common(1)[0][0]
    blame = talk.client if who == "client" else talk.server[0]
    text = "%d of %d connections have no window scale" % (number, known)
    if who == "device":
        text += ": the SYN of %s offers it, and what arrives at %s does not" % (
            case.name(talk.client),
            case.name(talk.server[0]),
        )
        yield finding(case, rules.DIAG_WINDOW_SCALE, case.key(talk), text, blame, "device")
        return
    text += ": %s does not offer it" % case.name(blame)
    where = "sysctl" if _is_off(case, blame) else ""
    text += " (%s is 0 there)" % WINDOW_SCALING if where else ""
    yield finding(case, rules.DIAG_WINDOW_SCALE, case.key(talk), text, blame, where)


def _is_off(case: Case, address: str) -> bool:
    witness = case.witnesses.get(case.name(address))
    return witness is not None and witness.view.settings.get(WINDOW_SCALING) == "0"


def _who(case: Case, connection: Connection, client: Side) -> str:
    """Who of the two does not offer window scale; a server does so only if the client does."""
    far = case.near(connection, connection.server)
    if client.scale is None:
        return "client"
    return "device" if far is not None and far.side(connection.client).scale is None else "server"


def _socket_window_scale(case: Case, talk: Talk) -> Iterator[Finding]:
    """The same by the kernel's word: connections that stood before the capture began have no SYN in it."""
    for witness, theirs in _sockets_of(case, talk):
        lacking = [each for each in witness.sockets if each.state == "ESTAB" and not each.window_scale]
        wanted = [each for each in lacking if each.peer.rpartition(":")[0].strip("[]") == theirs]
        if wanted:
            text = "%d connections that stand have no window scale, by the kernel's word" % len(wanted)
            blame = next((name for name in (talk.client, talk.server[0]) if _is_off(case, name)), theirs)
            where = "sysctl" if _is_off(case, blame) else ""
            yield finding(case, rules.DIAG_WINDOW_SCALE, case.key(talk), text, blame, where)
            return


def _sockets_of(case: Case, talk: Talk) -> Iterator[Tuple[HostView, str]]:
    for own, theirs in ((talk.client, talk.server[0]), (talk.server[0], talk.client)):
        witness: Optional[HostView] = case.witnesses[case.name(own)].view if case.name(own) in case.witnesses else None
        if witness is not None:
            yield witness, theirs


def syns_again(case: Case, talk: Talk) -> Tuple[int, int, int]:
    """Of connections that came about: how many, how many SYNs (and answers) were sent again, milliseconds at most."""
    number = again = 0
    slowest = 0.0
    for connection in talk.connections:
        stream = case.best(connection, connection.client)
        client, server = stream.side(connection.client), stream.side(connection.server)
        if client.syns and server.syn_acks and client.acks:
            number += 1
            extra = max(0, client.syns - 1) + max(0, server.syn_acks - 1)
            again += extra
            slowest = max(slowest, stream.last - client.first_syn) if extra else slowest
    return number, again, int(1000 * slowest)
