# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection's vocabulary as data: what was observed on a host, what is desired, what would change.

Pure. Every class travels between controller and host as JSON by to_wire and from_wire, so fields are annotated with
classes that Python 3.8 can evaluate (typing.Tuple, not tuple[...]).
"""

from __future__ import annotations

from dataclasses import asdict, field, is_dataclass
from functools import lru_cache
from typing import Any, Dict, Optional, Tuple, Type, TypeVar, Union, get_type_hints

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel

# The limit of a key that only this user may not write.
NOT_PERMITTED = "this user may not write it"
# The service that applies sysctl.d a second time (Owner.name begins so).
TUNED = "tuned"
# Among the qdiscs of an Owner: whichever interface it is.
ANY_INTERFACE = "*"
# The author (Observed.authors) of a file that another declaration of this collection wrote.
ANOTHER_DECLARATION = "another declaration of netfleet.tcp"
_T = TypeVar("_T")


@dataclass(frozen=True)
class Assignment:
    """One line of a sysctl.d file that gives a key a value at boot (value None: excludes it).

    rank sorts files by their order of application; glob: the line names a pattern, which an explicit line beats.
    pattern: the key or glob as the reader holds it. target: what the file is a link to, where it is one.
    """

    file: str
    line: int
    value: Optional[str]
    rank: str
    glob: bool = False
    pattern: str = ""
    target: str = ""

    @property
    def place(self) -> str:
        """file:line, for people: of the file to edit, not of a link to it."""
        return "%s:%d" % (self.target or self.file, self.line)


@dataclass(frozen=True)
class KeyState:
    """A sysctl key on a host. running is None where the kernel has no such key or it may not be read.

    limit says why it cannot be written, in words for people; empty where it can. aside: lines of /etc/sysctl.conf where
    the boot does not read that file; whoever applies it by hand sets them all the same.
    """

    name: str
    running: Optional[str]
    limit: str = ""
    boot: Tuple[Assignment, ...] = ()
    aside: Tuple[Assignment, ...] = ()


@dataclass(frozen=True)
class FileState:
    """What stands at a path; text is masked where it holds secrets.

    kind: absent, file, symlink, unreadable (a file that this user may not read) or other. uid, gid: its owner.
    """

    path: str
    kind: str = "absent"
    mode: int = 0
    text: str = ""
    target: str = ""
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True)
class ModuleState:
    """A kernel module: loaded or built in, or (loadable) ready to be loaded by root.

    boot: file:line of modules-load.d that has the next boot load it; empty where none does. blocker: what keeps the
    next boot from loading it all the same, as file or file:line; empty where nothing does.
    """

    name: str
    loaded: bool = False
    builtin: bool = False
    loadable: bool = False
    boot: str = ""
    blocker: str = ""


@dataclass(frozen=True)
class Interface:
    """A network interface: qdisc is the root's kind, leaves the kinds below an mq root, one per transmit queue.

    physical: backed by a device (a NIC, virtio, SR-IOV), as opposed to tunnels, bridges and veth.
    handle: the root's handle as tc prints it; "0:" marks a qdisc that the kernel attached by default.
    """

    name: str
    up: bool
    physical: bool
    mtu: int
    queues: int
    qdisc: str
    handle: str = "0:"
    leaves: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Route:
    """A route that has a congestion control of its own. protocol: who made it, as ip prints it (static, dhcp ...)."""

    prefix: str
    device: str
    congestion_control: str
    protocol: str = ""
    table: str = "main"


@dataclass(frozen=True)
class Owner:
    """A service on the host that sets keys too: tuned, bpftune, kube-proxy, NetworkManager.

    sets: what it gives keys, with its file and line where there is one (value None: it depends). reapplies: after its
    own values it sets those of /etc/sysctl.d again, so that these hold. qdiscs: the same as sets, by interface.
    """

    name: str
    sets: Dict[str, Assignment] = field(default_factory=dict)
    reapplies: bool = False
    qdiscs: Dict[str, Assignment] = field(default_factory=dict)


@dataclass(frozen=True)
class ChangeSummary:
    """A change of this host, as far as people want to know.

    author: who made it (user@controller). run: by which run, the same on all its hosts. started, ended: UTC. window:
    seconds after which the host takes it back unless it is confirmed; 0: it needs no confirmation. left: seconds of
    these that are left. outcome: pending, confirmed, failed, reverted or rolled back; why: in words, where it was not
    confirmed.
    """

    id: str
    declaration: str = ""
    author: str = ""
    run: str = ""
    started: str = ""
    ended: str = ""
    window: int = 0
    left: int = 0
    outcome: str = "pending"
    why: str = ""


@dataclass(frozen=True)
class Routing:
    """What of FRR runs; by what, its files say. daemons: zebra, bgpd, bfdd; none: it does not run.

    enabled: whether the next boot starts it.
    """

    daemons: Tuple[str, ...] = ()
    enabled: bool = False


@dataclass(frozen=True)
class Baseline:
    """What stood on the host before this collection changed it, by subject; secrets are masked off the host."""

    keys: Dict[str, str] = field(default_factory=dict)
    files: Dict[str, FileState] = field(default_factory=dict)
    modules: Tuple[str, ...] = ()
    qdiscs: Dict[str, str] = field(default_factory=dict)
    # None: there was no such interface.
    tunnels: Dict[str, Optional[Tunnel]] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether nothing is recorded."""
        return not (self.keys or self.files or self.modules or self.qdiscs or self.tunnels)


