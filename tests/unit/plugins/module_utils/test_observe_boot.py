# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read of a host to know its next boot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import List, Optional, Tuple

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._observe_boot import (
    BootFiles,
    boot_files,
    boot_reader,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._secrets import Vault, token
from ansible_collections.netfleet.tcp.plugins.module_utils._sysctl_d import NOBODY, PROCPS, SYSTEMD
from tests.unit.plugins.fake_system import FakeSystem
from tests.unit.plugins.other_services import boot_by_procps

FIN = "net.ipv4.tcp_fin_timeout"
RETRIES = "net.ipv4.tcp_retries2"
SECRET = "net.ipv4.tcp_fastopen_key"
SYSCTL_CONF = "/etc/sysctl.conf"
LINK = "/etc/sysctl.d/99-sysctl.conf"
UNIT = "/etc/systemd/system/systemd-sysctl.service"


def files(system: FakeSystem, reader: str = SYSTEMD, names: Sequence[str] = (FIN,)) -> BootFiles:
    return boot_files(system, names, reader, Vault())


def places(found: BootFiles, name: str = FIN) -> List[Tuple[Optional[str], str]]:
    return [(line.value, line.place) for line in found.boot[name]]


def aside(found: BootFiles, name: str = FIN) -> List[Tuple[Optional[str], str]]:
    return [(line.value, line.place) for line in found.aside.get(name, ())]


# Who applies sysctl.d


def test_systemd_applies_them_where_it_runs() -> None:
    assert boot_reader(FakeSystem()) == SYSTEMD


@pytest.mark.parametrize("path", ["/usr/lib/systemd/systemd-sysctl", "/lib/systemd/systemd-sysctl"])
def test_the_program_stands_in_either_place(path: str) -> None:
    system = FakeSystem()
    del system.files["/usr/lib/systemd/systemd-sysctl"]
    assert boot_reader(system) == NOBODY
    system.put(path, "")
    assert boot_reader(system) == SYSTEMD


def test_an_installed_systemd_that_did_not_boot_the_host_applies_nothing() -> None:
    system = FakeSystem()
    del system.files["/run/systemd/system"]
    assert boot_reader(system) == NOBODY


def test_procps_applies_them_without_systemd() -> None:
    system = FakeSystem()
    boot_by_procps(system)
    assert boot_reader(system) == PROCPS


def test_on_a_host_with_both_it_is_systemd() -> None:
    system = FakeSystem()
    system.put("/etc/init.d/procps", "#!/bin/sh\n", 0o755)
    assert boot_reader(system) == SYSTEMD


def test_a_masked_unit_applies_nothing() -> None:
    system = FakeSystem()
    system.put(UNIT, kind="symlink", target="/dev/null")
    assert boot_reader(system) == NOBODY


def test_an_empty_unit_is_masked_too() -> None:
    """As systemd.unit(5) has it."""
    system = FakeSystem()
    system.put(UNIT, "")
    assert boot_reader(system) == NOBODY


@pytest.mark.parametrize("kind", ["file", "symlink"])
def test_a_unit_of_the_administrators_own_still_applies_them(kind: str) -> None:
    system = FakeSystem()
    system.put("/lib/own.service", "[Service]\nExecStart=/lib/systemd/systemd-sysctl\n")
    system.put(UNIT, "[Service]\nExecStart=/lib/systemd/systemd-sysctl\n", kind=kind, target="/lib/own.service")
    assert boot_reader(system) == SYSTEMD


# What the files say


def test_lines_come_in_reading_order_with_their_places() -> None:
    system = FakeSystem()
    system.put("/usr/lib/sysctl.d/50-b.conf", "# x\n%s = 50\n" % FIN)
    system.put("/etc/sysctl.d/10-a.conf", "%s = 10\n%s = 9\n" % (FIN, RETRIES))
    found = files(system, names=(FIN, RETRIES))
    assert places(found) == [("10", "/etc/sysctl.d/10-a.conf:1"), ("50", "/usr/lib/sysctl.d/50-b.conf:2")]
    assert places(found, RETRIES) == [("9", "/etc/sysctl.d/10-a.conf:2")]
    assert (found.aside.get(FIN, ()), found.unread) == ((), {})


def test_only_texts_that_name_a_key_are_kept() -> None:
    system = FakeSystem()
    system.put("/etc/sysctl.d/10-a.conf", FIN + " = 10\n")
    system.put("/etc/sysctl.d/20-b.conf", RETRIES + " = 9\n")
    assert files(system).texts == {"/etc/sysctl.d/10-a.conf": FIN + " = 10\n"}


def test_a_link_is_named_by_what_it_stands_for() -> None:
    system = FakeSystem()
    system.put("/opt/vendor/tcp.conf", FIN + " = 10\n")
    system.put("/etc/sysctl.d/10-a.conf", kind="symlink", target="../../opt/vendor/tcp.conf")
    found = files(system)
    assert places(found) == [("10", "/opt/vendor/tcp.conf:1")]
    assert found.boot[FIN][0].file == "/etc/sysctl.d/10-a.conf"
    assert found.targets["/etc/sysctl.d/10-a.conf"] == "/opt/vendor/tcp.conf"


def test_a_masked_file_hides_the_one_of_the_package_and_says_nothing() -> None:
    system = FakeSystem()
    system.put("/usr/lib/sysctl.d/10-a.conf", FIN + " = 10\n")
    system.put("/etc/sysctl.d/10-a.conf", kind="symlink", target="/dev/null")
    found = files(system)
    assert (places(found), found.unread) == ([], {})


@pytest.mark.parametrize("reader", [SYSTEMD, PROCPS])
def test_what_cannot_be_read_is_said(reader: str) -> None:
    system = FakeSystem()
    system.put("/etc/sysctl.d/10-a.conf", FIN + " = 10\n", 0o600)
    system.unreadable.add("/etc/sysctl.d/10-a.conf")
    found = files(system, reader)
    assert (places(found), found.unread) == ([], {"/etc/sysctl.d/10-a.conf": "permission denied"})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("net.ipv4.*.x = 1\n" * 5000, "it has 5000 patterns, more than are looked at"),
        ("net.ipv4.{%s} = 1\n" % ",".join("abcdefgh" * 8) * 1000, "it has 1000 patterns, more than are looked at"),
        (FIN + " = 1\n" * 30000, "it has 30000 lines, more than are looked at"),
        (FIN + " = 1\n# " + "x" * 10_000_000, ""),
        ("# * ? [\n" * 15000, ""),
        ("net.ipv4.*.x = 1\n" * 600, ""),
    ],
)
def test_a_file_that_would_take_minutes_is_not_looked_at(text: str, why: str) -> None:
    system = FakeSystem()
    system.put("/etc/sysctl.d/50-x.conf", text)
    assert files(system).unread == ({"/etc/sysctl.d/50-x.conf": why} if why else {})


