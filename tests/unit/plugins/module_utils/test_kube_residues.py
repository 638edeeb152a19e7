# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a mode leaves behind.

The outputs are written by hand after what kube-proxy's sources make; to be compared with real ones on VMs.
"""

from __future__ import annotations

import json
from typing import List, Tuple

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_modes import IPTABLES, IPVS, NFTABLES
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_residues import (
    Leftovers,
    Residue,
    chains_in,
    named_in,
    residues,
    servers_of,
    sets_in,
    tables_in,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_table import ProxyEntry

KUBELET = """\
*mangle
:KUBE-KUBELET-CANARY - [0:0]
:KUBE-IPTABLES-HINT - [0:0]
COMMIT
*filter
:INPUT ACCEPT [0:0]
:KUBE-FIREWALL - [0:0]
:KUBE-ROUTER-INPUT - [0:0]
:KUBE-NWPLCY-DEFAULT - [0:0]
:KUBE-POD-FW-ABCDEFGH - [0:0]
COMMIT
*nat
:KUBE-MARK-MASQ - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-MARK-DROP - [0:0]
COMMIT
"""
OF_IPTABLES = """\
*mangle
:KUBE-PROXY-CANARY - [0:0]
*filter
:KUBE-SERVICES - [0:0]
:KUBE-EXTERNAL-SERVICES - [0:0]
:KUBE-FORWARD - [0:0]
*nat
:KUBE-SERVICES - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-SVC-ERIFXISQEP7F7OF4 - [0:0]
:KUBE-SEP-6E7XQMQ4RAYOWTTM - [0:0]
"""
OF_IPVS = """\
*filter
:KUBE-FORWARD - [0:0]
:KUBE-IPVS-FILTER - [0:0]
:KUBE-NODE-PORT - [0:0]
*nat
:KUBE-SERVICES - [0:0]
:KUBE-LOAD-BALANCER - [0:0]
"""


def _names(found: Tuple[Residue, ...]) -> List[Tuple[str, str, Tuple[str, ...]]]:
    return [(each.kind, each.mode, each.names) for each in found]


def test_chains_of_the_kubelet_and_of_network_plugins_are_not_kube_proxys() -> None:
    assert chains_in([KUBELET]) == ()


def test_chains_of_both_families_are_found_once() -> None:
    assert chains_in([OF_IPVS, OF_IPVS]) == (
        "filter KUBE-FORWARD",
        "filter KUBE-IPVS-FILTER",
        "filter KUBE-NODE-PORT",
        "nat KUBE-LOAD-BALANCER",
        "nat KUBE-SERVICES",
    )


def test_after_iptables_ipvs_finds_what_it_does_not_make_itself() -> None:
    found = Leftovers(chains_in([KUBELET, OF_IPTABLES, OF_IPVS]))
    assert _names(residues(found, IPVS)) == [
        (
            "chains",
            IPTABLES,
            (
                "filter KUBE-EXTERNAL-SERVICES",
                "filter KUBE-SERVICES",
                "mangle KUBE-PROXY-CANARY",
                "nat KUBE-NODEPORTS",
                "nat KUBE-SEP-6E7XQMQ4RAYOWTTM",
                "nat KUBE-SVC-ERIFXISQEP7F7OF4",
            ),
        )
    ]


def test_after_ipvs_iptables_finds_all_that_ipvs_had() -> None:
    chains = chains_in([OF_IPTABLES, OF_IPVS])
    found = Leftovers(chains, ("KUBE-CLUSTER-IP",), (), True, ("tcp 10.96.0.1:443",))
    assert _names(residues(found, IPTABLES)) == [
        ("chains", IPVS, ("filter KUBE-IPVS-FILTER", "filter KUBE-NODE-PORT", "nat KUBE-LOAD-BALANCER")),
        ("ipsets", IPVS, ("KUBE-CLUSTER-IP",)),
        ("interface", IPVS, ("kube-ipvs0",)),
        ("virtual servers", IPVS, ("tcp 10.96.0.1:443",)),
    ]


def test_in_the_mode_nftables_every_chain_is_a_residue_of_one_mode() -> None:
    chains = chains_in([OF_IPTABLES, OF_IPVS])
    found = residues(Leftovers(chains, tables=("ip", "ip6")), NFTABLES)
    assert [each.mode for each in found] == [IPTABLES, IPVS]
    assert sorted(name for each in found for name in each.names) == sorted(chains)


@pytest.mark.parametrize("mode", [IPTABLES, IPVS])
def test_the_table_of_nftables_is_a_residue_elsewhere(mode: str) -> None:
    (found,) = residues(Leftovers(tables=("ip", "ip6")), mode)
    assert str(found) == "nftables table of the mode nftables: ip kube-proxy, ip6 kube-proxy"


@pytest.mark.parametrize(
    ("mode", "found"),
    [
        (IPTABLES, Leftovers(chains_in([KUBELET, OF_IPTABLES]))),
        (IPVS, Leftovers(chains_in([KUBELET, OF_IPVS]), ("KUBE-CLUSTER-IP",), (), True, ("tcp 10.96.0.1:443",))),
        (NFTABLES, Leftovers(tables=("ip", "ip6"))),
    ],
)
def test_what_a_mode_has_itself_is_no_residue(mode: str, found: Leftovers) -> None:
    assert residues(found, mode) == ()


def test_sets_of_network_policies_are_not_kube_proxys() -> None:
    text = "KUBE-CLUSTER-IP\nKUBE-6-CLUSTER-IP\nKUBE-SRC-ABCDEF\nKUBE-DST-ABCDEF\nkube-router-local-pods\n"
    assert sets_in(text) == ("KUBE-6-CLUSTER-IP", "KUBE-CLUSTER-IP")
    assert sets_in("") == ()


def test_names_of_sets_are_cut_to_what_the_kernel_takes() -> None:
    # 31 characters, so that of IPv6 two lack their last one (seen with kube-proxy 1.36.4).
    text = "KUBE-6-LOAD-BALANCER-SOURCE-CID\nKUBE-6-NODE-PORT-LOCAL-SCTP-HAS\nKUBE-NODE-PORT-LOCAL-SCTP-HASH\n"
    assert sets_in(text) == tuple(text.split())


def test_tables_of_others_are_left_out() -> None:
    tables = [("ip", "kube-proxy"), ("ip6", "kube-proxy"), ("ip", "nat"), ("inet", "firewalld")]
    text = json.dumps(
        {"nftables": [{"metainfo": {}}, *({"table": {"family": family, "name": name}} for family, name in tables)]}
    )
    assert tables_in(text) == ("ip", "ip6")
    assert tables_in("") == ()
    with pytest.raises(HostError, match="nft -j list tables: its output is not JSON"):
        tables_in("Error")


def test_virtual_servers_of_others_are_left_out() -> None:
    entries = [ProxyEntry("tcp", "10.96.0.1", 443), ProxyEntry("tcp", "192.0.2.10", 80)]
    assert servers_of(entries, ["10.96.0.1"]) == ("tcp 10.96.0.1:443",)


def test_ipsets_name_addresses_with_ports_and_node_ports_by_family() -> None:
    lines = [
        "create KUBE-CLUSTER-IP hash:ip,port family inet hashsize 1024 maxelem 65536",
        "add KUBE-CLUSTER-IP 10.96.0.10,tcp:53",
        "add KUBE-CLUSTER-IP 10.96.0.10,udp:53",
        "add KUBE-6-EXTERNAL-IP 2001:DB8:0::7,tcp:443",
        "create KUBE-NODE-PORT-TCP bitmap:port range 0-65535",
        "add KUBE-NODE-PORT-TCP 30080",
        "add KUBE-6-NODE-PORT-UDP 30081",
        "add KUBE-NODE-PORT-SCTP-HASH 192.0.2.11,sctp:30082",
        # Of forms that kube-proxy has never used.
        "add KUBE-CLUSTER-IP 10.96.0.0/24,tcp:http",
        "add KUBE-NODE-PORT-TCP x",
        "add",
        "add KUBE-CLUSTER-IP x,tcp:1",
    ]
    assert named_in("\n".join(lines)) == {
        ("tcp", "10.96.0.10", 53),
        ("udp", "10.96.0.10", 53),
        ("tcp", "2001:db8::7", 443),
        ("tcp", "0.0.0.0", 30080),
        ("udp", "::", 30081),
        ("sctp", "192.0.2.11", 30082),
        ("tcp", "x", 1),
    }


def test_of_many_names_a_few_are_shown() -> None:
    many = Residue("chains", IPTABLES, tuple("nat KUBE-SVC-%d" % number for number in range(7)))
    assert str(many).endswith("nat KUBE-SVC-4 and 2 more")
