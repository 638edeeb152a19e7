# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API of a Kubernetes cluster: the one seam to it, by the client of the Python package kubernetes.

Runs on the controller alone. Objects are plain data, as the API writes them, so that what is not known here is kept.
Every failure is an ApiError that says what was asked, what came of it, and what to do.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Protocol, Tuple
from urllib.parse import quote, urlencode

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError, Problem, host_error, input_error

SYSTEM_NAMESPACE = "kube-system"
MERGE_PATCH = "application/merge-patch+json"
_JSON = "application/json"
_PAGE = 500
# How often what only reads is asked, where the server says that it is too busy, and the seconds between.
_ATTEMPTS, _PAUSE = 4, 2.0
_BUSY = (429, 500, 502, 503, 504)
_CONNECT_SECONDS = 5.0
_AGENT = "netfleet.tcp"
_TOO_OLD = "Kubernetes 1.21 or newer is needed; see that it is one that answers there"

Object = Dict[str, Any]
Query = Sequence[Tuple[str, str]]


@dataclass(frozen=True)
class Resource:
    """A kind of object: where the API has it, and what it is called in a role of RBAC. group: empty for the core."""

    plural: str
    group: str = ""
    version: str = "v1"
    namespaced: bool = True

    def path(self, namespace: str = "", name: str = "") -> str:
        """The path of one, or of all of them, in a namespace, or in all."""
        base = "/apis/%s/%s" % (self.group, self.version) if self.group else "/api/%s" % self.version
        parts = [base]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts += [self.plural] + ([quote(name, safe="")] if name else [])
        return "/".join(parts)

    def __str__(self) -> str:
        return "%s.%s" % (self.plural, self.group) if self.group else self.plural


NODES = Resource("nodes", namespaced=False)
SERVICES = Resource("services")
PODS = Resource("pods")
CONFIG_MAPS = Resource("configmaps")
DAEMON_SETS = Resource("daemonsets", "apps")
ENDPOINT_SLICES = Resource("endpointslices", "discovery.k8s.io")
FELIX = Resource("felixconfigurations", "crd.projectcalico.org", namespaced=False)
INSTALLATIONS = Resource("installations", "operator.tigera.io", namespaced=False)
_REVIEWS = Resource("selfsubjectaccessreviews", "authorization.k8s.io", namespaced=False)
_WHO = Resource("selfsubjectreviews", "authentication.k8s.io", namespaced=False)


@dataclass(frozen=True)
class Answer:
    """What the server said. body: as JSON, or the text where it is none."""

    status: int
    body: Any


class NoAnswerError(Exception):
    """The server gave no answer: it cannot be reached, is too slow, or is not the one that it should be."""


class ApiError(HostError):
    """The API does not do what it was asked: it gives no answer, or refuses."""


class Transport(Protocol):
    """Sends one request. server: its address, for people."""

    server: str

    def send(self, method: str, path: str, query: Query, body: Any, content_type: str) -> Answer:
        """The answer, whichever status it has. NoAnswerError."""