def test_a_folder_that_is_closed_is_said() -> None:
    """What stands in it is not even known by name."""
    system = FakeSystem()
    system.put("/etc/sysctl.d", kind="other")
    system.unreadable.add("/etc/sysctl.d")
    assert files(system).unread == {"/etc/sysctl.d": "permission denied"}


def test_a_file_that_hides_nobodys_is_not_missed() -> None:
    """A link to nothing: the reader passes it over, and so do we."""
    system = FakeSystem()
    system.put("/etc/sysctl.d/10-a.conf", kind="symlink", target="/nowhere")
    assert files(system).unread == {}


def test_a_secret_is_masked() -> None:
    system = FakeSystem()
    system.put("/etc/sysctl.d/10-a.conf", SECRET + " = 1-2-3-4\n")
    system.put(SYSCTL_CONF, SECRET + " = 5-6-7-8\n")
    found = boot_files(system, [SECRET], SYSTEMD, Vault({SECRET: "00000001-00000002-00000003-00000004"}))
    assert [line.value for line in found.boot[SECRET]] == [token(SECRET)]
    assert [line.value for line in found.aside[SECRET]] == ["<another secret %s>" % SECRET]


# /etc/sysctl.conf


def test_sysctl_conf_stands_aside_where_nothing_links_to_it() -> None:
    system = FakeSystem()
    system.put(SYSCTL_CONF, "# mine\n%s = 10\n" % FIN)
    found = files(system)
    assert (places(found), aside(found)) == ([], [("10", SYSCTL_CONF + ":2")])
    assert set(found.texts) == {SYSCTL_CONF}


@pytest.mark.parametrize("target", ["../sysctl.conf", SYSCTL_CONF])
def test_by_a_link_it_is_read_at_boot_once(target: str) -> None:
    system = FakeSystem()
    system.put(SYSCTL_CONF, FIN + " = 10\n")
    system.put(LINK, kind="symlink", target=target)
    found = files(system)
    assert (places(found), aside(found)) == ([("10", SYSCTL_CONF + ":1")], [])
    assert found.boot[FIN][0].file == LINK


def test_for_procps_it_is_the_last_file_of_the_boot() -> None:
    system = FakeSystem()
    system.put(SYSCTL_CONF, FIN + " = 10\n")
    system.put("/etc/sysctl.d/zz.conf", FIN + " = 20\n")
    found = files(system, PROCPS)
    assert (places(found), aside(found)) == ([("20", "/etc/sysctl.d/zz.conf:1"), ("10", SYSCTL_CONF + ":1")], [])


def test_where_nobody_reads_at_boot_it_stands_aside_alone() -> None:
    system = FakeSystem()
    system.put(SYSCTL_CONF, FIN + " = 10\n")
    system.put("/etc/sysctl.d/zz.conf", FIN + " = 20\n")
    found = files(system, NOBODY)
    assert (places(found), aside(found)) == ([], [("10", SYSCTL_CONF + ":1")])


def test_a_sysctl_conf_that_cannot_be_read_matters_only_where_the_boot_reads_it() -> None:
    system = FakeSystem()
    system.put(SYSCTL_CONF, FIN + " = 10\n", 0o600)
    system.unreadable.add(SYSCTL_CONF)
    assert files(system).unread == {}
    assert files(system, PROCPS).unread == {SYSCTL_CONF: "permission denied"}
