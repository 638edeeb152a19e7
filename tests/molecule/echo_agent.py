# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in a pod on a host of the lab: says who it is to everyone who connects, and gives back what it hears.

echo_agent.py PORT NAME

Begins with a line "NAME ADDRESS", of which the address is the one that the connection comes from.
"""

from __future__ import annotations

import contextlib
import socketserver
import sys


class Server(socketserver.ThreadingTCPServer):
    """Takes many at once."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128
    name = ""


class Handler(socketserver.BaseRequestHandler):
    """One connection, until the other end closes it."""

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            self.request.sendall(f"{Server.name} {self.client_address[0]}\n".encode())
            while data := self.request.recv(4096):
                self.request.sendall(data)


if __name__ == "__main__":
    Server.name = sys.argv[2]
    Server(("", int(sys.argv[1])), Handler).serve_forever()
