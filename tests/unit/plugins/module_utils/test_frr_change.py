# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""FRR brought to a configuration on a host in memory: what is run, in which order, and what is left by each failure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils import _frr_change as frr
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError
from ansible_collections.netfleet.tcp.plugins.module_utils._frr import CONFIGURATION, DAEMONS_FILE
from ansible_collections.netfleet.tcp.plugins.module_utils._frr_sessions import await_sessions
from ansible_collections.netfleet.tcp.plugins.module_utils._model import FileState
from tests.unit.plugins.fake_system import FakeSystem

FIXTURES = Path(__file__).parents[2] / "fixtures" / "frr"
OURS = "# Managed by netfleet.tcp\nrouter bgp 4200000001\n"
DEBIAN = "log syslog informational\n"
DAEMONS = "bgpd=no\nbfdd=no\nospfd=no\n"
FRR = 102  # user and group


class Host(FakeSystem):
    """With FRR, as Debian installs it. refuses: what a command whose words contain it answers."""

    def __init__(self, configuration: str | None = DEBIAN, daemons: str | None = DAEMONS) -> None:
        super().__init__()
        self.ran: list[str] = []
        self.refuses: dict[str, str] = {}
        self.running = "zebra staticd"
        self.answers = [
            (FIXTURES / name).read_text(encoding="utf-8") for name in ("bgp-summary.json", "bfd-peers.json")
        ]
        for path, text in ((CONFIGURATION, configuration), (DAEMONS_FILE, daemons)):
            if text is not None:
                self.files[path] = FileState(path, "file", 0o640, text, uid=FRR, gid=FRR)
                self.put(frr.RELOAD, "...")

    def run(self, argv: Sequence[str], stdin: str = "") -> tuple[int, str, str]:
        assert not stdin
        line = " ".join(argv)
        if line == "vtysh -c show daemons":
            return 0, self.running + "\n", ""
        if line.startswith("vtysh -c show"):
            return (
                (0, self.answers["bfd" in line], "") if self.answers else (1, "", "failed to connect to any daemons.")
            )
        assert self.lock_held, line
        self.ran.append(line)
        for words, said in self.refuses.items():
            if words in line:
                return 1, "", said
        if line == "systemctl restart frr.service":
            on = [name for name in ("bgpd", "bfdd") if name + "=yes" in self.files[DAEMONS_FILE].text]
            self.running = " ".join(["zebra", "staticd", *on])
        return 0, "", ""

    def text(self, path: str) -> str:
        return self.files[path].text


def _converged() -> Host:
    host = Host()
    frr.configure(host, OURS, False, False)
    host.ran.clear()
    return host


def test_the_first_time_the_daemons_are_switched_on_and_frr_is_restarted() -> None:
    host = Host()
    outcome = frr.configure(host, OURS, False, False)
    assert (outcome.changed, outcome.restarted) == (True, True)
    assert host.ran == [
        "vtysh -C -f /etc/frr/frr.conf.netfleet-tcp",
        "systemctl enable frr.service",
        "systemctl restart frr.service",
    ]
    written = host.files[CONFIGURATION]
    assert (written.text, written.mode, written.uid, written.gid) == (OURS, 0o640, FRR, FRR)
    assert host.text(DAEMONS_FILE) == "bgpd=yes\nbfdd=yes\nospfd=no\n"
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
    assert host.ran == ["vtysh -C -f /etc/frr/frr.conf.netfleet-tcp", "%s --reload %s" % (frr.RELOAD, CONFIGURATION)]


def test_check_mode_says_what_would_be_and_does_nothing() -> None:
    host = Host()
    outcome = frr.configure(host, OURS, False, True)
    assert (outcome.changed, outcome.restarted, host.ran, host.steps) == (True, True, [], [])
    assert [state.text for state in outcome.after] == [OURS, "bgpd=yes\nbfdd=yes\nospfd=no\n"]


def test_check_mode_before_frr_is_installed() -> None:
    outcome = frr.configure(Host(None, None), OURS, False, True)
    assert outcome.changed


def test_without_frr_it_is_said_what_to_install() -> None:
    with pytest.raises(HostError, match="install frr and frr-pythontools"):
        frr.configure(Host(None, None), OURS, False, False)


def test_without_its_reload_in_place_nothing_is_begun() -> None:
    host = Host()
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


