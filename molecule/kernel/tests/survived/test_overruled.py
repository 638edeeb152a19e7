# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""After the reboot, with the files of others still in place: what tests/drift mended holds, says the kernel itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from testinfra.host import Host as Connection

from tests.molecule.drifted import (
    AFTER_IDLE,
    DEAD,
    INTERVAL,
    KEEPALIVE,
    OVERRULING_FILE,
    PROBING,
    SYSCTL_CONF,
    UNDO,
    UNSENT,
    VENDOR_FILE,
)
from tests.molecule.hosts import Seen, on_each
from tests.molecule.playbook import run_drift

ALL = ["cloud1", "cloud2", "local1", "local2"]
# A host answers before the last of its units has started.
BOOT = "systemctl is-system-running --wait >&2; cat /proc/sys/kernel/random/boot_id"
LOOK = {
    "local1": f"sysctl -n {PROBING} {UNSENT}",
    "local2": f"test -s {VENDOR_FILE} && sysctl -n {AFTER_IDLE}",
    "cloud1": f"test -s {SYSCTL_CONF} && sysctl -n {KEEPALIVE} && tc qdisc show dev eth1 && lsmod",
    "cloud2": f"test -s {SYSCTL_CONF} && sysctl -n {INTERVAL}",
}
# What systemd makes of sysctl.d without our file that overrules the others, and then with it.
APPLY = "/usr/lib/systemd/systemd-sysctl --prefix=/net/ipv4 2>&1; sysctl -n {key}; "
COMPARE = "mv {file} /run/; " + APPLY + "mv /run/{name} {file}; echo with; " + APPLY


@pytest.fixture(scope="module")
def rebooted(connections: dict[str, Connection], recorded: dict[str, Seen]) -> Iterator[dict[str, str]]:
    """What runs on each host."""
    boots = on_each(dict.fromkeys(ALL, BOOT), connections)
    assert [name for name in ALL if boots[name] == recorded[name].boot] == []
    yield on_each(LOOK, connections)
    on_each(UNDO, connections)


def test_the_mended_values_run(rebooted: dict[str, str]) -> None:
    assert rebooted["local1"].split() == ["1", "131072"]
    assert rebooted["local2"].split() == ["0"]
    assert rebooted["cloud1"].split()[0] == "120"
    assert rebooted["cloud2"].split() == ["30"]


def test_so_do_the_module_and_the_qdisc(rebooted: dict[str, str]) -> None:
    lines = [line.split() for line in rebooted["cloud1"].splitlines()]
    assert "tcp_bbr" in {words[0] for words in lines}
    assert [words[1] for words in lines if words[0] == "qdisc" and "root" in words] == ["fq"]


def test_the_fleet_is_in_step(rebooted: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> None:
    del rebooted
    check = run_drift(tmp_path_factory.mktemp("run"))
    assert (check.status, check.hosts) == (0, dict.fromkeys(ALL, "in_step")), check.output
    assert [found for name in ALL for found in check.findings(name)] == []


def test_it_is_our_extra_file_that_wins(rebooted: dict[str, str], connections: dict[str, Connection]) -> None:
    """Without it systemd takes the values of the others, and complains of the dead key."""
    del rebooted
    name = OVERRULING_FILE.rpartition("/")[2]
    keys = {"cloud1": KEEPALIVE, "local2": AFTER_IDLE}
    commands = {host: COMPARE.format(file=OVERRULING_FILE, name=name, key=key) for host, key in keys.items()}
    printed = {host: text.split("with\n") for host, text in on_each(commands, connections).items()}
    assert [part.split()[-1] for part in printed["cloud1"]] == ["7200", "120"]
    assert [part.split()[-1] for part in printed["local2"]] == ["1", "0"]
    dead_name = DEAD.rpartition(".")[2]
    assert [dead_name in part for part in printed["local2"]] == [True, False]
