# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scenarios' tests share: the fleet, and what each host ran before and runs now."""

from __future__ import annotations

import os
from typing import Any

import pytest
import testinfra
from testinfra.host import Host as Connection

from lab.fleet import Fleet, load_fleet
from lab.paths import REPOSITORY, Settings
from tests.molecule.hosts import Seen, Target, look


@pytest.fixture(scope="session")
def settings() -> Settings:
    return Settings.from_environment(os.environ)


@pytest.fixture(scope="session")
def fleet(settings: Settings) -> Fleet:
    return load_fleet(REPOSITORY / "inventories" / "lab", settings)


@pytest.fixture(scope="session")
def connections(fleet: Fleet, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Connection]:
    """A testinfra host for each host of the fleet, by name."""
    config = tmp_path_factory.mktemp("ssh") / "config"
    config.write_text(
        "Host *\n  User root\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n"
        f"  IdentitiesOnly yes\n  IdentityFile {settings.key}\n"
    )
    result = {}
    for host in fleet.hosts:
        address, port = ("127.0.0.1", host.port) if settings.backend == "vm" else (host.address, 22)
        url = f"ssh://{address}:{port}?controlpersist=60&timeout=60"
        result[host.name] = testinfra.get_host(url, ssh_config=str(config))
    return result


@pytest.fixture(scope="session")
def recorded(fleet: Fleet, settings: Settings) -> dict[str, Seen]:
    """What each host ran before anything was changed on it, by name."""
    paths = {host.name: settings.state_dir / f"before-{settings.backend}-{host.name}.json" for host in fleet.hosts}
    missing = [str(path) for path in paths.values() if not path.exists()]
    assert not missing, f"{', '.join(missing)}: not there; the scenario's prepare step writes it"
    return {name: Seen.read(path.read_text(encoding="utf-8")) for name, path in paths.items()}


@pytest.fixture(scope="session")
def targets(fleet: Fleet, connections: dict[str, Connection], recorded: dict[str, Seen]) -> dict[str, Target]:
    """Every host with what it ran before and runs now, by name; read once."""
    now = look(connections)
    return {
        host.name: Target(host, connections[host.name], recorded[host.name], now[host.name]) for host in fleet.hosts
    }


@pytest.fixture
def before(connections: dict[str, Connection]) -> dict[str, Seen]:
    """What each host runs before the test, by name."""
    return look(connections)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for `each`, `local` or `cloud` once for each such host."""
    fleet = load_fleet(REPOSITORY / "inventories" / "lab", Settings.from_environment(os.environ))
    for fixture in ("each", "local", "cloud"):
        if fixture in metafunc.fixturenames:
            names = [host.name for host in fleet.hosts if fixture == "each" or fixture in host.groups]
            assert names, f"the fleet has no host for {fixture}"
            metafunc.parametrize(fixture, names, indirect=True)


@pytest.fixture
def each(request: pytest.FixtureRequest, targets: dict[str, Target]) -> Target:
    """Each host of the fleet in turn."""
    return targets[_parameter(request)]


@pytest.fixture
def local(request: pytest.FixtureRequest, targets: dict[str, Target]) -> Target:
    """Each host of group local in turn."""
    return targets[_parameter(request)]


@pytest.fixture
def cloud(request: pytest.FixtureRequest, targets: dict[str, Target]) -> Target:
    """Each host of group cloud in turn."""
    return targets[_parameter(request)]


def _parameter(request: pytest.FixtureRequest) -> str:
    value: Any = request.param
    return str(value)
