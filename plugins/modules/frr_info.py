#!/usr/bin/python
# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The sessions of FRR's BGP, and whether BFD finds their links alive."""

from __future__ import annotations

DOCUMENTATION = r"""
module: frr_info
short_description: The BGP sessions of a host, and whether BFD finds their links alive
version_added: 0.1.0
author:
  - netfleet.tcp contributors (@netfleet)
description:
  - Reads what FRR says of its sessions. Changes nothing.
  - Those of O(neighbors) that are not up are named in RV(down), and each is a warning.
extends_documentation_fragment:
  - netfleet.tcp.attributes
  - netfleet.tcp.attributes.facts
options:
  neighbors:
    description: The sessions that shall be up.
    type: list
    elements: dict
    default: []
    suboptions:
      address:
        description: The neighbor's address.
        type: str
        required: true
      name:
        description: What it is called in warnings.
        type: str
        default: ""
  wait:
    description: Seconds to wait for them.
    type: float
    default: 0
requirements:
  - FRR 8 or later on the host
seealso:
  - module: netfleet.tcp.frr_config
  - module: netfleet.tcp.wireguard_info
"""

EXAMPLES = r"""
- name: Look at the sessions
  netfleet.tcp.frr_info:
  register: routing

- name: Name those whose link is dead
  ansible.builtin.debug:
    msg: "{{ routing.sessions | rejectattr('up') | map(attribute='description') }}"
"""

RETURN = r"""
sessions:
  description: Each with C(neighbor), C(description), C(as_number), C(state) (BGP's), C(bfd) (BFD's; empty where it does
    not run), C(prefixes) (how many were taken), and C(up).
  returned: success
  type: list
  elements: dict
down:
  description: The names, or addresses, of those of O(neighbors) that are not up.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netfleet.tcp.plugins.module_utils._exit import run_module
from ansible_collections.netfleet.tcp.plugins.module_utils._frr import RoutingSession
from ansible_collections.netfleet.tcp.plugins.module_utils._frr_sessions import await_sessions
from ansible_collections.netfleet.tcp.plugins.module_utils._model import to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._system import LinuxSystem


def main() -> None:
    """Specification, look, exit."""
    neighbor = dict(address=dict(type="str", required=True), name=dict(type="str", default=""))
    module = AnsibleModule(
        argument_spec=dict(
            neighbors=dict(type="list", elements="dict", default=[], options=neighbor),
            wait=dict(type="float", default=0),
        ),
        supports_check_mode=True,
    )

    def work() -> dict:
        asked = {entry["address"]: entry["name"] or entry["address"] for entry in module.params["neighbors"]}
        sessions = {
            session.neighbor: session for session in await_sessions(LinuxSystem(), list(asked), module.params["wait"])
        }
        found = {address: sessions.get(address, RoutingSession(address)) for address in asked}
        down = {asked[address]: session for address, session in found.items() if not session.up}
        return {
            "changed": False,
            "sessions": [{**to_wire(session), "up": session.up} for session in sessions.values()],
            "down": list(down),
            "warnings": ["the session with %s is not up: %s" % (name, each.words) for name, each in down.items()],
        }

    run_module(module, work)


if __name__ == "__main__":
    main()
