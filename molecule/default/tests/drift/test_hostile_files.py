# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A sysctl.d with everything that can go wrong in it: the check ends, and says what systemd would do with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from testinfra.host import Host as Connection

from tests.molecule.playbook import Check, run_drift
from tests.molecule.visitor import AS_VISITOR, visitor

HOST = "local2"
KEY = "net.ipv4.tcp_mtu_probing"
UNREACHED_KEY = "net.ipv4.tcp_slow_start_after_idle"
CLOSED_KEY = "net.ipv4.tcp_sack"
DIRECTORY = "/etc/sysctl.d"
LAST = f"{DIRECTORY}/95-4999.conf"
CLOSED = f"{DIRECTORY}/97-closed.conf"
FIFO = f"{DIRECTORY}/98-fifo.conf"
# Each sorts after our file, or is what a reader stumbles over.
MAKE = f"""
import os, pathlib
directory = pathlib.Path("{DIRECTORY}")
for number in range(5000):
    value = 2 if number == 4999 else 0
    (directory / f"95-{{number:04}}.conf").write_text(f"# {{number}}\\n\\n{KEY} = {{value}}\\n")
(directory / "94-binary.conf").write_bytes(pathlib.Path("/bin/true").read_bytes())
(directory / "94-directory.conf").mkdir()
(directory / "94-loop.conf").symlink_to("94-other-loop.conf")
(directory / "94-other-loop.conf").symlink_to("94-loop.conf")
(directory / "94-nowhere.conf").symlink_to("/nowhere")
(directory / "96-long.conf").write_text("# " + "x" * 10_000_000 + "\\n{UNREACHED_KEY} = 1\\n")
closed = pathlib.Path("{CLOSED}")
closed.touch(0o600)
closed.write_text("{CLOSED_KEY} = 0\\n")
os.mkfifo("{FIFO}")
"""
UNDO = f"cd {DIRECTORY} && rm -rf 95-????.conf 94-*.conf 96-long.conf {CLOSED} {FIFO}"


@pytest.fixture(scope="module")
def host(connections: dict[str, Connection]) -> Iterator[Connection]:
    """The host with these files, and somebody who may not read all of them."""
    found = connections[HOST]
    with visitor({HOST: found}):
        found.check_output("/usr/bin/python3 -c %s", MAKE)
        yield found
        found.check_output(f"{UNDO}; systemctl restart systemd-sysctl")


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def as_root(host: Connection, scratch: Path) -> Check:
    del host
    return run_drift(scratch, f"--limit={HOST}")


@pytest.fixture(scope="module")
def as_visitor(as_root: Check, scratch: Path) -> Check:
    del as_root
    return run_drift(scratch, f"--limit={HOST}", AS_VISITOR)


def said(check: Check) -> list[tuple[str, str, str | None, str]]:
    """The findings as (rule, key, boot, source)."""
    return sorted((f["rule"], f["key"], f["boot"], f["source"]) for f in check.findings(HOST))


def test_root_is_told_what_decides_and_what_cannot_be_read(as_root: Check) -> None:
    assert as_root.status == 2, as_root.output
    assert said(as_root) == [
        ("sysctl-boot", KEY, "2", f"{LAST}:3"),
        ("sysctl-boot", CLOSED_KEY, "0", f"{CLOSED}:1"),
        ("sysctl-unread", FIFO, None, FIFO),
    ]


def test_an_ordinary_user_is_told_what_is_closed_to_him(as_visitor: Check) -> None:
    assert as_visitor.status == 2, as_visitor.output
    assert said(as_visitor) == [
        ("sysctl-boot", KEY, "2", f"{LAST}:3"),
        ("sysctl-unread", CLOSED, None, CLOSED),
        ("sysctl-unread", FIFO, None, FIFO),
    ]


def test_systemd_does_what_was_said(as_root: Check, as_visitor: Check, host: Connection) -> None:
    del as_visitor
    # It would wait for a writer of the FIFO for ever, which is why the check warns of it.
    command = f"rm {FIFO}; systemctl restart systemd-sysctl; sysctl -n {KEY} {CLOSED_KEY}"
    boot = [as_root.one(HOST, key, "sysctl-boot")["boot"] for key in (KEY, CLOSED_KEY)]
    assert host.check_output(f"{command} {UNREACHED_KEY}").split() == [*boot, "0"]
