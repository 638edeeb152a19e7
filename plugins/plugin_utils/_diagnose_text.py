# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A case for people, and as data for programs. Pure; runs on the controller alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Dict, List, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._diagnose_model import Way
from ansible_collections.netfleet.tcp.plugins.module_utils._model import to_wire
from ansible_collections.netfleet.tcp.plugins.plugin_utils import _report_text
from ansible_collections.netfleet.tcp.plugins.plugin_utils._capture_model import Side
from ansible_collections.netfleet.tcp.plugins.plugin_utils._diagnose_case import Case, Talk, carried
from ansible_collections.netfleet.tcp.plugins.plugin_utils._diagnose_rules import THRESHOLDS
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import Report

FORMAT = 1
_MOST_ROWS, _MOST_SOCKETS = 30, 10
_HEAD = ("connections", "number", "requests", "sent again", "answers", "sent again", "RTT")
# Counters that tell something to whoever knows them; the others are in view.json.
_TELLING = (
    "TcpActiveOpens",
    "TcpPassiveOpens",
    "TcpAttemptFails",
    "TcpEstabResets",
    "TcpOutRsts",
    "TcpRetransSegs",
    "TcpExtTCPSynRetrans",
    "TcpExtTCPTimeouts",
    "TcpExtTCPLossProbes",
    "TcpExtTCPDSACKRecv",
    "TcpExtListenOverflows",
    "TcpExtListenDrops",
    "TcpExtTCPReqQFullDrop",
    "TcpExtTCPBacklogDrop",
    "TcpExtTCPZeroWindowDrop",
    "TcpExtTCPRcvQDrop",
    "TcpExtTCPOFOQueue",
    "TcpExtTCPMTUPFail",
    "TcpExtTCPMTUPSuccess",
    "IcmpInDestUnreachs",
    "IpExtInCsumErrors",
    "IpInDiscards",
    "IpOutDiscards",
    "IpOutNoRoutes",
)


def facts(case: Case, report: Report, asked: Mapping[str, Any]) -> Dict[str, Any]:
    """All that is known, as data: what was asked for, the findings, each talk in numbers, hosts, thresholds."""
    return {
        "format": FORMAT,
        "started": report.started,
        "finished": report.finished,
        "asked": dict(asked),
        "findings": [to_wire(finding) for finding in report.findings],
        "talks": [_talk(case, talk) for talk in case.talks],
        "hosts": {name: _host(case, name) for name in case.witnesses},
        "thresholds": {
            name: {"value": each.value, "unit": each.unit, "reason": each.reason} for name, each in THRESHOLDS.items()
        },
    }


def _talk(case: Case, talk: Talk) -> Dict[str, Any]:
    found: Dict[str, Any] = {
        "client": talk.client,
        "client_name": case.name(talk.client),
        "server": talk.server[0],
        "server_name": case.name(talk.server[0]),
        "port": talk.server[1],
        "connections": len(talk.connections),
        "captured_on": sorted({host for each in talk.connections for host in each.views}),
    }
    for word, client_sends in (("requests", True), ("answers", False)):
        both = carried(case, talk.connections, client_sends)
        found[word] = {
            **_sum([*_sides(case, talk, client_sends)]),
            "bytes_sent": None if both.unknown else both.sent,
            "bytes_arrived": None if both.unknown else both.arrived,
        }
    return found


def _sides(case: Case, talk: Talk, client_sends: bool) -> Iterator[Side]:
    for connection in talk.connections:
        end = connection.client if client_sends else connection.server
        yield case.best(connection, end).side(end)


def _sum(sides: Sequence[Side]) -> Dict[str, Any]:
    names = ("packets", "segments", "data", "repeated", "spurious", "syns", "syn_acks", "resets", "fins", "closings")
    found: Dict[str, Any] = {name: sum(getattr(side, name) for side in sides) for name in names}
    return {**found, "closed_seconds": round(sum(side.closed for side in sides), 3)}


def _host(case: Case, name: str) -> Dict[str, Any]:
    view = case.witnesses[name].view
    data = to_wire(view)
    for aside in ("raw", "settings"):
        del data[aside]
    del data["capture"]["data"]
    return data


