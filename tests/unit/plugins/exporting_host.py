# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host in memory with Debian's node_exporter and a systemd that runs the exporter's timer and service."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from ansible_collections.netfleet.tcp.plugins.module_utils._exporter_model import SETTINGS, load
from ansible_collections.netfleet.tcp.plugins.module_utils._exporter_units import SERVICE, TIMER
from ansible_collections.netfleet.tcp.plugins.module_utils._node_exporter import DEFAULTS, DIRECTORY, UNIT, words_of
from tests.unit.plugins.recorded_sockets import SocketHost

# As Debian 12 installs it.
DEBIAN = """\
# Set the command-line arguments to pass to the server.
# Due to shell escaping, to pass backslashes for regexes, you need to double
# them (\\\\d for \\d). If running under systemd, you need to double them again
# (\\\\\\\\d to mean \\\\d), and escape newlines too.
ARGS=""
"""
# Of node_exporter.
PID = 4321


class ExportingHost(SocketHost):
    """active: the units that run. failing: what a systemctl of this verb and unit says. flags: node_exporter's.

    dies_with: a word among these with which it ends. systemd starts it anew, so that it is seen to be active, until
    that was too often; from then on it takes a reset-failed. As systemd 252 was seen to do it. deaf: its unit does not
    hand ARGS on, as that of a drop-in may. hidden: nobody may see its process.
    """

    def __init__(self, defaults: str | None = DEBIAN) -> None:
        super().__init__()
        self.active = {UNIT}
        self.failing: dict[tuple[str, str], str] = {}
        self.dies_with = ""
        self.deaf = self.hidden = False
        self.restarts = 0
        self.failed: set[str] = set()
        self.ran: list[str] = []
        self.directories |= {posixpath.dirname(DIRECTORY), DIRECTORY}
        if defaults is not None:
            self.put(DEFAULTS, defaults)
        self.flags = words_of(defaults or "")

    def read(self, path: str) -> str | None:
        if path == "/proc/%d/cmdline" % PID:
            return None if self.hidden else "".join(word + "\0" for word in ["/usr/bin/node_exporter", *self.flags])
        return super().read(path)

    def run(self, argv: Sequence[str], stdin: str = "") -> tuple[int, str, str]:
        if argv[0] == "journalctl":
            earlier = "" if any(word.startswith("--since=@") for word in argv) else "words of an earlier run\n"
            return 0, earlier + "%s: last words\n" % argv[-1].partition("=")[2], ""
        if argv[0] != "systemctl":
            return super().run(argv, stdin)
        verb, units = argv[1], list(argv[2:])
        if verb == "is-active":
            return 0 if units[-1] in self.active else 3, "", ""
        if verb == "show":
            state = "active" if units[-1] in self.active else "inactive"
            pid = PID if state == "active" else 0
            return 0, "MainPID=%d\nNRestarts=%d\nActiveState=%s\n" % (pid, self.restarts, state), ""
        assert self.lock_held, "changed the host without the lock: %s" % list(argv)
        line = " ".join(argv[1:])
        self.ran.append(line)
        if verb == "restart" and UNIT in units and self.restarts:
            return 1, "", "Job failed: start request repeated too quickly."
        try:
            self._step("systemctl " + line, lambda: self._do(verb, units))
        except OSError as error:
            return 1, "", error.strerror or str(error)
        told = next((self.failing[verb, unit] for unit in units if (verb, unit) in self.failing), "")
        if told:
            # Which systemd goes on remembering, whether it is stopped, or its file is gone.
            self.failed |= set(units)
        return (1, "", told) if told else (0, "", "")

    def _do(self, verb: str, units: list[str]) -> None:
        if verb == "daemon-reload" and TIMER in self.active and not self.has_units:
            # As systemd does with a timer whose unit is gone while it runs.
            self.active.discard(TIMER)
            self.failed.add(TIMER)
        if verb == "start" and SERVICE in units and SETTINGS in self.files:
            self.put(load(self.text(SETTINGS)).text_file, "netfleet_tcp_x 1\n")
        for unit in units:
            if verb == "stop":
                self.active.discard(unit)
            elif verb == "restart" and (unit != TIMER or self.has_units):
                self.active.add(unit)
            if verb == "reset-failed":
                self.failed.discard(unit)
            if unit == UNIT and verb == "reset-failed":
                self.restarts = 0
            if unit == UNIT and verb == "restart":
                self.flags = [] if self.deaf else words_of(self.text(DEFAULTS))
                self.restarts = 4 if self.dies_with and self.dies_with in " ".join(self.flags) else 0

    @property
    def has_units(self) -> bool:
        """Whether both stand there."""
        return all("/etc/systemd/system/" + unit in self.files for unit in (SERVICE, TIMER))

    def text(self, path: str) -> str:
        """What stands in a file; nothing of one that is not there."""
        return self.files[path].text if path in self.files else ""
