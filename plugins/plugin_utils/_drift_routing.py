# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What FRR of a host is derived to have, and what its files and sessions are, as findings. Pure.

Runs on the controller alone, and is loaded only where the inventory declares links.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.netfleet.tcp.plugins.module_utils._frr import (
    CONFIGURATION,
    DAEMONS_FILE,
    INSTALL,
    RoutingSession,
    with_daemons,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._model import FileState, Finding, from_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._rules import TUNNEL_ROUTING
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_plan import SUBJECT
from ansible_collections.netfleet.tcp.plugins.plugin_utils._drift_things import file_difference
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_bgp import RoutingWanted

ROUTING_FILES = (CONFIGURATION, DAEMONS_FILE)
_LINKS = "run the playbook links"


def routing_findings(
    wanted: RoutingWanted, files: Mapping[str, FileState], answer: Mapping[str, Any]
) -> Iterator[Finding]:
    """Every finding. answer: of tcp_facts, with sessions."""
    daemons = files.get(DAEMONS_FILE, FileState(DAEMONS_FILE))
    if daemons.kind == "absent":
        yield _finding("FRR", "is not installed: nothing routes what is behind the links", _LINKS)
        return
    yield from _file(files.get(CONFIGURATION, FileState(CONFIGURATION)), wanted.text)
    yield from _file(daemons, with_daemons(daemons.text))
    if answer.get("sessions_limit"):
        yield _finding("FRR", str(answer["sessions_limit"]), "see systemctl status frr; %s" % INSTALL)
        return
    sessions = [from_wire(RoutingSession, entry) for entry in answer.get("sessions") or ()]
    there = {session.neighbor: session for session in sessions}
    for address, node, interface in wanted.neighbors:
        session = there.get(address, RoutingSession(address))
        if not session.up:
            cure = "see whether the link lives, and whether TCP 179 and UDP 4784 get through in it"
            text = "the session with %s is not up: %s" % (address, session.words)
            yield _finding("%s session %s" % (interface, node), text, cure)


def _file(present: FileState, text: str) -> Iterator[Finding]:
    if present.kind == "file" and present.text == text:
        return
    # Owner and mode are FRR's own.
    reason, line, ours, theirs = file_difference(present, replace(present, kind="file", text=text))
    source = "%s:%d" % (present.path, line) if line else present.path
    yield replace(_finding(present.path, reason, _LINKS), intended=ours, boot=theirs, source=source)


def _finding(key: str, reason: str, cure: str) -> Finding:
    return Finding(SUBJECT, key, "error", reason, takes_effect="now", cure=cure, rule=TUNNEL_ROUTING)
