# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host in memory that behaves as Linux does where this collection looks, and fails where a test wants it to.

Runs under Python 3.8 too. How the kernel and tc behave was tried on real ones: base 0 integers, vectors that are half
applied, modules that a key loads by itself, mq whose leaves are out of reach below handle 0:, roots of handle 0: that
cannot be deleted.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import posixpath
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._model import FileState
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel
from tests.unit.plugins import fake_wireguard

CONGESTION_CONTROL = "net.ipv4.tcp_congestion_control"
AVAILABLE = "net.ipv4.tcp_available_congestion_control"
DEFAULT_QDISC = "net.core.default_qdisc"
KERNEL = "6.1.0-test"
# As a Debian host that nobody has tuned prints them.
SYSCTLS = {
    "net.ipv4.tcp_rmem": "4096\t131072\t6291456",
    "net.ipv4.tcp_wmem": "4096\t16384\t4194304",
    "net.ipv4.tcp_mem": "11511\t15351\t23022",
    "net.ipv4.tcp_fin_timeout": "60",
    "net.ipv4.tcp_retries2": "15",
    "net.ipv4.tcp_keepalive_time": "7200",
    "net.ipv4.tcp_mtu_probing": "0",
    "net.ipv4.tcp_fastopen": "1",
    "net.ipv4.tcp_fastopen_key": "0a0b0c0d-00000001-00000002-00000003",
    "net.ipv4.ip_local_port_range": "32768\t60999",
    "net.ipv4.ip_local_reserved_ports": "",
    "net.core.rmem_max": "212992",
    "net.core.somaxconn": "4096",
    "net.ipv4.tcp_allowed_congestion_control": "reno cubic",
    CONGESTION_CONTROL: "cubic",
    DEFAULT_QDISC: "fq_codel",
}
_BUILTIN_QDISCS = frozenset(["pfifo_fast", "pfifo", "bfifo", "noqueue", "mq"])


@dataclass
class FakeInterface:
    """A network interface. By default its qdisc is what the kernel attaches."""

    name: str
    queues: int = 1
    up: bool = True
    physical: bool = True
    mtu: int = 1500
    qdisc: str = ""
    handle: str = "0:"
    leaves: list[str] = field(default_factory=list)

    def attach_default(self, default: str) -> None:
        self.handle = "0:"
        self.leaves = [default] * self.queues if self.queues > 1 else []
        self.qdisc = ("mq" if self.queues > 1 else default) if self.physical else "noqueue"


