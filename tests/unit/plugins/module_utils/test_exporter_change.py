# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The exporter brought to a host in memory and taken away again; what each failure leaves behind."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._baseline import STATE_DIRECTORY
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError, InputError
from ansible_collections.netfleet.tcp.plugins.module_utils._exporter_asked import wanted_from
from ansible_collections.netfleet.tcp.plugins.module_utils._exporter_change import BEFORE, Wanted, bring, take_away
from ansible_collections.netfleet.tcp.plugins.module_utils._exporter_model import (
    PROGRAM,
    SETTINGS,
    ExporterSettings,
    load,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._exporter_units import LINK, SERVICE, TIMER
from ansible_collections.netfleet.tcp.plugins.module_utils._node_exporter import (
    DEFAULTS,
    DIRECTORY,
    UNIT,
    with_ours,
    words_of,
)
from tests.unit.plugins.exporting_host import DEBIAN, ExportingHost

WANTED = Wanted(ExporterSettings("", {"local": ("10.0.0.0/8",)}, {"retransmission": 0.5}, {"local": 5.0}))
TEXT_FILE = DIRECTORY + "/netfleet_tcp.prom"
GIVEN: dict[str, Any] = {
    "interval": 60,
    "services": 20,
    "directory": "",
    "node_exporter_flags": True,
    "groups": [],
    "peers": {},
    "targets": {},
    "rtt_targets": {},
}


def brought(host: ExportingHost, wanted: Wanted = WANTED, check_mode: bool = False) -> dict[str, Any]:
    return bring(host, wanted, check_mode, lambda _seconds: None)


def gone(host: ExportingHost, check_mode: bool = False) -> dict[str, Any]:
    return take_away(host, check_mode, lambda _seconds: None)


def whole(host: ExportingHost) -> tuple[Any, ...]:
    """All that could be changed on it."""
    return dict(host.files), set(host.active), list(host.flags), set(host.directories), set(host.failed)


def test_the_first_time_everything_is_put_in_place_tried_and_started() -> None:
    host = ExportingHost()
    answer = brought(host)
    assert answer["changed"]
    assert host.ran == [
        "daemon-reload",
        "start " + SERVICE,
        "restart " + TIMER,
        "restart " + UNIT,
    ]
    assert {UNIT, TIMER} <= host.active
    assert host.files[PROGRAM].mode == host.files[SETTINGS].mode == host.files[BEFORE].mode == 0o600
    assert load(host.text(SETTINGS)).directory == DIRECTORY
    assert host.files[LINK].target == "../" + TIMER
    assert [word.partition("=")[0] for word in host.flags] == [
        "--collector.netstat.fields",
        "--collector.textfile.directory",
    ]
    service = host.text("/etc/systemd/system/" + SERVICE)
    assert "ReadWritePaths=%s\n" % DIRECTORY in service
    assert "-I %s\n" % PROGRAM in service
    assert answer["after"]["service"] == {TIMER: "active"}
    assert answer["before"]["service"] == {TIMER: "inactive"}


def test_the_second_time_nothing_is_run_or_written() -> None:
    host = ExportingHost()
    brought(host)
    host.ran.clear()
    before, steps = whole(host), len(host.steps)
    answer = brought(host)
    assert (answer["changed"], answer["changes"], answer["diff"]) == (False, [], [])
    assert (host.ran, whole(host), len(host.steps)) == ([], before, steps)


def test_check_mode_says_what_would_be_and_does_nothing() -> None:
    host = ExportingHost()
    before = whole(host)
    answer = brought(host, check_mode=True)
    assert (whole(host), host.steps) == (before, [])
    real = brought(host)
    assert {key: answer[key] for key in ("changed", "before", "after", "changes", "diff")} == {
        key: real[key] for key in ("changed", "before", "after", "changes", "diff")
    }
    taken = gone(host, check_mode=True)
    assert (taken["changed"], TIMER in host.active) == (True, True)
    assert taken["changes"] == gone(host)["changes"]


def test_taken_away_nothing_is_left_and_the_flags_are_as_they_were_to_the_byte() -> None:
    for text in (DEBIAN, DEBIAN.replace('""', '"--log.level=warn \\\n  --web.max-requests=3"')):
        host = ExportingHost(text)
        before = whole(host)
        brought(host)
        assert TEXT_FILE in host.files
        answer = gone(host)
        assert answer["changed"]
        assert whole(host) == before
        assert gone(host)["changed"] is False


def test_what_somebody_has_added_since_is_kept_both_ways() -> None:
    host = ExportingHost()
    brought(host)
    host.put(DEFAULTS, host.text(DEFAULTS).replace('ARGS="', '# mine\nARGS="--log.level=warn '))
    assert brought(host)["changed"] is False
    assert words_of(host.text(DEFAULTS))[0] == "--log.level=warn"
    gone(host)
    assert words_of(host.text(DEFAULTS)) == ["--log.level=warn"]
    assert "# mine\n" in host.text(DEFAULTS)


def test_a_flag_of_ours_that_somebody_has_taken_out_comes_back() -> None:
    host = ExportingHost()
    brought(host)
    host.put(DEFAULTS, 'ARGS="--log.level=warn"\n')
    assert brought(host)["changed"]
    assert len(words_of(host.text(DEFAULTS))) == 3
    gone(host)
    assert words_of(host.text(DEFAULTS)) == ["--log.level=warn"]


def test_without_its_record_the_flags_are_still_ours_to_take_back() -> None:
    host = ExportingHost()
    brought(host)
    del host.files[BEFORE]
    assert [change["key"] for change in brought(host)["changes"]] == [BEFORE]
    gone(host)
    assert words_of(host.text(DEFAULTS)) == ["--collector.textfile.directory=" + DIRECTORY]


def test_the_directory_that_node_exporter_reads_already_is_taken() -> None:
    host = ExportingHost('ARGS="--collector.textfile.directory /srv/text"\n')
    host.directories.add("/srv/text")
    brought(host)
    assert load(host.text(SETTINGS)).text_file == "/srv/text/netfleet_tcp.prom"
    assert "ReadWritePaths=/srv/text\n" in host.text("/etc/systemd/system/" + SERVICE)


def test_a_directory_that_is_missing_is_made_and_taken_away_again() -> None:
    host = ExportingHost()
    host.directories.discard(DIRECTORY)
    before = whole(host)
    shown = brought(host, check_mode=True)["changes"]
    assert ("directory", DIRECTORY, "directory", "absent") in [
        (change["subject"], change["key"], change["want"], change["running"]) for change in shown
    ]
    assert brought(host)["changes"] == shown
    assert DIRECTORY in host.directories
    gone(host)
    assert whole(host) == before


def test_a_directory_that_has_vanished_since_is_made_again() -> None:
    host = ExportingHost()
    host.directories.discard(DIRECTORY)
    brought(host)
    host.directories.discard(DIRECTORY)
    del host.files[TEXT_FILE]
    answer = brought(host)
    assert [(change["subject"], change["key"]) for change in answer["changes"]] == [("directory", DIRECTORY)]
    assert DIRECTORY in host.directories
    assert TEXT_FILE in host.files
    assert brought(host)["changed"] is False


def test_a_directory_in_one_that_is_missing_is_refused_in_check_mode_too() -> None:
    host = ExportingHost()
    before = whole(host)
    for check_mode in (True, False):
        with pytest.raises(
            HostError, match=r"/srv/no/text: cannot be made, since /srv/no is missing \(make it, or name"
        ):
            brought(host, Wanted(ExporterSettings("/srv/no/text")), check_mode)
    assert whole(host) == before


def test_text_files_of_others_in_the_directory_that_is_built_in_are_not_hidden() -> None:
    host = ExportingHost()
    host.directories.add("/srv/text")
    host.put(DIRECTORY + "/apt.prom", "apt_upgrades_pending 0\n")
    elsewhere = Wanted(ExporterSettings("/srv/text"))
    with pytest.raises(HostError, match=r"reads %s, and apt.prom in there would be missing" % DIRECTORY):
        brought(host, elsewhere)
    brought(host)
    gone(host)
    del host.files[DIRECTORY + "/apt.prom"]
    brought(host, elsewhere)
    # It reads another one by now.
    host.put(DIRECTORY + "/apt.prom", "apt_upgrades_pending 0\n")
    assert brought(host, elsewhere)["changed"] is False


@pytest.mark.parametrize("text", ['ARGS="--collector.textfile.directory=/srv/text/"\n', DEBIAN])
def test_a_slash_at_the_end_of_a_directory_is_none_of_its_name(text: str) -> None:
    host = ExportingHost(text)
    host.directories.add("/srv/text")
    assert wanted_from({**GIVEN, "directory": "/srv/text/"}).settings.directory == "/srv/text"
    brought(host, wanted_from({**GIVEN, "directory": "/srv/text/" if text == DEBIAN else ""}))
    assert load(host.text(SETTINGS)).text_file == "/srv/text/netfleet_tcp.prom"
    assert words_of(text) == [word for word in host.flags if word in words_of(text)]


def test_a_group_that_is_named_twice_is_one() -> None:
    assert wanted_from({**GIVEN, "groups": ["web", "cloud", "web"]}).settings.groups == ("web", "cloud")


def test_metrics_in_a_directory_that_is_no_longer_the_one_are_removed() -> None:
    host = ExportingHost()
    brought(host)
    assert TEXT_FILE in host.files
    host.put(DEFAULTS, 'ARGS="--collector.textfile.directory=/srv/text"\n')
    host.directories.add("/srv/text")
    brought(host)
    assert TEXT_FILE not in host.files


def test_where_flags_are_somebody_elses_they_are_left_alone_and_given_back() -> None:
    alone = Wanted(ExporterSettings("/srv/text"), flags=False)
    host = ExportingHost(None)
    host.directories.add("/srv/text")
    brought(host, alone)
    assert DEFAULTS not in host.files
    assert "restart " + UNIT not in host.ran
    assert brought(host, alone)["changed"] is False
    ours = ExportingHost()
    brought(ours)
    brought(ours, Wanted(WANTED.settings, flags=False))
    assert ours.text(DEFAULTS) == DEBIAN
    assert brought(ours, Wanted(WANTED.settings, flags=False))["changed"] is False


def test_a_timer_that_somebody_has_stopped_is_started() -> None:
    host = ExportingHost()
    brought(host)
    host.active.discard(TIMER)
    answer = brought(host)
    assert [(change["subject"], change["want"]) for change in answer["changes"]] == [("service", "active")]
    assert TIMER in host.active


def test_a_node_exporter_that_does_not_run_is_not_started_and_that_is_said() -> None:
    host = ExportingHost()
    host.active.clear()
    answer = brought(host)
    assert answer["warnings"] == ["prometheus-node-exporter.service does not run: nobody reads the metrics"]
    assert UNIT not in host.active


def test_without_node_exporter_it_is_said_what_to_do_and_nothing_is_begun() -> None:
    host = ExportingHost(None)
    for check_mode in (True, False):
        with pytest.raises(
            HostError, match=r"is absent \(install prometheus-node-exporter; or, where another one runs"
        ):
            brought(host, check_mode=check_mode)
    assert host.steps == []


@pytest.mark.parametrize("missing", ["root", "systemd"])
def test_a_host_that_cannot_have_it_says_so(missing: str) -> None:
    host = ExportingHost()
    if missing == "root":
        host.root = False
    else:
        del host.files["/run/systemd/system"]
    with pytest.raises(HostError, match={"root": "use become", "systemd": "systemd does not run here"}[missing]):
        brought(host)
    assert host.steps == []


def test_flags_that_node_exporter_does_not_like_are_taken_back_with_all_else() -> None:
    host = ExportingHost()
    before = whole(host)
    host.dies_with = "netstat.fields"
    with pytest.raises(HostError) as caught:
        brought(host)
    said = str(caught.value)
    assert "ends with its new flags: prometheus-node-exporter.service: last words" in said
    assert "everything was restored" in said
    assert whole(host) == before


def test_an_exporter_that_does_not_work_is_seen_at_once_with_its_words() -> None:
    host = ExportingHost()
    before = whole(host)
    host.failing = {("start", SERVICE): "Job failed."}
    with pytest.raises(HostError, match="systemctl start fails: %s: last words" % SERVICE):
        brought(host)
    assert whole(host) == before


def test_whichever_step_fails_the_host_is_as_before() -> None:
    steps = len(_steps_of(ExportingHost()))
    assert steps > 10
    for number in range(1, steps + 1):
        host = ExportingHost()
        before = whole(host)
        host.fail_at = number
        with pytest.raises(HostError):
            brought(host)
        assert whole(host) == before, host.steps[number - 1]


def test_whichever_step_of_taking_away_fails_it_is_all_there_still() -> None:
    probe = ExportingHost()
    brought(probe)
    first = len(probe.steps)
    gone(probe)
    # The last one makes systemd forget what had failed, if anything had.
    assert "reset-failed" in probe.steps[-1]
    for number in range(first + 1, len(probe.steps)):
        host = ExportingHost()
        brought(host)
        before = whole(host)
        host.fail_at = number
        with pytest.raises(HostError):
            gone(host)
        assert whole(host) == before, host.steps[number - 1]


def test_one_that_has_failed_at_last_is_taken_away_without_a_trace() -> None:
    host = ExportingHost()
    brought(host)
    host.failed = {SERVICE}
    gone(host)
    assert host.failed == set()


def _steps_of(host: ExportingHost) -> list[str]:
    brought(host)
    return host.steps


def test_the_state_directory_of_a_tuned_host_stays() -> None:
    host = ExportingHost()
    other = STATE_DIRECTORY + "/role:tcp_tuning.baseline.json"
    host.put(other, "{}", 0o600)
    brought(host)
    gone(host)
    assert other in host.files


def test_the_diff_shows_flags_and_units_and_no_archive() -> None:
    answer = brought(ExportingHost())
    shown = {entry["after_header"].split()[0]: entry["after"] for entry in answer["diff"]}
    assert "--collector.netstat.fields" in shown[DEFAULTS]
    assert shown[PROGRAM].startswith("file of mode 0600, ")
    assert "CPUQuota" in shown["/etc/systemd/system/" + SERVICE]


def test_what_is_asked_for_becomes_settings() -> None:
    wanted = wanted_from(
        {
            **GIVEN,
            "interval": 30,
            "services": 5,
            "groups": ["web"],
            "peers": {"local": ["10.0.0.0/8"]},
            "targets": {"client_success": 99.0},
            "rtt_targets": {"local": 2},
        }
    )
    assert wanted.flags
    settings = wanted.settings
    assert (settings.interval, settings.top, settings.groups) == (30, 5, ("web",))
    assert settings.peers == {"local": ("10.0.0.0/8",)}
    assert settings.targets["client_success"] == 99.0
    assert settings.targets["retransmission"] == 0.5
    assert settings.rtt_targets == {"local": 2.0}
    assert load_again(settings) == settings


def load_again(settings: ExporterSettings) -> ExporterSettings:
    host = ExportingHost()
    host.directories.add("/srv")
    brought(host, Wanted(settings, flags=False))
    found = load(host.text(SETTINGS))
    assert found.directory == DIRECTORY
    return ExporterSettings("", found.peers, found.targets, found.rtt_targets, found.top, found.interval, found.groups)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"interval": 5}, "interval: 5 is out of range (15 to 3600 seconds)"),
        ({"services": 0}, "services: 0 is out of range (1 to 100)"),
        ({"directory": "/a b"}, "directory: '/a b' cannot be one"),
        ({"directory": "/"}, "directory: '/' cannot be one"),
        ({"peers": {"local": ["10.0.0.0/99"]}}, "peers.local[0]"),
        ({"targets": {"retransmission": 100}}, "targets.retransmission"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_name(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        wanted_from({**GIVEN, **given})
    assert said in str(caught.value)
    with pytest.raises(InputError) as all_of_them:
        wanted_from({**GIVEN, "interval": 5, **given})
    assert "interval" in str(all_of_them.value)


PASTED = 'ARGS="--collector.netstat.fields=%s"\n' % with_ours("^Tcp_.*$")


def test_flags_that_are_not_ours_are_neither_read_nor_written() -> None:
    alone = Wanted(ExporterSettings(DIRECTORY), flags=False)
    for text in (PASTED, 'ARGS="--one\n'):
        host = ExportingHost("")
        host.put(DEFAULTS, text)
        brought(host, alone)
        assert host.text(DEFAULTS) == text
        assert brought(host, alone)["changed"] is False
        gone(host)
        assert host.text(DEFAULTS) == text
        assert "restart " + UNIT not in host.ran


def test_a_host_that_never_had_the_exporter_keeps_its_own_pattern() -> None:
    host = ExportingHost(PASTED)
    assert gone(host)["changed"] is False
    brought(host)
    gone(host)
    assert host.text(DEFAULTS) == PASTED


def test_flags_that_are_no_longer_ours_are_forgotten_once_they_are_given_back() -> None:
    host = ExportingHost()
    brought(host)
    brought(host, Wanted(WANTED.settings, flags=False))
    host.put(DEFAULTS, PASTED)
    gone(host)
    assert host.text(DEFAULTS) == PASTED


def test_a_run_that_was_killed_before_node_exporter_took_its_flags_is_made_good() -> None:
    host = ExportingHost()
    brought(host)
    host.flags = []
    host.ran.clear()
    shown = brought(host, check_mode=True)["changes"]
    assert [(change["subject"], change["key"], change["running"]) for change in shown] == [
        ("service", UNIT, "active without --collector.netstat.fields, --collector.textfile.directory")
    ]
    answer = brought(host)
    assert (answer["changes"], answer["before"] != answer["after"]) == (shown, True)
    assert "restart " + UNIT in host.ran
    assert host.flags == words_of(host.text(DEFAULTS))
    assert brought(host)["changed"] is False


def test_a_unit_that_does_not_hand_the_flags_on_is_an_error_each_time() -> None:
    host = ExportingHost()
    host.deaf = True
    before = whole(host)
    with pytest.raises(HostError, match=r"runs without --collector.netstat.fields, .* \(see systemctl cat"):
        brought(host)
    assert whole(host) == before


def test_a_node_exporter_whose_process_cannot_be_seen_is_no_error_and_that_is_said() -> None:
    host = ExportingHost()
    host.hidden = True
    assert brought(host)["warnings"] == ["%s: its process cannot be seen, nor whether it has its flags" % UNIT]
    assert brought(host)["changed"] is False


def test_with_flags_of_somebody_elses_the_directory_is_theirs_where_they_can_be_read() -> None:
    for text, directory in (
        ('ARGS="--collector.textfile.directory=/srv/text"\n', "/srv/text"),
        ('ARGS="--collector.textfile.directory=/srv/text\n', DIRECTORY),
        (DEBIAN, DIRECTORY),
    ):
        host = ExportingHost("")
        host.put(DEFAULTS, text)
        host.directories.add("/srv/text")
        brought(host, Wanted(ExporterSettings(""), flags=False))
        assert load(host.text(SETTINGS)).directory == directory
        assert host.text(DEFAULTS) == text


def test_that_node_exporter_ends_with_flags_of_a_run_that_was_killed_is_not_called_restored() -> None:
    host = ExportingHost()
    brought(host)
    host.flags, host.dies_with = [], "netstat.fields"
    with pytest.raises(HostError, match="may have been restarted, with the flags that") as caught:
        brought(host)
    assert "everything was restored" not in str(caught.value)


def test_that_it_ends_with_flags_that_somebody_left_in_its_file_is_not_called_restored() -> None:
    host = ExportingHost(DEBIAN.replace('""', '"--no-such-flag"'))
    # Written, and not restarted since.
    host.flags, host.dies_with = [], "no-such-flag"
    with pytest.raises(HostError) as caught:
        brought(host)
    said = str(caught.value)
    assert "ends with the flags that %s had before this run: %s: last words" % (DEFAULTS, UNIT) in said
    assert "everything was restored" not in said


def test_flags_that_are_not_ours_are_left_alone_where_the_record_is_lost_too() -> None:
    alone = Wanted(ExporterSettings(DIRECTORY), flags=False)
    for text in (PASTED, 'ARGS="--one\n'):
        host = ExportingHost()
        brought(host)
        del host.files[BEFORE]
        host.put(DEFAULTS, text)
        brought(host, alone)
        assert host.text(DEFAULTS) == text


def test_a_run_that_was_killed_at_any_file_has_a_record_before_all_else() -> None:
    host = ExportingHost()
    brought(host)
    assert next(step for step in host.steps if step.startswith("file ")) == "file " + BEFORE
