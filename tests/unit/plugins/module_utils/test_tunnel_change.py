# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""WireGuard interfaces as a part of a change: recorded, changed in place, confirmed or taken back with the rest."""

from __future__ import annotations

import copy
import errno
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._begin import Terms
from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint_store import read_pending
from ansible_collections.netfleet.tcp.plugins.module_utils._clamp import parse_clamps
from ansible_collections.netfleet.tcp.plugins.module_utils._confirmed import confirm
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Desired, DesiredFile, to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._observe import Request, load_vault, observe
from ansible_collections.netfleet.tcp.plugins.module_utils._result import outcome_result
from ansible_collections.netfleet.tcp.plugins.module_utils._revert_main import take_back as clock_ends
from ansible_collections.netfleet.tcp.plugins.module_utils._rollback import LAST, rollback
from ansible_collections.netfleet.tcp.plugins.module_utils._rollback import inspect as inspect_rollback
from ansible_collections.netfleet.tcp.plugins.module_utils._secrets import key_token
from ansible_collections.netfleet.tcp.plugins.module_utils._transaction import apply, inspect
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_files import KEY_PATH
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel, TunnelPeer, TunnelRoute
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnels import keep_key, read_tunnels
from tests.unit.plugins.fake_system import FakeSystem
from tests.unit.plugins.fake_wireguard import public_of, ruleset

PRIVATE, PRESHARED = "p" * 43 + "=", "s" * 43 + "="
SECRETS = {key_token(PRESHARED): PRESHARED}
NAME = "wg-wan"
CONF = "/etc/wireguard/wg-wan.conf"
DROP_IN = "/etc/systemd/system/nftables.service.d/netfleet-tcp-wg-wan.conf"
TERMS = Terms(120, "ann@controller")
EAST = TunnelPeer("E", "east", "198.51.100.1:51820", ("10.20.0.0/16", "10.99.0.2/32"), 25, key_token(PRESHARED))
WEST = TunnelPeer("W", "west", "gw.example.net:51820", ("10.30.0.0/16",))
WANTED = Tunnel(
    NAME,
    public_key=public_of(PRIVATE),
    port=51820,
    mtu=1408,
    addresses=("10.99.0.1/24",),
    peers=(EAST, WEST),
    routes=(TunnelRoute("10.20.0.0/16", 0, "bbr", 10), TunnelRoute("10.30.0.0/16")),
    clamp=1408,
    settings=("disable_policy=1", "disable_xfrm=1", "rp_filter=2"),
    rules=("10.20.0.0/16", "10.30.0.0/16"),
)
DESIRED = Desired(
    name="role:wireguard_links",
    tunnels=(WANTED,),
    files=(
        DesiredFile(CONF, 0o600, "# Managed by netfleet.tcp\n[Interface]\nListenPort = 51820\n"),
        DesiredFile("/etc/netfleet-tcp/wg-wan-east.psk", 0o600, key_token(PRESHARED) + "\n"),
        DesiredFile(DROP_IN, 0o644, "# Managed by netfleet.tcp\n[Service]\n"),
    ),
)
# What somebody else has made is taken over only where that is asked for.
TAKING_OVER = replace(DESIRED, boot_conflict="warn")
OLDER = replace(
    DESIRED,
    tunnels=(
        replace(
            WANTED,
            port=51000,
            peers=(replace(EAST, preshared_key=""),),
            routes=(),
            clamp=1300,
            settings=(),
            rules=("10.20.0.0/16",),
        ),
    ),
    files=(DesiredFile(CONF, 0o600, "# Managed by netfleet.tcp\nolder\n"),),
)


Kind = TypeVar("Kind", bound=FakeSystem)


def host() -> FakeSystem:
    return ready(FakeSystem())


def ready(system: Kind) -> Kind:
    system.hosts["gw.example.net"] = ["203.0.113.1", "2001:db8::1"]
    system.put(KEY_PATH, PRIVATE + "\n", 0o600)
    return system


def running_older() -> FakeSystem:
    system = host()
    apply(system, OLDER, {})
    return system


def foreign() -> FakeSystem:
    """Somebody has made the interface by hand."""
    system = host()
    system.tunnels[NAME] = Tunnel(
        NAME,
        public_of("theirs"),
        "theirs",
        51820,
        1420,
        addresses=("10.99.0.9/24",),
        peers=(TunnelPeer("X", allowed=("10.20.0.0/16",), preshared_key="their secret"),),
        routes=(TunnelRoute("10.20.0.0/16", 5),),
        settings=("disable_policy=0", "disable_xfrm=0", "rp_filter=1"),
    )
    return system


