# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services that set keys beside us, and who wrote a file of sysctl.d."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Dict, List, Optional, Tuple

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._desired import MANAGED
from ansible_collections.netfleet.tcp.plugins.module_utils._model import ANOTHER_DECLARATION, Owner
from ansible_collections.netfleet.tcp.plugins.module_utils._owners import authors, owners
from tests.unit.plugins.fake_system import FakeSystem
from tests.unit.plugins.other_services import run_process, run_tuned, run_unit

FIN = "net.ipv4.tcp_fin_timeout"
RMEM = "net.ipv4.tcp_rmem"
SOMAXCONN = "net.core.somaxconn"
CONNTRACK_MAX = "net.netfilter.nf_conntrack_max"
GC_THRESH = "net.ipv4.neigh.default.gc_thresh3"
KEYS = (FIN, RMEM, SOMAXCONN, CONNTRACK_MAX, GC_THRESH)
SYSCTL_D = "/etc/sysctl.d/50-x.conf"


def only(system: FakeSystem, keys: Sequence[str] = KEYS) -> Owner:
    (owner,) = owners(system, keys)
    return owner


def test_a_host_without_such_services() -> None:
    assert owners(FakeSystem(), KEYS) == ()


# Services that set keys while they run


@pytest.mark.parametrize(
    ("unit", "name", "keys"),
    [
        ("bpftune", "bpftune", {RMEM, GC_THRESH}),
        ("kube-proxy", "kube-proxy", {CONNTRACK_MAX}),
        ("k3s-agent", "kube-proxy", {CONNTRACK_MAX}),
        ("rke2-server", "kube-proxy", {CONNTRACK_MAX}),
        ("snap.microk8s.daemon-kubelite", "kube-proxy", {CONNTRACK_MAX}),
    ],
)
def test_a_service_that_is_a_unit(unit: str, name: str, keys: "set[str]") -> None:
    system = FakeSystem()
    run_unit(system, unit)
    owner = only(system)
    assert (owner.name, set(owner.sets), owner.reapplies) == (name, keys, False)
    assert {(line.value, line.line) for line in owner.sets.values()} == {(None, 0)}


@pytest.mark.parametrize("name", ["kube-proxy", "bpftune"])
def test_a_service_that_is_a_process_of_a_pod(name: str) -> None:
    system = FakeSystem()
    run_process(system, 1, "systemd")
    run_process(system, 4711, name)
    system.put("/proc/self", kind="symlink", target="1")
    assert only(system).name == name


@pytest.mark.parametrize("name", ["kube-proxy-x", "kubelet", "not-kube-proxy"])
def test_a_process_of_another_name(name: str) -> None:
    system = FakeSystem()
    run_process(system, 4711, name)
    assert owners(system, KEYS) == ()


def test_a_service_that_sets_none_of_the_keys_is_not_named() -> None:
    system = FakeSystem()
    run_unit(system, "kube-proxy")
    run_unit(system, "bpftune")
    assert owners(system, [FIN]) == ()


def test_processes_are_looked_through_once_at_most() -> None:
    class Counting(FakeSystem):
        looked = 0

        def names(self, directory: str) -> List[str]:
            self.looked += directory == "/proc"
            return super().names(directory)

    system = Counting()
    owners(system, KEYS)
    assert system.looked == 1
    run_unit(system, "kube-proxy")
    run_unit(system, "bpftune")
    owners(system, KEYS)
    assert system.looked == 1


def test_several_services_at_once() -> None:
    system = FakeSystem()
    run_tuned(system, FIN + " = 15")
    run_unit(system, "bpftune")
    run_process(system, 7, "kube-proxy")
    assert [owner.name for owner in owners(system, KEYS)] == ["tuned (profile fast)", "bpftune", "kube-proxy"]


# Authors of files


def author(text: str = "", path: str = SYSCTL_D, target: str = "", system: Optional[FakeSystem] = None) -> str:
    return authors(system or FakeSystem(), {path: text}, {path: target}).get(path, "")


@pytest.mark.parametrize(
    ("text", "who"),
    [
        ("# Ansible managed: x.j2 modified on 2026-01-01\n", "another Ansible role"),
        ("#\n# This file is MANAGED BY ANSIBLE\n", "another Ansible role"),
        ("# This file is managed by Puppet; changes are lost\n", "Puppet"),
        ("# Managed by Chef\n", "Chef"),
        ("# Created by cloud-init on instance boot\n", "cloud-init"),
        (MANAGED + "\nnet.ipv4.tcp_sack = 1\n", ANOTHER_DECLARATION),
        ("# puppetry is an art\n", ""),
        ("net.ipv4.tcp_fin_timeout = 1\n", ""),
        ("x" * 3000 + "\n# Ansible managed\n", ""),
        ("", ""),
    ],
)
def test_authors_by_what_the_file_says(text: str, who: str) -> None:
    assert author(text) == who


