# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a road does to TCP, by netem in the router's kernel: measured as it was set, and named. Prints the figures."""

from __future__ import annotations

import math

import pytest

from tests.molecule.road import CLIENT, PATH, SERVER, Road, counted

# What emulated machines add to an RTT, in milliseconds, beside others that are busy.
ADDED = 29.0
# Standard deviations, of what is drawn by chance.
SPREAD = 4.0


def test_a_road_that_is_well_has_no_finding(path: Road) -> None:
    path.serve()
    path.traffic("send", 20_000, 0.1, 8)
    for check in (path.health(), path.probe(), path.diagnose()):
        assert counted(check) == {}, check.output


@pytest.mark.parametrize(("milliseconds", "outside"), [(0, False), (20, False), (80, True)])
def test_a_delay_is_measured_and_named(path: Road, milliseconds: int, outside: bool) -> None:
    if milliseconds:
        path.delay(milliseconds)
    path.serve()
    path.traffic("send", 1_000, 0.1, 8)
    health, probe = path.health(), path.probe()
    ends = [health.measure(name, PATH)["value"] for name in (CLIENT, SERVER)]
    ends.append(probe.measure(CLIENT, PATH)["value"])
    print(f"RTT: {milliseconds} ms set; health {ends[0]:.1f} (client), {ends[1]:.1f} (server), probe {ends[2]:.1f}")
    for value in ends:
        assert milliseconds <= value <= milliseconds + ADDED
    assert set(counted(health)) == ({f"{name} health-rtt" for name in (CLIENT, SERVER)} if outside else set())
    assert set(counted(probe)) == ({f"{CLIENT} probe-rtt"} if outside else set())
    if outside:
        found = counted(health)[f"{CLIENT} health-rtt"]
        assert "the way itself is that long, without any queue on it" in found["reason"]


@pytest.mark.parametrize("percent", [0.5, 2.0])
def test_loss_is_measured_and_named(path: Road, percent: float) -> None:
    path.lose(percent)
    path.serve()
    path.traffic("send", 14_000, 0.05, 8)
    before = path.lost()
    health = path.health(15)
    after = path.lost()
    dropped, seen = after[0] - before[0], after[1] - before[1]
    found = health.measure(CLIENT, "retransmission")
    print(
        f"loss: {percent} % set; netem dropped {dropped} of {seen} ({100 * dropped / seen:.2f} %);"
        f" retransmission {found['value']:.2f} % of {found['size']}"
    )
    again = found["value"] / 100 * found["size"]
    expected = percent / 100 * found["size"]
    assert expected > 15, "too little traffic to tell"
    # What is needlessly sent again is more, and never much.
    assert expected - SPREAD * math.sqrt(expected) <= again <= 1.2 * expected + SPREAD * math.sqrt(expected)
    if percent > 1:
        assert set(counted(health)) == {f"{CLIENT} health-retransmission"}
        # One of two hosts may begin ten seconds after the other, where emulation is beside others that are busy.
        diagnosis = path.diagnose(30)
        assert set(counted(diagnosis)) == {f"{CLIENT} diagnose-retransmission"}, diagnosis.output
        reason = counted(diagnosis)[f"{CLIENT} diagnose-retransmission"]["reason"]
        assert f"are lost on the way from {CLIENT} to {SERVER}" in reason
