# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._model import Baseline, FileState, Observed
from ansible_collections.netfleet.tcp.plugins.module_utils._plan import desired_state, make_plan
from ansible_collections.netfleet.tcp.plugins.module_utils._secrets import key_token
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_files import BACKENDS, NETWORKD, WG_QUICK
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel, TunnelPeer, TunnelRoute
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_analysis import analysed
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_desired import (
    DesiredLinks,
    Keys,
    LinkSettings,
    desired_links,
    preshared_key,
)
from tests.unit.plugins.plugin_utils.sample_links import HUBS, MESH, SITES, declared

SECRET = "a long secret, as a vault keeps it"


def key(number: int) -> str:
    return base64.b64encode(bytes([number] * 32)).decode()


KEYS = {"gw1": key(1), "east": key(2), "west": key(3)}
OBSERVED = Observed(
    kernel="6.1",
    memory=0,
    root=True,
    systemd=True,
    reader="systemd-sysctl",
    child_netns=False,
    keys={},
    files={},
    modules={},
    tunnel_key=KEYS["gw1"],
)


def links_of(
    host: str = "gw1",
    topology: dict[str, Any] | None = None,
    observed: Observed = OBSERVED,
    keys: dict[str, str] | None = None,
    settings: LinkSettings | None = None,
    **more: Any,
) -> DesiredLinks:
    interfaces = analysed(declared(topology or MESH, **more))[host]
    settings = settings or LinkSettings(secret=SECRET)
    return desired_links(host, interfaces, observed, Keys(KEYS if keys is None else keys), settings)


def applied(found: DesiredLinks, observed: Observed = OBSERVED) -> Observed:
    """The host once it is as desired."""
    files = {entry.path: desired_state(entry) for entry in found.desired.files}
    tunnels = {tunnel.name: tunnel for tunnel in found.desired.tunnels}
    return replace(observed, tunnels=tunnels, files={**observed.files, **files})


def test_the_tunnel_of_a_gateway() -> None:
    (tunnel,) = links_of().desired.tunnels
    assert (tunnel.name, tunnel.public_key, tunnel.port, tunnel.mtu) == ("wg-wan", KEYS["gw1"], 51820, 1392)
    assert tunnel.private_key == ""
    assert [(peer.name, peer.public_key, peer.endpoint) for peer in tunnel.peers] == [
        ("east", KEYS["east"], "198.51.100.1:51820"),
        ("west", KEYS["west"], "203.0.113.1:51820"),
    ]
    # The tunnel's own network is connected.
    assert tunnel.routes == (TunnelRoute("10.20.0.0/16"), TunnelRoute("10.30.0.0/16"))


def test_an_endpoint_of_ipv6_is_bracketed() -> None:
    both = {"families": [4, 6]}
    (tunnel,) = links_of(
        east={"endpoint": "2001:db8:ffff::1", **both}, west={"endpoint": "203.0.113.1", **both}
    ).desired.tunnels
    assert tunnel.peers[0].endpoint == "[2001:db8:ffff::1]:51820"


def test_what_goes_over_a_link_may_have_its_own_congestion_control() -> None:
    settings = LinkSettings(congestion_control="bbr", initcwnd=20, initrwnd=30)
    (tunnel,) = links_of(settings=settings).desired.tunnels
    assert tunnel.routes[0] == TunnelRoute("10.20.0.0/16", 0, "bbr", 20, 30)


def test_both_ends_derive_the_same_preshared_key() -> None:
    gw1, east = links_of("gw1"), links_of("east", observed=replace(OBSERVED, tunnel_key=KEYS["east"]))
    (here,) = [peer for peer in gw1.desired.tunnels[0].peers if peer.name == "east"]
    (there,) = [peer for peer in east.desired.tunnels[0].peers if peer.name == "gw1"]
    assert here.preshared_key == there.preshared_key != ""
    assert gw1.secrets[here.preshared_key] == east.secrets[here.preshared_key]
    assert len(set(gw1.secrets.values())) == 2, "each pair has its own"


def test_preshared_keys_are_keys_and_differ_by_whatever_they_are_of() -> None:
    settings = LinkSettings(secret=SECRET)
    others = [
        preshared_key(settings, "wan", "a", "b"),
        preshared_key(settings, "star", "a", "b"),
        preshared_key(settings, "wan", "a", "c"),
        preshared_key(replace(settings, generation=1), "wan", "a", "b"),
        preshared_key(replace(settings, secret=SECRET + "!"), "wan", "a", "b"),
    ]
    assert len({*others}) == len(others)
    assert {len(base64.b64decode(other)) for other in others} == {32}
    assert preshared_key(settings, "wan", "b", "a") == others[0]
    assert preshared_key(LinkSettings(), "wan", "a", "b") == ""


