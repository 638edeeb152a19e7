# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two hosts of the lab, in containers, and a user's repository whose fleet they are."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret

from lab.fleet import Host, load_fleet
from lab.paths import Settings
from lab.ssh import ssh
from tests.ci.workspace import Machine, Repository, described_files
from tools import artifact
from tools.instances import INSTANCES
from tools.shared import CACHE, ROOT, clean_environment

HOSTS = ("local1", "cloud2")
INVENTORY = ROOT / "inventories" / "lab"
VAULT_PASSWORD = "correct horse battery staple"
FAST_OPEN_KEY = "0a1b2c3d-4e5f6071-8293a4b5-c6d7e8f9"


@dataclass(frozen=True)
class Fleet:
    """The hosts, and how to reach them past Ansible."""

    hosts: dict[str, Host]
    addresses: dict[str, str]
    key: Path

    def sysctl(self, name: str, value: int) -> None:
        """Change a running value by hand."""
        for host in self.hosts:
            ssh(self.key, self.addresses[host], 22, f"sysctl -w {name}={value}", what=f"sysctl on {host}")

    def known_hosts(self) -> str:
        """The host keys, as ssh-keyscan finds them."""
        command = ["ssh-keyscan", "-t", "ed25519", *self.addresses.values()]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _lab(environment: dict[str, str], *arguments: str) -> None:
    command = [sys.executable, "-m", "lab", *arguments, "--inventory", str(INVENTORY)]
    subprocess.run(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, check=True)


@pytest.fixture(scope="session")
def fleet() -> Iterator[Fleet]:
    """The instance of the tests, unless NETFLEET_LAB_OFFSET and NETFLEET_LAB_DIR name another."""
    instance = {} if "NETFLEET_LAB_OFFSET" in os.environ else INSTANCES["test"]
    environment = clean_environment(**instance, NETFLEET_LAB_BACKEND="container")
    settings = Settings.from_environment(environment)
    hosts = {host.name: host for host in load_fleet(INVENTORY, settings, ",".join(HOSTS)).selected}
    addresses = {name: f"10.77.{100 + settings.offset}.{host.lab_id}" for name, host in hosts.items()}
    try:
        _lab(environment, "up", "--fresh", "--limit", ",".join(HOSTS))
        yield Fleet(hosts, addresses, settings.key)
    finally:
        _lab(environment, "down")


@pytest.fixture(scope="session")
def collection() -> Path:
    """The collection as it is built from this clone."""
    return artifact.build(CACHE / "ci-examples")


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    # Not below pytest's own folder: the path of a ssh socket must be short.
    folder = Path(tempfile.mkdtemp(prefix="netfleet-ci-"))
    made = Machine(folder)
    yield made
    for socket in (made.home / ".ansible" / "cp").glob("*"):
        with contextlib.suppress(OSError):
            subprocess.run(["ssh", "-O", "exit", "-o", f"ControlPath={socket}", "x"], capture_output=True, check=False)
    shutil.rmtree(folder)


def hosts_file(addresses: dict[str, str]) -> str:
    """The inventory of the user's fleet."""
    groups = {group: [name for name in addresses if name.startswith(group)] for group in ("local", "cloud")}
    lines = ["---", "all:", "  vars:", "    ansible_user: root", "    tcp_tuning_unsupported: skip", "  children:"]
    for group, names in groups.items():
        lines += [f"    {group}:", "      hosts:"]
        lines += [f"        {name}: {{ansible_host: {addresses[name]}}}" for name in names]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="session")
def repository(fleet: Fleet, collection: Path, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """The repository of docs/ci/README.md; the collection comes from this clone in place of a server."""
    secret = VaultLib([("default", VaultSecret(VAULT_PASSWORD.encode()))]).encrypt(FAST_OPEN_KEY).decode()
    vaulted = "".join(f"  {line}\n" for line in secret.splitlines())
    files = described_files()
    assert "requirements.yml" in files
    return Repository(
        tmp_path_factory.mktemp("user") / "inventory",
        {
            **files,
            "requirements.yml": f"---\ncollections:\n  - name: {collection}\n    type: file\n",
            "known_hosts": fleet.known_hosts(),
            "hosts.yml": hosts_file(fleet.addresses),
            "group_vars/cloud.yml": f"---\ntcp_tuning_fast_open: both\ntcp_tuning_fast_open_key: !vault |\n{vaulted}",
        },
    )


@pytest.fixture(scope="session")
def secrets(fleet: Fleet) -> dict[str, str]:
    """What the user gives the CI."""
    return {"SSH_PRIVATE_KEY": fleet.key.read_text(encoding="ascii").strip(), "VAULT_PASSWORD": VAULT_PASSWORD}


@pytest.fixture(scope="session")
def tuned(machine: Machine, repository: Repository, fleet: Fleet) -> Repository:
    """The repository, once its fleet is as it declares. Done as the user would, from a checkout."""
    password = machine.folder / "vault-password-of-the-user"
    password.write_text(VAULT_PASSWORD, encoding="utf-8")
    commands = """
        ansible-galaxy collection install --requirements-file requirements.yml
        ansible-playbook netfleet.tcp.tune
    """
    variables = {
        "ANSIBLE_COLLECTIONS_PATH": ".ansible/collections",
        "ANSIBLE_PRIVATE_KEY_FILE": str(fleet.key),
        "ANSIBLE_VAULT_PASSWORD_FILE": str(password),
    }
    done = machine.run(commands, machine.checkout(repository, "main"), variables)
    assert done.returncode == 0, done.stdout
    return repository
