# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections from a node to Services."""

from __future__ import annotations

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._kube_connect import most_connections, try_all
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_model import ServiceToTry, ServiceTried
from tests.unit.plugins.fake_node import CLUSTER_IP, FakeNode

FIRST, SECOND, THIRD = "10.244.1.5:8080", "10.244.2.4:8080", "10.244.3.3:8080"
SERVICE = ServiceToTry("default/web:http", CLUSTER_IP, 80, (FIRST, SECOND))


def tried(met: list[str], service: ServiceToTry = SERVICE, tracked: bool = True) -> ServiceTried:
    node = FakeNode()
    node.met, node.tracked = met, tracked
    (found,) = try_all(node, [service], 60.0, lambda: 0.0)
    return found


def test_it_stops_once_every_endpoint_was_met() -> None:
    found = tried([FIRST, FIRST, SECOND, FIRST])
    assert (found.connections, found.met, found.problems) == (3, (FIRST, SECOND), ())


def test_an_endpoint_that_is_never_met_is_named() -> None:
    found = tried([FIRST])
    assert found.connections == most_connections(SERVICE)
    assert found.problems == ("of %d connections, none was met by %s" % (found.connections, SECOND),)


def test_a_client_that_stays_with_one_endpoint_need_not_meet_all() -> None:
    service = ServiceToTry("default/web:http", CLUSTER_IP, 80, (FIRST, SECOND), each=False)
    found = tried([SECOND], service)
    assert (found.connections, found.problems) == (1, ())


def test_what_is_none_of_its_endpoints_is_named() -> None:
    found = tried([FIRST, THIRD, SECOND])
    assert found.problems == ("connections went to what is none of its endpoints: %s" % THIRD,)


def test_connections_that_fail_are_counted_and_not_waited_for_without_end() -> None:
    found = tried([])
    assert (found.connections, found.failed) == (3, ("connection refused (3 times)",))
    assert found.problems == ("3 of 3 connections failed: connection refused",)
    found = tried([FIRST, "refused"])
    assert (found.connections, found.met) == (6, (FIRST,))


def test_without_connection_tracking_only_that_they_are_taken_is_told() -> None:
    found = tried([FIRST], tracked=False)
    assert (found.met, found.untold, found.problems) == ((), found.connections, ())


def test_a_service_without_endpoints_is_to_refuse() -> None:
    nobody = ServiceToTry("default/none:http", CLUSTER_IP, 80)
    assert tried([], nobody).problems == ()
    assert tried([FIRST], nobody).problems == ("1 connections were taken, by nobody that is ready",)


def test_what_the_time_does_not_suffice_for_is_said_and_no_problem() -> None:
    """Else a good change of a node with large Services were given back."""
    node = FakeNode()
    node.met = [FIRST]
    times = iter([0.0, 0.0, 0.0, 9.0, 9.0])
    found = try_all(node, [SERVICE, SERVICE], 5.0, lambda: next(times))
    assert [(each.in_time, each.connections, each.problems) for each in found] == [(False, 2, ()), (False, 0, ())]
    # A stranger is one also then.
    node.met = ["10.244.9.9:80"]
    times = iter([0.0, 0.0, 9.0])
    (found_one,) = try_all(node, [SERVICE], 5.0, lambda: next(times))
    assert found_one.problems == ("connections went to what is none of its endpoints: 10.244.9.9:80",)


@pytest.mark.parametrize("number", [1, 2, 3, 10, 50])
def test_luck_cannot_be_why_one_was_missed(number: int) -> None:
    service = ServiceToTry("a", CLUSTER_IP, 80, tuple("10.0.0.%d:80" % each for each in range(number)))
    missed = number * (1 - 1 / number) ** most_connections(service)
    assert missed < 1e-5
