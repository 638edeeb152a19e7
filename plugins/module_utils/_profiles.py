# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which values are chosen, and why: the base, the profiles (where a host stands) and the workloads (what it does).

Data only. "rec." in a source marks a recommendation of this project rather than a published or measured value.
Buffer maxima are not written here: they follow from a profile's bandwidth and RTT (see _sizing).
"""

from __future__ import annotations

from typing import Dict, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass

KERNEL_DEFAULT = "kernel default, asserted"
CLOUD_IDLE_TIMEOUTS = "idle timeouts of AWS NLB and Nitro (350 s) and Azure Firewall (240 s)"
FAILOVER_MEASURED = "failover measurement, docs/profiles.md"
REC = "rec."


@dataclass(frozen=True)
class Setting:
    """A key's value with its reason and source. optional: set where the kernel has the key, passed over elsewhere."""

    key: str
    value: str
    reason: str
    source: str
    optional: bool = False


@dataclass(frozen=True)
class Profile:
    """Where a host stands. bandwidth is that of one flow in bit/s, rtt in seconds."""

    description: str
    bandwidth: float
    rtt: float
    congestion_control: Tuple[str, ...]
    fast_open: str
    qdisc: str = ""
    settings: Tuple[Setting, ...] = ()


@dataclass(frozen=True)
class Workload:
    """What a host does. includes: workloads whose settings come first. wide_ports: see ip_local_reserved_ports."""

    description: str
    settings: Tuple[Setting, ...] = ()
    includes: Tuple[str, ...] = ()
    congestion_control: Tuple[str, ...] = ()
    wide_ports: bool = False


def _keepalive(time: int, interval: int, probes: int, reason: str, source: str) -> Tuple[Setting, ...]:
    return (
        Setting("net.ipv4.tcp_keepalive_time", str(time), reason, source),
        Setting("net.ipv4.tcp_keepalive_intvl", str(interval), reason, source),
        Setting("net.ipv4.tcp_keepalive_probes", str(probes), reason, source),
    )


BASE: Tuple[Setting, ...] = (
    Setting("net.ipv4.tcp_window_scaling", "1", "windows above 64 KiB need it", KERNEL_DEFAULT),
    Setting("net.ipv4.tcp_sack", "1", "recovers several losses of one window in one RTT", KERNEL_DEFAULT),
    Setting("net.ipv4.tcp_dsack", "1", "lets the sender see that a retransmission was spurious", KERNEL_DEFAULT),
    Setting("net.ipv4.tcp_timestamps", "1", "PAWS and the reuse of TIME-WAIT ports depend on it", KERNEL_DEFAULT),
    Setting("net.ipv4.tcp_moderate_rcvbuf", "1", "the receive buffer grows with the path's BDP", KERNEL_DEFAULT),
    Setting("net.ipv4.tcp_syncookies", "1", "a SYN flood must not lock legitimate clients out", KERNEL_DEFAULT),
    Setting("net.ipv4.tcp_ecn", "2", "ECN where the other side asks for it", KERNEL_DEFAULT),
    Setting(
        "net.ipv4.tcp_mtu_probing",
        "1",
        "connections survive a path that drops ICMP (PMTU black hole)",
        "RFC 4821; " + REC,
    ),
    Setting(
        "net.ipv4.tcp_slow_start_after_idle",
        "0",
        "a pooled connection keeps its congestion window over an idle period",
        REC,
    ),
    Setting("net.ipv4.tcp_notsent_lowat", "131072", "less unsent data in the kernel: lower latency, less memory", REC),
    Setting(
        "net.ipv4.tcp_tw_reuse",
        "2",
        "TIME-WAIT ports are reused on loopback only, where it is always safe",
        KERNEL_DEFAULT,
    ),
    Setting("net.ipv4.tcp_fin_timeout", "60", "lowering it does not shorten TIME-WAIT", KERNEL_DEFAULT),
    Setting("net.ipv4.tcp_rfc1337", "0", "timestamps already protect from TIME-WAIT assassination", KERNEL_DEFAULT),
)

PROFILES: Dict[str, Profile] = {
    "local": Profile(
        "data centre LAN, RTT below 5 ms",
        bandwidth=10e9,
        rtt=0.005,
        congestion_control=("htcp", "cubic"),
        fast_open="both",
    ),
    "cloud": Profile(
        "cloud region, RTT below 50 ms",
        bandwidth=5e9,
        rtt=0.050,
        congestion_control=("bbr", "cubic"),
        fast_open="client",
        qdisc="fq",
        settings=_keepalive(
            120, 30, 3, "probes before a load balancer or firewall forgets the connection", CLOUD_IDLE_TIMEOUTS
        ),
    ),
    "wan": Profile(
        "long-haul links, RTT of 100 ms and more",
        bandwidth=5e9,
        rtt=0.100,
        congestion_control=("bbr", "htcp", "cubic"),
        fast_open="client",
        qdisc="fq",
        settings=(
            Setting(
                "net.ipv4.tcp_no_metrics_save",
                "1",
                "one bad transfer must not slow the next ones to the same peer",
                "ESnet fasterdata, perfSONAR",
            ),
            *_keepalive(
                120, 30, 3, "probes before a load balancer or firewall forgets the connection", CLOUD_IDLE_TIMEOUTS
            ),
        ),
    ),
    "edge": Profile(
        "edge sites and mobile clients, lossy access networks",
        bandwidth=500e6,
        rtt=0.100,
        congestion_control=("bbr", "cubic"),
        fast_open="client",
        qdisc="fq",
        settings=(
            Setting(
                "net.ipv4.tcp_fastopen_blackhole_timeout_sec",
                "3600",
                "middleboxes of access networks drop SYNs with data: pause fast open, then try again",
                REC,
            ),
        ),
    ),
}

