# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node and its kube-proxy as data: what was seen of it, what it is to change, and what came of that. Pure.

Travels between controller and host by to_wire and from_wire (see _model), so it is annotated for Python 3.8.
"""

from __future__ import annotations

import hashlib
from dataclasses import field
from typing import Any, Dict, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_choice import NodeAbility
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_find import Place
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_flags import read_flags
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_residues import Leftovers, Residue, residues
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_table import ProxyEntry

# Where kube-proxy answers, unless its configuration says something else.
METRICS, HEALTHZ = "127.0.0.1:10249", "127.0.0.1:10256"


# Of what has another fingerprint by the time it is to be written.
EDITED = "somebody has changed it since this run looked at it"


def fingerprint(text: str) -> str:
    """By what a text is known again, on its host and on the controller, which has it as _exit.printable makes it."""
    printable = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return hashlib.sha256(printable.encode()).hexdigest()


@dataclass(frozen=True)
class ProxyFile:
    """A file that has to do with kube-proxy's configuration, as it is; what may be a secret in it is masked."""

    path: str
    text: str


@dataclass(frozen=True)
class SysctlLine:
    """A key that a file of this collection sets at boot. where: file:line."""

    key: str
    value: str
    where: str


@dataclass(frozen=True)
class NodeSeen:
    """A node, looked at once.

    kernel: its release. kubernetes: kube-proxy's version by the binary of the node, empty where that does not tell (it
    runs in a container: then the API tells it). in_container: it brings its own programs.
    node_name: what the API should call the node; addresses: its own, but for IPv6's of links alone, and kube-ipvs0's.
    files: all that a change is worked out from: YAML, or a file of flags; none where the API holds the configuration.
    unit_text: `systemctl cat` of the unit, where its arguments are the configuration.
    arguments: those that kube-proxy has there, where a unit or a file of flags tells them; of k3s and RKE2, what their
    own unit says of kube-proxy.
    modules: those of any mode and scheduler that are loaded, built in or can be loaded; module_limits: by module, what
    keeps the others from being loaded. programs: those of any mode that are there
    (needed_programs, printing_programs).
    proxy_mode: by its own answer, empty where it gives none. health: empty where it is healthy, else why not.
    entries: of the mode that runs, NodePorts in the shape of ANY, but those of ipvs, which are on the node's addresses;
    entries_limit: why they could not be read.
    names_protocols: whether the host has /etc/protocols. bound: the addresses on kube-ipvs0.
    foreign: who else uses IPVS here, in words. own_servers: where kube-ipvs0 is there, by address of the node what IPVS
    serves on it ("tcp 6443"): NodePorts, or what only the settings tell to be somebody else's.
    managed_by_network_manager: kube-ipvs0 is, or would be.
    sysctls: the keys of _kube_sysctls.KEYS by name, those that this kernel has. own_sysctls: what files of this
    collection set of the keys that kube-proxy sets (see _kube_sysctls.fights).
    timeouts: those of ipvs in seconds, tcp, tcp_fin and udp, where IPVS is there.
    limits: what could not be looked at, in words.
    stored: id of the change that waits for its end; kept: of the one that can still be taken back (see _kube_change).
    """

    place: Place
    kernel: str = ""
    kubernetes: str = ""
    in_container: bool = True
    node_name: str = ""
    addresses: Tuple[str, ...] = ()
    files: Tuple[ProxyFile, ...] = ()
    unit_text: str = ""
    arguments: Tuple[str, ...] = ()
    modules: Tuple[str, ...] = ()
    module_limits: Dict[str, str] = field(default_factory=dict)
    programs: Tuple[str, ...] = ()
    proxy_mode: str = ""
    health: str = ""
    entries: Tuple[ProxyEntry, ...] = ()
    entries_limit: str = ""
    names_protocols: bool = True
    bound: Tuple[str, ...] = ()
    leftovers: Leftovers = Leftovers()
    foreign: Tuple[str, ...] = ()
    own_servers: Dict[str, Tuple[str, ...]] = field(default_factory=dict)
    managed_by_network_manager: bool = False
    sysctls: Dict[str, str] = field(default_factory=dict)
    own_sysctls: Tuple[SysctlLine, ...] = ()
    timeouts: Dict[str, int] = field(default_factory=dict)
    limits: Tuple[str, ...] = ()
    stored: str = ""
    kept: str = ""

    @property
    def settings(self) -> Dict[str, Any]:
        """The settings in its arguments, checked. InputError where they are wrong."""
        return read_flags(self.arguments, self.place.path or self.place.unit)

    @property
    def residues(self) -> Tuple[Residue, ...]:
        """What other modes than the one that runs have left; none where it is not known which one runs."""
        return residues(self.leftovers, self.proxy_mode) if self.proxy_mode else ()

    def ability(self, name: str, kubernetes: str = "") -> NodeAbility:
        """What it has for a choice of mode. kubernetes: its version by the API, where the node does not tell it."""
        return NodeAbility(
            name=name,
            kubernetes=self.kubernetes or kubernetes,
            kernel=self.kernel,
            modules=self.modules,
            programs=self.programs,
            in_container=self.in_container,
        )


