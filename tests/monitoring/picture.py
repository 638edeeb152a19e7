# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the picture of docs/monitoring.md anew: `python -m tests.monitoring.picture PATH`.

What Grafana would show, without Grafana: the queries of the dashboard's own panels, asked of a real Prometheus that has
watched two hosts for some minutes, drawn in the dashboard's order and places by Matplotlib. One of the hosts talks to
itself until it has no ports left, somebody changes a key, and in the end packets are lost. PYTHONPATH must name
.cache/collections, as it does for pytest.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.monitoring.hosts import ADDRESS, PEER, SHORT, Hosts
from tests.monitoring.promtool import FILES

DASHBOARD = FILES / "netfleet-tcp-dashboard.json"
VARIABLES: dict[str, Any] = {"tcp_health_peers": {"local": ["192.0.2.0/24"]}, "tcp_monitoring_interval": 15}
SECONDS = 40  # of each part of the story
# Pixels a cell of the grid, and of the whole.
CELL_WIDTH, CELL_HEIGHT, WIDTH, DOTS = 62.0, 34.0, 24, 100
INK, PAPER, PANEL, FAINT = "#d8d9da", "#111217", "#181b1f", "#2c3235"
COLOURS = ["#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#b877d9", "#5794f2", "#96d98d", "#ffb357", "#c0d8ff"]
BY_NAME = {"green": "#73bf69", "orange": "#ff9830", "red": "#f2495c"}
LETTERS_OF_A_CELL = 26


def story(hosts: Hosts, begun: Callable[[], None]) -> None:
    """What happens on the two hosts, from a quiet beginning on."""
    for peer in (False, True):
        hosts.playbook("playbooks/monitoring.yml", peer=peer, **VARIABLES)
    play = hosts.folder / "declare.yml"
    play.write_text(
        "- hosts: all\n  gather_facts: false\n  tasks:\n"
        "    - netfleet.tcp.sysctl_file:\n        name: 80-keepalive\n        boot_conflict: warn\n"
        "        values: {net.ipv4.tcp_keepalive_time: 120, net.ipv4.tcp_fin_timeout: 30}\n"
    )
    hosts.playbook(str(play))
    for peer in (False, True):
        hosts.traffic("serve", peer=peer)
    time.sleep(0.5)
    for words, peer in (
        (("send", PEER, "10", "50"), False),
        (("send", ADDRESS, "6", "20"), True),
        (("connect", PEER, str(SHORT), "20"), False),
        (("connect", ADDRESS, str(SHORT), "8"), True),
    ):
        hosts.traffic(*words, peer=peer)
    hosts.start_prometheus(2)
    passed(hosts, 15)
    begun()
    passed(hosts)
    hosts.run("sysctl", "-w", "net.ipv4.ip_local_port_range=40000 41999", "net.ipv4.tcp_tw_reuse=0")
    short = hosts.traffic("connect", "127.0.0.1", str(SHORT), "60")
    passed(hosts)
    hosts.end(short)
    passed(hosts, SECONDS / 2)
    hosts.run("sysctl", "-w", "net.ipv4.tcp_fin_timeout=60")
    passed(hosts, SECONDS / 2)
    hosts.lose(3)
    passed(hosts)


def passed(hosts: Hosts, seconds: float = SECONDS) -> None:
    """Let time go by, in which both hosts look at themselves."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        hosts.export()
        hosts.export(peer=True)
        time.sleep(0.7)


def asked(expression: str) -> str:
    """A query with all that there is chosen."""
    return re.sub(r"\$\w+", ".*", expression)


def called(legend: str, labels: dict[str, str]) -> str:
    """A series by its legend."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), legend)


def written(value: float, unit: str) -> str:
    """A value in a unit of Grafana's."""
    if unit == "percentunit":
        return f"{100 * value:.4g} %"
    if unit == "s":
        scale, name = (1e6, "µs") if value < 1e-3 else (1e3, "ms") if value < 1 else (1, "s")
        return f"{value * scale:.3g} {name}"
    return f"{value:.3g}" + (" /s" if unit == "cps" else "")


