# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Breaking a change on a host of the lab, and looking what became of the host."""

from __future__ import annotations

import base64
import json
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from testinfra.host import Host as Connection

from ansible_collections.netfleet.tcp.plugins.module_utils import _rollback
from ansible_collections.netfleet.tcp.plugins.module_utils._bundle import bundle, own_sources
from lab.vm_qemu import Monitor
from tests.molecule import fault_agent, fault_watcher
from tests.molecule.hosts import OBSERVE, Seen, differences, wait_for

AGENT = "/root/fault_agent.pyz"
WATCHER = "/root/fault_watcher.py"
RUN = f"/usr/bin/python3 -I {AGENT}"
MAIN = "import sys\nfrom fault_agent import main\n\nsys.exit(main(sys.argv[1:]))\n"
# What stays whatever becomes of a change: its record; and the counters and lists that any use of the host moves.
HISTORY = "/var/lib/netfleet-tcp/history/"
# Killed at the very end, a change leaves it to the next run.
PROGRAM = "/var/lib/netfleet-tcp/revert.pyz"
# Where nothing could be written, nothing could be removed either: the next run, or the next boot, does it.
LEFT_OVER = ("/var/lib/netfleet-tcp/pending.json", "/etc/systemd/system/netfleet-tcp-recover.service")
LEFT_LINK = "/etc/systemd/system/sysinit.target.wants/netfleet-tcp-recover.service"
LISTS_OF_MODULES = ("net.ipv4.tcp_available_congestion_control", "net.ipv4.tcp_allowed_congestion_control")
PROCESS_FAULTS = ("kill", "late")
FILE_FAULTS = ("full", "readonly")
OLD, NEW, BETWEEN = "old", "new", "between"
# Seconds within which a host is old again when the time of its change is over.
LIMIT = 5.0
REBOOT = 240.0


@dataclass(frozen=True)
class Ended:
    """What became of a host: old, new or between, and what differs from either; what it said, and how late it was."""

    state: str
    differs: object = ""
    said: str = ""
    late: float = 0.0
    # What the next run, and then its undoing, left wrong; empty where they put it right.
    wrong: object = ""


@dataclass(frozen=True)
class Sides:
    """A host before a change and after it, and what lies between: its steps, in words."""

    before: Seen
    after: Seen
    steps: Sequence[str] = ()

    def of(self, fault: str) -> list[int]:
        """At which steps a fault can strike; the first is 1."""
        everywhere = [number for number, _what in enumerate(self.steps, 1)]
        if fault in FILE_FAULTS:
            writes = ("write ", "link ") if fault == "full" else ("write ", "link ", "remove ")
            return [number for number in everywhere if self.steps[number - 1].startswith(writes)]
        # Before the clock is armed nothing has changed that could be taken back, and nobody waits for a process that
        # hangs in the cleaning up of a change that is final.
        return everywhere[self.armed(fault) : self.final] if fault == "stop" else everywhere

    @property
    def final(self) -> int:
        """The step by which a change becomes final: its record goes to the history."""
        return next(number for number, what in enumerate(self.steps, 1) if what.endswith(" to the history"))

    @property
    def writing(self) -> int:
        """The step by which it is on record that files are being written."""
        record = f"write {LEFT_OVER[0]}"
        return len(self.steps) - self.steps[::-1].index(record)

    def armed(self, fault: str) -> int:
        """The step after which the host takes the change back by itself; before it, the next run removes the record."""
        what = f"link {LEFT_LINK}" if fault == "power" else "arm the timer"
        return self.steps.index(what) + 1

    def state(self, now: Seen) -> str:
        """Which of the two a host is."""
        return OLD if now == self.before else NEW if now == self.after else BETWEEN

    def differs(self, now: Seen) -> object:
        """What differs from both, where the host is neither."""
        if self.state(now) != BETWEEN:
            return ""
        return {side: first_differences(seen, now) for side, seen in ((OLD, self.before), (NEW, self.after))}


def put_file(connection: Connection, path: str, content: bytes) -> None:
    """Put a file on a host, whatever its size."""
    text = base64.b64encode(content).decode()
    connection.check_output(f"rm -f {path}.b64")
    for start in range(0, len(text), 60000):
        connection.check_output(f"printf %s {text[start : start + 60000]} >> {path}.b64")
    connection.check_output(f"base64 -d {path}.b64 > {path} && rm {path}.b64")


