# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench-links`: what WireGuard and IPsec cost beside plain TCP, between two virtual machines of the lab.

An instance of the lab of its own, with two of its hosts. WireGuard comes from our playbook, IPsec from strongSwan; both
are up at the same time, each with addresses of its own, and the address decides which way a transfer takes. Traffic
goes between these two machines only.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import secrets
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from lab.errors import LabError
from lab.fleet import Host, load_fleet
from lab.paths import Settings
from lab.ssh import ssh
from tools.instances import INSTANCES
from tools.shared import CACHE, COLLECTIONS, ROOT, ToolError, alone, clean_environment, finish, program, run

sys.path.insert(0, str(COLLECTIONS))

from tools.bench_links_report import (
    IPSEC,
    KINDS,
    PLAIN,
    WIREGUARD,
    Guest,
    Report,
    Transfer,
    parse_busy,
    parse_transfer,
)

INVENTORY = ROOT / "inventories" / "lab"
WORK = CACHE / "bench-links"
SENDER, RECEIVER = "local1", "cloud1"
NUMBERS = {SENDER: 1, RECEIVER: 2}
TUNNEL, INTERFACE, ESP = "10.197.0", "wg-bench", "10.196.0"
PORT = 5201
STAT = "/run/bench-links.stat"
_FEWEST_BYTES = 1000000
# Of ESP in tunnel mode with AES-GCM over IPv4: outer header, SPI and sequence number, IV, padding's end, tag.
ESP_OVERHEAD = 20 + 8 + 8 + 2 + 16
SWANCTL = """\
connections {{
  bench {{
    version = 2
    local_addrs = {local}
    remote_addrs = {remote}
    proposals = aes128-sha256-ecp256
    local {{
      auth = psk
      id = {local}
    }}
    remote {{
      auth = psk
      id = {remote}
    }}
    children {{
      link {{
        local_ts = {inner}/32
        remote_ts = {other}/32
        esp_proposals = aes128gcm16
        mode = tunnel
        rekey_time = 0
      }}
    }}
  }}
}}
secrets {{
  ike-bench {{
    id-local = {local}
    id-remote = {remote}
    secret = {secret}
  }}
}}
"""


def inner(prefix: str, host: str) -> str:
    """A host's address in a tunnel."""
    return f"{prefix}.{NUMBERS[host]}"


def inventory(hosts: Mapping[str, Host]) -> str:
    """What our playbook has to know, beside the lab's inventory; the receiver can be called."""
    variables = {
        "wireguard_links_sites": {
            name: {"prefixes": [f"{TUNNEL.rpartition('.')[0]}.{100 + number}.0/24"], "gateways": [name]}
            for name, number in NUMBERS.items()
        },
        "wireguard_links_topologies": [
            {
                "name": INTERFACE.removeprefix("wg-"),
                "kind": "site_to_site",
                "members": list(NUMBERS),
                "networks": [f"{TUNNEL}.0/24"],
                "numbers": NUMBERS,
            }
        ],
        "wireguard_links_log": "",
    }
    endpoints = {name: {"wireguard_links_endpoint": host.address} for name, host in hosts.items()}
    return json.dumps({"all": {"vars": variables, "hosts": endpoints}}, indent=2)


def swanctl(local: str, remote: str, host: str, other: str, secret: str) -> str:
    """What strongSwan of one end is to have. Addresses are of IPv4."""
    for address in (local, remote):
        ipaddress.IPv4Address(address)
    return SWANCTL.format(
        local=local, remote=remote, inner=inner(ESP, host), other=inner(ESP, other), secret=json.dumps(secret)
    )


