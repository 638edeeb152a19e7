# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a declaration has left on this host, read back as the state that is desired here; and what differs from it.

Needs no controller: the baseline of a declaration names its files, the records of changes say what was last written
into them, and the files themselves hold the keys, modules and qdiscs. So it says whether the host still is as it was
made, and never whether the inventory has changed since. What it is judged by is make_plan, as a run would.
Pure but for the System that is handed in.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Dict, Iterator, List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._baseline import STATE_DIRECTORY
from ansible_collections.netfleet.tcp.plugins.module_utils._boot import effective
from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint import CONFIRMED
from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint_store import (
    identifiers,
    read_ended,
    summaries,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import NetfleetError
from ansible_collections.netfleet.tcp.plugins.module_utils._model import (
    ChangeSummary,
    Desired,
    DesiredFile,
    DesiredKey,
    DesiredQdisc,
    FileState,
    Observed,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._observe import Request, load_vault, observe
from ansible_collections.netfleet.tcp.plugins.module_utils._owners import owners
from ansible_collections.netfleet.tcp.plugins.module_utils._plan import UNLOADED, make_plan
from ansible_collections.netfleet.tcp.plugins.module_utils._sysctl_d import NOBODY, parse, rank_of
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System
from ansible_collections.netfleet.tcp.plugins.module_utils._values import SECRET_KEYS, same_value

# Where something differs: in the running kernel, at the next boot, in our files.
RUNNING, BOOT, FILES = "running", "boot", "files"
_BASELINE = ".baseline.json"
_SYSCTL_D, _MODULES_D = "/etc/sysctl.d/", "/etc/modules-load.d/"
_QDISC = re.compile(r"^ExecStart=-/sbin/tc qdisc replace dev (\S+) (?:root|parent \S+) (\S+)$", re.MULTILINE)
# As the template of the role writes it.
_PROFILE = re.compile(r"^# profile: ([a-z_]*); workloads: ([a-z_, ]*)$", re.MULTILINE)


@dataclass(frozen=True)
class Difference:
    """Something that is not as it was made. where: RUNNING, BOOT or FILES; key: a key, interface, module or path."""

    where: str
    key: str


@dataclass(frozen=True)
class Recorded:
    """A declaration on this host, and what differs from it.

    profile, workloads: as its file says; empty where it does not. compared: how many things, by where. differences:
    each once.
    """

    declaration: str
    profile: str
    workloads: str
    compared: Dict[str, int]
    differences: Tuple[Difference, ...]


@dataclass(frozen=True)
class Tuning:
    """What this collection has done to a host, as the host remembers it.

    pending, last: a change that waits, and the latest that has ended; None where there is none.
    """

    declarations: Tuple[Recorded, ...] = ()
    pending: Optional[ChangeSummary] = None
    last: Optional[ChangeSummary] = None


def tuning(system: System) -> Tuning:
    """What was declared here, and how far it still holds. HostError where a record is damaged, or tc fails."""
    written = _last_written(system)
    found = (_recorded(system, name, written) for name in _declarations(system))
    pending, last = summaries(system)
    return Tuning(tuple(each for each in found if each), pending, last)


def _declarations(system: System) -> List[str]:
    return [name[: -len(_BASELINE)] for name in system.names(STATE_DIRECTORY) if name.endswith(_BASELINE)]


def _last_written(system: System) -> Dict[str, FileState]:
    """What each file was left as by the latest change of it that is remembered."""
    found: Dict[str, FileState] = {}
    for identifier in identifiers(system):
        try:
            change = read_ended(system, identifier)
        except NetfleetError:
            # One of another version of this collection: what it wrote is taken from the file itself.
            continue
        if change:
            found.update(change.after.files if change.summary.outcome == CONFIRMED else change.before.files)
    return found


def _recorded(system: System, name: str, written: Dict[str, FileState]) -> Optional[Recorded]:
    baseline, _vault = load_vault(system, name, {})
    files = {path: written.get(path) or system.file_state(path) for path in baseline.files}
    # Of tunnels there is more to compare than files can tell.
    if baseline.tunnels or not any(path.startswith(_SYSCTL_D) for path in files):
        return None
    secrets = {key: value for key, value in _keys(files) if key in SECRET_KEYS}
    baseline, vault = load_vault(system, name, secrets)
    files = {path: replace(state, text=vault.mask_file(path, state.text)) for path, state in files.items()}
    desired = _desired(name, files)
    request = Request(
        keys=tuple(key.name for key in desired.keys),
        files=tuple(files),
        modules=desired.modules,
        qdiscs=bool(desired.qdiscs),
    )
    observed = observe(system, request, baseline, vault)
    observed = replace(observed, owners=owners(system, request.keys))
    said = [match for path in sorted(files) for match in _PROFILE.findall(files[path].text)] or [("", "")]
    profile, workloads = said[0]
    compared = {
        RUNNING: len(desired.keys) + len(desired.modules) + len(desired.qdiscs),
        BOOT: 0 if observed.reader == NOBODY else len(desired.keys) + len(desired.modules),
        FILES: len(files),
    }
    # Gone, and nobody remembers what was in it.
    gone = [Difference(FILES, path) for path, state in files.items() if state.kind not in ("file", "symlink")]
    differences = tuple(dict.fromkeys([*gone, *_differences(desired, observed)]))
    workloads = "" if workloads == "none" else workloads.replace(" ", "")
    return Recorded(name, profile, workloads, compared, differences)


def _keys(files: Dict[str, FileState]) -> Iterator[Tuple[str, str]]:
    """Keys with their values, those of files that sort later after the others."""
    for path in sorted((path for path in files if path.startswith(_SYSCTL_D)), key=rank_of):
        for key, line in parse(path, files[path].text):
            if line.value is not None and not line.glob:
                yield key, line.value


def _desired(name: str, files: Dict[str, FileState]) -> Desired:
    return Desired(
        name=name,
        keys=tuple(DesiredKey(key, value) for key, value in dict(_keys(files)).items()),
        files=tuple(_desired_file(state) for state in files.values() if state.kind in ("file", "symlink")),
        modules=tuple(_modules(files)),
        qdiscs=tuple(_qdiscs(files)),
        boot_conflict="warn",
    )


def _desired_file(state: FileState) -> DesiredFile:
    return DesiredFile(state.path, state.mode, state.text, state.target)


def _modules(files: Dict[str, FileState]) -> List[str]:
    texts = [state.text for path, state in sorted(files.items()) if path.startswith(_MODULES_D)]
    lines = [line.strip() for text in texts for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith(("#", ";"))]


def _qdiscs(files: Dict[str, FileState]) -> List[DesiredQdisc]:
    kinds = {device: kind for state in files.values() for device, kind in _QDISC.findall(state.text)}
    return [DesiredQdisc(device, kind) for device, kind in kinds.items()]


def _differences(desired: Desired, observed: Observed) -> Iterator[Difference]:
    plan = make_plan(desired, observed, settled=True)
    # What is not among them any more is no longer known to be wanted.
    wanted = {key.name for key in desired.keys} | {qdisc.interface for qdisc in desired.qdiscs} | set(desired.modules)
    for change in plan.changes:
        if change.subject == "file":
            yield Difference(FILES, change.key)
        elif change.key in wanted and change.want != UNLOADED:
            yield Difference(RUNNING, change.key)
    gone = {finding.key for finding in plan.findings if finding.subject == "qdisc" and finding.severity == "error"}
    yield from (Difference(RUNNING, key) for key in sorted(gone))
    if observed.reader != NOBODY:
        yield from _at_boot(desired, observed)
        modules = [finding.key for finding in plan.findings if finding.subject == "module"]
        yield from (Difference(BOOT, key) for key in modules)


def _at_boot(desired: Desired, observed: Observed) -> Iterator[Difference]:
    for key in desired.keys:
        line = effective(observed.keys[key.name], observed)
        if line is None or line.value is None or not same_value(key.name, line.value, key.value):
            yield Difference(BOOT, key.name)
