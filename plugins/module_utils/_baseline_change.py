# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the baseline (see _baseline) grows when a declaration is applied, and shrinks when it is taken back. Pure."""

from __future__ import annotations

import json
from typing import Dict, Mapping, Set

from ansible_collections.netfleet.tcp.plugins.module_utils._desired import is_ours
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Baseline, Desired, FileState, Observed, to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._qdisc import state_name
from ansible_collections.netfleet.tcp.plugins.module_utils._record_file import FORMAT
from ansible_collections.netfleet.tcp.plugins.module_utils._sysctl_d import parse
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel


def dump(baseline: Baseline) -> str:
    """The text of the file that load reads."""
    data = to_wire(baseline)
    data["format"] = FORMAT
    return json.dumps(data, indent=1, sort_keys=True) + "\n"


def grown(
    baseline: Baseline,
    desired: Desired,
    observed: Observed,
    raw_keys: Dict[str, str],
    raw_files: Dict[str, FileState],
    raw_tunnels: Mapping[str, Tunnel],
) -> Baseline:
    """The baseline, with what stands now recorded for each desired thing that it does not know yet.

    raw_keys, raw_files and raw_tunnels hold unmasked values. Where a file of ours stands, but nothing is recorded of it
    (the state directory was lost), nothing stood there before; and the present values of the keys that it sets are
    ours, not the ones from before, so they stay unrecorded.
    """
    ours: Set[str] = set()
    for path in {wanted.path for wanted in desired.files}.intersection(raw_files) - set(baseline.files):
        if is_ours(raw_files[path]):
            ours.update(name for name, _entry in parse(path, raw_files[path].text))
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
        tunnels={**{wanted.name: raw_tunnels.get(wanted.name) for wanted in desired.tunnels}, **baseline.tunnels},
    )


def shrunk(baseline: Baseline, desired: Desired) -> Baseline:
    """The baseline without what is no longer desired, once that has been restored."""
    keys = {wanted.name for wanted in desired.keys}
    files = {wanted.path for wanted in desired.files}
    interfaces = {wanted.interface for wanted in desired.qdiscs}
    tunnels = {wanted.name for wanted in desired.tunnels}
    return Baseline(
        keys={name: value for name, value in baseline.keys.items() if name in keys},
        files={path: state for path, state in baseline.files.items() if path in files},
        modules=tuple(module for module in baseline.modules if module in desired.modules),
        qdiscs={name: kind for name, kind in baseline.qdiscs.items() if name in interfaces},
        tunnels={name: state for name, state in baseline.tunnels.items() if name in tunnels},
    )
