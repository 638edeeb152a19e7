# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node's kernel has of kube-proxy, in any mode: read by the programs that the node has, and changed by nobody.

A program that is not there is only missed where the kernel could have something to tell by it. Nothing is run that
would load a module. Pure but for the System that is handed in.
"""

from __future__ import annotations

import re
from typing import Container, Dict, List, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._ipvs import with_affinities
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_iptables import parse_iptables
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_modes import IPTABLES, IPVS, K3S, MICROK8S, NFTABLES
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_nft import FAMILIES, list_command, parse_nft
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_residues import (
    NFT_TABLES,
    SET_NAMES,
    Leftovers,
    chains_in,
    servers_of,
    sets_in,
    tables_in,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_service import ACTIVE
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_table import (
    IPVS_INTERFACE,
    IPVS_TABLE,
    ProxyEntry,
    foreign_marks,
    interface_addresses,
    parse_ipvs,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._programs import must_run
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System

_DIRECTORIES = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
# What a distribution brings with it; its kube-proxy finds these too, after the host's own.
_OWN_DIRECTORIES: Dict[str, Tuple[str, ...]] = {
    K3S: ("/var/lib/rancher/k3s/data/current/bin", "/var/lib/rancher/k3s/data/current/bin/aux"),
    MICROK8S: tuple("/snap/microk8s/current/" + name for name in ("usr/sbin", "sbin", "usr/bin", "bin")),
}
# By program, what is called of it, where that has another name.
_CALLED = {"iptables": tuple("iptables%s-save" % kind for kind in ("-nft", "-legacy", ""))}
# By family: the prefix of iptables' programs, and where the kernel names the tables of the legacy kind.
_IPTABLES = {4: ("iptables", "/proc/net/ip_tables_names"), 6: ("ip6tables", "/proc/net/ip6_tables_names")}
_INCOMPATIBLE = re.compile(r"[Tt]able [`'](nat|filter|mangle)' is incompatible")
_ADDRESSES = ("-j", "address", "show")
NFT, IPSET = "nft", "ipset"
# What else uses IPVS.
_OTHERS = ("keepalived.service", "ldirectord.service", "ipvsadm.service")
_KEEPALIVED = "/etc/keepalived/keepalived.conf"
_USES_IPVS = re.compile(r"^\s*(virtual_server|include)", re.MULTILINE)
_MOST_NAMED = 3


class Tools:
    """The programs of a node. distribution: whose own ones count too."""

    def __init__(self, system: System, distribution: str = "") -> None:
        own = _OWN_DIRECTORIES.get(distribution, ())
        self._names = {directory: frozenset(system.names(directory)) for directory in (*_DIRECTORIES, *own)}

    def path(self, name: str) -> str:
        """Where a program is; empty where it is not."""
        return next(("%s/%s" % (directory, name) for directory, names in self._names.items() if name in names), "")

    def has(self, program: str) -> bool:
        """Whether a program is there, as a package has it: of iptables, what prints its rules."""
        return any(self.path(name) for name in _CALLED.get(program, (program,)))


@dataclass(frozen=True)
class Saved:
    """The rules of a family, as one of the kinds of iptables prints them. restore: the program that takes them."""

    restore: str
    family: int
    text: str


@dataclass(frozen=True)
class KernelSeen:
    """What the kernel has. addresses: by interface; servers: of IPVS, as they are; ipvs_text: its table.

    nft: the program's path, where it is there; limits: what could not be read, in words.
    """

    addresses: Dict[str, Tuple[str, ...]]
    saved: Tuple[Saved, ...]
    servers: Tuple[ProxyEntry, ...]
    ipvs_text: str
    tables: Tuple[str, ...]
    sets: Tuple[str, ...]
    nft: str = ""
    limits: Tuple[str, ...] = ()

    @property
    def own_addresses(self) -> Tuple[str, ...]:
        """The node's own: all but those on kube-ipvs0."""
        own = {one for name, found in self.addresses.items() if name != IPVS_INTERFACE for one in found}
        return tuple(sorted(own))

    @property
    def bound(self) -> Tuple[str, ...]:
        """The addresses on kube-ipvs0."""
        return self.addresses.get(IPVS_INTERFACE, ())

    @property
    def own_servers(self) -> Dict[str, Tuple[str, ...]]:
        """By address of the node, what IPVS serves on it beside kube-proxy's interface, as "tcp 6443".

        Those are NodePorts, or somebody else's. Nothing without that interface: then none is kube-proxy's.
        """
        found: Dict[str, List[str]] = {}
        own = {*self.own_addresses}.difference(self.bound) if IPVS_INTERFACE in self.addresses else set()
        for entry in self.servers:
            if entry.address in own:
                found.setdefault(entry.address, []).append("%s %d" % (entry.protocol, entry.port))
        return {address: tuple(served) for address, served in found.items()}

    def leftovers(self, ipvs_is_shared: bool) -> Leftovers:
        """What of kube-proxy is there. ipvs_is_shared: then servers on the node's own addresses may be somebody's."""
        theirs = self.bound if ipvs_is_shared or not self.bound else (*self.bound, *self.own_addresses)
        return Leftovers(
            chains=chains_in(each.text for each in self.saved),
            sets=self.sets,
            tables=self.tables,
            interface=IPVS_INTERFACE in self.addresses,
            servers=servers_of(self.servers, theirs),
        )


