# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.errors import LabError
from lab.processes import Process
from lab.run import Progress, run, tail_of_console
from lab.ssh import answers, close_shared_connections, ensure_key, holder_of_port, ssh_argv, wait_for_ssh


def test_run_gives_what_the_program_said() -> None:
    done = run([sys.executable, "-c", "import sys; print(sys.stdin.read() + 'x')"], what="greeting", stdin=b"in")
    assert done.stdout == "inx\n"


def test_run_explains_a_failure() -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('the reason')"]
    with pytest.raises(LabError) as failure:
        run(command, what="making it", hint="Do this.")
    text = str(failure.value)
    assert text.startswith("making it failed: exit status 1")
    assert "| the reason" in text
    assert text.endswith("Do this.")


def test_run_names_a_missing_program_and_a_late_one() -> None:
    with pytest.raises(LabError, match="no-such-program is not installed"):
        run(["no-such-program"], what="x")
    with pytest.raises(LabError, match=r"no end after 0 s"):
        run(["sleep", "5"], what="x", timeout=0.1)


def test_console_of_a_panic_shows_its_reason() -> None:
    trace = [f"[  2.{number}] frame {number}" for number in range(50)]
    text = "\r\n".join(["booting", "netfleet: cannot mount", "[ 1.0] Kernel panic - not syncing: why", *trace])
    shown = tail_of_console(text, 20).splitlines()
    assert "[ 1.0] Kernel panic - not syncing: why" in shown
    assert "netfleet: cannot mount" in shown
    assert len(shown) <= 20
    assert tail_of_console("a\n\nb\nc\n", 2) == "b\nc"


def test_progress_tells_the_step_and_its_seconds() -> None:
    stream = io.StringIO()
    with Progress(stream).step("trixie", "making it", announce=True):
        pass
    assert re.fullmatch(r"  trixie     making it \.\.\.\n  trixie     making it \(\d+\.\d s\)\n", stream.getvalue())


def test_a_process_is_known_by_its_start_too(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        process = Process.of(child.pid)
        assert process is not None
        assert process.alive
        assert not Process(child.pid, process.started + 1).alive
        process.write(tmp_path / "pid")
        assert Process.read(tmp_path / "pid") == process
        Process(child.pid, process.started + 1).end(1)  # another process by now: untouched
        assert process.alive
        process.end(5)
        assert child.wait(5) == -signal.SIGTERM
        process.end(1)  # gone: nothing happens
    assert Process.read(tmp_path / "nothing") is None


def test_a_process_that_goes_at_the_last_moment_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Process, "alive", True)
    Process(2**22, 1).send(signal.SIGTERM)  # a number beyond the kernel's largest


@pytest.fixture
def greeting_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"SSH-2.0-test\r\n")

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def test_only_a_greeting_counts_as_an_answer(greeting_port: int) -> None:
    assert answers("127.0.0.1", greeting_port)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert not answers("127.0.0.1", silent.getsockname()[1], timeout=0.2)


def test_holder_of_a_port_is_named(greeting_port: int) -> None:
    assert holder_of_port(greeting_port) == f"process {os.getpid()} ({Path(sys.executable).name})"
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert holder_of_port(unused.getsockname()[1]) is None


def test_waiting_ends_with_the_host() -> None:
    with pytest.raises(LabError, match="stopped before ssh answered"):
        wait_for_ssh("127.0.0.1", 1, 60, lambda: False)
    with pytest.raises(LabError, match=r"port 1 within 0 s"):
        wait_for_ssh("127.0.0.1", 1, 0.2, lambda: True)


def test_connections_of_others_are_not_closed(greeting_port: int) -> None:
    with socket.create_connection(("127.0.0.1", greeting_port)) as connection:
        assert close_shared_connections([("127.0.0.1", greeting_port)]) == 0
        assert connection.recv(4) == b"SSH-"


def test_the_key_is_made_once(tmp_path: Path) -> None:
    public = ensure_key(tmp_path / "new" / "key")
    assert public.startswith("ssh-ed25519 ")
    assert ensure_key(tmp_path / "new" / "key") == public
    assert (tmp_path / "new" / "key").stat().st_mode & 0o077 == 0


def test_ssh_reads_no_file_of_the_user() -> None:
    argv = ssh_argv(Path("/k"), "127.0.0.1", 22011, "true")
    assert argv[:7] == ["ssh", "-F", "none", "-i", "/k", "-p", "22011"]
    assert "UserKnownHostsFile=/dev/null" in argv
    assert argv[-2:] == ["root@127.0.0.1", "true"]
