#!/usr/bin/python
# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes a pending change of a host final, or takes it back at once."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tcp_confirm
short_description: Make a pending change final, or take it back
version_added: 0.1.0
author:
  - netfleet.tcp contributors (@netfleet)
description:
  - Looks whether what M(netfleet.tcp.tcp_apply) set still runs, writes the files that decide the next boot, and stops
    the clock that would take the change back. If any part fails, all is restored.
  - M(netfleet.tcp.tcp_tuning) runs it over a fresh connection, so that a host which cannot be reached any more is as
    before when the time is over.
extends_documentation_fragment:
  - netfleet.tcp.attributes
options:
  change:
    description: The id of the change, as RV(netfleet.tcp.tcp_apply#module:pending) gives it.
    type: str
    required: true
  keep:
    description: Whether to make it final; V(false) takes it back.
    type: bool
    default: true
  why:
    description: Why it is taken back, for the host's journal and its record.
    type: str
    default: ""
attributes:
  check_mode:
    support: none
    description: A change that check mode has not made cannot be confirmed in it.
  diff_mode:
    support: none
    description: The change itself has shown the difference.
seealso:
  - module: netfleet.tcp.tcp_apply
  - module: netfleet.tcp.tcp_tuning
"""

EXAMPLES = r"""
- name: Keep what was changed
  netfleet.tcp.tcp_confirm:
    change: 000012-20261125T120300Z
"""

RETURN = r"""
change:
  description: The change, with C(id), C(author), C(started), C(ended), C(outcome) (confirmed, reverted) and C(why).
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netfleet.tcp.plugins.module_utils._confirmed import confirm, take_back
from ansible_collections.netfleet.tcp.plugins.module_utils._exit import run_module
from ansible_collections.netfleet.tcp.plugins.module_utils._model import to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._system import LinuxSystem


def main() -> None:
    """Specification, confirm or take back, exit."""
    module = AnsibleModule(
        argument_spec=dict(
            change=dict(type="str", required=True),
            keep=dict(type="bool", default=True),
            why=dict(type="str", default=""),
        ),
        supports_check_mode=False,
    )

    def work() -> dict:
        system, identifier = LinuxSystem(), module.params["change"]
        if not module.params["keep"]:
            ended = take_back(system, identifier, module.params["why"] or "somebody said so")
            return {"changed": True, "change": to_wire(ended.summary)}
        ended, warnings = confirm(system, identifier)
        return {"changed": True, "change": to_wire(ended.summary), "warnings": warnings}

    run_module(module, work)


if __name__ == "__main__":
    main()
