# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The container backend: each host a podman container with systemd, sshd and its own user and network namespaces."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import container_hook
from lab.backend import HostStatus
from lab.cache import Cache, digest
from lab.container_image import LABEL as IMAGE_LABEL
from lab.container_image import ensure_image
from lab.container_machine import detect, podman_environment, run_arguments, write_settings
from lab.container_network import Network
from lab.container_podman import Container, Podman
from lab.errors import LabError
from lab.fleet import Fleet, Host
from lab.paths import Settings, make_directory, remove_tree
from lab.run import Progress, tail
from lab.run import run as run_program
from lab.ssh import answers, close_shared_connections, ensure_key, ssh_argv, timeout_seconds

PORT = 22
WORKERS = 4
# The hosts' users are none of this machine's: a test can change neither its files nor its global sysctls (vm.*, fs.*).
FIRST_UID = 1_700_000_000
UIDS = 65536
# All that --privileged gives, but for the machine's devices: within the user namespace net.* is then writable.
CAPABLE = (
    "--cap-add=ALL",
    "--security-opt=unmask=ALL",
    "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined",
    "--security-opt=label=disable",
)
STATE_COMMAND = "systemctl is-system-running --wait; systemctl --failed --plain --no-legend"
INSTANCE_LABEL = "netfleet.lab.instance"
HOST_LABEL = "netfleet.lab.host"
SUITE_LABEL = "netfleet.lab.suite"
RECIPE_LABEL = "netfleet.lab.recipe"
STATE_LABEL = "netfleet.lab.state-dir"


