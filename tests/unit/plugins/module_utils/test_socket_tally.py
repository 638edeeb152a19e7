# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sockets as the kernel lists them: a real list against what ss prints of it, and lists that no host should have."""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Iterable

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils import _socket_tally
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import Listener
from ansible_collections.netfleet.tcp.plugins.module_utils._peer_classes import PeerClasses
from ansible_collections.netfleet.tcp.plugins.module_utils._sock_diag import CONG, INFO, Answer, attributes
from ansible_collections.netfleet.tcp.plugins.module_utils._socket_tally import FAMILIES, SocketTally, listeners
from tests.unit.plugins.recorded_sockets import (
    DONE,
    FIN_WAIT_2,
    RECORD,
    TIME_WAIT,
    message,
    recorded_dump,
    tcp_info,
)

# As the fixture's hosts are numbered.
PEERS = {"local": ["10.1.0.0/24"], "cloud": ["10.2.0.0/24", "fd00:1::/64"]}
HERE = ("10.1.0.1", 40000)
SS: list[str] = RECORD["ss"]


def of_class(line: str) -> str:
    peer = line.split()[4]
    return "local" if "10.1.0." in peer else "cloud" if "10.2.0." in peer or "fd00:1:" in peer else "loopback"


def ss_lines(name: str) -> list[str]:
    """ss's lines of the established connections to peers of a class."""
    return [line for line in SS if line.startswith("ESTAB") and of_class(line) == name]


def number(pattern: str, line: str) -> float:
    found = re.search(pattern, line)
    return float(found.group(1)) if found else 0.0


@pytest.fixture(scope="module")
def recorded() -> SocketTally:
    tally = SocketTally(PeerClasses(PEERS), {8080, 6379, 7000}, 10)
    for family in FAMILIES:
        tally.take(Answer(recorded_dump(family, "others")))
    return tally


def tally_of(messages: Iterable[bytes], served: Iterable[int] = (), top: int = 10) -> SocketTally:
    tally = SocketTally(PeerClasses(PEERS), set(served), top)
    tally.take(Answer([*messages, DONE]))
    return tally


def test_states_are_those_of_ss(recorded: SocketTally) -> None:
    wanted = Counter(line.split()[0] for line in SS)
    assert wanted.pop("LISTEN") == 3
    assert recorded.states == wanted
    assert {"ESTAB", "SYN-SENT", "TIME-WAIT"} <= set(wanted)


def test_congestion_control_is_that_of_ss(recorded: SocketTally) -> None:
    established = [line for line in SS if line.startswith("ESTAB")]
    assert recorded.algorithms == Counter(line.split()[5] for line in established)
    assert recorded.algorithms["reno"] == 2


