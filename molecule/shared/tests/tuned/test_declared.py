# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds on every tuned host, in a container and on a kernel of its own. The numbers are the profiles' promises."""

from __future__ import annotations

import itertools

from tests.molecule.hosts import Target

MIB = 1 << 20
MEMORY_SHARE = 0.05
BASE = {
    "net.ipv4.tcp_mtu_probing": "1",
    "net.ipv4.tcp_slow_start_after_idle": "0",
    "net.ipv4.tcp_notsent_lowat": "131072",
    "net.ipv4.tcp_window_scaling": "1",
    "net.ipv4.tcp_sack": "1",
    "net.ipv4.tcp_timestamps": "1",
    "net.ipv4.tcp_syncookies": "1",
}
KEEPALIVE = {
    "net.ipv4.tcp_keepalive_time": "120",
    "net.ipv4.tcp_keepalive_intvl": "30",
    "net.ipv4.tcp_keepalive_probes": "3",
}
OWN_NAME = "netfleet-tcp"  # in the path of every file that is ours
# Not settings: they say what modules there are, and loading one adds to them.
CONSEQUENCES = {"net.ipv4.tcp_available_congestion_control", "net.ipv4.tcp_allowed_congestion_control"}


def test_base(each: Target) -> None:
    assert {key: each.now.key(key) for key in BASE} == BASE


def test_these_hosts_did_not_run_so_by_themselves(each: Target) -> None:
    different = {key for key in BASE if each.before.key(key) != BASE[key]}
    assert {"net.ipv4.tcp_mtu_probing", "net.ipv4.tcp_slow_start_after_idle"} <= different


def test_cloud_keeps_idle_connections_alive(cloud: Target) -> None:
    assert {key: cloud.now.key(key) for key in KEEPALIVE} == KEEPALIVE


def test_local_leaves_keepalive_alone(local: Target) -> None:
    assert {key: local.now.key(key) for key in KEEPALIVE} == {key: local.before.key(key) for key in KEEPALIVE}


def test_local_buffers_fit_its_path(local: Target) -> None:
    check_buffers(local, 16 * MIB)


def test_cloud_buffers_fit_its_path(cloud: Target) -> None:
    check_buffers(cloud, 64 * MIB)


def check_buffers(host: Target, need: int) -> None:
    """The maximum is what the path needs, within the memory's share, and never below what the kernel had."""
    limit = 1 << (int(host.now.memory * MEMORY_SHARE).bit_length() - 1)
    for key in ("net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"):
        before = [int(number) for number in host.before.key(key).split()]
        now = [int(number) for number in host.now.key(key).split()]
        assert now == [before[0], before[1], max(before[2], min(need, limit))], key


def test_the_file_says_what_runs_and_why(each: Target) -> None:
    declared = each.now.declared
    assert set(BASE) <= set(declared)
    assert {key: normal(each.now.key(key)) for key in declared} == {key: normal(declared[key]) for key in declared}
    pairs = itertools.pairwise(each.now.own_file.splitlines())
    assert [line for above, line in pairs if line and line[0] != "#" and above[:2] != "# "] == []


def normal(value: str) -> list[str]:
    """A value field by field, since white space is free."""
    return value.split()


def test_no_other_key_changed(each: Target) -> None:
    changed = set(each.changed_keys()) - CONSEQUENCES
    assert changed, "nothing was changed at all"
    assert changed <= set(each.now.declared)


def test_no_file_but_ours_changed(each: Target) -> None:
    changed = each.changed_files()
    assert "/etc/sysctl.d/90-netfleet-tcp.conf" in changed
    assert {path for path in changed if OWN_NAME not in path or path in each.before.files} == set()


def test_no_unit_failed(each: Target) -> None:
    assert each.now.failed_units == []
