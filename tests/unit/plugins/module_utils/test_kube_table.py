# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""IPVS's table.

The samples are written after the kernel's ip_vs_info_seq_show; to be compared with real ones on VMs.
"""

from __future__ import annotations

import json

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_table import (
    UNTOLD,
    ProxyEntry,
    foreign_marks,
    interface_addresses,
    parse_ipvs,
    place,
    with_node_ports,
)

HEADER = """\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
"""
IPVS = HEADER + (
    "TCP  0A600001:01BB rr \n"
    "  -> C0A80A0B:192B      Masq    1      3          0         \n"
    "TCP  0A60000A:0050 lc persistent 2700000 FFFFFFFF\n"
    "  -> 0AF40105:1F90      Masq    1      12         4         \n"
    "  -> 0AF40204:1F90      Masq    0      2          0         \n"
    "  -> 0AF40103:1F90      Masq    1      11         0         \n"
    "UDP  0A60000A:0035 rr ops \n"
    "TCP  [fd00:0010:0096:0000:0000:0000:0000:000a]:0050 rr \n"
    "  -> [fd00:0010:0244:0001:0000:0000:0000:0005]:1F90      Masq    1      0          0         \n"
    "FWM  00000001 wlc \n"
    "  -> 0A000001:0050      Route   1      0          0         \n"
    "TCP  C0A80A0B:7530 rr \n"
    "  -> 0AF40105:1F90      Masq    1      0          0         \n"
)


def test_the_table_of_ipvs_is_read() -> None:
    found = {entry.key: entry for entry in parse_ipvs(IPVS)}
    assert found["tcp", "10.96.0.1", 443] == ProxyEntry(
        "tcp", "10.96.0.1", 443, ("192.168.10.11:6443",), scheduler="rr"
    )
    sticky = found["tcp", "10.96.0.10", 80]
    assert sticky.endpoints == ("10.244.1.3:8080", "10.244.1.5:8080")
    assert sticky.draining == ("10.244.2.4:8080",)
    # The kernel prints its own ticks there, of which it has 100 to 1000 a second.
    assert (sticky.affinity, sticky.scheduler) == (UNTOLD, "lc")
    assert found["udp", "10.96.0.10", 53].endpoints == ()
    assert found["tcp", "fd00:10:96::a", 80].endpoints == ("[fd00:10:244:1::5]:8080",)
    assert len(found) == 5


def test_servers_by_a_mark_are_somebody_elses() -> None:
    assert foreign_marks(IPVS) == 1
    assert foreign_marks(HEADER) == 0


def test_a_node_without_ipvs_has_no_entries() -> None:
    assert parse_ipvs("") == ()
    assert parse_ipvs(HEADER) == ()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("TCP  0A60:01BB rr \n", ":4: '0A60:01BB' is no address and port"),
        ("TCP  [fd00::zz]:01BB rr \n", ":4: "),
        ("TCP  [fd00:::1]:01BB rr \n", ":4: '[fd00:::1]:01BB' is no address and port"),
        ("something else\n", ":4: has a form that is not known"),
        ("  -> C0A80A0B:192B      Masq    1      3          0\n", ":4: has a form that is not known"),
    ],
)
def test_what_is_not_known_is_named_with_its_line(line: str, expected: str) -> None:
    with pytest.raises(HostError) as caught:
        parse_ipvs(HEADER + line)
    assert "/proc/net/ip_vs" + expected in str(caught.value)


def test_servers_of_the_nodes_own_addresses_are_node_ports() -> None:
    second = HEADER + "TCP  0A000005:7530 rr \n  -> 0AF40105:1F90      Masq    1      0          0         \n"
    entries = parse_ipvs(IPVS) + parse_ipvs(second)
    found = with_node_ports(entries, ["192.168.10.11", "10.0.0.5"])
    assert [entry for entry in found if entry.node_port] == [
        ProxyEntry("tcp", "0.0.0.0", 30000, ("10.244.1.5:8080",), scheduler="rr")
    ]
    assert str(found[-1]) == "tcp NodePort 30000"
    assert str(found[0]) == "tcp 10.96.0.1:443"


def test_addresses_are_read_by_interface() -> None:
    text = json.dumps(
        [
            {
                "ifname": "kube-ipvs0",
                "addr_info": [
                    {"local": "10.96.0.10", "scope": "global"},
                    {"local": "10.96.0.1", "scope": "global"},
                    {"local": "fe80::1", "scope": "link"},
                ],
            },
            {"ifname": "dummy0", "addr_info": []},
        ]
    )
    assert interface_addresses(text) == {"kube-ipvs0": ("10.96.0.1", "10.96.0.10"), "dummy0": ()}
    assert interface_addresses("") == {}


def test_kube_proxy_leaves_out_addresses_of_a_link_of_ipv6_alone() -> None:
    """As isValidForSet of its mode ipvs: a server's own management controller has one of IPv4 by USB."""
    info = [{"local": "169.254.1.2", "scope": "link"}, {"local": "fe80::1", "scope": "link"}]
    text = json.dumps([{"ifname": "usb0", "addr_info": info}])
    assert interface_addresses(text) == {"usb0": ("169.254.1.2",)}


def test_servers_that_are_left_to_others_are_no_node_ports() -> None:
    """As of kube-vip, which has the address of the API on the node, with that in ipvs.excludeCIDRs."""
    theirs = ProxyEntry("tcp", "192.0.2.100", 6443, ("192.0.2.12:6443",), scheduler="rr")
    ours = ProxyEntry("tcp", "192.0.2.11", 30000, ("10.244.1.5:8080",), scheduler="rr")
    own = ["192.0.2.11", "192.0.2.100"]
    found = with_node_ports([theirs, ours], own, ["192.0.2.100/32"])
    assert [str(entry) for entry in found] == ["tcp 192.0.2.100:6443", "tcp NodePort 30000"]


def test_places_have_one_form() -> None:
    assert place("fd00:0:0:0:0:0:0:1", 80) == "[fd00::1]:80"
    assert place("10.0.0.1", 80) == "10.0.0.1:80"