@pytest.mark.parametrize(
    ("path", "who"),
    [
        ("/etc/sysctl.d/99-cloudimg-ipv6.conf", "the cloud image"),
        ("/etc/sysctl.d/60-gce-network-security.conf", "Google's guest environment"),
        ("/usr/lib/sysctl.d/k8s.conf", "Kubernetes"),
        ("/etc/sysctl.d/99-kubelet.conf", "Kubernetes"),
        ("/etc/sysctl.d/98-tuned.conf", "tuned"),
        ("/etc/sysctl.d/99-os-hardening.conf", "a hardening role"),
        ("/etc/sysctl.d/99-local.conf", ""),
    ],
)
def test_authors_by_the_files_name(path: str, who: str) -> None:
    assert author(path=path) == who


def test_the_name_that_counts_is_that_of_what_a_link_stands_for() -> None:
    assert author(path="/etc/sysctl.d/99-x.conf", target="/opt/kubernetes/kube.conf") == "Kubernetes"
    assert author(path="/etc/sysctl.d/99-kube.conf", target="/opt/mine.conf") == ""


def test_what_the_file_says_counts_more_than_its_name() -> None:
    assert author("# Ansible managed\n", "/etc/sysctl.d/99-kubelet.conf") == "another Ansible role"


def test_a_file_that_a_debian_package_brought() -> None:
    system = FakeSystem()
    system.put("/var/lib/dpkg/info/other.list", "/.\n/usr/lib/sysctl.d/50-x.conf.old\n/x/usr/lib/sysctl.d/50-x.conf\n")
    system.put("/var/lib/dpkg/info/some:amd64.list", "/.\n/usr\n/usr/lib/sysctl.d/50-x.conf\n")
    system.put("/var/lib/dpkg/info/old.list", "/.\n/lib/sysctl.d/50-old.conf\n")
    system.put("/var/lib/dpkg/info/other.md5sums", "/usr/lib/sysctl.d/50-md5.conf\n")
    found = {name: author(path="/usr/lib/sysctl.d/50-%s.conf" % name, system=system) for name in ("x", "old", "md5")}
    assert found == {"x": "package some", "old": "package old", "md5": ""}


def test_a_file_below_etc_is_the_administrators_whoever_brought_it() -> None:
    system = FakeSystem()
    system.put("/var/lib/dpkg/info/some.list", "/.\n%s\n" % SYSCTL_D)
    assert author(system=system) == ""


class Rpm(FakeSystem):
    """A host where packages are asked for by rpm."""

    def __init__(self, answers: Dict[str, Tuple[int, str]]) -> None:
        super().__init__()
        self.put("/usr/bin/rpm", "", 0o755)
        self.answers = answers
        self.asked: List[str] = []

    def run(self, argv: Sequence[str], stdin: str = "") -> Tuple[int, str, str]:
        assert (list(argv[:3]), stdin) == (["rpm", "-qf", "--queryformat"], "")
        self.asked.append(argv[-1])
        # As rpm does: for each package that owns the file, what the format makes of it.
        status, names = self.answers.get(argv[-1], (1, ""))
        if status:
            return status, "file %s is not owned by any package\n" % argv[-1], ""
        form = argv[3].replace("\\n", "\n")
        return 0, "".join(form.replace("%{NAME}", name) for name in names.split()), ""


def test_a_file_that_an_rpm_package_brought() -> None:
    system = Rpm({"/usr/lib/sysctl.d/50-x.conf": (0, "systemd"), "/usr/lib/sysctl.d/two.conf": (0, "first second")})
    texts = dict.fromkeys(["/usr/lib/sysctl.d/50-x.conf", "/usr/lib/sysctl.d/two.conf", "/run/sysctl.d/mine.conf"], "")
    assert authors(system, texts, {}) == {
        "/usr/lib/sysctl.d/50-x.conf": "package systemd",
        "/usr/lib/sysctl.d/two.conf": "package first",
    }


def test_rpm_is_asked_only_of_what_nothing_else_tells() -> None:
    system = Rpm({})
    texts = {SYSCTL_D: "", "/usr/lib/sysctl.d/a.conf": "# Ansible managed\n", "/usr/lib/sysctl.d/99-kube.conf": ""}
    assert len(authors(system, texts, {})) == 2
    assert system.asked == []
