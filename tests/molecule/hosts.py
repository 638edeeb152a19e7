# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host under test as the molecule scenarios see it: what it ran before, and what it runs now."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from testinfra.host import Host as Connection

from lab.fleet import Host


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
