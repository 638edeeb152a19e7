# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a case to findings about data: lost, too large, not read, not acknowledged, seen one way only. Pure.

Each function takes the case and a talk. Runs on the controller alone; thresholds stand in _diagnose_rules.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils import _rules as rules
from ansible_collections.netfleet.tcp.plugins.module_utils._counters import COUNTED_BY
from ansible_collections.netfleet.tcp.plugins.module_utils._diagnose_model import SocketState, Way
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import NOT_MET, Counted, Indicator
from ansible_collections.netfleet.tcp.plugins.module_utils._indicators import indicators
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_values import PADDING
from ansible_collections.netfleet.tcp.plugins.plugin_utils._capture_model import End, Side, Stream
from ansible_collections.netfleet.tcp.plugins.plugin_utils._diagnose_case import Case, Connection, Talk, carried
from ansible_collections.netfleet.tcp.plugins.plugin_utils._diagnose_handshake import finding, syns_again
from ansible_collections.netfleet.tcp.plugins.plugin_utils._diagnose_rules import THRESHOLDS, over

_ANY = "any"
# What systems give a packet to live on, and so, with what is left of it, how many routers it has met.
_BEGINNINGS = (64, 128, 255)


def _sides(case: Case, talk: Talk, client_sends: bool) -> Iterator[Tuple[Connection, Stream, Side, Side]]:
    """Each connection as it is seen near the sender, with what the sender and the other end sent."""
    for connection in talk.connections:
        sender = connection.client if client_sends else connection.server
        stream = case.best(connection, sender)
        yield connection, stream, stream.side(sender), stream.side(connection.other(sender))


def _ends(talk: Talk, client_sends: bool) -> Tuple[str, str]:
    """Sender and receiver, as addresses."""
    return (talk.client, talk.server[0]) if client_sends else (talk.server[0], talk.client)


def zero_window(case: Case, talk: Talk) -> Iterator[Finding]:
    """Ends that have announced a window of zero for longer than a moment."""
    for client_reads in (True, False):
        reader, writer = _ends(talk, client_reads)
        closed = [
            (side, connection)
            for connection, _stream, side, _other in _sides(case, talk, client_reads)
            if over("closed", side.closed) or (side.still_closed and _unread(case, reader, [connection]))
        ]
        if not closed:
            yield from _closed_sockets(case, talk, reader, writer)
            continue
        longest = max(side.closed for side, _connection in closed)
        open_ = sum(side.still_closed for side, _connection in closed)
        text = "%s announced a window of zero to %s on %d connections, for up to %.3g s%s%s" % (
            case.name(reader),
            case.name(writer),
            len(closed),
            longest,
            ", and %d stood so at the end" % open_ if open_ else "",
            _unread(case, reader, [connection for _side, connection in closed]),
        )
        yield finding(case, rules.DIAG_ZERO_WINDOW, case.key(talk), text, reader)


def _closed_sockets(case: Case, talk: Talk, reader: str, writer: str) -> Iterator[Finding]:
    """The same by the kernel's word: what waits for a window seldom sends anything that a capture could show."""
    waiting = [
        each
        for each in _sockets(case, writer, reader)
        if each.state == "ESTAB" and each.send_window == 0 and each.send_queue and each.backoff
    ]
    port = str(talk.server[1])
    waiting = [each for each in waiting if port in (each.local.rpartition(":")[2], each.peer.rpartition(":")[2])]
    if waiting:
        text = "%d connections of %s wait with %d bytes for %s, whose window is zero, by the kernel's word"
        words = text % (len(waiting), case.name(writer), sum(each.send_queue for each in waiting), case.name(reader))
        yield finding(case, rules.DIAG_ZERO_WINDOW, case.key(talk), words, reader)


def _unread(case: Case, reader: str, connections: Sequence[Connection]) -> str:
    """Who has not read how much, where the reader's sockets were looked at."""
    witness = case.witnesses.get(case.name(reader))
    if witness is None:
        return ""
    ends = {_text(end) for connection in connections for end in (connection.client, connection.server)}
    waiting = [each for each in witness.view.sockets if each.receive_queue and {each.local, each.peer} <= ends]
    if not waiting:
        return ""
    most = max(waiting, key=lambda each: each.receive_queue)
    holder = witness.view.holders.get("%s %s" % (most.local, most.peer))
    who = (holder.container or holder.unit or holder.process) if holder else "the application"
    return "; %s has left %d bytes unread there" % (who, most.receive_queue)


