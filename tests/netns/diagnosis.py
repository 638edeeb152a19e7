# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running playbooks/diagnose.yml between namespaces, with traffic of our own, and reading what became of it."""

from __future__ import annotations

import contextlib
import gzip
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.netns.namespaces import LEFT, RIGHT, Machine, Net, join, run

PORT = 5432
AGENT = (Path(__file__).parent / "traffic_agent.py").read_text(encoding="utf-8")
SECRET = b"the secret of the payload"


@dataclass(frozen=True)
class Diagnosis:
    """A finished run. files: of its archive, without the name of its folder."""

    status: int
    output: str
    report: dict[str, Any]
    files: dict[str, bytes]
    archive: Path

    @property
    def found(self) -> dict[str, dict[str, Any]]:
        """The findings that count, by rule."""
        return {each["rule"]: each for each in self.report["findings"] if each["severity"] != "note"}

    @property
    def notes(self) -> list[str]:
        return [f"{each['host']} {each['key']}: {each['reason']}" for each in self.report["findings"]]

    def capture(self, host: str) -> bytes:
        return gzip.decompress(self.files[f"{host}/capture.pcap.gz"])


def diagnose(hosts: Net, *options: str, **variables: Any) -> Diagnosis:
    given = {
        "tcp_diagnose_host": "left",
        "tcp_diagnose_peer": "right",
        "tcp_diagnose_port": PORT,
        "tcp_diagnose_seconds": 5,
        "tcp_diagnose_hops": False,
        "tcp_diagnose_archive": str(hosts.folder / "archive"),
        "tcp_diagnose_directory": str(hosts.folder / "reports"),
        **variables,
    }
    wrapper, addresses = given.pop("wrapper", ""), given.pop("addresses", {})
    connection = given.pop("connection", {})
    names = {
        name: hosts.host(name, wrapper, **({"tcp_probe_address": addresses[name]} if addresses else {}), **connection)
        for name in ("left", "right")
    }
    done = hosts.playbook("diagnose", names, *options, **{key: each for key, each in given.items() if each is not None})
    output = done.stdout + done.stderr
    path = hosts.folder / "reports" / "diagnose.json"
    report = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    archives = sorted((hosts.folder / "archive").glob("*.tar.gz"))
    files = {}
    if archives:
        with tarfile.open(archives[-1]) as archive:
            for member in archive.getmembers():
                stream = archive.extractfile(member)
                assert stream
                files[member.name.partition("/")[2]] = stream.read()
    return Diagnosis(done.returncode, output, report, files, archives[-1] if archives else Path())


def serve(hosts: Net, what: str = "serve") -> None:
    hosts.right.start(AGENT, what, str(PORT))


def traffic(hosts: Net, what: str, size: int, pause: float = 0.05) -> None:
    hosts.left.start(AGENT, what, RIGHT, str(PORT), str(size), str(pause))


def narrow(hosts: Net, what: str) -> None:
    """A link beyond the router that takes 1300 bytes, for what the client sends, or fetches."""
    port, address = ("right", RIGHT) if what == "send" else ("left", LEFT)
    hosts.middle.ip("route", "add", f"{address}/32", "dev", port, "mtu", "lock", "1300")


@contextlib.contextmanager
def another_way_back(hosts: Net) -> Iterator[None]:
    """What right sends to left goes by another router, and arrives on another interface."""
    other = Machine(f"{hosts.middle.name}2")
    run("ip", "netns", "add", other.name)
    try:
        join(hosts.left, "eth1", other, "left", ("198.18.3.1/24", "198.18.3.254/24"))
        join(hosts.right, "eth1", other, "right", ("198.18.4.1/24", "198.18.4.254/24"))
        other.sysctl(ip_forward=1)
        other.ip("route", "add", f"{LEFT}/32", "via", "198.18.3.1")
        hosts.right.ip("route", "add", f"{LEFT}/32", "via", "198.18.4.254")
        for machine in (hosts.left, hosts.right, other):
            machine.run("sh", "-c", "for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $f; done")
        yield
    finally:
        run("ip", "netns", "del", other.name)
