# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cases of tests/unit/fixtures/diagnose: what both ends said and captured while there was a known fault."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible_collections.netfleet.tcp.plugins.module_utils._diagnose_model import HostView
from ansible_collections.netfleet.tcp.plugins.module_utils._model import from_wire
from ansible_collections.netfleet.tcp.plugins.plugin_utils._capture_model import Packet
from ansible_collections.netfleet.tcp.plugins.plugin_utils._capture_streams import seen
from ansible_collections.netfleet.tcp.plugins.plugin_utils._diagnose_case import Case, Witness
from ansible_collections.netfleet.tcp.plugins.plugin_utils._tshark import FIELDS, parse

FOLDER = Path(__file__).resolve().parents[2] / "fixtures" / "diagnose"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
PORT = 5432
ADDRESSES = {"198.18.1.1": "left", "198.18.2.1": "right"}


def record(name: str) -> dict[str, Any]:
    """A record as it stands."""
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return found


def packets(lines: Sequence[str]) -> tuple[Packet, ...]:
    """From what tshark has printed, with the names of its fields first: later ones may be in another order."""
    names, *rows = [line.split("\t") for line in lines]
    values = [dict(zip(names, row, strict=False)) for row in rows]
    return tuple(parse(["\t".join(value.get(name, "") for name in FIELDS) for value in values]))


def witness(name: str, host: str) -> Witness:
    """One end."""
    found = record(name)[host]
    view = found["view"]
    view["capture"]["data"] = b""
    return Witness(host, from_wire(HostView, view), seen(packets(found["tshark"]), PORT))


def case(name: str, *hosts: str) -> Case:
    """A case, as these hosts have seen it; both, where none is named."""
    return Case([witness(name, host) for host in hosts or ("left", "right")], ADDRESSES)


def without_capture(name: str, *hosts: str) -> Case:
    """The same of hosts that could not capture."""
    return Case([replace(witness(name, host), seen=None) for host in hosts], ADDRESSES)
