# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a mode needs of its node: files of ours, NetworkManager, kernel parameters."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._kube_find import Place
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_model import ProxyChange, SysctlLine
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_modes import IPTABLES, IPVS, NFTABLES
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_prepare import (
    MODULES_FILE,
    OWN_FILES,
    SYSCTL_FILE,
    UNMANAGED_FILE,
    left_alone,
    own_files,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_sysctls import (
    BY_THE_NODE,
    FORWARD,
    KEYS,
    REUSE,
    fights,
    needed,
    set_by_proxy,
    short_of_keepalive,
)

PLACE = Place("k3s", "rancher_files", "/etc/rancher/k3s/config.yaml", "k3s.service")
OLD, MENDED, ANCIENT = "5.8.0-generic", "5.14.0-427.el9.x86_64", "3.10.0-1160.el7"
MAX, ESTABLISHED = "net.netfilter.nf_conntrack_max", "net.netfilter.nf_conntrack_tcp_timeout_established"
UNLESS_EXCEPT = "[keyfile]\nunmanaged-devices=*;except:type:ethernet\n"


def test_what_is_needed_stands_in_files_that_say_whose_they_are() -> None:
    change = ProxyChange(IPVS, PLACE, modules=("ip_vs", "ip_vs_lc"), sysctls={"b.c": "2", "a.b": "1"}, unmanaged=True)
    files = own_files(change)
    assert set(files) == set(OWN_FILES)
    assert files[MODULES_FILE].splitlines()[1:] == ["ip_vs", "ip_vs_lc"]
    assert files[SYSCTL_FILE].splitlines()[1:] == ["a.b = 1", "b.c = 2"]
    assert all(text.startswith("# Managed by netfleet.tcp") for text in files.values())
    assert left_alone([files[UNMANAGED_FILE]])


def test_what_is_not_needed_has_no_file() -> None:
    assert set(own_files(ProxyChange(IPTABLES, PLACE)).values()) == {""}
    # With ipvs, that NetworkManager leaves the interface alone may be by our file of an earlier run.
    assert UNMANAGED_FILE not in own_files(ProxyChange(IPVS, PLACE))


@pytest.mark.parametrize(
    ("texts", "alone"),
    [
        ([], False),
        (["[main]\nplugins=keyfile\n"], False),
        (["[keyfile]\nunmanaged-devices=interface-name:kube-*;interface-name:cali*\n"], True),
        (["[keyfile]\nunmanaged-devices=interface-name:=kube-ipvs0\n"], True),
        (["[keyfile]\nunmanaged-devices = kube-ipvs0\n"], True),
        (["[keyfile]\nunmanaged-devices=interface-name:eth*\n"], False),
        (["[keyfile]\nunmanaged-devices=interface-name:kube*\n", "[keyfile]\nunmanaged-devices=mac:00\n"], False),
        (["[keyfile]\nunmanaged-devices=interface-name:kube*\n", "[keyfile]\nunmanaged-devices+=mac:00\n"], True),
        (["[keyfile]\nunmanaged-devices=*,except:interface-name:kube-ipvs0\n"], False),
        ([UNLESS_EXCEPT], True),
        (["[device-x]\nmatch-device=type:dummy\nmanaged=0\n"], True),
        (["[device]\nmanaged=false\n"], True),
        (["[device-x]\nmatch-device=driver:dummy\nmanaged=1\n"], False),
        (["# [device]\n#managed=0\n[connection]\nmanaged=0\n"], False),
    ],
)
def test_whether_network_manager_leaves_the_interface_alone(texts: list[str], alone: bool) -> None:
    assert left_alone(texts) is alone


@pytest.mark.parametrize(
    ("mode", "settings", "kernel", "key", "value"),
    [
        (IPVS, {}, OLD, REUSE, "0"),
        (IPVS, {}, MENDED, REUSE, None),
        (IPVS, {}, ANCIENT, REUSE, None),
        (NFTABLES, {}, OLD, REUSE, None),
        (IPVS, {}, MENDED, "net.ipv4.vs.conntrack", "1"),
        (IPTABLES, {}, MENDED, "net.ipv4.vs.conntrack", None),
        (IPVS, {"ipvs.strictARP": True}, MENDED, "net.ipv4.conf.all.arp_ignore", "1"),
        (IPVS, {}, MENDED, "net.ipv4.conf.all.arp_ignore", None),
        (IPTABLES, {}, MENDED, "net.ipv4.conf.all.route_localnet", "1"),
        (IPTABLES, {"iptables.localhostNodePorts": False}, MENDED, "net.ipv4.conf.all.route_localnet", None),
        (NFTABLES, {}, MENDED, MAX, BY_THE_NODE),
        (NFTABLES, {"conntrack.maxPerCore": 0}, MENDED, MAX, None),
        (NFTABLES, {}, MENDED, ESTABLISHED, "86400"),
        (NFTABLES, {"conntrack.tcpEstablishedTimeout": "2h"}, MENDED, ESTABLISHED, "7200"),
        (NFTABLES, {"conntrack.tcpEstablishedTimeout": "0s"}, MENDED, ESTABLISHED, None),
        (NFTABLES, {"conntrack.tcpBeLiberal": True}, MENDED, "net.netfilter.nf_conntrack_tcp_be_liberal", "1"),
        (NFTABLES, {"conntrack.udpTimeout": "30s"}, MENDED, "net.netfilter.nf_conntrack_udp_timeout", "30"),
    ],
)
def test_what_kube_proxy_sets(mode: str, settings: dict[str, Any], kernel: str, key: str, value: str | None) -> None:
    found = set_by_proxy(mode, settings, kernel)
    assert found.get(key) == value
    assert set(found) <= set(KEYS)


@pytest.mark.parametrize(
    ("mode", "kernel", "wanted"),
    [
        (IPVS, MENDED, {REUSE: "1"}),
        (IPVS, OLD, {}),
        (NFTABLES, MENDED, {FORWARD: "1"}),
        (IPTABLES, OLD, {FORWARD: "1"}),
    ],
)
def test_what_a_mode_needs_beside(mode: str, kernel: str, wanted: dict[str, str]) -> None:
    assert needed(mode, {}, kernel) == wanted


def test_our_own_lines_that_kube_proxy_overrules_are_named() -> None:
    where = "/etc/sysctl.d/90-netfleet-tcp.conf:%d"
    own = [
        SysctlLine(MAX, "1000", where % 3),
        SysctlLine(ESTABLISHED, "86400", where % 5),
        SysctlLine("net.ipv4.vs.conntrack", "0", where % 7),
        SysctlLine("net.ipv4.tcp_keepalive_time", "600", where % 9),
    ]
    assert fights(own, IPVS, {}, MENDED) == [
        "%s sets %s to 1000, and kube-proxy sets it by the number of processors" % (where % 3, MAX),
        "%s sets net.ipv4.vs.conntrack to 0, and kube-proxy sets it to 1" % (where % 7),
    ]
    assert fights(own, NFTABLES, {"conntrack.maxPerCore": 0}, MENDED) == []


@pytest.mark.parametrize(
    ("mode", "timeout", "keepalive", "short"),
    [
        (IPVS, None, "7200", True),
        (IPVS, None, "600", False),
        (IPVS, "0s", "7200", True),
        (IPVS, "3h", "7200", False),
        (IPVS, "5m", "600", True),
        (NFTABLES, None, "7200", False),
        (IPVS, None, None, False),
    ],
)
def test_idle_connections_of_ipvs_need_earlier_keepalives(
    mode: str, timeout: str | None, keepalive: str | None, short: bool
) -> None:
    settings = {"ipvs.tcpTimeout": timeout} if timeout else {}
    assert bool(short_of_keepalive(mode, settings, keepalive)) is short
