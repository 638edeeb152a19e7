# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What kube-proxy of a node is declared, runs, and does with Services: what differs, as findings.

Runs on the controller alone, and is loaded only for nodes of Kubernetes. Whatever the playbook kube_proxy would change
is a finding here, and so is what its verification would name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils import _rules as rules
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, NetfleetError, Problem
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_choice import AUTO, Cluster, standing_on
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_find import CONFIG_MAP
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_model import NodeSeen
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_modes import DEPRECATED
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_settings import FEATURE_GATES, MODE
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Change, Finding
from ansible_collections.netfleet.tcp.plugins.plugin_utils._findings import merged
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_api import Api
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_cluster import NodeInfo, find_node
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_configuration import read_configuration
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_daemon_set import SECOND, Sets, place_in
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_expected import NodeView, expected, follows_nodes
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_once import ClusterFacts, cluster_once, services_of
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_preflight import Member
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_rollout import plan_node
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_run import SETTINGS, checked, wanted
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_text import disabled, settings_of
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_verdict import (
    HEALTH,
    SERVICE,
    SETTING,
    Fault,
    faults,
    lasting,
)

SUBJECT = "kube_proxy"
GROUP = "kubernetes_nodes"
CURE = "run the playbook kube_proxy"
# By the names of the role's variables without their prefix.
NAMES = tuple(SETTINGS)
_MOST_SERVICES = 20
_RESIDUES = ("chains", "ipsets", "interface", "virtual servers", "nftables table")
_UNFINISHED = ("change", "netfleet.tcp/kube-proxy")


@dataclass(frozen=True)
class KubeCheck:
    """What is declared of a node's kube-proxy. problems: of the declaration itself."""

    host: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    problems: Tuple[Problem, ...] = ()

    @property
    def request(self) -> Dict[str, Any]:
        """The arguments of kube_proxy_info."""
        return {name: self.settings[name] for name in ("distribution", "metrics", "healthz")}


def kube_check(host: str, given: Mapping[str, Any]) -> KubeCheck:
    """The check of a host. given: the role's variables by NAMES, as far as there are any."""
    try:
        return KubeCheck(host, checked({name: given[name] for name in NAMES if name in given}))
    except InputError as error:
        return KubeCheck(host, problems=tuple(error.problems))


def kube_findings(
    check: KubeCheck, look: Callable[[], NodeSeen], connect: Callable[[], Api], directory: str, task: str
) -> Tuple[Finding, ...]:
    """Every finding on a node. look: at it, again where a Service differs; connect, directory, task: of the API."""
    if check.problems:
        return merged(_of_problem(problem, rules.DECLARATION) for problem in check.problems)
    try:
        seen = look()
    except NetfleetError as error:
        return merged(_of_problem(problem, rules.KUBE_PROXY_MODE) for problem in error.problems)
    if any("is not root" in limit for limit in seen.limits):
        text = "what the kernel does with Services is shown to root alone"
        return (Finding(SUBJECT, "kube-proxy", "note", text, rule=rules.FILE_UNJUDGED, cure="run the check as root"),)
    facts, unknown = ClusterFacts(none=_left_out(seen)), []
    if check.settings["api"] and not facts.none:
        name = "%s %s %s" % (task, check.settings["kubeconfig"], check.settings["context"])
        try:
            facts = cluster_once(connect, seen.place.distribution, directory, name)
        except NetfleetError as error:
            unknown = [_of_problem(each, rules.KUBE_PROXY_UNVERIFIED, "warning") for each in error.problems]
    if facts.none:
        # As the playbook says it, and changes nothing.
        text = "there is no kube-proxy: %s" % facts.none
        return (Finding(SUBJECT, "kube-proxy", "note", text, rule=rules.KUBE_PROXY_UNVERIFIED),)
    return merged([*unknown, *_Comparison(check, seen, facts, not unknown).findings(look, connect)])


def _left_out(seen: NodeSeen) -> str:
    """Why the node has no kube-proxy by its own files; empty where they cannot be read, which the comparison says."""
    try:
        return disabled(seen)
    except NetfleetError:
        return ""


def _of_problem(problem: Problem, rule: str, severity: str = "error") -> Finding:
    return Finding(SUBJECT, problem.path or "kube-proxy", severity, problem.problem, cure=problem.cure, rule=rule)


