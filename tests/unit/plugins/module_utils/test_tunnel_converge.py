# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One interface on a host: made, left alone, changed in place, taken away; others' are never touched."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError, InputError
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Desired
from ansible_collections.netfleet.tcp.plugins.module_utils._transaction import apply
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_converge import converge_tunnel
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_files import KEY_PATH, tunnel_files
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnels import own_key
from tests.unit.plugins.fake_system import FakeSystem
from tests.unit.plugins.module_utils.test_tunnel_declaration import declared, key, peer, route

NAME = "wg-dc1"
GATEWAY = peer(name="gw1", endpoint="198.51.100.1:51820", allowed_ips=["10.10.0.0/16"], preshared_key=key(9))
WANTED = declared(peers=[GATEWAY, peer(2, allowed_ips=["10.99.0.9/32"])], routes=[route("10.10.0.0/16")])
ABSENT = declared(state="absent")


def made(system: FakeSystem, check_mode: bool = False, **more: Any) -> dict[str, Any]:
    return converge_tunnel(system, {**WANTED, **more}, check_mode)


@pytest.fixture
def system() -> FakeSystem:
    return FakeSystem()


def test_it_is_made_with_a_key_of_the_host_and_made_once(system: FakeSystem) -> None:
    first = made(system)
    assert first["changed"]
    assert first["public_key"] == own_key(system) == system.tunnels[NAME].public_key
    assert first["after"]["tunnel"] == {NAME: "2 peers, port 51820, MTU 1408"}
    assert system.tunnels[NAME].by_key[key(1)].preshared_key == key(9)
    steps = len(system.steps)
    second = made(system)
    assert (second["changed"], second["changes"], len(system.steps)) == (False, [], steps)


def test_no_secret_is_in_the_result(system: FakeSystem) -> None:
    text = str(made(system)) + str(made(system, peers=[{**GATEWAY, "preshared_key": key(8)}], routes=[]))
    private = system.files[KEY_PATH].text.strip()
    assert not [secret for secret in (key(9), key(8), private) if secret in text]


def test_what_differs_is_changed_in_place(system: FakeSystem) -> None:
    made(system)
    answer = made(system, mtu=1400, peers=[{**GATEWAY, "keepalive": 25}], routes=[])
    keys = [change["key"] for change in answer["changes"] if change["subject"] == "tunnel"]
    assert keys[:2] == ["wg-dc1 MTU", "wg-dc1 peer gw1 keepalive"]
    assert len(keys) == 4
    assert {entry.public_key for entry in system.tunnels[NAME].peers} == {key(1)}


def test_check_mode_says_the_same_and_makes_no_key(system: FakeSystem) -> None:
    looked = made(system, check_mode=True)
    assert (looked["changed"], looked["public_key"]) == (True, "")
    assert (system.steps, system.tunnels) == ([], {})
    assert KEY_PATH not in system.files
    done = made(system)
    assert [change["key"] for change in done["changes"]] == [change["key"] for change in looked["changes"]]
    assert done["diff"] == looked["diff"]


def test_absent_takes_it_away_and_leaves_the_key(system: FakeSystem) -> None:
    made(system)
    private = system.files[KEY_PATH]
    answer = converge_tunnel(system, ABSENT, False)
    assert answer["changed"]
    assert system.tunnels == {}
    assert not [path for path in system.files if NAME in path]
    assert system.files[KEY_PATH] == private
    assert not converge_tunnel(system, ABSENT, False)["changed"]


def test_two_interfaces_of_a_host_are_two_declarations(system: FakeSystem) -> None:
    made(system)
    made(system, name="wg-dc2", listen_port=51821, routes=[], peers=[])
    assert set(system.tunnels) == {NAME, "wg-dc2"}
    assert not made(system)["changed"]
    converge_tunnel(system, ABSENT, False)
    assert set(system.tunnels) == {"wg-dc2"}


@pytest.mark.parametrize("state", ["present", "absent"])
def test_an_interface_of_the_role_is_left_alone(system: FakeSystem, state: str) -> None:
    made(system, name="other", listen_port=1, routes=[], peers=[])
    theirs = Tunnel(NAME, own_key(system), port=51820, mtu=1408)
    apply(system, Desired("role:wireguard_links", tunnels=(theirs,), files=tuple(tunnel_files(theirs, "wg-quick"))), {})
    before = system.snapshot()
    if state == "present":
        with pytest.raises(HostError, match="is an interface of the role wireguard_links"):
            made(system)
    else:
        assert not converge_tunnel(system, ABSENT, False)["changed"]
    assert system.snapshot() == before


@pytest.mark.parametrize("check_mode", [False, True])
def test_what_somebody_else_has_made_is_not_taken_over(system: FakeSystem, check_mode: bool) -> None:
    system.tunnels[NAME] = Tunnel(NAME, "T", "theirs", 1, 1420)
    with pytest.raises(HostError, match="which somebody else has made"):
        made(system, check_mode)
    assert system.tunnels[NAME].private_key == "theirs"


# The third step arms the clock, for which there is another way.
@pytest.mark.parametrize("step", [2, *range(4, 12)])
def test_whatever_fails_all_is_restored(system: FakeSystem, step: int) -> None:
    made(system)
    before = system.snapshot()
    system.fail_at = len(system.steps) + step
    with pytest.raises(HostError):
        made(system, mtu=1300, peers=[], routes=[])
    now = system.snapshot()
    assert now.pop("tunnels")[NAME].by_key == before.pop("tunnels")[NAME].by_key
    assert now == before
    assert not made(system)["changed"]


def test_wrong_input_touches_nothing(system: FakeSystem) -> None:
    with pytest.raises(InputError, match="listen_port"):
        made(system, listen_port=0)
    with pytest.raises(InputError, match="is no name"):
        converge_tunnel(system, {**ABSENT, "name": "../x"}, False)
    assert system.steps == []


def test_a_peer_with_the_hosts_own_key_is_refused(system: FakeSystem) -> None:
    public = made(system)["public_key"]
    with pytest.raises(InputError, match=r"peers\[0\].public_key: is the key of this host itself"):
        made(system, peers=[peer(public_key=public)], routes=[])


def test_the_backend_is_that_of_the_host_unless_it_is_named(system: FakeSystem) -> None:
    made(system)
    assert "/etc/wireguard/wg-dc1.conf" in system.files
    made(system, backend="systemd-networkd")
    assert "/etc/systemd/network/50-wg-dc1.netdev" in system.files
    assert "/etc/wireguard/wg-dc1.conf" not in system.files
    system.put("/run/systemd/netif/state")
    assert not made(system)["changes"]
