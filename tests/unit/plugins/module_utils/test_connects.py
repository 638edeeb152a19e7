# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real connections on loopback: what becomes of each, how many are under way, and how long they are waited for."""

from __future__ import annotations

import socket
import time
from typing import Iterator

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._connects import connect_all, route_mtu
from ansible_collections.netfleet.tcp.plugins.module_utils._probe_model import TIMEOUT


@pytest.fixture
def server() -> "Iterator[socket.socket]":
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield listening


@pytest.fixture
def full() -> "Iterator[socket.socket]":
    """A listener whose queue is full: what comes then gets no answer."""
    with socket.socket() as listening, socket.socket() as first:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        first.connect(listening.getsockname())
        yield listening


def test_connections_that_stand_have_an_rtt(server: socket.socket) -> None:
    (found,) = connect_all([server.getsockname()], 5, 2.0, 0.01, 4)
    assert [(each.error, each.again, each.window_scale) for each in found] == [("", 0, True)] * 5
    assert all(0 < each.rtt < 1_000_000 and 0 < each.seconds < 2 for each in found)


def test_refused_and_unanswered_ones_are_told_apart(server: socket.socket, full: socket.socket) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        places = [server.getsockname(), closed.getsockname(), full.getsockname()]
        began = time.monotonic()
        well, refused, unanswered = connect_all(places, 2, 0.3, 0.0, 16)
    assert [each.error for each in well + refused + unanswered] == ["", "", *["ECONNREFUSED"] * 2, *[TIMEOUT] * 2]
    assert all(0.3 <= each.seconds < 1 for each in unanswered)
    # One after the other to the same destination, and beside the others.
    assert 0.6 <= time.monotonic() - began < 3


def test_no_more_are_under_way_than_may_be(full: socket.socket) -> None:
    began = time.monotonic()
    found = connect_all([full.getsockname()] * 4, 1, 0.2, 0.0, 2)
    assert [each.error for attempts in found for each in attempts] == [TIMEOUT] * 4
    assert time.monotonic() - began >= 0.4


def test_between_two_there_is_a_pause(server: socket.socket) -> None:
    began = time.monotonic()
    connect_all([server.getsockname()], 4, 1.0, 0.1, 4)
    assert 0.3 <= time.monotonic() - began < 2


def test_an_address_that_cannot_be_called() -> None:
    (found,) = connect_all([("255.255.255.255", 9)], 2, 1.0, 0.0, 4)
    assert {each.error for each in found} <= {"ENETUNREACH", "EACCES", "EHOSTUNREACH"}
    assert len(found) == 2


def test_nobody_to_call() -> None:
    assert connect_all([], 3, 1.0, 0.1, 4) == []


def test_ipv6() -> None:
    try:
        listening = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    with listening:
        (found,) = connect_all([listening.getsockname()[:2]], 2, 1.0, 0.0, 4)
    assert [each.error for each in found] == ["", ""]


def test_the_mtu_of_a_route() -> None:
    assert route_mtu("127.0.0.1") >= 16436
    assert route_mtu("no address") == 0