class Canvas:
    """The picture: panels in the cells of the dashboard's grid."""

    def __init__(self, rows: int, begin: float, end: float) -> None:
        mpl.rcParams.update({"font.size": 7, "font.family": "DejaVu Sans", "text.color": INK, "axes.labelcolor": INK})
        size = (WIDTH * CELL_WIDTH / DOTS, rows * CELL_HEIGHT / DOTS)
        self.figure = Figure(figsize=size, dpi=DOTS, facecolor=PAPER)
        self.rows, self.begin, self.end = rows, begin, end

    def axes(self, place: dict[str, int], margins: tuple[float, float, float, float]) -> Axes:
        """An area within a panel's cells. margins: left, right, above, below, in pixels."""
        left, right, above, below = margins
        width, height = WIDTH * CELL_WIDTH, self.rows * CELL_HEIGHT
        x, y = place["x"] * CELL_WIDTH, height - (place["y"] + place["h"]) * CELL_HEIGHT
        box = (x + left, y + below, place["w"] * CELL_WIDTH - left - right, place["h"] * CELL_HEIGHT - above - below)
        made = self.figure.add_axes((box[0] / width, box[1] / height, box[2] / width, box[3] / height))
        made.set_facecolor(PANEL)
        made.tick_params(colors=INK, length=0, labelsize=6)
        for spine in made.spines.values():
            spine.set_color(FAINT)
        return made

    def frame(self, panel: dict[str, Any]) -> None:
        """The panel's ground, and its title."""
        ground = self.axes(panel["gridPos"], (4, 4, 4, 4))
        ground.set(xticks=[], yticks=[])
        height = panel["gridPos"]["h"] * CELL_HEIGHT - 8
        ground.text(0.015, 1 - 14 / height, panel["title"], transform=ground.transAxes, weight="bold", fontsize=8)

    def row(self, panel: dict[str, Any]) -> None:
        """The title of a row."""
        line = self.axes(panel["gridPos"], (4, 4, 2, 2))
        line.set(xticks=[], yticks=[], facecolor=PAPER)
        line.set_frame_on(False)
        line.text(0, 0.3, panel["title"], fontsize=11, weight="bold")

    def stat(self, panel: dict[str, Any], value: float) -> None:
        """A number, in the colour of its threshold."""
        self.frame(panel)
        area = self.axes(panel["gridPos"], (8, 8, 30, 8))
        area.set(xticks=[], yticks=[])
        area.set_frame_on(False)
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        colour = next(step["color"] for step in reversed(steps) if step["value"] is None or value >= step["value"])
        area.text(0.5, 0.4, f"{value:g}", ha="center", va="center", fontsize=26, color=BY_NAME[colour], weight="bold")

    def graph(self, panel: dict[str, Any], series: list[tuple[str, list[float], list[float]]]) -> None:
        """Lines, or areas on top of each other."""
        self.frame(panel)
        defaults = panel["fieldConfig"]["defaults"]
        area = self.axes(panel["gridPos"], (58, 12, 32, 74))
        area.grid(color=FAINT, linewidth=0.5)
        shown = series[: len(COLOURS)]
        if "stacking" in defaults.get("custom", {}) and shown:
            times = sorted({moment for _name, moments, _values in shown for moment in moments})
            layers = [
                [dict(zip(moments, values, strict=True)).get(each, 0.0) for each in times]
                for _n, moments, values in shown
            ]
            area.stackplot(times, layers, colors=COLOURS, labels=[name for name, _m, _v in shown], alpha=0.6)
        else:
            for (name, moments, values), colour in zip(shown, COLOURS, strict=False):
                area.plot(moments, values, color=colour, linewidth=1.2, label=name)
        if "thresholdsStyle" in defaults.get("custom", {}):
            for step in defaults["thresholds"]["steps"][1:]:
                area.axhline(step["value"], color=BY_NAME[step["color"]], linewidth=0.8, linestyle="--")
        area.set_xlim(self.begin, self.end)
        if "min" in defaults:
            area.set_ylim(bottom=defaults["min"])
        elif shown:
            least = min(value for _name, _moments, values in shown for value in values)
            area.set_ylim(bottom=min(least, defaults["custom"]["axisSoftMin"]))
        if "max" in defaults:
            # A line on the axis' end is to be seen.
            bottom, top = area.get_ylim()
            area.set_ylim(top=min(top, defaults["max"] + (defaults["max"] - bottom) / 50))
        area.xaxis.set_major_locator(ticker.MultipleLocator(30, self.begin % 30))
        area.xaxis.set_major_formatter(
            lambda moment, _at: f"{(moment - self.begin) // 60:.0f}:{(moment - self.begin) % 60:02.0f}"
        )
        area.yaxis.set_major_locator(ticker.MaxNLocator(5))
        area.yaxis.set_major_formatter(lambda value, _at: written(value, defaults["unit"]))
        if shown:
            area.legend(
                loc="upper left", bbox_to_anchor=(-0.08, -0.11), ncols=3, fontsize=6, frameon=False, labelcolor=INK
            )
        else:
            area.text(0.5, 0.5, "no data", transform=area.transAxes, ha="center", color=INK)

    def table(self, panel: dict[str, Any], rows: list[tuple[dict[str, str], float]]) -> None:
        """Labels as columns, and the value where the panel keeps it."""
        self.frame(panel)
        area = self.axes(panel["gridPos"], (12, 12, 34, 8))
        area.set(xticks=[], yticks=[])
        area.set_frame_on(False)
        options = panel["transformations"][0]["options"]
        columns = sorted({name for labels, _value in rows for name in labels if name not in options["excludeByName"]})
        texts = [[labels.get(name, "")[:LETTERS_OF_A_CELL] for name in columns] for labels, _value in rows]
        if "Value" not in options["excludeByName"]:
            columns.append(options["renameByName"]["Value"])
            texts = [[*line, f"{value:.3g}"] for line, (_labels, value) in zip(texts, rows, strict=True)]
        if not rows:
            area.text(0.5, 0.5, "no data", transform=area.transAxes, ha="center", color=INK)
            return
        drawn = area.table(texts[:9], colLabels=columns, loc="upper center", cellLoc="left", edges="horizontal")
        drawn.auto_set_font_size(False)
        drawn.set_fontsize(6.5)
        drawn.auto_set_column_width(list(range(len(columns))))
        for cell in drawn.get_celld().values():
            cell.set_edgecolor(FAINT)


