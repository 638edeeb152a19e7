# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in for the kubelet: what it makes of a pod, with an API and a host that are made up."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, cast

import pytest

from tests.molecule import kubelet_pods
from tests.molecule.kube_client import Client, Object
from tests.molecule.kube_objects import daemon_set
from tests.molecule.kubelet_pods import Container, Pod, RefusedError, expanded, field, write_atomically
from tests.waiting import until

CONFIGURATION = {"address": "10.77.101.11", "images": ["kube-proxy:v1", "echo:1"], "node": "local1"}


class Api:
    """Stands in for the API: ConfigMaps by name, and what was said of pods."""

    def __init__(self, **maps: dict[str, str]) -> None:
        self.maps = maps
        self.said: list[Object] = []
        self.deleted: list[str] = []

    def find(self, path: str) -> Object | None:
        name = path.rpartition("/")[2]
        return {"data": self.maps[name]} if name in self.maps else None

    def create(self, path: str, _body: Object) -> Object:
        return {"status": {"token": f"token of {path.split('/')[-2]}"}}

    def patch(self, _path: str, body: Object) -> Object:
        self.said.append(body["status"])
        return body

    def delete(self, path: str, _body: Object) -> None:
        self.deleted.append(path)

    @property
    def last(self) -> Object:
        return self.said[-1]


@pytest.fixture(autouse=True)
def _root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kubelet_pods, "ROOT", tmp_path / "kubelet")


def pod_of(api: Api, *containers: Object, **spec: Any) -> Pod:
    metadata = {"name": "one", "namespace": "kube-system", "uid": "1-2-3"}
    inner = {"hostNetwork": True, "containers": list(containers), "nodeName": "local1", **spec}
    return Pod({"metadata": metadata, "spec": inner}, cast(Client, api), dict(CONFIGURATION))


def container(name: str, script: str, **more: Any) -> Object:
    return {"name": name, "image": "echo:1", "command": ["/bin/sh", "-c", script], **more}


