# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections from hosts of the lab to a cluster while something is done to it: new ones, and ones that stand."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testinfra.host import Host as Connection

from tests.molecule import connect_agent
from tests.molecule.hosts import wait_for

_AGENT = "/root/connect_agent"
NEW, LONG = "many", "hold"


@dataclass
class Seen:
    """What became of them, by the name of the host that they came from; filled in at the end."""

    new: dict[str, dict[str, Any]] = field(default_factory=dict)
    long: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def failed(self) -> list[tuple[float, str, str]]:
        """New ones that were not made: (seconds since the epoch, host:port, why)."""
        return sorted((float(at), str(to), str(why)) for one in self.new.values() for at, to, why in one["failed"])

    @property
    def made(self) -> int:
        """How many new ones were tried."""
        return sum(int(one["made"]) for one in self.new.values())

    @property
    def broken(self) -> list[dict[str, Any]]:
        """Long ones that did not stand to the end."""
        return [each for found in self.long.values() for each in found if each["ended"]]

    def __str__(self) -> str:
        failed = self.failed
        by = ", ".join(f"{len(one['failed'])} from {name}" for name, one in sorted(self.new.items()) if one["failed"])
        span = f" within {failed[-1][0] - failed[0][0]:.1f} s ({by})" if failed else ""
        held = [each for found in self.long.values() for each in found]
        longest = max((each["longest"] for each in held), default=0.0)
        return (
            f"{len(failed)} of {self.made} new connections failed{span};"
            f" {len(self.broken)} of {len(held)} long ones broke, the longest silence of the others {longest:.1f} s"
        )


@contextlib.contextmanager
def connecting(
    hosts: Mapping[str, Connection], new: Mapping[str, list[str]], long: Mapping[str, list[str]]
) -> Iterator[Seen]:
    """While the block runs; long ones stand when it begins.

    new, long: by the name of the host that they come from, where to (host:port).
    """
    text = Path(connect_agent.__file__).read_text(encoding="utf-8")
    seen, running = Seen(), []
    try:
        for kind, wanted in ((NEW, new), (LONG, long)):
            for name, targets in wanted.items():
                path = f"{_AGENT}-{kind}"
                hosts[name].check_output(f"rm -f {path}.stop*; printf %%s %s > {path}.py", text)
                words = shlex.join(["/usr/bin/python3", f"{path}.py", kind, f"{path}.stop", *targets])
                process = hosts[name].check_output(f"{words} > {path}.out 2>&1 < /dev/null & echo $!")
                running.append((kind, name, path, process))
        for name in long:
            wait_for(hosts[name], f"test -e {_AGENT}-{LONG}.stop.ready", 90.0)
        yield seen
    finally:
        for _kind, name, path, _process in running:
            hosts[name].check_output(f"touch {path}.stop")
        for kind, name, path, process in running:
            # Where the first process of a host adopts none, one that has ended keeps its number, but not its words.
            wait_for(hosts[name], f"! grep -q connect_agent /proc/{process}/cmdline 2> /dev/null", 90.0)
            said = json.loads(hosts[name].check_output(f"cat {path}.out"))
            hosts[name].run(f"rm -f {path}.*")
            (seen.new if kind == NEW else seen.long)[name] = said
