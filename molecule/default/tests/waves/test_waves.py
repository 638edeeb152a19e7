# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A change goes over the fleet in waves, and one that does harm goes no further than the first host."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host as Connection

from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint_store import PENDING_PATH
from lab.fleet import Fleet
from tests.molecule.hosts import Seen, differences, look, wait_for
from tests.molecule.playbook import ROLLBACK, Run, run_playbook
from tests.molecule.traffic import traffic, with_agent

FIN = "net.ipv4.tcp_fin_timeout"
PORTS = "net.ipv4.ip_local_port_range"
# Ten ports for a client that opens twenty connections a second, each of which is in TIME_WAIT for a minute.
HARMFUL = {PORTS: "1024 1034"}


def tune(scratch: Path, overrides: dict[str, str], *arguments: str, **settings: Any) -> Run:
    # In place of what a user would have in the inventory.
    given = {
        "tcp_tuning_overrides": overrides,
        "tcp_tuning_gate_seconds": 8,
        "tcp_tuning_log": str(scratch / "changes.jsonl"),
        **settings,
    }
    return run_playbook(scratch, f"--extra-vars={json.dumps(given)}", *arguments)


def judged(run: Run) -> list[str]:
    return [line.strip() for line in run.output.splitlines() if line.strip().startswith("health gate:")]


@pytest.fixture
def busy(fleet: Fleet, connections: dict[str, Connection]) -> Iterator[None]:
    with traffic(fleet, connections):
        yield


def unchanged(before: dict[str, Seen], connections: dict[str, Connection]) -> None:
    """The running kernels and the files are as they were, and no host waits for anything."""
    now = look(connections)
    for name, seen in now.items():
        keys = {key for key in before[name].sysctls if before[name].sysctls[key] != seen.sysctls.get(key)}
        assert not keys & {FIN, PORTS}, (name, keys)
        assert seen.own_file == before[name].own_file, differences(before, now)
        assert not connections[name].file(PENDING_PATH).exists


