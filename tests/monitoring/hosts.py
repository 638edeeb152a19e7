# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two hosts in namespaces of this machine, joined by a wire: web1, which is monitored, and web2, its peer.

What they can write is in memory and goes with them; the machine itself is not changed. Their systemctl is
systemctl_agent.py; node_exporter, Prometheus, the exporter and Ansible are the real ones.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.monitoring.promtool import ROOT, RULES
from tests.waiting import until

HERE = Path(__file__).resolve().parent
ADDRESS, PEER = "192.0.2.1", "192.0.2.2"
STREAM, SHORT = 7001, 7002
NAMES = ("web1", "web2")
PROMETHEUS_PORT = 9090
NODE_EXPORTER = "prometheus-node-exporter.service"
TEXT_FILES = "/var/lib/prometheus/node-exporter"
# Of what the rules say in minutes, that many seconds: a quarter of an hour passes in ten.
FASTER = 90
# What is in memory there; what tests need of the machine's own is copied.
FOLDERS = ("/run", "/var/lib", "/etc/default", "/etc/systemd/system", "/etc/sysctl.d")
COPIED = ("/etc/default/prometheus-node-exporter",)
PYTHON = "/usr/bin/python3"


def faster(text: str) -> str:
    """Rules of which all times are shorter."""
    units = {"m": 60, "h": 3600, "d": 86400}

    def shorter(match: re.Match[str]) -> str:
        return f"{max(1, round(int(match[1]) * units[match[2]] / FASTER))}s"

    return re.sub(r"\b(\d+)(m|h|d)\b", shorter, text)


def _network(process: str) -> str:
    return str(Path(f"/proc/{process}/ns/net").readlink())


