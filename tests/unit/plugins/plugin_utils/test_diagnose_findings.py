# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is found in recorded cases: each fault by both ends, by one of them, without captures; in a good pair none."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils import _rules as rules
from ansible_collections.netfleet.tcp.plugins.module_utils._diagnose_model import (
    Capture,
    Hop,
    HostView,
    InterfaceCounts,
    SocketState,
    Way,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import Holder, Listener
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding
from ansible_collections.netfleet.tcp.plugins.plugin_utils import _diagnose_handshake as handshake
from ansible_collections.netfleet.tcp.plugins.plugin_utils import _diagnose_transfer as transfer
from ansible_collections.netfleet.tcp.plugins.plugin_utils._capture_model import Packet, Side
from ansible_collections.netfleet.tcp.plugins.plugin_utils._capture_streams import seen
from ansible_collections.netfleet.tcp.plugins.plugin_utils._collect import collect
from ansible_collections.netfleet.tcp.plugins.plugin_utils._diagnose_case import (
    Carried,
    Case,
    Witness,
    _compared,
    carried,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._diagnose_findings import findings, lost_from
from ansible_collections.netfleet.tcp.plugins.plugin_utils._diagnose_rules import CURES, KINDS, THRESHOLDS, cure, over
from ansible_collections.netfleet.tcp.plugins.plugin_utils._diagnose_text import facts, summary
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_kinds import DIAGNOSE_CHECK
from tests.unit.plugins.plugin_utils.recorded_case import NAMES, PORT, case, without_capture

# By record: the rule, whom it is about, and words of the reason.
BOTH_ENDS = {
    "window_scale": (rules.DIAG_WINDOW_SCALE, "right", "right does not offer it (net.ipv4.tcp_window_scaling is 0"),
    "zero_window": (rules.DIAG_ZERO_WINDOW, "right", "right announced a window of zero to left on 1 connections"),
    "loss": (rules.DIAG_RETRANSMISSION, "left", "are lost on the way from left to right"),
    "mtu": (rules.DIAG_MTU, "left", "no ICMP message says so"),
    "dropped_there": (rules.DIAG_NO_ANSWER, "right", "the SYNs leave left and do not arrive at right"),
    "dropped_back": (rules.DIAG_NO_ANSWER, "left", "right answers, and its SYN-ACKs do not arrive at left"),
    "dropped_by_server": (rules.DIAG_NO_ANSWER, "right", "arrive at right, and it does not answer"),
    "dropped_by_client": (rules.DIAG_NO_ANSWER, "left", "arrive at left, which does not take them"),
    "rejected_on_the_way": (rules.DIAG_REFUSED, "right", "by a reset that right has not sent"),
    "rejected_by_icmp": (rules.DIAG_REFUSED, "right", "by ICMP of 198.18.1.254"),
    "refused": (rules.DIAG_REFUSED, "right", "by a reset of right: nothing listens there"),
    "asymmetric": (rules.DIAG_ASYMMETRIC, "left", "left sees on eth0 only what it sends"),
    "silent": (rules.DIAG_SILENT, "right", "a firewall on the way has likely forgotten these"),
}
# The same where but one end is in the inventory.
ONE_END = {
    ("window_scale", "left"): (rules.DIAG_WINDOW_SCALE, "right does not offer it"),
    ("zero_window", "left"): (rules.DIAG_ZERO_WINDOW, "right announced a window of zero"),
    ("zero_window", "right"): (rules.DIAG_ZERO_WINDOW, "bytes unread there"),
    ("loss", "left"): (rules.DIAG_RETRANSMISSION, "cannot be told from one end"),
    ("mtu", "left"): (rules.DIAG_MTU, "no ICMP message says so"),
    ("dropped_there", "left"): (rules.DIAG_NO_ANSWER, "cannot be told from one end"),
    ("dropped_by_server", "right"): (rules.DIAG_NO_ANSWER, "arrive at right, and it does not answer"),
    ("rejected_by_icmp", "left"): (rules.DIAG_REFUSED, "by ICMP of 198.18.1.254"),
    ("refused", "left"): (rules.DIAG_REFUSED, "nothing listens there"),
    ("asymmetric", "left"): (rules.DIAG_ASYMMETRIC, "answers come in elsewhere"),
    ("silent", "left"): (rules.DIAG_SILENT, "right says nothing"),
}


def counted(found: "tuple[Finding, ...]") -> list[Finding]:
    return [each for each in found if each.severity != "note"]


@pytest.mark.parametrize("name", BOTH_ENDS)
def test_both_ends(name: str) -> None:
    rule, host, words = BOTH_ENDS[name]
    (finding,) = counted(findings(case(name), PORT))
    assert (finding.rule, finding.host) == (rule, host)
    assert words in finding.reason
    assert finding.key.startswith(f"left->right:{PORT}")
    assert finding.cure


@pytest.mark.parametrize(("name", "host"), ONE_END)
def test_one_end(name: str, host: str) -> None:
    rule, words = ONE_END[name, host]
    (finding,) = counted(findings(case(name, host), PORT))
    assert (finding.rule, finding.host) == (rule, host)
    assert words in finding.reason


@pytest.mark.parametrize("hosts", [("left", "right"), ("left",), ("right",)])
def test_a_good_pair_gives_none(hosts: "tuple[str, ...]") -> None:
    assert findings(case("well", *hosts), PORT) == ()


def test_a_full_queue_is_two_findings() -> None:
    found = {each.rule: each for each in counted(findings(case("queue"), PORT))}
    assert set(found) >= {rules.DIAG_BACKLOG, rules.DIAG_NO_ANSWER}
    assert "the queue of the service is full" in found[rules.DIAG_NO_ANSWER].reason
    assert (found[rules.DIAG_BACKLOG].host, found[rules.DIAG_BACKLOG].key) == ("right", str(PORT))


def test_every_record_is_used() -> None:
    assert {*BOTH_ENDS, "well", "queue"} == set(NAMES)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("dropped_there", rules.DIAG_NO_ANSWER),
        ("refused", rules.DIAG_REFUSED),
        ("rejected_by_icmp", rules.DIAG_REFUSED),
    ],
)
def test_without_a_capture_the_connects_tell(name: str, rule: str) -> None:
    (finding,) = findings(without_capture(name, "left"), PORT)
    assert (finding.rule, finding.key) == (rule, f"left->right:{PORT}")
    assert "of 3 connections that were tried failed" in finding.reason


