# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Integrity of the data: the catalogue of keys, and the values that profiles and workloads choose from it."""

from __future__ import annotations

import fnmatch
import re

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._catalogue import (
    INT_MAX,
    KEYS,
    LONG_MAX,
    NEW_LISTENERS,
    NEW_SOCKETS,
    NOW,
    ORDERED_KEYS,
    REFUSED,
    UINT_MAX,
    Key,
    Refused,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._catalogue_index import INDEX, check_order, check_value
from ansible_collections.netfleet.tcp.plugins.module_utils._profiles import (
    BASE,
    FAST_OPEN,
    PROFILES,
    WORKLOADS,
    Setting,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._qdisc import KINDS
from ansible_collections.netfleet.tcp.plugins.module_utils._values import SECRET_KEYS, key_name

NAMES = [key.name for key in KEYS]
LAYERS = {
    "base": BASE,
    **{"profile " + name: profile.settings for name, profile in PROFILES.items()},
    **{"workload " + name: workload.settings for name, workload in WORKLOADS.items()},
}
SETTINGS = [pytest.param(each, id="%s: %s" % (layer, each.key)) for layer, all_ in LAYERS.items() for each in all_]


def test_no_key_stands_twice() -> None:
    assert sorted(set(NAMES)) == sorted(NAMES)


@pytest.mark.parametrize("key", KEYS, ids=NAMES)
def test_a_key_is_described(key: Key) -> None:
    assert re.match(r"(net|fs)(\.[a-z0-9_-]+)+\Z", key.name)
    assert key_name(key.name) == key.name
    assert key.what
    assert not key.what.endswith(".")
    assert key.unit
    assert key.source.startswith("Linux Documentation/")
    assert key.scope in ("netns", "host")
    assert key.takes_effect in (NOW, NEW_SOCKETS, NEW_LISTENERS)


@pytest.mark.parametrize("key", KEYS, ids=NAMES)
def test_a_key_has_a_sane_range(key: Key) -> None:
    assert key.kind in ("int", "word", "ports", "secret")
    assert 0 <= key.low < key.high
    assert key.high in (INT_MAX, UINT_MAX, LONG_MAX) or key.high <= 1 << 20
    assert 1 <= key.fields <= 3
    # Only numbers have an order, fields, and something below which they must not fall.
    assert key.kind == "int" or not (key.raise_only or key.ascending or key.fields > 1)
    assert not key.ascending or key.fields > 1
    assert (key.unit == "switch") == ((key.kind, key.low, key.high) == ("int", 0, 1))
    assert (key.kind == "secret") == (key.name in SECRET_KEYS)


def test_ordered_groups_are_of_single_numbers() -> None:
    for group in ORDERED_KEYS:
        assert len(group) > 1
        assert all(INDEX[name].kind == "int" and INDEX[name].fields == 1 for name in group)


@pytest.mark.parametrize("refused", REFUSED, ids=[refused.pattern for refused in REFUSED])
def test_what_is_refused_hides_no_key_and_says_why(refused: Refused) -> None:
    assert not [name for name in NAMES if fnmatch.fnmatchcase(name, refused.pattern)]
    assert refused.why
    assert refused.instead


def test_no_refused_pattern_is_shadowed_by_an_earlier_one() -> None:
    for position, refused in enumerate(REFUSED):
        probe = refused.pattern.replace("ipv*", "ipv4").replace("*", "x")
        assert not [each.pattern for each in REFUSED[:position] if fnmatch.fnmatchcase(probe, each.pattern)]


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_setting_is_valid_and_says_why(setting: Setting) -> None:
    assert setting.key in INDEX
    assert check_value(setting.key, setting.value, "x") == (setting.value, [])
    assert setting.reason
    assert "\n" not in setting.reason
    assert setting.source


@pytest.mark.parametrize("layer", sorted(LAYERS))
def test_a_layer_names_a_key_once_and_in_order(layer: str) -> None:
    values = {setting.key: setting.value for setting in LAYERS[layer]}
    assert len(values) == len(LAYERS[layer])
    assert check_order(values, "x") == []


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_a_profile_is_complete(name: str) -> None:
    profile = PROFILES[name]
    assert profile.description
    assert 1e6 <= profile.bandwidth <= 1e12
    assert 0 < profile.rtt <= 1
    assert profile.fast_open in FAST_OPEN
    assert profile.qdisc in ("", *KINDS)
    # A kernel without the wanted algorithm still gets one.
    assert profile.congestion_control[-1] == "cubic"


@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_a_workload_is_complete(name: str) -> None:
    workload = WORKLOADS[name]
    assert workload.description
    assert workload.settings
    assert name not in workload.includes
    for included in workload.includes:
        assert not WORKLOADS[included].includes, "includes are resolved one level deep"
    wide = [each for each in workload.settings if each.key == "net.ipv4.ip_local_port_range"]
    assert bool(wide) == workload.wide_ports


def test_the_profiles_and_workloads_that_are_promised_exist() -> None:
    assert set(PROFILES) == {"local", "cloud", "wan", "edge"}
    assert set(WORKLOADS) == {
        *("ha", "many_connections", "loopback_short", "low_latency"),
        *("realtime_media", "proxy", "kubernetes_node"),
    }


def test_fast_open_modes_are_the_kernels_bits() -> None:
    bits = {name: int(value) for name, (value, _reason) in FAST_OPEN.items()}
    assert bits == {"off": 0, "client": 1, "server": 2, "both": 3, "all_listeners": 3 | 0x400}
    for value, reason in FAST_OPEN.values():
        assert check_value("net.ipv4.tcp_fastopen", value, "x") == (value, [])
        assert reason
