# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Captures read by tshark: its command line, and what it prints. The only I/O is to run it.

Runs on the controller alone. tshark knows link types, options and TCP's ways far better than we ever would; what its
analysis says of a packet is taken as it is. Its own configuration of this user is left aside.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from typing import Dict, List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import host_error
from ansible_collections.netfleet.tcp.plugins.plugin_utils._capture_model import MARKS, End, Error, Packet

_SECONDS = 300
_CURE = "install tshark on the controller (package tshark, or wireshark-cli); the captures are in the archive"
_ANALYSIS = "tcp.analysis."
FIELDS: Tuple[str, ...] = (
    "frame.number",
    "frame.time_epoch",
    "sll.ifindex",
    "ip.src",
    "ip.dst",
    "ipv6.src",
    "ipv6.dst",
    "ip.ttl",
    "ipv6.hlim",
    "tcp.stream",
    "tcp.srcport",
    "tcp.dstport",
    "tcp.flags",
    "tcp.seq_raw",
    "tcp.ack_raw",
    "tcp.len",
    "tcp.window_size",
    "tcp.window_size_scalefactor",
    "tcp.options.wscale.shift",
    "tcp.options.mss_val",
    "tcp.options.timestamp.tsval",
    "icmp.type",
    "icmp.code",
    "icmp.mtu",
    "icmpv6.type",
    "icmpv6.code",
    "icmpv6.mtu",
    *(_ANALYSIS + mark for mark in MARKS),
)
# Nothing is put together: there is no payload, and each packet is to be seen as it went.
_SETTINGS = (
    "tcp.desegment_tcp_streams:FALSE",
    "tcp.check_checksum:FALSE",
    "tcp.analyze_sequence_numbers:TRUE",
    "tcp.relative_sequence_numbers:TRUE",
    "ip.defragment:FALSE",
)


def arguments(path: str, interface: int = 0) -> List[str]:
    """The command line. interface: of a capture of several, the only one that counts; 0: all."""
    argv = [
        "tshark",
        "-r",
        path,
        "-n",
        "-T",
        "fields",
        "-E",
        "separator=/t",
        "-E",
        "occurrence=a",
        "-E",
        "aggregator=,",
    ]
    argv += [word for setting in _SETTINGS for word in ("-o", setting)]
    argv += ["-R", "sll.ifindex == %d" % interface, "-2"] if interface else []
    return [*argv, *(word for name in FIELDS for word in ("-e", name))]


def read(path: str, home: str, interface: int = 0) -> Tuple[Packet, ...]:
    """The packets of a file; HostError where tshark is missing, or fails. home: a folder of its own for tshark."""
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": home,
        "XDG_CONFIG_HOME": home,
        "LC_ALL": "C.UTF-8",
    }
    try:
        done = subprocess.run(
            arguments(path, interface),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            timeout=_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise host_error("tshark", "is not installed here", _CURE) from error
    except subprocess.TimeoutExpired as error:
        raise host_error("tshark", "did not end within %d s" % _SECONDS, "capture less") from error
    found = tuple(parse(done.stdout.splitlines()))
    if done.returncode != 0 and not found:
        said = [line for line in done.stderr.splitlines() if line.strip() and "Running as user" not in line]
        raise host_error("tshark", said[-1] if said else "exit status %d" % done.returncode, _CURE)
    return found


def parse(lines: Sequence[str]) -> Iterator[Packet]:
    """The packets of TCP, and the errors about such ones, of what tshark prints: a line each, with tabs between."""
    for line in lines:
        values = dict(zip(FIELDS, line.split("\t"), strict=False))
        try:
            packet = _packet(values)
        except (ValueError, IndexError):
            # A packet that is cut where it should not be; others follow.
            continue
        if packet:
            yield packet


def _packet(values: Dict[str, str]) -> Optional[Packet]:
    if not values.get("tcp.srcport"):
        return None
    sources, targets = (_all(values, "ip." + name) + _all(values, "ipv6." + name) for name in ("src", "dst"))
    addresses = list(zip(sources, targets, strict=True))
    error = _error(values, addresses[0][0])
    # An error comes first, then what it quotes; of tunnels the inner packet comes last too.
    source, destination = addresses[-1]
    ports = _number(values, "tcp.srcport"), _number(values, "tcp.dstport")
    ends: Tuple[End, End] = ((source, ports[0]), (destination, ports[1]))
    number, time = _number(values, "frame.number"), float(values["frame.time_epoch"])
    if error:
        return Packet(number, time, *ends, seq=_number(values, "tcp.seq_raw"), error=error)
    ttls = _all(values, "ip.ttl") or _all(values, "ipv6.hlim")
    factor = values.get("tcp.window_size_scalefactor", "")
    flags = int(_all(values, "tcp.flags")[0], 16)
    # -1: the SYNs were not seen, so what the window stands for is not known. One of zero is zero whatever the scale.
    window = _number(values, "tcp.window_size")
    known = not factor.startswith("-1") or window == 0
    scale = _all(values, "tcp.options.wscale.shift")
    return Packet(
        number,
        time,
        *ends,
        stream=_number(values, "tcp.stream"),
        ttl=int(ttls[-1]) if ttls else 0,
        flags=flags,
        seq=_number(values, "tcp.seq_raw"),
        ack=_number(values, "tcp.ack_raw"),
        length=_number(values, "tcp.len"),
        window=window if known else -1,
        scale=int(scale[0]) if scale else None,
        mss=_number(values, "tcp.options.mss_val"),
        tsval=_number(values, "tcp.options.timestamp.tsval"),
        interface=_number(values, "sll.ifindex"),
        marks=frozenset(mark for mark in MARKS if values.get(_ANALYSIS + mark)),
    )


def _all(values: Dict[str, str], name: str) -> List[str]:
    text = values.get(name, "")
    return text.split(",") if text else []


def _number(values: Dict[str, str], name: str) -> int:
    found = _all(values, name)
    return int(found[0]) if found else 0


def _error(values: Dict[str, str], sender: str) -> Optional[Error]:
    for prefix, six in (("icmp", False), ("icmpv6", True)):
        if values.get(prefix + ".type"):
            kind, code, mtu = (_number(values, "%s.%s" % (prefix, name)) for name in ("type", "code", "mtu"))
            return Error(sender, kind, code, mtu, six)
    return None
