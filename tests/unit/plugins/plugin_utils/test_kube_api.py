# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API is asked, and what is said where it refuses, is busy, or does not answer."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Callable, ClassVar

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError, InputError
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_api import (
    CONFIG_MAPS,
    DAEMON_SETS,
    ENDPOINT_SLICES,
    FELIX,
    NODES,
    PODS,
    Answer,
    Api,
    connect,
)
from tests.unit.plugins.plugin_utils.fake_cluster import FakeCluster

SERVER = "Kubernetes API (https://cluster.example:6443): "


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


def test_paths_are_those_of_the_api() -> None:
    assert NODES.path("ignored", "node1") == "/api/v1/nodes/node1"
    assert CONFIG_MAPS.path("kube-system", "kube-proxy") == "/api/v1/namespaces/kube-system/configmaps/kube-proxy"
    assert ENDPOINT_SLICES.path() == "/apis/discovery.k8s.io/v1/endpointslices"
    assert DAEMON_SETS.path("a", "../../nodes") == "/apis/apps/v1/namespaces/a/daemonsets/..%2F..%2Fnodes"


def test_what_is_there_and_what_is_not(cluster: FakeCluster) -> None:
    api = cluster.api
    assert api.version() == "v1.34.2"
    assert (api.get(NODES, "node1") or {})["metadata"]["name"] == "node1"
    assert api.get(NODES, "node9") is None
    # A kind that this cluster does not have.
    assert api.get(FELIX, "default") is None
    # None of the kind is something else.
    with pytest.raises(HostError, match="it has no felixconfigurations/v1"):
        api.list(FELIX)


def test_lists_come_in_pages(cluster: FakeCluster) -> None:
    cluster.page = 1
    assert [each["metadata"]["name"] for each in cluster.api.list(NODES)] == ["node1", "node2", "node3"]
    assert len(cluster.api.list(PODS, "kube-system", "k8s-app=kube-proxy", "node2")) == 1


def test_pages_of_which_the_rest_has_expired_are_asked_for_again_as_one(cluster: FakeCluster) -> None:
    cluster.page = 2
    asked = []

    class Expiring(FakeCluster):
        def send(self, method: str, path: str, query: Any, body: Any, kind: str) -> Answer:
            asked.append(dict(query))
            if "continue" in dict(query):
                return Answer(410, {"message": "expired"})
            cluster.page = 2 if "limit" in dict(query) else 500
            return cluster.send(method, path, query, body, kind)

    assert len(Expiring().api.list(NODES)) == 3
    assert asked == [{"limit": "500"}, {"limit": "500", "continue": "2"}, {}]


@pytest.mark.parametrize(
    ("verb", "plural", "work", "said"),
    [
        ("list", "nodes", lambda api: api.list(NODES), "this user may not list nodes"),
        (
            "patch",
            "nodes",
            lambda api: api.patch(NODES, "node1", {}),
            'this user may not patch nodes "node1" (give it that in a role of RBAC)',
        ),
        (
            "create",
            "daemonsets",
            lambda api: api.create(DAEMON_SETS, {"metadata": {"namespace": "kube-system", "name": "x"}}),
            'this user may not create daemonsets.apps "x" in kube-system',
        ),
    ],
)
def test_what_is_forbidden_is_named_by_verb_and_resource(
    verb: str, plural: str, work: Callable[[Api], Any], said: str, cluster: FakeCluster
) -> None:
    cluster.forbidden = {(verb, plural)}
    with pytest.raises(HostError) as caught:
        work(cluster.api)
    assert SERVER + said in str(caught.value)


def test_what_a_user_may_is_asked_beforehand(cluster: FakeCluster) -> None:
    cluster.forbidden = {("delete", "pods")}
    assert cluster.api.may("get", PODS, "kube-system")
    assert not cluster.api.may("delete", PODS, "kube-system")


def test_who_asks(cluster: FakeCluster) -> None:
    assert cluster.api.user() == "visitor"
    # An older server does not say.
    cluster.raw = Answer(404, {"message": "not found"})
    assert cluster.api.user() == ""


def test_a_server_that_is_busy_is_asked_again_but_not_for_ever(cluster: FakeCluster) -> None:
    cluster.busy = 3
    assert cluster.api.get(NODES, "node1")
    cluster.busy = 4
    with pytest.raises(HostError, match="the server is not ready \\(HTTP 503\\)"):
        cluster.api.get(NODES, "node1")


def test_what_writes_is_sent_once(cluster: FakeCluster) -> None:
    cluster.busy = 1
    with pytest.raises(HostError, match="HTTP 503"):
        cluster.api.patch(NODES, "node1", {})
    assert cluster.said == []


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (Answer(401, {}), "it does not know this user (renew the credentials of the kubeconfig)"),
        (Answer(200, "<html>a portal</html>"), "its answer is no object of the API"),
        (Answer(418, "teapot"), "teapot (HTTP 418)"),
    ],
)
def test_other_answers(raw: Answer, said: str, cluster: FakeCluster) -> None:
    cluster.raw = raw
    with pytest.raises(HostError) as caught:
        cluster.api.get(NODES, "node1")
    assert said in str(caught.value)


