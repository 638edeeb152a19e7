# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet: which hosts there are, read from the inventory as ansible itself reads it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.paths import Settings
from lab.suites import KNOWN

MANAGEMENT_ADDRESS = "127.0.0.1"
FIRST_PORT = 22000
PORTS_PER_INSTANCE = 300
MAX_LAB_ID = 253  # .254 is left for the machine that runs the lab


@dataclass(frozen=True)
class Host:
    """One host of the lab."""

    name: str
    lab_id: int
    suite: str
    groups: tuple[str, ...]
    address: str  # in the fleet's own network, the same for both backends
    port: int  # of 127.0.0.1, forwarded to the sshd of a virtual machine


@dataclass(frozen=True)
class Fleet:
    """All hosts of the inventory, and those among them that this run is about."""

    hosts: tuple[Host, ...]
    selected: tuple[Host, ...]
    network: str  # the first three numbers of the fleet's network, e.g. 10.77.100

    @property
    def suites(self) -> tuple[str, ...]:
        """The suites of the selected hosts, each once."""
        return tuple(dict.fromkeys(host.suite for host in self.selected))

    def hosts_file(self) -> str:
        """The text of /etc/hosts for every host: all hosts of the fleet by name."""
        lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
        lines += [f"{host.address} {host.name}" for host in self.hosts]
        return "\n".join(lines) + "\n"


def load_fleet(inventory: Path, settings: Settings, limit: str | None = None) -> Fleet:
    """Read the hosts of an inventory.

    :raises LabError: the inventory has no hosts, a host lacks a variable or has a wrong one, or the limit matches none.
    """
    if not inventory.exists():
        raise LabError(f"inventory {inventory}: no such file or directory; give it with --inventory")
    if os.environ.get("SUDO_UID"):
        # ansible makes its folders on import; as root in the user's home they would be closed to the user later.
        os.environ["ANSIBLE_HOME"] = str(settings.cache_dir / "ansible")
    variables, chosen = _read(inventory, limit)
    network = network_of(settings.offset)
    hosts = tuple(_host(name, values, settings, network) for name, values in variables.items())
    if not hosts:
        raise LabError(f"inventory {inventory}: it has no hosts")
    check_unique(hosts)
    selected = tuple(host for host in hosts if host.name in chosen)
    if not selected:
        names = ", ".join(host.name for host in hosts)
        raise LabError(f"--limit {limit}: matches no host of {inventory}; it has {names}")
    return Fleet(hosts=hosts, selected=selected, network=network)


def network_of(offset: int) -> str:
    """The first three numbers of the network of an instance."""
    return f"10.77.{100 + offset}"


def check_unique(hosts: Iterable[Host]) -> None:
    """Refuse two hosts with one lab_id: they would have one address."""
    seen: dict[int, str] = {}
    for host in hosts:
        if host.lab_id in seen:
            raise LabError(f"hosts {seen[host.lab_id]} and {host.name} have the same lab_id {host.lab_id}; change one")
        seen[host.lab_id] = host.name


def _read(inventory: Path, limit: str | None) -> tuple[dict[str, Mapping[str, Any]], set[str]]:
    """The variables of every host, and the names that the limit chooses."""
    try:
        from ansible.errors import AnsibleError
        from ansible.inventory.manager import InventoryManager
        from ansible.parsing.dataloader import DataLoader
        from ansible.template import Templar
        from ansible.vars.manager import VariableManager
    except ImportError as error:
        raise LabError("ansible-core is missing in this Python; run the lab as .venv/bin/python -m lab") from error
    loader = DataLoader()
    try:
        manager = InventoryManager(loader=loader, sources=[str(inventory)])
        variable_manager = VariableManager(loader=loader, inventory=manager)
        result: dict[str, Mapping[str, Any]] = {}
        for host in manager.get_hosts("all"):
            values = variable_manager.get_vars(host=host, include_hostvars=False)
            templar = Templar(loader=loader, variables=values)
            result[host.name] = {
                "lab_id": templar.template(values.get("lab_id")),
                "lab_suite": templar.template(values.get("lab_suite")),
                "group_names": list(values.get("group_names", ())),
            }
        return result, {host.name for host in manager.get_hosts(limit or "all")}
    except AnsibleError as error:
        raise LabError(f"inventory {inventory}: {error}") from error


def _host(name: str, values: Mapping[str, Any], settings: Settings, network: str) -> Host:
    lab_id = _lab_id(name, values.get("lab_id"))
    suite = settings.suite or values.get("lab_suite")
    if suite not in KNOWN:
        where = "NETFLEET_LAB_SUITE" if settings.suite else f"host {name}, lab_suite"
        raise LabError(f"{where}: {suite!r} is not a suite that the lab knows; choose one of {', '.join(KNOWN)}")
    return Host(
        name=name,
        lab_id=lab_id,
        suite=str(suite),
        groups=_strings(values.get("group_names", ())),
        address=f"{network}.{lab_id}",
        port=FIRST_PORT + PORTS_PER_INSTANCE * settings.offset + lab_id,
    )


def _lab_id(name: str, value: object) -> int:
    text = str(value)
    if text.isascii() and text.isdigit() and 1 <= int(text) <= MAX_LAB_ID:
        return int(text)
    raise LabError(f"host {name}, lab_id: {value!r} is not a number from 1 to {MAX_LAB_ID}")


def _strings(values: Sequence[object]) -> tuple[str, ...]:
    return tuple(str(value) for value in values)
