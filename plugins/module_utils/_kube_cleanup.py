# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes away what other modes of kube-proxy have left, once the new one is up: by name, and nothing else.

`kube-proxy --cleanup` is not used: it takes all modes away, so it needs kube-proxy stopped, and until its next start
nobody serves the node's new connections; it flushes all of IPVS, whosever that is; and k3s, RKE2 and MicroK8s have no
such program. In whichever mode kube-proxy runs, rules of another one only matter where it has none, so that they can go
last. Pure but for the System that is handed in.
"""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import Callable, Container, Dict, List, Sequence, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._ipvs import delete_servers
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_kernel import (
    IPSET,
    KernelSeen,
    Tools,
    told_apart,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_residues import (
    CHAINS,
    INTERFACE,
    SERVERS,
    SETS,
    TABLE,
    Leftovers,
    Residue,
    residues,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_table import Network, in_networks, networks_of
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System

_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|\S+')
_JUMPS = ("-j", "-g")
_MATCH_SET = "--match-set"
_ATTEMPTS, _PAUSE = 4, 0.5


@dataclass(frozen=True)
class Cleaned:
    """removed: what is gone, by kind, in words; failed: what could not be taken away, and why."""

    removed: Tuple[str, ...] = ()
    failed: Tuple[str, ...] = ()


def clean(
    system: System,
    tools: Tools,
    mode: str,
    excluded: Sequence[str] = (),
    check_mode: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> Cleaned:
    """Take away what other modes than this one, which runs, have left.

    excluded: networks whose virtual servers are somebody else's. Where somebody else uses IPVS, only those on
    kube-ipvs0's addresses, and those that its ipsets name, are kube-proxy's. HostError where the kernel cannot be
    looked at.
    """
    networks = networks_of(excluded)
    told = told_apart(system, tools)
    seen, shared = told.kernel, bool(told.foreign)
    ours = _ours(seen, shared, networks)
    found = left = residues(ours, mode)
    failed: List[str] = []
    for attempt in range(0 if check_mode else _ATTEMPTS):
        if not left:
            break
        # The kernel lets a set go a moment after the rules that named it, and kube-proxy writes rules meanwhile.
        sleep(_PAUSE if attempt else 0)
        failed = _take_away(system, tools, seen, left)
        seen = told_apart(system, tools).kernel
        # What tells of a server may be gone before it.
        left = residues(_ours(seen, shared, networks, ours.servers), mode)
    if check_mode:
        return Cleaned(tuple(str(each) for each in found))
    still = {each.kind for each in left}
    gone = tuple(str(each) for each in found if each.kind not in still)
    return Cleaned(gone, (*(failed if left else ()), *("is still there: %s" % each for each in left)))


def _take_away(system: System, tools: Tools, seen: KernelSeen, left: Sequence[Residue]) -> List[str]:
    """What of it failed, in words."""
    by_kind: Dict[str, List[str]] = {}
    for each in left:
        by_kind.setdefault(each.kind, []).extend(each.names)
    theirs = {*by_kind.get(SERVERS, ())}
    own = {*seen.own_addresses}
    # NodePorts first: should this end half-way, they are known by what Services have beside them.
    wanted = sorted((each for each in seen.servers if str(each) in theirs), key=lambda each: each.address not in own)
    servers = delete_servers(system, wanted)
    # By its addresses and by sets the servers are known: these stay where one of them does, or may.
    unread = any(each.kind == SETS for each in seen.unread)
    stay = bool(servers) or (unread and len(wanted) < len(seen.servers))
    interfaces: Sequence[str] = () if stay else by_kind.get(INTERFACE, ())
    sets: Sequence[str] = () if stay else by_kind.get(SETS, ())
    whys = [
        *servers,
        *(_run(system, [tools.path("ip"), "link", "delete", name]) for name in interfaces),
        # Rules first: sets are held by them.
        *_chains(system, seen, by_kind.get(CHAINS, ()), sets),
        *(_run(system, [tools.path(IPSET), "destroy", name]) for name in sets),
        *(_run(system, [seen.nft, "delete", "table", *name.split()]) for name in by_kind.get(TABLE, ())),
    ]
    return [why for why in whys if why]


def _ours(seen: KernelSeen, shared: bool, networks: Sequence[Network], known: Sequence[str] = ()) -> Leftovers:
    """What of kube-proxy is there, without the virtual servers in these networks. known: servers that were its own."""
    leftovers = seen.leftovers(shared)
    own = {*leftovers.servers, *known}
    there = (str(entry) for entry in seen.servers if not in_networks(entry.address, networks))
    return replace(leftovers, servers=tuple(sorted(name for name in there if name in own)))


def _chains(system: System, seen: KernelSeen, names: Sequence[str], sets: Sequence[str]) -> List[str]:
    failed: List[str] = []
    chains = {(table, name) for table, _space, name in (each.partition(" ") for each in names)}
    for saved in seen.saved:
        script = chain_script(saved.text, chains, sets)
        if script:
            failed.append(_run(system, [saved.restore, "--noflush", "--wait=5"], script))
    return failed


def chain_script(text: str, chains: Container[Tuple[str, str]], sets: Container[str] = ()) -> str:
    """What iptables-restore --noflush is told, so that these chains (table, name) are gone, and whatever leads to them.

    text: what iptables-save has printed. sets: those whose rules go too, wherever they stand, so that they can be
    destroyed. Empty where there is nothing to do. Each table is changed at once.
    """
    found: List[str] = []
    table = ""
    # By name, in their order: of 5,000 Services there are 100,000.
    gone: Dict[str, None] = {}
    rules: List[str] = []
    for line in text.splitlines():
        if line.startswith("*"):
            table, gone, rules = line[1:].strip(), {}, []
        elif line.startswith(":"):
            name = line[1:].split(" ", 1)[0]
            gone.update({name: None} if (table, name) in chains else {})
        elif line.startswith("-A "):
            rules.append(line)
        elif line.startswith("COMMIT"):
            leading = ["-D" + rule[2:] for rule in rules if _goes(rule, gone, sets)]
            if gone or leading:
                # A chain that is declared anew is emptied by that.
                declared = [":%s - [0:0]" % name for name in gone]
                found += ["*" + table, *declared, *leading, *("-X %s" % name for name in gone), "COMMIT"]
    return "".join(line + "\n" for line in found)


def _goes(rule: str, gone: Container[str], sets: Container[str]) -> bool:
    """Whether a rule of a chain that stays has to go."""
    words = _WORD.findall(rule)
    if words[1] in gone:
        return False
    named = list(zip(words, words[1:]))
    return any(
        (option in _JUMPS and value in gone) or (option == _MATCH_SET and value in sets) for option, value in named
    )


def _run(system: System, argv: Sequence[str], stdin: str = "") -> str:
    """Why a program failed, in words; empty where it did not."""
    if not argv[0]:
        return "%s: no program for it is installed" % " ".join(argv[1:])
    status, _output, error = system.run(list(argv), stdin)
    return "%s: %s" % (" ".join(argv), error.strip() or "exit status %d" % status) if status else ""
