# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""On a kernel of its own a host really runs what its profile promises."""

from __future__ import annotations

import pytest

from tests.molecule.hosts import Target

CONGESTION_CONTROL = "net.ipv4.tcp_congestion_control"
CARDS = ("eth0", "eth1")
MIB = 1 << 20


def test_local_runs_htcp(local: Target) -> None:
    assert local.now.key(CONGESTION_CONTROL) == "htcp"
    assert local.now.new_socket == "htcp"
    assert "tcp_htcp" in local.now.modules


def test_cloud_runs_bbr(cloud: Target) -> None:
    assert cloud.now.key(CONGESTION_CONTROL) == "bbr"
    assert cloud.now.new_socket == "bbr"
    assert "tcp_bbr" in cloud.now.modules


def test_no_host_ran_them_by_itself(each: Target) -> None:
    assert each.before.new_socket == "cubic"
    assert not {"tcp_bbr", "tcp_htcp", "sch_fq"} & set(each.before.modules)


@pytest.mark.parametrize("card", CARDS)
def test_cloud_paces_on_every_live_card(cloud: Target, card: str) -> None:
    assert set(cloud.before.qdiscs[card]) != {"fq"}
    assert set(cloud.now.qdiscs[card]) == {"fq"}


def test_cloud_paces_on_cards_to_come(cloud: Target) -> None:
    assert cloud.now.key("net.core.default_qdisc") == "fq"


@pytest.mark.parametrize("card", CARDS)
def test_local_leaves_its_cards_alone(local: Target, card: str) -> None:
    assert local.now.qdiscs[card] == local.before.qdiscs[card]
    assert local.now.key("net.core.default_qdisc") == local.before.key("net.core.default_qdisc")


def test_buffers_stay_within_the_memory_of_a_small_host(each: Target) -> None:
    """16 MiB are 5 % of its memory; the profile cloud would ask for 64."""
    assert each.now.memory < 640 * MIB
    assert each.now.key("net.ipv4.tcp_rmem").split()[2] == str(16 * MIB)
    assert each.now.key("net.core.rmem_max") == str(16 * MIB)
    assert each.now.key("net.core.wmem_max") == str(16 * MIB)
