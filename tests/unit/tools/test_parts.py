# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tools import parts, progress
from tools.parts import Outcome, Part
from tools.shared import ToolError

# Stands in for make: each "target" behaves as its name says.
MAKE = """\
#!/bin/sh
case "$1" in
  good) echo done; exit 0 ;;
  slow) sleep 1; echo done; exit 0 ;;
  bad) echo "the reason"; exit 2 ;;
  absent) echo working; echo "SKIPPED: no Python 3.12 here"; exit 0 ;;
  lying) echo "SKIPPED: something"; echo "and yet it failed"; exit 1 ;;
  coloured) printf 'one\\n\\n  \\033[2m│\\033[0m \\033[1;31mFAILED\\033[0m\\n' ;;
  hanging) echo begun; sleep 60 & echo $! > "$LEFT"; wait ;;
esac
"""


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "bin" / "make"
    program.parent.mkdir()
    program.write_text(MAKE)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("LEFT", str(tmp_path / "left.pid"))
    monkeypatch.setattr(parts, "LOGS", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "outcome", "why"),
    [
        ("good", Outcome.PASSED, ""),
        ("bad", Outcome.FAILED, "exit status 2"),
        ("absent", Outcome.SKIPPED, "no Python 3.12 here"),
        ("lying", Outcome.FAILED, "exit status 1"),
    ],
)
@pytest.mark.usefixtures("make")
def test_outcome_of_a_part(name: str, outcome: Outcome, why: str) -> None:
    part = Part(name, "lane", 30)
    parts.run_all([part])
    assert (part.outcome, part.why) == (outcome, why)
    assert part.seconds > 0


def test_part_that_hangs_is_stopped_with_its_children(make: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "SIGNALS", [(number, min(patience, 1.0)) for number, patience in parts.SIGNALS])
    part = Part("hanging", "lane", 1)
    parts.perform(part, threading.Event())
    assert part.outcome is Outcome.FAILED
    assert "longer than 1 s" in part.why
    child = Path("/proc") / (make / "left.pid").read_text().strip() / "stat"
    # Dead, or a zombie that nobody has waited for yet.
    assert not child.exists() or child.read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.usefixtures("make")
def test_what_a_part_printed_is_read_without_colours_and_the_bar_of_molecule() -> None:
    part = Part("coloured", "lane", 30)
    parts.run_lane([part], threading.Event())
    assert part.lines() == ["one", "FAILED"]


@pytest.mark.usefixtures("make")
def test_part_that_was_never_begun_is_not_counted_as_passed() -> None:
    stopping = threading.Event()
    stopping.set()
    part = Part("good", "lane", 30)
    parts.run_lane([part], stopping)
    assert part.outcome is Outcome.FAILED
    assert not part.log.exists()


def test_the_table_ends_with_the_count(make: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran = [Part("good", "a", 30), Part("bad", "a", 30), Part("absent", "b", 30)]
    parts.run_all(ran)
    progress.table(ran, 61.0)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "1 passed, 1 failed, 1 skipped"
    assert lines[-2].startswith("bad: "), "by what it failed is near enough to the end to be kept"
    assert any("the reason" in line for line in lines), "the log of a failing part is shown"
    assert any("absent" in line and "no Python 3.12 here" in line for line in lines), "a skipped part says why"
    assert any(f"{make}/bad.log" in line for line in lines)


def test_of_a_long_log_the_lines_that_say_why_are_shown() -> None:
    noise = [f"h{number} : ok=1 changed=0 unreachable=0 failed=0" for number in range(100)]
    why = ["[ERROR]: Task failed: no space left", "E   AssertionError: assert 1 == 2", "fatal: [h1]: FAILED!"]
    found = progress.excerpt([*noise, *why, *noise, "make: *** [Makefile:1: x] Error 1"])
    assert found[: len(why)] == why
    assert found[-1] == "make: *** [Makefile:1: x] Error 1"
    assert len(found) == len(why) + 1 + progress.TAIL
    assert progress.excerpt(["only this"]) == ["only this"]
    assert len(progress.excerpt(["error"] * 1000)) == progress.MOST_TELLING + 1 + progress.TAIL


def test_what_a_part_failed_by_is_its_tests_and_why_or_how_it_ends() -> None:
    failed = ["FAILED tests/a.py::test_x - AssertionError: 1", "ERROR tests/a.py::test_y - NotThere"]
    ends = ["ERROR    [conditions > verify] Executed: Failed", "make: *** [Makefile:1: x] Error 1"]
    why = ["E   assert 1 == 2", "E    +  where 1 = x"]
    assert progress.verdict([*why, "text", *failed, *ends]) == [*failed, why[0]], "molecule's own errors tell nothing"
    many = [f"FAILED tests/a.py::test_{number}" for number in range(9)]
    assert progress.verdict(many) == many[-progress.MOST_NAMED :]
    reasons = [f"E   assert {number}" for number in range(9)]
    spread = [line for reason in reasons for line in (reason, "text")]
    assert progress.verdict([*spread, *ends]) == reasons[-progress.MOST_NAMED :]
    assert progress.verdict(ends) == ends[:1]
    assert progress.verdict(["it was", "make: *** Error 1"]) == ["it was", "make: *** Error 1"]


def test_unknown_part_is_refused() -> None:
    with pytest.raises(ToolError, match=r"no such part of the test: lnt; there are lint, "):
        parts.chosen(["lnt"])


def test_what_uses_the_lab_runs_one_after_the_other_and_is_taken_down() -> None:
    lab = [part for part in parts.all_parts() if part.lane == "lab"]
    assert [part.name for part in lab] == [
        "molecule",
        "test-kernel",
        "test-links-core",
        "test-faults-core",
        "ci-examples",
    ]
    assert {part.instance for part in lab} == {"test"}
    assert [part.name for part in parts.all_parts() if part.lane == parts.ALONE] == ["test-conditions-core"]


@pytest.mark.usefixtures("make")
def test_what_is_to_run_alone_begins_when_all_else_has_ended() -> None:
    ran = [Part("good", parts.ALONE, 30), Part("slow", "a", 30), Part("good", "b", 30), Part("bad", "a", 30)]
    parts.run_all(ran)
    assert [part.outcome for part in ran] == [Outcome.PASSED, Outcome.PASSED, Outcome.PASSED, Outcome.FAILED]
    ended = max(part.started + part.seconds for part in ran[1:])
    assert ran[0].started >= ended


def test_each_part_is_a_target_of_the_makefile() -> None:
    targets = (parts.ROOT / "Makefile").read_text()
    missing = [part.name for part in parts.all_parts() if f"\n{part.name}:" not in targets]
    assert missing == []
