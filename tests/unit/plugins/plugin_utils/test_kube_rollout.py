# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which nodes have to change and in which order; what of them is verified."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, List, Tuple

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._kube_choice import needed_modules
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_find import (
    CONFIG_FILE,
    CONFIG_MAP,
    FLAGS_FILE,
    RANCHER_FILES,
    UNIT,
    Place,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_model import (
    NodeSeen,
    ProxyFile,
    ServiceTried,
    fingerprint,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_modes import IPTABLES, IPVS, NFTABLES
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_residues import Leftovers, Unread
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_table import ANY, ProxyEntry
from ansible_collections.netfleet.tcp.plugins.module_utils._model import from_wire, to_wire
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_cluster import NodeInfo
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_daemon_set import LEAVING, MOVED, Sets
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_expected import ExpectedEntry, NodeView
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_preflight import Member
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_rollout import (
    FILES,
    HOME,
    SECOND,
    NodePlan,
    not_reached,
    plan_node,
    reached,
    unsettled,
    waves_of,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_run import checked
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_verdict import (
    Fault,
    faults,
    lost,
    named,
    not_compared,
    to_try,
    to_try_again,
)
from tests.unit.plugins.plugin_utils.fake_cluster import TEXT, config_map, daemon_set

FILE = "/etc/kube-proxy.yaml"
SEEN = NodeSeen(
    place=Place("standalone", CONFIG_FILE, FILE, "kube-proxy.service"),
    kernel="6.1.0-40-amd64",
    files=(ProxyFile(FILE, TEXT),),
    proxy_mode=IPTABLES,
    sysctls={"net.ipv4.ip_forward": "1"},
    in_container=False,
)
IN_API = replace(SEEN, place=Place("kubeadm", CONFIG_MAP), files=(), in_container=True)
SETS = Sets(config_map(), daemon_set(), "config.conf")
SETTINGS = checked({})
WANT = {"mode": IPVS, "ipvs.scheduler": "lc"}


def _member(seen: NodeSeen = SEEN, settings: Any = None, **info: Any) -> Member:
    return Member("host1", seen, settings or {"mode": IPTABLES}, NodeInfo(**{"name": "node1", **info}), install=True)


def _plan(member: Member, want: Dict[str, Any] = WANT, sets: Any = None, home: bool = False) -> NodePlan:
    return plan_node(member, want, SETTINGS, sets, home)


def _changes(plan: NodePlan) -> List[Tuple[str, Any, str]]:
    return [(change.key, change.running, change.want) for change in plan.changes]


def test_a_node_with_files_of_its_own() -> None:
    plan = _plan(_member(zone="a"))
    assert (plan.road, plan.former, plan.mode, plan.node, plan.zone) == (FILES, IPTABLES, IPVS, "node1", "a")
    assert _changes(plan) == [("mode", IPTABLES, IPVS), ("ipvs.scheduler", None, "lc")]
    change = plan.change
    assert change.path == FILE
    assert "mode: ipvs" in change.text
    assert "unknownField: kept" in change.text
    # By that the node knows whether somebody has edited it since.
    assert change.was == fingerprint(TEXT)
    assert change.modules == needed_modules(IPVS, "lc")
    assert change.seconds == 90.0
    assert plan.scheduler == "lc"
    assert plan.packages == ("ipset",)
    # It travels between the tasks of the role.
    assert from_wire(NodePlan, to_wire(plan)) == plan


def test_a_node_that_is_as_it_should_be() -> None:
    seen = replace(SEEN, proxy_mode=IPVS, programs=("ipset",), sysctls={"net.ipv4.vs.conn_reuse_mode": "1"})
    plan = _plan(_member(seen, dict(WANT)))
    assert (plan.changes, plan.to_change, plan.packages) == ((), False, ())


def test_a_mode_that_kube_proxy_has_chosen_itself_is_left_to_it() -> None:
    assert not _plan(_member(SEEN, {"conntrack.min": 0}), {"mode": IPTABLES}).to_change
    # Where it says another one, kube-proxy would take that at its next start.
    assert _changes(_plan(_member(SEEN, {"mode": IPVS}), {"mode": IPTABLES})) == [("mode", IPVS, IPTABLES)]


def test_what_else_is_to_be_mended() -> None:
    seen = replace(
        SEEN,
        proxy_mode=IPVS,
        leftovers=Leftovers(tables=("ip",), interface=True),
        sysctls={"net.ipv4.vs.conn_reuse_mode": "0"},
        stored="17-ipvs",
        managed_by_network_manager=True,
    )
    plan = _plan(_member(seen, dict(WANT)))
    assert [key for key, _running, _want in _changes(plan)] == [
        "nftables table",
        "net.ipv4.vs.conn_reuse_mode",
        "change",
        "kube-ipvs0",
    ]
    assert plan.change.unmanaged
    assert plan.stored == "17-ipvs"


@pytest.mark.parametrize("mode", [IPVS, IPTABLES, NFTABLES])
def test_what_is_left_to_others_is_so_on_the_way_from_ipvs_too(mode: str) -> None:
    """Its clean-up takes virtual servers away."""
    settings = {"mode": IPVS, "ipvs.excludeCIDRs": ("192.0.2.100/32",)}
    text = TEXT.replace("mode: iptables", "mode: ipvs")
    seen = replace(SEEN, proxy_mode=IPVS, files=(ProxyFile(FILE, text),))
    assert _plan(_member(seen, settings), {"mode": mode}).change.excluded == ("192.0.2.100/32",)


@pytest.mark.parametrize(
    ("own", "by_api", "gates", "followed"),
    [
        ("v1.33.5", "v1.36.4", {}, False),
        ("", "v1.33.5", {}, False),
        ("", "v1.36.4", {}, True),
        ("v1.33.5", "", {"PreferSameTrafficDistribution": True}, True),
    ],
)
def test_whether_a_node_follows_hints_for_nodes(own: str, by_api: str, gates: Dict[str, bool], followed: bool) -> None:
    settings = {"mode": IPTABLES, "featureGates": gates}
    plan = _plan(_member(replace(SEEN, kubernetes=own), settings, zone="a", kubernetes=by_api))
    assert plan.view == NodeView("node1", "a", followed)
    assert from_wire(NodePlan, to_wire(plan)).view == plan.view


def test_a_kube_proxy_that_does_not_answer() -> None:
    plan = _plan(_member(replace(SEEN, proxy_mode="")))
    assert _changes(plan)[0] == ("mode", None, IPVS)
    assert plan.former == ""


@pytest.mark.parametrize(("home", "road"), [(False, SECOND), (True, HOME)])
def test_a_node_whose_configuration_the_api_holds(home: bool, road: str) -> None:
    plan = _plan(_member(IN_API), sets=SETS, home=home)
    assert (plan.road, plan.change.path, plan.label, plan.packages) == (road, "", "", ())


def test_a_node_that_an_earlier_run_has_left_without_kube_proxy() -> None:
    sets = replace(SETS, labels=(("node1", LEAVING),))
    plan = _plan(_member(replace(IN_API, proxy_mode=IPVS), dict(WANT)), sets=sets)
    assert ("netfleet.tcp/kube-proxy", LEAVING, MOVED) in _changes(plan)


def test_arguments_of_a_unit() -> None:
    text = "# /etc/systemd/system/kube-proxy.service\n[Service]\nExecStart=/usr/bin/kube-proxy --proxy-mode=iptables\n"
    place = Place("standalone", UNIT, "", "kube-proxy.service")
    plan = _plan(_member(replace(SEEN, place=place, files=(), unit_text=text)))
    assert plan.change.path == "/etc/systemd/system/kube-proxy.service.d/zz-netfleet-tcp.conf"
    assert "--proxy-mode=ipvs" in plan.change.text
    # A file of our own.
    assert plan.change.was == ""


def _hosts(**given: Tuple[str, bool, bool]) -> Tuple[List[NodePlan], Dict[str, Member]]:
    """By host: its zone, whether it is a control plane, whether it has to change."""
    members = {
        host: replace(_member(zone=zone, control_plane=control), host=host)
        for host, (zone, control, _it) in given.items()
    }
    plans = [replace(_plan(members[host]), changes=_plan(members[host]).changes * given[host][2]) for host in given]
    return plans, members


def test_a_worker_comes_first_zones_are_spread_and_control_planes_come_last() -> None:
    plans, members = _hosts(
        cp1=("a", True, True),
        w1=("a", False, True),
        w2=("a", False, True),
        w3=("b", False, True),
        cp2=("b", True, True),
        w4=("b", False, False),
    )
    assert waves_of(plans, members, [(1, False), (2, False)]) == [["w1"], ["w3", "w2"], ["cp1", "cp2"]]
    assert waves_of(plans, members, [(100, True)]) == [["w1", "w3", "w2", "cp1", "cp2"]]
    assert waves_of([], {}, [(1, False)]) == []


@pytest.mark.parametrize(
    ("place", "control", "node", "alone"),
    [
        (Place("k3s", RANCHER_FILES, "/etc/rancher/k3s/config.yaml", "k3s.service"), True, "n", True),
        (Place("k3s", RANCHER_FILES, "/etc/rancher/k3s/config.yaml", "k3s.service"), False, "", True),
        (Place("k3s", RANCHER_FILES, "/etc/rancher/k3s/config.yaml", "k3s-agent.service"), False, "n", False),
        (Place("rke2", RANCHER_FILES, "/etc/rancher/rke2/config.yaml", "rke2-server.service"), True, "n", True),
        (Place("microk8s", FLAGS_FILE, FILE, "snap.microk8s.daemon-kubelite.service"), True, "n", True),
        (Place("microk8s", FLAGS_FILE, FILE, "snap.microk8s.daemon-kubelite.service"), False, "n", False),
        (Place("microk8s", FLAGS_FILE, FILE, "snap.microk8s.daemon-kubelite.service"), False, "", True),
        (Place("standalone", CONFIG_FILE, FILE, "kube-proxy.service"), True, "n", False),
    ],
)
def test_control_planes_that_restart_with_their_kube_proxy_go_one_by_one(
    place: Place, control: bool, node: str, alone: bool
) -> None:
    plans, members = _hosts(w1=("a", False, True), s1=("a", control, True), s2=("a", control, True))
    for name in ("s1", "s2"):
        seen = replace(members[name].seen, place=place)
        members[name] = replace(members[name], seen=seen, node=replace(members[name].node, name=node))
    found = waves_of(plans, members, [(100, True)])
    assert found == ([["w1"], ["s1"], ["s2"]] if alone else [["w1", "s1", "s2"]])


WAVES = [["a"], ["b", "c"], ["d"]]


def test_what_follows_a_failure_is_not_touched() -> None:
    assert not_reached(WAVES, 0, []) == ""
    assert not_reached(WAVES, 1, ["a", "b", "c", "d"]) == ""
    assert not_reached(WAVES, 1, ["b", "c", "d"]) == "the first node has failed (a): this one was not touched"
    assert "a node of an earlier wave has failed (c)" in not_reached(WAVES, 2, ["a", "b", "d"])
    assert reached(WAVES, ["a", "b", "d"]) == ("a", "b")
    assert reached(WAVES, ["b", "c", "d"]) == ()
    assert reached(WAVES, ["a", "b", "c", "d"]) == ("a", "b", "c", "d")


def test_the_clusters_own_settings_wait_for_all_of_its_nodes() -> None:
    assert unsettled(["node2", "node1"], {"node1"}) == ("node2",)
    assert unsettled(["node1"], {"node1", "node2"}) == ()


HTTP = ExpectedEntry("default/web:http", "tcp", "10.96.0.10", 80, ("10.244.1.5:80",), ("10.244.1.5:80",))
SERVED = ProxyEntry("tcp", "10.96.0.10", 80, ("10.244.1.5:80",))


def test_a_node_without_fault() -> None:
    assert faults(replace(SEEN, entries=(SERVED,)), IPTABLES, {}, [HTTP]) == ()
    seen = replace(SEEN, proxy_mode=IPVS, entries=(replace(SERVED, scheduler="rr"),), bound=("10.96.0.10",))
    assert faults(seen, IPVS, {}, [HTTP]) == ()
    assert [fault.text for fault in faults(seen, IPVS, {"ipvs.scheduler": "lc"}, [HTTP])] == [
        "has the scheduler rr, not lc"
    ]
    assert [fault.key for fault in faults(replace(seen, bound=()), IPVS, {}, [HTTP])] == [
        "10.96.0.10 (default/web:http)"
    ]


@pytest.mark.parametrize("bound", [("10.96.0.10",), ("10.96.0.10", "192.0.2.11")])
def test_an_address_of_the_node_that_a_service_has_need_not_be_on_kube_ipvs0(bound: Tuple[str, ...]) -> None:
    """As of k3s' own load balancer, of externalIPs, or of kube-vip on its leader, a moment ago still on kube-ipvs0."""
    served = replace(SERVED, scheduler="rr")
    seen = replace(SEEN, proxy_mode=IPVS, addresses=("192.0.2.11",), bound=bound)
    # It stands in the shape of a NodePort there.
    seen = replace(seen, entries=(served, replace(served, address="192.0.2.11")))
    wanted = [HTTP, replace(HTTP, address="192.0.2.11")]
    assert faults(seen, IPVS, {}, wanted) == ()
    # On another node it has to be there; and where no Service has it, it is there for nothing.
    missing = [fault.key for fault in faults(replace(seen, addresses=()), IPVS, {}, wanted)]
    assert missing == ["192.0.2.11 (default/web:http)"] * (len(bound) == 1)
    unknown = [fault.key for fault in faults(replace(seen, entries=(served,)), IPVS, {}, [HTTP])]
    assert unknown == ["192.0.2.11"] * (len(bound) == 2)


def test_addresses_of_the_node_that_several_services_have_at_the_same_port() -> None:
    """As of kube-vip on its leader."""
    ends = ("10.244.1.5:80",), ("10.244.1.6:80",)
    wanted = [HTTP] + [
        replace(HTTP, name="default/%d:http" % index, address="192.0.2.10%d" % index, endpoints=each, known=each)
        for index, each in enumerate(ends)
    ]
    served = replace(SERVED, scheduler="rr")
    theirs = [replace(served, address="192.0.2.10%d" % index, endpoints=each) for index, each in enumerate(ends)]
    seen = replace(SEEN, proxy_mode=IPVS, addresses=("192.0.2.100", "192.0.2.101"), bound=("10.96.0.10",))
    assert faults(replace(seen, entries=(served, *theirs)), IPVS, {}, wanted) == ()
    (fault,) = faults(replace(seen, entries=(served, theirs[1])), IPVS, {}, wanted)
    assert str(fault) == "tcp 192.0.2.100:80 (default/0:http): is not served, but has endpoints: 10.244.1.5:80"


def test_faults_of_every_kind() -> None:
    seen = replace(SEEN, proxy_mode=NFTABLES, health="HTTP status 503", leftovers=Leftovers(sets=("KUBE-CLUSTER-IP",)))
    assert [(fault.kind, fault.text) for fault in faults(seen, NFTABLES, {}, [HTTP])] == [
        ("health", "kube-proxy is not healthy: HTTP status 503"),
        ("service", "is not served, but has endpoints: 10.244.1.5:80"),
        ("residue", "left over: ipsets of the mode ipvs: KUBE-CLUSTER-IP"),
    ]
    # Of another mode, its entries say nothing.
    assert [fault.kind for fault in faults(replace(seen, health=""), IPTABLES, {}, [HTTP])] == ["mode", "residue"]
    assert [fault.kind for fault in faults(replace(SEEN, proxy_mode=""), IPVS, {}, [HTTP])] == ["mode"]
    # Without the API, nobody knows what should be there.
    assert faults(SEEN, IPTABLES, {}, [], api=False) == ()


NO_IPSET = Unread("ipsets", "ipset is not installed: sets cannot be read", "ipset")
NO_NFT = Unread("nftables table", "nft is not installed: tables of nftables cannot be read", "nft")
NO_IPTABLES = Unread("chains", "iptables is not installed: its chains cannot be read", "iptables")


def _unread(former: str, mode: str, *unread: Unread) -> List[str]:
    seen = replace(SEEN, proxy_mode=mode, leftovers=Leftovers(unread=unread), kernel="6.1.0")
    found = faults(seen, mode, {}, [], former=former)
    assert {fault.kind for fault in found} <= {"residue"}
    return [fault.text for fault in found]


def test_what_the_former_mode_may_have_left_unseen_is_a_fault() -> None:
    assert _unread(IPVS, IPTABLES, NO_IPSET) == [
        "what the mode ipvs has left cannot be told: ipset is not installed: sets cannot be read (install ipset)"
    ]
    (said,) = _unread(NFTABLES, IPVS, NO_NFT)
    assert said.endswith("tables of nftables cannot be read (install nftables)")
    (said,) = _unread(IPTABLES, IPVS, NO_IPTABLES)
    assert said.endswith("its chains cannot be read (install iptables)")
    (said,) = _unread(IPTABLES, IPVS, replace(NO_IPTABLES, why="iptables-save: exit status 1", program=""))
    assert said.endswith(": iptables-save: exit status 1")
    assert len(_unread(IPVS, NFTABLES, NO_IPSET, NO_IPTABLES)) == 2


@pytest.mark.parametrize(
    ("former", "mode", "unread"),
    [
        # What this mode never makes, nor does the former one.
        (IPTABLES, NFTABLES, NO_IPSET),
        (NFTABLES, IPTABLES, NO_IPSET),
        (IPVS, IPTABLES, NO_NFT),
        (NFTABLES, IPVS, NO_IPTABLES),
        # No other mode ran before, or it is not known which.
        (IPVS, IPVS, NO_IPSET),
        (IPTABLES, IPTABLES, NO_IPSET),
        ("", IPTABLES, NO_IPSET),
    ],
)
def test_what_the_former_mode_does_not_make_need_not_be_seen(former: str, mode: str, unread: Unread) -> None:
    assert _unread(former, mode, unread) == []


def test_entries_that_cannot_be_read_are_no_services_that_are_not_served() -> None:
    seen = replace(SEEN, entries_limit="nft table kube-proxy: has a form that is not known")
    assert [str(fault) for fault in faults(seen, IPTABLES, {}, [HTTP])] == [
        "what the kernel does with Services cannot be read: nft table kube-proxy: has a form that is not known"
    ]


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"ipvs.tcpTimeout": "15m0s", "ipvs.tcpFinTimeout": "2m0s", "ipvs.udpTimeout": "300s"}, []),
        ({"ipvs.tcpTimeout": "2h", "ipvs.udpTimeout": "10s"}, ["ipvs.tcpTimeout", "ipvs.udpTimeout"]),
        ({"ipvs.tcpFinTimeout": "30s"}, ["ipvs.tcpFinTimeout"]),
        # The kernel keeps what it has: of a zero, and of less than a second.
        ({"ipvs.tcpTimeout": "0s", "ipvs.tcpFinTimeout": "500ms", "ipvs.udpTimeout": ""}, []),
        ({}, []),
    ],
)
def test_timeouts_of_ipvs_are_those_of_its_settings(settings: Dict[str, Any], wrong: List[str]) -> None:
    seen = replace(SEEN, proxy_mode=IPVS, timeouts={"tcp": 900, "tcp_fin": 120, "udp": 300})
    found = faults(seen, IPVS, settings, [], api=False)
    assert [(fault.kind, fault.key) for fault in found] == [("setting", name) for name in wrong]
    # The kernel does not tell, or another mode runs.
    assert faults(replace(seen, timeouts={}), IPVS, settings, [], api=False) == ()
    assert faults(replace(seen, proxy_mode=NFTABLES), NFTABLES, settings, [], api=False) == ()
    # A run verifies them by what is configured in the end.
    plan = _plan(_member(settings={"mode": IPTABLES, **settings}), {**WANT, "ipvs.tcpTimeout": "15m"})
    planned = faults(seen, IPVS, from_wire(NodePlan, to_wire(plan)).settings, [], api=False)
    assert [fault.key for fault in planned] == [name for name in wrong if name != "ipvs.tcpTimeout"]


