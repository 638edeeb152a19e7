# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes the keys of tunnels that carry something, so that those who talk through them hardly notice.

While a change is pending, its peers know two keys of a host: what goes to it belongs to the former one. The host then
switches to the new key, which begins a session of its own, and whoever hears of that hands over at once. A program on
the host does that, not the controller: what arrives in between is lost, and a round trip to the controller is long.
WireGuard gives a prefix to one peer at a time, so there is no way without that moment; the interval of the look below
is what remains of it.

Pure but for the System that is handed in.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Callable, Dict, Iterable, List, Optional

from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint import Checkpoint
from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint_store import (
    PENDING_PATH,
    is_over,
    read_pending,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError, host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_answers import DISCARD, Asked, answers
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_plan import (
    hand_overs,
    handing_over,
    tunnel_commands,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnels import change_tunnel, read_peers, run_commands

# Between two looks; each starts a program.
_PAUSE = 0.02
_LOCK_SECONDS = 30.0


def needed(wanted: Iterable[Optional[Tunnel]]) -> bool:
    """Whether a change has keys to hand over."""
    return any(peer.former for tunnel in wanted if tunnel for peer in tunnel.peers)


def watch(system: System, sleep: Callable[[float], None] = time.sleep) -> int:
    """Hand over whatever is due, until all is, or the pending change has ended; how many interfaces were changed.

    What fails is tried again until then: an interface of somebody may go while all are read.
    """
    changed, failed = 0, ""
    text, pending = system.read(PENDING_PATH), read_pending(system)
    while pending is not None and not is_over(system, pending):
        try:
            seen = read_peers(system)
            wanted = [(tunnel, seen.get(name)) for name, tunnel in pending.after.tunnels.items() if tunnel]
            if not any(handing_over(want, have) for want, have in wanted):
                break
            due = [want for want, have in wanted if have and hand_overs(want, have)]
            changed += _hand_over(system, pending.id, due) if due else 0
        except HostError as error:
            if str(error) != failed:
                failed = str(error)
                system.log("keys could not be handed over, which is tried again: %s" % failed)
        sleep(_PAUSE)
        now = system.read(PENDING_PATH)
        if now != text:
            # With a thousand peers, to parse it takes longer than all else here.
            text, pending = now, read_pending(system)
    return changed


def _hand_over(system: System, identifier: str, due: List[Tunnel]) -> int:
    # Whoever takes the change back holds the lock: a peer that is gone must not be made again.
    with system.lock(_LOCK_SECONDS):
        pending = read_pending(system)
        if pending is None or pending.id != identifier:
            return 0
        seen = read_peers(system)
        for want in due:
            if want.name in seen:
                run_commands(system, hand_overs(want, seen[want.name]))
    return len(due)


def complete(system: System, pending: Checkpoint) -> None:
    """Hand over what is left, at the end of a change: what goes to a peer that was out of reach is its new key's."""
    for name, want in pending.after.tunnels.items():
        if want and (want.former or any(peer.former for peer in want.peers)):
            change_tunnel(system, name, want, settled=True)


def switch(system: System, identifier: str, seconds: float) -> Dict[str, List[str]]:
    """Have the interfaces of a pending change use the host's new key; by interface, the peers that have answered since.

    seconds: how long to wait for those that were in touch. HostError where this change is not pending.
    """
    with system.lock(_LOCK_SECONDS):
        pending = read_pending(system)
        if pending is None or pending.id != identifier:
            raise host_error("change %s" % identifier, "is not pending any more", "run again")
        asked: List[Asked] = []
        idle: List[str] = []
        seen = read_peers(system)
        for name, want in pending.after.tunnels.items():
            have = seen.get(name)
            if want is None or have is None or not want.former or have.public_key == want.public_key:
                continue
            there = [peer for peer in have.peers if peer.address]
            asked += [Asked(name, peer.public_key, peer.address, anew=True) for peer in there if peer.in_touch]
            idle += [peer.address for peer in there if not peer.in_touch]
            own = replace(have, public_key=want.public_key, private_key=want.private_key)
            run_commands(system, tunnel_commands(own, have))
    # Whom nobody has talked to of late would go on calling the former key. None of them has to answer.
    for address in idle:
        system.send_datagram(address, DISCARD)
    return answers(system, asked, seconds)