@pytest.fixture(autouse=True)
def _without_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit test may not mount: the command alone."""
    real = kubelet_pods.subprocess.Popen

    def start(argv: list[str], **options: Any) -> Any:
        return real(argv[argv.index("sh", 6) + 1 :], **options)

    monkeypatch.setattr(kubelet_pods.subprocess, "Popen", start)


def step_until(pod: Pod, condition: Any) -> None:
    until(condition, 10.0, pause=0.02, meanwhile=pod.step)


def test_files_of_a_config_map_change_all_at_once(tmp_path: Path) -> None:
    write_atomically(tmp_path / "volume", {"a": "1", "b": "2"})
    assert (tmp_path / "volume" / "a").read_text() == "1"
    first = (tmp_path / "volume" / "..data").resolve()
    write_atomically(tmp_path / "volume", {"a": "1", "b": "2"})
    assert (tmp_path / "volume" / "..data").resolve() == first
    write_atomically(tmp_path / "volume", {"a": "3", "b": "2"})
    assert (tmp_path / "volume" / "a").read_text() == "3"
    assert not first.exists()


def test_variables_and_fields() -> None:
    assert expanded("--name=$(NODE) $(OTHER)", {"NODE": "local1"}) == "--name=local1 $(OTHER)"
    assert field({"spec": {"nodeName": "local1"}}, {"fieldPath": "spec.nodeName"}) == "local1"
    assert field({}, {"fieldPath": "status.hostIP"}) == ""


def test_init_containers_come_first_and_one_after_the_other(tmp_path: Path) -> None:
    api, path = Api(), tmp_path / "order"
    first = [container(name, f"echo {name} >> {path}") for name in ("clean", "again")]
    pod = pod_of(api, container("proxy", f"echo proxy >> {path}; exec sleep 60"), initContainers=first)
    pod.step()
    assert api.last["phase"] == "Pending"
    step_until(pod, lambda: pod.containers[0].ready)
    assert path.read_text() == "clean\nagain\nproxy\n"
    assert api.last["phase"] == "Running"
    assert {each["type"]: each["status"] for each in api.last["conditions"]}["Ready"] == "True"
    assert [each["state"]["terminated"]["exitCode"] for each in api.last["initContainerStatuses"]] == [0, 0]
    pod.forget()


def test_one_that_ends_is_started_again_later_and_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubelet_pods, "FIRST_BACK_OFF", 0.2)
    api = Api()
    pod = pod_of(api, container("proxy", "echo no ipset; exit 3"))
    # However slow the machine is: once it has ended at least twice.
    step_until(
        pod, lambda: pod.containers[0].back_off >= 0.4 and "waiting" in api.last["containerStatuses"][0]["state"]
    )
    status = api.last["containerStatuses"][0]
    assert status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert status["lastState"]["terminated"]["exitCode"] == 3
    said = pod.containers[0].log.read_text().splitlines()
    assert set(said) == {"no ipset"}
    assert pod.containers[0].back_off == 0.2 * 2 ** (len(said) - 1)


def test_a_failed_init_container_keeps_the_others_from_starting() -> None:
    api = Api()
    pod = pod_of(api, container("proxy", "exec sleep 60"), initContainers=[container("clean", "exit 1")])
    step_until(pod, lambda: api.said and api.last["initContainerStatuses"][0].get("lastState"))
    assert not pod.containers[0].running
    assert api.last["phase"] == "Pending"


@pytest.mark.parametrize(("script", "phase"), [("exit 0", "Succeeded"), ("exit 2", "Failed")])
def test_a_pod_that_runs_once_comes_to_its_end(script: str, phase: str) -> None:
    api = Api()
    pod = pod_of(api, container("cleanup", script), restartPolicy="Never")
    step_until(pod, lambda: api.said and api.last["phase"] == phase)
    assert api.last["containerStatuses"][0]["state"]["terminated"]["exitCode"] == int(script[-1])
    assert api.last["containerStatuses"][0]["restartCount"] == 0


def test_volumes_of_kubeadm_s_pod(tmp_path: Path) -> None:
    api = Api(**{"kube-proxy": {"config.conf": "mode: ipvs\n"}, "kube-root-ca.crt": {"ca.crt": "CA"}})
    spec = daemon_set("v1")["spec"]["template"]["spec"]
    volumes = [each for each in spec["volumes"] if "hostPath" not in each]
    sources = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]
    volumes.append({"name": "access", "projected": {"sources": sources}})
    volumes.append({"name": "lock", "hostPath": {"path": str(tmp_path / "lock"), "type": "FileOrCreate"}})
    pod = pod_of(api, container("proxy", "exec sleep 60"), volumes=volumes, serviceAccountName="kube-proxy")
    step_until(pod, lambda: pod.containers[0].running)
    access = pod.directory / "volumes" / "access"
    assert {path.name: path.read_text() for path in access.glob("[!.]*")} == {
        "token": "token of kube-proxy",
        "ca.crt": "CA",
        "namespace": "kube-system",
    }
    assert (pod.directory / "volumes" / "kube-proxy" / "config.conf").read_text() == "mode: ipvs\n"
    assert (tmp_path / "lock").exists()
    pod.forget()


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"hostNetwork": False}, "CreatePodSandboxError"),
        ({"volumes": [{"name": "x", "configMap": {"name": "missing"}}]}, "ContainerCreating"),
        ({"volumes": [{"name": "x", "nfs": {}}]}, "CreateContainerConfigError"),
    ],
)
def test_what_it_has_not_is_said_and_not_passed_over(spec: Object, reason: str) -> None:
    api = Api()
    pod = pod_of(api, container("proxy", "exec sleep 60"), **spec)
    pod.step()
    assert not pod.containers[0].running
    assert api.last["containerStatuses"][0]["state"]["waiting"]["reason"] == reason


def test_an_image_that_the_host_has_not_is_none() -> None:
    api = Api()
    pod = pod_of(api, {**container("proxy", "exec sleep 60"), "image": "kube-proxy:v9"})
    pod.step()
    waiting = api.last["containerStatuses"][0]["state"]["waiting"]
    assert (waiting["reason"], "kube-proxy:v9" in waiting["message"]) == ("ImagePullBackOff", True)
    with pytest.raises(RefusedError, match="echo:1"):
        Container({"name": "x", "image": "other"}, pod.directory, "Always").start(pod.object, {}, dict(CONFIGURATION))


def test_a_pod_that_is_deleted_may_end_by_itself_and_is_gone_then() -> None:
    api = Api()
    pod = pod_of(api, container("proxy", "trap 'exit 0' TERM; while :; do sleep 0.05; done"))
    step_until(pod, lambda: pod.containers[0].running)
    pod.object["metadata"].update(deletionTimestamp="now", deletionGracePeriodSeconds=30)
    until(pod.step, 10.0, pause=0.02)
    assert api.deleted == ["/api/v1/namespaces/kube-system/pods/one"]
    assert not pod.directory.exists()


def test_one_that_is_deaf_is_killed_when_its_time_is_over() -> None:
    api = Api()
    pod = pod_of(api, container("proxy", "trap '' TERM; while :; do sleep 0.05; done"))
    step_until(pod, lambda: pod.containers[0].running)
    time.sleep(0.2)
    pod.object["metadata"].update(deletionTimestamp="now", deletionGracePeriodSeconds=0.5)
    began = time.monotonic()
    until(pod.step, 10.0, pause=0.02)
    assert time.monotonic() - began > 0.4
