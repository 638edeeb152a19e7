# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of kube-proxy share: the cluster, with its Services in it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from testinfra.host import Host as Connection

from lab.fleet import Fleet
from lab.kube_plane import ADMIN, Plane
from lab.paths import Settings
from tests.molecule import kube_light
from tests.molecule.kube import CLIENT, NODES, SERVICES, Cluster, with_services
from tests.molecule.kube_client import Client
from tests.waiting import until

# A light host may not hand the kernel more at once than net.core.wmem_default, and 40 Services are more already.
MOST_OF_LIGHT = 20


@pytest.fixture(scope="session")
def cluster(
    settings: Settings, fleet: Fleet, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """The cluster, once its nodes are ready and its backends are there."""
    with contextlib.ExitStack() as stack:
        if kube_light.wanted():
            binaries = Path(os.environ["NETFLEET_KUBE_BINARIES"])
            found = stack.enter_context(kube_light.light_cluster(settings, binaries, tmp_path_factory.mktemp("light")))
        else:
            found = of_virtual_machines(settings, fleet, request.getfixturevalue("connections"))

        def ready() -> bool:
            nodes = found.api.items("/api/v1/nodes")
            return len(nodes) == len(NODES) and not any(node["spec"].get("taints") for node in nodes)

        until(ready, 120.0, f"{', '.join(NODES)} are nodes, and ready", 0.5)
        with_services(found, MOST_OF_LIGHT if kube_light.wanted() else SERVICES)
        yield found


def of_virtual_machines(settings: Settings, fleet: Fleet, connections: dict[str, Connection]) -> Cluster:
    """The cluster that create.yml and prepare.yml have made."""
    plane = Plane(settings)
    addresses = {host.name: host.address for host in fleet.hosts if host.name in NODES}
    nodes = {name: connections[name] for name in NODES}
    return Cluster(plane, Client(plane.relayed, plane.pki, ADMIN), nodes, addresses, connections[CLIENT])


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kube")
