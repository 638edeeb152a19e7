# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A unit for the next boot, there while a change is pending: the clock that would take it back dies with the boot.

It runs before the boot loads modules and applies sysctl.d: files of which a power failure left some new and some old
are the old ones by then. Pure but for the System that is handed in.
"""

from __future__ import annotations

import sys

from ansible_collections.netfleet.tcp.plugins.module_utils._baseline import STATE_DIRECTORY
from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint_store import PROGRAM, RECOVER_LINK
from ansible_collections.netfleet.tcp.plugins.module_utils._files import put
from ansible_collections.netfleet.tcp.plugins.module_utils._model import FileState
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System, systemd_runs

UNIT = "/etc/systemd/system/netfleet-tcp-recover.service"
LINK = RECOVER_LINK
_TEXT = """\
# Managed by netfleet.tcp: here only while a change is pending; takes it back if a boot interrupts it.
[Unit]
Description=Take back an interrupted change of the TCP configuration (netfleet.tcp)
DefaultDependencies=no
ConditionPathExists=%s
RequiresMountsFor=%s
After=systemd-remount-fs.service local-fs.target
Before=systemd-modules-load.service systemd-sysctl.service sysinit.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
ExecStart=%s -I %s --early

[Install]
WantedBy=sysinit.target
"""


def arm_boot(system: System) -> None:
    """Have the next boot take the pending change back. HostError where that cannot be written."""
    if not systemd_runs(system):
        return
    text = _TEXT % (PROGRAM, STATE_DIRECTORY, sys.executable, PROGRAM)
    put(system, FileState(UNIT, "file", 0o644, text))
    put(system, FileState(LINK, "symlink", target="../netfleet-tcp-recover.service"))


def disarm_boot(system: System) -> None:
    """The next boot has nothing to take back. HostError where the unit cannot be removed."""
    put(system, FileState(LINK))
    put(system, FileState(UNIT))