def test_syns_whose_place_is_known_tell_where_the_others_are_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = case("dropped_there")
    where, seen_of = handshake._where, []

    def of_the_last_alone(*given: Any) -> str:
        """The other end's capture began after all the others."""
        seen_of.append(given)
        return where(*given) if len(seen_of) == len(lost.talks[0].connections) else ""

    monkeypatch.setattr(handshake, "_where", of_the_last_alone)
    (finding,) = findings(lost, PORT)
    assert "the SYNs leave left and do not arrive at right" in finding.reason


def test_what_arrives_is_compared_by_bytes() -> None:
    good, lossy = case("well"), case("loss")
    both = carried(good, good.talks[0].connections, client_sends=False)
    assert not both.unknown
    assert (both.lost, both.sent == both.arrived, both.sent > 60_000) == (0, True, True)
    there = carried(lossy, lossy.talks[0].connections, client_sends=True)
    back = carried(lossy, lossy.talks[0].connections, client_sends=False)
    assert not there.unknown
    assert not back.unknown
    assert 0.03 < there.lost / there.sent < 0.15
    assert back.lost == 0
    alone = carried(case("loss", "left"), lossy.talks[0].connections, client_sends=True)
    assert alone == Carried(unknown="from one end")


def test_segments_that_are_cut_otherwise_at_each_end_are_compared_by_their_bytes() -> None:
    whole = [(at * 65160, 65160) for at in range(20)]
    # It began within a segment of the sender's, and lost fifteen of its own.
    lacks = [(at * 1448, 1448) for at in range(20, 900) if not 100 <= at < 115]
    assert _compared(Side(ranges=whole), Side(ranges=lacks)).lost == 15 * 1448
    # It ended within one.
    assert _compared(Side(ranges=whole), Side(ranges=[(at * 1448, 1448) for at in range(813)])).lost == 0


def test_a_capture_that_misses_packets_proves_no_loss() -> None:
    lossy = case("loss")
    right = lossy.witnesses["right"]
    missing = replace(right, view=replace(right.view, capture=replace(right.view.capture, dropped=3)))
    found = Case([lossy.witnesses["left"], missing], {})
    (finding,) = counted(findings(found, PORT))
    assert "cannot be told where a capture has missed packets" in finding.reason


