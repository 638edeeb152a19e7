# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The clock that takes a change back: armed on the host before the first change, stopped once it is confirmed.

It needs neither the controller nor the connection nor Ansible: a copy of this collection's own code stands beside the
record of the change, and systemd (elsewhere a process of its own) runs it. It is started some seconds early and waits:
a small or busy host takes its time to load a program.

Pure but for the System that is handed in.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import List

# Imported here, so that Ansible takes it along to the host.
from ansible_collections.netfleet.tcp.plugins.module_utils import _revert_main
from ansible_collections.netfleet.tcp.plugins.module_utils._baseline import STATE_DIRECTORY
from ansible_collections.netfleet.tcp.plugins.module_utils._bundle import as_text, bundle, main_of, own_sources
from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint_store import PROGRAM
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System, systemd_runs

TIMER = "netfleet-tcp-revert"
HAND_OVER = "netfleet-tcp-hand-over"
# Seconds before the time is over at which the program is started.
LEAD = 30
_UNITS = (TIMER + ".timer", TIMER + ".service")


def arm(system: System, seconds: float) -> str:
    """Have the pending change taken back after so many seconds; returns what will do it, in words.

    HostError where nothing could be armed: then nothing may be changed.
    """
    _install(system)
    argv = [sys.executable, "-I", PROGRAM, "--wait"]
    if systemd_runs(system):
        disarm(system)
        status, _output, _error = system.run(
            [
                "systemd-run",
                "--quiet",
                "--collect",
                "--unit=" + TIMER,
                "--on-active=%d" % max(1, seconds - LEAD),
                "--timer-property=AccuracySec=100ms",
                "--description=Take back an unconfirmed change of the TCP configuration (netfleet.tcp)",
                "--",
                *argv,
            ]
        )
        # Asked, not believed: a unit of this name may be masked.
        if status == 0 and system.run(["systemctl", "is-active", "--quiet", *_UNITS])[0] == 0:
            return "timer %s.timer" % TIMER
    _detach(system, argv, "no revert could be armed")
    return "a process of its own"


def start_hand_over(system: System) -> None:
    """Have the keys of the pending change handed over, when those who have them speak (see _hand_over).

    HostError where that cannot be started.
    """
    argv = [sys.executable, "-I", PROGRAM, "--hand-over"]
    # Outside of the session that makes the change, which ends before this does.
    unit = ["systemd-run", "--quiet", "--collect", "--unit=" + HAND_OVER, "--", *argv]
    if not systemd_runs(system) or system.run(unit)[0] != 0:
        _detach(system, argv, "nothing hands the keys over")


def _detach(system: System, argv: List[str], otherwise: str) -> None:
    try:
        system.detach(argv)
    except OSError as error:
        raise host_error("", "%s: %s" % (otherwise, error), "see the host's journal") from error


def disarm(system: System) -> None:
    """Stop the clock, and its program if that waits already: we hold the lock, so it does no more than that.

    A process of its own finds by itself that nothing is pending.
    """
    if systemd_runs(system):
        system.run(["systemctl", "stop", "--quiet", *_UNITS])


def _install(system: System) -> None:
    try:
        system.make_private_directory(STATE_DIRECTORY)
        system.write_file(PROGRAM, _program(), 0o700)
    except OSError as error:
        raise host_error(
            PROGRAM, "cannot be written: %s" % (error.strerror or error), "mend that, run again"
        ) from error


@lru_cache(maxsize=None)
def _program() -> str:
    return as_text(bundle(own_sources(), main_of(_revert_main.__name__)))
