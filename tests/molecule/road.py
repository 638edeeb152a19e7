# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two virtual machines with a third one as the router between them, conditions on it, and what we say of them.

The router has one arm: what it forwards comes and goes by the lab's network, on which all of them are neighbours. So
each packet from end to end leaves it once, and a qdisc there is on the road in both directions.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testinfra.host import Host as Connection

from lab.fleet import Fleet
from lab.paths import REPOSITORY
from tests.molecule.playbook import Check, run_diagnose, run_health, run_probe

CLIENT, ROUTER, SERVER = "cloud1", "local1", "cloud2"
PORT = 5320
# The road's own class of peers: the connections of Ansible itself are not in it.
PATH = "path"
_PORT_OF_LAB = "eth1"
_EMULATOR = "10.0.2.2"
_AGENT = REPOSITORY / "tests" / "netns" / "traffic_agent.py"
_TABLE = "conditions"
_NO_QDISC = f"tc qdisc del dev {_PORT_OF_LAB} root"


@dataclass(frozen=True)
class Machine:
    """A host of the road. address: in the lab's network."""

    name: str
    address: str
    connection: Connection
    undo: ExitStack

    def run(self, *lines: str, undo: str = "") -> str:
        """What commands print there, one after the other in one visit; none may fail. undo: what takes them back."""
        if undo:
            # Also where the first line is done and the second one fails.
            self.undo.callback(self.connection.run, undo)
        return str(self.connection.check_output(" && ".join(lines)))

    def nft(self, *chains: str) -> None:
        """Chains of rules, in a table of the test's own."""
        text = "\n".join([f"table inet {_TABLE} {{", *chains, "}"])
        self.run(f"printf '%s' {shlex.quote(text)} | nft -f -", undo=f"nft delete table inet {_TABLE}")

    def sysctl(self, name: str, value: int) -> None:
        """Set a key until the end of the test."""
        before = self.run(f"sysctl -n {name}").strip()
        self.run(f"sysctl -qw {name}={value}", undo=f"sysctl -qw {name}={before}")

    def start(self, what: str, *words: str) -> None:
        """The traffic agent, as a unit of its own."""
        unit = f"{_TABLE}-{what}"
        command = ["systemd-run", "--quiet", "--collect", f"--unit={unit}", "/usr/bin/python3", "-c"]
        script = _AGENT.read_text(encoding="utf-8")
        self.run(shlex.join([*command, script, what, *words]), undo=f"systemctl kill -s KILL {unit}")


