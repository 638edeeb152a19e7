# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_ipsec import (
    BESIDE,
    IPSEC,
    MOVED,
    NO_IPSEC,
    ipsec_findings,
    ipsec_rules,
    ipsec_settings,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_topology import InterfaceWanted

WANTED = InterfaceWanted("wg-wan", "wan", 51820, 1408, (), ())
PREFIXES = ["10.30.0.0/16", "10.20.0.0/16", "fd00:20::/48", "10.20.0.0/16"]


def test_without_ipsec_nothing_is_set_but_what_the_ways_need() -> None:
    assert ipsec_settings(WANTED, NO_IPSEC, None) == ()
    assert ipsec_settings(replace(WANTED, loose=True), NO_IPSEC, None) == ("rp_filter=2",)
    assert ipsec_rules(NO_IPSEC, PREFIXES) == ()


def test_beside_what_comes_by_the_link_is_taken_and_what_is_routed_into_it_is_still_caught() -> None:
    assert ipsec_settings(WANTED, BESIDE, None) == ("disable_policy=1", "disable_xfrm=0", "rp_filter=2")
    assert ipsec_rules(BESIDE, PREFIXES) == ()


def test_moved_the_link_carries_what_linux_lets_it() -> None:
    assert ipsec_settings(WANTED, MOVED, None) == ("disable_policy=1", "disable_xfrm=1", "rp_filter=2")
    assert ipsec_rules(MOVED, PREFIXES) == ("10.20.0.0/16", "10.30.0.0/16")
    (finding,) = ipsec_findings(WANTED, MOVED, PREFIXES)
    assert (finding.key, finding.severity) == ("wg-wan", "warning")
    assert finding.reason == "fd00:20::/48 stays with IPsec for as long as that has policies for it"


@pytest.mark.parametrize("ipsec", IPSEC)
def test_prefixes_of_ipv4_alone_need_no_word(ipsec: str) -> None:
    assert list(ipsec_findings(WANTED, ipsec, ["10.20.0.0/16"])) == []
    assert ipsec == MOVED or list(ipsec_findings(WANTED, ipsec, PREFIXES)) == []


def test_once_it_is_over_nothing_of_it_is_left() -> None:
    moved = Tunnel("wg-wan", settings=("disable_policy=1", "disable_xfrm=1", "rp_filter=2"))
    assert ipsec_settings(WANTED, NO_IPSEC, moved) == ("disable_policy=0", "disable_xfrm=0")
    over = replace(moved, settings=("disable_policy=0", "disable_xfrm=0", "rp_filter=2"))
    assert ipsec_settings(WANTED, NO_IPSEC, over) == ()
