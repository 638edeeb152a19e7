# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of what became of the hosts: fault x step -> outcome."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.molecule.faults import BETWEEN, Ended

COLUMNS = ("kill", "late", "stop", "power", "full", "readonly")
MEANINGS = (
    "kill: SIGKILL before the step; late: right after it; stop: the process hangs there; power: the machine is reset",
    "before it; full, readonly: from it on no file can be written. old, new: what the host is then.",
)


@dataclass(frozen=True)
class OnTheRoad:
    """A whole run of the role that was broken: by what, in which moment, and what became of host and run."""

    fault: str
    moment: str
    host: str
    ended: Ended


@dataclass
class Board:
    """Collects outcomes, from any thread, and tells each at once."""

    tell: Callable[[str], None]
    steps: Sequence[str] = ()
    cells: dict[tuple[int, str], list[tuple[str, Ended]]] = field(default_factory=dict)
    road: list[OnTheRoad] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, host: str, fault: str, step: int, ended: Ended) -> None:
        """The outcome of a fault at a step."""
        with self._lock:
            self.cells.setdefault((step, fault), []).append((host, ended))
            what = self.steps[step - 1]
            self.tell(f"{host}: {fault} at step {step} ({what}): {ended.state}{_late(ended)}{_amiss(ended)}")

    def add_run(self, outcome: OnTheRoad) -> None:
        """The outcome of a run that was broken."""
        with self._lock:
            self.road.append(outcome)
            ended = outcome.ended
            said = f"{ended.state}{_late(ended)}{_amiss(ended)}"
            self.tell(f"{outcome.host}: {outcome.fault}, {outcome.moment}: {said}")

    def outcomes(self) -> list[Ended]:
        """All of them."""
        stepwise = [ended for cell in self.cells.values() for _host, ended in cell]
        return [*stepwise, *(each.ended for each in self.road)]

    def text(self) -> str:
        """The table."""
        lines = [*self._steps(), *self._road()]
        ends = self.outcomes()
        late = [ended.late for ended in ends if ended.late]
        between = sum(ended.state == BETWEEN for ended in ends)
        wrong = sum(bool(ended.wrong) for ended in ends)
        lines += [
            "",
            f"{len(ends)} changes broken; left between old and new: {between}; not put right by the next run: {wrong}",
            f"latest end of a change after its time was over: {max(late, default=0.0):.1f} s",
        ]
        return "\n".join(lines) + "\n"

    def _steps(self) -> list[str]:
        if not self.cells:
            return []
        width = max(len(what) for what in self.steps)
        lines = [*MEANINGS, "", f"{'step':{width + 4}}" + "".join(f"{name:>10}" for name in COLUMNS)]
        for number, what in enumerate(self.steps, 1):
            cells = [self._cell(number, fault) for fault in COLUMNS]
            lines.append(f"{number:2}  {what:{width}}" + "".join(f"{cell:>10}" for cell in cells))
        return lines

    def _cell(self, step: int, fault: str) -> str:
        states = dict.fromkeys(ended.state for _host, ended in self.cells.get((step, fault), ()))
        return "/".join(states) or "-"

    def _road(self) -> list[str]:
        if not self.road:
            return []
        rows = sorted((each.fault, each.moment, each.ended.state, each.ended.said) for each in self.road)
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = ["", "Whole runs of the role: fault, moment, outcome, and what the run said", ""]
        for row in rows:
            left = "  ".join(f"{text:{width}}" for text, width in zip(row, widths, strict=False))
            lines.append(f"{left}  {row[3]}")
        return lines


def _amiss(ended: Ended) -> str:
    """What is wrong, at once: the tests say it when all is over, which takes an hour."""
    return "".join(f"; {found}" for found in (ended.differs, ended.wrong) if found)


def _late(ended: Ended) -> str:
    return f", {ended.late:.1f} s after its time" if ended.late else ""
