# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A look at TCP's health, on hosts with connections that the test makes, against what ss and nstat say there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from testinfra.host import Host as Connection

from lab.fleet import Fleet
from lab.paths import REPOSITORY
from tests.molecule.health import AGENT, READY, Looked, differences, looked_at, run_module
from tests.molecule.hosts import wait_for

CALLER, SERVER = "cloud1", "local1"
PORT, LASTING, SHORT = 5300, 6, 40
SERVER_UNIT, CALLER_UNIT = "health-server", "health-caller"
START = "systemd-run --quiet --collect --unit={unit} /usr/bin/python3 -c %s {words}"


def address(fleet: Fleet, name: str) -> str:
    return next(host.address for host in fleet.hosts if host.name == name)


def look(connections: dict[str, Connection], fleet: Fleet, name: str, other: str) -> Looked:
    arguments = {"interval": 1, "peers": {"them": [f"{address(fleet, other)}/32"]}, "rtt_targets": {"them": 1000}}
    inventory = f"--inventory={REPOSITORY / 'inventories' / 'lab'}"
    return looked_at(connections[name].check_output, lambda: run_module(arguments, name, inventory))


@pytest.fixture(scope="module")
def looks(connections: dict[str, Connection], fleet: Fleet) -> Iterator[dict[str, Looked]]:
    """Both ends, looked at while connections stand between them."""
    script = AGENT.read_text(encoding="utf-8")
    server, caller = connections[SERVER], connections[CALLER]
    words = f"call {address(fleet, SERVER)} {PORT} {LASTING} {SHORT}"
    try:
        server.check_output(START.format(unit=SERVER_UNIT, words=f"serve {PORT}"), script)
        wait_for(server, f"ss -Htln sport = :{PORT} | grep -q .", 30)
        caller.check_output(f"rm -f {READY}")
        caller.check_output(START.format(unit=CALLER_UNIT, words=words), script)
        wait_for(caller, f"test -s {READY}", 60)
        yield {CALLER: look(connections, fleet, CALLER, SERVER), SERVER: look(connections, fleet, SERVER, CALLER)}
    finally:
        caller.run(f"systemctl stop {CALLER_UNIT}; rm -f {READY}")
        server.run(f"systemctl stop {SERVER_UNIT}")


def test_the_caller_is_as_ss_and_nstat_see_it(looks: dict[str, Looked], fleet: Fleet) -> None:
    assert differences(looks[CALLER], "them", address(fleet, SERVER)) == []
    peers = looks[CALLER].result["sockets"]["peers"]["them"]
    assert peers["connections"] == LASTING
    assert peers["segments"] > 0
    assert peers["rtt"]["verdict"] == "met"


def test_the_server_is_as_ss_and_nstat_see_it(looks: dict[str, Looked], fleet: Fleet) -> None:
    assert differences(looks[SERVER], "them", address(fleet, CALLER)) == []


def test_short_connections_hold_local_ports(looks: dict[str, Looked], fleet: Fleet) -> None:
    ends = {"source": address(fleet, CALLER), "destination": address(fleet, SERVER), "port": PORT}
    (use,) = [each for each in looks[CALLER].result["ports"]["most_used"] if {**each, **ends} == each]
    to = f" {address(fleet, SERVER)}:{PORT} "
    before, after = (
        sum(line.startswith("TIME-WAIT") and to in line for line in lines)
        for lines in (looks[CALLER].ss_before, looks[CALLER].ss)
    )
    # They end by themselves, on a busy machine some of them early, by a reset of the other end.
    assert SHORT / 2 < after <= use["time_wait"] <= before <= SHORT
    assert use["open"] == LASTING


def test_connections_belong_to_the_unit_that_serves_them(looks: dict[str, Looked]) -> None:
    (service,) = [each for each in looks[SERVER].result["sockets"]["services"] if each["port"] == PORT]
    assert service["connections"] == LASTING
    assert [holder["unit"] for holder in service["holders"]] == [f"{SERVER_UNIT}.service"]


def test_healthy_hosts_have_no_finding(looks: dict[str, Looked]) -> None:
    assert [looked.result["findings"] for looked in looks.values()] == [[], []]


def test_nothing_is_left_out(looks: dict[str, Looked]) -> None:
    assert [looked.result["limits"] for looked in looks.values()] == [[], []]
