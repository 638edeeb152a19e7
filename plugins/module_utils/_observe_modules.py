# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel modules of a host: loaded, loadable, loaded by the next boot, and what keeps that from doing so.

Sources: modprobe.d(5), modules-load.d(5), systemd's module-util.c (it honours blacklists).
"""

from __future__ import annotations

import fnmatch
import re
from typing import Dict, Iterable, Iterator, List, Mapping, Sequence, Set, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._boot_units import COMMAND_LINE, held_off_by
from ansible_collections.netfleet.tcp.plugins.module_utils._model import ModuleState
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System, systemd_runs

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
_LOADER = "systemd-modules-load"
# A command of install in the place of loading: no program, or a shell that ends at once.
_DOES_NOTHING = re.compile(
    r"(?:(?:/\S*/)?(?:ba|da)?sh\s+-c\s+[\"']?)?\s*(?:(?:/\S*/)?(?:false|true)|:|exit(?:\s+\d+)?)[\"';]*\s*$"
)
_ON_COMMAND_LINE = re.compile(r"(?:^|\s)(?:rd\.)?modules[_-]load=(\S+)")
# The kernel asks for these itself once a key names them, and modprobe then minds no blacklist.
_LOADED_BY_KEYS = ("tcp_", "sch_")
# file:line, and the words of that line
_Rule = Tuple[str, List[str]]


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
    rules = list(_lines(system, _MODPROBE_DIRECTORIES))
    at_boot = boot_modules(system, names)
    held_off = held_off_by(system, _LOADER) if systemd_runs(system) else ""
    forbidden = {name: _forbidden_by(system, name, rules) for name in names}

    def blocker(name: str) -> str:
        by_itself = name.startswith(_LOADED_BY_KEYS)
        return forbidden[name] or ("" if by_itself else held_off or _blacklisted_by(system, name, rules))

    return {
        name: ModuleState(
            name=name,
            loaded=name in loaded,
            builtin=name in builtin,
            loadable=name in loadable and not forbidden[name],
            boot=at_boot.get(name, ""),
            blocker="" if name in builtin else blocker(name),
        )
        for name in names
    }


def _mentioned(names: Iterable[str], index: str) -> Set[str]:
    return {name for name in names if re.search(r"(^|/)%s\.ko(\.\w+)?(:|$)" % re.escape(name), index, re.MULTILINE)}


def _forbidden_by(system: System, name: str, rules: Iterable[_Rule]) -> str:
    """file:line that forbids a module by ``install x /bin/false``, as hardening guides do; the kernel may do so too."""
    if name in _listed(system, "module_blacklist"):
        return COMMAND_LINE
    for place, words in rules:
        if len(words) > 2 and words[0] == "install" and _matches(name, words[1]):
            return place if _DOES_NOTHING.match(" ".join(words[2:])) else ""
    return ""


def _blacklisted_by(system: System, name: str, rules: Iterable[_Rule]) -> str:
    if name in _listed(system, "modprobe.blacklist"):
        return COMMAND_LINE
    lines = (place for place, words in rules if words[:1] == ["blacklist"] and words[1:] and _matches(name, words[1]))
    return next(lines, "")


def _matches(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern.replace("-", "_"))


def _listed(system: System, option: str) -> Set[str]:
    """The modules that an option of the kernel's command line lists."""
    lists = re.findall(r"(?:^|\s)%s=(\S+)" % re.escape(option), system.read(COMMAND_LINE) or "")
    return {name.replace("-", "_") for entry in lists for name in entry.split(",")}


def _lines(system: System, directories: Sequence[str]) -> Iterator[Tuple[str, List[str]]]:
    """(file:line, words) of the configuration files in effect, in order of their names."""
    chosen: Dict[str, str] = {}
    for directory in directories:
        for name in system.names(directory):
            if name.endswith(".conf") and not name.startswith("."):
                chosen.setdefault(name, "%s/%s" % (directory, name))
    for path in [chosen[name] for name in sorted(chosen)]:
        begun: List[str] = []
        for number, line in enumerate((system.read(path) or "").splitlines(), start=1):
            # modprobe.d has lines that go on; in modules-load.d nothing ends so.
            goes_on = line.endswith("\\")
            begun += line.rstrip("\\").split()
            if not goes_on:
                yield "%s:%d" % (path, number), begun
                begun = []


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
            found.setdefault(module, "%s:1" % COMMAND_LINE)
    return found


def _on_command_line(system: System) -> List[str]:
    text = system.read(COMMAND_LINE) or ""
    lists = [match.group(1) for match in _ON_COMMAND_LINE.finditer(text)]
    return [name.replace("-", "_") for entry in lists for name in entry.split(",")]
