#!/usr/bin/python
# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The WireGuard key of a host: made there, where it stays."""

from __future__ import annotations

DOCUMENTATION = r"""
module: wireguard_key
short_description: Make the WireGuard key of a host, where it has none
version_added: 0.1.0
author:
  - netfleet.tcp contributors (@netfleet)
description:
  - Makes a private key on the host, in C(/etc/netfleet-tcp/wireguard.key), and returns the public one. The private key
    is in no result and never leaves the host.
  - A key that is there already is kept; its file is closed to others, where it is not.
  - A key is changed in steps. O(next=true) makes the one that is to follow, beside the present one; each time, as one
    that was left by a run that failed may be as old as what it is to replace. Once the host's peers know it, and a
    change of the host's links is pending that has it (see M(netfleet.tcp.wireguard_links)), O(switch) has its
    interfaces use it.
extends_documentation_fragment:
  - netfleet.tcp.attributes
options:
  next:
    description: Make the key that is to follow, in C(/etc/netfleet-tcp/wireguard.key.next), and return that.
    type: bool
    default: false
  switch:
    description: The id of the pending change whose interfaces are to use the next key from now on.
    type: str
    default: ""
  wait:
    description: With O(switch), seconds within which the peers that were in touch have to answer.
    type: float
    default: 10
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    description: There is nothing that may be shown.
requirements:
  - wireguard-tools on the host
seealso:
  - module: netfleet.tcp.wireguard_links
"""

EXAMPLES = r"""
- name: Make sure that the host has a key
  netfleet.tcp.wireguard_key:
  register: own

- name: Show the public one
  ansible.builtin.debug:
    msg: "{{ own.public_key }}"
"""

RETURN = r"""
public_key:
  description: The public key; empty in check mode, where it would have to be made.
  returned: success
  type: str
  sample: xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=
answered:
  description: The public keys of the peers that have answered since, by interface.
  returned: with O(switch)
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netfleet.tcp.plugins.module_utils._exit import run_module
from ansible_collections.netfleet.tcp.plugins.module_utils._hand_over import switch
from ansible_collections.netfleet.tcp.plugins.module_utils._system import LinuxSystem
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnels import (
    keep_key,
    key_is_right,
    make_next_key,
    own_key,
)


def main() -> None:
    """Specification, make or look, exit."""
    module = AnsibleModule(
        argument_spec=dict(
            next=dict(type="bool", default=False),
            switch=dict(type="str", default=""),
            wait=dict(type="float", default=10),
        ),
        mutually_exclusive=[["next", "switch"]],
        supports_check_mode=True,
    )

    def work() -> dict:
        system = LinuxSystem()
        identifier = module.params["switch"]
        if identifier:
            answered = {} if module.check_mode else switch(system, identifier, module.params["wait"])
            return {"changed": True, "public_key": own_key(system), "answered": answered}
        if module.params["next"]:
            return {"changed": True, "public_key": "" if module.check_mode else make_next_key(system)}
        made = not key_is_right(system)
        found = own_key(system) if module.check_mode else keep_key(system)
        return {"changed": made, "public_key": found}

    run_module(module, work)


if __name__ == "__main__":
    main()