@dataclass(frozen=True)
class Observed:
    """A host's whole state, from one visit.

    reader: who applies sysctl.d at boot (systemd-sysctl, procps, nobody). child_netns: the host is a container with a
    network namespace of its own. listeners: local TCP ports with a listening socket.
    new_socket_congestion_control: what the kernel gave to a socket made just now. routes: those with a congestion
    control of their own (routes_known: whether they could be looked at). owners: other services that set keys.
    authors: who wrote the files of somebody else's that set keys asked for, by path. unread: why a file that the boot
    reads could not be read here, by path. baseline_known: whether this user may read what an earlier run recorded.
    pending: a change that waits to be confirmed. last_change: the latest that has ended, whatever became of it.
    tunnels: all WireGuard interfaces. tunnel_key: the public key of the host's key file. tunnel_limit: why WireGuard
    cannot be looked at, in words. resolved: the addresses of names, by name. networkd: whether systemd-networkd runs.
    foreign_routes: the interface of each route that is no tunnel's, by its prefix and metric. clamp_limit: why nothing
    can be clamped, in words. tunnel_baseline: that of the declaration of tunnels, where it is looked at beside another
    one. path_mtu: bytes of the largest packet that gets through to an address, where that was asked for; 0: it does not
    answer. routing: FRR, where it is installed and tunnels are looked at.
    """

    kernel: str
    memory: int
    root: bool
    systemd: bool
    reader: str
    child_netns: bool
    keys: Dict[str, KeyState]
    files: Dict[str, FileState]
    modules: Dict[str, ModuleState]
    interfaces: Tuple[Interface, ...] = ()
    qdisc_kinds: Dict[str, bool] = field(default_factory=dict)
    available_congestion_control: Tuple[str, ...] = ()
    allowed_congestion_control: Tuple[str, ...] = ()
    new_socket_congestion_control: str = ""
    listeners: Tuple[int, ...] = ()
    baseline: Baseline = field(default_factory=Baseline)
    baseline_known: bool = True
    routes: Tuple[Route, ...] = ()
    routes_known: bool = True
    owners: Tuple[Owner, ...] = ()
    authors: Dict[str, str] = field(default_factory=dict)
    unread: Dict[str, str] = field(default_factory=dict)
    pending: Optional[ChangeSummary] = None
    last_change: Optional[ChangeSummary] = None
    warnings: Tuple[str, ...] = ()
    tunnels: Dict[str, Tunnel] = field(default_factory=dict)
    tunnel_key: str = ""
    tunnel_limit: str = ""
    resolved: Dict[str, Tuple[str, ...]] = field(default_factory=dict)
    networkd: bool = False
    foreign_routes: Dict[str, str] = field(default_factory=dict)
    clamp_limit: str = ""
    tunnel_baseline: Baseline = field(default_factory=Baseline)
    path_mtu: Dict[str, int] = field(default_factory=dict)
    routing: Optional[Routing] = None


@dataclass(frozen=True)
class DesiredKey:
    """A key as it shall be, now and after each boot. takes_effect: now, new sockets, new listeners or reboot."""

    name: str
    value: str
    reason: str = ""
    takes_effect: str = "now"


@dataclass(frozen=True)
class DesiredFile:
    """A file (text) or a symbolic link (target) as it shall be. Secrets in text are tokens (see _secrets).

    group: the name of the group that owns it; empty: root's.
    """

    path: str
    mode: int = 0o644
    text: str = ""
    target: str = ""
    reason: str = ""
    group: str = ""