class Hosts:
    """The two hosts, and what runs on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        self.holders = [self._start(["unshare", "-m", "-n", "sleep", "infinity"]) for _host in range(2)]
        until(lambda: _network("self") not in {_network(str(holder.pid)) for holder in self.holders})
        self._wire()
        self._files()

    def _start(self, words: Sequence[str], log: str = "") -> subprocess.Popen[bytes]:
        out = (self.folder / log).open("wb") if log else subprocess.DEVNULL
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        self.processes.append(process)
        return process

    def inside(self, words: Sequence[str], peer: bool = False) -> list[str]:
        """A command as it runs on the monitored host, or on its peer."""
        return ["nsenter", f"--target={self.holders[peer].pid}", "--mount", "--net", "--", *words]

    def run(self, *words: str, peer: bool = False, stdin: str = "", **more: Any) -> str:
        """What a program prints there; AssertionError where it fails."""
        done = subprocess.run(
            self.inside(words, peer),
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            **more,
        )
        assert done.returncode == 0, f"{' '.join(words)}: {done.returncode}\n{done.stdout}"
        return done.stdout

    def start(self, *words: str, peer: bool = False, log: str = "") -> subprocess.Popen[bytes]:
        """A program that goes on there until it is ended."""
        return self._start(self.inside(words, peer), log)

    def traffic(self, *words: str, peer: bool = False) -> subprocess.Popen[bytes]:
        """Traffic of traffic_agent.py."""
        return self.start(PYTHON, "-I", str(HERE / "traffic_agent.py"), *words, peer=peer)

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """End what was started here, and whatever it has started."""
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def close(self) -> None:
        """End all of it. Nothing is left: the namespaces go with their last process."""
        for peer, holder in enumerate(self.holders):
            # What systemctl has started is none of ours by its parent.
            if holder.poll() is None:
                subprocess.run(self.inside(["systemctl", "stop", NODE_EXPORTER], bool(peer)), check=False)
        for process in reversed(self.processes):
            self.end(process)

    def _wire(self) -> None:
        self.run("ip", "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", str(self.holders[1].pid))
        for peer, address in enumerate((ADDRESS, PEER)):
            for words in (f"address add {address}/24 dev wire", "link set wire up", "link set lo up"):
                self.run("ip", *words.split(), peer=bool(peer))

    def _files(self) -> None:
        agent = self.folder / "systemctl"
        shutil.copy(HERE / "systemctl_agent.py", agent)
        agent.chmod(0o755)
        kept = {path: Path(path).read_text(encoding="utf-8") for path in COPIED}
        for peer in (False, True):
            for folder in FOLDERS:
                self.run("mount", "-t", "tmpfs", "none", folder, peer=peer)
            for path, text in kept.items():
                self.run("tee", path, stdin=text, peer=peer)
            self.run("mkdir", "-p", "/run/systemd/system", "/run/lock", TEXT_FILES, peer=peer)
            self.run("mount", "--bind", str(agent), "/usr/bin/systemctl", peer=peer)
            # As its package starts it.
            self.run("systemctl", "start", NODE_EXPORTER, peer=peer)

    def playbook(
        self, path: str, *arguments: str, peer: bool = False, server: bool = False, **variables: Any
    ) -> tuple[str, dict[str, int]]:
        """Run a playbook on one of the hosts; its output, and its counts (ok, changed, ...).

        server: the host is of the group prometheus too.
        """
        inventory, name = self.folder / "hosts.yml", NAMES[peer]
        own = {"ansible_connection": "local", "ansible_become": False, "ansible_python_interpreter": PYTHON}
        found: dict[str, Any] = {"local": {"hosts": {name: own}}, "web": {"hosts": {name: {}}}}
        inventory.write_text(json.dumps({**found, **({"prometheus": {"hosts": {name: {}}}} if server else {})}))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        environment.update(
            ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"),
            ANSIBLE_NOCOLOR="1",
            ANSIBLE_LOCAL_TEMP=str(self.folder / "ansible"),
            ANSIBLE_REMOTE_TEMP=str(self.folder / "ansible"),
        )
        words = [
            str(Path(sys.executable).with_name("ansible-playbook")),
            f"--inventory={inventory}",
            f"--extra-vars={json.dumps(variables)}",
            *arguments,
            str(ROOT / path),
        ]
        try:
            said = self.run(*words, env=environment, cwd=ROOT, peer=peer)
        except AssertionError as error:
            # Such a host has no journal that could say it.
            said = self.run("sed", "-n", "/level=error/p", "/run/fake-systemd/node_exporter.log", peer=peer)
            raise AssertionError(f"{error}\nnode_exporter's errors:\n{said}") from None
        counts = re.findall(rf"^{name} .*?: (ok=.*)$", said, re.MULTILINE)[-1]
        return said, {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", counts)}

    # Prometheus

    def start_prometheus(self, number: int = 1) -> None:
        """Start it with the role's rules, made faster, for so many of the hosts, and wait until it answers."""
        rules = self.folder / "rules.yml"
        rules.write_text(faster(RULES.read_text(encoding="utf-8")), encoding="utf-8")
        targets = [
            {"targets": [f"{address}:9100"], "labels": {"instance": name}}
            for name, address in list(zip(NAMES, (ADDRESS, PEER), strict=True))[:number]
        ]
        configuration = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(rules)],
            "scrape_configs": [{"job_name": "node", "static_configs": targets}],
        }
        file = self.folder / "prometheus.yml"
        file.write_text(yaml.safe_dump(configuration), encoding="utf-8")
        self.start(
            "prometheus",
            f"--config.file={file}",
            f"--storage.tsdb.path={self.folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{PROMETHEUS_PORT}",
            log="prometheus.log",
        )
        until(lambda: self.ask("query", query="up"), what="Prometheus answers")

    def ask(self, path: str, **parameters: str) -> Any:
        """What Prometheus answers; None where it does not. AssertionError where it does not like the question."""
        address = f"http://127.0.0.1:{PROMETHEUS_PORT}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        done = subprocess.run(
            self.inside(["curl", "--silent", "--max-time", "5", address]), capture_output=True, text=True, check=False
        )
        if done.returncode or not done.stdout.startswith("{"):
            return None
        answer = json.loads(done.stdout)
        assert answer["status"] == "success", f"{parameters}: {answer.get('error')}"
        return answer["data"]

    def query(self, expression: str) -> dict[tuple[tuple[str, str], ...], float]:
        """The values of an expression now, by their labels."""
        data = self.ask("query", query=expression)
        found = data["result"] if data else []
        return {tuple(sorted(entry["metric"].items())): float(entry["value"][1]) for entry in found}

    def firing(self) -> set[str]:
        """The alerts that fire."""
        return {dict(labels)["alertname"] for labels in self.query('ALERTS{alertstate="firing"}')}

    def export(self, peer: bool = False) -> None:
        """What the timer does."""
        self.run("systemctl", "start", "netfleet-tcp-exporter.service", peer=peer)

    # What can be wrong on the way

    def lose(self, percent: int) -> str:
        """Lose so many of the packets to the peer, 0 for none; returns by what: netem where this kernel has it."""
        netem = ["tc", "qdisc", "replace", "dev", "wire", "root", "netem", "loss", f"{percent}%"]
        done = subprocess.run(
            self.inside(netem if percent else [*netem[:2], "del", *netem[3:6]]), capture_output=True, check=False
        )
        if done.returncode == 0:
            return "netem"
        table = "table inet lossy"
        lines = [table, f"delete {table}", f"{table} {{", "chain in {", "type filter hook prerouting priority raw"]
        lines += [f"numgen random mod 100 < {percent} drop", "}", "}"]
        self.run("nft", "-f", "-", peer=True, stdin="\n".join(lines if percent else lines[:2]) + "\n")
        return "nftables"
