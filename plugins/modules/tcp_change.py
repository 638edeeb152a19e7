# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tcp_change
short_description: The steps of a tuning change, as tasks of their own
version_added: 0.1.0
author:
  - netfleet.tcp contributors (@netfleet)
description:
  - Does what M(netfleet.tcp.tcp_tuning) does in one task, in three - V(look) at a host and plan, V(make) the change in
    the running kernel with its revert armed, V(end) it one way or the other over a new connection - so that a health
    gate can stand between the change and its confirmation.
  - The files C(look.yml) and C(wave.yml) of the role P(netfleet.tcp.tcp_tuning#role) use it;
    the playbook C(netfleet.tcp.tune) is what you want to run.
extends_documentation_fragment:
  - netfleet.tcp.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  action:
    description: The composing and planning run on the controller.
    support: full
options:
  step:
    description: Which step.
    type: str
    choices: [look, make, end]
    required: true
  declaration:
    description: The options of M(netfleet.tcp.tcp_tuning).
    type: dict
    required: true
  settings:
    description:
      - How the run goes over the fleet. The role's variables C(tcp_tuning_waves), C(tcp_tuning_max_failed) and
        C(tcp_tuning_gate_*) without their prefix. For O(step=look).
    type: dict
    default: {}
  planned:
    description: What O(step=look) returned as RV(to_change). For O(step=make).
    type: dict
    default: {}
  made:
    description: The result of O(step=make). For O(step=end).
    type: dict
    default: {}
  not_kept:
    description: Why the change is taken back; empty to make it final. For O(step=end).
    type: str
    default: ""
  reached:
    description:
      - Hosts to which the play has a connection that was made since their change, and has served.
      - For O(step=end), which needs no other for these.
    type: list
    elements: str
    default: []
  run:
    description: What all hosts of the run have in common, so that they can be rolled back together.
    type: str
    default: ""
seealso:
  - module: netfleet.tcp.tcp_tuning
  - module: netfleet.tcp.tcp_waves
  - module: netfleet.tcp.tcp_gate
"""

EXAMPLES = r"""
- name: Look, and plan
  netfleet.tcp.tcp_change:
    step: look
    declaration:
      profile: cloud
  register: look
"""

RETURN = r"""
to_change:
  description: What the later steps need to know - C(desired), C(settings), C(window), C(profile), C(groups).
  returned: by O(step=look), where something has to change
  type: dict
change:
  description: The change, with C(id), C(outcome) and C(why).
  returned: by O(step=make), where it waits to be confirmed, and by O(step=end)
  type: dict
counters:
  description: What the host's TCP has counted, as RV(netfleet.tcp.tcp_counters#module:counters).
  returned: by O(step=look) and O(step=make), where a health gate will ask for it
  type: dict
"""
