# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's own addresses, as the kernel lists them."""

from __future__ import annotations

import socket
import struct

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._own_addresses import (
    REQUEST,
    OwnAddresses,
    own_addresses,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._system import LinuxSystem
from tests.unit.plugins.fake_system import FakeSystem
from tests.unit.plugins.recorded_sockets import DONE, own_address

# The end of a list, with an error in it.
ENDED = struct.pack("=IHHIIi", 20, 3, 2, 1, 0, -2)
REFUSED = struct.pack("=IHHIIi", 36, 2, 0, 1, 0, -1) + bytes(16)


def host(*datagrams: bytes) -> FakeSystem:
    system = FakeSystem()
    system.sockets[REQUEST] = list(datagrams)
    return system


def own(addresses: OwnAddresses, address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return addresses.holds(family, socket.inet_pton(family, address).ljust(16, b"\0"))


@pytest.mark.parametrize(
    ("address", "is_own"),
    [
        ("10.1.0.1", True),
        ("::ffff:10.1.0.1", True),
        ("10.1.0.2", False),
        ("fd00:1::1", True),
        ("fd00:1::2", False),
        ("127.5.6.7", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        # The first four bytes of this one are those of 10.1.0.1.
        ("a01:1::", False),
    ],
)
def test_which_are_own(address: str, is_own: bool) -> None:
    found = own_addresses(host(own_address("10.1.0.1") + own_address("fd00:1::1"), DONE))
    assert [own(found, address) for _again in range(2)] == [is_own, is_own]
    assert found.complete


def test_of_a_tunnel_with_two_ends_the_other_one_is_not_own() -> None:
    found = own_addresses(host(own_address("10.9.0.1", peer="10.9.0.2"), DONE))
    assert (own(found, "10.9.0.1"), own(found, "10.9.0.2")) == (True, False)


def test_addresses_of_services_are_not_own() -> None:
    """IPVS takes what goes there to another host."""
    system = host(
        own_address("10.96.0.1", 7, "kube-ipvs0") + own_address("fd00:96::1", 7) + own_address("10.1.0.1"), DONE
    )
    system.put("/sys/class/net/kube-ipvs0/ifindex", "7\n")
    found = own_addresses(system)
    assert [own(found, each) for each in ("10.96.0.1", "fd00:96::1", "10.1.0.1")] == [False, False, True]


def test_addresses_of_services_are_known_by_their_label_too() -> None:
    """In a network namespace of which /sys is another one's."""
    found = own_addresses(host(own_address("10.96.0.1", 7, "kube-ipvs0"), own_address("10.1.0.1"), DONE))
    assert [own(found, each) for each in ("10.96.0.1", "10.1.0.1")] == [False, True]


@pytest.mark.parametrize(
    "answer", [[], [REFUSED], [ENDED], [own_address("10.1.0.1")], [own_address("10.1.0.1")[:30], REFUSED]]
)
def test_an_answer_that_does_not_come_to_its_end(answer: list[bytes]) -> None:
    found = own_addresses(host(*answer))
    assert not found.complete
    assert own(found, "127.0.0.1")


def test_this_machine_knows_its_own() -> None:
    found = own_addresses(LinuxSystem())
    assert found.complete
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Nothing is sent; the kernel says by which address it would be.
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("no route to anywhere")
        assert own(found, probe.getsockname()[0])
    assert not own(found, "192.0.2.1")
