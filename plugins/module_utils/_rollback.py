# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes changes back that had been final: the latest, or all since (and with) a named one.

Knows nothing of the inventory, which may have changed since: what the host remembers is enough. A rollback is a change
itself, so it is recorded, taken back if it is interrupted, and may be rolled back.
Pure but for the System that is handed in.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Dict, Iterator, List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._baseline import STATE_DIRECTORY
from ansible_collections.netfleet.tcp.plugins.module_utils._begin import AT_ONCE, Terms, new_summary, recover
from ansible_collections.netfleet.tcp.plugins.module_utils._boot_recovery import arm_boot
from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint import (
    CONFIRMED,
    ROLLED_BACK,
    Checkpoint,
    Things,
    all_before,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint_store import (
    boot_id,
    identifiers,
    read_ended,
    settle,
    uptime,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._confirmed import (
    LOCK_SECONDS,
    make_final,
    must_write_pending,
    taken_back,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError, host_error, input_error
from ansible_collections.netfleet.tcp.plugins.module_utils._frr_daemon import routing_to_give_back
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Baseline, Change, ChangeSummary, FileState
from ansible_collections.netfleet.tcp.plugins.module_utils._observe import Request, observe
from ansible_collections.netfleet.tcp.plugins.module_utils._plan import LOADED, UNLOADED, describe_file, same_file
from ansible_collections.netfleet.tcp.plugins.module_utils._qdisc import state_name
from ansible_collections.netfleet.tcp.plugins.module_utils._restore import is_loaded, raw_key, restore
from ansible_collections.netfleet.tcp.plugins.module_utils._revert import clean_up, utc
from ansible_collections.netfleet.tcp.plugins.module_utils._revert_timer import arm, disarm
from ansible_collections.netfleet.tcp.plugins.module_utils._secrets import Vault, without_secrets
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_plan import tunnel_changes
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnels import read_tunnels
from ansible_collections.netfleet.tcp.plugins.module_utils._values import SECRET_KEYS, same_value

LAST = "last"
DECLARATION = "rollback"
# What _confirmation.run_id gives.
_RUN = re.compile(r"[0-9a-f]{8}\Z")


@dataclass(frozen=True)
class RolledBack:
    """What a rollback did, or would do: the changes that it takes back, latest first, and what that makes different.

    summary: of the change that it is itself; None where it was only looked at, or nothing was taken back. missing: why
    nothing is, in words: this host has no part in what was named.
    """

    taken_back: Tuple[str, ...]
    changes: Tuple[Change, ...]
    warnings: Tuple[str, ...] = ()
    summary: Optional[ChangeSummary] = None
    missing: str = ""


def inspect(system: System, to: str) -> RolledBack:
    """What rollback would do, without doing it."""
    undone, missing = _undone(system, to)
    if missing:
        return RolledBack((), (), missing=missing)
    target = all_before(undone)
    changes = tuple(_differences(_present(system, target), target, undone[-1].id))
    return RolledBack(tuple(entry.id for entry in undone), changes)


def rollback(system: System, to: str, terms: Terms) -> RolledBack:
    """Take the latest change back, or all since (and with) the one of this id, or of this run.

    HostError, with everything as it was, where any of it fails; InputError where there is no such change.
    """
    if not system.facts()["root"]:
        raise host_error("", "changing a host needs root", "use become")
    with system.lock(LOCK_SECONDS):
        warnings = recover(system)
        undone, missing = _undone(system, to)
        if missing:
            return RolledBack((), (), tuple(warnings), missing=missing)
        target = all_before(undone)
        present = _present(system, target)
        changes = tuple(_differences(present, target, undone[-1].id))
        pending = Checkpoint(
            summary=new_summary(system, DECLARATION, replace(terms, window=0)),
            before=present,
            after=target,
            boot=boot_id(system),
            due=uptime(system) + AT_ONCE,
            writing=True,
            changes=changes,
        )
        try:
            must_write_pending(system, pending)
            arm(system, AT_ONCE)
            arm_boot(system)
            problems = restore(system, target)
            # A module that a connection uses, perhaps the very one that we came by, stays until its last user closes.
            in_use = [problem for problem in problems if target.modules.get(problem.path) is False]
            if len(in_use) != len(problems):
                raise HostError(problems)
            warnings += [str(problem) for problem in in_use]
            warnings += make_final(system, pending.ended(CONFIRMED, utc(system.now())))
        except BaseException as error:
            # Whatever it was: never leave a host half changed.
            raise taken_back(system, error) from error
        warnings += [str(problem) for problem in clean_up(system, lambda: disarm(system))]
        warnings += [text for entry in undone for text in _mark(system, entry)]
        names = ", ".join(entry.id for entry in undone)
        system.log("change %s by %s: %s taken back" % (pending.id, terms.author or "somebody", names))
        ended = pending.ended(CONFIRMED, utc(system.now())).summary
        return RolledBack(tuple(entry.id for entry in undone), changes, tuple(warnings), ended)


def _undone(system: System, to: str) -> Tuple[List[Checkpoint], str]:
    """The changes to take back, latest first; or why this host has none. InputError where a change's id is wrong.

    What names the changes of many hosts (last, or a run) need not name one of each.
    """
    found = [read_ended(system, name) for name in identifiers(system)]
    kept = [entry for entry in found if entry and entry.summary.outcome == CONFIRMED]
    if to == LAST:
        # A rollback is a change too, and can be taken back by its name; `last` goes on to what came before it.
        kept = [entry for entry in kept if entry.summary.declaration != DECLARATION]
    if not kept and (to == LAST or _RUN.match(to)):
        return [], "this host remembers no change that could be taken back"
    if to == LAST:
        return [kept[-1]], ""
    first = next((number for number, entry in enumerate(kept) if to in (entry.id, entry.summary.run)), None)
    if first is None and _RUN.match(to):
        return [], "nothing of run %s is left on this host to be taken back" % to
    if first is None:
        known = ["%s (run %s)" % (entry.id, entry.summary.run or "-") for entry in kept]
        raise input_error(
            "change", "%r is none that this host could take back" % to, "one of: %s" % (", ".join(known) or "none")
        )
    return kept[first:][::-1], ""


def _present(system: System, target: Things) -> Things:
    """What stands now of the things that the target names."""
    keys = {name: raw_key(system, name) for name in target.keys}
    seen = observe(system, Request(qdiscs=bool(target.qdiscs)), Baseline(), Vault())
    states = {entry.name: state_name(entry) for entry in seen.interfaces}
    return Things(
        keys={name: value for name, value in keys.items() if value is not None},
        qdiscs={name: states[name] for name in target.qdiscs if name in states},
        modules={name: is_loaded(system, name) for name in target.modules},
        files={path: system.file_state(path) for path in target.files},
        tunnels=_tunnels(system, target),
        routing=routing_to_give_back(system) if target.routing else None,
    )


def _tunnels(system: System, target: Things) -> Dict[str, Optional[Tunnel]]:
    found = read_tunnels(system) if target.tunnels else {}
    return {name: found.get(name) for name in target.tunnels}


def _differences(present: Things, target: Things, earliest: str) -> Iterator[Change]:
    reason = "as it was before change %s" % earliest
    for name, loaded in target.modules.items():
        if present.modules.get(name) != loaded:
            words = {True: LOADED, False: UNLOADED}
            yield Change("module", name, words[loaded], words[not loaded], reason=reason)
    for name, value in target.keys.items():
        running = present.keys.get(name)
        if running is not None and not same_value(name, running, value):
            secret = name in SECRET_KEYS
            want, have = ("<secret %s>" % name, "<another secret %s>" % name) if secret else (value, running)
            yield Change("sysctl", name, want, have, reason=reason)
    for name, kind in target.qdiscs.items():
        if present.qdiscs.get(name, kind) != kind:
            yield Change("qdisc", name, kind, present.qdiscs[name], reason=reason)
    yield from _tunnel_differences(present, target, reason)
    for path, state in target.files.items():
        if path.startswith(STATE_DIRECTORY):
            # What is remembered of the values from before goes along, and is nobody's concern.
            continue
        there = present.files.get(path, FileState(path))
        if not same_file(there, state):
            yield Change("file", path, describe_file(state), describe_file(there), reason=reason, takes_effect="reboot")


def _tunnel_differences(present: Things, target: Things, reason: str) -> Iterator[Change]:
    for name, tunnel in target.tunnels.items():
        have = without_secrets(present.tunnels.get(name))
        yield from tunnel_changes(without_secrets(tunnel), have, settled=False, reason=reason)


def _mark(system: System, entry: Checkpoint) -> List[str]:
    """Remember that a change was taken back, so that the next rollback takes an earlier one."""
    try:
        settle(system, replace(entry, summary=replace(entry.summary, outcome=ROLLED_BACK)))
    except OSError as error:
        return ["change %s is taken back, but its record cannot say so: %s" % (entry.id, error)]
    return []
