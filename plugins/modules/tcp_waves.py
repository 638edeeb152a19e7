# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tcp_waves
short_description: Plan the waves in which the hosts of a play are changed
version_added: 0.1.0
author:
  - netfleet.tcp contributors (@netfleet)
description:
  - From what M(netfleet.tcp.tcp_change) with C(step=look) registered as C(__tcp_tuning_look) on the play's hosts, makes
    the order of those that have to change, spread over profiles and groups, and the size of each wave.
  - Runs once, after all hosts were looked at. The schedule is the fact C(netfleet_tcp_waves); delegate it to localhost
    with its facts, since the play that changes hosts reads it there.
  - A wave is never larger than what can be changed, watched and confirmed before its first host takes the change back,
    with as many forks as the run has.
extends_documentation_fragment:
  - netfleet.tcp.attributes
  - netfleet.tcp.attributes.controller
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
seealso:
  - module: netfleet.tcp.tcp_change
"""

EXAMPLES = r"""
- name: Plan the waves
  netfleet.tcp.tcp_waves:
  run_once: true
  delegate_to: localhost
  delegate_facts: true
"""

RETURN = r"""
ansible_facts:
  description: What the tasks of later plays go by.
  returned: success
  type: dict
  contains:
    netfleet_tcp_waves:
      description: The C(hosts) in their order (none in check mode), the C(sizes) of the waves, the C(waves) themselves,
        hosts that stay C(unchanged), hosts that declare WireGuard links (C(linked)), and C(run), which all changes of
        the run are known by.
      returned: success
      type: dict
"""
