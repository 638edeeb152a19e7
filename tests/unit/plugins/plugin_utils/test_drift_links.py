# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drift of links: on a host that is as declared nothing is found, whatever is done to it is, and links mends it all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding, Observed, from_wire, to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._observe import Request, load_vault, observe
from ansible_collections.netfleet.tcp.plugins.module_utils._rules import RULE_INDEX, SUBJECTS
from ansible_collections.netfleet.tcp.plugins.module_utils._transaction import apply
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_files import KEY_PATH
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel, TunnelPeer
from ansible_collections.netfleet.tcp.plugins.plugin_utils._drift_links import LinksCheck, links_check
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_desired import Keys, desired_links
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_run import link_settings
from tests.unit.plugins.fake_wireguard import public_of
from tests.unit.plugins.plugin_utils.a_host import AHost
from tests.unit.plugins.plugin_utils.sample_links import GROUPS, HOSTS, MESH, PEERS, SITES
from tests.unit.plugins.plugin_utils.test_links_desired import KEYS

PRIVATE = "p" * 43 + "="
NAME = "wg-wan"
GIVEN: dict[str, Any] = {
    "sites": SITES,
    "peers": PEERS,
    "topologies": [MESH],
    "secret": "a long secret, as a vault keeps one of",
}
EAST, WEST = KEYS["east"], KEYS["west"]
CONF = "/etc/wireguard/wg-wan.conf"
ENABLED = "/etc/systemd/system/multi-user.target.wants/wg-quick@wg-wan.service"


class Gateway(AHost):
    """gw1 of the sample, with TCP tuned and its links up."""

    def __init__(self, folder: Path, **given: Any) -> None:
        super().__init__()
        self.system.put(KEY_PATH, PRIVATE + "\n", 0o600)
        self.folder = str(folder)
        self.links = {**GIVEN, **given}
        self.tune()

    def check(self, host: str = "gw1") -> LinksCheck:
        hostvars = {
            name: {"wireguard_links_" + key: value for key, value in own.items()} for name, own in HOSTS.items()
        }
        return links_check(host, self.links, {"groups": GROUPS, "hostvars": hostvars}, self.folder, "task")

    def look(self) -> tuple[LinksCheck, Observed, Observed]:
        """One visit, through the wire: the check, what is TCP's, what is the links'."""
        check = self.check()
        wanted = check.request({"files": ["/etc/sysctl.d/90-netfleet-tcp.conf"]})
        request = Request(
            files=tuple(wanted["files"]),
            tunnels=wanted["tunnels"],
            tunnels_of=wanted["tunnels_of"],
            resolve=tuple(wanted["resolve"]),
        )
        baseline, vault = load_vault(self.system, "role:tcp_tuning", {})
        observed = from_wire(Observed, to_wire(observe(self.system, request, baseline, vault)))
        return (check, *check.split(observed))

    def link(self, **keys: str) -> Gateway:
        """What links.yml does, with the keys that the other hosts told."""
        check, _tcp, observed = self.look()
        settings = link_settings(check.settings)
        nodes = {peer.node for interface in check.links.interfaces for peer in interface.peers}
        known = Keys(keys or KEYS, together=nodes)
        links = desired_links("gw1", check.links.interfaces, observed, known, settings)
        apply(self.system, links.desired, links.secrets)
        return self.talk()

    def talk(self) -> Gateway:
        """All peers are in touch."""
        for name, tunnel in self.system.tunnels.items():
            peers = tuple(replace(peer, handshake=20, received=9000, sent=8000) for peer in tunnel.peers)
            self.system.tunnels[name] = replace(tunnel, peers=peers)
        return self

    def set(self, **values: Any) -> None:
        self.system.tunnels[NAME] = replace(self.system.tunnels[NAME], **values)

    def set_peer(self, key: str, **values: Any) -> None:
        peers = tuple(
            replace(peer, **values) if peer.public_key == key else peer for peer in self.system.tunnels[NAME].peers
        )
        self.set(peers=peers)

    def found(self) -> tuple[Finding, ...]:
        check, _tcp, observed = self.look()
        return check.findings(observed)


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path).link()


def test_as_declared_there_is_nothing_to_say_and_no_host_but_this_was_asked(gateway: Gateway) -> None:
    assert gateway.found() == ()
    assert gateway.check().count() == 2


