# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a diagnosis asks of each host, what is kept of it, and that playbook, actions, pages and schema say the same."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import stat
import struct
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.netfleet.tcp.plugins.action import diagnose_report
from ansible_collections.netfleet.tcp.plugins.module_utils import _rules as rules
from ansible_collections.netfleet.tcp.plugins.module_utils._diagnose_model import Capture, HostView
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError, InputError
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding, to_wire
from ansible_collections.netfleet.tcp.plugins.modules import diagnose as diagnose_module
from ansible_collections.netfleet.tcp.plugins.modules import diagnose_report as diagnose_report_module
from ansible_collections.netfleet.tcp.plugins.plugin_utils import _report_json, _tshark
from ansible_collections.netfleet.tcp.plugins.plugin_utils._capture_model import Packet
from ansible_collections.netfleet.tcp.plugins.plugin_utils._capture_streams import (
    behind,
    busiest_interface,
    duplicates,
    seen,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._collect import collect
from ansible_collections.netfleet.tcp.plugins.plugin_utils._diagnose_case import Case, Witness
from ansible_collections.netfleet.tcp.plugins.plugin_utils._diagnose_check import OF_THE_RUN, SETTINGS, checked, request
from ansible_collections.netfleet.tcp.plugins.plugin_utils._diagnose_folder import (
    archive_name,
    capture_path,
    check_archive_directory,
    keep,
    kept,
    link_type,
    raw_texts,
    safe_names,
    write_archive,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import from_data
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_files import files, write_reports
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_kinds import DIAGNOSE_CHECK
from tests.unit.plugins.documented import not_as_documented
from tests.unit.plugins.plugin_utils.recorded_case import packets, record

ROOT = Path(__file__).resolve().parents[4]
ADDRESSES = {"app1": "10.0.0.1", "db1": "10.0.0.2"}


def asked(name: str, visited: "list[str]", **given: Any) -> "dict[str, Any]":
    settings = checked({"host": "app1", "peer": "db1", "port": 5432, **given})
    return request(settings, name, visited, ADDRESSES)


def test_each_end_looks_at_the_other() -> None:
    both = ["app1", "db1"]
    assert (asked("app1", both)["peers"], asked("app1", both)["serves"]) == (["10.0.0.2"], False)
    assert (asked("db1", both)["peers"], asked("db1", both)["serves"]) == (["10.0.0.1"], True)
    # An address that nobody of the inventory has; a service; a host that calls itself.
    assert asked("app1", ["app1"], peer="192.0.2.9")["peers"] == ["192.0.2.9"]
    assert (asked("db1", ["db1"], host="db1", peer="")["peers"], asked("db1", ["db1"], peer="")["serves"]) == ([], True)
    assert (asked("db1", ["db1"], host="db1")["peers"], asked("db1", ["db1"])["serves"]) == (["10.0.0.2"], False)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"peer": "", "port": 0}, "tcp_diagnose_filter: nothing says which packets are wanted"),
        ({"seconds": 999}, "tcp_diagnose_seconds: 999 is out of range"),
        ({"host": ""}, "tcp_diagnose_host: is not given"),
        ({"megabyte": 3}, "tcp_diagnose_megabyte"),
    ],
)
def test_bad_input_is_named_as_the_variable(given: "dict[str, Any]", words: str) -> None:
    with pytest.raises(InputError) as caught:
        asked("app1", ["app1"], **given)
    assert words in str(caught.value)


def test_an_archive_of_the_same_second_is_not_overwritten(tmp_path: Path) -> None:
    paths = [write_archive(str(tmp_path), "name", {"summary.txt": text}, {}) for text in ("one", "two", "three")]
    assert [Path(path).name for path in paths] == ["name.tar.gz", "name-2.tar.gz", "name-3.tar.gz"]
    for path, folder, text in zip(paths, ("name", "name-2", "name-3"), (b"one", b"two", b"three"), strict=True):
        with tarfile.open(path) as archive:
            assert archive.extractfile(folder + "/summary.txt").read() == text  # type: ignore[union-attr]
    with pytest.raises(InputError, match="tcp_diagnose_archive"):
        write_archive(str(tmp_path), "other", {}, {"app1": str(tmp_path / "gone")})
    assert len(list(tmp_path.iterdir())) == len(paths)


