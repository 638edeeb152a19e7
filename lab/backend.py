# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backend (virtual machines, containers) does for the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from lab.fleet import Host


@dataclass(frozen=True)
class HostStatus:
    """How one host stands, for `lab status`."""

    name: str
    backend: str
    suite: str
    kernel: str | None
    running: bool
    ssh: str  # address:port


class Backend(Protocol):
    """Made as `SomeBackend(fleet, settings, progress)`; each call is idempotent and raises LabError."""

    def image(self, suites: Sequence[str]) -> None:
        """Build the images of these suites unless the cache has them."""

    def up(self, hosts: Sequence[Host], fresh: bool) -> None:
        """Start what is not running and wait for ssh; `fresh` throws the hosts' state away first."""

    def down(self) -> None:
        """Stop and remove everything of this instance and backend; the image cache stays."""

    def status(self, hosts: Sequence[Host]) -> list[HostStatus]:
        """How each host stands."""

    def restore(self, hosts: Sequence[Host]) -> None:
        """Return the hosts to their clean state and wait for ssh."""

    def console(self, host: Host, lines: int) -> str:
        """The last lines of the host's console or journal."""
