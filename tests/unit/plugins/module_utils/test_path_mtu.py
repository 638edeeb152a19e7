# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How large packets may be is found whatever the path takes, the same from run to run, in few rounds and in time."""

from __future__ import annotations

import json
import os
import random
import struct
import subprocess
import sys
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.netfleet.tcp.plugins.module_utils import _icmp
from ansible_collections.netfleet.tcp.plugins.module_utils._path_mtu import LOWEST, MOST_ADDRESSES, path_mtus, sizes
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_values import OVERHEAD, PADDING
from tests.unit.plugins.fake_system import FakeSystem

IPV4, IPV6 = "198.51.100.1", "2001:db8::1"


def host(**paths: int) -> FakeSystem:
    system = FakeSystem()
    system.paths = paths
    return system


def seconds(system: FakeSystem) -> float:
    """How long it took at the most."""
    return sum(waited for _asked, waited in system.rounds)


@settings(deadline=None)
@given(
    path=st.integers(LOWEST + 20, 9200), highest=st.integers(LOWEST + 20, 9200), address=st.sampled_from([IPV4, IPV6])
)
def test_the_tunnels_mtu_is_what_the_path_takes(path: int, highest: int, address: str) -> None:
    system = host(**{address: path})
    found = path_mtus(system.echo, [address], highest)[address]
    overhead = OVERHEAD[6 if ":" in address else 4]
    assert found <= highest
    assert (found - overhead) // PADDING == (min(path, highest) - overhead) // PADDING
    assert seconds(system) <= 3.0


def test_a_path_as_wide_as_declared_takes_two_rounds() -> None:
    system = host(**{IPV4: 1500})
    assert path_mtus(system.echo, [IPV4], 1500) == {IPV4: 1500}
    # The sizes that are tried at once are answered at once.
    assert len(system.rounds) == 2


def test_paths_are_asked_at_the_same_time() -> None:
    system = host(**{IPV4: 1400, IPV6: 1500, "192.0.2.7": 1420})
    assert path_mtus(system.echo, [IPV4, IPV6, "192.0.2.7", IPV4], 1500) == {IPV4: 1388, IPV6: 1500, "192.0.2.7": 1420}
    assert len(system.rounds) <= 4


@pytest.mark.parametrize("path", [0, 100, 500, LOWEST - 1])
def test_who_answers_no_large_echo_tells_nothing(path: int) -> None:
    assert path_mtus(host(**{IPV4: path}).echo, [IPV4], 1500) == {IPV4: 0}


def test_nobody_to_ask() -> None:
    system = host()
    assert path_mtus(system.echo, [], 1500) == {}
    assert system.rounds == []


def test_who_has_very_many_peers_asks_some() -> None:
    system = host(**{f"192.0.2.{number}": 1500 for number in range(200)})
    assert len(path_mtus(system.echo, list(system.paths), 1500)) == MOST_ADDRESSES


def test_losses_do_not_change_what_is_found() -> None:
    """An echo is lost here only where all its copies are: of three, each of which gets lost in one of ten cases."""
    chance = random.Random(5)
    found = []
    for _run in range(300):
        system = host(**{IPV4: 1400})
        system.lost = lambda: chance.random() < 0.001
        found.append(path_mtus(system.echo, [IPV4], 1500)[IPV4])
    assert set(found) <= {1388, 0}
    assert found.count(0) <= 3


def test_a_size_that_failed_once_by_loss_is_tried_again() -> None:
    system = host(**{IPV4: 1500})
    turns = iter([False, False, False, False, True, *[False] * 100])
    system.lost = lambda: next(turns)
    assert path_mtus(system.echo, [IPV4], 1500) == {IPV4: 1500}


def test_time_is_kept_where_answers_are_slow() -> None:
    now = [0.0]
    system = host(**{IPV4: 1300})
    echo = system.echo

    def slow(asked: Sequence[tuple[str, int]], limit: float) -> dict[tuple[str, int], float]:
        answers = echo(asked, limit)
        now[0] += limit
        return dict.fromkeys(answers, 0.9)

    assert path_mtus(slow, [IPV4], 9000, clock=lambda: now[0]) == {IPV4: 1292}
    assert now[0] <= 6.0


def test_what_is_found_half_way_is_not_the_answer() -> None:
    now = [0.0]
    system = host(**{IPV4: 1300})

    def slower(asked: Sequence[tuple[str, int]], limit: float) -> dict[tuple[str, int], float]:
        # This process got no CPU for a while.
        now[0] += limit + 1.5
        return dict.fromkeys(system.echo(asked, limit), 0.9)

    assert path_mtus(slower, [IPV4], 9000, clock=lambda: now[0]) == {IPV4: 0}
    assert now[0] <= 8.0


def test_the_sizes_are_those_of_tunnels() -> None:
    assert {(size - 60) % PADDING for size in sizes(IPV4, 1500)} == {0}
    assert (sizes(IPV4, 1500)[0], sizes(IPV4, 1500)[-1]) == (1292, 1500)
    assert sizes(IPV4, 1000) == ()


def test_the_checksum_makes_the_sum_whole() -> None:
    for data in (b"", b"\x08\x00", bytes(range(255)), b"\xff" * 1401):
        padded = data + b"\0" * (len(data) % 2) + struct.pack("!H", _icmp._checksum(data))
        assert _icmp._checksum(padded) == 0


def test_the_machine_itself_answers() -> None:
    found = _icmp.echo([("127.0.0.1", 1500), ("::1", 1500)], 1.0)
    # Where no such socket is allowed there is no answer, and no error.
    assert set(found) <= {("127.0.0.1", 1500), ("::1", 1500)}
    assert all(0 <= taken < 1 for taken in found.values())


# What comes to a veth and is larger than its MTU (and a VLAN's tag) is gone, and nobody hears of it.
HOP = """
set -e
ip link set lo up
# An address that is new would be of no use until nobody has claimed it for a second.
echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad
unshare --net sleep 30 & other=$!
while [ "$(readlink /proc/$other/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
ip link add left type veth peer name right netns $other
ip address add 192.0.2.1/24 dev left
ip address add 2001:db8::1/64 dev left nodad
ip link set left up mtu 1500
nsenter -t $other -n sh -c 'echo 0 > /proc/sys/net/ipv6/conf/right/accept_dad
    ip address add 192.0.2.2/24 dev right; ip address add 2001:db8::2/64 dev right nodad
    ip link set right up mtu 1396
    until ip -6 address show dev right | grep -q fe80; do sleep 0.1; done'
"$1" -c "$2"
kill $other
"""
ASK = """
import json
import time
from ansible_collections.netfleet.tcp.plugins.module_utils._icmp import echo
from ansible_collections.netfleet.tcp.plugins.module_utils._path_mtu import path_mtus

began = time.monotonic()
found = path_mtus(echo, ["192.0.2.2", "2001:db8::2", "192.0.2.1", "192.0.2.9"], 1500)
print(json.dumps([found, time.monotonic() - began]))
"""


def test_a_hop_that_drops_in_silence_is_found() -> None:
    namespace = ["unshare", "--user", "--map-root-user", "--net"]
    if subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine allows no user namespaces")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [*namespace, "sh", "-c", HOP, "sh", sys.executable, ASK]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found, taken = json.loads(done.stdout)
    assert found == {"192.0.2.2": 1388, "2001:db8::2": 1392, "192.0.2.1": 1500, "192.0.2.9": 0}
    assert taken < 4


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_no_packet_is_larger_than_ip_has_them(address: str) -> None:
    """The MTU of loopback is."""
    assert 65000 < sizes(address, 65536)[-1] <= 65535
