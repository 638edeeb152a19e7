# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real TCP connections from a node to Services, until each endpoint was met, or luck cannot be why one was not.

Nothing is sent: what answers need not be understood. Which endpoint a connection was taken to is asked of the kernel's
connection tracking. Pure but for the System that is handed in.
"""

from __future__ import annotations

import math
import time
from typing import Callable, Dict, Iterable, List, Sequence, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils import _conntrack
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_model import ServiceToTry, ServiceTried
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System

# Of one connection. A refused one costs nothing, one that is dropped all of it.
_SECONDS = 3.0
# With so many tries for each endpoint, and a logarithm more, the chance to miss one of them is one in a million.
_TRIES, _ALONE = 14.0, 3
# After so many that failed, no more of them are waited for.
_HOPELESS = 3


def try_all(
    system: System,
    services: Iterable[ServiceToTry],
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> Tuple[ServiceTried, ...]:
    """Connect to each Service. seconds: for all of them together; what is left then was not tried (in_time)."""
    due = clock() + seconds
    return tuple(_try(system, service, due, clock) for service in services)


def most_connections(service: ServiceToTry) -> int:
    """How many connections are enough."""
    number = len(service.endpoints)
    if not service.each or number < 2:
        return _ALONE if number else 1
    return math.ceil(number * (math.log(number) + _TRIES))


def _try(system: System, service: ServiceToTry, due: float, clock: Callable[[], float]) -> ServiceTried:
    failed: Dict[str, int] = {}
    met: Dict[str, None] = {}
    made, untold = 0, 0
    in_time = True
    for _number in range(most_connections(service)):
        if _is_enough(service, met) or sum(failed.values()) >= _HOPELESS:
            break
        if clock() >= due:
            in_time = False
            break
        made += 1
        why, own, port = system.connect(service.address, service.port, _SECONDS)
        if why:
            failed[why] = failed.get(why, 0) + 1
            continue
        end = _conntrack.endpoint(_asked(system, own, port, service))
        untold += not end
        met.update({end: None} if end else {})
    return ServiceTried(
        name=service.name,
        address=service.address,
        port=service.port,
        connections=made,
        met=tuple(sorted(met)),
        failed=tuple("%s (%d times)" % pair if pair[1] > 1 else pair[0] for pair in failed.items()),
        untold=untold,
        in_time=in_time,
        problems=tuple(_problems(service, tuple(met), failed, made, bool(untold) or not in_time)),
    )


def _is_enough(service: ServiceToTry, met: Dict[str, None]) -> bool:
    wanted = set(service.endpoints)
    return bool(wanted) and (wanted <= set(met) if service.each else bool(wanted & set(met)))


def _asked(system: System, own: str, port: int, service: ServiceToTry) -> bytes:
    # A node has no address of its own that IPv6 and IPv4 share, but a socket may write it so.
    source = own[len("::ffff:") :] if own.startswith("::ffff:") else own
    return system.netlink(_conntrack.PROTOCOL, _conntrack.request(source, port, service.address, service.port))


def _problems(
    service: ServiceToTry, met: Sequence[str], failed: Dict[str, int], made: int, open_ended: bool
) -> List[str]:
    """What is wrong. open_ended: not all of what was to be tried was, or could be told."""
    wanted = set(service.endpoints)
    if not wanted:
        # Nothing is to answer.
        taken = made - sum(failed.values())
        return ["%d connections were taken, by nobody that is ready" % taken] if taken else []
    found = ["%d of %d connections failed: %s" % (count, made, why) for why, count in failed.items()]
    strangers = sorted(set(met) - wanted)
    if strangers:
        found.append("connections went to what is none of its endpoints: %s" % ", ".join(strangers))
    if open_ended:
        # Where the kernel does not track connections, only that they are taken can be told. And that the time was over
        # says nothing of an endpoint that was not met by then: the kernel's table has been compared.
        return found
    missed = sorted(wanted - set(met))
    if missed and not failed and (service.each or not set(met) & wanted):
        found.append("of %d connections, none was met by %s" % (made, ", ".join(missed)))
    return found
