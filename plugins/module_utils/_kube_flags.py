# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""kube-proxy's settings as flags: read from a list of arguments, written as one, and changed in a file of them. Pure.

The form is that of Go's pflag: --name=value or --name value; of a switch, --name alone is true; of a flag that is given
twice the last one counts, but lists and feature gates grow with each.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, Problem
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_settings import (
    BY_FLAG,
    GATES,
    NETWORKS,
    NODE_PORTS,
    NODE_PORTS_FLAG,
    NUMBER,
    SETTINGS,
    SWITCH,
    changes,
    checked,
)

# Beside it kube-proxy takes no setting from a flag (but for --hostname-override and the like).
CONFIG = "config"
# What Go's strconv.ParseBool takes.
_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


def pairs(arguments: Sequence[str]) -> Iterator[Tuple[str, str]]:
    """The flags in their order: (name, value). What follows -- and what is no flag is passed over."""
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            return
        if not argument.startswith("--"):
            continue
        name, equals, value = argument[2:].partition("=")
        setting = BY_FLAG.get(name)
        if not equals and setting is not None and setting.kind == SWITCH:
            value = "true"
        elif not equals and rest and not rest[0].startswith("--"):
            value = rest.pop(0)
        yield name, value


def config_file(arguments: Sequence[str]) -> str:
    """The file that --config names, or empty."""
    return dict(pairs(arguments)).get(CONFIG, "")


def read_flags(arguments: Sequence[str], where: str) -> Dict[str, Any]:
    """The settings that these arguments set, checked. InputError with where and field of all that are wrong.

    With NODE_PORTS, where they are said.
    """
    raw: Dict[str, Any] = {}
    problems: List[Problem] = []
    networks: List[str] = []
    for name, value in pairs(arguments):
        setting = BY_FLAG.get(name)
        networks = _value(NETWORKS, value, networks) if name == NODE_PORTS_FLAG else networks
        if setting is None:
            continue
        try:
            before = raw.get(setting.field)
            raw[setting.field] = _value(setting.kind, value, before)
        except ValueError as error:
            problems.append(Problem("%s: --%s" % (where, name), "%r is not %s" % (value, error)))
    if problems:
        raise InputError(problems)
    found = checked(raw, where)
    return {**found, NODE_PORTS: tuple(networks)} if networks else found


def _value(kind: str, text: str, before: Any) -> Any:
    if kind == SWITCH:
        if text not in _BOOLEANS:
            raise ValueError("true or false")
        return _BOOLEANS[text]
    if kind == NUMBER:
        try:
            return int(text)
        except ValueError:
            raise ValueError("a number") from None
    if kind == NETWORKS:
        return [*(before or ()), *(each.strip() for each in text.split(",") if each.strip())]
    if kind == GATES:
        return {**(before or {}), **dict(_gate(each) for each in text.split(",") if each.strip())}
    return text


def _gate(text: str) -> Tuple[str, bool]:
    name, equals, on = text.strip().partition("=")
    if not equals or on.strip() not in _BOOLEANS:
        raise ValueError("of the form Name=true,Other=false")
    return name.strip(), _BOOLEANS[on.strip()]


def argument(field: str, value: Any) -> str:
    """A checked setting as its argument, without dashes: ipvs-scheduler=lc. ValueError where it has no flag."""
    setting = SETTINGS[field]
    if not setting.flag:
        raise ValueError("%s has no flag" % field)
    if setting.kind == SWITCH:
        text = _switch(value)
    elif setting.kind == NETWORKS:
        text = ",".join(value)
    elif setting.kind == GATES:
        text = ",".join("%s=%s" % (name, _switch(value[name])) for name in sorted(value))
    else:
        text = str(value)
    return "%s=%s" % (setting.flag, text)


def _switch(value: bool) -> str:
    return "true" if value else "false"


def without_flag(fields: Iterable[str]) -> Tuple[str, ...]:
    """Those settings that only a configuration file can set."""
    return tuple(field for field in fields if not SETTINGS[field].flag)


def file_arguments(text: str) -> List[str]:
    """The arguments in a file that has one flag in a line, as MicroK8s has them; # begins a comment line."""
    found: List[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            # A flag and its value may also stand side by side.
            found.extend(stripped.split(None, 1))
    return found


def with_settings(text: str, want: Mapping[str, Any], where: str) -> str:
    """The text of such a file with these checked settings; the same text where it says all of them already.

    A flag stays in its place, its repetitions go; what is new comes last. All other lines, and the kind of line end,
    are kept. InputError where the file is wrong, where a setting has no flag, or where --config takes their place.
    """
    arguments = file_arguments(text)
    for number, line in enumerate(text.splitlines(), start=1):
        if len(list(pairs(file_arguments(line)))) > 1:
            raise InputError(
                [Problem("%s:%d" % (where, number), "has several flags", "write each in a line of its own")]
            )
    if config_file(arguments):
        problem = "--config is given: kube-proxy takes its settings from %s" % config_file(arguments)
        raise InputError([Problem(where, problem, "change that file")])
    to_set = changes(read_flags(arguments, where), want)
    fixed = without_flag(to_set)
    if fixed:
        raise InputError([Problem("%s: %s" % (where, field), "kube-proxy has no flag for it") for field in fixed])
    if not to_set:
        return text
    end = "\r\n" if "\r\n" in text else "\n"
    missing = {SETTINGS[field].flag: "--" + argument(field, value) for field, value in to_set.items()}
    lines: List[str] = []
    written: Dict[str, str] = {}
    for line in text.splitlines():
        name = _flag_of(line)
        if name in written:
            continue
        if name is not None and name in missing:
            written[name] = missing.pop(name)
            line = written[name]  # noqa: PLW2901
        lines.append(line)
    return "".join(line + end for line in [*lines, *missing.values()])


def _flag_of(line: str) -> Optional[str]:
    found = list(pairs(file_arguments(line)))
    return found[0][0] if found else None