@dataclass(frozen=True)
class Road:
    """client -- router -- server. scratch: for reports."""

    client: Machine
    router: Machine
    server: Machine
    scratch: Path

    @property
    def machines(self) -> tuple[Machine, ...]:
        return (self.client, self.router, self.server)

    def delay(self, milliseconds: float) -> None:
        """Add to the RTT: half of it on the way there, half on the way back."""
        self.router.run(
            f"tc qdisc add dev {_PORT_OF_LAB} root netem limit 10000 delay {milliseconds / 2}ms", undo=_NO_QDISC
        )

    def lose(self, percent: float) -> None:
        """Of what goes to the server, in packets."""
        port = _PORT_OF_LAB
        self.router.run(
            f"tc qdisc add dev {port} root handle 1: prio bands 2 priomap {' '.join('0' * 16)}",
            f"tc qdisc add dev {port} parent 1:2 handle 20: netem limit 10000 loss {percent}%",
            f"tc filter add dev {port} parent 1: protocol ip u32 match ip dst {self.server.address}/32 flowid 1:2",
            undo=_NO_QDISC,
        )

    def lost(self) -> tuple[int, int]:
        """How many packets netem has dropped, and how many it has seen."""
        entries = json.loads(self.router.run(f"tc -s -j qdisc show dev {_PORT_OF_LAB}"))
        (netem,) = [entry for entry in entries if entry["kind"] == "netem"]
        return int(netem["drops"]), int(netem["packets"]) + int(netem["drops"])

    def needless(self) -> int:
        """How many segments the client has sent again though they had arrived, as the other end has told it (DSACK)."""
        ((_name, value, _rate),) = [
            line.split() for line in self.client.run("nstat -asz TcpExtTCPDSACKRecv").splitlines() if line[:3] == "Tcp"
        ]
        return int(value)

    def narrow(self, size: int) -> None:
        """A link beyond the router that takes so many bytes, and nobody says so."""
        destination = f"{self.server.address}/32"
        self.router.run(
            f"ip route add {destination} dev {_PORT_OF_LAB} mtu lock {size}", undo=f"ip route del {destination}"
        )
        rule = "icmp type destination-unreachable drop;"
        self.router.nft(f"chain output {{ type filter hook output priority 0; {rule} }}")

    def track_at_most(self, machine: Machine, number: int) -> None:
        """Connection tracking with room for so many, but for Ansible's own connections."""
        port = _PORT_OF_LAB
        machine.nft(
            f"chain before {{ type filter hook prerouting priority raw; iifname != {port} notrack; }}",
            f"chain own {{ type filter hook output priority raw; oifname != {port} notrack; }}",
            "chain input { type filter hook input priority 0; ct state invalid counter; }",
        )
        machine.sysctl("net.netfilter.nf_conntrack_max", number)

    def serve(self, what: str = "serve") -> None:
        self.server.start(what, str(PORT))

    def traffic(self, what: str, size: int, pause: float, connections: int) -> None:
        """From the client: so many bytes, again and again, after a pause in seconds."""
        self.client.start(what, self.server.address, str(PORT), str(size), str(pause), str(connections))

    def health(self, seconds: int = 10) -> Check:
        """Judge both ends by seconds of traffic."""
        variables = {
            "tcp_health_interval": seconds,
            "tcp_health_peers": {PATH: [f"{end.address}/32" for end in (self.client, self.server)]},
            "tcp_health_rtt_targets": {PATH: 50},
        }
        return run_health(self.scratch, f"--limit={CLIENT},{SERVER}", _extra(variables))

    def probe(self, **variables: Any) -> Check:
        """Have the client connect to the service."""
        given = {
            "tcp_probe_peers": 0,
            "tcp_probe_endpoints": [f"{self.server.address}:{PORT}"],
            "tcp_probe_attempts": 10,
            "tcp_health_peers": {PATH: [f"{self.server.address}/32"]},
            "tcp_health_rtt_targets": {PATH: 50},
            **variables,
        }
        return run_probe(self.scratch, f"--limit={CLIENT}", _extra(given))

    def diagnose(self, seconds: int = 6) -> Check:
        """Capture at both ends."""
        variables = {
            "tcp_diagnose_host": CLIENT,
            "tcp_diagnose_peer": SERVER,
            "tcp_diagnose_port": PORT,
            "tcp_diagnose_seconds": seconds,
            "tcp_diagnose_hops": False,
            "tcp_diagnose_archive": str(self.scratch / "archive"),
        }
        return run_diagnose(self.scratch, _extra({**variables, **self._addresses()}))

    def _addresses(self) -> dict[str, Any]:
        # In the inventory they are a forwarded port of this machine.
        by_name = {machine.name: machine.address for machine in self.machines}
        return {"conditions_addresses": by_name, "tcp_probe_address": "{{ conditions_addresses[inventory_hostname] }}"}


def _extra(variables: dict[str, Any]) -> str:
    return f"--extra-vars={json.dumps(variables)}"


def counted(check: Check) -> dict[str, dict[str, Any]]:
    """The findings that count, by host and rule."""
    entries = [entry for entry in check.report["findings"] if entry["severity"] != "note"]
    return {f"{entry['host']} {entry['rule']}": entry for entry in entries if not _of_emulator(entry)}


def _of_emulator(entry: dict[str, Any]) -> bool:
    """Whether it is about nothing but Ansible's own connections: QEMU ends them, and has no window scale."""
    ends = rf"connections have no window scale, such as to {re.escape(_EMULATOR)}:\d+(, {re.escape(_EMULATOR)}:\d+)*;"
    return entry["rule"] == "health-window-scale" and bool(re.search(ends, entry["reason"]))


@contextmanager
def road(fleet: Fleet, connections: dict[str, Connection], scratch: Path) -> Iterator[Road]:
    """The road, without a condition. At its end all of its hosts are as before."""
    addresses = {host.name: host.address for host in fleet.hosts}
    with ExitStack() as undo:
        client, router, server = (
            Machine(name, addresses[name], connections[name], undo) for name in (CLIENT, ROUTER, SERVER)
        )
        made = Road(client, router, server, scratch)
        for key in ("all.send_redirects", f"{_PORT_OF_LAB}.send_redirects"):
            router.sysctl(f"net.ipv4.conf.{key}", 0)
        router.sysctl("net.ipv4.ip_forward", 1)
        for machine in made.machines:
            # What is merged on its way is dropped as one: netem, and what it is compared with, count packets.
            off, on = (f"ethtool -K {_PORT_OF_LAB} gro {to} gso {to} tso {to}" for to in ("off", "on"))
            machine.run(off, undo=on)
        for one, other in ((client, server), (server, client)):
            route = f"{other.address}/32 via {router.address} dev {_PORT_OF_LAB}"
            # What was learned of its MTU goes with it.
            one.run(f"ip route add {route}", undo=f"ip route del {route}; ip route flush cache")
        yield made
