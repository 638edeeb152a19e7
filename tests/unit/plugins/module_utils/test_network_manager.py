# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""NetworkManager: connections that bring a qdisc, scripts that set keys."""

from __future__ import annotations

from typing import Dict, Optional, Tuple

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._model import ANY_INTERFACE, Assignment
from ansible_collections.netfleet.tcp.plugins.module_utils._network_manager import (
    NETWORK_MANAGER,
    connection_qdiscs,
    network_manager_owner,
    script_lines,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._owners import owners
from tests.unit.plugins.fake_system import FakeSystem
from tests.unit.plugins.other_services import run_unit

FIN = "net.ipv4.tcp_fin_timeout"
CC = "net.ipv4.tcp_congestion_control"
KEYS = (FIN, CC)
PROFILE = "/etc/NetworkManager/system-connections/uplink.nmconnection"
SCRIPT = "/etc/NetworkManager/dispatcher.d/50-tcp"
CONNECTION = "[connection]\nid=uplink\ninterface-name=eth0\n\n"


def places(lines: Dict[str, Assignment]) -> Dict[str, Tuple[Optional[str], int]]:
    return {name: (line.value, line.line) for name, line in lines.items()}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (CONNECTION + "[tc]\nqdisc.root=fq_codel\n", {"eth0": ("fq_codel", 6)}),
        (CONNECTION + "[tc]\nqdisc.root=sfq perturb 10\ntfilter.x=y\n", {"eth0": ("sfq", 6)}),
        ("[tc]\nqdisc.root = pfifo_fast\n" + CONNECTION, {"eth0": ("pfifo_fast", 2)}),
        # An empty section takes away what stands there.
        (CONNECTION + "[tc]\n", {"eth0": (None, 5)}),
        (CONNECTION + "[tc]\nqdisc.ffff:fff1=ingress\n", {"eth0": (None, 5)}),
        ("[connection]\nid=any\n[tc]\nqdisc.root=fq\n", {ANY_INTERFACE: ("fq", 4)}),
        (CONNECTION + "[tc]\nqdisc.root=handle 1234: fq\n", {"eth0": ("fq", 6)}),
        ("[connection]\ntype=ethernet\n[tc]\nqdisc.root=fq\n", {ANY_INTERFACE: ("fq", 4)}),
        ("[connection]\ntype=wifi\n[tc]\nqdisc.root=fq\n", {}),
        ("[connection]\ntype=wifi\ninterface-name=wlan0\n[tc]\nqdisc.root=fq\n", {"wlan0": ("fq", 5)}),
        ("[connection]\nautoconnect=false\n[tc]\nqdisc.root=fq\n", {}),
        (CONNECTION + "[ipv4]\nmethod=auto\n", {}),
        (CONNECTION + "# [tc]\n#qdisc.root=fq\n", {}),
        (CONNECTION + "qdisc.root=fq\n", {}),
        ("", {}),
    ],
)
def test_the_qdisc_of_a_connection(text: str, found: Dict[str, Tuple[Optional[str], int]]) -> None:
    assert places(dict(connection_qdiscs(PROFILE, text))) == found


@pytest.mark.parametrize(
    "line",
    [
        "sysctl -w net.ipv4.tcp_fin_timeout=15",
        'sysctl -q "net.ipv4.tcp_fin_timeout = 15"',
        "sysctl net/ipv4/tcp_fin_timeout=15",
        "echo 15 > /proc/sys/net/ipv4/tcp_fin_timeout",
        "[ x ] && echo 15 >/proc/sys/net/ipv4/tcp_fin_timeout || true",
        "echo 15 | tee /proc/sys/net/ipv4/tcp_fin_timeout",
        "echo 15 > '/proc/sys/net/ipv4/tcp_fin_timeout'",
    ],
)
def test_a_script_that_names_a_key(line: str) -> None:
    sets, qdiscs = script_lines(SCRIPT, "#!/bin/sh\n# %s\n\t%s\n" % (line, line), KEYS)
    assert (places(sets), qdiscs) == ({FIN: (None, 3)}, {})


