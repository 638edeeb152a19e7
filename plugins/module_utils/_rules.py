# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of finding, as data: what reports group by, and what SARIF calls rules."""

from __future__ import annotations

from typing import Dict, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass

SYSCTL_RUNNING = "sysctl-running"
SYSCTL_BOOT = "sysctl-boot"
SYSCTL_DEAD = "sysctl-dead"
SYSCTL_SHADOW = "sysctl-shadow"
SYSCTL_UNREAD = "sysctl-unread"
CONGESTION_CONTROL = "congestion-control"
MODULE_RUNNING = "module-running"
MODULE_BOOT = "module-boot"
QDISC_RUNNING = "qdisc-running"
QDISC_BOOT = "qdisc-boot"
ROUTE_OVERRIDE = "route-override"
FILE_CHANGED = "file-changed"
FILE_UNJUDGED = "file-unjudged"
OWNER_ACTIVE = "owner-active"
UNSUPPORTED = "unsupported"
DECLARATION = "declaration"
CHANGE_REVERTED = "change-reverted"
CHANGE_PENDING = "change-pending"
TUNNEL_RUNNING = "tunnel-running"
TUNNEL_BOOT = "tunnel-boot"
TUNNEL_CONFLICT = "tunnel-conflict"
TUNNEL_SILENT = "tunnel-silent"
TUNNEL_ONE_WAY = "tunnel-one-way"
TUNNEL_ROUTING = "tunnel-routing"
KUBE_PROXY_MODE = "kube-proxy-mode"
KUBE_PROXY_SETTINGS = "kube-proxy-settings"
KUBE_PROXY_SERVICES = "kube-proxy-services"
KUBE_PROXY_RESIDUE = "kube-proxy-residue"
KUBE_PROXY_NODE = "kube-proxy-node"
KUBE_PROXY_VERSION = "kube-proxy-version"
KUBE_PROXY_UNFINISHED = "kube-proxy-unfinished"
KUBE_PROXY_UNVERIFIED = "kube-proxy-unverified"
WAIVER_EXPIRED = "waiver-expired"
HOST_UNREACHABLE = "host-unreachable"
HOST_FAILED = "host-failed"
HEALTH_CLIENT = "health-client-success"
HEALTH_SERVER = "health-server-success"
HEALTH_RETRANSMISSION = "health-retransmission"
HEALTH_SYN = "health-syn-retransmission"
HEALTH_RTT = "health-rtt"
HEALTH_WINDOW_SCALE = "health-window-scale"
HEALTH_PORTS = "health-ports"
HEALTH_BACKLOG = "health-backlog"
HEALTH_LOOPBACK = "health-loopback"
HEALTH_LIMIT = "health-limit"
PROBE_CONNECT = "probe-connect"
PROBE_SYN = "probe-syn-retransmission"
PROBE_RTT = "probe-rtt"
PROBE_WINDOW_SCALE = "probe-window-scale"
PROBE_MTU = "probe-mtu"
DIAG_NO_ANSWER = "diagnose-no-answer"
DIAG_REFUSED = "diagnose-refused"
DIAG_SILENT = "diagnose-silent"
DIAG_RESET = "diagnose-reset"
DIAG_WINDOW_SCALE = "diagnose-window-scale"
DIAG_ZERO_WINDOW = "diagnose-zero-window"
DIAG_RETRANSMISSION = "diagnose-retransmission"
DIAG_MTU = "diagnose-mtu"
DIAG_ASYMMETRIC = "diagnose-asymmetric"
DIAG_PATH_LOSS = "diagnose-path-loss"
DIAG_BACKLOG = "diagnose-backlog"
DIAG_INTERFACE = "diagnose-interface"

SEVERITIES = ("note", "warning", "error")
# What --tags selects, and the columns of a report's map. The subject host stands for the host as a whole.
SUBJECTS = ("sysctl", "congestion_control", "module", "qdisc", "route", "file", "owner", "tunnel", "kube_proxy", "host")
# The same of a look at TCP's health.
HEALTH_SUBJECTS = (
    "client_success",
    "server_success",
    "retransmission",
    "syn_retransmission",
    "rtt",
    "window_scale",
    "ports",
    "backlog",
    "loopback",
    "host",
)
# The same of an active probe.
PROBE_SUBJECTS = ("client_success", "syn_retransmission", "rtt", "window_scale", "mtu", "host")
# The same of a diagnosis.
DIAGNOSE_SUBJECTS = ("handshake", "window", "retransmission", "path_mtu", "route", "backlog", "interface", "host")


