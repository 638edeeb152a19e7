# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs on a host while a change is pending: takes it back, at its time or at boot, or hands its keys over.

Knows nothing of Ansible.

revert.pyz [--wait | --early | --hand-over]
"""

from __future__ import annotations

import sys
import time
from typing import Callable, List

from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint import INTERRUPTED
from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint_store import is_over, read_pending, uptime
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError, NetfleetError
from ansible_collections.netfleet.tcp.plugins.module_utils._hand_over import watch
from ansible_collections.netfleet.tcp.plugins.module_utils._revert import clean_up, revert
from ansible_collections.netfleet.tcp.plugins.module_utils._system import LinuxSystem, System

# A run that holds the lock is at work on the host; it ends, or dies and lets go.
_LOCK_SECONDS = 600.0
# One that still has it when the time of its change is over for so long hangs, and would keep the host from being taken
# back. It may be killed at any moment: what it has done is on record.
_PATIENCE = 3.0
# What cannot be taken back is tried again for an hour.
_TRIES, _BETWEEN = 120, 30.0


def wait(system: System, sleep: Callable[[float], None] = time.sleep) -> None:
    """Return when the time of the pending change is over, or as soon as it has ended; by the uptime."""
    try:
        pending = read_pending(system)
        while pending is not None and not is_over(system, pending):
            sleep(max(0.01, min(1.0, pending.due - uptime(system))))
            pending = read_pending(system)
    except NetfleetError:
        # take_back says what is wrong with the record.
        return


def take_back(system: System, early: bool = False) -> str:
    """Take the pending change back if its time is over, or the host has booted since; what was done, in words.

    early: this runs in the boot, before anything of it is applied.
    NetfleetError where the record cannot be read, or the lock is not to be had.
    """
    with system.lock(_LOCK_SECONDS, _PATIENCE if _due(system) else None):
        pending = read_pending(system)
        if pending is None:
            clean_up(system)
            return "nothing is pending"
        if not is_over(system, pending):
            # Made since: it has a clock of its own.
            return "change %s is not due yet" % pending.id
        window = pending.summary.window
        ended = revert(system, "it was not confirmed within %d s" % window if window else INTERRUPTED, early=early)
        if ended and not ended.ended:
            raise HostError(ended.problems)
    return "change %s: %s" % (pending.id, ended.change.summary.why if ended else "")


def _due(system: System) -> bool:
    pending = read_pending(system)
    return pending is not None and is_over(system, pending)


def main(arguments: List[str]) -> int:
    """Exit status: 0 done or nothing to do, 1 failed."""
    system = LinuxSystem()
    if "--hand-over" in arguments:
        return hand_over(system)
    waits = "--wait" in arguments
    if waits:
        wait(system)
    return persist(system, _TRIES if waits else 1, early="--early" in arguments, waits=waits)


def hand_over(system: System) -> int:
    """Hand the keys of the pending change over."""
    try:
        sys.stdout.write("%d handed over\n" % watch(system))
        return 0
    except NetfleetError as error:
        sys.stderr.write("%s\n" % error)
        system.log("keys could not be handed over: %s" % error)
    return 1


def persist(
    system: System,
    tries: int,
    early: bool = False,
    sleep: Callable[[float], None] = time.sleep,
    waits: bool = False,
) -> int:
    """Take the pending change back, and try again where that fails: a disk may be mounted for writing again.

    waits: go on waiting where the change got more time, since it was seen to be over, by what became a part of it.
    """
    for left in range(tries - 1, -1, -1):
        try:
            sys.stdout.write(take_back(system, early) + "\n")
            while waits and read_pending(system) is not None:
                wait(system, sleep)
                sys.stdout.write(take_back(system) + "\n")
            return 0
        except NetfleetError as error:
            sys.stderr.write("%s\n" % error)
            system.log("a pending change could not be taken back: %s" % error)
        if left:
            sleep(_BETWEEN)
    return 1
