# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modes of kube-proxy, and where each version of Kubernetes stands with them: data, and its reading. Pure.

The version that counts is kube-proxy's own on the node, which may lag up to three minor versions behind the API server.
"""

from __future__ import annotations

import re
from typing import Dict, Mapping, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import input_error

IPTABLES, IPVS, NFTABLES = "iptables", "ipvs", "nftables"
MODES = (IPTABLES, IPVS, NFTABLES)

# What a version does with a mode: takes it, takes it with a warning, or ends with an error where it is set.
ALLOWED, DEPRECATED, REFUSED = "allowed", "deprecated", "refused"
# How far the mode itself has come. Only what is stable is chosen without being asked for.
ALPHA, BETA, STABLE, NO_STAGE = "alpha", "beta", "stable", ""

Version = Tuple[int, int, int]
# v1.36.4, 1.36, v1.33.5+k3s1, v1.31.2-eks-7f9249a, 5.14.0-427.el9.x86_64, 6.13-rc1
_VERSION = re.compile(r"v?(\d{1,5})\.(\d{1,5})(?:\.(\d{1,5}))?(?:[-+.~_]\S*)?\Z")


@dataclass(frozen=True)
class Era:
    """What holds for a mode from a minor version of Kubernetes 1 on, until its next era.

    gate: the feature gate that decides; gate_default: what it is where nobody sets it. Without a gate, standing holds
    alone; with one, it is REFUSED where the gate is off.
    """

    since: int
    standing: str
    stage: str
    reason: str
    source: str
    gate: str = ""
    gate_default: bool = False


@dataclass(frozen=True)
class Standing:
    """Where a version stands with a mode. since: of the era, as 1.35. deadline: the version that will refuse it."""

    mode: str
    standing: str
    stage: str
    reason: str
    source: str
    since: str
    gate: str = ""
    deadline: str = ""

    @property
    def refused(self) -> bool:
        return self.standing == REFUSED

    def __str__(self) -> str:
        text = "%s: %s" % (self.mode, self.reason)
        return "%s; refused from Kubernetes %s on" % (text, self.deadline) if self.deadline else text


_IPVS_KEP, _NFTABLES_KEP = "KEP-5495", "KEP-3866"
_IPVS_GATE, _NFTABLES_GATE = "KubeProxyIPVS", "NFTablesProxyMode"

CALENDAR: Dict[str, Tuple[Era, ...]] = {
    IPTABLES: (Era(2, ALLOWED, STABLE, "kube-proxy's default since Kubernetes 1.2", "Kubernetes 1.2 changelog"),),
    IPVS: (
        Era(0, REFUSED, NO_STAGE, "comes with Kubernetes 1.9", "KEP-265"),
        Era(9, ALLOWED, BETA, "beta until Kubernetes 1.11; iptables instead where modules are missing", "KEP-265"),
        Era(
            11,
            ALLOWED,
            STABLE,
            "stable; until Kubernetes 1.26 it falls back to iptables without an error where modules are missing",
            "kubernetes/kubernetes#92033",
        ),
        Era(26, ALLOWED, STABLE, "stable; missing modules are an error", "kubernetes/kubernetes#92033"),
        Era(35, DEPRECATED, STABLE, "deprecated since Kubernetes 1.35, nftables is its successor", _IPVS_KEP),
        Era(
            37,
            DEPRECATED,
            STABLE,
            "deprecated since Kubernetes 1.35, nftables is its successor; the gate is on by default until 1.40",
            _IPVS_KEP,
            _IPVS_GATE,
            True,
        ),
        Era(
            40,
            DEPRECATED,
            STABLE,
            "from Kubernetes 1.40 on kube-proxy ends with an error in this mode, unless its gate is switched on",
            _IPVS_KEP,
            _IPVS_GATE,
            False,
        ),
        Era(43, REFUSED, NO_STAGE, "removed from Kubernetes 1.43", _IPVS_KEP),
    ),
    NFTABLES: (
        Era(0, REFUSED, NO_STAGE, "comes with Kubernetes 1.29", _NFTABLES_KEP),
        Era(29, ALLOWED, ALPHA, "alpha in Kubernetes 1.29 and 1.30", _NFTABLES_KEP, _NFTABLES_GATE, False),
        Era(31, ALLOWED, BETA, "beta in Kubernetes 1.31 and 1.32", _NFTABLES_KEP, _NFTABLES_GATE, True),
        Era(33, ALLOWED, STABLE, "stable since Kubernetes 1.33", _NFTABLES_KEP),
    ),
}

K3S, RKE2, KUBEADM, MICROK8S, EKS, STANDALONE = "k3s", "rke2", "kubeadm", "microk8s", "eks", "standalone"
DISTRIBUTIONS = (KUBEADM, K3S, RKE2, MICROK8S, EKS, STANDALONE)
# The first patch release of each minor version with which a distribution takes a mode that Kubernetes itself takes
# earlier. Minor versions below the first do not take it, those above the last do.
LATER: Dict[Tuple[str, str], Tuple[Version, ...]] = {(RKE2, NFTABLES): ((1, 34, 10), (1, 35, 7), (1, 36, 3))}


def version_of(text: str, path: str) -> Version:
    """The numbers of a version of Kubernetes or of a kernel; what a distribution appends is passed over.

    InputError with path where the text is no version.
    """
    match = _VERSION.match(text.strip())
    if not match:
        raise input_error(path, "%r is not a version" % text, "it begins with two numbers, such as 1.36")
    major, minor, patch = match.groups()
    return int(major), int(minor), int(patch or 0)


def standing_of(
    mode: str, version: Version, gates: Optional[Mapping[str, bool]] = None, distribution: str = ""
) -> Standing:
    """Where a version of kube-proxy stands with a mode. gates: the feature gates that its configuration sets.

    ValueError for a major version other than 1, of which nothing is known.
    """
    if version[0] != 1:
        raise ValueError("nothing is known of Kubernetes %d" % version[0])
    minor = version[1]
    era = _era(mode, minor)
    late = _too_early(mode, version, distribution)
    if late:
        return Standing(mode, REFUSED, era.stage, late, "%s release notes" % distribution, "1.%d" % era.since)
    on = (gates or {}).get(era.gate, era.gate_default) if era.gate else True
    if not on:
        reason = "%s; the feature gate %s is off" % (era.reason, era.gate)
        return Standing(mode, REFUSED, era.stage, reason, era.source, "1.%d" % era.since, era.gate)
    deadline = _deadline(mode, minor, gates or {}) if era.standing == DEPRECATED else ""
    return Standing(mode, era.standing, era.stage, era.reason, era.source, "1.%d" % era.since, era.gate, deadline)


def _era(mode: str, minor: int) -> Era:
    eras = [era for era in CALENDAR[mode] if era.since <= minor]
    # What came before the first one is older than this calendar, and as that one was.
    return eras[-1] if eras else CALENDAR[mode][0]


def _deadline(mode: str, minor: int, gates: Mapping[str, bool]) -> str:
    """The first minor version after this one that refuses the mode with these gates, or ""."""
    for era in CALENDAR[mode]:
        on = gates.get(era.gate, era.gate_default) if era.gate else True
        if era.since > minor and (era.standing == REFUSED or not on):
            return "1.%d" % era.since
    return ""


def _too_early(mode: str, version: Version, distribution: str) -> str:
    """Why a distribution does not take the mode yet, or ""."""
    first = LATER.get((distribution, mode), ())
    if not first or version[:2] > first[-1][:2]:
        return ""
    for each in first:
        if each[:2] == version[:2] and version >= each:
            return ""
    known = ", ".join("%d.%d.%d" % each for each in first)
    return "%s takes it from %s on" % (distribution, known)
