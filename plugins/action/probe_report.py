# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Says how the hosts of the play reach each other, writes reports, and decides the exit status."""

from __future__ import annotations

from ansible_collections.netfleet.tcp.plugins.plugin_utils._health_action import (
    HealthReportAction,
    health_report_options,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_kinds import PROBE_CHECK


class ActionModule(HealthReportAction):
    """The report of a probe."""

    kind = PROBE_CHECK
    specification = health_report_options(PROBE_CHECK, "__tcp_probe")