def test_what_is_the_links_is_nothing_to_the_check_of_tcp(gateway: Gateway) -> None:
    _check, tcp, links = gateway.look()
    assert set(tcp.files) & set(links.files) == set()
    assert CONF in links.files
    assert not any("wireguard" in path for path in tcp.files)
    assert gateway.counted() == ()


def _down(gateway: Gateway) -> None:
    gateway.set(up=False, routes=())


def _gone(gateway: Gateway) -> None:
    del gateway.system.tunnels[NAME]


def _another_key(gateway: Gateway) -> None:
    gateway.set(private_key="o" * 43 + "=", public_key=public_of("o" * 43 + "="))


def _no_route(gateway: Gateway) -> None:
    gateway.set(routes=gateway.system.tunnels[NAME].routes[1:])


def _another_route(gateway: Gateway) -> None:
    routes = gateway.system.tunnels[NAME].routes
    gateway.set(routes=(*(replace(route, congestion_control="cubic") for route in routes[:1]), *routes[1:]))


def _stranger(gateway: Gateway) -> None:
    gateway.set(peers=(*gateway.system.tunnels[NAME].peers, TunnelPeer("S" * 43 + "=")))


def _no_peer(gateway: Gateway) -> None:
    gateway.set(peers=gateway.system.tunnels[NAME].peers[:1])


# What is done to what runs: (how, the key of the finding, intended, running).
LIVE: dict[str, tuple[Callable[[Gateway], None], str, str, str]] = {
    "gone": (_gone, "wg-wan", "2 peers, port 51820, MTU 1392", "absent"),
    "down": (_down, "wg-wan link", "up", "down"),
    "key": (_another_key, "wg-wan key", public_of(PRIVATE), public_of("o" * 43 + "=")),
    "port": (lambda host: host.set(port=1), "wg-wan port", "51820", "1"),
    "MTU": (lambda host: host.set(mtu=1420), "wg-wan MTU", "1392", "1420"),
    "addresses": (lambda host: host.set(addresses=()), "wg-wan addresses", "10.99.0.1/24", "none"),
    "peer": (_no_peer, "wg-wan peer west", "203.0.113.1:51820, allowed IPs 10.30.0.0/16, 10.99.0.3/32", "absent"),
    "stranger": (_stranger, "wg-wan peer " + "S" * 43 + "=", "absent", "no endpoint, allowed IPs none"),
    "allowed": (
        lambda host: host.set_peer(EAST, allowed=("10.99.0.2/32",)),
        "wg-wan peer east allowed IPs",
        "10.20.0.0/16, 10.99.0.2/32",
        "10.99.0.2/32",
    ),
    "keepalive": (lambda host: host.set_peer(EAST, keepalive=0), "wg-wan peer east keepalive", "25 s", "off"),
    "route": (_no_route, "wg-wan route 10.20.0.0/16", "plain", "none"),
    "congestion control": (_another_route, "wg-wan route 10.20.0.0/16", "plain", "congctl cubic"),
}


@pytest.mark.parametrize("name", LIVE)
def test_what_runs_otherwise_is_said_with_what_the_next_boot_brings(gateway: Gateway, name: str) -> None:
    harm, key, intended, running = LIVE[name]
    harm(gateway)
    found = {finding.key: finding for finding in gateway.found()}
    finding = found[key]
    assert (finding.rule, finding.severity, finding.takes_effect) == ("tunnel-running", "error", "now")
    assert (finding.intended, finding.running, finding.boot) == (intended, running, intended)
    assert finding.cure == "run the playbook links"
    assert set(found) - {key} <= {"wg-wan route 10.20.0.0/16", "wg-wan route 10.30.0.0/16"}
    gateway.link()
    assert gateway.found() == ()


def test_a_preshared_key_is_shown_by_its_token(gateway: Gateway) -> None:
    other = "x" * 43 + "="
    gateway.set_peer(EAST, preshared_key=other)
    (finding,) = gateway.found()
    assert finding.key == "wg-wan peer east preshared key"
    for shown in (finding.intended, finding.running, finding.boot):
        assert shown is not None
        assert shown.startswith("<key ")
    assert other not in str(to_wire(finding))


