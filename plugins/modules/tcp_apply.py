#!/usr/bin/python
# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Brings a host to a desired state as one transaction."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tcp_apply
short_description: Bring a host's keys, modules, qdiscs and files to a desired state, all or nothing
version_added: 0.1.0
author:
  - netfleet.tcp contributors (@netfleet)
description:
  - Takes the host's lock, records what stands there, loads modules, writes only the keys that differ, sets qdiscs,
    writes the files that decide the next boot, and reads everything back. If any part fails, all is restored.
  - The desired state is computed on the controller by M(netfleet.tcp.tcp_tuning), which is what you want to use;
    this module is the part of it that runs on the host.
extends_documentation_fragment:
  - netfleet.tcp.a_change
  - netfleet.tcp.attributes
  - netfleet.tcp.attributes.changes
  - netfleet.tcp.attributes.result_notes
options:
  desired:
    description:
      - The desired state - C(name) of the declaration, C(keys), C(files), C(modules), C(qdiscs).
      - A desired state with a name alone takes the declaration back and restores what stood there before it.
    type: dict
    required: true
  window:
    description:
      - Seconds within which M(netfleet.tcp.tcp_confirm) has to make the change final. Until then the running kernel
        alone is changed; after them, or at the next boot, the host is as before, whatever became of the controller.
      - V(0) makes it final at once.
    type: int
    default: 0
  counters:
    description: Whether to read what the host's TCP has counted, right before the change.
    type: bool
    default: false
  secrets:
    description: Values of the secret keys, which O(desired) names by token only.
    type: dict
    default: {}
seealso:
  - module: netfleet.tcp.tcp_tuning
  - module: netfleet.tcp.tcp_confirm
  - module: netfleet.tcp.tcp_facts
"""

EXAMPLES = r"""
- name: Give back what stood there before the role tcp_tuning
  netfleet.tcp.tcp_apply:
    desired:
      name: role:tcp_tuning
"""

RETURN = r"""
counters:
  description: What the host's TCP had counted before the change, as RV(netfleet.tcp.tcp_counters#module:counters).
  returned: where O(counters) is given
  type: dict
pending:
  description: The change that waits to be confirmed, with C(id), C(window) in seconds, C(author) and C(started).
  returned: where O(window) is given and something was changed
  type: dict
before:
  description: What ran before, by subject (sysctl, qdisc, module, file) and key.
  returned: success
  type: dict
  sample: {sysctl: {net.ipv4.tcp_congestion_control: cubic}}
after:
  description: The same after the run, read back from the kernel (in check mode - as planned).
  returned: success
  type: dict
  sample: {sysctl: {net.ipv4.tcp_congestion_control: bbr}}
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

from ansible_collections.netfleet.tcp.plugins.module_utils._begin import Terms
from ansible_collections.netfleet.tcp.plugins.module_utils._counters import read_counters
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import input_error
from ansible_collections.netfleet.tcp.plugins.module_utils._exit import run_module
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Desired, from_wire, to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._result import outcome_result
from ansible_collections.netfleet.tcp.plugins.module_utils._system import LinuxSystem
from ansible_collections.netfleet.tcp.plugins.module_utils._transaction import apply, inspect


def main() -> None:
    """Specification, plan, apply, exit."""
    module = AnsibleModule(
        argument_spec=dict(
            desired=dict(type="dict", required=True),
            window=dict(type="int", default=0),
            author=dict(type="str", default=""),
            run=dict(type="str", default=""),
            amends=dict(type="str", default=""),
            counters=dict(type="bool", default=False),
            secrets=dict(type="dict", default={}, no_log=True),
        ),
        supports_check_mode=True,
    )

    def work() -> dict:
        try:
            desired = from_wire(Desired, module.params["desired"])
        except (TypeError, ValueError) as error:
            raise input_error("desired", "is not a desired state: %s" % error, "use netfleet.tcp.tcp_tuning") from error
        secrets = module.params["secrets"]
        if module.check_mode:
            return outcome_result(desired, inspect(LinuxSystem(), desired, secrets), True)
        terms = Terms(*(module.params[name] for name in ("window", "author", "run", "amends")))
        system = LinuxSystem()
        counters = {"counters": to_wire(read_counters(system))} if module.params["counters"] else {}
        return {**outcome_result(desired, apply(system, desired, secrets, terms), False), **counters}

    run_module(module, work)


if __name__ == "__main__":
    main()
