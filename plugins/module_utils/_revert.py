# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes the pending change of a host back: when its time is over, after a boot, or because somebody says so.

Pure but for the System that is handed in.
"""

from __future__ import annotations

import time
from typing import Callable, List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._boot_recovery import disarm_boot
from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint import REVERTED, Checkpoint, Things
from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint_store import (
    PENDING_PATH,
    boot_id,
    read_pending,
    remove_program,
    settle,
    tidy,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import NetfleetError, Problem
from ansible_collections.netfleet.tcp.plugins.module_utils._restore import restore
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System


def utc(seconds: float) -> str:
    """A moment for people and for records: 2026-11-25T12:03:00Z."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


@dataclass(frozen=True)
class Reverted:
    """A change that was taken back, and what of it could not be.

    ended: whether that is all that will be done. While a file could not be given back, it stays pending: the clock,
    the next run and the next boot try again, and no boot takes the file for confirmed.
    """

    change: Checkpoint
    problems: Tuple[Problem, ...] = ()
    ended: bool = True


def revert(
    system: System,
    why: str,
    outcome: str = REVERTED,
    early: bool = False,
    stop_clock: Optional[Callable[[], None]] = None,
) -> Optional[Reverted]:
    """Take the pending change back, and say what became of it; None where nothing is pending. Holds no lock itself.

    early: the boot has applied no file yet, so that files are all that has to be given back. stop_clock: see clean_up.
    HostError where its record cannot be read: then nothing is known, and nothing is touched.
    """
    pending = read_pending(system)
    if pending is None:
        return None
    booted = pending.boot != boot_id(system)
    problems = []
    if not booted:
        problems = restore(system, pending.before)
    elif pending.writing and early:
        problems = restore(system, Things(files=pending.before.files))
        # The boot has read its units already; what it has yet to start are those that stand there now.
        system.run(["systemctl", "daemon-reload"])
    elif pending.writing:
        problems = restore(system, pending.before, pending.after)
    if any(problem.path in pending.before.files for problem in problems):
        system.log("change %s: %s" % (pending.id, "; ".join(str(problem) for problem in problems)))
        return Reverted(pending, tuple(problems), ended=False)
    if booted:
        why = "the host was booted before it was confirmed"
    ended = pending.ended(outcome, utc(system.now()), "; ".join([why, *(str(problem) for problem in problems)]))
    try:
        settle(system, ended)
    except OSError as error:
        # A full disk: what was restored is so all the same, and the journal says it.
        system.log("the record of change %s cannot be written: %s" % (ended.id, error))
    problems += clean_up(system, stop_clock)
    system.log("change %s %s: %s" % (ended.id, outcome, ended.summary.why))
    return Reverted(ended, tuple(problems))


def clean_up(system: System, stop_clock: Optional[Callable[[], None]] = None) -> List[Problem]:
    """Remove what ended changes have left; what could not be removed is returned, and does no harm.

    stop_clock: called before the clock's program goes, and after all else has: whatever interrupts this, the clock does
    the rest when its time comes.
    """
    try:
        # The next boot would do the rest: what it does that by goes once there is nothing left to it.
        tidy(system)
        disarm_boot(system)
        if stop_clock:
            stop_clock()
        remove_program(system)
    except NetfleetError as error:
        return list(error.problems)
    except OSError as error:
        return [Problem(PENDING_PATH, "cannot be removed: %s" % (error.strerror or error))]
    return []
