# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Begins a change: recorded and armed before anything of it is done, or made a part of the one that is pending.

So all that a run changes on a host, step by step, has one record and one clock, and is confirmed or taken back as one.
Pure but for the System that is handed in.
"""

from __future__ import annotations

import contextlib
from typing import Iterator, List, Optional

from ansible_collections.netfleet.tcp.plugins.module_utils._boot_recovery import arm_boot
from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint import INTERRUPTED, Checkpoint, describe_wait
from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint_store import (
    is_over,
    never_begun,
    next_number,
    read_ended,
    read_pending,
    waiting,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._confirmed import must_write_pending, taken_back
from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError, host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._model import ChangeSummary
from ansible_collections.netfleet.tcp.plugins.module_utils._revert import clean_up, revert, utc
from ansible_collections.netfleet.tcp.plugins.module_utils._revert_timer import arm, disarm
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System

# Seconds after which a change that needs no confirmation is taken back: its run was killed half-way.
AT_ONCE = 120


@dataclass(frozen=True)
class Terms:
    """How a change is made. window: seconds to confirm it in, 0: final at once. author, run: as in ChangeSummary.

    amends: the id of the pending change that it is to be a part of.
    """

    window: int = 0
    author: str = ""
    run: str = ""
    amends: str = ""

    @property
    def seconds(self) -> int:
        """Until it is taken back, unless it has ended."""
        return self.window or AT_ONCE


def recover(system: System) -> List[str]:
    """Settle what an earlier run has left: a change of which nobody will take care any more is taken back."""
    pending = read_pending(system)
    if pending is None:
        clean_up(system)
        return []
    if pending.summary.window and not is_over(system, pending) and not never_begun(system):
        text = describe_wait(waiting(system, pending))
        raise host_error("change %s" % pending.id, text, "wait until it is confirmed or taken back, then run again")
    # We hold the lock, so the run that was to finish it is dead; its clock may be, or may just not have come to it.
    found = revert(system, INTERRUPTED, stop_clock=lambda: disarm(system))
    if found and not found.ended:
        raise HostError(found.problems)
    ended = found.change.summary if found else pending.summary
    return ["change %s of an earlier run was %s: %s" % (ended.id, ended.outcome, ended.why)]


def new_summary(system: System, declaration: str, terms: Terms) -> ChangeSummary:
    """A change that begins now. Its id sorts after those of earlier ones, whatever was done to the clock."""
    now = utc(system.now())
    number = next_number(system)
    identifier = "%06d-%s" % (number, now.replace("-", "").replace(":", ""))
    return ChangeSummary(identifier, declaration, terms.author, terms.run, now, window=terms.window)


@contextlib.contextmanager
def going_on(system: System, terms: Terms) -> Iterator[Optional[Checkpoint]]:
    """The pending change that another is to be a part of; None for one by itself. Whatever fails takes it back.

    HostError where it is not pending any more.
    """
    if not terms.amends:
        yield None
        return
    earlier = _still_pending(system, terms.amends)
    try:
        yield earlier
    except BaseException as error:
        # The part itself may have taken it back already.
        if read_pending(system) is None:
            raise
        raise taken_back(system, error) from error


def _still_pending(system: System, identifier: str) -> Checkpoint:
    pending = read_pending(system)
    if pending is not None and pending.id == identifier and not is_over(system, pending):
        return pending
    ended = read_ended(system, identifier)
    became = "%s: %s" % (ended.summary.outcome, ended.summary.why) if ended else "its time is over"
    raise host_error("change %s" % identifier, "cannot be gone on with; %s" % became, "run again")


def begin(system: System, pending: Checkpoint, terms: Terms) -> None:
    """Record a change and arm its revert. HostError where that cannot be done: then nothing may be changed."""
    must_write_pending(system, pending)
    how = "the clock that runs already"
    if not terms.amends:
        # Both: the clock dies with a boot. Where /etc cannot be written, that shows before anything is changed.
        how = arm(system, terms.seconds)
        arm_boot(system)
    system.log(
        "change %s by %s: %d changes, taken back in %d s by %s unless confirmed"
        % (pending.id, terms.author or "somebody", len(pending.changes), terms.seconds, how)
    )
    for change in pending.changes:
        # What was there before and is to be, without secrets: for whoever has but the host's journal.
        words = (pending.id, change.subject, change.key, change.running, change.want)
        system.log("change %s: %s %s: %s -> %s" % words)
