# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tools import scale
from tools.scale_measure import Peaks, Usage, measure, parse_memory
from tools.scale_report import BEGIN, END, Pair, Report, Series
from tools.shared import ToolError

MIB = 1 << 20


def usage(cpu: float, main: int = 60, fork: int = 50) -> Usage:
    return Usage(wall=cpu, cpu=cpu, hosts=cpu / 2, main=main * MIB, fork=fork * MIB, whole=500 * MIB)


def series(name: str, hosts: int, run: Usage, ping: Usage, rounds: int = 3) -> Series:
    return Series(name, hosts, [Pair(run, ping)] * rounds)


def report(few: Usage, many: Usage, ping_few: Usage, ping_many: Usage) -> Report:
    return Report(
        [
            series("ping", 10, ping_few, ping_few),
            series("ping", 300, ping_many, ping_many),
            series("tune", 10, few, ping_few),
            series("tune", 300, many, ping_many),
        ],
        "ping",
    )


def test_thirty_times_the_hosts_at_thirty_times_the_cpu_keeps_the_rule() -> None:
    assert report(usage(5), usage(150), usage(3), usage(90)).exceeded() == []


def test_growth_that_is_the_pings_own_keeps_the_rule() -> None:
    made = report(usage(5, main=60), usage(600, main=120), usage(3, main=50), usage(360, main=100))
    assert made.growth("tune", "cpu") == pytest.approx(1)
    assert made.exceeded() == []


@pytest.mark.parametrize(
    ("many", "told"),
    [
        (usage(5 * 30 * 1.31), "tune: CPU beside a ping's is 1.31 times as large over 300 hosts as over 10,"),
        (usage(150, main=79), "tune: memory of the main process beside a ping's is 1.32 times as large"),
        (usage(150, fork=66), "tune: memory of a worker beside a ping's is 1.32 times as large"),
    ],
)
def test_broken_rule_is_told(many: Usage, told: str) -> None:
    made = report(usage(5), many, usage(3), usage(90))
    assert len(made.exceeded()) == 1
    assert made.exceeded()[0].startswith(told)
    assert "BROKEN" in made.growth_table()


def test_growth_just_within_the_rule_is_not_told() -> None:
    assert report(usage(5), usage(150 * 1.29, main=77, fork=64), usage(3), usage(90)).exceeded() == []


def test_run_is_compared_with_the_ping_beside_it() -> None:
    # The machine was ten times as busy in the second round.
    pairs = [Pair(usage(4), usage(2)), Pair(usage(40), usage(20)), Pair(usage(6), usage(2))]
    assert Series("tune", 10, pairs).ratio("cpu") == 2.0


def test_series_that_is_lacking_is_an_error() -> None:
    ping = [series("ping", size, usage(3), usage(3)) for size in (10, 300)]
    with pytest.raises(ToolError, match="nothing was measured for tune over 300 hosts"):
        Report([*ping, series("tune", 10, usage(5), usage(3))], "ping")


def test_table_is_by_host() -> None:
    cells = [
        cell.strip() for cell in report(usage(5), usage(150), usage(3), usage(90)).table().splitlines()[-1].split("|")
    ]
    assert cells[1:-1] == ["tune", "300", "3", "150.0", "0.500", "0.250", "1.67", "60.0", "1.00", "50.0", "500"]


def test_what_a_further_host_adds() -> None:
    made = report(usage(5, main=60), usage(150, main=89), usage(3), usage(90))
    assert [line.split("|")[2].strip() for line in made.further_table().splitlines()[2:]] == ["0", "102"]


def test_page_keeps_what_stands_around_the_tables(tmp_path: Path) -> None:
    page = tmp_path / "scale.md"
    made = report(usage(5), usage(150), usage(3), usage(90))
    made.write(page)
    text = page.read_text()
    assert "at most 1.3 times" in text
    page.write_text(text.replace("# Many hosts", "# A page of ours").replace("| tune", "| old"))
    made.write(page)
    assert page.read_text() == text.replace("# Many hosts", "# A page of ours")


