# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which network plugin a cluster has. The objects are written by hand; to be compared with those of real clusters."""

from __future__ import annotations

from typing import Any, Dict

import pytest

from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_plugin import ClusterObjects, PluginFound, plugin_of


def _daemon_set(name: str, *arguments: str) -> Dict[str, Any]:
    containers = [{"name": name, "args": list(arguments)}]
    return {
        "metadata": {"namespace": "kube-system", "name": name},
        "spec": {"template": {"spec": {"containers": containers}}},
    }


CALICO = (_daemon_set("kube-proxy"), _daemon_set("calico-node"))


@pytest.mark.parametrize(
    ("objects", "name"),
    [
        (ClusterObjects(), ""),
        (ClusterObjects((_daemon_set("kube-proxy"), {})), ""),
        (ClusterObjects((_daemon_set("kube-flannel-ds"),)), "flannel"),
        (ClusterObjects((_daemon_set("cilium"),), cilium={"kube-proxy-replacement": "false"}), "cilium"),
        (ClusterObjects((_daemon_set("cilium"),), cilium={"kube-proxy-replacement": "partial"}), "cilium"),
        (ClusterObjects((_daemon_set("kube-router", "--run-service-proxy=false"),)), "kube-router"),
        (ClusterObjects(CALICO), "calico"),
        (ClusterObjects(CALICO, felix={"bpfEnabled": False, "nftablesMode": "Disabled"}), "calico"),
        (ClusterObjects(CALICO, felix={"nftablesMode": "Enabled"}), "calico-nftables"),
        # It follows kube-proxy, node by node, whatever its operator was told.
        (ClusterObjects(CALICO, felix={"nftablesMode": "Auto"}), "calico-auto"),
        (
            ClusterObjects(
                CALICO,
                felix={"nftablesMode": "Auto"},
                installation={"calicoNetwork": {"linuxDataplane": "Nftables"}},
            ),
            "calico-auto",
        ),
        (
            ClusterObjects(CALICO, installation={"calicoNetwork": {"linuxDataplane": "Nftables"}}),
            "calico-nftables",
        ),
        (ClusterObjects(CALICO, installation={"calicoNetwork": None}), "calico"),
    ],
)
def test_plugins_beside_kube_proxy(objects: ClusterObjects, name: str) -> None:
    assert plugin_of(objects) == PluginFound(name)


@pytest.mark.parametrize(
    ("objects", "reason"),
    [
        (
            ClusterObjects((_daemon_set("cilium"),), cilium={"kube-proxy-replacement": "true"}),
            "Cilium does its work (ConfigMap cilium-config, kube-proxy-replacement: true)",
        ),
        (ClusterObjects(cilium={"kube-proxy-replacement": "strict"}), "kube-proxy-replacement: strict"),
        (ClusterObjects(CALICO, felix={"bpfEnabled": True}), "bpfEnabled: true"),
        (ClusterObjects(CALICO, installation={"calicoNetwork": {"linuxDataplane": "BPF"}}), "linuxDataplane: BPF"),
        (ClusterObjects((_daemon_set("kube-router"),)), "kube-router does its work"),
        (ClusterObjects((_daemon_set("kube-router", "--run-service-proxy=true"),)), "--run-service-proxy"),
        (ClusterObjects((_daemon_set("ovnkube-node"),)), "OVN-Kubernetes does its work"),
    ],
)
def test_plugins_that_do_kube_proxys_work_say_by_what_it_is_known(objects: ClusterObjects, reason: str) -> None:
    assert reason in plugin_of(objects).replaces
