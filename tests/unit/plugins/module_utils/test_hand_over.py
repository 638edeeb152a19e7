# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys that change while the links carry something: two hosts, of which the one learns the other's new key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from unittest.mock import Mock

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils import _hand_over
from ansible_collections.netfleet.tcp.plugins.module_utils._begin import Terms
from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint_store import PROGRAM, read_pending
from ansible_collections.netfleet.tcp.plugins.module_utils._confirmed import confirm, take_back
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError
from ansible_collections.netfleet.tcp.plugins.module_utils._hand_over import switch, watch
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Desired, DesiredFile
from ansible_collections.netfleet.tcp.plugins.module_utils._revert_main import take_back as clock_ends
from ansible_collections.netfleet.tcp.plugins.module_utils._rollback import LAST, rollback
from ansible_collections.netfleet.tcp.plugins.module_utils._transaction import apply
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_files import KEY_PATH, NEXT_KEY_PATH
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel, TunnelPeer
from tests.unit.plugins.fake_system import FakeSystem
from tests.unit.plugins.fake_wireguard import public_of

NAME = "wg-wan"
OLD, NEW = "the old one", "the new one"
ALLOWED = ("10.20.0.0/16", "10.99.0.2/32")
EAST = TunnelPeer("E", "east", "203.0.113.1:51820", ALLOWED, 25)
WEST = TunnelPeer("W", "west", "203.0.113.2:51820", ("10.30.0.0/16", "10.99.0.3/32"))
TUNNEL = Tunnel(NAME, public_of(OLD), "", 51820, 1408, addresses=("10.99.0.1/24",), peers=(EAST, WEST))
TERMS = Terms(120)


def desired(tunnel: Tunnel) -> Desired:
    return Desired(name="role:wireguard_links", tunnels=(tunnel,))


def running() -> FakeSystem:
    """A host with the links up, and the key that is to follow."""
    system = FakeSystem()
    system.put(KEY_PATH, OLD + "\n", 0o600)
    apply(system, desired(TUNNEL), {})
    system.put(NEXT_KEY_PATH, NEW + "\n", 0o600)
    return system


# The other end's key changes; and this host's own.
LEARNS = desired(replace(TUNNEL, peers=(replace(EAST, public_key="E2", former="E"), WEST)))
SWITCHES = desired(replace(TUNNEL, public_key=public_of(NEW), former=public_of(OLD)))


def allowed(system: FakeSystem) -> dict[str, tuple[str, ...]]:
    return {peer.public_key: peer.allowed for peer in system.tunnels[NAME].peers}


def speaks(system: FakeSystem, key: str) -> None:
    """Something has come from the peer of this key."""
    tunnel = system.tunnels[NAME]
    peers = tuple(replace(peer, received=148) if peer.public_key == key else peer for peer in tunnel.peers)
    system.tunnels[NAME] = replace(tunnel, peers=peers)


def then(*events: Callable[[], object]) -> Callable[[float], None]:
    """What happens while somebody sleeps, one event at a time; a wait without end fails."""
    left = list(events)

    def sleep(_seconds: float) -> None:
        assert left, "nothing more happens"
        left.pop(0)()

    return sleep


def test_the_new_key_is_known_at_once_and_the_former_one_still_carries() -> None:
    system = running()
    outcome = apply(system, LEARNS, {}, TERMS)
    assert [(change.key, change.want) for change in outcome.plan.changes] == [("wg-wan peer east key", "E2")]
    assert allowed(system) == {"E": ALLOWED, "E2": (), "W": WEST.allowed}
    assert any("--hand-over" in argv for argv in system.detached)


def test_it_takes_over_when_it_speaks_and_not_before() -> None:
    system = running()
    apply(system, LEARNS, {}, TERMS)
    seen = []
    nothing = lambda: seen.append(allowed(system)["E2"])  # noqa: E731
    assert watch(system, then(nothing, nothing, lambda: speaks(system, "E2"), nothing)) == 1
    assert seen == [(), (), ALLOWED]
    assert allowed(system) == {"E2": ALLOWED, "W": WEST.allowed}


def test_confirmed_the_former_key_is_gone() -> None:
    system = running()
    pending = apply(system, LEARNS, {}, TERMS).pending
    assert pending is not None
    speaks(system, "E2")
    watch(system, then(lambda: None))
    confirm(system, pending.id)
    assert set(allowed(system)) == {"E2", "W"}
    again = replace(LEARNS, tunnels=(replace(TUNNEL, peers=(replace(EAST, public_key="E2"), WEST)),))
    assert apply(system, again, {}).plan.changes == ()


