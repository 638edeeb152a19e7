# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: health_report
short_description: Report how TCP does on all hosts of a play
version_added: 0.1.0
author:
  - netfleet.tcp contributors (@netfleet)
description:
  - Says one line for each indicator and group, then what is outside its target, grouped by what is wrong, and writes
    reports for people and for CI.
  - A group is judged by what all its hosts have counted together.
  - Ends with failure (exit status 2) where a host or a group is outside its targets, and as unreachable (exit status 4)
    where a host could not be asked or judged. To be run once, after M(netfleet.tcp.health) on all hosts.
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
  groups:
    description: Groups of the inventory that have lines of their own, beside the profiles.
    type: list
    elements: str
    default: []
  variable:
    description: The variable in which the results of M(netfleet.tcp.health) are registered.
    type: str
    default: __tcp_health
seealso:
  - module: netfleet.tcp.health
"""

EXAMPLES = r"""
- name: Report
  netfleet.tcp.health_report:
    directory: reports
    groups: [databases]
  run_once: true
"""

RETURN = r"""
verdict:
  description: V(within), V(outside) or V(not_asked).
  returned: success or something outside
  type: str
reports:
  description: The files that were written.
  returned: success or something outside
  type: list
  elements: str
"""
