# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Passes connections on: `python -m lab.kube_relay DESCRIPTOR HOST PORT`.

A socket belongs to the network namespace in which it was made. So a listening socket of this machine, handed by its
descriptor to this program in the fleet's namespace, lets this machine reach what only the fleet can.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys

SIZE = 65536


async def main(descriptor: int, host: str, port: int) -> None:
    """Serve until the end of the process."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = await asyncio.open_connection(host, port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pass_on(reader, there[1]), _pass_on(there[0], writer))

    server = await asyncio.start_server(serve, sock=socket.socket(fileno=descriptor))
    async with server:
        await server.serve_forever()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(SIZE):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
