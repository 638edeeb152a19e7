# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a node runs kube-proxy, by what is on it."""

from __future__ import annotations

from typing import Tuple

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_find import (
    PATHS_TO_LOOK_AT,
    UNITS_TO_LOOK_AT,
    Place,
    Signs,
    find,
)

MICROK8S = "/var/snap/microk8s/current/args/kube-proxy"
KUBELITE = "snap.microk8s.daemon-kubelite.service"
KUBEADM = "/var/lib/kubelet/kubeadm-flags.env"


@pytest.mark.parametrize(
    ("signs", "expected"),
    [
        (Signs(paths=(KUBEADM,)), ("kubeadm", "config_map", "", "")),
        (Signs(paths=("/etc/eks",)), ("eks", "config_map", "", "")),
        (Signs(paths=("/etc/eks", KUBEADM)), ("eks", "config_map", "", "")),
        (Signs(("k3s.service",)), ("k3s", "rancher_files", "/etc/rancher/k3s/config.yaml", "k3s.service")),
        (Signs(("k3s-agent.service",)), ("k3s", "rancher_files", "/etc/rancher/k3s/config.yaml", "k3s-agent.service")),
        (
            Signs(("rke2-agent.service",)),
            ("rke2", "rancher_files", "/etc/rancher/rke2/config.yaml", "rke2-agent.service"),
        ),
        (Signs((KUBELITE,), (MICROK8S,)), ("microk8s", "flags_file", MICROK8S, KUBELITE)),
        (
            Signs(("kube-proxy.service",), arguments=("kube-proxy", "--config=/etc/kube-proxy.yaml")),
            ("standalone", "config_file", "/etc/kube-proxy.yaml", "kube-proxy.service"),
        ),
        (
            Signs(("kube-proxy.service",), arguments=("kube-proxy", "--proxy-mode=iptables")),
            ("standalone", "unit", "", "kube-proxy.service"),
        ),
    ],
)
def test_each_distribution_is_found_by_its_signs(signs: Signs, expected: Tuple[str, str, str, str]) -> None:
    place = find(signs)
    assert (place.distribution, place.kind, place.path, place.unit) == expected
    assert place.because
    assert set(place.because) <= {*UNITS_TO_LOOK_AT, *PATHS_TO_LOOK_AT}


def test_where_nothing_tells_the_cure_is_named() -> None:
    with pytest.raises(HostError, match=r"nothing on this host tells .* \(set kube_proxy_distribution, or take"):
        find(Signs())


def test_where_signs_contradict_all_are_named() -> None:
    with pytest.raises(HostError) as caught:
        find(Signs(("k3s.service",), (KUBEADM,)))
    assert "k3s by k3s.service; kubeadm by %s" % KUBEADM in str(caught.value)


def test_what_the_user_says_stands() -> None:
    signs = Signs(("k3s.service",), (KUBEADM,))
    assert find(signs, "kubeadm") == Place("kubeadm", "config_map", because=(KUBEADM,))
    assert find(Signs(), "k3s") == Place("k3s", "rancher_files", "/etc/rancher/k3s/config.yaml", "k3s.service")