def test_a_peer_that_roams_and_is_in_touch_has_not_drifted(gateway: Gateway) -> None:
    gateway.set_peer(EAST, endpoint="192.0.2.99:1024")
    assert gateway.found() == ()
    gateway.set_peer(EAST, endpoint="192.0.2.99:1024", handshake=600)
    assert [finding.key for finding in gateway.found()] == ["wg-wan peer east endpoint", "wg-wan peer east"]


@pytest.mark.parametrize(
    ("old", "new", "key", "boot"),
    [
        ("ListenPort = 51820", "ListenPort = 1", "wg-wan port", "1"),
        ("MTU = 1392", "MTU = 1500", "wg-wan MTU", "1500"),
        ("PersistentKeepalive = 25", "", "wg-wan peer east keepalive", "off"),
        ("PostUp = ip route replace 10.20", "# 10.20", "wg-wan route 10.20.0.0/16", "none"),
    ],
)
def test_what_the_next_boot_would_bring_is_said(gateway: Gateway, old: str, new: str, key: str, boot: str) -> None:
    state = gateway.system.files[CONF]
    gateway.system.put(CONF, state.text.replace(old, new, 1), state.mode)
    found = {finding.key: finding for finding in gateway.found()}
    assert (found[key].rule, found[key].takes_effect, found[key].source) == ("tunnel-boot", "reboot", CONF)
    assert (found[key].running, found[key].boot) == (found[key].intended, boot)
    gateway.link()
    assert gateway.found() == ()


@pytest.mark.parametrize("path", [CONF, ENABLED])
def test_without_its_files_no_boot_brings_it_up(gateway: Gateway, path: str) -> None:
    del gateway.system.files[path]
    found = gateway.found()
    assert [(finding.key, finding.rule, finding.boot) for finding in found] == [("wg-wan", "tunnel-boot", "absent")]


def test_a_peer_whose_key_is_another_one_in_the_file_is_said(gateway: Gateway) -> None:
    state = gateway.system.files[CONF]
    gateway.system.put(CONF, state.text.replace(EAST, "S" * 43 + "="), state.mode)
    assert {finding.key for finding in gateway.found() if finding.severity == "error"} >= {"wg-wan peer east"}
    gateway.link()
    assert gateway.found() == ()


def test_a_comment_in_a_file_is_a_files_finding(gateway: Gateway) -> None:
    state = gateway.system.files[CONF]
    gateway.system.put(CONF, state.text + "# mine\n", state.mode)
    (finding,) = gateway.found()
    assert (finding.rule, finding.severity, finding.key) == ("file-changed", "warning", CONF)


def test_what_stands_in_the_file_of_a_key_is_not_shown(gateway: Gateway) -> None:
    path = "/etc/netfleet-tcp/wg-wan@east.psk"
    gateway.system.put(path, "hunter2\n", 0o600)
    assert "hunter2" not in " ".join(str(to_wire(finding)) for finding in gateway.found() if finding.key == path)


def test_the_file_of_the_hosts_key_is_looked_at(gateway: Gateway) -> None:
    gateway.system.put(KEY_PATH, PRIVATE + "\n", 0o644)
    found = gateway.found()
    assert [finding.key for finding in found] == [KEY_PATH]


@pytest.mark.parametrize(
    ("age", "sent", "received", "kept", "expected"),
    [
        (20, 9000, 9000, True, []),
        (179, 0, 9000, True, []),
        (181, 9000, 9000, True, [("tunnel-silent", "error")]),
        (-1, 148, 0, True, [("tunnel-silent", "error")]),
        (86400, 9000, 9000, False, []),
        (-1, 0, 0, False, [("tunnel-silent", "note")]),
        (-1, 1480, 0, False, [("tunnel-one-way", "warning")]),
    ],
)
def test_a_peer_that_is_kept_alive_and_silent_is_dead_and_an_idle_one_is_not(
    gateway: Gateway, age: int, sent: int, received: int, kept: bool, expected: list[tuple[str, str]]
) -> None:
    gateway.set_peer(EAST, handshake=age, sent=sent, received=received)
    check, _tcp, observed = gateway.look()
    if not kept:
        check = replace(check, links=replace(check.links, kept={}))
    assert [(finding.rule, finding.severity) for finding in check.findings(observed)] == expected


