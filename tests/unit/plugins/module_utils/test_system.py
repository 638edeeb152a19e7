# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""LinuxSystem, as far as it can be tried on the machine that runs the tests without changing it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils import _netlink, _system
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError
from ansible_collections.netfleet.tcp.plugins.module_utils._model import FileState
from ansible_collections.netfleet.tcp.plugins.module_utils._system import LinuxSystem, System
from tests.unit.plugins.fake_system import FakeSystem
from tests.unit.plugins.recorded_system import RecordedSystem

SYSTEM = LinuxSystem()


def test_the_fakes_stand_in_for_a_system() -> None:
    """mypy compares them with the protocol; at run time no name may be missing."""
    systems: list[System] = [SYSTEM, FakeSystem(), RecordedSystem("container")]
    wanted = [name for name in vars(System) if not name.startswith("_")]
    assert len(wanted) >= 14
    for system in systems:
        assert [name for name in wanted if not callable(getattr(system, name, None))] == []


@pytest.mark.parametrize("text", ["", "a = 1\n", "no end of line", "odd \udcff\udc80\r\nä\n"])
@pytest.mark.parametrize("mode", [0o644, 0o600, 0o640])
def test_a_file_is_read_as_it_was_written(tmp_path: Path, text: str, mode: int) -> None:
    path = str(tmp_path / "new" / "x.conf")
    before = os.umask(0o077)
    try:
        SYSTEM.write_file(path, text, mode)
    finally:
        os.umask(before)
    assert SYSTEM.read(path) == text
    assert SYSTEM.file_state(path) == FileState(path, "file", mode, text)
    assert Path(path).read_bytes() == text.encode("utf-8", "surrogateescape")
    assert SYSTEM.names(str(tmp_path / "new")) == ["x.conf"], "nothing temporary is left"


def test_a_file_replaces_a_link_and_not_its_target(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "x.conf"
    target.write_text("kept", encoding="utf-8")
    link.symlink_to(target)
    SYSTEM.write_file(str(link), "new", 0o644)
    assert (target.read_text(encoding="utf-8"), link.is_symlink()) == ("kept", False)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "x.conf")
    SYSTEM.write_file(path, "old", 0o644)

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        SYSTEM.write_file(path, "new", 0o600)
    assert SYSTEM.read(path) == "old"
    assert SYSTEM.names(str(tmp_path)) == ["x.conf"]


def test_links(tmp_path: Path) -> None:
    path = str(tmp_path / "wants" / "x.service")
    SYSTEM.write_link(path, "../x.service")
    SYSTEM.write_link(path, "../y.service")
    state = SYSTEM.file_state(path)
    assert (state.kind, state.target, state.text) == ("symlink", "../y.service", "")
    assert SYSTEM.names(str(tmp_path / "wants")) == ["x.service"]


