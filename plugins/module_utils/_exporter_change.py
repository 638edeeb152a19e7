# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings the exporter of a host to its declared state, or takes it away with all that came with it.

It is no change of TCP: it is not among those that rollback takes back, and needs no confirmation. Whatever fails leaves
the host as it was. Pure but for the System that is handed in.
"""

from __future__ import annotations

import contextlib
import json
import posixpath
import sys
import time
from dataclasses import replace
from typing import Any, Callable, Dict, List, Optional, Tuple

# Imported here, so that Ansible takes it along to the host.
from ansible_collections.netfleet.tcp.plugins.module_utils import _exporter_main
from ansible_collections.netfleet.tcp.plugins.module_utils._baseline import STATE_DIRECTORY
from ansible_collections.netfleet.tcp.plugins.module_utils._bundle import as_text, bundle, main_of, needed, own_sources
from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError, Problem, host_error, way_back
from ansible_collections.netfleet.tcp.plugins.module_utils._exporter_model import (
    FILE_NAME,
    PROGRAM,
    SETTINGS,
    ExporterSettings,
    dump,
    is_directory,
    load,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._exporter_units import SERVICE, TIMER, units, without_units
from ansible_collections.netfleet.tcp.plugins.module_utils._files import put
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Change, FileState, to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._node_exporter import (
    DEFAULTS,
    DIRECTORY,
    UNIT,
    directories_of,
    missing_flags,
    wanted_words,
    with_words,
    without_ours,
    words_before,
    words_of,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._plan import describe_file, same_file
from ansible_collections.netfleet.tcp.plugins.module_utils._record_file import FORMAT, read_record
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System, systemd_runs

# What stood there before.
BEFORE = STATE_DIRECTORY + "/exporter-before.json"
LOCK_SECONDS = 30.0
_PYTHON = "/usr/bin/python3"
_INSTALL = (
    "install prometheus-node-exporter; or, where another one runs, say tcp_monitoring_node_exporter_flags: false, and "
    "give it the flags of docs/monitoring.md"
)
# Seconds in which a service that does not like its flags has ended.
_MOMENT = 1.0
_UNITS = "/etc/systemd/"


@dataclass(frozen=True)
class Wanted:
    """The exporter as it shall be. settings.directory: empty for node_exporter's own.

    flags: whether node_exporter's flags are ours to set.
    """

    settings: ExporterSettings
    flags: bool = True


@dataclass(frozen=True)
class _Remembered:
    """original, written: the text of DEFAULTS from before us, and as we left it. made: the directory that we made."""

    original: str = ""
    written: str = ""
    made: str = ""


@dataclass(frozen=True)
class _Step:
    """From what to what. runs: whether the timer does; shall_run: whether it is to.

    make, remove: the directory to be made, or to be removed if it is empty. left: what was there of the files that the
    exporter itself writes. reads: the directory that node_exporter is to read, where its flags are ours. lacks: the
    flags that its process has not, though its file has them.
    """

    present: Tuple[FileState, ...]
    wanted: Tuple[FileState, ...]
    runs: bool
    shall_run: bool
    make: str = ""
    remove: str = ""
    left: Tuple[FileState, ...] = ()
    reads: str = ""
    lacks: Tuple[str, ...] = ()

    @property
    def pairs(self) -> List[Tuple[FileState, FileState]]:
        """The files that differ, as they are and as they shall be."""
        return [(have, want) for have, want in zip(self.present, self.wanted) if not same_file(have, want)]

    @property
    def changes(self) -> List[Change]:
        """What there is to do, in words."""
        found = [Change("file", want.path, describe_file(want), describe_file(have)) for have, want in self.pairs]
        if self.make:
            found.append(Change("directory", self.make, "directory", "absent"))
        if self.runs != self.shall_run:
            found.append(Change("service", TIMER, _active(self.shall_run), _active(self.runs)))
        if self.lacks:
            found.append(Change("service", UNIT, *_with_flags(self.lacks)))
        return found


def bring(
    system: System, wanted: Wanted, check_mode: bool, sleep: Callable[[float], None] = time.sleep
) -> Dict[str, Any]:
    """Have the exporter run; the result of the module. HostError, with everything as it was, where it does not."""
    return _changed(system, lambda: _to_bring(system, wanted), check_mode, sleep)


def take_away(system: System, check_mode: bool, sleep: Callable[[float], None] = time.sleep) -> Dict[str, Any]:
    """Take the exporter away, with its metrics and, as far as they are ours, node_exporter's flags."""
    return _changed(system, lambda: _to_take_away(system), check_mode, sleep)


