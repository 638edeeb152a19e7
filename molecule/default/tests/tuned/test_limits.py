# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""In a container: what the machine's kernel allows is set, the rest left alone. What it allows is read, not assumed."""

from __future__ import annotations

from tests.molecule.hosts import Target

PREFERENCES = {"local": ("htcp", "cubic"), "cloud": ("bbr", "cubic")}


def test_congestion_control_local(local: Target) -> None:
    check_congestion_control(local, PREFERENCES["local"])


def test_congestion_control_cloud(cloud: Target) -> None:
    check_congestion_control(cloud, PREFERENCES["cloud"])


def check_congestion_control(host: Target, preferences: tuple[str, ...]) -> None:
    """The first preference that is allowed here; where none is, what the host had, and no word of it in the file."""
    key = "net.ipv4.tcp_congestion_control"
    allowed = host.before.key("net.ipv4.tcp_allowed_congestion_control").split()
    usable = [name for name in preferences if name in allowed]
    expected = usable[0] if usable else host.before.key(key)
    assert host.now.key(key) == expected
    assert host.now.new_socket == expected
    assert (key in host.now.declared) == bool(usable)


def test_the_machine_s_own_settings_are_untouched(each: Target) -> None:
    shared = [key for key in each.before.sysctls if key.startswith("fs.")]
    assert len(shared) > 10
    assert {key: each.now.key(key) for key in shared} == {key: each.before.key(key) for key in shared}


def test_what_cannot_be_set_is_not_promised_at_boot(each: Target) -> None:
    """The file holds no key that a container lacks or may not write: its next start would fail on it."""
    assert each.now.declared
    assert set(each.now.declared) <= set(each.before.writable)


def test_its_virtual_card_queues_as_before(each: Target) -> None:
    assert "eth0" in each.before.qdiscs
    assert each.now.qdiscs == each.before.qdiscs
