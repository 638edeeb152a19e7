# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a host of the lab: new connections to what echo_agent.py serves, one after the other.

    connect_agent.py many PAUSE STOP HOST:PORT ...
    connect_agent.py time COUNT HOST:PORT ...
    connect_agent.py until SECONDS HOST:PORT ...

many: to each in turn, with a pause (seconds) between two, until the file STOP is there. Prints JSON: made, their
number; failed: [seconds since the epoch, host:port, why] of each that was not; met: number by the name of who answered.
time: COUNT connections to each, in turn. Prints JSON: microseconds until each stood, by target.
until: until each has answered once. Prints the seconds that it took; ends with 1 where it took too long.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from pathlib import Path

PATIENCE = 3.0
Target = tuple[str, int]


def ask(target: Target) -> str:
    """The name of who answers."""
    with socket.create_connection(target, timeout=PATIENCE) as connection:
        connection.settimeout(PATIENCE)
        words = connection.makefile().readline().split()
    if len(words) != 2:
        raise OSError("hung up without a word")
    return words[0]


def many(pause: float, stop: Path, targets: list[Target]) -> None:
    made, failed, met = 0, [], {}
    while not stop.exists():
        for target in targets:
            at = time.time()
            made += 1
            try:
                name = ask(target)
                met[name] = met.get(name, 0) + 1
            except OSError as error:
                failed.append([round(at, 2), "{}:{}".format(*target), str(error)])
            time.sleep(pause)
    print(json.dumps({"made": made, "failed": failed, "met": met}))


def measured(count: int, targets: list[Target]) -> None:
    found: dict[str, list[float]] = {"{}:{}".format(*target): [] for target in targets}
    for _time in range(count):
        for target in targets:
            with socket.socket() as connection:
                connection.settimeout(PATIENCE)
                began = time.perf_counter()
                connection.connect(target)
                found["{}:{}".format(*target)].append(round((time.perf_counter() - began) * 1e6, 1))
    print(json.dumps(found))


def until(seconds: float, targets: list[Target]) -> int:
    began, left = time.monotonic(), list(targets)
    while left:
        try:
            ask(left[0])
            left.pop(0)
        except OSError:
            if time.monotonic() - began > seconds:
                print("not within {} s: {}:{}".format(seconds, *left[0]))
                return 1
            time.sleep(0.02)
    print(round(time.monotonic() - began, 2))
    return 0


def main(words: list[str]) -> int:
    places = [word.rpartition(":") for word in words[3 if words[0] == "many" else 2 :]]
    targets = [(host, int(port)) for host, _colon, port in places]
    if words[0] == "many":
        many(float(words[1]), Path(words[2]), targets)
    elif words[0] == "time":
        measured(int(words[1]), targets)
    else:
        return until(float(words[1]), targets)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
