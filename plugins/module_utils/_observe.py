# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One read-only visit to a host: everything that a plan needs, by the standard library and at most one run of tc."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Dict, List, Optional, Sequence, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils import _baseline
from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint_store import summaries
from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._model import (
    Baseline,
    FileState,
    Interface,
    KeyState,
    Observed,
    Owner,
    Route,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._observe_boot import (
    BootFiles,
    boot_files,
    boot_reader,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._observe_modules import observe_modules
from ansible_collections.netfleet.tcp.plugins.module_utils._owners import authors, owners
from ansible_collections.netfleet.tcp.plugins.module_utils._programs import must_run
from ansible_collections.netfleet.tcp.plugins.module_utils._qdisc import parse_tc
from ansible_collections.netfleet.tcp.plugins.module_utils._routes import parse_routes
from ansible_collections.netfleet.tcp.plugins.module_utils._secrets import Vault
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System, systemd_runs
from ansible_collections.netfleet.tcp.plugins.module_utils._values import key_path

CONGESTION_CONTROL_KEY = "net.ipv4.tcp_congestion_control"
_AVAILABLE = "net.ipv4.tcp_available_congestion_control"
_ALLOWED = "net.ipv4.tcp_allowed_congestion_control"
# Every kernel with TCP has it, and no network namespace but the first shows it.
_ONLY_IN_INIT_NETNS = "net.ipv4.tcp_mem"
_LISTEN = "0A"
# A router with the internet's whole table has a million; printing these would take seconds.
_MOST_ROUTES = 20000


@dataclass(frozen=True)
class Request:
    """What to look at. qdiscs: whether interfaces matter; qdisc_kinds: which kinds the host should be asked for.

    blame: whether to find out who else sets the keys; routes: which routes have a congestion control of their own.
    """

    keys: Tuple[str, ...] = ()
    files: Tuple[str, ...] = ()
    modules: Tuple[str, ...] = ()
    qdiscs: bool = False
    qdisc_kinds: Tuple[str, ...] = ()
    listeners: bool = False
    blame: bool = False
    routes: bool = False
    # Whether WireGuard matters; of which declaration the interfaces are; the names to be resolved.
    tunnels: bool = False
    tunnels_of: str = ""
    resolve: Tuple[str, ...] = ()


def load_vault(system: System, name: str, wanted: Dict[str, str]) -> Tuple[Baseline, Vault]:
    """The unmasked baseline of a declaration, and a vault that knows the secrets in it."""
    path = _baseline.baseline_path(name)
    baseline = _baseline.load(path, system.read(path))
    return baseline, Vault(wanted, baseline.keys)


def observe(system: System, request: Request, baseline: Baseline, vault: Vault) -> Observed:
    """The host's state, with secrets masked. baseline: the unmasked one, from load_vault."""
    names = sorted(set(request.keys) | set(baseline.keys))
    before = load_vault(system, request.tunnels_of, {})[0] if request.tunnels_of else baseline
    paths = sorted({*request.files, *baseline.files, *before.files})
    reader = boot_reader(system)
    facts = system.facts()
    modules = sorted(set(request.modules) | set(baseline.modules))
    boot = boot_files(system, names, reader, vault)
    routes = _routes(system) if request.routes else ()
    pending, last_change = summaries(system) if facts["root"] else (None, None)
    foreign = {path: text for path, text in boot.texts.items() if path not in request.files}
    return Observed(
        kernel=facts["kernel"],
        memory=_memory(system),
        root=bool(facts["root"]),
        systemd=systemd_runs(system),
        reader=reader,
        child_netns=system.read("/proc/sys/" + key_path(_ONLY_IN_INIT_NETNS)) is None,
        keys=_keys(system, names, boot, vault),
        files={path: _masked(system.file_state(path), vault) for path in paths},
        modules=observe_modules(system, modules, facts),
        interfaces=_interfaces(system) if request.qdiscs or baseline.qdiscs else (),
        qdisc_kinds=_qdisc_kinds(system, request.qdisc_kinds, facts),
        available_congestion_control=_words(system, _AVAILABLE),
        allowed_congestion_control=_words(system, _ALLOWED),
        new_socket_congestion_control=system.new_socket_congestion_control(),
        listeners=tuple(_listeners(system)) if request.listeners else (),
        baseline=_baseline.masked(baseline, vault),
        baseline_known=bool(facts["root"]) or _baseline_known(system),
        routes=routes or (),
        routes_known=routes is not None,
        owners=tuple(_masked_owner(owner, vault) for owner in owners(system, names)) if request.blame else (),
        authors=authors(system, foreign, boot.targets) if request.blame and foreign else {},
        unread=boot.unread,
        pending=pending,
        last_change=last_change,
        resolved={name: tuple(system.resolve(name)) for name in request.resolve},
        tunnel_baseline=_baseline.masked(before, vault) if request.tunnels_of else Baseline(),
        **_tunnels(system, request, before),
    )


def _tunnels(system: System, request: Request, baseline: Baseline) -> Dict[str, Any]:
    """What is observed of WireGuard, by the names of Observed's fields. baseline: of the declaration of tunnels."""
    if not request.tunnels and not baseline.tunnels:
        return {}
    # Most looks are not about tunnels, and do not wait until the code for them is loaded.
    from ansible_collections.netfleet.tcp.plugins.module_utils._observe_tunnels import observe_tunnels

    return observe_tunnels(system)


def _baseline_known(system: System) -> bool:
    """Whether a user who is not root may read baselines; where there is no directory of them, nothing is hidden."""
    directory = _baseline.STATE_DIRECTORY
    return system.file_state(directory).kind == "absent" or bool(system.names(directory))


def _masked(state: FileState, vault: Vault) -> FileState:
    if not state.text:
        return state
    return replace(state, text=vault.mask_file(state.path, state.text))


def _masked_owner(owner: Owner, vault: Vault) -> Owner:
    sets = {name: replace(line, value=vault.mask(name, line.value)) for name, line in owner.sets.items()}
    return replace(owner, sets=sets)


def _memory(system: System) -> int:
    match = re.search(r"^MemTotal:\s+(\d+) kB", system.read("/proc/meminfo") or "", re.MULTILINE)
    return int(match.group(1)) * 1024 if match else 0


def _words(system: System, name: str) -> Tuple[str, ...]:
    return tuple((system.read("/proc/sys/" + key_path(name)) or "").split())


def _keys(system: System, names: Sequence[str], boot: BootFiles, vault: Vault) -> Dict[str, KeyState]:
    states = {}
    for name in names:
        running = system.read("/proc/sys/" + key_path(name))
        masked = vault.mask(name, " ".join(running.split())) if running is not None else None
        states[name] = KeyState(name, masked, system.sysctl_limit(name), boot.boot[name], boot.aside.get(name, ()))
    return states


def _interfaces(system: System) -> Tuple[Interface, ...]:
    roots = parse_tc(must_run(system, ["tc", "-j", "qdisc", "show"], cure="is iproute2 installed?"))
    found: List[Interface] = []
    for name in system.names("/sys/class/net"):
        base = "/sys/class/net/" + name
        kind, handle, leaves = roots.get(name, ("noqueue", "0:", ()))
        flags = system.read(base + "/flags")
        if flags is None:
            # Not an interface (bonding_masters), or gone since.
            continue
        found.append(
            Interface(
                name=name,
                up=bool(int(flags.strip(), 16) & 1),
                physical=system.file_state(base + "/device").kind != "absent",
                mtu=int((system.read(base + "/mtu") or "0").strip()),
                queues=sum(1 for queue in system.names(base + "/queues") if queue.startswith("tx-")),
                qdisc=kind,
                handle=handle,
                leaves=leaves,
            )
        )
    return tuple(found)


def _routes(system: System) -> Optional[Tuple[Route, ...]]:
    """The routes that name a congestion control; None where ip fails, or the table is too long to be read."""
    leaves = re.findall(r"^\s*Leaves:\s+(\d+)", system.read("/proc/net/fib_triestat") or "", re.MULTILINE)
    if sum(int(number) for number in leaves) > _MOST_ROUTES:
        return None
    status, output, _error = system.run(["ip", "-j", "route", "show", "table", "all"])
    return parse_routes(output) if status == 0 else None


def _qdisc_kinds(system: System, kinds: Sequence[str], facts: Dict[str, str]) -> Dict[str, bool]:
    """Which qdisc kinds the host has. Read from its modules; where those are not visible (a container), tried."""
    states = observe_modules(system, ["sch_" + kind for kind in kinds], facts)
    known = {kind: states["sch_" + kind] for kind in kinds}
    has = {kind: state.loaded or state.builtin or state.loadable for kind, state in known.items()}
    # Part of every kernel, and of no module.
    has.update({kind: True for kind in kinds if kind == "pfifo_fast"})
    modules_visible = system.read("/lib/modules/%s/modules.dep" % facts["kernel"]) is not None
    for kind in kinds:
        if not has[kind] and not modules_visible:
            # A throwaway network namespace shows it without touching the host's own interfaces.
            has[kind] = system.run(["unshare", "-n", "tc", "qdisc", "add", "dev", "lo", "root", kind])[0] == 0
    return has


def _listeners(system: System) -> List[int]:
    ports = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in (system.read(table) or "").splitlines()[1:]:
            fields = line.split()
            if len(fields) > 3 and fields[3] == _LISTEN:
                ports.add(int(fields[1].rsplit(":", 1)[1], 16))
    return sorted(ports)