def test_a_timeout_is_said_in_seconds() -> None:
    seen = replace(SEEN, proxy_mode=IPVS, timeouts={"tcp": 900})
    (fault,) = faults(seen, IPVS, {"ipvs.tcpTimeout": "2h0m0s"}, [], api=False)
    assert str(fault) == "ipvs.tcpTimeout: the kernel forgets idle connections after 900 s, not after 7200 s"


def test_what_ipvs_leaves_to_others() -> None:
    other = ProxyEntry("tcp", "198.51.100.1", 80, ("10.0.0.1:80",))
    seen = replace(SEEN, proxy_mode=IPVS, entries=(replace(SERVED, scheduler="rr"), other), bound=("10.96.0.10",))
    assert len(faults(seen, IPVS, {"ipvs.excludeCIDRs": ()}, [HTTP])) == 1
    assert faults(seen, IPVS, {"ipvs.excludeCIDRs": ("198.51.100.0/24",)}, [HTTP]) == ()


def test_what_ipvs_leaves_to_others_may_be_on_an_address_of_the_node() -> None:
    other = ProxyEntry("tcp", "192.0.2.100", 6443, ("192.0.2.12:6443",))
    served = replace(SERVED, scheduler="rr")
    ways = tuple(replace(served, address=address, port=30080) for address in ("192.0.2.11", "192.0.2.100"))
    seen = replace(SEEN, proxy_mode=IPVS, entries=(served, *ways, other), bound=("10.96.0.10",))
    seen = replace(seen, addresses=("127.0.0.1", "192.0.2.11", "192.0.2.100"))
    wanted = [HTTP, replace(HTTP, address=ANY[4], port=30080)]
    assert len(faults(seen, IPVS, {}, wanted)) == 1
    for network in ("192.0.2.100/32", "192.0.2.0/24"):
        assert faults(seen, IPVS, {"ipvs.excludeCIDRs": (network,)}, wanted) == ()


