# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: drift_report
short_description: Report what a drift check found over all hosts of a play
version_added: 0.1.0
author:
  - netfleet.tcp contributors (@netfleet)
description:
  - Says it grouped by what is wrong, not by host, and writes reports for people and for CI.
  - Ends with failure (exit status 2) where a host drifted, and as unreachable (exit status 4) where one could not be
    asked or judged. To be run once, after M(netfleet.tcp.drift) on all hosts.
extends_documentation_fragment:
  - netfleet.tcp.attributes
  - netfleet.tcp.attributes.controller
  - netfleet.tcp.a_report
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
options:
  variable:
    description: The variable in which the results of M(netfleet.tcp.drift) are registered.
    type: str
    default: __tcp_tuning_drift
seealso:
  - module: netfleet.tcp.drift
"""

EXAMPLES = r"""
- name: Report
  netfleet.tcp.drift_report:
    directory: reports
    variable: drift
  run_once: true
"""

RETURN = r"""
verdict:
  description: V(in_step), V(drift) or V(not_asked).
  returned: success or drift
  type: str
reports:
  description: The files that were written.
  returned: success or drift
  type: list
  elements: str
"""
