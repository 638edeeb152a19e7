#!/usr/bin/python
# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One read-only visit to a host: everything that a plan for its TCP configuration needs."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tcp_facts
short_description: Everything that decides a host's TCP configuration, in one visit
version_added: 0.1.0
author:
  - netfleet.tcp contributors (@netfleet)
description:
  - Reads what the kernel runs, what the next boot will set and which file and line decides it, which congestion
    control algorithms and qdiscs the host has or could load, its interfaces, and what an earlier run of this collection
    recorded from before its changes.
  - Changes nothing, uses the standard library, and runs C(tc) once where interfaces are asked for.
extends_documentation_fragment:
  - netfleet.tcp.attributes
  - netfleet.tcp.attributes.facts
options:
  keys:
    description: Sysctl keys to read, in either spelling (dots or slashes).
    type: list
    elements: str
    default: []
  files:
    description: Paths whose type, mode and text to return. Values of secret keys are masked in the text.
    type: list
    elements: str
    default: []
  modules:
    description: Kernel modules of which to say whether they are loaded, built in or loadable.
    type: list
    elements: str
    default: []
  interfaces:
    description: Whether to read the network interfaces and their qdiscs.
    type: bool
    default: true
  qdisc_kinds:
    description:
      - Kinds of qdisc of which to say whether the host has them.
      - Where the host's modules are not visible (a container), a kind is tried in a throwaway network namespace.
    type: list
    elements: str
    default: []
  listeners:
    description: Whether to read the local TCP ports that have a listening socket.
    type: bool
    default: false
  blame:
    description:
      - Whether to find out which services (tuned, bpftune, kube-proxy) set the keys too, and who wrote the files of
        somebody else's that name them.
    type: bool
    default: false
  routes:
    description: Whether to look for routes that have a congestion control of their own.
    type: bool
    default: false
  tunnels:
    description:
      - Whether to read the WireGuard interfaces, and the public key of the host. Private and preshared keys are not
        returned; tokens stand for the latter.
    type: bool
    default: false
  tunnels_of:
    description:
      - Name of the declaration of WireGuard interfaces whose recorded state from before is returned as
        C(tunnel_baseline), where it is another one than O(name). Where it has any, they are read as with O(tunnels).
    type: str
    default: ""
  resolve:
    description: Names of which to return the addresses, as the host resolves them.
    type: list
    elements: str
    default: []
  sessions:
    description: Whether to ask FRR for its sessions of BGP.
    type: bool
    default: false
  counters:
    description: Whether to read what the host's TCP has counted, and the RTT of its connections.
    type: bool
    default: false
  name:
    description: Name of the declaration whose recorded values from before are returned as C(baseline).
    type: str
    default: role:tcp_tuning
  secrets:
    description: Secret values, by key, that the caller wants to compare; they come back as tokens.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Which file decides the congestion control at the next boot?
  netfleet.tcp.tcp_facts:
    keys: [net.ipv4.tcp_congestion_control]

- name: Show it
  ansible.builtin.debug:
    msg: "{{ ansible_facts.netfleet_tcp['keys']['net.ipv4.tcp_congestion_control'] }}"
"""

RETURN = r"""
counters:
  description: What the host's TCP has counted, as RV(netfleet.tcp.tcp_counters#module:counters).
  returned: where O(counters) is given
  type: dict
