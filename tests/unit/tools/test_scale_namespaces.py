# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Light hosts are started for real, each test's in a process of its own: whoever starts them adopts orphans."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools.shared import ROOT, ToolError

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="namespaces with users of their own need root")
BEGIN = """
import subprocess, sys
from tools import cpu_time, scale_namespaces
cpu_time.keep_orphans()
def inside(process, *command):
    enter = ["nsenter", "-t", str(process), "--user", "--mount", "--net", "--uts", "--pid", "--"]
    done = subprocess.run([*enter, *command], capture_output=True, text=True)
    return (done.stdout or done.stderr).strip()
a, b = scale_namespaces.start("hosta"), scale_namespaces.start("hostb")
"""


def run(code: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def end(processes: list[int]) -> bool:
    """Whether these processes end by themselves."""
    for _ in range(400):
        if not any(map(alive, processes)):
            return True
        time.sleep(0.05)
    return False


@needs_root
def test_hosts_have_names_kernels_values_and_files_of_their_own() -> None:
    key = Path("/proc/sys/net/ipv4/tcp_keepalive_time")
    before = key.read_text()
    told = run("""
print(inside(a, "hostname"), inside(b, "hostname"))
inside(a, "sh", "-c", "echo 1234 > /proc/sys/net/ipv4/tcp_keepalive_time")
print(inside(a, "cat", "/proc/sys/net/ipv4/tcp_keepalive_time") == "1234")
print(inside(b, "cat", "/proc/sys/net/ipv4/tcp_keepalive_time") == "1234")
for folder in ("/etc/sysctl.d", "/etc/modules-load.d", "/etc/systemd/system", "/run", "/var/lib", "/tmp", "/root"):
    inside(a, "touch", folder + "/netfleet-scale-test")
    print(inside(a, "sh", "-c", "ls %s | grep -c netfleet-scale-test" % folder), end=" ")
    print(inside(b, "sh", "-c", "ls %s | grep -c netfleet-scale-test" % folder))
print(inside(a, "sh", "-c", "ls /sys/class/net | xargs; ps -e | wc -l; id -u"))
scale_namespaces.stop([a, b])
""")
    assert told[:3] == ["hosta hostb", "True", "False"]
    assert told[3:10] == ["1 0"] * 7
    assert told[10] == "eth0 far0 lo"
    assert int(told[11]) <= 6  # the machine's processes are not seen
    assert told[12] == "0"
    assert key.read_text() == before
    for folder in ("/etc/sysctl.d", "/etc/modules-load.d", "/etc/systemd/system", "/run", "/var/lib", "/tmp", "/root"):
        assert not (Path(folder) / "netfleet-scale-test").exists()


@needs_root
@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (["touch", "/usr/netfleet-scale-test"], "Read-only file system"),
        (["sh", "-c", "cat /proc/sys/vm/swappiness > /proc/sys/vm/swappiness"], "Permission denied"),
        (["mount", "-o", "remount,rw", "/usr"], "permission denied"),
        (["umount", "/usr"], "umount: /usr: "),
        (["ls", str(ROOT)], "No such file or directory"),
    ],
)
def test_host_cannot_reach_what_is_the_machines(command: list[str], answer: str) -> None:
    assert answer in "\n".join(run(f"print(inside(a, *{command}))\nscale_namespaces.stop([a, b])"))


@needs_root
def test_stopped_hosts_are_gone() -> None:
    told = run(
        "scale_namespaces.stop([a]); print(a); print(b, flush=True); import os; print(os.path.exists(f'/proc/{a}'))"
    )
    assert told[2] == "False"
    assert end([int(told[1])])  # who started it has ended without stopping it


@needs_root
def test_host_in_which_a_lost_process_is_left_can_be_stopped() -> None:
    # Its parent has ended, as when a run is interrupted: the host's end waits until its starter has reaped it.
    told = run("""
enter = ["nsenter", "-t", str(a), "--user", "--mount", "--net", "--uts", "--pid", "--"]
with subprocess.Popen([*enter, "sh", "-c", "echo; exec sleep 60"], stdout=subprocess.PIPE) as entered:
    entered.stdout.readline()
    entered.kill()
print(inside(a, "sh", "-c", "ps -e | grep -c sleep"), flush=True)
scale_namespaces.stop([a, b])
print("stopped")
""")
    assert told == ["2", "stopped"]  # the host itself is a sleep too


@needs_root
def test_hosts_end_with_a_starter_that_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", f"{BEGIN}print(a, b, flush=True)\nimport time; time.sleep(60)"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as starter:
        assert starter.stdout
        hosts = [int(word) for word in starter.stdout.readline().split()]
        assert [alive(host) for host in hosts] == [True, True]
        starter.send_signal(signal.SIGKILL)
        starter.wait()
    assert end(hosts)


@needs_root
def test_host_that_cannot_be_set_up_is_told_and_leaves_nothing() -> None:
    told = run("""
from pathlib import Path
scale_namespaces._NETWORK = "link set nonsense up"
try:
    scale_namespaces.start("hostc")
except Exception as error:
    print(type(error).__name__, "hostc: " in str(error), "nonsense" in str(error))
print(len(Path(f"/proc/self/task/{__import__('os').getpid()}/children").read_text().split()))
scale_namespaces.stop([a, b])
""")
    assert told == ["ToolError True True", "2"]


def test_refusal_by_the_kernel_names_a_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    from tools import scale_namespaces

    class Refusing:
        def unshare(self, _flags: int) -> int:
            import ctypes

            ctypes.set_errno(28)
            return -1

    monkeypatch.setattr(scale_namespaces, "_libc", Refusing())
    with pytest.raises(ToolError, match=r"hosta: .*No space left on device.*user\.max_"):
        scale_namespaces.start("hosta")


@needs_root
def test_ansible_reaches_a_host_through_the_connection(tmp_path: Path) -> None:
    code = f"""
import pathlib
from tools import scale
scale.WORK = pathlib.Path({str(tmp_path)!r})
fleet = scale.Fleet()
try:
    fleet.start(2)
    copy = ["ansible", "scale0001", "-m", "ansible.builtin.copy", "-a", "content=hello dest=/etc/sysctl.d/x mode=0600"]
    measured = fleet.run(copy)
    print(inside(fleet.processes["scale0001"], "cat", "/etc/sysctl.d/x"))
    print(0 < measured.usage.hosts < measured.usage.cpu, measured.usage.main > 30 << 20)
    scale_namespaces.stop([fleet.processes["scale0002"]])
    try:
        fleet.run(scale.PING.command)
    except Exception as error:
        print(type(error).__name__, "scale0002 | UNREACHABLE" in str(error))
finally:
    fleet.stop()
scale_namespaces.stop([a, b])
"""
    assert run(code) == ["hello", "True True", "ToolError True"]
