# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: diagnose_report
short_description: Say why a connection is slow, from what both ends have seen
version_added: 0.1.0
author:
  - netfleet.tcp contributors (@netfleet)
description:
  - Reads the captures by C(tshark), compares what one end sent with what the other received, and says what is wrong,
    where, and what to do.
  - Puts all of it into one archive for its owner alone - the captures, what the hosts said, a summary, and the same as
    data (C(diagnosis.json)).
  - Ends with failure (exit status 2) where something was found, and as unreachable (exit status 4) where a host could
    not be asked. To be run once, after M(netfleet.tcp.diagnose) on all hosts.
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
  archive:
    description: A folder on the controller, made with mode 0700, for the archive.
    type: path
    default: diagnoses
  variable:
    description: The variable in which the results of M(netfleet.tcp.diagnose) are registered.
    type: str
    default: __tcp_diagnose
requirements:
  - C(tshark) on the controller, for what captures show
seealso:
  - module: netfleet.tcp.diagnose
"""

EXAMPLES = r"""
- name: Report
  netfleet.tcp.diagnose_report:
    archive: ~/diagnoses
  run_once: true
"""

RETURN = r"""
verdict:
  description: V(nothing_found), V(found) or V(not_asked).
  returned: success or something found
  type: str
reports:
  description: The files that were written.
  returned: success or something found
  type: list
  elements: str
archive:
  description: The archive.
  returned: success or something found
  type: str
"""
