# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From resolved values to the desired state of a host: the files that make it outlast a boot. Pure."""

from __future__ import annotations

import posixpath
from typing import List, Optional, Sequence, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._model import (
    Desired,
    DesiredFile,
    DesiredKey,
    DesiredQdisc,
    FileState,
    Interface,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._qdisc import boot_commands
from ansible_collections.netfleet.tcp.plugins.module_utils._secrets import token
from ansible_collections.netfleet.tcp.plugins.module_utils._sysctl_d import SYSCTL_DIRECTORIES
from ansible_collections.netfleet.tcp.plugins.module_utils._values import SECRET_KEYS

_MANAGED_BY = "# Managed by netfleet.tcp"
MANAGED = _MANAGED_BY + ": the next run finds and undoes what is changed here."
# The role has one declaration on a host, whatever its file is called today: a file that gets another name is moved, not
# left behind. No file of the module sysctl_file can have this name.
ROLE_DECLARATION = "role:tcp_tuning"
_UNIT_DIRECTORY = "/etc/systemd/system"
# Begins the names of files that overrule others; no declaration's own file is called so.
PRECEDENCE = "zz-"
_QDISC_UNIT_TEXT = """\
%s
# An interface that comes up before systemd-sysctl has set net.core.default_qdisc keeps the qdisc from before.
[Unit]
Description=Queueing disciplines of network interfaces (netfleet.tcp)
# A boot that takes an interrupted change back removes the link, once this unit has been read.
ConditionPathIsSymbolicLink=%s
After=systemd-sysctl.service network.target

[Service]
Type=oneshot
RemainAfterExit=yes
%s

[Install]
WantedBy=multi-user.target
"""


def declaration_name(file_name: str) -> str:
    """The name of the declaration whose sysctl.d file has this name."""
    return posixpath.splitext(file_name)[0]


def sysctl_path(file_name: str) -> str:
    """Where the sysctl.d file of this name stands on a host."""
    return "/etc/sysctl.d/" + file_name


def secrets_path(file_name: str) -> str:
    """Where the values that not everybody may read stand."""
    return "/etc/sysctl.d/%s-secret.conf" % declaration_name(file_name)


def precedence_path(file_name: str) -> str:
    """Where keys stand again that somebody else's file would win over ours at boot: it sorts after most names."""
    return "/etc/sysctl.d/" + PRECEDENCE + file_name


def modules_path(file_name: str) -> str:
    """Where the modules that the next boot shall load stand."""
    return "/etc/modules-load.d/%s.conf" % declaration_name(file_name)


def qdisc_unit(file_name: str) -> str:
    """The name of the systemd unit that sets qdiscs at boot."""
    return "%s-qdisc.service" % declaration_name(file_name)


def qdisc_paths(file_name: str) -> Tuple[str, str]:
    """Where that unit stands, and the link that enables it."""
    unit = qdisc_unit(file_name)
    return "%s/%s" % (_UNIT_DIRECTORY, unit), "%s/multi-user.target.wants/%s" % (_UNIT_DIRECTORY, unit)


def managed_paths(file_name: str) -> Tuple[str, ...]:
    """Every path that a declaration owns on a host, but for precedence_path, which it needs against others alone."""
    own = (sysctl_path(file_name), secrets_path(file_name), modules_path(file_name))
    return (*own, *qdisc_paths(file_name))


def hidden_paths(file_name: str) -> Tuple[str, ...]:
    """Where files of the same name would stand, which ours would hide at boot."""
    return tuple("%s/%s" % (directory, file_name) for directory in SYSCTL_DIRECTORIES[1:])


def watched_paths(file_name: str) -> Tuple[str, ...]:
    """Every path whose state decides the plan of a declaration with this file."""
    return (*managed_paths(file_name), precedence_path(file_name), *hidden_paths(file_name))


def is_ours(state: FileState) -> bool:
    """Whether what stands at one of managed_paths was written by this collection."""
    if state.kind == "symlink":
        return state.target == "../" + posixpath.basename(state.path)
    return state.text.startswith(_MANAGED_BY)


def render_sysctl_file(keys: Sequence[DesiredKey]) -> str:
    """A sysctl.d file with each value's reason above it. The role uses its template instead, which says more."""
    lines = [MANAGED]
    for key in keys:
        lines += ["", "# %s" % key.reason] if key.reason else [""]
        lines.append("%s = %s" % (key.name, key.value))
    return "\n".join(lines) + "\n"


def build(
    file_name: str,
    text: str,
    keys: Sequence[DesiredKey],
    modules: Sequence[str] = (),
    qdiscs: Sequence[DesiredQdisc] = (),
    interfaces: Sequence[Interface] = (),
    congestion_control: str = "",
    boot_conflict: str = "fail",
    systemd: bool = True,
    name: str = "",
) -> Desired:
    """The desired state whose sysctl.d file has this text. No keys, modules and qdiscs: nothing is desired.

    name: of the declaration, if that is not bound to its file's name.
    """
    public = [key for key in keys if key.name not in SECRET_KEYS]
    files: List[Optional[DesiredFile]] = [
        DesiredFile(sysctl_path(file_name), 0o644, text, reason="sets the keys at boot") if public else None,
        _secrets_file(file_name, keys),
        _modules_file(file_name, modules),
        *(_qdisc_files(file_name, qdiscs, interfaces) if qdiscs and systemd else ()),
    ]
    return Desired(
        name=name or declaration_name(file_name),
        watched=watched_paths(file_name),
        keys=tuple(keys),
        files=tuple(entry for entry in files if entry is not None),
        modules=tuple(modules),
        qdiscs=tuple(qdiscs),
        congestion_control=congestion_control,
        boot_conflict=boot_conflict,
    )


def _secrets_file(file_name: str, keys: Sequence[DesiredKey]) -> Optional[DesiredFile]:
    lines = ["%s = %s" % (key.name, token(key.name)) for key in keys if key.name in SECRET_KEYS]
    if not lines:
        return None
    text = "\n".join([MANAGED, *lines]) + "\n"
    return DesiredFile(secrets_path(file_name), 0o600, text, reason="sets secret keys at boot")


def _modules_file(file_name: str, modules: Sequence[str]) -> Optional[DesiredFile]:
    if not modules:
        return None
    text = "\n".join([MANAGED, *modules]) + "\n"
    return DesiredFile(modules_path(file_name), 0o644, text, reason="loads modules before sysctl.d is applied")


def _qdisc_files(
    file_name: str, qdiscs: Sequence[DesiredQdisc], interfaces: Sequence[Interface]
) -> Tuple[DesiredFile, ...]:
    reason = "sets the qdisc of interfaces at boot"
    commands = boot_commands({qdisc.interface: qdisc.kind for qdisc in qdiscs}, interfaces)
    # The leading - : an interface that is gone must not leave the host degraded.
    unit_path, link_path = qdisc_paths(file_name)
    lines = "\n".join("ExecStart=-/sbin/tc " + command for command in commands)
    text = _QDISC_UNIT_TEXT % (MANAGED, link_path, lines)
    return (
        DesiredFile(unit_path, 0o644, text, reason=reason),
        DesiredFile(link_path, target="../" + qdisc_unit(file_name), reason=reason),
    )