sessions:
  description: Each as in RV(netfleet.tcp.frr_info#module:sessions).
  returned: where O(sessions) is given
  type: list
  elements: dict
sessions_limit:
  description: Why FRR could not be asked; empty where it could.
  returned: where O(sessions) is given
  type: str
ansible_facts:
  description: The host's state, below one name.
  returned: always
  type: dict
  contains:
    netfleet_tcp:
      description: The state.
      returned: always
      type: dict
      contains:
        kernel:
          description: Release of the running kernel.
          returned: always
          type: str
          sample: 6.12.57+deb13-cloud-amd64
        memory:
          description: Memory of the host in bytes.
          returned: always
          type: int
          sample: 501219328
        reader:
          description: Who applies sysctl.d at boot - V(systemd-sysctl), V(procps) or V(nobody).
          returned: always
          type: str
          sample: systemd-sysctl
        keys:
          description:
            - For each key its C(running) value (null where the kernel does not have it), C(limit) (why it cannot be
              written; empty where it can) and C(boot), the assignments that are applied at boot, each with C(file),
              C(line) and C(value); the last one decides.
          returned: always
          type: dict
        interfaces:
          description: Interfaces with C(qdisc), C(leaves) (below mq), C(queues), C(mtu), C(up) and C(physical).
          returned: always
          type: list
          elements: dict
        modules:
          description: For each module whether it is C(loaded), C(builtin) or C(loadable).
          returned: always
          type: dict
        available_congestion_control:
          description: Algorithms that the kernel has loaded.
          returned: always
          type: list
          elements: str
          sample: [reno, cubic, bbr]
        new_socket_congestion_control:
          description: What the kernel gave to a socket that was made during the visit.
          returned: always
          type: str
          sample: bbr
        baseline:
          description: What was recorded from before the declaration changed the host.
          returned: always
          type: dict
        owners:
          description: Active services that set keys asked for, with C(sets) (by key) and C(reapplies).
          returned: always
          type: list
          elements: dict
        authors:
          description: Who wrote each file of somebody else's that names a key asked for, as far as it can be told.
          returned: always
          type: dict
        routes:
          description: Routes with a congestion control of their own.
          returned: always
          type: list
          elements: dict
        tunnels:
          description: WireGuard interfaces by name, with C(peers), C(addresses), C(routes), C(port) and C(mtu).
          returned: always
          type: dict
        tunnel_key:
          description: Public key of the host for its WireGuard interfaces; empty where none was made yet.
          returned: always
          type: str
        unread:
          description: Why a file that decides the next boot could not be read, by path.
          returned: always
          type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError, InputError, Problem
from ansible_collections.netfleet.tcp.plugins.module_utils._exit import run_module
from ansible_collections.netfleet.tcp.plugins.module_utils._model import to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._observe import Request, load_vault, observe
from ansible_collections.netfleet.tcp.plugins.module_utils._system import LinuxSystem, System
from ansible_collections.netfleet.tcp.plugins.module_utils._values import key_name, leaves_proc_sys


def _counters(system: System) -> dict:
    # Loaded where it is asked for: most looks are about something else.
    from ansible_collections.netfleet.tcp.plugins.module_utils._counters import read_counters

    return to_wire(read_counters(system))


def _sessions(system: System) -> dict:
    # The same.
    from ansible_collections.netfleet.tcp.plugins.module_utils._frr_sessions import read_sessions

    try:
        found, limit = [to_wire(session) for session in read_sessions(system)], ""
    except HostError as error:
        found, limit = [], str(error)
    return {"sessions": found, "sessions_limit": limit}


def main() -> None:
    """Specification, observe, exit."""
    module = AnsibleModule(
        argument_spec=dict(
            keys=dict(type="list", elements="str", default=[], no_log=False),
            files=dict(type="list", elements="str", default=[]),
            modules=dict(type="list", elements="str", default=[]),
            interfaces=dict(type="bool", default=True),
            qdisc_kinds=dict(type="list", elements="str", default=[]),
            listeners=dict(type="bool", default=False),
            blame=dict(type="bool", default=False),
            routes=dict(type="bool", default=False),
            name=dict(type="str", default="role:tcp_tuning"),
            counters=dict(type="bool", default=False),
            sessions=dict(type="bool", default=False),
            tunnels=dict(type="bool", default=False),
            tunnels_of=dict(type="str", default=""),
            resolve=dict(type="list", elements="str", default=[]),
            secrets=dict(type="dict", default={}, no_log=True),
        ),
        supports_check_mode=True,
    )
    wanted = module.params

    def facts() -> dict:
        odd = [name for name in wanted["keys"] if leaves_proc_sys(name)]
        if odd:
            raise InputError(Problem("keys", "%r is no key" % name, "such as net.ipv4.tcp_rmem") for name in odd)
        system = LinuxSystem()
        request = Request(
            keys=tuple(key_name(name) for name in wanted["keys"]),
            files=tuple(wanted["files"]),
            modules=tuple(wanted["modules"]),
            qdiscs=wanted["interfaces"],
            qdisc_kinds=tuple(wanted["qdisc_kinds"]),
            listeners=wanted["listeners"],
            blame=wanted["blame"],
            routes=wanted["routes"],
            tunnels=wanted["tunnels"],
            tunnels_of=wanted["tunnels_of"],
            resolve=tuple(wanted["resolve"]),
        )
        baseline, vault = load_vault(system, wanted["name"], wanted["secrets"])
        state = observe(system, request, baseline, vault)
        found = {"changed": False, "ansible_facts": {"netfleet_tcp": to_wire(state)}}
        found.update(_sessions(system) if wanted["sessions"] else {})
        return {**found, "counters": _counters(system)} if wanted["counters"] else found

    run_module(module, facts)


if __name__ == "__main__":
    main()