class ContainerBackend:
    """Makes, starts and removes the containers of one instance; see lab.backend.Backend for the calls."""

    def __init__(self, fleet: Fleet, settings: Settings, progress: Progress) -> None:
        self._fleet = fleet
        self._settings = settings
        self._progress = progress
        self._cache = Cache(settings.cache_dir, progress)
        self._network = Network(settings.offset, fleet.network)
        self._machine = detect()
        self._directory = settings.backend_dir

    def image(self, suites: Sequence[str]) -> None:
        """Build the images of these suites unless they are there."""
        podman = self._podman()
        for suite in suites:
            ensure_image(suite, podman, self._cache, self._progress)

    def up(self, hosts: Sequence[Host], fresh: bool) -> None:
        """Start what is not running and wait until each host is up; `fresh` makes all of them anew."""
        present = self._present(self._podman())
        public_key = ensure_key(self._settings.key)
        podman = self._prepare()
        self._network.ensure()
        images = {suite: ensure_image(suite, podman, self._cache, self._progress) for suite in _suites(hosts)}
        recipes = {host.name: self._recipe(host, images[host.suite], public_key) for host in hosts}

        def start(host: Host) -> None:
            began = time.monotonic()
            verb = self._start(podman, host, present.get(host.name), recipes[host.name], images[host.suite], fresh)
            if verb:
                self._wait(podman, host)
                self._progress.done(host.name, verb, time.monotonic() - began)

        self._prepare_files(hosts, public_key)
        each(hosts, start)

    def down(self) -> None:
        """Remove this instance's containers, bridge and files; images stay."""
        podman = self._podman()
        present = self._present(podman)
        close_shared_connections([(host.address, PORT) for host in self._fleet.hosts])
        podman.remove(container.identifier for container in present.values())
        self._network.remove()
        remove_tree(self._directory)

    def status(self, hosts: Sequence[Host]) -> list[HostStatus]:
        """How each host stands."""
        present = self._present(self._podman())
        result = []
        for host in hosts:
            container = present.get(host.name)
            running = container is not None and container.running
            suite = container.labels.get(SUITE_LABEL, host.suite) if container else host.suite
            kernel = os.uname().release if running else None
            result.append(HostStatus(host.name, "container", suite, kernel, running, f"{host.address}:{PORT}"))
        return result

    def restore(self, hosts: Sequence[Host]) -> None:
        """Make the hosts anew: for a container that is the quickest way to a clean state."""
        self.up(hosts, fresh=True)

    def console(self, host: Host, lines: int) -> str:
        """The last lines of the host's journal, or of podman's log if it does not run."""
        return self._console(self._podman(), host, lines)

    def _prepare(self) -> Podman:
        """Podman for making and starting containers; writes what that takes into the state directory."""
        directory = make_directory(self._directory)
        write_settings(self._machine, directory)
        return Podman(podman_environment(directory), _write_hook(directory / "hooks"))

    def _podman(self) -> Podman:
        """Podman for looking at containers and removing them; leaves no trace."""
        return Podman(podman_environment(self._directory))

    def _name(self, host: Host) -> str:
        return f"netfleet-{self._settings.offset}-{host.name}"

    def _present(self, podman: Podman) -> dict[str, Container]:
        """The containers of this instance by host.

        What another state directory has left behind (a clone that was removed, a machine that was switched off) is
        removed.

        :raises LabError: some of another state directory run, e.g. those of another clone of the project.
        """
        found = podman.containers(INSTANCE_LABEL, str(self._settings.offset))
        others = [entry for entry in found if entry.labels.get(STATE_LABEL, "") != str(self._settings.state_dir)]
        for container in others:
            owner = container.labels.get(STATE_LABEL, "")
            if container.running:
                raise LabError(
                    f"instance {self._settings.offset} of the container lab is in use by {owner}; stop it there "
                    f"(NETFLEET_LAB_DIR={owner} ... lab down), or choose another with NETFLEET_LAB_OFFSET (0 to 9)"
                )
        podman.remove(container.identifier for container in others)
        return {container.labels.get(HOST_LABEL, ""): container for container in found if container not in others}

    def _recipe(self, host: Host, image: str, public_key: str) -> str:
        """A name for all that a container is made of: one that was made of something else is out of date."""
        parts = {"image": image, "key": public_key, "hosts": self._fleet.hosts_file(), "card": self._network.card(host)}
        return digest({**parts, "arguments": self._arguments(host)})

    def _prepare_files(self, hosts: Sequence[Host], public_key: str) -> None:
        """Write, for each host, the files that make the common image this host."""
        for host in hosts:
            root = self._directory / host.name
            ssh = root / "root/.ssh"
            ssh.mkdir(parents=True, exist_ok=True)
            ssh.chmod(0o700)
            (root / "root").chmod(0o700)
            _write(ssh / "authorized_keys", public_key + "\n", 0o600)
            (root / "etc").mkdir(exist_ok=True)
            _write(root / "etc/hosts", self._fleet.hosts_file(), 0o644)
            # A machine id of its own, and there from the start: systemd would take its absence for a first boot.
            identity = hashlib.md5(self._name(host).encode(), usedforsecurity=False).hexdigest()
            _write(root / "etc/machine-id", identity + "\n", 0o444)

    def _arguments(self, host: Host) -> list[str]:
        """The arguments of `podman create`, but for labels and image."""
        mapping = f"0:{FIRST_UID}:{UIDS}"
        # Words, not JSON: podman reads the value as CSV.
        card = " ".join(f"{key}={value}" for key, value in self._network.card(host).items())
        return [
            f"--name={self._name(host)}",
            f"--hostname={host.name}",
            *CAPABLE,
            f"--uidmap={mapping}",
            f"--gidmap={mapping}",
            "--network=none",  # the hook makes the network card
            "--no-hosts",
            "--ipc=none",  # no mount of podman's for /dev/shm, which may still be busy when the container is removed
            "--tmpfs=/dev/shm:mode=1777",
            f"--annotation={container_hook.ANNOTATION}={card}",
            *run_arguments(self._machine),
        ]

    def _start(
        self, podman: Podman, host: Host, present: Container | None, recipe: str, image: str, fresh: bool
    ) -> str | None:
        """Bring a host's container to run; returns what was done in words, None if it ran already."""
        verb = "started"
        if present and (fresh or present.state == "created" or present.labels.get(RECIPE_LABEL) != recipe):
            verb = "made anew" if fresh or present.state == "created" else "made anew, since it was out of date"
            close_shared_connections([(host.address, PORT)])
            podman.remove([present.identifier])
            present = None
        if present and present.running and answers(host.address, PORT):
            return None
        if present is None:
            self._create(podman, host, recipe, image)
        if present is None or not present.running:
            podman.run(["start", self._name(host)], what=f"host {host.name}: starting its container")
        return verb

    def _create(self, podman: Podman, host: Host, recipe: str, image: str) -> None:
        labels = {
            INSTANCE_LABEL: self._settings.offset,
            HOST_LABEL: host.name,
            SUITE_LABEL: host.suite,
            RECIPE_LABEL: recipe,
            STATE_LABEL: self._settings.state_dir,
        }
        options = [*self._arguments(host), *[f"--label={key}={value}" for key, value in labels.items()]]
        podman.run(["create", *options, image, "/sbin/init"], what=f"host {host.name}: creating its container")
        files = f"{self._directory / host.name}/."
        podman.run(["cp", files, f"{self._name(host)}:/"], what=f"host {host.name}: copying its files")

    def _wait(self, podman: Podman, host: Host) -> None:
        """Wait until a host has booted and lets us in.

        :raises LabError: it stopped, or did not answer in time; with its last lines.
        """
        deadline = time.monotonic() + timeout_seconds()
        while not answers(host.address, PORT):
            container = self._present(podman).get(host.name)
            if container is None or not container.running:
                raise self._failed(podman, host, "its container stopped before ssh answered")
            if time.monotonic() > deadline:
                raise self._failed(podman, host, f"no answer from ssh on {host.address} port {PORT}")
            time.sleep(0.1)
        argv = ssh_argv(self._settings.key, host.address, PORT, STATE_COMMAND)
        done = run_program(argv, what=f"host {host.name}: ssh", check=False, timeout=timeout_seconds())
        if done.returncode != 0:
            raise self._failed(podman, host, f"ssh does not let us in: {tail(done.stderr)}")
        state, _, units = done.stdout.partition("\n")
        if state != "running":
            self._progress.line(f"  {host.name:<10} is {state}: {'; '.join(units.splitlines())}")

    def _failed(self, podman: Podman, host: Host, reason: str) -> LabError:
        lines = self._console(podman, host, 20)
        shown = "\n".join(f"  | {line}" for line in lines.splitlines())
        return LabError(f"host {host.name}: {reason}; the last lines of its journal:\n{shown}")

    def _console(self, podman: Podman, host: Host, lines: int) -> str:
        container = self._present(podman).get(host.name)
        if container is None:
            raise LabError(f"host {host.name}: it has no container; start it with `lab up`")
        name = self._name(host)
        journal = ["exec", name, "journalctl", "--no-pager", "--output=short-monotonic", f"--lines={lines}"]
        log = ["logs", f"--tail={lines}", name]
        done = podman.run(journal if container.running else log, what=f"host {host.name}: its journal", check=False)
        return tail(f"{done.stdout}\n{done.stderr}", lines) or f"(nothing; podman says its state is {container.state})"


