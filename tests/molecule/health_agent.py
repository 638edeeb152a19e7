# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a host under test, by its own Python: connections that a look at TCP's health is compared by.

`serve PORT` accepts what comes by IPv4 and IPv6, reads it, and closes what the other end closes.
`call ADDRESS PORT LASTING SHORT` opens and closes SHORT connections, then LASTING ones, over which it sends something,
and which stand until the process is ended; by the file /run/health-agent.ready it says when they do.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from pathlib import Path
from typing import NoReturn

SENT = 50_000
READY = Path("/run/health-agent.ready")


def drain(stream: socket.socket) -> None:
    """Read until the other end closes."""
    with stream:
        while stream.recv(1 << 16):
            pass


def serve(port: int) -> NoReturn:
    """Accept for ever."""
    server = socket.socket(socket.AF_INET6)
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("", port))
    server.listen(64)
    while True:
        threading.Thread(target=drain, args=(server.accept()[0],), daemon=True).start()


def call(address: str, port: int, lasting: int, short: int) -> NoReturn:
    """Open, say so, and stay."""
    for _each in range(short):
        socket.create_connection((address, port)).close()
    streams = [socket.create_connection((address, port)) for _each in range(lasting)]
    for stream in streams:
        stream.sendall(b"x" * SENT)
    # Until everything was acknowledged, so that no counter of theirs moves any more.
    time.sleep(1)
    READY.write_text(f"{len(streams)}\n", encoding="utf-8")
    while True:
        time.sleep(60)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]))
    else:
        call(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