def test_a_peer_that_was_out_of_reach_is_handed_over_at_the_end() -> None:
    system = running()
    pending = apply(system, LEARNS, {}, TERMS).pending
    assert pending is not None
    confirm(system, pending.id)
    assert allowed(system) == {"E2": ALLOWED, "W": WEST.allowed}


@pytest.mark.parametrize("spoken", [False, True])
def test_taken_back_the_former_key_carries_again_and_the_new_one_is_forgotten(spoken: bool) -> None:
    system = running()
    pending = apply(system, LEARNS, {}, TERMS).pending
    assert pending is not None
    if spoken:
        speaks(system, "E2")
        watch(system, then(lambda: None))
    take_back(system, pending.id, "its other end does")
    assert allowed(system) == {"E": ALLOWED, "W": WEST.allowed}
    assert system.tunnels[NAME].by_key["E"].keepalive == 25


def test_the_watch_ends_with_the_change_and_makes_no_peer_anew() -> None:
    system = running()
    pending = apply(system, LEARNS, {}, TERMS).pending
    assert pending is not None
    identifier = pending.id
    assert watch(system, then(lambda: None, lambda: take_back(system, identifier, "of a test"))) == 0
    assert set(allowed(system)) == {"E", "W"}
    assert watch(system, then()) == 0


def test_the_watch_does_not_outlast_the_window() -> None:
    system = running()
    apply(system, LEARNS, {}, TERMS)
    assert watch(system, then(lambda: None, lambda: system.boot("1", system.uptime + 121))) == 0


def test_a_look_that_fails_is_made_again() -> None:
    system = running()
    apply(system, LEARNS, {}, TERMS)

    def fails() -> None:
        system.wireguard = False

    def works() -> None:
        system.wireguard = True
        speaks(system, "E2")

    assert watch(system, then(fails, lambda: None, works, lambda: None)) == 1
    assert allowed(system)["E2"] == ALLOWED
    assert len([line for line in system.journal if "which is tried again: wg show all dump" in line]) == 1


def test_the_record_is_parsed_once_while_it_stays_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    system = running()
    apply(system, LEARNS, {}, TERMS)
    parse = Mock(wraps=read_pending)
    monkeypatch.setattr(_hand_over, "read_pending", parse)
    nothing = lambda: None  # noqa: E731
    watch(system, then(nothing, nothing, nothing, lambda: system.boot("1", system.uptime + 121)))
    assert parse.call_count == 1


def test_a_host_keeps_its_key_until_it_is_told_to_switch() -> None:
    system = running()
    pending = apply(system, SWITCHES, {}, TERMS).pending
    assert pending is not None
    assert system.tunnels[NAME].private_key == OLD
    assert system.files[KEY_PATH].text == OLD + "\n"
    assert switch(system, pending.id, 0.0) == {}
    assert (system.tunnels[NAME].private_key, system.tunnels[NAME].public_key) == (NEW, public_of(NEW))
    confirm(system, pending.id)
    assert (system.files[KEY_PATH].text, system.files[KEY_PATH].mode) == (NEW + "\n", 0o600)
    assert NEXT_KEY_PATH not in system.files
    again = desired(replace(TUNNEL, public_key=public_of(NEW)))
    assert apply(system, again, {}).plan.changes == ()


def test_peers_that_were_in_touch_are_asked_by_the_new_key() -> None:
    system = running()
    pending = apply(system, SWITCHES, {}, TERMS).pending
    assert pending is not None
    tunnel = system.tunnels[NAME]
    system.tunnels[NAME] = replace(tunnel, peers=(replace(tunnel.by_key["E"], handshake=20), tunnel.by_key["W"]))
    assert switch(system, pending.id, 0.0) == {NAME: []}
    # Whom nobody has heard of lately is called as well, so that he need not find out by himself: nobody waits for him.
    assert sorted(system.datagrams) == [("10.99.0.2", 9), ("10.99.0.3", 9)]


@pytest.mark.parametrize("switched", [False, True])
def test_a_host_that_takes_it_back_has_its_former_key(switched: bool) -> None:
    system = running()
    pending = apply(system, SWITCHES, {}, TERMS).pending
    assert pending is not None
    if switched:
        switch(system, pending.id, 0.0)
    take_back(system, pending.id, "of a test")
    assert system.tunnels[NAME].private_key == OLD
    assert system.files[KEY_PATH].text == OLD + "\n"


