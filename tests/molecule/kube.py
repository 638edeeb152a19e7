# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster of scenario `kube`: kube-proxy in one form or another on its nodes, and running the playbook on it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from testinfra.host import Host as Connection

from lab.kube_plane import Plane
from lab.paths import REPOSITORY
from tests.molecule import kube_objects
from tests.molecule.kube_client import ApiError, Client, Object
from tests.molecule.kube_objects import AGENTS, DEFAULT, PROGRAM, PROXY, SYSTEM
from tests.molecule.kube_table import Entries, entries_of
from tests.molecule.playbook import Run, run_drift, start_playbook
from tests.waiting import until

PLAYBOOK = REPOSITORY / "playbooks" / "kube_proxy.yml"
INVENTORY = REPOSITORY / "molecule" / "kube" / "inventory" / "kube.yml"
NODES, CLIENT = ("local1", "local2", "cloud1"), "cloud2"
MODES = ("iptables", "ipvs", "nftables")
CONFIG, KUBECONFIG = "/etc/kube-proxy/config.yaml", "/etc/kube-proxy/kubeconfig"
UNIT, UNIT_FILE = "kube-proxy.service", "/etc/systemd/system/kube-proxy.service"
# What tells that kubeadm has made a node.
KUBEADM = "/var/lib/kubelet/kubeadm-flags.env"
NODE_PORT, NODE_PORT_THAT_STAYS = 30080, 30081
# Seconds; not what the API makes of none.
AFFINITY = 600
# An emulated host takes a minute to program 200 with ipvs: tests/node_road has these.
SERVICES = 40
# A field that no kube-proxy knows: it has to outlast every change.
UNKNOWN = {"ofTheNextVersion": "as it is"}
UNIT_TEXT = f"""[Unit]
Description=kube-proxy
After=network-online.target

[Service]
ExecStart={PROGRAM} --config={CONFIG} --hostname-override=%H
Restart=always
RestartSec=2

[Install]
WantedBy=multi-user.target
"""
_SERVICES = f"/api/v1/namespaces/{DEFAULT}/services"
_SLICES = f"/apis/discovery.k8s.io/v1/namespaces/{DEFAULT}/endpointslices"
_DAEMON_SETS = f"/apis/apps/v1/namespaces/{SYSTEM}/daemonsets"
_CONFIG_MAPS = f"/api/v1/namespaces/{SYSTEM}/configmaps"
_SYSTEM_PODS = f"/api/v1/namespaces/{SYSTEM}/pods"
_ACCOUNTS = f"/api/v1/namespaces/{SYSTEM}/serviceaccounts"
_BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"


