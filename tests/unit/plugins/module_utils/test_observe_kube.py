# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One visit to a node, by each road that kube-proxy comes there."""

from __future__ import annotations

import gzip
import json

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_find import CONFIG_FILE, CONFIG_MAP, FLAGS_FILE, UNIT
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_model import NodeSeen, SysctlLine
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_modes import IPTABLES, IPVS, NFTABLES
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_modules import missing_modules
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_service import ACTIVE
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_table import ProxyEntry
from ansible_collections.netfleet.tcp.plugins.module_utils._model import from_wire, to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._observe_kube import observe_kube
from tests.unit.plugins import fake_node
from tests.unit.plugins.fake_node import CLUSTER_IP, ENDPOINT, METRICS, NODE, FakeNode
from tests.unit.plugins.fake_system import KERNEL
from tests.unit.plugins.other_services import run_kube_proxy, run_process, run_unit

SERVED = ("tcp", CLUSTER_IP, 80)
K3S_FILE = "/etc/rancher/k3s/config.yaml"
UNIT_FILE = "/etc/systemd/system/kube-proxy.service"
POD = "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1.slice/cri-containerd-%s.scope" % ("a" * 64)
LIE = ["/tmp/evil", "--config=/etc/shadow", "--hostname-override=othernode"]
MICROK8S_FILE = "/var/snap/microk8s/current/args/kube-proxy"


def k3s(mode: str = IPTABLES) -> FakeNode:
    node = FakeNode(mode)
    node.put(K3S_FILE, "token: secret\nkube-proxy-arg:\n  - proxy-mode=%s\n" % mode)
    node.put(K3S_FILE + ".d/50-other.yaml", "node-name: edge\n")
    node.put("/var/lib/rancher/k3s/data/current/bin/aux/ipset")
    node.put("/usr/local/bin/k3s")
    return node


def standalone(command: str) -> FakeNode:
    node = FakeNode(IPTABLES, "kube-proxy.service")
    node.put(UNIT_FILE, "[Service]\nEnvironment=A=secret\nExecStart=%s\n" % command)
    return node


def kubeadm(mode: str) -> FakeNode:
    node = FakeNode(mode, unit="")
    node.put("/var/lib/kubelet/kubeadm-flags.env", "")
    run_process(node, 700, "kubelet")
    words = ["/usr/local/bin/kube-proxy", "--config=/var/lib/kube-proxy/config.conf", "--hostname-override=cp-1"]
    run_kube_proxy(node, 812, words, POD)
    return node


@pytest.mark.parametrize("mode", [IPTABLES, IPVS, NFTABLES])
def test_what_the_kernel_does_is_read_in_the_mode_that_runs(mode: str) -> None:
    seen = observe_kube(k3s(mode))
    assert (seen.proxy_mode, seen.health) == (mode, "")
    assert {entry.key: entry.endpoints for entry in seen.entries}[SERVED] == (ENDPOINT,)
    assert seen.residues == ()
    assert seen.bound == ((CLUSTER_IP,) if mode == IPVS else ())
    assert CLUSTER_IP not in seen.addresses
    assert seen.timeouts == ({"tcp": 900, "tcp_fin": 120, "udp": 300} if mode == IPVS else {})
    assert (seen.limits, seen.foreign) == ((), ())


def test_node_ports_of_ipvs_are_on_the_nodes_addresses() -> None:
    assert ProxyEntry("tcp", NODE, 30080, (ENDPOINT,), scheduler="rr") in observe_kube(k3s(IPVS)).entries


def test_a_node_of_k3s() -> None:
    seen = observe_kube(k3s())
    assert (seen.place.distribution, seen.place.unit, seen.in_container) == ("k3s", "k3s.service", False)
    assert (seen.kubernetes, seen.kernel, seen.node_name) == ("v1.36.4+k3s1", KERNEL, "node1")
    assert [file.path for file in seen.files] == [K3S_FILE, K3S_FILE + ".d/50-other.yaml"]
    assert "secret" not in json.dumps(to_wire(seen))
    assert "proxy-mode=iptables" in seen.files[0].text
    assert set(seen.programs) == {"ipset", "iptables", "nft"}
    assert seen.addresses == ("127.0.0.1", NODE)