class Bench:
    """The two machines, and how to have something done on them."""

    def __init__(self) -> None:
        self.env = clean_environment(
            **INSTANCES["bench"],
            NETFLEET_LAB_BACKEND="vm",
            ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"),
            ANSIBLE_COLLECTIONS_PATH=str(COLLECTIONS),
            ANSIBLE_NOCOLOR="1",
        )
        self.settings = Settings.from_environment(self.env)
        fleet = load_fleet(INVENTORY, self.settings, f"{SENDER},{RECEIVER}")
        self.hosts = {host.name: host for host in fleet.selected}

    def lab(self, *arguments: str) -> None:
        """Have the lab start the machines (up), or take them down."""
        run([sys.executable, "-m", "lab", *arguments], f"lab {arguments[0]} for the links", env=self.env, show=True)

    def on(self, host: str, command: str, stdin: str = "", timeout: float = 120.0) -> str:
        """What a command on a host prints."""
        where = self.hosts[host]
        what = f"{host}: {command[:60]}"
        return ssh(
            self.settings.key, "127.0.0.1", where.port, command, what=what, stdin=stdin.encode(), timeout=timeout
        )

    def start(self) -> None:
        """The machines, and both links between them."""
        self.lab("up", "--limit", f"{SENDER},{RECEIVER}")
        self.wireguard()
        self.ipsec()

    def wireguard(self) -> None:
        """As our playbook brings it up."""
        path = WORK / "links.yml"
        path.write_text(inventory(self.hosts), encoding="utf-8")
        playbook = [program("ansible-playbook")]
        playbook += ["-i", str(INVENTORY), "-i", str(path), "-l", f"{SENDER},{RECEIVER}"]
        run([*playbook, str(ROOT / "playbooks" / "links.yml")], "bringing WireGuard up", env=self.env)

    def ipsec(self) -> None:
        """As strongSwan brings it up. The secret is of this run, and goes by the standard input."""
        secret = secrets.token_hex(16)
        for host, other in ((SENDER, RECEIVER), (RECEIVER, SENDER)):
            # As udev would have it on a host whose devices are all looked at when it boots.
            self.on(host, "modprobe -aq aesni_intel ghash_clmulni_intel || true")
            text = swanctl(self.hosts[host].address, self.hosts[other].address, host, other, secret)
            self.on(host, "umask 077; cat > /etc/swanctl/conf.d/bench.conf", text)
            self.on(host, f"ip address replace {inner(ESP, host)}/32 dev lo && systemctl start strongswan")
            self.on(host, "swanctl --load-all")
        self.on(SENDER, "swanctl --initiate --child link")

    def guest(self) -> Guest:
        """What the machines are."""
        words = self.on(SENDER, "systemd-detect-virt; uname -r; grep -m 1 ^flags /proc/cpuinfo").splitlines()
        return Guest(words[0], words[1].split("-")[0], frozenset(words[2].partition(":")[2].split()))

    def mtu(self) -> dict[str, int]:
        """Bytes of the largest packet that each way takes."""
        outer, tunnel = (
            int(json.loads(self.on(SENDER, f"ip -j link show {name}"))[0]["mtu"]) for name in ("eth1", INTERFACE)
        )
        # Padded to four bytes, with two more of the trailer.
        return {PLAIN: outer, WIREGUARD: tunnel, IPSEC: outer - ESP_OVERHEAD - (outer - ESP_OVERHEAD + 2) % 4}

    def ends(self, kind: str) -> tuple[str, str]:
        """The addresses between which a transfer takes this way."""
        if kind == PLAIN:
            return self.hosts[SENDER].address, self.hosts[RECEIVER].address
        prefix = {WIREGUARD: TUNNEL, IPSEC: ESP}[kind]
        return inner(prefix, SENDER), inner(prefix, RECEIVER)

    def transfer(self, kind: str, seconds: int) -> Transfer:
        """Send for so many seconds."""
        here, there = self.ends(kind)
        server = f"head -n 1 /proc/stat > {STAT}; iperf3 -s -1 -B {there} -p {PORT}; head -n 1 /proc/stat >> {STAT}"
        listening = f"ss -Hltn 'sport = :{PORT}' | grep -q . "
        wait = f"for try in $(seq 100); do {listening} && exit 0; sleep 0.1; done; exit 1"
        self.on(RECEIVER, f"sh -c {shlex.quote(server)} > /dev/null 2>&1 < /dev/null & {wait}")
        client = f"iperf3 -J -c {there} -B {here} -p {PORT} -t {seconds}"
        told = self.on(SENDER, f"head -n 1 /proc/stat; {client}; head -n 1 /proc/stat", timeout=seconds + 120.0)
        first, _, rest = told.partition("\n")
        text, _, last = rest.rstrip("\n").rpartition("\n")
        wait = f"for try in $(seq 100); do [ $(wc -l < {STAT}) = 2 ] && exec cat {STAT}; sleep 0.1; done; exit 1"
        before, after = self.on(RECEIVER, wait).splitlines()
        self.went(kind)
        spent = (parse_busy(last) - parse_busy(first), parse_busy(after) - parse_busy(before))
        return parse_transfer(text, *spent)

    def went(self, kind: str) -> None:
        """ToolError where the bytes cannot have taken this way."""
        count = {
            IPSEC: "swanctl --list-sas --raw | grep -o 'bytes-out=[0-9]*' | cut -d = -f 2",
            WIREGUARD: f"wg show {INTERFACE} transfer | cut -f 3",
        }.get(kind)
        if count and max((int(word) for word in self.on(SENDER, count).split()), default=0) < _FEWEST_BYTES:
            raise ToolError(f"nothing went through {kind}")


def measure(bench: Bench, rounds: int, seconds: int) -> list[dict[str, Transfer]]:
    """Each way once in a round, and each round begins with another one."""
    found: list[dict[str, Transfer]] = []
    for number in range(rounds):
        order = [*KINDS[number % len(KINDS) :], *KINDS[: number % len(KINDS)]]
        of_round = {kind: bench.transfer(kind, seconds) for kind in order}
        found.append(of_round)
        told = ", ".join(f"{kind} {of_round[kind].bits_per_second / 1e6:.0f} Mbit/s" for kind in KINDS)
        print(f"round {number + 1}: {told}", flush=True)
    return found


def main() -> int:
    """Measure, print the table, write docs/bench-links.md."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench_links", description=__doc__)
    parser.add_argument("--rounds", type=int, default=6, help="transfers of each kind (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=10, help="of each transfer (default: %(default)s)")
    parser.add_argument("--keep", action="store_true", help="leave the machines running, for the next time")
    parser.add_argument("--write", type=Path, default=ROOT / "docs" / "bench-links.md", help="page to write")
    options = parser.parse_args()
    if os.geteuid() != 0:
        raise ToolError("the lab runs as root: sudo -E make bench-links")
    WORK.mkdir(parents=True, exist_ok=True)
    try:
        bench = Bench()
        with alone("bench"):
            try:
                bench.start()
                report = Report(measure(bench, options.rounds, options.seconds), bench.mtu(), bench.guest())
            finally:
                if not options.keep:
                    bench.lab("down")
    except LabError as error:
        raise ToolError(str(error)) from error
    print(report.table())
    report.write(options.write)
    return 0


if __name__ == "__main__":
    finish(main)
