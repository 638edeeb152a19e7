# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Breaking a change on a host of the lab, and looking what became of the host."""

from __future__ import annotations

import base64
import contextlib
import time
from dataclasses import dataclass, replace
from pathlib import Path

from testinfra.host import Host as Connection

from ansible_collections.netfleet.tcp.plugins.module_utils import _transaction
from ansible_collections.netfleet.tcp.plugins.module_utils._revert_timer import bundle, own_sources
from tests.molecule import fault_agent
from tests.molecule.hosts import Seen, differences

AGENT = "/root/fault_agent.pyz"
RUN = f"/usr/bin/python3 -I {AGENT}"
MAIN = "import sys\nfrom fault_agent import main\n\nsys.exit(main(sys.argv[1:]))\n"
# What stays whatever becomes of a change: its record; and the counters and lists that any use of the host moves.
HISTORY = "/var/lib/netfleet-tcp/history/"
# Killed at the very end, a change leaves it to the next run.
PROGRAM = "/var/lib/netfleet-tcp/revert.pyz"
LISTS_OF_MODULES = ("net.ipv4.tcp_available_congestion_control", "net.ipv4.tcp_allowed_congestion_control")
FAULTS = ("kill", "late", "power", "full", "readonly")
OLD, NEW, BETWEEN = "old", "new", "between"
# What the timer's program may take on an emulated machine beyond its window.
PATIENCE = 60.0
REBOOT = 180.0


@dataclass(frozen=True)
class Ended:
    """What became of a host: old, new or between, and what differs from either; how long after the fault."""

    state: str
    differs: object
    said: str
    seconds: float


def install(connection: Connection) -> None:
    """Put the agent, with the collection's own code, on a host."""
    assert _transaction, "all that the agent imports is loaded by this"
    own = Path(fault_agent.__file__).read_text(encoding="utf-8")
    text = base64.b64encode(bundle({**own_sources(), "fault_agent": own}, MAIN)).decode()
    connection.check_output(f"rm -f {AGENT}.b64")
    for start in range(0, len(text), 60000):
        connection.check_output(f"printf %s {text[start : start + 60000]} >> {AGENT}.b64")
    connection.check_output(f"base64 -d {AGENT}.b64 > {AGENT}")


def steady(seen: Seen) -> Seen:
    """What was seen of a host, without what is its own to change."""
    files = {path: digest for path, digest in seen.files.items() if not path.startswith((HISTORY, PROGRAM))}
    # It remembers which modules were loaded before, and one that is in use stays loaded.
    files.update({path: "there" for path in files if path.endswith(".baseline.json")})
    keys = {name: value for name, value in seen.sysctls.items() if name not in LISTS_OF_MODULES}
    return replace(seen, boot="", memory=0, modules=[], files=files, sysctls=keys)


def sides(connection: Connection) -> tuple[Seen, Seen, dict[str, int]]:
    """The host before the change and after it, and how many steps lie between, by fault; it is as before again."""
    # Once for nothing: the modules that it loads stay, so that it takes the same steps each time from then on.
    for verb in ("count", "undo"):
        connection.check_output(f"{RUN} {verb}")
    before = steady(Seen.on(connection))
    steps, files = (int(word) for word in connection.check_output(f"{RUN} count").split())
    count = {fault: files if fault in ("full", "readonly") else steps for fault in FAULTS}
    after = steady(Seen.on(connection))
    connection.check_output(f"{RUN} undo")
    assert steady(Seen.on(connection)) == before, "the change could not be undone"
    return before, after, count


def broken(connection: Connection, step: int, fault: str, before: Seen, after: Seen) -> Ended:
    """Break the change at a step, wait until the host has taken care of it, and see what it is."""
    boot = connection.check_output("cat /proc/sys/kernel/random/boot_id")
    with contextlib.suppress(RuntimeError):
        # A machine that is switched off ends the connection, and says nothing.
        connection.run(f"timeout 60 {RUN} break {step} {fault}")
    began = time.monotonic()
    if fault == "power":
        _wait_for(connection, f"test $(cat /proc/sys/kernel/random/boot_id) != {boot}", REBOOT)
        _wait_for(connection, "systemctl is-system-running --wait | grep -q -e running -e degraded", REBOOT)
    _wait_for(connection, "! systemctl is-active -q netfleet-tcp-revert.timer netfleet-tcp-revert.service", PATIENCE)
    now = steady(Seen.on(connection))
    said = connection.run("journalctl -b -t netfleet-tcp --no-pager -q -o cat -n 3").stdout
    state = OLD if now == before else NEW if now == after else BETWEEN
    differs = (
        {side: _first_differences(seen, now) for side, seen in ((OLD, before), (NEW, after))}
        if state == BETWEEN
        else ""
    )
    if state == NEW:
        connection.check_output(f"{RUN} undo")
    return Ended(state, differs, said, time.monotonic() - began)


def _first_differences(before: Seen, now: Seen) -> object:
    """What is no longer as it was, in a few words for each."""
    found: dict[str, object] = {}
    for part, (left, right) in differences({"host": before}, {"host": now}).items():
        if isinstance(left, dict) and isinstance(right, dict):
            names = sorted(name for name in {*left, *right} if left.get(name) != right.get(name))
            found[part] = {name: (left.get(name), right.get(name)) for name in names[:10]}
        else:
            found[part] = (left, right)
    return found


def _wait_for(connection: Connection, command: str, seconds: float) -> None:
    until = time.monotonic() + seconds
    while True:
        with contextlib.suppress(RuntimeError):
            if connection.run(f"timeout 100 sh -c '{command}'").rc == 0:
                return
        assert time.monotonic() < until, f"not within {seconds:.0f} s: {command}"
        time.sleep(1.0)