def test_no_answer(cluster: FakeCluster) -> None:
    cluster.silent = "timed out"
    with pytest.raises(HostError) as caught:
        cluster.api.list(NODES)
    assert SERVER + "list nodes: no answer: timed out (see that the server is up" in str(caught.value)
    # It is only a part of another message.
    assert cluster.api.log("pod", "kube-system", 5) == ""


def test_conflicts_are_told(cluster: FakeCluster) -> None:
    body = cluster.api.get(CONFIG_MAPS, "kube-proxy", "kube-system") or {}
    assert not cluster.api.create(CONFIG_MAPS, body)
    assert cluster.api.replace(CONFIG_MAPS, body)
    assert not cluster.api.replace(CONFIG_MAPS, body)


def test_what_is_not_there_is_deleted(cluster: FakeCluster) -> None:
    cluster.api.delete(PODS, "nobody", "kube-system")


def test_a_client_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    with pytest.raises(HostError, match="the Python package kubernetes is not there, on the controller"):
        connect("", "", 5.0)


def test_a_kubeconfig_that_is_wrong_is_named(tmp_path: Path) -> None:
    pytest.importorskip("kubernetes", reason="kubernetes is in .venv (requirements/dev.in) only")
    with pytest.raises(InputError, match=r"kube_proxy_kubeconfig: .*: there is no such file"):
        connect(str(tmp_path / "none"), "", 5.0)
    broken = tmp_path / "config"
    broken.write_text("clusters: [", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be used"):
        connect(str(broken), "", 5.0)


class _Server(BaseHTTPRequestHandler):
    """Answers what the test has told it, after as many seconds, and remembers what it was asked."""

    asked: ClassVar[list[tuple[str, str, dict[str, str], bytes]]] = []
    answer: ClassVar[tuple[int, bytes]] = (200, b"{}")
    seconds: ClassVar[float] = 0.0

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.asked.append((self.command, self.path, dict(self.headers), body))
        time.sleep(self.seconds)
        status, text = self.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_arguments: Any) -> None:
        pass


for _method in ("GET", "POST", "PATCH", "PUT", "DELETE"):
    setattr(_Server, "do_" + _method, _Server._any)


@pytest.fixture
def server() -> Iterator[tuple[type[_Server], str]]:
    class Own(_Server):
        asked: ClassVar[list[tuple[str, str, dict[str, str], bytes]]] = []

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Own)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield Own, "http://127.0.0.1:%d" % listening.server_address[1]
    listening.shutdown()
    listening.server_close()


def _by_client(url: str, folder: Path, seconds: float = 5.0, **user: str) -> Api:
    pytest.importorskip("kubernetes", reason="kubernetes is in .venv (requirements/dev.in) only")
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "a", "cluster": {"server": url}}],
        "users": [{"name": "a", "user": user}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "current-context": "a",
    }
    path = folder / "config"
    path.write_text(json.dumps(config), encoding="utf-8")
    return connect(str(path), "", seconds)


def test_requests_as_the_server_gets_them(server: tuple[type[_Server], str], tmp_path: Path) -> None:
    own, url = server
    api = _by_client(url, tmp_path, token="a-token")
    own.answer = (200, json.dumps({"metadata": {"name": "node1"}}).encode())
    assert api.get(NODES, "node1") == {"metadata": {"name": "node1"}}
    api.list(PODS, "kube-system", "k8s-app=kube-proxy", "node1")
    api.patch(NODES, "node1", {"metadata": {"labels": {"x": None}}})
    api.delete(PODS, "a", "kube-system")
    query = "?limit=500&labelSelector=k8s-app%3Dkube-proxy&fieldSelector=spec.nodeName%3Dnode1"
    assert [(method, path) for method, path, _headers, _body in own.asked] == [
        ("GET", "/api/v1/nodes/node1"),
        ("GET", "/api/v1/namespaces/kube-system/pods" + query),
        ("PATCH", "/api/v1/nodes/node1"),
        ("DELETE", "/api/v1/namespaces/kube-system/pods/a"),
    ]
    headers, body = own.asked[2][2:]
    assert headers["Content-Type"] == "application/merge-patch+json"
    assert headers["authorization"] == "Bearer a-token"
    assert json.loads(body) == {"metadata": {"labels": {"x": None}}}
    own.answer = (403, b'{"message": "nodes is forbidden"}')
    with pytest.raises(HostError, match="this user may not list nodes"):
        api.list(NODES)


def test_a_server_that_is_slow_or_gone_is_told_in_time(server: tuple[type[_Server], str], tmp_path: Path) -> None:
    own, url = server
    own.seconds = 1.5
    with pytest.raises(HostError, match=r"get nodes \"node1\": no answer: .*timed out"):
        _by_client(url, tmp_path, 0.3).get(NODES, "node1")
    with pytest.raises(HostError, match=r"no answer: .*refused"):
        _by_client("http://127.0.0.1:9", tmp_path, 0.3).get(NODES, "node1")
    # Somebody else listens there, without TLS.
    with pytest.raises(HostError, match="no answer"):
        _by_client(url.replace("http", "https"), tmp_path, 3.0).get(NODES, "node1")
