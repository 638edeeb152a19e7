# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.netfleet.tcp.plugins.module_utils._clamp_units import announce
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_files import clamp_paths
from tests.unit.plugins.fake_system import FakeSystem

PATHS = clamp_paths("wg-wan")


def announced(system: FakeSystem, *paths: str) -> list[str]:
    with system.lock(1):
        return announce(system, paths)


def test_systemd_is_told_of_what_nftables_has_to_do() -> None:
    system = FakeSystem()
    assert announced(system, *PATHS) == []
    assert system.reloads == 1


def test_for_other_files_systemd_is_not_asked_to_read_its_units() -> None:
    system = FakeSystem()
    assert announced(system, *PATHS[:3], "/etc/systemd/system/90-netfleet-tcp-qdisc.service") == []
    assert system.reloads == 0


def test_where_there_is_no_systemd_there_is_nothing_to_tell() -> None:
    system = FakeSystem()
    del system.files["/run/systemd/system"]
    assert announced(system, *PATHS) == []
    assert system.reloads == 0


def test_that_it_does_not_listen_is_a_warning() -> None:
    system = FakeSystem()
    system.reload_fails = True
    (warning,) = announced(system, *PATHS)
    assert warning.startswith("systemctl daemon-reload: exit status 1; until the next boot, a restart of nftables")
