# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a host, by its own Python: the traffic that a diagnosis looks at. Says "ready" once it goes on.

serve PORT: reads what comes, and sends as many bytes as the client has asked for. deaf PORT: takes connections and
never reads. queue PORT: listens with room for one, and never takes any. send ADDRESS PORT BYTES PAUSE [NUMBER]: again
and again, over each of so many connections, one if nothing is said. fetch ADDRESS PORT BYTES PAUSE [NUMBER]: asks for
as many, again and again.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable

SECRET = b"the secret of the payload. "


def _text(size: int) -> bytes:
    return (SECRET * (size // len(SECRET) + 1))[:size]


def _serve_one(stream: socket.socket) -> None:
    with stream, contextlib.suppress(OSError):
        while True:
            head = b""
            while len(head) < 8:
                piece = stream.recv(8 - len(head))
                if not piece:
                    return
                head += piece
            incoming, wanted = struct.unpack("!II", head)
            while incoming > 0:
                piece = stream.recv(min(incoming, 1 << 16))
                if not piece:
                    return
                incoming -= len(piece)
            stream.sendall(_text(wanted))


def serve(port: int, serve_one: Callable[[socket.socket], None] = _serve_one) -> None:
    """Take connections for ever."""
    server = socket.create_server(("", port), backlog=64)
    print("ready", flush=True)
    while True:
        threading.Thread(target=serve_one, args=(server.accept()[0],), daemon=True).start()


def deaf(port: int) -> None:
    """Take connections, and do not read."""

    def hold(stream: socket.socket) -> None:
        with stream:
            time.sleep(3600)

    serve(port, hold)


def queue(port: int) -> None:
    """Listen, and take none."""
    server = socket.create_server(("", port), backlog=1)
    print("ready", flush=True)
    time.sleep(3600)
    server.close()


def call(address: str, port: int, incoming: int, wanted: int, pause: float) -> None:
    """Ask over one connection, again and again; over a new one where that fails."""
    while True:
        with contextlib.suppress(OSError), socket.create_connection((address, port), 5) as stream:
            stream.settimeout(None)
            while True:
                stream.sendall(struct.pack("!II", incoming, wanted) + _text(incoming))
                left = wanted
                while left > 0:
                    piece = stream.recv(1 << 16)
                    if not piece:
                        break
                    left -= len(piece)
                time.sleep(pause)
        time.sleep(0.2)


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    if what in ("serve", "deaf", "queue"):
        {"serve": serve, "deaf": deaf, "queue": queue}[what](int(words[0]))
    else:
        size = int(words[2])
        asked = (words[0], int(words[1]), *((size, 1) if what == "send" else (1, size)), float(words[3]))
        callers = [threading.Thread(target=call, args=asked) for _each in range(int(words[4]) if len(words) > 4 else 1)]
        for caller in callers:
            caller.start()
        print("ready", flush=True)