def test_what_hosts_say_is_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        view = to_wire(HostView(kernel="6.12", capture=Capture(packets=1)))
        view["capture"]["data"] = ""
        folder = keep(str(tmp_path), view, base64.b64encode(b"packets").decode())
        folders = {safe_names(["../evil"])["../evil"]: folder}
        path = write_archive(str(tmp_path / "archive"), "name", {"summary.txt": "all is well\n"}, folders)
    finally:
        os.umask(before)
    assert kept(folder).kernel == "6.12"
    modes = [
        stat.S_IMODE(os.stat(each).st_mode) for each in (folder, capture_path(folder) or "", f"{folder}/view.json")
    ]
    assert modes == [0o700, 0o600, 0o600]
    assert [stat.S_IMODE(os.stat(each).st_mode) for each in (tmp_path / "archive", path)] == [0o700, 0o600]
    with tarfile.open(path) as archive:
        names = {member.name: member.mode for member in archive.getmembers()}
    # A host's name leads nowhere else.
    assert names == dict.fromkeys(["name/summary.txt", "name/_evil/capture.pcap.gz", "name/_evil/view.json"], 0o600)
    assert os.listdir(tmp_path / "archive") == ["name.tar.gz"]


def test_names_in_an_archive_lead_nowhere_else_and_are_each_others_never() -> None:
    hosts = ["..", ".", "../../etc", "a b", "a_b", "A_B", "summary.txt", "", "x" * 60 + "1", "x" * 60 + "2", "a_b-2"]
    names = safe_names(hosts)
    assert list(names) == hosts
    assert len({name.lower() for name in names.values()}) == len(hosts)
    for name in names.values():
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", name)
    assert not {"summary.txt", "diagnosis.json"} & set(names.values())
    assert names["a_b"] != "a_b" == names["a b"]
    # Of what programs have printed too.
    assert raw_texts(HostView(raw={"route to a:1": "one", "route to a_1": "two"})) == {
        "route_to_a_1.txt": "one",
        "route_to_a_1-2.txt": "two",
    }


def test_the_archive_of_hosts_with_odd_names(tmp_path: Path) -> None:
    hosts = ["../../up", "/etc/a b", "/etc/a_b"]
    view = to_wire(HostView(raw={"route": "by eth0"}))
    view["capture"]["data"] = ""
    folders = {host: keep(str(tmp_path), view, base64.b64encode(host.encode()).decode()) for host in hosts}
    action = diagnose_report.ActionModule.__new__(diagnose_report.ActionModule)
    case = Case([Witness(host, kept(folder)) for host, folder in folders.items()], {})
    report = collect({}, "warning", 1_795_780_800.0, "0.1.0", DIAGNOSE_CHECK)
    path = action._archive(case, report, {}, str(tmp_path / "archive"), folders)
    with tarfile.open(path) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    assert len(names) == len(set(names)) == 2 + 3 * 3
    assert not [name for name in names if name.startswith("/") or ".." in name.split("/")]
    assert len({name.partition("/")[0] for name in names if name.endswith("raw/route.txt")}) == 3


def a_report(tmp_path: Path, directory: str) -> "tuple[diagnose_report.ActionModule, dict[str, Any], list[str]]":
    """The action, the task's result, and what it has displayed, for one host and that folder of archives."""
    view = to_wire(HostView(kernel="6.12", limits=("mtu: only root",)))
    view["capture"]["data"] = ""
    said = {
        "status": "asked",
        "kernel": "6.12",
        "subjects": list(rules.DIAGNOSE_SUBJECTS),
        "checked": {},
        "findings": [],
        "settings": checked({"host": "app1"}),
        "folder": keep(str(tmp_path), view, ""),
        "addresses": ADDRESSES,
    }
    shown: "list[str]" = []

    class Screen:
        def display(self, text: str, **_more: Any) -> None:
            shown.append(text)

        banner = warning = display

    action = diagnose_report.ActionModule.__new__(diagnose_report.ActionModule)
    action._display = Screen()
    arguments = {"archive": directory, "threshold": "warning", "directory": "", "formats": [], "compare": ""}
    variables = {
        "hostvars": {"app1": {"answer": {"diagnose": said}}},
        "ansible_play_hosts_all": ["app1"],
    }
    try:
        result = action._report({**arguments, "variable": "answer"}, variables)
    except InputError as error:
        result = {"msg": str(error)}
    return action, result, shown


