# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only place where a host is read or written. Everything else takes a System, so that tests can hand in a fake."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import socket
import stat
import subprocess
import syslog
import time
from typing import Collection, Dict, FrozenSet, Iterable, Iterator, List, Optional, Sequence, Tuple

try:
    from typing import Protocol
except ImportError:  # pragma: no cover - Python 3.7 and older are not supported, but must not fail obscurely
    Protocol = object  # type: ignore[assignment]

from ansible_collections.netfleet.tcp.plugins.module_utils import _sock_diag
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._model import NOT_PERMITTED, FileState
from ansible_collections.netfleet.tcp.plugins.module_utils._values import key_path

LOCK_PATH = "/run/netfleet-tcp.lock"
# No file that is read here has a reason to be larger; somebody's mistake must not fill the host's memory.
LARGEST = 1 << 24
_NULL = os.makedev(1, 3)  # /dev/null, which masks a file by a link to it
_TCP_CONGESTION = 13  # linux/tcp.h
_NETLINK_SECONDS = 5.0
# Bytes of an answer by HTTP: kube-proxy's metrics are some 100,000, those of k3s many times more.
_LONGEST_ANSWER = 1 << 26
# Of a process, that are looked at for a listening socket: a busy server has a million.
_MOST_DESCRIPTORS = 1024
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


class System(Protocol):
    """What this collection needs of a host. Reads return None for what is not there; writes raise OSError."""

    def read(self, path: str) -> Optional[str]:
        """A file's text (undecodable bytes are kept by surrogateescape); None if it is absent or may not be read."""

    def read_or_why(self, path: str) -> Tuple[Optional[str], str]:
        """A file's text, or None and why it cannot be read, in words; no reason where nobody could read it."""

    def names(self, directory: str) -> List[str]:
        """The names in a directory, sorted; none if it is absent or may not be read."""

    def closed(self, directory: str) -> bool:
        """Whether there is such a directory, and this user may not look into it."""

    def file_state(self, path: str) -> FileState:
        """What stands at a path, without following a symbolic link."""

    def sysctl_limit(self, name: str) -> str:
        """Why a key cannot be written, in words; empty where it can."""

    def write_sysctl(self, name: str, value: str) -> None:
        """Give a key a value in the running kernel."""

    def write_file(self, path: str, text: str, mode: int, owner: Tuple[int, int] = (0, 0)) -> None:
        """Put a file in place at once: a reader sees the old one or the new one, and so does a power failure."""

    def make_private_directory(self, path: str) -> None:
        """Make a directory that only root may enter, where there is none."""

    def make_open_directory(self, path: str) -> None:
        """Make a directory that all may enter, where there is none, whatever the umask is."""

    def remove_empty_directory(self, path: str) -> None:
        """Remove a directory; nothing happens where it is not empty, or absent."""

    def write_link(self, path: str, target: str) -> None:
        """Put a symbolic link in place at once."""

    def remove(self, path: str) -> None:
        """Remove a file or link; nothing happens where there is none."""

    def run(self, argv: Sequence[str], stdin: str = "") -> Tuple[int, str, str]:
        """Exit status, standard output and standard error of a program; 127 where it is not installed."""

    def lock(self, seconds: float, patience: Optional[float] = None) -> "contextlib.AbstractContextManager[None]":
        """Hold the host's lock of this collection; HostError, naming the holder, if it is not free in time.

        patience: seconds after which a holder is killed.
        """

    def new_socket_congestion_control(self) -> str:
        """The congestion control that the kernel gives to a new TCP socket."""

    def sock_diag(self, request: bytes) -> Iterable[bytes]:
        """The datagrams of the kernel's answer to a request for a list of sockets, as they come (see _sock_diag).

        Whoever reads them stops at the end of that list. They end by themselves where the kernel does not answer.
        """

    def netlink_dump(self, protocol: int, request: bytes) -> Iterable[bytes]:
        """The same of a request to another part of the kernel, such as rtnetlink(7)."""

    def sockets_of(self, pid: int) -> FrozenSet[int]:
        """The inodes of the sockets that a process holds; none where it has gone, or only root may see them.

        Of a process with very many files, those with the lowest numbers.
        """

    def socket_holders(self, inodes: Collection[int]) -> Dict[int, int]:
        """The process that holds each of these sockets, by the socket's inode; those that cannot be seen are left out.

        Of several the oldest, as of a server's workers their master; not the service manager, where another has it too.
        """

    def netlink(self, protocol: int, request: bytes) -> bytes:
        """The kernel's answer of one datagram to a request (see _netlink); empty where it gives none."""

    def http_get(self, place: str, path: str, seconds: float) -> Tuple[int, str]:
        """Status and text of what answers at ADDRESS:PORT by HTTP; 0 and why where nothing does in time."""

    def connect(self, address: str, port: int, seconds: float) -> Tuple[str, str, int]:
        """Open a TCP connection and close it: why that failed, empty where it did not; its own address and port."""

    def send_datagram(self, address: str, port: int) -> None:
        """Send an empty UDP datagram. Where it cannot be sent, nothing happens."""

    def resolve(self, name: str) -> List[str]:
        """The addresses of a name, as this host resolves it; none where it does not."""

    def facts(self) -> Dict[str, str]:
        """Release of the kernel, root and init_user_namespace ('yes' or '')."""

    def now(self) -> float:
        """Seconds since the epoch."""

    def detach(self, argv: Sequence[str]) -> None:
        """Start a program that outlives this process and its session, with no part in its files."""

    def log(self, text: str) -> None:
        """A line in the host's journal or syslog."""


