# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which mode auto is, and what keeps nodes from a mode."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_choice import (
    CALICO,
    CALICO_NFTABLES,
    SCHEDULERS,
    Cluster,
    NodeAbility,
    choose,
    needed_modules,
    obstacles,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_modes import IPTABLES, IPVS, NFTABLES, RKE2

EVERYTHING = tuple({*needed_modules(IPVS), *needed_modules(NFTABLES)})
NODE = NodeAbility("node1", "v1.36.4", "6.1.0-28-amd64", EVERYTHING)
OLD_KERNEL = replace(NODE, name="old", kernel="4.18.0-553.el8_10.x86_64")


@pytest.mark.parametrize(
    ("version", "cluster", "mode"),
    [
        ("v1.36.4", Cluster(), NFTABLES),
        ("v1.33.0", Cluster(), NFTABLES),
        ("v1.32.5", Cluster(), IPVS),  # nftables is beta
        ("v1.28.1", Cluster(), IPVS),
        ("v1.36.4", Cluster(plugin=CALICO), IPTABLES),  # ipvs is deprecated
        ("v1.34.1", Cluster(plugin=CALICO), IPVS),
        ("v1.36.4", Cluster(plugin=CALICO_NFTABLES), NFTABLES),
        ("v1.36.4", Cluster(plugin="flannel"), NFTABLES),
        ("v1.35.2+rke2r1", Cluster(RKE2), IPTABLES),
        ("v1.36.4+rke2r1", Cluster(RKE2), NFTABLES),
        ("v1.41.0", Cluster(gates=(("KubeProxyIPVS", True),)), NFTABLES),
    ],
)
def test_auto_goes_by_version_plugin_and_distribution(version: str, cluster: Cluster, mode: str) -> None:
    assert choose([replace(NODE, kubernetes=version)], cluster).mode == mode


def test_auto_takes_what_every_node_can_run_and_names_those_that_cannot() -> None:
    choice = choose([NODE, OLD_KERNEL], Cluster())
    assert choice.mode == IPTABLES
    assert str(choice) == (
        "iptables: works wherever kube-proxy does"
        "; not nftables: nftables needs kernel 5.13, this is 4.18.0-553.el8_10.x86_64 (old)"
        "; not ipvs: deprecated since Kubernetes 1.35, nftables is its successor (node1, old)"
    )


def test_of_many_nodes_a_few_are_named() -> None:
    nodes = [replace(OLD_KERNEL, name="node%d" % number) for number in range(6)]
    assert "(node0, node1, node2 and 3 more)" in str(choose(nodes, Cluster()))


def test_auto_passes_over_a_mode_whose_modules_are_missing() -> None:
    node = replace(NODE, modules=needed_modules(IPVS), kubernetes="v1.34.0")
    choice = choose([node], Cluster())
    assert choice.mode == IPVS
    assert "nft_numgen" in dict(choice.passed_over)[NFTABLES]
    bare = replace(node, modules=())
    assert choose([bare], Cluster()).mode == IPTABLES


def test_where_nothing_fits_every_mode_says_why() -> None:
    with pytest.raises(InputError) as caught:
        choose([OLD_KERNEL], Cluster(plugin=CALICO_NFTABLES))
    assert len(caught.value.problems) == 3
    assert "not nftables: nftables needs kernel 5.13" in str(caught.value)
    assert "not iptables: Calico's nftables data plane needs" in str(caught.value)
    with pytest.raises(InputError, match="there is none"):
        choose([], Cluster())


def test_obstacles_are_all_told_at_once_by_node() -> None:
    bare = NodeAbility("bare", "v1.41.0", "6.1.0", in_container=False)
    found = obstacles(IPVS, [replace(NODE, scheduler="lc"), bare], Cluster())
    assert [(problem.path, problem.problem.split(":")[0]) for problem in found] == [
        ("node1", "ipvs needs modules that this kernel does not have"),
        ("bare", "kube-proxy v1.41.0 refuses ipvs"),
        ("bare", "ipvs needs modules that this kernel does not have"),
        ("bare", "ipvs needs programs that are not there"),
    ]
    assert "ip_vs_lc" in found[0].problem
    assert "ip_vs_lc" not in found[2].problem
    assert found[1].cure == "switch the feature gate KubeProxyIPVS on"
    assert found[3].problem.endswith(": ipset")


def test_a_deprecated_mode_that_is_asked_for_is_no_obstacle() -> None:
    assert obstacles(IPVS, [NODE], Cluster()) == []
    assert obstacles(NFTABLES, [NODE], Cluster()) == []
    assert obstacles(IPTABLES, [replace(NODE, modules=())], Cluster()) == []


def test_the_chosen_scheduler_is_a_module_too() -> None:
    assert "ip_vs_wlc" in needed_modules(IPVS, "wlc")
    for name in SCHEDULERS:
        assert needed_modules(IPVS, name).count("ip_vs_" + name) == 1
    assert needed_modules(IPVS, "") == needed_modules(IPVS)


def test_a_node_without_a_version_is_named() -> None:
    with pytest.raises(InputError, match="node1: version of kube-proxy: 'unknown' is not a version"):
        choose([replace(NODE, kubernetes="unknown")], Cluster())
