# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_answers import Asked, answers
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel, TunnelPeer
from tests.unit.plugins.fake_system import FakeSystem

EAST, WEST = Asked("wg-wan", "E", "10.99.0.2"), Asked("wg-wan", "W", "fd00::3")


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def __call__(self) -> float:
        return self.now


def host() -> FakeSystem:
    system = FakeSystem()
    peers = (
        TunnelPeer("E", allowed=("10.99.0.2/32",), received=500),
        TunnelPeer("W", allowed=("fd00::3/128",), received=700),
    )
    system.tunnels["wg-wan"] = Tunnel("wg-wan", peers=peers)
    return system


def test_what_comes_by_the_session_from_before_is_no_answer_where_keys_have_changed() -> None:
    system = host()
    system.answering = {"E": 148, "W": 148}
    tunnel = system.tunnels["wg-wan"]
    east, west = tunnel.peers
    system.tunnels["wg-wan"] = replace(tunnel, peers=(replace(east, handshake=100), replace(west, handshake=1)))
    assert ask(system, replace(EAST, anew=True), replace(WEST, anew=True), seconds=2.0)[0] == {"wg-wan": ["W"]}
    assert ask(system, EAST, WEST, seconds=2.0)[0] == {"wg-wan": ["E", "W"]}


def ask(system: FakeSystem, *asked: Asked, seconds: float = 10.0) -> tuple[dict[str, list[str]], float]:
    clock = Clock()
    found = answers(system, asked, seconds, clock.sleep, clock)
    return found, clock.now - 100.0


def test_whoever_answers_has_answered_at_once() -> None:
    system = host()
    system.answering = {"E": 32, "W": 92}
    found, took = ask(system, EAST, WEST)
    assert {name: sorted(keys) for name, keys in found.items()} == {"wg-wan": ["E", "W"]}
    assert took == 0.0
    assert system.datagrams == [("10.99.0.2", 9), ("fd00::3", 9)]


def test_one_that_is_silent_is_asked_again_until_the_time_is_over() -> None:
    system = host()
    system.answering = {"E": 32}
    found, took = ask(system, EAST, WEST)
    assert found == {"wg-wan": ["E"]}
    assert took == 10.0
    assert system.datagrams.count(("fd00::3", 9)) == 6
    assert system.datagrams.count(("10.99.0.2", 9)) == 1


def test_what_had_come_before_is_no_answer() -> None:
    assert ask(host(), EAST)[0] == {"wg-wan": []}


def test_nobody_asked_nothing_read() -> None:
    system = host()
    system.wireguard = False
    assert ask(system)[0] == {}


def test_a_peer_that_is_not_there_does_not_answer() -> None:
    assert ask(host(), Asked("wg-wan", "X", "10.99.0.9"), seconds=0)[0] == {"wg-wan": []}