def systemd_runs(system: System) -> bool:
    """Whether systemd has booted the host."""
    return system.file_state("/run/systemd/system").kind != "absent"


def _why(error: Exception) -> str:
    if isinstance(error, socket.timeout):
        return "no answer in time"
    return (getattr(error, "strerror", None) or str(error)).lower()


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


class LinuxSystem:
    """The host that this process runs on."""

    def read(self, path: str) -> Optional[str]:
        return self.read_or_why(path)[0]

    def read_or_why(self, path: str) -> Tuple[Optional[str], str]:
        try:
            with open(path, encoding="utf-8", errors="surrogateescape", newline="", opener=_without_waiting) as stream:
                status = os.fstat(stream.fileno())
                if status.st_rdev == _NULL and stat.S_ISCHR(status.st_mode):
                    return "", ""
                # Somebody's FIFO or device among the files must neither hold this visit up nor fill its memory.
                if not stat.S_ISREG(status.st_mode):
                    return None, "it is not a regular file"
                if status.st_size > LARGEST:
                    return None, "it has %d MiB" % (status.st_size >> 20)
                return stream.read(), ""
        except OSError as error:
            nothing = error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)
            return None, "" if nothing else (error.strerror or "it cannot be read").lower()

    def names(self, directory: str) -> List[str]:
        try:
            return sorted(os.listdir(directory))
        except OSError:
            return []

    def closed(self, directory: str) -> bool:
        return os.path.isdir(directory) and not os.access(directory, os.R_OK | os.X_OK)

    def file_state(self, path: str) -> FileState:
        try:
            status = os.lstat(path)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM):
                return FileState(path, "unreadable")
            return FileState(path, "absent" if error.errno in (errno.ENOENT, errno.ENOTDIR) else "other")
        mode = stat.S_IMODE(status.st_mode)
        if stat.S_ISLNK(status.st_mode):
            try:
                return FileState(path, "symlink", mode, target=os.readlink(path))
            except OSError:
                # One of /proc may be read by some only, and is gone with its process.
                return FileState(path, "unreadable", mode)
        if not stat.S_ISREG(status.st_mode):
            return FileState(path, "other", mode)
        text = self.read(path)
        kind = "unreadable" if text is None else "file"
        return FileState(path, kind, mode, text or "", uid=status.st_uid, gid=status.st_gid)

    def sysctl_limit(self, name: str) -> str:
        path = "/proc/sys/" + key_path(name)
        try:
            status = os.stat(path)
            mounted_read_only = os.statvfs(path).f_flag & os.ST_RDONLY
        except FileNotFoundError:
            return "this kernel has no such key here"
        except OSError as error:
            return os.strerror(error.errno or 0)
        if mounted_read_only:
            return "/proc/sys is mounted read-only"
        if not status.st_mode & 0o222:
            return "the key is read-only here"
        if os.access(path, os.W_OK):
            return ""
        # In a container whose root is none of its host's, the host's own keys belong to nobody, whoever looks.
        return NOT_PERMITTED if status.st_uid == 0 else "the key belongs to the host of this container"

    def write_sysctl(self, name: str, value: str) -> None:
        # One write(2) for the whole value: the kernel parses each write on its own.
        handle = os.open("/proc/sys/" + key_path(name), os.O_WRONLY)
        try:
            os.write(handle, (value + "\n").encode())
        finally:
            os.close(handle)

    def _temporary(self, path: str) -> str:
        # One name for each path: what a run that was killed has left is gone with the next write. The lock is held.
        temporary = "%s/.%s.netfleet-tcp" % (os.path.dirname(path), os.path.basename(path))
        self.remove(temporary)
        return temporary

    def write_file(self, path: str, text: str, mode: int, owner: Tuple[int, int] = (0, 0)) -> None:
        directory = os.path.dirname(path)
        os.makedirs(directory, exist_ok=True)
        temporary = self._temporary(path)
        # Created closed to others, and given its mode before its content.
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
                if owner != (os.geteuid(), os.getegid()) and os.geteuid() == 0:
                    os.fchown(stream.fileno(), *owner)
                os.fchmod(stream.fileno(), mode)
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, path)
        except BaseException:
            self.remove(temporary)
            raise
        self._sync_directory(directory)

    def make_private_directory(self, path: str) -> None:
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                raise
        os.chmod(path, 0o700)

    def make_open_directory(self, path: str) -> None:
        if not os.path.isdir(path):
            os.mkdir(path, 0o755)
            os.chmod(path, 0o755)  # noqa: S103 - what is in it is closed

    def remove_empty_directory(self, path: str) -> None:
        with contextlib.suppress(OSError):
            os.rmdir(path)

    def write_link(self, path: str, target: str) -> None:
        directory = os.path.dirname(path)
        os.makedirs(directory, exist_ok=True)
        temporary = self._temporary(path)
        os.symlink(target, temporary)
        try:
            os.replace(temporary, path)
        except BaseException:
            self.remove(temporary)
            raise
        self._sync_directory(directory)

    def remove(self, path: str) -> None:
        try:
            os.unlink(path)
        except OSError:
            # A read-only file system refuses before it looks whether there is such a file.
            if os.path.lexists(path):
                raise
            return
        self._sync_directory(os.path.dirname(path))

    @staticmethod
    def _sync_directory(directory: str) -> None:
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def run(self, argv: Sequence[str], stdin: str = "") -> Tuple[int, str, str]:
        environment = {"PATH": _PATH, "LC_ALL": "C"}
        try:
            done = subprocess.run(
                list(argv), input=stdin, capture_output=True, text=True, errors="replace", env=environment, check=False
            )
        except FileNotFoundError:
            return 127, "", "%s is not installed" % argv[0]
        return done.returncode, done.stdout, done.stderr

    @contextlib.contextmanager
    def lock(self, seconds: float, patience: Optional[float] = None) -> Iterator[None]:
        # An flock(2) dies with its holder, so a run that was killed never locks the host for ever.
        try:
            handle = os.open(LOCK_PATH, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise host_error(LOCK_PATH, "cannot be opened: %s" % error.strerror, "move it away") from error
        try:
            began = time.monotonic()
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    waited = time.monotonic() - began
                    if patience is not None and waited >= patience:
                        self._end_holder(os.fstat(handle))
                    if waited >= seconds:
                        holder = os.pread(handle, 100, 0).decode(errors="replace").strip() or "unknown"
                        raise host_error(
                            LOCK_PATH, "held by another run (%s)" % holder, "try again when it is done"
                        ) from None
                    time.sleep(0.1)
            os.ftruncate(handle, 0)
            os.pwrite(handle, ("pid %d" % os.getpid()).encode(), 0)
            yield
        finally:
            os.close(handle)

    def _end_holder(self, lock: os.stat_result) -> None:
        """Kill whoever holds a lock, by what the kernel says of it, not by what anybody has written into its file."""
        name = "%02x:%02x:%d" % (os.major(lock.st_dev), os.minor(lock.st_dev), lock.st_ino)
        for line in (self.read("/proc/locks") or "").splitlines():
            words = line.split()
            # Those who wait have an arrow in front; a holder in another pid namespace has a number below 1.
            if words[1] == "FLOCK" and words[5] == name and int(words[4]) > 0:
                self.log("process %s, which hung while it changed the host, is killed" % words[4])
                with contextlib.suppress(OSError):
                    os.kill(int(words[4]), signal.SIGKILL)

    def new_socket_congestion_control(self) -> str:
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
                return probe.getsockopt(socket.IPPROTO_TCP, _TCP_CONGESTION, 16).split(b"\0", 1)[0].decode()
        except OSError:
            return ""

    def sock_diag(self, request: bytes) -> Iterator[bytes]:
        return self.netlink_dump(_sock_diag.PROTOCOL, request)

    def netlink_dump(self, protocol: int, request: bytes) -> Iterator[bytes]:
        with contextlib.suppress(OSError), socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as kernel:
            kernel.settimeout(_NETLINK_SECONDS)
            kernel.send(request)
            while True:
                yield kernel.recv(1 << 16)

    def sockets_of(self, pid: int) -> FrozenSet[int]:
        directory = "/proc/%d/fd" % pid
        found = set()
        with contextlib.suppress(OSError):
            for name in os.listdir(directory)[:_MOST_DESCRIPTORS]:
                with contextlib.suppress(OSError):
                    target = os.readlink("%s/%s" % (directory, name))
                    if target.startswith("socket:["):
                        found.add(int(target[len("socket:[") : -1]))
        return frozenset(found)

    def socket_holders(self, inodes: Collection[int]) -> Dict[int, int]:
        wanted = {"socket:[%d]" % inode: inode for inode in inodes}
        found: Dict[int, int] = {}
        # What systemd listens on for a service, the service holds too once it runs.
        pids = [int(name) for name in self.names("/proc") if name.isdigit()]
        for pid in sorted(pids, key=lambda pid: (pid == 1, pid)):
            if len(found) == len(wanted):
                break
            directory = "/proc/%d/fd" % pid
            with contextlib.suppress(OSError):
                # In the order of their numbers; a server opens what it listens on before it serves anybody.
                for name in os.listdir(directory)[:_MOST_DESCRIPTORS]:
                    with contextlib.suppress(OSError):
                        inode = wanted.get(os.readlink("%s/%s" % (directory, name)))
                        if inode is not None:
                            found.setdefault(inode, pid)
        return found

    def netlink(self, protocol: int, request: bytes) -> bytes:
        try:
            with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as kernel:
                kernel.settimeout(_NETLINK_SECONDS)
                kernel.send(request)
                return kernel.recv(1 << 16)
        except OSError:
            return b""

    def http_get(self, place: str, path: str, seconds: float) -> Tuple[int, str]:
        address, _colon, port = place.rpartition(":")
        due = time.monotonic() + seconds
        # Megabytes are not copied with each part that comes.
        answer = bytearray()
        try:
            with socket.create_connection((address.strip("[]"), int(port)), seconds) as stream:
                stream.sendall(("GET %s HTTP/1.0\r\nHost: %s\r\n\r\n" % (path, place)).encode())
                while len(answer) < _LONGEST_ANSWER and time.monotonic() < due:
                    received = stream.recv(1 << 16)
                    if not received:
                        break
                    answer += received
        except (OSError, ValueError) as error:
            return 0, _why(error)
        head, _blank, body = answer.decode(errors="replace").partition("\r\n\r\n")
        words = head.split(None, 2)
        if not (head.startswith("HTTP/") and len(words) > 1 and words[1].isdigit()):
            return 0, "what answers does not speak HTTP"
        return int(words[1]), body

    def connect(self, address: str, port: int, seconds: float) -> Tuple[str, str, int]:
        try:
            with socket.create_connection((address, port), seconds) as stream:
                own = stream.getsockname()
                return "", str(own[0]), int(own[1])
        except OSError as error:
            return _why(error), "", 0

    def send_datagram(self, address: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"", (address, port))

    def resolve(self, name: str) -> List[str]:
        try:
            found = socket.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
        except (OSError, ValueError):
            # ValueError: a name that is none, with an empty label or one of more than 63 characters.
            return []
        # In the order of preference that the host itself gives them.
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))

    def facts(self) -> Dict[str, str]:
        # The initial user namespace maps every id onto itself; only there may modules be loaded.
        mapping = (self.read("/proc/self/uid_map") or "").split()
        return {
            "kernel": os.uname().release,
            "root": "yes" if os.geteuid() == 0 else "",
            "init_user_namespace": "yes" if mapping == ["0", "0", "4294967295"] else "",
        }

    def now(self) -> float:
        return time.time()

    def detach(self, argv: Sequence[str]) -> None:
        null = subprocess.DEVNULL
        environment = {"PATH": _PATH, "LC_ALL": "C"}
        # Not waited for: whoever adopts it once this process has ended does that.
        subprocess.Popen(  # pylint: disable=consider-using-with
            list(argv), stdin=null, stdout=null, stderr=null, env=environment, cwd="/", start_new_session=True
        )

    def log(self, text: str) -> None:
        syslog.openlog("netfleet-tcp", syslog.LOG_PID, syslog.LOG_DAEMON)
        syslog.syslog(syslog.LOG_NOTICE, text)
