# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a host of the lab: the traffic of a small service, for some seconds.

    traffic_agent.py PORT SECONDS RATE PEER

Serves on the port, and fetches from that of the peer, over a new connection each time, RATE times a second. What
fails is tried again with the next one.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time

SIZE = 64 * 1024


def serve(server: socket.socket) -> None:
    while True:
        connection, _address = server.accept()
        with contextlib.suppress(OSError), connection:
            connection.settimeout(5.0)
            connection.recv(64)
            connection.sendall(bytes(SIZE))
            # The one who fetches closes first: its port is in TIME_WAIT then, as that of any busy client.
            connection.recv(64)


def fetch(peer: str, port: int) -> None:
    with contextlib.suppress(OSError), socket.create_connection((peer, port), timeout=2.0) as connection:
        connection.sendall(b"more")
        left = SIZE
        while left > 0:
            left -= len(connection.recv(65536)) or left


def main(port: int, seconds: float, rate: float, peer: str) -> None:
    server = socket.create_server(("", port))
    threading.Thread(target=serve, args=[server], daemon=True).start()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        fetch(peer, port)
        time.sleep(1.0 / rate)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), sys.argv[4])