def _text(end: End) -> str:
    return ("[%s]:%d" if ":" in end[0] else "%s:%d") % end


def retransmission(case: Case, talk: Talk) -> Iterator[Finding]:
    """Segments that were sent again, too many or many at once, and in which direction they were lost."""
    for client_sends in (True, False):
        sides = [side for _connection, _stream, side, _other in _sides(case, talk, client_sends)]
        segments, again = sum(side.segments for side in sides), sum(side.repeated for side in sides)
        burst = max((side.burst for side in sides if _stalls(side)), default=0)
        judged = _judged("retransmission", segments - again, again)
        # What is too large for the path is sent again too, and silence has nothing but that; each is told by itself.
        if _told(case, talk, client_sends) or not (judged.verdict == NOT_MET or over("burst", burst)):
            continue
        sender, receiver = (case.name(each) for each in _ends(talk, client_sends))
        text = "%s sent %d of %d data segments to %s again" % (sender, again, segments, receiver)
        text += ", up to %d within a second" % burst if burst else ""
        where, words = _lost_where(case, talk, client_sends, again, sum(side.spurious for side in sides))
        yield finding(
            case,
            rules.DIAG_RETRANSMISSION,
            "%s %s" % (case.key(talk), "requests" if client_sends else "answers"),
            text + words,
            sender,
            where,
            "less than %g %%" % THRESHOLDS["retransmission"].value,
            "%.3g %%" % (100.0 * again / max(1, segments)),
        )
    number, again, slowest = syns_again(case, talk)
    judged = _judged("syn_retransmission", number, again)
    if judged.verdict == NOT_MET:
        text = "for %d connections %d SYNs and answers were sent again; the slowest took %d ms" % (
            number,
            again,
            slowest,
        )
        yield finding(
            case,
            rules.DIAG_RETRANSMISSION,
            "%s handshakes" % case.key(talk),
            text,
            talk.client,
            "",
            "less than %g %%" % THRESHOLDS["syn_retransmission"].value,
            "%.3g %%" % (judged.percent or 0.0),
        )


def _stalls(side: Side) -> bool:
    """Whether so many segments were sent again within a second that what is sent stands still."""
    return over("burst", side.burst) and over("burst_share", 100.0 * side.burst / max(1, side.burst_of))


def _judged(name: str, of: int, again: int) -> Indicator:
    """A share judged as that of the counters is, with the same bounds."""
    counts = (
        {"segments": of, "retransmitted": again, "syn_retransmitted": 0}
        if name == "retransmission"
        else {"syn_retransmitted": again, "opened": of, "accepted": 0}
    )
    counters = {COUNTED_BY[key]: value for key, value in counts.items()}
    return indicators(Counted("", 0.0, counters), {name: THRESHOLDS[name].value})[0][name]


def _lost_where(case: Case, talk: Talk, client_sends: bool, again: int, spurious: int) -> Tuple[str, str]:
    sender, receiver = (case.name(each) for each in _ends(talk, client_sends))
    both = carried(case, talk.connections, client_sends)
    if both.unknown:
        if 2 * spurious >= again:
            return "spurious", "; %d of these had arrived already" % spurious
        return "", "; in which direction they, or their acknowledgements, are lost cannot be told " + both.unknown
    if both.lost:
        share = 100.0 * both.lost / max(1, both.sent)
        text = "; %d of %d bytes (%.3g %%) are lost on the way from %s to %s"
        return "", text % (both.lost, both.sent, share, sender, receiver)
    return "back", "; all arrived at %s: acknowledgements are lost on the way back, or come late" % receiver


def _told(case: Case, talk: Talk, client_sends: bool) -> bool:
    return bool(_too_large(case, talk, client_sends) or _silent(case, talk, client_sends))


def _stuck(case: Case, talk: Talk, client_sends: bool) -> Iterator[Tuple[Connection, Stream, Side, float]]:
    """Connections of which a segment was repeated in vain, each with the time since when.

    By the kernel's word that may be longer than the capture: 0 then.
    """
    for connection, stream, side, _other in _sides(case, talk, client_sends):
        sender = connection.client if client_sends else connection.server
        backoff = _backoff(case, sender, connection.other(sender)) if side.stuck.times else 0
        if over("repeats", max(side.stuck.times, backoff + 1)):
            yield connection, stream, side, side.stuck.first if side.stuck.times > backoff else 0.0


def _backoff(case: Case, own: End, theirs: End) -> int:
    """How often an end has doubled its timeout since it has heard of the other one."""
    witness = case.witness(own)
    sockets = witness.view.sockets if witness else ()
    return max((each.backoff for each in sockets if (each.local, each.peer) == (_text(own), _text(theirs))), default=0)


