# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that stands in the way of nodes, before any of them is touched; and what a cluster says of its nodes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, List

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_choice import Cluster, needed_modules
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_find import CONFIG_FILE, CONFIG_MAP, Place
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_model import NodeSeen, SysctlLine
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_modes import IPTABLES, IPVS, NFTABLES
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_residues import Leftovers, Unread
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_cluster import (
    Around,
    NodeInfo,
    dns_cache_address,
    find_node,
    find_nodes,
    needs_strict_arp,
    node_info,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_preflight import (
    TOLERABLE,
    Member,
    Report,
    preflight,
    unverifiable,
)
from tests.unit.plugins.plugin_utils.fake_cluster import node

SEEN = NodeSeen(
    place=Place("kubeadm", CONFIG_MAP),
    kernel="6.1.0-40-amd64",
    node_name="node1",
    modules=tuple({*needed_modules(IPVS), *needed_modules(NFTABLES)}),
    programs=("nft", "iptables"),
    proxy_mode=IPTABLES,
)
NODE = NodeInfo("node1", kubernetes="v1.34.2")


NOTHING = Around()


def _member(host: str = "node1", settings: Any = None, info: NodeInfo = NODE, **seen: Any) -> Member:
    return Member(host, replace(SEEN, **seen), settings or {}, info)


def _check(*members: Member, mode: str = IPVS, around: Around = NOTHING, tolerated: Any = (), **want: Any) -> Report:
    fields = {"mode": mode, **{name.replace("_", "."): value for name, value in want.items()}}
    return preflight(members, mode, fields, Cluster(), around, tolerated)


def _said(report: Report) -> List[str]:
    return [str(problem) for problem in report.problems]


def test_nothing_stands_in_the_way() -> None:
    for mode in (IPVS, NFTABLES, IPTABLES):
        assert _check(_member(), mode=mode) == Report()


def test_who_leaves_ipvs_is_told_that_its_connections_end() -> None:
    members = (_member("a", proxy_mode=IPVS), _member("b", proxy_mode=IPTABLES))
    assert _check(*members, mode=IPVS) == Report()
    for mode in (NFTABLES, IPTABLES):
        (warning,) = _check(*members, mode=mode).warnings
        assert warning.startswith("connections to Services that the node carries by ipvs end")
        assert warning.endswith("(a)")


def test_what_ipvs_leaves_to_others_is_lost_by_nftables() -> None:
    """kube-vip's server for the API on an address of the node: only the settings tell it from a NodePort."""
    servers = {"192.0.2.11": ("tcp 30080", "tcp 6443"), "192.0.2.1": ("tcp 30080",), "fd00::1": ("tcp 6443",)}
    settings = {"ipvs.excludeCIDRs": ("192.0.2.11/32",)}
    member = _member(settings=settings, proxy_mode=IPVS, own_servers=servers)
    (said,) = _said(_check(member, mode=NFTABLES))
    assert said.startswith("node1: IPVS has other users, whose virtual servers would be lost: tcp 192.0.2.11:6443 (")
    assert "30080" not in said
    for mode in (IPVS, IPTABLES):
        assert _said(_check(member, mode=mode)) == []
    assert _said(_check(_member(proxy_mode=IPVS, own_servers=servers), mode=NFTABLES)) == []


def test_all_problems_of_all_nodes_are_said_at_once_and_by_node() -> None:
    said = _said(
        _check(
            _member("a", modules=("ip_vs",), module_limits={"ip_vs_rr": "/etc/modprobe.d/x.conf forbids it"}),
            _member("b", foreign=("keepalived.service runs",)),
            _member("c", info=replace(NODE, ready=False)),
        )
    )
    assert (
        "a: ipvs needs modules that this kernel does not have: ip_vs_rr, ip_vs_wrr, ip_vs_sh, nf_conntrack" in said[0]
    )
    assert said[1] == "a: ip_vs_rr: /etc/modprobe.d/x.conf forbids it"
    assert said[2].startswith("b: IPVS has other users, whose virtual servers would be lost: keepalived.service runs")
    assert "kube_proxy_tolerate: [foreign_ipvs] goes on all the same" in said[2]
    assert said[3].startswith("c: its node is not Ready")
    assert len(said) == 4


def test_what_keeps_the_module_of_a_nodes_own_scheduler_from_being_loaded() -> None:
    limits = {"ip_vs_wlc": "/etc/modprobe.d/x.conf forbids it"}
    members = [
        _member(name, settings, module_limits=limits)
        for name, settings in (
            ("a", {"ipvs.scheduler": "wlc"}),
            ("b", {}),
        )
    ]
    said = _said(_check(*members))
    assert [line.partition(" (")[0] for line in said] == [
        "a: ipvs needs modules that this kernel does not have: ip_vs_wlc",
        "a: ip_vs_wlc: /etc/modprobe.d/x.conf forbids it",
    ]
    assert _check(*members, ipvs_scheduler="sh") == Report()


@pytest.mark.parametrize(
    ("former", "mode", "want", "lost"),
    [
        (IPTABLES, IPVS, {}, True),
        # At each of its starts nftables flushes all of IPVS.
        (IPTABLES, NFTABLES, {}, True),
        (NFTABLES, NFTABLES, {}, True),
        (NFTABLES, IPTABLES, {}, False),
        (IPTABLES, IPTABLES, {}, False),
        (IPVS, IPTABLES, {}, True),
        ("", IPTABLES, {}, True),
        (IPVS, IPVS, {}, True),
        (IPVS, IPVS, {"ipvs_excludeCIDRs": ("192.0.2.0/24",)}, False),
    ],
)
def test_other_users_of_ipvs_lose_their_servers(former: str, mode: str, want: Dict[str, Any], lost: bool) -> None:
    report = _check(_member(foreign=("keepalived.service runs",), proxy_mode=former), mode=mode, **want)
    assert any("IPVS has other users" in line for line in _said(report)) is lost


def test_nftables_needs_names_of_protocols_where_kube_proxy_runs_on_the_host() -> None:
    host = _member(names_protocols=False, in_container=False, programs=("nft", "ipset", "iptables"))
    (said,) = _said(_check(host, mode=NFTABLES))
    assert said.startswith("node1: /etc/protocols is not there")
    assert "netbase" in said
    assert _check(host, mode=IPVS) == _check(host, mode=IPTABLES) == Report()
    # Its image has one of its own.
    assert _check(_member(names_protocols=False), mode=NFTABLES) == Report()


def test_strict_arp_is_needed_in_the_mode_ipvs_alone() -> None:
    around = Around(strict_arp=("MetalLB (metallb-system/speaker)",))
    (said,) = _said(_check(_member(), around=around))
    assert said.startswith("MetalLB (metallb-system/speaker) needs strict ARP in the mode ipvs")
    assert "set kube_proxy_strict_arp: true" in said
    assert _check(_member(), around=around, ipvs_strictARP=True) == Report()
    assert _check(_member(settings={"ipvs.strictARP": True}), around=around) == Report()
    assert _check(_member(), around=around, mode=NFTABLES) == Report()


def test_a_dns_cache_on_the_address_of_a_service() -> None:
    around = Around(dns_cache="10.96.0.10")
    assert "NodeLocal DNSCache listens on 10.96.0.10" in _said(_check(_member(), around=around))[0]
    assert _check(_member(), around=around, mode=NFTABLES) == Report()


def test_sysctls_that_we_set_ourselves_and_kube_proxy_too() -> None:
    line = SysctlLine("net.ipv4.vs.conntrack", "0", "/etc/sysctl.d/90-netfleet-tcp.conf:3")
    (said,) = _said(_check(_member(own_sysctls=(line,))))
    assert said.startswith("node1: /etc/sysctl.d/90-netfleet-tcp.conf:3 sets net.ipv4.vs.conntrack to 0")
    assert _check(_member(own_sysctls=(line,)), mode=NFTABLES) == Report()


@pytest.mark.parametrize("name", TOLERABLE)
def test_what_the_user_knows_of_is_a_warning(name: str) -> None:
    line = SysctlLine("net.ipv4.vs.conntrack", "0", "/etc/sysctl.d/90-netfleet-tcp.conf:3")
    member = _member(own_sysctls=(line,), foreign=("x",), info=replace(NODE, ready=False))
    around = Around(strict_arp=("MetalLB",), dns_cache="10.96.0.10")
    every, less = _check(member, around=around), _check(member, around=around, tolerated=[name])
    assert (len(every.problems), len(every.warnings)) == (5, 0)
    assert (len(less.problems), len(less.warnings)) == (4, 1)
    assert not any("[%s]" % name in problem for problem in _said(less))


def test_what_is_only_said() -> None:
    info = replace(NODE, kubernetes="v1.36.1")
    sysctls = {"net.ipv4.tcp_keepalive_time": "7200"}
    report = _check(
        _member("a", info=info, sysctls=sysctls),
        _member("b", info=info, proxy_mode="", health="no answer", limits=("x",)),
    )
    assert report.problems == ()
    told = "\n".join(report.warnings)
    assert "deprecated since Kubernetes 1.35, nftables is its successor; refused from Kubernetes 1.40 on (a, b)" in told
    assert "IPVS forgets TCP connections that idle for 900 s" in told
    assert "kube-proxy does not answer now: no answer (b)" in told
    assert "x (b)" in told


@pytest.mark.parametrize(
    ("mode", "health", "healthz", "said"),
    [
        ("", "", "h:1", "kube-proxy is healthy at h:1, and does not tell its mode at m:1 (set kube_proxy_metrics"),
        (IPTABLES, "h:1: refused", "h:1", "not its health, at h:1: refused (set kube_proxy_healthz"),
        # It answers, and is not well: a change may mend that.
        (IPTABLES, "h:1: HTTP status 503", "h:1", ""),
        ("", "h:1: HTTP status 503", "h:1", ""),
        ("", "h:1: connection refused", "h:1", ""),
        (IPTABLES, "", "", ""),
        ("", "", "", ""),
    ],
)
def test_a_kube_proxy_that_is_asked_where_it_does_not_answer(mode: str, health: str, healthz: str, said: str) -> None:
    """As of a cluster of IPv6 alone: a change would be given back on the first node, each time."""
    member = replace(_member(proxy_mode=mode, health=health), metrics="m:1", healthz=healthz)
    problems = _said(_check(member, mode=IPTABLES))
    assert [text for text in problems if said in text] if said else problems == []


def test_a_version_that_refuses_the_mode() -> None:
    (said,) = _said(_check(_member(info=replace(NODE, kubernetes="v1.43.0"))))
    assert "kube-proxy v1.43.0 refuses ipvs: removed from Kubernetes 1.43" in said


def _unverifiable(member: Member, mode: str) -> List[str]:
    return [str(problem) for problem in unverifiable(member, mode)]


@pytest.mark.parametrize("in_container", [True, False])
def test_what_prints_the_rules_of_iptables_is_asked_for_before_a_node_goes_there(in_container: bool) -> None:
    """Without it every switch would be given back, as what the kernel does with Services cannot be read."""
    bare = _member(proxy_mode=NFTABLES, in_container=in_container, programs=("nft",), kubernetes="v1.34.2")
    assert bare.lacking(IPTABLES) == ("iptables",)
    (said,) = _unverifiable(bare, IPTABLES)
    assert said.startswith("node1: iptables is not there: the rules that kube-proxy makes in this mode could not be")
    assert said.endswith("(install iptables, or leave kube_proxy_install true)")
    assert _unverifiable(replace(bare, install=True), IPTABLES) == []
    there = replace(bare, seen=replace(bare.seen, programs=("nft", "iptables")))
    assert (there.lacking(IPTABLES), _unverifiable(there, IPTABLES)) == ((), [])


def test_programs_that_are_missing_are_installed_or_named() -> None:
    place = Place("standalone", CONFIG_FILE, "/etc/kube-proxy.yaml", "kube-proxy.service")
    bare = _member(place=place, in_container=False, kubernetes="v1.34.2", programs=())
    (said,) = _said(_check(bare))
    assert "ipvs needs programs that are not there: ipset" in said
    assert _unverifiable(bare, IPVS) == [], "it is said once"
    assert (bare.lacking(IPVS), bare.lacking(IPTABLES)) == (("ipset",), ("iptables",))
    assert _check(replace(bare, install=True)) == Report()
    assert _member().lacking(IPVS) == ()


def test_what_prints_the_rules_of_nftables_is_needed_beside_a_container_too() -> None:
    bare = _member(programs=())
    assert (bare.lacking(NFTABLES), bare.lacking(IPVS)) == (("nft",), ())
    (said,) = _unverifiable(bare, NFTABLES)
    assert said.startswith("node1: nft is not there: the rules that kube-proxy makes in this mode could not be")
    assert said.endswith("(install nftables, or leave kube_proxy_install true)")
    assert _unverifiable(replace(bare, install=True), NFTABLES) == []


def test_programs_that_show_what_the_former_mode_leaves_are_installed_or_named() -> None:
    unread = (Unread("ipsets", "ipset is not installed: sets cannot be read", "ipset"),)
    bare = _member(proxy_mode=IPVS, leftovers=Leftovers(unread=unread))
    assert (bare.lacking(IPTABLES), bare.lacking(NFTABLES), bare.lacking(IPVS)) == (("ipset",), ("ipset",), ())
    for member in (bare, replace(bare, seen=replace(bare.seen, in_container=False))):
        (said,) = _unverifiable(member, IPTABLES)
        assert said.startswith("node1: ipset is not there: what the mode ipvs leaves could not be seen, nor taken away")
        assert said.endswith("(install ipset, or leave kube_proxy_install true)")
    assert _unverifiable(replace(bare, install=True), IPTABLES) == []


def test_a_program_that_fails_is_named_before_it_would_have_every_node_given_back() -> None:
    unread = (Unread("chains", "/usr/sbin/iptables-nft-save: exit status 1"),)
    member = replace(_member(proxy_mode=IPTABLES, leftovers=Leftovers(unread=unread)), install=True)
    (said,) = _unverifiable(member, NFTABLES)
    assert said.endswith(
        "what the mode iptables leaves could not be seen, nor taken away: /usr/sbin/iptables-nft-save: exit status 1"
    )
    assert _unverifiable(member, IPTABLES) == []


def test_a_node_of_the_api() -> None:
    found = node("node1", **{"topology.kubernetes.io/zone": "a", "node-role.kubernetes.io/control-plane": ""})
    assert node_info(found) == NodeInfo("node1", "a", "v1.34.2", True, False, False, True, ("192.0.2.1",))
    found["status"]["nodeInfo"]["kubeProxyVersion"] = "v1.33.1"
    found["status"]["conditions"] = []
    found["spec"]["unschedulable"] = True
    found["metadata"]["annotations"] = {"netfleet.tcp/cordoned": "true"}
    assert node_info(found) == NodeInfo("node1", "a", "v1.33.1", False, True, True, True, ("192.0.2.1",))
    # kube-proxy does not read the label that this one was once.
    assert node_info(node("node1", **{"failure-domain.beta.kubernetes.io/zone": "a"})).zone == ""
    with pytest.raises(InputError, match="not in the form of the API"):
        node_info({"metadata": {}})


INFOS = [
    NodeInfo("node1", addresses=("192.0.2.1", "node1.example")),
    NodeInfo("ip-192-0-2-2.internal", addresses=("192.0.2.2", "fd00::2")),
]


@pytest.mark.parametrize(
    ("host", "seen", "given", "name"),
    [
        ("anything", {"node_name": "node1"}, "", "node1"),
        ("node1", {"node_name": "x"}, "", "node1"),
        ("node1.example.org", {"node_name": "x"}, "", "node1"),
        ("b", {"node_name": "b", "addresses": ("10.0.0.1", "fd00:0::2")}, "", "ip-192-0-2-2.internal"),
        ("node1", {"node_name": "node1"}, "ip-192-0-2-2.internal", "ip-192-0-2-2.internal"),
    ],
)
def test_a_host_is_the_node_that_is_called_so_or_has_its_addresses(
    host: str, seen: Dict[str, Any], given: str, name: str
) -> None:
    assert find_node(INFOS, host, replace(SEEN, **seen), given).name == name


@pytest.mark.parametrize(
    ("addresses", "given", "said"),
    [
        ((), "", "by its addresses: none"),
        (("192.0.2.1", "192.0.2.2"), "", "by its addresses: node1, ip-192-0-2-2.internal"),
        ((), "node7", "the cluster has no node node7"),
    ],
)
def test_a_host_whose_node_is_not_known(addresses: Any, given: str, said: str) -> None:
    seen = replace(SEEN, node_name="x", addresses=addresses)
    with pytest.raises(InputError, match="%s.*set kube_proxy_node of the host" % said):
        find_node(INFOS, "y", seen, given)


def test_two_hosts_cannot_be_the_same_node() -> None:
    found, errors = find_nodes(INFOS, {"a": (SEEN, ""), "b": (SEEN, ""), "c": (SEEN, "none")})
    assert list(found) == ["a", "b"]
    assert [str(error).partition(" (")[0] for error in errors] == [
        "b: is node node1, and so is a",
        "c: the cluster has no node none",
    ]


def _workload(name: str, image: str, *arguments: str, **environment: str) -> Dict[str, Any]:
    env = [{"name": key, "value": value} for key, value in environment.items()]
    containers = [{"name": "x", "image": image, "args": list(arguments), "env": env}]
    return {
        "metadata": {"namespace": "kube-system", "name": name},
        "spec": {"template": {"spec": {"containers": containers}}},
    }


def test_who_needs_strict_arp() -> None:
    found = needs_strict_arp(
        [
            _workload("speaker", "registry.example:5000/metallb/speaker:v0.14@sha256:a"),
            _workload("kube-vip-ds", "registry.example/kube-vip/kube-vip:v0.8", vip_arp="true"),
            _workload("kube-vip-bgp", "registry.example/kube-vip/kube-vip:v0.8", vip_arp="false"),
            _workload("speaker", "registry.example/other/speaker"),
            {},
        ]
    )
    assert found == ("MetalLB (kube-system/speaker)", "kube-vip in ARP mode (kube-system/kube-vip-ds)")


@pytest.mark.parametrize(
    ("image", "known"),
    [
        ("registry.example/metallb/speaker:v0.14.9", True),
        ("registry.example/bitnami/metallb-speaker:0.14.9-debian-12-r0", True),
        ("registry.example:5000/rancher/mirrored-metallb-speaker@sha256:a", True),
        ("registry.example/mirror-of-metallb/speaker", True),
        ("registry.example/metallb/images/speaker:v1", True),
        ("registry.example/metallb/controller:v0.14.9", False),
        ("registry.example:5000/other/speaker", False),
        ("speaker", False),
    ],
)
def test_images_of_metallb(image: str, known: bool) -> None:
    assert bool(needs_strict_arp([_workload("x", image)])) is known


@pytest.mark.parametrize(
    ("image", "arguments", "environment", "arp"),
    [
        ("registry.example/kube-vip/kube-vip:v0.8", ("manager", "--arp", "--services"), {}, True),
        ("rancher/mirrored-kube-vip-kube-vip-iptables:v0.8", ("manager", "--arp=true"), {}, True),
        ("registry.example/kube-vip/kube-vip:v0.8", ("manager", "--arp=false"), {}, False),
        ("registry.example/kube-vip/kube-vip:v0.8", ("manager", "--bgp"), {}, False),
        # What it finds in its environment counts before its arguments, as Go reads a truth value.
        ("registry.example/kube-vip/kube-vip:v0.8", ("manager", "--arp"), {"vip_arp": "False"}, False),
        ("registry.example/kube-vip/kube-vip:v0.8", ("manager",), {"vip_arp": "1"}, True),
        ("registry.example/kube-vip/kube-vip-cloud-provider:v0.0.9", (), {}, False),
    ],
)
def test_kube_vip_is_told_its_mode_by_arguments_or_by_its_environment(
    image: str, arguments: Any, environment: Dict[str, str], arp: bool
) -> None:
    workload = _workload("kube-vip", image, *arguments, **environment)
    assert bool(needs_strict_arp([workload])) is arp
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    container["command"] = ["/kube-vip", *container.pop("args")]
    assert bool(needs_strict_arp([workload])) is arp


def test_a_static_pod_is_named_once_for_all_nodes() -> None:
    pods = []
    for name in ("cp1", "cp2"):
        pod = _workload("kube-vip-" + name, "registry.example/kube-vip/kube-vip:v0.8", vip_arp="true")
        pods.append({"metadata": pod["metadata"], "spec": {**pod["spec"]["template"]["spec"], "nodeName": name}})
    assert needs_strict_arp(pods) == ("kube-vip in ARP mode (kube-system/kube-vip)",)


@pytest.mark.parametrize(
    ("arguments", "address"),
    [
        (("-localip", "169.254.20.10,10.96.0.10"), "10.96.0.10"),
        (("-localip=169.254.20.10, 10.96.0.10",), "10.96.0.10"),
        (("-localip", "169.254.20.10"), ""),
        (("-localip",), ""),
        ((), ""),
    ],
)
def test_where_the_dns_cache_listens(arguments: Any, address: str) -> None:
    service = {"metadata": {"name": "kube-dns"}, "spec": {"clusterIP": "10.96.0.10"}}
    assert dns_cache_address([_workload("node-local-dns", "x", *arguments)], [service, {}]) == address
    assert dns_cache_address([_workload("another", "x", *arguments)], [service]) == ""