def look_at_kernel(system: System, tools: Tools) -> KernelSeen:
    """Read it all. HostError where a program prints what is not known."""
    modules = {line.split(" ", 1)[0] for line in (system.read("/proc/modules") or "").splitlines()}
    limits: List[str] = []
    ip = tools.path("ip")
    addresses = interface_addresses(must_run(system, [ip, *_ADDRESSES])) if ip else {}
    if not ip:
        limits.append("ip is not installed: addresses cannot be read")
    ipvs_text = system.read(IPVS_TABLE) or ""
    return KernelSeen(
        addresses=addresses,
        saved=_saved(system, tools, limits),
        servers=parse_ipvs(ipvs_text),
        ipvs_text=ipvs_text,
        tables=_tables(system, tools, modules, limits),
        sets=_sets(system, tools, modules, limits),
        nft=tools.path(NFT),
        limits=tuple(limits),
    )


def _saved(system: System, tools: Tools, limits: List[str]) -> Tuple[Saved, ...]:
    found: List[Saved] = []
    for family, (prefix, legacy_tables) in _IPTABLES.items():
        nft, legacy, plain = (tools.path(prefix + kind + "-save") for kind in ("-nft", "-legacy", ""))
        in_use = bool((system.read(legacy_tables) or "").strip())
        programs = [nft, *([legacy] if in_use else [])] if nft or legacy else [plain]
        for program in [each for each in programs if each]:
            status, output, error = system.run([program])
            if status:
                limits.append("%s: %s" % (program, error.strip() or "exit status %d" % status))
                continue
            for name in _INCOMPATIBLE.findall(output):
                limits.append("%s: the table %s has rules that it cannot print" % (program, name))
            found.append(Saved(program[: -len("save")] + "restore", family, output))
    if not found and not limits:
        limits.append("iptables is not installed: its chains cannot be read")
    return tuple(found)


def _tables(system: System, tools: Tools, modules: Container[str], limits: List[str]) -> Tuple[str, ...]:
    nft = tools.path(NFT)
    if nft:
        status, output, error = system.run([nft, *NFT_TABLES[1:]])
        if status == 0:
            return tables_in(output)
        limits.append("%s: %s" % (nft, error.strip() or "exit status %d" % status))
    elif "nf_tables" in modules:
        limits.append("nft is not installed: tables of nftables cannot be read")
    return ()


def _sets(system: System, tools: Tools, modules: Container[str], limits: List[str]) -> Tuple[str, ...]:
    # The program would load the module.
    if "ip_set" not in modules:
        return ()
    ipset = tools.path(IPSET)
    if not ipset:
        limits.append("ipset is not installed: sets cannot be read")
        return ()
    status, output, error = system.run([ipset, *SET_NAMES[1:]])
    if status:
        limits.append("%s: %s" % (ipset, error.strip() or "exit status %d" % status))
        return ()
    return sets_in(output)


def entries_of(system: System, seen: KernelSeen, mode: str) -> Tuple[ProxyEntry, ...]:
    """What the kernel does with Services by the rules of a mode; nothing of an unknown one.

    Of ipvs its virtual servers as they are: those on the node's own addresses are NodePorts, or somebody else's, which
    the settings of kube-proxy tell (see with_node_ports).
    HostError as above, and where the host has no program that prints them.
    """
    if mode == IPVS:
        return with_affinities(system, seen.servers)
    if (mode == IPTABLES and not seen.saved) or (mode == NFTABLES and not seen.nft):
        name, cure = ("nft", "install nftables") if mode == NFTABLES else ("iptables-save", "install iptables")
        raise host_error(name, "is not there, or prints nothing: the rules of the mode %s are not known" % mode, cure)
    if mode == IPTABLES:
        found: Dict[ProxyEntry, None] = {}
        for each in seen.saved:
            found.update(dict.fromkeys(parse_iptables(each.text, each.family)))
        return tuple(found)
    if mode == NFTABLES:
        commands = [[seen.nft, *list_command(family)[1:]] for family in FAMILIES if family in seen.tables]
        return tuple(entry for argv in commands for entry in parse_nft(must_run(system, argv)))
    return ()


def foreign_users(system: System, kernel: KernelSeen) -> Tuple[str, ...]:
    """Who else uses IPVS here, in words: its virtual servers are not kube-proxy's."""
    found: List[str] = []
    for unit in _OTHERS:
        if system.file_state(ACTIVE % unit).kind == "absent":
            continue
        # It does VRRP alone where it has no virtual servers.
        if unit != _OTHERS[0] or _USES_IPVS.search(system.read(_KEEPALIVED) or "include"):
            found.append("%s runs" % unit)
    marks = foreign_marks(kernel.ipvs_text)
    if marks:
        found.append("%d virtual servers go by a firewall mark" % marks)
    # On the node's own addresses kube-proxy has its NodePorts in the mode ipvs, and else nothing; kube-vip and lvscare
    # have the API server's there.
    known = {*kernel.bound, *kernel.own_addresses} if IPVS_INTERFACE in kernel.addresses else set()
    others = [str(entry) for entry in kernel.servers if entry.address not in known]
    if others and kernel.addresses:
        more = " and %d more" % (len(others) - _MOST_NAMED) if len(others) > _MOST_NAMED else ""
        named = ", ".join(others[:_MOST_NAMED]) + more
        found.append("virtual servers on addresses that kube-proxy has not bound: %s" % named)
    return tuple(found)
