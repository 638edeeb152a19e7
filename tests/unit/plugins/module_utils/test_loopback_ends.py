# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is at either end is found where sockets are open for a moment only, and what is not found is said."""

from __future__ import annotations

import os
import re
import socket

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._loopback_ends import (
    CpuTime,
    LoopbackEnds,
    parse_stat,
    parse_unix,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._loopback_tally import Pair, pair_of
from ansible_collections.netfleet.tcp.plugins.module_utils._sock_diag import Answer, request
from ansible_collections.netfleet.tcp.plugins.module_utils._socket_tally import NOT_LISTENING
from ansible_collections.netfleet.tcp.plugins.module_utils._system import LinuxSystem
from tests.unit.plugins.recorded_sockets import DONE, TIME_WAIT, SocketHost, message

V4 = int(socket.AF_INET)
LOCAL = socket.inet_aton("127.0.0.1").ljust(16, b"\0")
PORT = 6379
PAIR = Pair(V4, LOCAL, LOCAL, PORT)
FAMILIES = {PAIR: {V4}}
LISTENING = {PORT: frozenset([7])}
OPEN = request(V4, NOT_LISTENING & ~(1 << TIME_WAIT), (), PORT)
STAT = "%d (%s) S 1 1 1 0 -1 4194560 100 0 0 0 %d %d 0 0 20 0 1 0 %d 1000000 100 18446744073709551615 1 1"
UNIX = """\
Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01     8 /run/redis/redis server.sock
0000000000000000: 00000003 00000000 00000000 0001 03     9 /run/redis/redis server.sock
0000000000000000: 00000002 00000000 00010000 0005 01    10 /run/udev/control
0000000000000000: 00000002 00000000 00010000 0001 01    11
0000000000000000: 00000002 00000000 00010000 0001 01    12 @abstract
"""


class TrapHost(SocketHost):
    """A server, 100, and a client, 200, that opens its next connection whenever anybody looks at its sockets.

    A look takes a while (seconds of its clock), and the client and the server use the processor meanwhile.
    """

    def __init__(self) -> None:
        super().__init__(recorded=False)
        self.seconds = 50.0
        self.inode = 1000
        self.held = {7: 100, 8: 100}
        self.fast = True
        self.process(1, "systemd")
        self.process(100, "redis-server", "redis")
        self.process(200, "shop", "shop")
        self.put("/proc/net/unix", UNIX)

    def process(self, pid: int, name: str, unit: str = "", began: int = 10) -> None:
        self.put("/proc/%d" % pid, kind="other")
        self.put("/proc/%d/comm" % pid, name + "\n")
        self.put("/proc/%d/cgroup" % pid, "0::/system.slice/%s.service\n" % unit if unit else "0::/\n")
        self.stat(pid, 0, 0, began)

    def stat(self, pid: int, user: int, kernel: int, began: int = 10) -> None:
        self.put("/proc/%d/stat" % pid, STAT % (pid, "a) b", user, kernel, began))

    def elapsed(self) -> float:
        return self.seconds

    def used(self) -> float:
        self.seconds += 0.0001
        return self.seconds

    def sockets_of(self, pid: int) -> frozenset[int]:
        held = super().sockets_of(pid)
        if pid == 200 and self.root:
            self.inode += self.fast
            held |= {self.inode}
        return held

    def sock_diag(self, asked: bytes) -> list[bytes]:
        if asked == OPEN:
            ends = ("127.0.0.1", 40000), ("127.0.0.1", PORT)
            return [message(*ends, user=33, inode=self.inode), DONE]
        return super().sock_diag(asked)

    def ends(self) -> LoopbackEnds:
        return LoopbackEnds(self, self.elapsed, self.used)


def test_both_ends_are_found_with_what_they_take_of_the_processor() -> None:
    host = TrapHost()
    ends = host.ends()
    ends.look(FAMILIES, LISTENING)
    host.seconds += 2.0
    host.stat(100, 10, 50)
    host.stat(200, 20, 80)
    ends.finish()
    (client,), (server,) = ends.clients(PAIR), ends.servers(PAIR)
    assert (client.holder.process, client.holder.unit, client.holder.pid) == ("shop", "shop.service", 200)
    assert (server.holder.process, server.holder.unit, server.seen) == ("redis-server", "redis.service", 0)
    assert client.seen >= 20
    assert client.kernel == pytest.approx(40.0, rel=0.01)
    assert client.user == pytest.approx(10.0, rel=0.01)
    assert server.kernel == pytest.approx(25.0, rel=0.02)
    assert ends.users(PAIR) == {33}
    assert ends.unix_sockets(PAIR) == ("/run/redis/redis server.sock",)
    assert list(ends.missing()) == []


def test_a_client_that_does_nothing_while_it_is_looked_at_is_found_too() -> None:
    """It waits for the processor that this runs on, with a socket open."""
    host = TrapHost()
    host.fast = False
    ends = host.ends()
    ends.look(FAMILIES, LISTENING, pause=lambda: host.stat(200, 1, 5))
    (client,) = ends.clients(PAIR)
    assert (client.holder.process, client.seen) == ("shop", 1)


class ForkingHost(TrapHost):
    """It calls by a new process each time; whenever the kernel lists the open sockets, there is another one."""

    def __init__(self) -> None:
        super().__init__()
        self.young = 5000

    def names(self, directory: str) -> list[str]:
        found = super().names(directory)
        return [*found, str(self.young)] if directory == "/proc" else found

    def sock_diag(self, asked: bytes) -> list[bytes]:
        if asked == OPEN:
            self.young += 1
            self.inode = 10_000 + self.young
            for name, text in (("comm", "redis-cli\n"), ("cgroup", "0::/system.slice/cron.service\n")):
                self.put("/proc/%d/%s" % (self.young, name), text)
            self.stat(self.young, 0, 0)
        return super().sock_diag(asked)

    def sockets_of(self, pid: int) -> frozenset[int]:
        if pid == 200:
            return frozenset()
        return frozenset([self.inode]) if pid == self.young else super().sockets_of(pid)


def test_who_calls_by_a_new_process_each_time_is_one_client() -> None:
    host = ForkingHost()
    ends = host.ends()
    ends.look(FAMILIES, LISTENING)
    host.files = {path: state for path, state in host.files.items() if not re.match(r"/proc/5\d+/", path)}
    host.seconds += 2.0
    ends.finish()
    (client,) = ends.clients(PAIR)
    assert (client.holder.process, client.holder.unit) == ("redis-cli", "cron.service")
    assert client.seen > 1
    assert client.kernel is client.user is None, "they have gone, with what they took"


def test_without_root_nobody_is_found_and_that_is_said() -> None:
    host = TrapHost()
    host.root = False
    host.held = {}
    ends = host.ends()
    ends.look(FAMILIES, LISTENING)
    ends.finish()
    assert (ends.clients(PAIR), ends.servers(PAIR), ends.unix_sockets(PAIR)) == ((), (), ())
    assert ends.users(PAIR) == {33}, "which the kernel tells everybody"
    (said,) = ends.missing()
    assert said == "loopback: who calls port 6379 is not known: only root sees those of others (become)"


def test_whose_sockets_come_and_go_is_said_where_the_client_was_not_seen() -> None:
    host = TrapHost()
    ends = host.ends()
    host.sockets[OPEN] = [DONE]
    # What the kernel lists has gone by then, each time.
    host.sock_diag = lambda asked: host.sockets.get(asked, [])  # type: ignore[method-assign]
    ends.look(FAMILIES, LISTENING)
    (said,) = ends.missing()
    assert said.endswith("is not known: none was seen with a socket open; sockets come and go of shop")


def test_a_process_of_the_same_number_is_another_one() -> None:
    host = TrapHost()
    ends = host.ends()
    ends.look(FAMILIES, LISTENING)
    host.seconds += 2.0
    host.stat(200, 500, 500, began=99)
    ends.finish()
    assert ends.clients(PAIR)[0].kernel is None


def test_of_a_moment_no_processor_time_is_told() -> None:
    host = TrapHost()
    ends = host.ends()
    ends.look(FAMILIES, LISTENING)
    host.stat(100, 1, 1)
    ends.finish()
    assert ends.servers(PAIR)[0].kernel is None


def test_what_systemd_listens_on_for_a_service_is_the_services() -> None:
    host = TrapHost()
    holders = {1: {7}, 100: {7}}
    ends = host.ends()
    host.sockets_of = lambda pid: frozenset(holders.get(pid, ()))  # type: ignore[method-assign]
    ends.look(FAMILIES, LISTENING)
    assert [end.holder.process for end in ends.servers(PAIR)] == ["redis-server"]
    holders.pop(100)
    ends = host.ends()
    ends.look(FAMILIES, LISTENING)
    assert [end.holder.process for end in ends.servers(PAIR)] == ["systemd"]


def test_too_many_processes_are_said_to_be_too_many() -> None:
    host = TrapHost()
    ends = LoopbackEnds(host, host.elapsed, iter(range(10_000)).__next__)
    ends.look(FAMILIES, LISTENING)
    assert "loopback: there are too many processes to look at all of them in time" in list(ends.missing())


def test_paths_that_are_listened_on() -> None:
    assert parse_unix(UNIX) == {8: "/run/redis/redis server.sock", 12: "@abstract"}
    assert parse_unix("") == {}
    broken = UNIX.replace("/run/udev/control", "/tmp/two\nlines of a path that has eight words in it")
    assert parse_unix(broken) == parse_unix(UNIX)


@pytest.mark.parametrize("text", ["", "1 (a", "1 (a) S 1 1", "1 (a) " + "x " * 40])
def test_a_stat_of_a_process_that_has_gone(text: str) -> None:
    assert parse_stat(text) is None


def test_processor_time_of_a_process_with_any_name() -> None:
    assert parse_stat(STAT % (5, "a) S 1 (b", 12, 34, 56)) == CpuTime(began=56, user=12, kernel=34)


def test_this_machine_lists_the_connections_to_a_port_and_no_others() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0)) as other:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)), socket.create_connection(other.getsockname()):
            answer = Answer(LinuxSystem().sock_diag(request(V4, NOT_LISTENING, (), port)))
            found = [pair_of(datagram, start, server=False) for datagram, start, _end in answer]
    assert answer.complete
    assert found == [Pair(V4, LOCAL, LOCAL, port)]


def test_this_machine_says_which_sockets_a_process_holds() -> None:
    with socket.socket() as held:
        inode = os.fstat(held.fileno()).st_ino
        assert inode in LinuxSystem().sockets_of(os.getpid())
    assert inode not in LinuxSystem().sockets_of(os.getpid())
    assert LinuxSystem().sockets_of(0) == frozenset()
