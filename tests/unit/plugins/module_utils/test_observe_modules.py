# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel modules: what is loaded, what could be, what the next boot loads and what keeps it from that."""

from __future__ import annotations

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._model import ModuleState
from ansible_collections.netfleet.tcp.plugins.module_utils._observe_modules import boot_modules, observe_modules
from tests.unit.plugins.fake_system import FakeSystem

LOADER = "/etc/systemd/system/systemd-modules-load.service"


def seen(system: FakeSystem, name: str = "tcp_bbr") -> ModuleState:
    return observe_modules(system, (name,), system.facts())[name]


# Now


@pytest.mark.parametrize("root", [True, False])
def test_a_module_is_loadable_whoever_looks(root: bool) -> None:
    system = FakeSystem()
    system.root = root
    assert seen(system).loadable


@pytest.mark.parametrize(
    ("files", "loadable"),
    [
        ({"/etc/modprobe.d/cis.conf": "install tcp-bbr /bin/false\n"}, False),
        ({"/usr/lib/modprobe.d/cis.conf": "# hardening\ninstall  tcp_bbr\t/usr/bin/true\n"}, False),
        ({"/lib/modprobe.d/a.conf": "install tcp_bbr /bin/false\n", "/etc/modprobe.d/a.conf": ""}, True),
        ({"/etc/modprobe.d/own.conf": "install tcp_bbr /sbin/modprobe --ignore-install tcp_bbr\n"}, True),
        ({"/etc/modprobe.d/other.conf": "install tcp_htcp /bin/false\nblacklist tcp_bbr\ninstall\n"}, True),
    ],
)
def test_a_module_that_the_host_forbids_is_not_loadable(files: dict[str, str], loadable: bool) -> None:
    system = FakeSystem()
    for path, text in files.items():
        system.put(path, text)
    assert seen(system).loadable is loadable


def test_no_module_is_loadable_once_the_kernel_takes_no_more() -> None:
    system = FakeSystem()
    system.sysctls["kernel.modules_disabled"] = "1"
    assert seen(system).loadable is False


def test_a_module_is_not_taken_for_another_with_a_longer_name() -> None:
    system = FakeSystem()
    system.loadable = {"tcp_bbr2", "xtcp_bbr"}
    system.builtin = {"tcp_bbrx"}
    system.loaded = {"tcp_bbr_"}
    assert seen(system) == ModuleState("tcp_bbr")


# What keeps the next boot from loading one


@pytest.mark.parametrize("loaded", [True, False])
@pytest.mark.parametrize("module", ["tcp_bbr", "nf_conntrack"])
def test_a_forbidden_module_is_not_loaded_again_once_it_is_gone(module: str, loaded: bool) -> None:
    system = FakeSystem()
    system.loaded = {module} if loaded else set()
    system.put("/etc/modules-load.d/a.conf", module + "\n")
    system.put("/etc/modprobe.d/cis.conf", "# hardening\ninstall %s /bin/false\n" % module)
    found = seen(system, module)
    assert (found.loaded, found.boot, found.blocker) == (
        loaded,
        "/etc/modules-load.d/a.conf:1",
        "/etc/modprobe.d/cis.conf:2",
    )


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize(
    ("module", "loads_itself"), [("nf_conntrack", False), ("tcp_bbr", True), ("sch_fq", True)], ids=str
)
def test_blacklists_and_a_masked_loader_hold_off_what_no_key_asks_for(
    module: str, loads_itself: bool, masked: bool
) -> None:
    system = FakeSystem()
    if masked:
        system.put(LOADER, kind="symlink", target="/dev/null")
    else:
        system.put("/etc/modprobe.d/b.conf", "blacklist %s\n" % module.replace("_", "-"))
    place = LOADER if masked else "/etc/modprobe.d/b.conf:1"
    assert seen(system, module).blocker == ("" if loads_itself else place)
    assert seen(system, module).loadable, "root loads it by its name all the same"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("install tcp_bbr \\\n  /bin/false\n", 2),
        ("install tcp_bbr false\n", 1),
        ("install tcp_bbr /usr/sbin/false\n", 1),
        ("install tcp_bbr exit 1\n", 1),
        ("install tcp_bbr :\n", 1),
        ("install tcp_bbr /bin/sh -c 'exit 1'\n", 1),
        ('install tcp_bbr sh -c "true"\n', 1),
        ("install tcp_b* /bin/false\n", 1),
        ("install tcp_bbr /bin/true; /sbin/modprobe --ignore-install tcp_bbr\n", 0),
        ("install tcp_bbr /usr/local/bin/false-friend\n", 0),
        ("install tcp_b /bin/false\n", 0),
    ],
)
def test_how_a_module_is_forbidden(text: str, line: int) -> None:
    system = FakeSystem()
    system.put("/etc/modprobe.d/x.conf", text)
    assert seen(system).blocker == ("/etc/modprobe.d/x.conf:%d" % line if line else "")
    assert seen(system).loadable is (line == 0)


