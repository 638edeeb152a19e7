# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A change that does harm to the traffic, on real kernels: it stops at the canary, and the others are untouched."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from testinfra.host import Host as Connection

from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint_store import PENDING_PATH
from lab.fleet import Fleet
from tests.molecule.faults import LISTS_OF_MODULES
from tests.molecule.hosts import Seen, look
from tests.molecule.playbook import Run, run_playbook
from tests.molecule.traffic import PORT, traffic, with_agent

FIN = "net.ipv4.tcp_fin_timeout"
LOSS = ("tc qdisc replace dev eth1 root netem loss 10%", "tc qdisc del dev eth1 root")
# Of every second connection to our service the acknowledgements are lost, so that what was sent is sent again.
RULE = (
    (
        "nft add table ip harm; nft add chain ip harm i '{ type filter hook input priority 0; }';"
        f" nft add rule ip harm i tcp dport {PORT} tcp sport '&' 1 == 0 tcp flags == ack drop"
    ),
    "nft delete table ip harm",
)
# New connections that no longer come about: half of what arrives for the service is dropped.
SILENCE = (RULE[0].replace("tcp sport '&' 1 == 0 tcp flags == ack", "numgen random mod 10 '<' 5"), RULE[1])


@pytest.fixture(scope="module", autouse=True)
def busy(fleet: Fleet, connections: dict[str, Connection]) -> Iterator[None]:
    # Gentle: the hosts are emulated.
    with traffic(fleet, connections, rate=6.0):
        yield


@pytest.fixture
def tune(tmp_path: Path) -> Callable[[dict[str, object]], Run]:
    # The qdisc is left to the harm.
    given = {"tcp_tuning_gate_seconds": 12, "tcp_tuning_qdisc": "none", "tcp_tuning_log": str(tmp_path / "log")}
    return lambda more: run_playbook(tmp_path, f"--extra-vars={json.dumps({**given, **more})}")


def as_before(before: dict[str, Seen], connections: dict[str, Connection]) -> dict[str, list[str]]:
    """The keys and files that differ, by host; all that the harm itself did is undone by then."""
    found = {}
    for name, now in look(connections).items():
        own = {key for key in now.sysctls if now.sysctls[key] != before[name].sysctls.get(key) and "tcp_" in key}
        # A module whose congestion control a connection still uses stays loaded.
        own -= set(LISTS_OF_MODULES)
        found[name] = sorted({*own, *([] if now.own_file == before[name].own_file else ["file"])})
        assert not connections[name].file(PENDING_PATH).exists
    return {name: names for name, names in found.items() if names}


@pytest.mark.parametrize(
    ("harm", "measures"),
    [
        pytest.param(LOSS, {"retransmitted segments"}, id="a qdisc with loss"),
        pytest.param(RULE, {"retransmitted segments"}, id="a rule of nftables"),
        pytest.param(
            SILENCE, {"connections accepted", "retransmitted segments"}, id="a rule that breaks new connections"
        ),
    ],
)
def test_it_stops_at_the_canary(
    harm: tuple[str, str],
    measures: set[str],
    before: dict[str, Seen],
    connections: dict[str, Connection],
    tune: Callable[[dict[str, object]], Run],
) -> None:
    with with_agent(connections, "harm_agent", lambda _name: ["300", *harm]):
        run = tune({"tcp_tuning_overrides": {FIN: "42"}})
    assert run.status == 2, run.output
    assert (run.changed, len(run.failed)) == ([], 1)
    said = run.results[run.failed[0]]["msg"]
    assert said.startswith("taken back: the health gate failed: "), said
    assert any(f"{measure}: " in said for measure in measures), said
    assert as_before(before, connections) == {}


def test_the_same_change_without_the_harm_is_kept(
    before: dict[str, Seen], connections: dict[str, Connection], tune: Callable[[dict[str, object]], Run]
) -> None:
    run = tune({"tcp_tuning_overrides": {FIN: "42"}})
    assert (run.status, run.changed) == (0, sorted(connections)), run.output
    assert {seen.key(FIN) for seen in look(connections).values()} == {"42"}
    back = tune({"tcp_tuning_state": "absent", "tcp_tuning_gate_seconds": 0})
    assert (back.status, back.changed) == (0, sorted(connections)), back.output
    assert {seen.key(FIN) for seen in look(connections).values()} == {before[name].key(FIN) for name in connections}
