# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster whose nodes are light hosts (tools/scale_namespaces.py) in place of virtual machines: up in seconds.

API server, controllers, scheduler and kube-proxy are the same. The kernel is this machine's, which may have no IPVS;
there is no systemd, no boot, and no module that could be loaded. So it serves for what is done through the API.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from testinfra.host import Host as Connection

from lab.fleet import network_of
from lab.kube_plane import ADMIN, LAST, PROXY, Plane
from lab.paths import REPOSITORY, Settings
from lab.run import Progress, run
from lab.vm_network import BRIDGE, FleetNetwork
from tests.molecule.kube import CLIENT, NODES, Cluster
from tests.molecule.kube_client import Client
from tests.molecule.kube_objects import AGENTS, ECHO_IMAGE, IMAGE, PROGRAM
from tools import cpu_time, scale_namespaces

FIRST = 11  # number of the first host
CONNECTIONS = REPOSITORY / "tools" / "ansible_plugins" / "connection"
AGENT_FILES = ("kubelet_agent.py", "kubelet_pods.py", "kube_client.py", "echo_agent.py", "connect_agent.py")


@dataclass(frozen=True)
class Done:
    """What a command did, as testinfra tells it."""

    rc: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class LightHost:
    """As much of testinfra's host as the tests of the cluster use."""

    pid: int

    @property
    def enter(self) -> list[str]:
        """What a command begins with that runs there."""
        return ["nsenter", "--target", str(self.pid), "--user", "--mount", "--net", "--uts", "--pid", "--"]

    def run(self, command: str, *values: str) -> Done:
        """Run a command of the shell."""
        text = command % tuple(map(shlex.quote, values)) if values else command
        done = subprocess.run(
            [*self.enter, "/bin/sh", "-c", text], capture_output=True, text=True, check=False, env=_environment()
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def check_output(self, command: str, *values: str) -> str:
        """What a command prints that has to end well."""
        done = self.run(command, *values)
        assert done.rc == 0, f"{command}: exit status {done.rc}\n{done.stdout}{done.stderr}"
        return done.stdout.rstrip("\r\n")

    def unpack(self, files: Mapping[str, tuple[int, bytes]], more: tuple[str, ...] = ()) -> None:
        """Write files (mode and content by path); more: of this machine, with all below."""
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as archive:
            for path, (mode, content) in files.items():
                entry = tarfile.TarInfo(path.lstrip("/"))
                entry.mode, entry.size = mode, len(content)
                archive.addfile(entry, io.BytesIO(content))
            for path in more:
                archive.add(path)
        argv = [*self.enter, "tar", "-C", "/", "--no-same-owner", "-xf", "-"]
        run(argv, what="writing files of a light host", stdin=data.getvalue())


def _environment() -> dict[str, str]:
    return {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}


@contextlib.contextmanager
def light_cluster(settings: Settings, binaries: Path, scratch: Path) -> Iterator[Cluster]:
    """The cluster while the block runs. settings: of an instance of the lab that has no other hosts."""
    plane, pids = Plane(settings), {}
    network = FleetNetwork.of_instance(settings)
    cpu_time.keep_orphans()
    agents: list[subprocess.Popen[bytes]] = []
    try:
        plane.up(binaries, Progress())
        addresses = {name: f"{network_of(settings.offset)}.{FIRST + n}" for n, name in enumerate((*NODES, CLIENT))}
        for name, address in addresses.items():
            pids[name] = scale_namespaces.start(name)
            _join(network, name, pids[name], address)
        hosts = {name: LightHost(pid) for name, pid in pids.items()}
        version = run([binaries / "kube-proxy", "--version"], what="asking for the version").stdout.split()[-1]
        for name in NODES:
            _prepare(hosts[name], plane, name, addresses[name], binaries, version)
            words = ["/usr/bin/python3", f"{AGENTS}/kubelet_agent.py", "/etc/netfleet-lab/kubelet.json"]
            log = (scratch / f"kubelet-{name}.log").open("wb")
            agents.append(subprocess.Popen([*hosts[name].enter, *words], stdout=log, stderr=log, env=_environment()))
            log.close()
        inventory = scratch / "light.json"
        inventory.write_text(_inventory(pids), encoding="utf-8")
        yield Cluster(
            plane,
            Client(plane.relayed, plane.pki, ADMIN),
            {name: cast(Connection, hosts[name]) for name in NODES},
            {name: addresses[name] for name in NODES},
            cast(Connection, hosts[CLIENT]),
            (inventory,),
            {"ANSIBLE_CONNECTION_PLUGINS": str(CONNECTIONS)},
        )
    finally:
        for agent in agents:
            agent.kill()
            agent.wait()
        scale_namespaces.stop(list(pids.values()))
        plane.down()
        network.remove()


def _join(network: FleetNetwork, name: str, pid: int, address: str) -> None:
    """Put a host into the fleet's network."""
    inside = ["nsenter", "--target", str(pid), "--user", "--net", "--", "ip", "-batch", "-"]
    run(inside, what=f"network of {name}", stdin="link del eth0\n")
    words = f"link add {name} type veth peer name eth1 netns {pid}\nlink set {name} master {BRIDGE} up\n"
    run(["ip", "-n", network.namespace, "-batch", "-"], what=f"joining {name} to the network", stdin=words)
    gateway = f"{address.rpartition('.')[0]}.{LAST}"
    words = f"address add {address}/24 dev eth1\nlink set eth1 up\nroute add default via {gateway}\n"
    run(inside, what=f"network of {name}", stdin=words)


# A host of kubeadm's has this folder, which kube-proxy's pod has as a volume. This machine may have none, and hosts
# have its /usr read-only.
_MODULES = """
test -d /lib/modules && exit
mkdir /run/lib /run/lib.work
mount -t overlay -o lowerdir=/usr/lib,upperdir=/run/lib,workdir=/run/lib.work,userxattr overlay /usr/lib
mkdir /lib/modules
"""


def _prepare(host: LightHost, plane: Plane, name: str, address: str, binaries: Path, version: str) -> None:
    """What molecule/kube/prepare.yml does on a virtual machine."""
    plane.issue_node(name, address)
    host.check_output(
        "mount -t tmpfs -o size=200m tmpfs /usr/local && mkdir -p /usr/local/bin /var/log"
        f" {AGENTS} /etc/netfleet-lab /etc/kube-proxy"
    )
    host.check_output(f"set -e; {_MODULES}")
    configuration = {
        "node": name,
        "address": address,
        "server": plane.address,
        "files": "/etc/netfleet-lab",
        "images": [IMAGE.format(version), ECHO_IMAGE],
        "version": version,
    }
    pki = {"ca.crt": "ca.crt", f"{name}.crt": "node.crt", f"{name}.key": "node.key"}
    files = {f"/etc/netfleet-lab/{there}": (0o600, (plane.pki / here).read_bytes()) for here, there in pki.items()}
    files["/etc/netfleet-lab/kubelet.json"] = (0o644, json.dumps(configuration).encode())
    files["/etc/kube-proxy/kubeconfig"] = (0o600, (plane.directory / f"{PROXY}.kubeconfig").read_bytes())
    files[PROGRAM] = (0o755, (binaries / "kube-proxy").read_bytes())
    for file in AGENT_FILES:
        files[f"{AGENTS}/{file}"] = (0o644, Path(__file__).with_name(file).read_bytes())
    # kube-proxy takes nft for one that names protocols: on a host where it has numbers for them, the second start of
    # kube-proxy takes all Services for leftovers. And Debian's iptables is a link into /etc/alternatives.
    host.unpack(files, ("/etc/protocols", "/etc/alternatives"))


def _inventory(pids: Mapping[str, int]) -> str:
    hosts = {
        name: {
            "ansible_connection": "namespace",
            "ansible_namespace_pid": pid,
            "ansible_user": "root",
            "ansible_python_interpreter": "/usr/bin/python3",
        }
        for name, pid in pids.items()
    }
    return json.dumps({"all": {"hosts": hosts}})


def wanted() -> bool:
    """Whether the tests are to run on light hosts."""
    return bool(os.environ.get("NETFLEET_KUBE_LIGHT"))
