#!/usr/bin/python
# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The configuration of FRR, brought to a text in place."""

from __future__ import annotations

DOCUMENTATION = r"""
module: frr_config
short_description: Bring FRR to a configuration without dropping its sessions
version_added: 0.1.0
author:
  - netfleet.tcp contributors (@netfleet)
description:
  - Has FRR itself check the text, applies what differs from what runs, and then writes C(/etc/frr/frr.conf) (mode 0640,
    owned as C(/etc/frr/daemons) is). Where FRR refuses it, what stood there before is restored.
  - Switches bgpd and bfdd on in C(/etc/frr/daemons), whose other lines stay. FRR is restarted, and enabled, only where
    one of them does not run.
  - A configuration of somebody else's that routes anything is not overwritten.
  - It is a change as any other - recorded, armed with a revert while it is made, and can be rolled back. It is final at
    once, or with O(window) when it is confirmed. Where anything of it fails, FRR is as before.
extends_documentation_fragment:
  - netfleet.tcp.a_change
  - netfleet.tcp.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  text:
    description: The whole configuration. Required with O(state=present).
    type: str
  replace:
    description: Whether a configuration of somebody else's may be overwritten.
    type: bool
    default: false
  state:
    description: V(absent) restores what stood there before this module wrote it. FRR stays installed.
    type: str
    choices: [present, absent]
    default: present
  window:
    description:
      - Seconds within which M(netfleet.tcp.tcp_confirm) has to make the change final; after them, or at the next boot,
        FRR is as before, and so are its files.
      - V(0) makes it final at once.
    type: int
    default: 0
requirements:
  - FRR 8 or later, and its frr-reload.py (on Debian in frr-pythontools)
seealso:
  - module: netfleet.tcp.frr_info
  - module: netfleet.tcp.wireguard_links
"""

EXAMPLES = r"""
- name: Bring FRR to the configuration that stands beside this playbook
  netfleet.tcp.frr_config:
    text: "{{ lookup('ansible.builtin.file', 'frr.conf') }}"
"""

RETURN = r"""
restarted:
  description: Whether FRR was restarted, or in check mode would be.
  returned: success
  type: bool
changes:
  description: What was changed, as RV(netfleet.tcp.tcp_apply#module:changes).
  returned: success
  type: list
  elements: dict
pending:
  description: The change that waits to be confirmed, as RV(netfleet.tcp.tcp_apply#module:pending).
  returned: where O(window) is given and something was changed
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netfleet.tcp.plugins.module_utils._begin import Terms
from ansible_collections.netfleet.tcp.plugins.module_utils._exit import run_module
from ansible_collections.netfleet.tcp.plugins.module_utils._frr_change import configure, deconfigure, frr_result
from ansible_collections.netfleet.tcp.plugins.module_utils._system import LinuxSystem


def main() -> None:
    """Specification, bring about, exit."""
    module = AnsibleModule(
        argument_spec=dict(
            text=dict(type="str"),
            replace=dict(type="bool", default=False),
            state=dict(type="str", choices=["present", "absent"], default="present"),
            window=dict(type="int", default=0),
            author=dict(type="str", default=""),
            run=dict(type="str", default=""),
            amends=dict(type="str", default=""),
        ),
        required_if=[("state", "present", ["text"])],
        supports_check_mode=True,
    )
    wanted = module.params

    def work() -> dict:
        system, terms = LinuxSystem(), Terms(*(wanted[name] for name in ("window", "author", "run", "amends")))
        if wanted["state"] == "absent":
            return frr_result(deconfigure(system, module.check_mode, terms))
        return frr_result(configure(system, wanted["text"], wanted["replace"], module.check_mode, terms))

    run_module(module, work)


if __name__ == "__main__":
    main()
