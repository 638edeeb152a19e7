# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stood on a host before a declaration changed it: the file that remembers it, read.

The baseline answers two questions: what to restore when a declaration (or one of its keys) is taken back, and below
which value a key must not be lowered (the one that the kernel had by itself, not the one that an earlier run set).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Optional

from ansible_collections.netfleet.tcp.plugins.module_utils._model import Baseline
from ansible_collections.netfleet.tcp.plugins.module_utils._record_file import read_record
from ansible_collections.netfleet.tcp.plugins.module_utils._secrets import Vault, without_secrets

STATE_DIRECTORY = "/var/lib/netfleet-tcp"


def baseline_path(name: str) -> str:
    """The file on a host that holds the baseline of the declaration of this name."""
    return "%s/%s.baseline.json" % (STATE_DIRECTORY, name)


def load(path: str, text: Optional[str]) -> Baseline:
    """The baseline in a file's text (None: no file, nothing recorded). A damaged or newer file is refused by name."""
    if text is None:
        return Baseline()
    cure = "restore it, or remove it to start from what runs now"
    return read_record(Baseline, path, text, "a baseline", cure)


def masked(baseline: Baseline, vault: Vault) -> Baseline:
    """The baseline as it may leave the host."""
    return replace(
        baseline,
        keys={name: vault.mask(name, value) or "" for name, value in baseline.keys.items()},
        files={path: replace(state, text=vault.mask_file(path, state.text)) for path, state in baseline.files.items()},
        tunnels={name: without_secrets(tunnel) for name, tunnel in baseline.tunnels.items()},
    )
