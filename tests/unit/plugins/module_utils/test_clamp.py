# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netfleet.tcp.plugins.module_utils._clamp import clamp_script, parse_clamps
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import CHANGED
from tests.unit.plugins.fake_wireguard import ruleset

NAME = "wg-a.b"
# As nft 1.0.6 printed them on Debian 12, of the script below.
FLAGS = {"match": {"op": "in", "left": {"payload": {"protocol": "tcp", "field": "flags"}}, "right": "syn"}}
PLACE = {"family": "inet", "table": "netfleet-wg-a.b"}


def entries() -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = json.loads(ruleset([clamp_script(NAME, 1408)]))["nftables"]
    return shown


def clamps(shown: list[dict[str, Any]]) -> dict[str, int]:
    return parse_clamps(json.dumps({"nftables": shown}))


def test_the_table_is_put_in_place_as_a_whole_whatever_stands_there() -> None:
    lines = clamp_script(NAME, 1408).splitlines()
    assert lines[:3] == [
        "table inet netfleet-wg-a.b",
        "delete table inet netfleet-wg-a.b",
        "table inet netfleet-wg-a.b {",
    ]
    rules = [line.strip() for line in lines if "maxseg" in line]
    assert rules[:4] == [
        'iifname "wg-a.b" meta nfproto ipv4 tcp flags syn tcp option maxseg size set 1368',
        'iifname "wg-a.b" meta nfproto ipv6 tcp flags syn tcp option maxseg size set 1348',
        'oifname "wg-a.b" meta nfproto ipv4 tcp flags syn tcp option maxseg size set 1368',
        'oifname "wg-a.b" meta nfproto ipv6 tcp flags syn tcp option maxseg size set 1348',
    ]
    # What comes in to the host itself is not passed on: its own route says what fits.
    assert rules[4:] == rules[2:4]
    assert clamp_script(NAME, 0).splitlines() == lines[:2]


@given(st.dictionaries(st.sampled_from(["wg-wan", "wg-wan-1", "wg.x"]), st.integers(576, 65535)))
def test_what_nft_shows_of_a_table_says_what_it_is_for(mtus: dict[str, int]) -> None:
    assert parse_clamps(ruleset(clamp_script(name, mtu) for name, mtu in mtus.items())) == mtus


def test_tables_of_others_are_not_looked_at() -> None:
    others: list[dict[str, Any]] = [
        {"table": {"family": "inet", "name": "filter"}},
        {"rule": {"table": "filter", "chain": "x", "expr": []}},
    ]
    assert clamps(others) == {}
    assert clamps([*others, *entries()]) == {NAME: 1408}
    assert parse_clamps("") == {}


def test_the_flags_may_be_written_in_other_words() -> None:
    shown = entries()
    other = {"&": [FLAGS["match"]["left"], "syn"]}
    for entry in shown:
        if "rule" in entry:
            assert entry["rule"]["expr"][2] == FLAGS
            entry["rule"]["expr"][2] = {"match": {"op": "!=", "left": other, "right": 0}}
    assert clamps(shown) == {NAME: 1408}


def rule(shown: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = next(entry["rule"] for entry in shown if "rule" in entry)
    return found


@pytest.mark.parametrize(
    "spoil",
    [
        lambda shown: shown.remove({"rule": rule(shown)}),
        lambda shown: shown.append({"rule": {**PLACE, "chain": "output", "expr": [{"counter": None}]}}),
        lambda shown: shown.append({"rule": {**PLACE, "chain": "output", "expr": [{"drop": None}]}}),
        lambda shown: shown.append({"rule": dict(rule(shown))}),
        lambda shown: shown.append({"chain": {**PLACE, "name": "mine"}}),
        lambda shown: shown[1]["table"].update(flags="dormant"),
        lambda shown: shown[2]["chain"].update(policy="drop"),
        lambda shown: shown[2]["chain"].update(prio=0),
        lambda shown: rule(shown)["expr"][0]["match"].update(right="eth0"),
        lambda shown: rule(shown)["expr"][0]["match"].update(op="!="),
        lambda shown: rule(shown)["expr"][2]["match"].update(right=["syn", "rst"]),
        lambda shown: rule(shown)["expr"][3]["mangle"].update(value=1400),
        lambda shown: rule(shown)["expr"][3]["mangle"].update(value={"rt": {"key": "mtu"}}),
        lambda shown: rule(shown).pop("expr"),
        lambda shown: shown.__delitem__(slice(2, None)),
    ],
)
def test_a_table_that_somebody_has_changed_is_known(spoil: Callable[[list[dict[str, Any]]], object]) -> None:
    shown = entries()
    spoil(shown)
    assert clamps(shown) == {NAME: CHANGED}


def test_what_is_not_json_is_said() -> None:
    with pytest.raises(HostError, match="nft -j -t list ruleset inet: its output is not JSON"):
        parse_clamps("JSON support not compiled-in")
