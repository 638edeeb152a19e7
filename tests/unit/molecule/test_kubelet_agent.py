# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in for the kubelet as a Node, against a small server that speaks as the API does, over TLS."""

from __future__ import annotations

import http.client
import http.server
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import kube_pki
from tests.molecule import kubelet_agent, kubelet_pods
from tests.molecule.kube_client import ApiError, Client
from tests.molecule.kubelet_agent import Node, serve_logs

LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
POD = {
    "metadata": {"name": "one", "namespace": "default", "uid": "1"},
    "spec": {"hostNetwork": False, "nodeName": "local1", "containers": [{"name": "only", "image": "echo:1"}]},
}


class Server(http.server.ThreadingHTTPServer):
    """Objects by path, and what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects: dict[str, Any] = {}
        self.asked: list[tuple[str, str]] = []


class Handler(http.server.BaseHTTPRequestHandler):
    """As much of the API as is asked here."""

    server: Server
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        self.server.asked.append((self.command, self.path))
        status, found = 200, self.server.objects.get(path)
        if self.command == "POST":
            given = json.loads(body)
            self.server.objects[f"{path}/{given['metadata']['name']}"] = found = given
        elif self.command == "DELETE":
            self.server.objects.pop(path, None)
        elif self.command == "PATCH" and path.endswith("/status"):
            found = {}
        elif found is None:
            status, found = 404, {"message": f"{path} not found"}
        data = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def files(tmp_path: Path) -> Path:
    kube_pki.make_authority(tmp_path)
    kube_pki.issue(tmp_path, "api", "kube-apiserver", hosts=["127.0.0.1"])
    kube_pki.issue(tmp_path, "node", "system:node:local1", ["system:nodes"], ["127.0.0.1"])
    return tmp_path


@pytest.fixture
def api(files: Path) -> Iterator[Server]:
    server = Server()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(files / "ca.crt"))
    tls.load_cert_chain(str(files / "api.crt"), str(files / "api.key"))
    tls.verify_mode = ssl.CERT_REQUIRED
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def node(api: Server, files: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    monkeypatch.setattr(kubelet_pods, "ROOT", files / "pods")
    server = f"127.0.0.1:{api.server_port}"
    return Node(
        {
            "node": "local1",
            "address": "127.0.0.1",
            "server": server,
            "files": str(files),
            "images": ["echo:1"],
            "version": "v1.36.4",
        }
    )


def test_a_client_tells_what_the_api_answered(api: Server, files: Path) -> None:
    client = Client(f"127.0.0.1:{api.server_port}", files, "node")
    assert client.find("/api/v1/nodes/none") is None
    with pytest.raises(ApiError, match="404: GET /api/v1/nodes/none: /api/v1/nodes/none not found") as caught:
        client.get("/api/v1/nodes/none")
    assert caught.value.status == 404
    client.create("/api/v1/nodes", {"metadata": {"name": "one"}})
    assert client.get("/api/v1/nodes/one") == {"metadata": {"name": "one"}}
    client.delete("/api/v1/nodes/one")
    assert client.find("/api/v1/nodes/one") is None


def test_a_node_registers_once_and_lives_on(api: Server, node: Node) -> None:
    node.register()
    node.register()
    assert [path for method, path in api.asked if method == "POST"] == ["/api/v1/nodes"]
    assert api.objects["/api/v1/nodes/local1"]["metadata"]["labels"]["kubernetes.io/hostname"] == "local1"
    node.live()
    node.live()
    assert api.objects[f"{LEASE}/local1"]["spec"]["holderIdentity"] == "local1"
    # A sign of life now and then, not with each look.
    assert [path for _method, path in api.asked if "leases" in path] == [f"{LEASE}/local1", LEASE]


def test_pods_come_and_go_as_the_api_has_them(api: Server, node: Node) -> None:
    api.objects["/api/v1/pods"] = {"items": [POD]}
    node.step()
    assert list(node.pods) == ["1"]
    assert ("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dlocal1") in api.asked
    assert ("PATCH", "/api/v1/namespaces/default/pods/one/status") in api.asked
    directory = node.pods["1"].directory
    assert directory.exists()
    api.objects["/api/v1/pods"] = {"items": []}
    node.step()
    assert (node.pods, directory.exists()) == ({}, False)


def test_logs_are_served_to_who_has_a_certificate_and_to_nobody_else(
    api: Server, node: Node, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.objects["/api/v1/pods"] = {"items": [POD]}
    node.step()
    node.pods["1"].containers[0].log.write_text("one\ntwo\nthree\n", encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
    monkeypatch.setattr(kubelet_agent, "PORT", port)
    serve_logs(node, files)
    client = Client(f"127.0.0.1:{port}", files, "node")
    assert client.text("/containerLogs/default/one/only?tailLines=2") == "two\nthree\n"
    with pytest.raises(ApiError, match="404"):
        client.text("/containerLogs/default/one/other")
    stranger = ssl.create_default_context(cafile=str(files / "ca.crt"))
    connection = http.client.HTTPSConnection(f"127.0.0.1:{port}", context=stranger, timeout=5.0)
    # A reset or an alert, by the version of OpenSSL.
    with pytest.raises((OSError, http.client.HTTPException)):
        ask(connection)


def ask(connection: http.client.HTTPSConnection) -> int:
    """The status of an answer."""
    connection.request("GET", "/containerLogs/default/one/only")
    return connection.getresponse().status
