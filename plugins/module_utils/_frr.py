# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""FRR's files and answers: whose a configuration is, which daemons are to run, which sessions are up. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any, Dict, List, Sequence, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._model import FileState, Routing

CONFIGURATION = "/etc/frr/frr.conf"
DAEMONS_FILE = "/etc/frr/daemons"
# What takes part in failover; zebra always runs.
DAEMONS = ("bgpd", "bfdd")
ZEBRA = "zebra"
SESSIONS = ("vtysh", "-c", "show bgp summary json")
BFD_PEERS = ("vtysh", "-c", "show bfd peers json")
ESTABLISHED = "Established"
_MODE = 0o640
INSTALL = "install frr and frr-pythontools"
# Statements that route nothing: how FRR logs, and who may log in. Debian installs a file with one of them.
_HARMLESS = re.compile(
    r"\s*(?:[#!].*|end|exit|frr (?:version|defaults)\b.*|log\b.*|hostname\b.*|domainname\b.*"
    r"|service (?:integrated-vtysh-config|password-encryption)|line vty|password\b.*|enable\b.*)?\s*\Z"
)
_DAEMON = re.compile(r"^([a-z0-9]+)=(\S*)[ \t]*$", re.MULTILINE)


@dataclass(frozen=True)
class RoutingSession:
    """A session of BGP. up: it is established, and BFD, where it runs for it, says that the link lives.

    state: BGP's word for it. bfd: BFD's; empty where it does not run. prefixes: how many were taken from the neighbor.
    """

    neighbor: str
    as_number: int = 0
    description: str = ""
    state: str = ""
    bfd: str = ""
    prefixes: int = 0

    @property
    def up(self) -> bool:
        return self.state == ESTABLISHED and self.bfd in ("", "up")

    @property
    def words(self) -> str:
        """Its state, for people."""
        return "BGP %s, BFD %s" % (self.state or "has no such neighbor", self.bfd or "is not there")


def statements(text: str) -> List[str]:
    """The lines of a configuration that say how to route."""
    return [line.strip() for line in text.splitlines() if not _HARMLESS.match(line)]


def with_daemons(text: str, wanted: Sequence[str] = DAEMONS) -> str:
    """The text of the daemons file with these switched on, all other lines as they are."""
    missing = [name for name in wanted if name not in dict(_DAEMON.findall(text))]
    changed = _DAEMON.sub(lambda line: "%s=yes" % line[1] if line[1] in wanted else line[0], text)
    if not missing:
        return changed
    return changed + ("" if not changed or changed.endswith("\n") else "\n") + "".join("%s=yes\n" % n for n in missing)


def switches(text: str, names: Sequence[str] = DAEMONS) -> Dict[str, str]:
    """How these are switched in a daemons file."""
    return {name: value for name, value in _DAEMON.findall(text) if name in names}


def with_switches(text: str, wanted: Dict[str, str]) -> str:
    """The text of the daemons file with these switched as they were before."""
    return _DAEMON.sub(lambda line: "%s=%s" % (line[1], wanted.get(line[1], line[2])), text)


def wanted_files(present: Tuple[FileState, FileState], text: str) -> Tuple[FileState, FileState]:
    """The configuration and the daemons file as they are to be. present: as they are."""
    configuration, daemons = present
    # Owner and group are FRR's own, as its package gave them to the file beside it.
    kept = replace(configuration, kind="file", mode=_MODE, text=text, uid=daemons.uid, gid=daemons.gid)
    return kept, replace(daemons, kind="file", text=with_daemons(daemons.text))


def wanted_routing(daemons: str) -> Routing:
    """What a daemons file of this text has run."""
    on = switches(daemons)
    return Routing((ZEBRA, *(name for name in DAEMONS if on.get(name) == "yes")), enabled=True)


def needs_restart(want: Routing, have: Routing) -> bool:
    """Whether daemons have to be started or ended, which no session outlives."""
    return set(want.daemons) != set(have.daemons)


def parse_sessions(bgp: str, bfd: str) -> Tuple[RoutingSession, ...]:
    """From the output of SESSIONS and BFD_PEERS; a neighbor has one session, whatever families it carries."""
    links = {str(peer.get("peer")): str(peer.get("status", "")) for peer in _answer(BFD_PEERS, bfd, [])}
    found: Dict[str, RoutingSession] = {}
    for family in _answer(SESSIONS, bgp, {}).values():
        # Without any neighbor FRR answers with a warning, which is no family.
        for address, peer in (family.get("peers") or {}).items() if isinstance(family, dict) else ():
            found[address] = RoutingSession(
                neighbor=address,
                as_number=int(peer.get("remoteAs", 0)),
                description=str(peer.get("desc", "")),
                state=str(peer.get("state", "")),
                bfd=links.get(address, ""),
                prefixes=int(peer.get("pfxRcd", 0)),
            )
    return tuple(found[address] for address in sorted(found))


def _answer(argv: Sequence[str], text: str, nothing: Any) -> Any:
    if not text.strip():
        return nothing
    try:
        answer = json.loads(text)
    except ValueError as error:
        raise host_error(" ".join(argv), "its output is not JSON: %s" % error) from error
    return answer if isinstance(answer, type(nothing)) else nothing
