# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Traffic between the hosts of the lab, each of which serves one and is served by another."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from testinfra.host import Host as Connection

from lab.fleet import Fleet
from tests.molecule import traffic_agent

AGENT = "/root/traffic_agent.py"
PORT = 7007
# Longer than any test takes; it is ended by its process's number before.
_SECONDS = 1200


@contextlib.contextmanager
def traffic(fleet: Fleet, connections: Mapping[str, Connection], rate: float = 20.0) -> Iterator[None]:
    """Each host fetches from the next one while the block runs."""
    text = Path(traffic_agent.__file__).read_text(encoding="utf-8")
    names = [host.name for host in fleet.hosts]
    addresses = {host.name: host.address for host in fleet.hosts}
    running: dict[str, str] = {}
    try:
        for name, peer in zip(names, [*names[1:], names[0]], strict=True):
            connections[name].check_output("printf %%s %s > " + AGENT, text)
            command = f"/usr/bin/python3 {AGENT} {PORT} {_SECONDS} {rate} {addresses[peer]}"
            running[name] = connections[name].check_output(f"{command} > /dev/null 2>&1 < /dev/null & echo $!")
        yield
    finally:
        for name, number in running.items():
            connections[name].run(f"kill {number}; rm -f {AGENT}")
