# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import socket
from typing import Any

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils import _peer_classes
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError
from ansible_collections.netfleet.tcp.plugins.module_utils._peer_classes import PeerClasses

PEERS = {
    "local": ["10.0.0.0/8", "192.0.2.7"],
    "tunnel": ["10.99.0.0/16", "fd00:99::/32"],
    "cloud": ["2001:db8::/32", "10.99.3.0/24"],
    "empty": [],
}


def class_of(classes: PeerClasses, address: str) -> str:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return classes.of(family, socket.inet_pton(family, address).ljust(16, b"\0"))


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("10.1.2.3", "local"),
        ("10.99.1.1", "tunnel"),
        ("10.99.3.255", "cloud"),
        ("10.99.4.0", "tunnel"),
        ("192.0.2.7", "local"),
        ("192.0.2.8", "other"),
        ("::ffff:10.99.1.1", "tunnel"),
        ("::ffff:192.0.2.8", "other"),
        ("2001:db8:ffff::1", "cloud"),
        ("2001:db9::1", "other"),
        ("fd00:99::1", "tunnel"),
        # In its first four bytes this one is as 10.0.0.1.
        ("a00:1::", "other"),
        ("127.9.9.9", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
    ],
)
def test_the_longest_prefix_decides(address: str, name: str) -> None:
    classes = PeerClasses(PEERS)
    assert [class_of(classes, address) for _again in range(2)] == [name, name]


def test_a_prefix_of_all_addresses() -> None:
    classes = PeerClasses({"far": ["0.0.0.0/0"], "local": ["10.0.0.0/8"]})
    assert [class_of(classes, each) for each in ("203.0.113.1", "10.0.0.1", "fd00::1")] == ["far", "local", "other"]


def test_addresses_beyond_those_that_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_peer_classes, "_REMEMBERED", 2)
    classes = PeerClasses(PEERS)
    assert [class_of(classes, "10.0.0.%d" % number) for number in range(5)] == ["local"] * 5
    assert len(classes._known) == 2


@pytest.mark.parametrize(
    ("peers", "wanted"),
    [
        ({"local": ["10.0.0.0/33"]}, "peers.local[0]: '10.0.0.0/33' is no prefix"),
        ({"local": ["10.0.0.0/8", "web1"]}, "peers.local[1]: 'web1' is no prefix"),
        ({"local": "10.0.0.0/8"}, "peers.local: it is no list"),
        ({"local": 7}, "peers.local: it is no list"),
        ({"other": []}, "peers.other: this name is not free"),
        ({"loopback": []}, "peers.loopback: this name is not free"),
        ({"a": ["10.0.0.0/8"], "b": ["10.1.0.0/8"]}, "peers.b[0]: 10.0.0.0/8 is one of a too"),
    ],
)
def test_what_cannot_be_meant_is_refused(peers: dict[str, Any], wanted: str) -> None:
    with pytest.raises(InputError) as caught:
        PeerClasses(peers)
    assert wanted in str(caught.value)


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(InputError) as caught:
        PeerClasses({"other": ["x"], "b": ["y"]})
    assert [problem.path for problem in caught.value.problems] == ["peers.other", "peers.other[0]", "peers.b[0]"]


def test_a_prefix_of_mapped_addresses_is_the_one_of_ipv4() -> None:
    """Their sockets count as IPv4: as one of IPv6 it would hold nobody, without a word."""
    classes = PeerClasses({"near": ["::ffff:10.0.0.0/104"], "far": ["10.0.0.0/7"]})
    assert [class_of(classes, each) for each in ("::ffff:10.1.2.3", "10.1.2.3", "11.1.2.3")] == ["near", "near", "far"]
    with pytest.raises(InputError, match="is one of near too"):
        PeerClasses({"near": ["::ffff:10.0.0.0/104"], "far": ["10.0.0.0/8"]})