@dataclass(frozen=True)
class Rule:
    """A kind of finding. title: a clause for a heading; text: what it means and why it matters."""

    id: str
    title: str
    text: str


# Those of a drift check.
RULES: Tuple[Rule, ...] = (
    Rule(
        SYSCTL_RUNNING,
        "the kernel runs another value",
        "The running value of a key is not the declared one. Somebody or something changed it after the last tuning "
        "run.",
    ),
    Rule(
        SYSCTL_BOOT,
        "the next boot would set another value",
        "What runs is as declared, but the files that are read at boot give the key another value, or none.",
    ),
    Rule(
        SYSCTL_DEAD,
        "a file sets a key that does nothing or is gone",
        "A sysctl.d file sets a TCP key that the kernel has removed or ignores. Each boot logs an error, or the line "
        "pretends an effect that it does not have.",
    ),
    Rule(
        SYSCTL_SHADOW,
        "a file sets a declared key without effect at boot",
        "A line gives a declared key another value. It decides nothing at boot, but somebody who applies the file by "
        "hand (sysctl -p, sysctl --system) changes what runs.",
    ),
    Rule(
        SYSCTL_UNREAD,
        "a file that decides the next boot could not be read",
        "What a file of sysctl.d sets at boot is not known, so nothing can be said of keys that it may set.",
    ),
    Rule(
        CONGESTION_CONTROL,
        "new connections use another congestion control",
        "The congestion control that the kernel gives to new sockets, now or after the next boot, is not the declared "
        "one.",
    ),
    Rule(MODULE_RUNNING, "a kernel module is not loaded", "A declared value needs a module that is not loaded."),
    Rule(
        MODULE_BOOT,
        "the next boot would not load a kernel module",
        "No file of modules-load.d names a module that a declared value needs, or something forbids it: at the next "
        "boot that value is silently missing.",
    ),
    Rule(QDISC_RUNNING, "an interface has another qdisc", "The qdisc of a live interface is not the declared one."),
    Rule(
        QDISC_BOOT,
        "the next boot would give an interface another qdisc",
        "What runs is as declared, but nothing sets the qdisc again at boot.",
    ),
    Rule(
        ROUTE_OVERRIDE,
        "a route has its own congestion control",
        "A route names a congestion control, which beats the sysctl for every connection over it.",
    ),
    Rule(
        FILE_CHANGED,
        "one of our files is not as declared",
        "A file that the declaration owns on the host is missing, masked, edited, or has another mode; or the "
        "declaration has changed since the last tuning run.",
    ),
    Rule(
        FILE_UNJUDGED,
        "something could not be judged by this user",
        "What has to be read is closed to the user of this check, so nothing is said of it.",
    ),
    Rule(
        OWNER_ACTIVE,
        "something else on the host sets what is declared",
        "Another service (tuned, bpftune, kube-proxy, NetworkManager) is active and changes what is declared here.",
    ),
    Rule(
        TUNNEL_RUNNING,
        "a link is not as declared",
        "What runs of a WireGuard link (interface, key, addresses, peers, routes) is not what the inventory declares. "
        "Somebody changed it, or the declaration has changed since the last run of the playbook links.",
    ),
    Rule(
        TUNNEL_BOOT,
        "the next boot would bring a link up otherwise",
        "A WireGuard link runs as declared, but the files that bring it up at boot say something else, or are gone.",
    ),
    Rule(
        TUNNEL_CONFLICT,
        "something stands in the way of a link",
        "The playbook links would refuse, or leave a peer out: an interface, port or route is somebody else's, a name "
        "does not resolve, or the key of a peer is not known.",
    ),
    Rule(
        TUNNEL_SILENT,
        "the other end of a link does not answer",
        "There is no session with a peer. Where one of the two ends keeps the link alive there always is one: the peer "
        "is down, or the way to it is closed.",
    ),
    Rule(
        TUNNEL_ONE_WAY,
        "a link has only sent and heard nothing",
        "Packets went to a peer and none came back: a firewall, a wrong endpoint, or a peer that does not know this "
        "host's key.",
    ),
    Rule(
        TUNNEL_ROUTING,
        "failover of links does not work",
        "FRR is not configured as it is derived, does not run, or a session over a link is down. A dead link "
        "is noticed late, or not at all.",
    ),
    Rule(
        KUBE_PROXY_MODE,
        "kube-proxy runs another mode, or is not well",
        "kube-proxy of a node does not answer, is not healthy, or runs another mode than the declared one: its "
        "configuration was changed, or a kernel module was missing at its last start.",
    ),
    Rule(
        KUBE_PROXY_SETTINGS,
        "kube-proxy is configured otherwise",
        "A setting of kube-proxy (scheduler, timeouts, strict ARP) is not the declared one. It counts from its next "
        "start on.",
    ),
    Rule(
        KUBE_PROXY_SERVICES,
        "a node does not serve Services as the API has them",
        "The kernel's own table differs from Services and EndpointSlices: an endpoint is missing or gone, or an "
        "address is not on kube-ipvs0. Connections from that node fail or go astray.",
    ),
    Rule(
        KUBE_PROXY_RESIDUE,
        "another mode of kube-proxy has left something",
        "Chains, ipsets, virtual servers or kube-ipvs0 of a mode that does not run any more. Some of it still refuses "
        "connections.",
    ),
    Rule(
        KUBE_PROXY_NODE,
        "a node is not made ready for kube-proxy's mode",
        "A kernel parameter that the mode needs has another value, or NetworkManager manages kube-ipvs0.",
    ),
    Rule(
        KUBE_PROXY_VERSION,
        "kube-proxy's mode has a deadline",
        "The version of kube-proxy on the node refuses the declared mode, or a later one will.",
    ),
    Rule(
        KUBE_PROXY_UNFINISHED,
        "a change of kube-proxy has not come to its end",
        "A run was ended, or had not all nodes: part of the cluster has the new settings by the second DaemonSet, or a "
        "node keeps what stood there before.",
    ),
    Rule(
        KUBE_PROXY_UNVERIFIED,
        "Services could not be compared",
        "The API of the cluster could not be asked from the controller, or there is no kube-proxy.",
    ),
    Rule(UNSUPPORTED, "the host cannot do what is declared", "A declared key or feature does not exist on the host."),
    Rule(DECLARATION, "the declaration has a fault", "A variable or value of the inventory cannot be meant."),
    Rule(
        CHANGE_REVERTED,
        "the host took a change back by itself",
        "A tuning run was not confirmed: the host could not be reached any more, or the controller was gone. What "
        "differs is as it was before that run.",
    ),
    Rule(
        CHANGE_PENDING,
        "a change waits to be confirmed",
        "A tuning run is at work on the host, or was a moment ago. Until it is confirmed nothing is final.",
    ),
    Rule(
        WAIVER_EXPIRED,
        "a waiver has expired",
        "A finding was tolerated until a date that has passed. Mend what it hides, or renew the waiver.",
    ),
    Rule(
        HOST_UNREACHABLE,
        "hosts could not be asked",
        "Nothing is known of a host that cannot be reached.",
    ),
    Rule(HOST_FAILED, "hosts could not be judged", "The check itself failed on the host."),
)