def _changed(
    system: System, to_do: Callable[[], _Step], check_mode: bool, sleep: Callable[[float], None]
) -> Dict[str, Any]:
    if not system.facts()["root"]:
        raise host_error("", "changing a host needs root", "use become")
    if check_mode:
        return _result(to_do(), [])
    with system.lock(LOCK_SECONDS):
        step = to_do()
        return _result(step, _apply(system, step, sleep) if step.changes else [])


def _to_bring(system: System, wanted: Wanted) -> _Step:
    if not systemd_runs(system):
        raise host_error("", "systemd does not run here, whose timer would run the exporter", "leave this host out")
    defaults, remembered = system.file_state(DEFAULTS), _remembered(system)
    old = remembered or _Remembered()
    original = _original(system, defaults, remembered) if wanted.flags or old.written else defaults.text
    text, directory = _flags(system, wanted, defaults, original)
    make = _to_make(system, directory)
    record = replace(old, made=make or old.made)
    if not wanted.flags:
        record = replace(record, original="", written="")
    elif text != defaults.text or (text != original and not old.written):
        record = replace(record, original=original, written=text)
    states = [
        # First: that the exporter is there without it says that it was lost.
        _record(record),
        FileState(PROGRAM, "file", 0o600, _program()),
        FileState(SETTINGS, "file", 0o600, dump(replace(wanted.settings, directory=directory))),
        *units(_python(system), directory, wanted.settings.interval),
    ]
    if defaults.kind == "file":
        states.append(replace(defaults, text=text))
    # One that was in another directory would be read for ever.
    former = _former_text_file(system)
    if former and former != "%s/%s" % (directory, FILE_NAME):
        states.append(FileState(former))
    text_file = system.file_state("%s/%s" % (directory, FILE_NAME))
    step = replace(_step(system, states, True, make), left=(text_file,), reads=directory if wanted.flags else "")
    if not wanted.flags or text != defaults.text:
        return step
    # A run that was killed before it had node_exporter take them has left them in the file alone.
    return replace(step, lacks=tuple(_lacks(system, directory) or ()))


def _flags(system: System, wanted: Wanted, defaults: FileState, original: str) -> Tuple[str, str]:
    """The text of DEFAULTS as it shall be, and the directory that node_exporter then reads."""
    directory, text = wanted.settings.directory, original
    if wanted.flags:
        if defaults.kind != "file":
            raise host_error(DEFAULTS, "is %s" % describe_file(defaults), _INSTALL)
        words = words_of(original)
        directory = directory or (directories_of(words) or [DIRECTORY])[0]
        if directory not in directories_of(words_of(defaults.text)):
            _hide_nothing(system, words, directory)
        text = with_words(original, wanted_words(words, directory))
        if sorted(words_of(text)) == sorted(words_of(defaults.text)):
            # Theirs may stand in another order by now.
            text = defaults.text
    elif defaults.kind == "file" and not directory:
        # As far as they can be understood: they are not ours to complain of.
        with contextlib.suppress(HostError):
            directory = next(iter(directories_of(words_of(text))), "")
    directory = directory or DIRECTORY
    if not is_directory(directory):
        cure = "change that flag" if wanted.flags else "set tcp_monitoring_directory"
        raise host_error(DEFAULTS, "%r can be no directory for text files" % directory, cure)
    return text, directory


