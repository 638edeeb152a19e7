# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the Grafana dashboard of the role tcp_monitoring: `python -m tools.dashboard`; --check says if it is current.

What is on it stands in tools/dashboard_rows.py. The JSON is made by Grafana's own library (grafana-foundation-sdk), so
that it has the fields that Grafana knows, and no others.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    GraphTresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    DataTransformerConfig,
    GridPos,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from tools.dashboard_rows import GRAPH, ROWS, STAT, TABLE, VARIABLES, Panel
from tools.shared import ROOT, ToolError, finish

FILE = ROOT / "roles" / "tcp_monitoring" / "files" / "netfleet-tcp-dashboard.json"
TITLE, UID = "TCP", "netfleet-tcp"
WIDTH, ROW_HEIGHT = 24, 1
HEIGHTS = {STAT: 4, GRAPH: 8, TABLE: 8}
RED, ORANGE, GREEN = "red", "orange", "green"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")


def thresholds(panel: Panel) -> dashboard.ThresholdsConfig:
    """Green up to where a value is coloured; or red up to where it is enough."""
    steps = [(None, GREEN), (panel.warning, ORANGE), (panel.error, RED)]
    if panel.enough is not None:
        steps = [(None, RED), (panel.enough, GREEN)]
    found = [
        Threshold(value, colour) for number, (value, colour) in enumerate(steps) if not number or value is not None
    ]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(found)


def targets(panel: Panel) -> list[Any]:
    """The queries: of a graph over time, of the others now."""
    found = []
    for number, query in enumerate(panel.queries):
        target = prometheus.Dataquery().expr(query.expression).ref_id(chr(ord("A") + number)).datasource(SOURCE)
        target = target.legend_format(query.legend) if query.legend else target
        target = target.range() if panel.kind == GRAPH else target.instant()
        found.append(target.format(PromQueryFormat.TABLE) if panel.kind == TABLE else target)
    return found


def built(panel: Panel) -> Any:
    """Grafana's builder of a panel, without its place."""
    made: Any = {STAT: _stat, TABLE: _table, GRAPH: _graph}[panel.kind](panel)
    return made.unit(panel.unit).thresholds(thresholds(panel)).targets(targets(panel)).datasource(SOURCE)


def _stat(_panel: Panel) -> stat.Panel:
    return stat.Panel().reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))


def _table(panel: Panel) -> table.Panel:
    left_out = ("Time", "__name__", *panel.hidden, *(() if panel.value else ("Value",)))
    names = {"Value": panel.value} if panel.value else {}
    options = {"excludeByName": dict.fromkeys(left_out, True), "indexByName": {}, "renameByName": names}
    return table.Panel().with_transformation(DataTransformerConfig(id_val="organize", options=options))


def _graph(panel: Panel) -> timeseries.Panel:
    legend = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
    tooltip = common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING)
    made = timeseries.Panel().legend(legend.show_legend(True)).tooltip(tooltip)
    made = made.line_width(1).fill_opacity(30 if panel.stacked else 5).show_points(VisibilityMode.NEVER)
    if panel.stacked:
        made = made.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    elif panel.error is not None or panel.enough is not None:
        made = made.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphTresholdsStyleMode.LINE))
    # So much of the axis is seen where nothing fails.
    made = made.min(0) if panel.enough is None else made.axis_soft_min(1 - 5 * (1 - panel.enough))
    return made if panel.maximum is None else made.max(panel.maximum)


def placed(rows: dict[str, tuple[Panel, ...]]) -> Iterator[tuple[str | Panel, GridPos]]:
    """Each row and panel with its place, from left to right and from above to below."""
    across = down = tallest = 0
    for title, panels in rows.items():
        across, down = 0, down + tallest
        yield title, GridPos(h=ROW_HEIGHT, w=WIDTH, x=0, y=down)
        down, tallest = down + ROW_HEIGHT, 0
        for panel in panels:
            if across + panel.width > WIDTH:
                across, down, tallest = 0, down + tallest, 0
            yield panel, GridPos(h=HEIGHTS[panel.kind], w=panel.width, x=across, y=down)
            across, tallest = across + panel.width, max(tallest, HEIGHTS[panel.kind])


def build() -> dict[str, Any]:
    """The dashboard as plain JSON data."""
    made = dashboard.Dashboard(TITLE).uid(UID).tags(["netfleet", "tcp"]).refresh("1m").time("now-6h", "now").editable()
    made = made.description("How TCP does on a fleet, a group, a host, and by service. Made by tools/dashboard.py.")
    made = made.with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    for name, label, query in VARIABLES:
        variable = dashboard.QueryVariable(name).label(label).query({"query": query, "refId": name}).datasource(SOURCE)
        variable = variable.multi(True).include_all(True).sort(VariableSort.ALPHABETICAL_ASC)
        made = made.with_variable(variable.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED))
    for number, (what, place) in enumerate(placed(ROWS), start=1):
        if isinstance(what, str):
            made = made.with_row(dashboard.Row(what).id(number).grid_pos(place))
        else:
            made = made.with_panel(
                built(what).id(number).title(what.title).description(what.description).grid_pos(place)
            )
    data: dict[str, Any] = json.loads(json.dumps(made.build(), cls=JSONEncoder))
    return data


def render() -> str:
    """The text of the file."""
    return json.dumps(build(), indent=1, sort_keys=True) + "\n"


def main(arguments: Sequence[str] = tuple(sys.argv[1:])) -> int:
    """Write the file, or with --check compare it."""
    text = render()
    if "--check" in arguments:
        if not FILE.exists() or FILE.read_text(encoding="utf-8") != text:
            raise ToolError(f"{FILE}: is not current: run `python -m tools.dashboard`")
        return 0
    FILE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    finish(main)
