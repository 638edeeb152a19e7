# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drift of FRR: its files against the derived text, and the sessions that are to be up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._frr import (
    CONFIGURATION,
    DAEMONS_FILE,
    RoutingSession,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._model import FileState, Finding, to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._rules import RULE_INDEX, TUNNEL_ROUTING
from ansible_collections.netfleet.tcp.plugins.plugin_utils._drift_routing import routing_findings
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_bgp import RoutingWanted
from tests.unit.plugins.plugin_utils.sample_links import MESH
from tests.unit.plugins.plugin_utils.test_drift_links import Gateway

TEXT = "# Managed by netfleet.tcp\nrouter bgp 4200000001\nexit\n"
WANTED = RoutingWanted(TEXT, (("10.99.0.2", "east", "wg-wan-2"), ("10.99.0.3", "west", "wg-wan-3")))
UP = [RoutingSession(address, state="Established", bfd="up") for address in ("10.99.0.2", "10.99.0.3")]
BGP = {**MESH, "interface_per_peer": True, "failover": "bgp", "networks": ["10.99.0.0/24", "fd00:99::/64"]}


def found(
    configuration: str | None = TEXT, daemons: str | None = "bgpd=yes\nbfdd=yes\n", **answer: Any
) -> list[Finding]:
    given = {CONFIGURATION: configuration, DAEMONS_FILE: daemons}
    files = {path: FileState(path, "file", 0o640, text) for path, text in given.items() if text is not None}
    said = {"sessions": [to_wire(session) for session in UP], "sessions_limit": "", **answer}
    return list(routing_findings(WANTED, files, said))


def test_as_derived_there_is_nothing_to_say() -> None:
    assert found() == []


def test_a_line_that_was_changed_is_shown_with_its_place() -> None:
    (finding,) = found(TEXT.replace("4200000001", "64512"))
    assert (finding.key, finding.severity, finding.rule) == (CONFIGURATION, "error", TUNNEL_ROUTING)
    assert (finding.intended, finding.boot) == ("router bgp 4200000001", "router bgp 64512")
    assert (finding.source, finding.cure) == (CONFIGURATION + ":2", "run the playbook links")
    assert finding.rule in RULE_INDEX


def test_a_configuration_that_is_gone() -> None:
    (finding,) = found(None)
    assert (finding.key, finding.reason) == (CONFIGURATION, "is missing")


def test_a_daemon_that_was_switched_off() -> None:
    (finding,) = found(daemons="bgpd=yes\nbfdd=no\n")
    assert (finding.key, finding.intended, finding.boot) == (DAEMONS_FILE, "bfdd=yes", "bfdd=no")


def test_sessions_that_are_not_up_are_named() -> None:
    sessions = [to_wire(RoutingSession("10.99.0.2", state="Established", bfd="down"))]
    first, second = found(sessions=sessions)
    assert (first.key, second.key) == ("wg-wan-2 session east", "wg-wan-3 session west")
    assert first.reason == "the session with 10.99.0.2 is not up: BGP Established, BFD down"
    assert second.reason.endswith("is not up: BGP has no such neighbor, BFD is not there")


def test_frr_that_does_not_answer_is_one_finding() -> None:
    (finding,) = found(sessions=[], sessions_limit="vtysh: failed to connect to any daemons.")
    assert (finding.key, finding.reason) == ("FRR", "vtysh: failed to connect to any daemons.")
    (finding,) = found(None, None, sessions=[], sessions_limit="vtysh: No such file")
    assert (finding.key, "is not installed" in finding.reason) == ("FRR", True)


@pytest.mark.parametrize(("topology", "asked"), [(BGP, True), (MESH, False)])
def test_hosts_with_such_links_alone_are_asked(tmp_path: Path, topology: dict[str, Any], asked: bool) -> None:
    request = Gateway(tmp_path, topologies=[topology]).check().request({"files": []})
    assert (request["sessions"], CONFIGURATION in request["files"], DAEMONS_FILE in request["files"]) == (asked,) * 3


def test_it_is_found_with_the_links_of_a_host(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, topologies=[BGP]).link()
    routed = gateway.check().links.routing
    assert routed
    gateway.system.put(CONFIGURATION, routed.text)
    gateway.system.put(DAEMONS_FILE, "bgpd=yes\nbfdd=yes\n")
    check, tcp, observed = gateway.look()
    assert CONFIGURATION not in tcp.files
    sessions = [
        to_wire(RoutingSession(address, state="Established", bfd="up"))
        for address, _node, _interface in routed.neighbors
    ]
    assert check.findings(observed, {"sessions": sessions}) == ()
    assert [finding.rule for finding in check.findings(observed, {"sessions": sessions[1:]})] == [TUNNEL_ROUTING]
