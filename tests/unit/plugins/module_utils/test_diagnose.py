# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host's part of a diagnosis, on hosts in memory and recorded ones."""

from __future__ import annotations

import json
import re
from typing import Any, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netfleet.tcp.plugins.module_utils import _bpf_probes
from ansible_collections.netfleet.tcp.plugins.module_utils._capture import arguments, problem_of
from ansible_collections.netfleet.tcp.plugins.module_utils._diagnose import (
    ERRORS,
    Tools,
    asked_from,
    expression,
    filter_problems,
    look,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._diagnose_model import Capture, HostView, SocketState
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError
from ansible_collections.netfleet.tcp.plugins.module_utils._hops import NONE, hops, parse_lines, parse_mtr
from ansible_collections.netfleet.tcp.plugins.module_utils._model import from_wire, to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._probe import Network
from ansible_collections.netfleet.tcp.plugins.module_utils._probe_model import TIMEOUT, Attempt
from ansible_collections.netfleet.tcp.plugins.module_utils._sock_diag import Answer
from ansible_collections.netfleet.tcp.plugins.module_utils._socket_details import connections
from tests.unit.plugins.fake_system import FakeSystem
from tests.unit.plugins.recorded_sockets import RECORD, SocketHost, recorded_dump

GIVEN: "dict[str, Any]" = {
    "peers": ["10.1.0.2"],
    "port": 7000,
    "serves": False,
    "filter": "",
    "interface": "",
    "seconds": 2.0,
    "megabytes": 1,
    "payload": 0,
    "connects": 3,
    "hops": True,
    "trace": True,
}
MTR = {
    "report": {
        "hubs": [
            {"count": 1, "host": "10.1.0.254", "Loss%": 0.0, "Snt": 5, "Avg": 0.2},
            {"count": "2", "host": "???", "Loss%": "100.0", "Snt": "5", "Avg": "0.0"},
            {"count": 3, "host": "10.1.0.2", "Loss%": 20.0, "Snt": 5, "Avg": 12.5},
        ]
    }
}
ROUTE = [{"dst": "10.1.0.2", "gateway": "10.1.0.254", "dev": "eth0", "prefsrc": "10.1.0.1", "flags": [], "cache": []}]


class ACapture:
    """A capture in memory."""

    def __init__(self, problem: str = "", result: "Capture | None" = None) -> None:
        self.problem, self.result = problem, result or Capture(packets=7, size=700, received=7, data=b"packets")
        self.asked: "tuple[Any, ...]" = ()

    def __call__(self, *asked: Any) -> "ACapture":
        self.asked = asked
        return self

    def begin(self) -> str:
        return self.problem

    def end(self) -> Capture:
        return self.result


class AHost(SocketHost):
    """The recorded host with programs; printed: what they print, by the first words of their command lines."""

    def __init__(self) -> None:
        super().__init__()
        self.hosts = {"10.1.0.2": ["10.1.0.2"], "peer": ["10.1.0.2"], "2001:db8::2": ["2001:db8::2"]}
        self.printed = {
            "ip -j route": json.dumps(ROUTE),
            "ip -j address": json.dumps([{"addr_info": [{"local": "10.1.0.1"}, {"local": "fe80::1"}]}]),
            "tc -s -j": json.dumps([{"kind": "fq", "root": True, "packets": 10, "drops": 2, "backlog": 5}]),
            "ip -j -s": json.dumps([{"stats64": {"rx": {"bytes": 9, "missed": 4}, "tx": {"errors": 1}}}]),
            "timeout -k 2 25 mtr": json.dumps(MTR),
        }
        self.put("/proc/net/softnet_stat", "0000000a 00000003 0\n")

    def run(self, argv: Sequence[str], stdin: str = "") -> "tuple[int, str, str]":
        assert not stdin
        line = " ".join(argv)
        for start, text in self.printed.items():
            if line.startswith(start):
                return 0, text, ""
        return 127, "", "%s is not installed" % argv[0]


def network(error: str = "") -> Network:
    return Network(
        lambda places, attempts, *_more: [[Attempt(error)] * attempts for _place in places],
        lambda asked, _seconds: {(address, size): 0.001 for address, size in asked if size <= 1400},
        lambda addresses: dict.fromkeys(addresses, 1500),
    )


def seen(system: FakeSystem, capture: "ACapture | None" = None, error: str = "", **given: Any) -> HostView:
    tools = Tools(network(error), capture or ACapture(), lambda _seconds: None)
    return look(system, tools, asked_from({**GIVEN, **given}))


def test_all_that_a_host_says() -> None:
    capture = ACapture()
    view = seen(AHost(), capture, error=TIMEOUT)
    assert capture.asked == ("eth0", expression(["10.1.0.2"], 7000, ""), 2.0, 1_000_000, 0)
    assert (view.capture.interface, view.capture.packets, view.capture.data) == ("eth0", 7, b"packets")
    (way,) = view.ways
    assert (way.interface, way.source, way.route["gateway"]) == ("eth0", "10.1.0.1", "10.1.0.254")
    assert (way.route_mtu, way.path_mtu, way.tool, way.connects) == (1500, 1388, "mtr", {TIMEOUT: 3})
    assert [(hop.number, hop.address, hop.loss) for hop in way.hops] == [
        (1, "10.1.0.254", 0),
        (2, "", 100),
        (3, "10.1.0.2", 20),
    ]
    assert view.addresses == ("10.1.0.1", "fe80::1")
    assert [(each.port, each.backlog, each.limit) for each in view.listeners] == [(7000, 4, 3)]
    assert {each.peer.rpartition(":")[0] for each in view.sockets} == {"10.1.0.2"}
    (interface,) = view.interfaces
    assert (interface.name, interface.qdisc, interface.qdisc_dropped, interface.errors) == ("eth0", "fq", 0, {})
    # There is no bpftrace, and nobody is root to see whose the listener is.
    assert view.limits == (
        "trace: bpftrace is not installed (package bpftrace)",
        "listeners: whose they are only root sees (become)",
    )
    assert from_wire(HostView, to_wire(view)) == view


def test_whose_it_is_that_does_not_read() -> None:
    system = AHost()
    view = seen(system, port=9000)
    unread = [each for each in view.sockets if each.receive_queue]
    system.held = {each.inode: 77 for each in unread}
    system.put("/proc/77/comm", "slow\n")
    found = seen(system, port=9000)
    assert {holder.process for holder in found.holders.values()} == ({"slow"} if unread else set())


def test_who_serves_captures_on_all_interfaces() -> None:
    system = AHost()
    system.sysctls["net.ipv4.conf.eth0.rp_filter"] = "1"
    view = seen(system, serves=True)
    assert view.capture.interface == "any"
    assert [each.name for each in view.interfaces] == ["eth0"]
    assert view.settings["net.ipv4.conf.eth0.rp_filter"] == "1"
    assert seen(AHost(), serves=True, interface="eth1").capture.interface == "eth1"


def test_addresses_of_services_are_not_the_hosts() -> None:
    system = AHost()
    entries = [
        {"ifname": "eth0", "addr_info": [{"local": "10.1.0.1"}]},
        {"ifname": "kube-ipvs0", "addr_info": [{"local": "10.96.0.1"}]},
    ]
    system.printed["ip -j address"] = json.dumps(entries)
    assert seen(system).addresses == ("10.1.0.1",)


def test_what_an_interface_receives_is_counted() -> None:
    class Busy(AHost):
        packets = 0

        def run(self, argv: Sequence[str], stdin: str = "") -> "tuple[int, str, str]":
            if argv[:3] == ["ip", "-j", "-s"]:
                self.packets += 100
                return 0, json.dumps([{"stats64": {"rx": {"packets": self.packets, "dropped": self.packets}}}]), ""
            return super().run(argv, stdin)

    (interface,) = seen(Busy()).interfaces
    assert (interface.received, interface.errors) == (100, {"rx_dropped": 100})


def test_who_serves_tries_no_connection() -> None:
    assert seen(AHost(), serves=True).ways[0].connects == {}
    assert seen(AHost(), connects=0).ways[0].connects == {}
    assert seen(AHost(), port=0).ways[0].connects == {}


def test_without_programs_and_root_the_rest_is_there() -> None:
    system = AHost()
    system.printed, system.root = {}, False
    view = seen(system, ACapture("tcpdump is not installed here (package tcpdump)"))
    assert view.capture.interface == "any"
    assert (view.capture.packets, view.capture.data) == (0, b"")
    assert view.sockets
    told = "\n".join(view.limits)
    for words in (
        "capture: tcpdump is not installed",
        "route to 10.1.0.2: ip",
        NONE,
        "mtu: only root",
        "trace: bpftrace",
    ):
        assert words in told


def test_limits_of_a_capture_are_told() -> None:
    full = Capture(packets=9, received=20, dropped=5, dropped_interface=1, full=True, data=b"x")
    told = seen(AHost(), ACapture(result=full)).limits
    assert "capture: tcpdump could not take 6 of 20 packets: what seems lost may have been there" in told
    assert any(line.startswith("capture: it was full before its time") for line in told)


def test_a_name_that_nobody_knows_is_no_filter() -> None:
    capture = ACapture()
    view = seen(AHost(), capture, peers=["nobody.invalid"], port=0)
    assert capture.asked == ()
    assert "peers: this host cannot resolve nobody.invalid" in view.limits
    assert view.capture.problem == "without an address of the peer there is no filter"


@pytest.mark.parametrize(("peers", "told"), [(["nobody.invalid"], True), (["nobody.invalid", "10.1.0.2"], False)])
def test_what_is_captured_of_others_than_the_peer_is_told(peers: "list[str]", told: bool) -> None:
    capture = ACapture()
    limits = seen(AHost(), capture, peers=peers).limits
    assert ("host" in capture.asked[1].partition(")")[0]) is not told
    # A limit of the capture counts: that nothing is found means nothing then.
    assert any(line.startswith("capture: without an address of the peer") for line in limits) is told


@pytest.mark.parametrize(
    ("given", "path", "words"),
    [
        ({"peers": [], "port": 0}, "filter", "nothing says which packets are wanted"),
        ({"peers": [], "port": 0, "filter": "   "}, "filter", "nothing says"),
        ({"port": 70000}, "port", "70000 is out of range"),
        ({"seconds": 0.5}, "seconds", "0.5 is out of range"),
        ({"megabytes": 65}, "megabytes", "65 is out of range"),
        ({"payload": -1}, "payload", "-1 is out of range"),
        ({"connects": 1000}, "connects", "1000 is out of range"),
        ({"peers": [str(number) for number in range(9)]}, "peers", "9 are too many"),
        ({"interface": "-w/etc/passwd"}, "interface", "is no name of one"),
        ({"filter": "port 80\n"}, "", ""),
        ({"filter": "port 80\nport 81"}, "filter", "characters that no filter has"),
        ({"filter": "port 80) or (tcp"}, "filter", "its parentheses do not match"),
        ({"filter": "(port 80"}, "filter", "its parentheses do not match"),
        ({"filter": "x" * 3000}, "filter", "too long"),
    ],
)
def test_what_may_be_asked_for(given: "dict[str, Any]", path: str, words: str) -> None:
    if not words:
        assert asked_from({**GIVEN, **given}).filter == "port 80"
        return
    with pytest.raises(InputError) as caught:
        asked_from({**GIVEN, **given})
    assert [problem.path for problem in caught.value.problems] == [path]
    assert words in str(caught.value)


@given(st.text(alphabet="() abc", max_size=20))
def test_a_filter_that_is_taken_stays_in_its_parentheses(text: str) -> None:
    if not list(filter_problems(text)):
        depth = 0
        for character in "(%s)" % text:
            depth += {"(": 1, ")": -1}.get(character, 0)
            assert depth >= 0
        assert depth == 0


def test_the_expression_is_one_word_of_the_command_line() -> None:
    wanted = expression(["10.0.0.1", "2001:db8::1"], 443, "tcp[13] & 2 != 0")
    assert wanted == ("(tcp and (host 10.0.0.1 or host 2001:db8::1) and port 443 and (tcp[13] & 2 != 0)) or " + ERRORS)
    argv = arguments("eth0", wanted, 10.0, 0)
    assert argv[-2:] == ["--", wanted]
    assert argv[:4] == ["timeout", "-k", "2", "35"]
    assert argv[argv.index("-s") + 1] == "192"
    assert expression([], 0, "udp port 53").startswith("((udp port 53)) or ")


@pytest.mark.parametrize(
    ("status", "said", "words"),
    [
        (127, "timeout: failed to run command 'tcpdump': No such file or directory\n", "tcpdump is not installed"),
        (126, "timeout: failed to run command 'tcpdump': Permission denied\n", "tcpdump is not installed"),
        (1, "tcpdump: eth0: You don't have permission to perform this capture on that device\n(x)\n", "only root may"),
        (1, "tcpdump: can't parse filter expression: syntax error\n", "tcpdump: can't parse filter expression"),
        (1, "tcpdump: eth9: No such device exists\n(No such device exists)\n", "eth9: No such device exists"),
        (3, "", "it ended with status 3"),
    ],
)
def test_why_there_is_no_capture(status: int, said: str, words: str) -> None:
    assert words in problem_of(status, said)


TRACEROUTE = """traceroute to 198.18.2.1 (198.18.2.1), 30 hops max, 60 byte packets
 1  198.18.1.254  0.163 ms  0.2 ms  0.3 ms
 2  * * *
 3  198.18.2.1  1.000 ms *  3.000 ms
"""
TRACEPATH = """ 1?: [LOCALHOST]                      pmtu 1500
 1:  198.18.1.254                                          0.065ms
 1:  198.18.1.254                                          0.045ms pmtu 1400
 2:  no reply
 3:  198.18.2.1                                            0.5ms reached
     Resume: pmtu 1400 hops 3 back 3
"""


def test_hops_by_whichever_tool_there_is() -> None:
    assert [(hop.number, hop.address, round(hop.loss), hop.rtt) for hop in parse_lines(TRACEROUTE)] == [
        (1, "198.18.1.254", 0, pytest.approx(0.221)),
        (2, "", 100, 0.0),
        (3, "198.18.2.1", 33, 2.0),
    ]
    assert [(hop.number, hop.address, hop.loss) for hop in parse_lines(TRACEPATH)] == [
        (1, "198.18.1.254", 0.0),
        (2, "", 100.0),
        (3, "198.18.2.1", 0.0),
    ]
    assert [hop.rtt for hop in parse_mtr(json.dumps(MTR))] == [0.2, 0.0, 12.5]
    system = AHost()
    system.printed = {"timeout -k 2 25 traceroute": TRACEROUTE}
    assert hops(system, "198.18.2.1")[0] == "traceroute"
    system.printed = {"timeout -k 2 25 mtr": "mtr: unable to get raw sockets", "timeout -k 2 25 tracepath": TRACEPATH}
    assert hops(system, "198.18.2.1")[0] == "tracepath"
    system.printed = {"timeout -k 2 25 mtr": "mtr: unable to get raw sockets"}
    assert hops(system, "198.18.2.1") == ("", (), "", "hops: mtr: mtr: unable to get raw sockets")
    system.printed = {}
    assert hops(system, "198.18.2.1")[3] == NONE


def test_events_of_bpftrace() -> None:
    text = """Attaching 6 probes...
retransmit ::ffff:10.0.0.1 40000 ::ffff:10.0.0.2 443 0
retransmit ::ffff:10.0.0.1 40000 ::ffff:10.0.0.2 443 0
connect ::ffff:10.0.0.1 40001 ::ffff:10.0.0.2 443 1500
connect ::ffff:10.0.0.1 40001 ::ffff:10.0.0.9 443 1500
reset_received 2001:db8::1 5 2001:db8::2 443 0
connect ::ffff:10.0.0.1 40001 ::ffff:10.0.0.2 80 1500
"""
    found = _bpf_probes.events(text, 443, ["10.0.0.2", "2001:db8::2"])
    assert [(each.event, each.local, each.peer, each.count, each.milliseconds) for each in found] == [
        ("retransmit", "10.0.0.1:40000", "10.0.0.2:443", 2, 0.0),
        ("connect", "10.0.0.1:40001", "10.0.0.2:443", 1, 1.5),
        ("reset_received", "[2001:db8::1]:5", "[2001:db8::2]:443", 1, 0.0),
    ]
    assert len(_bpf_probes.events(text, 0, [])) == 5
    argv = _bpf_probes.arguments(7.5)
    assert argv[:4] == ["timeout", "-k", "2", "17"]
    assert "interval:s:7 { exit(); }" in argv[-1]
    # Braces that match, and no % that is left over.
    assert argv[-1].count("{") == argv[-1].count("}")
    assert "%%" not in argv[-1]


# As bpftrace 0.17 was seen to say it where tracefs is not mounted.
NO_TRACEFS = """\
stdin:1:1-34: ERROR: tracepoint not found: tcp:tcp_retransmit_skb
tracepoint:tcp:tcp_retransmit_skb { printf("retransmit %s %d %s %d 0\\n",
~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
"""


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (NO_TRACEFS, "ERROR: tracepoint not found: tcp:tcp_retransmit_skb; is tracefs mounted at /sys/kernel/tracing?"),
        (
            "ERROR: bpftrace currently only supports running as the root user.\n",
            "ERROR: bpftrace currently only supports",
        ),
        ("one\nCould not resolve symbol\n", "Could not resolve symbol"),
        ("", "it said nothing"),
    ],
)
def test_why_bpftrace_fails_is_told_in_its_words(said: str, words: str) -> None:
    assert words in _bpf_probes.why(said)


