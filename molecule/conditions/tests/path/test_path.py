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
# How often is looked, where what is not tested may be seen too.
LOOKS = 3


def test_a_road_that_is_well_has_no_finding(path: Road) -> None:
    path.serve()
    path.traffic("send", 20_000, 0.1, 8)
    for check in (path.health, path.probe, path.diagnose):
        # What an emulated machine does that stands still for a moment is found too, and is no fault of the road.
        seen = [check()]
        while counted(seen[-1]) and len(seen) < LOOKS:
            seen.append(check())
        assert counted(seen[-1]) == {}, "\n".join(each.output for each in seen)


@pytest.mark.parametrize(("milliseconds", "outside"), [(0, False), (20, False), (80, True)])
def test_a_delay_is_measured_and_named(path: Road, milliseconds: int, outside: bool) -> None:
    if milliseconds:
        path.delay(milliseconds)
    path.serve()
    path.traffic("send", 1_000, 0.1, 8)
    for look in range(1, LOOKS + 1):
        health, probe = path.health(), path.probe(tcp_probe_attempts=30)
        ends = [health.measure(name, PATH)["value"] for name in (CLIENT, SERVER)]
        ends.append(probe.measure(CLIENT, PATH)["value"])
        print(f"RTT: {milliseconds} ms set; health {ends[0]:.1f} (client), {ends[1]:.1f} (server), probe {ends[2]:.1f}")
        assert min(ends) >= milliseconds
        # A moment in which a machine stands still adds to a mean; a wrong measure is wrong at each look.
        if max(ends) <= milliseconds + ADDED or look == LOOKS:
            break
    assert max(ends) <= milliseconds + ADDED
    assert set(counted(health)) == ({f"{name} health-rtt" for name in (CLIENT, SERVER)} if outside else set())
    assert set(counted(probe)) == ({f"{CLIENT} probe-rtt"} if outside else set())
    if outside:
        found = counted(health)[f"{CLIENT} health-rtt"]
        assert "the way itself is that long, without any queue on it" in found["reason"]


# The fewer, the longer a look has to take for enough of them.
@pytest.mark.parametrize(("percent", "seconds"), [(0.5, 45), (2.0, 15)])
def test_loss_is_measured_and_named(path: Road, percent: float, seconds: int) -> None:
    path.lose(percent)
    path.serve()
    path.traffic("send", 14_000, 0.05, 8)
    before = path.lost()
    needless = path.needless()
    health = path.health(seconds)
    after = path.lost()
    needless = path.needless() - needless
    dropped, seen = after[0] - before[0], after[1] - before[1]
    found = health.measure(CLIENT, "retransmission")
    print(
        f"loss: {percent} % set; netem dropped {dropped} of {seen} ({100 * dropped / seen:.2f} %);"
        f" retransmission {found['value']:.2f} % of {found['size']}; {needless} that had arrived"
    )
    again = found["value"] / 100 * found["size"]
    expected = percent / 100 * found["size"]
    assert expected > 15, "too little traffic to tell"
    # What is needlessly sent again is more, as the other end says of some of it.
    most = 1.2 * expected + SPREAD * math.sqrt(expected) + needless
    assert expected - SPREAD * math.sqrt(expected) <= again <= most
    if percent > 1:
        assert set(counted(health)) == {f"{CLIENT} health-retransmission"}
        # One of two hosts may begin ten seconds after the other, where emulation is beside others that are busy.
        diagnosis = path.diagnose(30)
        assert set(counted(diagnosis)) == {f"{CLIENT} diagnose-retransmission"}, diagnosis.output
        reason = counted(diagnosis)[f"{CLIENT} diagnose-retransmission"]["reason"]
        assert f"are lost on the way from {CLIENT} to {SERVER}" in reason
