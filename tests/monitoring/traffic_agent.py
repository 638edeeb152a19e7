# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Traffic between the two hosts of the test.

traffic_agent.py serve | send ADDRESS CONNECTIONS RATE | connect ADDRESS PORT RATE

serve takes connections on ports 7001 and 7002; what comes on the first is read away, on the second it ends at once.
send keeps connections open to the first, and writes a few bytes on each, RATE times a second. connect opens so many
short connections a second. All go on until they are ended. Standard library.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import sys
import time

STREAM, SHORT = 7001, 7002


def serve() -> None:
    """Take all that comes."""
    selector = selectors.DefaultSelector()
    for port in (STREAM, SHORT):
        listener = socket.create_server(("", port), backlog=128)
        listener.setblocking(False)
        selector.register(listener, selectors.EVENT_READ, port)
    while True:
        for key, _events in selector.select():
            stream = key.fileobj
            assert isinstance(stream, socket.socket)
            with contextlib.suppress(OSError):
                if key.data:
                    accepted, _peer = stream.accept()
                    if key.data == SHORT:
                        # Whoever closes first has the TIME-WAIT: the one who called.
                        accepted.setblocking(False)
                    selector.register(accepted, selectors.EVENT_READ, 0)
                elif not stream.recv(1 << 16):
                    selector.unregister(stream)
                    stream.close()


def send(address: str, connections: int, rate: float) -> None:
    """Write on all of them in turns."""
    streams = [socket.create_connection((address, STREAM)) for _number in range(connections)]
    for stream in streams:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream.setblocking(False)
    due = time.monotonic()
    while True:
        for stream in streams:
            with contextlib.suppress(BlockingIOError):
                stream.send(b"x" * 100)
        due += 1 / rate
        time.sleep(max(0.0, due - time.monotonic()))


def connect(address: str, port: int, rate: float) -> None:
    """Open connections and close them; one that cannot be opened is none."""
    due = time.monotonic()
    while True:
        with contextlib.suppress(OSError):
            socket.create_connection((address, port), 1).close()
        due += 1 / rate
        time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    elif sys.argv[1] == "send":
        send(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
    else:
        connect(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
