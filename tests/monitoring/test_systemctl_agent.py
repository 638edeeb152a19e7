# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in for systemctl: when it takes a process for gone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.monitoring import systemctl_agent
from tests.waiting import until

# Its first thread ends at once, and is a zombie then; the other one ends with what comes in.
PROGRAM = """
import ctypes, os, sys, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(0))).start()
ctypes.CDLL(None).pthread_exit(None)
"""


def test_a_process_is_there_until_the_last_of_its_threads_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemctl_agent, "STATE", tmp_path)
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE) as process:
        (tmp_path / "unit").write_text(str(process.pid))
        stat = Path(f"/proc/{process.pid}/stat")
        until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "Z")
        assert systemctl_agent.pid_of("unit") == process.pid
        assert process.stdin
        process.stdin.write(b"x")
        process.stdin.flush()
        until(lambda: systemctl_agent.pid_of("unit") == 0)
