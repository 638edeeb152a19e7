# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Retransmissions, resets and the time that connects take, by bpftrace: its program, and what it prints. Pure.

By tracepoints alone, which are there from Linux 4.16 on. They see all network namespaces of the host.
"""

from __future__ import annotations

import re
from typing import Dict, Iterable, Iterator, List, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._diagnose_model import Traced

# Addresses are those of IPv6, in which IPv4 is mapped: older kernels have no family there.
_PROGRAM = """\
tracepoint:tcp:tcp_retransmit_skb { printf("retransmit %%s %%d %%s %%d 0\\n",
  ntop(args->saddr_v6), args->sport, ntop(args->daddr_v6), args->dport); }
tracepoint:tcp:tcp_receive_reset { printf("reset_received %%s %%d %%s %%d 0\\n",
  ntop(args->saddr_v6), args->sport, ntop(args->daddr_v6), args->dport); }
tracepoint:sock:inet_sock_set_state /args->protocol == 6 && args->newstate == 2/ { @began[args->skaddr] = nsecs; }
tracepoint:sock:inet_sock_set_state /args->oldstate == 2 && @began[args->skaddr]/ {
  printf("%%s %%s %%d %%s %%d %%d\\n", args->newstate == 1 ? "connect" : "connect_failed", ntop(args->saddr_v6),
    args->sport, ntop(args->daddr_v6), args->dport, (nsecs - @began[args->skaddr]) / 1000);
  delete(@began[args->skaddr]); }
interval:s:%d { exit(); }
END { clear(@began); }
"""
_EVENT = re.compile(r"(\w+) (\S+) (\d+) (\S+) (\d+) (\d+)\Z")
_MAPPED = "::ffff:"
_MOST = 1000
# Bytes of what it printed.
_MOST_KEPT = 64 * 1024


def arguments(seconds: float) -> List[str]:
    """The command line. It ends in its time, whatever becomes of this process."""
    whole = max(1, int(seconds))
    return ["timeout", "-k", "2", str(whole + 10), "bpftrace", "-q", "-e", _PROGRAM % whole]


def why(said: str) -> str:
    """What it says of why it failed, in one line. said: its standard error, where the program follows the reason."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if not lines:
        return "it said nothing"
    error = next((line for line in lines if "ERROR" in line), lines[-1])[:200]
    return error + ("; is tracefs mounted at /sys/kernel/tracing?" if "tracepoint not found" in error else "")


def events(text: str, port: int, peers: Iterable[str]) -> Tuple[Traced, ...]:
    """What was seen of connections with a port (0: any) and of these peers (none: all), the same ones as one."""
    found: Dict[Tuple[str, str, str], Traced] = {}
    for _line, (event, source, sport, destination, dport, micro) in _of_these(text, port, peers):
        key = (event, _end(source, sport), _end(destination, dport))
        before = found.get(key)
        if before is None and len(found) >= _MOST:
            continue
        slowest = max(int(micro) / 1000.0, before.milliseconds if before else 0.0)
        found[key] = Traced(*key, (before.count if before else 0) + 1, slowest)
    return tuple(found.values())


def kept(text: str, port: int, peers: Iterable[str]) -> str:
    """The lines of the same connections, as they were printed, up to so many: others concern nobody."""
    lines: List[str] = []
    left = _MOST_KEPT
    for line, _fields in _of_these(text, port, peers):
        left -= len(line) + 1
        if left < 0:
            break
        lines.append(line + "\n")
    return "".join(lines)


def _of_these(text: str, port: int, peers: Iterable[str]) -> Iterator[Tuple[str, Tuple[str, ...]]]:
    wanted = set(peers)
    for whole in text.splitlines():
        line = whole.strip()
        match = _EVENT.match(line)
        if not match:
            continue
        event, source, sport, destination, dport, micro = match.groups()
        source, destination = (_plain(each) for each in (source, destination))
        if (port and str(port) not in (sport, dport)) or (wanted and not wanted & {source, destination}):
            continue
        yield line, (event, source, sport, destination, dport, micro)


def _plain(address: str) -> str:
    return address[len(_MAPPED) :] if address.startswith(_MAPPED) else address


def _end(address: str, port: str) -> str:
    return ("[%s]:%s" if ":" in address else "%s:%s") % (address, port)
