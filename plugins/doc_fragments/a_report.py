# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the checks of a fleet have in common: how they report, and which findings are tolerated."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of reports, and of what comes before them."""

    DOCUMENTATION = r"""
options:
  threshold:
    description: The severity from which a finding counts.
    type: str
    choices: [note, warning, error]
    default: warning
  directory:
    description: Where reports are written on the controller; empty for none. Existing reports there are replaced.
    type: path
    default: ""
  formats:
    description: Which reports to write.
    type: list
    elements: str
    choices: [json, text, markdown, junit, sarif, html]
    default: [json, text, markdown, junit, sarif, html]
  compare:
    description: The JSON report of an earlier check of this kind, to say what is new, gone and still there.
    type: path
    default: ""
"""

    WAIVERS = r"""
options:
  waivers:
    description:
      - Findings to tolerate. Each entry has C(hosts) (a pattern as in C(-l)), C(key) (the key of the finding, with
        wildcards), C(reason) and C(expires) (the last day on which it counts), and may have a C(subject).
      - An expired waiver is a finding.
    type: raw
    default: []
"""