# Those of a look at a host's TCP health.
HEALTH_RULES: Tuple[Rule, ...] = (
    Rule(
        HEALTH_CLIENT,
        "too few connections from here are established",
        "Of the connections that the host opened, more came to nothing than the target allows.",
    ),
    Rule(
        HEALTH_SERVER,
        "too few connections to here are accepted",
        "Of the connections that reached a listener, more were dropped than the target allows.",
    ),
    Rule(
        HEALTH_RETRANSMISSION,
        "too many segments are sent again",
        "Of the data segments that the host sent, more were retransmissions than the target allows.",
    ),
    Rule(
        HEALTH_SYN,
        "too many SYNs are sent again",
        "Connections take a second and more to be established, or are given up before.",
    ),
    Rule(HEALTH_RTT, "the RTT is too long", "The mean RTT to a class of peers is beyond its target."),
    Rule(
        HEALTH_WINDOW_SCALE,
        "connections have no window scale",
        "Without it no more than 64 KiB are under way at a time: at an RTT of 100 ms, some 5 Mbit/s.",
    ),
    Rule(
        HEALTH_PORTS,
        "local ports get scarce",
        "Most local ports for connections between two addresses and a port are taken. Once all are, new ones fail with "
        "EADDRNOTAVAIL.",
    ),
    Rule(
        HEALTH_BACKLOG,
        "a listener's queue is full",
        "As many connections as may wait to be accepted do. Further ones are dropped, and tried again after a second.",
    ),
    Rule(
        HEALTH_LOOPBACK,
        "a host talks to itself by short connections",
        "Each costs a handshake at both ends, and leaves a TIME-WAIT that holds a local port for a minute: processor "
        "time goes into the kernel, and in the end there is no port left. By a UNIX domain socket there is neither.",
    ),
    Rule(
        HEALTH_LIMIT,
        "something could not be looked at",
        "The kernel does not tell it, or not to this user; or what was counted before cannot be compared with.",
    ),
)

