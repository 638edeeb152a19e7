# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A look that leaves metrics: all of them, those of the part that did not fail, and since when that is so."""

from __future__ import annotations

import re

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils import _exporter_main, _health
from ansible_collections.netfleet.tcp.plugins.module_utils._baseline import STATE_DIRECTORY
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError
from ansible_collections.netfleet.tcp.plugins.module_utils._exporter_main import export
from ansible_collections.netfleet.tcp.plugins.module_utils._exporter_model import (
    SETTINGS,
    ExporterSettings,
    dump,
    is_directory,
    load,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._node_exporter import DIRECTORY
from tests.unit.plugins.recorded_sockets import SocketHost

PATH = DIRECTORY + "/netfleet_tcp.prom"
LAST = re.compile(r"^netfleet_tcp_exporter_last_success_timestamp_seconds (\d+)$", re.MULTILINE)
DAMAGED = STATE_DIRECTORY + "/broken.baseline.json"


class Host(SocketHost):
    """One whose exporter has been told what to look at; it holds no lock."""

    def __init__(self) -> None:
        super().__init__()
        self.lock_held = True
        settings = ExporterSettings(DIRECTORY, {"local": ("10.1.0.0/24",)}, {"retransmission": 0.5}, {"local": 5.0})
        self.put(SETTINGS, dump(settings), 0o600)

    @property
    def text(self) -> str:
        return self.files[PATH].text


def test_all_that_there_is_at_once_and_readable_by_node_exporter() -> None:
    host = Host()
    assert export(host) == {}
    assert host.steps == ["file " + PATH]
    assert host.files[PATH].mode == 0o644
    for expected in (
        'netfleet_tcp_sockets{state="ESTAB"}',
        "netfleet_tcp_change_pending 0",
        'netfleet_tcp_exporter_success{part="sockets"} 1',
        'netfleet_tcp_exporter_success{part="tuning"} 1',
        "netfleet_tcp_exporter_interval_seconds 60",
    ):
        assert expected in host.text
    assert LAST.findall(host.text) == ["%d" % host.clock]


def test_groups_of_the_inventory_are_told() -> None:
    host = Host()
    host.put(SETTINGS, dump(ExporterSettings(DIRECTORY, groups=("cloud", "web"))), 0o600)
    export(host)
    assert 'netfleet_tcp_group_info{group="cloud"} 1\nnetfleet_tcp_group_info{group="web"} 1' in host.text


def test_a_part_that_fails_leaves_the_other_and_the_time_of_the_last_success() -> None:
    host = Host()
    export(host)
    (before,) = LAST.findall(host.text)
    host.put(DAMAGED, "{", 0o600)
    failed = export(host)
    assert list(failed) == ["tuning"]
    assert DAMAGED in str(failed["tuning"])
    assert 'exporter_success{part="tuning"} 0' in host.text
    assert 'netfleet_tcp_sockets{state="ESTAB"}' in host.text
    assert "netfleet_tcp_change_pending" not in host.text
    assert LAST.findall(host.text) == [before]
    del host.files[DAMAGED]
    export(host)
    assert int(LAST.findall(host.text)[0]) > int(before)


def test_one_that_never_succeeded_has_no_such_time() -> None:
    host = Host()
    host.put(DAMAGED, "{", 0o600)
    export(host)
    assert LAST.findall(host.text) == []
    assert 'exporter_success{part="sockets"} 1' in host.text


def test_what_nobody_thought_of_is_the_failure_of_its_part() -> None:
    host = Host()
    host.put("/proc/net/netstat", "TcpExt: A\nTcpExt: x\n")
    assert list(export(host)) == ["sockets"]
    assert 'exporter_success{part="sockets"} 0' in host.text
    assert "netfleet_tcp_change_pending 0" in host.text


@pytest.mark.parametrize("text", ["{", '{"format": 1, "directory": 5}', '{"format": 2, "directory": "/x"}'])
def test_settings_that_cannot_be_read_end_the_look(text: str) -> None:
    host = Host()
    host.put(SETTINGS, text, 0o600)
    with pytest.raises(HostError, match=r"exporter\.json: cannot be read as the exporter's settings"):
        export(host)
    assert host.steps == []


def test_settings_come_back_as_they_went() -> None:
    settings = ExporterSettings("/srv/text", {"a": ("10.0.0.0/8",)}, {"retransmission": 3.0}, {"a": 5.0}, 7, 30, ("x",))
    assert load(dump(settings)) == settings


@pytest.mark.parametrize("path", ["relative", "/", "/a b", "/a%i", "/a/../b", "/a\n", "", "/a\\b", '/a"'])
def test_a_directory_that_a_unit_would_not_take_is_none(path: str) -> None:
    assert not is_directory(path)
    assert is_directory("/var/lib/prometheus/node-exporter")


def test_settings_that_cannot_be_written_as_metrics_are_an_error_in_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    host = Host()
    host.put(SETTINGS, dump(ExporterSettings(DIRECTORY, groups=("web", "web"))), 0o600)
    monkeypatch.setattr(_exporter_main, "LinuxSystem", lambda: host)
    assert _exporter_main.main([]) == 1
    assert "stands there twice" in capsys.readouterr().err


def test_loopback_is_not_watched_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def watch(*_arguments: object) -> None:
        raise AssertionError("watched")

    monkeypatch.setattr(_health, "LoopbackWatch", watch)
    host = Host()
    assert export(host) == {}
    assert "netfleet_tcp_loopback_connections" in host.text
    with pytest.raises(AssertionError, match="watched"):
        _health.look(host, _health.Asked())