def test_an_archive_that_cannot_be_put_there_is_put_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("ansible.constants.DEFAULT_LOCAL_TMP", str(tmp_path))
    _action, result, shown = a_report(tmp_path, str(tmp_path / "file"))
    assert tarfile.is_tarfile(result["archive"])
    assert stat.S_IMODE(Path(result["archive"]).parent.stat().st_mode) == 0o700
    assert any(line.startswith("the archive is put elsewhere: tcp_diagnose_archive") for line in shown)
    assert f"Archive: {result['archive']}" in shown


def test_without_any_room_for_an_archive_there_is_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("ansible.constants.DEFAULT_LOCAL_TMP", str(tmp_path))
    monkeypatch.setattr(diagnose_report, "_elsewhere", lambda _error: str(tmp_path / "file"))
    _action, result, shown = a_report(tmp_path, str(tmp_path / "file"))
    assert result["msg"].startswith("tcp_diagnose_archive")
    assert "DIAGNOSIS" in "".join(shown)


def test_where_no_archive_could_be_put_is_known_before(tmp_path: Path) -> None:
    check_archive_directory(str(tmp_path / "new" / "archive"))
    assert os.listdir(tmp_path / "new" / "archive") == []
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="tcp_diagnose_archive"):
        check_archive_directory(str(tmp_path / "file"))
    with pytest.raises(HostError, match="cannot be written"):
        keep(str(tmp_path / "file"), {}, "")


def test_what_is_damaged_is_told(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="damaged"):
        keep(str(tmp_path), {}, "no base64!")
    folder = keep(str(tmp_path), {"nothing": 1}, "")
    assert capture_path(folder) is None
    with pytest.raises(HostError, match="cannot be read"):
        kept(folder)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="tcp_diagnose_archive"):
        write_archive(str(tmp_path / "file"), "name", {}, {})


def test_archives_are_named_by_hosts_and_time() -> None:
    assert archive_name("app1,db1", "2026-11-29T03:10:40Z") == "diagnose-app1_db1-20261129T031040Z"
    assert archive_name("../../etc/x", "2026") == "diagnose-_.._etc_x-2026"


def test_lines_of_tshark_that_are_no_packets_are_left_out() -> None:
    lines = record("refused")["left"]["tshark"]
    whole = packets(lines)
    assert len(whole) > 3
    torn = [lines[0], "", "\t\t", lines[1].replace("0x", "zz"), *lines[1:]]
    assert packets(torn) == whole


def test_a_missing_tshark_is_told_with_its_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match=r"tshark: is not installed here.*the captures are in the archive"):
        _tshark.read("capture.pcap", str(tmp_path))