class _Comparison:
    """A node against what is declared of it. asked: whether the API has said anything."""

    def __init__(self, check: KubeCheck, seen: NodeSeen, facts: ClusterFacts, asked: bool) -> None:
        self._check = check
        self._seen = seen
        self._facts = facts
        self._asked = asked and bool(check.settings["api"])
        self._node = NodeInfo("")

    def findings(self, look: Callable[[], NodeSeen], connect: Callable[[], Api]) -> Iterator[Finding]:
        try:
            if self._asked:
                self._node = find_node(self._facts.nodes, self._check.host, self._seen, self._check.settings["node"])
            settings = self._settings(self._facts.sets)
        except NetfleetError as error:
            yield from (_of_problem(problem, rules.DECLARATION) for problem in error.problems)
            return
        declared = str(self._check.settings["mode"])
        # Which one auto is depends on all nodes; what is compared then is the one that runs.
        mode = self._seen.proxy_mode if declared == AUTO else declared
        if not mode:
            text = "kube-proxy does not answer"
            yield Finding(SUBJECT, MODE, "error", text, cure=CURE, rule=rules.KUBE_PROXY_MODE)
            return
        want = wanted(self._check.settings, mode)
        member = Member(self._check.host, self._seen, settings, self._node)
        yield from self._changes(member, want)
        yield from self._standing(member, mode)
        found: Sequence[Fault] = self._faults(
            self._seen, mode, member.after(want), self._facts.services, self._facts.slices
        )
        if self._asked and any(fault.kind == SERVICE for fault in found):
            # What the API had said was older than what the node has: only what still differs counts.
            try:
                again = self._faults(look(), mode, member.after(want), *services_of(connect()))
                found = lasting(again, found)
            except NetfleetError as error:
                yield from (_of_problem(each, rules.KUBE_PROXY_UNVERIFIED, "warning") for each in error.problems)
        yield from _of_faults(found)
        sets = self._facts.sets
        if sets and sets.begun:
            text = "a run has not come to its end: nodes still have the second DaemonSet, or are about to"
            yield Finding(SUBJECT, SECOND, "warning", text, cure=CURE, rule=rules.KUBE_PROXY_UNFINISHED)

    def _settings(self, sets: Optional[Sets]) -> Dict[str, Any]:
        if self._seen.place.kind != CONFIG_MAP:
            return settings_of(self._seen)
        if sets is None:
            return {}
        return read_configuration(sets.text_of(self._node.name), place_in(sets.config_map, sets.key))

    def _changes(self, member: Member, want: Mapping[str, Any]) -> Iterator[Finding]:
        in_api = self._seen.place.kind == CONFIG_MAP
        if in_api and self._facts.sets is None:
            # What is configured is not known; what runs is.
            if self._seen.proxy_mode != want[MODE]:
                yield self._of_change(Change(SUBJECT, MODE, str(want[MODE]), self._seen.proxy_mode or None), member)
            return
        try:
            plan = plan_node(member, want, self._check.settings, self._facts.sets, False)
        except NetfleetError as error:
            yield from (_of_problem(problem, rules.KUBE_PROXY_SETTINGS) for problem in error.problems)
            return
        for change in plan.changes:
            yield self._of_change(change, member)

    def _of_change(self, change: Change, member: Member) -> Finding:
        rule, severity = _rule_of(change)
        configured = member.settings.get(change.key) if change.subject != "sysctl" else None
        reason = "kube-proxy does not answer" if change.key == MODE and change.running is None else "is not as declared"
        of_its_files = rule in (rules.KUBE_PROXY_MODE, rules.KUBE_PROXY_SETTINGS)
        return Finding(
            subject=SUBJECT,
            key=change.key,
            severity=severity,
            reason=change.reason or reason,
            intended=change.want,
            running=change.running,
            boot=str(configured) if configured is not None else None,
            source=self._seen.place.path if of_its_files else "",
            takes_effect="now",
            cure=CURE,
            rule=rule,
        )

    def _standing(self, member: Member, mode: str) -> Iterator[Finding]:
        gates = tuple((member.settings.get(FEATURE_GATES) or {}).items())
        if not member.ability.kubernetes:
            return
        standing = standing_on(mode, member.ability, Cluster(self._seen.place.distribution, gates=gates))
        if standing.refused or standing.standing == DEPRECATED:
            severity = "error" if standing.refused else "note"
            yield Finding(SUBJECT, "version", severity, str(standing), rule=rules.KUBE_PROXY_VERSION, cure=CURE)

    def _faults(
        self,
        seen: NodeSeen,
        mode: str,
        settings: Mapping[str, Any],
        services: Sequence[Mapping[str, Any]],
        slices: Sequence[Mapping[str, Any]],
    ) -> List[Fault]:
        """Those that no change would name: of health, of Services, and of the kernel's values."""
        version = seen.kubernetes or self._node.kubernetes
        view = NodeView(self._node.name, self._node.zone, follows_nodes(version, settings.get(FEATURE_GATES) or {}))
        entries = expected(services, slices, view, mode) if self._asked else ()
        found = faults(seen, mode, settings, entries, self._asked)
        return [fault for fault in found if fault.kind in (HEALTH, SERVICE, SETTING)]


def _rule_of(change: Change) -> Tuple[str, str]:
    if change.subject == "sysctl" or change.want == "unmanaged":
        return rules.KUBE_PROXY_NODE, "error"
    if change.key in _RESIDUES:
        return rules.KUBE_PROXY_RESIDUE, "warning"
    if change.key in _UNFINISHED:
        return rules.KUBE_PROXY_UNFINISHED, "error"
    return (rules.KUBE_PROXY_MODE if change.key == MODE else rules.KUBE_PROXY_SETTINGS), "error"


def _of_faults(found: Sequence[Fault]) -> Iterator[Finding]:
    services = [fault for fault in found if fault.kind == SERVICE]
    for fault in found:
        if fault.kind == HEALTH:
            yield Finding(SUBJECT, "health", "error", fault.text, cure="see its log", rule=rules.KUBE_PROXY_MODE)
        if fault.kind == SETTING:
            cure = "kube-proxy sets it when it starts: restart it, and see its log"
            yield Finding(SUBJECT, fault.key, "error", fault.text, cure=cure, rule=rules.KUBE_PROXY_SETTINGS)
    for fault in services[:_MOST_SERVICES]:
        cure = "see kube-proxy's log on the node"
        yield Finding(SUBJECT, fault.key or "services", "error", fault.text, cure=cure, rule=rules.KUBE_PROXY_SERVICES)
    more = len(services) - _MOST_SERVICES
    if more > 0:
        text = "and %d more differences of Services" % more
        yield Finding(SUBJECT, "services", "error", text, rule=rules.KUBE_PROXY_SERVICES)
