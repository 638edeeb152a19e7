# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A change of FRR is armed as any other: whatever ends it, FRR is wholly as before or wholly as declared."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils import _frr_change as frr
from ansible_collections.netfleet.tcp.plugins.module_utils import _rollback
from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint_store import (
    PENDING_PATH,
    identifiers,
    read_ended,
    read_pending,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._confirmed import confirm, take_back
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError
from ansible_collections.netfleet.tcp.plugins.module_utils._frr import CONFIGURATION, DAEMONS_FILE
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Desired, DesiredKey
from ansible_collections.netfleet.tcp.plugins.module_utils._revert_main import persist, wait
from ansible_collections.netfleet.tcp.plugins.module_utils._revert_main import take_back as clock_ends
from ansible_collections.netfleet.tcp.plugins.module_utils._transaction import Terms, apply
from tests.unit.plugins.a_router import DAEMONS, DEBIAN, OURS, RELOAD, RESTART, WITH_BGP, ARouter
from tests.unit.plugins.module_utils.test_transaction import FIN, SIMPLE

TERMS = Terms(120, "ann@controller", "0badcafe")
OTHER = OURS + " bgp log-neighbor-changes\n"


class Killed(BaseException):
    """SIGKILL, or the end of the power."""


def routed(host: ARouter, text: str = OURS) -> str:
    """FRR is changed, and the change waits; its id."""
    pending = frr.configure(host, text, False, False, TERMS).pending
    assert pending is not None
    return pending.id


def final(host: ARouter, text: str = OURS) -> None:
    frr.configure(host, text, False, False)
    host.ran.clear()


def test_what_is_not_confirmed_is_taken_back_by_the_host_itself() -> None:
    host = ARouter()
    before = host.state
    routed(host)
    assert host.state == (OURS, WITH_BGP, OURS, "zebra staticd bgpd bfdd", True)
    assert host.timer
    host.uptime += 120
    assert "was not confirmed within 120 s" in clock_ends(host)
    assert host.state == before
    assert frr.BEFORE not in host.files


def test_a_reload_is_taken_back_by_a_reload() -> None:
    host = ARouter()
    final(host)
    before = host.state
    routed(host, OTHER)
    host.uptime += 120
    clock_ends(host)
    assert host.state == before
    assert [line for line in host.ran if "vtysh" not in line] == [RELOAD, RELOAD]


def test_what_is_confirmed_stays() -> None:
    host = ARouter()
    confirm(host, routed(host))
    assert host.state == (OURS, WITH_BGP, OURS, "zebra staticd bgpd bfdd", True)
    assert host.timer == []
    assert read_pending(host) is None
    assert not frr.configure(host, OURS, False, False, TERMS).changed


def test_a_daemon_that_has_died_since_is_no_change_to_be_confirmed() -> None:
    host = ARouter()
    before = host.state
    identifier = routed(host)
    host.running = "zebra staticd bfdd"
    with pytest.raises(HostError, match="bgpd does not run by now"):
        confirm(host, identifier)
    assert host.state == before


def test_somebody_says_so() -> None:
    host = ARouter()
    before = host.state
    take_back(host, routed(host), "a link has died")
    assert host.state == before


def test_frr_that_did_not_run_does_not_run_afterwards() -> None:
    host = ARouter()
    host.running, host.live, host.enabled = "", "", False
    before = host.state
    confirm(host, routed(host))
    assert host.enabled
    _rollback.rollback(host, "last", Terms())
    assert host.state == before


def test_frr_that_did_not_answer_is_not_stopped_by_a_way_back() -> None:
    host = ARouter()
    final(host)
    before = host.state
    host.hangs = True
    frr.configure(host, OTHER, False, False, TERMS)
    assert (host.ran[-1], host.live) == (RESTART, OTHER)
    host.uptime += 120
    clock_ends(host)
    assert host.state == before


def test_it_is_enabled_for_the_next_boot_only_with_the_confirmation() -> None:
    host = ARouter()
    host.enabled = False
    identifier = routed(host)
    assert not host.enabled
    confirm(host, identifier)
    assert host.enabled


def test_a_boot_before_the_confirmation_reads_the_files_from_before() -> None:
    host = ARouter()
    before = host.state
    routed(host)
    host.boot("2", 5.0)
    host.running = ""
    # Before anything of FRR is started.
    clock_ends(host, early=True)
    host.start()
    assert host.state == before
    assert read_pending(host) is None


def test_a_boot_after_the_confirmation_reads_the_new_ones() -> None:
    host = ARouter()
    confirm(host, routed(host))
    after = host.state
    host.boot("2", 5.0)
    clock_ends(host, early=True)
    host.start()
    assert host.state == after


def test_rollback_gives_frr_back_and_can_itself_be_rolled_back() -> None:
    host = ARouter()
    before = host.state
    confirm(host, routed(host))
    after = host.state
    looked = _rollback.inspect(host, "last")
    assert {change.key for change in looked.changes} == {CONFIGURATION, DAEMONS_FILE}
    _rollback.rollback(host, "last", Terms())
    assert host.state == before
    _rollback.rollback(host, identifiers(host)[-1], Terms())
    assert host.state == after


@pytest.mark.parametrize("text", [OURS, OTHER])
def test_whatever_fails_frr_is_as_it_was(text: str) -> None:
    for step in range(1, 40):
        host = ARouter()
        if text == OTHER:
            final(host)
        before = host.state
        host.fail_at = len(host.steps) + step
        try:
            routed(host, text)
        except HostError:
            assert host.state == before, step
            assert read_pending(host) is None
        else:
            assert step > 5
            return
    raise AssertionError("it never succeeded")


@pytest.mark.parametrize("text", [OURS, OTHER])
def test_a_run_that_is_killed_is_taken_back_by_the_clock_or_the_next_boot(text: str) -> None:
    for boots in (False, True):
        for step in range(1, 40):
            host = ARouter()
            if text == OTHER:
                final(host)
            before = host.state
            host.fail_at, host.deadly, host.exception = len(host.steps) + step, True, Killed()
            try:
                routed(host, text)
            except (Killed, HostError):
                pass
            else:
                assert step > 5
                break
            host.dead, host.fail_at = False, 0
            if boots:
                host.boot("2", 5.0)
                clock_ends(host, early=True)
                host.start()
            elif host.timer:
                host.uptime += 120
                clock_ends(host)
            assert host.state == before, (boots, step)


def test_final_at_once_is_armed_while_it_is_made() -> None:
    host = ARouter()
    before = host.state
    armed = []
    host.on_step = lambda _number: armed.append(bool(host.timer)) if host.steps[-1] == RESTART else None
    outcome = frr.configure(host, OURS, False, False)
    assert (armed, outcome.pending, host.timer) == ([True], None, [])
    ended = read_ended(host, identifiers(host)[-1])
    assert ended is not None
    assert (ended.summary.outcome, ended.summary.declaration) == ("confirmed", frr.DECLARATION)
    _rollback.rollback(host, "last", Terms())
    assert host.state == before


def test_while_a_change_waits_the_module_by_itself_changes_nothing() -> None:
    host = ARouter()
    identifier = routed(host)
    state = host.state
    with pytest.raises(HostError, match="is pending for 120 s more"):
        frr.configure(host, OTHER, False, False)
    with pytest.raises(HostError, match="is pending for 120 s more"):
        frr.deconfigure(host, False)
    assert host.state == state
    confirm(host, identifier)


# One change with that of the links


def joined(host: ARouter, desired: Desired = SIMPLE) -> str:
    """FRR, then what else there is to change; both of them wait together."""
    identifier = routed(host)
    host.uptime += 30
    outcome = apply(host, desired, {}, replace(TERMS, amends=identifier))
    assert outcome.pending is not None
    assert outcome.pending.id == identifier
    return identifier


def test_what_is_changed_after_it_is_part_of_the_same_change() -> None:
    host = ARouter()
    before, fin = host.state, host.sysctls[FIN]
    joined(host)
    assert host.sysctls[FIN] != fin
    # The time begins anew.
    host.uptime += 119
    assert "is not due yet" in clock_ends(host)
    host.uptime += 1
    clock_ends(host)
    assert (host.state, host.sysctls[FIN]) == (before, fin)


def test_both_are_confirmed_and_rolled_back_together() -> None:
    host = ARouter()
    before, fin = host.state, host.sysctls[FIN]
    confirm(host, joined(host))
    assert len(identifiers(host)) == 1
    assert host.state[0] == OURS
    _rollback.rollback(host, "last", Terms())
    assert (host.state, host.sysctls[FIN]) == (before, fin)


def test_where_nothing_else_differs_the_change_of_frr_waits_as_it_is() -> None:
    host = ARouter()
    apply(host, SIMPLE, {})
    identifier = routed(host)
    outcome = apply(host, SIMPLE, {}, replace(TERMS, amends=identifier))
    assert (outcome.plan.changes, outcome.pending and outcome.pending.id) == ((), identifier)
    confirm(host, identifier)


@pytest.mark.parametrize("desired", [replace(SIMPLE, keys=(DesiredKey(FIN, "x"),), files=()), SIMPLE])
def test_a_part_that_is_refused_or_fails_takes_frr_back_too(desired: Desired) -> None:
    host = ARouter()
    before, fin = host.state, host.sysctls[FIN]
    identifier = routed(host)
    host.refused.add(FIN)
    with pytest.raises(HostError, match="everything was restored"):
        apply(host, desired, {}, replace(TERMS, amends=identifier))
    assert (host.state, host.sysctls[FIN]) == (before, fin)
    assert read_pending(host) is None


def test_absent_comes_last_and_is_taken_back_too() -> None:
    host = ARouter()
    final(host)
    before, fin = host.state, host.sysctls[FIN]
    pending = apply(host, SIMPLE, {}, TERMS).pending
    assert pending is not None
    outcome = frr.deconfigure(host, False, replace(TERMS, amends=pending.id))
    assert outcome.pending is not None
    assert outcome.pending.id == pending.id
    assert host.state == (DEBIAN, DAEMONS, DEBIAN, "zebra staticd", True)
    assert frr.BEFORE not in host.files
    host.uptime += 120
    clock_ends(host)
    assert (host.state, host.sysctls[FIN]) == (before, fin)
    assert frr.BEFORE in host.files


def test_a_change_that_has_ended_is_not_gone_on_with() -> None:
    host = ARouter()
    before = host.state
    identifier = routed(host)
    host.uptime += 120
    clock_ends(host)
    with pytest.raises(HostError, match="cannot be gone on with; reverted: it was not confirmed"):
        apply(host, SIMPLE, {}, replace(TERMS, amends=identifier))
    assert host.state == before


def test_the_clock_waits_on_where_its_time_was_prolonged_at_the_last_moment() -> None:
    host = ARouter()
    identifier = routed(host)
    before = host.text(PENDING_PATH)
    host.uptime += 119.9
    apply(host, SIMPLE, {}, replace(TERMS, amends=identifier))
    after = host.files[PENDING_PATH]
    # It had seen the former time over, and only then got hold of the host.
    host.uptime += 0.2
    host.put(PENDING_PATH, before, 0o600)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        host.uptime += 60.0

    wait(host, sleep)
    host.files[PENDING_PATH] = after
    assert persist(host, 1, sleep=sleep, waits=True) == 0
    assert slept
    assert read_pending(host) is None
    assert host.text(CONFIGURATION) == DEBIAN