def test_services_to_which_connections_are_made() -> None:
    many = [replace(HTTP, name="a/%d:http" % index, address="10.96.1.%d" % index) for index in range(100)]
    assert [each.name for each in to_try(many, "", 4)] == ["a/0:http", "a/25:http", "a/50:http", "a/75:http"]
    assert len(to_try(many, "", 1000)) == 100
    assert to_try(many, "", 0) == ()
    others = [
        replace(HTTP, protocol="udp"),
        replace(HTTP, endpoints=()),
        replace(HTTP, address=ANY[4], port=30080),
    ]
    assert to_try(others, "", 9) == ()
    # One of a Service's addresses is enough.
    assert len(to_try([HTTP, replace(HTTP, address="203.0.113.9")], "", 9)) == 1


@pytest.mark.parametrize("scheduler", ["sh", "mh", "dh", "lblc", "lblcr", "lc", "wlc", "sed", "nq"])
def test_with_schedulers_that_keep_clients_or_count_connections_not_every_endpoint_is_met(scheduler: str) -> None:
    """lc, wlc, sed and nq give all short connections to the endpoint with the fewest long ones."""
    (service,) = to_try([HTTP], scheduler, 1)
    assert not service.each


@pytest.mark.parametrize(
    ("affinity", "scheduler", "each"), [(0, "", True), (0, "rr", True), (0, "wrr", True), (9, "", False)]
)
def test_where_clients_stay_with_an_endpoint_not_every_one_is_met(affinity: int, scheduler: str, each: bool) -> None:
    (service,) = to_try([replace(HTTP, affinity=affinity)], scheduler, 1)
    assert service.each is each


