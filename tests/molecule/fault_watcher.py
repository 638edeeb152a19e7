# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a host of the lab beside a tuning run: waits for a moment of its change, strikes, and sees when it has ended.

    fault_watcher.py [--shut] MOMENT none | cut SECONDS | clock SECONDS | readonly DIRECTORY

Moments: recorded (the change is on record), waiting (it is made, and its module has ended), writing (its files are
being written). Strikes: cut (every packet of the way in is dropped for so long), clock (it is set so far ahead),
readonly (a mount point). --shut: from that moment on no new connection is let in for some seconds, so that the run
cannot confirm while the test does what it has to. Prints a line for each thing that it sees; knows nothing of the
collection but its records.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

STATE = Path("/var/lib/netfleet-tcp")
LOCK = Path("/run/netfleet-tcp.lock")
WAY_IN = "eth0"
# Of the process that takes new connections; those that there are have their own.
DOOR = Path("/run/sshd.pid")
SHUT = 6.0
DROP = (
    "table inet cut { chain input { type filter hook input priority -300; iifname %s drop; };"
    " chain output { type filter hook output priority -300; oifname %s drop; }; }"
)
PATIENCE = 180.0
# From the end of a module until its result has left the host.
DELIVERY = 0.7


def say(text: str) -> None:
    print(text, flush=True)


def uptime() -> float:
    return float(Path("/proc/uptime").read_text().split()[0])


def pending() -> dict[str, Any] | None:
    """The change on record that has not ended."""
    try:
        found: dict[str, Any] = json.loads((STATE / "pending.json").read_text())
    except (OSError, ValueError):
        return None
    name = f"{found['summary']['id']}.json"
    return None if (STATE / "history" / name).exists() else found


def module_has_ended() -> bool:
    """Whether nobody holds the lock, and the last who did is gone."""
    holder = LOCK.read_text().rpartition(" ")[2]
    if Path("/proc", holder).exists():
        return False
    with LOCK.open() as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def has_come(moment: str) -> bool:
    """Whether it is the moment. What costs an emulated host most is asked last."""
    if not (STATE / "pending.json").exists() or (moment == "waiting" and not module_has_ended()):
        return False
    change = pending()
    return change is not None and (moment != "writing" or bool(change["writing"]))


def strike(what: str, value: str) -> None:
    """Do it; a cut ends by itself."""
    if what == "cut":
        subprocess.run(["nft", "-f", "-"], input=DROP % (WAY_IN, WAY_IN), text=True, check=True)
        if os.fork() == 0:
            time.sleep(float(value))
            subprocess.run(["nft", "delete", "table", "inet", "cut"], check=True)
            say("mended")
            os._exit(0)
    elif what == "clock":
        time.clock_settime(time.CLOCK_REALTIME, time.time() + float(value))
    elif what == "readonly":
        subprocess.run(["mount", "-o", "remount,bind,ro", value], check=True)


def main(moment: str, what: str, value: str = "", shut: bool = False) -> int:
    if what == "cut":
        # Loads what it needs, so that the strike itself is one step.
        subprocess.run(["nft", "list", "ruleset"], check=True, stdout=subprocess.DEVNULL)
    say("ready")
    until = time.monotonic() + PATIENCE
    pause = 0.02 if moment == "writing" else 0.1
    while not has_come(moment):
        if time.monotonic() > until:
            say("the moment never came")
            return 1
        time.sleep(pause)
    if shut:
        door = int(DOOR.read_text())
        os.kill(door, signal.SIGSTOP)
        if os.fork() == 0:
            time.sleep(SHUT)
            os.kill(door, signal.SIGCONT)
            os._exit(0)
    change = pending() or {"due": 0.0, "summary": {"id": ""}}
    if moment == "waiting":
        time.sleep(DELIVERY)
    strike(what, value)
    say("struck")
    record = STATE / "history" / f"{change['summary']['id']}.json"
    while not record.exists() and time.monotonic() < until + PATIENCE:
        time.sleep(0.1)
    say("ended %.2f" % (uptime() - change["due"]))
    return 0


if __name__ == "__main__":
    moment, what, *value = [word for word in sys.argv[1:] if word != "--shut"]
    sys.exit(main(moment, what, "".join(value), shut="--shut" in sys.argv))
