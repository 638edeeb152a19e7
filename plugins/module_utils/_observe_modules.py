# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel modules of a host: loaded, loadable, loaded by the next boot, and what keeps that from doing so.

Sources: modprobe.d(5), modules-load.d(5), systemd's module-util.c (it honours blacklists).
"""

from __future__ import annotations

import re
from typing import Dict, Iterable, Iterator, List, Mapping, Sequence, Set, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._model import ModuleState
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System

# Highest precedence first, in both.
_MODPROBE_DIRECTORIES = (
    "/etc/modprobe.d",
    "/run/modprobe.d",
    "/usr/local/lib/modprobe.d",
    "/usr/lib/modprobe.d",
    "/lib/modprobe.d",
)
_LOAD_DIRECTORIES = (
    "/etc/modules-load.d",
    "/run/modules-load.d",
    "/usr/local/lib/modules-load.d",
    "/usr/lib/modules-load.d",
    "/lib/modules-load.d",
)
# A unit that is masked (empty, or a link to /dev/null) never runs; /run is empty after a boot.
_LOADER_UNIT = "/etc/systemd/system/systemd-modules-load.service"
_NO_PROGRAM = re.compile(r"(/usr)?/bin/(false|true)\Z")
_ON_COMMAND_LINE = re.compile(r"(?:^|\s)(?:rd\.)?modules[_-]load=(\S+)")
_COMMAND_LINE = "/proc/cmdline"
# The kernel asks for these itself once a key names them, and modprobe then minds no blacklist.
_LOADED_BY_KEYS = ("tcp_", "sch_")


def observe_modules(system: System, names: Sequence[str], facts: Mapping[str, str]) -> Dict[str, ModuleState]:
    """The state of each of the modules. facts: of System.facts."""
    if not names:
        return {}
    loaded = {line.split(" ", 1)[0] for line in (system.read("/proc/modules") or "").splitlines()}
    missing = [name for name in names if name not in loaded]
    directory = "/lib/modules/%s" % facts["kernel"]
    builtin = _mentioned(missing, system.read(directory + "/modules.builtin") or "") if missing else set()
    # modules.dep is the largest file of this visit: read only where something has yet to be found.
    missing = [name for name in missing if name not in builtin]
    locked = (system.read("/proc/sys/kernel/modules_disabled") or "").strip() == "1"
    may_load = bool(facts["init_user_namespace"] and not locked)
    loadable = _mentioned(missing, system.read(directory + "/modules.dep") or "") if missing and may_load else set()
    forbidden, blacklisted = _modprobe_rules(system)
    at_boot = boot_modules(system, names)
    # Where systemd is not, no such unit loads anything, masked or not.
    masked = _LOADER_UNIT if system.read(_LOADER_UNIT) == "" else ""

    def blocker(name: str) -> str:
        by_itself = name.startswith(_LOADED_BY_KEYS)
        return forbidden.get(name) or ("" if by_itself else masked or blacklisted.get(name, ""))

    return {
        name: ModuleState(
            name=name,
            loaded=name in loaded,
            builtin=name in builtin,
            loadable=name in loadable and name not in forbidden,
            boot=at_boot.get(name, ""),
            blocker="" if name in builtin else blocker(name),
        )
        for name in names
    }


def _mentioned(names: Iterable[str], index: str) -> Set[str]:
    return {name for name in names if re.search(r"(^|/)%s\.ko(\.\w+)?(:|$)" % re.escape(name), index, re.MULTILINE)}


def _modprobe_rules(system: System) -> Tuple[Dict[str, str], Dict[str, str]]:
    """file:line by module: those that ``install x /bin/false`` forbids, as hardening guides do; blacklisted ones."""
    forbidden: Dict[str, str] = {}
    blacklisted: Dict[str, str] = {}
    for place, words in _lines(system, _MODPROBE_DIRECTORIES):
        if len(words) > 2 and words[0] == "install" and _NO_PROGRAM.match(words[2]):
            forbidden.setdefault(words[1].replace("-", "_"), place)
        if len(words) > 1 and words[0] == "blacklist":
            blacklisted.setdefault(words[1].replace("-", "_"), place)
    return forbidden, blacklisted


def _lines(system: System, directories: Sequence[str]) -> Iterator[Tuple[str, List[str]]]:
    """(file:line, words) of the configuration files in effect, in order of their names."""
    chosen: Dict[str, str] = {}
    for directory in directories:
        for name in system.names(directory):
            if name.endswith(".conf") and not name.startswith("."):
                chosen.setdefault(name, "%s/%s" % (directory, name))
    for path in [chosen[name] for name in sorted(chosen)]:
        for number, line in enumerate((system.read(path) or "").splitlines(), start=1):
            yield "%s:%d" % (path, number), line.split()


def boot_modules(system: System, names: Sequence[str]) -> Dict[str, str]:
    """file:line of what has the next boot load each of the modules; those that nothing names are left out."""
    found: Dict[str, str] = {}
    wanted: Set[str] = set(names)
    for place, words in _lines(system, _LOAD_DIRECTORIES):
        module = " ".join(words).replace("-", "_")
        if module in wanted:
            found.setdefault(module, place)
    for module in _on_command_line(system):
        if module in wanted:
            found.setdefault(module, "%s:1" % _COMMAND_LINE)
    return found


def _on_command_line(system: System) -> List[str]:
    text = system.read(_COMMAND_LINE) or ""
    lists = [match.group(1) for match in _ON_COMMAND_LINE.finditer(text)]
    return [name.replace("-", "_") for entry in lists for name in entry.split(",")]
