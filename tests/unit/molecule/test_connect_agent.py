# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agents that connect and answer, with each other on this machine."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.molecule import connect_agent, echo_agent
from tests.waiting import until

CONNECT = [sys.executable, str(connect_agent.__file__)]


@pytest.fixture
def port() -> int:
    """One on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.fixture
def echo(port: int) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, str(echo_agent.__file__), str(port), "local1"]) as server:
        yield server
        server.kill()


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*CONNECT, *words], capture_output=True, text=True, check=False, timeout=30)


def wait_until_ready(stop: Path) -> None:
    """Until what is to stand stands, or some connections were made."""
    until(Path(f"{stop}.ready").exists, 20.0, "it stands", 0.05)


@pytest.mark.usefixtures("echo")
def test_until_waits_for_an_answer_and_time_measures_each(port: int) -> None:
    done = run("until", "10", f"127.0.0.1:{port}")
    assert (done.returncode, float(done.stdout) < 10.0) == (0, True), done
    times = json.loads(run("time", "3", f"127.0.0.1:{port}").stdout)
    assert list(times) == [f"127.0.0.1:{port}"]
    assert len(times[f"127.0.0.1:{port}"]) == 3


def test_until_gives_up_and_names_what_did_not_answer(port: int) -> None:
    done = run("until", "0.2", f"127.0.0.1:{port}")
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stdout


@pytest.mark.parametrize("kind", ["many", "hold"])
def test_what_fails_is_counted_and_what_stands_is_not(
    echo: subprocess.Popen[bytes], port: int, tmp_path: Path, kind: str
) -> None:
    target, stop = f"127.0.0.1:{port}", tmp_path / "stop"
    assert run("until", "10", target).returncode == 0
    with subprocess.Popen([*CONNECT, kind, str(stop), target], stdout=subprocess.PIPE, text=True) as agent:
        wait_until_ready(stop)
        echo.kill()
        echo.wait()
        if kind == "many":
            time.sleep(0.5)
            stop.touch()
        seen = json.loads(agent.communicate(timeout=20)[0])
    if kind == "many":
        assert seen["met"]["local1"] > 1
        assert seen["made"] == seen["met"]["local1"] + len(seen["failed"])
        assert {each[1] for each in seen["failed"]} == {target}
    else:
        (one,) = seen
        assert (one["to"], one["met"]) == (target, "local1")
        assert one["ended"]


@pytest.mark.usefixtures("echo")
def test_one_that_stands_to_the_end_is_told_so(port: int, tmp_path: Path) -> None:
    target, stop = f"127.0.0.1:{port}", tmp_path / "stop"
    assert run("until", "10", target).returncode == 0
    with subprocess.Popen([*CONNECT, "hold", str(stop), target, target], stdout=subprocess.PIPE, text=True) as agent:
        wait_until_ready(stop)
        time.sleep(0.3)
        stop.touch()
        seen = json.loads(agent.communicate(timeout=20)[0])
    assert [one["ended"] for one in seen] == ["", ""]
    assert all(0.0 <= one["longest"] < 1.0 for one in seen)


def test_one_that_does_not_stand_at_once_is_tried_until_it_does(port: int, tmp_path: Path) -> None:
    stop, ready = tmp_path / "stop", tmp_path / "stop.ready"
    words = [*CONNECT, "hold", str(stop), f"127.0.0.1:{port}"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as agent:
        time.sleep(0.5)
        assert not ready.exists()
        with subprocess.Popen([sys.executable, str(echo_agent.__file__), str(port), "local1"]) as server:
            wait_until_ready(stop)
            stop.touch()
            (one,) = json.loads(agent.communicate(timeout=20)[0])
            server.kill()
    assert (one["met"], one["ended"]) == ("local1", "")