def summary(case: Case, report: Report, asked: Mapping[str, Any]) -> str:
    """All of it for people, the findings first."""
    lines = ["TCP diagnosis, %s" % ", ".join("%s %s" % (name, value) for name, value in asked.items() if value), ""]
    lines += [line for _style, line in _report_text.lines(report)]
    lines += ["", *table(case)]
    for name in case.witnesses:
        lines += ["", *_of_host(case, name)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def table(case: Case) -> List[str]:
    """A line for each client and service, in columns: segments with data, and which share of them was sent again."""
    rows: List[Tuple[str, ...]] = []
    for talk in case.talks[:_MOST_ROWS]:
        cells = [case.key(talk), str(len(talk.connections))]
        for client_sends in (True, False):
            found = _sum([*_sides(case, talk, client_sends)])
            cells += [str(found["segments"]), _share(found["repeated"], found["segments"])]
        rows.append((*cells, _rtt(case, talk)))
    if not rows:
        return []
    widths = [max(len(row[column]) for row in (_HEAD, *rows)) for column in range(len(_HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (_HEAD, *rows)]
    left = len(case.talks) - _MOST_ROWS
    return [line.rstrip() for line in lines] + (["and %d more, see diagnosis.json" % left] if left > 0 else [])


def _share(number: int, of: int) -> str:
    return "%d (%.3g %%)" % (number, 100.0 * number / of) if of else "-"


def _rtt(case: Case, talk: Talk) -> str:
    """The RTT of the connections that stand, as the client's kernel has it, or the server's."""
    for own, theirs in ((talk.client, talk.server[0]), (talk.server[0], talk.client)):
        witness = case.witnesses.get(case.name(own))
        sockets = witness.view.sockets if witness else ()
        found = [each.rtt for each in sockets if each.rtt and each.peer.rpartition(":")[0].strip("[]") == theirs]
        if found:
            return "%.3g ms" % sorted(found)[len(found) // 2]
    return "-"


def _of_host(case: Case, name: str) -> Iterator[str]:
    view = case.witnesses[name].view
    capture = view.capture
    yield "%s, %.3g s, Linux %s" % (name, view.seconds, view.kernel)
    if capture.problem:
        yield "  no capture: %s" % capture.problem
    else:
        yield "  %d packets captured on %s, %d not" % (
            capture.packets,
            capture.interface,
            capture.dropped + capture.dropped_interface,
        )
    for way in view.ways:
        yield from _of_way(case, way)
    for each in sorted(view.sockets, key=lambda one: -one.receive_queue - one.send_queue)[:_MOST_SOCKETS]:
        yield "  %-11s %s > %s  unread %d, unacknowledged %d, RTT %.3g ms, cwnd %d, sent again %d" % (
            each.state,
            each.local,
            each.peer,
            each.receive_queue,
            each.send_queue,
            each.rtt,
            each.cwnd,
            each.retransmitted,
        )
    told = ["%s %d" % (counter, view.counters[counter]) for counter in _TELLING if view.counters.get(counter)]
    if told:
        yield "  counted: %s" % ", ".join(told)
    for traced in view.traced[:_MOST_SOCKETS]:
        times = ", %.3g ms" % traced.milliseconds if traced.milliseconds else ""
        yield "  traced: %s %s > %s, %d times%s" % (traced.event, traced.local, traced.peer, traced.count, times)


def _of_way(case: Case, way: Way) -> Iterator[str]:
    gateway = way.route.get("gateway")
    mtu = ", MTU %d" % way.route_mtu if way.route_mtu else ""
    mtu += " (%d get through)" % way.path_mtu if way.path_mtu else ""
    yield "  to %s by %s%s from %s%s" % (
        case.name(way.peer),
        way.interface or "no route",
        " and %s" % gateway if gateway else "",
        way.source or "?",
        mtu,
    )
    for hop in way.hops:
        yield "    %2d  %-24s %5.3g %% lost, %.3g ms" % (hop.number, hop.address or "no answer", hop.loss, hop.rtt)
