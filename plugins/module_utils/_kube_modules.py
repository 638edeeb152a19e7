# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kernel modules of those that a mode of kube-proxy needs a node has, or can have.

A kernel that was built without modules, or whose modules this host does not show, tells it by its configuration.
Pure but for the System that is handed in.
"""

from __future__ import annotations

import re
import zlib
from typing import Dict, FrozenSet, Mapping, Optional, Sequence

from ansible_collections.netfleet.tcp.plugins.module_utils._kube_choice import SCHEDULERS, needed_modules
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_modes import IPVS, NFTABLES
from ansible_collections.netfleet.tcp.plugins.module_utils._model import ModuleState
from ansible_collections.netfleet.tcp.plugins.module_utils._observe_modules import observe_modules
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System

_INDEXES = ("/lib/modules/%s/modules.builtin", "/lib/modules/%s/modules.dep")
_CONFIGURATION, _COMPRESSED = "/boot/config-%s", "/proc/config.gz"
_BUILT_IN = re.compile(r"^CONFIG_(\w+)=y$", re.MULTILINE)
# Those whose symbol is not their own name.
_SYMBOLS = {"nft_chain_nat": "NFT_NAT"}
# That the text is in the form of gzip.
_GZIP = 31
MISSING = "this kernel has no such module"


def limits_of_modules(system: System, names: Sequence[str] = ()) -> Dict[str, str]:
    """By module: why it cannot be loaded, or empty where it is there or can be.

    names: by default, all that any mode and scheduler needs.
    """
    facts = system.facts()
    return _limits(system, observe_modules(system, tuple(names) or _all_names(), facts), facts["kernel"])


def _limits(system: System, states: Mapping[str, ModuleState], kernel: str) -> Dict[str, str]:
    built_in = _built_in(system, kernel)
    found: Dict[str, str] = {}
    for name, state in states.items():
        there = state.loaded or state.builtin or state.loadable
        if not there and built_in is not None:
            there = _SYMBOLS.get(name, name.upper()) in built_in
        found[name] = "" if there else state.blocker or MISSING
    return found


def missing_modules(system: System, names: Sequence[str]) -> Dict[str, str]:
    """By module that is not in the kernel: why it cannot be loaded, or empty."""
    if not names:
        return {}
    facts = system.facts()
    states = observe_modules(system, names, facts)
    limits = _limits(system, states, facts["kernel"])
    in_kernel = {name for name, state in states.items() if state.loaded or state.builtin}
    # What is there and cannot be loaded is a part of the kernel.
    in_kernel |= {name for name, state in states.items() if not limits[name] and not state.loadable}
    return {name: limits[name] for name in names if name not in in_kernel}


def _all_names() -> Sequence[str]:
    names: Dict[str, None] = dict.fromkeys(needed_modules(NFTABLES))
    for scheduler in SCHEDULERS:
        names.update(dict.fromkeys(needed_modules(IPVS, scheduler)))
    return tuple(names)


def _built_in(system: System, kernel: str) -> Optional[FrozenSet[str]]:
    """The symbols of what is built in; None where the indexes of modules tell it, or nothing does."""
    if any(system.read(path % kernel) is not None for path in _INDEXES):
        return None
    text = system.read(_CONFIGURATION % kernel)
    if text is None:
        packed = system.read(_COMPRESSED)
        if packed is None:
            return None
        try:
            text = zlib.decompress(packed.encode("utf-8", "surrogateescape"), _GZIP).decode("ascii", "replace")
        except zlib.error:
            return None
    return frozenset(_BUILT_IN.findall(text))
