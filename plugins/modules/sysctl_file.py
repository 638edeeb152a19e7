#!/usr/bin/python
# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A sysctl.d file, the running kernel and the next boot, as one."""

from __future__ import annotations

DOCUMENTATION = r"""
module: sysctl_file
short_description: Keep a sysctl.d file, the running kernel and the next boot in agreement
version_added: 0.1.0
author:
  - netfleet.tcp contributors (@netfleet)
description:
  - Ensures that the file has these keys and no others, that the kernel runs their values, and that the next boot gives
    the same. It is one transaction - lock, record, write only what differs, read back, restore everything on failure.
  - Values are checked against the collection's catalogue, since the kernel accepts much that cannot be meant.
  - Files of others are never edited. One that would win at the next boot is named with its line.
  - A key that is taken out of O(values), and all of them with O(state=absent), get back the value from before.
extends_documentation_fragment:
  - netfleet.tcp.attributes
  - netfleet.tcp.attributes.changes
  - netfleet.tcp.attributes.result_notes
options:
  name:
    description: Name of the file below C(/etc/sysctl.d); C(.conf) is added where it is missing.
    type: str
    required: true
  values:
    description: Keys, each with its value, or with a mapping of C(value) and C(reason); the reason goes into the file.
    type: dict
    default: {}
  state:
    description: V(absent) removes the file and restores the values from before it.
    type: str
    choices: [present, absent]
    default: present
  unsupported:
    description: What to do about a key that the host does not have or may not change.
    type: str
    choices: [fail, warn, skip]
    default: fail
  boot_conflict:
    description:
      - What to do about a file of somebody else's that would win at the next boot.
      - V(override) adds a file of ours that sorts after it; the other stays as it is.
      - A file that stands in the place of ours is refused, unless V(warn) is given.
    type: str
    choices: [override, fail, warn]
    default: override
  force:
    description: Whether a value that the kernel has higher by itself may be lowered.
    type: bool
    default: false
seealso:
  - module: netfleet.tcp.tcp_tuning
"""

EXAMPLES = r"""
- name: Keepalive below the load balancer's idle timeout
  netfleet.tcp.sysctl_file:
    name: 80-keepalive
    values:
      net.ipv4.tcp_keepalive_time:
        value: 120
        reason: the load balancer forgets a connection after 350 s
      net.ipv4.tcp_keepalive_intvl: 30
"""

RETURN = r"""
before:
  description: What ran before, by subject (sysctl, module, file) and key.
  returned: success
  type: dict
  sample: {sysctl: {net.ipv4.tcp_keepalive_time: "7200"}}
after:
  description: The same after the run, read back from the kernel (in check mode - as planned).
  returned: success
  type: dict
  sample: {sysctl: {net.ipv4.tcp_keepalive_time: "120"}}
changes:
  description: Each difference that was removed, with C(subject), C(key), C(want), C(running), C(boot), C(source),
    C(reason) and C(takes_effect).
  returned: success
  type: list
  elements: dict
findings:
  description: What stands in the way or deserves a word, with C(severity), C(reason), C(source) and C(cure).
  returned: success
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netfleet.tcp.plugins.module_utils._converge import converge
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import input_error
from ansible_collections.netfleet.tcp.plugins.module_utils._exit import run_module
from ansible_collections.netfleet.tcp.plugins.module_utils._policy import bare_intent, values_intent
from ansible_collections.netfleet.tcp.plugins.module_utils._system import LinuxSystem


def main() -> None:
    """Specification, intent, converge, exit."""
    module = AnsibleModule(
        argument_spec=dict(
            name=dict(type="str", required=True),
            values=dict(type="dict", default={}),
            state=dict(type="str", choices=["present", "absent"], default="present"),
            unsupported=dict(type="str", choices=["fail", "warn", "skip"], default="fail"),
            boot_conflict=dict(type="str", choices=["override", "fail", "warn"], default="override"),
            force=dict(type="bool", default=False),
        ),
        supports_check_mode=True,
    )
    wanted = module.params

    def work() -> dict:
        name = wanted["name"] if wanted["name"].endswith(".conf") else wanted["name"] + ".conf"
        intent = bare_intent(name, wanted["unsupported"], wanted["boot_conflict"], wanted["force"])
        if wanted["state"] == "present":
            if not wanted["values"]:
                raise input_error("values", "is empty", "name at least one key, or state: absent")
            intent = values_intent(intent, wanted["values"], "values")
        return converge(LinuxSystem(), intent, module.check_mode)

    run_module(module, work)


if __name__ == "__main__":
    main()
