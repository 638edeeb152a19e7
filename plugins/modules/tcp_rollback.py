#!/usr/bin/python
# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Takes the latest change of a host back, or all since a named one."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tcp_rollback
short_description: Take the latest change of a host back, or all since a named one
version_added: 0.1.0
author:
  - netfleet.tcp contributors (@netfleet)
description:
  - Restores values, qdiscs, modules and files, with their modes and owners, as the host has recorded them before the
    change, whatever the inventory says by now. The host remembers its latest 20 changes.
  - All or nothing. A rollback is recorded as a change itself, and may be rolled back by its id.
extends_documentation_fragment:
  - netfleet.tcp.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: RV(changes) names each difference.
  action:
    description: The controller says who does it, and keeps a log of its own.
    support: full
options:
  change:
    description:
      - The id of a change on this host, or of a tuning run, which is the same on all hosts of the run. The run returns
        both; the log of the controller and the host's C(/var/lib/netfleet-tcp/history) have them. That change and all
        that came after it are taken back. A host that has no part in the run is left alone; an id that the host does
        not know is an error.
      - V(last) is the latest that has not been taken back yet.
    type: str
    default: last
  author:
    description: Who does it, for the host's journal and its record. The controller's user, unless given.
    type: str
    default: ""
  run:
    description: Of which run it is a part. The controller's own, unless given.
    type: str
    default: ""
  log:
    description: A file on the controller that gets a line of JSON for each host that is changed; empty for none.
    type: str
    default: ~/.local/state/netfleet-tcp/changes.jsonl
seealso:
  - module: netfleet.tcp.tcp_tuning
"""

EXAMPLES = r"""
- name: Take the latest change back
  netfleet.tcp.tcp_rollback:

- name: Back to before a change, and all that came after it
  netfleet.tcp.tcp_rollback:
    change: 000012-20261125T120300Z
"""

RETURN = r"""
taken_back:
  description: The ids of the changes that were taken back, latest first.
  returned: success
  type: list
  elements: str
  sample: [000012-20261125T120300Z]
change:
  description: The change that the rollback is itself, with C(id), C(run) and C(author); it can be taken back, too.
  returned: where something was taken back
  type: dict
missing:
  description: Why nothing is taken back on this host; empty where something is.
  returned: success
  type: str
  sample: nothing of run feedbeef is left on this host to be taken back
changes:
  description: Each difference, with C(subject), C(key), C(want) and C(running).
  returned: success
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netfleet.tcp.plugins.module_utils._begin import Terms
from ansible_collections.netfleet.tcp.plugins.module_utils._exit import run_module
from ansible_collections.netfleet.tcp.plugins.module_utils._model import to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._rollback import LAST, inspect, rollback
from ansible_collections.netfleet.tcp.plugins.module_utils._system import LinuxSystem


def main() -> None:
    """Specification, look or take back, exit."""
    module = AnsibleModule(
        argument_spec=dict(
            change=dict(type="str", default=LAST),
            author=dict(type="str", default=""),
            run=dict(type="str", default=""),
            log=dict(type="str", default="~/.local/state/netfleet-tcp/changes.jsonl"),
        ),
        supports_check_mode=True,
    )

    def work() -> dict:
        system, wanted = LinuxSystem(), module.params["change"]
        terms = Terms(author=module.params["author"], run=module.params["run"])
        found = inspect(system, wanted) if module.check_mode else rollback(system, wanted, terms)
        answer = {
            "changed": bool(found.taken_back),
            "taken_back": list(found.taken_back),
            "changes": [to_wire(change) for change in found.changes],
            "missing": found.missing,
            "warnings": list(found.warnings),
        }
        return {**answer, "change": to_wire(found.summary)} if found.summary else answer

    run_module(module, work)


if __name__ == "__main__":
    main()
