# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A single long TCP connection between two hosts of the lab, both ways of it watched."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testinfra.host import Host as Connection

from tests.molecule import stream_agent
from tests.waiting import until

_AGENT, _STOP = "/root/stream_agent.py", "/root/stream_agent.stop"


@dataclass
class Stream:
    """What both ends saw, once it has ended. gaps: [when it ended, seconds] of each silence above stream_agent.GAP."""

    sent: dict[str, Any]
    received: dict[str, Any]

    @property
    def gaps(self) -> list[tuple[float, float]]:
        """By the clock of the receiver."""
        return [(at, seconds) for at, seconds in self.received["gaps"]]

    @property
    def longest(self) -> float:
        """Seconds of the longest silence that was noticed; 0 where none was."""
        return max([seconds for _at, seconds in self.gaps] or [0.0])


@contextlib.contextmanager
def stream(sender: Connection, receiver: Connection, address: str, port: int) -> Iterator[Stream]:
    """From the sender to the receiver's address while the block runs; the Stream is filled in when it has ended."""
    text = Path(stream_agent.__file__).read_text(encoding="utf-8")
    found = Stream({}, {})
    for connection in (sender, receiver):
        connection.check_output(f"rm -f {_STOP}; printf %%s %s > {_AGENT}", text)
    python = f"/usr/bin/python3 {_AGENT}"
    there = receiver.check_output(f"{python} receive {port} > {_AGENT}.receive 2>&1 < /dev/null & echo $!")
    _until(receiver, f"ss -Htln sport = :{port} | grep -q .")
    here = sender.check_output(f"{python} send {port} {address} {_STOP} > {_AGENT}.send 2>&1 < /dev/null & echo $!")
    try:
        yield found
    finally:
        sender.check_output(f"touch {_STOP}")
        for connection, process in ((sender, here), (receiver, there)):
            _until(connection, f"! kill -0 {process}")
    found.sent.update(json.loads(sender.check_output(f"cat {_AGENT}.send")))
    found.received.update(json.loads(receiver.check_output(f"cat {_AGENT}.receive")))
    for connection in (sender, receiver):
        connection.check_output(f"rm -f {_AGENT} {_AGENT}.send {_AGENT}.receive {_STOP}")


def _until(connection: Connection, condition: str) -> None:
    """Until a command succeeds on a host that can be reached all the time."""
    until(lambda: connection.run(condition).rc == 0, 90.0, condition, 0.3)