HOSTS = [host, running_older, foreign]


def the_tunnel(system: FakeSystem) -> Tunnel:
    return system.tunnels[NAME]


@pytest.mark.parametrize("make", HOSTS)
def test_a_change_is_made_and_there_is_nothing_left_to_change(make: Callable[[], FakeSystem]) -> None:
    system = make()
    outcome = apply(system, TAKING_OVER, SECRETS)
    now = the_tunnel(system)
    assert (now.port, now.mtu, now.addresses, now.private_key) == (51820, 1408, ("10.99.0.1/24",), PRIVATE)
    assert now.by_key["E"].preshared_key == PRESHARED
    assert now.by_key["W"].endpoint == "203.0.113.1:51820"
    assert set(now.by_key) == {"E", "W"}
    assert set(now.routes) == set(WANTED.routes)
    assert (now.settings, system.rules) == (WANTED.settings, WANTED.rules)
    assert parse_clamps(ruleset(system.scripts.values())) == {NAME: 1408}
    assert system.files["/etc/netfleet-tcp/wg-wan-east.psk"].text == PRESHARED + "\n"
    assert outcome.pending is None
    steps = len(system.steps)
    assert not apply(system, DESIRED, SECRETS).plan.changes
    assert len(system.steps) == steps


@pytest.mark.parametrize("make", HOSTS)
def test_taken_back_it_is_as_it_was_before(make: Callable[[], FakeSystem]) -> None:
    untouched, system = make(), make()
    apply(system, TAKING_OVER, SECRETS)
    rollback(system, LAST, Terms())
    assert system.tunnels == untouched.tunnels
    assert (system.rules, system.scripts) == (untouched.rules, untouched.scripts)
    system = make()
    apply(system, TAKING_OVER, SECRETS)
    apply(system, Desired(name=DESIRED.name), {})
    before = {} if make is running_older else untouched.tunnels
    assert system.tunnels == before
    assert (system.rules, system.scripts) == ((), {})
    assert CONF not in system.files


@pytest.mark.parametrize("make", HOSTS)
def test_whatever_fails_the_interface_is_as_it_was(make: Callable[[], FakeSystem]) -> None:
    steps = 0
    while True:
        steps += 1
        system = make()
        before = copy.deepcopy(system.snapshot())
        system.steps.clear()
        system.fail_at = steps
        try:
            apply(system, TAKING_OVER, SECRETS)
        except HostError:
            after = system.snapshot()
            for what in ("tunnels", "clamps", "rules"):
                assert after[what] == before[what], system.steps
            assert after["files"] == before["files"], system.steps
            continue
        # The last few tidy up, and fail nothing.
        if steps > len(system.steps):
            break
    assert steps > 10


@pytest.mark.parametrize("make", HOSTS)
def test_killed_at_any_step_it_is_taken_back_when_its_time_is_over(make: Callable[[], FakeSystem]) -> None:
    steps, cut = 0, 0
    while True:
        steps += 1
        system = make()
        before = copy.deepcopy(system.snapshot())
        system.steps.clear()
        system.fail_at, system.deadly, system.exception = steps, True, OSError(errno.EIO, "killed")
        try:
            apply(system, TAKING_OVER, SECRETS, TERMS)
        except HostError:
            cut += 1
        else:
            break
        system.dead, system.fail_at, system.exception = False, 0, OSError()
        system.uptime += 121
        clock_ends(system)
        after = system.snapshot()
        assert all(after[what] == before[what] for what in ("tunnels", "clamps", "rules"))
        assert read_pending(system) is None
    assert cut > 8


def test_until_it_is_confirmed_no_file_says_so() -> None:
    system = host()
    pending = apply(system, DESIRED, SECRETS, TERMS).pending
    assert pending is not None
    assert NAME in system.tunnels
    assert CONF not in system.files
    confirm(system, pending.id)
    assert system.files[CONF].mode == 0o600
    assert not apply(system, DESIRED, SECRETS).plan.changes


def test_what_no_longer_stands_is_not_confirmed() -> None:
    system = running_older()
    pending = apply(system, DESIRED, SECRETS, TERMS).pending
    assert pending is not None
    system.tunnels[NAME] = replace(the_tunnel(system), port=1)
    with pytest.raises(HostError, match="wg-wan port: is 1 by now, not 51820"):
        confirm(system, pending.id)
    assert the_tunnel(system).port == 51000


