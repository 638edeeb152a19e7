# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel, TunnelPeer
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_verdict import dead, not_kept, silent

EAST, WEST = TunnelPeer("E", "east", handshake=20), TunnelPeer("W", "west", handshake=100)
BEFORE = {"wg-wan": Tunnel("wg-wan", peers=(EAST, WEST))}
WANT = [Tunnel("wg-wan", peers=(replace(EAST, keepalive=5), WEST))]


@pytest.mark.parametrize(
    ("answered", "expected"),
    [
        ({"wg-wan": ["E", "W"]}, []),
        ({"wg-wan": ["E"]}, ["west"]),
        ({"wg-wan": []}, ["east", "west"]),
        ({}, ["east", "west"]),
    ],
)
def test_what_answered_before_is_to_answer_now(answered: dict[str, list[str]], expected: list[str]) -> None:
    assert dead(BEFORE, WANT, answered) == expected


@pytest.mark.parametrize("handshake", [-1, 180, 4000])
def test_one_that_was_out_of_touch_before_is_no_loss(handshake: int) -> None:
    before = {"wg-wan": Tunnel("wg-wan", peers=(EAST, replace(WEST, handshake=handshake)))}
    assert dead(before, WANT, {"wg-wan": ["E"]}) == []


def test_nor_is_one_that_is_no_longer_wanted_or_new() -> None:
    assert dead(BEFORE, [Tunnel("wg-wan", peers=(EAST, TunnelPeer("N", "new")))], {"wg-wan": ["E"]}) == []
    assert dead({}, WANT, {}) == []


def test_a_peer_with_another_key_is_the_same_peer() -> None:
    want = [Tunnel("wg-wan", peers=(EAST, replace(WEST, public_key="W2", former="W")))]
    assert dead(BEFORE, want, {"wg-wan": ["E", "W"]}) == ["west"]
    assert dead(BEFORE, want, {"wg-wan": ["E", "W2"]}) == []


def test_both_ends_of_a_link_that_died_take_it_back_and_whoever_depends_on_them() -> None:
    links = {"gw": ["east", "west"], "east": ["gw", "west"], "west": ["gw", "east"], "far": ["elsewhere"]}
    assert not_kept({"gw": silent(["west"]), "east": silent([]), "far": ""}, links) == {
        "gw": "west answered before the change, and not since",
        "west": "the link to gw is taken back there",
        "east": "the link to gw is taken back there",
    }


def test_a_host_that_was_not_changed_has_nothing_to_take_back() -> None:
    assert not_kept({"gw": "why"}, {"gw": ["west"]}) == {"gw": "why"}
    assert not_kept({"gw": "why"}, {}) == {}
    assert not_kept({}, {"gw": ["west"]}) == {}
