# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""After `tcp_tuning_state: absent` a host is what it was before the first run."""

from __future__ import annotations

from tests.molecule.hosts import Target

# A module that a socket may use stays loaded until the next boot, and these keys list it.
# What was done stays on record, from which the removal itself can be rolled back.
HISTORY = "/var/lib/netfleet-tcp/history/"
LISTS_OF_MODULES = {"net.ipv4.tcp_available_congestion_control", "net.ipv4.tcp_allowed_congestion_control"}


def test_every_key_is_as_before(each: Target) -> None:
    changed = {key: pair for key, pair in each.changed_keys().items() if key not in LISTS_OF_MODULES}
    assert changed == {}


def test_every_file_is_as_before(each: Target) -> None:
    assert each.before.files, "nothing was recorded to compare with"
    assert {path for path in each.changed_files() if not path.startswith(HISTORY)} == set()


def test_every_interface_queues_as_before(each: Target) -> None:
    assert "eth0" in each.before.qdiscs
    assert each.now.qdiscs == each.before.qdiscs


def test_new_connections_are_as_before(each: Target) -> None:
    assert each.now.new_socket == each.before.new_socket


def test_no_unit_failed(each: Target) -> None:
    assert each.now.failed_units == []