@pytest.mark.parametrize(
    "line",
    [
        "sysctl net.ipv4.tcp_fin_timeout | logger",
        "cat /proc/sys/net/ipv4/tcp_fin_timeout > /tmp/x",
        "sysctl -w net.ipv4.tcp_fin_timeout2=1",
        "sysctl -w xnet.ipv4.tcp_fin_timeout=1",
        "echo tcp_fin_timeout",
    ],
)
def test_a_script_that_names_none(line: str) -> None:
    assert script_lines(SCRIPT, line + "\n", KEYS) == ({}, {})


@pytest.mark.parametrize(
    ("line", "interface"),
    [
        ("tc qdisc replace dev eth0 root fq_codel", "eth0"),
        ("/sbin/tc -force qdisc add root dev 'wg0.1' sfq", "wg0.1"),
        ('tc qdisc replace dev "$1" root fq', ANY_INTERFACE),
        ("tc qdisc replace root fq", ANY_INTERFACE),
        ("tc qdisc del dev eth0 root", None),
        ("tc qdisc add dev eth0 ingress", None),
        ("tc qdisc replace dev eth0 parent 1:1 fq", None),
        ("tc qdisc show dev eth0", None),
        ("tc filter add dev eth0 parent 1:", None),
    ],
)
def test_a_script_that_replaces_a_qdisc(line: str, interface: Optional[str]) -> None:
    _sets, qdiscs = script_lines(SCRIPT, "#!/bin/sh\n%s\n" % line, KEYS)
    assert places(qdiscs) == ({interface: (None, 2)} if interface else {})


def test_it_is_an_owner_only_while_it_runs_and_has_to_do_with_either() -> None:
    system = FakeSystem()
    system.put(PROFILE, CONNECTION + "[tc]\nqdisc.root=fq_codel\n", 0o600)
    system.put(SCRIPT, "sysctl -w %s=reno\n" % CC, 0o755)
    assert owners(system, KEYS) == ()
    run_unit(system, "NetworkManager")
    (owner,) = owners(system, KEYS)
    assert (owner.name, owner.reapplies) == (NETWORK_MANAGER, False)
    assert (places(owner.sets), places(owner.qdiscs)) == ({CC: (None, 1)}, {"eth0": ("fq_codel", 6)})
    assert network_manager_owner(system, [FIN])[0].sets == {}
    del system.files[PROFILE]
    assert network_manager_owner(system, [FIN]) == []


@pytest.mark.parametrize("folder", ["", "/pre-up.d", "/no-wait.d"])
@pytest.mark.parametrize("place", ["/etc", "/usr/lib"])
def test_the_folders_of_scripts(place: str, folder: str) -> None:
    system = FakeSystem()
    path = "%s/NetworkManager/dispatcher.d%s/50-x" % (place, folder)
    system.put(path, "sysctl -w %s=reno\n" % CC, 0o755)
    assert network_manager_owner(system, KEYS)[0].sets[CC].place == path + ":1"


def test_what_is_passed_over() -> None:
    system = FakeSystem()
    text, connection = "sysctl -w %s=reno\n" % CC, CONNECTION + "[tc]\nqdisc.root=sfq\n"
    system.put(SCRIPT, text, 0o644)
    system.put(SCRIPT + "~", text, 0o755)
    system.put("/etc/NetworkManager/dispatcher.d/.50-x.swp", text, 0o755)
    system.put(PROFILE.replace("uplink", ".uplink") + ".swp", connection, 0o600)
    system.put(PROFILE + ".bak", connection, 0o600)
    system.put("/usr/lib/NetworkManager/dispatcher.d/60-vendor", text, 0o755)
    system.put("/etc/NetworkManager/dispatcher.d/60-vendor", kind="symlink", target="/dev/null")
    assert network_manager_owner(system, KEYS) == []


def test_of_two_lines_the_first_is_named() -> None:
    system = FakeSystem()
    for number in (1, 2):
        system.put("%s-%d" % (SCRIPT, number), "sysctl -w %s=reno\ntc qdisc replace dev eth0 root fq\n" % CC, 0o755)
    (owner,) = network_manager_owner(system, KEYS)
    assert [line.file for line in (*owner.sets.values(), *owner.qdiscs.values())] == [SCRIPT + "-1"] * 2
