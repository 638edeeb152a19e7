# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How soon traffic takes another link: `python -m tools.failover`, as root, on a machine with FRR and wireguard-go.

Three hosts in network namespaces: two gateways of one site, and one of a cloud. Their tunnels and FRR's configuration
are what the collection derives. The cloud asks an address that both gateways have, over UDP, each 20 ms; the switch
between them then loses the gateway that answers, without a word to either end, and finds it again. What is told is the
longest time without an answer. No module of the kernel is needed, and nothing leaves the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.molecule.gaps import longest_gap
from tools.shared import COLLECTIONS, ROOT, ToolError, finish

sys.path.insert(0, str(COLLECTIONS))

from ansible_collections.netfleet.tcp.plugins.module_utils._frr import parse_sessions
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import (
    Tunnel,
    TunnelPeer,
    TunnelRoute,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_plan import tunnel_commands
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_analysis import analysed
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_bgp import routing
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_declaration import parse
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_topology import InterfaceWanted

# Of TEST-NET-1, on the switch that stands for the internet.
HOSTS = {"gw1": "192.0.2.1", "gw2": "192.0.2.2", "east": "192.0.2.3"}
GATEWAYS, CLOUD = ("gw1", "gw2"), "east"
ASKED, ASKING = {4: "10.10.0.1", 6: "fd00:10::1"}, {4: "10.20.0.1", 6: "fd00:20::1"}
SITES = {
    "onprem": {"prefixes": ["10.10.0.0/16", "fd00:10::/48"], "gateways": list(GATEWAYS)},
    "cloud": {"prefixes": ["10.20.0.0/16", "fd00:20::/48"], "gateways": [CLOUD]},
}
PORT, EACH, SECONDS, LIMIT = 9, 0.02, 32.0, 3.0
TOOLS = ("wireguard-go", "wg", "ip", "vtysh", "nsenter", "unshare")
AGENT = ROOT / "tests" / "molecule" / "ask_agent.py"
DAEMONS = ("zebra", "bgpd", "bfdd")


class Namespaces:
    """The hosts, each with a network and a mount namespace of its own, which the process that holds them open ends."""

    def __init__(self) -> None:
        self.started: list[subprocess.Popen[str]] = []
        self.holders: dict[str, int] = {}

    def run(self, host: str, *argv: str, stdin: str = "") -> str:
        """What a program on a host prints; ToolError where it fails."""
        command = ["nsenter", "-t", str(self.holders[host]), "-n", "-m", *argv]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ToolError(f"{host}: {shlex.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def start(self, host: str, *argv: str) -> subprocess.Popen[str]:
        """A program on a host that goes on; it ends with the hosts."""
        command = ["nsenter", "-t", str(self.holders[host]), "-n", "-m", *argv]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        self.started.append(process)
        return process

    def add(self, host: str) -> None:
        """A host: what its daemons write is in memory."""
        holder = subprocess.Popen(
            ["unshare", "--net", "--mount", "--propagation", "private", "sleep", "infinity"], text=True
        )
        self.started.append(holder)
        self.holders[host] = holder.pid
        mine = Path("/proc/self/ns/net").readlink()
        while Path(f"/proc/{holder.pid}/ns/net").readlink() == mine:
            time.sleep(0.01)
        for directory in ("/etc/frr", "/run"):
            self.run(host, "mount", "-t", "tmpfs", "tmpfs", directory)
        self.run(host, "mkdir", "-p", "/run/frr", "/run/wireguard")
        self.run(host, "chown", "frr:frr", "/run/frr", "/etc/frr")
        self.run(host, "ip", "link", "set", "lo", "up")

    def end(self) -> None:
        """End everything that was started here, daemons included: those still in the namespaces."""
        for process in self._inside():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        for started in self.started:
            started.kill()
            started.wait()

    def _inside(self) -> list[int]:
        """Those that live in the hosts' namespaces; nobody else does."""
        ours = set()
        for holder in self.holders.values():
            with contextlib.suppress(OSError):
                ours.add(Path(f"/proc/{holder}/ns/net").readlink())
        found = []
        for entry in Path("/proc").glob("[0-9]*/ns/net"):
            with contextlib.suppress(OSError):
                if entry.readlink() in ours:
                    found.append(int(entry.parent.parent.name))
        return found


@contextlib.contextmanager
def fleet() -> Iterator[Namespaces]:
    """The hosts and the switch between them."""
    hosts = Namespaces()
    try:
        hosts.add("switch")
        hosts.run("switch", "ip", "link", "add", "bridge", "type", "bridge")
        hosts.run("switch", "ip", "link", "set", "bridge", "up")
        for name, address in HOSTS.items():
            hosts.add(name)
            words = f"link add {name} type veth peer name eth0 netns {hosts.holders[name]}"
            hosts.run("switch", "ip", *words.split())
            hosts.run("switch", "ip", "link", "set", name, "master", "bridge", "up")
            hosts.run(name, "ip", "address", "add", f"{address}/24", "dev", "eth0")
            hosts.run(name, "ip", "link", "set", "eth0", "up")
        yield hosts
    finally:
        hosts.end()


def tunnel_of(wanted: InterfaceWanted, private: str, keys: dict[str, str]) -> Tunnel:
    """An interface as the collection brings it up, with its secret."""
    return Tunnel(
        name=wanted.name,
        public_key=wanted.name,
        private_key=private,
        port=wanted.port,
        mtu=wanted.mtu,
        addresses=wanted.addresses,
        peers=tuple(
            TunnelPeer(
                public_key=keys[peer.node],
                endpoint=f"{peer.endpoint}:{peer.port}",
                allowed=peer.allowed,
                keepalive=peer.keepalive,
            )
            for peer in wanted.peers
        ),
        routes=tuple(TunnelRoute(route.prefix, route.metric) for peer in wanted.peers for route in peer.routes),
    )


def bring_up(hosts: Namespaces, topology: dict[str, object]) -> None:
    """Tunnels and FRR on all hosts, as they are derived."""
    declared = parse(
        {"sites": SITES, "topologies": [topology]}, {name: {"endpoint": each} for name, each in HOSTS.items()}, {}
    )
    private = {name: hosts.run(name, "wg", "genkey").strip() for name in HOSTS}
    keys = {name: hosts.run(name, "wg", "pubkey", stdin=key).strip() for name, key in private.items()}
    interfaces, routed = analysed(declared), routing(declared)
    # In the role's order, and that of a boot: FRR runs before its links and addresses are there.
    for name in HOSTS:
        hosts.run(name, "sh", "-c", "cat > /etc/frr/frr.conf && touch /etc/frr/vtysh.conf", stdin=routed[name].text)
        for daemon in DAEMONS:
            hosts.run(name, f"/usr/lib/frr/{daemon}", "-d", "-A", "127.0.0.1")
        hosts.run(name, "vtysh", "-b")
    for name in HOSTS:
        for wanted in interfaces[name]:
            for command in tunnel_commands(tunnel_of(wanted, private[name], keys), None):
                argv = ("wireguard-go", wanted.name) if "wireguard" in command.argv else command.argv
                hosts.run(name, *argv, stdin=command.stdin)
        for address in (ASKED if name in GATEWAYS else ASKING).values():
            hosts.run(name, "ip", "address", "add", address, "dev", "lo")


def wait_for_sessions(hosts: Namespaces, count: int, seconds: float) -> float:
    """Until the cloud has so many sessions that are up. Seconds that it took."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        said = [hosts.run(CLOUD, "vtysh", "-c", f"show {what} json") for what in ("bgp summary", "bfd peers")]
        up = [session for session in parse_sessions(*said) if session.up]
        if len(up) == count:
            return time.monotonic() - began
        time.sleep(0.5)
    raise ToolError(f"{CLOUD} has not {count} sessions after {seconds:.0f} s")


def carrier(hosts: Namespaces, version: int) -> str:
    """The interface by which the cloud reaches the site."""
    (route,) = json.loads(hosts.run(CLOUD, "ip", "-j", "route", "get", ASKED[version], "from", ASKING[version]))
    return str(route["dev"])


def measure(hosts: Namespaces, version: int) -> tuple[float, float, str, str]:
    """Seconds without an answer when the link dies, and when it is back; and by which interfaces answers came."""
    asked = (ASKED[version], str(PORT), str(SECONDS))
    for name in GATEWAYS:
        hosts.start(name, sys.executable, str(AGENT), "answer", *asked)
    preferred = carrier(hosts, version)
    asker = hosts.start(CLOUD, sys.executable, str(AGENT), "ask", *asked, ASKING[version], str(EACH))
    until = time.time() + SECONDS - 1.0
    time.sleep(3.0)
    lost = time.time()
    # Both ends keep their links; only nothing comes through any more.
    hosts.run("switch", "ip", "link", "set", GATEWAYS[0], "nomaster")
    time.sleep(8.0)
    other, found = carrier(hosts, version), time.time()
    hosts.run("switch", "ip", "link", "set", GATEWAYS[0], "master", "bridge")
    output, _nothing = asker.communicate()
    answers = json.loads(output)
    if carrier(hosts, version) != preferred:
        raise ToolError(f"the traffic did not come back to {preferred}")
    return longest_gap(answers, lost, found), longest_gap(answers, found, until), preferred, other


def main() -> int:
    """Bring the hosts up, measure, tell."""
    parser = argparse.ArgumentParser(prog="python -m tools.failover", description=__doc__.splitlines()[0])
    parser.add_argument("--bfd-interval", type=int, default=300, metavar="MS", help="milliseconds (300)")
    parser.add_argument("--bfd-multiplier", type=int, default=3, metavar="N", help="how many of them (3)")
    options = parser.parse_args()
    missing = [name for name in TOOLS if shutil.which(name) is None]
    if missing or os.geteuid():
        raise ToolError(f"needs root, and these programs: {', '.join(missing or TOOLS)}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the same tidy end as after Ctrl-C
    topology: dict[str, object] = {
        "name": "wan",
        "kind": "site_to_site",
        "members": ["onprem", "cloud"],
        "networks": ["10.99.0.0/24", "fd00:99::/64"],
        "numbers": {"gw1": 1, "gw2": 2, "east": 3},
        "interface_per_peer": True,
        "failover": "bgp",
        "bfd_interval": options.bfd_interval,
        "bfd_multiplier": options.bfd_multiplier,
    }
    with fleet() as hosts:
        bring_up(hosts, topology)
        print(f"all sessions are up after {wait_for_sessions(hosts, 4, 60.0):.1f} s", flush=True)
        worst = 0.0
        for version in (4, 6):
            lost, back, one, other = measure(hosts, version)
            print(
                f"IPv{version}: the link dies, {one} -> {other}: {lost:.2f} s without an answer;"
                f" it is back: {back:.2f} s",
                flush=True,
            )
            worst = max(worst, lost, back)
    if worst > LIMIT:
        raise ToolError(f"{worst:.2f} s are more than {LIMIT:.0f} s")
    return 0


if __name__ == "__main__":
    finish(main)
