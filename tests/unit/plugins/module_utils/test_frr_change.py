# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""FRR brought to a configuration on a host in memory: what is run, in which order, and what is left by each failure."""

from __future__ import annotations

import json

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils import _frr_change as frr
from ansible_collections.netfleet.tcp.plugins.module_utils._begin import Terms
from ansible_collections.netfleet.tcp.plugins.module_utils._confirmed import take_back
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError
from ansible_collections.netfleet.tcp.plugins.module_utils._frr import CONFIGURATION, DAEMONS_FILE
from ansible_collections.netfleet.tcp.plugins.module_utils._frr_sessions import await_sessions
from ansible_collections.netfleet.tcp.plugins.module_utils._model import FileState
from tests.unit.plugins.a_router import (
    CHECK,
    DAEMONS,
    DEBIAN,
    ENABLE,
    FOLDER,
    FRR,
    OURS,
    RELOAD,
    RELOAD_FROM_FOLDER,
    RESTART,
    WITH_BGP,
    ARouter,
)

V4, V6 = "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"


def _converged() -> ARouter:
    host = ARouter()
    frr.configure(host, OURS, False, False)
    host.ran.clear()
    return host


def test_the_first_time_the_daemons_are_switched_on_and_frr_is_restarted() -> None:
    host = ARouter()
    outcome = frr.configure(host, OURS, False, False)
    assert (outcome.changed, outcome.restarted) == (True, True)
    assert host.ran == [CHECK, RESTART]
    written = host.files[CONFIGURATION]
    assert (written.text, written.mode, written.uid, written.gid) == (OURS, 0o640, FRR, FRR)
    assert host.text(DAEMONS_FILE) == WITH_BGP
    assert frr.CANDIDATE not in host.files


def test_the_second_time_nothing_is_run_or_written() -> None:
    host = _converged()
    steps = len(host.steps)
    outcome = frr.configure(host, OURS, False, False)
    assert (outcome.changed, host.ran, len(host.steps)) == (False, [], steps)


def test_another_configuration_is_reloaded_and_no_daemon_is_restarted() -> None:
    host = _converged()
    outcome = frr.configure(host, OURS + " bgp log-neighbor-changes\n", False, False)
    assert (outcome.changed, outcome.restarted) == (True, False)
    assert host.ran == [CHECK, RELOAD]


@pytest.mark.parametrize("off", [{V4}, {V6}, {V4, V6}, set()], ids=["ipv4", "ipv6", "both", "none"])
def test_a_reload_does_not_make_a_router_of_a_host_nor_does_its_end(off: set[str]) -> None:
    host = _converged()
    forwarding = {key: "0" if key in off else "1" for key in (V4, V6)}
    host.sysctls.update(forwarding)
    host.live = OURS
    pending = frr.configure(host, OURS + "!\n", False, False, Terms(120)).pending
    assert pending is not None
    assert {key: host.sysctls[key] for key in forwarding} == forwarding
    assert (host.live, host.text(CONFIGURATION)) == (OURS + "!\n", OURS + "!\n")
    take_back(host, pending.id, "a test")
    assert {key: host.sysctls[key] for key in forwarding} == forwarding
    assert (host.live, host.text(CONFIGURATION)) == (OURS, OURS)
    assert host.ran.count(RELOAD_FROM_FOLDER if off else RELOAD) == 2
    assert FOLDER + "/frr.conf" not in host.files


def test_check_mode_says_what_would_be_and_does_nothing() -> None:
    host = ARouter()
    outcome = frr.configure(host, OURS, False, True)
    assert (outcome.changed, outcome.restarted, host.ran, host.steps) == (True, True, [], [])
    assert [state.text for state in outcome.after] == [OURS, WITH_BGP]


def test_check_mode_before_frr_is_installed() -> None:
    outcome = frr.configure(ARouter(None, None), OURS, False, True)
    assert outcome.changed


def test_without_frr_it_is_said_what_to_install() -> None:
    with pytest.raises(HostError, match="install frr and frr-pythontools"):
        frr.configure(ARouter(None, None), OURS, False, False)


def test_without_its_reload_in_place_nothing_is_begun() -> None:
    host = ARouter()
    del host.files[frr.RELOAD]
    with pytest.raises(HostError, match=r"frr-reload\.py: is not there \(install frr and frr-pythontools"):
        frr.configure(host, OURS, False, False)
    assert host.steps == []


def test_what_frr_does_not_take_goes_nowhere() -> None:
    host = _converged()
    host.refuses = {"vtysh -C": "line 2: % Unknown command"}
    with pytest.raises(HostError, match="FRR does not take the configuration: line 2: % Unknown command"):
        frr.configure(host, "# Managed by netfleet.tcp\nrooter\n", False, False)
    assert host.text(CONFIGURATION) == OURS
    assert [line for line in host.ran if "reload" in line or "systemctl" in line] == []
    assert frr.CANDIDATE not in host.files


def test_a_reload_that_fails_is_taken_back_by_a_restart() -> None:
    host = _converged()
    before = host.state
    host.refuses = {"--reload": "no"}
    with pytest.raises(HostError, match=r"could not be brought.*everything was restored"):
        frr.configure(host, OURS + "!\n", False, False)
    assert host.ran[-1] == RESTART
    assert host.state == before


