# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One read-only visit to a node: how kube-proxy runs there, what it says, what the kernel has, what a mode would need.

Pure but for the System that is handed in.
"""

from __future__ import annotations

import re
from typing import Dict, List, Optional, Sequence, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils import _kube_process
from ansible_collections.netfleet.tcp.plugins.module_utils._desired import is_ours
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import NetfleetError
from ansible_collections.netfleet.tcp.plugins.module_utils._ipvs import read_timeouts
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_choice import needed_programs, printing_programs
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_find import (
    CONFIG_FILE,
    CONFIG_MAP,
    FLAGS_FILE,
    PATHS_TO_LOOK_AT,
    RANCHER_FILES,
    STANDALONE_UNIT,
    UNIT,
    UNITS_TO_LOOK_AT,
    Place,
    Signs,
    find,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_flags import file_arguments, pairs
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_kernel import (
    KernelSeen,
    Tools,
    entries_of,
    told_apart,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_masked import rancher_text, unit_text
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_model import (
    HEALTHZ,
    METRICS,
    NodeSeen,
    ProxyFile,
    SysctlLine,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_modes import (
    IPTABLES,
    K3S,
    MICROK8S,
    MODES,
    RKE2,
    STANDALONE,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_modules import limits_of_modules
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_node import values_of
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_prepare import (
    NETWORK_MANAGER_FILES,
    SYSCTL_FILE,
    left_alone,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_record import KEPT, STORED, id_at
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_residues import without_services
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_service import ACTIVE, health, proxy_mode
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_sysctls import KEYS
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_table import ProxyEntry
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_unit import cat_command, command_of
from ansible_collections.netfleet.tcp.plugins.module_utils._model import FileState
from ansible_collections.netfleet.tcp.plugins.module_utils._sysctl_d import parse
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System

_ENABLED = "/etc/systemd/system/multi-user.target.wants/%s"
# What prints a version, and where it stands in that.
_VERSIONS: Dict[str, Tuple[str, str]] = {
    K3S: ("k3s", r"version (v\S+)"),
    RKE2: ("rke2", r"version (v\S+)"),
    STANDALONE: (_kube_process.NAME, r"(v\d\S+)"),
}
_SNAP, _SNAP_VERSION = "/snap/microk8s/current/meta/snap.yaml", r"^version: *'?\"?(v[^\s'\"]+)"
# Of these, kube-proxy is a part of the distribution's own program, or runs as a program of the host.
_ON_THE_HOST = (K3S, MICROK8S, STANDALONE)
# Arguments of k3s and RKE2 that decide about it. The first is a switch.
_OF_KUBE_PROXY = ("--disable-kube-proxy", "--kube-proxy-arg", "--config", "-c")
_PROTOCOLS = "/etc/protocols"
_SYSCTL_DIRECTORY = "/etc/sysctl.d"


def observe_kube(
    system: System, distribution: str = "", metrics: str = METRICS, healthz: str = HEALTHZ, entries: bool = True
) -> NodeSeen:
    """The node as it is. distribution: what the user says it is. entries: whether to read what it does with Services.

    HostError where nothing tells how kube-proxy runs here.
    """
    own_text = _unit_text(system)
    command = _command(own_text, STANDALONE_UNIT)
    of_unit = _kube_process.of_unit(system, STANDALONE_UNIT) if own_text else None
    signs = _signs(system, of_unit.arguments if of_unit else command[1:])
    place = find(signs, distribution)
    in_container = place.distribution not in _ON_THE_HOST
    running = _kube_process.of_pod(system) if in_container else of_unit
    tools = Tools(system, place.distribution)
    limits: List[str] = [] if system.facts()["root"] else ["this user is not root on the host, and sees a part of it"]
    told = told_apart(system, tools)
    kernel, foreign = told.kernel, told.foreign
    limits += kernel.limits
    mode = proxy_mode(system, metrics)
    modules = limits_of_modules(system)
    files = _files(system, place, limits)
    leftovers = kernel.leftovers(bool(foreign))
    found, unread = _entries(system, kernel, mode) if entries else ((), "")
    limits += [unread] if unread else []
    return NodeSeen(
        place=place,
        kernel=system.facts()["kernel"],
        kubernetes=_version(system, tools, place, _kube_process.program_for(of_unit, command)),
        in_container=in_container,
        node_name=_overridden(running) or _host_name(system),
        addresses=kernel.own_addresses,
        files=files,
        unit_text=unit_text(own_text) if place.kind == UNIT else "",
        arguments=_said_by_unit(system, place) or _arguments(place, signs, files),
        modules=tuple(name for name, limit in modules.items() if not limit),
        module_limits={name: limit for name, limit in modules.items() if limit},
        programs=tuple(name for name in _programs() if tools.has(name)),
        proxy_mode=mode,
        health=health(system, healthz),
        entries=found,
        entries_limit=unread,
        names_protocols=system.file_state(_PROTOCOLS).kind != "absent",
        bound=kernel.bound,
        leftovers=without_services(leftovers) if mode == IPTABLES else leftovers,
        foreign=foreign,
        own_servers=kernel.own_servers,
        managed_by_network_manager=_managed(system),
        sysctls=values_of(system, KEYS),
        own_sysctls=tuple(_own_sysctls(system)),
        timeouts=read_timeouts(system) if kernel.ipvs_text else {},
        limits=tuple(limits),
        stored=id_at(system, STORED),
        kept=id_at(system, KEPT),
    )


def _programs() -> Tuple[str, ...]:
    """Those that any mode needs."""
    return tuple(dict.fromkeys(name for mode in MODES for name in (*needed_programs(mode), *printing_programs(mode))))


def _is_there(system: System, unit: str) -> bool:
    return any(system.file_state(path % unit).kind != "absent" for path in (ACTIVE, _ENABLED))


def _unit_text(system: System) -> str:
    if not _is_there(system, STANDALONE_UNIT):
        return ""
    status, output, _error = system.run(cat_command(STANDALONE_UNIT))
    return output if status == 0 else ""


def _command(text: str, unit: str) -> List[str]:
    """The words of the command that a unit would start, as far as it tells."""
    try:
        return command_of(text, unit) if text else []
    except NetfleetError:
        return []


def _signs(system: System, arguments: Sequence[str]) -> Signs:
    return Signs(
        units=tuple(unit for unit in UNITS_TO_LOOK_AT if _is_there(system, unit)),
        paths=tuple(path for path in PATHS_TO_LOOK_AT if system.file_state(path).kind != "absent"),
        arguments=tuple(arguments),
    )


def _files(system: System, place: Place, limits: List[str]) -> Tuple[ProxyFile, ...]:
    if place.kind in (CONFIG_MAP, UNIT):
        return ()
    paths = [place.path]
    if place.kind == RANCHER_FILES:
        directory = place.path + ".d"
        paths += ["%s/%s" % (directory, name) for name in system.names(directory)]
    found: List[ProxyFile] = []
    for path in paths:
        text, why = system.read_or_why(path)
        if text is None:
            # Without a configuration of its own, k3s has none.
            if why or place.kind != RANCHER_FILES:
                limits.append("%s: %s" % (path, why or "is not there"))
            continue
        known = True
        if place.kind == RANCHER_FILES and not is_ours(FileState(path, "file", text=text)):
            text, known = rancher_text(text)
        if not known:
            limits.append("%s: is not written one key a line, so that secrets in it cannot be told" % path)
        found.append(ProxyFile(path, text))
    return tuple(found)


def _arguments(place: Place, signs: Signs, files: Sequence[ProxyFile]) -> Tuple[str, ...]:
    if place.kind == FLAGS_FILE:
        return tuple(word for file in files for word in file_arguments(file.text))
    return signs.arguments if place.kind in (CONFIG_FILE, UNIT) else ()


def _said_by_unit(system: System, place: Place) -> Tuple[str, ...]:
    """What the command of k3s or RKE2 says of kube-proxy, as --name=value; its other arguments may be secrets."""
    if place.kind != RANCHER_FILES:
        return ()
    status, output, _error = system.run(cat_command(place.unit))
    words = _command(output if status == 0 else "", place.unit)
    found: List[str] = []
    for word, following in zip(words, [*words[1:], ""]):
        name, equals, value = word.partition("=")
        if name in _OF_KUBE_PROXY:
            found.append("%s=%s" % (name, value if equals else "true" if name == _OF_KUBE_PROXY[0] else following))
    return tuple(found)


def _version(system: System, tools: Tools, place: Place, own_program: str) -> str:
    """kube-proxy's, by what the host has. own_program: that of its unit, if it has one."""
    if place.distribution == MICROK8S:
        match = re.search(_SNAP_VERSION, system.read(_SNAP) or "", re.MULTILINE)
        return match.group(1) if match else ""
    if place.distribution not in _VERSIONS:
        return ""
    name, pattern = _VERSIONS[place.distribution]
    program = (own_program if place.distribution == STANDALONE else "") or tools.path(name)
    # Of RKE2's tarball and others, the unit knows the way.
    status, output, _error = system.run([program or name, "--version"])
    match = re.search(pattern, output) if status == 0 else None
    return match.group(1) if match else ""


