# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the next boot runs a unit of systemd's own, or what on the host keeps it from that.

Pure but for the System that is handed in. Sources: systemd.unit(5), kernel-command-line(7).
"""

from __future__ import annotations

import re
from typing import List

from ansible_collections.netfleet.tcp.plugins.module_utils._system import System

COMMAND_LINE = "/proc/cmdline"
# /run is empty after a boot, and /usr is the package's own.
_DIRECTORY = "/etc/systemd/system/"


def held_off_by(system: System, unit: str) -> str:
    """The file that keeps a unit (systemd-sysctl, systemd-modules-load) from running at boot; empty where none does."""
    path = "%s%s.service" % (_DIRECTORY, unit)
    text = system.read(path)
    # A unit that is masked is empty, or a link to /dev/null.
    if text == "":
        return path
    masks = re.findall(r"(?:^|\s)systemd\.mask=(\S+)", system.read(COMMAND_LINE) or "")
    if any(mask in (unit, unit + ".service") for mask in masks):
        return COMMAND_LINE
    commands = _commands(text, []) if text is not None else [unit]
    blamed = path
    for name in system.names(path + ".d"):
        if name.endswith(".conf"):
            dropped_in = "%s.d/%s" % (path, name)
            after = _commands(system.read(dropped_in) or "", commands)
            blamed = dropped_in if after != commands else blamed
            commands = after
    return "" if any(unit in command for command in commands) else blamed


def _commands(text: str, commands: List[str]) -> List[str]:
    """What ExecStart= amounts to once the lines of a file are added; an empty one takes away what stood before."""
    found = list(commands)
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and name.strip() == "ExecStart":
            found = [*found, value.strip()] if value.strip() else []
    return found
