# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets systemd know, once it is written, that nftables.service has to put the clamps of tunnels back.

It flushes every table when it is started or reloaded. Pure but for the System that is handed in.
"""

from __future__ import annotations

from typing import Iterable, List

from ansible_collections.netfleet.tcp.plugins.module_utils._system import System, systemd_runs

_OF_NFTABLES = "/etc/systemd/system/nftables.service.d/"
_RELOAD = ["systemctl", "daemon-reload"]


def announce(system: System, written: Iterable[str]) -> List[str]:
    """Have systemd read its units again where such a file was written or removed; returns warnings."""
    if not any(path.startswith(_OF_NFTABLES) for path in written) or not systemd_runs(system):
        return []
    status, _output, error = system.run(_RELOAD)
    if status == 0:
        return []
    text = "%s: %s; until the next boot, a restart of nftables takes the clamp of segments away"
    return [text % (" ".join(_RELOAD), error.strip() or "exit status %d" % status)]
