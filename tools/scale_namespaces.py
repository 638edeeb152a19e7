# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One light host of `make scale`: a process in user, mount, network, UTS and process namespaces of its own.

All that it can write is in memory and goes with its last process: its root is a tmpfs, in which the machine's /usr
stands read-only. Inside it is root; outside it is user 100000, to whom no file of the machine belongs.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from tools import cpu_time
from tools.shared import ToolError

OUTER_ID, ID_COUNT = 100000, 65536
NAME = "netfleet-scale-host"  # what `ps` shows of a host

_CLONE = 0x00020000 | 0x04000000 | 0x10000000 | 0x20000000 | 0x40000000  # NEWNS, NEWUTS, NEWUSER, NEWPID, NEWNET
_MS_RDONLY, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 4096, 16384, 1 << 18
_MNT_DETACH = 2
_PR_SET_PDEATHSIG = 1
_SYS_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE, _MOUNT_ATTR_RDONLY = 442, -100, 0x8000, 1

# Mounted over in the host's own namespace, and built in there: a folder that exists everywhere and that all may enter.
_STAGE = Path("/tmp")  # noqa: S108
_SHARED = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "var/lib/dpkg")
_DEVICES = ("null", "zero", "full", "random", "urandom")
_FOLDERS = (
    "dev",
    "etc/modprobe.d",
    "etc/modules-load.d",
    "etc/sysctl.d",
    "etc/systemd/system",
    "proc",
    "root",
    "run",
    "sys",
    "tmp",
    "var/lib",
    "var/tmp",
)
_FILES = ("group", "hosts", "ld.so.cache", "nsswitch.conf", "os-release", "passwd", "sysctl.conf")
# The far end of eth0 is in the same namespace: nothing leaves the host. Addresses of RFC 5737.
_NETWORK = """\
link set lo up
link add eth0 type veth peer name far0
link set eth0 up
link set far0 up
address add 192.0.2.10/24 dev eth0
route add default via 192.0.2.1
"""
_CURES = {
    errno.EPERM: "run it as root, on a machine that allows user namespaces (sysctl kernel.unprivileged_userns_clone)",
    errno.ENOSPC: "the machine allows no more namespaces or mounts: raise user.max_*_namespaces, fs.mount-max",
    errno.EAGAIN: "the machine allows no more processes: raise kernel.pid_max, or the limit of tasks",
}
_libc = ctypes.CDLL(None, use_errno=True)


def _check(status: int, what: str) -> None:
    if status:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def _mount(source: str, target: Path | str, kind: str | None = None, flags: int = 0, options: str = "") -> None:
    kind_bytes = kind.encode() if kind else None
    status = _libc.mount(
        source.encode(), str(target).encode(), kind_bytes, ctypes.c_ulong(flags), options.encode() or None
    )
    _check(status, f"mount {target}")


def _read_only(target: Path) -> None:
    """Make a mount and all below it read-only."""
    attributes = (ctypes.c_uint64 * 4)(_MOUNT_ATTR_RDONLY, 0, 0, 0)
    status = _libc.syscall(
        ctypes.c_long(_SYS_MOUNT_SETATTR),
        ctypes.c_int(_AT_FDCWD),
        str(target).encode(),
        ctypes.c_uint(_AT_RECURSIVE),
        ctypes.byref(attributes),
        ctypes.c_size_t(ctypes.sizeof(attributes)),
    )
    _check(status, f"mount_setattr {target}")


def _share(root: Path, name: str) -> None:
    """Show a folder of the machine in the host, read-only; a link stays a link; nothing where it is absent."""
    source, target = Path("/") / name, root / name
    if source.is_symlink():
        target.symlink_to(source.readlink())
    elif source.is_dir():
        target.mkdir(parents=True)
        _mount(str(source), target, None, _MS_BIND | _MS_REC)
        _read_only(target)


