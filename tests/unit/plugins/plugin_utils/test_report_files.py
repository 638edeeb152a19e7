# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import re
import stat
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError
from ansible_collections.netfleet.tcp.plugins.plugin_utils import _report_files as files
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import compare, to_data
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_files import (
    collection_version,
    read_report,
    write_reports,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_kinds import DRIFT_CHECK
from tests.unit.plugins.plugin_utils.sample_report import compared_report, hostile_report, large_report, small_report

ROOT = Path(__file__).resolve().parents[4]
FILES = files.files(DRIFT_CHECK)


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """The tests of modes set their own; what they set ends with them."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def written(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


# Writing


def test_every_format_has_its_file(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "folder"
    paths = write_reports(small_report(), str(directory), list(FILES))
    assert paths == [str(directory / name) for name in FILES.values()]
    assert written(directory) == sorted(FILES.values())
    assert all(Path(path).read_bytes().endswith(b"\n") for path in paths)


def test_only_what_is_asked_for_is_written(tmp_path: Path) -> None:
    assert write_reports(small_report(), str(tmp_path), ["json"]) == [str(tmp_path / "drift.json")]
    assert written(tmp_path) == ["drift.json"]


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o027, 0o002])
def test_the_umask_says_who_may_read_a_report(tmp_path: Path, mask: int) -> None:
    os.umask(mask)
    (path,) = write_reports(small_report(), str(tmp_path), ["json"])
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o644 & ~mask
    assert os.umask(0o022) == mask, "the umask itself is as before"


def test_text_that_is_no_unicode_is_written_visibly(tmp_path: Path) -> None:
    report = small_report()
    report = replace(report, findings=(replace(report.findings[0], key="odd \udcff"), *report.findings[1:]))
    write_reports(report, str(tmp_path), ["text", "json"])
    assert b"odd \\udcff" in (tmp_path / "drift.txt").read_bytes()
    assert read_report(str(tmp_path / "drift.json")).findings[0].key == "odd \\udcff"


def test_a_reader_sees_the_old_report_or_the_new_one(tmp_path: Path) -> None:
    """Two checks at the same time, and somebody who reads: never half a report, never a mixture."""
    one, two = small_report(), large_report(hosts=40, findings=300)
    path = tmp_path / "drift.json"
    write_reports(one, str(tmp_path), ["json"])
    done = threading.Event()
    seen: list[Any] = []

    def read() -> None:
        while not done.is_set():
            seen.append(read_report(str(path)))

    def write(report: Any) -> None:
        for _round in range(8):
            write_reports(report, str(tmp_path), ["json"])

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(report,)) for report in (one, two)]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert seen
    assert all(report in (one, two) for report in seen)
    assert written(tmp_path) == ["drift.json"]


def test_a_write_that_fails_leaves_the_earlier_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_reports(small_report(), str(tmp_path), ["json"])
    before = (tmp_path / "drift.json").read_bytes()

    def full(_source: str, _target: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputError, match=r"tcp_drift_directory: .*drift\.json: No space left on device \(name another"):
        write_reports(hostile_report(), str(tmp_path), ["json"])
    assert written(tmp_path) == ["drift.json"]
    assert (tmp_path / "drift.json").read_bytes() == before


def test_a_link_is_replaced_and_not_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("kept", encoding="utf-8")
    (tmp_path / "drift.json").symlink_to("target")
    write_reports(small_report(), str(tmp_path), ["json"])
    assert not (tmp_path / "drift.json").is_symlink()
    assert (tmp_path / "target").read_text(encoding="utf-8") == "kept"


@pytest.mark.parametrize("below", ["file", "file/below", "/proc/nothing/here"])
def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        write_reports(small_report(), str(tmp_path / below), ["json"])
    (problem,) = caught.value.problems
    assert problem.path == "tcp_drift_directory"
    assert below in problem.problem
    assert problem.cure


def test_a_folder_that_takes_no_files_is_named() -> None:
    with pytest.raises(InputError, match=r"tcp_drift_directory: /proc/self/fdinfo/drift\.json: .+ \(name another"):
        write_reports(small_report(), "/proc/self/fdinfo", ["json"])


def test_a_folder_in_the_place_of_a_report_is_named(tmp_path: Path) -> None:
    (tmp_path / "drift.json").mkdir()
    with pytest.raises(InputError, match=r"drift\.json: Is a directory"):
        write_reports(small_report(), str(tmp_path), ["json"])
    assert written(tmp_path) == ["drift.json"]


# Reading an earlier one


@pytest.mark.parametrize("report", [small_report(), compared_report()], ids=["small", "compared"])
def test_a_report_is_read_as_it_was_written(tmp_path: Path, report: Any) -> None:
    write_reports(report, str(tmp_path), ["json"])
    assert read_report(str(tmp_path / "drift.json")) == report


def data(**changes: Any) -> dict[str, Any]:
    return {**to_data(small_report()), **changes}


def finding(**changes: Any) -> dict[str, Any]:
    first: dict[str, Any] = data()["findings"][0]
    return {**first, **changes}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "drift",
        "{",
        "null",
        "[]",
        "{}",
        '{"version": "2.1.0", "runs": []}',
        "[" * 100_000,
        json.dumps(data(format=2)),
        json.dumps(data(more=1)),
        json.dumps(data(hosts="all")),
        json.dumps(data(hosts=[{"name": "x"}])),
        json.dumps(data(findings=[7])),
        json.dumps(data(findings=[finding(severity=None)])),
        json.dumps(data(findings=[finding(waiver="x")])),
        json.dumps(data(findings=[finding(severity="fatal")])),
        json.dumps(data(threshold="fatal")),
        json.dumps(data())[:-20],
    ],
)
def test_what_is_no_report_of_ours_is_refused_with_its_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"^tcp_drift_compare: .*x\.json: .+ \(name a drift\.json that an earlier"):
        read_report(str(path))


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(InputError, match=r"tcp_drift_compare: .*x\.json"):
        read_report(str(tmp_path / "x.json"))


def test_a_huge_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.json, "load", lambda _stream: pytest.fail("it was read"))
    with (tmp_path / "x.json").open("wb") as stream:
        stream.truncate((1 << 30) + 1)
    with pytest.raises(InputError, match="larger than 1 GiB"):
        read_report(str(tmp_path / "x.json"))


def test_what_has_no_end_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path("/dev/zero")):
        with pytest.raises(InputError, match="is not a file"):
            read_report(str(path))


@pytest.mark.parametrize(("name", "words"), [("none.json", "No such file or directory"), (".", "is not a file")])
def test_what_is_not_there(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(InputError, match="tcp_drift_compare: .*" + re.escape(words)):
        read_report(str(tmp_path / name))


def test_whatever_was_read_can_be_compared_and_written(tmp_path: Path) -> None:
    """Rules and subjects of another version are words that this one does not know."""
    report = small_report()
    odd = [finding(rule="of-tomorrow", subject="quic", host="not-there", key="x")]
    (tmp_path / "x.json").write_text(json.dumps(data(findings=odd)), encoding="utf-8")
    found = compare(read_report(str(tmp_path / "x.json")), report)
    assert write_reports(replace(report, comparison=found), str(tmp_path / "out"), list(FILES))


# The version


def test_a_clone_says_its_version() -> None:
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))
    assert collection_version() == str(galaxy["version"])


def test_an_installed_collection_says_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_COLLECTION", str(tmp_path))
    assert collection_version() == ""
    (tmp_path / "galaxy.yml").write_text("name: tcp\nversion: 1.0.0\n", encoding="utf-8")
    assert collection_version() == "1.0.0"
    manifest = {"collection_info": {"namespace": "netfleet", "version": "1.2.3"}, "format": 1}
    (tmp_path / "MANIFEST.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    assert collection_version() == "1.2.3"
