# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes with a congestion control of their own, as iproute2 prints them."""

from __future__ import annotations

import json

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Baseline, Route
from ansible_collections.netfleet.tcp.plugins.module_utils._observe import Request, observe
from ansible_collections.netfleet.tcp.plugins.module_utils._routes import parse_routes
from ansible_collections.netfleet.tcp.plugins.module_utils._secrets import Vault
from tests.unit.plugins.fake_system import FakeSystem

# What iproute2 6.1 printed in a network namespace of its own (its kernel's own routes are left out).
PRINTED = """[\
{"dst":"10.9.0.0/16","dev":"eth0","table":"100","scope":"link","flags":[],"metrics":[{"congestion":"bbr"}]},
{"dst":"default","gateway":"10.0.0.1","dev":"eth0","protocol":"dhcp","flags":[],"metrics":[{"congestion":"reno"}]},
{"dst":"10.7.0.0/16","dev":"eth0","scope":"link","flags":[],"metrics":[{"mtu":1400}]},
{"dst":"10.8.0.0/16","dev":"eth0","protocol":"static","scope":"link","flags":[],\
"metrics":[{"initcwnd":20,"congestion":"reno"}]},
{"dst":"10.10.0.0/16","flags":[],"metrics":[{"congestion":"cubic"}],\
"nexthops":[{"gateway":"10.0.0.3","dev":"eth0","weight":1,"flags":[]},{"gateway":"10.1.0.3","dev":"eth1","weight":2,\
"flags":[]}]},
{"type":"local","dst":"10.0.0.2","dev":"eth0","table":"local","protocol":"kernel","scope":"host",\
"prefsrc":"10.0.0.2","flags":[]},
{"dst":"fd00::/64","dev":"eth0","metric":1024,"flags":[],"metrics":[{"congestion":"cubic"}],"pref":"medium"},
{"type":"local","dst":"::1","dev":"lo","table":"local","protocol":"kernel","metric":0,"flags":[],"pref":"medium"}]"""


def test_routes_that_name_an_algorithm() -> None:
    assert parse_routes(PRINTED) == (
        Route("10.9.0.0/16", "eth0", "bbr", "", "100"),
        Route("default", "eth0", "reno", "dhcp"),
        Route("10.8.0.0/16", "eth0", "reno", "static"),
        Route("10.10.0.0/16", "eth0,eth1", "cubic"),
        Route("fd00::/64", "eth0", "cubic"),
    )


@pytest.mark.parametrize("text", ["", "[]", "[{}]", '[{"dst":"default","dev":"eth0","metrics":[{"mtu":1400}]}]', "\n"])
def test_where_no_route_does(text: str) -> None:
    assert parse_routes(text) == ()


def test_an_interface_of_that_name_is_no_algorithm() -> None:
    assert parse_routes('[{"dst":"default","dev":"congestion"}]') == ()


@pytest.mark.parametrize("text", ['default dev eth0 "congestion" reno', '[{"metrics":[{"congestion":"re'])
def test_an_ip_that_prints_no_json_is_named(text: str) -> None:
    with pytest.raises(HostError, match=r"ip -j route show: its output is not JSON.*iproute2"):
        parse_routes(text)


def seen(system: FakeSystem, routes: bool = True) -> "tuple[Route, ...]":
    return observe(system, Request(routes=routes), Baseline(), Vault()).routes


def test_a_visit_asks_for_routes_only_where_they_matter() -> None:
    system = FakeSystem()
    system.routes = json.loads(PRINTED)
    assert len(seen(system)) == 5
    assert seen(system, routes=False) == ()


@pytest.mark.parametrize(("leaves", "found"), [([20000], 5), ([20001], 0), ([15000, 15000], 0)])
def test_a_table_of_the_whole_internet_is_not_printed(leaves: "list[int]", found: int) -> None:
    system = FakeSystem()
    system.routes = json.loads(PRINTED)
    text = "".join("Main:\n\tAver depth:     2.50\n\tLeaves:         %d\n" % number for number in leaves)
    system.put("/proc/net/fib_triestat", text)
    assert len(seen(system)) == found
