# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""kube-proxy of a node, brought to a mode, and back to what stood there before where it does not come up.

What stood there is recorded before anything is touched. A change then waits for its end: it is kept, or given back by
whoever has verified it from outside. kube-proxy is never stopped and then started, but told to restart: systemd does
that to its end, whatever becomes of this process.

Where the configuration stands in the API, the same prepares the node and takes residues away; the pod is the API's.

Pure but for the System that is handed in.
"""

from __future__ import annotations

import posixpath
from dataclasses import replace
from functools import partial
from typing import Dict, List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._desired import is_ours
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError, Problem, host_error, way_back
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_cleanup import Cleaned, clean
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_kernel import Tools
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_model import (
    EDITED,
    FileChange,
    ProxyChange,
    ProxyOutcome,
    fingerprint,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_modules import missing_modules
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_node import (
    apply_files,
    apply_sysctls,
    load_modules,
    unload_modules,
    values_of,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_prepare import OWN_FILES, own_files
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_record import (
    CHANGING,
    KEPT,
    MADE,
    STORED,
    Stored,
    read_stored,
    remove_stored,
    write_stored,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_service import (
    Clock,
    Watch,
    is_programmed,
    proxy_mode,
    restart,
    start_of,
    wait_for,
    wait_programmed,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._model import FileState
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System

_LOCK_SECONDS = 30.0
_TAKEN_BACK = "what stood there before was restored"
_UNITS = "/etc/systemd/system/"
# As it is, and as it is to be.
_Difference = Tuple[FileState, FileState]


@dataclass(frozen=True)
class Steps:
    """What a change has to do. files: those that differ; sysctls: by key. former_mode: what runs so far.

    modules: those that are not in the kernel, and why each cannot be loaded, or empty.
    """

    files: Tuple[_Difference, ...]
    modules: Dict[str, str]
    sysctls: Dict[str, str]
    restart: bool
    former_mode: str

    @property
    def nothing(self) -> bool:
        return not (self.files or self.modules or self.sysctls or self.restart)


def change(system: System, want: ProxyChange, check_mode: bool = False, clock: Optional[Clock] = None) -> ProxyOutcome:
    """Bring a node to a mode, or name what would differ.

    HostError where that cannot be: then what stood there before stands there again, or the error says what does not.
    """
    with system.lock(_LOCK_SECONDS):
        return _change(system, want, check_mode, clock or Clock())


def _change(system: System, want: ProxyChange, check_mode: bool, clock: Clock) -> ProxyOutcome:
    # Before what an earlier run has left undone is put back: that was there when the host was looked at.
    _refuse_edited(system, want)
    waiting = read_stored(system)
    steps = _steps(system, want)
    if waiting and not check_mode and not (waiting.stage == MADE and steps.nothing):
        # Whoever made it was killed, or wanted something else and has not ended it.
        _put_back_or_fail(system, waiting, STORED, clock)
        waiting, steps = None, _steps(system, want)
    if check_mode or steps.nothing:
        outcome = _outcome(steps, _cleaned(system, want, check_mode, clock))
        return replace(outcome, id=waiting.id, former_mode=waiting.former_mode) if waiting else outcome
    _refuse_missing(steps.modules)
    stored = _stored(system, want, steps)
    write_stored(system, stored)
    try:
        _make(system, want, steps, clock)
        cleaned = _cleaned(system, want, False, clock)
        made = replace(stored, stage=MADE)
        write_stored(system, made)
    except HostError as error:
        system.log("kube-proxy: taken back, since %s" % error)
        told = _put_back(system, stored, clock) or [Problem("", _TAKEN_BACK)]
        raise HostError([*error.problems, *told]) from error
    return replace(_outcome(steps, cleaned), id=stored.id)


def restore(
    system: System, identifier: str, check_mode: bool = False, clock: Optional[Clock] = None
) -> Optional[ProxyOutcome]:
    """Give back what stood there before a change: the one that waits for its end, or the latest that was kept.

    None where there is no such change: it was given back already. HostError where something could not be restored.
    """
    with system.lock(_LOCK_SECONDS):
        for path in (STORED, KEPT):
            stored = read_stored(system, path)
            if stored and stored.id == identifier:
                break
        else:
            return None
        if path == KEPT and read_stored(system):
            raise host_error("change %s" % identifier, "is not the latest: one waits for its end", "end that first")
        outcome = _way_back(system, stored)
        if not check_mode:
            system.log("kube-proxy: change %s is taken back" % identifier)
            _put_back_or_fail(system, stored, path, clock or Clock())
        return outcome


def keep(system: System, identifier: str, check_mode: bool = False) -> bool:
    """End a change that waits: it stays, and can still be taken back until the next one is kept.

    Whether there was something to end. HostError where this change is neither waiting nor the one that was kept.
    """
    with system.lock(_LOCK_SECONDS):
        stored = read_stored(system)
        if stored is None or stored.id != identifier or stored.stage != MADE:
            kept = read_stored(system, KEPT)
            if stored is None and kept is not None and kept.id == identifier:
                return False
            raise host_error("change %s" % identifier, "does not wait for its end", "run again")
        if not check_mode:
            write_stored(system, stored, KEPT)
            remove_stored(system, STORED)
        return True


def _steps(system: System, want: ProxyChange) -> Steps:
    mode = proxy_mode(system, want.metrics)
    files = tuple(_differences(system, want))
    configured = any(have.path not in OWN_FILES for have, _wanted in files)
    values = values_of(system, want.sysctls)
    return Steps(
        files=files,
        modules=missing_modules(system, want.modules),
        sysctls={key: value for key, value in want.sysctls.items() if values.get(key) != " ".join(value.split())},
        restart=bool(want.path and want.place.unit) and (configured or mode != want.mode),
        former_mode=mode,
    )


def _differences(system: System, want: ProxyChange) -> List[_Difference]:
    """HostError where somebody else's file stands where ours is to be."""
    found: List[_Difference] = []
    texts = own_files(want)
    if want.path:
        texts[want.path] = want.text
    for path, text in texts.items():
        have = _real(system, path)
        if have.kind not in ("file", "absent"):
            raise host_error(path, "is no regular file", "move it away")
        ours = is_ours(have)
        if path in OWN_FILES and text and have.kind == "file" and not ours:
            raise host_error(path, "is somebody else's", "move it away")
        # What is to go goes where it is ours.
        wanted = replace(have, kind="file", mode=have.mode or 0o644, text=text) if text else FileState(have.path)
        if (have.kind, have.text) != (wanted.kind, wanted.text) and (text or ours):
            found.append((have, wanted))
    return found


