# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node is brought to a mode, keeps it or gives it back, and is as it was wherever that fails."""

from __future__ import annotations

import contextlib
import errno
from dataclasses import replace

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._desired import MANAGED
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError
from ansible_collections.netfleet.tcp.plugins.module_utils._exit import printable
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_change import change, keep, restore
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_cleanup import chain_script, clean
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_find import Place
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_kernel import Tools
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_model import ProxyChange, ProxyOutcome, fingerprint
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_modes import IPTABLES, IPVS, MODES, NFTABLES
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_prepare import (
    MODULES_FILE,
    SYSCTL_FILE,
    UNMANAGED_FILE,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_record import (
    CHANGING,
    KEPT,
    STORED,
    read_stored,
    write_stored,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_service import ACTIVE, Clock
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_table import ProxyEntry
from ansible_collections.netfleet.tcp.plugins.module_utils._observe_kube import observe_kube
from tests.unit.plugins.fake_node import IPVS_MODULES, NODE, FakeNode
from tests.unit.plugins.other_services import run_unit

VIP = "192.0.2.100"
OWN = "/etc/rancher/k3s/config.yaml.d/zz-netfleet-tcp.yaml"
PLACE = Place("k3s", "rancher_files", "/etc/rancher/k3s/config.yaml", "k3s.service")
KEEPALIVE = "net.ipv4.tcp_keepalive_time"
TEXT = '%s\n"kube-proxy-arg+":\n  - "proxy-mode=%s"\n'
DROP_IN = "/etc/systemd/system/kube-proxy.service.d/zz-netfleet-tcp.conf"


def to(mode: str, **more: object) -> ProxyChange:
    return ProxyChange(mode, PLACE, OWN, TEXT % (MANAGED, mode), **more)  # type: ignore[arg-type]


def a_node(mode: str = IPTABLES) -> FakeNode:
    node = FakeNode(mode, config=[OWN])
    if mode != IPTABLES:
        node.put(OWN, TEXT % (MANAGED, mode))
    return node


def do(node: FakeNode, want: ProxyChange, check_mode: bool = False) -> ProxyOutcome:
    return change(node, want, check_mode, node.clock_of_waits)


def back(node: FakeNode, identifier: str) -> ProxyOutcome | None:
    return restore(node, identifier, clock=node.clock_of_waits)


def running(node: FakeNode) -> tuple[str, list[str]]:
    seen = observe_kube(node)
    return seen.proxy_mode, [str(residue) for residue in seen.residues]


def state(node: FakeNode) -> dict[str, object]:
    """What of a node must be as it was: not its records, nor which start of kube-proxy it is."""
    files = {path: each.text for path, each in node.files.items() if not path.startswith(("/var/lib/", "/run/"))}
    kernel = (node.chains, sorted(node.sets), sorted(map(str, node.servers)), node.bound, node.families)
    return {"files": files, "sysctls": dict(node.sysctls), "modules": set(node.loaded), "kernel": kernel}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("former", MODES)
def test_from_any_mode_to_any_other_and_back(former: str, mode: str) -> None:
    node = a_node(former)
    before = running(node)
    outcome = do(node, to(mode))
    assert running(node) == (mode, [])
    assert (outcome.restarted, outcome.former_mode, outcome.warnings) == (
        former != mode or mode == IPTABLES,
        former,
        (),
    )
    if outcome.id:
        back(node, outcome.id)
    assert running(node) == before
    assert node.read(STORED) is None


def test_iptables_to_ipvs_step_by_step() -> None:
    node = a_node()
    outcome = do(node, to(IPVS, modules=IPVS_MODULES, sysctls={KEEPALIVE: "600"}, unmanaged=True))
    assert [file.path for file in outcome.files] == [MODULES_FILE, SYSCTL_FILE, UNMANAGED_FILE, OWN]
    assert outcome.modules == IPVS_MODULES
    assert outcome.sysctls == ("%s = 600" % KEEPALIVE,)
    assert outcome.removed[0].startswith("chains of the mode iptables: ")
    assert set(IPVS_MODULES) <= node.loaded
    assert node.sysctls[KEEPALIVE] == "600"
    assert ["nmcli", "general", "reload", "conf"] in node.ran
    order = [step.split(" ")[0] + " " + step.split("/")[-1] for step in node.steps]
    assert (
        order.index("restart restart") > order.index("file zz-netfleet-tcp.yaml") > order.index("file kube-proxy.json")
    )


def test_a_second_run_changes_nothing() -> None:
    node = a_node()
    want = to(IPVS, modules=IPVS_MODULES, sysctls={KEEPALIVE: "600"}, unmanaged=True)
    first = do(node, want)
    keep(node, first.id)
    steps, starts = list(node.steps), node.starts
    assert do(node, want) == ProxyOutcome(former_mode=IPVS)
    assert not do(node, want).changed
    assert (node.steps, node.starts) == (steps, starts)


def test_a_change_that_nobody_has_ended_is_found_again() -> None:
    node = a_node()
    first = do(node, to(IPVS))
    again = do(node, to(IPVS))
    assert (again.id, again.former_mode, again.changed) == (first.id, IPTABLES, False)
    assert observe_kube(node).stored == first.id


def test_one_that_was_not_seen_to_its_end_is_made_again() -> None:
    node = a_node()
    do(node, to(IPVS))
    stored = read_stored(node)
    assert stored is not None
    with node.lock(1):
        write_stored(node, replace(stored, stage=CHANGING))
    starts = node.starts
    outcome = do(node, to(IPVS))
    assert (node.starts, outcome.former_mode) == (starts + 2, IPTABLES)


def test_kube_proxy_is_not_restarted_for_what_never_came_to_it() -> None:
    node = a_node()
    node.fail_at, node.deadly = 3, True
    with pytest.raises(HostError):
        do(node, to(IPVS, modules=("ip_vs",)))
    assert node.steps[-1] == "modprobe ip_vs"
    node.fail_at, node.dead = 0, False
    do(node, to(IPVS, modules=("ip_vs",)))
    assert node.starts == 2


def test_what_still_answers_is_not_taken_for_what_is_to_come() -> None:
    node = a_node()
    node.slow = 5.0
    do(node, to(IPTABLES))
    assert (node.starts, node.time >= 5.0) == (2, True)


def test_modules_that_a_change_has_loaded_go_with_it() -> None:
    node = a_node()
    outcome = do(node, to(NFTABLES, modules=("nf_conntrack",)))
    assert "nf_conntrack" in node.loaded
    back(node, outcome.id)
    assert "nf_conntrack" not in node.loaded


def test_a_kernel_that_does_not_take_a_value() -> None:
    node = a_node()
    node.ignored.add(KEEPALIVE)
    with pytest.raises(HostError, match=r"was set to 600, and is 7200"):
        do(node, to(IPVS, sysctls={KEEPALIVE: "600"}))
    assert running(node) == (IPTABLES, [])
    with pytest.raises(HostError, match=r"net\.x\.y: cannot be set to 1: this kernel has no such key here"):
        do(node, to(IPVS, sysctls={"net.x.y": "1"}))


def test_another_wish_takes_the_one_back_that_nobody_has_ended() -> None:
    node = a_node()
    do(node, to(IPVS))
    outcome = do(node, to(NFTABLES))
    assert (outcome.former_mode, running(node)) == (IPTABLES, (NFTABLES, []))
    back(node, outcome.id)
    assert running(node)[0] == IPTABLES
    assert node.read(OWN) is None


@pytest.mark.parametrize("kind", ["broken", "never_ready"])
@pytest.mark.parametrize("former", [IPTABLES, NFTABLES])
def test_a_kube_proxy_that_does_not_come_up_is_put_back(former: str, kind: str) -> None:
    node = a_node(former)
    getattr(node, kind).add(IPVS)
    node.said = "I1128 starting\nE1128 14:00:00.1 can't use the IPVS proxier: missing modules\n"
    before = state(node)
    with pytest.raises(HostError) as caught:
        do(node, to(IPVS, sysctls={KEEPALIVE: "600"}, modules=("nf_conntrack",)))
    assert "did not come up in the mode ipvs within 60 s" in str(caught.value)
    assert "missing modules" in str(caught.value)
    assert "starting" not in str(caught.value), "of the journal, what complains"
    assert "what stood there before was restored" in str(caught.value)
    assert running(node) == (former, [])
    after = state(node)
    assert after["files"] == before["files"]
    assert after["sysctls"] == before["sysctls"]
    assert (node.read(STORED), observe_kube(node).stored) == (None, "")


def test_one_that_ends_again_and_again_is_not_waited_for() -> None:
    node = a_node()
    node.broken.add(IPVS)
    ends, former = node.clock_of_waits, node.starts

    def sleep(seconds: float) -> None:
        ends.sleep(seconds)
        if (node.read(OWN) or "").count("ipvs"):
            node.put(ACTIVE % node.unit, kind="symlink", target="again-%d" % node.time)

    with pytest.raises(HostError, match="did not come up in the mode ipvs in 5 starts"):
        change(node, to(IPVS), False, Clock(sleep, ends.now))
    assert node.time < 10.0
    assert (running(node), node.starts) == ((IPTABLES, []), former + 2)


def test_what_cannot_be_put_back_is_said_and_tried_again_by_the_next_run() -> None:
    node = a_node()
    node.broken = {IPVS, IPTABLES}
    with pytest.raises(HostError) as caught:
        do(node, to(IPVS))
    assert "on the way back: kube-proxy did not come up in the mode iptables" in str(caught.value)
    assert node.read(OWN) is None, "the file is as it was all the same"
    assert observe_kube(node, "k3s").stored
    node.broken = set()
    outcome = do(node, to(NFTABLES))
    assert (running(node), outcome.former_mode) == ((NFTABLES, []), IPTABLES)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("fault", range(1, 20))
def test_wherever_it_fails_the_node_is_as_it_was(fault: int, late: bool) -> None:
    node = a_node()
    before = state(node)
    node.fail_at, node.fail_late = fault, late
    want = to(IPVS, modules=("ip_vs", "ip_vs_rr"), sysctls={KEEPALIVE: "600"}, unmanaged=True)
    try:
        outcome = do(node, want)
    except HostError:
        assert running(node)[0] == IPTABLES
        left = read_stored(node)
        if left:
            # What failed was to forget it: the next run does.
            back(node, left.id)
        after = state(node)
        assert (after["files"], after["sysctls"]) == (before["files"], before["sysctls"])
    else:
        assert fault > len(node.steps) or outcome.id
        assert running(node) == (IPVS, [])


@pytest.mark.parametrize("fault", range(1, 14))
def test_a_run_that_is_killed_is_taken_back_by_the_next(fault: int) -> None:
    node = a_node()
    node.fail_at, node.deadly = fault, True
    want = to(IPVS, modules=("ip_vs",), sysctls={KEEPALIVE: "600"})
    with contextlib.suppress(HostError, OSError):
        do(node, want)
    node.fail_at, node.dead = 0, False
    before = node.starts
    outcome = do(node, want)
    assert running(node) == (IPVS, [])
    assert outcome.former_mode == IPTABLES
    assert outcome.id
    assert node.starts <= before + 2
    back(node, outcome.id)
    assert running(node) == (IPTABLES, [])
    assert node.sysctls[KEEPALIVE] == "7200"


def test_check_mode_tells_it_and_does_nothing() -> None:
    node = a_node()
    before, steps = node.snapshot(), list(node.steps)
    outcome = do(node, to(IPVS, modules=("ip_vs",), sysctls={KEEPALIVE: "600"}), check_mode=True)
    assert (outcome.restarted, outcome.id, outcome.modules) == (True, "", ("ip_vs",))
    assert outcome.files[-1].after == TEXT % (MANAGED, IPVS)
    assert (node.snapshot(), node.steps) == (before, steps)
    assert not [line for line in node.ran if line[0] in ("systemctl", "modprobe")]


def test_a_module_that_cannot_be_loaded_is_refused_before_anything_is_changed() -> None:
    node = a_node()
    node.loadable.discard("ip_vs_lc")
    with pytest.raises(HostError, match="module ip_vs_lc: cannot be loaded: this kernel has no such module"):
        do(node, to(IPVS, modules=("ip_vs", "ip_vs_lc")))
    assert node.steps == []


def test_somebody_elses_files_are_not_overwritten() -> None:
    node = a_node()
    node.put(MODULES_FILE, "ip_vs\n")
    with pytest.raises(HostError, match="is somebody else's"):
        do(node, to(IPVS, modules=("ip_vs",)))
    assert node.steps == []
    assert do(node, to(IPVS)).id, "where nothing of ours is to be, it stays"
    assert node.read(MODULES_FILE) == "ip_vs\n"


def test_a_link_stays_and_its_file_is_changed() -> None:
    node = FakeNode(config=["/etc/kube/proxy.yaml"])
    node.put("/etc/kube/proxy.yaml", "mode: iptables\n", 0o600)
    node.put("/etc/kube-proxy.yaml", kind="symlink", target="kube/proxy.yaml")
    place = Place("standalone", "config_file", "/etc/kube-proxy.yaml", "k3s.service")
    outcome = do(node, ProxyChange(NFTABLES, place, place.path, "mode: nftables\n"))
    assert node.file_state("/etc/kube-proxy.yaml").kind == "symlink"
    changed = node.file_state("/etc/kube/proxy.yaml")
    assert (changed.text, changed.mode) == ("mode: nftables\n", 0o600)
    back(node, outcome.id)
    assert node.read("/etc/kube/proxy.yaml") == "mode: iptables\n"


def _with_a_file(text: str) -> tuple[FakeNode, ProxyChange]:
    """A node with a file of its own, and a change that was worked out from a text of it."""
    node = FakeNode(config=["/etc/kube-proxy.yaml"])
    node.put("/etc/kube-proxy.yaml", text)
    place = Place("standalone", "config_file", "/etc/kube-proxy.yaml", "k3s.service")
    was = fingerprint("mode: iptables\n")
    return node, ProxyChange(NFTABLES, place, place.path, "mode: nftables\n", was=was)


def test_a_file_that_somebody_has_edited_since_it_was_looked_at_is_not_overwritten() -> None:
    node, want = _with_a_file("mode: iptables\nclusterCIDR: 10.244.0.0/16\n")
    for check_mode in (True, False):
        with pytest.raises(HostError, match=r"/etc/kube-proxy\.yaml: somebody has changed it since this run looked"):
            do(node, want, check_mode)
    assert (node.steps, running(node)[0]) == ([], IPTABLES)


@pytest.mark.parametrize("text", ["mode: iptables\n", "mode: nftables\n"])
def test_a_file_that_is_as_it_was_or_as_it_is_to_be_is_in_nobodys_way(text: str) -> None:
    node, want = _with_a_file(text)
    do(node, want)
    assert running(node)[0] == NFTABLES


def test_what_a_killed_run_has_made_of_a_file_is_nobodys_edit() -> None:
    node, want = _with_a_file("mode: iptables\n")
    node.fail_at, node.deadly = 4, True
    with contextlib.suppress(HostError, OSError):
        do(node, replace(want, text="mode: ipvs\n", mode=IPVS))
    node.fail_at, node.dead = 0, False
    now = node.read(want.path)
    assert now == "mode: ipvs\n"
    do(node, replace(want, was=fingerprint(now)))
    assert running(node)[0] == NFTABLES


def test_a_file_that_is_no_utf8_is_known_again() -> None:
    text = "mode: iptables # na\udcefve\n"
    node, want = _with_a_file(text)
    # As it comes to the controller.
    do(node, replace(want, was=fingerprint(str(printable(text)))))
    assert running(node)[0] == NFTABLES


def test_files_of_units_are_read_again() -> None:
    node = FakeNode(unit="kube-proxy.service", config=[DROP_IN])
    place = Place("standalone", "unit", "", "kube-proxy.service")
    text = "%s\n[Service]\nExecStart=\nExecStart=/usr/sbin/kube-proxy --proxy-mode=ipvs\n" % MANAGED
    outcome = do(node, ProxyChange(IPVS, place, DROP_IN, text))
    assert (running(node)[0], node.reloads) == (IPVS, 1)
    back(node, outcome.id)
    assert (running(node)[0], node.reloads, node.read(DROP_IN)) == (IPTABLES, 2, None)


def test_our_file_goes_where_nothing_of_it_is_needed() -> None:
    node = a_node(IPVS)
    outcome = do(node, replace(to(IPTABLES), text=""))
    assert (outcome.files[0].after, running(node)) == (None, (IPTABLES, []))
    back(node, outcome.id)
    assert running(node)[0] == IPVS


def test_what_is_kept_can_still_be_given_back_and_only_the_latest() -> None:
    node = a_node()
    first = do(node, to(IPVS))
    assert keep(node, first.id)
    assert not keep(node, first.id), "done already"
    assert (node.read(STORED), observe_kube(node).kept) == (None, first.id)
    second = do(node, to(NFTABLES))
    with pytest.raises(HostError, match="one waits for its end"):
        back(node, first.id)
    keep(node, second.id)
    assert back(node, first.id) is None
    outcome = back(node, second.id)
    assert outcome is not None
    assert outcome.changed
    assert running(node) == (IPVS, [])
    assert (node.read(KEPT), back(node, second.id)) == (None, None)


def test_only_a_change_that_was_made_can_be_kept() -> None:
    with pytest.raises(HostError, match="does not wait for its end"):
        keep(a_node(), "1-ipvs")


def test_giving_back_in_check_mode() -> None:
    node = a_node()
    made = do(node, to(IPVS))
    before = node.snapshot()
    outcome = restore(node, made.id, True, node.clock_of_waits)
    assert outcome is not None
    assert (outcome.restarted, outcome.former_mode, outcome.files[0].after) == (True, IPVS, None)
    assert node.snapshot() == before


def test_where_the_api_holds_the_configuration_no_unit_is_touched() -> None:
    node = FakeNode(IPTABLES, unit="")
    want = ProxyChange(IPVS, Place("kubeadm", "config_map"), modules=("ip_vs",))
    outcome = do(node, want)
    assert (outcome.restarted, outcome.modules, outcome.removed) == (False, ("ip_vs",), ())
    keep(node, outcome.id)
    node.start(IPVS)
    outcome = do(node, want)
    assert outcome.removed != ()
    assert outcome.id == "", "there is nothing to give back"
    assert running_in_api(node) == (IPVS, ())


@pytest.mark.parametrize("unit", ["k3s.service", ""])
def test_nothing_is_taken_away_before_the_new_mode_has_programmed_the_kernel(unit: str) -> None:
    node = FakeNode(IPTABLES, unit, config=[OWN])
    want = to(IPVS) if unit else ProxyChange(IPVS, Place("kubeadm", "config_map"))
    # It says at once that it is healthy.
    node.programs = 20.0
    if not unit:
        node.start(IPVS)
    outcome = do(node, want)
    assert 20.0 <= node.time < 22.0
    assert outcome.removed[0].startswith("chains of the mode iptables: ")


@pytest.mark.parametrize("unit", ["k3s.service", ""])
def test_one_that_does_not_program_the_kernel_does_not_come_up(unit: str) -> None:
    node = FakeNode(IPTABLES, unit, config=[OWN])
    want = to(IPVS) if unit else ProxyChange(IPVS, Place("kubeadm", "config_map"))
    node.programs = 70.0
    if not unit:
        node.start(IPVS)
    before = node.chains
    with pytest.raises(HostError, match="has not programmed the kernel"):
        do(node, want)
    assert set(before.splitlines()) <= set(node.chains.splitlines())


def test_a_mode_that_has_not_programmed_the_kernel_has_left_nothing_yet() -> None:
    node = FakeNode(IPTABLES, unit="")
    node.programs = 20.0
    node.start(IPVS)
    outcome = do(node, ProxyChange(IPVS, Place("kubeadm", "config_map")), check_mode=True)
    assert (outcome.removed, node.time) == ((), 0.0)


def running_in_api(node: FakeNode) -> tuple[str, tuple[object, ...]]:
    seen = observe_kube(node, "kubeadm")
    return seen.proxy_mode, seen.residues


def test_a_service_whose_address_was_taken_from_the_interface_is_still_kube_proxys() -> None:
    """That is why a change was given back; and its NodePorts must not stay for it either."""
    node = a_node(IPVS)
    node.bound = []
    outcome = do(node, to(IPTABLES))
    assert node.servers == []
    assert running(node) == (IPTABLES, [])
    assert outcome.warnings == ()


def test_a_node_port_at_an_address_that_the_node_has_lost_goes_too() -> None:
    node = a_node(IPVS)
    node.servers.append(replace(node.servers[1], address="192.0.2.77"))
    do(node, to(IPTABLES))
    assert node.servers == []


@pytest.mark.parametrize("own", [[NODE, VIP], [NODE]])
@pytest.mark.parametrize("by_unit", [True, False])
def test_the_port_of_a_node_port_alone_makes_nobodys_virtual_server_kube_proxys(by_unit: bool, own: list[str]) -> None:
    """keepalived balances a VIP's port over the NodePorts of the nodes."""
    theirs = ProxyEntry("tcp", VIP, 30080, ("192.0.2.12:30080", "192.0.2.13:30080"), scheduler="wlc")
    node = a_node(IPVS)
    node.bound, node.own = [], own
    node.servers.append(theirs)
    if by_unit:
        run_unit(node, "keepalived")
    do(node, to(IPTABLES))
    assert node.servers == [theirs]
    assert observe_kube(node).foreign != ()


def test_a_virtual_server_that_goes_at_the_second_attempt_is_not_forgotten() -> None:
    """By then what told whose it is has gone."""
    node = a_node(IPVS)
    node.bound = []
    node.held_servers = 1
    outcome = do(node, to(IPTABLES))
    assert (node.servers, outcome.warnings) == ([], ())


def test_what_tells_of_virtual_servers_stays_while_it_cannot_be_read() -> None:
    node = a_node(IPVS)
    node.bound = []
    node.unsaved = True
    outcome = do(node, to(IPTABLES))
    assert len(node.servers) == 2
    assert (node.bound, len(node.sets)) == ([], 3)
    assert [each for each in outcome.warnings if each.startswith("is still there: ipsets")] != []
    assert "/usr/sbin/ipset save KUBE-CLUSTER-IP: it does not want to" in observe_kube(node).limits
    node.unsaved = False
    do(node, to(IPTABLES))
    assert running(node) == (IPTABLES, [])
    assert node.servers == []


def test_without_a_virtual_server_that_they_could_tell_of_sets_that_cannot_be_read_keep_nothing() -> None:
    node = a_node(IPVS)
    node.files.pop("/usr/sbin/ipset")
    outcome = do(node, to(IPTABLES))
    assert (node.servers, node.bound) == ([], None)
    assert outcome.removed != ()


def test_virtual_servers_of_others_stay() -> None:
    node = a_node(IPVS)
    theirs = ProxyEntry("tcp", "198.51.100.9", 80, scheduler="wlc")
    node.servers.append(theirs)
    outcome = do(node, to(IPTABLES))
    assert node.servers == [theirs]
    assert outcome.warnings == ()
    node = a_node(IPVS)
    do(node, to(IPTABLES, excluded=("192.0.2.0/24",)))
    assert [str(server) for server in node.servers] == ["tcp %s:30080" % NODE]


def test_keepalived_keeps_what_is_on_the_nodes_own_addresses() -> None:
    node = a_node(IPVS)
    theirs = ProxyEntry("tcp", NODE, 6443, scheduler="wlc")
    node.servers.append(theirs)
    run_unit(node, "keepalived")
    do(node, to(IPTABLES))
    assert node.servers == [theirs]


def test_what_could_not_be_cleaned_up_is_said() -> None:
    node = a_node()
    node.stubborn.add("iptables-nft-restore")
    outcome = do(node, to(IPVS))
    assert outcome.removed == ()
    assert "it does not want to" in outcome.warnings[0]
    assert outcome.warnings[-1].startswith("is still there: chains of the mode iptables")


def test_virtual_servers_that_stay_keep_what_tells_of_them() -> None:
    node = a_node(IPVS)
    node.refused_by_netlink = True
    outcome = do(node, to(IPTABLES))
    assert outcome.warnings[0] == "virtual servers: the kernel does not know IPVS"
    assert [line for line in running(node)[1] if "virtual servers" in line] != []
    keep(node, outcome.id)
    node.refused_by_netlink = False
    outcome = do(node, to(IPTABLES))
    assert (outcome.warnings, outcome.restarted, running(node)) == ((), False, (IPTABLES, []))
    assert outcome.removed != ()


def test_sets_that_the_kernel_still_holds_go_a_moment_later() -> None:
    node = a_node(IPVS)
    node.held = 3
    outcome = do(node, to(IPTABLES))
    assert (outcome.warnings, running(node)) == ((), (IPTABLES, []))
    assert node.time > 0


def test_a_record_that_is_damaged_is_refused_by_name() -> None:
    node = a_node()
    node.put(STORED, "{}")
    with pytest.raises(HostError, match=r"kube-proxy\.json: cannot be read as a change of kube-proxy"):
        do(node, to(IPVS))
    assert observe_kube(node).stored == "unreadable"


def test_a_full_disk_ends_it_before_anything_is_changed() -> None:
    node = a_node()
    node.exception, node.fail_at = OSError(errno.ENOSPC, "No space left on device"), 2
    with pytest.raises(HostError, match="No space left"):
        do(node, to(IPVS))
    assert [step for step in node.steps if step.startswith(("restart", "modprobe"))] == []


def test_a_kube_proxy_that_did_not_answer_before_is_started_and_not_waited_for_on_the_way_back() -> None:
    node = a_node()
    node.answers = {}
    node.broken = {IPVS}
    with pytest.raises(HostError, match="what stood there before was restored"):
        do(node, to(IPVS))
    assert running(node)[0] == IPTABLES


def test_rules_that_lead_to_a_chain_go_before_it_and_others_stay() -> None:
    text = (
        "*nat\n:PREROUTING ACCEPT [0:0]\n:KUBE-SVC-A - [0:0]\n:KUBE-SERVICES - [0:0]\n"
        '-A PREROUTING -m comment --comment "to -j KUBE-SVC-A" -j ACCEPT\n'
        '-A PREROUTING -m comment --comment "it is \\"quoted\\"" -g KUBE-SVC-A\n'
        "-A KUBE-SERVICES -j KUBE-SVC-A\n-A KUBE-SVC-A -j KUBE-SERVICES\nCOMMIT\n"
        "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m set --match-set S dst -j DROP\nCOMMIT\n"
        "*raw\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n"
    )
    assert chain_script(text, {("nat", "KUBE-SVC-A")}, {"S"}).splitlines() == [
        "*nat",
        ":KUBE-SVC-A - [0:0]",
        '-D PREROUTING -m comment --comment "it is \\"quoted\\"" -g KUBE-SVC-A',
        "-D KUBE-SERVICES -j KUBE-SVC-A",
        "-X KUBE-SVC-A",
        "COMMIT",
        "*filter",
        "-D INPUT -m set --match-set S dst -j DROP",
        "COMMIT",
    ]
    assert chain_script(text, {("filter", "KUBE-SVC-A")}) == ""


def test_nothing_is_cleaned_where_nothing_is_left() -> None:
    node = a_node(IPVS)
    with node.lock(1):
        assert clean(node, Tools(node), IPVS) == clean(node, Tools(node), IPVS, check_mode=True)
    assert node.steps == []