@pytest.mark.parametrize("name", ["local", "cloud"])
def test_the_rtt_of_a_class_is_that_of_ss(recorded: SocketTally, name: str) -> None:
    lines = ss_lines(name)
    rtts = sorted(number(r" rtt:([0-9.]+)/", line) for line in lines)
    assert len(rtts) > 4
    assert rtts[0] > 0.0
    found = recorded.peers()[name].rtt
    assert found.connections == len(rtts)
    assert found.mean == pytest.approx(sum(rtts) / len(rtts), abs=0.001)
    assert found.p50 == rtts[(len(rtts) - 1) // 2]
    assert found.p95 == rtts[-1]
    lowest = sorted(number(r" minrtt:([0-9.]+)", line) for line in lines)
    assert found.minimum_p50 == lowest[(len(lowest) - 1) // 2]


@pytest.mark.parametrize("name", ["local", "cloud"])
def test_retransmissions_and_window_scale_are_those_of_ss(recorded: SocketTally, name: str) -> None:
    lines, found = ss_lines(name), recorded.peers()[name]
    assert found.connections == len(lines)
    assert found.retransmitted == sum(number(r" retrans:\d+/(\d+)", line) for line in lines)
    assert found.segments == sum(number(r" data_segs_out:(\d+)", line) for line in lines)
    assert found.without_window_scale == sum(" wscale:" not in line for line in lines)
    # ss prints what is of any length at all, in milliseconds.
    assert found.busy == pytest.approx(sum(number(r" busy:(\d+)ms", line) for line in lines), abs=len(lines))


def test_the_fixture_has_what_these_tests_are_about(recorded: SocketTally) -> None:
    assert recorded.peers()["cloud"].retransmitted > 0
    assert recorded.peers()["cloud"].without_window_scale == 2
    assert recorded.peers()["other"].connections == 0
    assert recorded.loopback == 2, "both ends of one connection"
    assert any("[::ffff:10.1.0.2]" in line for line in SS)


def test_the_connections_that_are_named_are_those_of_ss(recorded: SocketTally) -> None:
    (worst,) = recorded.retransmitting
    (line,) = [line for line in SS if " retrans:" in line and line.startswith("ESTAB")]
    assert (worst.local, worst.peer) == tuple(line.split()[3:5])
    assert worst.rtt == number(r" rtt:([0-9.]+)/", line)
    lines = [line for line in ss_lines("cloud") if " wscale:" not in line]
    wanted = {line.split()[4].replace("[::ffff:", "").replace("]", "") for line in lines}
    assert {each.peer for each in recorded.without_window_scale} == wanted


def test_local_ports_in_use_are_those_of_ss(recorded: SocketTally) -> None:
    waiting = [line for line in SS if line.startswith("TIME-WAIT")]
    most, second = recorded.most_used(28232)[:2]
    assert (most.source, most.destination, most.port) == ("127.0.0.1", "127.0.0.1", 6379)
    assert (most.time_wait, most.open) == (len(waiting), 1)
    assert most.percent == round(100.0 * (len(waiting) + 1) / 28232, 2)
    assert (second.destination, second.port, second.time_wait, second.open) == ("10.1.0.2", 9000, 0, 5)


def test_connections_by_service_are_those_of_ss(recorded: SocketTally) -> None:
    wanted = Counter(int(line.split()[3].rpartition(":")[2]) for line in SS if line.startswith("ESTAB"))
    assert recorded.inbound == {port: wanted[port] for port in (8080, 6379, 7000)}
    assert recorded.outgoing == sum(wanted.values()) - sum(recorded.inbound.values())


def test_listeners_are_those_of_ss() -> None:
    found = {
        each.port: each for family in FAMILIES for _inode, each in listeners(Answer(recorded_dump(family, "listening")))
    }
    lines = {int(line.split()[3].rpartition(":")[2]): line.split() for line in SS if line.startswith("LISTEN")}
    assert {port: (each.backlog, each.limit) for port, each in found.items()} == {
        port: (int(words[1]), int(words[2])) for port, words in lines.items()
    }
    full = found[7000]
    assert full == Listener("0.0.0.0", 7000, 4, 3, full.drops)
    drops = next(int(line.split()[1]) for line in RECORD["nstat"] if line.startswith("TcpExtListenDrops "))
    assert full.drops == drops > 0
    assert found[8080].address == "::"


def test_what_says_nothing_of_the_network_has_no_rtt() -> None:
    peer = ("10.1.0.2", 80)
    used = [message(HERE, peer, info=tcp_info(rtt=1000, min_rtt=900))]
    idle = [message(HERE, peer, info=tcp_info(rtt=5, **{when: 60_000})) for when in ("sent", "acknowledged")]
    unknown = [message(HERE, peer, info=tcp_info(rtt=0))]
    itself = [
        message(("10.1.0.1", 1), ("10.1.0.1", 2), info=tcp_info(rtt=5)),
        message(("127.0.0.1", 1), ("127.0.0.2", 2), info=tcp_info(rtt=5)),
        message(("::1", 1), ("::1", 2), info=tcp_info(rtt=5)),
        message(("::ffff:127.0.0.1", 1), ("::ffff:127.0.0.1", 2), info=tcp_info(rtt=5)),
    ]
    tally = tally_of([*used, *idle, *unknown, *itself])
    assert tally.loopback == 4
    found = tally.peers()["local"]
    assert found.connections == 4
    assert (found.rtt.connections, found.rtt.mean, found.rtt.minimum_p50) == (1, 1.0, 0.9)
    assert found.rtt.low is found.rtt.high is None


def test_a_lowest_rtt_that_nobody_has_measured_is_none() -> None:
    tally = tally_of([message(HERE, ("10.1.0.2", 80), info=tcp_info(rtt=1000, min_rtt=0xFFFFFFFF))])
    assert tally.peers()["local"].rtt.minimum_p50 is None


def test_the_bounds_of_a_mean_hold_it_the_closer_the_more_there_are() -> None:
    def width(copies: int) -> float:
        rtts = [1000, 2000, 3000, 4000, 5000] * copies
        rtt = tally_of(message(HERE, ("10.1.0.2", 80), info=tcp_info(rtt=each)) for each in rtts).peers()["local"].rtt
        assert rtt.low is not None
        assert rtt.high is not None
        assert rtt.mean is not None
        assert rtt.low < rtt.mean == 3.0 < rtt.high
        return rtt.high - rtt.low

    # Student's t of 4 degrees, 95 %, is 2.132; the standard error is 0.707 ms.
    assert width(1) == pytest.approx(2 * 2.132 * 0.7071, rel=0.06)
    assert width(20) < width(1) / 4


@pytest.mark.parametrize(
    ("size", "said"),
    [(248, 0), (192, 0), (160, 1), (152, 2), (104, 3), (72, 4)],
)
def test_kernels_that_lack_fields(size: int, said: int) -> None:
    whole = tcp_info(rtt=1000, min_rtt=900, retransmitted=3, segments=50, busy=9000, receive=4000, send=2000)
    tally = tally_of([message(HERE, ("10.1.0.2", 80), info=whole[:size])])
    assert len(list(tally.missing())) == said
    found = tally.peers()["local"]
    assert found.rtt.mean == 1.0
    assert found.retransmitted == (3 if size >= 104 else 0)
    assert found.rtt.minimum_p50 == (0.9 if size >= 152 else None)
    assert found.segments == (50 if size >= 160 else 0)
    assert (found.busy, found.receive_window_limited, found.send_buffer_limited) == (
        (9, 4, 2) if size >= 192 else (0, 0, 0)
    )


def test_a_connection_without_tcp_info_is_said_to_be_one() -> None:
    tally = tally_of([message(HERE, ("10.1.0.2", 80))])
    assert list(tally.missing()) == ["connections: 1 came without tcp_info"]
    assert tally.states == {"ESTAB": 1}


@pytest.mark.parametrize("cut", range(1, 360, 7))
def test_whatever_is_cut_off_is_left_out(cut: int) -> None:
    whole = message(HERE, ("10.1.0.2", 80), info=tcp_info(rtt=1000))
    assert tally_of([whole + whole[:-cut]]).states == {"ESTAB": 1}


@pytest.mark.parametrize("kind", [8, CONG, INFO])
def test_an_attribute_that_is_longer_than_its_message(kind: int) -> None:
    whole = message(HERE, ("10.1.0.2", 80), info=tcp_info(rtt=1000))
    (place, _length) = attributes(whole, 16, len(whole))[kind]
    lying = whole[: place - 4] + struct.pack("=H", 300) + whole[place - 2 :]
    tally = tally_of([lying + whole])
    assert (tally.states, tally.peers()["local"].rtt.connections) == ({"ESTAB": 2}, 1)
    assert list(tally.missing()) == ["connections: 1 came without tcp_info"]


def test_ports_of_mapped_addresses_are_those_of_ipv4() -> None:
    tally = tally_of(
        [
            message(("10.1.0.1", 40001), ("10.1.0.2", 80), TIME_WAIT),
            message(("::ffff:10.1.0.1", 40002), ("::ffff:10.1.0.2", 80), TIME_WAIT),
            message(("::ffff:10.1.0.1", 40003), ("::ffff:10.1.0.2", 80), FIN_WAIT_2),
            message(("fd00:1::1", 40001), ("fd00:1::2", 80), TIME_WAIT),
        ]
    )
    first, second = tally.most_used(10)
    assert (first.source, first.destination, first.time_wait, first.open) == ("10.1.0.1", "10.1.0.2", 2, 1)
    assert (second.source, second.destination, second.time_wait) == ("fd00:1::1", "fd00:1::2", 1)
    assert (first.percent, second.percent) == (30.0, 10.0)


def test_what_a_service_closes_takes_no_local_port() -> None:
    closed = [message(("10.1.0.1", 443), ("10.1.0.2", 40000 + each), TIME_WAIT) for each in range(100)]
    tally = tally_of(closed, served=[443])
    assert tally.states == {"TIME-WAIT": 100}
    assert tally.most_used(28232) == ()
    assert len(tally_of(closed).most_used(28232)) == 10, "if nobody listens there"


def test_pairs_of_addresses_beyond_the_most_that_are_kept_are_said_to_be_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_socket_tally, "_MOST_PAIRS", 5)
    tally = tally_of(message(HERE, ("10.1.0.2", port), TIME_WAIT) for port in [*range(1, 9), 1, 1])
    assert tally.most_used(100)[0].time_wait == 3
    assert list(tally.missing()) == ["ports: 3 sockets are left out, beyond 5 pairs of addresses"]


def test_lists_keep_the_worst_and_no_more() -> None:
    counts = [3, 9, 1, 7, 7, 8, 2]
    sent = [
        message(("10.1.0.1", port), ("10.1.0.2", 80), info=tcp_info(retransmitted=n, options=3))
        for port, n in enumerate(counts)
    ]
    tally = tally_of(sent, top=3)
    assert [each.retransmitted for each in tally.retransmitting] == [9, 8, 7]
    assert len(tally.without_window_scale) == 3
    assert tally.peers()["local"].without_window_scale == len(counts)
    assert tally.peers()["local"].retransmitted == sum(counts)


def test_no_socket_is_kept() -> None:
    waiting = message(HERE, ("10.1.0.2", 80), TIME_WAIT)
    tally = SocketTally(PeerClasses({}), (), 10)
    tally.take(Answer(waiting * 300 for _datagram in range(100)))
    assert tally.states == {"TIME-WAIT": 30_000}
    assert [len(each) for used in tally._ports.values() for each in used] == [1, 0, 0, 0]


def test_a_state_that_this_code_does_not_know_is_no_error() -> None:
    assert tally_of([message(HERE, ("10.1.0.2", 80), 13)]).states == {}