def _to_make(system: System, directory: str) -> str:
    """The directory where it is to be made; empty where it is there."""
    if system.file_state(directory).kind != "absent":
        return ""
    parent = posixpath.dirname(directory)
    if parent != "/" and system.file_state(parent).kind == "absent":
        # Whatever it is to be, a mount as likely as not, it is nothing of ours.
        raise host_error(directory, "cannot be made, since %s is missing" % parent, "make it, or name another one")
    return directory


def _hide_nothing(system: System, words: List[str], directory: str) -> None:
    """HostError where text files of others are in the directory that is built in, and would be read no more."""
    if directories_of(words) or directory == DIRECTORY:
        return
    others = [name for name in system.names(DIRECTORY) if name.endswith(".prom") and name != FILE_NAME]
    if others:
        problem = "names no directory, so that node_exporter reads %s, and %s in there would be missing"
        cure = "leave tcp_monitoring_directory empty, or move what is in there"
        raise host_error(DEFAULTS, problem % (DIRECTORY, ", ".join(others[:3])), cure)


def _original(system: System, defaults: FileState, remembered: Optional[_Remembered]) -> str:
    """The text of DEFAULTS without what we added to it. It is read only where there may be something of ours in it."""
    if defaults.kind != "file" or (remembered and not remembered.written):
        return defaults.text
    if remembered is None:
        # The same counters may be somebody's own, who has them from the documentation.
        was_here = system.file_state(SETTINGS).kind != "absent"
        return with_words(defaults.text, without_ours(words_of(defaults.text))) if was_here else defaults.text
    if defaults.text == remembered.written:
        return remembered.original
    # Edited since.
    before, wrote = (words_of(text) for text in (remembered.original, remembered.written))
    return with_words(defaults.text, words_before(words_of(defaults.text), before, wrote))


def _to_take_away(system: System) -> _Step:
    defaults, remembered = system.file_state(DEFAULTS), _remembered(system)
    former = _former_text_file(system) or "%s/%s" % (DIRECTORY, FILE_NAME)
    states = [*without_units(), FileState(former), FileState(PROGRAM), FileState(SETTINGS), FileState(BEFORE)]
    if defaults.kind == "file":
        states.insert(0, replace(defaults, text=_original(system, defaults, remembered)))
    step = _step(system, states, False)
    return replace(step, remove=remembered.made) if remembered else step


def _step(system: System, states: List[FileState], shall_run: bool, make: str = "") -> _Step:
    runs = system.run(["systemctl", "is-active", "--quiet", TIMER])[0] == 0
    return _Step(tuple(system.file_state(state.path) for state in states), tuple(states), runs, shall_run, make)


def _apply(system: System, step: _Step, sleep: Callable[[float], None]) -> List[str]:
    """Do it; returns warnings. HostError, with everything as it was, where any of it fails."""
    serves = system.run(["systemctl", "is-active", "--quiet", UNIT])[0] == 0
    try:
        return _go(system, step, serves, sleep)
    except BaseException as error:
        # Whatever it was: never leave a host half changed.
        problems = list(error.problems) if isinstance(error, HostError) else [Problem("", str(error) or repr(error))]
        back = _back(system, step, serves, sleep)
        raise HostError([*problems, *(back or [Problem("", "everything was restored")])]) from error


def _go(system: System, step: _Step, serves: bool, sleep: Callable[[float], None]) -> List[str]:
    paths = [want.path for _have, want in step.pairs]
    if not step.shall_run and (step.runs or any(path.endswith(TIMER) for path in paths)):
        _systemctl(system, "stop", TIMER, SERVICE)
    if step.shall_run:
        _make(system, step.make)
    for _have, want in step.pairs:
        put(system, want)
    if any(path.startswith(_UNITS) for path in paths):
        _systemctl(system, "daemon-reload")
    if step.shall_run:
        # Once now: what keeps it from working is seen here, and not by the alert.
        _systemctl(system, "start", SERVICE)
        _systemctl(system, "restart", TIMER)
    warnings = _serve(system, step.reads, serves, sleep) if DEFAULTS in paths or step.lacks else []
    if not step.shall_run:
        for directory in filter(None, (step.remove, STATE_DIRECTORY)):
            system.remove_empty_directory(directory)
        _forget_failures(system)
    return warnings