class Api:
    """Objects of a cluster, read and written."""

    def __init__(self, transport: Transport, sleep: Callable[[float], None] = time.sleep) -> None:
        self._transport = transport
        self._sleep = sleep

    @property
    def server(self) -> str:
        """The address of the server, for people."""
        return self._transport.server

    def version(self) -> str:
        """The server's version, as v1.36.4."""
        body = self._read("/version", (), "ask for the version").body
        return str(body.get("gitVersion", "")) if isinstance(body, dict) else ""

    def get(self, resource: Resource, name: str, namespace: str = "") -> Optional[Object]:
        """One object; None where there is none, or no such kind."""
        what = _what("get", resource, namespace, name)
        answer = self._read(resource.path(namespace, name), (), what, missing=True)
        return None if answer.status == 404 else self._object(answer, what)

    def list(
        self, resource: Resource, namespace: str = "", labels: str = "", node: str = "", fields: str = ""
    ) -> List[Object]:
        """All objects, by pages. labels, fields: selectors; node: of pods, the one that they are on."""
        fields = "spec.nodeName=%s" % node if node else fields
        query: List[Tuple[str, str]] = [("limit", str(_PAGE))]
        query += [("labelSelector", labels)] if labels else []
        query += [("fieldSelector", fields)] if fields else []
        found: List[Object] = []
        what, more = _what("list", resource, namespace), ""
        while True:
            asked = [*query, *([("continue", more)] if more else [])]
            answer = self._read(resource.path(namespace), asked, what, missing=True, expired=bool(more))
            if answer.status == 404:
                # All of those that are listed are a part of Kubernetes itself.
                raise self._error("%s: it has no %s/%s" % (what, resource.plural, resource.version), _TOO_OLD)
            if answer.status == 410:
                # What the first page belonged to is gone: once more, in one piece.
                found, more, query = [], "", query[1:]
                continue
            body = self._object(answer, what)
            found += [each for each in body.get("items") or () if isinstance(each, dict)]
            more = str((body.get("metadata") or {}).get("continue") or "")
            if not more:
                return found

    def create(self, resource: Resource, body: Object) -> bool:
        """Make an object; False where there is one of this name already."""
        namespace, name = _names(body)
        what = _what("create", resource, namespace, name)
        answer = self._write("POST", resource.path(namespace), body, _JSON, what, allowed=(409,))
        return answer.status != 409

    def replace(self, resource: Resource, body: Object) -> bool:
        """Write a whole object; False where it is not what body was made of any more (its resourceVersion)."""
        namespace, name = _names(body)
        what = _what("update", resource, namespace, name)
        return self._write("PUT", resource.path(namespace, name), body, _JSON, what, allowed=(409,)).status != 409

    def patch(self, resource: Resource, name: str, body: Object, namespace: str = "") -> None:
        """Merge into an object; None takes a field away."""
        self._write(
            "PATCH", resource.path(namespace, name), body, MERGE_PATCH, _what("patch", resource, namespace, name)
        )

    def delete(self, resource: Resource, name: str, namespace: str = "") -> None:
        """Delete an object and what it has made; nothing where there is none."""
        what = _what("delete", resource, namespace, name)
        options = {"propagationPolicy": "Background"}
        self._write("DELETE", resource.path(namespace, name), options, _JSON, what, allowed=(404,))

    def log(self, pod: str, namespace: str, lines: int) -> str:
        """The last lines that a pod has written, empty where they cannot be had."""
        try:
            path = PODS.path(namespace, pod) + "/log"
            answer = self._transport.send("GET", path, [("tailLines", str(lines))], None, _JSON)
        except NoAnswerError:
            return ""
        return answer.body.strip() if answer.status == 200 and isinstance(answer.body, str) else ""

    def user(self) -> str:
        """Who asks, by the name that the server has for him; empty where it does not say (before Kubernetes 1.28)."""
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        answer = self._write("POST", _WHO.path(), body, _JSON, "ask who this user is", allowed=(403, 404))
        status = answer.body.get("status") if isinstance(answer.body, dict) else None
        return str(((status if isinstance(status, dict) else {}).get("userInfo") or {}).get("username") or "")

    def may(self, verb: str, resource: Resource, namespace: str = "") -> bool:
        """Whether this user may do that."""
        attributes = {"verb": verb, "group": resource.group, "resource": resource.plural, "namespace": namespace}
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        what = "ask what this user may do"
        answer = self._object(self._write("POST", _REVIEWS.path(), body, _JSON, what), what)
        return (answer.get("status") or {}).get("allowed") is True

    def _read(self, path: str, query: Query, what: str, missing: bool = False, expired: bool = False) -> Answer:
        allowed = (*((404,) if missing else ()), *((410,) if expired else ()))
        for attempt in range(1, _ATTEMPTS + 1):
            answer = self._send("GET", path, query, None, _JSON, what)
            if answer.status not in _BUSY or attempt == _ATTEMPTS:
                return self._judged(answer, what, allowed)
            self._sleep(_PAUSE)
        raise AssertionError("there is a last attempt")

    def _write(
        self, method: str, path: str, body: Any, content_type: str, what: str, allowed: Sequence[int] = ()
    ) -> Answer:
        return self._judged(self._send(method, path, (), body, content_type, what), what, allowed)

    def _send(self, method: str, path: str, query: Query, body: Any, content_type: str, what: str) -> Answer:
        try:
            return self._transport.send(method, path, query, body, content_type)
        except NoAnswerError as error:
            cure = "see that the server is up, and that kube_proxy_kubeconfig and kube_proxy_context name it"
            raise self._error("%s: no answer: %s" % (what, error), cure) from error

    def _judged(self, answer: Answer, what: str, allowed: Sequence[int]) -> Answer:
        if 200 <= answer.status < 300 or answer.status in allowed:
            return answer
        if answer.status == 401:
            raise self._error("%s: it does not know this user" % what, "renew the credentials of the kubeconfig")
        if answer.status == 403:
            raise self._error("this user may not %s" % what, "give it that in a role of RBAC")
        raise self._error("%s: %s" % (what, _said(answer)))

    def _object(self, answer: Answer, what: str) -> Object:
        if not isinstance(answer.body, dict):
            raise self._error("%s: its answer is no object of the API" % what, "see that nothing else answers there")
        return answer.body

    def _error(self, problem: str, cure: str = "") -> ApiError:
        return ApiError([Problem("Kubernetes API (%s)" % self.server, problem, cure)])


