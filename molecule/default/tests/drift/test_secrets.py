# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets are closed to an ordinary user: he is told so in notes, and root is told whether they drifted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from testinfra.host import Host as Connection

from tests.molecule.playbook import run_drift, run_playbook
from tests.molecule.visitor import AS_VISITOR, visitor

HOST = "local2"
LIMIT = f"--limit={HOST}"
FILE = "/etc/sysctl.d/90-netfleet-tcp-secret.conf"
KEY = "net.ipv4.tcp_fastopen_key"
VALUE = "01234567-89abcdef-01234567-89abcdef"
OTHER = "00000000-00000000-00000000-00000001"
DECLARED = "--extra-vars=" + json.dumps({"tcp_tuning_fast_open": "server", "tcp_tuning_fast_open_key": VALUE})


@pytest.fixture(scope="module")
def host(connections: dict[str, Connection], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """The host with a secret, and with somebody who is not root."""
    scratch = tmp_path_factory.mktemp("tuning")
    assert FILE in run_playbook(scratch, LIMIT, DECLARED).changes(HOST)
    with visitor({HOST: connections[HOST]}):
        yield connections[HOST]
    assert FILE in run_playbook(scratch, LIMIT).changes(HOST)
    # Where there was no key, a random one is left, since zeros would be one that everybody knows.
    connections[HOST].check_output(f"sysctl -qw {KEY}=0-0-0-0")


def test_an_ordinary_user_is_told_in_notes_what_is_not_judged(host: Connection, tmp_path: Path) -> None:
    del host
    check = run_drift(tmp_path, LIMIT, DECLARED, AS_VISITOR)
    assert (check.status, check.findings(HOST)) == (0, []), check.output
    unjudged = [found["key"] for found in check.findings(HOST, notes=True) if found["rule"] == "file-unjudged"]
    assert sorted(unjudged) == [FILE, KEY]


def test_root_is_told_that_it_drifted_and_neither_value(host: Connection, tmp_path: Path) -> None:
    host.check_output(f"sed -i 's/{VALUE}/{OTHER}/' {FILE}")
    check = run_drift(tmp_path, LIMIT, DECLARED)
    assert check.status == 2, check.output
    assert check.one(HOST, KEY, "sysctl-boot")["source"].startswith(f"{FILE}:")
    told = check.output + json.dumps(check.report)
    assert (VALUE in told, OTHER in told) == (False, False)