WORKLOADS: Dict[str, Workload] = {
    "ha": Workload(
        "failover pairs: a dead peer is noticed within 15 s",
        settings=(
            Setting("net.ipv4.tcp_retries2", "5", "a dead peer is given up after 13.4 s", FAILOVER_MEASURED),
            Setting("net.ipv4.tcp_syn_retries", "2", "a connect to a dead peer fails after 7.1 s", FAILOVER_MEASURED),
            *_keepalive(5, 3, 3, "an idle connection to a dead peer ends after 14.4 s", FAILOVER_MEASURED),
        ),
    ),
    "many_connections": Workload(
        "hundreds of thousands of connections (brokers, gateways)",
        settings=(
            Setting(
                "fs.file-max",
                "2097152",
                "one file per connection, and room (LimitNOFILE is the service's own)",
                "EMQX tuning guide",
            ),
            Setting("fs.nr_open", "2097152", "lets a service raise its LimitNOFILE", "EMQX tuning guide"),
            Setting(
                "net.core.somaxconn", "32768", "bursts of accepts do not overflow the backlog", "EMQX tuning guide"
            ),
            Setting(
                "net.ipv4.tcp_max_syn_backlog",
                "16384",
                "bursts of handshakes do not overflow the SYN queue",
                "EMQX tuning guide",
            ),
            Setting(
                "net.core.netdev_max_backlog", "16384", "bursts of packets are queued, not dropped", "EMQX tuning guide"
            ),
            Setting(
                "net.netfilter.nf_conntrack_max",
                "1048576",
                "a full table drops new connections",
                REC + "; where connection tracking is loaded",
                optional=True,
            ),
            Setting(
                "net.netfilter.nf_conntrack_tcp_timeout_time_wait",
                "30",
                "finished connections leave the table",
                REC + "; where connection tracking is loaded",
                optional=True,
            ),
        ),
    ),
    "loopback_short": Workload(
        "many short connections to services on the same host",
        settings=(
            Setting(
                "net.ipv4.ip_local_port_range",
                "10240 65535",
                "55,296 ports instead of 28,232 per destination; listeners inside are reserved",
                "TIME-WAIT measurement, docs/profiles.md",
            ),
        ),
        wide_ports=True,
    ),
    "low_latency": Workload(
        "latency before CPU: receivers poll the NIC",
        settings=(
            Setting(
                "net.core.busy_poll",
                "50",
                "poll and select look at the NIC for 50 us before they sleep",
                "tuned network-latency; AWS ENA guide",
            ),
            Setting(
                "net.core.busy_read",
                "50",
                "blocking reads look at the NIC for 50 us before they sleep",
                "tuned network-latency; AWS ENA guide",
            ),
        ),
    ),
    "realtime_media": Workload(
        "media and interactive streams: fresh data before full buffers",
        settings=(
            Setting(
                "net.ipv4.tcp_notsent_lowat", "16384", "stale frames wait in the application, not in the kernel", REC
            ),
            Setting("net.ipv4.tcp_thin_linear_timeouts", "1", "a thin stream retries soon after a loss", REC),
        ),
        congestion_control=("bbr", "cubic"),
    ),
    "proxy": Workload(
        "proxies and load balancers: many connections on both sides",
        includes=("loopback_short", "many_connections"),
        settings=_keepalive(120, 30, 3, "probes before the idle timeout of either side", CLOUD_IDLE_TIMEOUTS),
    ),
    "kubernetes_node": Workload(
        "Kubernetes nodes; forwarding stays with the cluster's own components",
        settings=(
            Setting(
                "net.netfilter.nf_conntrack_max",
                "1048576",
                "service traffic is tracked: a full table drops it",
                "tuned openshift",
                optional=True,
            ),
            Setting(
                "net.netfilter.nf_conntrack_buckets",
                "1048576",
                "short chains at a full table",
                "tuned openshift",
                optional=True,
            ),
            Setting("net.ipv4.neigh.default.gc_thresh1", "8192", "pods are neighbours", "tuned openshift"),
            Setting("net.ipv4.neigh.default.gc_thresh2", "32768", "pods are neighbours", "tuned openshift"),
            Setting("net.ipv4.neigh.default.gc_thresh3", "65536", "pods are neighbours", "tuned openshift"),
        ),
    ),
}

FAST_OPEN: Dict[str, Tuple[str, str]] = {
    "off": ("0", "neither side"),
    "client": ("1", "connects carry data where the application asks for it"),
    "server": ("2", "listeners that ask for it accept data in the SYN"),
    "both": ("3", "clients, and listeners that ask for it (setsockopt TCP_FASTOPEN)"),
    "all_listeners": ("1027", "clients, and every listener without its asking (0x400)"),
}