@pytest.mark.usefixtures("busy")
def test_a_harmful_change_stops_at_the_canary(
    before: dict[str, Seen], connections: dict[str, Connection], tmp_path: Path
) -> None:
    run = tune(tmp_path, HARMFUL)
    assert run.status == 2, run.output
    assert run.changed == []
    assert len(run.failed) == 1
    (canary,) = run.failed
    assert run.results[canary]["change"]["outcome"] == "reverted"
    assert "connections opened" in run.results[canary]["msg"]
    # Looked at twice, so that a moment is not taken for the change.
    assert judged(run) == ["health gate: WORSE since the change (1 changed, 3 not changed were read)"] * 2
    unchanged(before, connections)
    assert f"{canary}: as before: the change was taken back" in run.output
    assert "not changed: the run did not come to their wave" in run.output
    # Of the others not even a change that was begun is on record.
    entries = [json.loads(line) for line in (tmp_path / "changes.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(entry["host"], entry["outcome"]) for entry in entries] == [(canary, "pending"), (canary, "reverted")]
    assert "the health gate failed: connections opened" in entries[1]["said"]


@pytest.mark.usefixtures("busy")
def test_what_does_no_harm_goes_over_all(
    before: dict[str, Seen], connections: dict[str, Connection], tmp_path: Path
) -> None:
    run = tune(tmp_path, {FIN: "42"})
    assert run.status == 0, run.output
    assert run.changed == sorted(connections)
    assert [line.split(" (")[1] for line in judged(run)] == [
        "1 changed, 3 not changed were read)",
        "1 changed, 2 not changed were read)",
        "2 changed, 0 not changed were read)",
    ]
    assert all(line.startswith("health gate: no measure is worse") for line in judged(run))
    assert {name: seen.key(FIN) for name, seen in look(connections).items()} == dict.fromkeys(connections, "42")
    # One canary of each profile first.
    first = [line.split(": ")[1] for line in run.output.splitlines() if line.startswith(("wave 1: ", "wave 2: "))]
    assert sorted(name.rstrip("12") for name in first) == ["cloud", "local"]
    runs = {result["change"]["run"] for result in run.results.values()}
    assert len(runs) == 1
    # And back: the run that it was, on all its hosts.
    extra = json.dumps({"change": runs.pop(), "tcp_tuning_log": str(tmp_path / "back.jsonl")})
    back = run_playbook(tmp_path, f"--extra-vars={extra}", playbook=ROLLBACK)
    assert (back.status, back.changed) == (0, sorted(connections)), back.output
    assert {seen.key(FIN) for seen in look(connections).values()} == {before[name].key(FIN) for name in connections}
    entries = [json.loads(line) for line in (tmp_path / "back.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {(entry["verb"], entry["outcome"]) for entry in entries} == {("rollback", "confirmed")}
    assert all(entry["change"] and entry["run"] for entry in entries)
    again = run_playbook(tmp_path, f"--extra-vars={extra}", playbook=ROLLBACK)
    assert (again.status, again.changed) == (2, [])
    assert "is left on this host to be taken back: nor on any other host of this run" in again.output


@pytest.mark.parametrize("policy", ["stop", "wait"])
def test_too_little_traffic_to_judge(
    policy: str, before: dict[str, Seen], connections: dict[str, Connection], tmp_path: Path
) -> None:
    # A minute to confirm in, of which 15 seconds are for confirming: that leaves time for a second look, or a third.
    run = tune(
        tmp_path, {FIN: "42"}, tcp_tuning_gate_too_little=policy, tcp_tuning_gate_seconds=4, tcp_tuning_confirm=60
    )
    assert run.status == 2, run.output
    assert (run.changed, len(run.failed)) == ([], 1)
    assert run.results[run.failed[0]]["msg"].startswith("taken back: not enough traffic to judge: ")
    assert (len(judged(run)) > 1) == (policy == "wait"), run.output
    unchanged(before, connections)


CUT = (
    "nft add table ip harm; nft add chain ip harm i '{ type filter hook input priority 0; }';"
    " nft add rule ip harm i tcp dport 22 drop"
)


def test_a_host_that_is_lost_has_its_wave_taken_back_and_the_run_stop(
    before: dict[str, Seen], connections: dict[str, Connection], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANSIBLE_TIMEOUT", "5")
    lost = {"local1": connections["local1"]}
    with with_agent(lost, "harm_agent", lambda _name: ["400", CUT, "nft delete table ip harm"]):
        run = tune(tmp_path, {FIN: "42"}, tcp_tuning_waves=[2, 1], tcp_tuning_gate_seconds=3, tcp_tuning_confirm=90)
        assert run.status == 2, run.output
        # It takes the change back by itself, and can be reached again then.
        wait_for(connections["local1"], f"test ! -e {PENDING_PATH}", 180.0)
    assert (run.changed, run.failed) == ([], ["cloud1", "local1"])
    assert "1 of 2 hosts cannot be reached since the change (local1)" in run.results["cloud1"]["msg"]
    assert "local1: not confirmed: each takes the change back by itself" in run.output
    assert "not changed: the run did not come to their wave" in run.output
    unchanged(before, connections)


def test_hosts_that_cannot_be_changed_have_their_wave_taken_back(
    before: dict[str, Seen], connections: dict[str, Connection], tmp_path: Path
) -> None:
    state = "/var/lib/netfleet-tcp"
    connections["local1"].check_output(f"mount -o bind,ro {state} {state} && mount -o remount,bind,ro {state}")
    try:
        run = tune(tmp_path, {FIN: "42"}, tcp_tuning_waves=["100%"], tcp_tuning_gate_seconds=3)
    finally:
        connections["local1"].check_output(f"umount {state}")
    assert (run.status, run.changed, run.failed) == (2, [], sorted(connections)), run.output
    assert "1 of 4 hosts could not be changed (local1)" in run.results["cloud1"]["msg"]
    assert "Read-only file system" in run.results["local1"]["msg"]
    unchanged(before, connections)


def test_check_mode_says_the_waves_and_changes_nothing(
    before: dict[str, Seen], connections: dict[str, Connection], tmp_path: Path
) -> None:
    run = tune(tmp_path, {FIN: "42"}, "--check")
    assert (run.status, run.changed) == (0, sorted(connections))
    assert [line for line in run.output.splitlines() if line.startswith("wave 3: ")]
    unchanged(before, connections)


def test_settings_that_cannot_be_meant_are_refused_before_anything_is_looked_at(
    before: dict[str, Seen], connections: dict[str, Connection], tmp_path: Path
) -> None:
    run = tune(tmp_path, {FIN: "42"}, tcp_tuning_waves=["some"], tcp_tuning_gate_limits={"loss": {}})
    assert (run.status, run.failed) == (2, sorted(connections))
    assert "tcp_tuning_waves[0]: 'some' is no size of a wave" in run.output
    assert "tcp_tuning_gate_limits.loss: there is no such measure" in run.output
    unchanged(before, connections)
