# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host with node_exporter, as systemd, its files and a scrape show it; what a process of the exporter's unit may."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testinfra.host import Host as Connection

from lab.paths import REPOSITORY
from tests.molecule.hosts import wait_for
from tests.molecule.playbook import Run, run_playbook
from tests.waiting import until

AGENT = REPOSITORY / "tests" / "molecule" / "monitoring_agent.py"
PLAYBOOK = REPOSITORY / "playbooks" / "monitoring.yml"
NODE_EXPORTER = "prometheus-node-exporter.service"
SERVICE, TIMER = "netfleet-tcp-exporter.service", "netfleet-tcp-exporter.timer"
TEXT_FILES = "/var/lib/prometheus/node-exporter"
TEXT_FILE = f"{TEXT_FILES}/netfleet_tcp.prom"
DEFAULTS, KEPT = "/etc/default/prometheus-node-exporter", "/run/prometheus-node-exporter.kept"
URL = "http://127.0.0.1:9100/metrics"
SCRAPE = f"import urllib.request; print(urllib.request.urlopen('{URL}', timeout=20).read().decode())"
# Owners and modes; what is in the files is for observe.py.
TREES = "/etc /run/systemd/system /var/lib"
_SAMPLE = re.compile(r"^(\w+(?:\{.*\})?) (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Stand:
    """What stands on a host. flags: of node_exporter's process. failed: units, of all."""

    files: Sequence[str]
    unit_files: Sequence[str]
    units: Sequence[str]
    node_exporter: Mapping[str, str]
    flags: Sequence[str]
    failed: Sequence[str]

    @classmethod
    def of(cls, host: Connection) -> Stand:
        """What stands there at this moment."""
        files = host.check_output(f"find {TREES} -printf '%p %y %m %u:%g %l\\n'")
        return cls(
            sorted(files.splitlines()),
            sorted(host.check_output("systemctl list-unit-files --no-legend --plain").splitlines()),
            sorted(host.check_output("systemctl list-units --all --no-legend --plain '*netfleet*'").splitlines()),
            properties(
                host, NODE_EXPORTER, "ActiveState", "SubState", "UnitFileState", "NRestarts", "NeedDaemonReload"
            ),
            flags_of(host),
            host.check_output("systemctl list-units --failed --no-legend --plain").splitlines(),
        )

    def lines(self) -> set[str]:
        """Each part of it with its name, for a comparison."""
        return {f"{name}: {part}" for name, parts in vars(self).items() for part in _parts(parts)}


def _parts(found: Sequence[str] | Mapping[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in found.items()] if isinstance(found, Mapping) else list(found)


def changed(before: Mapping[str, Stand], after: Mapping[str, Stand]) -> dict[str, list[str]]:
    """What is no longer as it was, or was not there, by host."""
    pairs = {name: before[name].lines() ^ after[name].lines() for name in before}
    return {name: sorted(lines) for name, lines in pairs.items() if lines}


def run_monitoring(scratch: Path, hosts: Sequence[str], *arguments: str, **variables: Any) -> Run:
    """Run the playbook on these hosts; scratch: a directory for its results."""
    limit = f"--limit={','.join(hosts)}"
    return run_playbook(scratch, limit, f"--extra-vars={json.dumps(variables)}", *arguments, playbook=PLAYBOOK)


def properties(host: Connection, unit: str, *names: str) -> dict[str, str]:
    """What systemd says of a unit."""
    text = host.check_output("systemctl show --property=%s %s", ",".join(names), unit)
    found = dict(line.split("=", 1) for line in text.splitlines())
    assert set(found) == set(names), f"{unit}: {text}"
    return found


def flags_of(host: Connection) -> list[str]:
    """The words with which node_exporter's process was started, sorted; none where it does not run."""
    pid = properties(host, NODE_EXPORTER, "MainPID")["MainPID"]
    if pid == "0":
        return []
    return sorted(host.check_output("cat /proc/%s/cmdline", pid).strip("\0").split("\0")[1:])


def start_node_exporter(host: Connection, defaults: str) -> None:
    """Until it answers. defaults: the text of the file with its flags, in place of that of the package."""
    host.check_output(f"cp --preserve {DEFAULTS} {KEPT}")
    host.check_output(f"printf '%%s' %s > {DEFAULTS}", defaults)
    restart_node_exporter(host)


def restart_node_exporter(host: Connection) -> None:
    """Until it answers again."""
    host.check_output(f"systemctl restart {NODE_EXPORTER}")
    wait_until_it_answers(host)


def stop_node_exporter(host: Connection) -> None:
    """With its package's flags, as it was before."""
    host.run(f"systemctl stop {NODE_EXPORTER}; systemctl reset-failed {NODE_EXPORTER} {SERVICE} {TIMER}")
    host.check_output(f"test ! -e {KEPT} || (cp --preserve {KEPT} {DEFAULTS} && rm {KEPT})")


def wait_until_it_answers(host: Connection) -> None:
    """It is started in a moment, and listens a moment later."""
    wait_for(host, "ss -Htln sport = :9100 | grep -q .", 30)


def scrape(host: Connection) -> dict[str, float]:
    """What node_exporter tells whoever asks it, by name and labels."""
    wait_until_it_answers(host)
    return samples(host.check_output("/usr/bin/python3 -I -c %s", SCRAPE))


def samples(text: str) -> dict[str, float]:
    """The samples of a text for Prometheus."""
    return {name: float(value) for name, value in _SAMPLE.findall(text)}


@contextmanager
def drop_in(hosts: Sequence[Connection], unit: str, *lines: str) -> Iterator[None]:
    """More lines in the section [Service] of a unit, as somebody else might add them."""
    folder = f"/run/systemd/system/{unit}.d"
    text = "".join(f"{line}\n" for line in ("[Service]", *lines))
    try:
        for host in hosts:
            host.check_output(
                f"mkdir -p {folder} && printf '%%s' %s > {folder}/test.conf && systemctl daemon-reload", text
            )
        yield
    finally:
        for host in hosts:
            host.run(f"rm -rf {folder} && systemctl daemon-reload")


def starts(host: Connection, number: int, seconds: float) -> list[int]:
    """When the exporter was started, seen that many times: microseconds since the machine's boot."""
    found: list[int] = []

    def enough() -> bool:
        when = int(properties(host, SERVICE, "ExecMainStartTimestampMonotonic")["ExecMainStartTimestampMonotonic"])
        if when not in found:
            found.append(when)
        return len(found) >= number

    until(enough, seconds, lambda: f"started {number} times, but {len(found)}", 0.5)
    return found


def inside(host: Connection) -> dict[str, Any]:
    """What a process of the exporter's unit may, as monitoring_agent.py finds it by trying."""
    path = "/run/monitoring-agent.py"
    try:
        host.check_output(f"printf '%%s' %s > {path}", AGENT.read_text(encoding="utf-8"))
        # The unit has a fifth of a processor, and 30 seconds for all of its start.
        with drop_in([host], SERVICE, "TimeoutStartSec=180", f"ExecStartPost=/usr/bin/python3 -I {path}"):
            host.check_output(f"systemctl start {SERVICE} && journalctl --sync")
            invocation = properties(host, SERVICE, "InvocationID")["InvocationID"]
            said = host.check_output(f"journalctl --quiet --output=cat _SYSTEMD_INVOCATION_ID={invocation}")
    finally:
        host.run(f"rm -f {path}")
    (line,) = [line for line in said.splitlines() if line.startswith("{")]
    found: dict[str, Any] = json.loads(line)
    return found