def test_a_link_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As /proc/1/exe is to whoever is not root."""

    def refuse(_path: str) -> str:
        raise PermissionError

    SYSTEM.write_link(str(tmp_path / "x"), "y")
    monkeypatch.setattr(os, "readlink", refuse)
    assert SYSTEM.file_state(str(tmp_path / "x")).kind == "unreadable"


def test_what_stands_at_a_path(tmp_path: Path) -> None:
    kinds = {name: SYSTEM.file_state(str(tmp_path / name)).kind for name in ("none", "none/below")}
    assert kinds == {"none": "absent", "none/below": "absent"}
    assert SYSTEM.file_state(str(tmp_path)).kind == "other"
    assert SYSTEM.read(str(tmp_path)) is None
    assert SYSTEM.read(str(tmp_path / "none")) is None
    assert SYSTEM.names(str(tmp_path / "none")) == []


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    """A FIFO would block for ever, /dev/zero would never end."""
    os.mkfifo(tmp_path / "fifo.conf")
    (tmp_path / "zero.conf").symlink_to("/dev/zero")
    assert [SYSTEM.read(str(tmp_path / name)) for name in ("fifo.conf", "zero.conf", ".", "none")] == [None] * 4


# Imports first, and enters the folder: both may be closed to the user that it becomes.
LOOK_AS_NOBODY = """
import json, os, sys
from ansible_collections.netfleet.tcp.plugins.module_utils._system import LinuxSystem
os.chdir(sys.argv[1])
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
system = LinuxSystem()
look = lambda name: [*system.read_or_why(name), system.file_state(name).kind, system.closed(name)]
print(json.dumps({name: look(name) for name in sys.argv[2:]}))
"""


def seen_by_nobody(directory: Path, *names: str) -> "dict[str, list[object]]":
    """(text, why not, kind, closed) of paths, as a user without rights sees them."""
    directory.chmod(0o755)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"}
    argv = [sys.executable, "-c", LOOK_AS_NOBODY, str(directory), *names]
    shown = subprocess.run(argv, env=environment, stdout=subprocess.PIPE, check=True).stdout
    found: "dict[str, list[object]]" = json.loads(shown)
    return found


def test_what_this_user_may_not_read_is_said(tmp_path: Path) -> None:
    for name, mode in (("open", 0o644), ("closed", 0)):
        (tmp_path / name).write_text(name, encoding="utf-8")
        (tmp_path / name).chmod(mode)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "x").write_text("x", encoding="utf-8")
    folder.chmod(0)
    (tmp_path / "shown").mkdir(0o755)
    assert seen_by_nobody(tmp_path, "open", "closed", "folder", "folder/x", "shown", "none") == {
        "open": ["open", "", "file", False],
        "closed": [None, "permission denied", "unreadable", False],
        "folder": [None, "permission denied", "other", True],
        "folder/x": [None, "permission denied", "unreadable", False],
        "shown": [None, "", "other", False],
        "none": [None, "", "absent", False],
    }
    folder.chmod(0o700)


def test_why_something_cannot_be_read(tmp_path: Path) -> None:
    os.mkfifo(str(tmp_path / "fifo"))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        assert SYSTEM.read_or_why(str(tmp_path / "socket")) == (None, "no such device or address")
    for name in ("/dev/zero", str(tmp_path / "fifo")):
        assert SYSTEM.read_or_why(name) == (None, "it is not a regular file")


def test_what_nobody_could_read_needs_no_reason(tmp_path: Path) -> None:
    """A reader at boot passes it over just so."""
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "file").write_text("", encoding="utf-8")
    for name in ("one", "dangling", "none", ".", "file/below"):
        assert SYSTEM.read_or_why(str(tmp_path / name)) == (None, ""), name


def test_what_masks_a_file_reads_as_empty(tmp_path: Path) -> None:
    (tmp_path / "masked").symlink_to("/dev/null")
    (tmp_path / "empty").write_text("", encoding="utf-8")
    for name in ("masked", "empty"):
        assert SYSTEM.read_or_why(str(tmp_path / name)) == ("", "")


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "x.conf"
    with path.open("w") as stream:
        stream.truncate(_system.LARGEST)
    assert SYSTEM.read_or_why(str(path)) == ("\0" * _system.LARGEST, "")
    with path.open("w") as stream:
        stream.truncate(_system.LARGEST + (1 << 20))
    assert SYSTEM.read_or_why(str(path)) == (None, "it has 17 MiB")
    assert (SYSTEM.file_state(str(path)).kind, SYSTEM.file_state(str(path)).text) == ("unreadable", "")


def test_removing_is_done_once_and_forgiven_twice(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("x", encoding="utf-8")
    SYSTEM.remove(str(path))
    SYSTEM.remove(str(path))
    assert not path.exists()


def test_private_directories(tmp_path: Path) -> None:
    path = tmp_path / "private"
    path.mkdir(0o755)
    SYSTEM.make_private_directory(str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    (path / "x").write_text("x", encoding="utf-8")
    SYSTEM.remove_empty_directory(str(path))
    assert path.is_dir()
    (path / "x").unlink()
    SYSTEM.remove_empty_directory(str(path))
    SYSTEM.remove_empty_directory(str(path))
    assert not path.exists()


@pytest.mark.parametrize(
    ("argv", "stdin", "answer"),
    [
        (["sh", "-c", "cat; echo oops >&2; exit 3"], "hello", (3, "hello", "oops\n")),
        (["true"], "", (0, "", "")),
        (["no-such-program-here"], "", (127, "", "no-such-program-here is not installed")),
    ],
)
def test_programs(argv: list[str], stdin: str, answer: tuple[int, str, str]) -> None:
    assert SYSTEM.run(argv, stdin) == answer


def test_programs_speak_english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("PATH", "/nonexistent")
    assert SYSTEM.run(["sh", "-c", "echo $LC_ALL $PATH"])[1] == "C /usr/sbin:/usr/bin:/sbin:/bin\n"


def test_what_is_not_there_needs_no_removing_on_a_read_only_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").touch()

    def refuse(path: str) -> None:
        # As the kernel does, which does not look whether there is such a file.
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

    monkeypatch.setattr(os, "unlink", refuse)
    SYSTEM.remove(str(tmp_path / "absent"))
    with pytest.raises(OSError, match="Read-only"):
        SYSTEM.remove(str(tmp_path / "there"))


def test_the_lock_excludes_and_names_its_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "lock")
    monkeypatch.setattr(_system, "LOCK_PATH", path)
    with SYSTEM.lock(1.0):
        with pytest.raises(HostError, match=r"held by another run \(pid %d\) \(try again" % os.getpid()):
            SYSTEM.lock(0.0).__enter__()
        program = "import fcntl, sys; fcntl.flock(open(sys.argv[1]), fcntl.LOCK_EX | fcntl.LOCK_NB)"
        other = subprocess.run([sys.executable, "-c", program, path], stderr=subprocess.DEVNULL, check=False)
        assert other.returncode != 0
    with SYSTEM.lock(0.0):
        pass
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_a_holder_that_hangs_is_killed_where_that_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "lock")
    monkeypatch.setattr(_system, "LOCK_PATH", path)
    program = (
        "import fcntl, os, signal, sys; lock = open(sys.argv[1], 'w'); fcntl.flock(lock, fcntl.LOCK_EX);"
        "print(flush=True); os.kill(os.getpid(), signal.SIGSTOP)"
    )
    with subprocess.Popen([sys.executable, "-c", program, path], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        try:
            with pytest.raises(HostError, match="held by another run"), SYSTEM.lock(0.3):
                pass
            assert other.poll() is None
            with SYSTEM.lock(10.0, patience=0.2):
                assert other.wait(timeout=10) == -signal.SIGKILL
        finally:
            other.kill()
    with SYSTEM.lock(0.0, patience=0.0):
        pass


def test_a_lock_that_cannot_be_opened_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lock").symlink_to("elsewhere")
    for path in (tmp_path / "lock", tmp_path):
        monkeypatch.setattr(_system, "LOCK_PATH", str(path))
        with pytest.raises(HostError, match="cannot be opened"), SYSTEM.lock(0.0):
            pass
    assert not (tmp_path / "elsewhere").exists()


def test_the_lock_is_given_back_after_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_system, "LOCK_PATH", str(tmp_path / "lock"))
    with pytest.raises(KeyError), SYSTEM.lock(0.0):
        raise KeyError
    with SYSTEM.lock(0.0):
        pass


def test_limits_of_keys() -> None:
    assert SYSTEM.sysctl_limit("net.ipv4.no_such_key") == "this kernel has no such key here"
    # kernel.ostype is read-only in every kernel; in a container all of /proc/sys may be.
    assert SYSTEM.sysctl_limit("kernel.ostype") in ("the key is read-only here", "/proc/sys is mounted read-only")


def test_what_a_new_socket_gets() -> None:
    given = SYSTEM.new_socket_congestion_control()
    with socket.socket() as probe:
        assert given.encode() == probe.getsockopt(socket.IPPROTO_TCP, 13, 16).split(b"\0")[0]
    assert given


def test_facts() -> None:
    facts = SYSTEM.facts()
    assert facts["kernel"] == os.uname().release
    assert bool(facts["root"]) is (os.geteuid() == 0)
    assert set(facts) == {"kernel", "root", "init_user_namespace"}


@contextlib.contextmanager
def answering(answer: bytes, address: str = "127.0.0.1", pause: float = 0.0) -> Iterator[tuple[str, list[bytes]]]:
    """Something on loopback that answers one connection; its place, and what it was asked."""
    asked: list[bytes] = []
    with socket.create_server((address, 0)) as server:

        def serve() -> None:
            stream, _peer = server.accept()
            with stream:
                asked.append(stream.recv(4096))
                time.sleep(pause)
                with contextlib.suppress(OSError):
                    stream.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield "%s:%d" % (address, server.getsockname()[1]), asked
        thread.join(5)


def test_http_is_asked_on_loopback() -> None:
    with answering(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nipvs\r\n\r\n") as (place, asked):
        assert SYSTEM.http_get(place, "/proxyMode", 5.0) == (200, "ipvs\r\n\r\n")
    assert asked[0].startswith(b"GET /proxyMode HTTP/1.0\r\nHost: 127.0.0.1:")


@pytest.mark.parametrize(
    ("answer", "status", "text"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", 503, ""),
        (b"SSH-2.0-OpenSSH\r\n", 0, "what answers does not speak HTTP"),
        (b"", 0, "what answers does not speak HTTP"),
        (b"HTTP/1.0 many\r\n\r\n", 0, "what answers does not speak HTTP"),
    ],
)
def test_http_of_all_kinds(answer: bytes, status: int, text: str) -> None:
    with answering(answer) as (place, _asked):
        assert SYSTEM.http_get(place, "/healthz", 5.0) == (status, text)


def test_a_long_answer_by_http_is_read_to_its_end() -> None:
    """As of /metrics of k3s, which has those of the API server too, before kube-proxy's."""
    body = "".join('apiserver_request_duration_seconds_bucket{le="%d"} 1\n' % number for number in range(160000))
    with answering(("HTTP/1.0 200 OK\r\n\r\n%skubeproxy 1\n" % body).encode()) as (place, _asked):
        status, text = SYSTEM.http_get(place, "/metrics", 20.0)
    assert (status, len(text) > 8000000, text.endswith("\nkubeproxy 1\n")) == (200, True, True)


