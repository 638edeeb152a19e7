# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is at either end of short connections of the host to itself, and what processor time these take.

The server listens, so that it is found at leisure. The client is not: a TIME-WAIT belongs to nobody, and an open socket
is gone within a millisecond, while a look at all processes takes tens. So those are picked out whose sockets or
processor time change from one look to the next. They are watched for a tenth of a second; when one has got another
socket, the kernel is asked at once which ones are open. Who is found that way held a socket of just these connections.

Pure but for the System that is handed in. Sources: proc_pid_fd(5), proc_pid_stat(5), unix(7).
"""

from __future__ import annotations

import contextlib
import struct
from itertools import islice
from typing import (
    Callable,
    Collection,
    Dict,
    FrozenSet,
    Iterable,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    Set,
    Tuple,
)

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import Holder, LoopbackEnd
from ansible_collections.netfleet.tcp.plugins.module_utils._holders import holder_of
from ansible_collections.netfleet.tcp.plugins.module_utils._loopback_tally import Pair, pair_of
from ansible_collections.netfleet.tcp.plugins.module_utils._sock_diag import Answer, request
from ansible_collections.netfleet.tcp.plugins.module_utils._socket_tally import NOT_LISTENING, TIME_WAIT
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System

_OPEN = NOT_LISTENING & ~(1 << TIME_WAIT)
# Seconds of processor time: what one look at all processes may take, and so many looks at the few.
_SCAN, _CATCH = 0.2, 0.1
_TRIES = 1000
# So often the open sockets are asked for first, and then who holds them.
_LIST_FIRST = 16
# Enough of a pair to tell who its clients are, by one visit.
_ENOUGH = 20
_MOST_CANDIDATES = 24
_MOST_DATAGRAMS = 40
# So that reading them all takes milliseconds: of a server's workers these stand for the rest.
_MOST_PROCESSES = 32
_USER_AND_INODE = struct.Struct("=64xII")
# Below that time a clock tick would be several percent.
_SHORTEST = 0.3
# Of a second, in which the kernel tells processor time: on all but two architectures that nobody has any more.
_TICKS = 100.0
_LISTENS, _STREAM = 0x10000, 1  # of /proc/net/unix: __SO_ACCEPTCON, SOCK_STREAM


@dataclass(frozen=True)
class CpuTime:
    """Of a process, in clock ticks. began: when it was started, so that another one of the same number is told."""

    began: int
    user: int
    kernel: int


def parse_stat(text: str) -> Optional[CpuTime]:
    """From the text of /proc/PID/stat; None where it is none, as of a process that has gone."""
    # The name stands in brackets, and may have some itself.
    fields = text.rpartition(")")[2].split()
    try:
        return CpuTime(began=int(fields[19]), user=int(fields[11]), kernel=int(fields[12]))
    except (IndexError, ValueError):
        return None


def parse_unix(text: str) -> Dict[int, str]:
    """From the text of /proc/net/unix: the paths that are listened on, by the socket's inode."""
    found: Dict[int, str] = {}
    for line in text.splitlines()[1:]:
        fields = line.split(None, 7)
        # A path may have a line's end in it: what comes after that is no line of the kernel's.
        with contextlib.suppress(ValueError):
            if len(fields) == 8 and int(fields[3], 16) & _LISTENS and int(fields[4], 16) == _STREAM:
                found[int(fields[6])] = fields[7]
    return found


class _Process:
    """A process at an end, since it was seen there first."""

    def __init__(self, holder: Holder, first: Optional[CpuTime], at: float) -> None:
        self.holder, self.first, self.at = holder, first, at
        self.user: Optional[float] = None
        self.kernel: Optional[float] = None

    def read(self, now: Optional[CpuTime], at: float) -> None:
        elapsed = at - self.at
        if self.first and now and now.began == self.first.began and elapsed >= _SHORTEST:
            self.user = 100.0 * (now.user - self.first.user) / _TICKS / elapsed
            self.kernel = 100.0 * (now.kernel - self.first.kernel) / _TICKS / elapsed


@dataclass(frozen=True)
class _Seen:
    """Of a process, the inodes of its sockets, and its processor time in ticks."""

    sockets: FrozenSet[int]
    used: int


def _candidates(before: Mapping[int, _Seen], now: Mapping[int, _Seen]) -> List[int]:
    """Who may be a client: whose sockets have changed, and who has done anything at all, those with the most first."""
    nothing = _Seen(frozenset(), 0)
    changes = {
        pid: (len(seen.sockets - before.get(pid, nothing).sockets), seen.used - before.get(pid, nothing).used)
        for pid, seen in now.items()
    }
    busy = [pid for pid, (sockets, used) in changes.items() if sockets or used > 0]
    return sorted(busy, key=lambda pid: changes[pid], reverse=True)[:_MOST_CANDIDATES]