def _heard_after(case: Case, talk: Talk, client_sends: bool, time: float, host: Optional[str]) -> bool:
    """Whether the other end has said anything after a time, on any connection of the talk, at the same host."""
    for connection in talk.connections:
        sender = connection.client if client_sends else connection.server
        stream = connection.views.get(host) if host else case.best(connection, sender)
        if stream and stream.side(connection.other(sender)).last > time:
            return True
    return False


def _host_of(connection: Connection, stream: Stream) -> Optional[str]:
    return next((name for name, each in connection.views.items() if each is stream), None)


def _too_large(case: Case, talk: Talk, client_sends: bool) -> List[Tuple[Stream, Side]]:
    """Segments that are repeated in vain, larger than what passes, while the path carries others."""
    found = []
    for connection, stream, side, since in _stuck(case, talk, client_sends):
        large = over("every_path", side.stuck.length) and side.stuck.length > side.passed
        host = _host_of(connection, stream)
        if large and _heard_after(case, talk, client_sends, since, host):
            found.append((stream, side))
    return found


def _silent(case: Case, talk: Talk, client_sends: bool) -> List[Tuple[Connection, Side]]:
    """Segments that are repeated in vain, while nothing at all comes back over the connection."""
    large = [side for _stream, side in _too_large(case, talk, client_sends)]
    found = []
    for connection, stream, side, since in _stuck(case, talk, client_sends):
        long = not since or over("silence", side.stuck.last - since)
        heard = stream.side(connection.other(connection.client if client_sends else connection.server)).last > since
        if long and not heard and not any(side is each for each in large):
            found.append((connection, side))
    return found


def silent(case: Case, talk: Talk) -> Iterator[Finding]:
    """Connections that stand, and on which nobody answers any more."""
    for client_sends in (True, False):
        sender, receiver = (case.name(each) for each in _ends(talk, client_sends))
        found = _silent(case, talk, client_sends)
        if found:
            longest = max(side.stuck.last - side.stuck.first for _connection, side in found)
            since = "for %.3g s" % longest if longest else "since before the capture"
            text = "on %d connections %s repeats a segment, %s, and %s says nothing"
            words = text % (len(found), sender, since, receiver)
            both = carried(case, [connection for connection, _side in found], client_sends)
            if not both.unknown:
                arrived = "are lost on the way there" if both.lost else "arrive there: what comes back is lost"
                words += "; the segments %s" % arrived
            began = min(side.stuck.first for _connection, side in found)
            if _heard_after(case, talk, client_sends, began, None):
                words += "; other connections are answered: a firewall on the way has likely forgotten these"
            yield finding(case, rules.DIAG_SILENT, case.key(talk), words, receiver)


def path_mtu(case: Case, talk: Talk) -> Iterator[Finding]:
    """Segments that are too large for the path and of which nobody says so, or is heard."""
    for client_sends in (True, False):
        sender, receiver = _ends(talk, client_sends)
        found = _too_large(case, talk, client_sends)
        way = _way(case, sender, receiver)
        if not found:
            yield from _echoes(case, talk, sender, receiver, way)
            continue
        _stream, worst = max(found, key=lambda each: each[1].stuck.times)
        errors = [error for stream, _side in found for error in stream.errors if error.too_big]
        text = "%s has sent segments of %d bytes to %s in vain (%d times meanwhile), while %s get through" % (
            case.name(sender),
            worst.stuck.length,
            case.name(receiver),
            worst.stuck.times,
            "those of %d" % worst.passed if worst.passed else "handshakes",
        )
        if errors:
            text += "; %s says that %d bytes are the most" % (case.name(errors[0].sender), errors[0].mtu)
        else:
            text += "; no ICMP message says so"
        if way and way.path_mtu:
            text += "; by echoes, packets of %d bytes get through" % way.path_mtu
        yield finding(case, rules.DIAG_MTU, case.key(talk), text, sender, "told" if errors else "", *_sizes(way))


def _sizes(way: Optional[Way]) -> Tuple[str, str]:
    if way is None or not way.path_mtu:
        return "", ""
    return "%d bytes" % way.route_mtu, "%d bytes" % way.path_mtu


def _way(case: Case, sender: str, receiver: str) -> Optional[Way]:
    witness = case.witnesses.get(case.name(sender))
    return next((way for way in witness.view.ways if way.peer == receiver), None) if witness else None