def _make(system: System, directory: str) -> None:
    try:
        system.make_private_directory(STATE_DIRECTORY)
        if directory:
            system.make_open_directory(directory)
    except OSError as error:
        text = "cannot be made: %s" % (error.strerror or error)
        raise host_error(directory or STATE_DIRECTORY, text, "make it, or name another one") from error


def _serve(system: System, reads: str, serves: bool, sleep: Callable[[float], None]) -> List[str]:
    """Have node_exporter take its flags. HostError where it does not like them, or (reads) does not get them."""
    if not serves:
        return ["%s does not run: nobody reads the metrics" % UNIT]
    _restart(system, "its new flags", sleep)
    lacks = _lacks(system, reads) if reads else []
    if lacks is None:
        return ["%s: its process cannot be seen, nor whether it has its flags" % UNIT]
    if lacks:
        cure = "see systemctl cat %s: its ExecStart= has to hand $ARGS of %s on; or set %s: false"
        cure %= (UNIT, DEFAULTS, "tcp_monitoring_node_exporter_flags")
        raise host_error(UNIT, "runs without %s, though they are in its file" % ", ".join(lacks), cure)
    return []


def _restart(system: System, flags: str, sleep: Callable[[float], None]) -> None:
    """Have node_exporter read its flags, which are called so. HostError where it does not go on with them."""
    since = system.now()
    _systemctl(system, "restart", UNIT)
    sleep(_MOMENT)
    # One that ends is started anew some times, and is active meanwhile.
    shown = system.run(["systemctl", "show", "--property=ActiveState,NRestarts", UNIT])[1].split()
    if "ActiveState=active" not in shown or "NRestarts=0" not in shown:
        raise host_error(UNIT, "ends with %s: %s" % (flags, _last_words(system, UNIT, since)), "see %s" % DEFAULTS)


def _lacks(system: System, directory: str) -> Optional[List[str]]:
    """The flags that node_exporter's process has not; None where there is no process to be seen."""
    shown = system.run(["systemctl", "show", "--property=MainPID", UNIT])[1].split()
    pid = next((word[len("MainPID=") :] for word in shown if word.startswith("MainPID=")), "0")
    text = system.read("/proc/%s/cmdline" % pid) if pid != "0" else None
    return missing_flags(text.split("\0"), directory) if text else None


def _back(system: System, step: _Step, serves: bool, sleep: Callable[[float], None]) -> List[Problem]:
    """The way back; what is wrong with it."""
    problems = []
    if not step.runs:
        # While its unit is there, else the timer would fail. Whether it ran by then does not matter.
        system.run(["systemctl", "stop", TIMER, SERVICE])
        _forget_failures(system)
    for have in (*(have for have, _want in step.pairs), *step.left):
        problems += way_back(lambda have=have: put(system, have))  # type: ignore[misc]
    # These fail where there is nothing of that name any more.
    system.run(["systemctl", "daemon-reload"])
    if step.runs:
        system.run(["systemctl", "restart", TIMER])
    if serves and DEFAULTS in [have.path for have, _want in step.pairs]:
        # Started too often, it would not be started again for a while.
        system.run(["systemctl", "reset-failed", UNIT])
        problems += way_back(lambda: _restart(system, "the flags that %s had before this run" % DEFAULTS, sleep))
    elif step.lacks:
        problems.append(Problem(UNIT, "may have been restarted, with the flags that %s had before this run" % DEFAULTS))
    for directory in filter(None, (step.make, STATE_DIRECTORY)):
        system.remove_empty_directory(directory)
    return problems


