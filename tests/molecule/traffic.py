# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Traffic between the hosts of the lab, each of which serves one and is served by another; and what disturbs it."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from testinfra.host import Host as Connection

from lab.fleet import Fleet

PORT = 7007
# Longer than any test takes; it is ended by its process's number before.
_SECONDS = 1200


@contextlib.contextmanager
def with_agent(
    connections: Mapping[str, Connection], agent: str, arguments: Callable[[str], list[str]]
) -> Iterator[None]:
    """Run an agent, a file beside this one, on each host while the block runs. arguments: by the host's name."""
    text = Path(__file__).with_name(f"{agent}.py").read_text(encoding="utf-8")
    path = f"/root/{agent}.py"
    running: dict[str, str] = {}
    try:
        for name, connection in connections.items():
            connection.check_output("printf %%s %s > " + path, text)
            command = shlex.join(["/usr/bin/python3", path, *arguments(name)])
            running[name] = connection.check_output(f"{command} > {path}.log 2>&1 < /dev/null & echo $!")
        yield
    finally:
        ended = {
            name: connections[name].run(
                f"kill {number}; status=$?; cat {path}.log; rm -f {path} {path}.log; exit $status"
            )
            for name, number in running.items()
        }
    # One that died by itself has done nothing, and what was seen meanwhile shows nothing.
    assert {name: done.stdout for name, done in ended.items() if done.rc != 0} == {}


def traffic(
    fleet: Fleet, connections: Mapping[str, Connection], rate: float = 20.0
) -> contextlib.AbstractContextManager[None]:
    """Each host fetches from the next one while the block runs."""
    names = [host.name for host in fleet.hosts]
    addresses = {host.name: host.address for host in fleet.hosts}
    peers = dict(zip(names, [*names[1:], names[0]], strict=True))
    return with_agent(
        connections,
        "traffic_agent",
        lambda name: [str(PORT), str(_SECONDS), str(rate), addresses[peers[name]]],
    )
