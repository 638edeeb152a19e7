# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make scale` measured: its tables, the rule that it must keep, and its page in docs/."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.page import MarkedPage, machine, markdown, today
from tools.scale_measure import Usage
from tools.shared import ToolError

BOUND = 1.3
# What must not grow beside a ping's: attribute of Usage, and what it is called.
WATCHED = {"cpu": "CPU", "main": "memory of the main process", "fork": "memory of a worker"}
BEGIN = "<!-- scale: begin (written by `make scale`) -->"
END = "<!-- scale: end -->"
PAGE = f"""# Many hosts

`make scale` (as root) answers one question: does a host cost the controller more because there are many others? It
starts 10, then 100, then 300 light hosts on this machine, half of them in the group `local` and half in `cloud`, tunes
them, and measures on them in turn a ping, `tune.yml` where nothing is left to change, and `drift.yml`. Each run is
compared with a ping just before it.

{BEGIN}
{END}

**The rule.** For each run, CPU and memory are divided by those of the ping over the same hosts. What comes out for the
most hosts may be at most {BOUND} times what comes out for the fewest; `make scale` ends with exit status 1 otherwise.
The ping is Ansible's own share, which grows as Ansible makes it grow.

**How to read the first table.** CPU s a host is controller and hosts together, since both are one machine here;
controller is Ansible alone, without what it started in the hosts. Main is the peak of Ansible's main process in
resident memory, worker that of the largest of its workers (20, `forks` in ansible.cfg), most of which it shares with
the main process. Together is the most that all of them took at one time, shared pages counted once; it is sampled, and
says more about how many workers were alive at once than about us. CPU seconds and resident memory bear a busy machine,
wall time does not.

**What a light host is.** A process in user, mount, network, UTS and process namespaces of its own, with
`/proc/sys/net`, an interface and a routing table of its own. Its root is a tmpfs in which the machine's `/usr` stands
read-only, so that it keeps its own `/etc/sysctl.d`, `/etc/modules-load.d`, `/etc/systemd/system`, `/run` and
`/var/lib/netfleet-tcp`, and nothing of it outlives it. Ansible enters it with `nsenter`
(`tools/ansible_plugins/connection/namespace.py`).

**What these figures do not say.** All hosts share one kernel; none of them boots, none has systemd, none is reached by
ssh, and there is no network between them and the controller. What cannot be had in a namespace (global sysctls,
modules) is declared all the same and warned of. Costs with ssh and systemd are in [bench.md](bench.md).
"""


@dataclass(frozen=True)
class Pair:
    """A run over the whole fleet, and the ping just before it."""

    usage: Usage
    ping: Usage


@dataclass(frozen=True)
class Series:
    """The repetitions of one kind of run over one number of hosts."""

    name: str
    hosts: int
    pairs: Sequence[Pair]

    def median(self, what: str) -> float:
        """Median of what the runs used: wall, cpu, controller, hosts (seconds), main, fork, whole (bytes)."""
        return statistics.median(getattr(pair.usage, what) for pair in self.pairs)

    def ratio(self, what: str) -> float:
        """Median of that relative to the ping beside it."""
        return statistics.median(getattr(pair.usage, what) / getattr(pair.ping, what) for pair in self.pairs)


class Report:
    """All series, the pings' among them."""

    HEAD = (
        "run",
        "hosts",
        "repeated",
        "wall s",
        "CPU s a host",
        "of it controller",
        "CPU x ping",
        "main MiB",
        "x ping",
        "worker MiB",
        "together MiB",
    )

    def __init__(self, series: Sequence[Series], ping: str) -> None:
        """`ping` is the name of the series that the others are compared with."""
        self.series = series
        self.ping = ping
        self.names = list(dict.fromkeys(one.name for one in series))
        self.sizes = sorted({one.hosts for one in series})
        self._by_key = {(one.name, one.hosts): one for one in series}
        lacking = [
            f"{name} over {size} hosts"
            for name in self.names
            for size in self.sizes
            if (name, size) not in self._by_key or not self._by_key[name, size].pairs
        ]
        if ping not in self.names or lacking:
            raise ToolError(f"nothing was measured for {', '.join(lacking) or ping}; run `make scale` again")

    def table(self) -> str:
        """What each run costs over each number of hosts."""
        rows = []
        for name in self.names:
            for size in self.sizes:
                one = self._by_key[name, size]
                rows.append(
                    (
                        name,
                        str(size),
                        str(len(one.pairs)),
                        f"{one.median('wall'):.1f}",
                        f"{one.median('cpu') / size:.3f}",
                        f"{one.median('controller') / size:.3f}",
                        f"{one.ratio('cpu'):.2f}",
                        f"{one.median('main') / 2**20:.1f}",
                        f"{one.ratio('main'):.2f}",
                        f"{one.median('fork') / 2**20:.1f}",
                        f"{one.median('whole') / 2**20:.0f}",
                    )
                )
        return markdown(self.HEAD, rows)

    def growth(self, name: str, what: str) -> float:
        """How a run's cost relative to a ping has grown from the fewest hosts to the most; 1: not at all."""
        few, many = (self._by_key[name, size].ratio(what) for size in (self.sizes[0], self.sizes[-1]))
        return many / few

    def watched(self) -> list[tuple[str, str, float]]:
        """Run, what of it, and its growth, for everything that the rule is about."""
        return [(name, what, self.growth(name, what)) for name in self.names if name != self.ping for what in WATCHED]

    def growth_table(self) -> str:
        """The rule's figures."""
        few, many = self.sizes[0], self.sizes[-1]
        rows = []
        for name, what, growth in self.watched():
            ratios = [f"{self._by_key[name, size].ratio(what):.2f}" for size in (few, many)]
            rows.append((name, WATCHED[what], *ratios, f"{growth:.2f}", "kept" if growth <= BOUND else "BROKEN"))
        head = ("run", "what", f"x ping at {few}", f"x ping at {many}", "growth", f"at most {BOUND}")
        return markdown(head, rows, left=2)

    def further_table(self) -> str:
        """What a further host adds to the main process, over few hosts and over many."""
        steps = list(zip(self.sizes, self.sizes[1:], strict=False))
        rows = []
        for name in self.names:
            mains = [self._by_key[name, size].median("main") for size in self.sizes]
            added = [
                (second - first) / 1024 / (more - fewer)
                for (fewer, more), first, second in zip(steps, mains, mains[1:], strict=False)
            ]
            rows.append((name, *(f"{value:.0f}" for value in added)))
        return markdown(("run", *(f"KiB a host, {fewer} to {more}" for fewer, more in steps)), rows)

    def exceeded(self) -> list[str]:
        """Where the rule is broken, in words."""
        few, many = self.sizes[0], self.sizes[-1]
        return [
            f"{name}: {WATCHED[what]} beside a ping's is {growth:.2f} times as large over {many} hosts as over {few}, "
            f"at most {BOUND} is allowed"
            for name, what, growth in self.watched()
            if growth > BOUND
        ]

    def text(self) -> str:
        """All tables."""
        parts = [self.table(), "Growth beside a ping (the rule):", self.growth_table()]
        if len(self.sizes) > 1:
            parts += ["What a further host adds to the main process:", self.further_table()]
        return "\n\n".join(parts)

    def write(self, page: Path) -> None:
        """Replace the tables on their page; the page is made if it is not there."""
        told = f"Medians, {machine()}, {today()}; `make scale` on yours:"
        MarkedPage(PAGE, BEGIN, END, "the tables go").write(page, f"{told}\n\n{self.text()}")