def loss_seen_at(sender: slice, receiver: slice) -> str:
    """What is said of a connection that loses every tenth segment, captured at each end for a part of it."""
    ends = {"left": ("10.0.0.1", 40000), "right": ("10.0.0.2", PORT)}
    sent_at: list[tuple[int, frozenset[str]]] = []
    for at in range(400):
        sent_at += [(at, frozenset())] + ([(at, frozenset(["retransmission"]))] if at % 10 == 9 else [])
    witnesses = []
    for name, part in (("left", sender), ("right", receiver)):
        seen_there = [
            Packet(at, 0.01 * at, ends["left"], ends["right"], 1, seq=1000 * segment, length=1000, ack=1, marks=marks)
            for at, (segment, marks) in enumerate(sent_at)
            if name == "left" or marks or segment % 10 != 9
        ][part]
        # The clocks of both are the same.
        view = HostView(
            addresses=(ends[name][0],),
            started=seen_there[0].time,
            ended=seen_there[-1].time,
            capture=Capture(interface="eth0"),
        )
        witnesses.append(Witness(name, view, seen(seen_there, PORT)))
    both = Case(witnesses, {})
    return " ".join(each.reason for each in findings(both, PORT) if each.rule == rules.DIAG_RETRANSMISSION)


def test_what_was_sent_when_nobody_captured_there_is_not_said_to_be_lost() -> None:
    # Of the receiver's view an acknowledgement alone: it began when the last segment was out.
    lossy = case("loss")
    left, right = lossy.witnesses["left"], lossy.witnesses["right"]
    assert left.seen
    assert right.seen
    streams = []
    for stream in right.seen.streams:
        sides = {end: side if end == stream.server else replace(side, ranges=[]) for end, side in stream.sides.items()}
        streams.append(replace(stream, sides=sides))

    half = replace(right.seen, streams=tuple(streams))

    def found(began: float) -> Carried:
        both = Case([left, Witness("right", replace(right.view, started=began), half)], {})
        return carried(both, both.talks[0].connections, client_sends=True)

    last = max(stream.last for stream in left.seen.streams)
    assert found(last - 0.5).unknown
    whole = found(min(stream.first for stream in left.seen.streams) - 2)
    assert (whole.unknown, whole.arrived, whole.lost > 100_000) == ("", 0, True)


def test_captures_that_have_nothing_in_common_do_not_tell_the_direction() -> None:
    assert "; 30000 of 330000 bytes (9.09 %) are lost on the way from left to right" in loss_seen_at(
        slice(None), slice(100, None)
    )
    found = loss_seen_at(slice(100), slice(200, None))
    assert "cannot be told where the captures of both ends have no data in common" in found
    assert "all arrived" not in found


def sent(number: int, again: int, seconds: float) -> Side:
    """A side that has sent so many segments in that time, the last of them again."""
    marks = [frozenset[str]()] * (number - again) + [frozenset(["retransmission"])] * again
    packets = [
        Packet(at, seconds * at / number, ("10.0.0.1", 1), ("10.0.0.2", PORT), 1, seq=100 * at, length=100, marks=mark)
        for at, mark in enumerate(marks)
    ]
    return seen(packets, PORT).streams[0].side(("10.0.0.1", 1))


def test_a_burst_is_a_part_of_what_is_sent_in_its_second() -> None:
    slow, fast = sent(60, 6, 1.0), sent(6000, 6, 1.0)
    assert (slow.burst, slow.burst_of, fast.burst, fast.burst_of) == (6, 60, 6, 6000)
    assert sent(100, 6, 100.0).burst == 2
    assert transfer._stalls(slow)
    assert not transfer._stalls(fast)


def host(**view: Any) -> Witness:
    return Witness("left", replace(HostView(addresses=("198.18.1.1",)), **view))


def only(*witnesses: Witness) -> Finding:
    (finding,) = findings(Case(list(witnesses), {}), PORT)
    return finding


def test_queues_of_a_host_that_drop() -> None:
    finding = only(host(interfaces=(InterfaceCounts("eth0", "fq", 1000, 50, backlog=3000),)))
    assert finding.rule == rules.DIAG_INTERFACE
    assert "the qdisc fq of eth0 has dropped 50 of 1050 packets; 3000 bytes wait in it" in finding.reason
    assert findings(Case([host(interfaces=(InterfaceCounts("eth0", "fq", 1_000_000, 50),))], {}), PORT) == ()
    assert (
        "eth0 counts 12 rx_missed_errors"
        in only(host(interfaces=(InterfaceCounts("eth0", errors={"rx_missed_errors": 12, "tx_errors": 3}),))).reason
    )
    assert "before any processor took them" in only(host(backlog_drops=30)).reason