def test_our_own_file_is_sent_as_it_is() -> None:
    node = k3s()
    text = '# Managed by netfleet.tcp: the next run\n"kube-proxy-arg+":\n  - "proxy-mode=ipvs"\n'
    node.put(K3S_FILE + ".d/zz-netfleet-tcp.yaml", text)
    assert observe_kube(node).files[-1].text == text


def test_a_file_that_is_not_understood_is_said() -> None:
    node = k3s()
    node.put(K3S_FILE, "{token: hush}\n")
    seen = observe_kube(node)
    assert [limit for limit in seen.limits if K3S_FILE in limit]
    assert "hush" not in json.dumps(to_wire(seen))


def test_a_standalone_unit_with_arguments() -> None:
    node = standalone("/usr/sbin/kube-proxy --proxy-mode=ipvs --ipvs-scheduler=lc $MORE")
    seen = observe_kube(node)
    assert (seen.place.kind, seen.in_container, seen.kubernetes) == (UNIT, False, "v1.36.4")
    assert "ExecStart=/usr/sbin/kube-proxy" in seen.unit_text
    assert "secret" not in seen.unit_text
    assert seen.arguments[-1] == "$MORE"
    run_kube_proxy(node, 900, ["/usr/sbin/kube-proxy", "--proxy-mode=ipvs", "--ipvs-strict-arp"])
    seen = observe_kube(node)
    assert seen.settings == {"mode": IPVS, "ipvs.strictARP": True}, "what runs says more than its unit"


def test_what_the_command_of_k3s_says_of_kube_proxy_and_nothing_else() -> None:
    """As its installer writes it."""
    node = k3s()
    command = "ExecStart=/usr/local/bin/k3s \\\n    server \\\n\t'--token=secret' \\\n\t%s\n"
    said = "'--kube-proxy-arg' \\\n\t'proxy-mode=ipvs' \\\n\t'--kube-proxy-arg=v=2' \\\n\t'--disable-kube-proxy'"
    node.put("/etc/systemd/system/k3s.service", "[Service]\nEnvironmentFile=-/etc/x\n" + command % said)
    seen = observe_kube(node)
    assert seen.arguments == ("--kube-proxy-arg=proxy-mode=ipvs", "--kube-proxy-arg=v=2", "--disable-kube-proxy=true")
    assert "secret" not in str(to_wire(seen))


def test_one_that_cleans_up_is_not_the_one_that_runs() -> None:
    node = standalone("/usr/sbin/kube-proxy --proxy-mode=ipvs")
    run_kube_proxy(node, 900, ["/usr/sbin/kube-proxy", "--cleanup"])
    assert observe_kube(node).arguments == ("--proxy-mode=ipvs",)


def test_a_standalone_unit_with_a_configuration_file() -> None:
    node = standalone("/usr/sbin/kube-proxy --config=/etc/kube-proxy.yaml")
    node.put("/etc/kube-proxy.yaml", "mode: ipvs\n")
    seen = observe_kube(node)
    assert (seen.place.kind, seen.place.path) == (CONFIG_FILE, "/etc/kube-proxy.yaml")
    assert [file.text for file in seen.files] == ["mode: ipvs\n"]
    del node.files["/etc/kube-proxy.yaml"]
    assert "/etc/kube-proxy.yaml: is not there" in observe_kube(node).limits


def liars(node: FakeNode) -> None:
    """Processes that call themselves kube-proxy: a user's, one of a program that is root's for whoever starts it,
    and root's of a container, with a path that the host has too."""
    session = "/user.slice/user-1000.slice/user@1000.service/app.slice/kube-proxy.service"
    run_kube_proxy(node, 12345, LIE, session, "1000 1000 1000 1000", "/tmp/kube-proxy")
    run_kube_proxy(node, 88, LIE, session, "1000 0 0 0", "/usr/bin/su")
    run_kube_proxy(node, 99, LIE, session, program="/usr/bin/sudo")
    run_kube_proxy(node, 111, LIE, POD, network=2)