def build_root() -> None:
    """Give this process's mount namespace a root of its own, and leave it no way to the machine's."""
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    _mount("tmpfs", _STAGE, "tmpfs", 0, "size=16m,mode=755")
    for name in _FOLDERS:
        (_STAGE / name).mkdir(parents=True)
    for name in _SHARED:
        _share(_STAGE, name)
    for name in _DEVICES:
        (_STAGE / "dev" / name).touch()
        _mount(f"/dev/{name}", _STAGE / "dev" / name, None, _MS_BIND)
    (_STAGE / "dev/fd").symlink_to("/proc/self/fd")
    for name in _FILES:
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(f"/etc/{name}", _STAGE / "etc" / name)
    _mount("proc", _STAGE / "proc", "proc")
    _mount("sysfs", _STAGE / "sys", "sysfs", _MS_RDONLY)
    os.chdir(_STAGE)
    # The old root ends up on top of the new one, and is then let go with everything below it (pivot_root(2), NOTES).
    _check(_libc.pivot_root(b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", _MNT_DETACH), "umount2")
    os.chdir("/")


def _become_host(name: str, go: int) -> None:
    """What the host's first process does, up to its exec; the parent says by a byte on `go` when."""
    if not os.read(go, 1):
        os._exit(1)  # whoever starts us is gone
    _check(_libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0), "prctl")
    build_root()
    socket.sethostname(name)
    subprocess.run(["/usr/sbin/ip", "-batch", "-"], input=_NETWORK.encode(), capture_output=True, check=True)
    null = os.open("/dev/null", os.O_RDWR)
    for handle in (0, 1, 2):
        os.dup2(null, handle)
    os.execv("/usr/bin/sleep", [NAME, "infinity"])


def _say(error: BaseException, handle: int) -> None:
    """Write an error to a pipe: its number, a blank, its text."""
    number = error.errno if isinstance(error, OSError) else 0
    detail = error.stderr.decode() if isinstance(error, subprocess.CalledProcessError) else ""
    os.write(handle, f"{number or 0} {error} {detail}".strip().encode()[:1000])


def _child(name: str, ready: int, go: int, told: int) -> None:
    """The process between the starter and the host, which ends at once: a process namespace begins with a child."""
    try:
        os.setsid()
        _check(_libc.unshare(_CLONE), "unshare")
        os.write(ready, b"x")
        if not os.read(go, 1):
            os._exit(1)
        os.setgroups([])
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        first = os.fork()
        if first:
            os.write(ready, str(first).encode())
            os._exit(0)
        _become_host(name, go)
    except BaseException as error:  # noqa: BLE001 - in a forked process nothing may escape
        _say(error, told)
    os._exit(1)


def start(name: str) -> int:
    """Start a host and return its first process; ToolError if it cannot be started.

    The caller must adopt orphans (PR_SET_CHILD_SUBREAPER): the process is its child then, and dies with it.
    """
    (ready, ready_in), (go_out, go), (told, told_in) = os.pipe(), os.pipe(), os.pipe()
    between = os.fork()
    if between == 0:
        for handle in (ready, go, told):  # without this, nobody here would see the starter's end
            os.close(handle)
        _child(name, ready_in, go_out, told_in)
    for handle in (ready_in, go_out, told_in):
        os.close(handle)
    first = 0
    try:
        if os.read(ready, 1):
            for kind in ("uid_map", "gid_map"):
                Path(f"/proc/{between}/{kind}").write_text(f"0 {OUTER_ID} {ID_COUNT}\n", encoding="utf-8")
            os.write(go, b"x")
            first = int(os.read(ready, 20) or b"0")
        os.waitpid(between, 0)
        if first:
            os.write(go, b"x")
        error = os.read(told, 1000).decode(errors="replace")  # ends without a word when the host's exec closes the pipe
    except BaseException:
        stop([first or between])
        raise
    finally:
        for handle in (ready, go, told):
            os.close(handle)
    if error or not first:
        stop([first] if first else [])
        number, _, text = error.partition(" ")
        raise ToolError(f"{name}: {text}; {_CURES.get(int(number or 0), 'a light host cannot be started here')}")
    return first


def _ended(process: int) -> bool:
    """Whether a process is no child of ours any more; reaps it if it is dead."""
    try:
        return os.waitpid(process, os.WNOHANG) != (0, 0)
    except ChildProcessError:
        return True


def stop(processes: list[int]) -> None:
    """End hosts (or what was to become one), which are our children, and wait for that. Reaps other children too."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    while not all(map(_ended, processes)):
        # A host ends when everything in it has been reaped. What an interrupted run has left there is ours to reap.
        cpu_time.collect_orphans()
        time.sleep(0.01)