def test_of_very_many_endpoints_not_every_one_is_met() -> None:
    for number, each in ((500, True), (501, False)):
        ends = tuple("10.244.%d.%d:80" % divmod(index, 250) for index in range(number))
        (found,) = to_try([replace(HTTP, endpoints=ends)], "", 20)
        assert found.each is each


def test_only_what_was_well_before_is_a_loss() -> None:
    well = ServiceTried("a", "10.96.0.10", 80, 3, ("10.244.1.5:80",))
    ill = replace(well, problems=("3 of 3 connections failed: timed out",))
    assert lost([well], [ill]) == ("a at 10.96.0.10:80: 3 of 3 connections failed: timed out",)
    assert lost([ill], [ill]) == ()
    assert lost([well], [well]) == ()
    # One that is new, and one for which the time did not suffice before: nobody knows whether they ever answered.
    assert lost([], [ill]) == ()
    assert lost([replace(well, connections=0, met=(), in_time=False)], [ill]) == ()


def test_after_the_change_those_are_tried_again_that_were_well_before_and_are_still_there() -> None:
    """Another Service that came or went meanwhile moves none of them."""
    many = [replace(HTTP, name="a/%d:http" % index, address="10.96.1.%d" % index) for index in range(100)]
    before = [ServiceTried(each.name, each.address, 80, 1, each.endpoints) for each in to_try(many, "", 4)]
    before[1], before[2] = replace(before[1], problems=("timed out",)), replace(before[2], connections=0)
    now = [replace(HTTP, name="a/new:http", address="10.96.1.200"), *many[1:60], *many[70:]]
    assert [each.name for each in to_try_again(now, "lc", before)] == ["a/75:http"]
    assert [each.each for each in to_try_again(now, "lc", before)] == [False]


def test_that_nothing_is_known_of_connections_is_said() -> None:
    well = ServiceTried("a", "10.96.0.10", 80, 3, ("10.244.1.5:80",))
    ill, late = replace(well, problems=("timed out",)), replace(well, connections=0)
    (said,) = not_compared([ill, late], [])
    assert "are not verified" in said
    # It is gone, or there was no time for it.
    assert not_compared([well], []) == not_compared([well], [late]) == (said,)
    assert not_compared([ill, well], [well]) == ()
    # Nobody asked for any.
    assert not_compared([], []) == ()


def test_of_many_faults_some_are_named() -> None:
    found = [Fault("service", "s%d" % index, "is missing") for index in range(7)] + [Fault("residue", "", "left")]
    assert named(found, 2) == ("s0: is missing", "s1: is missing", "left", "and 5 more of this kind (service)")