def test_a_listener_whose_queue_is_full() -> None:
    full = Listener("0.0.0.0", 443, 129, 128, 0, Holder("nginx", 7, "nginx.service"))
    finding = only(host(listeners=(full,)))
    assert (finding.rule, finding.key) == (rules.DIAG_BACKLOG, "443")
    assert "129 connections wait until nginx.service accepts them, of at most 128" in finding.reason
    assert findings(Case([host(listeners=(replace(full, backlog=128),))], {}), PORT) == ()
    # It is empty again, and has dropped some meanwhile.
    assert only(host(listeners=(replace(full, backlog=0, drops=9),), counters={"TcpExtListenOverflows": 9}))


def way(*losses: float, silent: "tuple[int, ...]" = ()) -> Way:
    hops = [
        Hop(number, "" if number in silent else f"192.0.2.{number}", loss)
        for number, loss in enumerate(losses, start=1)
    ]
    return Way("198.18.2.1", hops=tuple(hops))


def test_loss_on_the_way_counts_only_where_it_goes_on_to_the_end() -> None:
    assert lost_from(way(0, 60, 60)) == Hop(2, "192.0.2.2", 60)
    # A router that answers few echoes, and an end that answers none.
    assert lost_from(way(0, 80, 0)) is None
    assert lost_from(way(0, 0, 100)) is None
    assert lost_from(way(0, 100, 60, silent=(2,))) == Hop(3, "192.0.2.3", 60)
    assert lost_from(way()) is None
    finding = only(host(ways=(way(0, 60, 60),)))
    assert "60 % of the echoes to 198.18.2.1 are lost, from router 2 (192.0.2.2) on" in finding.reason


def test_echoes_alone_warn_and_connections_that_wait_make_it_an_error() -> None:
    left = case("well", "left").witnesses["left"]
    narrow = replace(left.view, ways=(replace(left.view.ways[0], path_mtu=1292),))
    (finding,) = findings(Case([replace(left, view=narrow)], {}), PORT)
    assert (finding.rule, finding.severity, finding.running) == (rules.DIAG_MTU, "warning", "1292 bytes")
    waiting = SocketState(
        "198.18.1.1:40000", f"198.18.2.1:{PORT}", "ESTAB", send_queue=5000, backoff=4, window_scale=True
    )
    (finding,) = findings(Case([replace(left, view=replace(narrow, sockets=(waiting,)))], {}), PORT)
    assert (finding.severity, "1 connections there repeat in vain" in finding.reason) == ("error", True)


def test_connections_that_stood_before_are_told_by_the_kernel() -> None:
    left = case("well", "left").witnesses["left"]
    old = SocketState("198.18.1.1:40000", f"198.18.2.1:{PORT}", "ESTAB", window_scale=False)
    found = findings(Case([replace(left, view=replace(left.view, sockets=(old,)))], {}), PORT)
    assert [(each.rule, "by the kernel's word" in each.reason) for each in found] == [(rules.DIAG_WINDOW_SCALE, True)]


def test_data_and_code_agree() -> None:
    known = {rule.id for rule in rules.DIAGNOSE_RULES}
    assert set(KINDS) == known
    assert {subject for subject, _severity in KINDS.values()} == set(rules.DIAGNOSE_SUBJECTS) - {"host"}
    assert {rule for rule, _where in CURES} == known
    assert all((rule, "") in CURES for rule in known)
    assert cure(rules.DIAG_MTU, "no such place") == cure(rules.DIAG_MTU)
    assert all(threshold.reason and threshold.unit for threshold in THRESHOLDS.values())
    assert over("syns", 2)
    assert not over("syns", 1.9)


@pytest.mark.parametrize("name", NAMES)
def test_each_case_is_told_as_text_and_as_data(name: str) -> None:
    whole = case(name)
    found = findings(whole, PORT)
    answers = {
        witness: {
            "diagnose": {
                "status": "asked",
                "subjects": list(rules.DIAGNOSE_SUBJECTS),
                "findings": [{**vars(each), "waiver": None} for each in found if each.host == witness],
            }
        }
        for witness in whole.witnesses
    }
    report = collect(answers, "warning", 1_795_780_800.0, "0.1.0", DIAGNOSE_CHECK)
    text = summary(whole, report, {"host": "left", "peer": "right"})
    assert text.startswith("TCP diagnosis, host left, peer right\n")
    assert f"left->right:{PORT}" in text
    for each in counted(found):
        assert " ".join(each.reason.split()[:6]) in " ".join(text.split())
    data = json.loads(json.dumps(facts(whole, report, {})))
    assert len(data["findings"]) == len(found)
    assert data["talks"][0]["port"] == PORT
    assert set(data["hosts"]) == {"left", "right"}
    assert "data" not in data["hosts"]["left"]["capture"]


