# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control plane of a cluster whose nodes are hosts of the lab: `python -m lab.kube_plane up --binaries DIR | down`.

etcd, kube-apiserver, kube-controller-manager and kube-scheduler themselves. They run on this machine and not on a host:
an emulated one would take minutes to start what takes seconds here, and have no memory left. They are in the fleet's
network namespace, at the address .254 that it keeps for this machine, so that hosts reach the API as any other host;
and ports of theirs are nobody's here. A relay lets this machine in, on one port of loopback.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import kube_pki
from lab.errors import LabError
from lab.fleet import FIRST_PORT, PORTS_PER_INSTANCE, load_fleet, network_of
from lab.paths import REPOSITORY, Settings, give_to_user, make_directory, remove_tree
from lab.processes import Process
from lab.run import Progress, run, tail
from lab.vm_network import BRIDGE, FleetNetwork

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
RELAY = "relay"
LAST = 254  # of the fleet's network: this machine
PORT, ETCD_PORT = 6443, 2379
SERVICES, PODS = "10.96.0.0/16", "10.244.0.0/16"
FIRST_SERVICE = "10.96.0.1"
ISSUER = "https://kubernetes.default.svc"
ADMIN, MANAGER, SCHEDULER, PROXY, SERVER, CALLER = (
    "admin",
    "controller-manager",
    "scheduler",
    "kube-proxy",
    "apiserver",
    "apiserver-kubelet",
)
PATIENCE = 180.0