def test_a_peer_that_has_moved_meanwhile_is_no_reason_to_take_a_change_back() -> None:
    system = running_older()
    pending = apply(system, DESIRED, SECRETS, TERMS).pending
    assert pending is not None
    now = the_tunnel(system)
    east = replace(now.by_key["E"], endpoint="192.0.2.5:999", handshake=3)
    system.tunnels[NAME] = replace(now, peers=(east, now.by_key["W"]))
    confirm(system, pending.id)
    assert the_tunnel(system).by_key["E"].endpoint == "192.0.2.5:999"
    # Nor is it called back by a change of something else.
    apply(system, replace(DESIRED, tunnels=(replace(WANTED, mtu=1300),)), SECRETS)
    assert (the_tunnel(system).mtu, the_tunnel(system).by_key["E"].endpoint) == (1300, "192.0.2.5:999")


def test_no_secret_leaves_the_host() -> None:
    system = foreign()
    system.put(CONF, "[Interface]\nPrivateKey = %s\n[Peer]\nPublicKey = %s\n" % (PRIVATE, "q" * 43 + "="))
    looked = inspect(system, replace(DESIRED, boot_conflict="warn"), SECRETS)
    said = [outcome_result(DESIRED, looked, True)]
    outcome = apply(system, replace(DESIRED, boot_conflict="warn"), SECRETS, TERMS)
    said.append(outcome_result(DESIRED, outcome, False))
    assert outcome.pending is not None
    confirm(system, outcome.pending.id)
    baseline, vault = load_vault(system, DESIRED.name, {})
    said.append(to_wire(observe(system, Request(tunnels=True, files=(CONF,)), baseline, vault)))
    said.append({"changes": [to_wire(change) for change in inspect_rollback(system, LAST).changes]})
    text = json.dumps(said) + "\n".join(system.journal)
    for secret in (PRIVATE, PRESHARED, 'theirs"', "their secret"):
        assert secret not in text
    # Public ones may be seen, and are.
    assert "q" * 43 + "=" in text
    assert public_of(PRIVATE) in text


def test_a_preshared_key_of_another_name_is_not_taken_for_the_wanted_one() -> None:
    system = host()
    apply(system, DESIRED, SECRETS)
    now = the_tunnel(system)
    system.tunnels[NAME] = replace(now, peers=(replace(now.by_key["E"], preshared_key="z" * 43 + "="), now.by_key["W"]))
    (change,) = apply(system, DESIRED, SECRETS).plan.changes
    assert change.key == "wg-wan peer east preshared key"
    assert the_tunnel(system).by_key["E"].preshared_key == PRESHARED


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda system: setattr(system, "wireguard", False), "wg is not installed"),
        (
            lambda system: setattr(system, "nftables", False),
            "wg-wan: TCP's segments cannot be clamped: nft is not installed (install nftables, or give the topology",
        ),
        (lambda system: system.hosts.clear(), "the name gw.example.net does not resolve on this host"),
        (
            lambda system: system.tunnels.update(other=Tunnel("other", port=51820)),
            "wg-wan: port 51820 is that of other, which is somebody else's",
        ),
        (
            lambda system: system.tunnels.update({NAME: Tunnel(NAME)}),
            "wg-wan: there is an interface of this name already, which somebody else has made",
        ),
        (
            lambda system: system.routes.append({"dst": "10.20.0.0/16", "gateway": "192.0.2.1", "dev": "eth0"}),
            "wg-wan: 10.20.0.0/16 is routed to eth0 already, by somebody else",
        ),
        (lambda system: system.files.pop(KEY_PATH), "/etc/netfleet-tcp/wireguard.key: is not there"),
        (
            lambda system: system.put(KEY_PATH, "another\n"),
            "/etc/netfleet-tcp/wireguard.key: holds another key than was planned with",
        ),
    ],
)
def test_what_stands_in_the_way_is_said_before_anything_is_touched(
    spoil: Callable[[FakeSystem], object], expected: str
) -> None:
    system = host()
    spoil(system)
    with pytest.raises(HostError) as caught:
        apply(system, DESIRED, SECRETS)
    assert expected in str(caught.value)
    assert system.steps == []


class WithoutWireGuard(FakeSystem):
    """A host whose kernel has no WireGuard, in the words of its iproute2."""

    words = ""

    def run(self, argv: Sequence[str], stdin: str = "") -> tuple[int, str, str]:
        if list(argv[:3]) == ["ip", "link", "add"]:
            return 2, "", self.words
        return super().run(argv, stdin)