def test_without_a_secret_there_are_no_preshared_keys() -> None:
    found = links_of(settings=LinkSettings())
    assert found.secrets == {}
    assert [peer.preshared_key for peer in found.desired.tunnels[0].peers] == ["", ""]
    assert [entry.path for entry in found.desired.files if entry.path.endswith(".psk")] == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_file_but_those_of_keys_holds_a_secret_and_these_hold_its_token(backend: str) -> None:
    found = links_of(settings=LinkSettings(backend=backend, secret=SECRET))
    texts = {entry.path: entry.text for entry in found.desired.files}
    assert not any(secret in text for secret in found.secrets.values() for text in texts.values())
    tokens = {text.strip() for path, text in texts.items() if path.endswith(".psk")}
    assert tokens == set(found.secrets)
    assert all(token == key_token(found.secrets[token]) for token in tokens)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_peer_that_cannot_be_asked_is_kept_by_what_the_host_remembers(backend: str) -> None:
    settings = LinkSettings(backend=backend, secret=SECRET)
    first = links_of(settings=settings)
    later = links_of(settings=settings, observed=applied(first), keys={})
    assert later.desired == first.desired
    assert later.findings == ()
    assert make_plan(later.desired, applied(first)).changes == ()


def test_a_peer_that_was_never_known_is_left_out_and_said() -> None:
    found = links_of(keys={"east": KEYS["east"]})
    assert [peer.name for peer in found.desired.tunnels[0].peers] == ["east"]
    (finding,) = found.findings
    assert str(finding) == (
        "wg-wan peer west: its public key is not known: it has none yet, or could not be asked, and was never"
        " known here; it is left out (run again with that host, or give its key in wireguard_links_keys)"
    )
    # Where no packet could go, no route leads.
    assert found.desired.tunnels[0].routes == (TunnelRoute("10.20.0.0/16"),)


def test_the_host_brings_links_up_by_what_it_runs() -> None:
    def directories(found: DesiredLinks) -> set[str]:
        return {entry.path.rsplit("/", 1)[0] for entry in found.desired.files}

    assert "/etc/systemd/network" in directories(links_of(observed=replace(OBSERVED, networkd=True)))
    assert "/etc/wireguard" in directories(links_of())
    forced = links_of(observed=replace(OBSERVED, networkd=True), settings=LinkSettings(backend=WG_QUICK))
    assert "/etc/wireguard" in directories(forced)


def test_a_backend_that_is_given_up_leaves_no_file() -> None:
    first = links_of(settings=LinkSettings(backend=WG_QUICK))
    before = applied(first)
    old = Baseline(files={entry.path: FileState(entry.path) for entry in first.desired.files}, tunnels={"wg-wan": None})
    second = links_of(observed=replace(before, baseline=old), settings=LinkSettings(backend=NETWORKD))
    changes = {change.key: change.want for change in make_plan(second.desired, replace(before, baseline=old)).changes}
    assert changes["/etc/wireguard/wg-wan.conf"] == "absent"
    assert "/etc/systemd/network/50-wg-wan.netdev" in changes


def test_an_interface_that_is_no_longer_declared_goes() -> None:
    observed = replace(OBSERVED, baseline=Baseline(tunnels={"wg-old": None}), tunnels={"wg-old": Tunnel("wg-old")})
    changes = make_plan(links_of(observed=observed).desired, observed).changes
    assert [(change.key, change.want) for change in changes if change.subject == "tunnel"] == [
        ("wg-old", "absent"),
        ("wg-wan", "2 peers, port 51820, MTU 1392"),
    ]


def test_redundant_gateways_have_routes_by_metric() -> None:
    sites = {**SITES, "onprem": {**SITES["onprem"], "gateways": ["gw1", "gw2"]}}
    topology = {**MESH, "numbers": {**MESH["numbers"], "gw2": 4}, "interface_per_peer": True, "failover": "metric"}
    observed = replace(OBSERVED, tunnel_key=KEYS["east"])
    keys = {**KEYS, "gw2": key(4)}
    found = links_of("east", topology, observed, keys, sites=sites)
    routes = {tunnel.name: {route.prefix: route.metric for route in tunnel.routes} for tunnel in found.desired.tunnels}
    assert routes["wg-wan-1"] == {"10.10.0.0/16": 50, "2001:db8:10::/48": 50, "10.99.0.1/32": 0}
    assert routes["wg-wan-4"]["10.10.0.0/16"] == 51


def test_a_key_that_two_nodes_have_is_refused_and_so_is_ones_own() -> None:
    twice = links_of(keys={**KEYS, "west": KEYS["east"]}).findings
    assert [finding.severity for finding in twice] == ["error"]
    assert "wg-wan peer west: has the key of east: one is a copy of the other" in str(twice[0])
    assert "wg-wan peer east: has the key of this host" in str(links_of(keys={**KEYS, "east": KEYS["gw1"]}).findings[0])


def test_no_live_peer_goes_while_it_may_be_one_whose_key_is_not_known() -> None:
    live = Tunnel("wg-wan", peers=(TunnelPeer(KEYS["west"]), TunnelPeer(KEYS["east"])))
    found = links_of(observed=replace(OBSERVED, tunnels={"wg-wan": live}), keys={"east": KEYS["east"]})
    (kept,) = [finding for finding in found.findings if finding.severity == "error"]
    assert f"the live peer {KEYS['west']} may be west, whose key is not known: it is not removed" in str(kept)


