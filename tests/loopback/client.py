# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens short connections to a Redis, one after the other: `client.py NAME PLACE RATE HOLD [quit]`.

NAME: what the process is called. PLACE: ADDRESS:PORT, or the path of a UNIX domain socket. RATE: how many a second, 0
for as many as it can. HOLD: seconds for which each is open beside what it takes. quit: the server is to close first.
Until SIGTERM; then it prints as JSON how many it has opened, how many failed by which errno, and its time: seconds gone
by, and processor time out of the kernel and in it.
"""

from __future__ import annotations

import json
import resource
import signal
import socket
import sys
import time
from collections import Counter
from pathlib import Path
from types import FrameType


def ask(place: str, words: bytes, hold: float) -> None:
    """Open a connection, get an answer, close it."""
    by_path = place.startswith("/")
    address, _colon, port = place.rpartition(":")
    with socket.socket(socket.AF_UNIX if by_path else socket.AF_INET) as stream:
        stream.connect(place if by_path else (address, int(port)))
        stream.sendall(words)
        received = b""
        while b"+PONG" not in received or (b"QUIT" in words and received[-5:] != b"+OK\r\n"):
            more = stream.recv(100)
            if not more:
                raise OSError("closed before the answer")
            received += more
        if hold:
            time.sleep(hold)
        # Whoever waits for the other end's FIN closes second.
        while b"QUIT" in words and stream.recv(100):
            pass


def main() -> None:
    """Until SIGTERM."""
    name, place, rate, hold = sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
    words = b"PING\r\nQUIT\r\n" if sys.argv[5:] == ["quit"] else b"PING\r\n"
    Path("/proc/self/comm").write_text(name, encoding="utf-8")
    going = [True]

    def stop(_signal: int, _frame: FrameType | None) -> None:
        going[0] = False

    signal.signal(signal.SIGTERM, stop)
    print("ready", flush=True)
    opened, failed = 0, Counter[int]()
    began = time.monotonic()
    while going[0]:
        try:
            ask(place, words, hold)
            opened += 1
        except OSError as error:
            failed[error.errno or 0] += 1
        if rate:
            time.sleep(max(0.0, began + (opened + failed.total()) / rate - time.monotonic()))
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = time.monotonic() - began
    print(json.dumps([opened, dict(failed), seconds, used.ru_utime, used.ru_stime]))


if __name__ == "__main__":
    main()
