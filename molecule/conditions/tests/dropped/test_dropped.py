# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What firewalls, full tables and narrow links do to connections: named by health, probe and diagnosis.

Between namespaces all of these are tried in many more ways (tests/netns); here it is real kernels of two Debians.
"""

from __future__ import annotations

from tests.molecule.road import CLIENT, PORT, SERVER, Road, counted


def test_syns_that_a_firewall_on_the_way_drops(path: Road) -> None:
    rule = f"ip daddr {path.server.address} tcp dport {PORT} tcp flags & (syn | ack) == syn drop;"
    path.router.nft(f"chain forward {{ type filter hook forward priority 0; {rule} }}")
    path.serve()
    path.traffic("send", 10, 0.1, 10)
    health = counted(path.health())
    assert set(health) == {f"{CLIENT} health-syn-retransmission"}
    assert "only SYNs are lost: a firewall or security group drops them" in health.popitem()[1]["reason"]
    probe = counted(path.probe(tcp_probe_attempts=3))
    assert set(probe) == {f"{CLIENT} probe-connect"}
    assert "a firewall drops SYNs" in probe.popitem()[1]["reason"]
    diagnosis = counted(path.diagnose())
    assert set(diagnosis) == {f"{SERVER} diagnose-no-answer"}
    words = f"the SYNs leave {CLIENT} and do not arrive at {SERVER}: they are dropped on the way"
    assert words in diagnosis.popitem()[1]["reason"]


def test_a_queue_that_is_full(path: Road) -> None:
    path.serve("queue")
    path.traffic("send", 10, 60, 4)
    health = counted(path.health(5))
    assert f"{SERVER} health-backlog" in health
    assert "connections wait until" in health[f"{SERVER} health-backlog"]["reason"]
    diagnosis = counted(path.diagnose())
    assert "the queue of the service is full" in diagnosis[f"{SERVER} diagnose-no-answer"]["reason"]
    assert diagnosis[f"{SERVER} diagnose-backlog"]["key"] == str(PORT)


def test_window_scaling_that_is_off(path: Road) -> None:
    path.server.sysctl("net.ipv4.tcp_window_scaling", 0)
    path.serve()
    path.traffic("send", 1_000, 0.1, 8)
    health = counted(path.health(5))
    assert set(health) == {f"{name} health-window-scale" for name in (CLIENT, SERVER)}
    assert "the peer does not offer it" in health[f"{CLIENT} health-window-scale"]["reason"]
    assert "net.ipv4.tcp_window_scaling is 0 here" in health[f"{SERVER} health-window-scale"]["reason"]
    assert set(counted(path.probe())) == {f"{CLIENT} probe-window-scale"}
    diagnosis = counted(path.diagnose())
    assert set(diagnosis) == {f"{SERVER} diagnose-window-scale"}
    assert f"{SERVER} does not offer it" in diagnosis.popitem()[1]["reason"]


def test_a_table_of_connections_that_is_full_at_the_client(path: Road) -> None:
    path.track_at_most(path.client, 16)
    path.serve()
    path.traffic("send", 10, 0.2, 30)
    found = counted(path.health())[f"{CLIENT} health-syn-retransmission"]
    assert "the connection tracking table is full" in found["reason"]
    assert "raise net.netfilter.nf_conntrack_max" in found["cure"]


def test_a_table_of_connections_that_is_full_at_the_server(path: Road) -> None:
    path.track_at_most(path.server, 16)
    path.serve()
    path.traffic("send", 10, 0.2, 30)
    found = counted(path.diagnose())[f"{SERVER} diagnose-no-answer"]
    assert f"the SYNs arrive at {SERVER}, which drops them: its connection tracking is full" in found["reason"]


def test_a_narrow_link_that_nobody_tells_of(path: Road) -> None:
    path.narrow(1300)
    path.serve()
    path.traffic("send", 100_000, 0.05, 2)
    probe = counted(path.probe())
    assert set(probe) == {f"{CLIENT} probe-mtu"}
    assert 1280 < int(probe.popitem()[1]["running"].split()[0]) <= 1300
    diagnosis = counted(path.diagnose())
    assert set(diagnosis) == {f"{CLIENT} diagnose-mtu"}
    found = diagnosis.popitem()[1]
    assert "no ICMP message says so" in found["reason"]
    assert 1280 < int(found["running"].split()[0]) <= 1300