def with_right(name: str, capture: "dict[str, Any] | None" = None, **view: Any) -> Case:
    """A recorded case of which the other end is a different one."""
    whole = case(name)
    left, right = whole.witnesses["left"], whole.witnesses["right"]
    changed = replace(right.view, capture=replace(right.view.capture, **capture or {}), **view)
    return Case([left, replace(right, view=changed)], {})


@pytest.mark.parametrize(
    ("capture", "view"),
    [
        # Another interface; another address of the client, of several or translated.
        ({}, {"addresses": ("127.0.0.1", "198.18.2.1", "198.18.4.1")}),
        ({}, {"ways": (Way("198.18.3.1"),)}),
        ({"interface": "any"}, {"ways": (Way("198.18.3.1"),)}),
    ],
)
def test_what_no_capture_could_have_seen_is_not_said_to_be_lost(capture: "dict[str, Any]", view: Any) -> None:
    (finding,) = counted(findings(with_right("dropped_there", capture, **view), PORT))
    assert finding.rule == rules.DIAG_NO_ANSWER
    assert "where they are lost cannot be told" in finding.reason
    assert "tcp_diagnose_interface=any" in finding.cure
    (finding,) = counted(findings(with_right("rejected_on_the_way", capture, **view), PORT))
    assert "a device on the way" not in finding.reason
    assert "by a reset with the address of right; whether right has sent it cannot be told" in finding.reason
    assert "tcp_diagnose_interface=any" in finding.cure


@pytest.mark.parametrize(
    ("capture", "view"),
    [
        ({"interface": "any"}, {"addresses": ("127.0.0.1", "198.18.2.1", "198.18.4.1")}),
        ({}, {"addresses": ("127.0.0.1", "198.18.2.1", "2001:db8::1", "fe80::1", "169.254.1.1")}),
        # A service, of whoever comes.
        ({"interface": "any"}, {"ways": ()}),
    ],
)
def test_what_a_capture_must_have_seen_is_said_to_be_lost(capture: "dict[str, Any]", view: Any) -> None:
    (finding,) = counted(findings(with_right("dropped_there", capture, **view), PORT))
    assert "the SYNs leave left and do not arrive at right" in finding.reason
    (finding,) = counted(findings(with_right("rejected_on_the_way", capture, **view), PORT))
    assert "by a reset that right has not sent" in finding.reason


def tried(left: Witness, **errors: int) -> "tuple[Finding, ...]":
    """What is found where connections were tried from there, and so many came to these errors."""
    way = replace(left.view.ways[0], connects=dict(errors))
    return findings(Case([replace(left, view=replace(left.view, ways=(way,)))], {}), PORT)


def test_connects_that_fail_before_the_capture_sees_them_are_told() -> None:
    # It has seen SYNs of this client to that service, and none to another one.
    left = case("well", "left").witnesses["left"]
    assert [each.rule for each in tried(left, EADDRNOTAVAIL=3)] == [rules.DIAG_REFUSED]
    assert [each.rule for each in tried(left, EPERM=1, TIMEOUT=2)] == [rules.DIAG_REFUSED]
    assert [each.rule for each in tried(left, ENETUNREACH=3)] == [rules.DIAG_REFUSED]
    assert tried(left, TIMEOUT=3) == tried(left, ECONNREFUSED=3) == ()
    nothing = replace(left, seen=seen([]))
    (finding,) = tried(nothing, TIMEOUT=3)
    assert (finding.rule, "3 of 3 connections that were tried failed" in finding.reason) == (rules.DIAG_NO_ANSWER, True)
    assert [each.rule for each in tried(nothing, EHOSTUNREACH=3)] == [rules.DIAG_REFUSED]