def test_of_bpftrace_is_kept_what_was_asked_for_and_no_more() -> None:
    system = AHost()
    own = "retransmit ::ffff:10.1.0.1 %d ::ffff:10.1.0.2 7000 0\n"
    lines = ["connect ::ffff:10.1.0.1 4 ::ffff:10.9.9.9 443 5\n", *(own % number for number in range(1, 5000))]
    system.printed["timeout -k 2 12 bpftrace"] = "".join(lines)
    view = seen(system)
    raw = view.raw["bpftrace"]
    assert "10.9.9.9" not in raw
    assert raw.startswith(own % 1)
    assert 60_000 < len(raw) <= 65_536
    assert len(view.traced) == 1000


def recorded() -> "dict[str, SocketState]":
    found: "dict[str, SocketState]" = {}
    for family in (2, 10):
        for each in connections(Answer(recorded_dump(family, "others")), lambda *_ends: True):
            found["%s %s" % (each.local, each.peer)] = each
    return found


def test_connections_are_as_ss_shows_them() -> None:
    """Against what ss printed of the same sockets at the same moment."""
    ours, compared = recorded(), 0
    for line in RECORD["ss"]:
        words = line.replace("::ffff:", "").split()
        key = "%s %s" % (
            words[3].replace("[10.", "10.").replace("]:", ":") if "[10." in words[3] else words[3],
            words[4],
        )
        key = re.sub(r"\[(\d+\.\d+\.\d+\.\d+)\]", r"\1", key)
        if words[0] != "ESTAB" or key not in ours:
            continue
        each, compared = ours[key], compared + 1
        values = {name: value for name, _colon, value in (word.partition(":") for word in words[5:])}
        assert (each.receive_queue, each.send_queue) == (int(words[1]), int(words[2]))
        rtt, deviation = values["rtt"].split("/")
        assert each.rtt == pytest.approx(float(rtt), abs=0.001)
        assert each.deviation == pytest.approx(float(deviation), abs=0.001)
        assert (each.cwnd, each.send_mss, each.path_mtu) == tuple(int(values[name]) for name in ("cwnd", "mss", "pmtu"))
        scales = "%d,%d" % (each.send_scale, each.receive_scale) if each.window_scale else None
        assert values.get("wscale") == scales
        assert each.retransmitted == int(values.get("retrans", "0/0").partition("/")[2])
        assert each.bytes_acked == int(values.get("bytes_acked", 0))
        assert each.bytes_received == int(values.get("bytes_received", 0))
        assert each.segments == int(values.get("data_segs_out", 0))
        assert each.send_window == int(values.get("snd_wnd", 0))
        assert each.congestion_control == words[5]
    assert compared > 20