def _what(verb: str, resource: Resource, namespace: str, name: str = "") -> str:
    """What is asked, as RBAC calls it: patch nodes "node1"; list daemonsets.apps in kube-system."""
    where = " in %s" % namespace if namespace and resource.namespaced else ""
    return "%s %s%s%s" % (verb, resource, ' "%s"' % name if name else "", where)


def _names(body: Mapping[str, Any]) -> Tuple[str, str]:
    metadata = body["metadata"]
    return str(metadata.get("namespace", "")), str(metadata["name"])


def _said(answer: Answer) -> str:
    """An error of the server in its own words."""
    message = answer.body.get("message") if isinstance(answer.body, dict) else answer.body
    return "%s (HTTP %d)" % (" ".join(str(message).split()) or "refused", answer.status)


def connect(kubeconfig: str, context: str, seconds: float) -> Api:
    """The API that a kubeconfig names; by default the one of kubectl. seconds: for each answer.

    HostError where the client is missing, InputError where the kubeconfig is wrong. The server is not asked yet.
    """
    return Api(_KubernetesTransport(kubeconfig, context, seconds))


class _KubernetesTransport:
    """By the package kubernetes, which knows the kubeconfig, and all ways in which a user proves who he is."""

    def __init__(self, kubeconfig: str, context: str, seconds: float) -> None:
        try:
            # Where no cluster is asked, nobody needs it.
            from kubernetes import client, config
            from kubernetes.client import rest
        except ImportError:
            problem = "the Python package kubernetes is not there, on the controller"
            raise host_error("", problem, "install it into the environment that Ansible runs in") from None
        path = os.path.expanduser(kubeconfig) if kubeconfig else None
        where = "kube_proxy_kubeconfig" + (": %s" % kubeconfig if kubeconfig else "")
        if path and not os.path.isfile(path):
            raise input_error(where, "there is no such file")
        settings = client.Configuration()
        try:
            config.load_kube_config(
                config_file=path, context=context or None, client_configuration=settings, persist_config=False
            )
        except Exception as error:
            # By what is wrong with it: a dozen kinds, some of them of YAML and of base64.
            said = " ".join(str(error).split())
            raise input_error(where, "cannot be used: %s" % said, "kubectl has to work with it") from error
        self.server = str(settings.host).rstrip("/")
        self._settings = settings
        # Of the client, only what makes connections: how it is called beyond that differs between its versions.
        self._pool = rest.RESTClientObject(settings).pool_manager
        self._seconds = (min(_CONNECT_SECONDS, seconds), seconds)

    def send(self, method: str, path: str, query: Query, body: Any, content_type: str) -> Answer:
        """See Transport."""
        # urllib3 is the client's, and comes with it.
        from urllib3 import Timeout
        from urllib3.exceptions import HTTPError

        headers = {"Accept": "application/json, */*", "Content-Type": content_type, "User-Agent": _AGENT}
        # A token may be renewed with each request.
        known = self._settings.auth_settings().values()
        headers.update({each["key"]: each["value"] for each in known if each["in"] == "header" and each["value"]})
        url = self.server + path + ("?" + urlencode(list(query)) if query else "")
        connect_seconds, read_seconds = self._seconds
        try:
            # What is not known to have failed is not sent a second time.
            found = self._pool.request(
                method,
                url,
                body=None if body is None else json.dumps(body).encode(),
                headers=headers,
                timeout=Timeout(connect=connect_seconds, read=read_seconds),
                retries=False,
                redirect=False,
            )
        except (HTTPError, OSError) as error:
            raise NoAnswerError(_plain(error)) from error
        return Answer(int(found.status), _decoded(found.data))


def _decoded(body: Any) -> Any:
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
    try:
        return json.loads(text)
    except ValueError:
        return text


def _plain(error: Exception) -> str:
    """What is wrong, without the connection object that urllib3 names."""
    text = " ".join(str(error).split())
    return text.rsplit(">: ", 1)[-1] or type(error).__name__
