# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How large a TCP buffer has to be: from bandwidth and RTT (BDP), within the host's memory. Pure.

Measured (docs/profiles.md): a maximum of 0.8 BDP reached 23 % of the link, 2.1 BDP 82 %, 5 BDP 89 %; one of 13 BDP
reached no more and doubled the RTT under cubic. Hence 2 BDP, rounded up to a power of two: between 2 and 4 BDP.
"""

from __future__ import annotations

import re
from typing import Optional

BDP_FACTOR = 2
# Above this many BDP a buffer does not fill the path better, it fills the queue.
BDP_REASON = 8
_UNITS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
_BANDWIDTH = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(?:bit|bit/s|bps)\Z", re.IGNORECASE)
_TIME = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(us|ms|s)\Z", re.IGNORECASE)
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


def parse_bandwidth(text: str) -> Optional[float]:
    """Bit/s from a text such as ``10Gbit`` or ``500 Mbit/s``; None where it is not one, or not in 64 kbit to 1 Tbit."""
    match = _BANDWIDTH.match(text.strip())
    rate = float(match.group(1)) * _UNITS[match.group(2).lower()] if match else 0.0
    return rate if 64e3 <= rate <= 1e12 else None


def parse_rtt(text: str) -> Optional[float]:
    """Seconds from a text such as ``40ms`` or ``250us``; None where it is not one or not from 1 us to 10 s."""
    match = _TIME.match(text.strip())
    seconds = float(match.group(1)) * _SECONDS[match.group(2).lower()] if match else 0.0
    return seconds if 1e-6 <= seconds <= 10 else None


def format_bandwidth(rate: float) -> str:
    """10e9 -> ``10 Gbit/s``."""
    for prefix, factor in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if rate >= factor:
            return "%g %sbit/s" % (rate / factor, prefix)
    return "%g bit/s" % rate


def format_bytes(count: float) -> str:
    """16777216 -> ``16 MiB``; three significant digits."""
    for prefix, factor in (("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)):
        amount = count / factor
        if amount >= 1:
            # %.3g alone would turn 1000 MiB into 1e+03 MiB.
            return ("%.0f %sB" if amount >= 100 else "%.3g %sB") % (amount, prefix)
    return "%d B" % count


def bdp(bandwidth: float, rtt: float) -> float:
    """Bandwidth-delay product in bytes, of bit/s and seconds."""
    return bandwidth * rtt / 8


def buffer_maximum(bandwidth: float, rtt: float) -> int:
    """The buffer maximum in bytes that fills the path: BDP_FACTOR x BDP, up to a power of two, below 2 GiB."""
    need = BDP_FACTOR * bdp(bandwidth, rtt)
    size = 1 << 16
    while size < need and size < 1 << 30:
        size <<= 1
    return size


def memory_limit(memory: int, share: float) -> int:
    """The largest power of two within the share of the host's memory that one buffer may take; 64 KiB at least."""
    size = 1 << 16
    while size * 2 <= memory * share:
        size <<= 1
    return size
