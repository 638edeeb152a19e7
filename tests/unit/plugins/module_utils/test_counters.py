# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

from ansible_collections.netfleet.tcp.plugins.module_utils import _sock_diag
from ansible_collections.netfleet.tcp.plugins.module_utils._counters import median_rtt, parse_counters, read_counters
from ansible_collections.netfleet.tcp.plugins.module_utils._model import FileState
from ansible_collections.netfleet.tcp.plugins.module_utils._system import LinuxSystem
from tests.unit.plugins.fake_system import FakeSystem

SNMP = """\
Ip: Forwarding DefaultTTL
Ip: 1 64
Tcp: RtoAlgorithm MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets OutSegs RetransSegs InErrs OutRsts
Tcp: 1 -1 100 300 9 1 9999 70 0 0
"""
NETSTAT = """\
TcpExt: SyncookiesSent EmbryonicRsts ListenDrops TCPSynRetrans TCPOrigDataSent
TcpExt: 0 4 7 20 5000
IpExt: InNoRoutes
IpExt: 0
"""


def message(peer: str, rtt: int, quiet: int = 0, info: bool = True) -> bytes:
    """What the kernel says of a connection."""
    family = socket.AF_INET6 if ":" in peer else socket.AF_INET
    address = socket.inet_pton(family, peer).ljust(16, b"\0")
    body = struct.pack("=BBBB2s2s16s16s32x", family, 1, 0, 0, b"\0\x16", b"\xc0\0", bytes(16), address)
    if info:
        tcp = bytearray(104)
        struct.pack_into("=I", tcp, 56, quiet)
        struct.pack_into("=I", tcp, 68, rtt)
        # Another attribute comes first, of a length that has to be padded.
        body += struct.pack("=HHBxxx", 5, 8, 0) + struct.pack("=HH", 4 + len(tcp), 2) + bytes(tcp)
    return struct.pack("=IHHII", 16 + len(body), 20, 2, 1, 0) + body


DONE = struct.pack("=IHHIIi", 20, 3, 2, 1, 0, 0)


def a_host(*messages: bytes) -> FakeSystem:
    system = FakeSystem()
    for path, text in (("/proc/net/snmp", SNMP), ("/proc/net/netstat", NETSTAT)):
        system.files[path] = FileState(path, "file", 0o444, text)
    system.sockets[_sock_diag.request(socket.AF_INET)] = [b"".join(messages), DONE]
    return system


def test_counters_are_read_by_their_names() -> None:
    assert parse_counters(SNMP)["Tcp"]["MaxConn"] == -1
    assert parse_counters("") == {}


def test_what_is_read_are_the_kernels_own_counters() -> None:
    found = read_counters(a_host())
    assert (found.segments, found.retransmitted, found.syn_retransmitted) == (5000, 70, 20)
    assert found.uptime > 0
    assert (found.opened, found.accepted, found.failed, found.refused, found.dropped) == (100, 300, 9, 4, 7)


def test_a_kernel_that_counts_nothing_of_it() -> None:
    assert read_counters(FakeSystem()).segments == 0


def test_the_rtt_is_the_median_of_those_that_are_in_use_and_lead_elsewhere() -> None:
    messages = [message("192.0.2.1", rtt) for rtt in (900, 100, 300)]
    idle, local, unknown = message("192.0.2.1", 5, quiet=60_000), message("127.0.0.1", 5), message("192.0.2.1", 0)
    wrapped, bare = message("::ffff:127.0.0.1", 5), message("192.0.2.1", 5, info=False)
    system = a_host(*messages, idle, local, unknown, bare)
    system.sockets[_sock_diag.request(socket.AF_INET6)] = [
        wrapped + message("2001:db8::1", 200) + message("::1", 5),
        DONE,
    ]
    assert median_rtt(system) == (300, 4)
    assert median_rtt(FakeSystem()) == (0, 0)


def test_an_answer_that_is_cut_off_gives_what_is_whole() -> None:
    whole = message("192.0.2.1", 100)
    cut = whole + message("192.0.2.2", 200)[:90]
    assert [entry.rtt for entry in _sock_diag.connections([cut])] == [100]
    assert list(_sock_diag.connections([struct.pack("=IHHII", 3, 20, 0, 0, 0) * 2])) == []


def test_an_answer_ends_where_its_list_does() -> None:
    def datagrams() -> Iterator[bytes]:
        yield message("192.0.2.1", 1) + DONE
        raise AssertionError("asked for more than the kernel has")

    answer = _sock_diag.Answer(datagrams())
    assert (len(list(answer)), answer.complete, answer.interrupted) == (1, True, False)
    unfinished = _sock_diag.Answer([message("192.0.2.1", 1)])
    assert (len(list(unfinished)), unfinished.complete) == (1, False)


def test_a_list_that_the_kernel_refuses_or_could_not_hold_still() -> None:
    refused = _sock_diag.Answer([struct.pack("=IHHIIi", 20, 2, 0, 1, 0, -1)])
    assert (list(refused), refused.complete) == ([], False)
    # As it says so of a list for which it lacks a part (tcp_diag): an end, with an error in it.
    ended = _sock_diag.Answer([struct.pack("=IHHIIi", 20, 3, 2, 1, 0, -2)])
    assert (list(ended), ended.complete) == ([], False)
    whole = _sock_diag.Answer([struct.pack("=IHHIIi", 20, 3, 2, 1, 0, 0)])
    assert (list(whole), whole.complete) == ([], True)
    changed = bytearray(message("192.0.2.1", 1))
    struct.pack_into("=H", changed, 6, 0x12)
    answer = _sock_diag.Answer([bytes(changed), DONE])
    assert (len(list(answer)), answer.complete, answer.interrupted) == (1, True, True)


def test_who_calls_an_address_of_its_own_measures_no_network() -> None:
    itself = bytearray(message("192.0.2.7", 5))
    itself[16 + 8 : 16 + 24] = itself[16 + 24 : 16 + 40]
    assert median_rtt(a_host(bytes(itself), message("192.0.2.1", 900))) == (900, 1)


def test_this_machine_lists_a_connection_of_ours() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        taken, _address = server.accept()
        client.sendall(b"x")
        with taken:
            taken.recv(1)
            # Established for as long as neither side has closed it.
            found = list(_sock_diag.connections(LinuxSystem().sock_diag(_sock_diag.request(socket.AF_INET))))
        holders = LinuxSystem().socket_holders({os.fstat(server.fileno()).st_ino, 1})
    assert any(entry.loopback and entry.rtt for entry in found)
    assert list(holders.values()) == [os.getpid()]
