# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A look at a host that talks to itself, as a whole: over an interval, at once, and where there is nothing to see."""

from __future__ import annotations

import json
import socket

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils import _loopback
from ansible_collections.netfleet.tcp.plugins.module_utils._health import Asked, look
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import Health
from ansible_collections.netfleet.tcp.plugins.module_utils._model import from_wire, to_wire
from tests.unit.plugins.recorded_sockets import DONE, TIME_WAIT, SocketHost, listener, message

PORT = 6379


class TalkingHost(SocketHost):
    """It opens so many connections to itself a second, one after the other, each for a moment; time goes by sleeping.

    reset: of how many each is the first that is not reset.
    """

    def __init__(self, per_second: int, reset: int = 1) -> None:
        super().__init__(recorded=False)
        self.per_second, self.reset = per_second, reset
        self.now_at = 1000.0
        self.slept: list[float] = []
        self.scans = 0
        self.answer(socket.AF_INET, "listening", listener(PORT, 7), DONE)
        self.go_on()

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_at += seconds
        self.go_on()

    def elapsed(self) -> float:
        return self.now_at

    def go_on(self) -> None:
        self.boot("1", self.now_at)
        opened = round(self.now_at * self.per_second)
        self.count(TcpActiveOpens=opened, TcpPassiveOpens=opened)
        last = [opened - each for each in range(min(opened, 60 * self.per_second)) if not (opened - each) % self.reset]
        ends = []
        for number in last:
            stays = 60_000 - round(1000 * (self.now_at - number / self.per_second))
            local = ("127.0.0.1", 10_000 + number % 50_000)
            ends.append(message(local, ("127.0.0.1", PORT), TIME_WAIT, stays=max(0, stays)))
        self.answer(socket.AF_INET, "others", b"".join(ends), DONE)

    def names(self, directory: str) -> list[str]:
        self.scans += directory == "/proc"
        return super().names(directory)

    def look(self, interval: float) -> Health:
        return look(self, Asked(interval=interval), self.sleep, self.elapsed)


@pytest.fixture(autouse=True)
def _time_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time that goes by here is made up, and what a glance takes of the processor is not."""
    monkeypatch.setattr(_loopback, "_GLANCES", 1e9)
    monkeypatch.setattr(_loopback, "_LOOKS", 1e9)


@pytest.mark.parametrize("interval", [0.2, 2.0])
@pytest.mark.parametrize("reuse", ["0", "2"])
def test_a_rate_is_measured_over_the_interval(interval: float, reuse: str) -> None:
    host = TalkingHost(200)
    host.sysctls["net.ipv4.tcp_tw_reuse"] = reuse
    health = host.look(interval)
    (use,) = health.loopback.uses
    assert use.per_second == pytest.approx(200, rel=0.03)
    assert use.seconds == pytest.approx(interval, abs=0.11), "with what it takes to see who does anything"
    assert sum(host.slept) == pytest.approx(interval, abs=0.11)
    assert health.loopback.opened_at_most == pytest.approx(200, rel=0.03)
    assert health.counted.seconds == pytest.approx(interval, abs=0.11)


def test_where_glances_take_too_long_there_are_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then less of the interval counts, where ports are reused; what is told of the rest is as right."""
    monkeypatch.setattr(_loopback, "_GLANCES", 0.0)
    health = TalkingHost(200).look(5.0)
    (use,) = health.loopback.uses
    assert use.seconds == 1.0, "of the last glance alone"
    assert use.per_second == pytest.approx(200, rel=0.03)


def test_at_once_it_is_that_of_the_last_minute_or_second() -> None:
    host = TalkingHost(200)
    for reuse, seconds in (("0", 60.0), ("2", 1.0)):
        host.sysctls["net.ipv4.tcp_tw_reuse"] = reuse
        health = host.look(0.0)
        (use,) = health.loopback.uses
        assert use.seconds == seconds
        assert use.per_second == pytest.approx(200, rel=0.01)
        assert health.loopback.opened_at_most is None
    assert set(host.slept) == {0.3}, "to see whose they are"


def test_nobody_is_looked_for_where_there_are_few() -> None:
    host = TalkingHost(40)
    health = host.look(2.0)
    assert host.scans == 0
    assert health.loopback.uses[0].per_second == pytest.approx(40, rel=0.05)
    assert not [said for said in health.limits if said.startswith("loopback")]
    assert sum(host.slept) == 2.0


def test_who_is_not_found_is_said() -> None:
    host = TalkingHost(200)
    health = host.look(2.0)
    assert host.scans > 0
    assert "loopback: who calls port 6379 is not known: none was seen with a socket open" in health.limits


def test_connections_that_are_reset_leave_no_trace_but_in_the_counters() -> None:
    health = TalkingHost(200, reset=4).look(2.0)
    assert health.loopback.uses[0].per_second == pytest.approx(50, rel=0.1)
    assert health.loopback.opened_at_most == pytest.approx(200, rel=0.05)


def test_a_host_without_any_has_none() -> None:
    health = look(SocketHost(recorded=False), Asked())
    assert health.loopback.uses == ()


def test_the_recorded_host_has_those_that_its_capture_made() -> None:
    """60 short ones and one that stands, to 127.0.0.1, whose port nobody else calls."""
    health = look(SocketHost(), Asked(), lambda _seconds: None)
    (use,) = health.loopback.uses
    assert (use.key, use.time_wait, use.open) == ("127.0.0.1->127.0.0.1:6379", 60, 1)
    assert from_wire(Health, json.loads(json.dumps(to_wire(health)))) == health