@dataclass(frozen=True)
class ProxyChange:
    """What a node is to do. mode: the one that kube-proxy is to run.

    place: as it was seen. path, text: the file that brings it, which is removed where text is empty; without a path no
    file of the node brings it (its pod does), and only what the mode needs of the node is made.
    was: by the fingerprint of this text of the file it was worked out; empty where the file is ours alone.
    modules: to be loaded, now and at boot; sysctls: to be set, now and at boot. unmanaged: NetworkManager is told to
    leave kube-ipvs0 alone. excluded: ipvs.excludeCIDRs, whose virtual servers are somebody else's, in every mode.
    metrics, healthz: where kube-proxy answers. seconds: for which it may take to come up.
    """

    mode: str
    place: Place
    path: str = ""
    text: str = ""
    modules: Tuple[str, ...] = ()
    sysctls: Dict[str, str] = field(default_factory=dict)
    unmanaged: bool = False
    excluded: Tuple[str, ...] = ()
    was: str = ""
    metrics: str = METRICS
    healthz: str = HEALTHZ
    seconds: float = 60.0


@dataclass(frozen=True)
class FileChange:
    """A file before and after, for a diff; None where there is none."""

    path: str
    before: Optional[str] = None
    after: Optional[str] = None


@dataclass(frozen=True)
class ProxyOutcome:
    """What became of a change. id: of what is kept for the way back, empty where nothing is (see restore and keep).

    files: those that differ, or would; modules, sysctls: what was made for it. restarted: kube-proxy was, or would be.
    former_mode: the one that ran. removed: residues of it that were taken away, by their names.
    warnings: what was not done, and does not stand in the way.
    """

    id: str = ""
    files: Tuple[FileChange, ...] = ()
    modules: Tuple[str, ...] = ()
    sysctls: Tuple[str, ...] = ()
    restarted: bool = False
    former_mode: str = ""
    removed: Tuple[str, ...] = ()
    warnings: Tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        return bool(self.files or self.modules or self.sysctls or self.restarted or self.removed)


@dataclass(frozen=True)
class ServiceToTry:
    """A Service to which connections are to be made from a node, over TCP. endpoints: those that it should lead to.

    each: whether every one has to be met; not so where a client stays with one (affinity, or the scheduler's hash), or
    the scheduler goes by the connections that an endpoint has.
    """

    name: str
    address: str
    port: int
    endpoints: Tuple[str, ...] = ()
    each: bool = True


@dataclass(frozen=True)
class ServiceTried:
    """What became of it. met: the endpoints that connections were taken to, as the kernel's conntrack says.

    failed: of so many connections, in words: "connection refused (3 times)". untold: connections that were made, of
    which the kernel did not say where to. in_time: whether the time sufficed for all that was to be tried.
    """

    name: str
    address: str
    port: int
    connections: int = 0
    met: Tuple[str, ...] = ()
    failed: Tuple[str, ...] = ()
    untold: int = 0
    in_time: bool = True
    problems: Tuple[str, ...] = ()