class LoopbackEnds:
    """Finds out, look by look. clock: seconds that go by; used: seconds of processor time that this takes itself."""

    def __init__(self, system: System, clock: Callable[[], float], used: Callable[[], float]) -> None:
        self._system, self._clock, self._used = system, clock, used
        self._processes: Dict[int, _Process] = {}
        self._clients: Dict[Pair, Dict[int, Set[int]]] = {}
        self._users: Dict[Pair, Set[int]] = {}
        self._servers: Dict[int, List[int]] = {}
        self._paths: Dict[int, Set[str]] = {}
        self._last: Dict[int, _Seen] = {}
        self._changing: Set[int] = set()
        self._looked: Set[Pair] = set()
        self.partial = False

    def look(
        self,
        pairs: Mapping[Pair, Collection[int]],
        listening: Mapping[int, FrozenSet[int]],
        pause: Callable[[], None] = lambda: None,
    ) -> None:
        """Look for who is at either end of each pair, given with the families of the sockets of its clients.

        listening: by port, the inodes of the sockets that listen. pause: waits, between the two looks at all processes
        that there are at the first time: the longer, the better is known who does anything.
        """
        self._looked.update(pairs)
        before, now = self._last, self._scan()
        # The servers' processor time counts from here on, that of clients from when they are seen.
        self._find_servers(pairs, listening, now)
        if not before:
            pause()
            before, now = now, self._scan()
        self._last = now
        self._catch(pairs, _candidates(before, now))

    def _pids(self) -> List[int]:
        return [int(name) for name in self._system.names("/proc") if name.isdigit()]

    def _scan(self) -> Dict[int, _Seen]:
        """All processes, or as many as there is time for, the youngest first."""
        due = self._used() + _SCAN
        found: Dict[int, _Seen] = {}
        for pid in sorted(self._pids(), reverse=True):
            if self._used() > due:
                self.partial = True
                break
            used = self._cpu_time(pid)
            found[pid] = _Seen(self._system.sockets_of(pid), used.user + used.kernel if used else 0)
        return found

    def _find_servers(
        self, pairs: Collection[Pair], listening: Mapping[int, FrozenSet[int]], seen: Mapping[int, _Seen]
    ) -> None:
        new = {pair.port for pair in pairs if pair.port not in self._servers}
        if not new:
            return
        paths = parse_unix(self._system.read("/proc/net/unix") or "")
        for port in new:
            wanted = listening.get(port, frozenset())
            # What systemd listens on for a service, the service holds too.
            pids = [pid for pid in sorted(seen) if seen[pid].sockets & wanted]
            pids = [pid for pid in pids if pid != 1 or len(pids) == 1][:_MOST_PROCESSES]
            self._servers[port] = [pid for pid in pids if self._know(pid)]
            self._paths[port] = {paths[inode] for pid in pids for inode in seen[pid].sockets if inode in paths}

    def _know(self, pid: int) -> bool:
        """Whether it is known who that process is; at its first time, from when on its processor time counts."""
        if pid not in self._processes:
            holder = holder_of(self._system, pid)
            if not holder.process:
                return False
            self._processes[pid] = _Process(holder, self._cpu_time(pid), self._clock())
        return True

    def _cpu_time(self, pid: int) -> Optional[CpuTime]:
        return parse_stat(self._system.read("/proc/%d/stat" % pid) or "")

    def _catch(self, pairs: Mapping[Pair, Collection[int]], candidates: Sequence[int]) -> None:
        due = self._used() + _CATCH
        caught = dict.fromkeys(pairs, 0)
        held = {pid: self._system.sockets_of(pid) for pid in candidates}
        for number in range(_TRIES):
            if self._used() > due or min(caught.values()) >= _ENOUGH:
                return
            if number % _LIST_FIRST:
                # A socket that has just come is open for some time yet, in which the kernel lists it.
                fresh = self._fresh(held)
                if fresh:
                    self._match(self._opened(pairs), fresh, caught)
            else:
                # Who waits for this processor does nothing meanwhile; and who calls by a new process each time is no
                # candidate: that process is there now, or never.
                opened = self._opened(pairs)
                new = [pid for pid in self._pids() if pid not in self._last][-_MOST_CANDIDATES:] if opened else []
                every = (*candidates, *new) if opened else ()
                self._match(opened, {each: pid for pid in every for each in self._system.sockets_of(pid)}, caught)

    def _fresh(self, held: Dict[int, FrozenSet[int]]) -> Dict[int, int]:
        """The sockets that candidates have got since they were last looked at, with the process of each."""
        fresh: Dict[int, int] = {}
        # Once it is known whose sockets come and go, the others need not be looked at, which would take longer.
        for pid in [pid for pid in held if pid in self._changing] or list(held):
            now = self._system.sockets_of(pid)
            new = now - held[pid]
            held[pid] = now
            if new:
                self._changing.add(pid)
                fresh.update(dict.fromkeys(new, pid))
        return fresh

    def _match(self, opened: Mapping[int, Pair], held: Mapping[int, int], caught: Dict[Pair, int]) -> None:
        for inode in opened.keys() & held.keys():
            pair, pid = opened[inode], held[inode]
            known = self._clients.setdefault(pair, {})
            if self._know(pid) and inode not in known.setdefault(pid, set()):
                known[pid].add(inode)
                caught[pair] += 1

    def _opened(self, pairs: Mapping[Pair, Collection[int]]) -> Dict[int, Pair]:
        """The sockets that are open at the clients' ends, by inode."""
        found: Dict[int, Pair] = {}
        for family, port in {(family, pair.port) for pair, families in pairs.items() for family in families}:
            asked = request(family, _OPEN, (), port)
            for datagram, start, _end in Answer(islice(self._system.sock_diag(asked), _MOST_DATAGRAMS)):
                pair = pair_of(datagram, start, server=False)
                if pair in pairs:
                    user, inode = _USER_AND_INODE.unpack_from(datagram, start)
                    found[inode] = pair
                    self._users.setdefault(pair, set()).add(user)
        return found

    def finish(self) -> None:
        """Read the processor time of all who were found."""
        for pid, process in self._processes.items():
            process.read(self._cpu_time(pid), self._clock())

    def clients(self, pair: Pair) -> Tuple[LoopbackEnd, ...]:
        """Whose the connections are that were seen open, those with the most first."""
        seen = self._clients.get(pair, {})
        return self._ends((pid, len(inodes)) for pid, inodes in seen.items())

    def users(self, pair: Pair) -> Set[int]:
        """The numbers of the users whose clients were seen."""
        return self._users.get(pair, set())

    def servers(self, pair: Pair) -> Tuple[LoopbackEnd, ...]:
        """Who listens."""
        return self._ends((pid, 0) for pid in self._servers.get(pair.port, ()))

    def unix_sockets(self, pair: Pair) -> Tuple[str, ...]:
        """Paths that the same processes listen on."""
        return tuple(sorted(self._paths.get(pair.port, ())))

    def _ends(self, counted: Iterable[Tuple[int, int]]) -> Tuple[LoopbackEnd, ...]:
        alike: Dict[Tuple[str, str, str], List[Tuple[int, int]]] = {}
        for pid, seen in counted:
            holder = self._processes[pid].holder
            alike.setdefault((holder.process, holder.unit, holder.container), []).append((pid, seen))
        found = [self._end(entries) for entries in alike.values()]
        return tuple(sorted(found, key=lambda end: (-end.seen, end.holder.process)))

    def _end(self, entries: Sequence[Tuple[int, int]]) -> LoopbackEnd:
        processes = [self._processes[pid] for pid, _seen in entries]
        known = [each for each in processes if each.kernel is not None]
        return LoopbackEnd(
            holder=min((each.holder for each in processes), key=lambda holder: holder.pid),
            seen=sum(seen for _pid, seen in entries),
            user=round(sum(each.user or 0.0 for each in known), 1) if known else None,
            kernel=round(sum(each.kernel or 0.0 for each in known), 1) if known else None,
        )

    def _perhaps(self, pair: Pair) -> str:
        """Who may be the client, since its sockets come and go; in words."""
        servers = self._servers.get(pair.port, ())
        names = sorted({holder_of(self._system, pid).process for pid in self._changing if pid not in servers} - {""})
        return "; sockets come and go of %s" % ", ".join(names[:5]) if names else ""

    def missing(self) -> Iterator[str]:
        """What could not be told, in words."""
        root = self._system.facts()["root"]
        if self.partial:
            yield "loopback: there are too many processes to look at all of them in time"
        for pair in sorted(self._looked, key=lambda pair: pair.port):
            if not self._clients.get(pair):
                why = "none was seen with a socket open" if root else "only root sees those of others (become)"
                yield "loopback: who calls port %d is not known: %s" % (pair.port, why) + self._perhaps(pair)
