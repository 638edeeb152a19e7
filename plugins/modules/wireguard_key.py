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
extends_documentation_fragment:
  - netfleet.tcp.attributes
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
  description: The public key; empty in check mode, where the host has no key yet.
  returned: success
  type: str
  sample: xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netfleet.tcp.plugins.module_utils._exit import run_module
from ansible_collections.netfleet.tcp.plugins.module_utils._system import LinuxSystem
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnels import keep_key, key_is_right, own_key


def main() -> None:
    """Specification, make or look, exit."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)

    def work() -> dict:
        system = LinuxSystem()
        made = not key_is_right(system)
        return {"changed": made, "public_key": own_key(system) if module.check_mode else keep_key(system)}

    run_module(module, work)


if __name__ == "__main__":
    main()