class FakeSystem:
    """Implements _system.System. Every operation that would change a host is a step; fail_at names one that fails.

    fail_late: the step that fails has taken effect all the same (a half-written vector, an fsync that failed).
    """

    def __init__(self, sysctls: dict[str, str] | None = None) -> None:
        self.sysctls = dict(SYSCTLS if sysctls is None else sysctls)
        self.loaded: set[str] = set()
        self.builtin = {"tcp_cubic", "sch_fq_codel"}
        self.loadable = {"tcp_bbr", "tcp_htcp", "sch_fq", "sch_sfq", "nf_conntrack"}
        self.files: dict[str, FileState] = {}
        self.directories: set[str] = set()
        self.interfaces: dict[str, FakeInterface] = {}
        self.tunnels: dict[str, Tunnel] = {}
        self.datagrams: list[tuple[str, int]] = []
        self.answering: dict[str, int] = {}  # bytes that a peer answers a datagram with, by its public key
        self.new_key = "a new key"  # what the next one is
        self.wireguard = True  # whether wireguard-tools is installed
        self.nftables = True  # the same of nftables
        self.nft_error = ""  # what it says, where it fails
        self.scripts: dict[str, str] = {}  # what it was told, by table
        self.rules: tuple[str, ...] = ()  # the prefixes that have a rule of ours
        self.reloads = 0  # how often systemd was to read its units again
        self.reload_fails = False
        self.hosts: dict[str, list[str]] = {}  # the addresses of names
        self.paths: dict[str, int] = {}  # bytes of the largest packet that gets through, by address
        self.lost: Callable[[], bool] = lambda: False  # whether an echo is lost, whatever its size
        self.rounds: list[tuple[list[tuple[str, int]], float]] = []  # of echoes
        self.routes: list[dict[str, Any]] = []  # as ip -j prints them
        self.sockets: dict[bytes, list[bytes]] = {}  # the kernel's answers, by request
        self.limits: dict[str, str] = {}
        self.refused: set[str] = set()  # keys that answer every write with EINVAL
        self.half_applied: set[str] = set()  # keys that take the first field of a vector, then answer EINVAL
        self.ignored: set[str] = set()  # keys whose writes succeed without effect
        self.unreadable: set[str] = set()  # files that this user may not read
        self.root = True
        self.locked_by = ""
        self.killed = ""  # the holder of the lock that was killed for it
        self.lock_held = False
        self.given_congestion_control: str | None = None
        self.steps: list[str] = []
        self.fail_at = 0
        self.fail_late = False
        self.deadly = False  # the step that fails is the end of the process: no later one is done either
        self.dead = False
        self.exception: BaseException = OSError(errno.EIO, "injected fault")
        self.on_step: Callable[[int], None] | None = None
        self.timer: list[str] = []  # the command of systemd-run, while a timer is armed
        self.timer_masked = False
        self.detached: list[list[str]] = []  # processes that outlive the run
        self.journal: list[str] = []
        self.clock = 1795608000.0
        self.boot("1")
        self.put("/run/systemd/system", kind="other")
        self.put("/usr/lib/systemd/systemd-sysctl", "")
        self._handles = 0x8000

    # What tests use

    def put(self, path: str, text: str = "", mode: int = 0o644, kind: str = "file", target: str = "") -> None:
        self.files[path] = FileState(path, kind, mode if kind == "file" else 0, text, target)

    def add_interface(self, name: str, **attributes: Any) -> FakeInterface:
        interface = FakeInterface(name, **attributes)
        if not interface.qdisc:
            interface.attach_default(self.sysctls.get(DEFAULT_QDISC, "pfifo_fast"))
        self.interfaces[name] = interface
        return interface

    def boot(self, identifier: str, uptime: float = 1000.0) -> None:
        """The host's uptime, and of which boot it is. Whatever a boot does to keys and modules is the test's to do."""
        self.boot_id, self.uptime = identifier, uptime

    def snapshot(self) -> dict[str, Any]:
        """Everything that makes a difference: not handles, which are names, nor what is remembered of ended changes."""
        remembered = ("/var/lib/netfleet-tcp/history/", "/var/lib/netfleet-tcp/revert.pyz")
        shown = {name: (each.qdisc, tuple(each.leaves)) for name, each in self.interfaces.items()}
        return {
            "sysctls": dict(self.sysctls),
            "files": {path: state for path, state in self.files.items() if not path.startswith(remembered)},
            "directories": {path for path in self.directories if not path.startswith("/var/lib/netfleet-tcp")},
            "modules": set(self.loaded),
            "qdiscs": shown,
            "tunnels": dict(self.tunnels),
            "clamps": dict(self.scripts),
            "rules": self.rules,
        }

    # System: reading

    def read(self, path: str) -> str | None:
        if path in self.unreadable:
            return None
        if path == "/proc/sys/kernel/random/boot_id":
            return self.boot_id + "\n"
        match = re.match(r"/proc/sys/net/ipv4/conf/([^/]+)/(disable_policy|disable_xfrm|rp_filter)\Z", path)
        if match and match.group(1) in self.tunnels:
            settings = dict(setting.split("=") for setting in self.tunnels[match.group(1)].settings)
            return settings[match.group(2)] + "\n" if match.group(2) in settings else None
        if path.startswith("/proc/sys/"):
            name = path[len("/proc/sys/") :].translate(str.maketrans("./", "/."))
            if name == AVAILABLE:
                return " ".join(self._algorithms()) + "\n"
            return self.sysctls[name] + "\n" if name in self.sysctls else None
        computed = {
            "/proc/modules": "".join("%s 20480 0 - Live 0x0\n" % name for name in sorted(self.loaded)),
            "/lib/modules/%s/modules.dep" % KERNEL: _index(self.loadable, ".xz:"),
            "/lib/modules/%s/modules.builtin" % KERNEL: _index(self.builtin, ""),
            "/proc/uptime": "%.2f 1.00\n" % self.uptime,
            "/proc/meminfo": "MemTotal:        4000000 kB\nMemFree:         1000000 kB\n",
        }
        if path in computed:
            return computed[path]
        match = re.match(r"/sys/class/net/([^/]+)/(flags|mtu)\Z", path)
        if match and match.group(1) in self.interfaces:
            each = self.interfaces[match.group(1)]
            return "0x%x\n" % (0x1002 | each.up) if match.group(2) == "flags" else "%d\n" % each.mtu
        state = self.files.get(path)
        if state is not None and state.kind == "symlink":
            if state.target == "/dev/null":
                return ""
            return self.read(posixpath.normpath(posixpath.join(posixpath.dirname(path), state.target)))
        return state.text if state is not None and state.kind == "file" else None

    def read_or_why(self, path: str) -> tuple[str | None, str]:
        if path in self.unreadable:
            return None, "permission denied"
        return self.read(path), ""

    def closed(self, directory: str) -> bool:
        return directory in self.unreadable

    def names(self, directory: str) -> list[str]:
        if directory == "/sys/class/net":
            return sorted(self.interfaces)
        match = re.match(r"/sys/class/net/([^/]+)/queues\Z", directory)
        if match and match.group(1) in self.interfaces:
            queues = range(self.interfaces[match.group(1)].queues)
            return sorted(["rx-%d" % queue for queue in queues] + ["tx-%d" % queue for queue in queues])
        return sorted(posixpath.basename(path) for path in self.files if posixpath.dirname(path) == directory)

    def file_state(self, path: str) -> FileState:
        match = re.match(r"/sys/class/net/([^/]+)/device\Z", path)
        if match:
            present = match.group(1) in self.interfaces and self.interfaces[match.group(1)].physical
            return FileState(path, "symlink", target="../../../0000:00:02.0") if present else FileState(path)
        if path == "/usr/sbin/nft":
            return FileState(path, "file" if self.nftables else "absent")
        if path in self.unreadable:
            return FileState(path, "unreadable", self.files[path].mode)
        return self.files.get(path, FileState(path, "other" if path in self.directories else "absent"))

    def sysctl_limit(self, name: str) -> str:
        return self.limits.get(name, "" if name in self.sysctls else "this kernel has no such key here")

    def new_socket_congestion_control(self) -> str:
        return self.given_congestion_control or self.sysctls.get(CONGESTION_CONTROL, "cubic")

    def facts(self) -> dict[str, str]:
        yes = "yes" if self.root else ""
        return {"kernel": KERNEL, "root": yes, "init_user_namespace": "yes"}

    # System: changing

    @contextlib.contextmanager
    def lock(self, seconds: float, patience: float | None = None) -> Iterator[None]:
        assert seconds > 0
        if self.locked_by and patience is not None:
            self.killed, self.locked_by = self.locked_by, ""
        if self.locked_by:
            raise host_error("/run/netfleet-tcp.lock", "held by another run (%s)" % self.locked_by, "try again")
        self.lock_held = True
        try:
            yield
        finally:
            self.lock_held = False

    def write_sysctl(self, name: str, value: str) -> None:
        def effect() -> None:
            self._set(name, value)

        def half_effect() -> None:
            with contextlib.suppress(OSError):
                self._set(name, value if " " not in value else value.split(" ", maxsplit=1)[0])

        self._step("sysctl " + name, effect, half_effect)

    def write_file(self, path: str, text: str, mode: int, owner: tuple[int, int] = (0, 0)) -> None:
        def effect() -> None:
            if self.file_state(path).kind == "other":
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
            text.encode("utf-8", "surrogateescape")
            self.files[path] = FileState(path, "file", mode, text, uid=owner[0], gid=owner[1])

        self._step("file " + path, effect)

    def write_link(self, path: str, target: str) -> None:
        self._step("link " + path, lambda: self.put(path, kind="symlink", target=target))

    def remove(self, path: str) -> None:
        if path in self.files:
            self._step("remove " + path, lambda: self.files.pop(path))

    def make_private_directory(self, path: str) -> None:
        if path not in self.directories:
            self._step("mkdir " + path, lambda: self.directories.add(path))

    def make_open_directory(self, path: str) -> None:
        self.directories.add(path)

    def remove_empty_directory(self, path: str) -> None:
        if not any(name.startswith(path + "/") for name in self.files):
            self.directories.discard(path)

    def run(self, argv: Sequence[str], stdin: str = "") -> tuple[int, str, str]:
        line = list(argv)
        seen = self._look(line, stdin)
        if seen:
            return seen
        assert self.lock_held, "a command that changes the host ran without the lock: %s" % line
        try:
            if line == ["tc", "-batch", "-"]:
                commands = stdin.splitlines()
                half = commands[: len(commands) // 2]
                self._step("tc " + stdin, lambda: self._batch(commands), lambda: self._batch(half))
            elif line[:3] == ["modprobe", "-r", "--"]:
                self._step("modprobe -r " + line[3], lambda: self._unload(line[3]))
            elif line[:2] == ["modprobe", "--"]:
                self._step("modprobe " + line[2], lambda: self._load(line[2]))
            elif line[0] in ("wg", "ip", "sysctl", "nft"):
                self._step(" ".join(line), lambda: self._change_tunnel(line, stdin))
            elif line[0] == "systemd-run":
                timed = any(word.startswith("--on-active=") for word in line)
                started = line[line.index("--") + 1 :]
                self._step("arm", lambda: self._arm(line) if timed else self.detached.append(started))
            elif line[0] == "systemctl":
                return self._systemctl(line[1]), "", ""
            else:
                return 127, "", "%s is not installed" % line[0]
        except OSError as error:
            return 1, "", error.strerror or str(error)
        return 0, "", ""

    def _look(self, line: list[str], stdin: str) -> tuple[int, str, str] | None:
        """What a command prints that changes nothing; None where it changes something."""
        if line == ["tc", "-j", "qdisc", "show"]:
            return 0, json.dumps([entry for each in self.interfaces.values() for entry in _tc_entries(each)]), ""
        if line == ["ip", "-j", "route", "show", "table", "all"]:
            return 0, json.dumps(self.routes), ""
        if line[-1] == "show daemons" or line[:2] == ["systemctl", "is-enabled"]:
            # There may be files of FRR; it does not run.
            return 1, "", "failed to connect to any daemons."
        if line[0] == "wg" and not self.wireguard:
            return 127, "", "wg is not installed"
        if line == ["nft", "-j", "-t", "list", "ruleset", "inet"]:
            assert self.nftables
            status = 1 if self.nft_error else 0
            return status, "" if status else fake_wireguard.ruleset(self.scripts.values()), self.nft_error
        if line[:2] in (["wg", "show"], ["wg", "pubkey"], ["wg", "genkey"], ["ip", "-j"]):
            return self._wireguard(line, stdin)
        return None

    def _wireguard(self, line: list[str], stdin: str) -> tuple[int, str, str]:
        tunnels = list(self.tunnels.values())
        if line == ["wg", "show", "all", "dump"]:
            return 0, fake_wireguard.dump(tunnels, self.clock), ""
        if line == ["wg", "pubkey"]:
            return 0, fake_wireguard.public_of(stdin.strip()) + "\n", ""
        if line == ["wg", "genkey"]:
            return 0, self.new_key + "\n", ""
        if line == ["ip", "-j", "address", "show"]:
            return 0, fake_wireguard.addresses(tunnels), ""
        if line == ["ip", "-j", "-4", "rule", "show"]:
            return 0, fake_wireguard.rules_shown(self.rules), ""
        ipv6 = line == ["ip", "-j", "-6", "route", "show"]
        others = [route for route in self.routes if (":" in route["dst"]) == ipv6]
        return 0, json.dumps(json.loads(fake_wireguard.routes(tunnels, ipv6)) + others), ""

    def send_datagram(self, address: str, port: int) -> None:
        self.datagrams.append((address, port))
        # Whoever is reached by the address answers with what the test has it say.
        for name, tunnel in self.tunnels.items():
            peers = [
                replace(peer, received=peer.received + self.answering.get(peer.public_key, 0))
                if any(prefix.startswith(address + "/") for prefix in peer.allowed)
                else peer
                for peer in tunnel.peers
            ]
            self.tunnels[name] = replace(tunnel, peers=tuple(peers))

    def echo(self, asked: Sequence[tuple[str, int]], seconds: float) -> dict[tuple[str, int], float]:
        self.rounds.append((list(asked), seconds))
        return {entry: 0.01 for entry in asked if entry[1] <= self.paths.get(entry[0], 0) and not self.lost()}

    def resolve(self, name: str) -> list[str]:
        return self.hosts.get(name, [])

    def now(self) -> float:
        self.clock += 1.0
        return self.clock

    def sock_diag(self, request: bytes) -> list[bytes]:
        return self.sockets.get(request, [])

    def netlink_dump(self, _protocol: int, request: bytes) -> list[bytes]:
        return self.sockets.get(request, [])

    def sockets_of(self, _pid: int) -> frozenset[int]:
        return frozenset()

    def socket_holders(self, _inodes: Collection[int]) -> dict[int, int]:
        return {}

    def netlink(self, protocol: int, request: bytes) -> bytes:
        return self.sockets.get(request, [b""])[0] if protocol else b""

    def http_get(self, place: str, path: str, seconds: float) -> tuple[int, str]:
        return 0, "nothing answers at http://%s%s within %s s" % (place, path, seconds)

    def connect(self, address: str, port: int, seconds: float) -> tuple[str, str, int]:
        return "nothing answers at %s, %d within %s s" % (address, port, seconds), "", 0

    def detach(self, argv: Sequence[str]) -> None:
        self._step("detach", lambda: self.detached.append(list(argv)))

    def log(self, text: str) -> None:
        self.journal.append(text)

    # The kernel behind it

    def _change_tunnel(self, line: list[str], stdin: str) -> None:
        if line[0] == "nft":
            self._nft(stdin)
        elif line[:3] == ["ip", "-4", "rule"]:
            self.rules = fake_wireguard.changed_rules(self.rules, line)
        else:
            fake_wireguard.change(self.tunnels, line, stdin)

    def _nft(self, script: str) -> None:
        if not self.nftables:
            raise FileNotFoundError(errno.ENOENT, "nft is not installed")
        table = script.split()[2]
        self.scripts.pop(table, None)
        if fake_wireguard.clamped_for(script):
            self.scripts[table] = script

    def _systemctl(self, verb: str) -> int:
        if verb == "daemon-reload":
            self.reloads += 1
            return 1 if self.reload_fails else 0
        if verb == "stop":
            self.timer = self.timer if self.dead else []
        return 0 if verb != "is-active" or self.timer else 3

    def _arm(self, line: list[str]) -> None:
        if self.timer_masked:
            raise OSError(errno.EPERM, "Failed to start transient timer unit: Unit is masked.")
        self.timer = line

    def _step(
        self, what: str, effect: Callable[[], object], partial_effect: Callable[[], object] | None = None
    ) -> None:
        if self.dead:
            raise self.exception
        self.steps.append(what)
        assert self.lock_held, "changed the host without the lock: %s" % what
        if self.on_step:
            self.on_step(len(self.steps))
        failing = len(self.steps) == self.fail_at
        if failing:
            self.dead = self.deadly
            if self.fail_late:
                (partial_effect or effect)()
            raise self.exception
        effect()

    def _algorithms(self) -> list[str]:
        return ["reno", *sorted(name[4:] for name in self.loaded | self.builtin if name.startswith("tcp_"))]

    def _set(self, name: str, value: str) -> None:
        if name not in self.sysctls:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        if name in self.limits:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        if name in self.refused:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if name in self.ignored:
            return
        if name == CONGESTION_CONTROL and value not in self._algorithms():
            self._load("tcp_" + value)
        if name == DEFAULT_QDISC:
            self._need_qdisc(value)
        fields = _printed(name, value, self.sysctls[name])
        if name in self.half_applied:
            self.sysctls[name] = "\t".join(fields[:1] + self.sysctls[name].split("\t")[1:])
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self.sysctls[name] = "\t".join(fields)

    def _load(self, name: str) -> None:
        if name not in self.loaded | self.builtin | self.loadable:
            raise FileNotFoundError(errno.ENOENT, "FATAL: Module %s not found" % name)
        if name not in self.builtin:
            self.loaded.add(name)

    def _unload(self, name: str) -> None:
        kinds = {kind for each in self.interfaces.values() for kind in [each.qdisc, *each.leaves]}
        kinds.add(self.sysctls.get(DEFAULT_QDISC, ""))
        if name == "tcp_" + self.sysctls.get(CONGESTION_CONTROL, "") or name[4:] in kinds:
            raise OSError(errno.EBUSY, "FATAL: Module %s is in use" % name)
        self.loaded.discard(name)

    def _need_qdisc(self, kind: str) -> None:
        if kind not in _BUILTIN_QDISCS:
            try:
                self._load("sch_" + kind)
            except OSError:
                raise FileNotFoundError(errno.ENOENT, "Error: Specified qdisc kind is unknown.") from None

    def _batch(self, commands: list[str]) -> None:
        for number, line in enumerate(commands, start=1):
            try:
                self._tc(line.split())
            except OSError as error:
                raise OSError(errno.EINVAL, "%s\nCommand failed -:%d" % (error.strerror, number)) from error

    def _tc(self, words: list[str]) -> None:
        assert words[0] == "qdisc", words
        assert words[2] == "dev", words
        interface = self.interfaces.get(words[3])
        if interface is None:
            raise OSError(errno.ENODEV, 'Cannot find device "%s"' % words[3])
        if words[1] == "del":
            assert words[4:] == ["root"]
            if interface.handle == "0:":
                raise OSError(errno.ENOENT, "Error: Cannot delete qdisc with handle of zero.")
            interface.attach_default(self.sysctls.get(DEFAULT_QDISC, "pfifo_fast"))
            return
        assert words[1] == "replace", words
        self._need_qdisc(words[-1])
        if words[4] == "parent":
            self._replace_leaf(interface, words[5], words[6])
        elif words[5] == "handle":
            assert words[6:] == ["1:", "mq"], words
            if (interface.qdisc, interface.handle) != ("mq", "1:"):
                interface.attach_default(self.sysctls.get(DEFAULT_QDISC, "pfifo_fast"))
                interface.qdisc, interface.handle = "mq", "1:"
        else:
            self._handles += 1
            interface.qdisc, interface.handle, interface.leaves = words[5], "%x:" % self._handles, []

    def _replace_leaf(self, interface: FakeInterface, parent: str, kind: str) -> None:
        major, _colon, minor = parent.partition(":")
        queue = int(minor, 16)
        if interface.qdisc != "mq" or major + ":" != interface.handle or not 1 <= queue <= interface.queues:
            raise OSError(errno.ENOENT, "Error: Failed to find specified qdisc.")
        interface.leaves[queue - 1] = kind


def _index(modules: set[str], ending: str) -> str:
    return "".join("kernel/net/%s.ko%s\n" % (name, ending) for name in sorted(modules))


def _tc_entries(interface: FakeInterface) -> Iterator[dict[str, Any]]:
    yield {"kind": interface.qdisc, "handle": interface.handle, "dev": interface.name, "root": True, "options": {}}
    major = "" if interface.handle == "0:" else interface.handle.rstrip(":")
    for queue in range(len(interface.leaves), 0, -1):
        kind = interface.leaves[queue - 1]
        yield {"kind": kind, "handle": "0:", "dev": interface.name, "parent": "%s:%x" % (major, queue), "options": {}}


def _printed(name: str, value: str, present: str) -> list[str]:
    """How the kernel prints a value once it was written, field by field; OSError where it refuses it."""
    if name.endswith("fastopen_key"):
        return [",".join("-".join(word.lower().zfill(8) for word in key.split("-")) for key in value.split(","))]
    if name.endswith("reserved_ports") or not re.match(r"-?\d", present):
        return [value]
    fields = []
    for text in value.split():
        if not re.match(r"-?(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)\Z", text):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        digits = text.lstrip("-")
        octal = len(digits) > 1 and digits[0] == "0" and digits[1] not in "xX"
        fields.append("%d" % (int(text, 8) if octal else int(text, 0)))
    kept = present.split("\t")
    return (fields + kept[len(fields) :])[: len(kept)]
