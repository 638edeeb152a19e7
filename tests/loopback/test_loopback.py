# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Redis and short connections to it: a trap that is found, relieved by loopback_short, ended by a UNIX socket.

As root: `make loopback`, which prints the figures. The tests build on each other, as steps on a host that is mended;
all of them are to run.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._profiles import BASE, WORKLOADS
from tests.loopback.trap import LOCAL, OWN, PORT, RANGE, REUSE, Called, Trap, trap

RATE = 130.0
# Seconds that the client does something with the answer while it is connected.
HOLD = 0.002
# Taken within half a minute, which is more than a look of Ansible's takes on a busy machine.
PORTS = 4000
SMALL = f"32768 {32768 + PORTS - 1}"
# By that share of what the client has counted a rate may be off, and processor time, which is told in clock ticks.
OFF, CPU_OFF = 0.15, 0.35
KEY = f"{LOCAL}->{LOCAL}:{PORT}"
PLACE = f"{LOCAL}:{PORT}"
NO_PORT = str(errno.EADDRNOTAVAIL)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trap]:
    with trap(tmp_path_factory.mktemp("redis")) as made:
        yield made


def use_of(result: dict[str, Any], destination: str = LOCAL) -> dict[str, Any]:
    (found,) = [each for each in result["loopback"]["uses"] if each["destination"] == destination]
    assert isinstance(found, dict)
    return found


def finding_of(result: dict[str, Any], rule: str = "health-loopback") -> dict[str, Any]:
    (found,) = [each for each in result["findings"] if each["rule"] == rule]
    assert isinstance(found, dict)
    return found


def rated_right(use: dict[str, Any], result: dict[str, Any], called: Called) -> None:
    """By the kernel's counters of the same seconds; the client has caught up in them with what it missed before."""
    assert use["per_second"] == pytest.approx(result["loopback"]["opened_at_most"], rel=OFF)
    assert use["per_second"] == pytest.approx(called.rate, rel=0.5)


def say(what: str, called: Called, use: dict[str, Any]) -> None:
    """A line of figures: what the client counted, and what was measured."""
    print(
        f"\n{what}: client {called.rate:.0f}/s, {sum(called.failed.values())} failed; measured {use['per_second']}/s "
        f"({use['low']} to {use['high']}) in {use['seconds']} s, TIME-WAIT {use['time_wait']} ({use['percent']} % of "
        f"the ports), full after {use['full_after']} s, clients {told(use['clients'])}, servers {told(use['servers'])}"
    )


def told(ends: list[dict[str, Any]]) -> str:
    shares = [(each["holder"]["process"], each["user"], each["kernel"]) for each in ends]
    return ", ".join(f"{name} {user} % + {kernel} % in the kernel" for name, user, kernel in shares) or "not seen"


def test_a_healthy_host_has_no_finding(redis: Trap) -> None:
    """One connection that stays, and a few short ones."""
    with redis.client(PLACE, 5), redis.client(PLACE, 0, 4.0, name="pool"):
        result = redis.look(2.0)
    assert result["findings"] == []
    assert result["limits"] == []
    use = use_of(result)
    assert use["high"] < 100
    assert use["open"] >= 1
    assert use["clients"] == [], "nobody is looked for where there is no trap"


def test_the_trap_is_found(redis: Trap) -> None:
    redis.set(**{RANGE: SMALL, REUSE: "0"})
    with redis.client(PLACE, RATE, HOLD) as called:
        result = redis.look_by_ansible(3.0)
    use = use_of(result)
    say("the trap", called, use)
    rated_right(use, result, called)
    assert use["full_after"] == pytest.approx(PORTS / use["per_second"], rel=OFF)
    assert use["reused"] is False
    assert [end["holder"]["process"] for end in use["clients"]] == ["shop"]
    assert [end["holder"]["process"] for end in use["servers"]] == ["redis-server"]
    assert use["clients"][0]["seen"] > 0
    assert use["users"] == [0]
    assert use["unix_sockets"] == [redis.path]
    finding = finding_of(result)
    assert (finding["key"], finding["severity"], finding["subject"]) == (KEY, "warning", "loopback")
    assert finding["reason"].startswith("shop: short connections to redis-server on the same host")
    assert "since net.ipv4.tcp_tw_reuse is 0" in finding["reason"]
    assert redis.path in finding["cure"]


def test_in_the_end_no_port_is_left(redis: Trap, tmp_path: Path) -> None:
    with redis.client(PLACE, 0, name="shop") as called:
        redis.wait_for_waiting(LOCAL, PORTS - 10)
        result = redis.look(0.0)
        status, text = redis.report(tmp_path)
    use = use_of(result)
    say("no port left", called, use)
    assert called.failed.keys() == {NO_PORT}
    assert use["time_wait"] >= PORTS - 10
    assert use["percent"] >= 99
    assert [end["holder"]["process"] for end in use["servers"]] == ["redis-server"]
    assert f" of {PORTS} local ports are taken" in finding_of(result)["reason"]
    assert "see the finding of these" in finding_of(result, "health-ports")["cure"]
    print(text)
    assert status == 2
    assert "a host talks to itself by short connections" in text
    order = ["1. the UNIX domain socket", "2. a pool", "3. more source addresses", "4. net.ipv4.tcp_tw_reuse 2"]
    places = [" ".join(text.split()).find(words) for words in order]
    assert -1 not in places
    assert places == sorted(places)
    assert "tw_recycle" not in text


