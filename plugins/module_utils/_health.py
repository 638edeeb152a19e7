# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look at a host's TCP health: counters over some time, and all sockets as they are. Changes nothing.

Pure but for the System that is handed in. What is not to be had is left out, and named in limits.
"""

from __future__ import annotations

import time
from dataclasses import field, replace
from typing import Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint_store import boot_id, uptime
from ansible_collections.netfleet.tcp.plugins.module_utils._counters import read_named
from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import (
    INTERVAL,
    SAMPLE,
    UNLISTED,
    Health,
    Holder,
    Listener,
    Loopback,
    Ports,
    Sample,
    Service,
    Sockets,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._holders import holders
from ansible_collections.netfleet.tcp.plugins.module_utils._indicators import (
    KEPT,
    counted_between,
    fast_open,
    indicators,
    judged_rtt,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._loopback import LoopbackWatch
from ansible_collections.netfleet.tcp.plugins.module_utils._loopback_tally import SETTINGS as REUSE_SETTINGS
from ansible_collections.netfleet.tcp.plugins.module_utils._own_addresses import own_addresses
from ansible_collections.netfleet.tcp.plugins.module_utils._peer_classes import PeerClasses
from ansible_collections.netfleet.tcp.plugins.module_utils._sock_diag import CONG, INFO, SKMEMINFO, Answer
from ansible_collections.netfleet.tcp.plugins.module_utils._socket_lists import ask
from ansible_collections.netfleet.tcp.plugins.module_utils._socket_tally import (
    FAMILIES,
    LISTENING,
    NOT_LISTENING,
    SocketTally,
    listeners,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System
from ansible_collections.netfleet.tcp.plugins.module_utils._values import key_path, port_ranges

PORT_RANGE, RESERVED = "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports"
SOMAXCONN, WINDOW_SCALING = "net.core.somaxconn", "net.ipv4.tcp_window_scaling"
TRACKED, MOST_TRACKED = "net.netfilter.nf_conntrack_count", "net.netfilter.nf_conntrack_max"
SETTINGS = (PORT_RANGE, RESERVED, SOMAXCONN, WINDOW_SCALING, TRACKED, MOST_TRACKED, *REUSE_SETTINGS)
# A list that changed while it was read is asked for again so many times.
_TRIES = 3


@dataclass(frozen=True)
class Asked:
    """What to look at. interval: seconds to count over; since: the sample to count from; neither: since the boot.

    peers: prefixes by class. targets: by measure, in percent. rtt_targets: by class of peers, in milliseconds.
    loopback: whether to watch the host's connections to itself, which takes some time of its own.
    """

    interval: float = 0.0
    since: Optional[Sample] = None
    peers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    targets: Dict[str, float] = field(default_factory=dict)
    rtt_targets: Dict[str, float] = field(default_factory=dict)
    top: int = 10
    loopback: bool = True


def look(
    system: System,
    asked: Asked,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Health:
    """Look. InputError where the classes of peers cannot be meant."""
    own = own_addresses(system)
    classes = PeerClasses(asked.peers, own)
    settings = _settings(system)
    available = available_ports(settings)
    watch = LoopbackWatch(system, own, settings, available, sleep, clock) if asked.loopback else None
    first = asked.since
    if asked.interval and not first:
        first = sample(system)
        if watch:
            watch.wait(asked.interval)
        else:
            sleep(asked.interval)
    last = sample(system)
    limits = [] if last.counters else ["counters: /proc/net/snmp and /proc/net/netstat cannot be read"]
    if not own.complete:
        limits.append("addresses: the kernel did not list the host's own; connections to these count as to others")
    counted, said = counted_between(first, last, SAMPLE if asked.since else INTERVAL)
    found, lacking = indicators(counted, asked.targets)
    tally, listening, partial = _read_sockets(system, classes, asked.top, watch)
    sockets, unseen = _sockets(system, tally, asked, listening)
    loopback, unwatched = watch.result(counted, asked.top) if watch else (Loopback(), [])
    return Health(
        sample=last,
        counted=counted,
        indicators=found,
        fast_open=fast_open(counted),
        sockets=sockets,
        ports=Ports(available, tally.most_used(available)),
        loopback=loopback,
        settings=settings,
        limits=(*limits, *said, *lacking, *partial, *tally.missing(), *unseen, *unwatched),
        kernel=system.facts()["kernel"],
    )


def sample(system: System) -> Sample:
    """What TCP has counted by now."""
    counters = {name: value for name, value in read_named(system).items() if name in KEPT}
    netns = system.file_state("/proc/self/ns/net").target
    return Sample(boot_id(system), netns, uptime(system), counters)


def available_ports(settings: Dict[str, str]) -> int:
    """How many local ports outgoing connections may take from one address to one other; 0 where that is not known."""
    limits = settings.get(PORT_RANGE, "").split()
    if len(limits) != 2:
        return 0
    low, high = int(limits[0]), int(limits[1])
    reserved = port_ranges(settings.get(RESERVED, "")) or []
    taken = sum(max(0, min(high, end) - max(low, start) + 1) for start, end in reserved)
    return max(0, high - low + 1 - taken)


def _settings(system: System) -> Dict[str, str]:
    texts = {name: system.read("/proc/sys/" + key_path(name)) for name in SETTINGS}
    return {name: " ".join(text.split()) for name, text in texts.items() if text is not None}


_Listening = List[Tuple[int, Listener]]


def _read_sockets(
    system: System, classes: PeerClasses, top: int, watch: Optional[LoopbackWatch]
) -> Tuple[SocketTally, _Listening, List[str]]:
    """The tally of all sockets, those that listen (each with its inode), and what is wrong with the lists."""
    for _try in range(_TRIES):
        first = {family: ask(system, family, LISTENING, (SKMEMINFO,)) for family in FAMILIES}
        listening = [entry for answer in first.values() for entry in listeners(answer)]
        served = {listener.port for _inode, listener in listening}
        tally, glance = SocketTally(classes, served, top), watch.last_glance(served) if watch else None
        second = {family: ask(system, family, NOT_LISTENING, (INFO, CONG)) for family in FAMILIES}
        for answer in second.values():
            tally.take(glance.through(answer) if glance else answer)
        answers = [*first.values(), *second.values()]
        if not any(answer.interrupted for answer in answers):
            break
    if watch and glance:
        watch.done(glance, listening)
    return tally, listening, list(_partial(answers))


def _partial(answers: Sequence[Answer]) -> Iterator[str]:
    if not all(answer.complete for answer in answers):
        yield UNLISTED
    if any(answer.interrupted for answer in answers):
        yield "sockets: the list changed each time while it was read; some may be missing"


def _sockets(system: System, tally: SocketTally, asked: Asked, listening: _Listening) -> Tuple[Sockets, List[str]]:
    """The sockets with whose they are, and what is not known of that. Only of those that are shown it is asked."""
    inbound = tally.inbound
    ports = {listener.port for _inode, listener in listening}
    busiest = sorted(ports, key=lambda port: (-inbound.get(port, 0), port))[: asked.top]
    fullest = sorted(listening, key=_by_backlog)[: asked.top]
    of_services = [(inode, listener.port) for inode, listener in listening if listener.port in busiest]
    wanted = {inode for inode, _which in [*fullest, *of_services]}
    owners = holders(system, wanted)
    peers = {
        name: replace(found, rtt=judged_rtt(found.rtt, asked.rtt_targets.get(name)))
        for name, found in tally.peers().items()
    }
    found = Sockets(
        states={**tally.states, "LISTEN": len(listening)} if listening else tally.states,
        congestion_control=tally.algorithms,
        loopback=tally.loopback,
        outgoing=tally.outgoing,
        peers=peers,
        retransmitting=tally.retransmitting,
        without_window_scale=tally.without_window_scale,
        listeners=tuple(replace(each, holder=owners.get(inode, Holder())) for inode, each in fullest),
        services=tuple(
            Service(
                port,
                inbound.get(port, 0),
                _distinct(owners.get(inode) for inode, other in of_services if other == port),
            )
            for port in busiest
        ),
    )
    return found, _unseen(system, len(wanted) - len(owners), len(wanted))


def _by_backlog(entry: Tuple[int, Listener]) -> Tuple[float, int, int]:
    _inode, listener = entry
    return -listener.backlog / max(1, listener.limit), -listener.drops, listener.port


def _distinct(found: Iterable[Optional[Holder]]) -> Tuple[Holder, ...]:
    """One of each process, unit and container; a server may have as many workers as there are processors."""
    return tuple({(each.process, each.unit, each.container): each for each in found if each}.values())


def _unseen(system: System, unseen: int, of: int) -> List[str]:
    if not unseen:
        return []
    why = "no process that is seen here holds them" if system.facts()["root"] else "only root sees it (become)"
    return ["listeners: who holds %d of %d is not known: %s" % (unseen, of, why)]
