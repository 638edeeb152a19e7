#!/usr/bin/python
# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""kube-proxy of a node, brought to a mode, and back."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kube_proxy_mode
short_description: Bring kube-proxy of a node to a mode, and back to what stood there before
version_added: 0.1.0
author:
  - netfleet.tcp contributors (@netfleet)
description:
  - Brings kube-proxy to a mode (V(change)) - records what stands there, loads what the mode needs now and at
    boot, writes the file that holds the setting, restarts kube-proxy, waits until it says that it runs the mode and is
    healthy, and takes away by name what the former mode has left. Where it does not come up, what stood there before is
    restored, and the error says what the journal says.
  - Such a change then waits for its end. It is given back (V(restore)) or stays (V(keep)); the latest that was kept can
    be given back too.
  - Opens real connections from the node to Services (V(connect)), until each endpoint was met.
  - Virtual servers of IPVS that go are those of kube-proxy; connections that went by them end with them.
  - The role P(netfleet.tcp.kube_proxy#role) uses it, once it has looked at all nodes and at the API.
extends_documentation_fragment:
  - netfleet.tcp.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  step:
    description: Which step.
    type: str
    choices: [change, restore, keep, connect]
    required: true
  change:
    description: What the node is to do, as the controller has worked it out. For O(step=change).
    type: dict
    default: {}
  change_id:
    description: The change to end. For O(step=restore) and O(step=keep).
    type: str
    default: ""
  services:
    description:
      - The Services to connect to, each with C(name), C(address), C(port), C(endpoints), and C(each) (whether every
        endpoint has to be met). For O(step=connect).
    type: list
    elements: dict
    default: []
  seconds:
    description: For how many seconds to try all of them together. For O(step=connect).
    type: float
    default: 60
requirements:
  - root on the host, and systemd where the host holds the configuration
seealso:
  - module: netfleet.tcp.kube_proxy_info
"""

EXAMPLES = r"""
- name: Give back what stood there before the latest change that was kept
  netfleet.tcp.kube_proxy_mode:
    step: restore
    change_id: 1795608000-ipvs
"""

RETURN = r"""
outcome:
  description:
    - What was changed, or would be - C(files), C(modules), C(sysctls), C(restarted), C(removed) (what other modes had
      left), C(former_mode), C(warnings), and C(id) for O(step=restore) and O(step=keep).
  returned: by O(step=change) and O(step=restore)
  type: dict
tried:
  description:
    - Of each Service, C(connections) that were opened, the endpoints that were C(met), and C(problems) in words.
  returned: by O(step=connect)
  type: list
  elements: dict
"""

from typing import Any, Callable, Dict

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import input_error
from ansible_collections.netfleet.tcp.plugins.module_utils._exit import run_module
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_change import change, keep, restore
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_connect import try_all
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_model import ProxyChange, ProxyOutcome, ServiceToTry
from ansible_collections.netfleet.tcp.plugins.module_utils._model import from_wire, to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._system import LinuxSystem


def main() -> None:
    """Specification, the step, exit."""
    module = AnsibleModule(
        argument_spec=dict(
            step=dict(type="str", choices=["change", "restore", "keep", "connect"], required=True),
            change=dict(type="dict", default={}),
            change_id=dict(type="str", default=""),
            services=dict(type="list", elements="dict", default=[]),
            seconds=dict(type="float", default=60),
        ),
        required_if=[("step", "restore", ["change_id"]), ("step", "keep", ["change_id"])],
        supports_check_mode=True,
    )
    given, check_mode = module.params, module.check_mode
    steps: Dict[str, Callable[[], Dict[str, Any]]] = {
        "change": lambda: _told(change(LinuxSystem(), _read(ProxyChange, given["change"], "change"), check_mode)),
        "restore": lambda: _told(restore(LinuxSystem(), given["change_id"], check_mode)),
        "keep": lambda: {"changed": keep(LinuxSystem(), given["change_id"], check_mode)},
        "connect": lambda: _connect(given["services"], given["seconds"]),
    }
    run_module(module, steps[given["step"]])


def _read(kind: type, data: Any, where: str) -> Any:
    try:
        return from_wire(kind, data)
    except (TypeError, ValueError) as error:
        raise input_error(where, "is none: %s" % error, "use the role netfleet.tcp.kube_proxy") from error


def _connect(services: Any, seconds: float) -> Dict[str, Any]:
    wanted = [_read(ServiceToTry, each, "services") for each in services]
    return {"changed": False, "tried": [to_wire(each) for each in try_all(LinuxSystem(), wanted, seconds)]}


def _told(outcome: Any) -> Dict[str, Any]:
    found = outcome or ProxyOutcome()
    diff = [
        {
            "before_header": each.path,
            "after_header": each.path,
            "before": each.before or "",
            "after": each.after or "",
        }
        for each in found.files
    ]
    return {"changed": found.changed, "outcome": to_wire(found), "diff": diff, "warnings": list(found.warnings)}


if __name__ == "__main__":
    main()