def install(connection: Connection) -> None:
    """Put the agent, with the collection's own code, and the watcher on a host."""
    assert _rollback, "all that the agent imports is loaded by this"
    own = Path(fault_agent.__file__).read_text(encoding="utf-8")
    parts = {"fault_agent": own, "observe": OBSERVE.read_text(encoding="utf-8")}
    put_file(connection, AGENT, bundle({**own_sources(), **parts}, MAIN))
    put_file(connection, WATCHER, Path(fault_watcher.__file__).read_bytes())


def steady(seen: Seen, leftovers: bool = True) -> Seen:
    """What was seen of a host, without what is its own to change. leftovers: whether they count."""
    apart = (HISTORY, PROGRAM) if leftovers else (HISTORY, PROGRAM, *LEFT_OVER, LEFT_LINK)
    files = {path: digest for path, digest in seen.files.items() if not path.startswith(apart)}
    # It remembers which modules were loaded before, and one that is in use stays loaded.
    files.update({path: "there" for path in files if path.endswith(".baseline.json")})
    keys = {name: value for name, value in seen.sysctls.items() if name not in LISTS_OF_MODULES}
    return replace(seen, boot="", memory=0, modules=[], files=files, sysctls=keys)


def sides(connection: Connection) -> Sides:
    """The host before the agent's change and after it; it is as before again."""
    found = json.loads(connection.check_output(f"{RUN} sides"))
    before, after, undone = (steady(Seen(**found[key])) for key in ("before", "after", "undone"))
    assert undone == before, f"the change could not be undone: {first_differences(before, undone)}"
    assert before != after
    return Sides(before, after, json.loads(found["steps"]))


def broken(
    connection: Connection, fault: str, steps: Sequence[int], known: Sides, window: int
) -> Iterator[tuple[int, Ended]]:
    """Break the change at each of these steps in turn, and see what the host is then.

    window: seconds until the host takes back what is not confirmed. A change that is not broken has to be done in them.
    """
    words = " ".join(str(number) for number in (window, *steps))
    for line in connection.check_output(f"{RUN} break {fault} {words}").splitlines():
        found = json.loads(line)
        # Else the host would be old since its time was over, and nothing would have been tried.
        struck = fault in FILE_FAULTS or found["status"] == -signal.SIGKILL
        assert struck, f"{fault} at step {found['step']} did not strike: {found['said']}"
        yield found["step"], judged(found, known, fault not in FILE_FAULTS and found["step"] > known.armed(fault))


def switched_off(connection: Connection, machine: Path, step: int, known: Sides) -> Ended:
    """Reset the machine right before a step, let it boot, and see what the host is then."""
    connection.check_output(
        f"rm -f {fault_agent.READY}; ({RUN} reach {step} > /run/fault_agent.log 2>&1 < /dev/null &);"
        f" timeout 180 sh -c 'until test -e {fault_agent.READY}; do sleep 0.5; done'"
    )
    reset(connection, machine)
    # Once a change is final, what it was armed with is of no effect; without power, some of it waits for the next run.
    counts = known.armed("power") < step <= known.final + 1
    return judged(json.loads(connection.check_output(f"{RUN} look")), known, counts)


def reset(connection: Connection, machine: Path) -> None:
    """What a power failure is to a machine; returns once it is up again."""
    boot = connection.check_output("cat /proc/sys/kernel/random/boot_id")
    with Monitor.connect(machine) as monitor:
        monitor.execute("system_reset")
    wait_for(connection, f"test $(cat /proc/sys/kernel/random/boot_id) != {boot}", REBOOT)
    wait_for(connection, "systemctl is-system-running --wait | grep -q -e running -e degraded", REBOOT)


def judged(found: Mapping[str, Any], known: Sides, leftovers: bool = True) -> Ended:
    """By what the agent has seen."""
    now = steady(Seen(**found["now"]), leftovers)
    wrong: dict[str, object] = {key: found[key] for key in ("next_said", "undo_said") if found[key]}
    for key, expected in (("next", known.after), ("undone", known.before)):
        seen = steady(Seen(**found[key]))
        if seen != expected:
            wrong[key] = first_differences(expected, seen)
    return Ended(known.state(now), known.differs(now), found.get("said", ""), found["late"], wrong or "")


def first_differences(before: Seen, now: Seen) -> object:
    """What is no longer as it was, in a few words for each."""
    found: dict[str, object] = {}
    for part, (left, right) in differences({"host": before}, {"host": now}).items():
        if isinstance(left, dict) and isinstance(right, dict):
            names = sorted(name for name in {*left, *right} if left.get(name) != right.get(name))
            found[part] = {name: (left.get(name), right.get(name)) for name in names[:10]}
        else:
            found[part] = (left, right)
    return found
