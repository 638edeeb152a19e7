# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report as JSON (docs/schemas/), which a later check can be compared with. Pure."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.netfleet.tcp.plugins.plugin_utils import _report_groups as shared
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import Report, to_data

# What makes two findings of two reports the same one is kept whole: see _report.identity.
_WHOLE = ("host", "rule", "subject", "key", "name")


def render(report: Report) -> str:
    """The report as JSON, a line for each host and finding, so that reports can be compared by line too."""
    return _laid_out(_storable(to_data(report), "")) + "\n"


def _storable(value: Any, field: str) -> Any:
    if isinstance(value, str):
        return shared.encodable(value) if field in _WHOLE else shared.storable(value)
    if isinstance(value, dict):
        return {shared.encodable(key): _storable(item, key) for key, item in value.items()}
    return [_storable(item, field) for item in value] if isinstance(value, (list, tuple)) else value


def _laid_out(value: Any) -> str:
    """JSON with a line for each member of the report and each item of its lists."""
    if isinstance(value, dict) and any(isinstance(item, (dict, list)) and item for item in value.values()):
        members = ("%s: %s" % (json.dumps(key), _laid_out(item)) for key, item in value.items())
        return "{\n%s\n}" % ",\n".join(members)
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return "[\n%s\n]" % ",\n".join(json.dumps(item) for item in value)
    return json.dumps(value)