@dataclass(frozen=True)
class Cluster:
    """The nodes, a client outside of the cluster, and the API. addresses: of the nodes, by name.

    inventories, environment: what a run of Ansible needs to reach them, beside inventories/lab.
    """

    plane: Plane
    api: Client
    nodes: Mapping[str, Connection]
    addresses: Mapping[str, str]
    client: Connection
    inventories: tuple[Path, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """Kubernetes' version."""
        return str(self.api.get("/version")["gitVersion"])

    def on_each(self, command: str, *values: str) -> dict[str, str]:
        """What a command prints on each node, all at a time."""
        with ThreadPoolExecutor() as pool:
            printed = pool.map(lambda node: str(node.check_output(command, *values)), self.nodes.values())
            return dict(zip(self.nodes, printed, strict=True))

    def served(self) -> Entries:
        """What every node should serve, by the API: (address, port) of each Service, and its endpoints."""
        ends: dict[str, set[str]] = {}
        for each in self.api.items("/apis/discovery.k8s.io/v1/endpointslices"):
            name = f"{each['metadata']['namespace']}/{each['metadata']['labels']['kubernetes.io/service-name']}"
            port = (each.get("ports") or [{}])[0].get("port")
            for end in each.get("endpoints") or ():
                if end["conditions"].get("ready") is not False:
                    ends.setdefault(name, set()).add(f"{end['addresses'][0]}:{port}")
        found: Entries = {}
        for service in self.api.items("/api/v1/services"):
            metadata, spec = service["metadata"], service["spec"]
            found[spec["clusterIP"], spec["ports"][0]["port"]] = frozenset(
                ends.get(f"{metadata['namespace']}/{metadata['name']}", ())
            )
        return found

    def wait_served(self, mode: str, seconds: float = 120.0) -> None:
        """Until every node runs a mode, and its kernel serves exactly what the API has."""
        wanted = self.served()
        for name, node in self.nodes.items():
            _wait_served(name, node, mode, wanted, seconds)


def _wait_served(name: str, node: Connection, mode: str, wanted: Entries, seconds: float) -> None:
    running: str = ""
    found: Entries = {}

    def right() -> bool:
        nonlocal running, found
        running = proxy_mode(node)
        found = entries_of(node, mode) if running == mode else {}
        return found == wanted

    until(right, seconds, lambda: f"{name} runs {running!r}, {difference(wanted, found)}", 2.0)


def difference(wanted: Entries, found: Entries) -> str:
    """A few of the entries that differ, for people."""
    keys = [key for key in {*wanted, *found} if wanted.get(key) != found.get(key)]
    shown = {f"{key}": (sorted(wanted.get(key, ())), sorted(found.get(key, ()))) for key in sorted(keys)[:3]}
    return f"{len(keys)} entries are not as they should be: (wanted, found) {shown}"


def proxy_mode(node: Connection) -> str:
    """The mode that kube-proxy says it runs; empty where it does not answer."""
    return str(node.run(ask("http://127.0.0.1:10249/proxyMode")).stdout).strip()


def ask(url: str) -> str:
    """The command that prints what a URL answers; hosts have no curl."""
    script = f"import urllib.request as r; print(r.urlopen('{url}', timeout=5).read().decode())"
    return f'/usr/bin/python3 -c "{script}"'


def config_text(mode: str, **more: Any) -> str:
    """A node's own configuration, as a person has written it."""
    return _written(mode, KUBECONFIG, **more)


def _written(mode: str, kubeconfig: str, **more: Any) -> str:
    written: str = yaml.safe_dump({**kube_objects.configuration(mode, kubeconfig, **more), **UNKNOWN}, sort_keys=False)
    return written


def as_standalone(cluster: Cluster, mode: str, **more: Any) -> None:
    """kube-proxy by a unit of systemd on each node, with a configuration file."""
    without_proxy(cluster)
    write = f"printf %%s %s > {CONFIG}; printf %%s %s > {UNIT_FILE}; systemctl daemon-reload; systemctl enable --now "
    cluster.on_each(write + UNIT, config_text(mode, **more), UNIT_TEXT)
    cluster.wait_served(mode)


def as_kubeadm(cluster: Cluster, mode: str, **more: Any) -> None:
    """kube-proxy by a DaemonSet and a ConfigMap, as kubeadm makes them."""
    without_proxy(cluster)
    text = _written(mode, "/var/lib/kube-proxy/kubeconfig.conf", **more)
    account, binding = kube_objects.account()
    for path, body in (
        (_ACCOUNTS, account),
        (_BINDINGS, binding),
        (_CONFIG_MAPS, kube_objects.config_map(text, f"https://{cluster.plane.address}")),
        (_DAEMON_SETS, kube_objects.daemon_set(cluster.version)),
    ):
        _replace(cluster.api, path, body)
    cluster.on_each(f"mkdir -p /var/lib/kubelet; touch {KUBEADM}")
    cluster.wait_served(mode)


def without_proxy(cluster: Cluster) -> None:
    """No kube-proxy on any node, nothing left of one, and nothing that tells of one."""
    for each in cluster.api.items(_DAEMON_SETS):
        if each["metadata"]["name"].startswith(PROXY):
            cluster.api.delete(f"{_DAEMON_SETS}/{each['metadata']['name']}")
    until(lambda: not cluster.api.items(_SYSTEM_PODS), 120.0, "kube-proxy's pods are gone", 0.5)
    for each in cluster.api.items(_CONFIG_MAPS):
        if each["metadata"]["name"].startswith(PROXY):
            cluster.api.delete(f"{_CONFIG_MAPS}/{each['metadata']['name']}")
    cluster.on_each(
        f"systemctl disable --now {UNIT} 2> /dev/null; rm -rf {UNIT_FILE} {UNIT_FILE}.d {CONFIG} {KUBEADM};"
        f" systemctl daemon-reload; {PROGRAM} --cleanup > /dev/null 2>&1;"
        # It does not find those of IPv6 whose names the kernel has cut.
        " for name in $(ipset list -n 2> /dev/null | grep ^KUBE-6-); do ipset destroy $name; done; true"
    )


def _replace(api: Client, path: str, body: Object) -> None:
    api.delete(f"{path}/{body['metadata']['name']}")
    until = time.monotonic() + 30.0
    while True:
        try:
            api.create(path, body)
            return
        except ApiError as error:
            # One that was just deleted may take a moment to go.
            if error.status != 409 or time.monotonic() > until:
                raise
            time.sleep(0.5)


def with_services(cluster: Cluster, count: int) -> None:
    """Have a backend on each node, and so many Services, no more, that lead to all of them.

    One has a NodePort, and one keeps a client with its endpoint, by its ClusterIP and by a NodePort.
    """
    api = cluster.api
    if api.find("/apis/apps/v1/namespaces/default/daemonsets/echo") is None:
        api.create("/apis/apps/v1/namespaces/default/daemonsets", kube_objects.echo())
    have = {each["metadata"]["name"] for each in api.items(_SERVICES)}
    stays = {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": AFFINITY}}}
    wanted = [
        kube_objects.service("echo"),
        kube_objects.service("echo-outside", node_port=NODE_PORT),
        # At a port of its own: tests/scale measures connections to those at 80.
        kube_objects.service("echo-stays", port=81, node_port=NODE_PORT_THAT_STAYS, **stays),
    ]
    wanted += [kube_objects.service(f"s{number:03}") for number in range(count - len(wanted))]
    names = {service["metadata"]["name"] for service in wanted}
    for name in have - names - {"kubernetes"}:
        api.delete(f"{_SERVICES}/{name}")
    for service in wanted:
        if service["metadata"]["name"] not in have:
            api.create(_SERVICES, service)
    full = {f"{address}:{kube_objects.ECHO_PORT}" for address in cluster.addresses.values()}
    until(
        lambda: sum(ends == full for ends in cluster.served().values()) == count,
        180.0,
        f"{count} Services have an endpoint on each of {', '.join(cluster.nodes)}",
        0.5,
    )


def with_given(api: Client, services: Mapping[str, tuple[int, list[str]]]) -> dict[str, str]:
    """Services with endpoints that are named, (port, addresses) by name; their ClusterIPs."""

    def make(item: tuple[str, tuple[int, list[str]]]) -> tuple[str, str]:
        service, slice_ = kube_objects.service_of(item[0], *item[1])
        made = api.create(_SERVICES, service)
        api.create(_SLICES, slice_)
        return item[0], str(made["spec"]["clusterIP"])

    with ThreadPoolExecutor(max_workers=8) as pool:
        return dict(pool.map(make, services.items()))


def without_given(api: Client) -> None:
    """Remove the Services that with_given has made."""
    names = [each["metadata"]["name"] for each in api.items(_SERVICES, labelSelector="of=given")]

    def remove(name: str) -> None:
        api.delete(f"{_SLICES}/{name}")
        api.delete(f"{_SERVICES}/{name}")

    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(remove, names))


def cluster_ip(api: Client, name: str) -> str:
    """The address of a Service."""
    return str(api.get(f"{_SERVICES}/{name}")["spec"]["clusterIP"])


def config_map(cluster: Cluster) -> str:
    """What kubeadm's ConfigMap says now."""
    return str(cluster.api.get(f"{_CONFIG_MAPS}/{PROXY}")["data"]["config.conf"])


def daemon_sets(cluster: Cluster) -> dict[str, Object]:
    """Those of kube-proxy, by name."""
    found = {str(each["metadata"]["name"]): each for each in cluster.api.items(_DAEMON_SETS)}
    return {name: each for name, each in found.items() if name.startswith(PROXY)}


def proxies(cluster: Cluster) -> dict[str, str]:
    """What tells one start of kube-proxy from another, by node: its process, and when that began."""
    return cluster.on_each("pid=$(pgrep -x kube-proxy) && echo $pid $(cut -d ' ' -f 22 /proc/$pid/stat)")


def run_kube(scratch: Path, cluster: Cluster, *arguments: str, kubeconfig: Path | None = None, **variables: Any) -> Run:
    """Run the playbook as a user does. variables: extra ones, by name. kubeconfig: in place of the administrator's."""
    given = _given(cluster, kubeconfig or cluster.plane.admin, variables)
    return start_playbook(scratch, *given, *arguments, playbook=PLAYBOOK, more=cluster.environment).finish()


def differing(scratch: Path, cluster: Cluster, **variables: Any) -> dict[str, set[tuple[str, str]]]:
    """What the drift check finds on each node against variables: (rule, key), but for notes."""
    given = _given(cluster, cluster.plane.admin, variables)
    words = ("--limit=kubernetes_nodes", "--tags=kube_proxy")
    check = run_drift(scratch, *given, *words, more=cluster.environment)
    assert set(check.hosts.values()) <= {"in_step", "drift"}, check.output
    return {name: {(each["rule"], each["key"]) for each in check.findings(name)} for name in cluster.nodes}


def _given(cluster: Cluster, kubeconfig: Path, variables: Mapping[str, Any]) -> list[str]:
    """What a run is told of the cluster, and these extra variables."""
    wanted = {"kube_proxy_kubeconfig": str(kubeconfig), **variables}
    inventories = [f"--inventory={path}" for path in (INVENTORY, *cluster.inventories)]
    return [*inventories, f"--extra-vars={json.dumps(wanted)}"]


def agent(name: str, *words: str) -> str:
    """The command that runs an agent which prepare.yml has installed."""
    return " ".join([f"/usr/bin/python3 {AGENTS}/{name}.py", *words])
