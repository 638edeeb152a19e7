# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings one file of a host to a state. Pure but for the System that is handed in."""

from __future__ import annotations

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._model import FileState
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System


def put(system: System, state: FileState) -> None:
    """Let a file be in this state; HostError, which names the file, where it cannot."""
    if state.kind == "other":
        raise host_error(state.path, "is neither a file nor a link", "move it away")
    try:
        if state.kind == "absent":
            system.remove(state.path)
        elif state.kind == "symlink":
            system.write_link(state.path, state.target)
        else:
            system.write_file(state.path, state.text, state.mode, (state.uid, state.gid))
    except OSError as error:
        # A full disk, a read-only mount, chattr +i: the error of a write does not name its file.
        text = "cannot be changed: %s" % (error.strerror or error)
        raise host_error(state.path, text, "mend that on the host, then run again") from error
