# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects of the API for the scenario `kube`: kube-proxy as kubeadm runs it, backends, and Services."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from lab.kube_plane import PODS
from tests.molecule.kube_client import Object

SYSTEM, DEFAULT = "kube-system", "default"
PROXY = "kube-proxy"
# Images have no registry in front: nothing is fetched.
IMAGE, ECHO_IMAGE = "kube-proxy:{}", "echo:1"
PROGRAM = "/usr/local/bin/kube-proxy"
AGENTS = "/usr/local/lib/netfleet-lab"
ECHO_PORT = 8080
_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


def configuration(mode: str, kubeconfig: str, **more: Any) -> Object:
    """A KubeProxyConfiguration. more: further fields of it."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": mode,
        "bindAddress": "0.0.0.0",
        "clientConnection": {"kubeconfig": kubeconfig},
        "clusterCIDR": PODS,
        "detectLocalMode": "ClusterCIDR",
        "metricsBindAddress": "127.0.0.1:10249",
        "healthzBindAddress": "0.0.0.0:10256",
        # An emulated machine has one slow CPU, where doing all of it again takes half a minute; and what is not under
        # test is left as it is.
        "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "iptables": {"minSyncPeriod": "1s", "syncPeriod": "10m"},
        "ipvs": {"minSyncPeriod": "1s", "syncPeriod": "10m"},
        "nftables": {"minSyncPeriod": "1s", "syncPeriod": "10m"},
        **more,
    }


def config_map(text: str, server: str) -> Object:
    """kubeadm's ConfigMap. text: of config.conf; server: URL of the API."""
    user = {"name": "default", "user": {"tokenFile": f"{_ACCOUNT}/token"}}
    cluster = {"server": server, "certificate-authority": f"{_ACCOUNT}/ca.crt"}
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "default", "cluster": cluster}],
        "users": [user],
        "contexts": [{"name": "default", "context": {"cluster": "default", "user": "default"}}],
        "current-context": "default",
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": PROXY, "namespace": SYSTEM, "labels": {"app": PROXY}},
        "data": {"config.conf": text, "kubeconfig.conf": json.dumps(kubeconfig)},
    }


def daemon_set(version: str) -> Object:
    """kubeadm's DaemonSet."""
    container = {
        "name": PROXY,
        "image": IMAGE.format(version),
        "imagePullPolicy": "IfNotPresent",
        "command": [PROGRAM, "--config=/var/lib/kube-proxy/config.conf", "--hostname-override=$(NODE_NAME)"],
        "securityContext": {"privileged": True},
        "env": [{"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
        "volumeMounts": [
            {"name": PROXY, "mountPath": "/var/lib/kube-proxy"},
            {"name": "xtables-lock", "mountPath": "/run/xtables.lock", "readOnly": False},
            {"name": "lib-modules", "mountPath": "/lib/modules", "readOnly": True},
        ],
    }
    volumes = [
        {"name": PROXY, "configMap": {"name": PROXY}},
        {"name": "xtables-lock", "hostPath": {"path": "/run/xtables.lock", "type": "FileOrCreate"}},
        {"name": "lib-modules", "hostPath": {"path": "/lib/modules"}},
    ]
    spec = {
        "priorityClassName": "system-node-critical",
        "hostNetwork": True,
        "serviceAccountName": PROXY,
        "tolerations": [{"operator": "Exists"}],
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "containers": [container],
        "volumes": volumes,
    }
    return _daemon_set(PROXY, SYSTEM, spec, {"updateStrategy": {"type": "RollingUpdate"}})


def account() -> tuple[Object, Object]:
    """kube-proxy's service account, and what it may do."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": PROXY, "namespace": SYSTEM}}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:node-proxier"}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "kubeadm:node-proxier"},
        "roleRef": role,
        "subjects": [{"kind": "ServiceAccount", "name": PROXY, "namespace": SYSTEM}],
    }
    return account, binding


def echo() -> Object:
    """A backend on each node, in the host's network."""
    container = {
        "name": "echo",
        "image": ECHO_IMAGE,
        "command": ["/usr/bin/python3", f"{AGENTS}/echo_agent.py", str(ECHO_PORT), "$(NODE_NAME)"],
        "env": [{"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
        "ports": [{"containerPort": ECHO_PORT}],
    }
    return _daemon_set("echo", DEFAULT, {"hostNetwork": True, "containers": [container]})


def _daemon_set(name: str, namespace: str, pod: Object, more: Object | None = None) -> Object:
    labels = {"k8s-app": name}
    template = {"metadata": {"labels": labels}, "spec": pod}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"selector": {"matchLabels": labels}, "template": template, **(more or {})},
    }


def service(name: str, port: int = 80, node_port: int = 0, **more: Any) -> Object:
    """A Service whose endpoints are those of echo. more: further fields of its specification."""
    ports: list[Object] = [{"name": "echo", "port": port, "targetPort": ECHO_PORT, "protocol": "TCP"}]
    if node_port:
        ports[0]["nodePort"] = node_port
    kind = "NodePort" if node_port else "ClusterIP"
    spec = {"type": kind, "selector": {"k8s-app": "echo"}, "ports": ports, **more}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": DEFAULT}, "spec": spec}


def service_of(name: str, port: int, addresses: Sequence[str]) -> tuple[Object, Object]:
    """A Service whose endpoints are named, at the same port; and its EndpointSlice."""
    ports = [{"name": "given", "port": port, "protocol": "TCP"}]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": DEFAULT, "labels": {"of": "given"}},
        "spec": {"ports": ports},
    }
    slice_ = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "namespace": DEFAULT,
            "labels": {
                "kubernetes.io/service-name": name,
                "endpointslice.kubernetes.io/managed-by": "netfleet-lab",
                "of": "given",
            },
        },
        "addressType": "IPv4",
        "ports": ports,
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
    }
    return service, slice_
