# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps nodes from a change of kube-proxy, all of it at once and by node, before any of them is touched. Pure.

Runs on the controller alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Dict, List, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import Problem
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_choice import (
    DEFAULT_SCHEDULER,
    PACKAGES,
    Cluster,
    NodeAbility,
    needed_modules,
    needed_programs,
    obstacles,
    printing_programs,
    standing_on,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_model import HEALTHZ, METRICS, NodeSeen
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_modes import (
    DEPRECATED,
    IPTABLES,
    IPVS,
    MODES,
    NFTABLES,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_residues import unread_of
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_service import ANSWERED
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_settings import SCHEDULER
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_sysctls import KEEPALIVE, fights, short_of_keepalive
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_table import any_like, in_networks, networks_of, place
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_cluster import Around, NodeInfo

# The kernel forgets them with the virtual servers, which kube-proxy itself removes on the way to nftables.
_ENDS_CONNECTIONS = "connections to Services that the node carries by ipvs end when it leaves that mode"
# What the user may say that he knows of (kube_proxy_tolerate): it is a warning then.
FOREIGN_IPVS, STRICT_ARP, DNS_CACHE, SYSCTLS, NOT_READY = (
    "foreign_ipvs",
    "strict_arp",
    "dns_cache",
    "sysctls",
    "not_ready",
)
TOLERABLE = (FOREIGN_IPVS, STRICT_ARP, DNS_CACHE, SYSCTLS, NOT_READY)
_MOST_NAMED = 3
# nft has numbers for protocols then, kube-proxy has names: it removes what it does not know as its own.
_NO_NAMES = "/etc/protocols is not there: kube-proxy would lose all Services when it starts again in this mode"
_NOT_PRINTED = (
    "%s is not there: the rules that kube-proxy makes in this mode could not be verified, nor taken away later"
)
_NO_SIGHT = "%s is not there: what the mode %s leaves could not be seen, nor taken away"


@dataclass(frozen=True)
class Member:
    """A host of the play that is a node. settings: those of its kube-proxy now; node: by the API, if that was asked.

    install: programs that are missing are installed, once nothing stands in the way. metrics, healthz: where its
    kube-proxy is asked; an empty healthz: it is not asked for its health.
    """

    host: str
    seen: NodeSeen
    settings: Mapping[str, Any]
    node: NodeInfo = NodeInfo("")
    install: bool = False
    metrics: str = METRICS
    healthz: str = HEALTHZ

    @property
    def ability(self) -> NodeAbility:
        """What it has for a choice of mode, or will have before it is changed."""
        found = self.seen.ability(self.host, self.node.kubernetes)
        everything = tuple(program for mode in MODES for program in needed_programs(mode))
        return replace(found, programs=everything) if self.install else found

    def able(self, want: Mapping[str, Any]) -> NodeAbility:
        """The same, with the scheduler that it has once it has the settings that are wanted."""
        return replace(self.ability, scheduler=str(self.after(want).get(SCHEDULER) or DEFAULT_SCHEDULER))

    def lacking(self, mode: str) -> Tuple[str, ...]:
        """The programs that a mode needs of the node, and that are not there.

        Where kube-proxy brings its own: what prints its rules, which are verified, and taken away later. And in any
        case what shows that which the mode that runs now would leave.
        """
        called = () if self.seen.in_container else needed_programs(mode)
        lacking = [each for each in (*called, *printing_programs(mode)) if each not in self.seen.programs]
        return tuple(dict.fromkeys((*lacking, *self.unseen(mode))))

    def unseen(self, mode: str) -> Tuple[str, ...]:
        """The programs without which nobody sees what the mode that runs now leaves on the way to another."""
        unread = unread_of(self.seen.leftovers, self.seen.proxy_mode, mode)
        return tuple(each.program for each in unread if each.program)

    @property
    def left_to_others(self) -> Tuple[str, ...]:
        """The virtual servers on the node's addresses that the mode ipvs leaves to somebody else, by its excludeCIDRs.

        Without NodePorts: what is served on an address outside of these networks too.
        """
        networks = networks_of(self.settings.get("ipvs.excludeCIDRs") or ())
        if self.seen.proxy_mode != IPVS or not networks:
            return ()
        inside: List[Tuple[str, str]] = []
        outside = set()
        for address, served in self.seen.own_servers.items():
            if in_networks(address, networks):
                inside += [(address, each) for each in served]
            else:
                outside |= {(any_like(address), each) for each in served}
        found = [_server(address, each) for address, each in inside if (any_like(address), each) not in outside]
        return ("%s (in ipvs.excludeCIDRs)" % some(found),) if found else ()

    def after(self, want: Mapping[str, Any]) -> Dict[str, Any]:
        """Its settings with those that are wanted."""
        return {**self.settings, **want}


def _server(address: str, served: str) -> str:
    """A virtual server in words. served: as NodeSeen has it, "tcp 6443"."""
    protocol, _space, port = served.partition(" ")
    return "%s %s" % (protocol, place(address, int(port)))


@dataclass(frozen=True)
class Report:
    """What stands in the way (the path is the host, or empty for the cluster), and what is only to be said."""

    problems: Tuple[Problem, ...] = ()
    warnings: Tuple[str, ...] = ()


def preflight(
    members: Sequence[Member],
    mode: str,
    want: Mapping[str, Any],
    cluster: Cluster,
    around: Around,
    tolerated: Iterable[str] = (),
) -> Report:
    """All of it. want: checked settings with the mode; tolerated: of TOLERABLE. InputError for a wrong version."""
    problems: List[Problem] = []
    warnings: List[str] = []
    for problem in obstacles(mode, [member.able(want) for member in members], cluster):
        problems.append(problem)
    for member in members:
        problems += _limits(member, mode, member.able(want).scheduler)
        if mode == NFTABLES and not (member.seen.in_container or member.seen.names_protocols):
            problems.append(Problem(member.host, _NO_NAMES, "install what has it, such as netbase of Debian"))
        problems += _asked_elsewhere(member)
    for name, problem in _tolerable(members, mode, want, around):
        if name in tolerated:
            warnings.append(str(problem))
        else:
            cure = "%s%skube_proxy_tolerate: [%s] goes on all the same" % (
                problem.cure,
                "; " * bool(problem.cure),
                name,
            )
            problems.append(Problem(problem.path, problem.problem, cure))
    return Report(tuple(problems), (*warnings, *_warnings(members, mode, want, cluster)))


def unverifiable(member: Member, mode: str) -> Iterator[Problem]:
    """Why nobody could verify what becomes of a node that is to change: programs are missing or fail.

    But for what kube-proxy itself calls on a host: that is said by obstacles.
    """
    for each in unread_of(member.seen.leftovers, member.seen.proxy_mode, mode):
        if not each.program:
            text = "what the mode %s leaves could not be seen, nor taken away: %s"
            yield Problem(member.host, text % (member.seen.proxy_mode, each.why))
    if member.install:
        return
    called = () if member.seen.in_container else needed_programs(mode)
    unseen = member.unseen(mode)
    for program in member.lacking(mode):
        cure = "install %s, or leave kube_proxy_install true" % PACKAGES.get(program, program)
        if program in unseen:
            yield Problem(member.host, _NO_SIGHT % (program, member.seen.proxy_mode), cure)
        elif program not in called:
            yield Problem(member.host, _NOT_PRINTED % program, cure)


def _limits(member: Member, mode: str, scheduler: str) -> Iterator[Problem]:
    """Why modules that are needed cannot be loaded, where that is known."""
    for module in needed_modules(mode, scheduler):
        limit = member.seen.module_limits.get(module)
        if limit and module not in member.seen.modules:
            yield Problem(member.host, "%s: %s" % (module, limit))


def _asked_elsewhere(member: Member) -> Iterator[Problem]:
    """That kube-proxy runs, and is not asked where it answers: no change of it could ever be verified."""
    mode, health = member.seen.proxy_mode, member.seen.health
    if member.healthz and not (mode or health):
        text = "kube-proxy is healthy at %s, and does not tell its mode at %s" % (member.healthz, member.metrics)
        yield Problem(member.host, text, "set kube_proxy_metrics to its metricsBindAddress")
    if mode and health and ANSWERED not in health:
        cure = "set kube_proxy_healthz to its healthzBindAddress, or to nothing where it has none"
        yield Problem(member.host, "kube-proxy tells its mode, and not its health, at %s" % health, cure)


def _tolerable(
    members: Sequence[Member], mode: str, want: Mapping[str, Any], around: Around
) -> Iterator[Tuple[str, Problem]]:
    if mode == IPVS and around.dns_cache:
        text = "NodeLocal DNSCache listens on %s, which kube-ipvs0 has in the mode ipvs" % around.dns_cache
        yield DNS_CACHE, Problem("", text, "deploy its variant for ipvs first")
    if mode == IPVS and around.strict_arp:
        without = [member.host for member in members if not member.after(want).get("ipvs.strictARP")]
        if without:
            text = "%s needs strict ARP in the mode ipvs, or every node answers for its addresses"
            yield STRICT_ARP, Problem("", text % ", ".join(around.strict_arp), "set kube_proxy_strict_arp: true")
    for member in members:
        others = member.seen.foreign if _touches_others(member, mode, want) else ()
        if mode == NFTABLES:
            others = (*others, *member.left_to_others)
        if others:
            text = "IPVS has other users, whose virtual servers would be lost: %s" % "; ".join(others)
            yield FOREIGN_IPVS, Problem(member.host, text, "move them to another host")
        for line in fights(member.seen.own_sysctls, mode, member.after(want), member.seen.kernel):
            yield SYSCTLS, Problem(member.host, line, "leave it to kube-proxy, by tcp_tuning_overrides or its profile")
        if not member.node.ready:
            yield NOT_READY, Problem(member.host, "its node is not Ready", "mend it, or leave it out with --limit")


def _touches_others(member: Member, mode: str, want: Mapping[str, Any]) -> bool:
    """Whether the change, or the mode at each start, removes virtual servers that are not kube-proxy's."""
    former = member.seen.proxy_mode
    if mode == IPTABLES:
        # Moving on from ipvs needs a clean-up, which flushes all of them.
        return former not in (IPTABLES, NFTABLES)
    # At each start in the mode nftables everything of IPVS is flushed; ipvs removes what it has not made itself.
    return not (mode == former == IPVS and member.after(want).get("ipvs.excludeCIDRs"))


def _warnings(members: Sequence[Member], mode: str, want: Mapping[str, Any], cluster: Cluster) -> Iterator[str]:
    told: Dict[str, List[str]] = {}
    for member in members:
        standing = standing_on(mode, member.ability, cluster)
        if standing.standing == DEPRECATED and not standing.refused:
            told.setdefault(str(standing), []).append(member.host)
        short = short_of_keepalive(mode, member.after(want), member.seen.sysctls.get(KEEPALIVE))
        if short:
            told.setdefault("%s: set net.ipv4.tcp_keepalive_time, or kube_proxy_tcp_timeout" % short, []).append(
                member.host
            )
        if member.seen.proxy_mode == IPVS != mode:
            told.setdefault(_ENDS_CONNECTIONS, []).append(member.host)
        if not member.seen.proxy_mode:
            told.setdefault("kube-proxy does not answer now: %s" % (member.seen.health or "at all"), []).append(
                member.host
            )
        for limit in member.seen.limits:
            told.setdefault(limit, []).append(member.host)
    for text, hosts in told.items():
        yield "%s (%s)" % (text, some(hosts))


def some(names: Sequence[str]) -> str:
    """A few of many names."""
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (" and %d more" % more if more > 0 else "")
