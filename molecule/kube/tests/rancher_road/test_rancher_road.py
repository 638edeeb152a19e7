# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""kube-proxy within k3s: set by a file of ours that is read last, and no program that could clean up after it.

kube-proxy is real, and so are the files; what reads them stands in for k3s (tests/molecule/k3s_agent.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.paths import REPOSITORY
from tests.molecule.kube import PROGRAM, SERVICES, Cluster, as_standalone, run_kube, with_services, without_proxy
from tests.molecule.kube_checks import will_not_start
from tests.molecule.kube_table import residues

K3S, AGENT = "/usr/local/bin/k3s", "/usr/local/lib/netfleet-lab/k3s-agent"
UNIT = "/etc/systemd/system/k3s-agent.service"
BASE = "/etc/rancher/k3s/config.yaml"
OURS = f"{BASE}.d/zz-netfleet-tcp.yaml"
# As a person has written it. With ipvs, networks that have ClusterIPs in them make these NodePorts too.
CONFIG = "# the site's own\nnode-label:\n  - rack=1\nkube-proxy-arg:\n  - 'v=2'\n  - nodeport-addresses=10.77.0.0/16\n"
UNIT_TEXT = f"[Service]\nExecStart={K3S} agent\nRestart=always\nRestartSec=2\n[Install]\nWantedBy=multi-user.target\n"


@pytest.fixture(scope="module")
def up(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with kube-proxy as k3s has it."""
    without_proxy(cluster)
    with_services(cluster, SERVICES)
    text = (REPOSITORY / "tests" / "molecule" / "k3s_agent.py").read_text(encoding="utf-8")
    cluster.on_each(
        f"mkdir -p {BASE}.d; printf %%s %s > {BASE}; printf %%s %s > {K3S}; chmod 755 {K3S}; printf %%s %s > {UNIT};"
        f" mv {PROGRAM} {AGENT}; systemctl daemon-reload; systemctl enable --now k3s-agent",
        CONFIG,
        text,
        UNIT_TEXT,
    )
    cluster.wait_served("iptables")
    yield cluster
    cluster.on_each(
        f"systemctl disable --now k3s-agent; rm -rf /etc/rancher {UNIT} {K3S}; mv {AGENT} {PROGRAM};"
        " systemctl daemon-reload"
    )
    # Whatever is left is cleaned up by kube-proxy itself.
    as_standalone(cluster, "iptables")


def processes(cluster: Cluster) -> dict[str, str]:
    """Which start of it runs on each node."""
    return cluster.on_each("systemctl show -p MainPID -p NRestarts k3s-agent")


def test_one_that_does_not_come_up_is_put_back_and_the_others_are_not_touched(up: Cluster, scratch: Path) -> None:
    before = processes(up)
    with will_not_start(up, "ipvs"):
        run = run_kube(scratch, up, kube_proxy_mode="ipvs", kube_proxy_start_timeout=300)
    assert run.status != 0, run.output
    up.wait_served("iptables")
    assert len([name for name, each in processes(up).items() if each != before[name]]) == 1, run.output
    for name, node in up.nodes.items():
        assert not node.file(OURS).exists, name
        assert residues(node, "iptables") == [], name


def test_all_nodes_switch_back_and_forth_and_the_files_of_others_stay(up: Cluster, scratch: Path) -> None:
    for mode in ("ipvs", "iptables", "nftables", "iptables"):
        run = run_kube(scratch, up, kube_proxy_mode=mode)
        assert run.status == 0, run.output
        up.wait_served(mode)
        for name, node in up.nodes.items():
            assert residues(node, mode) == [], f"{name}, {mode}"
            assert node.check_output(f"cat {BASE}") == CONFIG.strip()
        again = run_kube(scratch, up, kube_proxy_mode=mode)
        assert (again.status, again.changed) == (0, []), again.output
