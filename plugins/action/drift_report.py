# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Says what a drift check found over all hosts of the play, writes the reports, and decides the exit status."""

from __future__ import annotations

from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_action import ReportAction, report_options
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_kinds import DRIFT_CHECK

_SPECIFICATION = report_options(DRIFT_CHECK, "__tcp_tuning_drift")


class ActionModule(ReportAction):
    """The report of a drift check."""

    kind = DRIFT_CHECK
    specification = _SPECIFICATION