def test_of_a_unit_its_own_process_is_believed_and_no_other() -> None:
    """Anybody may call a process so, and give it any words."""
    node = standalone("/usr/sbin/kube-proxy --config=/etc/kube-proxy.yaml")
    node.put("/etc/kube-proxy.yaml", "mode: ipvs\n")
    node.put("/etc/shadow", "root:hush\n")
    liars(node)
    seen = observe_kube(node)
    assert (seen.place.path, seen.node_name, seen.kubernetes) == ("/etc/kube-proxy.yaml", "node1", "v1.36.4")
    run_kube_proxy(node, 900, ["/usr/sbin/kube-proxy", "--config=/etc/other.yaml", "--hostname-override=cp-1"])
    node.put("/etc/other.yaml", "mode: nftables\n")
    seen = observe_kube(node)
    assert (seen.place.path, seen.node_name, seen.kubernetes) == ("/etc/other.yaml", "cp-1", "v1.36.4")
    assert "hush" not in json.dumps(to_wire(seen))
    assert [line[0] for line in node.ran if line[-1] == "--version"] == ["kube-proxy", "kube-proxy"]


@pytest.mark.parametrize(
    "group",
    [
        "12:pids:/system.slice/kube-proxy.service\n1:name=systemd:/system.slice/kube-proxy.service\n0::/\n",
        "0::/system.slice/kube-proxy.service/payload\n",
    ],
)
def test_the_process_of_a_unit_is_known_by_its_cgroup_of_either_version(group: str) -> None:
    node = standalone("/usr/sbin/kube-proxy")
    run_kube_proxy(node, 900, ["kube-proxy", "--hostname-override=cp-1"])
    node.put("/proc/900/cgroup", group)
    assert observe_kube(node).node_name == "cp-1"
    node.put("/proc/900/cgroup", group.replace("kube-proxy.service", "kube-proxy.service-not"))
    assert observe_kube(node).node_name == "node1"


def test_of_a_unit_that_starts_something_else_what_it_became_tells_the_version() -> None:
    """A script, which is not to be started for that."""
    node = standalone("/usr/local/bin/start-it --version=now")
    assert observe_kube(node).kubernetes == "v1.36.4", "by the usual directories"
    run_kube_proxy(node, 900, ["/tmp/evil"], program="/opt/new/proxy (deleted)")
    assert observe_kube(node).kubernetes == "v1.36.4"
    run_kube_proxy(node, 900, ["/tmp/evil"], program="/opt/new/proxy")
    assert observe_kube(node).kubernetes == ""
    assert [line[0] for line in node.ran if line[-1] == "--version"] == ["kube-proxy", "kube-proxy", "proxy"]


def test_of_several_processes_the_one_with_the_lowest_number_counts() -> None:
    node = kubeadm(IPTABLES)
    run_kube_proxy(node, 1812, ["kube-proxy", "--hostname-override=later"], POD)
    assert observe_kube(node).node_name == "cp-1"


def test_the_name_of_a_node_is_that_of_roots_kube_proxy_in_its_own_network() -> None:
    node = kubeadm(IPTABLES)
    liars(node)
    assert observe_kube(node).node_name == "cp-1"
    node.put("/proc/812/status", "Uid:\t1000\t1000\t1000\t1000\n")
    assert observe_kube(node).node_name == "node1"
    # As the tests' stand-in for the kubelet runs it: below its own unit.
    run_kube_proxy(node, 812, ["kube-proxy", "--hostname-override=cp-1"], "/system.slice/netfleet-kubelet.service")
    assert observe_kube(node).node_name == "cp-1"


def test_where_the_distribution_has_kube_proxy_in_its_own_program_no_process_is_one() -> None:
    node = k3s()
    run_kube_proxy(node, 900, LIE)
    assert observe_kube(node).node_name == "node1"


def test_a_node_of_kubeadm() -> None:
    seen = observe_kube(kubeadm(IPVS))
    assert (seen.place.kind, seen.in_container, seen.kubernetes) == (CONFIG_MAP, True, "")
    assert (seen.node_name, seen.files, seen.arguments) == ("cp-1", (), ())
    assert seen.ability("cp-1", "v1.36.4").kubernetes == "v1.36.4"


