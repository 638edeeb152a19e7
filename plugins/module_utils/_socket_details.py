# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that the kernel tells of single connections, of those that are asked for. Pure.

Offsets: linux/inet_diag.h (inet_diag_msg) and linux/tcp.h (tcp_info), which only ever grow at their ends; of an older
kernel the later fields are missing, and are 0 here.
"""

from __future__ import annotations

import struct
from typing import Callable, Iterator

from ansible_collections.netfleet.tcp.plugins.module_utils._diagnose_model import SocketState
from ansible_collections.netfleet.tcp.plugins.module_utils._sock_diag import CONG, INFO, Answer, attributes
from ansible_collections.netfleet.tcp.plugins.module_utils._socket_tally import STATES, address_of, end_point

# Whether a connection is wanted: its local port, the peer's address, and the peer's port.
Wanted = Callable[[int, str, int], bool]

_QUEUES = struct.Struct("=56xII4xI")  # and the inode
# tcp_info: backoff, options and scales, then 24 numbers of 32 bits; and what later kernels have added.
_SHORT = struct.Struct("=xxxxBBBx24I")
_LATER = struct.Struct("=4Q6IQ3Q")
_SEND_WINDOW = 228
_NONE = 0xFFFFFFFF
_WINDOW_SCALE = 4  # TCPI_OPT_WSCALE


def connections(answer: Answer, wanted: Wanted) -> Iterator[SocketState]:
    """The connections of an answer that are wanted."""
    for datagram, start, end in answer:
        family = datagram[start]
        peer = address_of(family, datagram[start + 24 : start + 40])
        ports = datagram[start + 4 : start + 6], datagram[start + 6 : start + 8]
        if wanted(int.from_bytes(ports[0], "big"), peer, int.from_bytes(ports[1], "big")):
            local = address_of(family, datagram[start + 8 : start + 24])
            yield _state(datagram, start, end, end_point(local, ports[0]), end_point(peer, ports[1]))


def _state(datagram: bytes, start: int, end: int, local: str, peer: str) -> SocketState:
    state = STATES.get(datagram[start + 1], str(datagram[start + 1]))
    waiting, unsent, inode = _QUEUES.unpack_from(datagram, start)
    found = attributes(datagram, start, end)
    place, length = found.get(INFO, (0, 0))
    if not length:
        return SocketState(local, peer, state, waiting, unsent, inode=inode)
    info = datagram[place : place + length].ljust(_SHORT.size + _LATER.size, b"\0")
    backoff, options, scales, *numbers = _SHORT.unpack_from(info)
    later = _LATER.unpack_from(info, _SHORT.size)
    name, size = found.get(CONG, (0, 0))
    return SocketState(
        local,
        peer,
        state,
        inode=inode,
        receive_queue=waiting,
        send_queue=unsent,
        rto=numbers[0] / 1000.0,
        send_mss=numbers[2],
        unacked=numbers[4],
        lost=numbers[6],
        path_mtu=numbers[13],
        rtt=numbers[15] / 1000.0,
        deviation=numbers[16] / 1000.0,
        cwnd=numbers[18],
        retransmitted=numbers[23],
        backoff=backoff,
        window_scale=bool(options & _WINDOW_SCALE),
        # Of the byte, the lower half is the peer's scale, by which what it announces is multiplied.
        send_scale=scales & 15,
        receive_scale=scales >> 4,
        bytes_acked=later[2],
        bytes_received=later[3],
        minimum_rtt=0.0 if later[7] in (0, _NONE) else later[7] / 1000.0,
        segments=later[9],
        busy=later[11] // 1000,
        receive_window_limited=later[12] // 1000,
        send_buffer_limited=later[13] // 1000,
        send_window=_number(datagram, place + _SEND_WINDOW) if length >= _SEND_WINDOW + 4 else -1,
        congestion_control=datagram[name : name + size].rstrip(b"\0").decode("ascii", "replace"),
    )


def _number(datagram: bytes, place: int) -> int:
    return int(struct.unpack_from("=I", datagram, place)[0])
