# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The changes that a host remembers: the one that is pending, and those that have ended, the latest few.

Pure but for the System that is handed in. Whoever writes holds the host's lock.
"""

from __future__ import annotations

from dataclasses import replace
from typing import List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._baseline import STATE_DIRECTORY
from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint import UNREADABLE, Checkpoint, dump, load
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import NetfleetError
from ansible_collections.netfleet.tcp.plugins.module_utils._model import ChangeSummary
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System, systemd_runs

PENDING_PATH = STATE_DIRECTORY + "/pending.json"
HISTORY = STATE_DIRECTORY + "/history"
# What takes a pending change back: see _revert_timer.
PROGRAM = STATE_DIRECTORY + "/revert.pyz"
# Starts what takes it back at the next boot: see _boot_recovery. Nothing is changed before it stands.
RECOVER_LINK = "/etc/systemd/system/sysinit.target.wants/netfleet-tcp-recover.service"
# A change takes some kilobytes.
KEPT = 20
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_UPTIME = "/proc/uptime"


def boot_id(system: System) -> str:
    """Of which boot of the host this is."""
    return (system.read(_BOOT_ID) or "").strip()


def uptime(system: System) -> float:
    """Seconds since the host was booted: setting its clock does not change them."""
    return float((system.read(_UPTIME) or "0").split()[0])


def is_over(system: System, pending: Checkpoint) -> bool:
    """Whether the time to confirm a change is over, or the host was booted since."""
    return pending.boot != boot_id(system) or uptime(system) >= pending.due


def read_pending(system: System) -> Optional[Checkpoint]:
    """The change that has not ended, if there is one."""
    text = system.read(PENDING_PATH)
    if text is None:
        return None
    pending = load(PENDING_PATH, text)
    # Interrupted right after it had ended: then this file is but a leftover.
    return None if system.file_state(history_path(pending.id)).kind == "file" else pending


def never_begun(system: System) -> bool:
    """Whether the run of the pending change ended before all was armed, so that nothing of it was done.

    Where there is no systemd, that cannot be told. Whoever asks holds the lock, or but looks.
    """
    return systemd_runs(system) and system.file_state(RECOVER_LINK).kind == "absent"


def waiting(system: System, pending: Checkpoint) -> ChangeSummary:
    """The summary of a pending change, with the seconds that are left to confirm it."""
    over = is_over(system, pending) or never_begun(system)
    return replace(pending.summary, left=0 if over else round(pending.due - uptime(system)))


def write_pending(system: System, checkpoint: Checkpoint) -> None:
    """Record a change durably, before anything of it is done. OSError where that is not possible."""
    system.make_private_directory(STATE_DIRECTORY)
    system.write_file(PENDING_PATH, dump(checkpoint), 0o600)


def history_path(identifier: str) -> str:
    """Where the change of this id is kept once it has ended."""
    return "%s/%s.json" % (HISTORY, identifier)


def settle(system: System, checkpoint: Checkpoint) -> None:
    """Record what became of a change: by this, and at once, it has ended. OSError where that is not possible."""
    system.make_private_directory(STATE_DIRECTORY)
    system.make_private_directory(HISTORY)
    system.write_file(history_path(checkpoint.id), dump(checkpoint), 0o600)


def tidy(system: System) -> None:
    """Remove what ended changes have left, but for the latest few records. OSError where that is not possible."""
    system.remove(PENDING_PATH)
    for identifier in identifiers(system)[:-KEPT]:
        system.remove(history_path(identifier))


def remove_program(system: System) -> None:
    """Remove what would take a change back, once no clock is left that would start it. OSError as above."""
    system.remove(PROGRAM)


def identifiers(system: System) -> List[str]:
    """The ids of the changes that have ended, in order of time."""
    return [name[: -len(".json")] for name in system.names(HISTORY) if name.endswith(".json")]


def next_number(system: System) -> int:
    """The number of the next change: one more than that of the latest."""
    numbers = [name.partition("-")[0] for name in identifiers(system)]
    return max([int(number) for number in numbers if number.isdecimal()] or [0]) + 1


def read_ended(system: System, identifier: str) -> Optional[Checkpoint]:
    """A change that has ended; None where there is none of this id."""
    text = system.read(history_path(identifier))
    return None if text is None else load(history_path(identifier), text)


def summaries(system: System) -> Tuple[Optional[ChangeSummary], Optional[ChangeSummary]]:
    """What is pending, and what ended last. A record that cannot be read is told as one: looking must not fail."""
    try:
        pending = read_pending(system)
    except NetfleetError as error:
        return _unreadable(error), None
    now = waiting(system, pending) if pending else None
    ended = identifiers(system)
    try:
        last = read_ended(system, ended[-1]) if ended else None
    except NetfleetError as error:
        return now, _unreadable(error)
    return now, last.summary if last else None


def _unreadable(error: NetfleetError) -> ChangeSummary:
    return ChangeSummary("", outcome=UNREADABLE, why=str(error))
