# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods as kubelet_agent.py runs them on a host of the lab: their volumes, containers and states."""

from __future__ import annotations

import contextlib
import datetime
import http.client
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

if __name__.startswith("tests."):
    from tests.molecule.kube_client import ApiError, Client, Object
else:
    from kube_client import ApiError, Client, Object  # type: ignore[no-redef, import-not-found, unused-ignore]

ROOT = Path("/var/lib/kubelet-stand-in")
# Seconds until what a ConfigMap says is in the files of a pod (the kubelet takes about a minute); those of a container
# that ends again and again; and of one that is told to end.
REFRESH = 20.0
FIRST_BACK_OFF, LONGEST_BACK_OFF, FORGIVEN_AFTER = 10.0, 300.0, 600.0
GRACE = 30
# Seconds after which a token is exchanged; it lasts an hour.
TOKEN = 1800.0
# Of a container: after which ends it starts anew.
ALWAYS, AFTER_FAILURE, NEVER = "Always", "OnFailure", "Never"


def now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class RefusedError(Exception):
    """A pod asks for what this stand-in has not. reason: as the kubelet words it; the text is for people."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Volumes:
    """The volumes of a pod, as directories and files of the host."""

    def __init__(self, pod: Object, client: Client, directory: Path) -> None:
        self._pod, self._client, self._directory = pod, client, directory
        self._tokens: dict[str, tuple[float, str]] = {}
        self.paths: dict[str, Path] = {}

    def make(self) -> None:
        """Have all of them; those of ConfigMaps and tokens as they are now."""
        for volume in self._pod["spec"].get("volumes") or ():
            self.paths[volume["name"]] = self._make(volume)

    def _make(self, volume: Object) -> Path:
        path = self._directory / "volumes" / str(volume["name"])
        if "hostPath" in volume:
            return self._host_path(volume["hostPath"])
        if "emptyDir" in volume:
            path.mkdir(parents=True, exist_ok=True)
        elif "configMap" in volume:
            write_atomically(path, self._config_map(volume["configMap"]))
        elif "projected" in volume:
            files: dict[str, str] = {}
            for source in volume["projected"]["sources"]:
                files.update(self._projected(source))
            write_atomically(path, files)
        else:
            kinds = ", ".join(kind for kind in volume if kind != "name")
            raise RefusedError("CreateContainerConfigError", f"volume {volume['name']}: no volumes of {kinds} here")
        return path

    @staticmethod
    def _host_path(source: Object) -> Path:
        path, kind = Path(source["path"]), source.get("type") or ""
        if kind == "DirectoryOrCreate":
            path.mkdir(parents=True, exist_ok=True)
        elif kind == "FileOrCreate":
            path.touch(exist_ok=True)
        if not path.exists():
            raise RefusedError("CreateContainerError", f"hostPath {path}: not there")
        return path

    def _config_map(self, source: Object) -> dict[str, str]:
        path = f"/api/v1/namespaces/{self._pod['metadata']['namespace']}/configmaps/{source['name']}"
        found = self._client.find(path)
        if found is None:
            if source.get("optional"):
                return {}
            raise RefusedError("ContainerCreating", f'configmap "{source["name"]}" not found')
        data: dict[str, str] = found.get("data") or {}
        items = source.get("items")
        return {item["path"]: data[item["key"]] for item in items} if items else data

    def _projected(self, source: Object) -> dict[str, str]:
        if "configMap" in source:
            return self._config_map(source["configMap"])
        if "downwardAPI" in source:
            return {item["path"]: field(self._pod, item["fieldRef"]) for item in source["downwardAPI"]["items"]}
        if "serviceAccountToken" in source:
            return {source["serviceAccountToken"]["path"]: self._token(source["serviceAccountToken"])}
        raise RefusedError("CreateContainerConfigError", f"no projected volumes of {', '.join(source)} here")

    def _token(self, source: Object) -> str:
        """One that is good for a while yet."""
        path = str(source["path"])
        if path not in self._tokens or time.monotonic() - self._tokens[path][0] > TOKEN:
            self._tokens[path] = (time.monotonic(), self._new_token(source))
        return self._tokens[path][1]

    def _new_token(self, source: Object) -> str:
        metadata, account = self._pod["metadata"], self._pod["spec"]["serviceAccountName"]
        bound = {"kind": "Pod", "apiVersion": "v1", "name": metadata["name"], "uid": metadata["uid"]}
        spec: Object = {"expirationSeconds": source.get("expirationSeconds") or 3600, "boundObjectRef": bound}
        spec["audiences"] = [source["audience"]] if source.get("audience") else []
        answer = self._client.create(
            f"/api/v1/namespaces/{metadata['namespace']}/serviceaccounts/{account}/token",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec},
        )
        return str(answer["status"]["token"])


def write_atomically(directory: Path, files: Mapping[str, str]) -> None:
    """All files of a directory at once, as the kubelet writes them: links through one that is exchanged.

    Where they are as they should be, nothing is touched.
    """
    current = directory / "..data"
    if current.is_dir() and {path.name: path.read_text() for path in current.iterdir()} == dict(files):
        return
    directory.mkdir(parents=True, exist_ok=True)
    former = current.resolve() if current.is_symlink() else None
    fresh = directory / f"..{time.time_ns()}"
    fresh.mkdir()
    for name, text in files.items():
        (fresh / name).write_text(text)
    link = directory / "..data_tmp"
    link.symlink_to(fresh.name)
    link.rename(current)
    for name in files:
        if not (directory / name).is_symlink():
            (directory / name).symlink_to(f"..data/{name}")
    if former is not None:
        shutil.rmtree(former)


def field(pod: Object, reference: Object) -> str:
    """What a field of a pod says, as a fieldRef names it."""
    value: Any = pod
    for name in str(reference["fieldPath"]).split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return str(value or "")


class Container:
    """A container of a pod: a process in a mount namespace of its own. again: after which ends it starts anew."""

    def __init__(self, spec: Object, directory: Path, again: str) -> None:
        self.spec, self._directory, self._again = spec, directory, again
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at, self.began = "", 0.0
        self.restarts, self.back_off, self.not_before = 0, 0.0, 0.0
        self.last: Object | None = None
        self.trouble: RefusedError | None = None
        self.ready = False

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    @property
    def log(self) -> Path:
        return self._directory / f"{self.name}.log"

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Of the last time that it ended, if it does not run."""
        return None if self.last is None or self.running else int(self.last["exitCode"])

    @property
    def over(self) -> bool:
        """Whether it has ended, and does not start anew."""
        code = self.exit_code
        return code is not None and (self._again == NEVER or (self._again == AFTER_FAILURE and code == 0))

    def start(self, pod: Object, volumes: Mapping[str, Path], configuration: Object) -> None:
        """Start it. RefusedError where it cannot be."""
        image = str(self.spec["image"])
        if image not in configuration["images"]:
            text = f'Back-off pulling image "{image}": this host has {", ".join(configuration["images"])}'
            raise RefusedError("ImagePullBackOff", text)
        variables = self._variables(pod, configuration)
        words = [*(self.spec.get("command") or ()), *(self.spec.get("args") or ())]
        if not words:
            raise RefusedError("CreateContainerError", "no command, and images have none here")
        argv = [expanded(str(word), variables) for word in words]
        mounts = list(self._mounts(volumes))
        script = "".join(
            f'mount --bind "${{{2 * number + 1}}}" "${{{2 * number + 2}}}"; ' for number in range(len(mounts) // 2)
        )
        script = f'set -e; {script}shift {len(mounts)}; exec "$@"'
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *mounts, *argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", **variables},
                start_new_session=True,
            )
        self.started_at, self.began, self.trouble = now(), time.monotonic(), None

    def _variables(self, pod: Object, configuration: Object) -> dict[str, str]:
        known = {**pod, "status": {"hostIP": configuration["address"], "podIP": configuration["address"]}}
        found: dict[str, str] = {}
        for variable in self.spec.get("env") or ():
            reference = (variable.get("valueFrom") or {}).get("fieldRef")
            found[variable["name"]] = field(known, reference) if reference else str(variable.get("value") or "")
        return found

    def _mounts(self, volumes: Mapping[str, Path]) -> Iterator[str]:
        """Source and target, in turn. A target that the host has not is made: there is no image that could have it."""
        for mount in self.spec.get("volumeMounts") or ():
            source, target = volumes[mount["name"]], Path(mount["mountPath"])
            if mount.get("subPath"):
                source = source / mount["subPath"]
            if source.is_dir():
                target.mkdir(parents=True, exist_ok=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.touch(exist_ok=True)
            yield str(source)
            yield str(target)

    def look(self) -> None:
        """Take note of an end."""
        if self.process is None or self.process.poll() is None:
            return
        code = self.process.returncode
        lived = time.monotonic() - self.began
        self.last = {
            "exitCode": code if code >= 0 else 128 - code,
            "reason": "Completed" if code == 0 else "Error",
            "startedAt": self.started_at,
            "finishedAt": now(),
        }
        self.back_off = FIRST_BACK_OFF if lived > FORGIVEN_AFTER or not self.back_off else self.back_off * 2
        self.not_before = time.monotonic() + min(self.back_off, LONGEST_BACK_OFF)
        self.process, self.ready = None, False

    def is_ready(self, address: str) -> bool:
        """Whether it runs, and answers where it is asked for readiness."""
        probe = (self.spec.get("readinessProbe") or {}).get("httpGet")
        if not self.running or not probe:
            return self.running
        connection = http.client.HTTPConnection(probe.get("host") or address, int(probe["port"]), timeout=1.0)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", probe.get("path") or "/")
            return connection.getresponse().status < http.client.BAD_REQUEST
        return False

    def send(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def status(self) -> Object:
        """As the API has it."""
        state: Object
        if self.running:
            state = {"running": {"startedAt": self.started_at}}
        elif self.trouble is not None:
            state = {"waiting": {"reason": self.trouble.reason, "message": str(self.trouble)}}
        elif self.over:
            state = {"terminated": self.last}
        elif self.last is not None:
            wait = {"reason": "CrashLoopBackOff", "message": f"back-off {self.back_off:.0f}s restarting {self.name}"}
            state = {"waiting": wait}
        else:
            state = {"waiting": {"reason": "PodInitializing"}}
        found: Object = {"name": self.name, "image": self.spec["image"], "imageID": "", "state": state}
        found.update(ready=self.ready, started=self.running, restartCount=self.restarts)
        if self.last is not None:
            found["lastState"] = {"terminated": self.last}
        return found


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """With each $(NAME) that is known replaced."""
    for name, value in variables.items():
        text = text.replace(f"$({name})", value)
    return text


class Pod:
    """A pod that is bound to this node."""

    def __init__(self, pod: Object, client: Client, configuration: Object) -> None:
        self.object, self._client, self._configuration = pod, client, configuration
        self.directory = ROOT / "pods" / str(pod["metadata"]["uid"])
        self.directory.mkdir(parents=True, exist_ok=True)
        self._volumes = Volumes(pod, client, self.directory)
        spec = pod["spec"]
        policy = spec.get("restartPolicy") or ALWAYS
        first = NEVER if policy == NEVER else AFTER_FAILURE
        self.initial = [Container(each, self.directory, first) for each in spec.get("initContainers") or ()]
        self.containers = [Container(each, self.directory, policy) for each in spec["containers"]]
        self._refreshed: float | None = None
        self._started, self._killed_at = now(), 0.0
        self._said: Object = {}
        self._changed_at: dict[str, tuple[bool, str]] = {}

    @property
    def path(self) -> str:
        metadata = self.object["metadata"]
        return f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"

    def step(self) -> bool:
        """Bring it one step on, and say how it is. True where it is over, and gone from the API."""
        for each in (*self.initial, *self.containers):
            each.look()
        if self.object["metadata"].get("deletionTimestamp"):
            return self._end()
        old = self._refreshed is None or time.monotonic() - self._refreshed > REFRESH
        if old and self._have_volumes():
            self._refreshed = time.monotonic()
        if self._refreshed is not None:
            self._go_on()
        for each in self.containers:
            each.ready = each.is_ready(str(self._configuration["address"]))
        self._say()
        return False

    def _have_volumes(self) -> bool:
        first = (self.initial or self.containers)[0]
        try:
            if not self.object["spec"].get("hostNetwork"):
                raise RefusedError("CreatePodSandboxError", "this stand-in for the kubelet has no network for pods")
            self._volumes.make()
        except (RefusedError, ApiError) as error:
            first.trouble = error if isinstance(error, RefusedError) else RefusedError("ContainerCreating", str(error))
            return False
        return True

    def _go_on(self) -> None:
        for each in self.initial:
            if each.exit_code != 0:
                self._run(each)
                return
        for each in self.containers:
            self._run(each)

    def _run(self, container: Container) -> None:
        if container.running or container.over or time.monotonic() < container.not_before:
            return
        again = container.last is not None
        try:
            container.start(self.object, self._volumes.paths, self._configuration)
        except RefusedError as error:
            container.trouble = error
            return
        container.restarts += again

    def _end(self) -> bool:
        grace = self.object["metadata"].get("deletionGracePeriodSeconds")
        everything = [*self.initial, *self.containers]
        if not self._killed_at:
            self._killed_at = time.monotonic()
            for each in everything:
                each.send(signal.SIGTERM)
        elif time.monotonic() - self._killed_at > (GRACE if grace is None else grace):
            for each in everything:
                each.send(signal.SIGKILL)
        if any(each.running for each in everything):
            return False
        self._client.delete(
            self.path, {"gracePeriodSeconds": 0, "preconditions": {"uid": self.object["metadata"]["uid"]}}
        )
        self.forget()
        return True

    def forget(self) -> None:
        """End what still runs, since nobody knows of it any more, and remove its files."""
        for each in (*self.initial, *self.containers):
            each.send(signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _say(self) -> None:
        initialized = all(each.exit_code == 0 for each in self.initial)
        ready = initialized and all(each.ready for each in self.containers)
        conditions = {"PodScheduled": True, "Initialized": initialized, "ContainersReady": ready, "Ready": ready}
        address = {"ip": self._configuration["address"]}
        status: Object = {
            "phase": self._phase(initialized),
            "conditions": [self._condition(name, true) for name, true in conditions.items()],
            "hostIP": address["ip"],
            "hostIPs": [address],
            "podIP": address["ip"],
            "podIPs": [address],
            "startTime": self._started,
            "initContainerStatuses": [each.status() for each in self.initial],
            "containerStatuses": [each.status() for each in self.containers],
        }
        if status != self._said:
            # One that is gone already needs no status.
            with contextlib.suppress(ApiError):
                self._client.patch(f"{self.path}/status", {"status": status})
            self._said = status

    def _phase(self, initialized: bool) -> str:
        if any(each.over and each.exit_code for each in self.initial):
            return "Failed"
        if initialized and all(each.over for each in self.containers):
            return "Failed" if any(each.exit_code for each in self.containers) else "Succeeded"
        return "Running" if initialized and any(each.running or each.last for each in self.containers) else "Pending"

    def _condition(self, name: str, true: bool) -> Object:
        before = self._changed_at.get(name)
        if before is None or before[0] != true:
            self._changed_at[name] = (true, now())
        return {"type": name, "status": str(true), "lastTransitionTime": self._changed_at[name][1]}
