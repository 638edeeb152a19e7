#!/usr/bin/python
# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host's TCP has counted, and the RTT of its connections."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tcp_counters
short_description: Read what a host's TCP has counted, and the RTT of its connections
version_added: 0.1.0
author:
  - netfleet.tcp contributors (@netfleet)
description:
  - Reads C(/proc/net/snmp), C(/proc/net/netstat) and the kernel's list of connections, by the standard library alone.
  - Two readings make the measures of a health gate; see M(netfleet.tcp.tcp_gate).
extends_documentation_fragment:
  - netfleet.tcp.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  action:
    description: An action plugin of the same name makes the new connection of O(fresh).
    support: full
options:
  fresh:
    description:
      - Whether to close the connection, and the one that it shares, and to make a new one. A host that cannot be
        reached is then asked again for some seconds; it does not fail, RV(lost) says why.
    type: bool
    default: false
  until:
    description:
      - Seconds since the epoch, on the controller, from which on the host is not asked any more; V(0) for none.
      - A host that was not asked at all gives neither RV(counters) nor RV(lost).
    type: float
    default: 0
seealso:
  - module: netfleet.tcp.tcp_gate
"""

EXAMPLES = r"""
- name: Read the counters
  netfleet.tcp.tcp_counters:
  register: counters
"""

RETURN = r"""
counters:
  description: Counts since the host's boot - C(segments) of data sent for the first time, C(retransmitted) segments
    without SYNs, C(syn_retransmitted), connections C(opened), C(accepted), C(failed) to establish and C(dropped) by
    listeners; C(rtt), the median smoothed RTT in microseconds of the C(connections) that were not idle and not to the
    host itself; C(uptime) in seconds.
  returned: success
  type: dict
lost:
  description: Why the host could not be asked.
  returned: where it could not be reached
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netfleet.tcp.plugins.module_utils._counters import read_counters
from ansible_collections.netfleet.tcp.plugins.module_utils._exit import run_module
from ansible_collections.netfleet.tcp.plugins.module_utils._model import to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._system import LinuxSystem


def main() -> None:
    """Specification, read, exit."""
    # fresh and until are the action plugin's, which keeps them to itself.
    module = AnsibleModule(
        argument_spec=dict(fresh=dict(type="bool", default=False), until=dict(type="float", default=0)),
        supports_check_mode=True,
    )
    run_module(module, lambda: {"changed": False, "counters": to_wire(read_counters(LinuxSystem()))})


if __name__ == "__main__":
    main()