def test_page_without_the_marks_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "scale.md"
    page.write_text(f"{END}\n{BEGIN}\n")
    with pytest.raises(ToolError, match="between which the tables go"):
        report(usage(5), usage(150), usage(3), usage(90)).write(page)
    assert page.read_text() == f"{END}\n{BEGIN}\n"


def test_memory_of_a_process() -> None:
    text = "00400000-7ff [rollup]\nRss:\t  2048 kB\nPss:   1024 kB\nThreads:\t3\nVmHWM:\t 4096 kB\n"
    assert parse_memory(text) == {"Rss": 2 * MIB, "Pss": MIB, "VmHWM": 4 * MIB}


def test_peaks_are_of_the_moment_with_most() -> None:
    peaks = Peaks()
    peaks.add({"VmHWM": 60, "Pss": 40}, [{"VmHWM": 50, "Pss": 20}, {}])
    peaks.add({"VmHWM": 70, "Pss": 30}, [{"VmHWM": 45, "Pss": 10}, {"VmHWM": 55, "Pss": 25}])
    peaks.add({}, [])
    assert peaks == Peaks(main=70, fork=55, whole=65)


WORK = """
import os, sys, time
block = b"x" * (80 << 20)
if os.fork() == 0:
    while time.process_time() < 0.6: pass
    os._exit(0)
os.wait()
print("told")
sys.exit(3)
"""


def test_measured_run_counts_its_children(tmp_path: Path) -> None:
    shares = tmp_path / "usage"
    shares.write_text("99\n")
    code = f"open({str(shares)!r}, 'w').write('0.25\\n0.125\\n')\n{WORK}"
    measured = measure([sys.executable, "-c", code], os.environ, tmp_path / "log", shares)
    assert (measured.status, measured.told) == (3, "told\n")
    assert measured.usage.cpu >= 0.55
    assert measured.usage.hosts == 0.375
    assert measured.usage.controller == pytest.approx(measured.usage.cpu - 0.375)
    assert measured.usage.main >= 80 * MIB
    assert measured.usage.fork >= 80 * MIB
    assert 80 * MIB <= measured.usage.whole < 160 * MIB  # what both share is counted once


def test_hosts_share_of_an_earlier_run_is_not_counted(tmp_path: Path) -> None:
    (tmp_path / "usage").write_text("99\n")
    assert measure(["true"], os.environ, tmp_path / "log", tmp_path / "usage").usage.hosts == 0


def test_half_of_the_hosts_are_local() -> None:
    groups = json.loads(scale.inventory({"a": 11, "b": 12, "c": 13}))["all"]["children"]
    assert groups["local"]["hosts"] == {"a": {"ansible_namespace_pid": 11}}
    assert groups["cloud"]["hosts"] == {"b": {"ansible_namespace_pid": 12}, "c": {"ansible_namespace_pid": 13}}


@pytest.mark.parametrize(
    ("second", "wrong"),
    [
        ("changed=0    unreachable=0    failed=0", False),
        ("changed=2    unreachable=0    failed=0", True),
        ("changed=0    unreachable=1    failed=0", True),
        ("changed=0    unreachable=0    failed=1", True),
    ],
)
def test_run_that_changes_or_fails_is_not_measured(second: str, wrong: bool) -> None:
    told = f"PLAY RECAP\na  : ok=2    changed=0    unreachable=0    failed=0    skipped=0\nb  : ok=2    {second}\n"
    if wrong:
        with pytest.raises(ToolError, match="should change nothing on b;"):
            scale.check_unchanged("tune.yml", told, ["a", "b"])
    else:
        scale.check_unchanged("tune.yml", told, ["a", "b"])


def test_host_that_is_not_in_the_recap_is_told() -> None:
    told = "a  : ok=2    changed=0    unreachable=0    failed=0    skipped=0\n"
    with pytest.raises(ToolError, match="should change nothing on b;"):
        scale.check_unchanged("tune.yml", told, ["a", "b"])


def test_without_root_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["scale"])
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ToolError, match="root alone"):
        scale.main()


@pytest.mark.parametrize("arguments", [["--hosts", "1"], ["--rounds", "0"], ["--hosts", "10", "-3"]])
def test_numbers_without_sense_are_refused(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["scale", *arguments])
    with pytest.raises(ToolError, match="--hosts takes numbers from 2"):
        scale.main()
