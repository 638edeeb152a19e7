# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a host of the lab: one end of a single long TCP connection that never falls silent.

    stream_agent.py receive PORT
    stream_agent.py send PORT ADDRESS STOP

The sender sends a little, often, until the file STOP is there. Each end prints what it saw as JSON: bytes, sha256 of
them, how it ended; the receiver also gaps: [seconds since the epoch at its end, seconds] of each silence.
"""

from __future__ import annotations

import hashlib
import json
import random
import socket
import sys
import time
from pathlib import Path

SIZE, PAUSE = 4096, 0.02
# Silence that is worth a word. Seconds.
GAP = 0.2
PATIENCE = 60.0


def receive(port: int) -> None:
    server = socket.create_server(("", port))
    server.settimeout(PATIENCE)
    connection, _address = server.accept()
    connection.settimeout(PATIENCE)
    seen, digest, gaps, ended = 0, hashlib.sha256(), [], "closed"
    last = time.monotonic()
    try:
        while True:
            data = connection.recv(65536)
            now = time.monotonic()
            if now - last > GAP:
                gaps.append([round(time.time(), 1), round(now - last, 2)])
            last = now
            if not data:
                break
            seen += len(data)
            digest.update(data)
    except OSError as error:
        ended = repr(error)
    say(seen, digest.hexdigest(), ended, gaps=gaps)


def send(port: int, address: str, stop: str) -> None:
    noise, sent, digest, ended = random.Random(1), 0, hashlib.sha256(), "closed"
    try:
        with socket.create_connection((address, port), timeout=PATIENCE) as connection:
            while not Path(stop).exists():
                data = noise.getrandbits(8 * SIZE).to_bytes(SIZE, "big")
                connection.sendall(data)
                sent += SIZE
                digest.update(data)
                time.sleep(PAUSE)
    except OSError as error:
        ended = repr(error)
    say(sent, digest.hexdigest(), ended)


def say(size: int, digest: str, ended: str, **more: object) -> None:
    print(json.dumps({"bytes": size, "sha256": digest, "ended": ended, **more}))


if __name__ == "__main__":
    if sys.argv[1] == "receive":
        receive(int(sys.argv[2]))
    else:
        send(int(sys.argv[2]), sys.argv[3], sys.argv[4])
