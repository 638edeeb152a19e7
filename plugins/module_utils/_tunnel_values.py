# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What single values of WireGuard may be. Pure; the same for what a host declares and for a whole fleet."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from typing import Optional, Union

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
# The kernel's IFNAMSIZ, less its end.
LONGEST_NAME = 15
HIGHEST_PORT = 65535
# Below it IPv6 does not work, and few paths are that narrow.
LOWEST_MTU, HIGHEST_MTU = 1280, 65535
# Bytes that WireGuard adds: the outer IP header, 8 of UDP, 32 of its own. A name may resolve to either family.
OVERHEAD = {4: 60, 6: 80}
# The kernel pads what it encrypts to this; where its own cap does not apply, a packet grows by up to 15 bytes.
PADDING = 16
# Below it IPv4 itself does not work.
LOWEST_IPV4_MTU = 576
HIGHEST_METRIC = 1 << 24
MOST_SEGMENTS = 1000
A_KEY = "44 characters, as `wg pubkey` prints them"

# Of hosts and peers: they stand in files, and in names of files.
_NODE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}\Z")
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\Z")


def is_key(text: str) -> bool:
    """Whether a text is a WireGuard key: 32 bytes in base64."""
    try:
        return len(text) == 44 and len(base64.b64decode(text, validate=True)) == 32
    except (binascii.Error, ValueError):
        return False


def is_node(text: str) -> bool:
    """Whether a text may be the name of a host or a peer."""
    return bool(_NODE.match(text))


def is_host_name(text: str) -> bool:
    """Whether a text may be a name that is to be resolved."""
    labels = text.rstrip(".").split(".")
    # All digits at the end: somebody's mistyped address, which a resolver would take for another.
    return len(text) <= 253 and all(_LABEL.match(label) for label in labels) and not labels[-1].isdigit()


def is_congestion_control(text: str) -> bool:
    """Whether a text may be the name of a congestion control."""
    return text.isascii() and text.replace("_", "").isalnum()


def literal(text: str) -> Optional[Address]:
    """The address that a text is; None where it is a name. An address with a zone is none: it is one host's alone."""
    try:
        return None if "%" in text else ipaddress.ip_address(text)
    except ValueError:
        return None


def prefix_of(text: str) -> Network:
    """The prefix that a text is. ValueError, in words, where it is none."""
    if "%" in text:
        raise ValueError("a zone is of a host, not of a prefix")
    return ipaddress.ip_network(text.strip())


def holds(larger: Network, smaller: Network) -> bool:
    """Whether a prefix is within another one, or the same."""
    return larger.version == smaller.version and smaller.subnet_of(larger)  # type: ignore[arg-type]
