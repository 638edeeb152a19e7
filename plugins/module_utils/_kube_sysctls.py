# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel parameters that kube-proxy sets at its start, those that it needs of others, and who would fight it. Pure.

kube-proxy does not set them again while it runs: what sysctl.d or somebody's role gives them later stays until its next
start. So a file that says something else wins now and then, and nobody sees when.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Mapping, Optional

from ansible_collections.netfleet.tcp.plugins.module_utils._kube_model import SysctlLine
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_modes import IPTABLES, IPVS, Version, version_of
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_settings import nanoseconds

FORWARD, CONNTRACK, REUSE = "net.ipv4.ip_forward", "net.ipv4.vs.conntrack", "net.ipv4.vs.conn_reuse_mode"
KEEPALIVE = "net.ipv4.tcp_keepalive_time"
_NODEST, _QUIESCENT = "net.ipv4.vs.expire_nodest_conn", "net.ipv4.vs.expire_quiescent_template"
_ARP_IGNORE, _ARP_ANNOUNCE = "net.ipv4.conf.all.arp_ignore", "net.ipv4.conf.all.arp_announce"
_LOCALNET = "net.ipv4.conf.all.route_localnet"
_TRACKED = "net.netfilter.nf_conntrack_max"
_ESTABLISHED = "net.netfilter.nf_conntrack_tcp_timeout_established"
_CLOSE_WAIT = "net.netfilter.nf_conntrack_tcp_timeout_close_wait"
_LIBERAL = "net.netfilter.nf_conntrack_tcp_be_liberal"
_UDP, _UDP_STREAM = "net.netfilter.nf_conntrack_udp_timeout", "net.netfilter.nf_conntrack_udp_timeout_stream"
# What a look reads.
KEYS = (
    FORWARD,
    CONNTRACK,
    REUSE,
    _NODEST,
    _QUIESCENT,
    _ARP_IGNORE,
    _ARP_ANNOUNCE,
    _LOCALNET,
    _TRACKED,
    _ESTABLISHED,
    _CLOSE_WAIT,
    _LIBERAL,
    _UDP,
    _UDP_STREAM,
    KEEPALIVE,
)
# From the first version on 0 is needed, or a SYN that meets an old connection waits for a second; from the second on
# the kernel does better by itself, and 0 has connections go to endpoints that are gone (kubernetes/kubernetes#81775).
_REUSE_BROKEN: Version = (4, 1, 0)
_REUSE_MENDED: Version = (5, 9, 0)
# Seconds: the defaults of kube-proxy, and of IPVS itself.
_DEFAULTS = {_ESTABLISHED: "24h", _CLOSE_WAIT: "1h"}
IPVS_TCP_SECONDS = 900
_TIMEOUTS = {
    _ESTABLISHED: "conntrack.tcpEstablishedTimeout",
    _CLOSE_WAIT: "conntrack.tcpCloseWaitTimeout",
    _UDP: "conntrack.udpTimeout",
    _UDP_STREAM: "conntrack.udpStreamTimeout",
}
_NANOSECONDS = 10**9
# Of a key whose value depends on the node, such as the number of its processors.
BY_THE_NODE = ""


def set_by_proxy(mode: str, settings: Mapping[str, Any], kernel: str) -> Dict[str, str]:
    """The keys that kube-proxy sets in a mode with these checked settings, and to what; BY_THE_NODE: that depends.

    kernel: its release; InputError where it is no version.
    """
    found: Dict[str, str] = {}
    if mode == IPVS:
        found.update({CONNTRACK: "1", _NODEST: "1", _QUIESCENT: "1", FORWARD: "1"})
        if _REUSE_BROKEN <= version_of(kernel, "kernel") < _REUSE_MENDED:
            found[REUSE] = "0"
        if settings.get("ipvs.strictARP"):
            found.update({_ARP_IGNORE: "1", _ARP_ANNOUNCE: "2"})
    if mode == IPTABLES and settings.get("iptables.localhostNodePorts") is not False:
        found[_LOCALNET] = "1"
    if settings.get("conntrack.maxPerCore") != 0:
        found[_TRACKED] = BY_THE_NODE
    for key, field in _TIMEOUTS.items():
        seconds = _seconds(settings.get(field) or _DEFAULTS.get(key, "0"))
        # Of 0, kube-proxy leaves the key alone.
        if seconds:
            found[key] = str(seconds)
    if settings.get("conntrack.tcpBeLiberal"):
        found[_LIBERAL] = "1"
    return found


def needed(mode: str, settings: Mapping[str, Any], kernel: str) -> Dict[str, str]:
    """What a mode needs of the kernel and kube-proxy does not see to; every mode passes packets on between interfaces.

    On kernels that mend it themselves, conn_reuse_mode has to be what the kernel gives it: old guides set 0.
    """
    found = {FORWARD: "1"}
    if mode == IPVS and version_of(kernel, "kernel") >= _REUSE_MENDED:
        found[REUSE] = "1"
    by_itself = set_by_proxy(mode, settings, kernel)
    return {key: value for key, value in found.items() if key not in by_itself}


def fights(own: Iterable[SysctlLine], mode: str, settings: Mapping[str, Any], kernel: str) -> List[str]:
    """The lines of our own files that kube-proxy would overrule, in words."""
    sets = set_by_proxy(mode, settings, kernel)
    found: List[str] = []
    for line in own:
        theirs = sets.get(line.key)
        if theirs is None or (theirs and theirs == line.value.strip()):
            continue
        what = "to %s" % theirs if theirs else "by the number of processors"
        found.append("%s sets %s to %s, and kube-proxy sets it %s" % (line.where, line.key, line.value.strip(), what))
    return found


def short_of_keepalive(mode: str, settings: Mapping[str, Any], keepalive: Optional[str]) -> str:
    """Where connections that idle are forgotten before their first keepalive: the reason, in words; or empty.

    keepalive: net.ipv4.tcp_keepalive_time of the node. That of a pod is its own, and 7200 s by default.
    """
    if mode != IPVS or not (keepalive or "").strip().isdigit():
        return ""
    seconds = _seconds(settings.get("ipvs.tcpTimeout") or "0") or IPVS_TCP_SECONDS
    before = int(str(keepalive))
    if before < seconds:
        return ""
    return "IPVS forgets TCP connections that idle for %d s, and the first keepalive comes after %d s" % (
        seconds,
        before,
    )


def _seconds(text: str) -> int:
    return nanoseconds(text) // _NANOSECONDS
