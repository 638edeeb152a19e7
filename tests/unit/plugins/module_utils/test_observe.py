# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Observation of recorded real hosts (tests/unit/fixtures), and of what a fake one can be made to show."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._catalogue import KEYS
from ansible_collections.netfleet.tcp.plugins.module_utils._desired import MANAGED, build, managed_paths
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError
from ansible_collections.netfleet.tcp.plugins.module_utils._model import (
    Baseline,
    Interface,
    ModuleState,
    Observed,
    from_wire,
    to_wire,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._observe import Request, load_vault, observe
from ansible_collections.netfleet.tcp.plugins.module_utils._plan import make_plan
from ansible_collections.netfleet.tcp.plugins.module_utils._policy import compose
from ansible_collections.netfleet.tcp.plugins.module_utils._resolve import (
    keys_to_observe,
    modules_to_observe,
    resolve,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._secrets import Vault
from tests.unit.plugins.fake_system import KERNEL, FakeSystem
from tests.unit.plugins.recorded_system import HOSTS, RecordedSystem

FILE = "90-netfleet-tcp.conf"
PATH = "/etc/sysctl.d/" + FILE
FIN = "net.ipv4.tcp_fin_timeout"
SACK = "net.ipv4.tcp_sack"
SECRET_KEY = "net.ipv4.tcp_fastopen_key"
CLOUD = compose({"profile": "cloud"})
EVERYTHING = Request(
    keys=tuple(key.name for key in KEYS if key.kind != "secret"),
    files=managed_paths(FILE),
    modules=("tcp_bbr", "tcp_htcp", "tcp_cubic", "tcp_nothing", "sch_fq", "sch_fq_codel"),
    qdiscs=True,
    qdisc_kinds=("fq", "fq_codel", "pfifo_fast", "nothing"),
    listeners=True,
)


def recorded(name: str, request: Request = EVERYTHING) -> Observed:
    system = RecordedSystem(name)
    baseline, vault = load_vault(system, "90-netfleet-tcp", {})
    return observe(system, request, baseline, vault)


def faked(system: FakeSystem, **request: object) -> Observed:
    return observe(system, Request(**request), Baseline(), Vault())  # type: ignore[arg-type]


@pytest.mark.parametrize("name", HOSTS)
def test_a_recorded_host_goes_over_the_wire(name: str) -> None:
    observed = recorded(name)
    assert from_wire(Observed, json.loads(json.dumps(to_wire(observed)))) == observed


@pytest.mark.parametrize("name", HOSTS)
def test_tc_runs_once_and_only_where_interfaces_matter(name: str) -> None:
    system = RecordedSystem(name)
    observe(system, Request(keys=(FIN,), qdiscs=True), Baseline(), Vault())
    assert system.ran == [["tc", "-j", "qdisc", "show"]]
    system.ran.clear()
    observe(system, Request(keys=(FIN,)), Baseline(), Vault())
    assert system.ran == []


def test_an_untouched_virtual_machine() -> None:
    found = recorded("bookworm-vm")
    assert found.kernel == "6.1.0-56-cloud-amd64"
    assert (found.root, found.systemd, found.reader, found.child_netns) == (True, True, "systemd-sysctl", False)
    assert 400 << 20 < found.memory < 512 << 20
    assert found.keys["net.ipv4.tcp_rmem"].running == "4096 131072 3739040"
    assert found.keys["net.ipv4.tcp_congestion_control"].running == "cubic"
    assert found.keys["net.ipv4.tcp_congestion_control"].limit == ""
    # Newer than this kernel, and of a module that is not loaded.
    for absent in ("net.ipv4.tcp_rto_min_us", "net.netfilter.nf_conntrack_max"):
        assert (found.keys[absent].running, found.keys[absent].limit) == (None, "this kernel has no such key here")
    assert found.modules == {
        "tcp_bbr": ModuleState("tcp_bbr", loadable=True),
        "tcp_htcp": ModuleState("tcp_htcp", loadable=True),
        "tcp_cubic": ModuleState("tcp_cubic", builtin=True),
        "tcp_nothing": ModuleState("tcp_nothing"),
        "sch_fq": ModuleState("sch_fq", loadable=True),
        "sch_fq_codel": ModuleState("sch_fq_codel", builtin=True),
    }
    # pfifo_fast is part of every kernel, and in no list of modules.
    assert found.qdisc_kinds == {"fq": True, "fq_codel": True, "pfifo_fast": True, "nothing": False}
    assert found.interfaces == (
        Interface("eth0", True, True, 1500, 1, "fq_codel"),
        Interface("eth1", True, True, 1500, 1, "fq_codel"),
        Interface("lo", True, False, 65536, 1, "noqueue"),
    )
    assert found.available_congestion_control == ("reno", "cubic")
    assert found.allowed_congestion_control == ("reno", "cubic")
    assert found.new_socket_congestion_control == "cubic"
    assert found.listeners == (22,)
    assert {state.kind for state in found.files.values()} == {"absent"}
    assert found.baseline.empty


def test_a_virtual_machine_that_this_collection_tuned() -> None:
    found = recorded("trixie-vm-tuned")
    bbr = found.keys["net.ipv4.tcp_congestion_control"]
    assert (bbr.running, [entry.file for entry in bbr.boot]) == ("bbr", [PATH])
    assert bbr.boot[0].value == "bbr"
    text = RecordedSystem("trixie-vm-tuned").read(PATH) or ""
    assert text.splitlines()[bbr.boot[0].line - 1] == "net.ipv4.tcp_congestion_control = bbr"
    assert found.modules["tcp_bbr"] == ModuleState("tcp_bbr", loaded=True)
    assert found.modules["tcp_htcp"] == ModuleState("tcp_htcp", loadable=True), "compressed modules are found"
    assert [(each.name, each.qdisc, each.handle != "0:") for each in found.interfaces] == [
        *(("eth0", "fq", True), ("eth1", "fq", True), ("lo", "noqueue", False)),
    ]
    assert found.new_socket_congestion_control == "bbr"
    assert found.baseline.keys["net.ipv4.tcp_congestion_control"] == "cubic"
    assert found.baseline.modules == ("sch_fq", "tcp_bbr")
    assert found.files[PATH].text.startswith(MANAGED)
    assert [state.kind for state in found.files.values()].count("symlink") == 1


def test_a_container() -> None:
    found = recorded("container")
    assert (found.child_netns, found.root, found.systemd) == (True, True, True)
    assert found.keys["net.core.default_qdisc"].running is None
    assert found.keys["net.core.rmem_max"].limit == "the key is read-only here"
    assert found.keys["net.core.somaxconn"].limit == ""
    assert found.allowed_congestion_control == ("reno", "bbr")
    assert [(each.name, each.physical, each.qdisc) for each in found.interfaces] == [
        *(("eth0", False, "noqueue"), ("lo", False, "noqueue")),
    ]
    assert not any(state.loaded or state.loadable for state in found.modules.values())


def test_a_declaration_that_a_host_has_is_no_change() -> None:
    """The whole road over a host that was recorded after `ansible-playbook tune.yml -l cloud`."""
    request = Request(
        keys=keys_to_observe(CLOUD),
        files=managed_paths(FILE),
        modules=modules_to_observe(CLOUD),
        qdiscs=True,
        qdisc_kinds=("fq",),
    )
    observed = recorded("trixie-vm-tuned", request)
    resolved = resolve(CLOUD, observed)
    text = observed.files[PATH].text
    desired = build(FILE, text, resolved.keys, resolved.modules, resolved.qdiscs, observed.interfaces, "bbr")
    plan = make_plan(desired, observed)
    assert (plan.changes, plan.findings) == ((), ())


def test_the_same_declaration_over_an_untouched_host() -> None:
    observed = recorded("bookworm-vm", replace(EVERYTHING, keys=keys_to_observe(CLOUD)))
    resolved = resolve(CLOUD, observed)
    assert [finding for finding in resolved.findings if finding.severity != "note"] == []
    found = {choice.key: choice.value for choice in resolved.choices}
    # 5 % of 490 MB would be 24 MB: the power of two below it, not the 64 MiB of the link.
    assert found["net.ipv4.tcp_rmem"] == "4096 131072 16777216"
    assert found["net.ipv4.tcp_congestion_control"] == "bbr"
    assert [qdisc.interface for qdisc in resolved.qdiscs] == ["eth0", "eth1"]
    assert resolved.modules == ("sch_fq", "tcp_bbr")


def test_the_same_declaration_over_a_container() -> None:
    wanted = replace(CLOUD, unsupported="warn")
    observed = recorded("container", replace(EVERYTHING, keys=keys_to_observe(wanted)))
    resolved = resolve(wanted, observed)
    warned = {finding.key: finding for finding in resolved.findings if finding.severity == "warning"}
    assert {"net.core.rmem_max", "net.core.wmem_max"} <= set(warned)
    assert "declare it on the container's host" in warned["net.core.rmem_max"].cure
    assert (resolved.congestion_control, resolved.modules, resolved.qdiscs) == ("bbr", (), ())


# What boots


@pytest.mark.parametrize(
    ("present", "reader"),
    [
        (["/run/systemd/system", "/usr/lib/systemd/systemd-sysctl"], "systemd-sysctl"),
        (["/run/systemd/system", "/lib/systemd/systemd-sysctl", "/etc/init.d/procps"], "systemd-sysctl"),
        (["/usr/lib/systemd/systemd-sysctl", "/etc/init.d/procps"], "procps"),
        (["/run/systemd/system", "/etc/init.d/procps"], "procps"),
        (["/run/systemd/system"], "nobody"),
        ([], "nobody"),
    ],
)
def test_who_reads_sysctl_d_at_boot(present: list[str], reader: str) -> None:
    system = FakeSystem()
    system.files.clear()
    for path in present:
        system.put(path)
    found = faked(system)
    assert (found.reader, found.systemd) == (reader, "/run/systemd/system" in present)


def test_lines_that_count_at_boot_have_file_and_line() -> None:
    system = FakeSystem()
    system.put("/etc/sysctl.conf", "\n%s = 40\n" % FIN)
    system.put("/etc/sysctl.d/99-sysctl.conf", kind="symlink", target="../sysctl.conf")
    system.put("/usr/lib/sysctl.d/50-a.conf", "# c\n%s=20\n" % FIN)
    system.put("/usr/lib/sysctl.d/60-masked.conf", "%s=21\n" % FIN)
    system.put("/etc/sysctl.d/60-masked.conf", kind="symlink", target="/dev/null")
    system.put("/etc/sysctl.d/70-odd.conf", "\udcff\udcfe\n\x00=\n%s = \udcff\n" % SACK)
    system.sysctls[SACK] = "1"
    found = faked(system, keys=(FIN, SACK))
    assert [(entry.place, entry.value) for entry in found.keys[FIN].boot] == [
        ("/usr/lib/sysctl.d/50-a.conf:2", "20"),
        ("/etc/sysctl.conf:2", "40"),
    ]
    assert [(entry.place, entry.value) for entry in found.keys[SACK].boot] == [
        ("/etc/sysctl.d/70-odd.conf:3", "\udcff")
    ]


# Interfaces, modules, listeners


def test_a_multi_queue_nic_has_its_leaves() -> None:
    system = FakeSystem()
    system.add_interface("eth0", queues=3)
    assert faked(system, qdiscs=True).interfaces == (
        Interface("eth0", True, True, 1500, 3, "mq", "0:", ("fq_codel",) * 3),
    )


def test_what_is_no_interface_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    system = FakeSystem()
    system.add_interface("eth0", up=False)
    names = system.names
    monkeypatch.setattr(
        system, "names", lambda path: ["bonding_masters", *names(path)] if path == "/sys/class/net" else names(path)
    )
    assert [(each.name, each.up) for each in faked(system, qdiscs=True).interfaces] == [("eth0", False)]


def test_without_tc_the_cure_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    system = FakeSystem()
    monkeypatch.setattr(system, "run", lambda _argv, _stdin="": (127, "", "tc is not installed"))
    with pytest.raises(HostError, match=r"tc -j qdisc show: tc is not installed \(is iproute2 installed\?\)"):
        faked(system, qdiscs=True)


@pytest.mark.parametrize(("status", "has"), [(0, True), (2, False)])
def test_where_modules_cannot_be_seen_a_qdisc_is_tried_apart(
    monkeypatch: pytest.MonkeyPatch, status: int, has: bool
) -> None:
    system = RecordedSystem("container")
    ran: list[list[str]] = []

    def run(argv: list[str]) -> tuple[int, str, str]:
        ran.append(argv)
        return status, "", ""

    monkeypatch.setattr(system, "run", run)
    found = observe(system, Request(qdisc_kinds=("fq", "pfifo_fast")), Baseline(), Vault())
    assert found.qdisc_kinds == {"fq": has, "pfifo_fast": True}
    assert ran == [["unshare", "-n", "tc", "qdisc", "add", "dev", "lo", "root", "fq"]]


def test_listeners_of_both_families_without_duplicates() -> None:
    system = FakeSystem()
    head = "  sl  local_address rem_address   st\n"
    system.put("/proc/net/tcp", head + "   0: 0100007F:1F90 00000000:0000 0A\n   1: 0100007F:0050 0100007F:C350 01\n")
    system.put("/proc/net/tcp6", head + "   0: %s:1F90 x 0A\n   1: %s:0016 x 0A\n   2: short\n" % ("0" * 32, "0" * 32))
    assert faked(system, listeners=True).listeners == (22, 8080)
    assert faked(system).listeners == ()


def test_no_memory_is_known_without_meminfo(monkeypatch: pytest.MonkeyPatch) -> None:
    system = FakeSystem()
    assert faked(system).memory == 4000000 * 1024
    monkeypatch.setattr(system, "read", lambda _path: None)
    assert faked(system).memory == 0


def test_what_an_earlier_run_recorded_is_observed_unasked() -> None:
    system = FakeSystem()
    system.add_interface("eth0")
    baseline = Baseline(keys={FIN: "60"}, modules=("tcp_bbr",), qdiscs={"eth0": "fq_codel"})
    found = observe(system, Request(), baseline, Vault())
    assert (list(found.keys), list(found.modules), len(found.interfaces)) == ([FIN], ["tcp_bbr"], 1)
    assert found.kernel == KERNEL


def test_secrets_are_masked_wherever_they_are_read() -> None:
    system = FakeSystem()
    secret = "0a0b0c0d-00000001-00000002-00000003"
    system.put("/etc/sysctl.d/99-x.conf", "%s = %s\n" % (SECRET_KEY, secret))
    found = faked(system, keys=(SECRET_KEY,), files=("/etc/sysctl.d/99-x.conf",))
    assert secret not in repr(found)
    assert found.keys[SECRET_KEY].running == "<another secret %s>" % SECRET_KEY
