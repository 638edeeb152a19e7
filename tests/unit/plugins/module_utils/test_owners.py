# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services that set keys beside us, and who wrote a file of sysctl.d."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Dict, List, Optional, Tuple

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._desired import MANAGED
from ansible_collections.netfleet.tcp.plugins.module_utils._model import ANOTHER_DECLARATION, Owner
from ansible_collections.netfleet.tcp.plugins.module_utils._owners import authors, owners, parse_profile
from tests.unit.plugins.fake_system import FakeSystem
from tests.unit.plugins.other_services import run_process, run_tuned, run_unit

FIN = "net.ipv4.tcp_fin_timeout"
RMEM = "net.ipv4.tcp_rmem"
SOMAXCONN = "net.core.somaxconn"
CONNTRACK_MAX = "net.netfilter.nf_conntrack_max"
GC_THRESH = "net.ipv4.neigh.default.gc_thresh3"
KEYS = (FIN, RMEM, SOMAXCONN, CONNTRACK_MAX, GC_THRESH)
PATH = "/usr/lib/tuned/x/tuned.conf"
SYSCTL_D = "/etc/sysctl.d/50-x.conf"


def only(system: FakeSystem, keys: Sequence[str] = KEYS) -> Owner:
    (owner,) = owners(system, keys)
    return owner


def sets(owner: Owner) -> Dict[str, Tuple[Optional[str], str]]:
    return {name: (line.value, line.place) for name, line in owner.sets.items()}


def profile(system: FakeSystem, name: str, text: str, directory: str = "/usr/lib/tuned") -> None:
    system.put("%s/%s/tuned.conf" % (directory, name), text)


def test_a_host_without_such_services() -> None:
    assert owners(FakeSystem(), KEYS) == ()


# tuned


def test_tuned_and_its_profile() -> None:
    system = FakeSystem()
    run_tuned(system, 'net.ipv4.tcp_rmem = "4096 87380 16777216"\nvm.swappiness = 10')
    owner = only(system)
    assert (owner.name, owner.reapplies) == ("tuned (profile fast)", True)
    assert sets(owner) == {RMEM: ("4096 87380 16777216", "/usr/lib/tuned/fast/tuned.conf:5")}


def test_a_tuned_that_is_enabled_counts_before_it_runs() -> None:
    system = FakeSystem()
    run_tuned(system, FIN + " = 15")
    del system.files["/run/systemd/units/invocation:tuned.service"]
    assert owners(system, KEYS) == ()
    system.put("/etc/systemd/system/multi-user.target.wants/tuned.service", kind="symlink", target="/lib/x")
    assert sets(only(system)) == {FIN: ("15", "/usr/lib/tuned/fast/tuned.conf:5")}


def test_a_profile_without_keys_touches_none() -> None:
    """tuned applies no file again either then."""
    system = FakeSystem()
    run_tuned(system, "# nothing")
    assert owners(system, KEYS) == ()
    del system.files["/etc/tuned/active_profile"]
    assert owners(system, KEYS) == ()


def test_a_profile_with_other_keys_still_has_files_applied_again() -> None:
    system = FakeSystem()
    run_tuned(system, "vm.swappiness = 10")
    assert (only(system).sets, only(system).reapplies) == ({}, True)


@pytest.mark.parametrize(
    ("line", "again"),
    [
        ("reapply_sysctl = 1", True),
        ("reapply_sysctl=yes", True),
        ("reapply_sysctl = Y", True),
        ("reapply_sysctl = True  # as the package has it", True),
        ("", True),
        ("# reapply_sysctl = 0", True),
        ("reapply_sysctl = 0", False),
        ("reapply_sysctl = no", False),
        ("reapply_sysctl = on", False),
        ("reapply_sysctl = 0 # ours", False),
    ],
)
def test_whether_files_are_applied_again(line: str, again: bool) -> None:
    """As tuned reads truth values; `on` is none of its words."""
    system = FakeSystem()
    run_tuned(system, FIN + " = 15")
    system.put("/etc/tuned/tuned-main.conf", "daemon = 1\n%s\n" % line)
    assert only(system).reapplies is again


def test_a_profile_wins_over_what_it_includes() -> None:
    system = FakeSystem()
    run_tuned(system, "")
    profile(system, "fast", "[main]\ninclude = base, more\n[sysctl]\n%s=30\n" % FIN)
    profile(system, "base", "[main]\ninclude=deep\n[sysctl]\n%s=10\n%s=11\n%s=12 12 12\n" % (FIN, SOMAXCONN, RMEM))
    profile(system, "more", "[sysctl]\n%s=21\n" % SOMAXCONN)
    profile(system, "deep", "[sysctl]\n%s=1\n%s=2\n" % (FIN, CONNTRACK_MAX))
    assert sets(only(system)) == {
        FIN: ("30", "/usr/lib/tuned/fast/tuned.conf:4"),
        RMEM: ("12 12 12", "/usr/lib/tuned/base/tuned.conf:6"),
        SOMAXCONN: ("21", "/usr/lib/tuned/more/tuned.conf:2"),
        CONNTRACK_MAX: ("2", "/usr/lib/tuned/deep/tuned.conf:3"),
    }


