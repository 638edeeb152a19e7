# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with connections of a host to itself, in words, and what helps, in order. Pure."""

from __future__ import annotations

from typing import Iterator, List, Sequence, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import Health, LoopbackEnd, LoopbackUse
from ansible_collections.netfleet.tcp.plugins.module_utils._health_targets import (
    LOOPBACK_KERNEL,
    LOOPBACK_PORTS,
    LOOPBACK_RATE,
    PORTS_SCARCE,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._loopback_servers import known_server


@dataclass(frozen=True)
class Trouble:
    """Of a use: how bad it is, and what is to be said and done."""

    use: LoopbackUse
    severity: str
    reason: str
    intended: str
    running: str
    cures: Tuple[str, ...]


def troubles(health: Health) -> Iterator[Trouble]:
    """Those of whom there is something to say, the worst first."""
    for use in health.loopback.uses:
        wrong = _wrong(health, use)
        # At least so many, with 95 % confidence.
        if wrong or (use.low or 0.0) >= LOOPBACK_RATE:
            yield Trouble(
                use=use,
                severity="warning" if wrong else "note",
                reason="; ".join([_who(use), *wrong, *_cost(use)]),
                intended="less than %g a second" % LOOPBACK_RATE,
                running="%.4g a second (%.4g to %.4g)" % (use.per_second or 0.0, use.low or 0.0, use.high or 0.0),
                cures=tuple(_cures(use)),
            )


def _wrong(health: Health, use: LoopbackUse) -> List[str]:
    """What makes it more than a waste."""
    found = []
    if use.percent >= PORTS_SCARCE and not may_be_had(health, use.key):
        found.append("%d of %d local ports are taken" % (use.time_wait + use.open, health.ports.available))
    elif _demand(use) >= LOOPBACK_PORTS:
        found.append("they come to hold %.3g %% of %d local ports" % (use.demand, health.ports.available))
    if found and not use.reused and use.full_after is not None:
        found.append("at this rate all are taken after %.3g s" % use.full_after)
    if use.kernel >= LOOPBACK_KERNEL and (use.low or 0.0) >= LOOPBACK_RATE:
        found.append("both ends spend %.3g %% of a core in the kernel" % use.kernel)
    return found


def may_be_had(health: Health, key: str) -> bool:
    """Whether local ports are only seemingly scarce between these: most are in TIME-WAIT, and are reused."""
    use = next((use for use in health.loopback.uses if use.key == key), None)
    if use is None or not use.reused:
        return False
    return use.demand + 100.0 * use.open / max(1, health.ports.available) < PORTS_SCARCE


def _demand(use: LoopbackUse) -> float:
    """No less than that share of the local ports, with 95 % confidence."""
    return use.demand * (use.low or 0.0) / use.per_second if use.per_second else 0.0


def _who(use: LoopbackUse) -> str:
    by = _names(use.clients)
    if not by:
        users = " of user %s" % ", ".join(map(str, use.users)) if use.users else ""
        by = "clients%s that were not seen" % users
    return "%s: short connections to %s on the same host" % (by, _names(use.servers) or "port %d" % use.port)


def _names(ends: Sequence[LoopbackEnd]) -> str:
    # The most named first; a few tell enough.
    found = []
    for end in ends[:3]:
        place = end.holder.container or end.holder.unit
        found.append("%s (%s)" % (end.holder.process, place) if place else end.holder.process)
    return ", ".join(found) + (" and others" if len(ends) > 3 else "")


def _cost(use: LoopbackUse) -> Iterator[str]:
    told = [
        "%s %.3g %% of a core, %.3g %% in the kernel" % (end.holder.process, (end.user or 0.0) + end.kernel, end.kernel)
        for end in (*use.clients[:3], *use.servers[:3])
        if end.kernel is not None
    ]
    if told:
        yield "processor time: %s" % "; ".join(dict.fromkeys(told))


def _cures(use: LoopbackUse) -> Iterator[str]:
    """What the applications can do, that which helps most first; what the kernel can do stands with the causes.

    In few words: all of it is to be seen where a report has but some lines for it.
    """
    # A path in a container is another one outside.
    shared = " in a directory that its container shares" if any(end.holder.container for end in use.servers) else ""
    server = next((known for end in use.servers for known in [known_server(end.holder.process)] if known), None)
    if use.unix_sockets:
        yield "the UNIX domain socket %s%s, where it listens already" % (use.unix_sockets[0], shared)
    elif server:
        yield "a UNIX domain socket%s (%s)" % (shared, server.listen)
    else:
        yield "a UNIX domain socket%s, where both can" % shared
    yield "a pool of connections"
    yield "more source addresses, of 127.0.0.0/8"
