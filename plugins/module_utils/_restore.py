# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings the things of a change back to what they were: by what stands there now, so that doing it twice does no harm.

What cannot be given back is named, and never keeps the rest from being given back.
"""

from __future__ import annotations

from typing import Callable, Iterator, List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils import _qdisc
from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint import Things
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import Problem, host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._files import put
from ansible_collections.netfleet.tcp.plugins.module_utils._frr_daemon import give_back
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Baseline, FileState
from ansible_collections.netfleet.tcp.plugins.module_utils._observe import Request, observe
from ansible_collections.netfleet.tcp.plugins.module_utils._plan import same_file
from ansible_collections.netfleet.tcp.plugins.module_utils._programs import must_run
from ansible_collections.netfleet.tcp.plugins.module_utils._secrets import Vault
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnels import change_tunnel, free_ports
from ansible_collections.netfleet.tcp.plugins.module_utils._values import SECRET_KEYS, key_path

_Step = Tuple[str, Callable[[], None]]


def restore(system: System, before: Things, set_by_us: Optional[Things] = None) -> List[Problem]:
    """Give everything back; what could not be given back is returned.

    set_by_us: where the host has booted since, a key or qdisc is given back only if it still is as the change made it:
    what else runs there by now comes from the boot.
    """
    problems: List[Problem] = []
    for name, step in _steps(system, before, set_by_us):
        try:
            step()
        except Exception as error:  # noqa: BLE001 - one that fails must not keep the others from being restored
            problems.append(Problem(name, "could not be restored: %s" % error))
    return problems


def _steps(system: System, before: Things, set_by_us: Optional[Things]) -> Iterator[_Step]:
    # Files first: whatever comes in between, the next boot is as before. Keys before qdiscs, since what the kernel
    # attaches depends on default_qdisc; modules last, once nothing uses them.
    for state in before.files.values():
        yield state.path, lambda state=state: _file(system, state)  # type: ignore[misc]
    for name, loaded in before.modules.items():
        if loaded:
            yield name, lambda name=name: _load(system, name)  # type: ignore[misc]
    for name, value in before.keys.items():
        ours = set_by_us.keys.get(name) if set_by_us else None
        yield name, lambda name=name, value=value, ours=ours: _key(system, name, value, ours)  # type: ignore[misc]
    for name, kind in before.qdiscs.items():
        ours = set_by_us.qdiscs.get(name) if set_by_us else None
        yield name, lambda name=name, kind=kind, ours=ours: _give_back_qdisc(system, name, kind, ours)  # type: ignore
    yield "ports of tunnels", lambda: free_ports(system, before.tunnels)
    for name, tunnel in before.tunnels.items():
        yield name, lambda name=name, tunnel=tunnel: change_tunnel(system, name, tunnel)  # type: ignore[misc]
    routing = before.routing
    if routing is not None:
        # After the tunnels: they take a moment, and carry its sessions. It may take a minute, or hang.
        yield "FRR", lambda: give_back(system, routing)
    for name, loaded in before.modules.items():
        if not loaded:
            yield name, lambda name=name: _unload(system, name)  # type: ignore[misc]


def raw_key(system: System, name: str) -> Optional[str]:
    """What the kernel says of a key, white space folded; None where it has no such key."""
    text = system.read("/proc/sys/" + key_path(name))
    return None if text is None else " ".join(text.split())


def _file(system: System, before: FileState) -> None:
    # Where a write itself failed, nothing has changed, and a second attempt would fail like the first.
    present = system.file_state(before.path)
    if not same_file(present, before) or (present.uid, present.gid) != (before.uid, before.gid):
        put(system, before)


def _key(system: System, name: str, value: str, ours: Optional[str]) -> None:
    present = raw_key(system, name)
    if present == value or (ours is not None and present != ours):
        return
    try:
        system.write_sysctl(name, value)
    except OSError as error:
        raise host_error("", "the kernel refused %s: %s" % (shown(name, value), error.strerror)) from error


def shown(name: str, value: str) -> str:
    """A key's value as people may see it."""
    return "its value" if name in SECRET_KEYS else value


def _give_back_qdisc(system: System, name: str, kind: str, ours: Optional[str]) -> None:
    present = observe(system, Request(qdiscs=True), Baseline(), Vault())
    interface = {entry.name: entry for entry in present.interfaces}.get(name)
    state = _qdisc.state_name(interface) if interface else kind
    if interface is None or state == kind or (ours is not None and state != ours):
        return
    lines = _qdisc.restore_commands(interface, kind, raw_key(system, "net.core.default_qdisc"))
    must_run(system, ["tc", "-batch", "-"], "\n".join(lines) + "\n")


def is_loaded(system: System, name: str) -> bool:
    """Whether a module is loaded, by what the kernel lists."""
    return any(line.split(" ", 1)[0] == name for line in (system.read("/proc/modules") or "").splitlines())


def _load(system: System, name: str) -> None:
    if not is_loaded(system, name):
        must_run(system, ["modprobe", "--", name])


def _unload(system: System, name: str) -> None:
    if is_loaded(system, name):
        must_run(system, ["modprobe", "-r", "--", name])