def test_of_several_active_profiles_the_last_wins() -> None:
    system = FakeSystem()
    run_tuned(system, "%s = 1\n%s = 1" % (FIN, SOMAXCONN))
    profile(system, "other", "[sysctl]\n%s=2\n" % FIN)
    system.put("/etc/tuned/active_profile", "fast other\n")
    assert only(system).name == "tuned (profile fast other)"
    assert {name: line.value for name, line in only(system).sets.items()} == {FIN: "2", SOMAXCONN: "1"}


@pytest.mark.parametrize("directory", ["/etc/tuned", "/etc/tuned/profiles"])
def test_a_profile_of_the_administrator_hides_that_of_the_package(directory: str) -> None:
    system = FakeSystem()
    run_tuned(system, FIN + " = 15")
    profile(system, "fast", "[sysctl]\n%s=16\n" % FIN, directory)
    assert sets(only(system)) == {FIN: ("16", directory + "/fast/tuned.conf:2")}


def test_a_profile_may_include_the_one_that_it_hides() -> None:
    """So that an administrator changes one key of a profile of the package's."""
    system = FakeSystem()
    run_tuned(system, "%s = 15\n%s = 1024" % (FIN, SOMAXCONN))
    profile(system, "fast", "[main]\ninclude=fast\n[sysctl]\n%s=16\n" % FIN, "/etc/tuned")
    assert sets(only(system)) == {
        FIN: ("16", "/etc/tuned/fast/tuned.conf:4"),
        SOMAXCONN: ("1024", "/usr/lib/tuned/fast/tuned.conf:6"),
    }


def test_profiles_that_include_each_other_come_to_an_end() -> None:
    system = FakeSystem()
    run_tuned(system, "")
    everybody = ["fast", *("p%d" % number for number in range(12))]
    for name in everybody:
        profile(system, name, "[main]\ninclude=%s\n[sysctl]\n%s=1\n" % (",".join(everybody), FIN))
    assert {name: line.value for name, line in only(system).sets.items()} == {FIN: "1"}


@pytest.mark.parametrize("name", ["../../../etc/shadow", "a/b", "${x}", "", "missing"])
def test_names_that_are_no_profiles_are_passed_over(name: str) -> None:
    system = FakeSystem()
    run_tuned(system, "")
    profile(system, "fast", "[main]\ninclude=%s\n[sysctl]\n%s=1\n" % (name, FIN))
    system.put("/usr/lib/tuned/" + name + "/tuned.conf", "[sysctl]\n%s=1\n" % SOMAXCONN)
    if name == "missing":
        del system.files["/usr/lib/tuned/missing/tuned.conf"]
    assert set(only(system).sets) == {FIN}


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("= 2048", "2048"),
        ("=2048 # enough", "2048"),
        ('="4096 87380 16777216"', "4096 87380 16777216"),
        ("='1'", "1"),
        ("=>2048", None),
        ("=<2048", None),
        ("=${from_elsewhere}", None),
        ("=1${x}", None),
    ],
)
def test_what_a_profile_says_of_a_key(line: str, value: Optional[str]) -> None:
    _included, found = parse_profile(PATH, "\n[sysctl]\n%s%s\n" % (SOMAXCONN, line))
    assert {name: (entry.value, entry.place) for name, entry in found.items()} == {SOMAXCONN: (value, PATH + ":3")}


@pytest.mark.parametrize("name", ["net.core.somaxconn", "net/core/somaxconn"])
def test_both_spellings_of_a_key_in_a_profile(name: str) -> None:
    assert set(parse_profile(PATH, "[sysctl]\n%s=1\n" % name)[1]) == {SOMAXCONN}


@pytest.mark.parametrize(
    "text",
    [
        "[sysctl.arm]\ntype=sysctl\nuname_regex=aarch64\nnet.core.somaxconn=1\n",
        "[sysctl]\nuname_regex=aarch64\nnet.core.somaxconn=1\n",
        "[sysctl]\nnet.core.somaxconn=1\nenabled=false\n",
        "[sysfs]\nnet.core.somaxconn=1\n",
        "[sysctl]\n# net.core.somaxconn=1\n; net.core.somaxconn=1\nnet.core.somaxconn\n",
        "net.core.somaxconn=1\n",
        "[sysctl]\n[main]\nnet.core.somaxconn=1\n",
    ],
)
def test_what_a_profile_does_not_set_on_every_host(text: str) -> None:
    assert parse_profile(PATH, text) == ((), {})


def test_a_section_that_is_enabled_in_so_many_words() -> None:
    assert set(parse_profile(PATH, "[sysctl]\nenabled=true\nnet.core.somaxconn=1\n")[1]) == {SOMAXCONN}


@pytest.mark.parametrize("line", ["include=a,b", "include = a ; b", "include=a, b # both", "include=a b"])
def test_the_profiles_that_are_included(line: str) -> None:
    assert parse_profile(PATH, "[main]\nsummary=x\n%s\n[sysctl]\ninclude=c\n" % line)[0] == ("a", "b")


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
