# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node's kernel has of kube-proxy, in any mode: read by the programs that the node has, and changed by nobody.

A program that is not there is only missed where the kernel could have something to tell by it. Nothing is run that
would load a module. Pure but for the System that is handed in.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Container, Dict, List, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._ipvs import with_affinities
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_iptables import parse_iptables
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_modes import IPTABLES, IPVS, K3S, MICROK8S, NFTABLES
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_modules import missing_modules
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_nft import FAMILIES, list_command, parse_nft
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_residues import (
    CHAINS,
    INTERFACE,
    NFT_TABLES,
    SET_NAMES,
    SETS,
    TABLE,
    Leftovers,
    Unread,
    chains_in,
    named_in,
    named_of,
    names_servers,
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

    nft: the program's path, where it is there; unread: what could not be read; without a kind, nothing of kube-proxy's
    can be there. named: of the servers, those that kube-proxy's ipsets name, where that was asked (see told_apart).
    """

    addresses: Dict[str, Tuple[str, ...]]
    saved: Tuple[Saved, ...]
    servers: Tuple[ProxyEntry, ...]
    ipvs_text: str
    tables: Tuple[str, ...]
    sets: Tuple[str, ...]
    nft: str = ""
    unread: Tuple[Unread, ...] = ()
    named: Tuple[ProxyEntry, ...] = ()

    @property
    def limits(self) -> Tuple[str, ...]:
        """What could not be read, in words."""
        return tuple(each.why for each in self.unread)

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

        Those are NodePorts, or somebody else's. Nothing without that interface: then kube-proxy does not run in ipvs.
        """
        found: Dict[str, List[str]] = {}
        own = {*self.own_addresses}.difference(self.bound) if IPVS_INTERFACE in self.addresses else set()
        for entry in self.servers:
            if entry.address in own:
                found.setdefault(entry.address, []).append("%s %d" % (entry.protocol, entry.port))
        return {address: tuple(served) for address, served in found.items()}

    def leftovers(self, ipvs_is_shared: bool) -> Leftovers:
        """What of kube-proxy is there. ipvs_is_shared: then servers on the node's own addresses may be somebody's."""
        addresses = self.bound if ipvs_is_shared or not self.bound else (*self.bound, *self.own_addresses)
        on_addresses = servers_of(self.servers, addresses)
        return Leftovers(
            chains=chains_in(each.text for each in self.saved),
            sets=self.sets,
            tables=self.tables,
            interface=IPVS_INTERFACE in self.addresses,
            servers=tuple(sorted({*on_addresses, *map(str, self.named)})),
            unread=tuple(each for each in self.unread if each.kind),
        )


def look_at_kernel(system: System, tools: Tools) -> KernelSeen:
    """Read it all. HostError where a program prints what is not known."""
    modules = {line.split(" ", 1)[0] for line in (system.read("/proc/modules") or "").splitlines()}
    unread: List[Unread] = []
    ip = tools.path("ip")
    addresses = interface_addresses(must_run(system, [ip, *_ADDRESSES])) if ip else {}
    if not ip:
        unread.append(Unread(INTERFACE, "ip is not installed: addresses cannot be read"))
    ipvs_text = system.read(IPVS_TABLE) or ""
    return KernelSeen(
        addresses=addresses,
        saved=_saved(system, tools, modules, unread),
        servers=parse_ipvs(ipvs_text),
        ipvs_text=ipvs_text,
        tables=_tables(system, tools, modules, unread),
        sets=_sets(system, tools, modules, unread),
        nft=tools.path(NFT),
        unread=tuple(unread),
    )


def _saved(system: System, tools: Tools, modules: Container[str], unread: List[Unread]) -> Tuple[Saved, ...]:
    found: List[Saved] = []
    tried, legacy_in_use = False, False
    for family, (prefix, legacy_tables) in _IPTABLES.items():
        nft, legacy, plain = (tools.path(prefix + kind + "-save") for kind in ("-nft", "-legacy", ""))
        in_use = bool((system.read(legacy_tables) or "").strip())
        legacy_in_use = legacy_in_use or in_use
        programs = [nft, *([legacy] if in_use else [])] if nft or legacy else [plain]
        for program in [each for each in programs if each]:
            tried = True
            status, output, error = system.run([program])
            if status:
                # What a kernel does not have at all holds no chains.
                empty = program == nft and not _is_in_kernel(system, modules, "nf_tables")
                why = "%s: %s" % (program, error.strip() or "exit status %d" % status)
                unread.append(Unread("" if empty else CHAINS, why))
                continue
            for name in _INCOMPATIBLE.findall(output):
                # kube-proxy's own iptables could not have made chains there either.
                unread.append(Unread("", "%s: the table %s has rules that it cannot print" % (program, name)))
            found.append(Saved(program[: -len("save")] + "restore", family, output))
    if not tried and (legacy_in_use or _is_in_kernel(system, modules, "nf_tables")):
        unread.append(Unread(CHAINS, "iptables is not installed: its chains cannot be read", "iptables"))
    return tuple(found)


def _is_in_kernel(system: System, modules: Container[str], name: str) -> bool:
    """Whether a module is loaded (modules: those that are), or built in. Asked where a program is missing, or fails."""
    return name in modules or not missing_modules(system, (name,))


def _tables(system: System, tools: Tools, modules: Container[str], unread: List[Unread]) -> Tuple[str, ...]:
    nft = tools.path(NFT)
    if nft:
        status, output, error = system.run([nft, *NFT_TABLES[1:]])
        if status == 0:
            return tables_in(output)
        unread.append(Unread(TABLE, "%s: %s" % (nft, error.strip() or "exit status %d" % status)))
    elif _is_in_kernel(system, modules, "nf_tables"):
        unread.append(Unread(TABLE, "nft is not installed: tables of nftables cannot be read", NFT))
    return ()


def _sets(system: System, tools: Tools, modules: Container[str], unread: List[Unread]) -> Tuple[str, ...]:
    ipset = tools.path(IPSET)
    if not ipset:
        if _is_in_kernel(system, modules, "ip_set"):
            unread.append(Unread(SETS, "ipset is not installed: sets cannot be read", IPSET))
        return ()
    # The program would load the module.
    if "ip_set" not in modules:
        return ()
    status, output, error = system.run([ipset, *SET_NAMES[1:]])
    if status:
        unread.append(Unread(SETS, "%s: %s" % (ipset, error.strip() or "exit status %d" % status)))
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


@dataclass(frozen=True)
class ToldApart:
    """What a kernel has, and who else uses its IPVS, in words: virtual servers of those are not kube-proxy's."""

    kernel: KernelSeen
    foreign: Tuple[str, ...]


def told_apart(system: System, tools: Tools) -> ToldApart:
    """The kernel, as look_at_kernel reads it, and whose its virtual servers are.

    kube-proxy's ipsets name its own: one whose address somebody has taken from kube-ipvs0 is still known by them. They
    are read where others seem to use IPVS, which is seldom.
    """
    kernel = look_at_kernel(system, tools)
    foreign = _foreign_users(system, kernel)
    if not (foreign and kernel.servers and kernel.sets):
        return ToldApart(kernel, foreign)
    ipset = tools.path(IPSET)
    saved: List[str] = []
    unread = list(kernel.unread)
    for name in filter(names_servers, kernel.sets):
        status, output, error = system.run([ipset, "save", name])
        saved.append("" if status else output)
        if status:
            unread.append(Unread(SETS, "%s save %s: %s" % (ipset, name, error.strip() or "exit status %d" % status)))
    named = named_of(kernel.servers, named_in("".join(saved)))
    kernel = replace(kernel, named=named, unread=tuple(unread))
    return ToldApart(kernel, _foreign_users(system, kernel))


def _foreign_users(system: System, kernel: KernelSeen) -> Tuple[str, ...]:
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
    # On the node's own addresses kube-proxy has its NodePorts in the mode ipvs, and else what that has left, which sets
    # name; kube-vip and lvscare have the API server's there.
    known = {*kernel.bound, *kernel.own_addresses} if IPVS_INTERFACE in kernel.addresses else set()
    named = {entry.key for entry in kernel.named}
    others = [str(entry) for entry in kernel.servers if entry.address not in known and entry.key not in named]
    if others and kernel.addresses:
        more = " and %d more" % (len(others) - _MOST_NAMED) if len(others) > _MOST_NAMED else ""
        shown = ", ".join(others[:_MOST_NAMED]) + more
        found.append("virtual servers on addresses that kube-proxy has not bound: %s" % shown)
    return tuple(found)
