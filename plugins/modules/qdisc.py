#!/usr/bin/python
# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The queueing discipline of live interfaces, of those to come, and after a boot."""

from __future__ import annotations

DOCUMENTATION = r"""
module: qdisc
short_description: Set the queueing discipline of live interfaces and of those to come
version_added: 0.1.0
author:
  - netfleet.tcp contributors (@netfleet)
description:
  - Sets C(net.core.default_qdisc), which decides for interfaces that come up from now on, and the qdisc of the
    interfaces that are up already, which the key no longer reaches.
  - Below mq, which spreads over the transmit queues of a NIC, the leaves change and mq stays.
  - A systemd unit sets it again after a boot, for interfaces that come up before C(net.core.default_qdisc) is set.
extends_documentation_fragment:
  - netfleet.tcp.attributes
  - netfleet.tcp.attributes.changes
  - netfleet.tcp.attributes.result_notes
options:
  kind:
    description: The qdisc. Required with O(state=present).
    type: str
    choices: [fq, fq_codel, pfifo_fast, sfq, cake]
  interfaces:
    description:
      - Names of interfaces. V(auto) stands for those that are up, backed by a device, and have a qdisc that nobody
        built on purpose (htb, tbf, netem and the like are left alone).
    type: list
    elements: str
    default: [auto]
  name:
    description: Name of the declaration on the host, and of its file below C(/etc/sysctl.d).
    type: str
    default: 80-netfleet-qdisc
  state:
    description: V(absent) restores what stood there before.
    type: str
    choices: [present, absent]
    default: present
  unsupported:
    description: What to do where the host lacks the qdisc, the interface, or the key (containers).
    type: str
    choices: [fail, warn, skip]
    default: fail
  boot_conflict:
    description: What to do about a file of somebody else's that wins at the next boot or stands in the place of ours.
    type: str
    choices: [fail, warn]
    default: fail
seealso:
  - module: netfleet.tcp.tcp_tuning
"""

EXAMPLES = r"""
- name: Pace what leaves the host
  netfleet.tcp.qdisc:
    kind: fq
"""

RETURN = r"""
before:
  description: What ran before, by subject (sysctl, qdisc, module, file) and key.
  returned: success
  type: dict
  sample: {qdisc: {eth0: mq fq_codel}}
after:
  description: The same after the run, read back from the kernel (in check mode - as planned).
  returned: success
  type: dict
  sample: {qdisc: {eth0: mq fq}}
changes:
  description: Each difference that was removed, with C(subject), C(key), C(want), C(running), C(reason) and
    C(takes_effect).
  returned: success
  type: list
  elements: dict
findings:
  description: What stands in the way or deserves a word, with C(severity), C(reason), C(source) and C(cure).
  returned: success
  type: list
  elements: dict
"""

from dataclasses import replace

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netfleet.tcp.plugins.module_utils._converge import converge
from ansible_collections.netfleet.tcp.plugins.module_utils._exit import run_module
from ansible_collections.netfleet.tcp.plugins.module_utils._policy import bare_intent, checked_interfaces
from ansible_collections.netfleet.tcp.plugins.module_utils._system import LinuxSystem


def main() -> None:
    """Specification, intent, converge, exit."""
    module = AnsibleModule(
        argument_spec=dict(
            kind=dict(type="str", choices=["fq", "fq_codel", "pfifo_fast", "sfq", "cake"]),
            interfaces=dict(type="list", elements="str", default=["auto"]),
            name=dict(type="str", default="80-netfleet-qdisc"),
            state=dict(type="str", choices=["present", "absent"], default="present"),
            unsupported=dict(type="str", choices=["fail", "warn", "skip"], default="fail"),
            boot_conflict=dict(type="str", choices=["fail", "warn"], default="fail"),
        ),
        required_if=[("state", "present", ["kind"])],
        supports_check_mode=True,
    )
    wanted = module.params

    def work() -> dict:
        intent = bare_intent(wanted["name"] + ".conf", wanted["unsupported"], wanted["boot_conflict"])
        if wanted["state"] == "present":
            names = checked_interfaces(wanted["interfaces"], "interfaces")
            intent = replace(intent, qdisc=wanted["kind"], qdisc_interfaces=names)
        return converge(LinuxSystem(), intent, module.check_mode)

    run_module(module, work)


if __name__ == "__main__":
    main()
