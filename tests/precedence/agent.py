# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a real program over trees of sysctl.d, in namespaces of its own: `unshare -m -n python agent.py ROOT`.

ROOT is a directory with the program and its libraries; below it everything else is made here and is gone with this
process. Of /proc/sys the program sees net alone, and that of an empty network namespace, so nothing that it writes
touches the machine. Requests and answers are JSON, one a line, the first the list of keys to look at; bytes travel as
latin-1. Standard library only: after the chroot nothing more can be imported.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

DIRECTORIES = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d")
SYSCTL_CONF = "/etc/sysctl.conf"
PROC_SYS = "/proc/sys/"
# What every key is set to before a tree: no line of a tree says it, and every key takes it.
RESET = "77"
INTERFACES = ("v.1", ".h", "a[1]", "é")
INTERFACE_KINDS = ("dummy", "bridge", "ifb")
ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/sbin:/usr/bin", "SYSTEMD_LOG_TARGET": "null"}
PATIENCE = 30.0


def command(*words: str) -> None:
    """Run a program of this machine; its last words are the error."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip() or done.returncode}")


def add_interface(name: str) -> None:
    """An interface of any kind that this kernel can make."""
    for kind in INTERFACE_KINDS:
        try:
            return command("ip", "link", "add", "name", name, "type", kind)
        except OSError as error:
            last = error
    raise last


def enter(root: Path) -> None:
    """Make what the program is to see below root, and go there for good."""
    command("mount", "--make-rprivate", "/")
    for name in INTERFACES:
        add_interface(name)
    for place in ("proc", "etc", "run", "usr/local/lib", "usr/lib/sysctl.d"):
        (root / place).mkdir(parents=True, exist_ok=True)
        command("mount", "-t", "tmpfs", "none", str(root / place))
    net = root / "proc/sys/net"
    net.mkdir(parents=True)
    command("mount", "--bind", PROC_SYS + "net", str(net))
    (root / "dev").mkdir(exist_ok=True)
    (root / "dev/null").touch()
    command("mount", "--bind", "/dev/null", str(root / "dev/null"))
    for directory in DIRECTORIES:
        (root / directory[1:]).mkdir(exist_ok=True)
    os.chroot(root)
    os.chdir("/")


def remove(path: Path) -> None:
    """Remove what stands at a path, if anything does."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def text_of(latin: str) -> str:
    """Bytes written as latin-1, as Python has them in names."""
    return os.fsdecode(latin.encode("latin-1"))


def build(tree: list[list[str]]) -> None:
    """Put a tree ([path, kind, text] each) in the place of the last one."""
    for directory in DIRECTORIES:
        for left in Path(directory).iterdir():
            remove(left)
    remove(Path(SYSCTL_CONF))
    for path, kind, text in tree:
        place = Path(text_of(path))
        if kind == "file":
            place.write_bytes(text.encode("latin-1"))
        elif kind == "link":
            place.symlink_to(text_of(text))
        elif kind == "directory":
            place.mkdir()
        else:
            os.mkfifo(place)


def write(key: str, value: str) -> bool:
    """Write a value as both programs do, with a newline; whether the kernel took it."""
    handle = os.open(PROC_SYS + text_of(key), os.O_WRONLY)
    try:
        os.write(handle, value.encode("latin-1") + b"\n")
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ERANGE, errno.E2BIG):
            raise
        return False
    finally:
        os.close(handle)
    return True


def read(key: str) -> str:
    """The value of a key."""
    handle = os.open(PROC_SYS + text_of(key), os.O_RDONLY)
    try:
        return os.read(handle, 100).decode().strip()
    finally:
        os.close(handle)


def spawn(program: list[str]) -> int:
    """Start the program with nothing to read and nobody to listen; its process id."""
    silence = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)]
    silence += [(os.POSIX_SPAWN_OPEN, number, "/dev/null", os.O_WRONLY, 0) for number in (1, 2)]
    return os.posix_spawn(program[0], program, ENVIRONMENT, file_actions=silence)


class Agent:
    """Answers requests about one program."""

    def __init__(self, keys: list[str]) -> None:
        self.keys = keys

    def reset(self) -> None:
        """Set all keys to what no tree sets them to."""
        for key in self.keys:
            write(key, RESET)

    def state(self) -> dict[str, str]:
        """The values of all keys."""
        return {key: read(key) for key in self.keys}

    def compare(self, request: dict[str, Any]) -> dict[str, Any]:
        """What the program makes of a tree, and what comes of writing the values that were foreseen, one by one."""
        build(request["tree"])
        self.reset()
        _pid, status = os.waitpid(spawn(request["program"]), 0)
        answer: dict[str, Any] = {"status": status, "state": self.state(), "taken": {}, "after": {}}
        for key, values in request["writes"].items():
            write(key, RESET)
            answer["taken"][key], answer["after"][key] = [], []
            for value in values:
                answer["taken"][key].append(write(key, value))
                answer["after"][key].append(read(key))
        return answer

    def wait_at_fifo(self, request: dict[str, Any]) -> dict[str, Any]:
        """Whether the program stops at the tree's only FIFO, and its keys then and after a writer came and went."""
        build(request["tree"])
        self.reset()
        fifo = next(path for path, kind, _text in request["tree"] if kind == "fifo")
        pid = spawn(request["program"])
        writer, until = -1, time.monotonic() + PATIENCE
        while writer < 0 and time.monotonic() < until and os.waitpid(pid, os.WNOHANG)[0] == 0:
            try:
                # Succeeds once somebody has it open for reading.
                writer = os.open(text_of(fifo), os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                time.sleep(0.001)
        if writer < 0:
            return {"waited": False}
        during = self.state()
        os.close(writer)
        os.waitpid(pid, 0)
        return {"waited": True, "during": during, "state": self.state()}


def serve() -> None:
    """Answer requests until there are no more."""
    agent = Agent(json.loads(sys.stdin.readline()))
    agent.reset()
    print(json.dumps({"ready": agent.state()}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        answer = agent.wait_at_fifo(request) if request["what"] == "fifo" else agent.compare(request)
        print(json.dumps(answer), flush=True)


def main() -> None:
    """Set up, and tell why where that fails."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for who started us; our input ends then
    try:
        enter(Path(sys.argv[1]))
        serve()
    except OSError as error:
        print(json.dumps({"error": str(error)}), flush=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
