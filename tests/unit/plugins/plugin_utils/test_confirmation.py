# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.connection import ConnectionBase

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError
from ansible_collections.netfleet.tcp.plugins.plugin_utils._confirmation import author, confirm, fresh, run_id
from ansible_collections.netfleet.tcp.plugins.plugin_utils._run_log import append, entry

PENDING = {"id": "000001-x", "window": 120}


class Connection(ConnectionBase):
    """Remembers what was done to it."""

    transport = "fake"

    def __init__(self) -> None:
        self.did: list[str] = []
        self.failure: Exception | None = None

    def _connect(self) -> Connection:
        return self

    def exec_command(self, *_arguments: Any, **_options: Any) -> tuple[int, bytes, bytes]:
        return 0, b"", b""

    def put_file(self, *_arguments: Any) -> None:
        raise AssertionError

    def fetch_file(self, *_arguments: Any) -> None:
        raise AssertionError

    def close(self) -> None:
        self.did.append("close")

    def reset(self) -> None:
        self.did.append("reset")
        if self.failure:
            raise self.failure


class Unresettable(Connection):
    reset = ConnectionBase.reset


class Clock:
    """Time that passes as it is slept through."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_the_connection_is_made_anew_before_it_is_asked() -> None:
    connection = Connection()

    def execute() -> dict[str, Any]:
        connection.did.append("asked")
        return {"change": {}}

    assert confirm(connection, execute, PENDING, 120.0) == {"change": {}}
    assert connection.did == ["reset", "asked"]


@pytest.mark.parametrize(("fails", "expected"), [(0, ["asked"]), (2, ["asked", *["reset", "asked"] * 2])])
def test_one_that_was_made_since_the_change_serves_as_long_as_it_does(fails: int, expected: list[str]) -> None:
    connection, clock = Connection(), Clock()

    def execute() -> dict[str, Any]:
        connection.did.append("asked")
        if connection.did.count("asked") <= fails:
            raise AnsibleConnectionFailure("timed out")
        return {"change": {}}

    confirm(connection, execute, PENDING, 120.0, clock, clock.sleep, reached=True)
    assert connection.did == expected


def test_it_tries_until_the_time_is_over_and_no_longer() -> None:
    clock, tries = Clock(), []

    def execute() -> dict[str, Any]:
        tries.append(clock.now)
        raise AnsibleConnectionFailure("timed out")

    with pytest.raises(AnsibleConnectionFailure, match=r"000001-x; it takes it back by itself, 120 s after.*timed"):
        confirm(Connection(), execute, PENDING, 120.0, clock, clock.sleep)
    assert len(tries) > 10
    assert 100 < tries[-1] < 120


def test_a_host_that_comes_back_in_time_is_asked() -> None:
    clock = Clock()

    def execute() -> dict[str, Any]:
        if clock.now < 30:
            raise AnsibleConnectionFailure("timed out")
        return {"change": {"outcome": "confirmed"}}

    assert confirm(Connection(), execute, PENDING, 120.0, clock, clock.sleep)["change"] == {"outcome": "confirmed"}


def test_connections_that_cannot_be_reset_are_closed() -> None:
    one, other, lost = Unresettable(), Connection(), Connection()
    fresh(one)
    other.failure = AnsibleError("no control socket")
    fresh(other)
    assert (one.did, other.did) == (["close"], ["reset", "close"])
    lost.failure = AnsibleConnectionFailure("gone")
    with pytest.raises(AnsibleConnectionFailure):
        fresh(lost)


def test_a_run_has_one_name_on_all_hosts() -> None:
    assert run_id("a-b-c") == run_id("a-b-c") != run_id("a-b-d")
    assert len(run_id("x")) == 8
    assert "@" in author()


# The log


def test_a_line_says_who_when_where_and_what(tmp_path: Path) -> None:
    answer = {
        "change": {"id": "000001-x", "outcome": "confirmed"},
        "changes": [{"subject": "sysctl", "key": "k", "running": "1", "want": "2", "reason": "r"}],
        "before": {"sysctl": {"k": "1"}},
    }
    path = tmp_path / "new" / "changes.jsonl"
    for host in ("a", "b"):
        append(str(path), entry(host, "tune", "ann@controller", answer, 0.0))
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [line["host"] for line in lines] == ["a", "b"]
    assert lines[0] == {
        "time": "1970-01-01T00:00:00Z",
        "host": "a",
        "verb": "tune",
        "author": "ann@controller",
        "change": "000001-x",
        "outcome": "confirmed",
        "changes": [{"subject": "sysctl", "key": "k", "running": "1", "want": "2"}],
        "said": "",
    }
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_failure_is_told_as_one() -> None:
    line = entry("a", "tune", "ann", {"failed": True, "msg": "no space left"}, 0.0)
    assert (line["outcome"], line["said"]) == ("failed", "no space left")


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match=r"tcp_tuning_log: .*file/x"):
        append(str(tmp_path / "file" / "x"), {})
