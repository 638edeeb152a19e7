# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue of sysctl keys: what each one is, its unit and valid range, and where that is documented.

Data only. _catalogue_index makes it searchable and checks values against it; _profiles says which values are chosen.
Python, not YAML, because modules need it on managed hosts, where only Python files of a collection arrive.
"""

from __future__ import annotations

from typing import Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass

INT_MAX = 2147483647
UINT_MAX = 4294967295
LONG_MAX = 9223372036854775807

IP_SYSCTL = "Linux Documentation/networking/ip-sysctl.rst"
NET_SYSCTL = "Linux Documentation/admin-guide/sysctl/net.rst"
FS_SYSCTL = "Linux Documentation/admin-guide/sysctl/fs.rst"
CONNTRACK_SYSCTL = "Linux Documentation/networking/nf_conntrack-sysctl.rst"

NOW = "now"
NEW_SOCKETS = "new sockets"
NEW_LISTENERS = "new listeners"


@dataclass(frozen=True)
class Key:
    """One key. kind: int, word, ports or secret; fields: how many numbers; low and high bound each of them.

    ascending: the fields must not decrease. scope: netns (each network namespace has its own) or host.
    raise_only: a higher running value is left alone unless the user forces it.
    """

    name: str
    what: str
    unit: str
    low: int = 0
    high: int = INT_MAX
    kind: str = "int"
    fields: int = 1
    ascending: bool = False
    scope: str = "netns"
    takes_effect: str = NOW
    raise_only: bool = False
    source: str = IP_SYSCTL


@dataclass(frozen=True)
class Refused:
    """A key that is never set: why, and what to do instead. dead: no supported kernel does anything with it."""

    pattern: str
    why: str
    instead: str
    dead: bool = False


KEYS: Tuple[Key, ...] = (
    # Buffers
    Key(
        "net.ipv4.tcp_rmem",
        "receive buffer of a TCP socket: min, default, max",
        "bytes",
        4096,
        fields=3,
        ascending=True,
        raise_only=True,
        takes_effect=NEW_SOCKETS,
    ),
    Key(
        "net.ipv4.tcp_wmem",
        "send buffer of a TCP socket: min, default, max",
        "bytes",
        4096,
        fields=3,
        ascending=True,
        raise_only=True,
        takes_effect=NEW_SOCKETS,
    ),
    Key(
        "net.core.rmem_max",
        "largest receive buffer that an application may ask for",
        "bytes",
        2304,
        scope="host",
        raise_only=True,
        takes_effect=NEW_SOCKETS,
        source=NET_SYSCTL,
    ),
    Key(
        "net.core.wmem_max",
        "largest send buffer that an application may ask for",
        "bytes",
        4608,
        scope="host",
        raise_only=True,
        takes_effect=NEW_SOCKETS,
        source=NET_SYSCTL,
    ),
    Key(
        "net.core.rmem_default",
        "receive buffer of sockets other than TCP",
        "bytes",
        2304,
        scope="host",
        raise_only=True,
        takes_effect=NEW_SOCKETS,
        source=NET_SYSCTL,
    ),
    Key(
        "net.core.wmem_default",
        "send buffer of sockets other than TCP",
        "bytes",
        4608,
        scope="host",
        raise_only=True,
        takes_effect=NEW_SOCKETS,
        source=NET_SYSCTL,
    ),
    Key(
        "net.core.optmem_max",
        "ancillary buffer of a socket",
        "bytes",
        4096,
        scope="host",
        raise_only=True,
        source=NET_SYSCTL,
    ),
    Key("net.ipv4.tcp_moderate_rcvbuf", "receive buffer autotuning", "switch", 0, 1),
    Key("net.ipv4.tcp_notsent_lowat", "unsent bytes above which a socket is not writable", "bytes", 1, UINT_MAX),
    Key("net.ipv4.tcp_limit_output_bytes", "bytes of one socket queued in qdisc and device", "bytes", 4096),
    # Congestion control, qdisc and loss recovery
    Key(
        "net.ipv4.tcp_congestion_control",
        "congestion control of new connections",
        "algorithm",
        kind="word",
        takes_effect=NEW_SOCKETS,
    ),
    Key(
        "net.core.default_qdisc",
        "qdisc of interfaces that come up from now on",
        "qdisc",
        kind="word",
        scope="host",
        source=NET_SYSCTL,
    ),
    Key("net.ipv4.tcp_slow_start_after_idle", "fall back to slow start after an idle period", "switch", 0, 1),
    Key(
        "net.ipv4.tcp_no_metrics_save",
        "do not cache metrics of closed connections",
        "switch",
        0,
        1,
        takes_effect=NEW_SOCKETS,
    ),
    Key("net.ipv4.tcp_sack", "selective acknowledgements", "switch", 0, 1, takes_effect=NEW_SOCKETS),
    Key("net.ipv4.tcp_dsack", "duplicate selective acknowledgements", "switch", 0, 1, takes_effect=NEW_SOCKETS),
    Key(
        "net.ipv4.tcp_timestamps",
        "timestamps: 1 with a random offset per connection",
        "mode",
        1,
        2,
        takes_effect=NEW_SOCKETS,
    ),
    Key("net.ipv4.tcp_window_scaling", "window scaling (RFC 7323)", "switch", 0, 1, takes_effect=NEW_SOCKETS),
    Key(
        "net.ipv4.tcp_ecn",
        "ECN: 0 off, 1 ask and accept, 2 accept (3-5: AccECN where the kernel has it)",
        "mode",
        0,
        5,
        takes_effect=NEW_SOCKETS,
    ),
    Key(
        "net.ipv4.tcp_ecn_fallback",
        "fall back to no ECN where a path drops it",
        "switch",
        0,
        1,
        takes_effect=NEW_SOCKETS,
    ),
    Key("net.ipv4.tcp_mtu_probing", "packetization-layer path MTU discovery: 1 once a black hole shows", "mode", 0, 2),
    Key("net.ipv4.tcp_base_mss", "first MSS that MTU probing tries", "bytes", 48, 65535),
    Key("net.ipv4.tcp_thin_linear_timeouts", "linear instead of exponential timeouts for thin streams", "switch", 0, 1),
    Key("net.ipv4.tcp_reordering", "initial reordering degree", "packets", 1, 300),
    Key("net.ipv4.tcp_recovery", "loss detection: bit 0 RACK", "bit mask", 0, 7),
    Key("net.ipv4.tcp_early_retrans", "tail loss probe: 3 or 4 on", "mode", 0, 4),
    Key("net.ipv4.tcp_min_tso_segs", "least segments of a TSO frame", "segments", 1, 255),
    Key("net.ipv4.tcp_autocorking", "coalesce small writes", "switch", 0, 1),
    # Fast open
    Key(
        "net.ipv4.tcp_fastopen",
        "fast open: 1 client, 2 server, 0x400 all listeners",
        "bit mask",
        0,
        0x603,
        takes_effect=NEW_LISTENERS,
    ),
    Key(
        "net.ipv4.tcp_fastopen_key",
        "fast open keys, shared by the hosts behind one load balancer",
        "128-bit keys",
        kind="secret",
    ),
    Key(
        "net.ipv4.tcp_fastopen_blackhole_timeout_sec",
        "pause of active fast open after a black hole",
        "seconds",
        0,
        86400,
    ),
    # Handshake, retries, keepalive
    Key("net.ipv4.tcp_syncookies", "SYN cookies when the backlog overflows", "mode", 0, 2),
    Key(
        "net.ipv4.tcp_max_syn_backlog",
        "handshakes that a listener may have open",
        "connections",
        128,
        raise_only=True,
        takes_effect=NEW_LISTENERS,
    ),
    Key(
        "net.core.somaxconn",
        "upper bound of a listener's backlog",
        "connections",
        128,
        raise_only=True,
        takes_effect=NEW_LISTENERS,
        source=NET_SYSCTL,
    ),
    Key("net.ipv4.tcp_abort_on_overflow", "reset instead of dropping when the accept queue is full", "switch", 0, 1),
    Key("net.ipv4.tcp_syn_retries", "retransmissions of a SYN", "retries", 1, 127, takes_effect=NEW_SOCKETS),
    Key("net.ipv4.tcp_synack_retries", "retransmissions of a SYN-ACK", "retries", 0, 255),
    Key("net.ipv4.tcp_retries1", "retries before the network layer is told", "retries", 0, 255),
    Key("net.ipv4.tcp_retries2", "retries before an established connection is given up", "retries", 3, 255),
    Key("net.ipv4.tcp_orphan_retries", "retries before an orphaned connection is given up", "retries", 0, 255),
    Key("net.ipv4.tcp_keepalive_time", "idle time before the first keepalive probe", "seconds", 1, 32767),
    Key("net.ipv4.tcp_keepalive_intvl", "time between keepalive probes", "seconds", 1, 32767),
    Key(
        "net.ipv4.tcp_keepalive_probes", "unanswered keepalive probes before a connection is given up", "probes", 1, 127
    ),
    Key(
        "net.ipv4.tcp_rto_max_ms",
        "upper bound of the retransmission timeout",
        "milliseconds",
        1000,
        120000,
        takes_effect=NEW_SOCKETS,
    ),
    Key(
        "net.ipv4.tcp_rto_min_us",
        "lower bound of the retransmission timeout",
        "microseconds",
        1,
        1000000,
        takes_effect=NEW_SOCKETS,
    ),
    # End of a connection, ports
    Key("net.ipv4.tcp_fin_timeout", "time that an orphan stays in FIN-WAIT-2 (not TIME-WAIT)", "seconds", 1, 3600),
    Key("net.ipv4.tcp_tw_reuse", "reuse TIME-WAIT ports for new connections: 2 on loopback only", "mode", 0, 2),
    Key("net.ipv4.tcp_tw_reuse_delay", "age from which a TIME-WAIT port is reused", "milliseconds", 1, 60000),
    Key("net.ipv4.tcp_max_tw_buckets", "sockets in TIME-WAIT", "sockets", 4096, raise_only=True),
    Key("net.ipv4.tcp_rfc1337", "drop RSTs in TIME-WAIT", "switch", 0, 1),
    Key("net.ipv4.tcp_max_orphans", "sockets without a process", "sockets", 1024, scope="host", raise_only=True),
    Key(
        "net.ipv4.ip_local_port_range",
        "ports of outgoing connections: first, last",
        "ports",
        1024,
        65535,
        fields=2,
        ascending=True,
        takes_effect=NEW_SOCKETS,
    ),
    Key(
        "net.ipv4.ip_local_reserved_ports",
        "ports that outgoing connections leave to listeners",
        "ports",
        kind="ports",
        takes_effect=NEW_SOCKETS,
    ),
    # Device queues
    Key(
        "net.core.netdev_max_backlog",
        "packets queued per CPU on input",
        "packets",
        300,
        scope="host",
        raise_only=True,
        source=NET_SYSCTL,
    ),
    Key(
        "net.core.netdev_budget",
        "packets handled in one softirq round",
        "packets",
        64,
        65535,
        scope="host",
        raise_only=True,
        source=NET_SYSCTL,
    ),
    Key(
        "net.core.netdev_budget_usecs",
        "time of one softirq round",
        "microseconds",
        1000,
        1000000,
        scope="host",
        raise_only=True,
        source=NET_SYSCTL,
    ),
    Key(
        "net.core.busy_poll",
        "busy polling in poll and select",
        "microseconds",
        0,
        1000,
        scope="host",
        source=NET_SYSCTL,
    ),
    Key(
        "net.core.busy_read",
        "busy polling in blocking reads",
        "microseconds",
        0,
        1000,
        scope="host",
        takes_effect=NEW_SOCKETS,
        source=NET_SYSCTL,
    ),
    # Tables that a host with many connections fills
    Key(
        "net.netfilter.nf_conntrack_max",
        "entries of the connection tracking table",
        "entries",
        1024,
        scope="host",
        raise_only=True,
        source=CONNTRACK_SYSCTL,
    ),
    Key(
        "net.netfilter.nf_conntrack_buckets",
        "hash buckets of the connection tracking table",
        "buckets",
        1024,
        scope="host",
        raise_only=True,
        source=CONNTRACK_SYSCTL,
    ),
    Key(
        "net.netfilter.nf_conntrack_tcp_timeout_established",
        "idle time until an established entry expires",
        "seconds",
        60,
        source=CONNTRACK_SYSCTL,
    ),
    Key(
        "net.netfilter.nf_conntrack_tcp_timeout_time_wait",
        "time until an entry in TIME-WAIT expires",
        "seconds",
        1,
        3600,
        source=CONNTRACK_SYSCTL,
    ),
    Key(
        "net.ipv4.neigh.default.gc_thresh1",
        "neighbours that are never collected",
        "entries",
        128,
        scope="host",
        raise_only=True,
    ),
    Key(
        "net.ipv4.neigh.default.gc_thresh2",
        "neighbours above which collection is eager",
        "entries",
        512,
        scope="host",
        raise_only=True,
    ),
    Key(
        "net.ipv4.neigh.default.gc_thresh3", "upper bound of neighbours", "entries", 1024, scope="host", raise_only=True
    ),
    Key(
        "fs.file-max",
        "open files of the whole host",
        "files",
        65536,
        LONG_MAX,
        scope="host",
        raise_only=True,
        source=FS_SYSCTL,
    ),
    Key(
        "fs.nr_open",
        "upper bound of a process's open files",
        "files",
        1024,
        INT_MAX,
        scope="host",
        raise_only=True,
        source=FS_SYSCTL,
    ),
)

# Vectors of several keys whose values must not decrease from one to the next.
ORDERED_KEYS: Tuple[Tuple[str, ...], ...] = (
    (
        "net.ipv4.neigh.default.gc_thresh1",
        "net.ipv4.neigh.default.gc_thresh2",
        "net.ipv4.neigh.default.gc_thresh3",
    ),
)

# Patterns as fnmatch reads them, first match decides. They come before KEYS.
REFUSED: Tuple[Refused, ...] = (
    Refused(
        "net.ipv4.tcp_tw_recycle",
        "was removed in Linux 4.12; it broke clients behind NAT",
        "use net.ipv4.tcp_tw_reuse",
        dead=True,
    ),
    Refused("net.ipv4.tcp_fack", "does nothing since Linux 4.15", "leave it out: RACK has replaced it", dead=True),
    Refused(
        "net.ipv4.tcp_low_latency",
        "does nothing since Linux 4.14",
        "leave it out, or use the workload low_latency",
        dead=True,
    ),
    Refused(
        "net.ipv4.tcp_adv_win_scale",
        "has no role since Linux 6.6",
        "size net.ipv4.tcp_rmem by tcp_tuning_bandwidth and tcp_tuning_rtt",
    ),
    Refused(
        "net.ipv4.tcp_mem",
        "counts pages of the whole host, which the kernel sizes from its memory",
        "leave it to the kernel",
    ),
    Refused(
        "net.ipv4.udp_mem",
        "counts pages of the whole host, which the kernel sizes from its memory",
        "leave it to the kernel",
    ),
    Refused(
        "net.ipv4.ip_forward",
        "makes the host a router; Kubernetes, VPNs and firewalls own it",
        "set it where that role is configured",
    ),
    Refused(
        "net.ipv*.conf.*.forwarding",
        "makes the host a router; Kubernetes, VPNs and firewalls own it",
        "set it where that role is configured",
    ),
    Refused("net.ipv*.conf.*", "is routing and address policy, not TCP", "set it where the network is configured"),
    Refused("net.ipv4.vs.*", "is set by kube-proxy itself", "configure kube-proxy"),
    Refused("net.bridge.*", "belongs to the container network", "set it where that is configured"),
    Refused("net.ipv4.tcp_available_congestion_control", "is read-only", "use tcp_tuning_congestion_control"),
    Refused(
        "net.ipv4.tcp_allowed_congestion_control",
        "decides what unprivileged users may choose, not TCP's values",
        "use tcp_tuning_congestion_control",
    ),
    Refused("vm.*", "is memory management, not TCP", "use another role for it"),
    Refused("kernel.*", "is not TCP", "use another role for it"),
)