def test_http_that_nobody_answers() -> None:
    with answering(b"HTTP/1.0 200 OK\r\n\r\n", pause=0.6) as (place, _asked):
        assert SYSTEM.http_get(place, "/", 0.1) == (0, "no answer in time")
    assert SYSTEM.http_get(place, "/", 1.0) == (0, "connection refused")
    assert SYSTEM.http_get("no-port", "/", 1.0)[0] == 0


def test_a_connection_is_opened_and_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        why, own, own_port = SYSTEM.connect("127.0.0.1", port, 5.0)
        stream, peer = server.accept()
        with stream:
            assert (why, (own, own_port)) == ("", peer)
            assert stream.recv(1) == b"", "nothing was sent, and it was closed"
    assert SYSTEM.connect("127.0.0.1", port, 5.0) == ("connection refused", "", 0)


def test_netlink_is_asked_or_says_nothing() -> None:
    asked = _netlink.message(16, b"\3\1\0\0" + _netlink.attribute(2, b"nlctrl\0"))
    ((kind, body),) = _netlink.messages(SYSTEM.netlink(_netlink.GENERIC, asked))
    assert kind == 16
    assert _netlink.attributes(body[4:])[1] == b"\x10\0"
    assert SYSTEM.netlink(9999, asked) == b""


@pytest.mark.parametrize("name", ["db1..example.com", "a" * 64, "a\0b"])
def test_what_is_no_name_has_no_address(name: str) -> None:
    assert LinuxSystem().resolve(name) == []
