# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Says how TCP does on all hosts of the play, by group and indicator, writes reports, and decides the exit status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from ansible_collections.netfleet.tcp.plugins.plugin_utils._health_measures import with_measures
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import Report
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_action import ReportAction, report_options
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_kinds import HEALTH_CHECK

_SPECIFICATION = {
    **report_options(HEALTH_CHECK, "__tcp_health"),
    "groups": {"type": "list", "elements": "str", "default": []},
}


class ActionModule(ReportAction):
    """The report of a look at TCP's health."""

    kind = HEALTH_CHECK
    specification = _SPECIFICATION

    def collected(self, answers: Mapping[str, Optional[Mapping[str, Any]]], arguments: Mapping[str, Any]) -> Report:
        """The report, with what was measured."""
        return with_measures(super().collected(answers, arguments), answers, arguments["groups"])
