# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""FRR of a host, brought to a configuration without its sessions being dropped, and back to what stood there before.

A configuration is checked by FRR itself before it goes live, and applied by its difference to what runs. FRR is
restarted only where a daemon that is needed does not run. It is a change as any other: recorded and armed, by itself or
as a part of one that is pending. Its files are what FRR runs by, so they are new while the change waits; a boot
that comes in between gives the former ones back before FRR starts. Pure but for the System that is handed in.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._baseline import STATE_DIRECTORY
from ansible_collections.netfleet.tcp.plugins.module_utils._begin import Terms, begin, going_on, new_summary, recover
from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint import Checkpoint, Things, joined
from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint_store import boot_id, uptime
from ansible_collections.netfleet.tcp.plugins.module_utils._confirmed import LOCK_SECONDS, finish, taken_back
from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._desired import is_ours
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._files import put
from ansible_collections.netfleet.tcp.plugins.module_utils._frr import (
    CONFIGURATION,
    DAEMONS,
    DAEMONS_FILE,
    INSTALL,
    needs_restart,
    statements,
    switches,
    wanted_files,
    wanted_routing,
    with_switches,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._frr_daemon import (
    LIBRARY,
    RELOAD,
    bring,
    must_run,
    routing_of,
    routing_to_give_back,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._model import (
    Change,
    ChangeSummary,
    FileState,
    Routing,
    from_wire,
    to_wire,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._plan import describe_file
from ansible_collections.netfleet.tcp.plugins.module_utils._secrets import Vault
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System

# What its changes are called by in the records of a host.
DECLARATION = "frr"
# What FRR checks before anything is changed.
CANDIDATE = CONFIGURATION + ".netfleet-tcp"
BEFORE = STATE_DIRECTORY + "/frr.json"
_CHECK = ("vtysh", "-C", "-f", CANDIDATE)
_SUBJECT = "routing"


@dataclass(frozen=True)
class FrrOutcome:
    """before, after: the files. restarted: daemons were started or ended, which no running session outlives.

    changes: what was changed, in words. pending: the change that waits to be confirmed.
    """

    before: Tuple[FileState, FileState]
    after: Tuple[FileState, FileState]
    restarted: bool = False
    changes: Tuple[Change, ...] = ()
    warnings: Tuple[str, ...] = ()
    pending: Optional[ChangeSummary] = None

    @property
    def changed(self) -> bool:
        return self.before != self.after or self.restarted


@dataclass(frozen=True)
class _Step:
    """From what to what. record: the file that remembers the state from before, as it is to be; None: as it is."""

    present: Tuple[FileState, FileState]
    wanted: Tuple[FileState, FileState]
    have: Routing
    want: Routing
    reason: str
    record: Optional[FileState] = None

    @property
    def outcome(self) -> FrrOutcome:
        return FrrOutcome(self.present, self.wanted, needs_restart(self.want, self.have), tuple(self._changes()))

    def _changes(self) -> Iterator[Change]:
        if needs_restart(self.want, self.have):
            want, have = (", ".join(each.daemons) or "nothing" for each in (self.want, self.have))
            yield Change(_SUBJECT, "FRR", want, have, reason=self.reason)
        for before, after in zip(self.present, self.wanted):
            if before != after:
                yield Change("file", after.path, describe_file(after), describe_file(before), reason=self.reason)


def configure(
    system: System, text: str, replace_foreign: bool, check_mode: bool, terms: Optional[Terms] = None
) -> FrrOutcome:
    """Bring FRR to a configuration. HostError where it is not installed, somebody else's, or refuses the text.

    With a window, it waits to be confirmed, or the host takes it back.
    """
    return _changed(system, lambda: _to_configure(system, text, replace_foreign, check_mode), check_mode, terms)


def deconfigure(system: System, check_mode: bool, terms: Optional[Terms] = None) -> FrrOutcome:
    """Bring back what stood there before; nothing happens where the configuration is not ours."""
    return _changed(system, lambda: _to_deconfigure(system), check_mode, terms)


def frr_result(outcome: FrrOutcome) -> Dict[str, Any]:
    """The result of the module."""
    answer = {
        "changed": outcome.changed,
        "restarted": outcome.restarted,
        "changes": [to_wire(change) for change in outcome.changes],
        "warnings": list(outcome.warnings),
        "diff": [
            {
                "before_header": before.path,
                "after_header": after.path,
                # Somebody else's may have passwords of neighbors in it.
                "before": Vault().mask_file(before.path, before.text),
                "after": Vault().mask_file(after.path, after.text),
            }
            for before, after in zip(outcome.before, outcome.after)
            if before != after
        ],
    }
    return {**answer, "pending": to_wire(outcome.pending)} if outcome.pending else answer


def _to_configure(system: System, text: str, replace_foreign: bool, check_mode: bool) -> _Step:
    present = _files(system)
    configuration, daemons = present
    wanted = wanted_files(present, text)
    want = wanted_routing(wanted[1].text)
    if daemons.kind == "absent" and check_mode:
        return _Step(present, wanted, Routing(), want, "declared")
    if daemons.kind == "absent":
        raise host_error(DAEMONS_FILE, "is not there", INSTALL)
    if RELOAD not in ["%s/%s" % (LIBRARY, name) for name in system.names(LIBRARY)]:
        raise host_error(RELOAD, "is not there", INSTALL)
    if not replace_foreign:
        _refuse_foreign(system, configuration)
    return _Step(present, wanted, routing_of(system), want, "declared", _to_remember(system, present))


def _to_deconfigure(system: System) -> _Step:
    present = _files(system)
    configuration, daemons = present
    have = routing_of(system)
    if not is_ours(configuration):
        return _Step(present, present, have, have, "")
    before = _remembered(system)
    wanted = (
        replace(configuration, text=str(before.get("configuration", ""))),
        replace(daemons, text=with_switches(daemons.text, before.get("daemons") or dict.fromkeys(DAEMONS, "no"))),
    )
    # Daemons that are not wanted any more end with the restart, and with them their routes.
    remembered = before.get("routing")
    want = from_wire(Routing, remembered) if remembered else wanted_routing(wanted[1].text)
    return _Step(present, wanted, have, want, "no link needs it any more", FileState(BEFORE))


def _changed(system: System, to_do: Callable[[], _Step], check_mode: bool, terms: Optional[Terms]) -> FrrOutcome:
    terms = terms or Terms()
    with system.lock(LOCK_SECONDS):
        if check_mode:
            return to_do().outcome
        warnings = [] if terms.amends else recover(system)
        with going_on(system, terms) as earlier:
            step = to_do()
            if not step.outcome.changed:
                return replace(step.outcome, warnings=tuple(warnings), pending=earlier.summary if earlier else None)
            _check(system, step.wanted[0])
            pending, said = _go_live(system, step, terms, earlier)
        waits = pending.summary if terms.window else None
        return replace(step.outcome, warnings=(*warnings, *said), pending=waits)


def _go_live(system: System, step: _Step, terms: Terms, earlier: Optional[Checkpoint]) -> Tuple[Checkpoint, List[str]]:
    """The change, begun and made; and warnings of its end, where it is final at once."""
    files = [*([step.record] if step.record else []), *step.wanted]
    own = Checkpoint(
        summary=new_summary(system, DECLARATION, terms),
        before=Things(
            files={state.path: system.file_state(state.path) for state in files},
            routing=routing_to_give_back(system),
        ),
        after=Things(files={state.path: state for state in files}, routing=step.want),
        boot=boot_id(system),
        due=uptime(system) + terms.seconds,
        # FRR reads them as soon as it is told: a boot has to give them back.
        writing=True,
        changes=step.outcome.changes,
    )
    pending = joined(earlier, own)
    try:
        begin(system, pending, terms)
        for state in files:
            if system.file_state(state.path) != state:
                put(system, state)
        bring(system, step.want)
        return (pending, []) if terms.window else finish(system, pending)
    except BaseException as error:
        # Whatever it was: never leave a host half changed.
        raise taken_back(system, error) from error


def _check(system: System, configuration: FileState) -> None:
    """HostError, with nothing changed, where FRR does not take the configuration."""
    put(system, replace(configuration, path=CANDIDATE))
    try:
        must_run(system, _CHECK, "FRR does not take the configuration")
    finally:
        put(system, FileState(CANDIDATE))


def _files(system: System) -> Tuple[FileState, FileState]:
    return system.file_state(CONFIGURATION), system.file_state(DAEMONS_FILE)


def _refuse_foreign(system: System, configuration: FileState) -> None:
    """Somebody else's routing is not overwritten."""
    if configuration.kind not in ("absent", "file"):
        raise host_error(CONFIGURATION, "is no regular file", "move it away")
    found = statements(configuration.text)
    if found and not is_ours(configuration):
        text = "routes already, and is not of this collection: %s" % "; ".join(found[:3])
        raise host_error(CONFIGURATION, text, "remove it, or replace it with wireguard_links_replace_frr: true")
    for name in ("zebra.conf", *("%s.conf" % daemon for daemon in DAEMONS)):
        path = "/etc/frr/" + name
        if statements(system.read(path) or ""):
            cure = "move it into frr.conf, remove it, or replace it with wireguard_links_replace_frr: true"
            raise host_error(path, "configures this daemon by itself", cure)


def _to_remember(system: System, present: Tuple[FileState, FileState]) -> Optional[FileState]:
    configuration, daemons = present
    if is_ours(configuration) or system.read(BEFORE) is not None:
        return None
    data = {
        "configuration": configuration.text,
        "daemons": switches(daemons.text),
        "routing": to_wire(routing_to_give_back(system)),
    }
    return FileState(BEFORE, "file", 0o600, json.dumps(data) + "\n")


def _remembered(system: System) -> Dict[str, Any]:
    try:
        found = json.loads(system.read(BEFORE) or "{}")
        return found if isinstance(found, dict) else {}
    except ValueError as error:
        cure = "mend it, or remove it to leave FRR without a configuration"
        raise host_error(BEFORE, "cannot be read: %s" % error, cure) from error
