# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tcp_gate
short_description: Decide whether the hosts of a wave keep their change
version_added: 0.1.0
author:
  - netfleet.tcp contributors (@netfleet)
description:
  - Compares what the TCP of changed hosts did before their change with what it does since, and with hosts that were not
    changed in the same minutes. A measure is worse where it rose further than on those, and further than its limit.
  - The measures are retransmitted segments, SYN retransmits, listen drops, connections that failed to establish, new
    connections for each second, and the RTT.
  - Runs once for each wave; the file C(wave.yml) of the role P(netfleet.tcp.tcp_tuning#role) uses it.
extends_documentation_fragment:
  - netfleet.tcp.attributes
  - netfleet.tcp.attributes.controller
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
options:
  step:
    description: V(before) says which wave this is, and waits until there is a before to compare with. V(wait) waits for
      traffic since the change. V(judge) decides. V(after) says, when all waves are over, whether one had failed.
    type: str
    choices: [before, wait, judge, after]
    required: true
  hosts:
    description: The hosts of the wave.
    type: list
    elements: str
    default: []
  failed_hosts:
    description: Those of them that could not be changed.
    type: list
    elements: str
    default: []
  settings:
    description: What V(before) returned as RV(settings).
    type: dict
    default: {}
  until:
    description: Seconds since the epoch at which the confirmation has to begin.
    type: float
    default: 0
  read:
    description: Results of M(netfleet.tcp.tcp_counters) on changed hosts.
    type: list
    elements: dict
    default: []
  others_before:
    description: The same of hosts not changed, when the wave began.
    type: list
    elements: dict
    default: []
  others_after:
    description: The same, now.
    type: list
    elements: dict
    default: []
  earlier:
    description: The outcome of an earlier look at this wave; what is worse for the first time is looked at once more.
    type: str
    default: ""
  broken:
    description: Why V(wait) came to no end.
    type: str
    default: ""
seealso:
  - module: netfleet.tcp.tcp_counters
  - module: netfleet.tcp.tcp_change
"""

EXAMPLES = r"""
- name: Begin the wave
  netfleet.tcp.tcp_gate:
    step: before
  run_once: true
  register: wave
"""

RETURN = r"""
wave:
  description: C(number) of this wave C(of) so many, its C(hosts), C(seconds) to watch, C(others) to compare with, of
    which an earlier wave has read those in C(known), and nobody those in C(unread).
  returned: by O(step=before)
  type: dict
stopped:
  description: Whether nothing further is to begin, since too much of a wave has failed.
  returned: by O(step=before) and O(step=after)
  type: bool
settings:
  description: How the run goes over the fleet.
  returned: by O(step=before)
  type: dict
sample:
  description: Which changed hosts to read.
  returned: by O(step=wait)
  type: list
  elements: str
until:
  description: Seconds since the epoch at which the confirmation has to begin.
  returned: by O(step=wait)
  type: float
outcome:
  description: V(fine), V(worse), or V(too_little) traffic to judge by.
  returned: by O(step=judge)
  type: str
not_kept:
  description: Why the wave is to be taken back; empty where it is kept.
  returned: by O(step=judge)
  type: str
again:
  description: Whether to wait once more.
  returned: by O(step=judge)
  type: bool
rows:
  description: Each measure with C(title), C(before), C(after), C(others), C(allowed) and how it was C(judged).
  returned: by O(step=judge)
  type: list
  elements: dict
"""
