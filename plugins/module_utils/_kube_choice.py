# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps a node from a mode of kube-proxy, and which mode `auto` is: for people, in words. Pure.

One mode is chosen for all nodes. Mixed modes work, and a change goes through them node by node, but a cluster that is
to be understood stays in one.
"""

from __future__ import annotations

from typing import Dict, Iterable, List, Sequence, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, Problem
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_modes import (
    DEPRECATED,
    IPTABLES,
    IPVS,
    NFTABLES,
    STABLE,
    Standing,
    Version,
    standing_of,
    version_of,
)

AUTO = "auto"
DEFAULT_SCHEDULER = "rr"
# Those that kube-proxy takes, in the order of its documentation.
SCHEDULERS = ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "dh", "sed", "nq", "mh")
# Best first. What comes last asks for nothing that the others do not ask for too.
_PREFERENCE = (NFTABLES, IPVS, IPTABLES)
_WHY: Dict[str, str] = {
    NFTABLES: "one look-up for any number of Services, and the mode that Kubernetes goes on with",
    IPVS: "one look-up for any number of Services, and schedulers that count connections",
    IPTABLES: "works wherever kube-proxy does",
}
# KEP-3866. kube-proxy looks at the version and ends with an error below.
OLDEST_KERNEL: Dict[str, Version] = {NFTABLES: (5, 13, 0)}
_IPVS_MODULES = ("ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_sh", "nf_conntrack")
# By the statements of its rules: ct, fib, masquerade, dnat, numgen, reject.
_NFTABLES_MODULES = ("nf_tables", "nft_chain_nat", "nft_ct", "nft_fib_ipv4", "nft_masq", "nft_nat", "nft_numgen")
# What prints the rules of a mode, by which they are verified. IPVS tells what it has without a program.
_PRINTING: Dict[str, Tuple[str, ...]] = {IPTABLES: ("iptables",), NFTABLES: ("nft",)}
# What it calls, besides iptables. Where it runs in a container, its image brings them.
_PROGRAMS: Dict[str, Tuple[str, ...]] = {IPVS: ("ipset",), NFTABLES: ("nft",)}
# By program, the package that has it, where that is called otherwise.
PACKAGES = {"nft": "nftables"}
_MOST_NAMED = 3


@dataclass(frozen=True)
class NetworkPlugin:
    """What is known of a network plugin. modes: those that it works with, with the reason where that is not all."""

    modes: Tuple[str, ...] = (IPTABLES, IPVS, NFTABLES)
    reason: str = ""
    source: str = ""


# The last one looks for kube-proxy's table in nftables, and starts anew in the other data plane where that changes.
CALICO, CALICO_NFTABLES, CALICO_AUTO = "calico", "calico-nftables", "calico-auto"
_CALICO_SOURCE = "Calico: nftables data plane"
# Those with limits; of any other, none is known.
PLUGINS: Dict[str, NetworkPlugin] = {
    CALICO: NetworkPlugin(
        (IPTABLES, IPVS),
        "Calico's iptables data plane does not work beside kube-proxy's nftables: its own has to be nftables as well",
        _CALICO_SOURCE,
    ),
    CALICO_NFTABLES: NetworkPlugin(
        (NFTABLES,), "Calico's nftables data plane needs kube-proxy in the mode nftables", _CALICO_SOURCE
    ),
}


@dataclass(frozen=True)
class NodeAbility:
    """What a node has. kubernetes: kube-proxy's version; kernel: its release. Both as the node says them.

    modules: those of needed_modules that are loaded, built in or can be loaded. programs: those of needed_programs that
    kube-proxy finds there; in_container: it runs in one, and brings them.
    scheduler: the one that it has in the mode ipvs.
    """

    name: str
    kubernetes: str
    kernel: str
    modules: Tuple[str, ...] = ()
    programs: Tuple[str, ...] = ()
    in_container: bool = True
    scheduler: str = DEFAULT_SCHEDULER


@dataclass(frozen=True)
class Cluster:
    """What holds for all nodes. plugin: the network plugin, as PLUGINS names it; gates: (name, on)."""

    distribution: str = ""
    plugin: str = ""
    gates: Tuple[Tuple[str, bool], ...] = ()


@dataclass(frozen=True)
class Choice:
    """A mode, and why it and no better one: (mode, reason) for each that was passed over."""

    mode: str
    reason: str
    passed_over: Tuple[Tuple[str, str], ...] = ()

    def __str__(self) -> str:
        others = "".join("; not %s: %s" % pair for pair in self.passed_over)
        return "%s: %s%s" % (self.mode, self.reason, others)


def needed_modules(mode: str, scheduler: str = DEFAULT_SCHEDULER) -> Tuple[str, ...]:
    """The kernel modules without which a mode does not work, or ends with an error at its start."""
    if mode == IPVS:
        chosen = "ip_vs_" + (scheduler or DEFAULT_SCHEDULER)
        return _IPVS_MODULES if chosen in _IPVS_MODULES else (*_IPVS_MODULES, chosen)
    return _NFTABLES_MODULES if mode == NFTABLES else ()


def needed_programs(mode: str) -> Tuple[str, ...]:
    """The programs that kube-proxy calls in a mode and not in every one."""
    return _PROGRAMS.get(mode, ())


def printing_programs(mode: str) -> Tuple[str, ...]:
    """The programs that the host needs so that what a mode has made can be read, wherever kube-proxy runs."""
    return _PRINTING.get(mode, ())


def standing_on(mode: str, node: NodeAbility, cluster: Cluster) -> Standing:
    """Where the version of a node's kube-proxy stands with a mode. InputError where it is no version."""
    version = version_of(node.kubernetes, "%s: version of kube-proxy" % node.name)
    return standing_of(mode, version, dict(cluster.gates), cluster.distribution)


