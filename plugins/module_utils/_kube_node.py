# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files, modules and kernel parameters of a node, as a change of kube-proxy needs them: made, and taken back.

Pure but for the System that is handed in.
"""

from __future__ import annotations

from typing import Dict, Iterable, Mapping, Sequence

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._files import put
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_prepare import UNMANAGED_FILE
from ansible_collections.netfleet.tcp.plugins.module_utils._model import FileState
from ansible_collections.netfleet.tcp.plugins.module_utils._programs import must_run
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System
from ansible_collections.netfleet.tcp.plugins.module_utils._values import key_path

_RELOAD = ("nmcli", "general", "reload", "conf")


def load_modules(system: System, names: Iterable[str]) -> None:
    """Load them. HostError with what modprobe says."""
    for name in names:
        must_run(system, ["modprobe", "--", name])


def unload_modules(system: System, names: Sequence[str]) -> None:
    """Unload those that nobody uses."""
    for name in reversed(names):
        system.run(["modprobe", "-r", "--", name])


def values_of(system: System, keys: Iterable[str]) -> Dict[str, str]:
    """The keys that this kernel has, and what they are."""
    found = {key: system.read("/proc/sys/" + key_path(key)) for key in keys}
    return {key: " ".join(value.split()) for key, value in found.items() if value is not None}


def apply_sysctls(system: System, values: Mapping[str, str]) -> None:
    """Set them in the running kernel. HostError where one is not there, or does not take its value."""
    for key, value in values.items():
        try:
            system.write_sysctl(key, value)
        except OSError as error:
            limit = system.sysctl_limit(key) or error.strerror or str(error)
            raise host_error(key, "cannot be set to %s: %s" % (value, limit)) from error
        now = values_of(system, [key]).get(key)
        if now != " ".join(value.split()):
            raise host_error(key, "was set to %s, and is %s" % (value, now))


def apply_files(system: System, states: Iterable[FileState]) -> None:
    """Bring files to these states. HostError where one cannot be written."""
    for state in states:
        put(system, state)
        if state.path == UNMANAGED_FILE:
            # Where it does not run, it reads the file at its next start.
            system.run(list(_RELOAD))
