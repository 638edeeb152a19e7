# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a host of the lab, as a service: a STAND-IN for the kubelet, and no kubelet.

    kubelet_agent.py CONFIGURATION

It makes the host a Node of the real API server, and runs the pods that the real scheduler binds to it: init containers
one after the other, then the containers, with their ConfigMaps, tokens and host paths mounted, restarted as the kubelet
restarts them; it says what became of them, and lets the API server read their logs. What it has not: images (a
container runs with the host's own files, and an image only has to be one that the configuration names), a network for
pods (only those of the host's network run), cgroups, limits, capabilities, probes other than readiness by HTTP, exec.

The configuration is JSON: node, address, server (host:port), files (ca.crt, node.crt, node.key), images, version.
"""

from __future__ import annotations

import datetime
import http.client
import http.server
import json
import platform
import shutil
import ssl
import sys
import threading
import time
import traceback
import urllib.parse
from pathlib import Path

if __package__:
    from tests.molecule.kube_client import ApiError, Client, Object
    from tests.molecule.kubelet_pods import ROOT, Pod, now
else:
    from kube_client import ApiError, Client, Object  # type: ignore[no-redef, import-not-found, unused-ignore]
    from kubelet_pods import ROOT, Pod, now  # type: ignore[no-redef, import-not-found, unused-ignore]

PORT = 10250
# Seconds between two looks at the API, and between two signs of life.
LOOK, LIFE = 1.0, 10.0


class Node:
    """This host as a Node of the cluster."""

    def __init__(self, configuration: Object) -> None:
        self._configuration = configuration
        self.name = str(configuration["node"])
        files = Path(configuration["files"])
        self.client = Client(str(configuration["server"]), files, "node")
        self.pods: dict[str, Pod] = {}
        self._lived = 0.0

    def register(self) -> None:
        """Be a Node, ready, of whatever was known of it before."""
        labels = {"kubernetes.io/hostname": self.name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
        path = f"/api/v1/nodes/{self.name}"
        if self.client.find(path) is None:
            metadata = {"name": self.name, "labels": labels}
            self.client.create("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": metadata})
        amount = {"cpu": "1", "memory": "512Mi", "pods": "20", "ephemeral-storage": "1Gi"}
        condition = {"type": "Ready", "status": "True", "reason": "StandIn", "message": "a stand-in for the kubelet"}
        address = self._configuration["address"]
        status = {
            "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": self.name}],
            "capacity": amount,
            "allocatable": amount,
            "conditions": [{**condition, "lastHeartbeatTime": now(), "lastTransitionTime": now()}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": PORT}},
            "nodeInfo": {
                "kernelVersion": platform.release(),
                "osImage": "Debian",
                "operatingSystem": "linux",
                "architecture": "amd64",
                "kubeletVersion": self._configuration["version"],
                "kubeProxyVersion": "",
                "containerRuntimeVersion": "stand-in://0",
                "machineID": "",
                "systemUUID": "",
                "bootID": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
            },
        }
        self.client.patch(f"{path}/status", {"status": status})

    def live(self) -> None:
        """Show the API now and then that this node lives."""
        if time.monotonic() - self._lived < LIFE:
            return
        leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        renewed = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"holderIdentity": self.name, "leaseDurationSeconds": 40, "renewTime": renewed}
        try:
            self.client.patch(f"{leases}/{self.name}", {"spec": spec})
        except ApiError as error:
            if error.status != http.client.NOT_FOUND:
                raise
            kind = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": self.name}}
            self.client.create(leases, {**kind, "spec": spec})
        self._lived = time.monotonic()

    def step(self) -> None:
        """One look at the API, and what follows from it."""
        listed = self.client.items("/api/v1/pods", fieldSelector=f"spec.nodeName={self.name}")
        found = {str(pod["metadata"]["uid"]): pod for pod in listed}
        for uid in [uid for uid in self.pods if uid not in found]:
            self.pods.pop(uid).forget()
        for uid, pod in found.items():
            if uid not in self.pods:
                self.pods[uid] = Pod(pod, self.client, self._configuration)
            self.pods[uid].object = pod
            if self.pods[uid].step():
                del self.pods[uid]

    def log(self, namespace: str, name: str, container: str) -> str | None:
        """What a container has printed; None where there is no such."""
        for pod in list(self.pods.values()):
            metadata = pod.object["metadata"]
            if (metadata["namespace"], metadata["name"]) == (namespace, name):
                for each in (*pod.initial, *pod.containers):
                    if each.name == container and each.log.exists():
                        return each.log.read_text(errors="replace")
        return None


def serve_logs(node: Node, files: Path) -> None:
    """Answer the API server, and nobody else, who asks for logs."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urllib.parse.urlsplit(self.path)
            words = parts.path.strip("/").split("/")
            text = node.log(*words[1:]) if len(words) == 4 and words[0] == "containerLogs" else None
            lines = urllib.parse.parse_qs(parts.query).get("tailLines")
            if text is not None and lines:
                text = "".join(text.splitlines(keepends=True)[-int(lines[0]) :])
            self.send_response(http.client.OK if text is not None else http.client.NOT_FOUND)
            self.end_headers()
            self.wfile.write((text or "").encode())

        def log_message(self, *_arguments: object) -> None:
            pass

    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(files / "ca.crt"))
    tls.load_cert_chain(str(files / "node.crt"), str(files / "node.key"))
    tls.verify_mode = ssl.CERT_REQUIRED
    server = http.server.ThreadingHTTPServer(("", PORT), Handler)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def main(path: str) -> None:
    configuration = json.loads(Path(path).read_text())
    shutil.rmtree(ROOT, ignore_errors=True)
    node = Node(configuration)
    serve_logs(node, Path(configuration["files"]))
    registered = False
    while True:
        try:
            if not registered:
                node.register()
                registered = True
            node.live()
            node.step()
        except (ApiError, OSError, http.client.HTTPException, ValueError, KeyError):
            # An API that does not answer does not end a pod.
            traceback.print_exc()
        time.sleep(LOOK)


if __name__ == "__main__":
    main(sys.argv[1])
