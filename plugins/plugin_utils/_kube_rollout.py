# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which nodes have to change, how, and in which order: one first, then waves; and when the rest stays as it is. Pure.

Runs on the controller alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any, Dict, List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import Problem
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_choice import PACKAGES, needed_modules
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_find import CONFIG_MAP, SERVER_UNITS
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_model import ProxyChange
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_modes import IPTABLES, IPVS, MICROK8S
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_residues import residues
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_settings import (
    FEATURE_GATES,
    MODE,
    NODE_PORTS,
    SCHEDULER,
    changes,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_sysctls import needed
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_table import IPVS_INTERFACE
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Change
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_affinity import LABEL
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_daemon_set import LEAVING, MOVED, Sets
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_expected import NodeView, follows_nodes
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_preflight import Member
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_text import changed_file, changed_from
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_verdict import TIMEOUTS, meets_each, scheduler_of
from ansible_collections.netfleet.tcp.plugins.plugin_utils._waves import Candidate, cut, spread

# By which road a node changes: by its own files, or by the DaemonSet of the cluster: to ours, or to the cluster's own.
FILES, SECOND, HOME = "files", "second", "home"
_LOST = "is not in the run any more"
_NOT_INSTALLED = _LOST + ": what it lacks could not be installed: %s"
# Of a Change.
SUBJECT = "kube-proxy"


@dataclass(frozen=True)
class NodePlan:
    """What a node is to do. node: its name in the API, if that was asked; zone: in which its endpoints are.

    by_node: whether its kube-proxy follows hints for nodes.
    changes: what differs; none: it is as it should be. former: the mode that runs, empty where none answers.
    scheduler: of ipvs, the one that it has afterwards; former_scheduler: the one that it has now.
    node_ports: where NodePorts are taken in, by its configuration; timeouts: those of ipvs that this names.
    label: the one that the node had when the plan was made. stored: an earlier change that has not come to its end.
    cordoned: whether the node takes no new pods since an earlier run was killed.
    packages: those that have to be installed for it.
    """

    host: str
    road: str
    mode: str
    former: str
    change: ProxyChange
    node: str = ""
    zone: str = ""
    by_node: bool = True
    changes: Tuple[Change, ...] = ()
    scheduler: str = ""
    former_scheduler: str = ""
    node_ports: Tuple[str, ...] = ()
    timeouts: Dict[str, str] = field(default_factory=dict)
    label: str = ""
    stored: str = ""
    cordoned: bool = False
    packages: Tuple[str, ...] = ()

    @property
    def to_change(self) -> bool:
        return bool(self.changes)

    @property
    def tried_by(self) -> str:
        """The scheduler that decides what connections are to meet, before the change as after it: they are compared."""
        return self.scheduler if meets_each(self.former_scheduler) else self.former_scheduler

    @property
    def view(self) -> NodeView:
        """What decides about its endpoints."""
        return NodeView(self.node, self.zone, self.by_node)

    @property
    def settings(self) -> Dict[str, Any]:
        """Of those that it has afterwards, what its verification needs."""
        return {
            SCHEDULER: self.scheduler,
            "ipvs.excludeCIDRs": self.change.excluded,
            NODE_PORTS: self.node_ports,
            **self.timeouts,
        }


def plan_node(
    member: Member, want: Mapping[str, Any], settings: Mapping[str, Any], sets: Optional[Sets], home: bool
) -> NodePlan:
    """The plan of a node. want: checked settings with the mode. sets, home: where a DaemonSet runs its kube-proxy.

    settings: of the run, as _kube_run gives them.

    InputError with the place where its files cannot bring what is wanted.
    """
    seen, mode = member.seen, str(want[MODE])
    path, text = changed_file(seen, want)
    after = member.after(want)
    sysctls = needed(mode, after, seen.kernel)
    change = ProxyChange(
        mode=mode,
        place=seen.place,
        path=path,
        text=text,
        was=changed_from(seen),
        modules=needed_modules(mode, str(after.get(SCHEDULER) or "")),
        sysctls=sysctls,
        unmanaged=mode == IPVS and seen.managed_by_network_manager,
        # In every mode: what ipvs leaves to others, the clean-up after it has to leave too.
        excluded=tuple(after.get("ipvs.excludeCIDRs") or ()),
        metrics=settings["metrics"],
        healthz=settings["healthz"],
        seconds=float(settings["start_timeout"]),
    )
    label = sets.label_of(member.node.name) if sets else ""
    road = FILES if seen.place.kind != CONFIG_MAP else HOME if home else SECOND
    return NodePlan(
        host=member.host,
        road=road,
        mode=mode,
        former=seen.proxy_mode,
        change=change,
        node=member.node.name,
        zone=member.node.zone,
        by_node=follows_nodes(member.ability.kubernetes, after.get(FEATURE_GATES) or {}),
        changes=tuple(_differences(member, want, sysctls, label)),
        scheduler=scheduler_of(mode, after),
        former_scheduler=scheduler_of(seen.proxy_mode, member.settings),
        node_ports=after.get(NODE_PORTS) or (),
        timeouts={name: str(after[name]) for name in TIMEOUTS if after.get(name)},
        label=label,
        stored=seen.stored,
        cordoned=member.node.cordoned,
        packages=tuple(PACKAGES.get(program, program) for program in member.lacking(mode)) if member.install else (),
    )


def _differences(member: Member, want: Mapping[str, Any], sysctls: Mapping[str, str], label: str) -> Iterator[Change]:
    seen, mode = member.seen, str(want[MODE])
    if seen.proxy_mode != mode:
        yield Change(SUBJECT, MODE, mode, seen.proxy_mode or None)
    for name, value in changes(member.settings, want).items():
        # Where nothing says which mode, the one that runs is kube-proxy's own choice, and right as it is.
        if name != MODE or (seen.proxy_mode == mode and MODE in member.settings):
            yield Change(SUBJECT, name, _shown(value) or "", _shown(member.settings.get(name)))
    for residue in residues(seen.leftovers, mode) if seen.proxy_mode == mode else ():
        yield Change(SUBJECT, residue.kind, "absent", "there", reason="left over: %s" % residue)
    yield from _of_the_node(member, mode, sysctls)
    if label == LEAVING:
        yield Change(SUBJECT, LABEL, MOVED, LEAVING, reason="an earlier run has left the node without kube-proxy")


def _of_the_node(member: Member, mode: str, sysctls: Mapping[str, str]) -> Iterator[Change]:
    """What the mode needs beside kube-proxy, and what an earlier run has left undone."""
    seen = member.seen
    for key, value in sysctls.items():
        if seen.sysctls.get(key, value) != value:
            yield Change("sysctl", key, value, seen.sysctls[key], reason="the mode %s needs it" % mode)
    if seen.stored:
        yield Change(SUBJECT, "change", "ended", seen.stored, reason="an earlier run has not come to its end")
    if member.node.cordoned:
        reason = "an earlier run was killed while it kept new pods away"
        yield Change(SUBJECT, "unschedulable", "absent", "true", reason=reason)
    if mode == IPVS and seen.managed_by_network_manager:
        yield Change(SUBJECT, IPVS_INTERFACE, "unmanaged", "managed", reason="NetworkManager would take its addresses")


def _shown(value: Any) -> Optional[str]:
    if value is None:
        return None
    return ",".join(map(str, value)) or "none" if isinstance(value, (list, tuple)) else str(value)


def goes_home(own: Mapping[str, Any], want: Mapping[str, Any]) -> bool:
    """Whether the cluster's own ConfigMap (its settings) already says what is wanted, so that nodes go back to it.

    One that names no mode, as kubeadm writes it, has kube-proxy take iptables.
    """
    return not changes({MODE: IPTABLES, **own}, want)


def waves_of(
    plans: Iterable[NodePlan], members: Mapping[str, Member], sizes: Sequence[Tuple[int, bool]]
) -> List[List[str]]:
    """The hosts of each wave. Zones are spread over them; control planes come last, so the first one is a worker.

    Of those that are restarted as a whole with their kube-proxy, each is a wave of its own: most of them at once, and
    etcd has no majority.
    """
    workers: List[Candidate] = []
    control: List[Candidate] = []
    alone: List[Candidate] = []
    for plan in plans:
        if plan.to_change:
            member = members[plan.host]
            kind = alone if _restarts_control_plane(member) else control if member.node.control_plane else workers
            kind.append(Candidate(plan.host, "", (member.node.zone,)))
    waves = cut([entry.name for entry in (*spread(workers), *spread(control))], sizes)
    return [*waves, *([entry.name] for entry in spread(alone))]


def _restarts_control_plane(member: Member) -> bool:
    place = member.seen.place
    if place.distribution == MICROK8S:
        # Where the API was not asked, nobody knows.
        return member.node.control_plane or not member.node.name
    return place.unit in SERVER_UNITS


def lost(plans: Iterable[NodePlan], present: Collection[str]) -> List[Problem]:
    """The hosts that have left the run since it was planned. Between is nothing but that packages are installed."""
    cure = "mend that, or leave the host out with --limit; no node was changed"
    return [
        Problem(plan.host, _NOT_INSTALLED % ", ".join(plan.packages) if plan.packages else _LOST, cure)
        for plan in plans
        if plan.host not in present
    ]


def not_reached(waves: Sequence[Sequence[str]], number: int, present: Collection[str]) -> str:
    """Why a wave is not begun: one of an earlier wave has failed; else empty. present: those that have not."""
    there = set(present)
    lost = [host for wave in waves[:number] for host in wave if host not in there]
    if not lost:
        return ""
    what = "the first node" if lost[0] in (waves[0] if waves else ()) else "a node of an earlier wave"
    return "%s has failed (%s): this one was not touched" % (what, ", ".join(lost))


def reached(waves: Sequence[Sequence[str]], present: Collection[str]) -> Tuple[str, ...]:
    """The hosts of the waves that were begun, and that have not failed."""
    found: List[str] = []
    there = set(present)
    for wave in waves:
        well = [host for host in wave if host in there]
        found += well
        if len(well) < len(wave):
            break
    return tuple(found)


def unsettled(served: Iterable[str], fitting: Collection[str]) -> Tuple[str, ...]:
    """The nodes of the cluster that keep its own ConfigMap from the new settings. served: those with a kube-proxy.

    fitting: those that were seen to have the new settings, in this run.
    """
    return tuple(sorted(set(served) - set(fitting)))
