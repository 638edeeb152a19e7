# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running the playbook of links on the fleet, and asking WireGuard itself what became of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from testinfra.host import Host as Connection

from lab.paths import REPOSITORY
from tests.molecule.playbook import Run, run_playbook

LINKS = REPOSITORY / "playbooks" / "links.yml"
INVENTORY = REPOSITORY / "molecule" / "links" / "inventory" / "links.yml"
INTERFACE = "wg-wan"
GATEWAYS = ("local1", "cloud1", "cloud2")
KEY = "/etc/netfleet-tcp/wireguard.key"
Link = Callable[..., Run]


@dataclass(frozen=True)
class Live:
    """What `wg show` says of an interface, keys by its peers' public keys. No secret is read."""

    public_key: str
    endpoints: dict[str, str]
    allowed: dict[str, str]
    handshakes: dict[str, int]
    keepalive: dict[str, str]

    @classmethod
    def on(cls, connection: Connection, name: str = INTERFACE) -> Live:
        """As it is now."""

        def table(what: str) -> dict[str, str]:
            lines = connection.check_output(f"wg show {name} {what}").splitlines()
            return dict(line.split("\t", 1) for line in lines)

        return cls(
            public_key=connection.check_output(f"wg show {name} public-key").strip(),
            endpoints=table("endpoints"),
            allowed=table("allowed-ips"),
            handshakes={key: int(value) for key, value in table("latest-handshakes").items()},
            keepalive=table("persistent-keepalive"),
        )


def run_links(scratch: Path, *arguments: str) -> Run:
    """Run it as a user does, on the fleet as molecule/links/inventory declares it."""
    return run_playbook(scratch, f"--inventory={INVENTORY}", *arguments, playbook=LINKS)


def ping(connection: Connection, address: str, size: int = 56) -> bool:
    """Whether an address answers, also to packets of so many bytes of data; a handshake may have to be tried again."""
    return connection.run(f"ping -c 1 -w 20 -M do -s {size} {address}").rc == 0