@dataclass(frozen=True)
class Plane:
    """Where the control plane of an instance of the lab keeps its things, and how it is reached."""

    settings: Settings

    @property
    def directory(self) -> Path:
        """All that belongs to it."""
        return self.settings.state_dir / "kube"

    @property
    def pki(self) -> Path:
        """The certificates, and the keys to them."""
        return self.directory / "pki"

    @property
    def address(self) -> str:
        """host:port for the fleet."""
        return f"{network_of(self.settings.offset)}.{LAST}:{PORT}"

    @property
    def relayed(self) -> str:
        """host:port for this machine."""
        return f"127.0.0.1:{FIRST_PORT + PORTS_PER_INSTANCE * self.settings.offset + LAST}"

    @property
    def admin(self) -> Path:
        """The kubeconfig of one who may do everything, for this machine."""
        return self.directory / f"{ADMIN}.kubeconfig"

    def kubeconfig(self, name: str, address: str) -> str:
        """A kubeconfig for the bearer of NAME.crt; JSON, which is YAML too. Everything is within it."""

        def inlined(file: str) -> str:
            return base64.b64encode((self.pki / file).read_bytes()).decode()

        cluster = {"server": f"https://{address}", "certificate-authority-data": inlined("ca.crt")}
        user = {"client-certificate-data": inlined(f"{name}.crt"), "client-key-data": inlined(f"{name}.key")}
        return json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "lab", "cluster": cluster}],
                "users": [{"name": name, "user": user}],
                "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": name}}],
                "current-context": "lab",
            }
        )

    def issue_node(self, name: str, address: str) -> None:
        """NAME.crt, for what stands in for the kubelet of a node."""
        kube_pki.issue(self.pki, name, f"system:node:{name}", ["system:nodes"], [name, address])

    def commands(self, binaries: Path) -> dict[str, list[str]]:
        """The command line of each program."""
        client, peer = f"http://127.0.0.1:{ETCD_PORT}", f"http://127.0.0.1:{ETCD_PORT + 1}"
        host, _colon, port = self.address.partition(":")
        words = {
            "etcd": [
                f"--data-dir={self.directory / 'etcd'}",
                *(f"--{name}-client-urls={client}" for name in ("listen", "advertise")),
                *(f"--{name}-peer-urls={peer}" for name in ("listen", "initial-advertise")),
                f"--initial-cluster=default={peer}",
                # It ends with the tests.
                "--unsafe-no-fsync",
                "--log-level=warn",
            ],
            "kube-apiserver": [
                f"--etcd-servers={client}",
                f"--advertise-address={host}",
                f"--secure-port={port}",
                f"--service-cluster-ip-range={SERVICES}",
                "--authorization-mode=Node,RBAC",
                "--enable-admission-plugins=NodeRestriction",
                "--allow-privileged=true",
                f"--client-ca-file={self.pki / 'ca.crt'}",
                *self._pair("tls-cert-file", "tls-private-key-file", SERVER),
                *self._pair("kubelet-client-certificate", "kubelet-client-key", CALLER),
                f"--kubelet-certificate-authority={self.pki / 'ca.crt'}",
                "--kubelet-preferred-address-types=InternalIP",
                f"--service-account-issuer={ISSUER}",
                f"--service-account-key-file={self.pki / kube_pki.ACCOUNTS}.pub",
                f"--service-account-signing-key-file={self.pki / kube_pki.ACCOUNTS}.key",
            ],
            "kube-controller-manager": [
                *self._at_the_api(MANAGER),
                # Each controller by an account of its own: the program itself has but the right to make these.
                "--use-service-account-credentials=true",
                f"--service-account-private-key-file={self.pki / kube_pki.ACCOUNTS}.key",
                f"--root-ca-file={self.pki / 'ca.crt'}",
                # Its own limits are for clusters that others use as well.
                "--kube-api-qps=200",
                "--kube-api-burst=400",
            ],
            "kube-scheduler": self._at_the_api(SCHEDULER),
        }
        return {name: [str(binaries / name), *arguments] for name, arguments in words.items()}

    def _pair(self, certificate: str, key: str, name: str) -> list[str]:
        return [f"--{certificate}={self.pki / name}.crt", f"--{key}={self.pki / name}.key"]

    def _at_the_api(self, name: str) -> list[str]:
        return [f"--kubeconfig={self.directory / name}.kubeconfig", "--leader-elect=false", "--bind-address=127.0.0.1"]

    def up(self, binaries: Path, progress: Progress) -> None:
        """Start it anew, with nothing in it, and wait until its controllers work.

        :raises LabError: a program is missing, ends, or does not become ready.
        """
        missing = [name for name in PROGRAMS if not os.access(binaries / name, os.X_OK)]
        if missing:
            raise LabError(f"{binaries}: no program {', '.join(missing)}; python -m tools.kube_binaries makes them")
        self.down()
        make_directory(self.pki)
        self._identities()
        network = FleetNetwork.of_instance(self.settings)
        network.ensure(())
        host = self.address.partition(":")[0]
        command = ["ip", "-n", network.namespace, "address", "replace", f"{host}/24", "dev", BRIDGE]
        run(command, what="giving the control plane its address")
        with progress.step("kube", f"control plane up, https://{self.relayed}"):
            self._start_relay(network.namespace)
            for name, argv in self.commands(binaries).items():
                self._start(name, ["nsenter", f"--net=/run/netns/{network.namespace}", *argv])
            self._wait("/readyz")
            # Controllers make it, so they work. No pod is accepted before.
            self._wait("/api/v1/namespaces/kube-system/serviceaccounts/default")

    def down(self) -> None:
        """End all of it, and remove what it kept; nothing happens where it is not up."""
        for name in (*reversed(PROGRAMS), RELAY):
            process = Process.read(self.directory / f"{name}.pid")
            if process is not None:
                process.end(10.0)
        remove_tree(self.directory)

    def _identities(self) -> None:
        host = self.address.partition(":")[0]
        kube_pki.make_authority(self.pki)
        served = [host, "127.0.0.1", FIRST_SERVICE, "kubernetes.default.svc"]
        kube_pki.issue(self.pki, SERVER, "kube-apiserver", hosts=served)
        for name, user, groups in (
            (ADMIN, "lab-admin", ["system:masters"]),
            (CALLER, "kube-apiserver-kubelet-client", []),
            (MANAGER, "system:kube-controller-manager", []),
            (SCHEDULER, "system:kube-scheduler", []),
            (PROXY, "system:kube-proxy", []),
        ):
            kube_pki.issue(self.pki, name, user, groups)
        here = f"127.0.0.1:{PORT}"
        for name, address in ((MANAGER, here), (SCHEDULER, here), (PROXY, self.address), (ADMIN, self.relayed)):
            path = self.directory / f"{name}.kubeconfig"
            path.touch(mode=0o600)
            path.write_text(self.kubeconfig(name, address), encoding="utf-8")
        for path in (*self.directory.glob("*.kubeconfig"), *self.pki.iterdir()):
            give_to_user(path)

    def _start_relay(self, namespace: str) -> None:
        host, _colon, port = self.relayed.partition(":")
        try:
            listener = socket.create_server((host, int(port)))
        except OSError as error:
            raise LabError(f"{self.relayed}: {error}; it is where this machine would reach the API") from error
        with listener:
            words = [sys.executable, "-m", "lab.kube_relay", str(listener.fileno()), "127.0.0.1", str(PORT)]
            self._start(RELAY, ["nsenter", f"--net=/run/netns/{namespace}", *words], [listener.fileno()])

    def _start(self, name: str, argv: Sequence[str], descriptors: Sequence[int] = ()) -> None:
        with self._log(name).open("wb") as log:
            process = subprocess.Popen(
                argv,
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=descriptors,
                start_new_session=True,
            )
        found = Process.of(process.pid)
        if found is not None:
            found.write(self.directory / f"{name}.pid")

    def _log(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    def _wait(self, path: str) -> None:
        """Until the API answers well to a path."""
        until = time.monotonic() + PATIENCE
        while not self._answers(path):
            for name in PROGRAMS:
                process = Process.read(self.directory / f"{name}.pid")
                if process is None or not process.alive:
                    raise LabError(f"{name} has ended:\n{tail(self._log(name).read_text(errors='replace'))}")
            if time.monotonic() > until:
                said = tail(self._log("kube-apiserver").read_text(errors="replace"))
                raise LabError(f"the API is not ready after {PATIENCE:.0f} s ({path}):\n{said}")
            time.sleep(0.3)

    def _answers(self, path: str) -> bool:
        tls = ssl.create_default_context(cafile=str(self.pki / "ca.crt"))
        tls.load_cert_chain(str(self.pki / f"{ADMIN}.crt"), str(self.pki / f"{ADMIN}.key"))
        connection = http.client.HTTPSConnection(self.relayed, timeout=5.0, context=tls)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", path)
            return connection.getresponse().status == http.client.OK
        return False


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lab.kube_plane", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="start it anew, and make certificates for nodes")
    up.add_argument("--binaries", type=Path, required=True, help="folder with its programs")
    up.add_argument("--nodes", metavar="PATTERN", help="hosts of inventories/lab, as with ansible's --limit")
    commands.add_parser("down", help="end it, and remove what it kept")
    options = parser.parse_args(arguments)
    try:
        if os.geteuid():
            raise LabError("it runs in a network namespace: be root, or use sudo -E")
        settings = Settings.from_environment(os.environ)
        plane = Plane(settings)
        if options.command == "down":
            plane.down()
            return 0
        fleet = load_fleet(REPOSITORY / "inventories" / "lab", settings, options.nodes)
        plane.up(options.binaries.absolute(), Progress())
        for host in fleet.selected:
            plane.issue_node(host.name, host.address)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
