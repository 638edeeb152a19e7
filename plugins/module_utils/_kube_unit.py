# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""kube-proxy's settings as the arguments of its systemd unit: read from it, and set in a drop-in of our own. Pure.

Nobody else's file is touched: the drop-in is read last and replaces the command. The way back is to remove it.
"""

from __future__ import annotations

import re
import shlex
from typing import Any, List, Mapping, Sequence, Set

from ansible_collections.netfleet.tcp.plugins.module_utils._desired import MANAGED
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, Problem, input_error
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_flags import (
    argument,
    config_file,
    pairs,
    read_flags,
    without_flag,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_settings import BY_FLAG, SETTINGS, SWITCH, changes

DROP_IN = "/etc/systemd/system/%s.d/zz-netfleet-tcp.conf"
_CAT = "systemctl cat %s"
# What systemd takes before the path of a command, and what of it is an argument's.
_PREFIXES = "-:+!|"
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./${}~-]+\Z")


def cat_command(unit: str) -> List[str]:
    """What prints a unit with its drop-ins, each after a line "# /its/path"."""
    return ["systemctl", "cat", unit]


def without_drop_in(text: str, unit: str) -> str:
    """The output of cat_command without our own drop-in."""
    kept: List[str] = []
    ours = False
    for line in text.splitlines():
        if line.startswith("# /"):
            ours = line[2:].strip() == DROP_IN % unit
        if not ours:
            kept.append(line)
    return "\n".join(kept)


def command_of(text: str, unit: str) -> List[str]:
    """The words of the command that a unit starts, from the output of cat_command. InputError where it is not one."""
    where = _CAT % unit
    commands: List[str] = []
    section = ""
    for line in _logical_lines(text):
        if line.startswith("["):
            section = line
        elif section == "[Service]" and line.partition("=")[0].strip() == "ExecStart":
            command = line.partition("=")[2].strip()
            # An empty one takes away those before it.
            commands = [*commands, command] if command else []
    if len(commands) != 1:
        raise input_error(where, "has %d commands in ExecStart" % len(commands), "kube-proxy has one")
    try:
        words = shlex.split(commands[0])
    except ValueError as error:
        raise input_error("%s: ExecStart" % where, "has quotes without an end (%s)" % error) from None
    if not words:
        raise input_error("%s: ExecStart" % where, "has no command")
    return words


def program_of(command: Sequence[str]) -> str:
    """The program that the words of a unit's command name."""
    return command[0].lstrip(_PREFIXES)


def _logical_lines(text: str) -> List[str]:
    """The lines without comments, those that a backslash continues as one."""
    found: List[str] = []
    open_line = ""
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith(("#", ";")):
            continue
        if stripped.endswith("\\"):
            open_line += stripped[:-1] + " "
            continue
        found.append((open_line + stripped).strip())
        open_line = ""
    return [line for line in [*found, open_line.strip()] if line]


def drop_in(text: str, unit: str, want: Mapping[str, Any]) -> str:
    """The text of our drop-in that brings these checked settings; empty where the unit has them all without it.

    text: the output of cat_command. InputError where it could not bring them, with what prevents it.
    """
    where = _CAT % unit
    words = command_of(without_drop_in(text, unit), unit)
    if not program_of(words).endswith("kube-proxy"):
        raise input_error("%s: ExecStart" % where, "starts %s, not kube-proxy" % words[0])
    variables = [word for word in words[1:] if word.startswith("$")]
    if variables:
        problem = "has arguments that stand elsewhere: %s" % ", ".join(variables)
        raise input_error("%s: ExecStart" % where, problem, "write them into the unit, or let it use --config")
    if config_file(words[1:]):
        problem = "kube-proxy takes its settings from %s" % config_file(words[1:])
        raise input_error(where, problem, "change that file")
    to_set = changes(read_flags(words[1:], where), want)
    fixed = without_flag(to_set)
    if fixed:
        raise InputError([Problem("%s: %s" % (where, field), "kube-proxy has no flag for it") for field in fixed])
    if not to_set:
        return ""
    flags = {SETTINGS[field].flag for field in to_set}
    kept = [words[0], *_without(words[1:], flags), *("--" + argument(field, value) for field, value in to_set.items())]
    return "%s\n[Service]\nExecStart=\nExecStart=%s\n" % (MANAGED, " \\\n  ".join(_quoted(word) for word in kept))


def _without(arguments: Sequence[str], flags: Set[str]) -> List[str]:
    """The arguments without these flags and their values."""
    kept: List[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name = next((name for name, _value in pairs([word])), "")
        if name not in flags:
            kept.append(word)
        elif "=" not in word and BY_FLAG[name].kind != SWITCH and rest and not rest[0].startswith("--"):
            rest.pop(0)
    return kept


def _quoted(word: str) -> str:
    if _PLAIN.match(word):
        return word
    return '"%s"' % word.replace("\\", "\\\\").replace('"', '\\"')