@pytest.mark.parametrize(
    ("option", "module", "blocked"),
    [
        ("module_blacklist=tcp-bbr,x", "tcp_bbr", True),
        ("module_blacklist=nf_conntrack", "nf_conntrack", True),
        ("modprobe.blacklist=nf_conntrack", "nf_conntrack", True),
        ("systemd.mask=systemd-modules-load.service", "nf_conntrack", True),
        ("modprobe.blacklist=tcp_bbr", "tcp_bbr", False),
        ("xmodule_blacklist=tcp_bbr", "tcp_bbr", False),
    ],
)
def test_what_the_kernels_command_line_holds_off(option: str, module: str, blocked: bool) -> None:
    system = FakeSystem()
    system.put("/proc/cmdline", "quiet %s\n" % option)
    assert seen(system, module).blocker == ("/proc/cmdline" if blocked else "")


def test_nothing_holds_off_what_is_built_in() -> None:
    system = FakeSystem()
    system.put("/etc/modprobe.d/cis.conf", "install tcp_cubic /bin/false\n")
    assert seen(system, "tcp_cubic") == ModuleState("tcp_cubic", builtin=True)


def test_a_unit_of_the_administrators_own_loads_modules() -> None:
    system = FakeSystem()
    system.put(LOADER, "[Service]\nExecStart=/usr/lib/systemd/systemd-modules-load\n")
    assert seen(system, "nf_conntrack").blocker == ""


# At the next boot


def loads(system: FakeSystem, *names: str) -> "dict[str, str]":
    return boot_modules(system, names or ("tcp_bbr", "sch_fq"))


def test_modules_that_a_file_names() -> None:
    system = FakeSystem()
    system.put("/etc/modules-load.d/a.conf", "# tcp_htcp\n\n  tcp_bbr  \n;sch_fq\nother\n")
    assert loads(system) == {"tcp_bbr": "/etc/modules-load.d/a.conf:3"}


def test_a_module_is_the_same_with_dashes() -> None:
    system = FakeSystem()
    system.put("/etc/modules-load.d/a.conf", "tcp-bbr\n")
    assert loads(system) == {"tcp_bbr": "/etc/modules-load.d/a.conf:1"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("/etc/modules-load.d", "/run/modules-load.d"),
        ("/run/modules-load.d", "/usr/local/lib/modules-load.d"),
        ("/usr/local/lib/modules-load.d", "/usr/lib/modules-load.d"),
        ("/usr/lib/modules-load.d", "/lib/modules-load.d"),
    ],
)
def test_a_file_hides_one_of_the_same_name_in_a_later_directory(first: str, second: str) -> None:
    system = FakeSystem()
    system.put(second + "/a.conf", "tcp_bbr\n")
    assert loads(system) == {"tcp_bbr": second + "/a.conf:1"}
    system.put(first + "/a.conf", "# none\n")
    assert loads(system) == {}
    system.put(first + "/b.conf", "tcp_bbr\n")
    assert loads(system) == {"tcp_bbr": first + "/b.conf:1"}


def test_a_masked_file_loads_nothing() -> None:
    system = FakeSystem()
    system.put("/usr/lib/modules-load.d/a.conf", "tcp_bbr\n")
    system.put("/etc/modules-load.d/a.conf", kind="symlink", target="/dev/null")
    assert loads(system) == {}


@pytest.mark.parametrize("name", ["a", "a.conf.bak", ".a.conf", "a.CONF"])
def test_files_that_systemd_passes_over(name: str) -> None:
    system = FakeSystem()
    system.put("/etc/modules-load.d/" + name, "tcp_bbr\n")
    assert loads(system) == {}


def test_the_first_file_in_order_of_names_is_the_place() -> None:
    system = FakeSystem()
    system.put("/etc/modules-load.d/b.conf", "tcp_bbr\n")
    system.put("/usr/lib/modules-load.d/a.conf", "x\ntcp_bbr\n")
    assert loads(system) == {"tcp_bbr": "/usr/lib/modules-load.d/a.conf:2"}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("modules_load=tcp_bbr,sch-fq quiet", {"tcp_bbr", "sch_fq"}),
        ("BOOT_IMAGE=/vmlinuz modules-load=tcp_bbr", {"tcp_bbr"}),
        ("quiet rd.modules_load=tcp_bbr modules_load=sch_fq", {"tcp_bbr", "sch_fq"}),
        ("xmodules_load=tcp_bbr", set()),
        ("x=modules_load=tcp_bbr", set()),
        ("modules_load= tcp_bbr", set()),
        ("", set()),
    ],
)
def test_modules_of_the_kernels_command_line(line: str, found: "set[str]") -> None:
    system = FakeSystem()
    system.put("/proc/cmdline", line + "\n")
    assert loads(system) == dict.fromkeys(found, "/proc/cmdline:1")


def test_a_file_is_named_rather_than_the_command_line() -> None:
    system = FakeSystem()
    system.put("/proc/cmdline", "modules_load=tcp_bbr\n")
    system.put("/etc/modules-load.d/a.conf", "tcp_bbr\n")
    assert loads(system) == {"tcp_bbr": "/etc/modules-load.d/a.conf:1"}