def draw(hosts: Hosts, begin: float, end: float) -> Figure:
    """All panels, by what Prometheus has seen."""
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    canvas = Canvas(rows, begin, end)
    for panel in panels:
        if panel["type"] == "row":
            canvas.row(panel)
        elif panel["type"] == "timeseries":
            canvas.graph(
                panel, [entry for target in panel["targets"] for entry in over_time(hosts, target, begin, end)]
            )
        else:
            answer = hosts.ask("query", query=asked(panel["targets"][0]["expr"]), time=str(end))["result"]
            found = [(entry["metric"], float(entry["value"][1])) for entry in answer]
            if panel["type"] == "stat":
                canvas.stat(panel, found[0][1])
            else:
                canvas.table(panel, sorted(found, key=lambda row: (-row[1], sorted(row[0].items()))))
    return canvas.figure


def over_time(
    hosts: Hosts, target: dict[str, Any], begin: float, end: float
) -> list[tuple[str, list[float], list[float]]]:
    """The series of a query, by their legends."""
    given = {"query": asked(target["expr"]), "start": str(begin), "end": str(end), "step": "1"}
    return [
        (
            called(target.get("legendFormat", ""), entry["metric"]),
            [float(moment) for moment, _value in entry["values"]],
            [float(value) for _moment, value in entry["values"]],
        )
        for entry in hosts.ask("query_range", **given)["result"]
    ]


def main() -> int:
    """Write the picture to the path that the command line names."""
    begun: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        hosts = Hosts(Path(folder))
        try:
            story(hosts, lambda: begun.append(time.time()))
            figure = draw(hosts, begun[0], time.time())
        finally:
            hosts.close()
    figure.savefig(sys.argv[1], metadata={"Software": None})
    return 0


if __name__ == "__main__":
    sys.exit(main())