def packet(number: int, time: float, interface: int, source: str = "10.0.0.1") -> Packet:
    return Packet(number, time, (source, 1), ("10.0.0.2", 443), seq=number // 10, length=5, interface=interface)


def test_packets_that_are_seen_on_several_interfaces() -> None:
    twice = [packet(10, 1.0, 2), packet(11, 1.0001, 3), packet(20, 1.1, 2), packet(30, 1.2, 3), packet(31, 1.2001, 2)]
    assert [each.number for each in duplicates(twice)] == [11, 31]
    assert busiest_interface(twice) == 2
    # The same again a while later was sent again.
    assert duplicates([packet(10, 1.0, 2), packet(11, 1.5, 3)]) == []
    assert duplicates([packet(10, 1.0, 0), packet(11, 1.0001, 0)]) == []
    assert "sll.ifindex == 2" in _tshark.arguments("x", 2)


def test_a_capture_that_does_not_tell_interfaces_apart_says_nothing_of_what_was_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "capture.pcap.gz"
    again = frozenset(["retransmission"])
    each = [packet(10 * number, 0.1 * number, 0) for number in range(1, 30)]
    copies = [replace(one, number=one.number + 1, time=one.time + 0.0001, marks=again) for one in each]
    both = tuple(one for pair in zip(each, copies, strict=True) for one in pair)
    monkeypatch.setattr(diagnose_report._tshark, "read", lambda *_more: both)
    for link, expected in ((113, (29, True, 29, 0)), (276, (0, False, 58, 29))):
        for order in ("<", ">"):
            header = struct.pack(order + "IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, link)
            path.write_bytes(gzip.compress(header))
            assert link_type(str(path)) == link
            found = diagnose_report._read(str(path), str(tmp_path), 443)
            side = found.streams[0].side(("10.0.0.1", 1))
            assert (found.duplicates, found.blurred, side.packets, side.repeated) == expected
    # Where nothing is seen twice, what tshark says of it holds.
    path.write_bytes(gzip.compress(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 113)))
    monkeypatch.setattr(
        diagnose_report._tshark, "read", lambda *_more: (each[0], replace(each[0], time=1.0, marks=again))
    )
    assert diagnose_report._read(str(path), str(tmp_path), 443).streams[0].side(("10.0.0.1", 1)).repeated == 1
    path.write_bytes(b"no capture")
    assert link_type(str(path)) == -1


def test_sequences_wrap() -> None:
    assert behind(5, 0xFFFFFFFB) == 10
    assert behind(0xFFFFFFFB, 5) == -10
    assert seen([]).streams == ()


def test_the_report_keeps_to_its_schema(tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is in .venv (requirements/dev.in) only")
    schema = json.loads((ROOT / "docs" / "schemas" / "diagnose-report.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    finding = Finding("window", "a->b:1", "warning", "why", cure="cure", rule=rules.DIAG_WINDOW_SCALE)
    said = {"status": "asked", "kernel": "6.12", "subjects": list(rules.DIAGNOSE_SUBJECTS), "checked": {"window": 1}}
    answers: "dict[str, Any]" = {
        "app1": {"diagnose": {**said, "findings": [to_wire(finding)]}},
        "db1": {"diagnose": {**said, "findings": []}},
        "gone1": None,
    }
    report = collect(answers, "warning", 1_795_780_800.0, "0.1.0", DIAGNOSE_CHECK)
    data = json.loads(_report_json.render(report))
    assert [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(data)] == []
    assert from_data(data, "diagnose") == report
    assert schema["$defs"]["subject"]["enum"] == list(rules.DIAGNOSE_SUBJECTS)
    assert schema["$defs"]["host"]["properties"]["status"]["enum"] == list(DIAGNOSE_CHECK.statuses.values())
    written = write_reports(report, str(tmp_path), files(DIAGNOSE_CHECK))
    assert {Path(path).name for path in written} == set(files(DIAGNOSE_CHECK).values())


def test_the_actions_take_what_is_documented() -> None:
    for text, specification in (
        (diagnose_module.DOCUMENTATION, SETTINGS),
        (diagnose_report_module.DOCUMENTATION, diagnose_report.ActionModule.specification),
    ):
        assert not_as_documented(text, specification) == []


def test_the_playbook_hands_over_the_variables_of_the_run() -> None:
    _call, play, _last = yaml.safe_load((ROOT / "playbooks" / "diagnose.yml").read_text(encoding="utf-8"))
    look, report = play["tasks"]
    assert set(report["netfleet.tcp.diagnose_report"]) == set(OF_THE_RUN)
    assert look["register"] == diagnose_report.ActionModule.specification["variable"]["default"]
    assert [task["tags"] for task in play["tasks"]] == [["always"], ["always"]]
    assert report["run_once"] is True
    assert play["strategy"] == "ansible.builtin.linear"


def test_the_page_names_variables_rules_and_files() -> None:
    page = (ROOT / "docs" / "diagnose.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\btcp_diagnose_\w+", page))
    assert named == {"tcp_diagnose_%s" % name for name in (*SETTINGS, *OF_THE_RUN)}
    assert set(re.findall(r"^\| `(diagnose-[\w-]+)`", page, re.MULTILINE)) == {rule.id for rule in rules.DIAGNOSE_RULES}
    assert set(re.findall(r"^\| `(probe-[\w-]+)`", page, re.MULTILINE)) == {rule.id for rule in rules.PROBE_RULES}
    from ansible_collections.netfleet.tcp.plugins.plugin_utils import _probe_check

    probes = {
        "tcp_probe_%s" % name for name in (*_probe_check.SETTINGS, *_probe_check.OF_THE_RUN, _probe_check.ADDRESS)
    }
    assert set(re.findall(r"\btcp_probe_\w+", page)) == probes
