#!/usr/bin/python3
# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for systemctl on a host that systemd has not booted: it really runs what the units name.

Of the exporter's service it runs ExecStart=; of node_exporter's it does what Debian's unit says, as its user, with the
flags that the file in /etc/default has. A timer that is active is a file: the test runs its service. Standard library.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

STATE = Path("/run/fake-systemd")
UNITS = Path("/etc/systemd/system")
NODE_EXPORTER = "prometheus-node-exporter.service"
# As the init script of the package starts it: the shell reads the file, and splits what is in ARGS.
START = '. /etc/default/prometheus-node-exporter; exec setpriv --reuid=prometheus --clear-groups -- "$0" $ARGS'


def pid_of(unit: str) -> int:
    """The process of a unit; 0 where it does not run."""
    with contextlib.suppress(OSError, ValueError):
        pid = int((STATE / unit).read_text())
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        # One that was killed has its sockets until the last of its threads is gone, its first one often before that.
        return 0 if state in "ZX" and len(list(Path(f"/proc/{pid}/task").iterdir())) == 1 else pid
    return 0


def is_active(unit: str) -> bool:
    """Whether it runs."""
    return (STATE / unit).exists() if unit.endswith(".timer") else bool(pid_of(unit))


def stop(unit: str) -> None:
    """End its process, and wait until it is gone."""
    pid = pid_of(unit)
    if pid:
        os.kill(pid, signal.SIGTERM)
        while pid_of(unit):
            time.sleep(0.02)
    (STATE / unit).unlink(missing_ok=True)


def start(unit: str) -> int:
    """Start it; the exit status, of one that ends by itself."""
    STATE.mkdir(exist_ok=True)
    if unit == NODE_EXPORTER:
        out = (STATE / "node_exporter.log").open("ab")
        words = ["sh", "-c", START, "prometheus-node-exporter"]
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        (STATE / unit).write_text(str(process.pid))
        return 0
    if unit.endswith(".timer"):
        (STATE / unit).write_text("")
        return 0 if (UNITS / unit).exists() else 5
    settings = dict(re.findall(r"^(\w+)=(.*)$", (UNITS / unit).read_text(), re.MULTILINE))
    # Those of root's powers that the unit leaves it.
    kept = ",".join(f"+{name[len('CAP_') :].lower()}" for name in settings["CapabilityBoundingSet"].split())
    limits = ["setpriv", f"--bounding-set=-all,{kept}", "--no-new-privs"]
    return subprocess.run([*limits, "--", *settings["ExecStart"].split()], check=False).returncode


def main(verb: str, units: list[str]) -> int:
    """Exit status as systemctl's."""
    units = [unit for unit in units if not unit.startswith("--")]
    if verb == "is-active":
        return 0 if all(is_active(unit) for unit in units) else 3
    if verb == "show":
        # What Ansible wants to know of a service that it is to reload, and we of one that was restarted.
        state = "active" if units[0] == "prometheus" or is_active(units[0]) else "inactive"
        print(f"Id={units[0]}\nLoadState=loaded\nActiveState={state}\nSubState=running\nNRestarts=0")
        print(f"MainPID={pid_of(units[0])}")
    if verb == "reload":
        with (STATE / "reloaded").open("a") as log:
            log.write("".join(f"{unit}\n" for unit in units))
    for unit in units:
        if verb in ("stop", "restart"):
            stop(unit)
        if verb in ("start", "restart"):
            status = start(unit)
            if status:
                return status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