def _overridden(process: Optional[_kube_process.Process]) -> str:
    """The name of the node that kube-proxy was told, if it was told one."""
    return dict(pairs(process.arguments)).get("hostname-override", "") if process else ""


def _host_name(system: System) -> str:
    return (system.read("/proc/sys/kernel/hostname") or "").strip().lower()


def _entries(system: System, kernel: KernelSeen, mode: str) -> Tuple[Tuple[ProxyEntry, ...], str]:
    """What it does with Services, and why that cannot be read."""
    try:
        return entries_of(system, kernel, mode), ""
    except NetfleetError as error:
        return (), str(error)


def _managed(system: System) -> bool:
    """Whether NetworkManager runs and would take kube-ipvs0 for its own."""
    if system.file_state(ACTIVE % "NetworkManager.service").kind == "absent":
        return False
    texts: List[Optional[str]] = []
    for path in NETWORK_MANAGER_FILES:
        names = [path + name for name in system.names(path.rstrip("/"))] if path.endswith("/") else [path]
        texts += [system.read(name) for name in names if name.endswith(".conf")]
    return not left_alone(text for text in texts if text)


def _own_sysctls(system: System) -> List[SysctlLine]:
    """The lines of this collection's files, but for kube-proxy's own, that set one of the keys."""
    found: List[SysctlLine] = []
    for name in system.names(_SYSCTL_DIRECTORY):
        path = "%s/%s" % (_SYSCTL_DIRECTORY, name)
        state = system.file_state(path)
        if path == SYSCTL_FILE or state.kind != "file" or not is_ours(state):
            continue
        for key, line in parse(path, state.text, names=KEYS):
            if key in KEYS and line.value is not None:
                found.append(SysctlLine(key, line.value, line.place))
    return found
