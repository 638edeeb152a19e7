# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools import bench, cpu_time
from tools.bench_report import BEGIN, END, Cost, Figures, Report, Run
from tools.shared import ToolError


def cost(cpu: float) -> Cost:
    return Cost(wall=cpu, controller=cpu / 2, hosts=cpu / 2)


def figures(name: str, cpu: float, modules: int, ping: float = 2.0) -> Figures:
    return Figures(name, [Run(cost(cpu), cost(ping))] * 3, modules, visits=1)


PING = figures("ansible -m ping", 2.0, 1)


def test_budgets_that_hold_are_not_told() -> None:
    report = Report([PING, figures("tune.yml, converged", 3.2, 2), figures("tune.yml, first application", 12.0, 6)], 12)
    assert report.exceeded() == []


def test_exceeded_budgets_are_told() -> None:
    report = Report([PING, figures("tune.yml, converged", 3.3, 3)], 12)
    assert report.exceeded() == [
        "tune.yml, converged: 1.65 x the CPU of a ping, budget 1.6",
        "tune.yml, converged: 3 modules executed on a host, budget 2",
    ]


def test_table_compares_with_the_ping() -> None:
    rows = [line.split("|") for line in Report([PING, figures("tune.yml, converged", 3.0, 1)], 12).table().splitlines()]
    assert [cell.strip() for cell in rows[3]][1:8] == ["tune.yml, converged", "3", "3.0", "1.50", "1.5", "1.5", "1.50"]
    assert len({len(row) for row in rows if len(row) > 2 and "run" not in row[1]}) == 1


def test_every_budget_belongs_to_a_run() -> None:
    from tools.bench_report import BUDGETS

    assert set(BUDGETS) <= {kind.name for kind in bench.our_kinds()}


def test_nothing_measured_is_an_error() -> None:
    with pytest.raises(ToolError, match="nothing was measured"):
        Report([figures("ansible -m ping", 0.0, 1, ping=0.0)], 12)


def test_run_is_compared_with_the_ping_beside_it() -> None:
    # The machine was ten times as busy in the second round; the run costs twice a ping all the same.
    kind = Figures("tune.yml, converged", [Run(cost(4), cost(2)), Run(cost(40), cost(20)), Run(cost(6), cost(2))], 1, 1)
    assert kind.ratio("cpu") == 2.0
    assert kind.median("cpu") == 6.0


def test_page_keeps_what_stands_around_the_table(tmp_path: Path) -> None:
    page = tmp_path / "bench.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    Report([PING], 12).write(page)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert "ansible -m ping" in text


def test_page_without_the_marks_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "bench.md"
    page.write_text("a page of somebody's own\n")
    with pytest.raises(ToolError, match="between which the table goes"):
        Report([PING], 12).write(page)
    assert page.read_text() == "a page of somebody's own\n"


def test_keys_of_a_sysctl_file(tmp_path: Path) -> None:
    text = "# reason\nnet.ipv4.tcp_rmem = 4096 131072 6291456\n\n-net.core.somaxconn=4096  # why\n; other\n"
    (tmp_path / "host").write_text(json.dumps({"content": base64.b64encode(text.encode()).decode()}))
    assert bench.read_keys(tmp_path / "host") == {
        "net.ipv4.tcp_rmem": "4096 131072 6291456",
        "net.core.somaxconn": "4096",
    }


def test_stat_of_a_process_with_an_ugly_name() -> None:
    fields = ["S", "7"] + ["0"] * 9 + ["100", "50", "30", "20"] + ["0"] * 30
    parent, seconds = cpu_time.parse_stat(f"42 (a) b (c)) {' '.join(fields)}")
    assert parent == 7
    assert seconds == pytest.approx(200 / cpu_time.TICKS)


def test_descendants_leave_out_strangers() -> None:
    table = {1: (0, 0.0), 10: (1, 0.0), 11: (10, 0.0), 12: (11, 0.0), 20: (1, 0.0)}
    assert cpu_time.descendants([10], table) == {10, 11, 12}


def test_time_of_a_child_that_has_ended_is_counted() -> None:
    before = cpu_time.of_trees([os.getpid()])
    subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.5: pass"], check=True)
    assert cpu_time.of_trees([os.getpid()]) - before >= 0.4


def test_absent_container_is_told() -> None:
    with pytest.raises(ToolError, match="no container found by the host name no-such-host"):
        cpu_time.container_roots(["no-such-host"])


RECAP = """\
PLAY RECAP *********************************************************************
bench01                    : ok=3    changed=1    unreachable=0    failed=0    skipped=0    rescued=0    ignored=0
bench02                    : ok=3    changed={second}    unreachable={gone}    failed=0    skipped=0    rescued=0
"""


@pytest.mark.parametrize(
    ("changes", "second", "gone", "wrong"),
    [
        (True, 1, 0, None),
        (True, 0, 0, "should change something on bench02;"),
        (True, 1, 1, "should change something on bench02;"),
        (False, 0, 0, "should change nothing on bench01;"),
    ],
)
def test_run_that_did_not_do_what_is_measured_is_an_error(
    changes: bool, second: int, gone: int, wrong: str | None
) -> None:
    kind = bench.Kind("a run", ["true"], changes=changes)
    told = RECAP.format(second=second, gone=gone)
    if wrong:
        with pytest.raises(ToolError, match=wrong):
            bench.check_changes(kind, told, ["bench01", "bench02"])
    else:
        bench.check_changes(kind, told, ["bench01", "bench02"])
