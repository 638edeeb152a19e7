# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a host of the lab: connections to what echo_agent.py serves.

    connect_agent.py many STOP HOST:PORT ...
    connect_agent.py hold STOP HOST:PORT ...
    connect_agent.py time COUNT HOST:PORT ...
    connect_agent.py until SECONDS HOST:PORT ...

many: to each in turn, a new one each time, until the file STOP is there. Prints JSON: made, their number; failed:
[seconds since the epoch, host:port, why] of each that was not; met: number by the name of who answered.
hold: one to each, tried until it stands; the file STOP.ready is there once all do. Over each a word goes and comes
back, again and again, until the file STOP is there. Prints JSON, a list: to: host:port; met: who answered; longest:
seconds that a word took; ended: why, empty where it did not.
time: COUNT connections to each, in turn. Prints JSON: microseconds until each stood, by target.
until: until each has answered once. Prints the seconds that it took; ends with 1 where it took too long.
"""

from __future__ import annotations

import itertools
import json
import socket
import sys
import threading
import time
from pathlib import Path

# Seconds: until a connection has failed; between two of them; between two words, and until one is lost. With shorter
# pauses the four emulated hosts of scenario kube do little else than connect, and kube-proxy stands in line.
PATIENCE, PAUSE, WORD, LOST = 3.0, 0.25, 0.5, 30.0
Target = tuple[str, int]


def ask(target: Target) -> str:
    """The name of who answers."""
    with socket.create_connection(target, timeout=PATIENCE) as connection:
        connection.settimeout(PATIENCE)
        words = connection.makefile().readline().split()
    if len(words) != 2:
        raise OSError("hung up without a word")
    return words[0]


def many(stop: Path, targets: list[Target]) -> None:
    made = 0
    failed: list[list[object]] = []
    met: dict[str, int] = {}
    while not stop.exists():
        for target in targets:
            at = time.time()
            made += 1
            try:
                name = ask(target)
                met[name] = met.get(name, 0) + 1
                if sum(met.values()) == len(targets) + 1:
                    Path(f"{stop}.ready").touch()
            except OSError as error:
                failed.append([round(at, 2), "{}:{}".format(*target), str(error)])
            time.sleep(PAUSE)
    print(json.dumps({"made": made, "failed": failed, "met": met}))


def hold(stop: Path, targets: list[Target]) -> None:
    found: list[dict[str, object]] = [{} for _target in targets]
    standing = [threading.Event() for _target in targets]
    threads = [
        threading.Thread(target=held, args=each)
        for each in zip(itertools.repeat(stop), targets, found, standing, strict=False)
    ]
    for thread in threads:
        thread.start()
    for event in standing:
        event.wait()
    Path(f"{stop}.ready").touch()
    for thread in threads:
        thread.join()
    print(json.dumps(found))


def held(stop: Path, target: Target, found: dict[str, object], standing: threading.Event) -> None:
    met, longest, ended = "", 0.0, "it never stood"
    while not (met or stop.exists()):
        try:
            with socket.create_connection(target, timeout=PATIENCE) as connection:
                lines = connection.makefile()
                met = lines.readline().split()[0]
                connection.settimeout(LOST)
                standing.set()
                ended = ""
                while not stop.exists():
                    began = time.monotonic()
                    connection.sendall(b"word\n")
                    if lines.readline() != "word\n":
                        raise OSError("the other end hung up")
                    longest = max(longest, time.monotonic() - began)
                    time.sleep(WORD)
        except (OSError, IndexError) as error:
            ended = repr(error)
            time.sleep(PAUSE)
    standing.set()
    found.update(to="{}:{}".format(*target), met=met, longest=round(longest, 2), ended=ended)


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
    places = [word.rpartition(":") for word in words[2:]]
    targets = [(host, int(port)) for host, _colon, port in places]
    if words[0] == "many":
        many(Path(words[1]), targets)
    elif words[0] == "hold":
        hold(Path(words[1]), targets)
    elif words[0] == "time":
        measured(int(words[1]), targets)
    else:
        return until(float(words[1]), targets)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