@pytest.mark.parametrize(
    ("error", "host", "cure_of_it"),
    [
        ("EADDRNOTAVAIL", "left", "the playbook health says by whom (ports)"),
        ("EPERM", "left", "nft list ruleset"),
        ("ENETUNREACH", "left", "ip route get"),
        ("EINVAL", "left", "give an address that counts everywhere"),
        ("EHOSTUNREACH", "right", "ip neigh"),
        ("ECONNRESET", "right", "its log"),
        ("ECONNREFUSED", "right", "ss -ltn at the server"),
    ],
)
def test_whoever_fails_to_connect_by_himself_is_told_so(error: str, host: str, cure_of_it: str) -> None:
    both = case("well").witnesses
    left = replace(both["left"], seen=seen([]))
    way = replace(left.view.ways[0], connects={error: 3})
    (finding,) = findings(Case([replace(left, view=replace(left.view, ways=(way,))), both["right"]], {}), PORT)
    assert (finding.rule, finding.host) == (rules.DIAG_REFUSED, host)
    assert cure_of_it in finding.cure


def test_addresses_that_several_hosts_have_are_nobodys() -> None:
    left, right = (
        Witness(name, HostView(addresses=("172.17.0.1", own)))
        for name, own in (("left", "10.0.0.1"), ("right", "10.0.0.2"))
    )
    both = Case([left, right], {})
    assert both.names == {"10.0.0.1": "left", "10.0.0.2": "right"}
    assert both.witness(("172.17.0.1", 80)) is None
    assert both.name("172.17.0.1") == "172.17.0.1"


def closing(*resets: "tuple[float, str]") -> Side:
    """A side that has announced a window of zero at 1 s, in a capture of 10 s."""
    ends = {"left": ("10.0.0.1", 1), "right": ("10.0.0.2", PORT)}
    packets = [Packet(1, 1.0, ends["left"], ends["right"], 1, flags=0x10, window=0)]
    packets += [
        Packet(2, time, ends[who], ends["right" if who == "left" else "left"], 1, flags=0x04) for time, who in resets
    ]
    packets += [Packet(3, 10.0, ("10.0.0.9", 1), ("10.0.0.2", PORT), 2, flags=0x10)]
    return seen(packets, PORT).streams[0].side(ends["left"])


@pytest.mark.parametrize("who", ["left", "right"])
def test_a_window_of_zero_ends_with_the_connection(who: str) -> None:
    assert (closing().closed, closing().still_closed) == (9.0, True)
    ended = closing((1.05, who))
    assert ended.closed == pytest.approx(0.05)
    assert not ended.still_closed


def one_way(*places: "tuple[int, int, int]") -> "list[Finding]":
    """What is found where a host captures on eth0 only what it sends: sequence numbers, acknowledged ones, flags."""
    packets = [
        Packet(at, 0.1 * at, ("198.18.1.1", 40000), ("198.18.2.1", PORT), 1, seq=seq, ack=ack, flags=flags)
        for at, (seq, ack, flags) in enumerate(places)
    ]
    view = HostView(addresses=("198.18.1.1",), capture=Capture(interface="eth0"))
    return list(findings(Case([Witness("left", view, seen(packets, PORT))], {}), PORT))


def test_a_way_of_one_direction_needs_progress() -> None:
    assert one_way(*[(100, 500, 0x11)] * 5) == []
    (finding,) = one_way(*[(100, 500 + 100 * number, 0x10) for number in range(5)])
    assert finding.rule == rules.DIAG_ASYMMETRIC


def test_what_an_interface_drops_is_a_share_of_what_it_receives() -> None:
    def dropped(received: int, **errors: int) -> int:
        return len(
            findings(Case([host(interfaces=(InterfaceCounts("eth0", errors=errors, received=received),))], {}), PORT)
        )

    assert dropped(1_000_000, rx_dropped=50) == 0
    assert dropped(10_000, rx_dropped=50) == 1
    assert dropped(0, rx_nohandler=5000) == 0
    assert dropped(1_000_000, rx_missed_errors=50) == 1


def test_many_connections_of_the_same_ends_are_found_by_these() -> None:
    """Each was once compared with all that were known."""
    packets = [
        Packet(number, 0.001 * number, ("10.0.0.1", number), ("10.0.0.2", PORT), number, flags=0x10)
        for number in range(1, 10_001)
    ]
    shown = seen(packets, PORT)
    began = time.process_time()
    whole = Case([Witness("left", HostView(), shown), Witness("right", HostView(), shown)], {})
    assert sum(len(talk.connections) for talk in whole.talks) == 10_000
    assert all(len(each.views) == 2 for talk in whole.talks for each in talk.connections)
    assert time.process_time() - began < 2
