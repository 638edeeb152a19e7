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
    "bookworm": Suite("bookworm", "Debian 12", (*PACKAGES, *TUNERS), TUNERS),
    "trixie": Suite("trixie", "Debian 13", (*PACKAGES, *TUNERS), TUNERS),
    "sid": Suite("sid", "Debian unstable"),
}
