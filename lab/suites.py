# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab knows about each Debian suite: data only."""

from __future__ import annotations

from dataclasses import dataclass

# Everything that the tests use on a host. One tree serves virtual machines and containers alike.
PACKAGES = (
    "conntrack",
    "dbus",
    "ethtool",
    "iperf3",
    "iproute2",
    "ipset",
    "iptables",
    "iputils-ping",
    "ipvsadm",
    "kmod",
    "linux-image-cloud-amd64",
    "nftables",
    "openssh-server",
    "procps",
    "python3",
    "socat",
    "systemd-sysv",
    "tcpdump",
    "udev",
    "wireguard-tools",
)
# What else sets keys on hosts of the fleet: there, and not at work until a test starts it. 15 MB.
TUNERS = ("tuned",)
# What links are compared with (IPsec), and what decides between them (BGP and BFD). With what these need, 25 MB in 11
# packages: less than a tree of its own for each backend would cost.
ROUTING = ("frr", "frr-pythontools")
IPSEC = ("charon-systemd", "libstrongswan-standard-plugins", "strongswan-swanctl")
# What the exporter of TCP writes for. 15 MB, without the collectors with timers that Debian recommends with it.
MONITORING = ("prometheus-node-exporter",)
# Units of all of these, and of what they bring along. A boot is none the longer for them.
IDLE = (*TUNERS, *MONITORING, "frr", "strongswan", "logrotate.timer")
FULL = (*PACKAGES, *TUNERS, *ROUTING, *IPSEC, *MONITORING)


@dataclass(frozen=True)
class Suite:
    """A Debian suite that hosts can run."""

    name: str
    release: str
    packages: tuple[str, ...] = PACKAGES
    disabled: tuple[str, ...] = ()  # units that Debian enables on installation
    archived: bool = False  # its security updates are listed but no longer all there


KNOWN = {
    "bullseye": Suite("bullseye", "Debian 11", archived=True),
    "bookworm": Suite("bookworm", "Debian 12", FULL, IDLE),
    "trixie": Suite("trixie", "Debian 13", FULL, IDLE),
    "sid": Suite("sid", "Debian unstable"),
}
