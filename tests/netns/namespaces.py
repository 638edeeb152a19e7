# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts in network namespaces of this machine, with a router between them, and playbooks that run on them without ssh.

A host shares the machine's files, and has its own interfaces, routes, firewall and TCP. Ansible reaches it by a Python
that begins in its namespace. Addresses: RFC 2544's network for tests.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# As a host has it: without what a virtual environment holds.
PYTHON = "/usr/bin/python3"
ROOT = Path(__file__).resolve().parents[2]
LEFT, RIGHT = "198.18.1.1", "198.18.2.1"
_ROUTER = {"left": "198.18.1.254", "right": "198.18.2.254"}


@dataclass
class Machine:
    """A namespace. processes: what was started in it, which ends with it."""

    name: str
    address: str = ""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def run(self, *argv: str, text: str | None = None) -> str:
        """What a program prints there; it must not fail."""
        return run("ip", "netns", "exec", self.name, *argv, text=text)

    def ip(self, *argv: str) -> str:
        """The same of ip."""
        return run("ip", "-n", self.name, *argv)

    def sysctl(self, **values: int) -> None:
        """Set keys below net.ipv4."""
        self.run("sysctl", "-q", "-w", *(f"net.ipv4.{name}={value}" for name, value in values.items()))

    def nft(self, hook: str, *rules: str) -> None:
        """A chain of filter rules."""
        lines = "\n".join(rules)
        chain = f"chain {hook} {{\ntype filter hook {hook} priority 0; policy accept;\n{lines}\n}}"
        self.run("nft", "-f", "-", text=f"table inet {hook} {{\n{chain}\n}}\n")

    def start(self, script: str, *words: str) -> subprocess.Popen[bytes]:
        """Start Python there; it has begun when it prints its first line."""
        argv = ["ip", "netns", "exec", self.name, sys.executable, "-u", "-c", script, *words]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=ROOT)
        self.processes.append(process)
        assert process.stdout
        assert process.stdout.readline(), f"{words} did not start"
        return process


@dataclass(frozen=True)
class Net:
    """left -- middle -- right. folder: for interpreters and inventories."""

    left: Machine
    middle: Machine
    right: Machine
    folder: Path

    def machine(self, name: str) -> Machine:
        """By its name in the inventory."""
        return {"left": self.left, "right": self.right}[name]

    def host(self, name: str, wrapper: str = "", **variables: Any) -> dict[str, Any]:
        """A host of the inventory. wrapper: a command that runs its Python."""
        machine = self.machine(name)
        interpreter = self.folder / f"python-{name}"
        interpreter.write_text(
            f'#!/bin/sh\nexec ip netns exec {machine.name} {wrapper} {PYTHON} "$@"\n', encoding="utf-8"
        )
        interpreter.chmod(0o755)
        return {
            "ansible_connection": "local",
            "ansible_host": machine.address,
            "ansible_python_interpreter": str(interpreter),
            **variables,
        }

    def playbook(
        self, name: str, hosts: dict[str, Any], *options: str, **variables: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a playbook of the collection."""
        inventory = self.folder / "hosts.yml"
        inventory.write_text(json.dumps({"cloud": {"hosts": hosts}}), encoding="utf-8")
        kept = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
        return subprocess.run(
            [
                str(Path(sys.executable).with_name("ansible-playbook")),
                f"--inventory={inventory}",
                f"--extra-vars={json.dumps(variables)}",
                *options,
                str(ROOT / "playbooks" / f"{name}.yml"),
            ],
            env={**kept, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )


def run(*argv: str, text: str | None = None) -> str:
    """What a program prints; it must not fail."""
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv}: {done.stderr}"
    return done.stdout


@contextlib.contextmanager
def net(folder: Path) -> Iterator[Net]:
    """Two hosts, and a router between them."""
    left, right = (Machine(f"netns-{os.getpid()}-{side}", address) for side, address in (("l", LEFT), ("r", RIGHT)))
    middle = Machine(f"netns-{os.getpid()}-m")
    machines = (left, middle, right)
    made = []
    try:
        for machine in machines:
            run("ip", "netns", "add", machine.name)
            made.append(machine)
            machine.ip("link", "set", "lo", "up")
        for machine, port in ((left, "left"), (right, "right")):
            join(machine, "eth0", middle, port, (f"{machine.address}/24", f"{_ROUTER[port]}/24"))
            machine.ip("route", "add", "default", "via", _ROUTER[port])
        middle.sysctl(ip_forward=1)
        yield Net(left, middle, right, folder)
    finally:
        for machine in made:
            for process in machine.processes:
                process.kill()
                process.communicate()
            run("ip", "netns", "del", machine.name)


def join(one: Machine, port: str, other: Machine, far: str, addresses: Sequence[str]) -> None:
    """A cable between two, with an address at each end."""
    one.ip("link", "add", port, "type", "veth", "peer", "name", far, "netns", other.name)
    for machine, name, address in ((one, port, addresses[0]), (other, far, addresses[1])):
        machine.ip("address", "add", address, "dev", name)
        machine.ip("link", "set", name, "up")