# Those of an active probe.
PROBE_RULES: Tuple[Rule, ...] = (
    Rule(
        PROBE_CONNECT,
        "connections to a destination fail",
        "Of the connections that the probe made to a destination, more came to nothing than the target allows.",
    ),
    Rule(
        PROBE_SYN,
        "SYNs to a destination are sent again",
        "Connections are established, but only after a second and more: the first SYN, or its answer, is lost.",
    ),
    Rule(PROBE_RTT, "the RTT is too long", "The mean RTT of the probe's connections to a class of peers is too long."),
    Rule(
        PROBE_WINDOW_SCALE,
        "a destination has no window scale",
        "Without it no more than 64 KiB are under way at a time: at an RTT of 100 ms, some 5 Mbit/s.",
    ),
    Rule(
        PROBE_MTU,
        "large packets to a destination vanish",
        "Packets as large as the kernel sends them there do not get through, and nobody says so: connections are "
        "established, and stall with the first full segment.",
    ),
)

# Those of a diagnosis. What of them takes how much is told by plugin_utils/_diagnose_rules.py.
DIAGNOSE_RULES: Tuple[Rule, ...] = (
    Rule(
        DIAG_NO_ANSWER,
        "SYNs are not answered",
        "A connection is asked for, and nothing comes back: somebody on the way, or the host itself, drops it.",
    ),
    Rule(DIAG_REFUSED, "connections are refused", "A connection is asked for, and the answer is a reset or ICMP's."),
    Rule(
        DIAG_SILENT,
        "the other end of a connection has gone silent",
        "A connection stands, and what is sent over it is no longer acknowledged.",
    ),
    Rule(
        DIAG_RESET,
        "connections are reset by a device on the way",
        "A reset has come farther, or less far, than all other packets of the end whose address it bears.",
    ),
    Rule(
        DIAG_WINDOW_SCALE,
        "connections have no window scale",
        "Without it no more than 64 KiB are under way at a time: at an RTT of 100 ms, some 5 Mbit/s.",
    ),
    Rule(
        DIAG_ZERO_WINDOW,
        "an application does not read",
        "An end of a connection has said that it can take no more (a window of zero): the network waits for it.",
    ),
    Rule(
        DIAG_RETRANSMISSION,
        "segments are lost",
        "More data segments were sent again than there should be, or many at once.",
    ),
    Rule(
        DIAG_MTU,
        "large packets vanish",
        "Full-size segments do not get through while small ones do, and nobody says so: connections are established, "
        "and stall with the first full segment.",
    ),
    Rule(
        DIAG_ASYMMETRIC,
        "packets go one way and come back another",
        "Only one direction of a connection is seen where it was looked for, or the two are of different length. "
        "Firewalls that keep state drop what they have seen but half of.",
    ),
    Rule(DIAG_PATH_LOSS, "the way loses packets", "Echoes that were sent along the way are lost up to its end."),
    Rule(
        DIAG_BACKLOG,
        "a listener's queue is full",
        "As many connections as may wait to be accepted do. Further ones are dropped, and tried again after a second.",
    ),
    Rule(
        DIAG_INTERFACE,
        "a host drops packets itself",
        "A queue of the host (qdisc, interface, processor) has dropped packets while it was looked at.",
    ),
)

RULE_INDEX: Dict[str, Rule] = {rule.id: rule for rule in (*RULES, *HEALTH_RULES, *PROBE_RULES, *DIAGNOSE_RULES)}


def at_least(severity: str, threshold: str) -> bool:
    """Whether a severity reaches the threshold."""
    return SEVERITIES.index(severity) >= SEVERITIES.index(threshold)
