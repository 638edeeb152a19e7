# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Below mq, which spreads over the transmit queues of an interface, the leaves change and mq stays."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.molecule.hosts import Target
from tests.molecule.playbook import Run, run_playbook

HOST = "cloud2"
CARD = "ifb9"  # the virtual interface that gets mq by itself, as a NIC with several queues does
QUEUES = 3
MAKE = (
    f"sysctl -qw net.core.default_qdisc=fq_codel && ip link add {CARD} numtxqueues {QUEUES} type ifb && "
    f"ip link set {CARD} up && sysctl -qw net.core.default_qdisc=fq"
)


@dataclass(frozen=True)
class Queues:
    """What tc says of the interface."""

    root: str
    leaves: list[str]

    @classmethod
    def of(cls, host: Target) -> Queues:
        entries = json.loads(host.connection.check_output(f"tc -j qdisc show dev {CARD}"))
        roots = [entry["kind"] for entry in entries if entry.get("root")]
        assert len(roots) == 1
        return cls(roots[0], [entry["kind"] for entry in entries if not entry.get("root")])


@pytest.fixture(scope="module")
def host(targets: dict[str, Target]) -> Iterator[Target]:
    """The host with the interface."""
    found = targets[HOST]
    found.connection.check_output(MAKE)
    yield found
    found.connection.check_output(f"ip link del {CARD}")


def declare(scratch: Path, *interfaces: str) -> Run:
    declared = json.dumps({"tcp_tuning_qdisc_interfaces": interfaces})
    return run_playbook(scratch, f"--limit={HOST}", f"--extra-vars={declared}")


def test_leaves_change_and_come_back(host: Target, tmp_path: Path) -> None:
    assert Queues.of(host) == Queues("mq", ["fq_codel"] * QUEUES)
    named = declare(tmp_path, "auto", CARD)
    assert CARD in named.changes(HOST)
    assert Queues.of(host) == Queues("mq", ["fq"] * QUEUES)
    assert declare(tmp_path, "auto", CARD).changed == []
    no_longer = declare(tmp_path, "auto")
    assert CARD in no_longer.changes(HOST)
    assert Queues.of(host) == Queues("mq", ["fq_codel"] * QUEUES)
