# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of `make bench`: as text, on its page in docs/, and against the budgets of the design."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.page import MarkedPage, machine, markdown, today
from tools.shared import ToolError

BEGIN = "<!-- bench: begin (written by `make bench`) -->"
END = "<!-- bench: end -->"
PAGE = f"""# What a run costs

`make bench` starts twelve containers (ssh, systemd, Debian 12 and 13), and measures on them, in one session and in
turn, a ping, our own runs, and `ansible.posix.sysctl` in a loop over the keys that our role has set. Each run is
compared with a ping just before it. CPU is what counts: wall time on a shared machine is noise. Controller is Ansible
with its ssh connections, hosts is everything inside the containers.

{BEGIN}
{END}
"""

# Start of a kind's name: most CPU relative to a ping, most modules executed on a host (design.md).
BUDGETS = {
    "drift.yml": (1.25, 1),
    "tune.yml, first application": (6.0, 6),
    "the same, one wave, not watched": (6.0, 6),
    "tune.yml, converged": (1.6, 2),
    "tune.yml --check --diff, converged": (1.6, 2),
}


@dataclass(frozen=True)
class Cost:
    """What one run over the whole fleet cost, in seconds: on the clock, and of CPU."""

    wall: float
    controller: float
    hosts: float

    @property
    def cpu(self) -> float:
        """CPU seconds of controller and hosts."""
        return self.controller + self.hosts


@dataclass(frozen=True)
class Run:
    """One run, and the ping just before it: a busy machine makes both dearer, hence they are compared in pairs."""

    cost: Cost
    ping: Cost


@dataclass(frozen=True)
class Figures:
    """The runs of one kind, and what was counted on one host."""

    name: str
    runs: Sequence[Run]
    modules: int
    visits: int

    def median(self, what: str) -> float:
        """Median of a cost: wall, controller, hosts or cpu."""
        return statistics.median(getattr(run.cost, what) for run in self.runs)

    def ratio(self, what: str) -> float:
        """Median of a cost relative to that of the ping beside it."""
        return statistics.median(getattr(run.cost, what) / getattr(run.ping, what) for run in self.runs)


class Report:
    """What was measured."""

    HEAD = (
        "run",
        "repeated",
        "wall s",
        "x ping",
        "controller CPU s",
        "hosts CPU s",
        "CPU x ping",
        "modules a host",
        "ssh commands a host",
    )

    def __init__(self, figures: Sequence[Figures], hosts: int) -> None:
        pings = [run.ping for kind in figures for run in kind.runs]
        if not pings or min(ping.cpu for ping in pings) <= 0:
            raise ToolError("nothing was measured for the pings that all else is compared with")
        self.figures = figures
        self.hosts = hosts

    def rows(self) -> list[tuple[str, ...]]:
        """One row of text for each kind of run."""
        return [
            (
                figures.name,
                str(len(figures.runs)),
                f"{figures.median('wall'):.1f}",
                f"{figures.ratio('wall'):.2f}",
                f"{figures.median('controller'):.1f}",
                f"{figures.median('hosts'):.1f}",
                f"{figures.ratio('cpu'):.2f}",
                str(figures.modules),
                str(figures.visits),
            )
            for figures in self.figures
        ]

    def table(self) -> str:
        """The table, in Markdown that reads well as plain text too."""
        return markdown(self.HEAD, self.rows())

    def exceeded(self) -> list[str]:
        """Which budgets of the design were exceeded, and by what."""
        found = []
        for figures in self.figures:
            if figures.name not in BUDGETS:
                continue
            cpu, modules = BUDGETS[figures.name]
            if figures.ratio("cpu") > cpu:
                found.append(f"{figures.name}: {figures.ratio('cpu'):.2f} x the CPU of a ping, budget {cpu}")
            if figures.modules > modules:
                found.append(f"{figures.name}: {figures.modules} modules executed on a host, budget {modules}")
        return found

    def write(self, page: Path) -> None:
        """Replace the table on its page; the page is made if it is not there."""
        told = f"Medians, {self.hosts} containers on {machine()}, {today()}; `make bench` on yours:"
        MarkedPage(PAGE, BEGIN, END).write(page, f"{told}\n\n{self.table()}")
