# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends a pending change: it becomes final, once it is known that it still stands, or is taken back.

Pure but for the System that is handed in.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Iterator, List, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils import _qdisc
from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint import CONFIRMED, FAILED, Checkpoint
from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint_store import (
    PENDING_PATH,
    read_ended,
    read_pending,
    settle,
    write_pending,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._clamp_units import announce
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError, Problem, host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._files import put
from ansible_collections.netfleet.tcp.plugins.module_utils._frr_daemon import at_boot, missing
from ansible_collections.netfleet.tcp.plugins.module_utils._hand_over import complete
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Baseline
from ansible_collections.netfleet.tcp.plugins.module_utils._observe import Request, observe
from ansible_collections.netfleet.tcp.plugins.module_utils._plan import same_file
from ansible_collections.netfleet.tcp.plugins.module_utils._restore import raw_key
from ansible_collections.netfleet.tcp.plugins.module_utils._revert import clean_up, revert, utc
from ansible_collections.netfleet.tcp.plugins.module_utils._revert_timer import disarm
from ansible_collections.netfleet.tcp.plugins.module_utils._secrets import Vault, without_secrets
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_plan import tunnel_changes
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnels import read_tunnels
from ansible_collections.netfleet.tcp.plugins.module_utils._values import SECRET_KEYS, same_value

LOCK_SECONDS = 30.0
_IN_USE = "module %s is still in use; it stays loaded until its last user closes or the next reboot"


def confirm(system: System, identifier: str) -> Tuple[Checkpoint, List[str]]:
    """Make a pending change final: look whether it still stands, write its files, stop the clock.

    Returns the change, and warnings. HostError where it is not pending any more, and says what became of it; and, with
    everything restored, where it no longer stands or its files cannot be written.
    """
    with system.lock(LOCK_SECONDS):
        pending = read_pending(system)
        if pending is None or pending.id != identifier:
            ended = read_ended(system, identifier)
            if ended and ended.summary.outcome == CONFIRMED:
                return ended, []
            became = "%s: %s" % (ended.summary.outcome, ended.summary.why) if ended else "nothing is known of it here"
            raise host_error("change %s" % identifier, "cannot be confirmed; %s" % became, "run tune again")
        try:
            complete(system, pending)
            problems = list(_deviations(system, pending))
            if problems:
                raise HostError(problems)
            return finish(system, pending)
        except BaseException as error:
            raise taken_back(system, error) from error


def take_back(system: System, identifier: str, why: str) -> Checkpoint:
    """Take a pending change back at once. HostError where it is not pending."""
    with system.lock(LOCK_SECONDS):
        pending = read_pending(system)
        if pending is None or pending.id != identifier:
            ended = read_ended(system, identifier)
            if ended is None:
                raise host_error("change %s" % identifier, "nothing is known of it on this host")
            return ended
        reverted = revert(system, why, stop_clock=lambda: disarm(system))
        if reverted and not reverted.ended:
            raise HostError(reverted.problems)
        return reverted.change if reverted else pending


def _deviations(system: System, pending: Checkpoint) -> Iterator[Problem]:
    """What of the running kernel is not as the change has set it."""
    after = pending.after
    for name, value in after.keys.items():
        running = raw_key(system, name)
        if not same_value(name, running, value):
            shown = "another value" if name in SECRET_KEYS else "%s, not %s" % (running, value)
            yield Problem(name, "is %s by now" % shown)
    if after.qdiscs:
        seen = observe(system, Request(qdiscs=True), Baseline(), Vault())
        states = {entry.name: _qdisc.state_name(entry) for entry in seen.interfaces}
        for name, kind in after.qdiscs.items():
            if states.get(name) != kind:
                yield Problem(name, "has the qdisc %s by now, not %s" % (states.get(name, "(gone)"), kind))
    tunnels = read_tunnels(system) if after.tunnels else {}
    for name, wanted in after.tunnels.items():
        for change in tunnel_changes(without_secrets(wanted), without_secrets(tunnels.get(name)), settled=True):
            yield Problem(change.key, "is %s by now, not %s" % (change.running, change.want))
    for name in missing(system, after.routing) if after.routing else ():
        yield Problem("FRR", "%s does not run by now" % name)
    given = system.new_socket_congestion_control()
    if pending.congestion_control and given and given != pending.congestion_control:
        yield Problem("congestion control", "a new socket gets %s, not %s" % (given, pending.congestion_control))


def finish(system: System, pending: Checkpoint) -> Tuple[Checkpoint, List[str]]:
    """Write the files, unload what is no longer needed, and make the change final."""
    warnings: List[str] = []
    if pending.after.files:
        pending = replace(pending, writing=True)
        must_write_pending(system, pending)
        for state in pending.after.files.values():
            if not same_file(system.file_state(state.path), state):
                put(system, state)
        left = [path for path, state in pending.after.files.items() if not same_file(system.file_state(path), state)]
        if left:
            raise HostError(Problem(path, "is not as it was written") for path in left)
    if pending.after.routing:
        at_boot(system, pending.after.routing)
    for name, loaded in pending.after.modules.items():
        if not loaded and system.run(["modprobe", "-r", "--", name])[0] != 0:
            warnings.append(_IN_USE % name)
    ended = pending.ended(CONFIRMED, utc(system.now()))
    warnings += make_final(system, ended)
    # Final by now: what follows takes nothing back.
    warnings += [str(problem) for problem in clean_up(system, lambda: disarm(system))]
    warnings += announce(system, pending.after.files)
    system.log("change %s confirmed" % ended.id)
    return ended, warnings


def make_final(system: System, ended: Checkpoint) -> List[str]:
    """Record that a change is final, which makes it so; returns warnings. HostError where that cannot be done."""
    try:
        settle(system, ended)
    except OSError as error:
        # It is final all the same where only the last moment of the write failed (a directory that was not synced).
        if not read_ended(system, ended.id):
            raise host_error(PENDING_PATH, "the change cannot be recorded as final: %s" % error) from error
        return ["the record of change %s may not outlast a power failure: %s" % (ended.id, error)]
    return []


def must_write_pending(system: System, pending: Checkpoint) -> None:
    """Record a change durably before anything of it is done. HostError where that cannot be done."""
    try:
        write_pending(system, pending)
    except OSError as error:
        text = "cannot be written: %s" % (error.strerror or error)
        raise host_error(PENDING_PATH, text, "mend that, then run again") from error


def taken_back(system: System, error: BaseException, outcome: str = FAILED) -> HostError:
    """Take the pending change back after an error, whatever it was, and say so; what could not be undone is named."""
    problems = list(error.problems) if isinstance(error, HostError) else [Problem("", str(error) or repr(error))]
    why = "; ".join(str(problem) for problem in problems)
    reverted = revert(system, why, outcome, stop_clock=lambda: disarm(system))
    if reverted is None or not reverted.problems:
        problems.append(Problem("", "everything was restored; nothing has changed on this host"))
    return HostError([*problems, *(reverted.problems if reverted else ())])
