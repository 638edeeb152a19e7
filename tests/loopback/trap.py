# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The loopback trap in a network namespace: a Redis of Debian, who calls it, and a look at TCP's health there."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.paths import REPOSITORY
from tests.molecule.health import run_module
from tests.waiting import until

CLIENT = Path(__file__).with_name("client.py")
PORT = 1234
LOCAL, OWN = "127.0.0.1", "10.77.0.1"
RANGE = "net.ipv4.ip_local_port_range"
REUSE = "net.ipv4.tcp_tw_reuse"
HERE = ("localhost", "--inventory=localhost,", "--connection=local")
_PATIENCE = 20.0
# The module's result without Ansible. Imports first: the folders may be closed to a user without rights.
_LOOK = """
import json, os, sys
from ansible_collections.netfleet.tcp.plugins.module_utils._health import Asked, look
from ansible_collections.netfleet.tcp.plugins.module_utils._health_findings import findings
from ansible_collections.netfleet.tcp.plugins.module_utils._model import to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._system import LinuxSystem
if sys.argv[2:]:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
health = look(LinuxSystem(), Asked(interval=float(sys.argv[1])))
print(json.dumps({"findings": [to_wire(each) for each in findings(health)], **to_wire(health)}))
"""


@dataclass
class Called:
    """What a client came to. failed: by errno; user, kernel: seconds of processor time."""

    opened: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    user: float = 0.0
    kernel: float = 0.0

    @property
    def rate(self) -> float:
        return self.opened / self.seconds


@dataclass(frozen=True)
class Trap:
    """A namespace with a Redis in it."""

    name: str
    folder: Path

    @property
    def path(self) -> str:
        """Where the Redis listens beside TCP."""
        return str(self.folder / "redis.sock")

    def inside(self, *words: str) -> list[str]:
        return ["ip", "netns", "exec", self.name, *words]

    def set(self, **values: str) -> None:
        """Give keys of the namespace values."""
        self.run("sysctl", "-qw", *(f"{name}={value}" for name, value in values.items()))

    def run(self, *words: str) -> str:
        return subprocess.run(self.inside(*words), check=True, capture_output=True, text=True).stdout

    @contextlib.contextmanager
    def client(self, place: str, rate: float, hold: float = 0.0, *more: str, name: str = "shop") -> Iterator[Called]:
        """A client, for as long as this stands; what it came to is known afterwards."""
        argv = self.inside(sys.executable, str(CLIENT), name, place, str(rate), str(hold), *more)
        called = Called()
        with ended(subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield called
            process.send_signal(signal.SIGTERM)
            (called.opened, called.failed, called.seconds, called.user, called.kernel) = json.loads(
                process.stdout.read()
            )

    def wait_for_waiting(self, to: str, number: int) -> None:
        """Until so many connections to an address wait in TIME-WAIT."""
        words = ("ss", "-Htn", "state", "time-wait", "dst", f"{to}:{PORT}")
        found: list[str] = []

        def enough() -> bool:
            found[:] = self.run(*words).splitlines()
            return len(found) >= number

        until(enough, _PATIENCE, lambda: f"{len(found)} of {number} in TIME-WAIT")

    def look(self, interval: float, *as_nobody: str) -> dict[str, Any]:
        """What the module returns, without the seconds that Ansible takes before and after."""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        argv = self.inside(sys.executable, "-c", _LOOK, str(interval), *as_nobody)
        done = subprocess.run(argv, env=environment, check=True, capture_output=True, text=True)
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    def look_by_ansible(self, interval: float) -> dict[str, Any]:
        """The module's result, as a user takes a look there."""
        interpreter = f"--extra-vars=ansible_python_interpreter={sys.executable}"
        return run_module({"interval": interval}, *HERE, interpreter, prefix=self.inside())

    def report(self, folder: Path) -> tuple[int, str]:
        """Exit status of the playbook health there, and its report as text."""
        given = {"tcp_health_interval": 1, "tcp_health_directory": str(folder), "tcp_health_formats": ["text"]}
        given["ansible_python_interpreter"] = sys.executable
        program = str(Path(sys.executable).with_name("ansible-playbook"))
        argv = self.inside(program, *HERE[1:], f"--extra-vars={json.dumps(given)}", "playbooks/health.yml")
        environment = {**os.environ, "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        done = subprocess.run(argv, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
        text = folder / "health.txt"
        return done.returncode, text.read_text(encoding="utf-8") if text.exists() else done.stdout + done.stderr


@contextlib.contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """The process, which is ended at the end."""
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        process.communicate()


@contextlib.contextmanager
def trap(folder: Path) -> Iterator[Trap]:
    """The namespace, with loopback and another address of its own, and the Redis in it."""
    made = Trap(f"nfloop{os.getpid()}", folder)
    subprocess.run(["ip", "netns", "add", made.name], check=True)
    try:
        made.run("ip", "link", "set", "lo", "up")
        made.run("ip", "address", "add", f"{OWN}/32", "dev", "lo")
        # The server is in Debian's redis-tools as well, by the name of a check that it can do; redis-server would start
        # one on the developer's machine.
        server = folder / "redis-server"
        server.symlink_to("/usr/bin/redis-check-rdb")
        words = [str(server), "--port", str(PORT), "--bind", LOCAL, OWN, "--save", "", "--appendonly", "no"]
        # It would refuse whoever calls another address than those of loopback.
        words += ["--protected-mode", "no", "--dir", str(folder), "--unixsocket", made.path, "--unixsocketperm", "770"]
        with ended(subprocess.Popen(made.inside(*words), stdout=subprocess.DEVNULL, text=True)):
            wait_for_answer(made)
            yield made
    finally:
        subprocess.run(["ip", "netns", "delete", made.name], check=True)


def wait_for_answer(made: Trap) -> None:
    """Until the Redis answers."""
    argv: Sequence[str] = made.inside("redis-cli", "-s", made.path, "ping")

    def answers() -> bool:
        return subprocess.run(argv, capture_output=True, text=True, check=False).stdout == "PONG\n"

    until(answers, _PATIENCE, "the Redis answers", 0.1)