def test_keys_that_no_file_tells_are_known_by_the_address_of_their_peer(gateway: Gateway) -> None:
    del gateway.system.files[CONF]
    assert {finding.key for finding in gateway.found()} == {"wg-wan"}


def test_a_peer_that_was_never_known_is_said_and_a_stranger_that_may_be_it_is_not_condemned(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path).link(east=EAST)
    _stranger(gateway)
    found = {(finding.key, finding.rule, finding.severity) for finding in gateway.found()}
    assert found == {
        ("wg-wan peer west", "tunnel-conflict", "warning"),
        ("wg-wan", "tunnel-conflict", "error"),
    }


def test_what_links_would_refuse_is_said(gateway: Gateway) -> None:
    gateway.system.tunnels["theirs"] = Tunnel("theirs", public_of("t"), "t", 51820, 1420)
    (finding,) = gateway.found()
    assert (finding.key, finding.rule, finding.severity) == ("wg-wan", "tunnel-conflict", "error")
    assert "port 51820 is that of theirs" in finding.reason


def test_an_mtu_that_was_found_on_the_path_is_as_declared(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, topologies=[{**MESH, "mtu": 1328}]).link()
    gateway.links = {**GIVEN, "probe_mtu": True}
    assert gateway.found() == ()
    gateway.set(mtu=1300)
    assert [(finding.key, finding.intended) for finding in gateway.found()] == [("wg-wan MTU", "1328")]


def test_what_is_declared_no_longer_is_a_leftover_on_a_host_without_links(gateway: Gateway) -> None:
    gateway.links = {**gateway.links, "topologies": []}
    found = gateway.found()
    assert ("wg-wan", "tunnel-running", "warning") in {(entry.key, entry.rule, entry.severity) for entry in found}
    assert {entry.reason for entry in found} == {"left by an earlier run; no longer declared"}
    gateway.link()
    assert gateway.found() == ()
    assert NAME not in gateway.system.tunnels


def test_a_host_without_links_does_not_look_at_wireguard(tmp_path: Path) -> None:
    host = Gateway(tmp_path, topologies=[])
    check, _tcp, observed = host.look()
    assert check.request({"files": []})["tunnels"] is False
    assert (observed.tunnels, observed.tunnel_key, check.findings(observed)) == ({}, "", ())


def test_an_ordinary_user_is_told_that_it_is_not_judged(gateway: Gateway) -> None:
    check, _tcp, observed = gateway.look()
    (finding,) = check.findings(replace(observed, root=False, tunnel_limit="not permitted", tunnels={}))
    assert (finding.severity, finding.rule) == ("note", "file-unjudged")


def test_without_the_tools_the_host_cannot_have_links(gateway: Gateway) -> None:
    check, _tcp, observed = gateway.look()
    (finding,) = check.findings(replace(observed, tunnel_limit="wg is not installed", tunnels={}))
    assert (finding.severity, finding.rule, finding.cure) == ("error", "unsupported", "install wireguard-tools")


def test_a_fault_of_the_declaration_is_a_finding_and_nothing_else_is_concluded(gateway: Gateway) -> None:
    gateway.links = {**gateway.links, "topologies": [{**MESH, "port": 99999}], "secret": "short"}
    assert [(finding.key, finding.rule) for finding in gateway.found()] == [("wireguard_links_secret", "declaration")]
    gateway.links = {**GIVEN, "topologies": [{**MESH, "port": 99999}]}
    (finding,) = gateway.found()
    assert (finding.key, finding.severity) == ("wireguard_links_topologies[0].port", "error")


@pytest.mark.parametrize("names", [list(LIVE), list(LIVE)[1:], list(LIVE)[2:]])
def test_findings_are_complete_and_told_apart(gateway: Gateway, names: list[str]) -> None:
    for name in names:
        if NAME in gateway.system.tunnels:
            LIVE[name][0](gateway)
    found = gateway.found()
    assert found
    assert len({(finding.rule, finding.subject, finding.key) for finding in found}) == len(found)
    for finding in found:
        assert finding.rule in RULE_INDEX
        assert finding.subject in SUBJECTS
        assert finding.reason
        assert finding.key
