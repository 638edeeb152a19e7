# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host under test as the molecule scenarios see it: what it ran before, and what it runs now."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields

from testinfra.host import Host as Connection

from lab.fleet import Host
from lab.paths import REPOSITORY
from tests.waiting import until

OBSERVE = REPOSITORY / "molecule" / "shared" / "observe.py"


@dataclass(frozen=True)
class Seen:
    """What observe.py saw on a host."""

    boot: str
    memory: int
    sysctls: Mapping[str, str]
    writable: list[str]  # the keys that may be set here
    files: Mapping[str, str]
    qdiscs: Mapping[str, list[str]]
    new_socket: str  # the congestion control of a connection made now
    own_file: str  # the text of our sysctl.d file
    modules: list[str]
    failed_units: list[str]

    @property
    def declared(self) -> dict[str, str]:
        """What our sysctl.d file sets at boot."""
        lines = [line for line in self.own_file.splitlines() if line and not line.startswith("#")]
        return {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}

    @classmethod
    def on(cls, connection: Connection) -> Seen:
        """What a host runs and has at this moment."""
        script = OBSERVE.read_text(encoding="utf-8")
        return cls.read(connection.check_output("/usr/bin/python3 -c %s", script))

    @classmethod
    def read(cls, text: str) -> Seen:
        """From the JSON that observe.py prints."""
        return cls(**json.loads(text))

    def key(self, name: str) -> str:
        """A running value; a key that the host should have and has not is a failure, never a reason to pass."""
        assert name in self.sysctls, f"the host has no readable {name}"
        return self.sysctls[name]


@dataclass(frozen=True)
class Target:
    """A host of the fleet under test, as it was and as it is."""

    host: Host
    connection: Connection
    before: Seen
    now: Seen

    @property
    def name(self) -> str:
        """The host's name in the inventory."""
        return self.host.name

    def changed_files(self) -> set[str]:
        """Each file that is not what it was before, or was not there, or is no longer there."""
        paths = {*self.before.files, *self.now.files}
        return {path for path in paths if self.before.files.get(path) != self.now.files.get(path)}

    def changed_keys(self) -> dict[str, tuple[str | None, str | None]]:
        """Each key whose value is not what it was before: name -> (before, now)."""
        names = {*self.before.sysctls, *self.now.sysctls}
        pairs = {name: (self.before.sysctls.get(name), self.now.sysctls.get(name)) for name in sorted(names)}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def look(connections: Mapping[str, Connection]) -> dict[str, Seen]:
    """What each of the hosts runs and has at this moment, by name; all at a time."""
    with ThreadPoolExecutor() as pool:
        return dict(zip(connections, pool.map(Seen.on, connections.values()), strict=True))


def on_each(commands: Mapping[str, str], connections: Mapping[str, Connection]) -> dict[str, str]:
    """Run a command on each host that has one, all at a time; what each printed, by the host's name."""
    with ThreadPoolExecutor() as pool:
        printed = pool.map(lambda name: str(connections[name].check_output(commands[name])), commands)
        return dict(zip(commands, printed, strict=True))


def differences(before: Mapping[str, Seen], after: Mapping[str, Seen]) -> dict[str, tuple[object, object]]:
    """What is no longer as it was, as (before, after). Modules aside: in containers they are the machine's."""
    parts = [field.name for field in fields(Seen) if field.name != "modules"]
    pairs = {
        (name, part): (getattr(before[name], part), getattr(after[name], part)) for name in before for part in parts
    }
    return {f"{part} of {name}": pair for (name, part), pair in pairs.items() if pair[0] != pair[1]}


def wait_for(connection: Connection, command: str, seconds: float) -> None:
    """Until a command on the host succeeds; a host that cannot be reached meanwhile is waited for too."""

    def succeeds() -> bool:
        try:
            return bool(connection.run(f"timeout 100 sh -c {shlex.quote(command)}").rc == 0)
        except RuntimeError:
            return False

    until(succeeds, seconds, command, 1.0)
