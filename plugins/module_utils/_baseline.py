# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stood on a host before a declaration changed it: the file that remembers it, and how it grows and shrinks.

The baseline answers two questions: what to restore when a declaration (or one of its keys) is taken back, and below
which value a key must not be lowered (the one that the kernel had by itself, not the one that an earlier run set).
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Dict, Optional, Set

from ansible_collections.netfleet.tcp.plugins.module_utils._desired import is_ours
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._model import (
    Baseline,
    Desired,
    FileState,
    Observed,
    from_wire,
    to_wire,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._qdisc import state_name
from ansible_collections.netfleet.tcp.plugins.module_utils._secrets import Vault
from ansible_collections.netfleet.tcp.plugins.module_utils._sysctl_d import parse

STATE_DIRECTORY = "/var/lib/netfleet-tcp"
_FORMAT = 1


def baseline_path(name: str) -> str:
    """The file on a host that holds the baseline of the declaration of this name."""
    return "%s/%s.baseline.json" % (STATE_DIRECTORY, name)


def load(path: str, text: Optional[str]) -> Baseline:
    """The baseline in a file's text (None: no file, nothing recorded). A damaged or newer file is refused by name."""
    if text is None:
        return Baseline()
    try:
        data = json.loads(text)
        if data.pop("format") != _FORMAT:
            raise ValueError("it was written by another version of netfleet.tcp")
        return from_wire(Baseline, data)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise host_error(
            path, "cannot be read as a baseline: %s" % error, "restore it, or remove it to start from what runs now"
        ) from error


def dump(baseline: Baseline) -> str:
    """The text of the file that load reads."""
    data = to_wire(baseline)
    data["format"] = _FORMAT
    return json.dumps(data, indent=1, sort_keys=True) + "\n"


def masked(baseline: Baseline, vault: Vault) -> Baseline:
    """The baseline as it may leave the host."""
    return replace(
        baseline,
        keys={name: vault.mask(name, value) or "" for name, value in baseline.keys.items()},
        files={path: replace(state, text=vault.mask_text(state.text)) for path, state in baseline.files.items()},
    )


def grown(
    baseline: Baseline, desired: Desired, observed: Observed, raw_keys: Dict[str, str], raw_files: Dict[str, FileState]
) -> Baseline:
    """The baseline, with what stands now recorded for each desired thing that it does not know yet.

    raw_keys and raw_files hold unmasked values. Where a file of ours stands, but nothing is recorded of it (the state
    directory was lost), nothing stood there before; and the present values of the keys that it sets are ours, not the
    ones from before, so they stay unrecorded.
    """
    ours: Set[str] = set()
    for path in {wanted.path for wanted in desired.files}.intersection(raw_files) - set(baseline.files):
        if is_ours(raw_files[path]):
            ours.update(name for name, _entry in parse(path, raw_files[path].text.splitlines()))
            raw_files = {**raw_files, path: FileState(path)}
    keys = {wanted.name: raw_keys[wanted.name] for wanted in desired.keys if wanted.name in raw_keys}
    keys = {name: value for name, value in keys.items() if name not in ours}
    files = {wanted.path: raw_files[wanted.path] for wanted in desired.files if wanted.path in raw_files}
    interfaces = {interface.name: interface for interface in observed.interfaces}
    qdiscs = {
        wanted.interface: state_name(interfaces[wanted.interface])
        for wanted in desired.qdiscs
        if wanted.interface in interfaces
    }
    modules = [observed.modules.get(module) for module in desired.modules]
    loaded_by_us = [state.name for state in modules if state and not state.loaded and not state.builtin]
    return Baseline(
        keys={**keys, **baseline.keys},
        files={**files, **baseline.files},
        modules=tuple(sorted(set(loaded_by_us) | set(baseline.modules))),
        qdiscs={**qdiscs, **baseline.qdiscs},
    )


def shrunk(baseline: Baseline, desired: Desired) -> Baseline:
    """The baseline without what is no longer desired, once that has been restored."""
    keys = {wanted.name for wanted in desired.keys}
    files = {wanted.path for wanted in desired.files}
    interfaces = {wanted.interface for wanted in desired.qdiscs}
    return Baseline(
        keys={name: value for name, value in baseline.keys.items() if name in keys},
        files={path: state for path, state in baseline.files.items() if path in files},
        modules=tuple(module for module in baseline.modules if module in desired.modules),
        qdiscs={name: kind for name, kind in baseline.qdiscs.items() if name in interfaces},
    )