def _refuse_edited(system: System, want: ProxyChange) -> None:
    """The text was worked out a while ago: what somebody has written since would be lost."""
    text = system.read(want.path) or ""
    if want.was and text != want.text and fingerprint(text) != want.was:
        raise host_error(want.path, EDITED, "run again")


def _real(system: System, path: str) -> FileState:
    """What stands at a path; of a link, what it leads to, so that the link stays."""
    state = system.file_state(path)
    if state.kind == "symlink":
        return system.file_state(posixpath.normpath(posixpath.join(posixpath.dirname(path), state.target)))
    return state


def _refuse_missing(modules: Dict[str, str]) -> None:
    problems = [Problem("module %s" % name, "cannot be loaded: %s" % why) for name, why in modules.items() if why]
    if problems:
        raise HostError(problems)


def _stored(system: System, want: ProxyChange, steps: Steps) -> Stored:
    return Stored(
        id="%d-%s" % (system.now(), want.mode),
        stage=CHANGING,
        former_mode=steps.former_mode,
        unit=want.place.unit if steps.restart else "",
        files=tuple(have for have, _wanted in steps.files),
        modules=tuple(steps.modules),
        sysctls=values_of(system, steps.sysctls),
        wanted=want,
    )


def _make(system: System, want: ProxyChange, steps: Steps, clock: Clock) -> None:
    system.log("kube-proxy: changed to the mode %s" % want.mode)
    load_modules(system, steps.modules)
    apply_sysctls(system, steps.sysctls)
    apply_files(system, [wanted for _have, wanted in steps.files])
    if steps.restart:
        _restart(system, want, want.mode, steps.files, clock)


