# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node is switched, verified and given back, on a cluster in memory; and a whole cluster, to its end."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, Callable, Dict, List, Mapping, Set, Tuple
from unittest.mock import Mock

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError, InputError, Problem, host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_find import CONFIG_FILE, Place
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_model import (
    FileChange,
    NodeSeen,
    ProxyChange,
    ProxyFile,
    ProxyOutcome,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_residues import Leftovers, Unread
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_table import ProxyEntry
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_api import NoAnswerError
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_daemon_set import begin, end, settle
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_planning import (
    ClusterLook,
    HostLook,
    RunPlan,
    look_at_cluster,
    plan_run,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_reach import LostError, Reach
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_road import Road, read_sets, served, take_steps
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_run import checked
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_switch import Switch, Switched
from tests.unit.plugins.plugin_utils.fake_cluster import ENTRY, NODES, TEXT, FakeCluster, FakeNode


class Fleet:
    """Nodes of a kubeadm cluster, and the steps of the role on them. hosts: those of the play."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.nodes: Mapping[str, FakeNode] = {name: FakeNode(self.cluster, name) for name in NODES}
        self.hosts: List[str] = list(NODES)
        self.told: Dict[str, Any] = {"verify_timeout": 4, "start_timeout": 6}
        self.time = 0.0
        self.before = copy.deepcopy(self._objects())

    def _objects(self) -> Dict[Any, Any]:
        """What there is, without what changes with every write."""
        found = copy.deepcopy(self.cluster.objects)
        for body in found.values():
            body["metadata"].pop("resourceVersion")
            body["metadata"].pop("uid", None)
        return found

    @property
    def as_before(self) -> bool:
        now = self._objects()
        return {key: body for key, body in now.items() if key[0] != "pods"} == {
            key: body for key, body in self.before.items() if key[0] != "pods"
        }

    def _sleep(self, seconds: float) -> None:
        self.time += seconds

    def settings(self, **given: Any) -> Dict[str, Any]:
        return checked({**self.told, **given})

    def plan(self, **given: Any) -> RunPlan:
        settings = self.settings(**given)
        looks = {host: HostLook(self.nodes[host].look(), settings) for host in self.hosts}
        return plan_run(looks, look_at_cluster(self.cluster.api, "kubeadm"))

    def road(self) -> Road:
        return Road(self.cluster.api, self.sets(), 6.0, self._sleep, lambda: self.time)

    def sets(self) -> Any:
        return read_sets(self.cluster.api, "kubeadm")

    def switch_of(self, plan: RunPlan, host: str, **given: Any) -> Switch:
        api, settings = self.cluster.api, self.settings(**given)
        reach = Reach(self.nodes[host], api, settings, self._sleep, lambda: self.time)
        return Switch(plan.by_host[host], reach)

    def begin(self, plan: RunPlan) -> None:
        self.road().take(begin(self.sets(), plan.text, not plan.home))

    def switch(self, plan: RunPlan, host: str, **given: Any) -> Switched:
        return self.switch_of(plan, host, **given).run()

    def finish(self, plan: RunPlan) -> None:
        self.road().take(settle(self.sets(), plan.text))
        for host, _label in self.sets().labels:
            self.switch_of(plan, host).go_home()
        self.road().take(end(self.sets()))

    def all_of_it(self, **given: Any) -> RunPlan:
        plan = self.plan(**given)
        if plan.waves:
            self.begin(plan)
        for wave in plan.waves:
            for host in wave:
                self.switch(plan, host)
        self.finish(plan)
        return plan

    def modes(self) -> List[str]:
        return [self.cluster.mode_on(name) for name in NODES]


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


def test_a_cluster_goes_through_all_modes_and_nothing_of_ours_is_left(fleet: Fleet) -> None:
    for mode in ("ipvs", "nftables", "iptables"):
        fleet.all_of_it(mode=mode)
        assert fleet.modes() == [mode] * 3
        assert fleet.cluster.text() == TEXT.replace("mode: iptables", "mode: %s" % mode)
        assert not fleet.sets().begun
        # A second run finds nothing to do.
        plan = fleet.plan(mode=mode)
        assert (plan.waves, plan.steps) == ((), ())
    assert fleet.as_before


@pytest.mark.parametrize(
    "given",
    [{"exclude_cidrs": []}, {"settings": {"ipvs.scheduler": ""}}, {"settings": {"ipvs.excludeCIDRs": []}}],
)
def test_what_is_wanted_empty_is_there_once_it_is_gone(fleet: Fleet, given: Dict[str, Any]) -> None:
    fleet.all_of_it(mode="ipvs", settings={"ipvs.scheduler": "rr", "ipvs.excludeCIDRs": ["10.9.0.0/16"]})
    assert ("scheduler: rr" in fleet.cluster.text(), "10.9.0.0/16" in fleet.cluster.text()) == (True, True)
    assert fleet.all_of_it(mode="ipvs", **given).waves
    assert ("scheduler: rr" in fleet.cluster.text()) + ("10.9.0.0/16" in fleet.cluster.text()) == 1
    # It moves no node there and back again.
    plan = fleet.plan(mode="ipvs", **given)
    assert (plan.waves, plan.steps, plan.home) == ((), (), True)


def test_node_ports_that_ipvs_does_not_have_here_are_no_fault(fleet: Fleet) -> None:
    spec = fleet.cluster.objects["services", "web"]["spec"]
    spec.update(type="NodePort", ports=[{**spec["ports"][0], "nodePort": 30080}])
    plan = fleet.plan(mode="ipvs")
    fleet.begin(plan)
    with pytest.raises(HostError, match=r"NodePort 30080 .*is not served"):
        fleet.switch(plan, "node1")
    data = fleet.cluster.objects["configmaps", "kube-proxy"]["data"]
    data["config.conf"] += "nodePortAddresses: [127.0.0.0/8]\n"
    fleet.all_of_it(mode="ipvs")
    assert fleet.modes() == ["ipvs"] * 3
    assert "127.0.0.0/8" in fleet.cluster.text()


def test_one_node_first_then_the_others(fleet: Fleet) -> None:
    plan = fleet.plan(mode="ipvs")
    assert [len(wave) for wave in plan.waves] == [1, 1, 1]
    fleet.begin(plan)
    done = fleet.switch(plan, "node1")
    assert fleet.modes() == ["ipvs", "iptables", "iptables"]
    assert (done.services, done.tried, done.connections) == (1, 1, 1)
    # What it was made ready for is kept.
    assert fleet.nodes["node1"].said == ["change ipvs", "change ipvs", "keep 17-ipvs"]
    # The clusters's own ConfigMap is as it was: a pod that restarts does not change its mode.
    assert fleet.cluster.text() == TEXT
    assert fleet.cluster.text("kube-proxy-netfleet") == TEXT.replace("iptables", "ipvs")


def test_a_canary_that_does_not_come_up_is_given_back_and_nothing_is_left(fleet: Fleet) -> None:
    fleet.cluster.broken = {("node1", "ipvs")}
    plan = fleet.plan(mode="ipvs")
    fleet.begin(plan)
    with pytest.raises(HostError) as caught:
        fleet.switch(plan, "node1")
    said = str(caught.value)
    assert "kube-proxy-netfleet does not come up" in said
    assert "exit status 1" in said
    assert "its log: F1128 server.go: cannot run" in said
    assert "it was given back what it had: kube-proxy runs iptables again" in said
    assert fleet.nodes["node1"].said == ["change ipvs", "restore 17-ipvs"]
    assert fleet.modes() == ["iptables"] * 3
    # Nobody has touched another one.
    assert not any("node2" in entry or "node3" in entry for entry in fleet.cluster.said)
    # The run's last step.
    fleet.road().take(end(fleet.sets()))
    assert fleet.as_before


def test_a_node_that_fails_takes_nothing_from_those_that_switch_at_the_same_time(fleet: Fleet) -> None:
    plan = fleet.plan(mode="ipvs", waves=["100%"])
    fleet.begin(plan)
    fleet.cluster.broken = {("node1", "ipvs")}
    other = fleet.nodes["node2"]
    change = other.change
    failed: List[str] = []

    def meanwhile(want: Any) -> Any:
        # The first node fails before this one has a label.
        if not failed:
            failed.append("node1")
            with pytest.raises(HostError, match="does not come up"):
                fleet.switch(plan, "node1")
        return change(want)

    other.change = meanwhile  # type: ignore[method-assign]
    fleet.switch(plan, "node2")
    assert fleet.modes() == ["iptables", "ipvs", "iptables"]


def _writes_at_the_same_time(fleet: Fleet, times: int) -> List[str]:
    """A controller writes the cluster's own DaemonSet after it was read, so many times: the versions of that."""
    send = fleet.cluster.send
    written: List[str] = []

    def sent(method: str, path: str, *rest: Any) -> Any:
        if method == "PUT" and path.endswith("/daemonsets/kube-proxy") and len(written) < times:
            there = fleet.cluster.objects["daemonsets", "kube-proxy"]
            fleet.cluster._put("daemonsets", there)
            written.append(there["metadata"]["resourceVersion"])
        return send(method, path, *rest)

    fleet.cluster.send = sent  # type: ignore[method-assign,assignment]
    return written


def _take(fleet: Fleet, steps_by: Callable[[Any], Any]) -> Any:
    return take_steps(fleet.cluster.api, "kubeadm", steps_by, 6.0, fleet._sleep, lambda: fleet.time)


def test_what_a_controller_has_written_meanwhile_is_read_again(fleet: Fleet) -> None:
    plan = fleet.plan(mode="ipvs")
    written = _writes_at_the_same_time(fleet, 2)
    steps = _take(fleet, lambda sets: begin(sets, plan.text))
    assert [step.name for step in steps] == ["kube-proxy-netfleet", "kube-proxy", "kube-proxy-netfleet"]
    assert len(written) == 2
    # What was made before it was not made twice.
    assert fleet.cluster.said.count("create configmaps/kube-proxy-netfleet") == 1
    _writes_at_the_same_time(fleet, 1)
    _take(fleet, end)
    assert fleet.as_before


def test_somebody_who_writes_again_and_again_is_said(fleet: Fleet) -> None:
    plan = fleet.plan(mode="ipvs")
    written = _writes_at_the_same_time(fleet, 99)
    with pytest.raises(HostError, match="DaemonSet kube-system/kube-proxy: somebody else has changed it a moment ago"):
        _take(fleet, lambda sets: begin(sets, plan.text))
    assert len(written) == 5


def test_a_node_of_a_later_wave_that_fails_leaves_the_others_as_they_are(fleet: Fleet) -> None:
    plan = fleet.plan(mode="ipvs")
    fleet.begin(plan)
    fleet.switch(plan, "node1")
    fleet.nodes["node2"].wrong = {"ipvs"}
    with pytest.raises(HostError) as caught:
        fleet.switch(plan, "node2")
    assert "verification: tcp 10.96.0.10:80 (default/web:http): is not served" in str(caught.value)
    # That of the pod which did not serve, before it was taken away.
    assert "kube-proxy-netfleet-node2: Running; its log: F1128 server.go: cannot run" in str(caught.value)
    assert fleet.modes() == ["ipvs", "iptables", "iptables"]
    assert fleet.cluster.labels() == {"node1": "moved"}
    # The next run goes on with those that are left.
    fleet.nodes["node2"].wrong = set()
    again = fleet.plan(mode="ipvs")
    assert again.waves == (("node2",), ("node3",))
    assert again.steps == ()
    assert not fleet.as_before
    for host in ("node2", "node3"):
        fleet.switch(again, host)
    fleet.finish(again)
    assert fleet.modes() == ["ipvs"] * 3
    assert not fleet.sets().begun


def test_those_that_have_moved_can_be_given_back(fleet: Fleet) -> None:
    plan = fleet.plan(mode="ipvs")
    fleet.begin(plan)
    fleet.switch(plan, "node1")
    back = fleet.all_of_it(mode="iptables")
    assert back.home
    assert back.waves == (("node1",),)
    assert fleet.modes() == ["iptables"] * 3
    assert fleet.as_before


def test_the_way_back_where_the_config_map_names_no_mode(fleet: Fleet) -> None:
    """As kubeadm writes it: the former mode is the one that kube-proxy takes then."""
    fleet.cluster = FakeCluster(TEXT.replace("mode: iptables", 'mode: ""'))
    fleet.nodes = {name: FakeNode(fleet.cluster, name) for name in NODES}
    plan = fleet.plan(mode="ipvs")
    fleet.begin(plan)
    fleet.switch(plan, "node1")
    assert fleet.modes() == ["ipvs", "iptables", "iptables"]
    plan = fleet.all_of_it(mode="iptables")
    assert plan.waves == (("node1",),)
    assert fleet.modes() == ["iptables"] * 3
    assert not fleet.sets().begun


def test_a_third_mode_waits_until_the_second_has_ended(fleet: Fleet) -> None:
    plan = fleet.plan(mode="ipvs")
    fleet.begin(plan)
    # No node has it yet.
    assert fleet.plan(mode="nftables").steps[0].startswith("replace ConfigMap kube-proxy-netfleet")
    fleet.switch(plan, "node1")
    with pytest.raises(InputError, match="an earlier run has begun to bring other settings, to node1"):
        fleet.plan(mode="nftables")


def test_connections_that_were_answered_before_and_are_not_since_are_a_reason(fleet: Fleet) -> None:
    plan = fleet.plan(mode="nftables")
    fleet.begin(plan)
    fleet.nodes["node1"].unanswered = {"nftables"}
    with pytest.raises(HostError, match=r"default/web:http at 10.96.0.10:80: 1 of 1 connections failed: timed out"):
        fleet.switch(plan, "node1")
    # Those that were not answered before, as where a NetworkPolicy keeps nodes out, are none.
    fleet.begin(plan)
    fleet.nodes["node2"].unanswered = {"iptables", "nftables"}
    fleet.switch(plan, "node2")


def _service(fleet: Fleet, name: str, address: str) -> None:
    """Another Service, with the endpoint of the first."""
    objects = fleet.cluster.objects
    service, ends = copy.deepcopy(objects["services", "web"]), copy.deepcopy(objects["endpointslices", "web-1"])
    service["metadata"]["name"] = name
    service["spec"].update(clusterIP=address, clusterIPs=[address])
    ends["metadata"].update(name=name + "-1", labels={"kubernetes.io/service-name": name})
    objects["services", name], objects["endpointslices", name + "-1"] = service, ends


def test_a_service_that_comes_meanwhile_and_never_answers_is_no_reason(fleet: Fleet) -> None:
    """It takes the place of another among those to which connections are made."""
    plan = fleet.plan(mode="nftables")
    fleet.begin(plan)
    node = fleet.nodes["node1"]
    look, connect, change, tried = node.look, node.connect, node.change, []

    def changed(want: Any) -> Any:
        _service(fleet, "a-new-one", "10.96.0.9")
        return change(want)

    def looked(entries: bool = True) -> NodeSeen:
        seen = look(entries)
        new = ("services", "a-new-one") in fleet.cluster.objects
        return replace(seen, entries=(*seen.entries, *([replace(ENTRY, address="10.96.0.9")] if new else [])))

    def connected(services: Any, seconds: float) -> Any:
        tried.append([each.name for each in services])
        refused = ("1 of 1 connections failed: timed out",)
        found = connect(services, seconds)
        return tuple(replace(each, problems=refused) if "new" in each.name else each for each in found)

    node.change, node.look, node.connect = changed, looked, connected  # type: ignore[method-assign,assignment]
    done = fleet.switch(plan, "node1", connections=1)
    assert tried == [["default/web:http"]] * 2
    assert (done.services, done.tried, done.warnings) == (2, 1, ())


@pytest.mark.parametrize(
    ("former", "mode", "each"),
    [("lc", "iptables", False), ("rr", "iptables", True), ("lc", "ipvs", False)],
)
def test_each_endpoint_is_to_be_met_where_it_was_before_and_would_be_since(
    fleet: Fleet, former: str, mode: str, each: bool
) -> None:
    """Else all Services with several endpoints would be unwell before, and not compared."""
    for node in fleet.nodes.values():
        node.scheduler = former
    fleet.all_of_it(mode="ipvs", scheduler=former)
    for node in fleet.nodes.values():
        node.scheduler = "rr"
    plan = fleet.plan(mode=mode, scheduler="rr" if mode == "ipvs" else "")
    fleet.begin(plan)
    node = fleet.nodes["node1"]
    connect = node.connect
    tried: List[bool] = []

    def connected(services: Any, seconds: float) -> Any:
        tried.extend(each.each for each in services)
        return connect(services, seconds)

    node.connect = connected  # type: ignore[method-assign,assignment]
    fleet.switch(plan, "node1")
    assert tried == [each] * 2


def test_where_no_connection_can_be_compared_the_run_says_so(fleet: Fleet) -> None:
    plan = fleet.plan(mode="nftables")
    fleet.begin(plan)
    fleet.nodes["node1"].unanswered = {"iptables"}
    (said,) = fleet.switch(plan, "node1").warnings
    assert "are not verified" in said
    assert fleet.switch(plan, "node2", connections=0).warnings == ()


def test_what_the_node_cannot_take_away_kube_proxy_cleans_up_once(fleet: Fleet) -> None:
    plan = fleet.plan(mode="nftables")
    fleet.begin(plan)
    fleet.cluster.residue_of = {"node1": "ipvs"}
    fleet.switch(plan, "node1")
    assert fleet.cluster.cleaned == ["node1"]
    assert fleet.modes()[0] == "nftables"
    assert fleet.cluster.names("pods") == ["kube-proxy-netfleet-node1", "kube-proxy-node2", "kube-proxy-node3"]


def _takes_away_when_asked_for_the(fleet: Fleet, time: int) -> None:
    """Node 1 has residues of ipvs, and asked earlier than so many times, it takes nothing away."""
    residues, asked = fleet.cluster.residue_of, []
    residues["node1"] = "ipvs"
    node = fleet.nodes["node1"]
    change = node.change

    def late(want: Any) -> Any:
        asked.append(want)
        outcome = change(want)
        return replace(outcome, removed=(residues.pop("node1"),)) if len(asked) == time else outcome

    node.change = late  # type: ignore[method-assign]


def test_a_kube_proxy_that_serves_late_has_the_node_take_residues_away_then(fleet: Fleet) -> None:
    plan = fleet.plan(mode="nftables")
    fleet.begin(plan)
    # Twice it is asked before kube-proxy answers, and its pod is ready by then.
    _takes_away_when_asked_for_the(fleet, 3)
    done = fleet.switch(plan, "node1")
    assert fleet.cluster.cleaned == []
    assert done.removed == ("ipvs",)


def test_what_kube_proxys_clean_up_leaves_the_node_takes_away(fleet: Fleet) -> None:
    plan = fleet.plan(mode="nftables")
    fleet.begin(plan)
    fleet.cluster.leaves = "ipvs"
    _takes_away_when_asked_for_the(fleet, 4)
    done = fleet.switch(plan, "node1")
    assert fleet.cluster.cleaned == ["node1"]
    assert done.removed == ("ipvs",)


def test_residues_that_nobody_can_take_away_are_told_and_the_node_is_given_back(fleet: Fleet) -> None:
    plan = fleet.plan(mode="nftables")
    fleet.begin(plan)
    fleet.cluster.leaves = "ipvs"
    fleet.cluster.residue_of = {"node1": "ipvs"}
    with pytest.raises(HostError, match="verification: left over: interface") as caught:
        fleet.switch(plan, "node1")
    assert "it was given back what it had" in str(caught.value)
    assert fleet.cluster.cleaned == ["node1"]


def test_residues_that_cannot_be_seen_are_no_absence_of_residues(fleet: Fleet) -> None:
    fleet.all_of_it(mode="ipvs")
    plan = fleet.plan(mode="iptables")
    fleet.begin(plan)
    node = fleet.nodes["node1"]
    look, unread = node.look, Unread("ipsets", "ipset is not installed: sets cannot be read", "ipset")

    def looked(entries: bool = True) -> NodeSeen:
        seen = look(entries)
        return replace(seen, leftovers=replace(seen.leftovers, unread=(unread,)))

    node.look = looked  # type: ignore[method-assign]
    with pytest.raises(HostError, match=r"what the mode ipvs has left cannot be told: .* \(install ipset\)"):
        fleet.switch(plan, "node1")
    assert fleet.modes() == ["ipvs"] * 3


@pytest.mark.parametrize(("version", "followed"), [("v1.33.5", False), ("v1.34.2", True)])
def test_hints_for_nodes_are_expected_of_versions_that_follow_them(fleet: Fleet, version: str, followed: bool) -> None:
    (end,) = fleet.cluster.objects["endpointslices", "web-1"]["endpoints"]
    others = {**end, "addresses": ["10.244.2.6"], "hints": {"forNodes": [{"name": "node2"}]}}
    ends = [{**end, "hints": {"forNodes": [{"name": "node1"}]}}, others]
    fleet.cluster.objects["endpointslices", "web-1"]["endpoints"] = ends
    containers = fleet.cluster.objects["daemonsets", "kube-proxy"]["spec"]["template"]["spec"]["containers"]
    containers[0]["image"] = "registry.example/kube-proxy:%s" % version
    plan = fleet.plan(mode="ipvs")
    fleet.begin(plan)
    # Its kernel has the endpoint of node 1.
    if followed:
        fleet.switch(plan, "node1")
        return
    with pytest.raises(HostError, match=r"10\.244\.2\.6:8080 is missing"):
        fleet.switch(plan, "node1")


@pytest.mark.parametrize("whose", ["excluded", "foreign"])
def test_virtual_servers_of_others_are_not_flushed_by_kube_proxys_clean_up(fleet: Fleet, whose: str) -> None:
    """That takes away all of IPVS, whosever it is."""
    plan = fleet.plan(mode="nftables")
    fleet.begin(plan)
    if whose == "foreign":
        node = fleet.nodes["node1"]
        node.seen = replace(node.seen, foreign=("keepalived.service runs",))
    else:
        own = plan.by_host["node1"]
        own = replace(own, change=replace(own.change, excluded=("192.0.2.0/24",)))
        plan = replace(plan, nodes=(own, *plan.nodes[1:]))
    fleet.cluster.residue_of = {"node1": "ipvs"}
    with pytest.raises(HostError, match="verification: left over: interface") as caught:
        fleet.switch(plan, "node1")
    assert fleet.cluster.cleaned == []
    assert "given back what it had" in str(caught.value)


def _answers_late(fleet: Fleet, again: str) -> List[str]:
    """kube-proxy of node 1 answers in a mode at the third look since it was to; what is done, and by which answer."""
    node, said, looks = fleet.nodes["node1"], ["ipvs"], []
    look = node.look

    def looked(entries: bool = True) -> NodeSeen:
        seen = look(entries)
        looks.append(seen.proxy_mode)
        late = seen.proxy_mode == again and "ipvs" in looks and looks.count(again) < 3
        said.append("" if late else seen.proxy_mode)
        return replace(seen, proxy_mode=said[-1])

    def did(name: str) -> Callable[[Any], Any]:
        work = getattr(node, name)

        def done(what: Any) -> Any:
            given.append("%s %s: %s" % (name, getattr(what, "mode", what), said[-1]))
            return work(what)

        return done

    given: List[str] = []
    node.look = looked  # type: ignore[method-assign]
    for name in ("restore", "change"):
        setattr(node, name, did(name))
    return given


def test_on_the_way_back_residues_are_taken_away_once_the_former_mode_answers(fleet: Fleet) -> None:
    """Without a readinessProbe a pod is ready before its kube-proxy answers."""
    plan = fleet.plan(mode="ipvs")
    fleet.begin(plan)
    fleet.nodes["node1"].wrong = {"ipvs"}
    done = _answers_late(fleet, "iptables")
    with pytest.raises(HostError, match="given back what it had"):
        fleet.switch(plan, "node1")
    assert done[-1] == "restore 17-ipvs: iptables"


def test_so_they_are_where_nothing_else_was_made_for_the_mode(fleet: Fleet) -> None:
    plan = fleet.plan(mode="ipvs")
    fleet.begin(plan)
    node = fleet.nodes["node1"]
    node.wrong = {"ipvs"}
    change = node.change
    node.change = lambda want: replace(change(want), id="")  # type: ignore[method-assign]
    done = _answers_late(fleet, "iptables")
    with pytest.raises(HostError, match="given back what it had"):
        fleet.switch(plan, "node1")
    assert done[-1] == "change iptables: iptables"


def test_residues_that_stay_on_the_way_back_are_named(fleet: Fleet) -> None:
    plan = fleet.plan(mode="ipvs")
    fleet.begin(plan)
    fleet.nodes["node1"].wrong = {"ipvs"}
    fleet.cluster.residue_of = {"node1": "ipvs"}
    said = r"kube-proxy runs iptables again; on the way back: left over: interface of the mode ipvs: kube-ipvs0"
    with pytest.raises(HostError, match=said):
        fleet.switch(plan, "node1")


def _moved_with_a_stray_sysctl(fleet: Fleet) -> RunPlan:
    plan = fleet.plan(mode="ipvs")
    fleet.begin(plan)
    fleet.switch(plan, "node1")
    node = fleet.nodes["node1"]
    node.seen = replace(node.seen, sysctls={"net.ipv4.vs.conn_reuse_mode": "0"})
    change = node.change
    node.change = lambda want: replace(change(want), id="18-ipvs")  # type: ignore[method-assign]
    node.said.clear()
    again = fleet.plan(mode="ipvs")
    assert [each.key for each in again.by_host["node1"].changes] == ["net.ipv4.vs.conn_reuse_mode"]
    fleet.begin(again)
    return again


def test_a_node_that_has_moved_before_stays_so_and_gets_its_own_parts_back(fleet: Fleet) -> None:
    plan = _moved_with_a_stray_sysctl(fleet)
    fleet.nodes["node1"].wrong = {"ipvs"}
    pod = fleet.cluster.pod_on("node1")
    with pytest.raises(HostError, match="given back what it had: kube-proxy runs ipvs again"):
        fleet.switch(plan, "node1")
    assert fleet.cluster.labels() == {"node1": "moved"}
    # Not a new one: its connections stand.
    assert fleet.cluster.pod_on("node1") is pod
    assert fleet.nodes["node1"].said[-1] == "restore 18-ipvs"


def test_a_node_that_has_moved_before_is_not_left_between_by_a_cleaner_that_fails(fleet: Fleet) -> None:
    plan = _moved_with_a_stray_sysctl(fleet)
    _fails_to_clean_up(fleet)
    node = fleet.nodes["node1"]
    look = node.look
    residue = Leftovers(tables=("ip",))
    node.look = lambda entries=True: replace(look(entries), leftovers=residue)  # type: ignore[method-assign]
    with pytest.raises(HostError, match="kube-proxy --cleanup failed"):
        fleet.switch(plan, "node1")
    assert fleet.cluster.labels() == {"node1": "moved"}
    assert fleet.modes() == ["ipvs", "iptables", "iptables"]


def test_a_node_that_a_killed_run_has_moved_is_no_node_that_has_it(fleet: Fleet) -> None:
    """Nobody has verified what it runs."""
    plan = fleet.plan(mode="ipvs")
    fleet.begin(plan)
    fleet.switch(plan, "node1")
    node = fleet.nodes["node1"]
    node.seen = replace(node.seen, stored="17-ipvs")
    node.wrong = {"ipvs"}
    again = fleet.plan(mode="ipvs")
    waiting = ProxyOutcome(id="17-ipvs", former_mode="iptables")
    node.change = Mock(return_value=waiting)  # type: ignore[method-assign]
    with pytest.raises(HostError, match="given back what it had: kube-proxy runs iptables again"):
        fleet.switch(again, "node1")
    assert fleet.cluster.labels() == {}
    assert fleet.modes() == ["iptables"] * 3


def test_a_module_that_cannot_be_loaded_ends_it_before_the_node_loses_its_kube_proxy(fleet: Fleet) -> None:
    plan = fleet.plan(mode="ipvs")
    fleet.begin(plan)
    fleet.nodes["node1"].refuses = "ip_vs cannot be loaded"
    with pytest.raises(HostError, match="ip_vs cannot be loaded"):
        fleet.switch(plan, "node1")
    assert fleet.modes() == ["iptables"] * 3
    assert fleet.cluster.labels() == {}


def test_a_node_that_is_lost_for_a_moment_on_its_way_back_is_waited_for(fleet: Fleet) -> None:
    """Restoring takes residues away only where the former mode answers by then."""
    plan = fleet.plan(mode="ipvs")
    fleet.begin(plan)
    node = fleet.nodes["node1"]
    node.wrong = {"ipvs"}
    look, restore, lost_at = node.look, node.restore, []

    def looked(entries: bool = True) -> NodeSeen:
        seen = look(entries)
        if seen.proxy_mode == "iptables" and "ipvs" in done:
            lost_at.append(fleet.time)
            if fleet.time < lost_at[0] + 5.0:
                raise LostError([Problem("", "the connection was lost")])
            done.append("looked")
        else:
            done.append(seen.proxy_mode)
        return seen

    def restored(identifier: str) -> None:
        done.append("restored")
        # It goes on with that, out of reach, and holds the lock.
        if done.count("restored") == 1:
            raise LostError([Problem("", "the connection was lost")])
        if done.count("restored") == 2:
            raise host_error("/run/lock", "held by another run (pid 7)")
        restore(identifier)

    done: List[str] = []
    node.look = looked  # type: ignore[method-assign]
    node.restore = restored  # type: ignore[method-assign]
    with pytest.raises(HostError) as caught:
        fleet.switch(plan, "node1")
    assert str(caught.value).endswith("it was given back what it had: kube-proxy runs iptables again")
    # The looks at the end: at the mode, and at what is left.
    assert done[-6:] == ["looked", *["restored"] * 3, "looked", "looked"]


def test_a_node_that_is_lost_is_given_back_by_the_api(fleet: Fleet) -> None:
    plan = fleet.plan(mode="ipvs")
    fleet.begin(plan)
    node = fleet.nodes["node1"]
    change, asked = node.change, []

    def once(want: Any) -> Any:
        asked.append(want)
        node.lost = len(asked) > 1
        if node.lost:
            raise host_error("", "the connection was lost")
        return change(want)

    node.change = once  # type: ignore[method-assign]
    with pytest.raises(HostError, match="on the way back: the connection was lost"):
        fleet.switch(plan, "node1")
    assert fleet.modes() == ["iptables"] * 3
    assert fleet.cluster.labels() == {}


def test_a_node_takes_no_new_pods_meanwhile_if_the_user_says_so(fleet: Fleet) -> None:
    plan = fleet.plan(mode="ipvs")
    fleet.begin(plan)
    fleet.cluster.said.clear()
    fleet.switch(plan, "node1", cordon=True)
    assert fleet.cluster.said[0] == fleet.cluster.said[-1] == "patch nodes/node1"
    assert "unschedulable" not in fleet.cluster.objects["nodes", "node1"]["spec"]
    fleet.cluster.broken = {("node2", "ipvs")}
    with pytest.raises(HostError):
        fleet.switch(plan, "node2", cordon=True)
    assert "unschedulable" not in fleet.cluster.objects["nodes", "node2"]["spec"]


def test_who_may_not_cordon_is_told_before_anything_is_changed(fleet: Fleet) -> None:
    fleet.cluster.forbidden = {("patch", "nodes")}
    api = fleet.cluster.api
    assert look_at_cluster(api, "standalone").nodes
    with pytest.raises(InputError, match="may not do what is needed: patch nodes"):
        look_at_cluster(api, "standalone", cordon=True)


def test_one_that_was_cordoned_before_stays_so(fleet: Fleet) -> None:
    fleet.cluster.objects["nodes", "node1"]["spec"]["unschedulable"] = True
    plan = fleet.plan(mode="ipvs")
    fleet.begin(plan)
    fleet.switch(plan, "node1", cordon=True)
    assert fleet.cluster.objects["nodes", "node1"]["spec"]["unschedulable"] is True


def test_one_that_is_cordoned_after_the_plan_was_made_stays_so(fleet: Fleet) -> None:
    plan = fleet.plan(mode="ipvs")
    fleet.begin(plan)
    fleet.cluster.objects["nodes", "node1"]["spec"]["unschedulable"] = True
    fleet.switch(plan, "node1", cordon=True)
    assert fleet.cluster.objects["nodes", "node1"]["spec"]["unschedulable"] is True
    assert "annotations" not in fleet.cluster.objects["nodes", "node1"]["metadata"]


def test_a_node_that_a_killed_run_has_cordoned_is_visited_and_takes_pods_again(fleet: Fleet) -> None:
    def killed(_want: Any) -> Any:
        raise KeyboardInterrupt

    plan = fleet.plan(mode="ipvs", cordon=True)
    fleet.begin(plan)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(fleet.nodes["node1"], "change", killed)
        # Killed: nothing runs after it.
        patched.setattr(Switch, "_uncordon", lambda _self, _problems: None)
        with pytest.raises(KeyboardInterrupt):
            fleet.switch(plan, "node1", cordon=True)
    assert fleet.cluster.objects["nodes", "node1"]["spec"]["unschedulable"] is True
    # This run does not ask for it, and has nothing else to do there.
    plan = fleet.plan(mode="iptables")
    assert [(change.key, change.want, change.running) for change in plan.by_host["node1"].changes] == [
        ("unschedulable", "absent", "true")
    ]
    fleet.begin(plan)
    fleet.switch(plan, "node1")
    fleet.finish(plan)
    assert "unschedulable" not in fleet.cluster.objects["nodes", "node1"]["spec"]
    assert fleet.plan(mode="iptables").waves == ()


def test_a_node_on_which_the_clusters_own_set_fails_stays_with_ours(fleet: Fleet) -> None:
    plan = fleet.plan(mode="ipvs")
    fleet.begin(plan)
    for host in NODES:
        fleet.switch(plan, host)
    fleet.road().take(settle(fleet.sets(), plan.text))
    fleet.cluster.broken = {("node2", "kube-proxy")}
    fleet.switch_of(plan, "node1").go_home()
    with pytest.raises(HostError, match="kube-proxy does not come up"):
        fleet.switch_of(plan, "node2").go_home()
    assert fleet.cluster.labels() == {"node2": "moved", "node3": "moved"}
    assert fleet.modes() == ["ipvs"] * 3


def test_a_config_map_whose_mode_no_pod_has_picked_up_yet(fleet: Fleet) -> None:
    # Somebody has edited it.
    fleet.cluster.objects["configmaps", "kube-proxy"]["data"]["config.conf"] = TEXT.replace("iptables", "nftables")
    plan = fleet.plan(mode="nftables")
    assert plan.home
    assert [change.key for change in plan.by_host["node1"].changes] == ["mode"]
    fleet.begin(plan)
    fleet.switch(plan, "node1")
    assert fleet.modes() == ["nftables", "iptables", "iptables"]


def _edited(fleet: Fleet) -> RunPlan:
    """Somebody has edited the cluster's own ConfigMap: nodes go to that. Begun."""
    fleet.cluster.objects["configmaps", "kube-proxy"]["data"]["config.conf"] = TEXT.replace("iptables", "nftables")
    plan = fleet.plan(mode="nftables")
    assert plan.home
    fleet.begin(plan)
    return plan


def _fails_to_clean_up(fleet: Fleet) -> None:
    def failed(pod: Dict[str, Any]) -> None:
        pod["status"] = {"phase": "Failed"}

    fleet.cluster.residue_of = {"node1": "ipvs"}
    fleet.cluster._run_cleaner = failed  # type: ignore[method-assign]


def test_a_node_whose_cleaner_fails_on_the_clusters_own_set_is_not_left_without_kube_proxy(fleet: Fleet) -> None:
    plan = _edited(fleet)
    _fails_to_clean_up(fleet)
    with pytest.raises(HostError, match="kube-proxy --cleanup failed") as caught:
        fleet.switch(plan, "node1")
    assert fleet.cluster.labels() == {}
    # What its ConfigMap says: the former mode stands nowhere any more, and that is said.
    assert fleet.modes() == ["nftables", "iptables", "iptables"]
    assert "on the way back: kube-proxy runs nftables, not iptables" in str(caught.value)
    assert "given back what it had" not in str(caught.value)


@pytest.mark.parametrize("home", [True, False])
def test_the_cleaner_goes_on_the_way_back(fleet: Fleet, home: bool) -> None:
    """One that starts late would take away what kube-proxy has programmed by then."""
    plan = _edited(fleet) if home else fleet.plan(mode="nftables")
    fleet.begin(plan)
    _fails_to_clean_up(fleet)
    with pytest.raises(HostError, match="kube-proxy --cleanup failed"):
        fleet.switch(plan, "node1")
    assert not [name for name in fleet.cluster.names("pods") if "cleanup" in name]


@pytest.mark.parametrize("home", [True, False])
def test_a_node_whose_pod_does_not_go_in_time_is_not_left_without_kube_proxy(fleet: Fleet, home: bool) -> None:
    """As of one that has crashed, or whose kubelet hangs."""
    plan = _edited(fleet) if home else fleet.plan(mode="nftables")
    fleet.begin(plan)
    fleet.cluster._control = lambda: None  # type: ignore[method-assign]
    with pytest.raises(HostError) as caught:
        fleet.switch(plan, "node1")
    del fleet.cluster._control
    assert fleet.cluster.labels() == {}
    said = str(caught.value)
    assert "on the way back: node node1 still has a pod of kube-proxy after 6 s" in said
    assert "on the way back: node node1 has its former label again" in said
    # A pod that is about to go still answers.
    assert "given back what it had" not in said
    fleet.cluster._control()
    assert fleet.modes() == ["iptables"] * 3


def test_a_node_whose_pod_does_not_go_in_time_on_its_way_home_stays_with_ours(fleet: Fleet) -> None:
    plan = fleet.plan(mode="ipvs")
    fleet.begin(plan)
    for host in NODES:
        fleet.switch(plan, host)
    fleet.road().take(settle(fleet.sets(), plan.text))
    fleet.cluster._control = lambda: None  # type: ignore[method-assign]
    with pytest.raises(HostError, match="on the way back: node node1 has its former label again") as caught:
        fleet.switch_of(plan, "node1").go_home()
    del fleet.cluster._control
    assert "it is served by the second DaemonSet" not in str(caught.value)
    assert fleet.cluster.labels() == dict.fromkeys(NODES, "moved")
    fleet.cluster._control()
    assert fleet.modes() == ["ipvs"] * 3


def _silent_after_the_first_patch(fleet: Fleet, until: float) -> None:
    """The API gives no answer from the first patch on, until some time."""
    send = fleet.cluster.send
    patched: List[str] = []

    def sent(method: str, *rest: Any) -> Any:
        if patched and fleet.time < until:
            raise NoAnswerError("connection refused")
        answer = send(method, *rest)
        if method == "PATCH":
            patched.append(method)
        return answer

    fleet.cluster.send = sent  # type: ignore[method-assign,assignment]


@pytest.mark.parametrize("home", [True, False])
def test_an_api_that_is_away_for_a_while_is_waited_for_on_the_way_back(fleet: Fleet, home: bool) -> None:
    plan = _edited(fleet) if home else fleet.plan(mode="nftables")
    fleet.begin(plan)
    _silent_after_the_first_patch(fleet, 5.0)
    with pytest.raises(HostError, match="no answer: connection refused") as caught:
        fleet.switch(plan, "node1")
    assert fleet.cluster.labels() == {}
    fleet.cluster._control()
    assert fleet.modes() == (["nftables"] if home else ["iptables"]) + ["iptables"] * 2
    assert ("given back what it had" in str(caught.value)) is not home


def test_an_api_that_is_away_for_a_while_is_waited_for_on_the_way_to_ours(fleet: Fleet) -> None:
    plan = fleet.plan(mode="ipvs")
    fleet.begin(plan)
    for host in NODES:
        fleet.switch(plan, host)
    fleet.road().take(settle(fleet.sets(), plan.text))
    _silent_after_the_first_patch(fleet, fleet.time + 5.0)
    with pytest.raises(HostError, match="it is served by the second DaemonSet"):
        fleet.switch_of(plan, "node1").go_home()
    assert fleet.cluster.labels() == dict.fromkeys(NODES, "moved")
    assert fleet.modes() == ["ipvs"] * 3


def test_an_api_that_stays_away_leaves_a_node_that_is_named(fleet: Fleet) -> None:
    plan = fleet.plan(mode="nftables")
    fleet.begin(plan)
    _silent_after_the_first_patch(fleet, 1e9)
    with pytest.raises(HostError, match=r"node node1 may be left with the label .*leaving, and without") as caught:
        fleet.switch(plan, "node1")
    assert "given back what it had" not in str(caught.value)
    assert "has its former label again" not in str(caught.value)


def test_an_api_that_is_away_for_a_while_does_not_leave_a_node_cordoned(with_files: Fleet) -> None:
    """As of a server of k3s that has got its file back: its restart is one of the API server."""
    plan = _plan_with_files(with_files, cordon=True)
    node, cluster = with_files.nodes["node1"], with_files.cluster
    node.wrong = {"ipvs"}
    send, restore, since = cluster.send, node.restore, []

    def restarting(identifier: str) -> None:
        since.append(with_files.time)
        restore(identifier)

    def sent(*asked: Any) -> Any:
        if since and with_files.time < since[0] + 5.0:
            raise NoAnswerError("connection refused")
        return send(*asked)

    node.restore = restarting  # type: ignore[method-assign]
    cluster.send = sent  # type: ignore[method-assign,assignment]
    with pytest.raises(HostError, match="given back what it had"):
        with_files.switch(plan, "node1", cordon=True)
    assert "unschedulable" not in cluster.objects["nodes", "node1"]["spec"]


def _endpoint(number: int) -> str:
    return "10.244.1.%d" % number


class _Busy:
    """A cluster whose Service has another endpoint each time that the API is asked, and a node that is behind it.

    also: further things that its kernel has.
    """

    def __init__(self, fleet: Fleet, host: str) -> None:
        self.number = 5
        self.also: Tuple[ProxyEntry, ...] = ()
        self._cluster, self._node = fleet.cluster, fleet.nodes[host]
        self._send, self._look = self._cluster.send, self._node.look
        self._cluster.send = self._sent  # type: ignore[method-assign,assignment]
        self._node.look = self._looked  # type: ignore[method-assign]

    def change(self) -> None:
        self.number += 1
        (end,) = self._cluster.objects["endpointslices", "web-1"]["endpoints"]
        end["addresses"] = [_endpoint(self.number)]

    def _sent(self, method: str, path: str, *rest: Any) -> Any:
        if method == "GET" and path.endswith("/endpointslices"):
            self.change()
        return self._send(method, path, *rest)

    def _looked(self, entries: bool = True) -> NodeSeen:
        seen = self._look(entries)
        behind = ("%s:8080" % _endpoint(self.number - 1),)
        return replace(seen, entries=(*(replace(each, endpoints=behind) for each in seen.entries), *self.also))


def test_a_cluster_whose_endpoints_change_all_the_time_is_no_reason_to_go_back(fleet: Fleet) -> None:
    plan = fleet.plan(mode="nftables")
    fleet.begin(plan)
    _Busy(fleet, "node1")
    fleet.switch(plan, "node1")
    assert fleet.modes() == ["nftables", "iptables", "iptables"]
    # Two looks tell.
    assert fleet.time == 2.0


def test_there_is_a_second_look_although_the_time_is_over(fleet: Fleet) -> None:
    plan = fleet.plan(mode="nftables")
    fleet.begin(plan)
    _Busy(fleet, "node1")
    fleet.switch(plan, "node1", verify_timeout=0)


def test_where_nothing_differs_one_look_tells(fleet: Fleet) -> None:
    plan = fleet.plan(mode="nftables")
    fleet.begin(plan)
    fleet.switch(plan, "node1")
    assert fleet.time == 0.0


def test_what_stays_wrong_is_a_reason_and_named_alone(fleet: Fleet) -> None:
    plan = fleet.plan(mode="nftables")
    fleet.begin(plan)
    _Busy(fleet, "node1").also = (replace(ENTRY, port=81),)
    with pytest.raises(HostError, match=r"verification: tcp 10.96.0.10:81: is served by .* no such Service") as caught:
        fleet.switch(plan, "node1")
    assert "10.96.0.10:80" not in str(caught.value)


def test_a_service_that_stays_unserved_is_a_reason_whichever_endpoints_it_has(fleet: Fleet) -> None:
    plan = fleet.plan(mode="nftables")
    fleet.begin(plan)
    _Busy(fleet, "node1")
    fleet.nodes["node1"].wrong = {"nftables"}
    with pytest.raises(HostError, match=r"\(default/web:http\): is not served, but has endpoints"):
        fleet.switch(plan, "node1")


def test_a_look_before_kube_proxy_answers_is_no_first_look_at_services(fleet: Fleet) -> None:
    plan = fleet.plan(mode="nftables")
    fleet.begin(plan)
    node = fleet.nodes["node1"]
    look, looks = node.look, []
    node.wrong = {"nftables"}

    def late(entries: bool = True) -> NodeSeen:
        looks.append(entries)
        return replace(look(entries), proxy_mode="") if len(looks) == 1 else look(entries)

    node.look = late  # type: ignore[method-assign]
    with pytest.raises(HostError, match="is not served, but has endpoints"):
        fleet.switch(plan, "node1")


def test_residues_are_found_among_differences_of_a_moment(fleet: Fleet) -> None:
    plan = fleet.plan(mode="nftables")
    fleet.begin(plan)
    _Busy(fleet, "node1")
    fleet.cluster.residue_of = {"node1": "ipvs"}
    fleet.switch(plan, "node1")
    assert fleet.cluster.cleaned == ["node1"]


def _connects(fleet: Fleet, seconds: float, *problems: str) -> Callable[[Callable[[], None]], None]:
    """Connections from node 1 in nftables take their time; those after the change fail with these, one after another.

    The last one stays. To be called with what happens meanwhile.
    """
    node, left = fleet.nodes["node1"], list(problems)
    connect = node.connect

    def given(meanwhile: Callable[[], None]) -> None:
        def slow(services: Any, limit: float) -> Any:
            found = connect(services, limit)
            if fleet.cluster.mode_on("node1") != "nftables":
                return found
            fleet.time += seconds
            meanwhile()
            said = left.pop(0) if len(left) > 1 else left[0]
            return tuple(replace(each, problems=(said,) if said else ()) for each in found)

        node.connect = slow  # type: ignore[method-assign,assignment]

    return given


_NOT_MET = "10.244.1.5:8080 was not met"


def test_endpoints_that_changed_while_connections_were_made_are_no_reason(fleet: Fleet) -> None:
    plan = fleet.plan(mode="nftables")
    fleet.begin(plan)
    end = fleet.cluster.objects["endpointslices", "web-1"]["endpoints"][0]
    _connects(fleet, 60.0, _NOT_MET)(lambda: end.update(addresses=["10.244.1.6"]))
    fleet.switch(plan, "node1")


def test_connections_are_made_a_second_time_although_the_time_is_over(fleet: Fleet) -> None:
    plan = fleet.plan(mode="nftables")
    fleet.begin(plan)
    _connects(fleet, 60.0, _NOT_MET, "")(lambda: None)
    fleet.switch(plan, "node1")


def test_connections_that_fail_twice_are_a_reason(fleet: Fleet) -> None:
    plan = fleet.plan(mode="nftables")
    fleet.begin(plan)
    _connects(fleet, 60.0, _NOT_MET)(lambda: None)
    with pytest.raises(HostError, match=r"default/web:http at 10.96.0.10:80: 10.244.1.5:8080 was not met"):
        fleet.switch(plan, "node1")
    assert fleet.time < 140.0


def test_nodes_that_have_a_kube_proxy(fleet: Fleet) -> None:
    assert served(fleet.cluster.api, fleet.sets()) == NODES
    fleet.cluster.objects["nodes", "node3"]["metadata"]["labels"]["kubernetes.io/os"] = "windows"
    fleet.cluster._control()
    assert served(fleet.cluster.api, fleet.sets()) == ("node1", "node2")


FILE = "/etc/kube-proxy.yaml"


class NodeWithFile(FakeNode):
    """One whose kube-proxy is a service with a file of its own. wont: the modes in which it does not come up."""

    def __init__(self, cluster: FakeCluster, name: str) -> None:
        super().__init__(cluster, name)
        self.text, self.mode, self.former = TEXT, "iptables", ""
        self.wont: Set[str] = set()
        place = Place("standalone", CONFIG_FILE, FILE, "kube-proxy.service")
        self.seen = replace(self.seen, place=place, in_container=False, kubernetes="v1.34.2", programs=("ipset", "nft"))

    def look(self, entries: bool = True) -> NodeSeen:
        seen = super().look(entries)
        served = (replace(ENTRY, scheduler="rr" if self.mode == "ipvs" else ""),) if self.mode not in self.wrong else ()
        bound = ("10.96.0.10",) if self.mode == "ipvs" else ()
        files = (ProxyFile(FILE, self.text),)
        return replace(seen, files=files, proxy_mode=self.mode, entries=served, bound=bound, leftovers=Leftovers())

    def change(self, want: ProxyChange) -> ProxyOutcome:
        self.said.append("change %s" % want.mode)
        if want.mode in self.wont:
            raise host_error("kube-proxy.service", "did not come up; the journal says: no ipset")
        self.former, self.text, self.mode = self.text, want.text, want.mode
        return ProxyOutcome(id="17", files=(FileChange(FILE, self.former, want.text),), former_mode="iptables")

    def restore(self, identifier: str) -> None:
        super().restore(identifier)
        self.text, self.mode = self.former, "iptables"


@pytest.fixture
def with_files() -> Fleet:
    fleet = Fleet()
    fleet.nodes = {name: NodeWithFile(fleet.cluster, name) for name in NODES}
    return fleet


def _plan_with_files(fleet: Fleet, api: bool = True, **given: Any) -> RunPlan:
    settings = fleet.settings(mode="ipvs", api=api, **given)
    looks = {host: HostLook(fleet.nodes[host].look(), settings) for host in fleet.hosts}
    return plan_run(looks, look_at_cluster(fleet.cluster.api, "standalone") if api else ClusterLook())


def test_a_node_with_a_file_of_its_own_is_changed_verified_and_kept(with_files: Fleet) -> None:
    plan = _plan_with_files(with_files)
    assert (plan.steps, plan.text) == ((), "")
    done = with_files.switch(plan, "node1")
    assert [file.path for file in done.files] == [FILE]
    assert with_files.nodes["node1"].said == ["change ipvs", "keep 17"]
    # Nothing of this concerns the API.
    assert with_files.cluster.said == []
    assert not _plan_with_files(with_files).by_host["node1"].to_change


def test_a_node_with_a_file_of_its_own_that_does_not_serve_gets_its_file_back(with_files: Fleet) -> None:
    plan = _plan_with_files(with_files)
    with_files.nodes["node1"].wrong = {"ipvs"}
    with pytest.raises(HostError) as caught:
        with_files.switch(plan, "node1")
    assert "is not served, but has endpoints: 10.244.1.5:8080" in str(caught.value)
    assert "kube-proxy runs iptables again" in str(caught.value)
    assert with_files.nodes["node1"].said == ["change ipvs", "restore 17"]


def test_an_api_server_that_restarts_with_the_node_is_waited_for(with_files: Fleet) -> None:
    """As of a server of k3s: its restart is one of the API server."""
    plan = _plan_with_files(with_files)
    node, cluster, sleep = with_files.nodes["node1"], with_files.cluster, with_files._sleep
    change = node.change

    def restarting(want: ProxyChange) -> ProxyOutcome:
        cluster.silent = "connection refused"
        return change(want)

    def later(seconds: float) -> None:
        sleep(seconds)
        cluster.silent = ""

    node.change = restarting  # type: ignore[method-assign]
    with_files._sleep = later  # type: ignore[method-assign]
    with_files.switch(plan, "node1")
    assert node.said == ["change ipvs", "keep 17"]
    # One that stays away is a reason.
    plan = _plan_with_files(with_files)
    with_files._sleep = sleep  # type: ignore[method-assign]
    with_files.nodes["node2"].change = restarting  # type: ignore[method-assign]
    with pytest.raises(HostError, match="no answer: connection refused"):
        with_files.switch(plan, "node2")


def test_what_is_wrong_is_said_although_the_cordon_cannot_be_ended(fleet: Fleet) -> None:
    plan = fleet.plan(mode="ipvs")
    fleet.begin(plan)
    fleet.cluster.broken = {("node1", "ipvs")}
    uncordon = Switch._uncordon

    def refused(switch: Switch, problems: Any) -> None:
        fleet.cluster.silent = "connection refused"
        uncordon(switch, problems)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Switch, "_uncordon", refused)
        said = r'is changed, and takes no new pods until the next run; .*"node2": no answer'
        with pytest.raises(HostError, match=said):
            fleet.switch(plan, "node2", cordon=True)
        fleet.cluster.silent = ""
        with pytest.raises(HostError) as caught:
            fleet.switch(plan, "node1", cordon=True)
    for said in ("does not come up", "given back what it had", 'patch nodes "node1": no answer: connection refused'):
        assert said in str(caught.value)


def test_what_the_node_has_given_back_itself_is_not_given_back_again(with_files: Fleet) -> None:
    plan = _plan_with_files(with_files)
    node = with_files.nodes["node1"]
    assert isinstance(node, NodeWithFile)
    node.wont = {"ipvs"}
    with pytest.raises(HostError, match="the journal says: no ipset"):
        with_files.switch(plan, "node1")
    assert node.said == ["change ipvs"]


def _lost_while_it_changes(fleet: Fleet, until: float, taken: bool = True) -> NodeWithFile:
    """Node 1 is out of reach from its change on, which comes to its end there (taken) and waits, until some time."""
    node = fleet.nodes["node1"]
    assert isinstance(node, NodeWithFile)
    change, look, restore = node.change, node.look, node.restore

    def lost(want: ProxyChange) -> ProxyOutcome:
        if taken:
            node.seen = replace(node.seen, stored=change(want).id)
        raise LostError([Problem("", "the connection was lost")])

    def reached() -> None:
        if fleet.time < until:
            raise LostError([Problem("", "the connection was lost")])

    def looked(entries: bool = True) -> NodeSeen:
        reached()
        return look(entries)

    def restored(identifier: str) -> None:
        reached()
        # The module is still at it.
        if fleet.time < until + 4.0:
            raise host_error("/run/lock", "held by another run (pid 7)")
        restore(identifier)

    node.change = lost  # type: ignore[method-assign]
    node.look = looked  # type: ignore[method-assign]
    node.restore = restored  # type: ignore[method-assign]
    return node


def test_a_node_that_is_lost_while_it_changes_is_looked_at_again_and_given_back(with_files: Fleet) -> None:
    plan = _plan_with_files(with_files)
    node = _lost_while_it_changes(with_files, 5.0)
    with pytest.raises(HostError) as caught:
        with_files.switch(plan, "node1")
    assert str(caught.value) == (
        "the connection was lost; it was given back what it had: kube-proxy runs iptables again"
    )
    assert (node.said, node.mode) == (["change ipvs", "restore 17"], "iptables")


def test_of_one_that_waits_since_an_earlier_run_the_mode_before_is_not_known(with_files: Fleet) -> None:
    node = with_files.nodes["node1"]
    assert isinstance(node, NodeWithFile)
    node.change(ProxyChange("ipvs", node.seen.place, FILE, TEXT.replace("iptables", "ipvs")))
    node.seen = replace(node.seen, stored="17")
    plan = _plan_with_files(with_files)
    _lost_while_it_changes(with_files, 5.0, taken=False)
    with pytest.raises(HostError, match="it was given back what it had: kube-proxy runs as before again"):
        with_files.switch(plan, "node1")
    assert node.mode == "iptables"


def test_a_node_that_is_lost_before_it_changes_has_nothing_to_give_back(with_files: Fleet) -> None:
    plan = _plan_with_files(with_files)
    node = _lost_while_it_changes(with_files, 5.0, taken=False)
    with pytest.raises(HostError, match=r"the connection was lost; nothing of the change is there: .* runs iptables"):
        with_files.switch(plan, "node1")
    assert node.said == []


def test_a_node_that_stays_lost_is_said_to_be_in_a_state_that_nobody_knows(with_files: Fleet) -> None:
    plan = _plan_with_files(with_files)
    node = _lost_while_it_changes(with_files, 1e9)
    with pytest.raises(HostError, match="on the way back: the connection was lost") as caught:
        with_files.switch(plan, "node1")
    assert "given back" not in str(caught.value)
    assert node.said == ["change ipvs"]


def test_a_node_that_is_lost_while_it_is_verified_is_given_back_once_it_is_there_again(with_files: Fleet) -> None:
    plan = _plan_with_files(with_files)
    node = with_files.nodes["node1"]
    node.wrong = {"ipvs"}
    restore, since = node.restore, []

    def restored(identifier: str) -> None:
        since.append(with_files.time)
        if with_files.time < since[0] + 3.0:
            raise LostError([Problem("", "the connection was lost")])
        restore(identifier)

    node.restore = restored  # type: ignore[method-assign]
    with pytest.raises(HostError, match="given back what it had"):
        with_files.switch(plan, "node1")
    assert node.said == ["change ipvs", "restore 17"]


def test_a_change_of_a_killed_run_that_fails_is_given_back_to_what_was_before_that(with_files: Fleet) -> None:
    node = with_files.nodes["node1"]
    assert isinstance(node, NodeWithFile)
    # It waits for its end, so the mode that runs now is not the former one.
    node.change(ProxyChange("ipvs", node.seen.place, FILE, TEXT.replace("iptables", "ipvs")))
    node.seen = replace(node.seen, stored="17")
    plan = _plan_with_files(with_files)
    waiting = ProxyOutcome(id="17", former_mode="iptables")
    node.wrong = {"ipvs"}
    node.change = Mock(return_value=waiting)  # type: ignore[method-assign]
    with pytest.raises(HostError, match="given back what it had: kube-proxy runs iptables again"):
        with_files.switch(plan, "node1")


def test_without_the_api_what_kube_proxy_says_of_itself_has_to_do(with_files: Fleet) -> None:
    plan = _plan_with_files(with_files, api=False)
    with_files.cluster.silent = "nobody is to be asked"
    with_files.nodes["node1"].wrong = {"ipvs"}
    switch = Switch(plan.by_host["node1"], Reach(with_files.nodes["node1"], None, with_files.settings(api=False)))
    assert switch.run().services == 0


def test_a_node_that_does_not_tell_its_version(with_files: Fleet) -> None:
    for node in with_files.nodes.values():
        node.seen = replace(node.seen, kubernetes="")
    # The API tells that of its kubelet.
    assert _plan_with_files(with_files).waves
    with pytest.raises(
        InputError, match=r"node1: which version of kube-proxy it has is not known \(have the API asked"
    ):
        _plan_with_files(with_files, api=False)


def test_a_wrong_file_and_a_missing_module_are_said_together(with_files: Fleet) -> None:
    broken, lacking = with_files.nodes["node1"], with_files.nodes["node2"]
    assert isinstance(broken, NodeWithFile)
    broken.text = "mode: ["
    lacking.seen = replace(lacking.seen, modules=())
    with pytest.raises(InputError) as caught:
        _plan_with_files(with_files)
    said = [str(problem) for problem in caught.value.problems]
    assert said[0].startswith("node1: /etc/kube-proxy.yaml: is not YAML")
    assert said[1].startswith("node2: ipvs needs modules that this kernel does not have")
