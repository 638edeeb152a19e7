# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The systemd units that run the exporter: a timer, and a service that ends by itself. Pure.

The service is root, since only root sees whose a listening socket is and what this collection has recorded; of root's
powers it keeps those to read other users' files and processes, and to write into node_exporter's directory, and the
rest of the file system is read-only to it. Sources: systemd.exec(5), systemd.resource-control(5), systemd.timer(5).
"""

from __future__ import annotations

from typing import Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._desired import MANAGED
from ansible_collections.netfleet.tcp.plugins.module_utils._exporter_model import PROGRAM
from ansible_collections.netfleet.tcp.plugins.module_utils._model import FileState

NAME = "netfleet-tcp-exporter"
SERVICE, TIMER = NAME + ".service", NAME + ".timer"
_DIRECTORY = "/etc/systemd/system/"
LINK = _DIRECTORY + "timers.target.wants/" + TIMER
# ReadOnlyPaths=/run: with ProtectControlGroups= or ProtectKernelTunables=, systemd 252 and 257 leave /run out of what
# ProtectSystem=strict covers, and whoever may write there can have systemd itself run something.
# Of 100,000 connections the look takes 0.6 s of processor time and 20 MB: three seconds at a fifth of a processor.
_SERVICE = """\
%(managed)s
[Unit]
Description=Metrics of TCP for node_exporter (netfleet.tcp)
ConditionPathExists=%(program)s

[Service]
Type=oneshot
ExecStart=%(python)s -I %(program)s
TimeoutStartSec=30
CPUQuota=20%%
MemoryMax=256M
TasksMax=16
Nice=10
IOSchedulingClass=idle
CapabilityBoundingSet=CAP_DAC_OVERRIDE CAP_SYS_PTRACE
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths=%(directory)s
ReadOnlyPaths=/run
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_NETLINK AF_UNIX AF_INET
IPAddressDeny=any
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
UMask=0022
"""
_TIMER = """\
%(managed)s
[Unit]
Description=Metrics of TCP for node_exporter, each %(interval)d s (netfleet.tcp)

[Timer]
OnBootSec=30
OnUnitActiveSec=%(interval)d
AccuracySec=1

[Install]
WantedBy=timers.target
"""


def units(python: str, directory: str, interval: int) -> Tuple[FileState, ...]:
    """The files of the units. python: what runs the program; directory: where it may write; interval: in seconds."""
    service = _SERVICE % {"managed": MANAGED, "program": PROGRAM, "python": python, "directory": directory}
    timer = _TIMER % {"managed": MANAGED, "interval": interval}
    return (
        FileState(_DIRECTORY + SERVICE, "file", 0o644, service),
        FileState(_DIRECTORY + TIMER, "file", 0o644, timer),
        FileState(LINK, "symlink", target="../" + TIMER),
    )


def without_units() -> Tuple[FileState, ...]:
    """The same where there are none."""
    return (FileState(LINK), FileState(_DIRECTORY + TIMER), FileState(_DIRECTORY + SERVICE))
