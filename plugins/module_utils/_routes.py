# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes that decide the congestion control of what goes over them, whatever the sysctl says: ip's JSON read. Pure."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._model import Route
from ansible_collections.netfleet.tcp.plugins.module_utils._programs import IPROUTE2, printed_json


def parse_routes(text: str) -> Tuple[Route, ...]:
    """From the output of ``ip -j route show table all``: the routes with a congctl metric."""
    if '"congestion"' not in text:
        return ()
    entries: List[Dict[str, Any]] = printed_json(text, "ip -j route show", IPROUTE2)
    found = []
    for entry in entries:
        for metrics in entry.get("metrics") or ():
            if metrics.get("congestion"):
                found.append(
                    Route(
                        prefix=str(entry.get("dst", "default")),
                        device=_devices(entry),
                        congestion_control=str(metrics["congestion"]).split(" ", maxsplit=1)[0],
                        protocol=str(entry.get("protocol", "")),
                        table=str(entry.get("table", "main")),
                    )
                )
    return tuple(found)


def _devices(entry: Dict[str, Any]) -> str:
    """The interface of a route, or those of its next hops."""
    found = [each.get("dev") for each in (entry, *(entry.get("nexthops") or ())) if each.get("dev")]
    return ",".join(sorted({str(name) for name in found}))
