# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of kube-proxy's settings, what their values may be, and which of two values mean the same."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_settings import (
    BY_FLAG,
    SETTINGS,
    changes,
    checked,
    nanoseconds,
    same,
)

SECOND = 10**9


def test_fields_and_flags_are_unique() -> None:
    assert len(BY_FLAG) == len([setting for setting in SETTINGS.values() if setting.flag])
    assert all(not flag.startswith("-") for flag in BY_FLAG)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("0", 0),
        ("0s", 0),
        ("15m0s", 900 * SECOND),
        ("900s", 900 * SECOND),
        ("1h0m0s", 3600 * SECOND),
        ("1.5h", 5400 * SECOND),
        (".5s", SECOND // 2),
        ("1h30m", 5400 * SECOND),
        ("300ms", 3 * SECOND // 10),
        ("5us", 5000),
        ("7ns", 7),
    ],
)
def test_durations_are_read_as_go_reads_them(text: str, length: int) -> None:
    assert nanoseconds(text) == length


@pytest.mark.parametrize("text", ["", "900", "15 m", "-5s", "s", "1d", "1m 0s", "5sx", "1h,5m", "9" * 18 + "h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        nanoseconds(text)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("mode", "userspace", "'userspace' is not one of iptables, ipvs, nftables"),
        ("mode", True, "True is not a text"),
        ("ipvs.scheduler", "best", "'best' is not one of rr, wrr"),
        ("ipvs.strictARP", "yes", "'yes' is not true or false"),
        ("ipvs.tcpTimeout", 900, "900 is not a duration, such as 15m0s"),
        ("ipvs.excludeCIDRs", "10.0.0.0/8", "is not a list of networks"),
        ("ipvs.excludeCIDRs", ["10.0.0.1"], "is not a list of networks"),
        ("ipvs.excludeCIDRs", ["10.0.0.0/33"], "is not a list of networks"),
        ("ipvs.excludeCIDRs", [10], "is not a list of networks"),
        ("conntrack.min", -1, "-1 is not a number from 0"),
        ("conntrack.min", True, "True is not a number from 0"),
        ("conntrack.maxPerCore", 2**31, "is not a number from 0"),
        ("featureGates", {"KubeProxyIPVS": "on"}, "is not feature gates with true or false"),
        ("ipvs.colour", "red", "is not a setting that is known here"),
    ],
)
def test_a_wrong_value_is_named_with_its_place_and_field(field: str, value: Any, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        checked({field: value}, "kube_proxy_settings")
    assert str(caught.value).startswith("kube_proxy_settings: %s: " % field)
    assert expected in str(caught.value)


def test_all_wrong_values_are_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        checked({"mode": 1, "conntrack.min": "x", "ipvs.strictARP": True}, "x")
    assert len(caught.value.problems) == 2


def test_right_values_pass() -> None:
    given = {"mode": "ipvs", "ipvs.scheduler": "", "ipvs.excludeCIDRs": ["10.0.0.1/8", "fd00::/8"], "conntrack.min": 0}
    assert checked(given, "x") == {**given, "ipvs.excludeCIDRs": ("10.0.0.1/8", "fd00::/8")}


def test_values_are_compared_by_their_meaning() -> None:
    assert same("ipvs.tcpTimeout", "15m0s", "900s")
    assert not same("ipvs.tcpTimeout", "15m", "900ms")
    assert not same("ipvs.strictARP", None, False)
    assert same("featureGates", {"A": True, "B": False}, {"B": False})
    assert not same("featureGates", {"A": True}, {"A": False})


@pytest.mark.parametrize(
    ("field", "empty"), [("ipvs.scheduler", ""), ("ipvs.excludeCIDRs", ()), ("featureGates", {}), ("mode", "")]
)
def test_what_is_empty_is_not_set(field: str, empty: Any) -> None:
    """As a configuration that kubeadm writes has all fields, and one by hand those that somebody needed."""
    assert same(field, None, empty)
    assert same(field, empty, None)
    assert changes({}, {field: empty}) == {}


@pytest.mark.parametrize(
    ("field", "value"), [("conntrack.min", 0), ("ipvs.strictARP", False), ("ipvs.tcpTimeout", "0s")]
)
def test_what_is_zero_is_set(field: str, value: Any) -> None:
    """kube-proxy's own choice may be another."""
    assert changes({}, {field: value}) == {field: value}


def test_only_what_differs_is_changed_and_gates_of_others_stay() -> None:
    have = {"mode": "iptables", "ipvs.tcpTimeout": "900s", "featureGates": {"A": True}}
    want = {"mode": "ipvs", "ipvs.tcpTimeout": "15m0s", "featureGates": {"KubeProxyIPVS": True}}
    assert changes(have, want) == {"mode": "ipvs", "featureGates": {"A": True, "KubeProxyIPVS": True}}
    assert changes(want, want) == {}
