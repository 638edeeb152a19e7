# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""FRR's files and answers; the latter are those of FRR 8.4 and 10.3 in `python -m tools.failover`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError
from ansible_collections.netfleet.tcp.plugins.module_utils._frr import (
    parse_sessions,
    statements,
    switches,
    with_daemons,
    with_switches,
)

FIXTURES = Path(__file__).parents[2] / "fixtures" / "frr"
DEBIAN = "# default to using syslog.\n#\nlog syslog informational\n"
DAEMONS = '# a comment with bgpd=no\nbgpd=no\nospfd=no\nbfdd=no\n\nvtysh_enable=yes\nbgpd_options="   -A 127.0.0.1"\n'


def _recorded(name: str) -> str:
    return (FIXTURES / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("version", ["", "-10"])
def test_sessions_are_those_that_frr_has(version: str) -> None:
    found = parse_sessions(_recorded("bgp-summary%s.json" % version), _recorded("bfd-peers%s.json" % version))
    assert [session.neighbor for session in found] == ["10.99.0.1", "10.99.0.2", "fd00:99::1", "fd00:99::2"]
    first = found[0]
    assert (first.as_number, first.description, first.prefixes) == (4292482684, "gw1", 1)
    assert all(session.up for session in found)


@pytest.mark.parametrize(("state", "bfd", "up"), [("Active", "up", False), ("Established", "down", False)])
def test_a_session_is_up_where_both_bgp_and_bfd_say_so(state: str, bfd: str, up: bool) -> None:
    summary = json.dumps({"ipv4Unicast": {"peers": {"10.99.0.1": {"remoteAs": 64512, "state": state}}}})
    (session,) = parse_sessions(summary, json.dumps([{"peer": "10.99.0.1", "status": bfd}]))
    assert (session.up, session.state, session.bfd) == (up, state, bfd)


def test_without_bfd_bgp_alone_decides() -> None:
    summary = json.dumps({"ipv4Unicast": {"peers": {"10.99.0.1": {"state": "Established"}}}})
    assert [session.up for session in parse_sessions(summary, "")] == [True]


def test_frr_without_a_neighbor_has_no_sessions() -> None:
    assert parse_sessions('{"warning": "Default BGP instance not found"}', "[]") == ()
    assert parse_sessions("{}", "") == ()


def test_an_answer_that_is_no_json_is_named_with_its_command() -> None:
    with pytest.raises(HostError, match="vtysh -c show bgp summary json: its output is not JSON"):
        parse_sessions("% Unknown command", "")


def test_only_the_wanted_daemons_are_switched_on() -> None:
    wanted = DAEMONS.replace("\nbgpd=no", "\nbgpd=yes").replace("bfdd=no", "bfdd=yes")
    assert with_daemons(DAEMONS) == wanted
    assert with_daemons(wanted) == wanted
    assert with_daemons("ospfd=no") == "ospfd=no\nbgpd=yes\nbfdd=yes\n"


def test_switches_come_back_as_they_were() -> None:
    before = switches(DAEMONS)
    assert before == {"bgpd": "no", "bfdd": "no"}
    assert with_switches(with_daemons(DAEMONS), before) == DAEMONS


@pytest.mark.parametrize(
    "text",
    [
        "",
        DEBIAN,
        "frr version 8.4.4\nfrr defaults traditional\nhostname gw1\nservice integrated-vtysh-config\n!\nend\n",
    ],
)
def test_what_routes_nothing_is_nobodys_routing(text: str) -> None:
    assert statements(text) == []


def test_statements_that_route_are_found() -> None:
    assert statements(DEBIAN + "router ospf\n network 10.0.0.0/8 area 0\n") == [
        "router ospf",
        "network 10.0.0.0/8 area 0",
    ]