def obstacles(mode: str, nodes: Iterable[NodeAbility], cluster: Cluster) -> List[Problem]:
    """All that keeps these nodes from a mode, by node; the path is the node's name, or empty for the whole cluster."""
    found: List[Problem] = []
    plugin = PLUGINS.get(cluster.plugin, NetworkPlugin())
    if mode not in plugin.modes:
        found.append(Problem("", plugin.reason))
    for node in nodes:
        found.extend(Problem(node.name, problem, cure) for problem, cure in _obstacles_of(mode, node, cluster))
    return found


def _obstacles_of(mode: str, node: NodeAbility, cluster: Cluster) -> Iterable[Tuple[str, str]]:
    standing = standing_on(mode, node, cluster)
    if standing.refused:
        cure = "switch the feature gate %s on" % standing.gate if standing.gate else ""
        yield "kube-proxy %s refuses %s: %s" % (node.kubernetes, mode, standing.reason), cure
    oldest = OLDEST_KERNEL.get(mode)
    if oldest and version_of(node.kernel, "%s: kernel" % node.name) < oldest:
        yield "%s needs kernel %d.%d, this is %s" % (mode, oldest[0], oldest[1], node.kernel), ""
    lacking = [name for name in needed_modules(mode, node.scheduler) if name not in node.modules]
    if lacking:
        cure = "install the package of this kernel that has them"
        yield "%s needs modules that this kernel does not have: %s" % (mode, ", ".join(lacking)), cure
    programs = [name for name in needed_programs(mode) if name not in node.programs and not node.in_container]
    if programs:
        yield "%s needs programs that are not there: %s" % (mode, ", ".join(programs)), "install them"


def choose(nodes: Sequence[NodeAbility], cluster: Cluster) -> Choice:
    """The mode that `auto` is: the best one that is stable and not deprecated, and that every node can run.

    InputError where there is no node, or no mode that all of them can run, with what keeps each mode away.
    """
    if not nodes:
        raise InputError([Problem("mode", "auto chooses by the nodes, and there is none")])
    passed_over: List[Tuple[str, str]] = []
    for mode in _PREFERENCE:
        against = _against(mode, nodes, cluster)
        if not against:
            return Choice(mode, _WHY[mode], tuple(passed_over))
        passed_over.append((mode, against))
    raise InputError([Problem("mode: auto", "not %s: %s" % pair) for pair in passed_over])


def _against(mode: str, nodes: Sequence[NodeAbility], cluster: Cluster) -> str:
    """Why auto does not choose a mode, or ""."""
    by_reason: Dict[str, List[str]] = {}
    for problem in obstacles(mode, nodes, cluster):
        by_reason.setdefault(problem.problem, []).append(problem.path)
    for node in nodes:
        standing = standing_on(mode, node, cluster)
        if not standing.refused and (standing.standing == DEPRECATED or standing.stage != STABLE):
            by_reason.setdefault(standing.reason, []).append(node.name)
    return "; ".join(reason + _named(names) for reason, names in by_reason.items())


def _named(names: Sequence[str]) -> str:
    shown = [name for name in names if name]
    if not shown:
        return ""
    more = len(shown) - _MOST_NAMED
    return " (%s%s)" % (", ".join(shown[:_MOST_NAMED]), " and %d more" % more if more > 0 else "")
