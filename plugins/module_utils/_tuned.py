# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the active profiles of tuned set. Pure but for the System that is handed in.

Sources: tuned's plugin_sysctl.py, profiles/loader.py, unit.py and merger.py (2.20).
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import Dict, List, Mapping, Sequence, Set, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._model import TUNED, Assignment, Owner
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System
from ansible_collections.netfleet.tcp.plugins.module_utils._values import key_name

_DIRECTORIES = ("/etc/tuned/profiles", "/etc/tuned", "/usr/lib/tuned/profiles", "/usr/lib/tuned")
# Options of a section that make it depend on the host.
_CONDITIONS = ("uname_regex", "cpuinfo_regex")
# As a profile says yes, and as tuned-main.conf does.
_YES = ("1", "true", "True")
_TRUE = ("1", "y", "yes", "t", "true")
_PROFILE_NAME = re.compile(r"[\w.-]+\Z")


@dataclass(frozen=True)
class Unit:
    """A section of the type sysctl. replace: what the same section of included profiles sets is dropped; drop: some."""

    sets: Mapping[str, Assignment] = field(default_factory=dict)
    enabled: bool = True
    conditional: bool = False
    replace: bool = False
    drop: Tuple[str, ...] = ()

    def over(self, older: Unit) -> Unit:
        """Merged over the section of a profile that is included, or stands earlier among the active ones."""
        if self.replace:
            return self
        sets = {name: line for name, line in older.sets.items() if name not in self.drop}
        sets.update(self.sets)
        return Unit(sets, self.enabled, self.conditional or older.conditional)

    @property
    def effective(self) -> Mapping[str, Assignment]:
        """What it sets on every host: nothing where it is switched off, or depends on the host."""
        return self.sets if self.enabled and not self.conditional else {}


# By the name of the section.
Units = Dict[str, Unit]


def tuned_owner(system: System, keys: Sequence[str]) -> List[Owner]:
    """tuned, where the active profiles have keys to set; sets: what it gives those asked for."""
    profiles = (system.read("/etc/tuned/active_profile") or "").split()
    units: Units = {}
    read: Set[str] = set()
    for profile in profiles:
        units = _merged(units, _profile_units(system, profile, read))
    sets: Dict[str, Assignment] = {}
    for unit in units.values():
        sets.update(unit.effective)
    if not sets:
        # Without a section of that type it touches no key, and applies no file again.
        return []
    lines = [_without_comment(line) for line in (system.read("/etc/tuned/tuned-main.conf") or "").splitlines()]
    settings = {name.strip(): value.strip() for name, _equals, value in (line.partition("=") for line in lines)}
    reapplies = settings.get("reapply_sysctl", "1").lower() in _TRUE
    wanted = {key: sets[key] for key in keys if key in sets}
    return [Owner("%s (profile %s)" % (TUNED, " ".join(profiles)), wanted, reapplies)]


def _merged(older: Units, newer: Units) -> Units:
    return {**older, **{name: unit.over(older[name]) if name in older else unit for name, unit in newer.items()}}


def _profile_units(system: System, profile: str, read: Set[str]) -> Units:
    """The sections of a profile, merged over those of the profiles that it includes.

    read: the files that have been read. None is read twice, so that a profile of /etc may include the one of its own
    name in /usr, and circles end.
    """
    if not _PROFILE_NAME.match(profile):
        return {}
    for path in ["%s/%s/tuned.conf" % (directory, profile) for directory in _DIRECTORIES]:
        text = system.read(path) if path not in read else None
        if text is not None:
            read.add(path)
            included, own = parse_profile(path, text)
            units: Units = {}
            for name in included:
                units = _merged(units, _profile_units(system, name, read))
            return _merged(units, own)
    return {}


def parse_profile(path: str, text: str) -> Tuple[Tuple[str, ...], Units]:
    """From a tuned profile: the profiles that it includes, and its sections of the type sysctl, by name.

    A value that depends on the host (a bound such as >2048, a variable) is None.
    """
    included: Tuple[str, ...] = ()
    sets: Dict[str, Dict[str, Assignment]] = {}
    options: Dict[str, Dict[str, str]] = {}
    section = ""
    for number, raw in enumerate(text.splitlines(), start=1):
        line = _without_comment(raw).strip()
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1].strip()
            sets.setdefault(section, {})
            options.setdefault(section, {})
        elif line and line[0] not in "#;" and section:
            name, equals, value = line.partition("=")
            name, value = name.strip(), value.strip().strip("\"'")
            if section == "main" and name == "include":
                included = tuple(re.split(r"[\s,;]+", value))
            elif equals and ("." in name or "/" in name):
                depends = value[:1] in "<>" or "${" in value
                sets[section][key_name(name)] = Assignment(path, number, None if depends else value, "")
            elif equals:
                options[section][name] = value
    # Without a type of its own, a section is of the type of its name.
    of_keys = [name for name in sets if options[name].get("type", name) == "sysctl"]
    return included, {name: _unit(sets[name], options[name]) for name in of_keys}


def _unit(sets: Mapping[str, Assignment], options: Mapping[str, str]) -> Unit:
    return Unit(
        sets=sets,
        enabled=options.get("enabled", "1") in _YES,
        conditional=any(name in options for name in _CONDITIONS),
        replace=options.get("replace", "") in _YES,
        drop=tuple(key_name(name.strip()) for name in re.split(r"[,;]", options.get("drop", "")) if name.strip()),
    )


def _without_comment(line: str) -> str:
    return re.split(r"(?:^|\s)#", line, maxsplit=1)[0]
