# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster in memory, behind the seam of _kube_api: objects, what a controller of DaemonSets makes of them, and nodes.

Its pods run kube-proxy in the mode of the ConfigMap that they mount. What the kernel of a node has is as it should be.
"""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any, Dict, List, Optional, Sequence, Set, Tuple

import yaml

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_choice import needed_modules
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_find import CONFIG_MAP, Place
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_model import (
    NodeSeen,
    ProxyChange,
    ProxyOutcome,
    ServiceToTry,
    ServiceTried,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_modes import IPTABLES, IPVS, NFTABLES
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_residues import Leftovers
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_table import ProxyEntry
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_api import Answer, Api, NoAnswerError

TEXT = """\
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
unknownField: kept
ipvs:
  scheduler: ""
"""
KUBECONFIG = "a kubeconfig of its own"
NODES = ("node1", "node2", "node3")
SERVICE = {
    "metadata": {"namespace": "default", "name": "web"},
    "spec": {
        "type": "ClusterIP",
        "clusterIP": "10.96.0.10",
        "clusterIPs": ["10.96.0.10"],
        "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
    },
}
SLICE = {
    "metadata": {"namespace": "default", "name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
    "addressType": "IPv4",
    "endpoints": [{"addresses": ["10.244.1.5"], "conditions": {"ready": True}}],
    "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
}
ENTRY = ProxyEntry("tcp", "10.96.0.10", 80, ("10.244.1.5:8080",))
PLACE = Place("kubeadm", CONFIG_MAP)


def daemon_set(**spec: Any) -> Dict[str, Any]:
    """kube-proxy's, as kubeadm makes it."""
    container = {
        "name": "kube-proxy",
        "image": "registry.example/kube-proxy:v1.34.2",
        "command": ["/usr/local/bin/kube-proxy", "--config=/var/lib/kube-proxy/config.conf"],
        "volumeMounts": [{"name": "kube-proxy", "mountPath": "/var/lib/kube-proxy"}],
    }
    template_spec = {
        "containers": [container],
        "hostNetwork": True,
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "serviceAccountName": "kube-proxy",
        "tolerations": [{"operator": "Exists"}],
        "volumes": [{"name": "kube-proxy", "configMap": {"name": "kube-proxy"}}],
        **spec,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"namespace": "kube-system", "name": "kube-proxy", "uid": "1", "labels": {"k8s-app": "kube-proxy"}},
        "spec": {
            "selector": {"matchLabels": {"k8s-app": "kube-proxy"}},
            "template": {"metadata": {"labels": {"k8s-app": "kube-proxy"}}, "spec": template_spec},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
        },
        "status": {"numberReady": 3},
    }


def config_map(text: str = TEXT) -> Dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"namespace": "kube-system", "name": "kube-proxy", "uid": "2"},
        "data": {"config.conf": text, "kubeconfig.conf": KUBECONFIG},
    }


def node(name: str, **labels: str) -> Dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/os": "linux", **labels}},
        "spec": {},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "192.0.2.%s" % name[-1]}],
            "nodeInfo": {"kubeletVersion": "v1.34.2"},
        },
    }