def _restart(system: System, want: ProxyChange, mode: str, files: Tuple[_Difference, ...], clock: Clock) -> None:
    """Restart kube-proxy and wait until it is up in a mode; without one, it did not answer before either."""
    unit = want.place.unit
    former = start_of(system, unit)
    restart(system, unit, any(have.path.startswith(_UNITS) for have, _wanted in files))
    if mode:
        wait_for(system, unit, former, Watch(mode, want.metrics, want.healthz, want.seconds), clock)


def _cleaned(system: System, want: ProxyChange, check_mode: bool, clock: Clock) -> Cleaned:
    """Residues taken away, where the mode runs that is wanted, and serves; before it does, they are none."""
    if proxy_mode(system, want.metrics) != want.mode:
        return Cleaned()
    if not check_mode:
        wait_programmed(system, want.metrics, want.seconds, clock)
    elif not is_programmed(system, want.metrics):
        return Cleaned()
    tools = Tools(system, want.place.distribution)
    return clean(system, tools, want.mode, want.excluded, check_mode, clock.sleep)


def _outcome(steps: Steps, cleaned: Cleaned) -> ProxyOutcome:
    return ProxyOutcome(
        files=_shown(steps.files),
        modules=tuple(steps.modules),
        sysctls=tuple("%s = %s" % (key, steps.sysctls[key]) for key in sorted(steps.sysctls)),
        restarted=steps.restart,
        former_mode=steps.former_mode,
        removed=cleaned.removed,
        warnings=cleaned.failed,
    )


def _shown(files: Tuple[_Difference, ...]) -> Tuple[FileChange, ...]:
    return tuple(FileChange(have.path, _text(have), _text(wanted)) for have, wanted in files)


def _text(state: FileState) -> Optional[str]:
    return state.text if state.kind == "file" else None


def _way_back(system: System, stored: Stored) -> ProxyOutcome:
    """What restoring is to change."""
    files = _to_restore(system, stored)
    now = values_of(system, stored.sysctls)
    mode = proxy_mode(system, stored.wanted.metrics)
    return ProxyOutcome(
        files=_shown(files),
        modules=stored.modules,
        sysctls=tuple(
            "%s = %s" % (key, value) for key, value in sorted(stored.sysctls.items()) if now.get(key) != value
        ),
        restarted=_is_to_restart(stored, files, mode),
        former_mode=mode,
    )


def _to_restore(system: System, stored: Stored) -> Tuple[_Difference, ...]:
    present = ((system.file_state(state.path), state) for state in stored.files)
    return tuple((have, state) for have, state in present if have != state)


def _is_to_restart(stored: Stored, files: Tuple[_Difference, ...], mode: str) -> bool:
    """It is not where whoever made the change was killed before that came to matter."""
    configured = any(have.path not in OWN_FILES for have, _wanted in files)
    return bool(stored.unit) and (configured or mode != stored.former_mode)


def _put_back_or_fail(system: System, stored: Stored, path: str, clock: Clock) -> None:
    problems = _put_back(system, stored, clock, path)
    if problems:
        raise HostError(problems)


def _put_back(system: System, stored: Stored, clock: Clock, path: str = STORED) -> List[Problem]:
    """Restore what stood there before; what of it failed. Where nothing did, the record of the change goes too."""
    want = stored.wanted
    files = _to_restore(system, stored)
    to_restart = _is_to_restart(stored, files, proxy_mode(system, want.metrics))
    problems: List[Problem] = []
    for _have, state in files:
        problems += way_back(partial(apply_files, system, [state]))
    for key, value in stored.sysctls.items():
        problems += way_back(partial(apply_sysctls, system, {key: value}))
    if to_restart:
        problems += way_back(partial(_restart, system, want, stored.former_mode, files, clock))
    problems += way_back(partial(_clean_again, system, stored, clock))
    # Those that are in use stay; nothing depends on that.
    unload_modules(system, stored.modules)
    return problems or way_back(partial(remove_stored, system, path))


def _clean_again(system: System, stored: Stored, clock: Clock) -> None:
    if stored.former_mode:
        failed = _cleaned(system, replace(stored.wanted, mode=stored.former_mode), False, clock).failed
        if failed:
            raise HostError([Problem("", why) for why in failed])
