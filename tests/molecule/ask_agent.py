# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a host: asks an address over UDP, or answers, and tells how long there was no answer.

    ask_agent.py answer ADDRESS PORT SECONDS
    ask_agent.py ask ADDRESS PORT SECONDS FROM EVERY

Asking, it prints the moments of all answers as JSON, in seconds since the epoch.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import time


def bound(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    found = socket.socket(family, socket.SOCK_DGRAM)
    found.bind((address, port))
    return found


def answer(address: str, port: int, seconds: float) -> None:
    server, until = bound(address, port), time.time() + seconds
    server.settimeout(1.0)
    while time.time() < until:
        # Without a route it cannot be sent, or it comes to nobody's ears.
        with contextlib.suppress(OSError):
            data, sender = server.recvfrom(100)
            server.sendto(data, sender)


def ask(address: str, port: int, seconds: float, source: str, every: float) -> list[float]:
    client, began, answers = bound(source, 0), time.time(), []
    while time.time() - began < seconds:
        with contextlib.suppress(OSError):
            client.sendto(b"?", (address, port))
        until = time.time() + every
        while (left := until - time.time()) > 0:
            client.settimeout(left)
            with contextlib.suppress(OSError):
                client.recv(100)
                answers.append(time.time())
    return answers


if __name__ == "__main__":
    verb, where, number, duration = sys.argv[1:5]
    if verb == "answer":
        answer(where, int(number), float(duration))
    else:
        print(json.dumps(ask(where, int(number), float(duration), sys.argv[5], float(sys.argv[6]))))