def test_a_node_of_microk8s() -> None:
    node = FakeNode(IPTABLES, "snap.microk8s.daemon-kubelite.service")
    node.put(MICROK8S_FILE, "--proxy-mode=iptables\n--cluster-cidr=10.1.0.0/16\n")
    node.put("/snap/microk8s/current/meta/snap.yaml", "name: microk8s\nversion: v1.33.5\n")
    seen = observe_kube(node)
    assert (seen.place.kind, seen.kubernetes, seen.settings) == (FLAGS_FILE, "v1.33.5", {"mode": IPTABLES})


def test_nothing_tells_how_kube_proxy_runs() -> None:
    node = FakeNode(unit="")
    with pytest.raises(HostError, match="nothing on this host tells"):
        observe_kube(node)
    assert observe_kube(node, "kubeadm").place.kind == CONFIG_MAP


def test_a_unit_that_is_neither_enabled_nor_active_tells_nothing() -> None:
    node = kubeadm(IPTABLES)
    node.put(UNIT_FILE, "[Service]\nExecStart=/usr/sbin/kube-proxy\n")
    assert observe_kube(node).place.distribution == "kubeadm"


@pytest.mark.parametrize(
    ("answer", "health"),
    [((0, "connection refused"), "connection refused"), ((503, ""), "HTTP status 503"), ((0, ""), "no answer")],
)
def test_one_that_does_not_answer(answer: tuple[int, str], health: str) -> None:
    node = k3s()
    node.answers = {METRICS: answer, "127.0.0.1:10256": answer}
    seen = observe_kube(node)
    assert (seen.proxy_mode, seen.entries, seen.residues) == ("", (), ())
    assert seen.health == "127.0.0.1:10256: %s" % health


def test_what_answers_with_something_else_is_no_mode() -> None:
    node = k3s()
    node.answers[METRICS] = (200, "<html>welcome</html>")
    assert observe_kube(node).proxy_mode == ""


def test_residues_are_those_of_the_other_modes() -> None:
    node = k3s(IPVS)
    node.start(IPTABLES)
    kinds = {residue.kind for residue in observe_kube(node).residues}
    assert kinds == {"chains", "ipsets", "interface", "virtual servers"}
    node = k3s(IPTABLES)
    node.start(IPVS)
    (left,) = observe_kube(node).residues
    assert left.names == ("filter KUBE-SERVICES", "nat KUBE-SEP-AAAAAAAAAAAAAAAA", "nat KUBE-SVC-BBBBBBBBBBBBBBBB")


def test_other_users_of_ipvs() -> None:
    node = k3s(IPVS)
    run_unit(node, "keepalived")
    node.put("/etc/keepalived/keepalived.conf", "vrrp_instance a {\n}\n")
    assert observe_kube(node).foreign == (), "VRRP alone is none"
    node.put("/etc/keepalived/keepalived.conf", "  virtual_server 192.0.2.1 80 {\n}\n")
    assert observe_kube(node).foreign == ("keepalived.service runs",)
    node.servers += [ProxyEntry("tcp", address, 80, scheduler="wlc") for address in ("198.51.100.9", NODE)]
    seen = observe_kube(node)
    assert seen.foreign[1:] == ("virtual servers on addresses that kube-proxy has not bound: tcp 198.51.100.9:80",)
    own = ("tcp 10.96.0.10:80", "tcp %s:30080" % NODE)
    assert seen.leftovers.servers == own, "of those on the node's addresses, its ipsets name one"


def test_network_manager_would_take_the_interface() -> None:
    node = k3s()
    assert not observe_kube(node).managed_by_network_manager
    run_unit(node, "NetworkManager")
    assert observe_kube(node).managed_by_network_manager
    node.put("/etc/NetworkManager/conf.d/x.conf", "[keyfile]\nunmanaged-devices=interface-name:kube-ipvs0\n")
    assert not observe_kube(node).managed_by_network_manager


def test_modules_that_cannot_be_loaded_say_why() -> None:
    node = k3s()
    node.loadable -= {"ip_vs_lc", "ip_vs_wrr"}
    node.put("/etc/modprobe.d/hardening.conf", "install ip_vs_sh /bin/false\n")
    seen = observe_kube(node)
    assert {"ip_vs", "ip_vs_rr", "nf_tables"} <= set(seen.modules)
    assert seen.module_limits["ip_vs_wrr"] == "this kernel has no such module"
    assert seen.module_limits["ip_vs_sh"] == "/etc/modprobe.d/hardening.conf:1"