@pytest.mark.parametrize("words", ["Error: Unknown device type.\n", "RTNETLINK answers: Operation not supported\n"])
def test_a_kernel_without_wireguard_is_named_and_nothing_is_left(words: str) -> None:
    system = ready(WithoutWireGuard())
    system.words = words
    before = copy.deepcopy(system.files)
    with pytest.raises(HostError, match="this kernel has no WireGuard") as caught:
        apply(system, DESIRED, SECRETS)
    assert words.strip() in str(caught.value)
    assert (system.tunnels, system.rules) == ({}, ())
    assert {path for path in system.files if not path.startswith("/var/lib/")} == set(before)


def test_another_refusal_to_make_an_interface_keeps_its_own_words() -> None:
    system = ready(WithoutWireGuard())
    system.words = "RTNETLINK answers: Operation not permitted"
    with pytest.raises(HostError, match="Operation not permitted") as caught:
        apply(system, DESIRED, SECRETS)
    assert "no WireGuard" not in str(caught.value)


def test_without_nftables_nothing_is_missing_where_nothing_is_clamped() -> None:
    system = host()
    system.nftables = False
    plain = replace(DESIRED, tunnels=(replace(WANTED, clamp=0),))
    apply(system, plain, SECRETS)
    assert not apply(system, plain, SECRETS).plan.changes


def test_what_nft_says_where_it_fails_is_said() -> None:
    system = running_older()
    system.nft_error = "Error: cache initialization failed: Operation not supported"
    with pytest.raises(HostError, match="cannot be clamped: Error: cache initialization failed"):
        apply(system, DESIRED, SECRETS)


def test_a_table_that_somebody_has_changed_or_flushed_is_mended() -> None:
    system = host()
    apply(system, DESIRED, SECRETS)
    for change in (lambda text: text.replace("1368", "1400"), lambda text: text.replace("output", "input")):
        system.scripts = {table: change(script) for table, script in system.scripts.items()}
        steps = len(system.steps)
        (found,) = apply(system, DESIRED, SECRETS).plan.changes
        assert (found.key, found.running) == ("wg-wan MSS clamp", "changed by hand")
        assert "nft -f -" in system.steps[steps:]
        assert parse_clamps(ruleset(system.scripts.values())) == {NAME: 1408}
    system.scripts.clear()
    assert [found.running for found in apply(system, DESIRED, SECRETS).plan.changes] == ["none"]


def test_a_rule_that_two_interfaces_have_goes_with_the_last_of_them() -> None:
    system = host()
    second = replace(
        WANTED,
        name="wg-second",
        port=51821,
        addresses=("10.98.0.1/24",),
        peers=(EAST,),
        routes=(TunnelRoute("10.20.0.0/16", 51),),
        rules=("10.20.0.0/16",),
    )
    both = replace(DESIRED, tunnels=(WANTED, second))
    apply(system, both, SECRETS)
    assert not apply(system, both, SECRETS).plan.changes
    rollback(system, LAST, Terms())
    assert not system.rules
    apply(system, DESIRED, SECRETS)
    apply(system, both, SECRETS)
    rollback(system, LAST, Terms())
    assert set(system.rules) == set(WANTED.rules)
    apply(system, both, SECRETS)
    apply(system, replace(DESIRED, tunnels=(second,)), SECRETS)
    assert list(system.rules) == ["10.20.0.0/16"]
    beside = tuple(replace(tunnel, rules=()) for tunnel in both.tunnels)
    apply(system, both, SECRETS)
    apply(system, replace(both, tunnels=beside), SECRETS)
    assert not system.rules


def test_systemd_reads_its_units_again_once_the_change_is_final() -> None:
    system = host()
    pending = apply(system, DESIRED, SECRETS, TERMS).pending
    assert pending is not None
    assert system.reloads == 0
    confirm(system, pending.id)
    assert system.reloads == 1
    apply(system, DESIRED, SECRETS)
    apply(system, replace(DESIRED, tunnels=(replace(WANTED, mtu=1300),)), SECRETS)
    assert system.reloads == 1
    apply(system, Desired(name=DESIRED.name), {})
    assert system.reloads == 2


def test_a_preshared_key_that_did_not_come_along() -> None:
    system = host()
    with pytest.raises(HostError, match="wg-wan peer east: its preshared key did not come with this run"):
        apply(system, DESIRED, {})
    assert system.steps == []


def test_a_key_is_made_once_and_closed_to_others() -> None:
    system = FakeSystem()
    public = keep_key(system)
    assert keep_key(system) == public == public_of("a new key")
    assert system.files[KEY_PATH].mode == 0o600
    assert system.steps == ["file " + KEY_PATH]


