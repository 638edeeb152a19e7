# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How often short connections come is told by the ages of those that have ended, whoever closed first."""

from __future__ import annotations

import math
import socket
from collections.abc import Iterable
from typing import Any

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils import _loopback_tally
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import LoopbackUse
from ansible_collections.netfleet.tcp.plugins.module_utils._loopback_tally import (
    Glance,
    LoopbackTally,
    Pair,
    Reuse,
    pair_of,
    reuse_from,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._own_addresses import OwnAddresses
from ansible_collections.netfleet.tcp.plugins.module_utils._sock_diag import Answer
from tests.unit.plugins.recorded_sockets import DONE, TIME_WAIT, message

PORT = 6379
LOCAL, OWN = "127.0.0.1", "10.1.0.1"
ADDRESSES = OwnAddresses([(int(socket.AF_INET), socket.inet_aton(OWN).ljust(16, b"\0"))])
NOT_REUSED = Reuse(mode="0")


def ended(ages: Iterable[float], address: str = LOCAL, server: bool = False, lasts: int = 60) -> list[bytes]:
    """TIME-WAITs of so many seconds of age, at the client's end or the server's."""
    found = []
    for number, age in enumerate(ages):
        ends = [(address, 32768 + number), (address, PORT)]
        local, peer = reversed(ends) if server else ends
        found.append(message(local, peer, TIME_WAIT, stays=round(1000 * (lasts - age))))
    return found


def glance_at(messages: Iterable[bytes], since: float = 1.0, reuse: Reuse = NOT_REUSED, **given: Any) -> Glance:
    glance = Glance(ADDRESSES, given.get("served", {PORT}), reuse, since)
    passed = list(glance.through(Answer([*messages, DONE])))
    assert len(passed) == len(list(messages)), "whoever reads the list after this sees all of it"
    return glance


def the_use(*glances: Glance, reuse: Reuse = NOT_REUSED, available: int = 1000) -> LoopbackUse:
    tally = LoopbackTally(reuse)
    for glance in glances:
        tally.add(glance)
    ((_pair, use),) = tally.uses(available, 10)
    return use


def every(step: float, until: float) -> list[float]:
    return [step * (number + 0.5) for number in range(round(until / step))]


def test_those_that_ended_since_the_last_glance_are_counted() -> None:
    use = the_use(glance_at(ended([*every(0.01, 2.0), 30.0, 59.9])))
    assert (use.source, use.destination, use.port, use.key) == (LOCAL, LOCAL, PORT, "127.0.0.1->127.0.0.1:6379")
    assert (use.per_second, use.seconds, use.time_wait) == (100.0, 1.0, 202)
    assert use.low is not None
    assert use.high is not None
    # Of Poisson's distribution, 100 are to be seen by 5 % where 84.1 or 118.1 are to be expected.
    assert use.low == pytest.approx(84.1, abs=0.2)
    assert use.high == pytest.approx(118.1, abs=0.2)


def test_glances_add_up_and_the_last_one_says_how_many_there_are() -> None:
    first, second = glance_at(ended(every(0.01, 0.5)), 0.5), glance_at(ended(every(0.005, 1.0)), 0.25)
    use = the_use(first, second)
    assert (use.seconds, use.time_wait) == (0.75, 200)
    assert use.per_second == pytest.approx((50 + 50) / 0.75, abs=0.01)


def test_without_a_glance_before_all_of_a_minute_are_counted() -> None:
    use = the_use(glance_at(ended(every(0.1, 60.0)), math.inf))
    assert (use.seconds, use.per_second) == (60.0, 10.0)


def test_where_ports_are_reused_only_those_that_cannot_be_yet_are_counted() -> None:
    """After a second a TIME-WAIT may be gone: what is left of the older ones says nothing."""
    reuse = Reuse()
    some = [*every(0.01, 1.0), *every(1.0, 20.0)[1:]]
    use = the_use(glance_at(ended(some), 5.0, reuse), reuse=reuse)
    assert (use.seconds, use.per_second, use.reused) == (1.0, 100.0, True)
    shorter = Reuse(after=0.1)
    use = the_use(glance_at(ended(some), 5.0, shorter), reuse=shorter)
    assert (use.seconds, use.per_second) == (0.1, 100.0)


def test_what_the_server_closes_first_is_counted_and_holds_no_port() -> None:
    use = the_use(glance_at(ended(every(0.01, 1.0), server=True)))
    assert (use.per_second, use.server_time_wait, use.time_wait, use.percent) == (100.0, 100, 0, 0.0)
    assert (use.demand, use.full_after) == (0.0, None)


def test_open_ones_hold_a_port_at_the_clients_end_alone() -> None:
    client = message((LOCAL, 40000), (LOCAL, PORT), user=33)
    server = message((LOCAL, PORT), (LOCAL, 40000), user=108)
    use = the_use(glance_at([client, server, *ended([0.1, 0.2, 5.0])]))
    assert (use.open, use.time_wait, use.percent, use.users) == (1, 3, 0.4, (33,))


@pytest.mark.parametrize(
    ("rate", "available", "demand", "full_after"),
    [(100, 1000, 600.0, 10.0), (10, 1000, 60.0, None), (100, 6000, 100.0, None), (100, 0, 0.0, None)],
)
def test_when_all_ports_would_be_taken(rate: int, available: int, demand: float, full_after: float | None) -> None:
    use = the_use(glance_at(ended(every(1 / rate, 1.0))), available=available)
    assert (use.full_after, use.percent) == (full_after, round(100.0 * rate / available, 2) if available else 0.0)
    assert use.demand == demand


def test_where_ports_are_reused_a_second_counts_and_not_a_minute() -> None:
    reuse = Reuse()
    use = the_use(glance_at(ended(every(0.01, 1.0)), 1.0, reuse), reuse=reuse)
    assert (use.demand, use.full_after) == (10.0, 10.0)


@pytest.mark.parametrize("address", [LOCAL, "127.9.9.9", OWN, "::1", "::ffff:10.1.0.1", "::ffff:127.0.0.1"])
def test_which_addresses_are_the_hosts_own(address: str) -> None:
    use = the_use(glance_at(ended([0.5], address)))
    assert use.source == use.destination == address.replace("::ffff:", "")


def test_connections_to_others_and_to_nobody_are_none() -> None:
    others = [message((OWN, 40000), ("10.1.0.2", PORT), TIME_WAIT), message((OWN, PORT), ("10.1.0.2", 40000))]
    unserved = [message((LOCAL, 40000), (LOCAL, 9), TIME_WAIT), message((LOCAL, 9), (LOCAL, 40000), TIME_WAIT)]
    assert glance_at([*others, *unserved]).counts == {}


def test_both_ends_of_a_connection_are_one_pair_whatever_the_family_of_their_sockets() -> None:
    mapped = "::ffff:127.0.0.1"
    ends = [((LOCAL, 40000), (LOCAL, PORT)), ((mapped, 40001), (mapped, PORT))]
    seen = [message(*each, TIME_WAIT, stays=59_500) for each in ends]
    seen.append(message((mapped, PORT), (mapped, 40002), TIME_WAIT, stays=59_500))
    glance = glance_at(seen)
    (count,) = glance.counts.values()
    assert (count.time_wait, count.server_time_wait, count.ended) == (2, 1, 3)
    assert count.families == {socket.AF_INET, socket.AF_INET6}, "of the client"


@pytest.mark.parametrize(
    ("settings", "loopback", "own"),
    [
        ({}, True, False),
        ({"net.ipv4.tcp_tw_reuse": "2"}, True, False),
        ({"net.ipv4.tcp_tw_reuse": "1"}, True, True),
        ({"net.ipv4.tcp_tw_reuse": "0"}, False, False),
        ({"net.ipv4.tcp_tw_reuse": "1", "net.ipv4.tcp_timestamps": "0"}, False, False),
    ],
)
def test_between_whom_ports_are_reused(settings: dict[str, str], loopback: bool, own: bool) -> None:
    reuse = reuse_from(settings)
    pairs = {}
    for address in (LOCAL, "::1", OWN):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        packed = socket.inet_pton(family, address).ljust(16, b"\0")
        pairs[address] = reuse.applies(Pair(int(family), packed, packed, PORT))
    assert pairs == {LOCAL: loopback, "::1": loopback, OWN: own}
    here, there = (socket.inet_aton(address).ljust(16, b"\0") for address in (LOCAL, OWN))
    for ends in ((here, there), (there, here)):
        assert reuse.applies(Pair(int(socket.AF_INET), *ends, PORT)) == loopback, "one of loopback is enough"


def test_how_long_a_time_wait_stays_is_what_the_kernel_says() -> None:
    reuse = reuse_from(
        {"net.ipv4.tcp_tw_timeout": "10", "net.ipv4.tcp_tw_reuse_delay": "250", "net.ipv4.tcp_tw_reuse": "0"}
    )
    assert (reuse.lasts, reuse.after) == (10.0, 0.25)
    use = the_use(glance_at(ended(every(0.01, 1.0), lasts=10), reuse=reuse), reuse=reuse, available=500)
    assert (use.per_second, use.demand, use.full_after) == (100.0, 200.0, 5.0)
    assert reuse_from({"net.ipv4.tcp_tw_timeout": "?", "net.ipv4.tcp_tw_reuse_delay": ""}) == Reuse()


def test_who_is_busy() -> None:
    glance = glance_at([*ended(every(0.1, 0.5)), *ended(every(0.01, 0.5), OWN)], 0.5)
    assert [pair.destination[0] for pair in glance.busy(100.0, 1000)] == [10]
    assert [pair.destination[0] for pair in glance.busy(10.0, 1000)] == [10, 127]
    assert glance.busy(101.0, 1000) == []
    full = glance_at(ended([30.0] * 800), 0.5)
    assert len(full.busy(100.0, 800)) == 1, "who holds nearly all ports, though nothing more can come"
    assert full.busy(100.0, 801) == full.busy(100.0, 0) == []


def test_pairs_beyond_the_most_that_are_kept_are_said_to_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_loopback_tally, "_MOST_PAIRS", 2)
    tally = LoopbackTally(NOT_REUSED)
    tally.add(glance_at([each for number in range(1, 5) for each in ended([0.1, 0.2], "127.0.0.%d" % number)]))
    assert len(tally.uses(1000, 10)) == 2
    assert list(tally.missing()) == ["loopback: 4 sockets are left out, beyond 2 pairs of addresses"]


def test_the_busiest_come_first_and_the_others_are_cut() -> None:
    tally = LoopbackTally(NOT_REUSED)
    counts = {"127.0.0.2": 5, "127.0.0.3": 20, "127.0.0.4": 10}
    tally.add(glance_at([each for address, count in counts.items() for each in ended([0.5] * count, address)]))
    assert [use.source for _pair, use in tally.uses(1000, 2)] == ["127.0.0.3", "127.0.0.4"]


def test_whose_a_socket_is() -> None:
    client, server = message((OWN, 40000), (LOCAL, PORT)), message((LOCAL, PORT), (OWN, 40000))
    assert pair_of(client, 16, server=False) == pair_of(server, 16, server=True)
    assert pair_of(client, 16, server=False).port == PORT