def clean_images() -> int:
    """Remove the images of all instances from podman's storage (a part of `lab clean-cache`); returns how many.

    :raises LabError: a container still uses one.
    """
    if shutil.which("podman") is None:
        return 0  # then it never stored any
    return Podman({}).remove_images(IMAGE_LABEL)


def each(hosts: Sequence[Host], action: Callable[[Host], None]) -> None:
    """Do something for several hosts at a time.

    :raises LabError: it failed for some; the others were done all the same, and the error names each failure.
    """
    errors: list[str] = []

    def guarded(host: Host) -> None:
        try:
            action(host)
        except LabError as error:
            errors.append(str(error))

    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        list(pool.map(guarded, hosts))
    if errors:
        raise LabError("\n".join(errors))


def _suites(hosts: Sequence[Host]) -> list[str]:
    return list(dict.fromkeys(host.suite for host in hosts))


def _write(path: Path, text: str, mode: int) -> None:
    path.unlink(missing_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def _write_hook(directory: Path) -> Path:
    """Install the OCI hook for the lab's containers (and only for those) and return the directory that podman needs."""
    directory.mkdir(exist_ok=True)
    script = directory / "attach.py"
    shutil.copyfile(container_hook.__file__, script)
    hook = {
        "version": "1.0.0",
        "hook": {"path": sys.executable, "args": ["python3", str(script)]},
        "when": {"annotations": {f"^{container_hook.ANNOTATION.replace('.', '[.]')}$": ".*"}},
        "stages": ["createRuntime"],
    }
    (directory / "netfleet-lab.json").write_text(json.dumps(hook, indent=2) + "\n", encoding="utf-8")
    return directory