def _forget_failures(system: System) -> None:
    """What has failed is remembered by systemd though it is stopped, and though its file is gone."""
    # Fails where there is none.
    system.run(["systemctl", "reset-failed", TIMER, SERVICE])


def _systemctl(system: System, verb: str, *unit: str) -> None:
    since = system.now()
    status, _output, error = system.run(["systemctl", verb, *unit])
    if status != 0:
        told = _last_words(system, unit[0], since) if unit else ""
        text = "systemctl %s fails: %s" % (verb, told or error.strip() or "exit status %d" % status)
        raise host_error(unit[0] if unit else "systemd", text, "see the host's journal")


def _last_words(system: System, unit: str, since: float) -> str:
    """What the unit's own process said last, without what systemd says of it; since: nothing of earlier runs."""
    # What was said just now may not have been written yet.
    system.run(["journalctl", "--sync"])
    argv = ["journalctl", "--quiet", "--no-pager", "--lines=3", "--output=cat", "--since=@%.3f" % since]
    argv.append("_SYSTEMD_UNIT=" + unit)
    return "; ".join(system.run(argv)[1].split("\n")).strip("; ")


def _remembered(system: System) -> Optional[_Remembered]:
    text = system.read(BEFORE)
    cure = "remove it to leave the flags of node_exporter as they are"
    return None if text is None else read_record(_Remembered, BEFORE, text, "what stood there before", cure)


def _record(remembered: _Remembered) -> FileState:
    data = {**to_wire(remembered), "format": FORMAT}
    return FileState(BEFORE, "file", 0o600, json.dumps(data, indent=1, sort_keys=True) + "\n")


def _former_text_file(system: System) -> str:
    """Where the metrics go by the settings that are there; empty where there are none that can be read."""
    text = system.read(SETTINGS)
    try:
        return load(text).text_file if text else ""
    except HostError:
        return ""


def _program() -> str:
    name = _exporter_main.__name__
    return as_text(bundle(needed(own_sources(), name), main_of(name)))


def _python(system: System) -> str:
    """What runs the program: by the name that outlives a new version of Python, where that is the same one."""
    if system.file_state(_PYTHON).target == posixpath.basename(sys.executable):
        return _PYTHON
    return sys.executable


def _active(runs: bool) -> str:
    return "active" if runs else "inactive"


def _with_flags(lacks: Tuple[str, ...]) -> Tuple[str, str]:
    """How node_exporter is to run, and how it does."""
    flags = ", ".join(lacks)
    return "active with " + flags, "active without " + flags


def _result(step: _Step, warnings: List[str]) -> Dict[str, Any]:
    changes = step.changes
    want, have = _with_flags(step.lacks)
    after, before = ({UNIT: want}, {UNIT: have}) if step.lacks else ({}, {})
    return {
        "changed": bool(changes),
        "before": _state(step.present, {**before, TIMER: _active(step.runs)}),
        "after": _state(step.wanted, {**after, TIMER: _active(step.shall_run)}),
        "changes": [to_wire(change) for change in changes],
        "findings": [],
        "warnings": warnings,
        "diff": [
            {
                "before_header": "%s (%s)" % (have.path, describe_file(have)),
                "after_header": "%s (%s)" % (want.path, describe_file(want)),
                "before": _shown(have),
                "after": _shown(want),
            }
            for have, want in step.pairs
        ],
    }


def _state(files: Tuple[FileState, ...], services: Dict[str, str]) -> Dict[str, Dict[str, str]]:
    return {"file": {state.path: describe_file(state) for state in files}, "service": services}


def _shown(state: FileState) -> str:
    """A file's text for people. The program is an archive, and the record has the text of another file in it."""
    if state.path in (PROGRAM, BEFORE):
        return describe_file(state) + "\n" if state.kind == "file" else ""
    return state.text or (state.target and state.target + "\n")
