# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in a pod on a host of the lab: says who it is to everyone who connects, and to whom it says so.

echo_agent.py PORT NAME

One line for each connection, "NAME ADDRESS" with the address that the connection comes from.
"""

from __future__ import annotations

import socketserver
import sys


class Server(socketserver.ThreadingTCPServer):
    """Takes many at once."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128
    name = ""


class Handler(socketserver.BaseRequestHandler):
    """Tells, and hangs up."""

    def handle(self) -> None:
        self.request.sendall(f"{self.server.name} {self.client_address[0]}\n".encode())  # type: ignore[attr-defined]


if __name__ == "__main__":
    Server.name = sys.argv[2]
    Server(("", int(sys.argv[1])), Handler).serve_forever()