def _echoes(case: Case, talk: Talk, sender: str, receiver: str, way: Optional[Way]) -> Iterator[Finding]:
    """By echoes alone, where no segment was seen to be too large."""
    # Sizes in steps were tried: the largest that gets through may be larger by less than one.
    if way is None or not 0 < way.path_mtu <= way.route_mtu - PADDING:
        return
    text = (
        "echoes of more than %d bytes from %s to %s are lost, and no ICMP message says so; the kernel sends up to %d"
        % (
            way.path_mtu,
            case.name(sender),
            case.name(receiver),
            way.route_mtu,
        )
    )
    waiting = [each for each in _sockets(case, sender, receiver) if over("repeats", each.backoff + 1)]
    if waiting:
        text += "; %d connections there repeat in vain what they have sent" % len(waiting)
    severity = "" if waiting else "warning"
    yield finding(case, rules.DIAG_MTU, case.key(talk), text, sender, "", *_sizes(way), severity=severity)


def _sockets(case: Case, own: str, theirs: str) -> List[SocketState]:
    witness = case.witnesses.get(case.name(own))
    sockets = witness.view.sockets if witness else ()
    return [each for each in sockets if each.peer.rpartition(":")[0].strip("[]") == theirs]


def asymmetric(case: Case, talk: Talk) -> Iterator[Finding]:
    """Connections of which a host sees but one direction, and ways of different length."""
    for end_is_client in (True, False):
        own, theirs = _ends(talk, end_is_client)
        witness = case.witnesses.get(case.name(own))
        if witness is None or witness.view.capture.interface == _ANY:
            continue
        halves = [_half(case, connection, end_is_client) for connection in talk.connections]
        outward, inward = halves.count("out"), halves.count("in")
        if not outward and not inward:
            continue
        name, interface = witness.name, witness.view.capture.interface
        way = "answers come in elsewhere" if outward else "its answers leave elsewhere"
        text = "of %d connections %s sees on %s only what it %s: %s%s" % (
            outward or inward,
            name,
            interface,
            "sends" if outward else "receives",
            way,
            _routes(case, own, theirs),
        )
        yield finding(case, rules.DIAG_ASYMMETRIC, case.key(talk), text, own)
        return
    yield from _lengths(case, talk)


def _half(case: Case, connection: Connection, end_is_client: bool) -> str:
    """Whether a host sees but what it sends (out), or what it receives (in), of a connection that goes well."""
    end = connection.client if end_is_client else connection.server
    near = case.near(connection, end)
    if near is None:
        return ""
    mine, other = near.side(end), near.side(connection.other(end))
    for side, silent_one, word in ((mine, other, "out"), (other, mine, "in")):
        # What is repeated gets no answer on any way, be it data or a FIN; where it goes well there is progress.
        well = side.steps > 1 and not side.resets and 2 * side.repeated < max(1, side.segments)
        if over("one_way", side.packets) and not silent_one.packets and well:
            return word
    return ""


def _routes(case: Case, own: str, theirs: str) -> str:
    """What both ends say of their routes to each other."""
    said = []
    for here, there in ((own, theirs), (theirs, own)):
        way = _way(case, here, there)
        if way and way.interface:
            gateway = way.route.get("gateway")
            said.append("%s sends by %s%s" % (case.name(here), way.interface, " to %s" % gateway if gateway else ""))
    return " (%s)" % ", ".join(said) if said else ""


def _lengths(case: Case, talk: Talk) -> Iterator[Finding]:
    """How many routers packets have met each way, by what is left of their time to live."""
    there, back = (_routers(case, talk, client_sends) for client_sends in (True, False))
    if there is None or back is None or not over("hops", abs(there - back)):
        return
    text = "packets from %s to %s meet %d routers, those back %d%s" % (
        case.name(talk.client),
        case.name(talk.server[0]),
        there,
        back,
        _routes(case, talk.client, talk.server[0]),
    )
    yield finding(case, rules.DIAG_ASYMMETRIC, case.key(talk), text, talk.client, severity="note")


def _routers(case: Case, talk: Talk, client_sends: bool) -> Optional[int]:
    """How many routers what one end sends has met when it arrives; None where its arrival was not seen."""
    for connection in talk.connections:
        sender = connection.client if client_sends else connection.server
        far = case.near(connection, connection.other(sender))
        if far and far.side(sender).ttls:
            left = far.side(sender).ttls.most_common(1)[0][0]
            begun = next((number for number in _BEGINNINGS if left <= number), None)
            return None if begun is None else begun - left
    return None