def test_rolled_back_it_has_its_former_key_in_the_kernel_and_at_the_next_boot() -> None:
    system = running()
    pending = apply(system, SWITCHES, {}, TERMS).pending
    assert pending is not None
    switch(system, pending.id, 0.0)
    confirm(system, pending.id)
    rollback(system, LAST, Terms())
    assert system.tunnels[NAME].private_key == OLD
    assert system.files[KEY_PATH].text == OLD + "\n"


CONF = DesiredFile("/etc/wireguard/wg-wan.conf", 0o600, "# Managed by netfleet.tcp\nPublicKey = E\n")


def whole(system: FakeSystem, wanted: Desired) -> None:
    """A change of keys from its beginning to its end."""
    pending = apply(system, wanted, {}, TERMS).pending
    assert pending is not None
    switch(system, pending.id, 0.0)
    if "E2" in allowed(system):
        speaks(system, "E2")
        watch(system, then(lambda: None))
    confirm(system, pending.id)


def cut(wanted: Desired, after_it: Callable[[FakeSystem], object]) -> list[tuple[FakeSystem, str]]:
    """The host after its process or its power has gone at each step of a change; and whether that was late enough."""
    found = []
    for late in (False, True):
        for step in range(1, 1000):
            system = running()
            apply(system, replace(desired(TUNNEL), files=(CONF,)), {})
            system.steps.clear()
            system.fail_at, system.fail_late, system.deadly, system.exception = step, late, True, KeyboardInterrupt()
            try:
                whole(system, wanted)
            except BaseException:  # noqa: BLE001 - whatever the way out makes of it
                system.dead, system.fail_at, system.lock_held = False, 0, False
            else:
                break
            after_it(system)
            found.append((system, "%s step %d: %s" % ("after" if late else "before", step, system.steps[step - 1])))
    return found


@pytest.mark.parametrize("wanted", [LEARNS, SWITCHES], ids=["learns", "switches"])
def test_killed_at_any_step_the_clock_leaves_keys_that_agree(wanted: Desired) -> None:
    text = CONF.text.replace("E\n", "E2\n") if wanted is LEARNS else CONF.text

    def time_is_over(system: FakeSystem) -> None:
        system.uptime += 200
        clock_ends(system)

    ended = set()
    cuts = cut(replace(wanted, files=(replace(CONF, text=text),)), time_is_over)
    for system, what in cuts:
        tunnel = system.tunnels[NAME]
        assert tunnel.private_key + "\n" == system.files[KEY_PATH].text, what
        assert len(tunnel.peers) == 2, what
        assert next(peer.allowed for key, peer in tunnel.by_key.items() if key != "W") == ALLOWED, what
        assert (system.files[CONF.path].text == text) is (wanted is SWITCHES or "E2" in tunnel.by_key), what
        ended.add((tunnel.private_key, "E2" in tunnel.by_key))
    assert len(ended) == 2, "some are as before, some as after"
    assert len(cuts) > 20


@pytest.mark.parametrize("wanted", [LEARNS, SWITCHES], ids=["learns", "switches"])
def test_without_power_at_any_step_a_boot_has_keys_that_agree(wanted: Desired) -> None:
    text = CONF.text.replace("E\n", "E2\n") if wanted is LEARNS else CONF.text

    def booted(system: FakeSystem) -> None:
        system.boot("another boot", 30.0)
        system.tunnels = {}
        clock_ends(system, early=True)

    seen = set()
    for system, what in cut(replace(wanted, files=(replace(CONF, text=text),)), booted):
        found = (system.files[KEY_PATH].text, system.files[CONF.path].text, NEXT_KEY_PATH in system.files)
        former = (OLD + "\n", CONF.text, True)
        assert found in (former, (OLD + "\n", text, True) if wanted is LEARNS else (NEW + "\n", text, False)), what
        seen.add(found)
    assert len(seen) == 2


def test_only_a_change_that_is_pending_can_switch() -> None:
    system = running()
    with pytest.raises(HostError, match="change 000009-x: is not pending any more"):
        switch(system, "000009-x", 0.0)
    assert system.tunnels[NAME].private_key == OLD


def test_a_change_that_is_final_at_once_replaces_keys() -> None:
    system = running()
    apply(system, LEARNS, {})
    assert allowed(system) == {"E2": ALLOWED, "W": WEST.allowed}
    assert read_pending(system) is None
    assert PROGRAM not in system.files