class FakeCluster:
    """The API and its controllers.

    broken: (node, mode or DaemonSet) in which kube-proxy's container does not come up. forbidden: (verb, plural).
    silent: no answer. busy: so many answers to come are HTTP 503. said: every request that writes: "verb plural/name".
    """

    server = "https://cluster.example:6443"

    def __init__(self, text: str = TEXT) -> None:
        self.objects: Dict[Tuple[str, str], Dict[str, Any]] = {}
        self.said: List[str] = []
        self.broken: Set[Tuple[str, str]] = set()
        self.forbidden: Set[Tuple[str, str]] = set()
        self.silent = ""
        self.busy = 0
        self.raw: Optional[Answer] = None
        self.page = 500
        self.cleaned: List[str] = []
        self.residue_of: Dict[str, str] = {}
        # The mode whose residues kube-proxy's own clean-up does not find.
        self.leaves = ""
        self._version = 0
        for kind, body in (
            *(("nodes", node(name)) for name in NODES),
            ("configmaps", config_map(text)),
            ("daemonsets", daemon_set()),
            ("services", SERVICE),
            ("endpointslices", SLICE),
        ):
            self._put(kind, copy.deepcopy(body))
        self._control()

    @property
    def api(self) -> Api:
        return Api(self, sleep=lambda _seconds: None)

    def names(self, kind: str) -> List[str]:
        return sorted(name for which, name in self.objects if which == kind)

    def labels(self) -> Dict[str, str]:
        """By node, our label."""
        found = {name: self.objects["nodes", name]["metadata"]["labels"] for name in self.names("nodes")}
        return {name: own["netfleet.tcp/kube-proxy"] for name, own in found.items() if "netfleet.tcp/kube-proxy" in own}

    def text(self, name: str = "kube-proxy") -> str:
        found: str = self.objects["configmaps", name]["data"]["config.conf"]
        return found

    def pod_on(self, name: str) -> Optional[Dict[str, Any]]:
        """The pod of kube-proxy on a node."""
        pods = [body for (kind, _name), body in self.objects.items() if kind == "pods" and "cleanup" not in _name]
        own = [pod for pod in pods if pod["spec"]["nodeName"] == name]
        assert len(own) < 2, "two kube-proxies on %s" % name
        return own[0] if own else None

    def mode_on(self, name: str) -> str:
        """The mode that kube-proxy runs on a node; empty where none does."""
        pod = self.pod_on(name)
        return str(pod["mode"]) if pod is not None and _is_up(pod) else ""

    def send(self, method: str, path: str, query: Sequence[Tuple[str, str]], body: Any, _content_type: str) -> Answer:
        """See Transport."""
        if self.silent:
            raise NoAnswerError(self.silent)
        if self.busy:
            self.busy -= 1
            return Answer(503, {"message": "the server is not ready"})
        if self.raw or path == "/version":
            return self.raw or Answer(200, {"gitVersion": "v1.34.2"})
        return self._answer(method, path, query, body)

    def _answer(self, method: str, path: str, query: Sequence[Tuple[str, str]], body: Any) -> Answer:
        # Through JSON, as on a wire.
        body = json.loads(json.dumps(body))
        kind, name, rest = _parts(path)
        if kind == "selfsubjectaccessreviews":
            asked = body["spec"]["resourceAttributes"]
            allowed = (asked["verb"], asked["resource"]) not in self.forbidden
            return Answer(201, {"status": {"allowed": allowed}})
        if kind == "selfsubjectreviews":
            return Answer(201, {"status": {"userInfo": {"username": "visitor"}}})
        if rest == "log":
            return Answer(200, "F1128 server.go: cannot run\n")
        verb = {"GET": "get" if name else "list", "POST": "create", "PUT": "update"}.get(method, method.lower())
        if (verb, kind) in self.forbidden:
            return Answer(403, {"message": "forbidden"})
        if kind not in ("nodes", "configmaps", "daemonsets", "services", "endpointslices", "pods"):
            return Answer(404, {"message": "the server could not find the requested resource"})
        if method == "GET":
            return self._got(kind, name, dict(query))
        return self._written(verb, kind, name or body["metadata"]["name"], body)

    def _got(self, kind: str, name: str, query: Dict[str, str]) -> Answer:
        if name:
            found = self.objects.get((kind, name))
            return Answer(200, copy.deepcopy(found)) if found else Answer(404, {"message": "not found"})
        items = [copy.deepcopy(self.objects[kind, each]) for each in self.names(kind)]
        if "labelSelector" in query:
            wanted = dict(pair.split("=") for pair in query["labelSelector"].split(","))
            items = [each for each in items if wanted.items() <= (each["metadata"].get("labels") or {}).items()]
        if "fieldSelector" in query:
            field, value = query["fieldSelector"].split("=")
            part, name = field.split(".")
            items = [each for each in items if each[part].get(name, "") == value]
        start = int(query.get("continue", 0))
        more = str(start + self.page) if start + self.page < len(items) else ""
        return Answer(200, {"items": items[start : start + self.page], "metadata": {"continue": more}})

    def _written(self, verb: str, kind: str, name: str, body: Any) -> Answer:
        self.said.append("%s %s/%s" % (verb, kind, name))
        there = self.objects.get((kind, name))
        if verb == "create" and there:
            return Answer(409, {"message": "already exists"})
        if verb != "create" and not there:
            return Answer(404, {"message": "not found"})
        if verb == "update" and there and body["metadata"]["resourceVersion"] != there["metadata"]["resourceVersion"]:
            return Answer(409, {"message": "the object has been modified"})
        if verb == "delete":
            del self.objects[kind, name]
        elif verb == "patch":
            self._put(kind, _merged(there, body))
        else:
            self._put(kind, body)
        if kind == "pods" and verb == "create":
            self._run_cleaner(body)
        self._control()
        return Answer(200, {})

    def _put(self, kind: str, body: Dict[str, Any]) -> None:
        self._version += 1
        body["metadata"]["resourceVersion"] = str(self._version)
        self.objects[kind, body["metadata"]["name"]] = body

    def _run_cleaner(self, pod: Dict[str, Any]) -> None:
        where, (container,) = pod["spec"]["nodeName"], pod["spec"]["containers"]
        assert container["command"][-1] == "--cleanup"
        assert self.pod_on(where) is None, "kube-proxy runs while it is cleaned up after"
        self.cleaned.append(where)
        if not self.leaves:
            self.residue_of.pop(where, None)
        pod["status"] = {"phase": "Succeeded"}

    def _control(self) -> None:
        """What the controller of DaemonSets, its scheduler and the kubelets do."""
        sets = {name: self.objects["daemonsets", name] for name in self.names("daemonsets")}
        for kind, name in list(self.objects):
            owner = self.objects[kind, name]["metadata"].get("owner") if kind == "pods" else None
            if owner and not (owner in sets and self._wants(sets[owner], self.objects[kind, name]["spec"]["nodeName"])):
                del self.objects[kind, name]
        for owner, found in sets.items():
            wanted = [each for each in self.names("nodes") if self._wants(found, each)]
            for each in wanted:
                if ("pods", "%s-%s" % (owner, each)) not in self.objects:
                    self._start(owner, found, each)
            count = len(wanted)
            found["metadata"]["generation"] = 1
            found["status"] = {
                "observedGeneration": 1,
                "desiredNumberScheduled": count,
                "numberAvailable": count,
                "updatedNumberScheduled": count,
            }

    def _wants(self, found: Dict[str, Any], name: str) -> bool:
        labels: Dict[str, str] = self.objects["nodes", name]["metadata"]["labels"]
        spec = found["spec"]["template"]["spec"]
        required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
            "requiredDuringSchedulingIgnoredDuringExecution"
        )
        terms = required["nodeSelectorTerms"] if required else None
        return spec["nodeSelector"].items() <= labels.items() and (
            terms is None or any(_matches(term, labels) for term in terms)
        )

    def _start(self, owner: str, found: Dict[str, Any], name: str) -> None:
        template = copy.deepcopy(found["spec"]["template"])
        pod: Dict[str, Any] = {
            "metadata": {
                "name": "%s-%s" % (owner, name),
                "namespace": "kube-system",
                "labels": template["metadata"]["labels"],
                "owner": owner,
            },
            "spec": {**template["spec"], "nodeName": name},
        }
        mounted = pod["spec"]["volumes"][0]["configMap"]["name"]
        # It goes on with what its ConfigMap said when it started.
        mode = pod["mode"] = str(yaml.safe_load(self.text(mounted)).get("mode") or IPTABLES)
        if {(name, mode), (name, owner)} & self.broken:
            waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
            last = {"terminated": {"exitCode": 1, "reason": "Error"}}
            container = {"name": "kube-proxy", "state": waiting, "lastState": last}
            pod["status"] = {"phase": "Running", "containerStatuses": [container]}
        else:
            pod["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        self._put("pods", pod)


def _is_up(pod: Dict[str, Any]) -> bool:
    return bool(pod["status"].get("conditions"))


def _matches(term: Dict[str, Any], labels: Dict[str, str]) -> bool:
    found = term.get("matchExpressions") or []
    known = {
        "DoesNotExist": lambda each: each["key"] not in labels,
        "In": lambda each: labels.get(each["key"]) in each["values"],
    }
    return bool(found) and all(known[each["operator"]](each) for each in found)


def _merged(there: Any, patch: Any) -> Any:
    """A merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    found = dict(there) if isinstance(there, dict) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = _merged(found.get(key), value)
    return found


def _parts(path: str) -> Tuple[str, str, str]:
    """(plural, name, what follows) of a path."""
    words = path.strip("/").split("/")
    words = words[3:] if words[0] == "apis" else words[2:]
    if words[0] == "namespaces":
        words = words[2:]
    return (*words, "", "")[0], (*words, "", "")[1], (*words, "", "", "")[2]


class FakeNode:
    """A node of the cluster by its modules. residue: what a mode leaves that the node cannot take away itself.

    lost: it cannot be reached. wrong: its kernel lacks the Service in these modes. said: what it was asked to do.
    scheduler: that of its virtual servers.
    """

    def __init__(self, cluster: FakeCluster, name: str) -> None:
        self.cluster = cluster
        self.name = name
        self.said: List[str] = []
        self.wrong: Set[str] = set()
        self.lost = False
        self.refuses = ""
        self.scheduler = "rr"
        self.unanswered: Set[str] = set()
        self.seen = NodeSeen(
            place=PLACE,
            kernel="6.12.0",
            node_name=name,
            addresses=("192.0.2.%s" % name[-1],),
            modules=tuple({*needed_modules(IPVS, "lc"), *needed_modules(NFTABLES)}),
            sysctls={"net.ipv4.ip_forward": "1"},
        )

    def look(self, entries: bool = True) -> NodeSeen:
        if self.lost:
            raise host_error("", "the connection was lost")
        mode = self.cluster.mode_on(self.name)
        left = self.cluster.residue_of.get(self.name, "")
        entry = replace(ENTRY, scheduler=self.scheduler) if mode == IPVS else ENTRY
        bound = ("10.96.0.10",) if mode == IPVS else ()
        leftovers = Leftovers(interface=IPVS in (mode, left))
        found = (entry,) if mode and mode not in self.wrong and entries else ()
        health = self.seen.health if mode else "127.0.0.1:10256: connection refused"
        return replace(self.seen, proxy_mode=mode, health=health, entries=found, bound=bound, leftovers=leftovers)

    def change(self, want: ProxyChange) -> ProxyOutcome:
        if self.refuses:
            raise host_error("module", self.refuses)
        self.said.append("change %s" % want.mode)
        former = self.cluster.mode_on(self.name)
        return ProxyOutcome(id="" if former == want.mode else "17-%s" % want.mode, former_mode=former)

    def restore(self, identifier: str) -> None:
        self.said.append("restore %s" % identifier)

    def keep(self, identifier: str) -> None:
        self.said.append("keep %s" % identifier)

    def connect(self, services: Sequence[ServiceToTry], _seconds: float) -> Tuple[ServiceTried, ...]:
        mode = self.cluster.mode_on(self.name)
        problems = ("1 of 1 connections failed: timed out",) if mode in self.unanswered else ()
        return tuple(
            ServiceTried(each.name, each.address, each.port, 1, each.endpoints, problems=problems) for each in services
        )
