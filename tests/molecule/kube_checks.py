# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds on both roads of kube_proxy: through a switch, and after one that failed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.molecule.connects import Seen, connecting
from tests.molecule.kube import CLIENT, NODE_PORT, Cluster, cluster_ip, proxies, run_kube
from tests.molecule.kube_table import residues
from tests.molecule.playbook import Run

# What kube-proxy asks for its version when it starts in a mode. Everything else still works by this one.
_ASKED = {"ipvs": "/usr/sbin/ipset", "nftables": "/usr/sbin/nft"}
_NO_VERSION = """#!/bin/sh
case "$1" in --version|version|-v) echo no version today >&2; exit 1;; esac
exec /root/real "$@"
"""


def switched(cluster: Cluster, scratch: Path, mode: str) -> Run:
    """A run that brings all nodes to a mode, and leaves nothing of another; the one after it changes nothing."""
    run = run_kube(scratch, cluster, kube_proxy_mode=mode)
    assert run.status == 0, run.output
    assert run.changed == sorted(cluster.nodes), run.output
    cluster.wait_served(mode)
    for name, node in cluster.nodes.items():
        assert residues(node, mode) == [], f"{name}, {mode}"
    return run


def changes_nothing(cluster: Cluster, scratch: Path, mode: str) -> None:
    """A run for the mode that is there."""
    before = proxies(cluster)
    again = run_kube(scratch, cluster, kube_proxy_mode=mode)
    assert (again.status, again.changed) == (0, []), again.output
    assert proxies(cluster) == before


@contextlib.contextmanager
def busy(cluster: Cluster) -> Iterator[Seen]:
    """New connections from every node and from outside, and from nodes and outside some that stand."""
    inside = f"{cluster_ip(cluster.api, 'echo')}:80"
    outside = [f"{address}:{NODE_PORT}" for address in cluster.addresses.values()]
    hosts = {**cluster.nodes, CLIENT: cluster.client}
    new = {**{name: [inside] for name in cluster.nodes}, CLIENT: outside}
    # Several, so that each backend is likely to have one.
    long = {**{name: [inside] * 4 for name in cluster.nodes}, CLIENT: outside * 3}
    with connecting(hosts, new, long) as seen:
        yield seen


@contextlib.contextmanager
def will_not_start(cluster: Cluster, mode: str) -> Iterator[None]:
    """Nodes on which all that can be looked at before is well, and kube-proxy does not come up in a mode."""
    program = _ASKED[mode]
    cluster.on_each(
        f"cp {program} /root/real; printf %%s %s > /root/asked; chmod 755 /root/asked;"
        f" mount --bind /root/asked {program}",
        _NO_VERSION,
    )
    try:
        yield
    finally:
        cluster.on_each(f"umount {program}; rm /root/real /root/asked")


@contextlib.contextmanager
def loses_an_address(cluster: Cluster) -> Iterator[str]:
    """Nodes on which somebody takes an address of a Service away from kube-ipvs0, as often as it comes."""
    address, unit = cluster_ip(cluster.api, "echo"), "netfleet-test-thief"
    # By events: looking again and again would take half of an emulated host from kube-proxy.
    delete = f"ip address delete {address}/32 dev kube-ipvs0 2> /dev/null"
    take = f'ip monitor address | while read -r line; do case "$line" in *{address}/32*) {delete};; esac; done'
    cluster.on_each(f"systemd-run --quiet --collect --unit={unit} /bin/sh -c %s", take)
    try:
        yield address
    finally:
        cluster.on_each(f"systemctl stop {unit}")


@contextlib.contextmanager
def module_is_missing(cluster: Cluster, node: str, module: str) -> Iterator[None]:
    """A node that cannot load a module."""
    path = "/etc/modprobe.d/netfleet-test.conf"
    cluster.nodes[node].check_output(f"modprobe -r {module} 2> /dev/null; echo install {module} /bin/false > {path}")
    try:
        yield
    finally:
        cluster.nodes[node].check_output(f"rm {path}")
