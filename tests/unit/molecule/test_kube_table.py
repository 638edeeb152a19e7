# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scenario `kube` reads of a kernel, from texts as the programs print them."""

from __future__ import annotations

from tests.molecule.kube_table import of_iptables, of_ipvs, of_nft

WANTED = {
    ("10.96.0.1", 443): frozenset({"10.77.101.254:6443"}),
    ("10.96.114.9", 80): frozenset({"10.77.101.11:8080", "10.77.101.12:8080"}),
}
IPTABLES = """\
*nat
:KUBE-SERVICES - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A KUBE-NODEPORTS -p tcp -m comment --comment "default/echo:echo" -m tcp --dport 30080 -j KUBE-EXT-AAAA
-A KUBE-SEP-1111 -s 10.77.101.254/32 -m comment --comment "default/kubernetes:https" -j KUBE-MARK-MASQ
-A KUBE-SEP-1111 -p tcp -m comment --comment "a b" -m tcp -j DNAT --to-destination 10.77.101.254:6443
-A KUBE-SEP-2222 -p tcp -m comment --comment "default/echo:echo" -m tcp -j DNAT --to-destination 10.77.101.11:8080
-A KUBE-SEP-3333 -p tcp -m comment --comment "default/echo:echo" -m tcp -j DNAT --to-destination 10.77.101.12:8080
-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m comment --comment "cluster IP" -m tcp --dport 443 -j KUBE-SVC-1
-A KUBE-SERVICES -d 10.96.114.9/32 -p tcp -m comment --comment "cluster IP" -m tcp --dport 80 -j KUBE-SVC-2
-A KUBE-SERVICES -m comment --comment "must be last" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
-A KUBE-SVC-1 ! -s 10.244.0.0/16 -d 10.96.0.1/32 -p tcp -m tcp --dport 443 -j KUBE-MARK-MASQ
-A KUBE-SVC-1 -m comment --comment "default/kubernetes:https -> 10.77.101.254:6443" -j KUBE-SEP-1111
-A KUBE-SVC-2 -m comment --comment "-> 10.77.101.11:8080" -m statistic --mode random --probability 0.5 -j KUBE-SEP-2222
-A KUBE-SVC-2 -m comment --comment "default/echo:echo -> 10.77.101.12:8080" -j KUBE-SEP-3333
COMMIT
"""
IPVS = """\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  10.96.0.1:443 rr
  -> 10.77.101.254:6443           Masq    1      3          0
TCP  10.96.114.9:80 rr persistent 10800
  -> 10.77.101.11:8080            Masq    1      0          0
  -> 10.77.101.12:8080            Masq    1      0          0
  -> 10.77.101.21:8080            Masq    0      1          0
"""
NFT = """\
table ip kube-proxy {
\tcomment "rules for kube-proxy"
\tmap service-ips {
\t\ttype ipv4_addr . inet_proto . inet_service : verdict
\t\tcomment "ClusterIP, ExternalIP and LoadBalancer IP traffic"
\t\telements = { 10.96.0.1 . 6 . 443 comment "https" : goto service-2QRHZV4L-default/kubernetes/tcp/https,
\t\t\t     10.96.114.9 . tcp . 80 : goto service-ULMVA6XW-default/echo/tcp/echo }
\t}

\tmap service-nodeports {
\t\ttype inet_proto . inet_service : verdict
\t\telements = { tcp . 30080 : goto external-ULMVA6XW-default/echo/tcp/echo }
\t}

\tchain service-2QRHZV4L-default/kubernetes/tcp/https {
\t\tmeta l4proto 6 dnat ip to numgen random mod 1 map { 0 : 10.77.101.254 . 6443 }
\t}

\tchain service-ULMVA6XW-default/echo/tcp/echo {
\t\tnumgen random mod 2 vmap { 0 : goto endpoint-AAAAAAAA-echo__10.77.101.11/8080,\
 1 : goto endpoint-BBBBBBBB-echo__10.77.101.12/8080 }
\t}
}
"""


def test_all_modes_read_alike() -> None:
    assert of_iptables(IPTABLES) == WANTED
    assert of_ipvs(IPVS) == WANTED
    assert of_nft(NFT) == WANTED


def test_nothing_is_nothing() -> None:
    assert (of_iptables(""), of_ipvs(""), of_nft("")) == ({}, {}, {})