@pytest.mark.parametrize("packed", [False, True])
def test_a_kernel_without_modules_tells_by_its_configuration(packed: bool) -> None:
    node = k3s()
    node.hidden = {"/lib/modules/%s/modules.%s" % (KERNEL, name) for name in ("builtin", "dep")}
    text = "CONFIG_IP_VS=y\nCONFIG_NFT_NAT=y\nCONFIG_NFT_MASQ=m\n# CONFIG_IP_VS_RR is not set\n"
    if packed:
        node.put("/proc/config.gz", gzip.compress(text.encode()).decode("utf-8", "surrogateescape"))
    else:
        node.put("/boot/config-" + KERNEL, text)
    assert observe_kube(node).modules == ("nft_chain_nat", "nft_nat", "ip_vs")
    names = ("ip_vs", "ip_vs_rr")
    assert missing_modules(node, names) == {"ip_vs_rr": "this kernel has no such module"}
    node.put("/proc/config.gz", "no gzip")
    node.files.pop("/boot/config-" + KERNEL, None)
    assert observe_kube(node).modules == ()


def test_lines_of_our_own_files_and_no_others() -> None:
    node = k3s()
    line = "net.netfilter.nf_conntrack_max = 1000\n"
    node.put("/etc/sysctl.d/90-netfleet-tcp.conf", "# Managed by netfleet.tcp: x\n# why\n" + line)
    node.put("/etc/sysctl.d/91-netfleet-tcp-kube-proxy.conf", "# Managed by netfleet.tcp: x\n" + line)
    node.put("/etc/sysctl.d/50-other.conf", line)
    where = "/etc/sysctl.d/90-netfleet-tcp.conf:3"
    assert observe_kube(node).own_sysctls == (SysctlLine("net.netfilter.nf_conntrack_max", "1000", where),)


def test_programs_that_are_missing_are_said_where_something_could_be_there() -> None:
    node = k3s()
    for name in ("nft", "ipset", "iptables-nft-save"):
        del node.files["/usr/sbin/" + name]
    del node.files["/var/lib/rancher/k3s/data/current/bin/aux/ipset"]
    unread = "iptables-save: is not there, or prints nothing: %s (install iptables)"
    unread = unread % "the rules of the mode iptables are not known"
    seen = observe_kube(node)
    # So that nobody says that Services are not served.
    assert seen.entries_limit == unread
    # This kernel has no rules, tables and sets at all.
    assert (seen.limits, seen.leftovers.unread) == ((unread,), ())
    node.loaded |= {"nf_tables", "ip_set"}
    seen = observe_kube(node)
    assert seen.limits == (
        "iptables is not installed: its chains cannot be read",
        "nft is not installed: tables of nftables cannot be read",
        "ipset is not installed: sets cannot be read",
        unread,
    )
    found = [(each.kind, each.program) for each in seen.leftovers.unread]
    assert found == [("chains", "iptables"), ("nftables table", "nft"), ("ipsets", "ipset")]
    node.loaded -= {"nf_tables", "ip_set"}
    node.builtin |= {"nf_tables", "ip_set"}
    assert observe_kube(node).leftovers == seen.leftovers
    node.builtin -= {"nf_tables", "ip_set"}
    node.put("/proc/net/ip6_tables_names", "nat\n")
    assert [each.program for each in observe_kube(node).leftovers.unread] == ["iptables"]


def test_what_ipvs_has_left_is_not_known_without_its_program() -> None:
    node = k3s(IPVS)
    node.start(IPTABLES)
    assert observe_kube(node).leftovers.unread == ()
    node.stubborn = {"ipset", "iptables-nft-save"}
    # A kernel without nf_tables has no rules that this program could print.
    assert [each.kind for each in observe_kube(node).leftovers.unread] == ["ipsets"]
    node.loaded |= {"nf_tables"}
    said = [(each.kind, each.why) for each in observe_kube(node).leftovers.unread]
    assert said == [
        ("chains", "/usr/sbin/iptables-nft-save: it does not want to"),
        ("ipsets", "/usr/sbin/ipset: it does not want to"),
    ]
    assert from_wire(NodeSeen, json.loads(json.dumps(to_wire(observe_kube(node))))) == observe_kube(node)


