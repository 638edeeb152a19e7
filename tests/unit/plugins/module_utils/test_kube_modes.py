# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calendar of kube-proxy's modes: its integrity as a table, and what it answers by version."""

from __future__ import annotations

from typing import Dict

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_modes import (
    ALLOWED,
    CALENDAR,
    DEPRECATED,
    IPTABLES,
    IPVS,
    LATER,
    MODES,
    NFTABLES,
    REFUSED,
    RKE2,
    standing_of,
    version_of,
)

IPVS_ON = {"KubeProxyIPVS": True}


def test_the_calendar_has_every_mode_in_order_with_its_source() -> None:
    assert set(CALENDAR) == set(MODES)
    for eras in CALENDAR.values():
        assert [era.since for era in eras] == sorted({era.since for era in eras})
        assert all(era.reason and era.source and era.standing in (ALLOWED, DEPRECATED, REFUSED) for era in eras)
    assert all(first == tuple(sorted(first)) for first in LATER.values())


@pytest.mark.parametrize(
    ("mode", "minor", "gates", "standing", "deadline"),
    [
        (IPTABLES, 18, {}, ALLOWED, ""),
        (IPTABLES, 50, {}, ALLOWED, ""),
        (IPVS, 8, {}, REFUSED, ""),
        (IPVS, 20, {}, ALLOWED, ""),
        (IPVS, 34, {}, ALLOWED, ""),
        (IPVS, 35, {}, DEPRECATED, "1.40"),
        (IPVS, 36, {}, DEPRECATED, "1.40"),
        (IPVS, 35, IPVS_ON, DEPRECATED, "1.43"),
        (IPVS, 37, {}, DEPRECATED, "1.40"),
        (IPVS, 37, {"KubeProxyIPVS": False}, REFUSED, ""),
        (IPVS, 39, {}, DEPRECATED, "1.40"),
        (IPVS, 40, {}, REFUSED, ""),
        (IPVS, 40, IPVS_ON, DEPRECATED, "1.43"),
        (IPVS, 42, IPVS_ON, DEPRECATED, "1.43"),
        (IPVS, 43, IPVS_ON, REFUSED, ""),
        (IPVS, 60, IPVS_ON, REFUSED, ""),
        (NFTABLES, 28, {}, REFUSED, ""),
        (NFTABLES, 29, {}, REFUSED, ""),
        (NFTABLES, 30, {"NFTablesProxyMode": True}, ALLOWED, ""),
        (NFTABLES, 31, {}, ALLOWED, ""),
        (NFTABLES, 32, {"NFTablesProxyMode": False}, REFUSED, ""),
        (NFTABLES, 33, {}, ALLOWED, ""),
        # Locked since it is stable.
        (NFTABLES, 34, {"NFTablesProxyMode": False}, ALLOWED, ""),
    ],
)
def test_what_a_version_does_with_a_mode(
    mode: str, minor: int, gates: Dict[str, bool], standing: str, deadline: str
) -> None:
    found = standing_of(mode, (1, minor, 0), gates)
    assert (found.standing, found.deadline) == (standing, deadline)
    assert found.refused is (standing == REFUSED)


def test_a_standing_says_why_and_until_when() -> None:
    found = standing_of(IPVS, (1, 36, 4))
    assert str(found) == (
        "ipvs: deprecated since Kubernetes 1.35, nftables is its successor; refused from Kubernetes 1.40 on"
    )
    assert (found.source, found.since, found.gate) == ("KEP-5495", "1.35", "")
    gated = standing_of(IPVS, (1, 41, 0))
    assert gated.gate == "KubeProxyIPVS"
    assert gated.reason.endswith("the feature gate KubeProxyIPVS is off")


@pytest.mark.parametrize(
    ("version", "standing"),
    [
        ((1, 33, 9), REFUSED),
        ((1, 34, 9), REFUSED),
        ((1, 34, 10), ALLOWED),
        ((1, 35, 0), REFUSED),
        ((1, 35, 7), ALLOWED),
        ((1, 36, 2), REFUSED),
        ((1, 36, 3), ALLOWED),
        ((1, 37, 0), ALLOWED),
    ],
)
def test_a_distribution_may_take_a_mode_later(version: "tuple[int, int, int]", standing: str) -> None:
    assert standing_of(NFTABLES, version, distribution=RKE2).standing == standing
    assert standing_of(NFTABLES, version).standing == ALLOWED
    assert standing_of(IPTABLES, version, distribution=RKE2).standing == ALLOWED


def test_a_distribution_that_is_early_says_from_when_on() -> None:
    found = standing_of(NFTABLES, (1, 35, 2), distribution=RKE2)
    assert found.reason == "rke2 takes it from 1.34.10, 1.35.7, 1.36.3 on"


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("v1.36.4", (1, 36, 4)),
        ("1.36", (1, 36, 0)),
        ("v1.33.5+k3s1", (1, 33, 5)),
        ("v1.31.2-eks-7f9249a", (1, 31, 2)),
        ("v1.36.0-rc.1", (1, 36, 0)),
        (" v1.34.2\n", (1, 34, 2)),
        ("5.14.0-427.13.1.el9_4.x86_64", (5, 14, 0)),
        ("6.13-rc1", (6, 13, 0)),
        ("6.1.0-28-amd64", (6, 1, 0)),
    ],
)
def test_versions_are_read_in_every_spelling(text: str, version: "tuple[int, int, int]") -> None:
    assert version_of(text, "kubernetes_version") == version


@pytest.mark.parametrize("text", ["", "latest", "v1", "1.x", "-1.36", "1.36.4 or so", "1." + "9" * 9])
def test_what_is_no_version_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(InputError, match=r"kubernetes_version: .* is not a version"):
        version_of(text, "kubernetes_version")


def test_nothing_is_claimed_of_another_major_version() -> None:
    with pytest.raises(ValueError, match="nothing is known of Kubernetes 2"):
        standing_of(IPVS, (2, 0, 0))