def test_what_cannot_be_given_back_is_said_and_the_next_run_starts_it() -> None:
    host = _converged()
    host.refuses = {"--reload": "no", "restart": "Job for frr.service failed."}
    with pytest.raises(HostError, match=r"could not be brought.*FRR: could not be restored: .*Job for frr"):
        frr.configure(host, OURS + "!\n", False, False)
    assert host.text(CONFIGURATION) == OURS
    host.refuses, host.running = {}, ""
    assert frr.configure(host, OURS, False, False).restarted
    assert (host.ran[-1], host.live) == (RESTART, OURS)


def test_a_start_that_fails_brings_both_files_back() -> None:
    host = ARouter()
    host.refuses = {"restart": "Unit frr.service is masked."}
    with pytest.raises(HostError, match="is masked"):
        frr.configure(host, OURS, False, False)
    assert (host.text(CONFIGURATION), host.text(DAEMONS_FILE)) == (DEBIAN, DAEMONS)
    assert frr.BEFORE not in host.files


def test_one_that_is_not_to_be_started_at_boot_is_enabled_or_nothing_changes() -> None:
    host = ARouter()
    host.enabled = False
    before = host.state
    host.refuses = {"enable": "no"}
    with pytest.raises(HostError, match="could not be enabled: no"):
        frr.configure(host, OURS, False, False)
    assert host.state == before
    host.refuses = {}
    frr.configure(host, OURS, False, False)
    assert (host.ran[-1], host.enabled) == (ENABLE, True)


def test_the_files_become_the_property_of_frr() -> None:
    host = _converged()
    host.files[CONFIGURATION] = FileState(CONFIGURATION, "file", 0o640, OURS)
    assert frr.configure(host, OURS, False, False).changed
    assert (host.files[CONFIGURATION].uid, host.files[CONFIGURATION].gid) == (FRR, FRR)
    assert not frr.configure(host, OURS, False, False).changed


def test_daemons_that_do_not_run_are_started() -> None:
    host = _converged()
    host.running = "zebra"
    assert frr.configure(host, OURS, False, False).restarted
    assert host.ran[-1] == RESTART


def test_routing_of_somebody_else_is_refused_by_its_first_words() -> None:
    host = ARouter("router ospf\n network 10.0.0.0/8 area 0\n")
    with pytest.raises(HostError, match=r"routes already.*router ospf; network.*wireguard_links_replace_frr: true"):
        frr.configure(host, OURS, False, False)
    assert host.steps == []
    assert frr.configure(host, OURS, True, False).changed


def test_a_daemon_with_a_file_of_its_own_is_refused() -> None:
    host = ARouter()
    host.put("/etc/frr/bgpd.conf", "router bgp 64512\n")
    with pytest.raises(HostError, match=r"/etc/frr/bgpd\.conf: configures this daemon by itself"):
        frr.configure(host, OURS, False, False)


def test_absent_brings_back_what_stood_there() -> None:
    host = _converged()
    frr.configure(host, OURS + "!\n", False, False)
    host.ran.clear()
    outcome = frr.deconfigure(host, False)
    assert (outcome.changed, host.ran[-1]) == (True, RESTART)
    assert (host.text(CONFIGURATION), host.text(DAEMONS_FILE)) == (DEBIAN, DAEMONS)
    assert (frr.BEFORE in host.files, host.running) == (False, "zebra staticd")
    assert not frr.deconfigure(host, False).changed


def test_absent_stops_what_did_not_run() -> None:
    host = ARouter()
    host.running, host.live, host.enabled = "", "", False
    before = host.state
    frr.configure(host, OURS, False, False)
    assert host.running
    frr.deconfigure(host, False)
    assert host.state == before


def test_absent_leaves_the_routing_of_somebody_else_alone() -> None:
    host = ARouter("router ospf\n")
    assert not frr.deconfigure(host, False).changed
    assert host.steps == []


def test_a_damaged_record_of_what_stood_there_is_named() -> None:
    host = _converged()
    host.put(frr.BEFORE, "{")
    with pytest.raises(HostError, match=r"/var/lib/netfleet-tcp/frr\.json: cannot be read"):
        frr.deconfigure(host, False)


def test_sessions_are_waited_for() -> None:
    host = ARouter()
    down = json.dumps({"ipv4Unicast": {"peers": {"10.99.0.1": {"state": "Active"}}}})
    up = host.answers[0]
    host.answers[0] = down
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        host.answers[0] = up if len(slept) == 3 else down

    found = await_sessions(host, ["10.99.0.1"], 20, sleep, lambda: float(len(slept)))
    assert (len(slept), found[0].up) == (3, True)
    host.answers[0] = down
    slept.clear()
    found = await_sessions(host, ["10.99.0.1"], 2, slept.append, lambda: float(len(slept)))
    assert (len(slept), found[0].state) == (2, "Active")


def test_frr_that_does_not_answer_is_an_error_once_the_time_is_over() -> None:
    host = ARouter()
    host.answers = []
    slept: list[float] = []
    with pytest.raises(HostError, match="failed to connect"):
        await_sessions(host, [], 3, slept.append, lambda: float(len(slept)))
    assert len(slept) == 3