def test_without_root_it_is_said_that_the_client_is_not_known(redis: Trap) -> None:
    redis.set(**{RANGE: "10240 32767"})
    with redis.client(PLACE, RATE, HOLD) as called:
        time.sleep(1.0)
        result = redis.look(1.0, "as nobody")
    use = use_of(result)
    rated_right(use, result, called)
    assert (use["clients"], use["servers"]) == ([], [])
    assert f"loopback: who calls port {PORT} is not known: only root sees those of others (become)" in result["limits"]


def test_the_workload_loopback_short_relieves_it(redis: Trap) -> None:
    """First what it has of the kernel's defaults, with the small range that is taken; then its wider range."""
    (reuse,) = [each for each in BASE if each.key == REUSE]
    (wide,) = [each for each in WORKLOADS["loopback_short"].settings if each.key == RANGE]
    redis.set(**{RANGE: SMALL, REUSE: "0"})
    with redis.client(PLACE, 0):
        redis.wait_for_waiting(LOCAL, PORTS - 10)
    redis.set(**{REUSE: reuse.value})
    with redis.client(PLACE, RATE, HOLD) as called:
        result = redis.look(2.0)
    use = use_of(result)
    say("ports are reused", called, use)
    assert called.failed == {}
    assert use["percent"] > 80
    assert use["reused"] is True
    rated_right(use, result, called)
    assert [finding["rule"] for finding in result["findings"]] == ["health-loopback"]
    assert finding_of(result)["severity"] == "note", "no port is scarce"
    redis.set(**{RANGE: wide.value})
    with redis.client(PLACE, RATE, HOLD) as called:
        result = redis.look(1.0)
    say("and the range is wide", called, use_of(result))
    assert called.failed == {}
    assert use_of(result)["percent"] < 20


def test_what_the_kernel_takes_of_the_processor_is_found(redis: Trap) -> None:
    with redis.client(PLACE, 0) as called:
        result = redis.look(3.0)
    use = use_of(result)
    say("as many as it can", called, use)
    assert called.failed == {}
    assert use["servers"][0]["kernel"] > 5
    assert finding_of(result)["severity"] == "warning"
    assert "of a core in the kernel" in finding_of(result)["reason"]
    # Each is open for some 50 us: on a busy machine it may be that none was seen, which is said then.
    for client in use["clients"]:
        assert client["holder"]["process"] == "shop"
        each = client["kernel"] / 100 / use["per_second"]
        assert each == pytest.approx(called.kernel / called.opened, rel=CPU_OFF)
    assert use["clients"] or result["limits"][0].endswith("sockets come and go of shop")


def test_a_unix_domain_socket_ends_it(redis: Trap) -> None:
    with redis.client(redis.path, RATE, HOLD) as called:
        result = redis.look(2.0)
    use = use_of(result)
    say("by a UNIX domain socket", called, use)
    assert called.opened > RATE
    assert called.failed == {}
    assert (use["per_second"], use["open"]) == (0.0, 0)
    assert result["findings"] == []


def test_a_unix_domain_socket_costs_less(redis: Trap) -> None:
    each: dict[str, Called] = {}
    for place in (PLACE, redis.path):
        with redis.client(place, 0) as each[place]:
            time.sleep(1.5)
    for place, called in each.items():
        kernel = 1e6 * called.kernel / called.opened
        print(f"\nby {place}: {called.rate:.0f} connections/s, {kernel:.0f} us of the client's kernel time each")
    by_tcp, by_path = each.values()
    assert by_path.kernel / by_path.opened < by_tcp.kernel / by_tcp.opened


def test_what_the_server_closes_first_holds_no_port(redis: Trap) -> None:
    with redis.client(PLACE, RATE, 0.0, "quit") as called:
        time.sleep(1.5)
        result = redis.look(2.0)
    use = use_of(result)
    say("the server closes first", called, use)
    assert use["server_time_wait"] > 0
    rated_right(use, result, called)
    assert (use["demand"], use["full_after"]) == (0.0, None)
    assert {finding["severity"] for finding in result["findings"]} <= {"note"}


def test_by_another_address_of_its_own_no_port_is_reused(redis: Trap) -> None:
    """tcp_tw_reuse 2 is for those of loopback alone, though it goes by the same way."""
    redis.set(**{RANGE: "32768 33067"})
    with redis.client(f"{OWN}:{PORT}", RATE, HOLD) as called:
        redis.wait_for_waiting(OWN, 300)
        # By then it has found none.
        time.sleep(0.5)
        result = redis.look(0.0)
    use = use_of(result, OWN)
    say("by its own address", called, use)
    assert called.failed.keys() == {NO_PORT}
    assert (use["reused"], use["percent"] > 99) == (False, True)
    (finding,) = [each for each in result["findings"] if each["key"].startswith(OWN) and each["subject"] == "loopback"]
    assert "is for addresses of loopback alone" in finding["reason"]
    assert "call 127.0.0.1" in finding["cure"]
