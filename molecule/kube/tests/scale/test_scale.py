# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What many Services cost in each mode: to program them, to add one, to connect. Ratios of one run, on one node.

Machines are emulated: times say nothing of real ones, their ratios do.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from testinfra.host import Host as Connection

from tests.molecule.kube import (
    MODES,
    PROGRAM,
    Cluster,
    agent,
    as_standalone,
    ask,
    with_given,
    without_given,
    without_proxy,
)
from tests.molecule.kube_objects import ECHO_PORT

FEW, MANY = 200, 5000
NODE, BACKEND = "local2", "cloud1"
SAMPLES, CONNECTIONS = 8, 100
# An emulated host takes a third of a second for each Service with ipvs.
PATIENCE = "3600"
# One look-up for any number of Services: what the mode is for.
CONSTANT = ("ipvs", "nftables")
_SYNC = re.compile(r"^kubeproxy_sync_proxy_rules_duration_seconds_(sum|count)(?:\{[^}]*\})? (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Cost:
    """Seconds to program all, and one more; microseconds to connect: beside a direct one, the quickest and slowest."""

    all_of_them: float
    one_more: float
    direct: float
    quickest: float
    slowest: float


@pytest.fixture(scope="module")
def costs(cluster: Cluster) -> Iterator[dict[tuple[str, int], Cost]]:
    """By mode and number of Services."""
    found: dict[tuple[str, int], Cost] = {}
    address = cluster.addresses[BACKEND]
    given: dict[str, str] = {}
    try:
        as_standalone(cluster, "iptables")
        for name, node in cluster.nodes.items():
            if name != NODE:
                # It would program the same, on the same processors.
                node.check_output("systemctl stop kube-proxy")
        for count in (FEW, MANY):
            have = len(cluster.served())
            wanted = {f"g{number}": (ECHO_PORT, [address]) for number in range(have, count)}
            given.update(with_given(cluster.api, wanted))
            addresses = sorted(key for key in cluster.served() if key[1] in (80, ECHO_PORT))
            for mode in MODES:
                found[mode, count] = measured(cluster, mode, addresses)
        yield found
    finally:
        without_given(cluster.api)
        without_proxy(cluster)


def measured(cluster: Cluster, mode: str, addresses: list[tuple[str, int]]) -> Cost:
    """On one node, whose kube-proxy is started in a mode with nothing programmed."""
    node = cluster.nodes[NODE]
    node.check_output(
        f"systemctl stop kube-proxy; {PROGRAM} --cleanup > /dev/null 2>&1;"
        f" sed -i 's/^mode: .*/mode: {mode}/' /etc/kube-proxy/config.yaml; systemctl start kube-proxy"
    )
    step = max(1, len(addresses) // SAMPLES)
    targets = [f"{host}:{port}" for host, port in addresses[::step]]
    node.check_output(agent("connect_agent", "until", PATIENCE, *targets))
    all_of_them, _count = synced(node)
    name = f"one-more-{mode}-{len(addresses)}"
    before = synced(node)
    (added,) = with_given(cluster.api, {name: (ECHO_PORT, [cluster.addresses[BACKEND]])}).values()
    node.check_output(agent("connect_agent", "until", PATIENCE, f"{added}:{ECHO_PORT}"))
    after = synced(node)
    direct = f"{cluster.addresses[BACKEND]}:{ECHO_PORT}"
    times = json.loads(node.check_output(agent("connect_agent", "time", str(CONNECTIONS), direct, *targets)))
    medians = {target: statistics.median(each) for target, each in times.items()}
    through = [median for target, median in medians.items() if target != direct]
    one_more = (after[0] - before[0]) / max(1.0, after[1] - before[1])
    return Cost(all_of_them, one_more, medians[direct], min(through), max(through))


def synced(node: Connection) -> tuple[float, float]:
    """Seconds that kube-proxy has spent with the kernel since it started, and how often."""
    found = {"sum": 0.0, "count": 0.0}
    for what, value in _SYNC.findall(node.check_output(ask("http://127.0.0.1:10249/metrics"))):
        found[what] += float(value)
    assert found["count"] > 0, "kube-proxy does not say how long it programs"
    return found["sum"], found["count"]


def test_ratios_are_told(costs: dict[tuple[str, int], Cost], capfd: pytest.CaptureFixture[str]) -> None:
    lines = [f"  {'':22}{'all':>8}{'one more':>10}{'connect: quickest':>20}{'slowest':>9}   (direct = 1)"]
    for (mode, count), cost in costs.items():
        lines.append(
            f"  {mode:10} {count:6} Svc {cost.all_of_them:7.2f}s {cost.one_more * 1000:7.0f}ms"
            f"{cost.quickest / cost.direct:20.2f}{cost.slowest / cost.direct:9.2f}"
        )
    for mode in MODES:
        few, many = costs[mode, FEW], costs[mode, MANY]
        lines.append(
            f"  {mode:10} {MANY} against {FEW}: all x {many.all_of_them / few.all_of_them:.1f},"
            f" one more x {many.one_more / few.one_more:.1f}, connect x {relative(many) / relative(few):.2f}"
        )
    with capfd.disabled():
        print("\n" + "\n".join(lines))


def relative(cost: Cost) -> float:
    """The slowest connection against a direct one."""
    return cost.slowest / cost.direct


@pytest.mark.parametrize("mode", CONSTANT)
def test_a_connection_costs_the_same_among_many(costs: dict[tuple[str, int], Cost], mode: str) -> None:
    assert relative(costs[mode, MANY]) < 2.0 * relative(costs[mode, FEW])