def test_a_reload_that_fails_is_taken_back() -> None:
    host = _converged()
    host.refuses = {"--reload": "no"}
    with pytest.raises(HostError, match=r"could not be brought.*could not be restored"):
        frr.configure(host, OURS + "!\n", False, False)
    assert host.text(CONFIGURATION) == OURS
    # What runs is not known: the next run applies the file again.
    host.refuses = {}
    host.ran.clear()
    assert frr.configure(host, OURS, False, False).changed is False
    assert host.ran[-1] == "%s --reload %s" % (frr.RELOAD, CONFIGURATION)
    assert frr.CANDIDATE not in host.files


def test_a_start_that_fails_brings_both_files_back() -> None:
    host = Host()
    host.refuses = {"enable": "Unit frr.service is masked."}
    with pytest.raises(HostError, match="is masked"):
        frr.configure(host, OURS, False, False)
    assert (host.text(CONFIGURATION), host.text(DAEMONS_FILE)) == (DEBIAN, DAEMONS)


@pytest.mark.parametrize("step", range(1, 7))
def test_a_disk_that_cannot_be_written_is_named_and_leaves_one_state_or_the_other(step: int) -> None:
    host = Host()
    host.fail_at = step
    with pytest.raises(HostError, match=r"cannot be (written|made): injected fault"):
        frr.configure(host, OURS, False, False)
    before, after = (DEBIAN, DAEMONS), (OURS, "bgpd=yes\nbfdd=yes\nospfd=no\n")
    # The last step is but to tidy up.
    assert (host.text(CONFIGURATION), host.text(DAEMONS_FILE)) == (before if step < 6 else after)


@pytest.mark.parametrize("killed", range(1, 8))
def test_a_run_that_is_killed_is_finished_by_the_next_one(killed: int) -> None:
    host = _converged()
    host.fail_at, host.deadly, host.exception = len(host.steps) + killed, True, KeyboardInterrupt()
    wanted = OURS + "!\n"
    try:
        frr.configure(host, wanted, False, False)
    except KeyboardInterrupt:
        host.dead, host.fail_at = False, 0
        host.ran.clear()
        frr.configure(host, wanted, False, False)
    assert host.text(CONFIGURATION) == wanted
    assert host.ran[-1] == "%s --reload %s" % (frr.RELOAD, CONFIGURATION)
    assert frr.CANDIDATE not in host.files


def test_daemons_that_do_not_run_are_started() -> None:
    host = _converged()
    host.running = "zebra"
    assert frr.configure(host, OURS, False, False).restarted
    assert host.ran[-1] == "systemctl restart frr.service"


def test_routing_of_somebody_else_is_refused_by_its_first_words() -> None:
    host = Host("router ospf\n network 10.0.0.0/8 area 0\n")
    with pytest.raises(HostError, match=r"routes already.*router ospf; network.*wireguard_links_replace_frr: true"):
        frr.configure(host, OURS, False, False)
    assert host.steps == []
    assert frr.configure(host, OURS, True, False).changed


def test_a_daemon_with_a_file_of_its_own_is_refused() -> None:
    host = Host()
    host.put("/etc/frr/bgpd.conf", "router bgp 64512\n")
    with pytest.raises(HostError, match=r"/etc/frr/bgpd\.conf: configures this daemon by itself"):
        frr.configure(host, OURS, False, False)


def test_absent_brings_back_what_stood_there() -> None:
    host = _converged()
    frr.configure(host, OURS + "!\n", False, False)
    host.ran.clear()
    outcome = frr.deconfigure(host, False)
    assert (outcome.changed, host.ran[-1]) == (True, "systemctl restart frr.service")
    assert (host.text(CONFIGURATION), host.text(DAEMONS_FILE)) == (DEBIAN, DAEMONS)
    assert (frr.BEFORE in host.files, host.running) == (False, "zebra staticd")
    assert not frr.deconfigure(host, False).changed


def test_absent_leaves_the_routing_of_somebody_else_alone() -> None:
    host = Host("router ospf\n")
    assert not frr.deconfigure(host, False).changed
    assert host.steps == []


def test_a_damaged_record_of_what_stood_there_is_named() -> None:
    host = _converged()
    host.put(frr.BEFORE, "{")
    with pytest.raises(HostError, match=r"/var/lib/netfleet-tcp/frr\.json: cannot be read"):
        frr.deconfigure(host, False)


def test_sessions_are_waited_for() -> None:
    host = Host()
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
    host = Host()
    host.answers = []
    slept: list[float] = []
    with pytest.raises(HostError, match="failed to connect"):
        await_sessions(host, [], 3, slept.append, lambda: float(len(slept)))
    assert len(slept) == 3
