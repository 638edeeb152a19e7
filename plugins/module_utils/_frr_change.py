# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""FRR of a host, brought to a configuration without its sessions being dropped, and back to what stood there before.

A configuration is checked by FRR itself before it goes live, and applied by its difference to what runs. FRR is
restarted only where a daemon that is needed does not run. Pure but for the System that is handed in.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Dict, List, Sequence, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._baseline import STATE_DIRECTORY
from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._desired import is_ours
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError, Problem, host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._frr import (
    CONFIGURATION,
    DAEMONS,
    DAEMONS_FILE,
    INSTALL,
    statements,
    switches,
    with_daemons,
    with_switches,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._model import FileState
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System

# What FRR checks before it takes the place of the configuration. It goes once that is applied: where it is still there,
# a run was killed, and the next one applies the configuration again.
CANDIDATE = CONFIGURATION + ".netfleet-tcp"
BEFORE = STATE_DIRECTORY + "/frr.json"
_LIBRARY = "/usr/lib/frr"
RELOAD = _LIBRARY + "/frr-reload.py"
MODE = 0o640
_RUNNING = ("vtysh", "-c", "show daemons")
_CHECK = ("vtysh", "-C", "-f", CANDIDATE)
# Given another file than FRR's own, it would write over that what runs, in its own words.
_RELOAD = (RELOAD, "--reload", CONFIGURATION)
_ENABLE, _RESTART = ("systemctl", "enable", "frr.service"), ("systemctl", "restart", "frr.service")
_LOCK_SECONDS = 30.0


@dataclass(frozen=True)
class FrrOutcome:
    """before, after: the files. restarted: daemons were started, which no running session outlives."""

    before: Tuple[FileState, FileState]
    after: Tuple[FileState, FileState]
    restarted: bool = False

    @property
    def changed(self) -> bool:
        return self.before != self.after or self.restarted


def configure(system: System, text: str, replace_foreign: bool, check_mode: bool) -> FrrOutcome:
    """Bring FRR to a configuration. HostError where it is not installed, somebody else's, or refuses the text."""
    with system.lock(_LOCK_SECONDS):
        return _configure(system, text, replace_foreign, check_mode)


def _configure(system: System, text: str, replace_foreign: bool, check_mode: bool) -> FrrOutcome:
    present = _files(system)
    configuration, daemons = present
    if daemons.kind == "absent":
        if check_mode:
            return FrrOutcome(present, _wanted(present, text))
        raise host_error(DAEMONS_FILE, "is not there", INSTALL)
    if RELOAD not in ["%s/%s" % (_LIBRARY, name) for name in system.names(_LIBRARY)]:
        raise host_error(RELOAD, "is not there", INSTALL)
    if not replace_foreign:
        _refuse_foreign(system, configuration)
    wanted = _wanted(present, text)
    restart = wanted[1].text != daemons.text or not set(DAEMONS) <= set(running_daemons(system))
    interrupted = system.file_state(CANDIDATE).kind != "absent"
    if check_mode or (wanted == present and not restart and not interrupted):
        return FrrOutcome(present, wanted, restart)
    _remember(system, present)
    _go_live(system, present, wanted, restart)
    return FrrOutcome(present, wanted, restart)


def deconfigure(system: System, check_mode: bool) -> FrrOutcome:
    """Bring back what stood there before; nothing happens where the configuration is not ours."""
    with system.lock(_LOCK_SECONDS):
        present = _files(system)
        configuration, daemons = present
        if not is_ours(configuration):
            return FrrOutcome(present, present)
        before = _remembered(system)
        wanted = (
            replace(configuration, text=str(before.get("configuration", ""))),
            replace(daemons, text=with_switches(daemons.text, before.get("daemons") or dict.fromkeys(DAEMONS, "no"))),
        )
        if not check_mode:
            # Daemons that are not wanted any more end with the restart, and with them their routes.
            _go_live(system, present, wanted, wanted[1].text != daemons.text)
            _remove(system, BEFORE)
        return FrrOutcome(present, wanted, wanted[1].text != daemons.text)


def _files(system: System) -> Tuple[FileState, FileState]:
    return system.file_state(CONFIGURATION), system.file_state(DAEMONS_FILE)


def _wanted(present: Tuple[FileState, FileState], text: str) -> Tuple[FileState, FileState]:
    configuration, daemons = present
    # Owner and group are FRR's own, as its package gave them to the file beside it.
    kept = replace(configuration, kind="file", mode=MODE, text=text, uid=daemons.uid, gid=daemons.gid)
    return kept, replace(daemons, kind="file", text=with_daemons(daemons.text))


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


def running_daemons(system: System) -> Sequence[str]:
    """The daemons of FRR that run; none where it is not installed, or does not answer."""
    status, output, _error = system.run(list(_RUNNING))
    return output.split() if status == 0 else ()


def _remember(system: System, present: Tuple[FileState, FileState]) -> None:
    configuration, daemons = present
    if is_ours(configuration) or system.read(BEFORE) is not None:
        return
    data = {"configuration": configuration.text, "daemons": switches(daemons.text)}
    try:
        system.make_private_directory(STATE_DIRECTORY)
    except OSError as error:
        raise host_error(STATE_DIRECTORY, "cannot be made: %s" % (error.strerror or error)) from error
    _write(system, FileState(BEFORE, "file", 0o600, json.dumps(data) + "\n"))


def _remembered(system: System) -> Dict[str, Dict[str, str]]:
    try:
        found = json.loads(system.read(BEFORE) or "{}")
        return found if isinstance(found, dict) else {}
    except ValueError as error:
        cure = "mend it, or remove it to leave FRR without a configuration"
        raise host_error(BEFORE, "cannot be read: %s" % error, cure) from error


def _go_live(
    system: System, present: Tuple[FileState, FileState], wanted: Tuple[FileState, FileState], restart: bool
) -> None:
    configuration, daemons = wanted
    _write(system, replace(configuration, path=CANDIDATE))
    try:
        _must_run(system, _CHECK, "FRR does not take the configuration")
    except HostError:
        _remove(system, CANDIDATE)
        raise
    try:
        if restart:
            _write(system, daemons)
        _write(system, configuration)
        _apply(system, restart)
    except HostError as error:
        raise HostError([*error.problems, *_back(system, present, restart)]) from error
    _remove(system, CANDIDATE)


def _apply(system: System, restart: bool) -> None:
    system.log("FRR: %s" % ("restarted with a configuration" if restart else "configuration reloaded"))
    if restart:
        _must_run(system, _ENABLE, "FRR could not be enabled")
        _must_run(system, _RESTART, "FRR could not be started")
    else:
        _must_run(system, _RELOAD, "FRR could not be brought to the configuration")


def _back(system: System, present: Tuple[FileState, FileState], restart: bool) -> List[Problem]:
    """After a failure: the files as they were, and FRR with them. What of it fails as well."""
    try:
        for state in present:
            _write(system, state)
        _apply(system, restart)
        _remove(system, CANDIDATE)
    except HostError as error:
        return [Problem(CONFIGURATION, "could not be restored: %s" % error)]
    return []


def _write(system: System, state: FileState) -> None:
    try:
        if state.kind == "absent":
            system.remove(state.path)
        else:
            system.write_file(state.path, state.text, state.mode, (state.uid, state.gid))
    except OSError as error:
        raise host_error(state.path, "cannot be written: %s" % (error.strerror or error)) from error


def _remove(system: System, path: str) -> None:
    _write(system, FileState(path))


def _must_run(system: System, argv: Sequence[str], what: str) -> None:
    status, output, error = system.run(list(argv))
    if status == 127:
        raise host_error(argv[0], "is not installed", INSTALL)
    if status:
        said = [line for line in (error + "\n" + output).splitlines() if line.strip()]
        raise host_error(" ".join(argv), "%s: %s" % (what, "; ".join(said[:3]) or "exit status %d" % status))