def test_a_shared_key_changes_only_in_a_run_with_both_ends() -> None:
    first = links_of()
    before = applied(first)
    later = replace(LinkSettings(secret=SECRET), generation=1)
    alone = links_of(settings=later, observed=before)
    assert alone.desired.tunnels == first.desired.tunnels
    assert [finding.key for finding in alone.findings] == ["wg-wan peer east", "wg-wan peer west"]
    assert make_plan(alone.desired, before).changes == ()
    interfaces = analysed(declared(MESH))["gw1"]
    both = desired_links("gw1", interfaces, before, Keys(KEYS, together={"gw1", "east"}), later)
    changes = [change.key for change in make_plan(both.desired, before).changes if change.subject == "tunnel"]
    assert changes == ["wg-wan peer east preshared key"]


EVERYBODY = {"gw1", "east", "west"}


def rotated(host: str, observed: Observed, rotating: set[str], together: set[str]) -> DesiredLinks:
    """The links of a host in a run that changes the keys of some."""
    new = {**KEYS, **{name: key(10 + number) for number, name in enumerate(KEYS) if name in rotating}}
    former = {name: KEYS[name] for name in rotating}
    interfaces = analysed(declared(MESH))[host]
    return desired_links(host, interfaces, observed, Keys(new, former, together), LinkSettings(secret=SECRET))


def test_a_new_key_is_known_beside_the_former() -> None:
    east = replace(OBSERVED, tunnel_key=KEYS["east"])
    before = applied(links_of("east", observed=east), east)
    found = rotated("east", before, {"gw1"}, EVERYBODY)
    assert found.findings == ()
    (peer,) = [peer for peer in found.desired.tunnels[0].peers if peer.name == "gw1"]
    assert (peer.public_key, peer.former) == (key(10), KEYS["gw1"])
    changes = [(change.key, change.want) for change in make_plan(found.desired, before).changes]
    assert ("wg-wan peer gw1 key", key(10)) in changes
    # Its file has the new one alone.
    assert KEYS["gw1"] not in "".join(entry.text for entry in found.desired.files)


def test_the_host_itself_keeps_its_key_until_it_is_to_switch() -> None:
    before = applied(links_of())
    (tunnel,) = rotated("gw1", before, {"gw1"}, EVERYBODY).desired.tunnels
    assert (tunnel.public_key, tunnel.former) == (key(10), KEYS["gw1"])


def test_a_host_keeps_its_key_while_somebody_would_not_learn_the_new_one() -> None:
    (finding,) = rotated("gw1", applied(links_of()), {"gw1"}, {"gw1", "east"}).findings
    assert finding.severity == "error"
    assert str(finding) == (
        "wg-wan peer west: would not learn the new key of gw1: this run does not change it"
        " (run again without -l, or with that host)"
    )


def test_a_host_keeps_its_key_while_it_has_a_peer_of_somebody_elses() -> None:
    east = replace(OBSERVED, tunnel_key=KEYS["east"])
    interfaces = analysed(declared(HUBS))["east"]
    keys = Keys({**KEYS, "east": key(11)}, {"east": KEYS["east"]}, {*EVERYBODY})
    (finding,) = desired_links("east", interfaces, east, keys, LinkSettings(secret=SECRET)).findings
    assert finding.severity == "error"
    assert str(finding) == (
        "wg-star peer alice: would not learn the new key of east: somebody else configures it (keep the key, or take"
        " the peer out of its topology for this run and tell its owner the new key)"
    )


def test_a_link_takes_over_from_ipsec_and_gives_back() -> None:
    settings = LinkSettings(secret=SECRET, ipsec="moved")
    found = links_of(settings=settings)
    (tunnel,) = found.desired.tunnels
    assert tunnel.rules == ("10.20.0.0/16", "10.30.0.0/16")
    assert tunnel.settings == ("disable_policy=1", "disable_xfrm=1", "rp_filter=2")
    assert tunnel.clamp == tunnel.mtu
    live = replace(applied(found), tunnels={"wg-wan": replace(tunnel, private_key="")})
    back = links_of(settings=replace(settings, ipsec="beside"), observed=live)
    changes = {
        change.key: change.want for change in make_plan(back.desired, live).changes if change.subject == "tunnel"
    }
    assert changes == {"wg-wan disable_xfrm": "0", "wg-wan rules": "none"}
    over = links_of(settings=LinkSettings(secret=SECRET), observed=live)
    changes = {
        change.key: change.want for change in make_plan(over.desired, live).changes if change.subject == "tunnel"
    }
    assert changes == {"wg-wan disable_policy": "0", "wg-wan disable_xfrm": "0", "wg-wan rules": "none"}
    assert not any(entry.path.startswith("/etc/sysctl.d/") for entry in over.desired.files)