def test_networkd_may_read_the_key_by_its_group() -> None:
    system = FakeSystem()
    system.put("/etc/group", "root:x:0:\nsystemd-network:x:998:\n")
    system.put("/run/systemd/netif/state", "")
    keep_key(system)
    made = system.files[KEY_PATH]
    assert (made.mode, made.uid, made.gid) == (0o640, 0, 998)
    shared = "/etc/netfleet-tcp/wg-wan-east.psk"
    grouped = tuple(replace(entry, mode=0o640, group="systemd-network") for entry in DESIRED.files[1:])
    system.put(KEY_PATH, PRIVATE + "\n", 0o640)
    system.hosts["gw.example.net"] = ["203.0.113.1"]
    apply(system, replace(DESIRED, files=grouped), SECRETS)
    assert (system.files[shared].mode, system.files[shared].gid) == (0o640, 998)


def test_a_key_that_others_may_read_is_closed_and_stays_the_same() -> None:
    system = host()
    system.put(KEY_PATH, PRIVATE + "\n", 0o644)
    baseline, vault = load_vault(system, DESIRED.name, {})
    assert observe(system, Request(tunnels=True), baseline, vault).tunnel_key == ""
    assert keep_key(system) == public_of(PRIVATE)
    assert system.files[KEY_PATH].mode == 0o600
    assert observe(system, Request(tunnels=True), baseline, vault).tunnel_key == public_of(PRIVATE)


def test_while_a_name_does_not_resolve_what_is_in_use_stays() -> None:
    system = running_older()
    apply(system, DESIRED, SECRETS)
    system.hosts["gw.example.net"] = []
    assert not apply(system, DESIRED, SECRETS).plan.changes


ROTATED = replace(DESIRED, tunnels=(replace(WANTED, peers=(EAST, replace(WEST, public_key="W2", former="W"))),))


@pytest.mark.parametrize("addresses", [["203.0.113.77", "203.0.113.1"], []])
def test_a_peer_that_changes_its_key_is_reached_where_it_is(addresses: list[str]) -> None:
    system = host()
    apply(system, DESIRED, SECRETS)
    # Its name has got another address by now, which comes first; or none, today.
    system.hosts["gw.example.net"] = addresses
    apply(system, ROTATED, SECRETS, TERMS)
    assert system.tunnels[NAME].by_key["W2"].endpoint == "203.0.113.1:51820"


def test_while_keys_are_handed_over_the_rest_of_the_tunnel_is_as_wanted() -> None:
    system = host()
    apply(system, OLDER, {})
    pending = apply(system, ROTATED, SECRETS, TERMS).pending
    assert pending is not None
    for _moment in ("before", "after"):
        there = read_tunnels(system)[NAME]
        assert (there.clamp, there.settings, there.rules) == (WANTED.clamp, WANTED.settings, WANTED.rules)
        assert (there.routes, there.port) == (WANTED.routes, WANTED.port)
        if read_pending(system):
            confirm(system, pending.id)


def test_routes_that_are_not_ours_are_left_alone() -> None:
    system = host()
    system.routes.append({"dst": "10.77.0.0/16", "dev": NAME, "protocol": "bgp", "metric": 20})
    apply(system, DESIRED, SECRETS)
    assert not apply(system, DESIRED, SECRETS).plan.changes


def test_a_host_whose_name_looks_like_a_secret_is_not_taken_for_one() -> None:
    text = "# ip-10-0-1-23\nPublicKey = %s\n" % ("q" * 43 + "=")
    system = host()
    system.put(CONF, "# Managed by netfleet.tcp\n" + text)
    baseline, vault = load_vault(system, DESIRED.name, {})
    assert text in observe(system, Request(files=(CONF,)), baseline, vault).files[CONF].text


def test_only_root_has_a_key_made() -> None:
    system = FakeSystem()
    system.root = False
    with pytest.raises(HostError, match="use become"):
        keep_key(system)
    assert system.steps == []


def test_two_interfaces_swap_their_ports() -> None:
    system = host()
    bare = replace(WANTED, peers=(), routes=(), rules=())
    one, other = replace(bare, name="wg-a"), replace(bare, name="wg-b", port=51821)
    apply(system, Desired(name=DESIRED.name, tunnels=(one, other)), {})
    swapped = (replace(one, port=51821), replace(other, port=51820))
    apply(system, Desired(name=DESIRED.name, tunnels=swapped), {})
    assert {name: tunnel.port for name, tunnel in system.tunnels.items()} == {"wg-a": 51821, "wg-b": 51820}
    rollback(system, LAST, Terms())
    assert {name: tunnel.port for name, tunnel in system.tunnels.items()} == {"wg-a": 51820, "wg-b": 51821}