@dataclass(frozen=True)
class DesiredQdisc:
    """The qdisc that an interface shall have; under mq, the one of each of its leaves."""

    interface: str
    kind: str
    reason: str = ""


@dataclass(frozen=True)
class Desired:
    """All that one declaration wants on a host; name identifies the declaration (and its baseline) there.

    An empty Desired of the same name takes the declaration back. watched: further paths whose state decides the plan
    (see _desired.watched_paths). boot_conflict: override, fail or warn. reasons: why, by the key of a change, where
    there is more to say of a tunnel than that it is declared so.
    """

    name: str
    keys: Tuple[DesiredKey, ...] = ()
    files: Tuple[DesiredFile, ...] = ()
    modules: Tuple[str, ...] = ()
    qdiscs: Tuple[DesiredQdisc, ...] = ()
    watched: Tuple[str, ...] = ()
    congestion_control: str = ""
    boot_conflict: str = "fail"
    tunnels: Tuple[Tunnel, ...] = ()
    reasons: Dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """One difference between desired and running that an application removes.

    subject: module, sysctl, qdisc, tunnel, file.
    """

    subject: str
    key: str
    want: str
    running: Optional[str]
    boot: Optional[str] = None
    source: str = ""
    reason: str = ""
    takes_effect: str = "now"


@dataclass(frozen=True)
class Waiver:
    """Why a finding is tolerated, and until when: expires is the last day (YYYY-MM-DD) on which it counts."""

    reason: str
    expires: str


@dataclass(frozen=True)
class Finding:
    """Something about a host that is not as it should be: drift, a limit, a conflict with another owner.

    severity: error, warning or note. rule: the kind of finding (an id of _rules), by which reports group. owner: who is
    to blame, where that is known. takes_effect: when the cure will (now, new sockets, new listeners, reboot).
    """

    subject: str
    key: str
    severity: str
    reason: str
    intended: Optional[str] = None
    running: Optional[str] = None
    boot: Optional[str] = None
    source: str = ""
    takes_effect: str = ""
    cure: str = ""
    rule: str = ""
    owner: str = ""
    host: str = ""
    waiver: Optional[Waiver] = None

    def __str__(self) -> str:
        text = "%s: %s" % (self.key, self.reason)
        return "%s (%s)" % (text, self.cure) if self.cure else text


@dataclass(frozen=True)
class Plan:
    """What an application would do, in order, and what stands in its way."""

    changes: Tuple[Change, ...] = ()
    findings: Tuple[Finding, ...] = ()

    def by_severity(self, severity: str) -> Tuple[Finding, ...]:
        """The findings of one severity."""
        return tuple(finding for finding in self.findings if finding.severity == severity)


def to_wire(value: Any) -> Dict[str, Any]:
    """A dataclass as plain JSON data."""
    wire: Dict[str, Any] = asdict(value)
    return wire


def from_wire(cls: Type[_T], data: Any) -> _T:
    """The inverse of to_wire. Unknown fields are refused: they mean that controller and host run different versions."""
    if not isinstance(data, dict):
        raise ValueError("%s is not a mapping but %s" % (cls.__name__, type(data).__name__))
    hints = _hints(cls)  # type: ignore[arg-type]
    unknown = sorted(set(data) - set(hints))
    if unknown:
        raise ValueError("%s has no field %s" % (cls.__name__, ", ".join(unknown)))
    return cls(**{name: _value_from_wire(hints[name], value) for name, value in data.items()})


@lru_cache(maxsize=None)
def _hints(cls: Type[Any]) -> Dict[str, Any]:
    # Evaluates every annotation: too dear for each of the many instances of a class.
    return get_type_hints(cls)


def _value_from_wire(hint: Any, value: Any) -> Any:
    origin = getattr(hint, "__origin__", None)
    if origin is Union:
        return None if value is None else _value_from_wire(hint.__args__[0], value)
    if origin is tuple:
        _expect(value, (list, tuple), "a list")
        return tuple(_value_from_wire(hint.__args__[0], item) for item in value)
    if origin is dict:
        _expect(value, dict, "a mapping")
        return {str(key): _value_from_wire(hint.__args__[1], item) for key, item in value.items()}
    if isinstance(hint, type) and is_dataclass(hint):
        return from_wire(hint, value)
    _expect(value, hint, hint.__name__)
    return value


def _expect(value: Any, kind: Any, name: str) -> None:
    # Without the value: it may be a secret. A truth value is not taken for a number.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError("%s where %s belongs" % (type(value).__name__, name))
