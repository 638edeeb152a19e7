# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a run of the role kube_proxy: of all its nodes at once, before any of them is touched.

Runs on the controller alone. look_at_cluster asks the API, and changes nothing; the rest is pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Dict, List, Optional, Tuple, TypeVar

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass as wired
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, NetfleetError, Problem
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_choice import AUTO, Cluster, choose
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_find import CONFIG_MAP
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_model import NodeSeen
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_modes import IPVS
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_settings import FEATURE_GATES, MODE
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Change
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_api import (
    DAEMON_SETS,
    ENDPOINT_SLICES,
    NODES,
    PODS,
    SERVICES,
    SYSTEM_NAMESPACE,
    Api,
    Resource,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_cluster import (
    STATIC_PODS,
    Around,
    NodeInfo,
    dns_cache_address,
    find_nodes,
    needs_strict_arp,
    node_info,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_configuration import read_configuration, with_settings
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_daemon_set import (
    LEAVING,
    Sets,
    begin,
    place_in,
    serves,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_plugin import look_at_plugin
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_preflight import (
    Member,
    preflight,
    some,
    unverifiable,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_road import NEEDED, read_sets, served
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_rollout import (
    NodePlan,
    goes_home,
    plan_node,
    waves_of,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_run import (
    PREFIX,
    by_api,
    differing,
    needs_api,
    wanted,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_text import disabled, settings_of
from ansible_collections.netfleet.tcp.plugins.plugin_utils._waves import parse_waves

_TO_VERIFY: Tuple[Tuple[str, Resource], ...] = (
    ("list", SERVICES),
    ("list", ENDPOINT_SLICES),
    ("list", DAEMON_SETS),
    ("list", NODES),
)
# In the namespace of kube-system: for static pods.
_TO_LOOK_AROUND: Tuple[Tuple[str, Resource], ...] = (("list", PODS),)
_TO_CORDON: Tuple[Tuple[str, Resource], ...] = (("patch", NODES),)
_NOT_ASKED = Around()
_NO_VERSION = "which version of kube-proxy it has is not known"
_LEFT = "an earlier run has left these nodes without kube-proxy, and this one does not have them: %s"
_T = TypeVar("_T")


@dataclass(frozen=True)
class HostLook:
    """What a host was seen to be, and what it was told (_kube_run.checked)."""

    seen: NodeSeen
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class ClusterLook:
    """What the API says of the cluster. served: the nodes that have a kube-proxy of a DaemonSet."""

    nodes: Tuple[NodeInfo, ...] = ()
    around: Around = _NOT_ASKED
    sets: Optional[Sets] = None
    served: Tuple[str, ...] = ()


@wired(frozen=True)
class RunPlan:
    """What is to be done. none: why there is no kube-proxy to change. why: of the mode, in words.

    text: of the configuration that the cluster's own ConfigMap has in the end; home: it has it already. served: the
    nodes that had a kube-proxy of a DaemonSet. steps: what is done in the API before the first of them, for people.
    """

    mode: str = ""
    why: str = ""
    none: str = ""
    nodes: Tuple[NodePlan, ...] = ()
    waves: Tuple[Tuple[str, ...], ...] = ()
    warnings: Tuple[str, ...] = ()
    text: str = ""
    home: bool = False
    served: Tuple[str, ...] = ()
    steps: Tuple[str, ...] = ()

    @property
    def by_host(self) -> Dict[str, NodePlan]:
        """The plans of nodes by their hosts."""
        return {node.host: node for node in self.nodes}


def look_at_cluster(api: Api, distribution: str, cordon: bool = False) -> ClusterLook:
    """Everything that a plan needs of the API. cordon: whether nodes are to take no pods meanwhile.

    HostError where it cannot be asked, InputError with all that its user may not do.
    """
    lacking = [_permission(verb, resource) for verb, resource in _TO_VERIFY if not api.may(verb, resource)]
    more = NEEDED if by_api(distribution) else (*_TO_LOOK_AROUND, *(_TO_CORDON if cordon else ()))
    lacking += [
        "%s in %s" % (_permission(verb, resource), SYSTEM_NAMESPACE)
        if resource.namespaced
        else _permission(verb, resource)
        for verb, resource in more
        if (verb, resource) not in _TO_VERIFY
        and not api.may(verb, resource, SYSTEM_NAMESPACE if resource.namespaced else "")
    ]
    if lacking:
        text = "%s may not do what is needed: %s" % (api.user() or "this user", ", ".join(lacking))
        cure = "give it that in a role of RBAC, see docs/kube-proxy.md"
        raise InputError([Problem("Kubernetes API (%s)" % api.server, text, cure)])
    daemon_sets = api.list(DAEMON_SETS)
    plugin = look_at_plugin(api, daemon_sets)
    around = Around(
        api=True,
        plugin=plugin,
        strict_arp=needs_strict_arp((*daemon_sets, *api.list(PODS, SYSTEM_NAMESPACE, fields=STATIC_PODS))),
        dns_cache=dns_cache_address(daemon_sets, api.list(SERVICES, SYSTEM_NAMESPACE)),
    )
    # A server that is too old for them is found out before a node is touched.
    api.list(ENDPOINT_SLICES, SYSTEM_NAMESPACE)
    raw_nodes = api.list(NODES)
    nodes = tuple(node_info(node) for node in raw_nodes)
    if plugin.replaces or not by_api(distribution):
        return ClusterLook(nodes, around)
    sets = read_sets(api, distribution, raw_nodes)
    return ClusterLook(nodes, around, sets, served(api, sets))


def _permission(verb: str, resource: Resource) -> str:
    return "%s %s" % (verb, resource)


def plan_run(looks: Mapping[str, HostLook], cluster: ClusterLook) -> RunPlan:
    """The plan. InputError with every problem of every host, by host, where anything stands in the way."""
    settings = next(iter(looks.values())).settings
    distribution = distribution_of(looks)
    reasons = list(filter(None, [cluster.around.plugin.replaces, *(disabled(look.seen) for look in looks.values())]))
    if reasons:
        return RunPlan(none="there is no kube-proxy: %s" % reasons[0])
    configured = _configured(cluster.sets)
    members, problems = _members(looks, cluster, configured)
    if not members:
        raise InputError(problems)
    parts = Cluster(
        distribution=distribution,
        plugin=cluster.around.plugin.name,
        gates=tuple({**_gates(members), **(settings["fields"].get(FEATURE_GATES) or {})}.items()),
    )
    try:
        mode, why = _mode(settings, members, parts)
        want = wanted(settings, mode)
        report = preflight(members, mode, want, parts, cluster.around, settings["tolerate"])
    except InputError as error:
        raise InputError([*problems, *error.problems]) from error
    home = cluster.sets is not None and goes_home(configured[0], want)
    plans, more = _plans(members, want, looks, cluster.sets, home)
    if problems or report.problems or more:
        raise InputError([*problems, *report.problems, *more])
    warnings = (*report.warnings, *_left(members, cluster.sets))
    return replace(_ordered(members, plans, want, settings, cluster, home), warnings=warnings, why=why)


def _left(members: Sequence[Member], sets: Optional[Sets]) -> Iterator[str]:
    """That a run that was killed has left nodes in between which are not members."""
    own = {member.node.name for member in members}
    left = [node for node, label in (sets.labels if sets else ()) if label == LEAVING and node not in own]
    if left:
        yield _LEFT % some(left)


def _mode(settings: Mapping[str, Any], members: Sequence[Member], cluster: Cluster) -> Tuple[str, str]:
    """The mode, and why it is that one."""
    if settings["mode"] != AUTO:
        return str(settings["mode"]), "as kube_proxy_mode says"
    # What a node keeps of its own settings is needed too, such as the module of its scheduler.
    in_ipvs = wanted(settings, IPVS)
    choice = choose([member.able(in_ipvs) for member in members], cluster)
    return choice.mode, str(choice)


def _ordered(
    members: Sequence[Member],
    plans: Sequence[NodePlan],
    want: Mapping[str, Any],
    settings: Mapping[str, Any],
    cluster: ClusterLook,
    home: bool,
) -> RunPlan:
    """The plan but for what was said of it."""
    waves = waves_of(
        plans, {member.host: member for member in members}, parse_waves(settings["waves"], PREFIX + "waves")
    )
    sets, text = cluster.sets, ""
    steps: List[str] = []
    if sets:
        text = with_settings(sets.text, want, place_in(sets.config_map, sets.key))
        if waves:
            steps = [str(step) for step in begin(sets, text, not home)]
    return RunPlan(
        mode=str(want[MODE]),
        nodes=tuple(plans),
        waves=tuple(map(tuple, waves)),
        text=text,
        home=home,
        served=cluster.served,
        steps=tuple(steps),
    )


def distribution_of(looks: Mapping[str, HostLook]) -> str:
    """The distribution of the hosts. InputError where they have several, or settings that have to be the same."""
    problems = list(differing({host: look.settings for host, look in looks.items()}))
    by_name: Dict[str, str] = {}
    for host, look in looks.items():
        by_name.setdefault(look.seen.place.distribution, host)
    if len(by_name) > 1:
        told = ", ".join("%s is of %s" % (host, name) for name, host in by_name.items())
        problems.append(Problem("", "these are hosts of several clusters: %s" % told, "run them apart, with --limit"))
    if problems:
        raise InputError(problems)
    distribution = next(iter(by_name))
    needs_api(next(iter(looks.values())).settings, distribution)
    return distribution


def _configured(sets: Optional[Sets]) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    """The settings in the cluster's own ConfigMap, and those in ours. InputError where they cannot be read."""
    if sets is None:
        return {}, {}
    own = read_configuration(sets.text, place_in(sets.config_map, sets.key))
    ours = sets.second_map
    return own, read_configuration(sets.second_text, place_in(ours, sets.key)) if ours else own


def _members(
    looks: Mapping[str, HostLook], cluster: ClusterLook, configured: Tuple[Dict[str, Any], Dict[str, Any]]
) -> Tuple[List[Member], List[Problem]]:
    problems: List[Problem] = []
    found: Dict[str, NodeInfo] = {}
    if cluster.around.api:
        given = {host: (look.seen, str(look.settings["node"])) for host, look in looks.items()}
        found, errors = find_nodes(cluster.nodes, given)
        problems += [problem for error in errors for problem in error.problems]
    members: List[Member] = []
    for host, look in looks.items():
        node = found.get(host, NodeInfo(""))
        settings = _told(host, problems, _reader(look.seen, node.name, cluster.sets, configured))
        if settings is not None:
            node = _with_version(node, cluster.sets)
            asked = {name: str(look.settings[name]) for name in ("metrics", "healthz")}
            member = Member(host, look.seen, settings, node, bool(look.settings["install"]), **asked)
            if member.ability.kubernetes:
                members.append(member)
            else:
                problems.append(Problem(host, _NO_VERSION, "have the API asked, by kube_proxy_api"))
    return members, problems


def _reader(
    seen: NodeSeen, node: str, sets: Optional[Sets], configured: Tuple[Dict[str, Any], Dict[str, Any]]
) -> Callable[[], Dict[str, Any]]:
    if seen.place.kind == CONFIG_MAP and sets:
        return lambda: configured[bool(sets.label_of(node))]
    return lambda: settings_of(seen)


def _with_version(node: NodeInfo, sets: Optional[Sets]) -> NodeInfo:
    """The node with the version of its kube-proxy by the image of its pods: a node may tell its kubelet's alone."""
    version = serves(sets.daemon_set) if sets else ""
    if not version:
        return node
    return NodeInfo(**{**node.__dict__, "kubernetes": version})


def _told(host: str, problems: List[Problem], work: Callable[[], _T]) -> Optional[_T]:
    """What the work gives; None, and its problems by host, where it fails."""
    try:
        return work()
    except NetfleetError as error:
        problems += [Problem("%s: %s" % (host, each.path), each.problem, each.cure) for each in error.problems]
        return None


def _gates(members: Iterable[Member]) -> Dict[str, bool]:
    """The feature gates of all nodes; where they differ, those that are off."""
    found: Dict[str, bool] = {}
    for member in members:
        for name, on in (member.settings.get(FEATURE_GATES) or {}).items():
            found[name] = on and found.get(name, True)
    return found


def _plans(
    members: Sequence[Member],
    want: Mapping[str, Any],
    looks: Mapping[str, HostLook],
    sets: Optional[Sets],
    home: bool,
) -> Tuple[List[NodePlan], List[Problem]]:
    problems: List[Problem] = []
    plans: List[NodePlan] = []
    for member in members:
        plan = _told(member.host, problems, _planner(member, want, looks[member.host].settings, sets, home))
        if plan is None:
            continue
        plans.append(plan)
        # Also where no more than a residue is to go: what cannot be seen is verified by nobody.
        problems += unverifiable(member, plan.mode) if plan.to_change else ()
    return plans, problems


def _planner(
    member: Member, want: Mapping[str, Any], settings: Mapping[str, Any], sets: Optional[Sets], home: bool
) -> Callable[[], NodePlan]:
    return lambda: plan_node(member, want, settings, sets, home)


def told(plan: RunPlan) -> Iterator[str]:
    """The plan for people, a line for each thing."""
    if plan.none:
        yield plan.none
        return
    yield "mode %s: %s" % (plan.mode, plan.why) if not plan.why.startswith(plan.mode) else plan.why
    for number, wave in enumerate(plan.waves, 1):
        for host in wave:
            what = "; ".join(_line(change) for change in plan.by_host[host].changes)
            yield "wave %d: %s (%s): %s" % (number, host, plan.by_host[host].road, what)
    for step in plan.steps:
        yield "before the first: %s" % step
    if plan.steps:
        yield "once all nodes have moved: ConfigMap and DaemonSet kube-proxy take over, nothing of ours stays"
    if not plan.waves:
        yield "every node is as it should be"


def _line(change: Change) -> str:
    return "%s: %s -> %s" % (change.key, change.running or "none", change.want)
