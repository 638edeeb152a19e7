# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes really flow between two hosts of the fleet's own network, and `ss` names the algorithm that carries them."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.molecule.hosts import Target

PORT = 5201
SECONDS = 15
PATIENCE = 60  # an emulated host on a busy machine is slow to begin
PAIRS = (("cloud1", "local1"), ("local2", "cloud2"))  # sender, receiver
ALGORITHMS = {"local": "htcp", "cloud": "bbr"}
# Far above what a handshake or a probe moves, and within reach of emulated hosts on a machine that does much else.
LEAST_BYTES = 200_000
BOTH_CONNECTIONS = 2  # iperf3 makes a control and a data connection
# One visit to each end: it looks at the sockets as long as the transfer lives, and tells of the last time it saw both.
WATCH = (
    "while kill -0 $! 2>/dev/null; do "
    "now=$(ss --tcp --info --oneline --no-header --numeric state established dst {peer} {side} = :{port}); "
    'test $(printf "%s\\n" "$now" | wc -l) -ge {both} && seen=$now; '
    "sleep 0.3; done; "
    'echo "$seen"; wait $! || {{ cat /run/transfer.log >&2; exit 1; }}'
)
LISTEN = "timeout {patience} iperf3 --server --one-off --port {port} >/run/transfer.log 2>&1 & "
SEND = "timeout {patience} iperf3 --client {peer} --port {port} --time {seconds} >/run/transfer.log 2>&1 & "
IS_LISTENING = "for i in $(seq 100); do ss -Htln sport = :{port} | grep -q . && exit 0; sleep 0.1; done; exit 1"


@dataclass(frozen=True)
class Socket:
    """A connection as `ss --info` shows it."""

    algorithm: str
    sent: int
    received: int

    @classmethod
    def parse(cls, line: str) -> Socket:
        """From one line; the algorithm is its own word, the rest is name:value."""
        numbers = {name: int(value) for name, value in re.findall(r"\b(\w+):(\d+)\b", line)}
        found = [word for word in line.split() if word in {"bbr", "htcp", "cubic", "reno"}]
        assert len(found) == 1, f"ss names no congestion control: {line}"
        return cls(found[0], numbers.get("bytes_acked", 0), numbers.get("bytes_received", 0))


def transfer(sender: Target, receiver: Target) -> dict[str, list[Socket]]:
    """Send for some seconds; the sockets of both ends, seen while it lasts."""
    values = {"port": PORT, "seconds": SECONDS, "patience": PATIENCE, "both": BOTH_CONNECTIONS}
    listen = (LISTEN + WATCH).format(peer=sender.host.address, side="sport", **values)
    send = (SEND + WATCH).format(peer=receiver.host.address, side="dport", **values)
    with ThreadPoolExecutor() as pool:
        receiving = pool.submit(receiver.connection.check_output, listen)
        receiver.connection.check_output(IS_LISTENING.format(**values))
        sent = sender.connection.check_output(send)
        received = receiving.result()
    return {"sender": sockets(sent), "receiver": sockets(received)}


def sockets(text: str) -> list[Socket]:
    return [Socket.parse(line) for line in text.splitlines() if line]


@pytest.fixture(scope="module", params=PAIRS, ids="-to-".join)
def ends(request: pytest.FixtureRequest, targets: dict[str, Target]) -> dict[str, tuple[Target, list[Socket]]]:
    """Both ends of a transfer with their sockets."""
    sender, receiver = (targets[name] for name in request.param)
    seen = transfer(sender, receiver)
    return {"sender": (sender, seen["sender"]), "receiver": (receiver, seen["receiver"])}


@pytest.mark.parametrize("end", ["sender", "receiver"])
def test_both_ends_use_their_profile_s_algorithm(ends: dict[str, tuple[Target, list[Socket]]], end: str) -> None:
    host, seen = ends[end]
    wanted = [ALGORITHMS[group] for group in host.host.groups if group in ALGORITHMS]
    assert [found.algorithm for found in seen] == wanted * BOTH_CONNECTIONS


def test_bytes_flowed(ends: dict[str, tuple[Target, list[Socket]]]) -> None:
    assert max(found.sent for found in ends["sender"][1]) > LEAST_BYTES
    assert max(found.received for found in ends["receiver"][1]) > LEAST_BYTES