@pytest.mark.parametrize("name", ["iptables-nft-save", "iptables-legacy-save", "iptables-save"])
def test_iptables_is_there_where_what_prints_its_rules_is(name: str) -> None:
    node = k3s()
    del node.files["/usr/sbin/iptables-nft-save"]
    node.put("/usr/sbin/iptables")
    assert "iptables" not in observe_kube(node).programs
    node.put("/usr/sbin/" + name)
    node.stubborn = {"iptables-save"}
    assert "iptables" in observe_kube(node).programs


def test_chains_of_services_are_told_where_they_are_somebody_elses() -> None:
    """Of 5,000 Services they are megabytes, which every look would bring."""
    node = k3s(IPTABLES)
    assert observe_kube(node).leftovers.chains == ("filter KUBE-SERVICES", "nat KUBE-SERVICES")
    # Those of ipvs come beside them.
    node.start(IPVS)
    seen = observe_kube(node)
    assert {"nat KUBE-SVC-BBBBBBBBBBBBBBBB", "nat KUBE-SEP-AAAAAAAAAAAAAAAA"} < set(seen.leftovers.chains)
    assert [residue.kind for residue in seen.residues] == ["chains"]


def test_a_health_that_is_not_to_be_asked() -> None:
    node = k3s()
    del node.answers["127.0.0.1:10256"]
    assert observe_kube(node).health == "127.0.0.1:10256: connection refused"
    assert observe_kube(node, healthz="").health == ""


def test_the_rules_of_nftables_without_its_program_are_not_known() -> None:
    node = FakeNode(NFTABLES, config=[K3S_FILE])
    del node.files["/usr/sbin/nft"]
    assert "nft: is not there, or prints nothing: the rules of the mode nftables" in observe_kube(node).entries_limit


def test_programs_that_fail_are_said() -> None:
    node = k3s()
    node.stubborn = {"iptables-nft-save", "nft"}
    assert [limit for limit in observe_kube(node).limits if "it does not want to" in limit] != []


def test_legacy_rules_are_read_where_there_are_some_and_no_module_is_loaded_for_it() -> None:
    node = k3s()
    node.put("/usr/sbin/iptables-legacy-save")
    observe_kube(node)
    assert ["iptables-legacy-save"] not in node.ran
    node.put("/proc/net/ip_tables_names", "nat\n")
    observe_kube(node)
    assert ["iptables-legacy-save"] in node.ran


def test_who_is_not_root_sees_a_part() -> None:
    node = k3s()
    node.root = False
    assert "not root" in observe_kube(node).limits[0]


def test_a_look_changes_nothing_and_travels() -> None:
    node = k3s(IPVS)
    before = node.snapshot()
    seen = observe_kube(node)
    assert (node.steps, node.snapshot()) == ([], before)
    assert from_wire(NodeSeen, json.loads(json.dumps(to_wire(seen)))) == seen


def test_a_table_that_cannot_be_read_is_told_apart_from_an_empty_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert observe_kube(k3s(NFTABLES)).entries_limit == ""
    dnat = {"dnat": {"addr": {"of": "the next version"}}}
    monkeypatch.setattr(fake_node, "_NFT", [*fake_node._NFT[:-1], {"rule": {"chain": "service-x", "expr": [dnat]}}])
    seen = observe_kube(k3s(NFTABLES))
    assert seen.entries == ()
    assert seen.entries_limit.startswith("nft table kube-proxy: has a form that is not known")
    assert seen.entries_limit in seen.limits


def test_whether_the_host_names_protocols() -> None:
    node = k3s()
    assert not observe_kube(node).names_protocols
    node.put("/etc/protocols", "tcp 6 TCP\n")
    assert observe_kube(node).names_protocols


def test_entries_can_be_left_out() -> None:
    assert observe_kube(k3s(), entries=False).entries == ()


def test_a_unit_of_k3s_is_found_by_its_link() -> None:
    node = k3s()
    del node.files[ACTIVE % "k3s.service"]
    node.put("/etc/systemd/system/multi-user.target.wants/k3s-agent.service", kind="symlink", target="x")
    assert observe_kube(node).place.unit == "k3s-agent.service"
